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

#include "tree/tree.h"

#define SPAN 1400
#define STEP 10

struct seen {
	void *entry[SPAN * STEP + 1];
};

static struct platform *pf;
static unsigned long points;

/* Ranges [10i, 10i + 6] for most i: several levels of nodes, gaps between. */
static void build(struct maple_tree *mt, unsigned int flags, int scale)
{
	mt_init_flags(mt, flags);
	mt_set_platform(mt, pf);
	for (unsigned long i = 0; i < (unsigned long)SPAN / (unsigned long)scale; i++)
		if (i % 7 != 3)
			assert_int_equal(mtree_store_range(mt, i * STEP, i * STEP + 6, xa_mk_value(i + 1), 0), 0);
}

static void look(struct maple_tree *mt, struct seen *seen)
{
	for (unsigned long i = 0; i <= SPAN * STEP; i++)
		seen->entry[i] = mtree_load(mt, i);
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
static void sweep(call_fn call, const struct args *a, unsigned int flags, int scale)
{
	struct seen *before = malloc(sizeof(*before)), *after = malloc(sizeof(*after));
	struct platform_stats was, is;
	struct maple_tree mt;
	int err;

	build(&mt, flags, scale);
	look(&mt, before);
	/* Reading the counters waits for a grace period: not in every sweep. */
	if (scale == 1)
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
		look(&mt, after);
		assert_memory_equal(before, after, sizeof(*before));
		if (scale == 1) {
			platform_read_stats(pf, &is);
			assert_int_equal(is.nodes, was.nodes);
		}
	}
	mtree_destroy(&mt);
	free(before);
	free(after);
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
		call_store_range, call_insert_range, call_alloc,	 call_alloc_rev, call_cyclic, call_mas_store,
		call_nomem_loop,  call_prealloc,     call_prealloc_only, call_expected,
	};
	static const int scales[] = { 1, 10, 50, 1400 };

	(void)state;
	points = 0;
	for (unsigned int flags = 0; flags < 4; flags++)
		for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++)
			for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
				for (size_t k = 0; k < sizeof(scales) / sizeof(scales[0]); k++) {
					struct args a = shapes[s];

					a.entry = xa_mk_value(99999);
					sweep(calls[c], &a, flags, scales[k]);
				}
	printf("%lu points of failure\n", points);
	assert_true(points > 500);
}

/* H2. Storing NULL over parts of entries may need memory, and is all or nothing. */
static void cutting_is_all_or_nothing(void **state)
{
	static const call_fn calls[] = { call_store_range, call_mas_store, call_prealloc };

	(void)state;
	points = 0;
	for (unsigned int flags = 0; flags < 4; flags++)
		for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++)
			for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
				sweep(calls[c], &shapes[s], flags, 1);
	printf("%lu points of failure\n", points);
	assert_true(points > 20);
}

/* H1. Promise 3: with every allocation failing, everything can be erased, in any order, in both modes. */
static void erase_needs_no_memory(void **state)
{
	(void)state;
	for (unsigned int flags = 0; flags < 4; flags++) {
		struct maple_tree mt;

		build(&mt, flags, 1);
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

				build(&mt, flags, 1);
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

		build(&mt, flags, 1);
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
	struct seen *before = malloc(sizeof(*before)), *after = malloc(sizeof(*after));

	(void)state;
	for (unsigned int flags = 0; flags < 4; flags++) {
		struct platform_stats was, is;
		struct maple_tree mt, copy;
		int err;

		build(&mt, flags, 1);
		look(&mt, before);
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
			assert_true(mtree_empty(&copy));
			platform_read_stats(pf, &is);
			assert_int_equal(is.nodes, was.nodes);
			look(&mt, after);
			assert_memory_equal(before, after, sizeof(*before));
		}
		must_be_valid(&copy);
		mtree_destroy(&copy);
		mtree_destroy(&mt);
	}
	free(before);
	free(after);
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
	return pf ? 0 : -1;
}

static int drop_platform(void **state)
{
	struct platform_stats stats;

	(void)state;
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
