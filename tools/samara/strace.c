/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE	/* memmem, MREMAP_FIXED */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cli.h"
#include "strace.h"
#include "strace_files.h"
#include "strace_line.h"

#define NR_BUCKETS 1024

/* What the first process is called while no line names it. */
#define UNNAMED_PID 1

/* Flags of clone() that matter here. */
#define FLAG_VM 0x100UL
#define FLAG_VFORK 0x4000UL
#define FLAG_THREAD 0x10000UL

/* A process: threads that share an address space and descriptors. */
struct group {
	pid_t pid;
	unsigned int threads;
	struct fd_table fds;
};

struct task {
	struct task *next;		/* in its bucket */
	pid_t tid;
	struct group *group;
	/* A call whose end has not been seen yet: */
	bool pending;
	struct span name;
	struct span start;		/* its arguments, as far as printed */
	pid_t child;			/* it is a fork, and this child was there before it returned */
	bool told;			/* its end was looked up and handed out already */
};

/* A child that some line, maybe further down, tells of. */
struct birth {
	pid_t child;
	pid_t parent;			/* 0: the line names none */
	size_t order;
};

struct strace_reader {
	char *next;			/* start of the next line */
	char *end;
	const char *origin;
	unsigned long line;		/* number of the line in hand */
	bool in_hand;			/* it is not dealt with yet */
	struct strace_line parsed;

	struct task *buckets[NR_BUCKETS];
	size_t nr_tasks;
	struct group *first;		/* the process that the trace begins with; NULL once it has gone */
	bool exec_seen;			/* it began with its program, and not in the middle */
	pid_t main_pid;			/* of lines that name no process */
	bool bracketed;			/* the style where such lines belong to the only process */

	struct birth *births;		/* sorted by child, then order */
	size_t nr_births, room_births;

	struct strace_files *files;
	char *joined;			/* both halves of a call */
	size_t joined_room;
	char path[4096];
	char text[1024];		/* for the record */
};

static int bad(const struct strace_reader *r, const char *what)
{
	complain_at("replay", r->origin, r->line, "%s", what);
	return -EINVAL;
}

/* Births -------------------------------------------------------------------- */

static int add_birth(struct strace_reader *r, pid_t child, pid_t parent)
{
	if (r->nr_births == r->room_births) {
		size_t room = r->room_births ? r->room_births * 2 : 64;
		struct birth *births = realloc(r->births, room * sizeof(*births));

		if (!births)
			return -ENOMEM;
		r->births = births;
		r->room_births = room;
	}
	r->births[r->nr_births] = (struct birth){ child, parent, r->nr_births };
	r->nr_births++;
	return 0;
}

static int compare_births(const void *a, const void *b)
{
	const struct birth *x = a, *y = b;

	if (x->child != y->child)
		return x->child < y->child ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* The first birth of @child, or nr_births. */
static size_t find_birth(const struct strace_reader *r, pid_t child)
{
	size_t low = 0, high = r->nr_births;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->births[middle].child < child)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->nr_births && r->births[low].child == child ? low : r->nr_births;
}

static bool is_fork(struct span name)
{
	return span_is(name, "fork") || span_is(name, "vfork") || span_is(name, "clone") ||
	       span_is(name, "clone3");
}

/* What a line tells of births. Bad lines are found later, in their turn. */
static int scan_line(struct strace_reader *r, struct span text)
{
	struct strace_result result;
	struct strace_args args;
	struct strace_line line;

	if (strace_parse_line(text, &line))
		return 0;
	r->bracketed |= line.bracketed;
	if (line.kind == STRACE_LINE_ATTACHED) {
		/* strace -p: the process that it starts with, not somebody's child. */
		if (!r->main_pid && !r->nr_births && text.at == r->next)
			r->main_pid = line.other;
		return 0;
	}
	if (line.kind != STRACE_LINE_CALL && line.kind != STRACE_LINE_RESUMED)
		return 0;
	if (!is_fork(line.name) || strace_parse_call(line.rest, &args, &result))
		return 0;
	if (result.kind != STRACE_RESULT_VALUE || result.value <= 0 || result.value > INT_MAX)
		return 0;
	return add_birth(r, result.value, line.pid);
}

static struct span line_at(const char *at, const char *end)
{
	const char *newline = memchr(at, '\n', end - at);

	return (struct span){ at, (newline ? newline : end) - at };
}

/* The first process in brackets that is nobody's child: lines without a process are its, too. */
static void find_main(struct strace_reader *r)
{
	struct strace_line line;
	struct span text;
	char *at;

	for (at = r->next; at < r->end && !r->main_pid; at += text.len + 1) {
		text = line_at(at, r->end);
		if (!text.len || *text.at != '[' || strace_parse_line(text, &line) || !line.bracketed)
			continue;
		if (find_birth(r, line.pid) == r->nr_births)
			r->main_pid = line.pid;
	}
	if (!r->main_pid)
		r->main_pid = UNNAMED_PID;
}

static int scan(struct strace_reader *r)
{
	struct span text;
	char *at;

	for (at = r->next; at < r->end; at += text.len + 1) {
		text = line_at(at, r->end);
		if (scan_line(r, text))
			return -ENOMEM;
	}
	if (r->nr_births)
		qsort(r->births, r->nr_births, sizeof(r->births[0]), compare_births);
	find_main(r);
	return 0;
}

/*
 * To a terminal, strace -f puts "strace: Process N attached" and a newline into the middle of the
 * line of the clone that made N. They become blanks; lines are still counted by the newline.
 */
static void blank_notes(struct strace_reader *r)
{
	static const char note[] = "strace: Process ", tail[] = " attached\n";
	char *at = r->next, *p;

	while ((at = memmem(at, r->end - at, note, sizeof(note) - 1))) {
		for (p = at + sizeof(note) - 1; *p >= '0' && *p <= '9';)
			p++;
		if (at > r->next && at[-1] != '\n' && r->end - p >= (long)sizeof(tail) - 1 &&
		    !memcmp(p, tail, sizeof(tail) - 1))
			memset(at, '\v', p + sizeof(tail) - 1 - at);
		at = p;
	}
}

/* Tasks --------------------------------------------------------------------- */

static struct task *find_task(struct strace_reader *r, pid_t tid)
{
	struct task *task;

	for (task = r->buckets[tid % NR_BUCKETS]; task; task = task->next)
		if (task->tid == tid)
			return task;
	return NULL;
}

static struct group *new_group(pid_t pid, const struct group *parent)
{
	struct group *group = calloc(1, sizeof(*group));

	if (!group)
		return NULL;
	group->pid = pid;
	if (parent && fd_table_copy(&group->fds, &parent->fds)) {
		free(group);
		return NULL;
	}
	return group;
}

static void put_group(struct group *group)
{
	if (group->threads)
		return;
	fd_table_free(&group->fds);
	free(group);
}

static void link_task(struct strace_reader *r, struct task *task)
{
	struct task **bucket = &r->buckets[task->tid % NR_BUCKETS];

	task->next = *bucket;
	*bucket = task;
}

static void unlink_task(struct strace_reader *r, struct task *task)
{
	struct task **at = &r->buckets[task->tid % NR_BUCKETS];

	while (*at != task)
		at = &(*at)->next;
	*at = task->next;
}

/* A task in @group, which is freed when there is no memory and nobody else is in it. */
static struct task *new_task(struct strace_reader *r, pid_t tid, struct group *group)
{
	struct task *task = calloc(1, sizeof(*task));

	if (!task) {
		put_group(group);
		return NULL;
	}
	task->tid = tid;
	task->group = group;
	group->threads++;
	link_task(r, task);
	r->nr_tasks++;
	return task;
}

static void drop_task(struct strace_reader *r, struct task *task)
{
	unlink_task(r, task);
	task->group->threads--;
	if (!task->group->threads && task->group == r->first)
		r->first = NULL;
	put_group(task->group);
	free(task);
	r->nr_tasks--;
}

/* exec leaves one thread of a process. */
static void drop_others(struct strace_reader *r, struct task *keep)
{
	struct task *task, *next;
	size_t i;

	for (i = 0; i < NR_BUCKETS && keep->group->threads > 1; i++) {
		for (task = r->buckets[i]; task; task = next) {
			next = task->next;
			if (task != keep && task->group == keep->group)
				drop_task(r, task);
		}
	}
}

/* A thread that calls exec gets its process's id. */
static void rename_task(struct strace_reader *r, pid_t from, pid_t to)
{
	struct task *task = find_task(r, from), *old = find_task(r, to);

	if (!task || task == old)
		return;
	if (old)
		drop_task(r, old);
	unlink_task(r, task);
	task->tid = to;
	link_task(r, task);
}

static struct task *only_task(struct strace_reader *r)
{
	size_t i;

	for (i = 0; i < NR_BUCKETS; i++)
		if (r->buckets[i])
			return r->buckets[i];
	return NULL;
}

static pid_t pid_of_line(struct strace_reader *r)
{
	if (r->parsed.pid)
		return r->parsed.pid;
	/* strace names processes only while there are several. */
	if (r->bracketed && r->nr_tasks == 1)
		return only_task(r)->tid;
	return r->main_pid;
}

static bool is_forking(const struct task *task)
{
	return task && task->pending && !task->child && is_fork(task->name);
}

/* Who is just making @child: as a later line says, or else the only one who can be. */
static struct task *find_parent(struct strace_reader *r, pid_t child)
{
	struct task *task, *found = NULL;
	size_t i;

	for (i = find_birth(r, child); i < r->nr_births && r->births[i].child == child; i++) {
		task = find_task(r, r->births[i].parent ? r->births[i].parent : r->main_pid);
		if (is_forking(task))
			return task;
	}
	for (i = 0; i < NR_BUCKETS; i++) {
		for (task = r->buckets[i]; task; task = task->next) {
			if (!is_forking(task))
				continue;
			if (found)
				return NULL;
			found = task;
		}
	}
	return found;
}

/* Records ------------------------------------------------------------------- */

static void start_record(struct strace_reader *r, struct trace_record *record, enum trace_record_kind kind,
			 const struct task *task)
{
	memset(record, 0, sizeof(*record));
	record->kind = kind;
	record->line = r->line;
	record->pid = task->group->pid;
	record->call.pid = task->group->pid;
	record->call.tid = task->tid;
	record->call.returned = true;
}

/* "name(rest", for messages. */
static void set_text(struct strace_reader *r, struct trace_record *record, struct span name, struct span rest)
{
	size_t n = name.len < 64 ? name.len : 64, i, m = sizeof(r->text) - n - 2;

	memcpy(r->text, name.at, n);
	r->text[n++] = '(';
	m = rest.len < m ? rest.len : m;
	for (i = 0; i < m; i++)
		if (rest.at[i] != '\v')
			r->text[n++] = rest.at[i];
	r->text[n] = '\0';
	record->text = r->text;
}

static unsigned long clone_flags(struct span text)
{
	static const struct {
		const char *name;
		unsigned long flag;
	} known[] = {
		{ "CLONE_VM", FLAG_VM },
		{ "CLONE_VFORK", FLAG_VFORK },
		{ "CLONE_THREAD", FLAG_THREAD },
	};
	struct span flags = strace_field(text, "flags");
	unsigned long value = 0;
	size_t i;

	while (flags.len && (flags.at[flags.len - 1] == ' ' || flags.at[flags.len - 1] == '\v'))
		flags.len--;
	/* All of it a number (-X raw), or names, of which those of signals do not matter. */
	if (strace_value(flags, &value))
		return value;
	value = 0;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strace_has_flag(flags, known[i].name))
			value |= known[i].flag;
	return value;
}

/* @parent has made @child by the call @name(@rest. 1, 0 when there is nothing to tell, -ENOMEM. */
static int child_born(struct strace_reader *r, struct task *parent, pid_t child, struct span name,
		      struct span rest, struct trace_record *record)
{
	unsigned long flags = 0;
	struct group *group;

	if (span_is(name, "vfork"))
		flags = FLAG_VM | FLAG_VFORK;
	else if (!span_is(name, "fork"))
		flags = clone_flags(rest);

	/* Met before it was born: its parent was in the trace only later. It stays as it is. */
	if (find_task(r, child))
		return 0;
	group = flags & FLAG_THREAD ? parent->group : new_group(child, parent->group);
	if (!group || !new_task(r, child, group))
		return -ENOMEM;

	start_record(r, record, TRACE_CALL, parent);
	set_text(r, record, name, rest);
	record->call.kind = CALL_FORK;
	if (flags & FLAG_VM)
		record->call.kind = flags & FLAG_VFORK && !(flags & FLAG_THREAD) ? CALL_VFORK : CALL_CLONE_VM;
	record->call.args[0] = flags;
	record->call.ret = child;
	return 1;
}

/* Calls --------------------------------------------------------------------- */

struct range {
	unsigned long start;
	unsigned long len;
};

static int tell_earlier(struct strace_reader *r, struct task *task, const struct range *range,
			struct trace_record *record);

/* A call whose end is known. */
struct done {
	struct task *task;
	struct span name;
	struct span rest;		/* "args) = result" */
	struct strace_args args;
	struct strace_result result;
	enum call_kind kind;
	unsigned int nr_args;
};

static int bad_argument(struct strace_reader *r, const struct done *d, size_t i)
{
	complain_at("replay", r->origin, r->line, "argument %zu of %.*s, '%.*s', is not known", i + 1,
		    (int)d->name.len, d->name.at, (int)d->args.arg[i].len, d->args.arg[i].at);
	return -EINVAL;
}

static int fill_values(struct strace_reader *r, const struct done *d, struct call *call)
{
	size_t i, nr = d->nr_args;

	if (d->args.nr < nr)
		return bad(r, "the call has too few arguments");
	/* mremap's last argument is there with some flags only. */
	if (d->kind == CALL_MREMAP && d->args.nr > nr)
		nr++;
	for (i = 0; i < nr; i++)
		if (!strace_value(d->args.arg[i], &call->args[i]))
			return bad_argument(r, d, i);
	call->ret = d->result.value;
	return 0;
}

static int set_file(struct strace_reader *r, const struct done *d, struct trace_record *record)
{
	struct call *call = &record->call;
	struct fd_use use = { .fd = (int)call->args[4] };

	if (call->args[3] & MAP_ANONYMOUS || use.fd < 0)
		return 0;
	if (strace_fd_path(d->args.arg[4], r->path, sizeof(r->path)))
		use.name = r->path;
	use.follows = call->args[3] & (MAP_FIXED | 0x100000 /* NOREPLACE */) || call->args[5];
	return fd_describe(r->files, &d->task->group->fds, &use, &call->file, &record->uncertain);
}

/* What a call got of the addresses that were free, if the kernel chose them. */
static bool chosen_range(const struct call *call, struct range *range)
{
	unsigned long at = (unsigned long)call->ret, old_len = call->args[1], new_len = call->args[2];

	if (call->kind == CALL_MMAP) {
		*range = (struct range){ at, call->args[1] };
		return !(call->args[3] & MAP_FIXED);
	}
	if (call->kind != CALL_MREMAP || call->args[3] & MREMAP_FIXED)
		return false;
	if (at == call->args[0])
		*range = (struct range){ at + old_len, new_len > old_len ? new_len - old_len : 0 };
	else
		*range = (struct range){ at, new_len };
	return true;
}

/*
 * Whether there was room to grow where it was depends on what other threads did meanwhile: that it
 * moved is taken from the trace.
 */
static void fix_move(struct call *call)
{
	const unsigned long stays = MREMAP_FIXED | MREMAP_DONTUNMAP;

	if (call->kind != CALL_MREMAP || call->args[3] & stays || (unsigned long)call->ret == call->args[0] ||
	    call->ret < 0)
		return;
	call->args[3] |= MREMAP_FIXED;
	call->args[4] = (unsigned long)call->ret;
}

static int memory_call(struct strace_reader *r, struct done *d, struct trace_record *record)
{
	struct range range = { 0, 0 };
	bool chosen;
	int err, got;

	if (d->result.kind == STRACE_RESULT_NONE || d->result.injected)
		return 0;
	start_record(r, record, TRACE_CALL, d->task);
	set_text(r, record, d->name, d->rest);
	record->call.kind = d->kind;
	err = fill_values(r, d, &record->call);
	if (!err && d->kind == CALL_MMAP)
		err = set_file(r, d, record);
	chosen = d->result.kind == STRACE_RESULT_VALUE && chosen_range(&record->call, &range);
	if (!err && d->task->group->threads > 1)
		fix_move(&record->call);
	if (err || !chosen)
		return err ? err : 1;
	got = tell_earlier(r, d->task, &range, record);
	r->in_hand = got > 0;
	return got ? got : 1;
}

static int foreign_call(struct strace_reader *r, struct done *d, struct trace_record *record)
{
	if (d->result.kind == STRACE_RESULT_NONE || d->result.injected)
		return 0;
	/* Of these two, only some requests are about mappings. */
	if (span_is(d->name, "prctl") && (!d->args.nr || !(span_starts(d->args.arg[0], "PR_SET_VMA") ||
							   span_starts(d->args.arg[0], "PR_SET_MM"))))
		return 0;
	if (span_is(d->name, "ioctl") && (d->args.nr < 2 || !span_starts(d->args.arg[1], "UFFDIO_")))
		return 0;
	start_record(r, record, TRACE_CALL, d->task);
	set_text(r, record, d->name, d->rest);
	record->call.kind = CALL_FOREIGN;
	record->call.ret = d->result.value;
	record->uncertain = true;
	return 1;
}

static int limit_call(struct strace_reader *r, struct done *d, struct trace_record *record)
{
	bool other = span_is(d->name, "prlimit64");
	unsigned long pid = 0;
	struct call *call = &record->call;
	struct span value;

	if (d->result.kind != STRACE_RESULT_VALUE || d->result.value || d->result.injected)
		return 0;
	if (d->args.nr < (other ? 3 : 2))
		return bad(r, "the call has too few arguments");
	if (other &&
	    (!strace_value(d->args.arg[0], &pid) || (pid && pid != (unsigned long)d->task->group->pid)))
		return 0;
	value = strace_field(d->args.arg[other ? 2 : 1], "rlim_cur");
	if (!value.len)
		return 0;
	start_record(r, record, TRACE_CALL, d->task);
	set_text(r, record, d->name, d->rest);
	call->kind = CALL_SETRLIMIT;
	if (!strace_value(d->args.arg[other], &call->args[0]))
		return bad_argument(r, d, other);
	if (!strace_value(value, &call->args[1]))
		return bad_argument(r, d, other + 1);
	return 1;
}

static int fork_call(struct strace_reader *r, struct done *d, struct trace_record *record)
{
	pid_t told = d->task->child;

	d->task->child = 0;
	if (d->result.kind != STRACE_RESULT_VALUE || d->result.value <= 0 || d->result.value > INT_MAX ||
	    d->result.injected || d->result.value == told)
		return 0;
	return child_born(r, d->task, d->result.value, d->name, d->rest, record);
}

static int exec_call(struct strace_reader *r, struct done *d, struct trace_record *record)
{
	if (d->result.kind != STRACE_RESULT_VALUE || d->result.value || d->result.injected)
		return 0;
	r->exec_seen = true;
	drop_others(r, d->task);
	start_record(r, record, TRACE_EXEC, d->task);
	set_text(r, record, d->name, d->rest);
	return 1;
}

/* open, openat, openat2, creat. */
static int open_call(struct strace_reader *r, struct done *d, struct trace_record *record)
{
	size_t path = span_starts(d->name, "openat");	/* which argument it is; the flags follow */
	struct span flags;
	unsigned long mode = 2;
	const char *name = NULL;

	(void)record;
	if (d->result.kind != STRACE_RESULT_VALUE || d->result.value < 0 || d->result.value > INT_MAX)
		return 0;
	if (d->args.nr <= path)
		return bad(r, "the call has too few arguments");
	if (strace_fd_path(d->result.path, r->path, sizeof(r->path)) ||
	    strace_string(d->args.arg[path], r->path, sizeof(r->path)))
		name = r->path;
	flags = d->args.nr > path + 1 ? d->args.arg[path + 1] : (struct span){ "O_WRONLY", 8 };
	if (span_is(d->name, "openat2"))
		flags = strace_field(flags, "flags");
	if (span_is(d->name, "creat"))
		mode = 1;
	else if (!strace_value(flags, &mode))
		mode = 2;
	mode &= 3;
	return fd_open(r->files, &d->task->group->fds, d->result.value, name, mode != 1, mode != 0);
}

static int memfd_call(struct strace_reader *r, struct done *d, struct trace_record *record)
{
	static const char start[] = "/memfd:", end[] = " (deleted)";
	size_t room = sizeof(r->path) - sizeof(start) - sizeof(end);
	const char *name = NULL;

	(void)record;
	if (d->result.kind != STRACE_RESULT_VALUE || d->result.value < 0 || d->result.value > INT_MAX)
		return 0;
	memcpy(r->path, start, sizeof(start));
	if (d->args.nr && strace_string(d->args.arg[0], r->path + sizeof(start) - 1, room)) {
		strcat(r->path, end);
		name = r->path;
	}
	return fd_open(r->files, &d->task->group->fds, d->result.value, name, true, true);
}

static int dup_call(struct strace_reader *r, struct done *d, struct trace_record *record)
{
	unsigned long from;

	(void)r;
	(void)record;
	if (d->result.kind != STRACE_RESULT_VALUE || d->result.value < 0 || d->result.value > INT_MAX)
		return 0;
	if (span_is(d->name, "fcntl") && (d->args.nr < 2 || !span_starts(d->args.arg[1], "F_DUPFD")))
		return 0;
	if (!d->args.nr || !strace_value(d->args.arg[0], &from) || from > INT_MAX)
		return 0;
	return fd_dup(&d->task->group->fds, from, d->result.value);
}

static int close_call(struct strace_reader *r, struct done *d, struct trace_record *record)
{
	unsigned long first, last;

	(void)r;
	(void)record;
	if (d->result.kind != STRACE_RESULT_VALUE || d->result.value || !d->args.nr ||
	    !strace_value(d->args.arg[0], &first) || first > INT_MAX)
		return 0;
	last = first;
	if (span_is(d->name, "close_range")) {
		if (d->args.nr < 3 || !span_is(d->args.arg[2], "0") || !strace_value(d->args.arg[1], &last))
			return 0;
		last = last > INT_MAX ? INT_MAX : last;
	}
	fd_close(&d->task->group->fds, first, last);
	return 0;
}

static const struct {
	const char *name;
	int (*handle)(struct strace_reader *r, struct done *d, struct trace_record *record);
	enum call_kind kind;
	unsigned int nr_args;
} handlers[] = {
	{ "mmap", memory_call, CALL_MMAP, 6 },
	{ "mmap2", memory_call, CALL_MMAP, 6 },
	{ "munmap", memory_call, CALL_MUNMAP, 2 },
	{ "mprotect", memory_call, CALL_MPROTECT, 3 },
	{ "pkey_mprotect", memory_call, CALL_PKEY_MPROTECT, 4 },
	{ "pkey_alloc", memory_call, CALL_PKEY_ALLOC, 2 },
	{ "pkey_free", memory_call, CALL_PKEY_FREE, 1 },
	{ "mremap", memory_call, CALL_MREMAP, 4 },
	{ "brk", memory_call, CALL_BRK, 1 },
	{ "madvise", memory_call, CALL_MADVISE, 3 },
	{ "mlock", memory_call, CALL_MLOCK, 2 },
	{ "mlock2", memory_call, CALL_MLOCK2, 3 },
	{ "munlock", memory_call, CALL_MUNLOCK, 2 },
	{ "mlockall", memory_call, CALL_MLOCKALL, 1 },
	{ "munlockall", memory_call, CALL_MUNLOCKALL, 0 },
	{ "mseal", memory_call, CALL_MSEAL, 3 },
	/* By its number, as a strace older than the call prints it. */
	{ "syscall_0x1ce", memory_call, CALL_MSEAL, 3 },
	{ "msync", memory_call, CALL_MSYNC, 3 },
	{ "mincore", memory_call, CALL_MINCORE, 2 },
	{ "remap_file_pages", memory_call, CALL_REMAP_FILE_PAGES, 5 },
	{ "setrlimit", limit_call, CALL_SETRLIMIT, 2 },
	{ "prlimit64", limit_call, CALL_SETRLIMIT, 4 },
	{ "shmat", foreign_call, CALL_FOREIGN, 0 },
	{ "shmdt", foreign_call, CALL_FOREIGN, 0 },
	{ "io_setup", foreign_call, CALL_FOREIGN, 0 },
	{ "io_destroy", foreign_call, CALL_FOREIGN, 0 },
	{ "map_shadow_stack", foreign_call, CALL_FOREIGN, 0 },
	{ "prctl", foreign_call, CALL_FOREIGN, 0 },
	{ "ioctl", foreign_call, CALL_FOREIGN, 0 },
	{ "fork", fork_call, CALL_FORK, 0 },
	{ "vfork", fork_call, CALL_VFORK, 0 },
	{ "clone", fork_call, CALL_FORK, 0 },
	{ "clone3", fork_call, CALL_FORK, 0 },
	{ "execve", exec_call, CALL_EXEC, 0 },
	{ "execveat", exec_call, CALL_EXEC, 0 },
	{ "open", open_call, CALL_NR_KINDS, 0 },
	{ "openat", open_call, CALL_NR_KINDS, 0 },
	{ "openat2", open_call, CALL_NR_KINDS, 0 },
	{ "creat", open_call, CALL_NR_KINDS, 0 },
	{ "memfd_create", memfd_call, CALL_NR_KINDS, 0 },
	{ "dup", dup_call, CALL_NR_KINDS, 0 },
	{ "dup2", dup_call, CALL_NR_KINDS, 0 },
	{ "dup3", dup_call, CALL_NR_KINDS, 0 },
	{ "fcntl", dup_call, CALL_NR_KINDS, 0 },
	{ "close", close_call, CALL_NR_KINDS, 0 },
	{ "close_range", close_call, CALL_NR_KINDS, 0 },
};

/* A call has ended. 1: @record is filled in; 0: it means nothing to mappings; -errno. */
static int handle_call(struct strace_reader *r, struct task *task, struct span name, struct span rest,
		       struct trace_record *record)
{
	struct done d = { .task = task, .name = name, .rest = rest };
	const char *wrong;
	size_t i;

	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (span_is(name, handlers[i].name))
			break;
	wrong = strace_parse_call(rest, &d.args, &d.result);
	if (wrong)
		return bad(r, wrong);
	if (i == sizeof(handlers) / sizeof(handlers[0]))
		return 0;
	d.kind = handlers[i].kind;
	d.nr_args = handlers[i].nr_args;
	return handlers[i].handle(r, &d, record);
}

/* Both halves of a call in one piece of memory, valid until the next time. */
static int join(struct strace_reader *r, struct span first, struct span second, struct span *out)
{
	size_t len = first.len + second.len;

	if (r->joined_room < len + 1) {
		char *joined = realloc(r->joined, len + 1);

		if (!joined)
			return -ENOMEM;
		r->joined = joined;
		r->joined_room = len + 1;
	}
	memcpy(r->joined, first.at, first.len);
	memcpy(r->joined + first.len, second.at, second.len);
	*out = (struct span){ r->joined, len };
	return 0;
}

/* Calls of other threads that were under way ------------------------------- */

/* The end of the call that @task is in, further down. */
static bool find_end(struct strace_reader *r, const struct task *task, struct span *rest)
{
	struct strace_line line;
	struct span text;
	char *at;

	for (at = r->next; at < r->end; at += text.len + 1) {
		text = line_at(at, r->end);
		if (strace_parse_line(text, &line) || line.pid != task->tid)
			continue;
		if (line.kind != STRACE_LINE_RESUMED || line.name.len != task->name.len ||
		    memcmp(line.name.at, task->name.at, line.name.len))
			return false;
		*rest = line.rest;
		return true;
	}
	return false;
}

/* Whether the first two arguments of a call, the range that it takes away, overlap @range. */
static bool takes_away(struct span text, const struct range *range)
{
	struct strace_result result;
	struct strace_args args;
	unsigned long start, len;

	if (strace_parse_call(text, &args, &result))
		return false;
	if (args.nr < 2 || !strace_value(args.arg[0], &start) || !strace_value(args.arg[1], &len))
		return false;
	return range->len && (range->start - start < len || start - range->start < range->len);
}

/* @other is in a call that may free what @task gets. */
static bool gives_back(const struct task *task, const struct task *other)
{
	return other->group == task->group && other->pending && !other->told &&
	       (span_is(other->name, "munmap") || span_is(other->name, "mremap"));
}

/*
 * The kernel chose @range for the call of @task while another thread is just giving it back, by a call that
 * has not been seen to end: that one took effect, or the place would not have been free. The other
 * thread's record comes first then. 1: @record is it; 0: there is none; -errno.
 */
static int tell_earlier(struct strace_reader *r, struct task *task, const struct range *range,
			struct trace_record *record)
{
	struct span end, rest;
	struct task *other;
	bool told = task->told;
	size_t i;
	int err = 0, got = 0;

	/* Not to be looked for by those that it is looking for. */
	task->told = true;
	for (i = 0; i < NR_BUCKETS && !err && !got; i++) {
		for (other = r->buckets[i]; other && !err && !got; other = other->next) {
			if (!gives_back(task, other) || !find_end(r, other, &end))
				continue;
			err = join(r, other->start, end, &rest);
			if (err || !takes_away(rest, range))
				continue;
			other->told = true;
			got = handle_call(r, other, other->name, rest, record);
			/* It may have waited for a third, whose record this is. */
			other->told = got <= 0 || record->call.tid == other->tid;
		}
	}
	task->told = told;
	return err ? err : got;
}

static int resume(struct strace_reader *r, struct task *task, struct trace_record *record)
{
	struct span rest;
	int got;

	/* Begun before the trace, or cut off by an exec: what it was cannot be known. */
	if (!task->pending || task->name.len != r->parsed.name.len ||
	    memcmp(task->name.at, r->parsed.name.at, task->name.len))
		return 0;
	if (task->told) {
		task->pending = false;
		return 0;
	}
	if (join(r, task->start, r->parsed.rest, &rest))
		return -ENOMEM;
	got = handle_call(r, task, r->parsed.name, rest, record);
	/* In hand again: another thread's call comes first, and this line is looked at once more. */
	task->pending = r->in_hand;
	return got;
}

static int task_gone(struct strace_reader *r, struct task *task, struct trace_record *record)
{
	bool last = task->group->threads == 1;

	if (last) {
		start_record(r, record, TRACE_CALL, task);
		record->call.kind = CALL_EXIT;
	}
	drop_task(r, task);
	return last;
}

static int handle_line(struct strace_reader *r, struct task *task, struct trace_record *record)
{
	struct strace_line *line = &r->parsed;

	switch (line->kind) {
	case STRACE_LINE_CALL:
		task->pending = false;
		task->child = 0;
		return handle_call(r, task, line->name, line->rest, record);
	case STRACE_LINE_UNFINISHED:
	case STRACE_LINE_RENAMED:
		task->pending = true;
		task->told = false;
		task->child = 0;
		task->name = line->name;
		task->start = line->rest;
		if (line->kind == STRACE_LINE_RENAMED)
			rename_task(r, task->tid, line->other);
		return 0;
	case STRACE_LINE_RESUMED:
		return resume(r, task, record);
	case STRACE_LINE_SUPERSEDED:
		rename_task(r, line->other, task->tid);
		return 0;
	case STRACE_LINE_EXITED:
	case STRACE_LINE_DETACHED:
		return task_gone(r, task, record);
	default:
		return 0;
	}
}

/* Take the next line in hand. 1; 0 at the end; -EINVAL. */
static int take_line(struct strace_reader *r)
{
	const char *wrong;
	struct span text;
	size_t i;

	if (r->next >= r->end)
		return 0;
	text = line_at(r->next, r->end);
	/* strace -C puts its table of counts behind the trace. */
	if (span_starts(text, "% time "))
		return 0;
	r->line++;
	if (text.at + text.len == r->end)
		return bad(r, "the trace is cut in the middle of this line");
	if (memchr(text.at, '\0', text.len))
		return bad(r, "a NUL byte: this is no text");
	wrong = strace_parse_line(text, &r->parsed);
	if (wrong)
		return bad(r, wrong);
	/* A newline within a note that was blanked has been a line of its own. */
	for (i = 1; i < text.len; i++)
		r->line += text.at[i - 1] == '\v' && text.at[i] != '\v';
	r->next += text.len + 1;
	r->in_hand = true;
	return 1;
}

/* The line's task; one that is new may have been born just now: then 1, and @record tells of it. */
static int find_or_make_task(struct strace_reader *r, struct trace_record *record, struct task **out)
{
	pid_t tid = pid_of_line(r);
	struct task *parent;
	struct group *group;

	*out = find_task(r, tid);
	if (*out)
		return 0;
	parent = r->nr_tasks ? find_parent(r, tid) : NULL;
	if (parent) {
		parent->child = tid;
		return child_born(r, parent, tid, parent->name, parent->start, record);
	}
	/* strace -p of a process with threads shows them without their births. */
	group = r->first && !r->exec_seen ? r->first : new_group(tid, NULL);
	*out = group ? new_task(r, tid, group) : NULL;
	if (*out && r->nr_tasks == 1 && !r->exec_seen)
		r->first = group;
	return *out ? 0 : -ENOMEM;
}

int strace_read(struct strace_reader *r, struct trace_record *record)
{
	struct task *task;
	int got;

	for (;;) {
		got = r->in_hand ? 1 : take_line(r);
		if (got <= 0)
			return got;
		if (r->parsed.kind == STRACE_LINE_NOTE || r->parsed.kind == STRACE_LINE_ATTACHED) {
			r->in_hand = false;
			continue;
		}
		got = find_or_make_task(r, record, &task);
		if (got)
			return got;
		r->in_hand = false;
		got = handle_line(r, task, record);
		if (got)
			return got;
	}
}

int strace_reader_know_file(struct strace_reader *r, const struct map_line *line)
{
	if (!line->ino || !line->name || !*line->name)
		return 0;
	return strace_files_know(r->files, line->name, line->dev_major, line->dev_minor, line->ino);
}

int strace_reader_create(char *text, size_t len, const char *origin, struct strace_reader **out)
{
	struct strace_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->next = text;
	r->end = text + len;
	r->origin = origin;
	blank_notes(r);
	if (strace_files_create(&r->files) || scan(r)) {
		strace_reader_destroy(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

void strace_reader_destroy(struct strace_reader *r)
{
	size_t i;

	if (!r)
		return;
	for (i = 0; i < NR_BUCKETS; i++)
		while (r->buckets[i])
			drop_task(r, r->buckets[i]);
	strace_files_destroy(r->files);
	free(r->births);
	free(r->joined);
	free(r);
}
