/* SPDX-License-Identifier: MIT */
/* Strips: see strip.h. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static int setup(void **state, bool kernel, bool drop_caps)
{
	struct mm_context_options opt = { .size = sizeof(opt), .pkeys = 16, .anon_names = true,
					  .huge_pages = DIFF_POOL_PAGES };
	struct diff *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -1;
	err = kernel ? diff_open(d, drop_caps) : diff_open_model(d, &opt, NULL);
	d->flags_every = 1;
	*state = d;
	return err;
}

int strip_setup_model(void **state)
{
	return setup(state, false, false);
}

int strip_setup_both(void **state)
{
	return setup(state, true, false);
}

/* On the kernel with a pool of huge pages, where one can be had. */
int strip_setup_huge_both(void **state)
{
	struct diff *d = calloc(1, sizeof(*d));

	*state = d;
	return d ? diff_open_huge(d, false) : -1;
}

int strip_setup_plain_model(void **state)
{
	return setup(state, false, true);
}

int strip_setup_plain_both(void **state)
{
	return setup(state, true, true);
}

int strip_teardown(void **state)
{
	struct diff *d = *state;
	long left = diff_close(d);

	if (left)
		printf("%ld objects or promised pages are left\n", left);
	free(d);
	return left ? -1 : 0;
}

unsigned long strip_prot(char letter)
{
	switch (tolower((unsigned char)letter)) {
	case 'x':
		return PROT_READ | PROT_WRITE | PROT_EXEC;
	case 'e':
		return PROT_READ | PROT_EXEC;
	case 'r':
		return PROT_READ;
	case 'n':
		return PROT_NONE;
	default:
		return PROT_READ | PROT_WRITE;
	}
}

/* The letters that a flag stands behind, the first that applies. */
static const struct {
	unsigned long flag;
	char letter;
} flag_letters[] = {
	{ MM_VM_SEALED, 'm' },	 { MM_VM_GROWSDOWN, 'g' },  { MM_VM_LOCKED, 'k' },
	{ MM_VM_DONTCOPY, 'c' }, { MM_VM_WIPEONFORK, 'p' }, { MM_VM_MAYSHARE, 's' },
};

static char prot_letter(unsigned long flags)
{
	switch (flags & (MM_VM_READ | MM_VM_WRITE | MM_VM_EXEC)) {
	case MM_VM_READ | MM_VM_WRITE | MM_VM_EXEC:
		return 'x';
	case MM_VM_READ | MM_VM_EXEC:
		return 'e';
	case MM_VM_READ | MM_VM_WRITE:
		return 'w';
	case MM_VM_READ:
		return 'r';
	case 0:
		return 'n';
	default:
		return 'o';
	}
}

static char letter_of(const struct mm_vma_info *vma)
{
	char letter = 0;
	size_t i;

	for (i = 0; i < sizeof(flag_letters) / sizeof(flag_letters[0]) && !letter; i++)
		if (vma->flags & flag_letters[i].flag)
			letter = flag_letters[i].letter;
	if (!letter && vma->ino)
		letter = vma->dev_major == 0 ? 'z' : 'd';
	if (!letter)
		letter = prot_letter(vma->flags);
	return vma->has_anon_vma ? (char)toupper((unsigned char)letter) : letter;
}

void strip_draw(struct mm_struct *mm, unsigned long pages, char out[STRIP_MAX])
{
	unsigned long at = 0, end = 0;
	struct mm_vma_info vma;
	char *p = out;
	bool inside = false;

	while (at < pages && p < out + STRIP_MAX - 4) {
		bool any = !mm_next_vma(mm, PG(at), &vma) && vma.start <= PG(at);

		if (any || inside)
			*p++ = '|';
		inside = any;
		if (!any) {
			*p++ = ' ';
			at++;
			continue;
		}
		end = (vma.end - STRIP_BASE) / DIFF_PAGE;
		for (; at < end && at < pages && p < out + STRIP_MAX - 4; at++)
			*p++ = letter_of(&vma);
	}
	if (inside)
		*p++ = '|';
	*p = 0;
}

static unsigned long drawn_pages(const char *drawing)
{
	unsigned long n = 0;

	for (; *drawing; drawing++)
		n += *drawing != '|';
	return n;
}

void strip_assert_at(void **state, int proc, const char *drawing, const char *file, int line)
{
	struct diff *d = *state;
	char is[STRIP_MAX];

	strip_draw(d->proc[proc].mm, drawn_pages(drawing), is);
	if (strcmp(is, drawing)) {
		printf("%s:%d: the map is not as drawn\n  drawn %s\n  is    %s\n", file, line, drawing, is);
		_fail(file, line);
	}
}

long strip_call(void **state, int proc, enum diff_kind kind, const unsigned long arg[6], enum diff_file file,
		const char *source, int line)
{
	struct diff_op op = { .kind = (uint8_t)kind, .proc = (uint8_t)proc, .file = (uint8_t)file };
	struct diff *d = *state;

	memcpy(op.arg, arg, sizeof(op.arg));
	/* As a program would write it: a mapping without a file is anonymous. */
	if (kind == DIFF_MMAP && file == DIFF_NO_FILE)
		op.arg[3] |= MAP_ANONYMOUS | (op.arg[3] & MAP_TYPE ? 0 : MAP_PRIVATE);
	if (!diff_step(d, &op)) {
		printf("%s:%d: kernel and model differ after this call: %s\n", source, line, d->why);
		diff_print_op(stdout, &op);
		diff_print_maps(stdout, d);
		_fail(source, line);
	}
	return d->model_result;
}

/* What follows the mmap of a letter. */
static long dress(void **state, int proc, unsigned long at, unsigned long count, char letter)
{
	const unsigned long a = PG(at), n = PAGES(count);

	switch (tolower((unsigned char)letter)) {
	case 'k':
		return strip_do_in(state, proc, DIFF_MLOCK, a, n, 1 /* MLOCK_ONFAULT */);
	case 'c':
		return strip_do_in(state, proc, DIFF_MADVISE, a, n, MADV_DONTFORK);
	case 'p':
		return strip_do_in(state, proc, DIFF_MADVISE, a, n, MADV_WIPEONFORK);
	case 'm':
		return strip_do_in(state, proc, DIFF_MSEAL, a, n, 0);
	default:
		return 0;
	}
}

static void read_letter(char letter, unsigned long at, unsigned long *flags, enum diff_file *file,
			unsigned long *offset)
{
	*flags = MAP_FIXED | MAP_PRIVATE;
	*file = DIFF_NO_FILE;
	*offset = 0;
	switch (tolower((unsigned char)letter)) {
	case 'g':
		*flags |= MAP_GROWSDOWN;
		break;
	case 's':
		*flags = MAP_FIXED | MAP_SHARED;
		break;
	case 'd':
		*file = DIFF_DISK;
		*offset = PAGES(at);
		break;
	case 'z':
		*file = DIFF_ZERO;
		break;
	default:
		break;
	}
}

long strip_map_in(void **state, int proc, unsigned long at, unsigned long count, char letter)
{
	unsigned long arg[6] = { PG(at), PAGES(count), strip_prot(letter) };
	enum diff_file file;
	long result;

	read_letter(letter, at, &arg[3], &file, &arg[4]);
	result = strip_call(state, proc, DIFF_MMAP, arg, file, __FILE__, __LINE__);
	return result < 0 ? result : dress(state, proc, at, count, letter) ? -EINVAL : result;
}

long strip_map(void **state, unsigned long at, unsigned long count, char letter)
{
	return strip_map_in(state, 0, at, count, letter);
}

/*
 * A written mapping is made writable, written to, and then given its protection.
 * All are mapped before any is written to, so that neighbours share an anon_vma.
 */
static void fault_in(void **state, unsigned long at, unsigned long count, char letter)
{
	if (!isupper((unsigned char)letter))
		return;
	if (!(strip_prot(letter) & PROT_WRITE))
		strip_protect(state, at, count, 'w');
	strip_write(state, at);
	if (!(strip_prot(letter) & PROT_WRITE))
		strip_protect(state, at, count, letter);
}

static void each_run(void **state, const char *drawing,
		     void (*fn)(void **state, unsigned long at, unsigned long count, char letter))
{
	unsigned long at = 0, count;
	const char *p = drawing;

	while (*p) {
		if (*p == '|' || *p == ' ') {
			at += *p++ == ' ';
			continue;
		}
		for (count = 0; p[count] && p[count] == *p; count++)
			;
		fn(state, at, count, *p);
		at += count;
		p += count;
	}
}

static void map_run(void **state, unsigned long at, unsigned long count, char letter)
{
	assert_true(strip_map(state, at, count, letter) >= 0);
}

void strip_build(void **state, const char *drawing)
{
	each_run(state, drawing, map_run);
	each_run(state, drawing, fault_in);
	strip_is(state, drawing);
}

struct mm_counters strip_counters(void **state)
{
	struct mm_counters c;

	mm_read_counters(strip_mm(state), &c);
	return c;
}

struct platform *strip_platform(void **state)
{
	return mm_context_platform(((struct diff *)*state)->ctx);
}

unsigned long strip_attempts(void **state)
{
	struct platform_stats s;

	platform_read_stats(strip_platform(state), &s);
	return s.attempts;
}

int strip_key(void **state, unsigned long at)
{
	struct mm_vma_info vma;

	assert_int_equal(mm_next_vma(strip_mm(state), PG(at), &vma), 0);
	return (int)((vma.flags & MM_VM_PKEY) >> MM_VM_PKEY_SHIFT);
}
