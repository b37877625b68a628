/* SPDX-License-Identifier: MIT */
/*
 * Reading the text of /proc/PID/maps and smaps, and printing it.
 *
 * The mirror reads a map after every call, so a line is parsed by hand: two
 * passes over its bytes, no allocation once the buffers have grown.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "mirror.h"
#include "platform/platform.h"

#define PAGE 4096UL
#define USER_TOP 0x7ffffffff000UL	/* one past the last user byte */

/* One pass over the text. */
struct parser {
	struct map *map;
	char *at;		/* next byte */
	char *end;		/* of the current line: its newline */
	char *limit;		/* of the text; a newline stands before it */
	const char *origin;
	unsigned long line;	/* number of the current line, from 1 */
	bool gate;		/* the details that follow belong to a line that was left out */
	bool started;		/* a mapping was seen */
};

static int bad(const struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int bad(const struct parser *p, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	complain_at(NULL, p->origin, p->line, "%s", what);
	return -EINVAL;
}

static int bad_syntax(const struct parser *p, const char *what)
{
	return bad(p, "%s; a line looks like \"START-END rwxp OFFSET MAJOR:MINOR INODE NAME\", "
		   "as /proc/PID/maps prints it", what);
}

/* Characters -------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* At least one digit and no more than 64 bits, then @stop, which is consumed. */
static bool take_hex(struct parser *p, char stop, uint64_t *out)
{
	const char *first = p->at;
	uint64_t value = 0;
	int digit;

	while ((digit = hex_digit(*p->at)) >= 0) {
		if (value >> 60)
			return false;
		value = value << 4 | (unsigned int)digit;
		p->at++;
	}
	if (p->at == first || *p->at != stop)
		return false;
	p->at++;
	*out = value;
	return true;
}

/* The same in decimal, up to a blank or the end of the line, which stays. */
static bool take_decimal(struct parser *p, uint64_t *out)
{
	const char *first = p->at;
	uint64_t value = 0;

	while (*p->at >= '0' && *p->at <= '9') {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p->at - '0'), &value))
			return false;
		p->at++;
	}
	if (p->at == first || (*p->at != ' ' && *p->at != '\n'))
		return false;
	*out = value;
	return true;
}

static bool take_perms(struct parser *p, char perms[5])
{
	static const char *const allowed[4] = { "r-", "w-", "x-", "ps" };

	for (int i = 0; i < 4; i++) {
		if (p->at[i] != allowed[i][0] && p->at[i] != allowed[i][1])
			return false;
		perms[i] = p->at[i];
	}
	perms[4] = 0;
	if (p->at[4] != ' ')
		return false;
	p->at += 5;
	return true;
}

/* Lines ------------------------------------------------------------------- */

static struct map_line *new_line(struct map *map)
{
	if (map->nr == map->room) {
		size_t room = map->room ? map->room * 2 : 64;
		struct map_line *lines = realloc(map->lines, room * sizeof(*lines));

		if (!lines)
			return NULL;
		map->lines = lines;
		map->room = room;
	}
	return &map->lines[map->nr];
}

static int parse_fields(struct parser *p, struct map_line *line)
{
	uint64_t start, end, major, minor;

	if (!take_hex(p, '-', &start) || !take_hex(p, ' ', &end))
		return bad_syntax(p, "the addresses cannot be read");
	if (!take_perms(p, line->perms))
		return bad_syntax(p, "the permissions cannot be read");
	if (!take_hex(p, ' ', &line->offset))
		return bad_syntax(p, "the offset cannot be read");
	if (!take_hex(p, ':', &major) || !take_hex(p, ' ', &minor) || major > 0xfff || minor > 0xfffff)
		return bad_syntax(p, "the device cannot be read");
	if (!take_decimal(p, &line->ino))
		return bad_syntax(p, "the inode cannot be read");
	while (*p->at == ' ')
		p->at++;
	line->name = p->at;
	line->start = start;
	line->end = end;
	line->dev_major = (uint32_t)major;
	line->dev_minor = (uint32_t)minor;
	return 0;
}

static int check_range(const struct parser *p, const struct map_line *line)
{
	const struct map *map = p->map;

	if (line->start >= line->end)
		return bad(p, "the mapping %lx-%lx is empty", line->start, line->end);
	if ((line->start | line->end | line->offset) & (PAGE - 1))
		return bad(p, "the mapping %lx-%lx at offset %llx does not lie on page boundaries",
			   line->start, line->end, (unsigned long long)line->offset);
	if (line->end > USER_TOP)
		return bad(p, "the mapping %lx-%lx reaches beyond the user range, which ends at %lx",
			   line->start, line->end, USER_TOP);
	if (map->nr && line->start < map->lines[map->nr - 1].end) {
		const struct map_line *prev = line - 1;

		return bad(p, "the mapping %lx-%lx %s %lx-%lx of the line before; maps are sorted by address",
			   line->start, line->end, line->end > prev->start ? "overlaps" : "lies below",
			   prev->start, prev->end);
	}
	return 0;
}

static int parse_mapping(struct parser *p)
{
	struct map_line *line = new_line(p->map);
	int err;

	if (!line)
		return -ENOMEM;
	line->vm_flags = 0;
	line->has_anonymous = false;
	err = parse_fields(p, line);
	if (err)
		return err;
	p->started = true;
	/* The gate area ends every file. It is no mapping of the process, and lies above the user range. */
	p->gate = p->end - p->at == 10 && !memcmp(line->name, "[vsyscall]", 10);
	if (p->gate)
		return 0;
	err = check_range(p, line);
	if (err)
		return err;
	p->map->nr++;
	return 0;
}

/* Details of smaps -------------------------------------------------------- */

static const struct {
	char code[3];
	unsigned long flag;
} flag_codes[] = {
	{ "rd", MM_VM_READ },	      { "wr", MM_VM_WRITE },	    { "ex", MM_VM_EXEC },
	{ "sh", MM_VM_SHARED },	      { "mr", MM_VM_MAYREAD },	    { "mw", MM_VM_MAYWRITE },
	{ "me", MM_VM_MAYEXEC },      { "ms", MM_VM_MAYSHARE },	    { "gd", MM_VM_GROWSDOWN },
	{ "pf", MM_VM_PFNMAP },	      { "lo", MM_VM_LOCKED },	    { "io", MM_VM_IO },
	{ "sr", MM_VM_SEQ_READ },     { "rr", MM_VM_RAND_READ },    { "dc", MM_VM_DONTCOPY },
	{ "de", MM_VM_DONTEXPAND },   { "lf", MM_VM_LOCKONFAULT },  { "ac", MM_VM_ACCOUNT },
	{ "nr", MM_VM_NORESERVE },    { "ht", MM_VM_HUGETLB },	    { "sf", MM_VM_SYNC },
	{ "wf", MM_VM_WIPEONFORK },   { "dd", MM_VM_DONTDUMP },	    { "mm", MM_VM_MIXEDMAP },
	{ "hg", MM_VM_HUGEPAGE },     { "nh", MM_VM_NOHUGEPAGE },   { "mg", MM_VM_MERGEABLE },
	{ "um", MM_VM_UFFD_MISSING }, { "uw", MM_VM_UFFD_WP },	    { "sl", MM_VM_SEALED },
	{ "dp", MM_VM_DROPPABLE },    { "gu", MM_VM_MAYBE_GUARD },
};

unsigned long map_flag(const char *code)
{
	for (size_t i = 0; i < sizeof(flag_codes) / sizeof(flag_codes[0]); i++)
		if (code[0] == flag_codes[i].code[0] && code[1] == flag_codes[i].code[1])
			return flag_codes[i].flag;
	return 0;
}

unsigned long map_print_flags(FILE *out, unsigned long flags)
{
	unsigned long known = 0;

	for (size_t i = 0; i < sizeof(flag_codes) / sizeof(flag_codes[0]); i++) {
		known |= flag_codes[i].flag;
		if (out && (flags & flag_codes[i].flag))
			fprintf(out, " %s", flag_codes[i].code);
	}
	if (out && (flags & MM_VM_PKEY))
		fprintf(out, " key=%lu", (flags & MM_VM_PKEY) >> MM_VM_PKEY_SHIFT);
	return flags & (known | MM_VM_PKEY);
}

/* Two-letter codes with blanks between; those without a meaning for the model are passed over. */
static int parse_flags(struct parser *p, struct map_line *line)
{
	for (;;) {
		while (*p->at == ' ')
			p->at++;
		if (p->at == p->end)
			return 0;
		if (p->end - p->at < 2 || (p->at + 2 < p->end && p->at[2] != ' '))
			return bad(p, "VmFlags holds a code that is not two letters");
		line->vm_flags |= map_flag(p->at);
		p->at += 2;
	}
}

static int parse_amount(struct parser *p, struct map_line *line)
{
	uint64_t kib;

	while (*p->at == ' ')
		p->at++;
	if (!take_decimal(p, &kib))
		return bad(p, "the amount of memory cannot be read");
	if (kib)
		line->has_anonymous = true;
	return 0;
}

static int parse_protection_key(struct parser *p, struct map_line *line)
{
	uint64_t key;

	while (*p->at == ' ')
		p->at++;
	if (!take_decimal(p, &key) || key > MM_VM_PKEY >> MM_VM_PKEY_SHIFT)
		return bad(p, "the protection key cannot be read");
	line->vm_flags |= key << MM_VM_PKEY_SHIFT;
	return 0;
}

static bool take_key(struct parser *p, const char *key)
{
	size_t len = strlen(key);

	if ((size_t)(p->end - p->at) < len || memcmp(p->at, key, len))
		return false;
	p->at += len;
	return true;
}

static int parse_detail(struct parser *p)
{
	struct map_line *line;

	if (!p->started)
		return bad_syntax(p, "the first line is not a mapping");
	if (!memchr(p->at, ':', (size_t)(p->end - p->at)))
		return bad_syntax(p, "this is neither a mapping nor one of the details that smaps adds");
	if (p->gate)
		return 0;
	pf_assert(p->map->nr > 0);
	line = &p->map->lines[p->map->nr - 1];
	if (take_key(p, "Anonymous:") || take_key(p, "Swap:"))
		return parse_amount(p, line);
	if (take_key(p, "ProtectionKey:"))
		return parse_protection_key(p, line);
	if (take_key(p, "VmFlags:"))
		return parse_flags(p, line);
	return 0;
}

static int parse_line(struct parser *p)
{
	if (memchr(p->at, 0, (size_t)(p->end - p->at)))
		return bad_syntax(p, "the line holds a NUL byte");
	return *p->at >= 'A' && *p->at <= 'Z' ? parse_detail(p) : parse_mapping(p);
}

/* The text is in @map already, with one byte of room after it. */
static int parse_text(struct map *map, size_t len, const char *origin)
{
	struct parser p = { .map = map, .at = map->text, .limit = map->text + len, .origin = origin };
	int err;

	pf_assert(len < map->text_room);
	map->nr = 0;
	*p.limit = 0;
	while (p.at < p.limit) {
		p.line++;
		pf_assert(p.at >= map->text);
		p.end = memchr(p.at, '\n', (size_t)(p.limit - p.at));
		if (!p.end)
			return bad(&p, "the last line is cut short: no newline ends it");
		err = parse_line(&p);
		if (err)
			return err;
		/* Names end here; the numbers before them are read already. */
		pf_assert(p.at <= p.end);
		*p.end = 0;
		p.at = p.end + 1;
	}
	return 0;
}

/* Buffers ----------------------------------------------------------------- */

static int text_reserve(struct map *map, size_t len)
{
	size_t room = map->text_room ? map->text_room : 16384;
	char *text;

	while (room < len + 1)
		room *= 2;
	if (room == map->text_room)
		return 0;
	text = realloc(map->text, room);
	if (!text)
		return -ENOMEM;
	map->text = text;
	map->text_room = room;
	return 0;
}

int map_parse(struct map *map, const char *text, size_t len, const char *origin)
{
	int err = text_reserve(map, len);

	if (err)
		return err;
	memcpy(map->text, text, len);
	return parse_text(map, len, origin);
}

int map_read_fd(struct map *map, int fd, const char *origin)
{
	size_t len = 0;
	ssize_t n;
	int err;

	do {
		err = text_reserve(map, len + 4096);
		if (err)
			return err;
		n = pread(fd, map->text + len, map->text_room - len - 1, (off_t)len);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			len += (size_t)n;
	} while (n);
	return parse_text(map, len, origin);
}

int map_read_pid(struct map *map, pid_t pid, bool smaps)
{
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, smaps ? "smaps" : "maps");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	err = map_read_fd(map, fd, path);
	close(fd);
	return err;
}

void map_free(struct map *map)
{
	free(map->lines);
	free(map->text);
	memset(map, 0, sizeof(*map));
}

/* Printing ---------------------------------------------------------------- */

/* Where names begin. */
#define NAME_COLUMN 73

void map_print_line(FILE *out, const struct mm_vma_info *vma)
{
	unsigned long f = vma->flags;
	int n = fprintf(out, "%08lx-%08lx %c%c%c%c %08llx %02x:%02x %llu ", vma->start, vma->end,
			f & MM_VM_READ ? 'r' : '-', f & MM_VM_WRITE ? 'w' : '-', f & MM_VM_EXEC ? 'x' : '-',
			f & MM_VM_MAYSHARE ? 's' : 'p', (unsigned long long)vma->offset, vma->dev_major,
			vma->dev_minor, (unsigned long long)vma->ino);

	if (vma->name && *vma->name)
		fprintf(out, "%*s%s", n < NAME_COLUMN ? NAME_COLUMN - n : 0, "", vma->name);
	putc('\n', out);
}
