/* SPDX-License-Identifier: MIT */
/*
 * A4. Every call, macro and flag of the tree once, as a program would use it that was written by the
 * kernel's documentation of its maple tree. It includes the public header and nothing else of the
 * project, and is compiled against the installed library and the amalgamation too.
 */
#if defined(__has_include)
#if __has_include("samara_maple_tree.h")
#include "samara_maple_tree.h"
#endif
#endif
#ifndef SAMARA_MAPLE_TREE_H
#include <samara/maple_tree.h>
#endif

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

static unsigned int parts, lies, failures;

/* What must hold at this point. */
static void check(bool holds, const char *what, int line)
{
	if (holds)
		return;
	printf("# line %d: %s\n", line, what);
	lies++;
}

#define CHECK(expr) check((expr), #expr, __LINE__)

static void part(const char *name, void (*function)(void))
{
	lies = 0;
	function();
	failures += lies != 0;
	printf("%sok %u - %s\n", lies ? "not " : "", ++parts, name);
}

static void *value(unsigned long v)
{
	return xa_mk_value(v);
}

static DEFINE_MTREE(static_tree);
static struct maple_tree alloc_tree = MTREE_INIT(alloc_tree, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);

static void normal_interface(void)
{
	struct maple_tree *mt = &static_tree;

	CHECK(mtree_empty(mt) && mt_height(mt) == 0);
	CHECK(mtree_store(mt, 7, value(7), GFP_KERNEL) == 0);
	CHECK(mtree_store_range(mt, 10, 19, value(1), GFP_KERNEL) == 0);
	CHECK(mtree_insert(mt, 20, value(2), GFP_KERNEL) == 0);
	CHECK(mtree_insert(mt, 15, value(3), GFP_KERNEL) == -EEXIST);
	CHECK(mtree_insert_range(mt, 30, 39, value(4), GFP_KERNEL) == 0);
	CHECK(mtree_insert_range(mt, 35, 45, value(5), GFP_KERNEL) == -EEXIST);
	CHECK(mtree_store_range(mt, 9, 8, value(1), GFP_KERNEL) == -EINVAL);
	CHECK(mtree_load(mt, 10) == value(1) && mtree_load(mt, 19) == value(1));
	CHECK(!mtree_load(mt, 9) && !mtree_load(mt, 21) && mt_height(mt) == 1);
	CHECK(mtree_erase(mt, 12) == value(1) && !mtree_load(mt, 10) && !mtree_erase(mt, 12));
	mtree_destroy(mt);
	CHECK(mtree_empty(mt));
}

static void finding(void)
{
	unsigned long index = 0, sum = 0;
	struct maple_tree mt;
	void *entry;

	mt_init(&mt);
	mt_set_platform(&mt, platform_default());
	for (unsigned long i = 1; i <= 5; i++)
		CHECK(mtree_store_range(&mt, 100 * i, 100 * i + 9, value(i), GFP_KERNEL) == 0);
	CHECK(mt_find(&mt, &index, ULONG_MAX) == value(1) && index == 110);
	CHECK(mt_find_after(&mt, &index, ULONG_MAX) == value(2) && index == 210);
	CHECK(!mt_find(&mt, &index, 299) && index == 210);
	CHECK(mt_next(&mt, 205, ULONG_MAX) == value(3) && mt_prev(&mt, 205, 0) == value(1));
	CHECK(!mt_next(&mt, 500, ULONG_MAX) && !mt_prev(&mt, 100, 0));
	index = 0;
	mt_for_each(&mt, entry, index, ULONG_MAX)
		sum += xa_to_value(entry);
	CHECK(sum == 15);
	mtree_destroy(&mt);
}

static void allocating(void)
{
	struct maple_tree *mt = &alloc_tree;
	unsigned long start = 0, next = 0;

	CHECK(mtree_alloc_range(mt, &start, value(1), 10, 0, 99, GFP_KERNEL) == 0 && start == 0);
	CHECK(mtree_alloc_rrange(mt, &start, value(2), 10, 0, 99, GFP_KERNEL) == 0 && start == 90);
	CHECK(mtree_alloc_range(mt, &start, value(3), 81, 0, 99, GFP_KERNEL) == -EBUSY);
	CHECK(mtree_alloc_cyclic(mt, &start, value(4), 10, 12, &next, GFP_KERNEL) == 0 && start == 10 && next == 11);
	next = 12;
	CHECK(mtree_alloc_cyclic(mt, &start, value(5), 10, 12, &next, GFP_KERNEL) == 0 && start == 12);
	CHECK(mtree_alloc_cyclic(mt, &start, value(6), 10, 12, &next, GFP_KERNEL) == 1 && start == 11);
	CHECK(mtree_alloc_cyclic(mt, &start, value(7), 10, 12, &next, GFP_KERNEL) == -EBUSY);
	next = ULONG_MAX;
	CHECK(mtree_alloc_cyclic(mt, &start, value(8), 10, ULONG_MAX, &next, GFP_KERNEL) == 0 && next == 0);
	CHECK(mt->ma_flags & MT_FLAGS_ALLOC_WRAPPED);
	CHECK(mtree_alloc_cyclic(mt, &start, value(9), 10, ULONG_MAX, &next, GFP_KERNEL) == 1 && start == 13);
	mtree_destroy(mt);
}

static void copying(void)
{
	struct maple_tree from = MTREE_INIT(from, 0), to, other;

	for (unsigned long i = 0; i < 100; i++)
		CHECK(mtree_store(&from, i * 3, value(i), GFP_KERNEL) == 0);
	mt_init_flags(&other, MT_FLAGS_ALLOC_RANGE);
	CHECK(mtree_dup(&from, &other, GFP_KERNEL) == -EINVAL);
	mt_init(&to);
	CHECK(mtree_dup(&from, &to, GFP_KERNEL) == 0 && mtree_load(&to, 297) == value(99));
	mtree_destroy(&to);
	mtree_lock(&from);
	mtree_lock(&to);
	CHECK(__mt_dup(&from, &to, GFP_KERNEL) == 0);
	__mt_destroy(&from);
	mtree_unlock(&to);
	mtree_unlock(&from);
	CHECK(mtree_empty(&from) && mtree_load(&to, 0) == value(0));
	mt_validate(&to);
	mtree_destroy(&to);
}

static void walking_with_a_state(void)
{
	struct maple_tree *mt = &alloc_tree;
	MA_STATE(mas, mt, 0, 0);
	unsigned long seen = 0;
	void *entry;

	for (unsigned long i = 1; i <= 4; i++)
		CHECK(mtree_store_range(mt, 10 * i, 10 * i + 4, value(i), GFP_KERNEL) == 0);
	samara_rcu_read_lock();
	mas_set(&mas, 22);
	CHECK(mas_walk(&mas) == value(2) && mas.index == 20 && mas.last == 24 && mas_is_active(&mas));
	CHECK(mas.tree == mt && mas.node && mas.min <= 20 && mas.max >= 24 && mas.status == ma_active && mas.offset);
	CHECK(mas_next(&mas, ULONG_MAX) == value(3) && mas_prev(&mas, 0) == value(2));
	CHECK(!mas_next_range(&mas, ULONG_MAX) && mas.index == 25 && mas.last == 29);
	CHECK(mas_prev_range(&mas, 0) == value(2));
	mas_reset(&mas);
	CHECK(mas_find(&mas, ULONG_MAX) == value(2) && mas_find_range(&mas, ULONG_MAX) == NULL);
	CHECK(mas_find_rev(&mas, 0) == value(2) && mas_find_range_rev(&mas, 0) == NULL && mas.index == 15);
	mas_pause(&mas);
	samara_rcu_read_unlock();
	samara_rcu_read_lock();
	CHECK(mas_find(&mas, ULONG_MAX) == value(2));
	mas_set(&mas, 0);
	mas_for_each(&mas, entry, ULONG_MAX)
		seen = 10 * seen + xa_to_value(entry);
	CHECK(seen == 1234);
	mas_set(&mas, ULONG_MAX);
	mas_for_each_rev(&mas, entry, 0)
		seen = 10 * seen + xa_to_value(entry);
	CHECK(seen == 12344321 && !mas_is_err(&mas));
	samara_rcu_read_unlock();
	mtree_destroy(mt);
}

static void storing_with_a_state(void)
{
	struct maple_tree mt;
	struct ma_state mas;

	mt_init_flags(&mt, MT_FLAGS_ALLOC_RANGE);
	mas_init(&mas, &mt, 5);
	mas_lock(&mas);
	CHECK(!mas_store(&mas, value(1)) && !mas_is_err(&mas));
	mas_set_range(&mas, 10, 19);
	do {
		mas_store(&mas, value(2));
	} while (mas_nomem(&mas, GFP_KERNEL));
	mas_set_range(&mas, 12, 15);
	CHECK(mas_store_gfp(&mas, value(3), GFP_KERNEL) == 0);
	mas_set_range(&mas, 0, 0);
	__mas_set_range(&mas, 30, 39);
	CHECK(mas_preallocate(&mas, value(4), GFP_KERNEL) == 0);
	mas_store_prealloc(&mas, value(4));
	mas_set(&mas, 13);
	CHECK(mas_insert(&mas, value(5)) == value(3) && xa_err(mas.node) == -EEXIST);
	mas_set(&mas, 13);
	CHECK(mas_erase(&mas) == value(3) && mas.index == 12 && mas.last == 15);
	CHECK(mas_expected_entries(&mas, 10) == 0);
	for (unsigned long i = 0; i < 10; i++) {
		mas_set(&mas, 100 + i);
		mas_store(&mas, value(i));
	}
	mas_destroy(&mas);
	mas_unlock(&mas);
	CHECK(mtree_load(&mt, 11) == value(2) && !mtree_load(&mt, 13) && mtree_load(&mt, 109) == value(9));
	mtree_destroy(&mt);
}

static void looking_for_room(void)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_ALLOC_RANGE);
	MA_STATE(mas, &mt, 0, 0);
	unsigned long start = 0, next = 0;

	CHECK(mtree_store_range(&mt, 10, 19, value(1), GFP_KERNEL) == 0);
	mas_lock(&mas);
	CHECK(mas_empty_area(&mas, 5, 100, 8) == 0 && mas.index == 20 && mas.last == 27);
	mas_reset(&mas);
	CHECK(mas_empty_area_rev(&mas, 0, 18, 8) == 0 && mas.index == 2 && mas.last == 9);
	mas_reset(&mas);
	CHECK(mas_empty_area(&mas, 10, 19, 1) == -EBUSY && mas_is_err(&mas) && xa_is_err(mas.node));
	CHECK(xa_err(mas.node) == -EBUSY && mas.node == MA_ERROR(-EBUSY));
	mas_reset(&mas);
	CHECK(mas_alloc_cyclic(&mas, &start, value(2), 15, 30, &next, GFP_KERNEL) == 0 && start == 20);
	mas_unlock(&mas);
	mtree_destroy(&mt);
}

static void a_lock_of_the_users(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct maple_tree mt = MTREE_INIT_EXT(mt, MT_FLAGS_LOCK_EXTERN, lock), late;
	MA_STATE(mas, &mt, 1, 2);

	pthread_mutex_lock(&lock);
	CHECK(mt_external_lock(&mt) && mas_store_gfp(&mas, value(1), GFP_KERNEL) == 0);
	mt_init_flags(&late, MT_FLAGS_LOCK_EXTERN);
	mt_set_external_lock(&late, &lock);
	__mt_destroy(&mt);
	mt_on_stack(late);
	CHECK(!late.ma_external_lock);
	__mt_destroy(&late);
	pthread_mutex_unlock(&lock);
}

static void readers_beside_a_writer(void)
{
	struct maple_tree mt = MTREE_INIT(mt, MT_FLAGS_ALLOC_RANGE);

	CHECK(!mt_in_rcu(&mt));
	mtree_lock(&mt);
	mt_set_in_rcu(&mt);
	mtree_unlock(&mt);
	CHECK(mt_in_rcu(&mt) && mtree_store(&mt, 3, value(3), GFP_KERNEL) == 0);
	samara_rcu_read_lock();
	CHECK(mtree_load(&mt, 3) == value(3));
	samara_rcu_read_unlock();
	mtree_lock(&mt);
	mt_clear_in_rcu(&mt);
	mtree_unlock(&mt);
	CHECK(!mt_in_rcu(&mt));
	mtree_destroy(&mt);
	samara_rcu_barrier();
}

static void entries(void)
{
	struct maple_tree mt = MTREE_INIT(mt, 0);
	MA_STATE(mas, &mt, 1, 1);

	CHECK(xa_to_value(xa_mk_value(LONG_MAX)) == LONG_MAX && xa_is_value(value(0)));
	CHECK(xa_is_zero(XA_ZERO_ENTRY) && !xa_is_zero(value(257)) && !xa_is_err(XA_ZERO_ENTRY));
	CHECK(mtree_store(&mt, 1, (void *)2, GFP_KERNEL) == -EINVAL);
	CHECK(mtree_store(&mt, 1, (void *)4094, GFP_KERNEL) == -EINVAL);
	CHECK(mtree_store(&mt, 1, XA_ZERO_ENTRY, GFP_KERNEL) == 0);
	CHECK(!mtree_load(&mt, 1) && mas_walk(&mas) == XA_ZERO_ENTRY);
	CHECK(mtree_insert(&mt, 1, value(1), GFP_KERNEL) == -EEXIST);
	mtree_destroy(&mt);
}

static void looking_inside(void)
{
	struct maple_tree mt = MTREE_INIT(mt, 0);
	MA_STATE(mas, &mt, 7, 7);

	CHECK(mtree_store_range(&mt, 5, 9, value(1), GFP_KERNEL) == 0);
	mas_walk(&mas);
	printf("# ");
	mt_dump(&mt, mt_dump_dec);
	printf("# ");
	mt_dump(&mt, mt_dump_hex);
	printf("# ");
	mas_dump(&mas);
	mt_validate(&mt);
	mt_report(&mt, &mas, "what a warning looks like", false);
	CHECK(mt_is_valid(&mt));
	MT_BUG_ON(&mt, mtree_empty(&mt));
	MAS_BUG_ON(&mas, mas.index != 5);
	CHECK(!MT_WARN_ON(&mt, mtree_empty(&mt)) && !MAS_WARN_ON(&mas, mas_is_err(&mas)));
	mtree_destroy(&mt);
}

int main(void)
{
	part("the normal interface", normal_interface);
	part("finding", finding);
	part("allocating", allocating);
	part("copying", copying);
	part("walking with a state", walking_with_a_state);
	part("storing with a state", storing_with_a_state);
	part("looking for room", looking_for_room);
	part("a lock of the user's", a_lock_of_the_users);
	part("readers beside a writer", readers_beside_a_writer);
	part("entries", entries);
	part("looking inside", looking_inside);
	printf("1..%u\n", parts);
	return failures != 0;
}
