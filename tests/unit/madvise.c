/* SPDX-License-Identifier: MIT */
/* Advice: which flags it sets, what it refuses, what stays when it fails. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

static unsigned long flags_at(void **state, unsigned long page)
{
	struct mm_vma_info vma;

	assert_int_equal(mm_next_vma(strip_mm(state), PG(page), &vma), 0);
	return vma.flags;
}

/*   |wwwwww|  ->  |ww|cc|ww|  ->  |wwwwww|   */
static void splits_and_merges(void **state)
{
	strip_build(state, "|wwwwww|");
	assert_int_equal(strip_advise(state, 2, 2, MADV_DONTFORK), 0);
	strip_is(state, "|ww|cc|ww|");
	assert_int_equal(strip_advise(state, 2, 2, MADV_DOFORK), 0);
	strip_is(state, "|wwwwww|");
}

static void each_flag(void **state)
{
	static const struct {
		int set, clear;
		unsigned long flag;
	} row[] = {
		{ MADV_RANDOM, MADV_NORMAL, MM_VM_RAND_READ },
		{ MADV_SEQUENTIAL, MADV_NORMAL, MM_VM_SEQ_READ },
		{ MADV_DONTFORK, MADV_DOFORK, MM_VM_DONTCOPY },
		{ MADV_DONTDUMP, MADV_DODUMP, MM_VM_DONTDUMP },
		{ MADV_WIPEONFORK, MADV_KEEPONFORK, MM_VM_WIPEONFORK },
		{ MADV_HUGEPAGE, MADV_NOHUGEPAGE, MM_VM_HUGEPAGE },
		{ MADV_MERGEABLE, MADV_UNMERGEABLE, MM_VM_MERGEABLE },
	};
	unsigned long i;

	strip_build(state, "|ww|");
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(strip_advise(state, 0, 2, row[i].set), 0);
		assert_true(flags_at(state, 0) & row[i].flag);
		assert_int_equal(strip_advise(state, 0, 2, row[i].clear), 0);
		assert_false(flags_at(state, 0) & row[i].flag);
	}
}

/* Partial effect: advice reaches the parts beyond a hole, and the call fails.
 *
 *   before  |ww|  |ww|
 *   advise  |--------|
 *   after   |cc|  |cc|
 */
static void hole(void **state)
{
	strip_build(state, "|ww|  |ww|");
	assert_int_equal(strip_advise(state, 0, 6, MADV_DONTFORK), -ENOMEM);
	strip_is(state, "|cc|  |cc|");
}

/* What the mapping cannot take. */
static void refused(void **state)
{
	strip_build(state, "|ss|dd|kk|");
	assert_int_equal(strip_advise(state, 0, 2, MADV_WIPEONFORK), -EINVAL);
	assert_int_equal(strip_advise(state, 0, 2, MADV_FREE), -EINVAL);
	assert_int_equal(strip_advise(state, 2, 2, MADV_FREE), -EINVAL);
	assert_int_equal(strip_advise(state, 4, 2, MADV_DONTNEED), -EINVAL);
	assert_int_equal(strip_advise(state, 4, 2, MADV_COLD), -EINVAL);
	strip_is(state, "|ss|dd|kk|");
}

static void bad_arguments(void **state)
{
	strip_build(state, "|ww|");
	assert_int_equal(strip_advise(state, 0, 2, 99), -EINVAL);
	assert_int_equal(strip_advise(state, 0, 2, -1), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MADVISE, PG(0) + 1, PAGES(1), MADV_NORMAL), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MADVISE, PG(0), 0, MADV_NORMAL), 0);
	assert_int_equal(strip_do(state, DIFF_MADVISE, PG(0), 0, 99), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MADVISE, PG(0), ~0UL, MADV_NORMAL), -EINVAL);
	strip_is(state, "|ww|");
}

/* DONTNEED keeps the mapping, and its anon_vma with it. */
static void dontneed_keeps(void **state)
{
	strip_build(state, "|WWWW|");
	assert_int_equal(strip_advise(state, 1, 2, MADV_DONTNEED), 0);
	strip_is(state, "|WWWW|");
}

/* Sealed memory that may not be written keeps its contents, for children too. */
static void sealed(void **state)
{
	static const int refused[] = {MADV_DONTNEED, MADV_FREE,       MADV_REMOVE,
				      MADV_DONTFORK, MADV_WIPEONFORK, 24};
	size_t i;

	strip_build(state, "|rr|ww|");
	strip_do(state, DIFF_MSEAL, PG(0), PAGES(4), 0);
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_int_equal(strip_advise(state, 0, 2, refused[i]), -EPERM);
	assert_int_equal(strip_advise(state, 0, 2, MADV_DONTDUMP), 0);
	assert_int_equal(strip_advise(state, 2, 2, MADV_DONTNEED), 0);
}

/* Populating for writing ties the mapping to an anon_vma; for reading it does not. */
static void populate(void **state)
{
	strip_build(state, "|ww|  |ww|");
	assert_int_equal(strip_advise(state, 0, 2, MADV_POPULATE_READ), 0);
	strip_is(state, "|ww|  |ww|");
	assert_int_equal(strip_advise(state, 0, 2, MADV_POPULATE_WRITE), 0);
	strip_is(state, "|WW|  |ww|");
	assert_int_equal(strip_advise(state, 0, 6, MADV_POPULATE_WRITE), -ENOMEM);
}

/* Where it may not be written to, populating fails. */
static void populate_refused(void **state)
{
	strip_build(state, "|rr|nn|");
	assert_int_equal(strip_advise(state, 0, 2, MADV_POPULATE_WRITE), -EINVAL);
	assert_int_equal(strip_advise(state, 2, 2, MADV_POPULATE_READ), -EINVAL);
	strip_is(state, "|rr|nn|");
}

#define GUARD_INSTALL 102
#define GUARD_REMOVE 103

/* Promise 1. Guards tie anonymous memory to an anon_vma, whatever its protection, and leave that of files alone.
 *
 *   before  |WW|  |rr| guarded, then made writable; the hole is filled
 *   after   |WWWW|WW|  anonymous: two anon_vmas
 *           |DDDDDD|   of a file: one
 */
static void guards(void **state)
{
	strip_build(state, "|rr|nn|");
	assert_int_equal(strip_advise(state, 0, 3, GUARD_INSTALL), 0);
	strip_is(state, "|RR|NN|");
	assert_int_equal(strip_advise(state, 0, 3, GUARD_REMOVE), 0);
	strip_unmap(state, 0, 4);
	strip_build(state, "|DD|  |dd|");
	assert_int_equal(strip_advise(state, 4, 1, GUARD_INSTALL), 0);
	strip_is(state, "|DD|  |dd|");
	strip_map(state, 2, 2, 'd');
	strip_is(state, "|DDDDDD|");
}

/* Locked memory takes no guards, but may lose them. */
static void guards_refused(void **state)
{
	strip_build(state, "|kk|ww|  |ww|");
	assert_int_equal(strip_advise(state, 0, 2, GUARD_INSTALL), -EINVAL);
	assert_int_equal(strip_advise(state, 0, 2, GUARD_REMOVE), 0);
	assert_int_equal(strip_advise(state, 2, 6, GUARD_INSTALL), -ENOMEM);
	strip_is(state, "|kk|WW|  |WW|");
}

/* Where huge pages are switched off nothing can be made of them; pages are given up by who may alone. */
static void no_huge_pages(void **state)
{
	struct mm_context_options ctx = { .size = sizeof(ctx), .memory_failure = true };
	struct mm_options opt = { .size = sizeof(opt), .no_huge_pages = true };
	struct diff *d = *state;

	assert_int_equal(diff_close(d), 0);
	assert_int_equal(diff_open_model(d, &ctx, &opt), 0);
	strip_build(state, "|ww|");
	assert_int_equal(strip_advise(state, 0, 2, 25 /* COLLAPSE */), -EINVAL);
	assert_int_equal(strip_advise(state, 4, 2, 25), -ENOMEM);
	assert_int_equal(strip_advise(state, 0, 2, MADV_HWPOISON), -EPERM);
	assert_int_equal(strip_do(state, DIFF_MADVISE, PG(0) + 1, 1, MADV_HWPOISON), -EINVAL);
	assert_int_equal(strip_advise(state, 0, 0, 101 /* SOFT_OFFLINE */), 0);
}

static long advise_pieces(void **state, const struct mm_advice_range *piece, unsigned long count, int advice,
			  unsigned int flags)
{
	size_t done;
	int err = mm_process_madvise(strip_mm(state), piece, count, advice, flags, &done);

	assert_true(!err || !done);
	return err ? err : (long)done;
}

static long advise_two(void **state, struct mm_advice_range first, struct mm_advice_range second)
{
	return advise_pieces(state, (struct mm_advice_range[]){ first, second }, 2, MADV_DONTFORK, 0);
}

/* Promise 1. Observed: process_madvise() tells the bytes of the pieces that come before the first refused.
 *
 *   before  |wwww|  |ww|
 *   advise  the page at 6, 100 bytes at 0, two pages at 3 (one of them a hole), the page at 1
 *   after   |c|ww|c|  |c|w|
 */
static void pieces(void **state)
{
	const struct mm_advice_range piece[] = {
		{ PG(6), PAGES(1) }, { PG(0), 100 }, { PG(3), PAGES(2) }, { PG(1), PAGES(1) },
	};

	strip_build(state, "|wwww|  |ww|");
	assert_int_equal(advise_pieces(state, piece, 4, MADV_DONTFORK, 0), PAGES(1) + 100);
	strip_is(state, "|c|ww|c|  |c|w|");
	assert_int_equal(advise_pieces(state, piece + 2, 2, MADV_DONTFORK, 0), -ENOMEM);
	assert_int_equal(advise_pieces(state, piece, 2, MADV_REMOVE, 0), -EINVAL);
	assert_int_equal(advise_pieces(state, piece, 2, 99, 0), -EINVAL);
	assert_int_equal(advise_pieces(state, piece, 2, MADV_DOFORK, 0), PAGES(1) + 100);
	strip_is(state, "|www|c|  |ww|");
}

/* Promise 1. Observed: lengths first, then addresses, of all pieces; nothing is asked when there are no bytes. */
static void pieces_refused(void **state)
{
	const struct mm_advice_range good = { PG(0), PAGES(1) }, no_bytes = { PG(0) + 1, 0 };
	const struct mm_advice_range beyond = { TRACEE_TASK_SIZE - PAGES(1), PAGES(1) + 1 };
	const struct mm_advice_range top = { TRACEE_TASK_SIZE, 0 }, negative = { PG(0), ~0UL };
	const struct mm_advice_range unaligned = { PG(0) + 1, 10 }, large = { PG(0), 1UL << 40 };
	static struct mm_advice_range many[1025];

	strip_build(state, "|ww|");
	assert_int_equal(advise_pieces(state, &good, 1, MADV_DONTFORK, 1), -EINVAL);
	assert_int_equal(advise_pieces(state, many, 1025, MADV_DONTFORK, 0), -EINVAL);
	assert_int_equal(advise_pieces(state, many, 1024, 99, 0), 0);
	assert_int_equal(advise_pieces(state, NULL, 0, 99, 0), 0);
	assert_int_equal(advise_pieces(state, &no_bytes, 1, 99, 0), 0);
	assert_int_equal(advise_pieces(state, &top, 1, MADV_DONTFORK, 0), 0);
	assert_int_equal(advise_pieces(state, &beyond, 1, 99, 0), -EFAULT);
	assert_int_equal(advise_two(state, good, beyond), -EFAULT);
	assert_int_equal(advise_two(state, beyond, negative), -EINVAL);
	assert_int_equal(advise_pieces(state, &large, 1, MADV_COLD, 0), -ENOMEM);
	strip_is(state, "|ww|");
	assert_int_equal(advise_two(state, no_bytes, good), -EINVAL);
	assert_int_equal(advise_two(state, no_bytes, no_bytes), 0);
	strip_is(state, "|ww|");
	assert_int_equal(advise_two(state, good, no_bytes), PAGES(1));
	assert_int_equal(advise_two(state, (struct mm_advice_range){ PG(1), 0 }, unaligned), -EINVAL);
	assert_int_equal(advise_two(state, good, unaligned), PAGES(1));
	strip_is(state, "|c|w|");
}

#define BOUND 0x7ffff000L
#define FAR 0x300000000UL

/* Promise 1. Observed: of 3 GiB, two less a page are advised; what comes after may be anything but outside. */
static void pieces_beyond_the_bound(void **state)
{
	struct mm_mmap_args args = { .addr = FAR, .len = 3UL << 30,
				     .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE };
	const struct mm_advice_range all = { FAR, 3UL << 30 }, unaligned = { PG(0) + 1, 10 }, beyond = { ~0UL, 1 };
	const struct mm_advice_range half = { FAR, 1UL << 30 };
	unsigned long out;
	struct mm_vma_info vma;

	assert_int_equal(mm_mmap(strip_mm(state), &args, &out), 0);
	assert_int_equal(advise_pieces(state, &all, 1, MADV_DONTFORK, 0), BOUND);
	assert_int_equal(mm_next_vma(strip_mm(state), FAR, &vma), 0);
	assert_int_equal(vma.end - vma.start, BOUND);
	assert_int_equal(advise_two(state, all, unaligned), BOUND);
	assert_int_equal(advise_two(state, half, all), BOUND);
	assert_int_equal(advise_two(state, all, beyond), -EFAULT);
	assert_int_equal(mm_munmap(strip_mm(state), FAR, 3UL << 30), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(splits_and_merges),
		strip_test(each_flag),
		strip_test(hole),
		strip_test(refused),
		strip_test(bad_arguments),
		strip_test(dontneed_keeps),
		strip_test(sealed),
		strip_test(populate),
		strip_test(populate_refused),
		strip_test(guards),
		strip_test_plain(guards_refused),
		strip_test_model(no_huge_pages),
		strip_test_model(pieces),
		strip_test_model(pieces_refused),
		strip_test_model(pieces_beyond_the_bound),
	};

	return cmocka_run_group_tests_name("madvise", tests, NULL, NULL);
}
