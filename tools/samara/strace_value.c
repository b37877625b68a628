/* SPDX-License-Identifier: MIT */
/* What strace's names stand for; the values are Linux's on x86-64. */
#define _GNU_SOURCE	/* memmem */
#include <string.h>

#include "strace_line.h"

static const struct {
	const char *name;
	unsigned long value;
} names[] = {
	{ "NULL", 0 },
	{ "PROT_NONE", 0x0 },
	{ "PROT_READ", 0x1 },
	{ "PROT_WRITE", 0x2 },
	{ "PROT_EXEC", 0x4 },
	{ "PROT_SEM", 0x8 },
	{ "PROT_GROWSDOWN", 0x01000000 },
	{ "PROT_GROWSUP", 0x02000000 },
	{ "MAP_FILE", 0x0 },
	{ "MAP_SHARED", 0x1 },
	{ "MAP_PRIVATE", 0x2 },
	{ "MAP_SHARED_VALIDATE", 0x3 },
	{ "MAP_DROPPABLE", 0x8 },
	{ "MAP_FIXED", 0x10 },
	{ "MAP_ANONYMOUS", 0x20 },
	{ "MAP_ANON", 0x20 },
	{ "MAP_32BIT", 0x40 },
	{ "MAP_ABOVE4G", 0x80 },
	{ "MAP_GROWSDOWN", 0x100 },
	{ "MAP_DENYWRITE", 0x800 },
	{ "MAP_EXECUTABLE", 0x1000 },
	{ "MAP_LOCKED", 0x2000 },
	{ "MAP_NORESERVE", 0x4000 },
	{ "MAP_POPULATE", 0x8000 },
	{ "MAP_NONBLOCK", 0x10000 },
	{ "MAP_STACK", 0x20000 },
	{ "MAP_HUGETLB", 0x40000 },
	{ "MAP_SYNC", 0x80000 },
	{ "MAP_FIXED_NOREPLACE", 0x100000 },
	{ "MAP_UNINITIALIZED", 0x4000000 },
	{ "MAP_HUGE_SHIFT", 26 },
	{ "MREMAP_MAYMOVE", 1 },
	{ "MREMAP_FIXED", 2 },
	{ "MREMAP_DONTUNMAP", 4 },
	{ "MLOCK_ONFAULT", 1 },
	{ "MCL_CURRENT", 1 },
	{ "MCL_FUTURE", 2 },
	{ "MCL_ONFAULT", 4 },
	{ "MS_ASYNC", 1 },
	{ "MS_INVALIDATE", 2 },
	{ "MS_SYNC", 4 },
	{ "MADV_NORMAL", 0 },
	{ "MADV_RANDOM", 1 },
	{ "MADV_SEQUENTIAL", 2 },
	{ "MADV_WILLNEED", 3 },
	{ "MADV_DONTNEED", 4 },
	{ "MADV_FREE", 8 },
	{ "MADV_REMOVE", 9 },
	{ "MADV_DONTFORK", 10 },
	{ "MADV_DOFORK", 11 },
	{ "MADV_MERGEABLE", 12 },
	{ "MADV_UNMERGEABLE", 13 },
	{ "MADV_HUGEPAGE", 14 },
	{ "MADV_NOHUGEPAGE", 15 },
	{ "MADV_DONTDUMP", 16 },
	{ "MADV_DODUMP", 17 },
	{ "MADV_WIPEONFORK", 18 },
	{ "MADV_KEEPONFORK", 19 },
	{ "MADV_COLD", 20 },
	{ "MADV_PAGEOUT", 21 },
	{ "MADV_POPULATE_READ", 22 },
	{ "MADV_POPULATE_WRITE", 23 },
	{ "MADV_DONTNEED_LOCKED", 24 },
	{ "MADV_COLLAPSE", 25 },
	{ "MADV_HWPOISON", 100 },
	{ "MADV_SOFT_OFFLINE", 101 },
	{ "MADV_GUARD_INSTALL", 102 },
	{ "MADV_GUARD_REMOVE", 103 },
	{ "RLIMIT_CPU", 0 },
	{ "RLIMIT_FSIZE", 1 },
	{ "RLIMIT_DATA", 2 },
	{ "RLIMIT_STACK", 3 },
	{ "RLIMIT_CORE", 4 },
	{ "RLIMIT_RSS", 5 },
	{ "RLIMIT_NPROC", 6 },
	{ "RLIMIT_NOFILE", 7 },
	{ "RLIMIT_MEMLOCK", 8 },
	{ "RLIMIT_AS", 9 },
	{ "RLIMIT_LOCKS", 10 },
	{ "RLIMIT_SIGPENDING", 11 },
	{ "RLIMIT_MSGQUEUE", 12 },
	{ "RLIMIT_NICE", 13 },
	{ "RLIMIT_RTPRIO", 14 },
	{ "RLIMIT_RTTIME", 15 },
	{ "RLIM_INFINITY", ~0UL },
	{ "RLIM64_INFINITY", ~0UL },
	{ "O_RDONLY", 0 },
	{ "O_WRONLY", 1 },
	{ "O_RDWR", 2 },
	{ "O_ACCMODE", 3 },
};

/* What is left to read; @ok becomes false at the first thing that is not known. */
struct cursor {
	const char *at;
	const char *end;
	bool ok;
};

static void skip_blank(struct cursor *c)
{
	while (c->at < c->end) {
		if (*c->at == ' ' || *c->at == '\v') {
			c->at++;
		} else if (c->end - c->at >= 4 && c->at[0] == '/' && c->at[1] == '*') {
			const char *close = memmem(c->at + 2, c->end - c->at - 2, "*/", 2);

			c->at = close ? close + 2 : c->end;
		} else {
			return;
		}
	}
}

static bool accept(struct cursor *c, const char *word)
{
	size_t n = strlen(word);

	skip_blank(c);
	if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n))
		return false;
	c->at += n;
	return true;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 99;
}

static unsigned long number(struct cursor *c)
{
	unsigned long n = 0;
	int base = 10;
	const char *start;

	if (c->end - c->at > 1 && c->at[0] == '0') {
		base = c->at[1] == 'x' ? 16 : 8;
		c->at += base == 16 ? 2 : 1;
	}
	for (start = c->at; c->at < c->end && digit_of(*c->at) < base; c->at++)
		if (__builtin_mul_overflow(n, (unsigned long)base, &n) ||
		    __builtin_add_overflow(n, (unsigned long)digit_of(*c->at), &n))
			c->ok = false;
	/* "0" alone has lost its only digit above; then base is 10. */
	if (c->at == start && base != 8)
		c->ok = false;
	return n;
}

static unsigned long name(struct cursor *c)
{
	struct span word = { c->at, 0 };
	size_t i;

	while (c->at < c->end && (*c->at == '_' || (*c->at >= '0' && *c->at <= '9') ||
				  ((*c->at | 32) >= 'a' && (*c->at | 32) <= 'z')))
		c->at++;
	word.len = c->at - word.at;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_is(word, names[i].name))
			return names[i].value;
	/* Those that play no part for mappings (O_CLOEXEC and the like) need no value. */
	if (!span_starts(word, "O_"))
		c->ok = false;
	return 0;
}

static unsigned long term(struct cursor *c)
{
	skip_blank(c);
	if (accept(c, "-"))
		return -number(c);
	if (c->at < c->end && *c->at >= '0' && *c->at <= '9')
		return number(c);
	return name(c);
}

/* "8192*1024", "21<<MAP_HUGE_SHIFT" */
static unsigned long product(struct cursor *c)
{
	unsigned long n = term(c), shift;

	for (;;) {
		if (accept(c, "*")) {
			n *= term(c);
		} else if (accept(c, "<<")) {
			shift = term(c);
			n = shift < 64 ? n << shift : 0;
		} else {
			return n;
		}
	}
}

bool strace_value(struct span text, unsigned long *out)
{
	struct cursor c = { text.at, text.at + text.len, true };
	unsigned long n = product(&c);

	while (c.ok && accept(&c, "|"))
		n |= product(&c);
	skip_blank(&c);
	/* A descriptor's path stands right behind its number. */
	if (c.ok && c.at < c.end && *c.at == '<' && c.end[-1] != '<')
		c.at = c.end;
	if (!c.ok || c.at != c.end)
		return false;
	*out = n;
	return true;
}
