/* SPDX-License-Identifier: MIT */
/* Growing, shrinking and moving mappings. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define remap(state, from, old, new, flags, to)                                                 \
	strip_do(state, DIFF_MREMAP, PG(from), PAGES(old), PAGES(new), flags, PG(to))

/*   |wwww|  ->  |ww|   */
static void shrinks(void **state)
{
	strip_build(state, "|wwww|");
	assert_int_equal(remap(state, 0, 4, 2, 0, 0), (long)PG(0));
	strip_is(state, "|ww|  ");
}

/*   |ww|..  ->  |wwww|   */
static void grows_in_place(void **state)
{
	strip_build(state, "|WW|  ");
	assert_int_equal(remap(state, 0, 2, 4, 0, 0), (long)PG(0));
	strip_is(state, "|WWWW|");
}

/* The room above is taken, and the mapping may not move. */
static void cannot_grow_in_place(void **state)
{
	strip_build(state, "|ww|r|");
	assert_int_equal(remap(state, 0, 2, 4, 0, 0), -ENOMEM);
	strip_is(state, "|ww|r|");
}

/* Growing up to the next mapping of the same kind joins it. */
static void grows_into_a_neighbour(void **state)
{
	strip_build(state, "|ww| |ww|");
	assert_int_equal(remap(state, 0, 2, 3, 0, 0), (long)PG(0));
	strip_is(state, "|wwwww|");
}

/* Only its end can grow: what is asked for must reach the end of the mapping. */
static void middle_cannot_grow_in_place(void **state)
{
	strip_build(state, "|wwww|    ");
	assert_int_equal(remap(state, 1, 2, 4, 0, 0), -ENOMEM);
	strip_is(state, "|wwww|    ");
}

/*   |WWWW|......  ->  |W|  |W| |WW|   */
static void middle_moves(void **state)
{
	strip_build(state, "|WWWW|      ");
	assert_int_equal(strip_move(state, 1, 2, 6), (long)PG(6));
	strip_is(state, "|W|  |W|  |WW|  ");
}

/* What lay at the destination goes.
 *
 *   before  |ww|  |rrrr|
 *   move    |---->|
 *   after           |r|ww|r|
 */
static void fixed_replaces(void **state)
{
	strip_build(state, "|ww|  |rrrr|");
	assert_int_equal(strip_move(state, 0, 2, 5), (long)PG(5));
	strip_is(state, "    |r|ww|r|");
}

/* Moved to where it came from: one mapping again. */
static void there_and_back(void **state)
{
	strip_build(state, "|WWWW|  ");
	strip_move(state, 2, 2, 10);
	strip_move(state, 10, 2, 2);
	strip_is(state, "|WWWW|  ");
}

/* Overlap is refused. */
static void overlap(void **state)
{
	strip_build(state, "|wwww|");
	assert_int_equal(strip_move(state, 0, 2, 1), -EINVAL);
	assert_int_equal(strip_move(state, 0, 2, 0), -EINVAL);
	strip_is(state, "|wwww|");
}

/* The old place stays mapped and loses its pages. */
static void dontunmap(void **state)
{
	strip_build(state, "|WW|    ");
	assert_int_equal(remap(state, 0, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, 4),
			 (long)PG(4));
	strip_do(state, DIFF_READ, PG(0));
	strip_do(state, DIFF_READ, PG(4));
	assert_int_equal(remap(state, 4, 2, 3, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0), -EINVAL);
}

/* An old length of 0 makes a second mapping of shared memory. */
static void duplicates_shared(void **state)
{
	strip_build(state, "|ssss|      ");
	assert_int_equal(remap(state, 1, 0, 2, MREMAP_MAYMOVE | MREMAP_FIXED, 6), (long)PG(6));
	strip_is(state, "|ssss|  |ss|  ");
}

/* ... and is refused for private memory. */
static void duplicates_no_private(void **state)
{
	strip_build(state, "|wwww|    ");
	assert_int_equal(remap(state, 1, 0, 2, MREMAP_MAYMOVE | MREMAP_FIXED, 6), -EINVAL);
	strip_is(state, "|wwww|    ");
}

static void bad_arguments(void **state)
{
	strip_build(state, "|ww|  |ww|");
	assert_int_equal(remap(state, 0, 2, 0, MREMAP_MAYMOVE, 0), -EINVAL);
	assert_int_equal(remap(state, 0, 2, 2, 8, 0), -EINVAL);
	assert_int_equal(remap(state, 0, 2, 2, MREMAP_FIXED, 8), -EINVAL);
	assert_int_equal(remap(state, 0, 2, 4, MREMAP_DONTUNMAP, 8), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MREMAP, PG(0) + 1, PAGES(2), PAGES(2), 1), -EINVAL);
	assert_int_equal(remap(state, 2, 2, 4, MREMAP_MAYMOVE, 0), -EFAULT);
	assert_int_equal(remap(state, 0, 4, 8, MREMAP_MAYMOVE, 0), -EFAULT);
	assert_int_equal(strip_do(state, DIFF_MREMAP, PG(0), PAGES(2), TRACEE_TASK_SIZE, 1), -ENOMEM);
	strip_is(state, "|ww|  |ww|");
}

/* A sealed mapping stays where it is. */
static void sealed(void **state)
{
	strip_build(state, "|mmmm|  ");
	assert_int_equal(strip_move(state, 0, 2, 8), -EPERM);
	assert_int_equal(remap(state, 0, 4, 2, 0, 0), -EPERM);
	assert_int_equal(remap(state, 0, 4, 6, 0, 0), -EPERM);
	strip_is(state, "|mmmm|  ");
}

/* Nothing is asked of a range that stays as it is, but that its first page is mapped. */
static void same_size_over_a_hole(void **state)
{
	strip_build(state, "|ww|  |rr|");
	assert_int_equal(remap(state, 0, 6, 6, 0, 0), (long)PG(0));
	assert_int_equal(remap(state, 1, 6, 6, MREMAP_MAYMOVE, 0), (long)PG(1));
	assert_int_equal(remap(state, 2, 2, 2, MREMAP_MAYMOVE, 0), -EFAULT);
	strip_is(state, "|ww|  |rr|");
}

/* Shrinking takes other mappings along.
 *
 *   before  |ww|  |rrrr|
 *   remap   |-------|      to one page
 *   after   |w|     |rr|
 */
static void shrinks_over_others(void **state)
{
	strip_build(state, "|ww|  |rrrr|");
	assert_int_equal(remap(state, 0, 6, 1, 0, 0), (long)PG(0));
	strip_is(state, "|w|     |rr|");
	assert_int_equal(strip_do(state, DIFF_MREMAP, PG(0), TRACEE_TASK_SIZE, PAGES(1), 0), -EINVAL);
}

/* What is shrunk and moved at once must fit into its first mapping; if not, nothing has changed. */
static void shrinking_move_of_several(void **state)
{
	strip_build(state, "|ww|rr|  |nn|");
	assert_int_equal(remap(state, 1, 3, 2, MREMAP_MAYMOVE | MREMAP_FIXED, 6), -EFAULT);
	strip_is(state, "|ww|rr|  |nn|");
}

/* A move without a change of size takes several mappings along, and the hole between them.
 *
 *   before  |ww|rr|  |xx|
 *   move     |--------|    -> 20
 *   after   |w|        |x|        |w|rr|  |x|
 */
static void several_move(void **state)
{
	strip_build(state, "|ww|rr|  |xx|");
	assert_int_equal(strip_move(state, 1, 6, 11), (long)PG(11));
	strip_is(state, "|w|      |x|   |w|rr|  |x|");
}

/* Private /dev/zero moves alone only; what was moved before it stays moved. */
static void zero_moves_alone(void **state)
{
	strip_build(state, "|ww|zz|");
	assert_int_equal(strip_move(state, 0, 4, 10), -EFAULT);
	strip_is(state, "  |zz|      |ww|  ");
	assert_int_equal(strip_move(state, 2, 2, 12), (long)PG(12));
	strip_is(state, "          |ww|zz|");
}

/* Of a locked mapping that stays behind, the pages stay counted as locked. */
static void dontunmap_locked(void **state)
{
	unsigned long before = strip_counters(state).locked_vm;

	strip_build(state, "|KKKK|    ");
	remap(state, 1, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, 6);
	strip_is(state, "|WWWW|  |KK|");
	assert_int_equal(strip_counters(state).locked_vm, before + 6);
	strip_unmap(state, 0, 8);
	assert_int_equal(strip_counters(state).locked_vm, before + 4);
}

/* Partial effect: what is found wrong after the destination was cleared leaves it so.
 *
 *   before  |WW|  |rrrr|    and no room for more
 *   move    |---->|         leaving the source mapped
 *   after   |WW|    |rr|
 */
static void destination_is_gone(void **state)
{
	strip_build(state, "|WW|  |rrrr|");
	strip_do(state, DIFF_RLIMIT, MM_RLIMIT_AS, PAGES(strip_counters(state).total_vm - 3));
	assert_int_equal(remap(state, 0, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, 4), -ENOMEM);
	strip_is(state, "|WW|    |rr|");
}

/* Counters: what moves is counted once. */
static void counters(void **state)
{
	struct mm_counters before, after;

	strip_build(state, "|kk|      ");
	before = strip_counters(state);
	remap(state, 0, 2, 4, MREMAP_MAYMOVE | MREMAP_FIXED, 4);
	strip_is(state, "    |kkkk|");
	after = strip_counters(state);
	assert_int_equal(after.total_vm, before.total_vm + 2);
	assert_int_equal(after.locked_vm, before.locked_vm + 2);
	assert_int_equal(after.accounted, before.accounted + 2);
	assert_int_equal(after.map_count, before.map_count);
}

/* Want of memory leaves nothing behind, also where the gaps between those that move leave parts of the destination.
 *
 *   before  |r|  |r|  ...   |wwwwwwwwwwww|
 *   after   the same, whichever allocation fails
 */
static void several_move_or_none(void **state)
{
	struct mm_counters before, now;
	long ret = -ENOMEM;
	unsigned long i;

	for (i = 0; i < 12; i++)
		strip_map(state, 2 * i, 1, 'r');
	strip_map(state, 40, 24, 'w');
	before = strip_counters(state);
	for (i = 1; ret == -ENOMEM; i++) {
		platform_fail_nth(strip_platform(state), (long)i);
		ret = strip_move(state, 0, 24, 40);
		platform_fail_nth(strip_platform(state), 0);
		now = strip_counters(state);
		if (ret == -ENOMEM)
			assert_memory_equal(&now, &before, sizeof(now));
	}
	assert_int_equal(ret, (long)PG(40));
	assert_int_equal(now.map_count, 24);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(shrinks),
		strip_test(grows_in_place),
		strip_test(cannot_grow_in_place),
		strip_test(grows_into_a_neighbour),
		strip_test(middle_cannot_grow_in_place),
		strip_test(middle_moves),
		strip_test(fixed_replaces),
		strip_test(there_and_back),
		strip_test(overlap),
		strip_test(dontunmap),
		strip_test(duplicates_shared),
		strip_test(duplicates_no_private),
		strip_test(bad_arguments),
		strip_test(sealed),
		strip_test(counters),
		strip_test(destination_is_gone),
		strip_test(same_size_over_a_hole),
		strip_test(shrinks_over_others),
		strip_test(shrinking_move_of_several),
		strip_test(several_move),
		strip_test(zero_moves_alone),
		strip_test(dontunmap_locked),
		strip_test_model(several_move_or_none),
	};

	return cmocka_run_group_tests_name("mremap", tests, NULL, NULL);
}
