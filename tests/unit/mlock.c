/* SPDX-License-Identifier: MIT */
/* Locking: flags, counters, populating, and the order in which it fails. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

/*   |wwwwww|  ->  |WW|KK|WW|  ->  |WWWWWW|   locking writes to private memory */
static void splits_and_merges(void **state)
{
	strip_build(state, "|WWWWWW|");
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(2), PAGES(2), 0), 0);
	strip_is(state, "|WW|KK|WW|");
	assert_int_equal(strip_counters(state).locked_vm, 2);
	assert_int_equal(strip_do(state, DIFF_MUNLOCK, PG(2), PAGES(2)), 0);
	strip_is(state, "|WWWWWW|");
	assert_int_equal(strip_counters(state).locked_vm, 0);
}

/* Locking populates, and so ties private writable memory to an anon_vma; on fault it does not. */
static void populates(void **state)
{
	strip_build(state, "|ww|  |ww|");
	strip_do(state, DIFF_MLOCK, PG(0), PAGES(2), 0);
	strip_do(state, DIFF_MLOCK, PG(4), PAGES(2), 1);
	strip_is(state, "|KK|  |kk|");
}

/* Partial effect: what lies below a hole is locked. */
static void hole(void **state)
{
	strip_build(state, "|WW|  |WW|");
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), PAGES(6), 0), -ENOMEM);
	strip_is(state, "|KK|  |WW|");
	assert_int_equal(strip_do(state, DIFF_MUNLOCK, PG(0), PAGES(6)), -ENOMEM);
	strip_is(state, "|WW|  |WW|");
}

/* The range is widened to pages. */
static void unaligned(void **state)
{
	strip_build(state, "|WWWW|");
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(1) + 100, PAGES(1), 0), 0);
	strip_is(state, "|W|KK|W|");
}

/* What cannot be touched cannot be populated; it is locked all the same. */
static void inaccessible(void **state)
{
	strip_build(state, "|nn|");
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), PAGES(2), 0), -ENOMEM);
	strip_is(state, "|kk|");
}

static void bad_arguments(void **state)
{
	strip_build(state, "|ww|");
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), PAGES(1), 2), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), ~0UL, 0), 0);
	assert_int_equal(strip_do(state, DIFF_MUNLOCK, PG(0), -PAGES(1)), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), 0, 0), 0);
	assert_int_equal(strip_do(state, DIFF_MLOCKALL, 0), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MLOCKALL, 4), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MLOCKALL, 8), -EINVAL);
	strip_is(state, "|ww|");
}

/* MCL_FUTURE locks what is mapped from then on; munlockall ends that. */
static void future(void **state)
{
	strip_build(state, "|WW|");
	assert_int_equal(strip_do(state, DIFF_MLOCKALL, MCL_FUTURE), 0);
	strip_map(state, 2, 2, 'w');
	strip_is(state, "|WW|KK|");
	assert_int_equal(strip_do(state, DIFF_MUNLOCKALL, 0), 0);
	strip_is(state, "|WW|WW|");
	strip_map(state, 6, 2, 'r');
	strip_is(state, "|WW|WW|  |rr|");
}

/* MCL_CURRENT locks what is there. */
static void current(void **state)
{
	strip_build(state, "|WW|rr|  |nn|");
	assert_int_equal(strip_do(state, DIFF_MLOCKALL, MCL_CURRENT), 0);
	strip_is(state, "|KK|kk|  |kk|");
	assert_int_equal(strip_do(state, DIFF_MUNLOCKALL, 0), 0);
	strip_is(state, "|WW|rr|  |nn|");
	assert_int_equal(strip_counters(state).locked_vm, 0);
}

/* A child locks nothing, now or later. */
static void child(void **state)
{
	strip_build(state, "|KK|");
	strip_do(state, DIFF_MLOCKALL, MCL_FUTURE);
	strip_fork(state);
	strip_is_in(state, 1, "|WW|");
	strip_map_in(state, 1, 4, 2, 'r');
	strip_is_in(state, 1, "|WW|  |rr|");
}

/* Populating ends at memory that nobody may touch; what lies above is locked, and not populated.
 *
 *   before  |ww|nn|xx|
 *   lock    |--------|
 *   after   |KK|kk|kk|
 */
static void populates_up_to_the_inaccessible(void **state)
{
	strip_build(state, "|ww|nn|xx|");
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), PAGES(6), 0), -ENOMEM);
	strip_is(state, "|KK|kk|kk|");
}

/* Nothing, at address 0, is not everything: neither refused for what lies above nor populating it. */
static void nothing_at_zero(void **state)
{
	strip_build(state, "|ww|nn|");
	assert_int_equal(strip_do(state, DIFF_MLOCK, 0, 0, 0), 0);
	assert_int_equal(strip_do(state, DIFF_MLOCK, 0, 0, 1), 0);
	strip_is(state, "|ww|nn|");
}

/* What was locked on fault and then populated by advice has an anon_vma of its own. */
static void advice_populates_on_fault(void **state)
{
	strip_build(state, "|w|kk|");
	assert_int_equal(strip_advise(state, 0, 3, 23 /* POPULATE_WRITE */), 0);
	strip_is(state, "|W|KK|");
	strip_do(state, DIFF_MUNLOCKALL, 0);
	strip_is(state, "|W|WW|");
}

/* The limit is asked before the range is. */
static void limit_before_range(void **state)
{
	strip_build(state, "|WW|");
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), -PAGES(1), 0), -ENOMEM);
	assert_int_equal(strip_do(state, DIFF_MUNLOCK, PG(0), -PAGES(1)), -EINVAL);
}

/* Beyond its limit a process may lock nothing. */
static void limit(void **state)
{
	strip_build(state, "|WWWW|");
	strip_do(state, DIFF_RLIMIT, MM_RLIMIT_MEMLOCK, PAGES(2));
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), PAGES(3), 0), -ENOMEM);
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), PAGES(2), 0), 0);
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), PAGES(2), 0), 0);
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(1), PAGES(2), 0), -ENOMEM);
	strip_is(state, "|KK|WW|");
	strip_do(state, DIFF_RLIMIT, MM_RLIMIT_MEMLOCK, 0);
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(3), PAGES(1), 0), -EPERM);
}

/*
 * Droppable memory is never locked, but populated, with MLOCK_ONFAULT too; where nobody may touch it, that fails.
 *
 *   mlock    |PP|  |nn|
 */
static void mlock_of_droppable(void **state)
{
	strip_mmap(state, 0, 2, PROT_READ | PROT_WRITE, 8);
	strip_mmap(state, 4, 2, PROT_NONE, 8);
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), PAGES(2), 1), 0);
	strip_is(state, "|PP|  |pp|");
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(4), PAGES(2), 0), -ENOMEM);
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(4), PAGES(2), 1), -ENOMEM);
	assert_int_equal(strip_counters(state).locked_vm, 0);
	/* Had the first not been populated, all three would be one. */
	strip_mmap(state, 8, 2, PROT_READ | PROT_WRITE, 8);
	strip_write(state, 8);
	strip_mmap(state, 2, 6, PROT_READ | PROT_WRITE, 8);
	strip_is(state, "|PPPPPPPP|PP|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(splits_and_merges),
		strip_test(populates),
		strip_test(hole),
		strip_test(unaligned),
		strip_test(inaccessible),
		strip_test(bad_arguments),
		strip_test(future),
		strip_test(current),
		strip_test(child),
		strip_test_plain(limit),
		strip_test(populates_up_to_the_inaccessible),
		strip_test(nothing_at_zero),
		strip_test(advice_populates_on_fault),
		strip_test_plain(limit_before_range),
		strip_test(mlock_of_droppable),
	};

	return cmocka_run_group_tests_name("mlock", tests, NULL, NULL);
}
