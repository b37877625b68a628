/* SPDX-License-Identifier: MIT */
/*
 * A6. Which neighbours become one mapping. Small letters were never written to,
 * capitals were (strip.h).
 */
#define _GNU_SOURCE
#include "support/strip.h"

#include <sys/mman.h>

/*
 * Adjacent, differing in protection, written to while adjacent: the anon_vma is
 * shared, so that they always join.
 *
 *   before   |ww|xx|
 *   protect     |ww|
 *   after    |wwww|
 */
static void equal_again_unfaulted_unfaulted(void **state)
{
	strip_build(state, "|ww|xx|");
	strip_protect(state, 2, 2, 'w');
	strip_is(state, "|wwww|");
}

static void equal_again_unfaulted_faulted(void **state)
{
	strip_build(state, "|ww|XX|");
	strip_protect(state, 2, 2, 'w');
	strip_is(state, "|WWWW|");
}

static void equal_again_faulted_unfaulted(void **state)
{
	strip_build(state, "|WW|xx|");
	strip_protect(state, 2, 2, 'w');
	strip_is(state, "|WWWW|");
}

static void equal_again_faulted_faulted(void **state)
{
	strip_build(state, "|WW|XX|");
	strip_protect(state, 2, 2, 'w');
	strip_is(state, "|WWWW|");
}

/*
 * A new mapping fills the hole.
 *
 *   before   |ww|  |ww|
 *   map         |ww|
 *   after    |wwwwww|
 */
static void filled_unfaulted_unfaulted(void **state)
{
	strip_build(state, "|ww|  |ww|");
	strip_map(state, 2, 2, 'w');
	strip_is(state, "|wwwwww|");
}

static void filled_unfaulted_faulted(void **state)
{
	strip_build(state, "|ww|  |WW|");
	strip_map(state, 2, 2, 'w');
	strip_is(state, "|WWWWWW|");
}

static void filled_faulted_unfaulted(void **state)
{
	strip_build(state, "|WW|  |ww|");
	strip_map(state, 2, 2, 'w');
	strip_is(state, "|WWWWWW|");
}

/* Two anon_vmas never join: the middle goes to the left. */
static void filled_faulted_faulted(void **state)
{
	strip_build(state, "|WW|  |WW|");
	strip_map(state, 2, 2, 'w');
	strip_is(state, "|WWWW|WW|");
}

/*
 * An unwritten middle is made equal.
 *
 *   before   |ww|nn|ww|
 *   protect     |ww|
 *   after    |wwwwww|
 */
static void middle_unfaulted_unfaulted(void **state)
{
	strip_build(state, "|ww|nn|ww|");
	strip_protect(state, 2, 2, 'w');
	strip_is(state, "|wwwwww|");
}

static void middle_unfaulted_faulted(void **state)
{
	strip_build(state, "|ww|nn|WW|");
	strip_protect(state, 2, 2, 'w');
	strip_is(state, "|WWWWWW|");
}

static void middle_faulted_unfaulted(void **state)
{
	strip_build(state, "|WW|nn|ww|");
	strip_protect(state, 2, 2, 'w');
	strip_is(state, "|WWWWWW|");
}

static void middle_faulted_faulted(void **state)
{
	strip_build(state, "|WW|nn|WW|");
	strip_protect(state, 2, 2, 'w');
	strip_is(state, "|WWWW|WW|");
}

/*
 * The right one is moved next to the left. What was written to keeps its page
 * offset and does not join.
 *
 *   before   |ww|  |ww|
 *   move        |ww|<--
 *   after    |wwww|
 */
static void moved_unfaulted_unfaulted(void **state)
{
	strip_build(state, "|ww|  |ww|");
	strip_move(state, 4, 2, 2);
	strip_is(state, "|wwww|  ");
}

static void moved_unfaulted_faulted(void **state)
{
	strip_build(state, "|ww|  |WW|");
	strip_move(state, 4, 2, 2);
	strip_is(state, "|ww|WW|  ");
}

static void moved_faulted_unfaulted(void **state)
{
	strip_build(state, "|WW|  |ww|");
	strip_move(state, 4, 2, 2);
	strip_is(state, "|WWWW|  ");
}

static void moved_faulted_faulted(void **state)
{
	strip_build(state, "|WW|  |WW|");
	strip_move(state, 4, 2, 2);
	strip_is(state, "|WW|WW|  ");
}

/*
 * Split by advice, written to apart, made equal again.
 *
 *   before   |wwww|
 *   advise      |cc|
 *   write    one or both
 *   advise      |ww|
 */
static void apart_by_advice(void **state, int left, int right)
{
	strip_build(state, "|wwww|");
	strip_advise(state, 2, 2, MADV_DONTFORK);
	strip_is(state, "|ww|cc|");
	if (left)
		strip_write(state, 0);
	if (right)
		strip_write(state, 2);
	strip_advise(state, 2, 2, MADV_DOFORK);
}

static void advised_unfaulted_faulted(void **state)
{
	apart_by_advice(state, 0, 1);
	strip_is(state, "|WWWW|");
}

static void advised_faulted_unfaulted(void **state)
{
	apart_by_advice(state, 1, 0);
	strip_is(state, "|WWWW|");
}

/* No anon_vma is taken over from a neighbour that differs in more than its protection. */
static void advised_faulted_faulted(void **state)
{
	apart_by_advice(state, 1, 1);
	strip_is(state, "|WW|WW|");
}

/* Split by mprotect, both halves written to while apart, made equal again: one. */
static void split_by_protection_joins(void **state)
{
	strip_build(state, "|wwww|");
	strip_protect(state, 2, 2, 'x');
	strip_write(state, 2);
	strip_write(state, 0);
	strip_is(state, "|WW|XX|");
	strip_protect(state, 2, 2, 'w');
	strip_is(state, "|WWWW|");
}

/*
 * Three neighbours, all written to; then the middle is made equal. The order of
 * the writes decides, and nothing shows it: left, middle, right ends as one.
 */
static void order_left_middle_right(void **state)
{
	strip_build(state, "|ww|xx|ww|");
	strip_write(state, 0);
	strip_write(state, 2);
	strip_write(state, 4);
	strip_protect(state, 2, 2, 'w');
	strip_is(state, "|WWWWWW|");
}

/* ... and left, right, middle as two: the middle took the right one's anon_vma. */
static void order_left_right_middle(void **state)
{
	strip_build(state, "|ww|xx|ww|");
	strip_write(state, 0);
	strip_write(state, 4);
	strip_write(state, 2);
	strip_protect(state, 2, 2, 'w');
	strip_is(state, "|WW|WWWW|");
}

/* In a child, a mapping that was one at the fork is split, and joins again. */
static void child_split_joins(void **state)
{
	strip_build(state, "|WWWW|");
	strip_fork(state);
	strip_protect_in(state, 1, 2, 2, 'r');
	strip_is_in(state, 1, "|WW|RR|");
	strip_protect_in(state, 1, 2, 2, 'w');
	strip_is_in(state, 1, "|WWWW|");
}

/* Two, apart at the fork stay so in the child, though they shared an anon_vma; not in the parent. */
static void child_apart_stays_apart(void **state)
{
	strip_build(state, "|WW|XX|");
	strip_fork(state);
	strip_protect_in(state, 1, 2, 2, 'w');
	strip_is_in(state, 1, "|WW|WW|");
	strip_protect(state, 2, 2, 'w');
	strip_is(state, "|WWWW|");
}

/* In a child, a written mapping does not join an unwritten one on either side. */
static void child_faulted_beside_unfaulted(void **state)
{
	strip_build(state, "|xx|WW|xx|");
	strip_fork(state);
	strip_protect_in(state, 1, 0, 2, 'w');
	strip_protect_in(state, 1, 4, 2, 'w');
	strip_is_in(state, 1, "|ww|WW|ww|");
}

/* In a child, a new mapping does not join what was inherited. */
static void child_new_beside_faulted(void **state)
{
	strip_build(state, "  |WW|  ");
	strip_fork(state);
	strip_map_in(state, 1, 0, 2, 'w');
	strip_map_in(state, 1, 4, 2, 'w');
	strip_is_in(state, 1, "|ww|WW|ww|");
}

/* But one that grows in place joins what it reaches. */
static void child_grows_to_unfaulted(void **state)
{
	strip_build(state, "|WW|  |ww|");
	strip_fork(state);
	strip_do_in(state, 1, DIFF_MREMAP, PG(0), PAGES(2), PAGES(4), 0, 0);
	strip_is_in(state, 1, "|WWWWWW|");
	strip_is(state, "|WW|  |ww|");
}

/* An unwritten one that grows does not join what was inherited. */
static void child_unfaulted_grows(void **state)
{
	strip_build(state, "|ww|  |WW|");
	strip_fork(state);
	strip_do_in(state, 1, DIFF_MREMAP, PG(0), PAGES(2), PAGES(4), 0, 0);
	strip_is_in(state, 1, "|wwww|WW|");
}

/* Two anon_vmas stay apart, however they meet. */
static void child_grows_to_faulted(void **state)
{
	strip_build(state, "|WW|  |WW|");
	strip_fork(state);
	strip_do_in(state, 1, DIFF_MREMAP, PG(0), PAGES(2), PAGES(4), 0, 0);
	strip_is_in(state, 1, "|WWWW|WW|");
}

/* In the parent all is as before the fork. */
static void parent_merges_as_before(void **state)
{
	strip_build(state, "|WW|  |xx|");
	strip_fork(state);
	strip_map(state, 2, 2, 'w');
	strip_protect(state, 4, 2, 'w');
	strip_is(state, "|WWWWWW|");
}

/* Files join where the offset continues, and only there. */
static void files_join_by_offset(void **state)
{
	strip_build(state, "|dd|  |dd|");
	strip_map(state, 2, 2, 'd');
	strip_is(state, "|dddddd|");
	strip_do_file(state, DIFF_DISK, DIFF_MMAP, PG(6), PAGES(2), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_FIXED, PAGES(7));
	strip_is(state, "|dddddd|dd|");
}

/* Two descriptions of one file are two files. */
static void descriptions_stay_apart(void **state)
{
	strip_do_file(state, DIFF_DISK, DIFF_MMAP, PG(0), PAGES(2), PROT_READ, MAP_PRIVATE | MAP_FIXED, 0);
	strip_do_file(state, DIFF_DISK_READ_ONLY, DIFF_MMAP, PG(2), PAGES(2), PROT_READ,
		      MAP_PRIVATE | MAP_FIXED, PAGES(2));
	strip_is(state, "|dd|dd|");
}

/* Each shared anonymous mapping has a file of its own. */
static void shared_anonymous_stays_apart(void **state)
{
	strip_map(state, 0, 2, 's');
	strip_map(state, 2, 2, 's');
	strip_is(state, "|ss|ss|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(equal_again_unfaulted_unfaulted),
		strip_test(equal_again_unfaulted_faulted),
		strip_test(equal_again_faulted_unfaulted),
		strip_test(equal_again_faulted_faulted),
		strip_test(filled_unfaulted_unfaulted),
		strip_test(filled_unfaulted_faulted),
		strip_test(filled_faulted_unfaulted),
		strip_test(filled_faulted_faulted),
		strip_test(middle_unfaulted_unfaulted),
		strip_test(middle_unfaulted_faulted),
		strip_test(middle_faulted_unfaulted),
		strip_test(middle_faulted_faulted),
		strip_test(moved_unfaulted_unfaulted),
		strip_test(moved_unfaulted_faulted),
		strip_test(moved_faulted_unfaulted),
		strip_test(moved_faulted_faulted),
		strip_test(advised_unfaulted_faulted),
		strip_test(advised_faulted_unfaulted),
		strip_test(advised_faulted_faulted),
		strip_test(split_by_protection_joins),
		strip_test(order_left_middle_right),
		strip_test(order_left_right_middle),
		strip_test(child_split_joins),
		strip_test(child_apart_stays_apart),
		strip_test(child_faulted_beside_unfaulted),
		strip_test(child_new_beside_faulted),
		strip_test(child_grows_to_unfaulted),
		strip_test(child_unfaulted_grows),
		strip_test(child_grows_to_faulted),
		strip_test(parent_merges_as_before),
		strip_test(files_join_by_offset),
		strip_test(descriptions_stay_apart),
		strip_test(shared_anonymous_stays_apart),
	};

	return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
