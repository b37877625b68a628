/* SPDX-License-Identifier: MIT */
/*
 * H1, H2. Every n-th allocation failing, for every call that changes a tree, in
 * both modes: after a failure the tree is as before, as a reader sees it; what
 * takes away never fails; what was preallocated never fails and what was not used
 * comes back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <samara/maple_tree.h>

#include "tree/reserve.h"
#include "tree/tree.h"

#define SPAN 1400
#define STEP 10
#define MAX_RANGES (2 * SPAN + 3)	/* with the gaps, and what a store may add */

/* The tree as a reader sees it: all ranges and gaps, walked, and each looked up. */
struct seen {
	unsigned int nr;
	struct {
		unsigned long index, last;
		void *walked, *loaded;
	} range[MAX_RANGES];
};

static const int scales[] = { 1, 10, 50, 1400 };

#define NR_SCALES (sizeof(scales) / sizeof(scales[0]))
#define NR_FLAGS 4

static struct platform *pf;
static unsigned long points;
static struct maple_tree base[NR_FLAGS][NR_SCALES];

/* Ranges [10i, 10i + 6] for most i: several levels of nodes, gaps between. */
static void build_base(struct maple_tree *mt, unsigned int flags, int scale)
{
	mt_init_flags(mt, flags);
	mt_set_platform(mt, pf);
	for (unsigned long i = 0; i < (unsigned long)SPAN / (unsigned long)scale; i++)
		if (i % 7 != 3)
			assert_int_equal(mtree_store_range(mt, i * STEP, i * STEP + 6, xa_mk_value(i + 1), 0), 0);
}

/* A copy of it: node for node the same. */
static void build(struct maple_tree *mt, unsigned int flags, size_t scale)
{
	mt_init_flags(mt, flags);
	mt_set_platform(mt, pf);
	assert_int_equal(mtree_dup(&base[flags][scale], mt, 0), 0);
}

static void look(struct maple_tree *mt, struct seen *seen)
{
	MA_STATE(mas, mt, 0, 0);
	void *entry = mas_walk(&mas);

	memset(seen, 0, sizeof(*seen));
	for (;;) {
		assert_true(seen->nr < MAX_RANGES);
		seen->range[seen->nr].index = mas.index;
		seen->range[seen->nr].last = mas.last;
		seen->range[seen->nr].walked = entry;
		seen->range[seen->nr++].loaded = mtree_load(mt, mas.index);
		if (mas.last == ULONG_MAX)
			return;
		entry = mas_next_range(&mas, ULONG_MAX);
	}
}

static void must_be_valid(struct maple_tree *mt)
{
	unsigned long where;
	const char *fault = tree_find_fault(mt, &where);

	if (fault) {
		printf("%s at %lu\n", fault, where);
		mt_dump(mt, mt_dump_dec);
	}
	assert_null(fault);
}

struct args {
	unsigned long first, last;
	void *entry;
};

typedef int (*call_fn)(struct maple_tree *mt, const struct args *a);

static int call_store_range(struct maple_tree *mt, const struct args *a)
{
	return mtree_store_range(mt, a->first, a->last, a->entry, 0);
}

static int call_put(struct maple_tree *mt, const struct args *a)
{
	int err;

	mtree_lock(mt);
	err = mt_put(mt, a->first, a->last, a->entry);
	mtree_unlock(mt);
	return err;
}

/* Of the range at the first index, as much as there is; another entry above. */
static int call_cut(struct maple_tree *mt, const struct args *a)
{
	struct mt_cut cut = { .index = a->first, .entry = a->entry };
	MA_STATE(mas, mt, a->first, a->first);
	int err = 0;

	mtree_lock(mt);
	if (mas_walk(&mas)) {
		cut.last = a->last < mas.last ? a->last : mas.last;
		cut.high = cut.last < mas.last ? xa_mk_value(99998) : NULL;
		err = mt_cut(mt, &cut, mas.last);
	}
	mtree_unlock(mt);
	return err;
}

static int call_store(struct maple_tree *mt, const struct args *a)
{
	return mtree_store(mt, a->first, a->entry, 0);
}

static int call_insert(struct maple_tree *mt, const struct args *a)
{
	int err = mtree_insert(mt, a->first, a->entry, 0);

	return err == -EEXIST ? 0 : err;
}

static int call_insert_range(struct maple_tree *mt, const struct args *a)
{
	int err = mtree_insert_range(mt, a->first, a->last, a->entry, 0);

	return err == -EEXIST ? 0 : err;
}

static int call_alloc(struct maple_tree *mt, const struct args *a)
{
	unsigned long start;
	int err = mtree_alloc_range(mt, &start, a->entry, 3, a->first, a->last, 0);

	return err == -ENOMEM ? err : 0;
}

static int call_alloc_rev(struct maple_tree *mt, const struct args *a)
{
	unsigned long start;
	int err = mtree_alloc_rrange(mt, &start, a->entry, 3, a->first, a->last, 0);

	return err == -ENOMEM ? err : 0;
}

static int call_cyclic(struct maple_tree *mt, const struct args *a)
{
	unsigned long start, next = a->first;
	int err = mtree_alloc_cyclic(mt, &start, a->entry, 0, a->last, &next, 0);

	return err == -ENOMEM ? err : 0;
}

static int call_mas_store(struct maple_tree *mt, const struct args *a)
{
	MA_STATE(mas, mt, a->first, a->last);
	int err;

	mas_lock(&mas);
	mas_store(&mas, a->entry);
	err = mas_is_err(&mas) ? xa_err(mas.node) : 0;
	mas_destroy(&mas);
	mas_unlock(&mas);
	return err;
}

static int call_mas_store_gfp(struct maple_tree *mt, const struct args *a)
{
	MA_STATE(mas, mt, a->first, a->last);
	int err;

	mas_lock(&mas);
	err = mas_store_gfp(&mas, a->entry, 0);
	mas_unlock(&mas);
	return err;
}

static int call_mas_insert(struct maple_tree *mt, const struct args *a)
{
	MA_STATE(mas, mt, a->first, a->last);
	int err;

	mas_lock(&mas);
	mas_insert(&mas, a->entry);
	err = mas_is_err(&mas) && xa_err(mas.node) != -EEXIST ? xa_err(mas.node) : 0;
	mas_destroy(&mas);
	mas_unlock(&mas);
	return err;
}

static int call_mas_cyclic(struct maple_tree *mt, const struct args *a)
{
	MA_STATE(mas, mt, 0, 0);
	unsigned long start = 77, next = a->first;
	int err;

	mas_lock(&mas);
	err = mas_alloc_cyclic(&mas, &start, a->entry, 0, a->last, &next, 0);
	mas_unlock(&mas);
	if (err != -ENOMEM)
		return 0;
	assert_int_equal(start, 77);
	assert_int_equal(next, a->first);
	return err;
}

/* What is reserved in a tree for several stores: the stores then need nothing. */
static int call_reserve(struct maple_tree *mt, const struct args *a)
{
	int err;

	mtree_lock(mt);
	err = mt_reserve(mt, 3);
	mtree_unlock(mt);
	if (err)
		return err;
	platform_fail_nth(pf, -1);
	for (unsigned long i = 0; i < 3; i++)
		assert_int_equal(mtree_store_range(mt, a->first + i * 70, a->first + i * 70 + 30, a->entry, 0), 0);
	platform_fail_nth(pf, 0);
	mtree_lock(mt);
	mt_unreserve(mt);
	mtree_unlock(mt);
	return 0;
}

static int call_nomem_loop(struct maple_tree *mt, const struct args *a)
{
	MA_STATE(mas, mt, a->first, a->last);

	mas_lock(&mas);
	do {
		mas_set_range(&mas, a->first, a->last);
		mas_store(&mas, a->entry);
	} while (mas_nomem(&mas, GFP_KERNEL));
	mas_unlock(&mas);
	return mas_is_err(&mas) ? xa_err(mas.node) : 0;
}

static int call_prealloc(struct maple_tree *mt, const struct args *a)
{
	MA_STATE(mas, mt, a->first, a->last);
	int err;

	mas_lock(&mas);
	err = mas_preallocate(&mas, a->entry, 0);
	if (!err) {
		platform_fail_nth(pf, -1);
		mas_store_prealloc(&mas, a->entry);
		platform_fail_nth(pf, 0);
		assert_false(mas_is_err(&mas));
	}
	mas_destroy(&mas);
	mas_unlock(&mas);
	return err;
}

static int call_prealloc_only(struct maple_tree *mt, const struct args *a)
{
	MA_STATE(mas, mt, a->first, a->last);
	int err;

	mas_lock(&mas);
	err = mas_preallocate(&mas, a->entry, 0);
	mas_destroy(&mas);
	mas_unlock(&mas);
	return err;
}

static int call_expected(struct maple_tree *mt, const struct args *a)
{
	MA_STATE(mas, mt, a->first, a->last);
	int err;

	mas_lock(&mas);
	err = mas_expected_entries(&mas, 40);
	mas_destroy(&mas);
	mas_unlock(&mas);
	return err;
}

/*
 * Fail the n-th allocation for n = 1, 2, ... until the call succeeds. Each time
 * the tree must look as before and hold as many nodes.
 */
static void sweep(call_fn call, const struct args *a, unsigned int flags, size_t scale)
{
	static struct seen before, after;
	struct platform_stats was, is;
	struct maple_tree mt;
	int err;

	build(&mt, flags, scale);
	look(&mt, &before);
	/* Reading the counters waits for a grace period: not in every sweep. */
	if (scale == 0)
		platform_read_stats(pf, &was);
	for (long n = 1;; n++) {
		platform_fail_nth(pf, n);
		err = call(&mt, a);
		platform_fail_nth(pf, 0);
		must_be_valid(&mt);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		points++;
		look(&mt, &after);
		assert_memory_equal(&before, &after, sizeof(before));
		if (scale == 0) {
			platform_read_stats(pf, &is);
			assert_int_equal(is.nodes, was.nodes);
		}
	}
	mtree_destroy(&mt);
}

/* H2. Ranges inside a gap, inside an entry, over a few, over many leaves, over everything. */
static const struct args shapes[] = {
	{ 7, 9, NULL },		{ 38, 40, NULL },	{ 12, 14, NULL },	{ 5, 305, NULL },
	{ 70, 76, NULL },	{ 203, 9004, NULL },	{ 0, ULONG_MAX, NULL },	{ 13996, ULONG_MAX, NULL },
	{ 2000, 2000, NULL },	{ 2004, 2004, NULL },	{ 2009, 2013, NULL },	{ 100000, 1ul << 40, NULL },
};

static void every_call_every_failure(void **state)
{
	static const call_fn calls[] = {
		call_store,	   call_store_range, call_insert,	 call_insert_range, call_alloc,
		call_alloc_rev,	   call_cyclic,	     call_mas_cyclic,	 call_mas_store,    call_mas_store_gfp,
		call_mas_insert,   call_nomem_loop,  call_prealloc,	 call_prealloc_only, call_expected,
		call_reserve,	   call_put,	     call_cut,
	};

	(void)state;
	points = 0;
	for (unsigned int flags = 0; flags < 4; flags++)
		for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++)
			for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
				for (size_t k = 0; k < NR_SCALES; k++) {
					struct args a = shapes[s];

					a.entry = xa_mk_value(99999);
					sweep(calls[c], &a, flags, k);
				}
	printf("%lu points of failure\n", points);
	assert_true(points > 5000);
}

/* H2. Storing NULL over parts of entries may need memory, and is all or nothing. */
static void cutting_is_all_or_nothing(void **state)
{
	static const call_fn calls[] = { call_store_range, call_mas_store, call_mas_store_gfp, call_nomem_loop, call_prealloc };

	(void)state;
	points = 0;
	for (unsigned int flags = 0; flags < 4; flags++)
		for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++)
			for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
				sweep(calls[c], &shapes[s], flags, 0);
	printf("%lu points of failure\n", points);
	assert_true(points > 20);
}

/* H1. Promise 3: with every allocation failing, everything can be erased, in any order, in both modes. */
static void erase_needs_no_memory(void **state)
{
	(void)state;
	for (unsigned int flags = 0; flags < 4; flags++) {
		struct maple_tree mt;

		build(&mt, flags, 0);
		platform_fail_nth(pf, -1);
		for (unsigned long k = 0, i = 0; k < SPAN; k++, i = (i + 263) % SPAN) {
			void *entry = i % 7 != 3 ? xa_mk_value(i + 1) : NULL;

			assert_ptr_equal(mtree_erase(&mt, i * STEP + 3), entry);
			assert_null(mtree_load(&mt, i * STEP + 3));
			must_be_valid(&mt);
		}
		assert_true(mtree_empty(&mt));
		platform_fail_nth(pf, 0);
		mtree_destroy(&mt);
	}
}

/* H1. The same for NULL over many whole entries. */
static void clearing_needs_no_memory(void **state)
{
	(void)state;
	for (unsigned int flags = 0; flags < 4; flags++)
		for (unsigned long from = 0; from < SPAN; from += 13)
			for (unsigned long nr = 1; nr < SPAN; nr = nr * 3 + 1) {
				unsigned long last = (from + nr) * STEP - 1;
				struct maple_tree mt;
				MA_STATE(mas, &mt, 0, 0);

				build(&mt, flags, 0);
				platform_fail_nth(pf, -1);
				assert_int_equal(mtree_store_range(&mt, from * STEP, last, NULL, 0), 0);
				must_be_valid(&mt);
				mas_set(&mas, from * STEP);
				assert_null(mas_walk(&mas));
				if (mt.ma_root && mas.status == ma_active) {
					assert_true(mas.index <= from * STEP);
					assert_true(mas.last >= last);
				}
				mtree_destroy(&mt);
				platform_fail_nth(pf, 0);
			}
}

/* E1. An exact fit needs no memory: a duplicated tree is filled anew with every allocation failing. */
static void exact_fit_needs_no_memory(void **state)
{
	(void)state;
	for (unsigned int flags = 0; flags < 4; flags++) {
		struct maple_tree mt, copy;
		MA_STATE(mas, &copy, 0, 0);
		unsigned long nr = 0;
		void *entry;

		build(&mt, flags, 0);
		mt_init_flags(&copy, flags);
		mt_set_platform(&copy, pf);
		assert_int_equal(mtree_dup(&mt, &copy, 0), 0);
		platform_fail_nth(pf, -1);
		mas_for_each(&mas, entry, ULONG_MAX) {
			assert_ptr_equal(mas_store(&mas, xa_mk_value(5000000 + nr)), entry);
			assert_false(mas_is_err(&mas));
			nr++;
		}
		platform_fail_nth(pf, 0);
		assert_int_equal(nr, SPAN - SPAN / 7);
		must_be_valid(&copy);
		mtree_destroy(&copy);
		mtree_destroy(&mt);
	}
}

/* F8. A copy that fails leaves the new tree empty and the old one as it was. */
static void failed_copy_is_empty(void **state)
{
	static struct seen before, after;

	(void)state;
	points = 0;
	for (unsigned int flags = 0; flags < 4; flags++) {
		struct platform_stats was, is;
		struct maple_tree mt, copy;
		int err;

		build(&mt, flags, 0);
		look(&mt, &before);
		platform_read_stats(pf, &was);
		for (long n = 1;; n++) {
			mt_init_flags(&copy, flags);
			mt_set_platform(&copy, pf);
			platform_fail_nth(pf, n);
			err = mtree_dup(&mt, &copy, 0);
			platform_fail_nth(pf, 0);
			if (!err)
				break;
			assert_int_equal(err, -ENOMEM);
			points++;
			assert_true(mtree_empty(&copy));
			platform_read_stats(pf, &is);
			assert_int_equal(is.nodes, was.nodes);
			look(&mt, &after);
			assert_memory_equal(&before, &after, sizeof(before));
			assert_int_equal(mtree_store_range(&copy, 3, 5, xa_mk_value(1), 0), 0);
			mtree_destroy(&copy);
		}
		must_be_valid(&copy);
		mtree_destroy(&copy);
		mtree_destroy(&mt);
	}
	printf("%lu points of failure\n", points);
}

/* H2. After mas_expected_entries() as many stores in rising order need no memory. */
static void expected_entries_are_stored(void **state)
{
	(void)state;
	for (unsigned int flags = 0; flags < 4; flags++)
		for (unsigned long nr = 1; nr < 3000; nr = nr * 2 + 1)
			for (int shift = 0; shift < 50; shift += 16) {
				unsigned long apart = 1ul << shift;
				struct maple_tree mt;
				MA_STATE(mas, &mt, 0, 0);

				mt_init_flags(&mt, flags);
				mt_set_platform(&mt, pf);
				assert_int_equal(mas_expected_entries(&mas, nr), 0);
				platform_fail_nth(pf, -1);
				for (unsigned long i = 0; i < nr; i++) {
					mas_set_range(&mas, i * apart, i * apart + apart / 2);
					mas_store(&mas, xa_mk_value(i));
					assert_false(mas_is_err(&mas));
				}
				platform_fail_nth(pf, 0);
				mas_destroy(&mas);
				must_be_valid(&mt);
				mtree_destroy(&mt);
			}
}

static int make_platform(void **state)
{
	(void)state;
	pf = platform_create(NULL, NULL);
	if (!pf)
		return -1;
	for (unsigned int flags = 0; flags < NR_FLAGS; flags++)
		for (size_t k = 0; k < NR_SCALES; k++)
			build_base(&base[flags][k], flags, scales[k]);
	return 0;
}

static int drop_platform(void **state)
{
	struct platform_stats stats;

	(void)state;
	for (unsigned int flags = 0; flags < NR_FLAGS; flags++)
		for (size_t k = 0; k < NR_SCALES; k++)
			mtree_destroy(&base[flags][k]);
	platform_read_stats(pf, &stats);
	platform_destroy(pf);
	return stats.nodes || stats.others ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_every_failure),
		cmocka_unit_test(cutting_is_all_or_nothing),
		cmocka_unit_test(erase_needs_no_memory),
		cmocka_unit_test(clearing_needs_no_memory),
		cmocka_unit_test(exact_fit_needs_no_memory),
		cmocka_unit_test(failed_copy_is_empty),
		cmocka_unit_test(expected_entries_are_stored),
	};

	return cmocka_run_group_tests_name("tree_nth", tests, make_platform, drop_platform);
}
