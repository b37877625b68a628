/* SPDX-License-Identifier: MIT */
/* The heap. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

static unsigned long heap(void **state)
{
	return ((struct diff *)*state)->layout.start_brk;
}

static unsigned long mapped(void **state, unsigned long at)
{
	struct mm_vma_info vma;

	return mm_next_vma(strip_mm(state), at, &vma) || vma.start > at ? 0 : vma.end - at;
}

/* It grows by whole pages, and is one mapping. */
static void grows(void **state)
{
	unsigned long start = heap(state);

	assert_int_equal(strip_do(state, DIFF_BRK, 0), start);
	assert_int_equal(strip_do(state, DIFF_BRK, start + 1), start + 1);
	assert_int_equal(mapped(state, start), PAGES(1));
	assert_int_equal(strip_do(state, DIFF_BRK, start + PAGES(3)), start + PAGES(3));
	assert_int_equal(mapped(state, start), PAGES(3));
}

static void shrinks(void **state)
{
	unsigned long start = heap(state);

	strip_do(state, DIFF_BRK, start + PAGES(4));
	assert_int_equal(strip_do(state, DIFF_BRK, start + PAGES(1) + 1), start + PAGES(1) + 1);
	assert_int_equal(mapped(state, start), PAGES(2));
	assert_int_equal(strip_do(state, DIFF_BRK, start), start);
	assert_int_equal(mapped(state, start), 0);
}

/* Below its beginning, and into another mapping, it stays. */
static void refused(void **state)
{
	unsigned long start = heap(state);

	strip_do(state, DIFF_BRK, start + PAGES(1));
	assert_int_equal(strip_do(state, DIFF_BRK, start - 1), start + PAGES(1));
	strip_do(state, DIFF_MMAP, start + PAGES(4), PAGES(1), PROT_READ, MAP_FIXED);
	assert_int_equal(strip_do(state, DIFF_BRK, start + PAGES(5)), start + PAGES(1));
	assert_int_equal(mapped(state, start), PAGES(1));
}

/* A heap that was unmapped in the middle still shrinks. */
static void with_a_hole(void **state)
{
	unsigned long start = heap(state);

	strip_do(state, DIFF_BRK, start + PAGES(6));
	strip_do(state, DIFF_MUNMAP, start + PAGES(2), PAGES(2));
	strip_do(state, DIFF_BRK, start + PAGES(1));
	strip_do(state, DIFF_BRK, start + PAGES(3));
}

/* A child has the parent's heap. */
static void child(void **state)
{
	unsigned long start = heap(state);

	strip_do(state, DIFF_BRK, start + PAGES(2));
	strip_fork(state);
	assert_int_equal(strip_do_in(state, 1, DIFF_BRK, 0), start + PAGES(2));
	assert_int_equal(strip_do_in(state, 1, DIFF_BRK, start + PAGES(4)), start + PAGES(4));
	assert_int_equal(strip_do(state, DIFF_BRK, 0), start + PAGES(2));
}

/* The limit of data holds for the heap. */
static void limit(void **state)
{
	unsigned long start = heap(state);

	strip_do(state, DIFF_RLIMIT, MM_RLIMIT_DATA, PAGES(4));
	strip_do(state, DIFF_BRK, start + PAGES(4));
	strip_do(state, DIFF_BRK, start + PAGES(5));
	strip_do(state, DIFF_BRK, start + PAGES(9));
	strip_do(state, DIFF_BRK, start + PAGES(1));
}

/* What ends where the heap begins is not part of it. */
static void joins_nothing_below(void **state)
{
	unsigned long start = heap(state);
	struct mm_vma_info vma;

	strip_do(state, DIFF_MMAP, start - PAGES(1), PAGES(1), PROT_READ | PROT_WRITE, MAP_FIXED);
	strip_do(state, DIFF_BRK, start + PAGES(2));
	assert_int_equal(mm_next_vma(strip_mm(state), start, &vma), 0);
	assert_int_equal(vma.start, start);
}

/* A limit of 0 on data holds for the heap alone. */
static void limit_of_zero(void **state)
{
	unsigned long start = heap(state);

	strip_do(state, DIFF_RLIMIT, MM_RLIMIT_DATA, 0);
	assert_int_equal(strip_do(state, DIFF_BRK, start + PAGES(1)), start);
	assert_int_equal(strip_map(state, 0, 4, 'w'), (long)PG(0));
}

/* An end that has no whole page above it is no reason to unmap what is there. */
static void end_at_the_top(void **state)
{
	struct mm_struct *mm = strip_mm(state);

	strip_build(state, "|wwww|");
	assert_int_equal(mm_adopt_brk(mm, 0, ~0UL), 0);
	assert_int_equal(mm_brk(mm, PAGES(1)), ~0UL);
	strip_is(state, "|wwww|");
}

/* Where an address space reaches up to the last page, the page that is kept free above the heap does not wrap. */
static void grows_up_to_the_top(void **state)
{
	struct mm_options opt = { .size = sizeof(opt), .task_size = -PAGES(1), .start_brk = PG(0) };
	struct mm_mmap_args args = { .addr = PG(8), .len = PAGES(1), .prot = PROT_READ,
				     .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED };
	struct diff *d = *state;
	struct mm_struct *mm;
	unsigned long addr;

	assert_int_equal(mm_create(d->ctx, &opt, &mm), 0);
	assert_int_equal(mm_mmap(mm, &args, &addr), 0);
	assert_int_equal(mm_brk(mm, opt.task_size), PG(0));
	assert_int_equal(mm_validate(mm), 0);
	mm_put(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(grows),
		strip_test(shrinks),
		strip_test(refused),
		strip_test(with_a_hole),
		strip_test(child),
		strip_test(limit),
		strip_test(joins_nothing_below),
		strip_test(limit_of_zero),
		strip_test_model(end_at_the_top),
		strip_test_model(grows_up_to_the_top),
	};

	return cmocka_run_group_tests_name("brk", tests, NULL, NULL);
}
