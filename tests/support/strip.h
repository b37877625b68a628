/* SPDX-License-Identifier: MIT */
/*
 * Address spaces drawn as strips: one letter a page, a bar at each edge of a mapping.
 *
 *   "|wwww|rr|  |n|"    two mappings that touch, a hole of two pages, another mapping
 *
 * Letters, by what counts first:
 *   m sealed   g grows down   k locked   c not for a child   p emptied in a child
 *   s shared   d private, of a file on disk   z private, of /dev/zero
 *   x rwx   e r-x   w rw-   r r--   n none   o other
 * A capital: the mapping has an anon_vma, that is, it was written to.
 *
 * Calls go to the model alone, or to the model and the kernel side by side: a
 * source that is compiled with STRIP_KERNEL has its drawings proven by the kernel.
 */
#ifndef SAMARA_TESTS_STRIP_H
#define SAMARA_TESTS_STRIP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "diff.h"

/** Where page 0 of every strip lies. */
#define STRIP_BASE DIFF_WINDOW
#define PG(n) (STRIP_BASE + (unsigned long)(n) * DIFF_PAGE)
#define PAGES(n) ((unsigned long)(n) * DIFF_PAGE)
#define STRIP_MAX 256

/* cmocka fixtures; *state is a struct diff. Taking down asserts that nothing is left. */
int strip_setup_model(void **state);
int strip_setup_both(void **state);
/* The same without the right to lock beyond the limit. */
int strip_setup_plain_model(void **state);
int strip_setup_plain_both(void **state);
/* With huge pages, as the model always has. */
int strip_setup_huge_both(void **state);
int strip_teardown(void **state);

#ifdef STRIP_KERNEL
#define strip_setup strip_setup_both
#define strip_setup_plain strip_setup_plain_both
#define strip_setup_huge strip_setup_huge_both
#else
#define strip_setup strip_setup_model
#define strip_setup_plain strip_setup_plain_model
#define strip_setup_huge strip_setup_model
#endif

#define strip_test(f) cmocka_unit_test_setup_teardown(f, strip_setup, strip_teardown)

#define strip_test_plain(f) cmocka_unit_test_setup_teardown(f, strip_setup_plain, strip_teardown)
#define strip_test_huge(f) cmocka_unit_test_setup_teardown(f, strip_setup_huge, strip_teardown)
/** A test in which the model's memory fails, or that looks inside: never beside the kernel. */
#define strip_test_model(f) cmocka_unit_test_setup_teardown(f, strip_setup_model, strip_teardown)

/** The model of the first process. */
static inline struct mm_struct *strip_mm(void **state)
{
	return ((struct diff *)*state)->proc[0].mm;
}

/** strip_build - map what is drawn, from page 0; asserts that it came out so. */
void strip_build(void **state, const char *drawing);

/** strip_draw - the mappings of [page 0, page @pages) of a process's model. */
void strip_draw(struct mm_struct *mm, unsigned long pages, char out[STRIP_MAX]);

void strip_assert_at(void **state, int proc, const char *drawing, const char *file, int line);
/** Asserts what is mapped now. */
#define strip_is(state, drawing) strip_assert_at(state, 0, drawing, __FILE__, __LINE__)
#define strip_is_in(state, proc, drawing) strip_assert_at(state, proc, drawing, __FILE__, __LINE__)

/**
 * strip_call - one call of process @proc; fails the test where kernel and model differ
 *
 * Return: the result, or a negative errno.
 */
long strip_call(void **state, int proc, enum diff_kind kind, const unsigned long arg[6], enum diff_file file,
		const char *source, int line);

#define strip_do(state, kind, ...)                                                              \
	strip_call(state, 0, kind, (const unsigned long[6]){ __VA_ARGS__ }, DIFF_NO_FILE, __FILE__, __LINE__)
#define strip_do_in(state, proc, kind, ...)                                                                  \
	strip_call(state, proc, kind, (const unsigned long[6]){__VA_ARGS__}, DIFF_NO_FILE, __FILE__, __LINE__)
#define strip_do_file(state, file, kind, ...)                                                   \
	strip_call(state, 0, kind, (const unsigned long[6]){ __VA_ARGS__ }, file, __FILE__, __LINE__)

/* The usual calls, in pages. */

/** Map @count pages at page @at, as @letter says. */
long strip_map(void **state, unsigned long at, unsigned long count, char letter);
long strip_map_in(void **state, int proc, unsigned long at, unsigned long count, char letter);
#define strip_unmap(state, at, count) strip_do(state, DIFF_MUNMAP, PG(at), PAGES(count))
/** The protection that @letter stands for. */
unsigned long strip_prot(char letter);
#define strip_protect(state, at, count, letter)                                                 \
	strip_do(state, DIFF_MPROTECT, PG(at), PAGES(count), strip_prot(letter))
#define strip_protect_in(state, proc, at, count, letter)                                        \
	strip_do_in(state, proc, DIFF_MPROTECT, PG(at), PAGES(count), strip_prot(letter))
#define strip_advise(state, at, count, advice)                                                  \
	strip_do(state, DIFF_MADVISE, PG(at), PAGES(count), advice)
#define strip_write(state, at) strip_do(state, DIFF_WRITE, PG(at))
#define strip_write_in(state, proc, at) strip_do_in(state, proc, DIFF_WRITE, PG(at))
#define strip_read(state, at) strip_do(state, DIFF_READ, PG(at))
/** Move @count pages from page @from to page @to. */
#define strip_move(state, from, count, to)                                                      \
	strip_do(state, DIFF_MREMAP, PG(from), PAGES(count), PAGES(count), 3 /* MAYMOVE, FIXED */, PG(to))
#define strip_fork(state) strip_do(state, DIFF_FORK, 0)

/** Anonymous mmap at a fixed place with flags of one's own. */
#define strip_mmap(state, at, count, prot, flags)                                               \
	strip_do(state, DIFF_MMAP, PG(at), PAGES(count), prot, (flags) | 0x10 /* FIXED */)

/** Counters of the first process. */
struct mm_counters strip_counters(void **state);
/** Attempts to allocate so far. */
unsigned long strip_attempts(void **state);
/** The protection key of the mapping at page @at. */
int strip_key(void **state, unsigned long at);
/** The model's platform. */
struct platform *strip_platform(void **state);

#endif
