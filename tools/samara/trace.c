/* SPDX-License-Identifier: MIT */
/* The trace file's two sides; docs/trace.md describes the format. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "trace.h"

/*
 * The format's own words, in the order of enum call_kind: a trace outlives the
 * command that wrote it, so they do not change when a table elsewhere does.
 */
static const char *const file_words[] = {
	[VM_FILE_REGULAR] = "regular",
	[VM_FILE_SHMEM] = "shmem",
	[VM_FILE_ZERO] = "zero",
	[VM_FILE_DEVICE] = "device",
	[VM_FILE_HUGETLB] = "hugetlb",
};

static const char access_letters[] = {
	[MM_READ] = 'r',
	[MM_WRITE] = 'w',
	[MM_EXEC] = 'x',
};

#define NR_ITEMS(array) (sizeof(array) / sizeof((array)[0]))

/* Writing ----------------------------------------------------------------- */

struct trace {
	FILE *out;
	int err;		/* of the first write that failed */
};

int trace_open(const char *path, struct trace **out)
{
	struct trace *t = calloc(1, sizeof(*t));
	int fd;

	if (!t)
		return -ENOMEM;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		goto fail;
	t->out = fdopen(fd, "w");
	if (!t->out) {
		close(fd);
		errno = ENOMEM;
		goto fail;
	}
	fputs(TRACE_HEADER "\n", t->out);
	*out = t;
	return 0;
fail:
	free(t);
	return -errno;
}

/* The end of each record: notes the first failure, after which nothing is written any more. */
static int end_record(struct trace *t)
{
	if (!t->err && ferror(t->out))
		t->err = errno ? -errno : -EIO;
	return t->err;
}

/* A name stands last on its line; only a newline in it could be mistaken, and maps write that as \012. */
static void write_name(FILE *out, const char *name)
{
	fputc(' ', out);
	for (; *name; name++) {
		if (*name == '\n')
			fputs("\\012", out);
		else
			fputc(*name, out);
	}
}

int trace_faults(struct trace *t, bool known)
{
	if (t->err)
		return t->err;
	fprintf(t->out, "faults %s\n", known ? "known" : "unknown");
	return end_record(t);
}

int trace_faults_lost(struct trace *t)
{
	if (t->err)
		return t->err;
	fputs("faults lost\n", t->out);
	return end_record(t);
}

static void write_map_lines(FILE *out, const struct map *map)
{
	size_t i;

	for (i = 0; i < map->nr; i++) {
		const struct map_line *l = &map->lines[i];

		fprintf(out, "vma %lx-%lx %.4s %" PRIx64 " %x:%x %" PRIu64 " %lx %d", l->start, l->end,
			l->perms, l->offset, l->dev_major, l->dev_minor, l->ino, l->vm_flags,
			l->has_anonymous);
		if (l->name && *l->name)
			write_name(out, l->name);
		fputc('\n', out);
	}
}

static void write_exec_info(FILE *out, const struct mirror_exec_info *info)
{
	int i;

	if (info->brk_known)
		fprintf(out, " brk=%lx-%lx", info->start_brk, info->brk);
	if (info->limits_known) {
		fputs(" rlimit=", out);
		for (i = 0; i < MM_NR_RLIMITS; i++)
			fprintf(out, "%s%lx", i ? "," : "", info->rlimit[i]);
	}
	fprintf(out, " ipc_lock=%d personality=%lx static=%d\n", info->cap_ipc_lock, info->personality,
		info->static_binary);
}

int trace_exec(struct trace *t, pid_t pid, const struct map *map, const struct mirror_exec_info *info)
{
	static const struct mirror_exec_info nothing;

	if (t->err)
		return t->err;
	fprintf(t->out, "exec %d %zu", (int)pid, map->nr);
	write_exec_info(t->out, info ? info : &nothing);
	write_map_lines(t->out, map);
	return end_record(t);
}

int trace_map(struct trace *t, pid_t pid, const struct map *map)
{
	if (t->err)
		return t->err;
	fprintf(t->out, "map %d %zu\n", (int)pid, map->nr);
	write_map_lines(t->out, map);
	return end_record(t);
}

static void write_file(FILE *out, const struct call_file *f)
{
	fprintf(out, " file %" PRIu64 " %x:%x %" PRIu64 " %s %c%c%c%c%c", f->description, f->info.dev_major,
		f->info.dev_minor, f->info.ino, file_words[f->info.kind], f->info.readable ? 'r' : '-',
		f->info.writable ? 'w' : '-', f->info.noexec ? 'n' : '-',
		f->info.hugepage_aligned ? 'h' : '-', f->anonymous_inode ? 'a' : '-');
	if (f->info.name && *f->info.name)
		write_name(out, f->info.name);
}

int trace_call(struct trace *t, const struct call *call)
{
	int i;

	if (t->err)
		return t->err;
	fprintf(t->out, "call %d %d %s", (int)call->pid, (int)call->tid, call_word(call->kind));
	for (i = 0; i < 6; i++)
		fprintf(t->out, " %lx", call->args[i]);
	if (!call->returned)
		fputs(" = ?", t->out);
	else if (call->ret < 0 && call->ret >= -4095)
		fprintf(t->out, " = %ld", call->ret);
	else
		fprintf(t->out, " = %lx", (unsigned long)call->ret);
	if (call->file.known)
		write_file(t->out, &call->file);
	fputc('\n', t->out);
	return end_record(t);
}

int trace_fault(struct trace *t, pid_t pid, unsigned long addr, enum mm_access access)
{
	if (t->err)
		return t->err;
	fprintf(t->out, "fault %d %lx %c\n", (int)pid, addr, access_letters[access]);
	return end_record(t);
}

int trace_forget(struct trace *t, pid_t pid)
{
	if (t->err)
		return t->err;
	fprintf(t->out, "forget %d\n", (int)pid);
	return end_record(t);
}

int trace_close(struct trace *t)
{
	int err;

	if (!t)
		return 0;
	end_record(t);
	err = t->err;
	errno = 0;
	if (fclose(t->out) && !err)
		err = errno ? -errno : -EIO;
	free(t);
	return err;
}

/* Reading ----------------------------------------------------------------- */

struct trace_reader {
	char *next;		/* start of the next line */
	char *end;
	const char *origin;
	unsigned long line;	/* of the line read last */
	char *word;		/* what is left of it */
	struct map map;		/* lines are ours, names point into the text */
};

bool trace_recognize(const char *text, size_t len)
{
	static const char start[] = "# samara trace ";

	return len >= sizeof(start) - 1 && !memcmp(text, start, sizeof(start) - 1);
}

static int bad(const struct trace_reader *r, const char *what)
{
	complain_at("replay", r->origin, r->line, "%s", what);
	return -EINVAL;
}

/*
 * Make the next line current, its newline replaced by NUL. 1; 0 at the end; -EINVAL when
 * the file stops in the middle of it.
 */
static int next_line(struct trace_reader *r)
{
	char *newline;

	if (r->next == r->end)
		return 0;
	r->line++;
	newline = memchr(r->next, '\n', r->end - r->next);
	if (!newline)
		return bad(r, "the trace is cut in the middle of this line");
	*newline = '\0';
	r->word = r->next;
	r->next = newline + 1;
	if (strlen(r->word) != (size_t)(newline - r->word))
		return bad(r, "a NUL byte: this is no text");
	return 1;
}

/* The line's next word, NULL at its end. */
static char *next_word(struct trace_reader *r)
{
	char *start = r->word, *space;

	if (!start || !*start)
		return NULL;
	space = strchr(start, ' ');
	if (space) {
		*space = '\0';
		r->word = space + 1;
	} else {
		r->word = NULL;
	}
	return start;
}

/* A whole word as a number; nothing else may be in it. */
static bool parse_number(const char *word, int base, uint64_t *out)
{
	size_t digits = word ? strspn(word, base == 16 ? "0123456789abcdef" : "0123456789") : 0;

	if (!digits || word[digits])
		return false;
	errno = 0;
	*out = strtoull(word, NULL, base);
	return !errno;
}

static bool read_hex(struct trace_reader *r, unsigned long *out)
{
	uint64_t n;

	if (!parse_number(next_word(r), 16, &n))
		return false;
	*out = n;
	return true;
}

static bool read_pid(struct trace_reader *r, pid_t *out)
{
	uint64_t n;

	if (!parse_number(next_word(r), 10, &n) || n == 0 || n > INT_MAX)
		return false;
	*out = n;
	return true;
}

/* "A" and "B" of "A<separator>B", both hexadecimal. */
static bool parse_pair(char *word, char separator, unsigned long *a, unsigned long *b)
{
	char *middle = word ? strchr(word, separator) : NULL;
	uint64_t x, y;

	if (!middle)
		return false;
	*middle = '\0';
	if (!parse_number(word, 16, &x) || !parse_number(middle + 1, 16, &y))
		return false;
	*a = x;
	*b = y;
	return true;
}

static bool read_device(struct trace_reader *r, uint32_t *major, uint32_t *minor)
{
	unsigned long a, b;

	if (!parse_pair(next_word(r), ':', &a, &b) || a > UINT32_MAX || b > UINT32_MAX)
		return false;
	*major = a;
	*minor = b;
	return true;
}

static bool read_decimal(struct trace_reader *r, uint64_t *out)
{
	return parse_number(next_word(r), 10, out);
}

/* "rw-p", each letter in its place. */
static bool read_perms(struct trace_reader *r, char perms[5])
{
	static const char *const letters[4] = { "r-", "w-", "x-", "ps" };
	const char *word = next_word(r);
	int i;

	if (!word || strlen(word) != 4)
		return false;
	for (i = 0; i < 4; i++)
		if (!strchr(letters[i], word[i]))
			return false;
	memcpy(perms, word, 5);
	return true;
}

static bool read_vma(struct trace_reader *r, struct map_line *l)
{
	const char *word = next_word(r);
	uint64_t anon;
	unsigned long offset;

	if (!word || strcmp(word, "vma"))
		return false;
	if (!parse_pair(next_word(r), '-', &l->start, &l->end) || !read_perms(r, l->perms) ||
	    !read_hex(r, &offset) || !read_device(r, &l->dev_major, &l->dev_minor) ||
	    !read_decimal(r, &l->ino) || !read_hex(r, &l->vm_flags) || !read_decimal(r, &anon) || anon > 1)
		return false;
	l->offset = offset;
	l->has_anonymous = anon;
	l->name = r->word ? r->word : (char *)"";
	return true;
}

static int add_vma(struct trace_reader *r)
{
	struct map *map = &r->map;
	struct map_line *l;

	if (map->nr == map->room) {
		size_t room = map->room ? map->room * 2 : 64;

		l = realloc(map->lines, room * sizeof(*l));
		if (!l)
			return -ENOMEM;
		map->lines = l;
		map->room = room;
	}
	l = &map->lines[map->nr];
	if (!read_vma(r, l))
		return bad(r, "'vma START-END PERMS OFFSET MAJOR:MINOR INODE FLAGS 0|1 NAME' should be here");
	if (l->start >= l->end || (l->start | l->end | l->offset) & 4095)
		return bad(r, "a mapping starts and ends at pages, and is not empty");
	if (map->nr && l[-1].end > l->start)
		return bad(r, "mappings are sorted and do not overlap");
	map->nr++;
	return 1;
}

static int read_map(struct trace_reader *r, uint64_t nr)
{
	int got;

	for (r->map.nr = 0; nr; nr--) {
		got = next_line(r);
		if (got == 0)
			return bad(r, "the trace ends in the middle of a map");
		if (got > 0)
			got = add_vma(r);
		if (got < 0)
			return got;
	}
	return 1;
}

static bool parse_limits(char *word, struct mirror_exec_info *info)
{
	char *comma;
	uint64_t n;
	int i;

	for (i = 0; i < MM_NR_RLIMITS; i++, word = comma + 1) {
		comma = strchr(word, ',');
		if (!comma != (i == MM_NR_RLIMITS - 1))
			return false;
		if (comma)
			*comma = '\0';
		if (!parse_number(word, 16, &n))
			return false;
		info->rlimit[i] = n;
		if (!comma)
			break;
	}
	info->limits_known = true;
	return true;
}

/* "KEY=VALUE" of an exec record. Unknown keys are an error: the version would have changed. */
static bool parse_exec_word(char *word, struct mirror_exec_info *info)
{
	char *value = strchr(word, '=');
	uint64_t n;

	if (!value)
		return false;
	*value++ = '\0';
	if (!strcmp(word, "brk")) {
		info->brk_known = true;
		return parse_pair(value, '-', &info->start_brk, &info->brk);
	}
	if (!strcmp(word, "rlimit"))
		return parse_limits(value, info);
	if (!parse_number(value, 16, &n))
		return false;
	if (!strcmp(word, "ipc_lock"))
		info->cap_ipc_lock = n;
	else if (!strcmp(word, "personality"))
		info->personality = n;
	else if (!strcmp(word, "static"))
		info->static_binary = n;
	else
		return false;
	return true;
}

static int read_exec(struct trace_reader *r, struct trace_record *record)
{
	char *word;
	uint64_t nr;

	record->kind = TRACE_EXEC;
	memset(&record->info, 0, sizeof(record->info));
	if (!read_pid(r, &record->pid) || !read_decimal(r, &nr))
		return bad(r, "'exec PID LINES KEY=VALUE...' should be here");
	while ((word = next_word(r)))
		if (!parse_exec_word(word, &record->info))
			return bad(r, "an exec record has a key or a value that is not known");
	record->map = &r->map;
	return read_map(r, nr);
}

static int read_map_record(struct trace_reader *r, struct trace_record *record)
{
	uint64_t nr;

	record->kind = TRACE_MAP;
	if (!read_pid(r, &record->pid) || !read_decimal(r, &nr) || r->word)
		return bad(r, "'map PID LINES' should be here");
	record->map = &r->map;
	return read_map(r, nr);
}

static bool read_file_letters(struct trace_reader *r, struct call_file *f)
{
	static const char letters[] = "rwnha";
	const char *word = next_word(r);
	bool *const flags[] = {
		&f->info.readable, &f->info.writable, &f->info.noexec, &f->info.hugepage_aligned,
		&f->anonymous_inode,
	};
	size_t i;

	if (!word || strlen(word) != NR_ITEMS(flags))
		return false;
	for (i = 0; i < NR_ITEMS(flags); i++) {
		if (word[i] != '-' && word[i] != letters[i])
			return false;
		*flags[i] = word[i] != '-';
	}
	return true;
}

static bool read_file(struct trace_reader *r, struct call_file *f)
{
	const char *kind;
	size_t i;

	if (!read_decimal(r, &f->description) || !read_device(r, &f->info.dev_major, &f->info.dev_minor) ||
	    !read_decimal(r, &f->info.ino))
		return false;
	kind = next_word(r);
	for (i = 0; i < NR_ITEMS(file_words); i++)
		if (kind && !strcmp(kind, file_words[i]))
			break;
	if (i == NR_ITEMS(file_words) || !read_file_letters(r, f))
		return false;
	f->info.kind = i;
	f->info.size = sizeof(f->info);
	if (r->word) {
		if (strlen(r->word) >= sizeof(f->name))
			return false;
		strcpy(f->name, r->word);
		f->info.name = f->name;
	}
	f->known = true;
	return true;
}

static bool read_kind(struct trace_reader *r, enum call_kind *out)
{
	const char *word = next_word(r);
	size_t i;

	for (i = 0; word && i < CALL_NR_KINDS; i++) {
		if (!strcmp(word, call_word(i))) {
			*out = i;
			return true;
		}
	}
	return false;
}

/* "= VALUE": hexadecimal; minus and a decimal errno; or "?". */
static bool read_result(struct trace_reader *r, struct call *call)
{
	const char *word = next_word(r);
	uint64_t n;

	if (!word || strcmp(word, "="))
		return false;
	word = next_word(r);
	if (!word)
		return false;
	call->returned = strcmp(word, "?") != 0;
	if (!call->returned)
		return true;
	if (!parse_number(*word == '-' ? word + 1 : word, *word == '-' ? 10 : 16, &n))
		return false;
	if (*word == '-' && (n < 1 || n > 4095))
		return false;
	call->ret = *word == '-' ? -(long)n : (long)n;
	return true;
}

static int read_call(struct trace_reader *r, struct trace_record *record)
{
	struct call *call = &record->call;
	const char *word;
	int i;

	record->kind = TRACE_CALL;
	memset(call, 0, sizeof(*call));
	if (!read_pid(r, &call->pid) || !read_pid(r, &call->tid) || !read_kind(r, &call->kind))
		return bad(r, "'call PID TID NAME', with a name that is known, should be here");
	for (i = 0; i < 6; i++)
		if (!read_hex(r, &call->args[i]))
			return bad(r, "a call has six hexadecimal arguments");
	if (!read_result(r, call))
		return bad(r, "after a call's arguments stands '= RESULT'");
	word = next_word(r);
	if (word && (strcmp(word, "file") || !read_file(r, &call->file)))
		return bad(r, "after a result only 'file ID MAJOR:MINOR INODE KIND LETTERS NAME' may stand");
	record->pid = call->pid;
	return 1;
}

static int read_fault(struct trace_reader *r, struct trace_record *record)
{
	const char *word;
	size_t i;

	record->kind = TRACE_FAULT;
	if (!read_pid(r, &record->pid) || !read_hex(r, &record->addr))
		return bad(r, "'fault PID ADDRESS r|w|x' should be here");
	word = next_word(r);
	for (i = 0; word && i < NR_ITEMS(access_letters); i++) {
		if (word[0] == access_letters[i] && !word[1]) {
			record->access = i;
			return 1;
		}
	}
	return bad(r, "'fault PID ADDRESS r|w|x' should be here");
}

static int read_faults(struct trace_reader *r, struct trace_record *record)
{
	const char *word = next_word(r);

	if (word && !strcmp(word, "known"))
		record->kind = TRACE_FAULTS_KNOWN;
	else if (word && !strcmp(word, "unknown"))
		record->kind = TRACE_FAULTS_UNKNOWN;
	else if (word && !strcmp(word, "lost"))
		record->kind = TRACE_FAULTS_LOST;
	else
		return bad(r, "'faults known', 'faults unknown' or 'faults lost' should be here");
	return 1;
}

static int read_forget(struct trace_reader *r, struct trace_record *record)
{
	record->kind = TRACE_FORGET;
	if (!read_pid(r, &record->pid))
		return bad(r, "'forget PID' should be here");
	return 1;
}

static int read_record(struct trace_reader *r, struct trace_record *record)
{
	static const struct {
		const char *word;
		int (*read)(struct trace_reader *r, struct trace_record *record);
	} readers[] = {
		{ "call", read_call },
		{ "fault", read_fault },
		{ "exec", read_exec },
		{ "map", read_map_record },
		{ "faults", read_faults },
		{ "forget", read_forget },
	};
	const char *word = next_word(r);
	size_t i;

	for (i = 0; word && i < NR_ITEMS(readers); i++)
		if (!strcmp(word, readers[i].word))
			return readers[i].read(r, record);
	return bad(r, "a line starts with call, fault, exec, map, faults or forget");
}

int trace_read(struct trace_reader *r, struct trace_record *record)
{
	int got;

	for (;;) {
		got = next_line(r);
		if (got <= 0)
			return got;
		if (*r->word && *r->word != '#')
			break;
	}
	record->line = r->line;
	record->uncertain = false;
	record->text = NULL;
	return read_record(r, record);
}

int trace_reader_create(char *text, size_t len, const char *origin, struct trace_reader **out)
{
	struct trace_reader *r = calloc(1, sizeof(*r));
	int got;

	if (!r)
		return -ENOMEM;
	r->next = text;
	r->end = text + len;
	r->origin = origin;
	got = next_line(r);
	if (got > 0 && strcmp(r->word, TRACE_HEADER))
		got = bad(r, "another version of the trace format: this command reads '" TRACE_HEADER "'");
	if (got <= 0) {
		free(r);
		return got ? got : -EINVAL;
	}
	*out = r;
	return 0;
}

void trace_reader_destroy(struct trace_reader *r)
{
	if (!r)
		return;
	free(r->map.lines);
	free(r);
}
