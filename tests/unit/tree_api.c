/* SPDX-License-Identifier: MIT */
/* A4. What each call of the tree promises, on trees small enough to draw. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <samara/maple_tree.h>

#include "tree/tree.h"

#define V(n) xa_mk_value(n)

static struct maple_tree mt;

static int fresh(void **state)
{
	(void)state;
	mt_init_flags(&mt, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
	return 0;
}

static int empty(void **state)
{
	struct platform_stats stats;
	bool valid = mt_is_valid(&mt);

	(void)state;
	mtree_destroy(&mt);
	platform_read_stats(platform_default(), &stats);
	return valid && stats.nodes == 0 && stats.others == 0 ? 0 : -1;
}

static void store(unsigned long first, unsigned long last, unsigned long value)
{
	assert_int_equal(mtree_store_range(&mt, first, last, value ? V(value) : NULL, GFP_KERNEL), 0);
}

static void expect_range(const struct ma_state *mas, void *is, void *should, unsigned long first, unsigned long last)
{
	assert_ptr_equal(is, should);
	assert_int_equal(mas->index, first);
	assert_int_equal(mas->last, last);
}

/*   0    10        20        30   40
 *   |    |AAAAAAAAA|BBBBBBBBB|    |CC
 */
static void abc(void)
{
	store(10, 19, 1);
	store(20, 29, 2);
	store(40, 49, 3);
}

static void an_empty_tree_has_nothing(void **state)
{
	MA_STATE(mas, &mt, 5, 5);
	unsigned long index = 0;

	(void)state;
	assert_true(mtree_empty(&mt));
	assert_int_equal(mt_height(&mt), 0);
	assert_null(mtree_load(&mt, 5));
	assert_null(mtree_erase(&mt, 5));
	expect_range(&mas, mas_walk(&mas), NULL, 0, ULONG_MAX);
	assert_true(mas_is_none(&mas));
	mas_set(&mas, 5);
	assert_null(mas_find(&mas, ULONG_MAX));
	mas_set(&mas, 5);
	assert_null(mas_find_rev(&mas, 0));
	mas_set(&mas, 5);
	assert_null(mas_next(&mas, ULONG_MAX));
	mas_set(&mas, 5);
	assert_null(mas_prev(&mas, 0));
	assert_null(mt_find(&mt, &index, ULONG_MAX));
	assert_int_equal(index, 0);
	assert_null(mt_next(&mt, 0, ULONG_MAX));
	assert_null(mt_prev(&mt, 9, 0));
}

/* An entry at [0, 0] alone needs no node. */
static void a_single_entry_lives_in_the_root(void **state)
{
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	platform_fail_nth(platform_default(), -1);
	store(0, 0, 7);
	platform_fail_nth(platform_default(), 0);
	assert_int_equal(mt_height(&mt), 0);
	assert_ptr_equal(mtree_load(&mt, 0), V(7));
	assert_null(mtree_load(&mt, 1));
	expect_range(&mas, mas_walk(&mas), V(7), 0, 0);
	assert_true(mas_is_ptr(&mas));
	expect_range(&mas, mas_next_range(&mas, ULONG_MAX), NULL, 1, ULONG_MAX);
	mas_set(&mas, 9);
	expect_range(&mas, mas_prev(&mas, 0), V(7), 0, 0);
	mas_set(&mas, 0);
	assert_ptr_equal(mas_find(&mas, ULONG_MAX), V(7));
	assert_null(mas_find(&mas, ULONG_MAX));
	assert_ptr_equal(mtree_erase(&mt, 0), V(7));
	assert_true(mtree_empty(&mt));
}

/* A4. As in Linux, a state that stored to [0, 0] alone begins anew: a find meets what it stored. */
static void a_store_to_the_root_is_met_by_a_find(void **state)
{
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	mas_lock(&mas);
	assert_null(mas_store(&mas, V(1)));
	assert_true(mas_is_start(&mas));
	assert_ptr_equal(mas_store(&mas, V(2)), V(1));
	assert_true(mas_is_start(&mas));
	expect_range(&mas, mas_find(&mas, ULONG_MAX), V(2), 0, 0);
	assert_true(mas_is_ptr(&mas));
	expect_range(&mas, mas_find(&mas, ULONG_MAX), NULL, 1, ULONG_MAX);
	mas_set_range(&mas, 0, 5);
	expect_range(&mas, mas_erase(&mas), V(2), 0, 5);
	assert_true(mas_is_ptr(&mas));
	mas_unlock(&mas);
	assert_true(mtree_empty(&mt));
	mas_set(&mas, 63);
	expect_range(&mas, mas_find_rev(&mas, 47), NULL, 0, 0);
}

/* A pointer whose low bits look like a node's goes into a node. */
static void an_entry_that_looks_internal_is_kept(void **state)
{
	void *odd = (void *)(uintptr_t)0x10002;

	(void)state;
	assert_int_equal(mtree_store(&mt, 0, odd, 0), 0);
	assert_ptr_equal(mtree_load(&mt, 0), odd);
	assert_int_equal(mt_height(&mt), 1);
}

static void bad_arguments_are_refused(void **state)
{
	MA_STATE(mas, &mt, 5, 4);
	unsigned long start = 1;

	(void)state;
	assert_int_equal(mtree_store_range(&mt, 5, 4, V(1), 0), -EINVAL);
	assert_int_equal(mtree_insert_range(&mt, 5, 4, V(1), 0), -EINVAL);
	assert_int_equal(mas_store_gfp(&mas, V(1), 0), -EINVAL);
	assert_int_equal(mtree_store(&mt, 1, (void *)2, 0), -EINVAL);
	assert_int_equal(mtree_insert(&mt, 1, (void *)4094, 0), -EINVAL);
	assert_int_equal(mtree_alloc_range(&mt, &start, (void *)6, 1, 0, 9, 0), -EINVAL);
	assert_int_equal(mtree_alloc_range(&mt, &start, V(1), 0, 0, 9, 0), -EINVAL);
	mas_reset(&mas);
	assert_int_equal(mas_empty_area(&mas, 9, 8, 1), -EINVAL);
	assert_int_equal(mas_empty_area_rev(&mas, 0, 9, 11), -EINVAL);
	assert_int_equal(mas_empty_area(&mas, 0, ULONG_MAX, 0), -EINVAL);
	mt_clear_in_rcu(&mt);
	mt.ma_flags = 0;
	assert_int_equal(mtree_alloc_range(&mt, &start, V(1), 1, 0, 9, 0), -EINVAL);
	assert_int_equal(start, 1);
}

/* XA_ZERO_ENTRY holds a place: the normal interface does not see it, the advanced one does. */
static void a_zero_entry_reserves(void **state)
{
	MA_STATE(mas, &mt, 0, 0);
	unsigned long index = 0;

	(void)state;
	assert_int_equal(mtree_store_range(&mt, 5, 9, XA_ZERO_ENTRY, 0), 0);
	assert_null(mtree_load(&mt, 7));
	assert_null(mt_find(&mt, &index, ULONG_MAX));
	assert_int_equal(mtree_insert(&mt, 7, V(1), 0), -EEXIST);
	assert_ptr_equal(mas_find(&mas, ULONG_MAX), XA_ZERO_ENTRY);
	assert_ptr_equal(mtree_erase(&mt, 6), XA_ZERO_ENTRY);
	assert_true(mtree_empty(&mt));
	assert_int_equal(mtree_alloc_range(&mt, &index, XA_ZERO_ENTRY, 1, 0, 9, 0), -EINVAL);
	assert_int_equal(mtree_alloc_cyclic(&mt, &index, XA_ZERO_ENTRY, 0, 9, &index, 0), -EINVAL);
}

/* The cyclic search of the advanced interface works without gaps being tracked. */
static void a_plain_tree_allocates_by_state(void **state)
{
	struct maple_tree plain = MTREE_INIT(plain, 0);
	MA_STATE(mas, &plain, 0, 0);
	unsigned long start = 0, next = 0;

	(void)state;
	mas_lock(&mas);
	for (unsigned long i = 0; i < 100; i++) {
		assert_int_equal(mas_alloc_cyclic(&mas, &start, V(i), 5, 200, &next, 0), 0);
		assert_int_equal(start, 5 + i);
	}
	mas_unlock(&mas);
	assert_int_equal(mtree_alloc_cyclic(&plain, &start, V(1), 5, 200, &next, 0), -EINVAL);
	mtree_destroy(&plain);
}

static void values_are_carried(void **state)
{
	(void)state;
	assert_int_equal(xa_to_value(V(LONG_MAX)), LONG_MAX);
	assert_true(xa_is_value(V(0)));
	assert_false(xa_is_err(V(3)));
	assert_int_equal(xa_err(MA_ERROR(-ENOMEM)), -ENOMEM);
	assert_int_equal(xa_err(XA_ZERO_ENTRY), 0);
}

/*   before  |AAAAAAAAA|BBBBBBBBB|    |CC
 *   store        |----------------------|
 *   after   |AAAA|NNNNNNNNNNNNNNNNNNNNNN|C
 */
static void a_store_trims_its_neighbours(void **state)
{
	MA_STATE(mas, &mt, 15, 15);

	(void)state;
	abc();
	store(15, 44, 9);
	expect_range(&mas, mas_walk(&mas), V(9), 15, 44);
	expect_range(&mas, mas_prev(&mas, 0), V(1), 10, 14);
	expect_range(&mas, mas_next(&mas, ULONG_MAX), V(9), 15, 44);
	expect_range(&mas, mas_next(&mas, ULONG_MAX), V(3), 45, 49);
}

/*   before  |AAAAAAAAA|
 *   erase      |--|
 *   after   |AA|  |AAA|
 */
static void a_hole_splits_an_entry(void **state)
{
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	store(10, 19, 1);
	store(13, 15, 0);
	expect_range(&mas, mas_find(&mas, ULONG_MAX), V(1), 10, 12);
	expect_range(&mas, mas_next_range(&mas, ULONG_MAX), NULL, 13, 15);
	expect_range(&mas, mas_next_range(&mas, ULONG_MAX), V(1), 16, 19);
}

/* The state is at the gap that the range is part of then. */
static void erase_takes_the_whole_range(void **state)
{
	MA_STATE(mas, &mt, 25, 25);

	(void)state;
	abc();
	expect_range(&mas, mas_erase(&mas), V(2), 20, 39);
	assert_null(mtree_load(&mt, 20));
	assert_ptr_equal(mtree_load(&mt, 19), V(1));
	mas_set(&mas, 25);
	expect_range(&mas, mas_walk(&mas), NULL, 20, 39);
}

static void insert_does_not_overwrite(void **state)
{
	(void)state;
	abc();
	assert_int_equal(mtree_insert_range(&mt, 29, 35, V(9), 0), -EEXIST);
	assert_int_equal(mtree_insert_range(&mt, 35, 40, V(9), 0), -EEXIST);
	assert_int_equal(mtree_insert_range(&mt, 30, 39, V(9), 0), 0);
	assert_int_equal(mtree_insert(&mt, ULONG_MAX, V(8), 0), 0);
	assert_int_equal(mtree_insert(&mt, ULONG_MAX, V(8), 0), -EEXIST);
	assert_ptr_equal(mtree_load(&mt, ULONG_MAX), V(8));
}

static void find_stops_at_its_limit(void **state)
{
	MA_STATE(mas, &mt, 0, 0);
	unsigned long index = 12;

	(void)state;
	abc();
	assert_ptr_equal(mas_find(&mas, 25), V(1));
	assert_ptr_equal(mas_find(&mas, 25), V(2));
	assert_null(mas_find(&mas, 25));
	assert_true(mas_is_active(&mas));
	assert_ptr_equal(mas_find(&mas, 100), V(3));
	assert_null(mas_find(&mas, 100));
	assert_ptr_equal(mas_prev(&mas, 0), V(3));
	assert_ptr_equal(mt_find(&mt, &index, ULONG_MAX), V(1));
	assert_int_equal(index, 20);
	assert_null(mt_find(&mt, &index, 19));
	assert_int_equal(index, 20);
}

static void find_rev_stops_at_its_limit(void **state)
{
	MA_STATE(mas, &mt, 45, 45);

	(void)state;
	abc();
	assert_ptr_equal(mas_find_rev(&mas, 15), V(3));
	assert_ptr_equal(mas_find_rev(&mas, 15), V(2));
	assert_ptr_equal(mas_find_rev(&mas, 15), V(1));
	assert_null(mas_find_rev(&mas, 15));
	assert_true(mas_is_active(&mas));
	assert_null(mas_find_rev(&mas, 10));
	assert_true(mas_is_underflow(&mas));
}

static void next_and_prev_say_where_they_stopped(void **state)
{
	MA_STATE(mas, &mt, 22, 22);

	(void)state;
	abc();
	assert_null(mas_next(&mas, 35));
	assert_true(mas_is_overflow(&mas));
	expect_range(&mas, mas_prev(&mas, 0), V(2), 20, 29);
	expect_range(&mas, mas_prev(&mas, 0), V(1), 10, 19);
	assert_null(mas_prev(&mas, 0));
	assert_true(mas_is_underflow(&mas));
	expect_range(&mas, mas_next(&mas, ULONG_MAX), V(1), 10, 19);
}

static void ranges_are_walked_with_their_gaps(void **state)
{
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	abc();
	expect_range(&mas, mas_walk(&mas), NULL, 0, 9);
	expect_range(&mas, mas_find_range(&mas, ULONG_MAX), V(1), 10, 19);
	expect_range(&mas, mas_find_range(&mas, ULONG_MAX), V(2), 20, 29);
	expect_range(&mas, mas_find_range(&mas, ULONG_MAX), NULL, 30, 39);
	expect_range(&mas, mas_find_range(&mas, ULONG_MAX), V(3), 40, 49);
	expect_range(&mas, mas_next_range(&mas, ULONG_MAX), NULL, 50, ULONG_MAX);
	expect_range(&mas, mas_find_range_rev(&mas, 0), V(3), 40, 49);
	expect_range(&mas, mas_find_range_rev(&mas, 0), NULL, 30, 39);
	expect_range(&mas, mas_prev_range(&mas, 0), V(2), 20, 29);
}

/* A loop may erase what it stands on, and pause. */
static void a_walk_survives_its_own_changes(void **state)
{
	MA_STATE(mas, &mt, 0, 0);
	unsigned long seen = 0;
	void *entry;

	(void)state;
	for (unsigned long i = 0; i < 200; i++)
		store(i * 10, i * 10 + 4, i + 1);
	mas_lock(&mas);
	mas_for_each(&mas, entry, ULONG_MAX) {
		assert_ptr_equal(entry, V(++seen));
		if (seen % 3 == 0)
			assert_ptr_equal(mas_erase(&mas), entry);
		if (seen % 5 == 0) {
			mas_pause(&mas);
			mas_unlock(&mas);
			mas_lock(&mas);
		}
	}
	mas_unlock(&mas);
	assert_int_equal(seen, 200);
	mas_set(&mas, ULONG_MAX);
	mas_for_each_rev(&mas, entry, 0) {
		seen -= seen % 3 == 0;
		assert_ptr_equal(entry, V(seen--));
	}
	assert_int_equal(seen, 0);
}

/* One loop over 400 entries; what lies @ahead of every third is erased through another state before it is come to. */
static void erase_ahead_of_a_loop(unsigned long ahead)
{
	MA_STATE(mas, &mt, 0, 0);
	MA_STATE(other, &mt, 0, 0);
	bool gone[500] = { false };
	unsigned long next = 0;
	void *entry;

	for (unsigned long i = 0; i < 400; i++)
		store(i * 10, i * 10 + 4, i + 1);
	mas_lock(&mas);
	mas_for_each(&mas, entry, ULONG_MAX) {
		while (gone[next])
			next++;
		assert_ptr_equal(entry, V(next + 1));
		assert_int_equal(mas.index, next * 10);
		assert_int_equal(mas.last, next * 10 + 4);
		if (next % 3 == 0 && next + ahead < 400) {
			mas_set(&other, (next + ahead) * 10);
			assert_ptr_equal(mas_erase(&other), V(next + ahead + 1));
			gone[next + ahead] = true;
		} else if (next % 7 == 0) {
			/* A step in the loop's body. */
			entry = mas_next(&mas, ULONG_MAX);
			while (entry && gone[++next])
				;
			assert_ptr_equal(entry, entry ? V(next + 1) : NULL);
		}
		next++;
	}
	mas_unlock(&mas);
	while (next < 400)
		assert_true(gone[next++]);
}

/* W1, W5. A loop knows the leaf ahead before it comes there; what changes in it meanwhile is met as it is then. */
static void a_loop_meets_what_changes_ahead(void **state)
{
	(void)state;
	for (unsigned long ahead = 1; ahead < 40; ahead++) {
		erase_ahead_of_a_loop(ahead);
		mtree_destroy(&mt);
	}
}

/* W3, W4. What comes to reach over the end of the range that a walk stands at is met.
 *
 *   before  |111111111|222222222|    |3333     the state is at 1, then at 3
 *   then    |44444444444444|222|44444444444
 */
static void a_walk_passes_nothing_by(void **state)
{
	MA_STATE(up, &mt, 10, 10);
	MA_STATE(down, &mt, 40, 40);

	(void)state;
	abc();
	expect_range(&up, mas_walk(&up), V(1), 10, 19);
	expect_range(&down, mas_walk(&down), V(3), 40, 49);
	store(5, 24, 4);
	store(30, 59, 4);
	expect_range(&up, mas_next(&up, ULONG_MAX), V(4), 5, 24);
	expect_range(&up, mas_next(&up, ULONG_MAX), V(2), 25, 29);
	expect_range(&down, mas_prev(&down, 0), V(4), 30, 59);
	expect_range(&down, mas_prev(&down, 0), V(2), 25, 29);
	store(20, 59, 5);
	expect_range(&up, mas_find(&up, ULONG_MAX), V(5), 20, 59);
	expect_range(&down, mas_find_rev(&down, 0), V(5), 20, 59);
	assert_null(mas_next(&up, ULONG_MAX));
}

/* W3. An entry that ends where the gap did, at which the state stands, was not met yet. */
static void what_fills_the_end_of_a_gap_is_met(void **state)
{
	MA_STATE(up, &mt, 35, 35);
	MA_STATE(down, &mt, 60, 60);

	(void)state;
	abc();
	expect_range(&up, mas_walk(&up), NULL, 30, 39);
	expect_range(&down, mas_walk(&down), NULL, 50, ULONG_MAX);
	store(35, 39, 4);
	store(50, 54, 5);
	expect_range(&up, mas_next(&up, ULONG_MAX), V(4), 35, 39);
	expect_range(&down, mas_prev(&down, 0), V(5), 50, 54);
}

/* W3. More has come since the state was at [0, 0], which was alone. */
static void a_root_that_has_grown_is_walked(void **state)
{
	MA_STATE(next, &mt, 0, 0);
	MA_STATE(find, &mt, 0, 0);

	(void)state;
	store(0, 0, 1);
	expect_range(&next, mas_walk(&next), V(1), 0, 0);
	expect_range(&find, mas_find(&find, ULONG_MAX), V(1), 0, 0);
	store(7, 9, 2);
	expect_range(&next, mas_next(&next, ULONG_MAX), V(2), 7, 9);
	expect_range(&find, mas_find(&find, ULONG_MAX), V(2), 7, 9);
}

/* H. Neighbouring empty ranges are one, whatever leaves they were erased from. */
static void erased_ranges_are_one_gap(void **state)
{
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	for (unsigned long i = 0; i < 500; i++)
		store(i * 10, i * 10 + 9, i + 1);
	platform_fail_nth(platform_default(), -1);
	for (unsigned long i = 1; i < 499; i++)
		assert_non_null(mtree_erase(&mt, (i * 263 % 499 ? i * 263 % 499 : 1) * 10));
	platform_fail_nth(platform_default(), 0);
	mas_set(&mas, 2500);
	expect_range(&mas, mas_walk(&mas), NULL, 10, 4989);
	expect_range(&mas, mas_prev_range(&mas, 0), V(1), 0, 9);
	expect_range(&mas, mas_next_range(&mas, ULONG_MAX), NULL, 10, 4989);
	expect_range(&mas, mas_next_range(&mas, ULONG_MAX), V(500), 4990, 4999);
	assert_int_equal(mas_empty_area(&mas, 0, 5000, 4980), 0);
	assert_int_equal(mas.index, 10);
}

/* H4. Space comes back when memory allows. */
static void few_entries_need_few_nodes(void **state)
{
	struct platform_stats stats;

	(void)state;
	for (unsigned long i = 0; i < 5000; i++)
		store(i * 10, i * 10 + 4, i + 1);
	for (unsigned long i = 0; i < 5000; i++)
		if (i % 25)
			assert_non_null(mtree_erase(&mt, i * 10));
	samara_rcu_barrier();
	platform_read_stats(platform_default(), &stats);
	if (stats.nodes >= 100)
		printf("%ld nodes for 200 entries\n", stats.nodes);
	assert_true(stats.nodes < 100);
	assert_true(mt_height(&mt) <= 4);
}

/*   |AA|  |BB|        |CC|          gaps of 10, 20 and the rest
 *   0     20          50
 */
static void the_lowest_and_the_highest_gap(void **state)
{
	MA_STATE(mas, &mt, 0, 0);

	(void)state;
	store(0, 9, 1);
	store(20, 29, 2);
	store(50, 59, 3);
	assert_int_equal(mas_empty_area(&mas, 0, ULONG_MAX, 10), 0);
	expect_range(&mas, NULL, NULL, 10, 19);
	assert_int_equal(mas_empty_area(&mas, 0, ULONG_MAX, 11), 0);
	expect_range(&mas, NULL, NULL, 30, 40);
	assert_int_equal(mas_empty_area(&mas, 15, ULONG_MAX, 6), 0);
	expect_range(&mas, NULL, NULL, 30, 35);
	assert_int_equal(mas_empty_area_rev(&mas, 0, 59, 20), 0);
	expect_range(&mas, NULL, NULL, 30, 49);
	assert_int_equal(mas_empty_area_rev(&mas, 0, 45, 5), 0);
	expect_range(&mas, NULL, NULL, 41, 45);
	assert_int_equal(mas_empty_area_rev(&mas, 0, ULONG_MAX, 1), 0);
	expect_range(&mas, NULL, NULL, ULONG_MAX, ULONG_MAX);
	mas_reset(&mas);
	assert_int_equal(mas_empty_area(&mas, 0, 59, 21), -EBUSY);
	mas_reset(&mas);
	assert_int_equal(mas_empty_area_rev(&mas, 20, 29, 1), -EBUSY);
}

static void allocation_takes_gaps(void **state)
{
	unsigned long start = 0;

	(void)state;
	abc();
	assert_int_equal(mtree_alloc_range(&mt, &start, V(7), 10, 0, 99, 0), 0);
	assert_int_equal(start, 0);
	assert_int_equal(mtree_alloc_range(&mt, &start, V(8), 10, 0, 49, 0), 0);
	assert_int_equal(start, 30);
	assert_int_equal(mtree_alloc_range(&mt, &start, V(8), 1, 0, 49, 0), -EBUSY);
	assert_int_equal(mtree_alloc_rrange(&mt, &start, V(9), 10, 0, 99, 0), 0);
	assert_int_equal(start, 90);
	assert_ptr_equal(mtree_load(&mt, 99), V(9));
}

static void cyclic_allocation_wraps(void **state)
{
	unsigned long next = 3, start = 0;

	(void)state;
	assert_int_equal(mtree_alloc_cyclic(&mt, &start, V(1), 1, 4, &next, 0), 0);
	assert_int_equal(start, 3);
	assert_int_equal(mtree_alloc_cyclic(&mt, &start, V(2), 1, 4, &next, 0), 0);
	assert_int_equal(start, 4);
	assert_int_equal(next, 5);
	assert_int_equal(mtree_alloc_cyclic(&mt, &start, V(3), 1, 4, &next, 0), 1);
	assert_int_equal(start, 1);
	assert_int_equal(mtree_alloc_cyclic(&mt, &start, V(4), 1, 4, &next, 0), 0);
	assert_int_equal(start, 2);
	assert_int_equal(mtree_alloc_cyclic(&mt, &start, V(5), 1, 4, &next, 0), -EBUSY);
	next = ULONG_MAX;
	assert_int_equal(mtree_alloc_cyclic(&mt, &start, V(6), 1, ULONG_MAX, &next, 0), 0);
	assert_int_equal(next, 0);
	assert_int_equal(mtree_alloc_cyclic(&mt, &start, V(7), 1, ULONG_MAX, &next, 0), 1);
	assert_int_equal(start, 5);
}

static void a_copy_is_independent(void **state)
{
	struct maple_tree copy = MTREE_INIT(copy, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
	struct maple_tree other = MTREE_INIT(other, 0);

	(void)state;
	abc();
	assert_int_equal(mtree_dup(&mt, &other, 0), -EINVAL);
	assert_int_equal(__mt_dup(&mt, &copy, 0), 0);
	assert_int_equal(mtree_dup(&mt, &copy, 0), -EINVAL);
	assert_ptr_equal(mtree_erase(&mt, 45), V(3));
	assert_ptr_equal(mtree_load(&copy, 45), V(3));
	mt_validate(&copy);
	__mt_destroy(&copy);
	assert_true(mtree_empty(&copy));
}

/* Each flag counts, but the one that says that a cyclic allocation has wrapped. */
static void a_copy_has_the_same_flags(void **state)
{
	struct maple_tree other;

	(void)state;
	abc();
	mt_init_flags(&other, MT_FLAGS_ALLOC_RANGE);
	assert_int_equal(mtree_dup(&mt, &other, 0), -EINVAL);
	assert_true(mtree_empty(&other));
	mt_init_flags(&other, MT_FLAGS_USE_RCU);
	assert_int_equal(mtree_dup(&mt, &other, 0), -EINVAL);
	mt_init_flags(&other, mt.ma_flags | MT_FLAGS_ALLOC_WRAPPED);
	assert_int_equal(mtree_dup(&mt, &other, 0), 0);
	mtree_destroy(&other);
}

static void a_preallocated_store_cannot_fail(void **state)
{
	MA_STATE(mas, &mt, 15, 44);

	(void)state;
	abc();
	mas_lock(&mas);
	assert_int_equal(mas_preallocate(&mas, V(9), GFP_KERNEL), 0);
	platform_fail_nth(platform_default(), -1);
	mas_store_prealloc(&mas, V(9));
	platform_fail_nth(platform_default(), 0);
	assert_true(mas_is_active(&mas));
	mas_unlock(&mas);
	assert_ptr_equal(mtree_load(&mt, 44), V(9));
}

/* A4. A loop may set memory aside, give it back, and go on. */
static void giving_memory_back_keeps_the_place(void **state)
{
	MA_STATE(mas, &mt, 0, 0);
	unsigned long met = 0;
	void *entry;

	(void)state;
	abc();
	mas_lock(&mas);
	mas_for_each(&mas, entry, ULONG_MAX) {
		assert_int_equal(xa_to_value(entry), ++met);
		assert_int_equal(mas_preallocate(&mas, V(9), GFP_KERNEL), 0);
		mas_destroy(&mas);
		assert_true(mas_is_active(&mas));
	}
	mas_unlock(&mas);
	assert_int_equal(met, 3);
}

static void expect_hole(unsigned long first, unsigned long last, unsigned long index, unsigned long end)
{
	MA_STATE(mas, &mt, first, last);

	mas_lock(&mas);
	assert_int_equal(mas_preallocate(&mas, NULL, GFP_KERNEL), 0);
	expect_range(&mas, NULL, NULL, index, end);
	mas_destroy(&mas);
	mas_unlock(&mas);
}

/* A4. Preallocating a hole, the state has the bounds of the gap that will be there. The answers are Linux's. */
static void a_preallocated_hole_is_a_whole_gap(void **state)
{
	(void)state;
	abc();
	expect_hole(12, 14, 12, 14);
	expect_hole(0, 5, 0, 9);
	expect_hole(3, 15, 0, 15);
	expect_hole(10, 15, 0, 15);
	expect_hole(20, 29, 20, 39);
	expect_hole(25, 35, 25, 39);
	expect_hole(10, 49, 0, ULONG_MAX);
	expect_hole(60, 69, 50, ULONG_MAX);
}

static void an_external_lock_is_the_users(void **state)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct maple_tree ext = MTREE_INIT_EXT(ext, MT_FLAGS_LOCK_EXTERN, lock);
	MA_STATE(mas, &ext, 3, 5);

	(void)state;
	assert_true(mt_external_lock(&ext));
	mt_set_external_lock(&ext, &lock);
	pthread_mutex_lock(&lock);
	assert_int_equal(mas_store_gfp(&mas, V(1), 0), 0);
	mas_set(&mas, 4);
	assert_ptr_equal(mas_walk(&mas), V(1));
	__mt_destroy(&ext);
	pthread_mutex_unlock(&lock);
	mt_on_stack(ext);
	assert_null(ext.ma_external_lock);
	assert_true(mt_external_lock(&ext));
}

static void mt_for_each_sees_all(void **state)
{
	unsigned long index = 0, nr = 0;
	void *entry;

	(void)state;
	store(0, 5, 1);
	store(100, ULONG_MAX, 2);
	mt_for_each(&mt, entry, index, ULONG_MAX)
		assert_ptr_equal(entry, V(++nr));
	assert_int_equal(nr, 2);
	assert_int_equal(index, 0);
}

static void dumps_are_printed(void **state)
{
	MA_STATE(mas, &mt, 15, 15);

	(void)state;
	abc();
	mas_walk(&mas);
	mt_dump(&mt, mt_dump_hex);
	mas_dump(&mas);
	for (unsigned long i = 0; i < 40; i++)
		store(i * 10, i * 10, i + 1);
	mt_dump(&mt, mt_dump_dec);
}

static void conditions_are_reported(void **state)
{
	MA_STATE(mas, &mt, 15, 15);

	(void)state;
	abc();
	mas_walk(&mas);
	MT_BUG_ON(&mt, mtree_empty(&mt));
	MAS_BUG_ON(&mas, mas.index != 10);
	assert_false(MT_WARN_ON(&mt, mt_height(&mt) != 1));
	assert_false(MAS_WARN_ON(&mas, mas.last != 19));
	assert_true(MT_WARN_ON(&mt, mtree_load(&mt, 10) == V(1)));
	assert_true(MAS_WARN_ON(&mas, mas_is_active(&mas)));
}

/* Stored in order, leaves and inner nodes are full, but for the last of each level. */
static void entries_lie_densely(void **state)
{
	struct platform_stats stats;

	(void)state;
	for (unsigned long i = 0; i < 6000; i++)
		store(i * 65536, i * 65536 + 4095, i + 1);
	samara_rcu_barrier();
	platform_read_stats(platform_default(), &stats);
	assert_true(stats.nodes <= 6000 / LEAF_CAP * (INNER_CAP + 1) / INNER_CAP + 8);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, empty)
	const struct CMUnitTest tests[] = {
		TEST(an_empty_tree_has_nothing),
		TEST(a_single_entry_lives_in_the_root),
		TEST(a_store_to_the_root_is_met_by_a_find),
		TEST(an_entry_that_looks_internal_is_kept),
		TEST(bad_arguments_are_refused),
		TEST(a_zero_entry_reserves),
		TEST(a_plain_tree_allocates_by_state),
		TEST(values_are_carried),
		TEST(a_store_trims_its_neighbours),
		TEST(a_hole_splits_an_entry),
		TEST(erase_takes_the_whole_range),
		TEST(insert_does_not_overwrite),
		TEST(find_stops_at_its_limit),
		TEST(find_rev_stops_at_its_limit),
		TEST(next_and_prev_say_where_they_stopped),
		TEST(ranges_are_walked_with_their_gaps),
		TEST(a_walk_survives_its_own_changes),
		TEST(a_loop_meets_what_changes_ahead),
		TEST(a_walk_passes_nothing_by),
		TEST(what_fills_the_end_of_a_gap_is_met),
		TEST(a_root_that_has_grown_is_walked),
		TEST(erased_ranges_are_one_gap),
		TEST(few_entries_need_few_nodes),
		TEST(the_lowest_and_the_highest_gap),
		TEST(allocation_takes_gaps),
		TEST(cyclic_allocation_wraps),
		TEST(a_copy_is_independent),
		TEST(a_copy_has_the_same_flags),
		TEST(a_preallocated_store_cannot_fail),
		TEST(giving_memory_back_keeps_the_place),
		TEST(a_preallocated_hole_is_a_whole_gap),
		TEST(an_external_lock_is_the_users),
		TEST(mt_for_each_sees_all),
		TEST(dumps_are_printed),
		TEST(conditions_are_reported),
		TEST(entries_lie_densely),
	};

	return cmocka_run_group_tests_name("tree_api", tests, NULL, NULL);
}
