/* SPDX-License-Identifier: MIT */
/*
 * A4. Random calls on a tree and on a naive array of cells, compared after
 * each call. The cells are laid over the index space in several ways, so that
 * the same sequences meet index 0, ULONG_MAX, narrow and wide leaves.
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

#include "support/seed.h"
#include "tree/tree.h"

#define MAX_CELLS 8192
#define DEEP 4096		/* cells, or more: a tree of three and more levels, kept full */
#define NONE (-1)

enum layout { LAY_UNIT, LAY_WHOLE, LAY_PAGES, LAY_WIDE, LAYOUTS };

struct world {
	struct maple_tree mt;
	enum layout layout;
	int cells;
	void *cell[MAX_CELLS];
	unsigned long next_value;
	uint64_t random;
	unsigned long step;
	const char *call;
};

static uint64_t roll(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static int below(struct world *w, int n)
{
	return (int)(roll(w) % (uint64_t)n);
}

/* The first index of a cell. */
static unsigned long lo(const struct world *w, int cell)
{
	switch (w->layout) {
	case LAY_UNIT:
		return (unsigned long)cell;
	case LAY_WHOLE:
		return (unsigned long)cell * (ULONG_MAX / (unsigned long)w->cells + 1);
	case LAY_PAGES:
		return 0x7f0000000000ul + (unsigned long)cell * 4096;
	default:
		return 1000 + (unsigned long)cell * 0x123456789ul;
	}
}

static unsigned long hi(const struct world *w, int cell)
{
	if (w->layout == LAY_WHOLE && cell == w->cells - 1)
		return ULONG_MAX;
	return lo(w, cell + 1) - 1;
}

/* The cell that contains @index, or NONE if it lies beside them all. */
static int cell_of(const struct world *w, unsigned long index)
{
	for (int i = 0; i < w->cells; i++)
		if (index >= lo(w, i) && index <= hi(w, i))
			return i;
	return NONE;
}

/* What the tree must report for the range that contains a cell. */
static void run_of(const struct world *w, int cell, unsigned long *first, unsigned long *last)
{
	int from = cell, to = cell;

	while (from > 0 && w->cell[from - 1] == w->cell[cell])
		from--;
	while (to + 1 < w->cells && w->cell[to + 1] == w->cell[cell])
		to++;
	*first = lo(w, from);
	*last = hi(w, to);
	if (!w->cell[cell] && from == 0)
		*first = 0;
	if (!w->cell[cell] && to == w->cells - 1)
		*last = ULONG_MAX;
}

static void fail_at(const struct world *w, const char *what, unsigned long is, unsigned long should)
{
	printf("step %lu, %s: %s is %#lx, should be %#lx\n", w->step, w->call, what, is, should);
	mt_dump(&w->mt, mt_dump_hex);
	fflush(stdout);
	fail();
}

static void expect(const struct world *w, const char *what, unsigned long is, unsigned long should)
{
	if (is != should)
		fail_at(w, what, is, should);
}

/* The state reports the run of @cell with its entry. */
static void expect_at(const struct world *w, const struct ma_state *mas, void *entry, int cell)
{
	unsigned long first, last;

	run_of(w, cell, &first, &last);
	expect(w, "entry", (unsigned long)entry, (unsigned long)w->cell[cell]);
	expect(w, "index", mas->index, first);
	expect(w, "last", mas->last, last);
}

static void compare_valid(struct world *w)
{
	unsigned long where = 0;
	const char *fault = tree_find_fault(&w->mt, &where);

	if (fault) {
		printf("step %lu, %s: %s at %#lx\n", w->step, w->call, fault, where);
		mt_dump(&w->mt, mt_dump_hex);
		fflush(stdout);
		fail();
	}
}

/* Every range, gaps included, upwards and downwards. */
static void compare_all(struct world *w)
{
	MA_STATE(mas, &w->mt, 0, 0);
	unsigned long first, last, at = 0;
	void *entry = mas_walk(&mas);

	compare_valid(w);
	for (;;) {
		int cell = cell_of(w, at);

		if (cell == NONE) {
			int near = at < lo(w, 0) ? 0 : w->cells - 1;

			first = near ? hi(w, near) + 1 : 0;
			last = near ? ULONG_MAX : lo(w, 0) - 1;
			if (!w->cell[near])
				run_of(w, near, &first, &last);
			expect(w, "entry beside", (unsigned long)entry, 0);
		} else {
			run_of(w, cell, &first, &last);
			expect(w, "entry up", (unsigned long)entry, (unsigned long)w->cell[cell]);
		}
		if (mas.status == ma_none && !w->mt.ma_root)
			return;
		expect(w, "index up", mas.index, first);
		expect(w, "last up", mas.last, last);
		if (last == ULONG_MAX)
			break;
		at = last + 1;
		entry = mas_next_range(&mas, ULONG_MAX);
	}
	for (;;) {
		int cell = cell_of(w, mas.index);

		if (cell != NONE && mas.status == ma_active)
			expect_at(w, &mas, cell == NONE ? NULL : entry, cell);
		if (mas.index == 0)
			break;
		at = mas.index;
		entry = mas_prev_range(&mas, 0);
		expect(w, "last down", mas.last, at - 1);
	}
}

static void *new_value(struct world *w)
{
	return xa_mk_value(++w->next_value);
}

static void pick(struct world *w, int *from, int *to)
{
	int most = below(w, w->cells < DEEP ? 8 : 50) ? 6 : w->cells / (w->cells < DEEP ? 1 : 8);

	*from = below(w, w->cells);
	*to = *from + below(w, most);
	if (*to >= w->cells)
		*to = w->cells - 1;
}

static void set_cells(struct world *w, int from, int to, void *value)
{
	for (int i = from; i <= to; i++)
		w->cell[i] = value;
}

/* Calls ------------------------------------------------------------------- */

static void call_store(struct world *w)
{
	int from, to;
	void *value = below(w, 4) ? new_value(w) : NULL;

	pick(w, &from, &to);
	w->call = value ? "mtree_store_range" : "mtree_store_range NULL";
	if (value && below(w, 2)) {
		w->call = "mt_put";
		mtree_lock(&w->mt);
		expect(w, "result", (unsigned long)mt_put(&w->mt, lo(w, from), hi(w, to), value), 0);
		mtree_unlock(&w->mt);
	} else {
		expect(w, "result", (unsigned long)mtree_store_range(&w->mt, lo(w, from), hi(w, to), value, 0), 0);
	}
	set_cells(w, from, to, value);
}

static void call_mas_store(struct world *w)
{
	int from, to;
	void *value = below(w, 4) ? new_value(w) : NULL;
	void *old;

	pick(w, &from, &to);
	MA_STATE(mas, &w->mt, lo(w, from), hi(w, to));

	w->call = "mas_store";
	mas_lock(&mas);
	if (below(w, 2)) {
		old = mas_store(&mas, value);
		expect(w, "old entry", (unsigned long)old, (unsigned long)w->cell[from]);
		mas_destroy(&mas);
	} else if (below(w, 2)) {
		expect(w, "result", (unsigned long)mas_store_gfp(&mas, value, GFP_KERNEL), 0);
	} else {
		w->call = "mas_preallocate";
		expect(w, "result", (unsigned long)mas_preallocate(&mas, value, GFP_KERNEL), 0);
		platform_fail_nth(platform_default(), -1);
		mas_store_prealloc(&mas, value);
		platform_fail_nth(platform_default(), 0);
	}
	mas_unlock(&mas);
	set_cells(w, from, to, value);
}

/* A store in the course of a walk: the state goes on from there. */
static void call_store_and_step(struct world *w)
{
	int from, to;
	void *value = below(w, 2) ? new_value(w) : NULL;
	void *entry;

	pick(w, &from, &to);
	MA_STATE(mas, &w->mt, lo(w, from), hi(w, to));

	mas_lock(&mas);
	w->call = "mas_store_gfp";
	expect(w, "result", (unsigned long)mas_store_gfp(&mas, value, GFP_KERNEL), 0);
	set_cells(w, from, to, value);
	w->call = "mas_next after store";
	entry = mas_next(&mas, ULONG_MAX);
	while (++to < w->cells && (!w->cell[to] || w->cell[to] == value))
		;
	if (to < w->cells)
		expect_at(w, &mas, entry, to);
	else
		expect(w, "entry", (unsigned long)entry, 0);
	mas_unlock(&mas);
}

/* A part of a range becomes another, and what is above of it a third. */
static void call_cut(struct world *w)
{
	int cell = below(w, w->cells), from = cell, to = cell, end = cell;
	void *middle = new_value(w), *high = new_value(w);
	bool has_high;

	if (!w->cell[cell])
		return;
	while (end + 1 < w->cells && w->cell[end + 1] == w->cell[cell])
		end++;
	while (from > 0 && w->cell[from - 1] == w->cell[cell] && below(w, 2))
		from--;
	to += below(w, end - to + 1);
	has_high = to < end && below(w, 2);
	w->call = "mt_cut";
	mtree_lock(&w->mt);
	expect(w, "result", (unsigned long)mt_cut(&w->mt, &(struct mt_cut){ lo(w, from), hi(w, to), middle,
							  has_high ? high : NULL }, hi(w, end)), 0);
	mtree_unlock(&w->mt);
	set_cells(w, from, to, middle);
	if (has_high)
		set_cells(w, to + 1, end, high);
}

static void call_insert(struct world *w)
{
	int from, to, should = 0;
	void *value = new_value(w);

	pick(w, &from, &to);
	w->call = "mtree_insert_range";
	for (int i = from; i <= to; i++)
		if (w->cell[i])
			should = -EEXIST;
	expect(w, "result", (unsigned long)mtree_insert_range(&w->mt, lo(w, from), hi(w, to), value, 0),
	       (unsigned long)should);
	if (!should)
		set_cells(w, from, to, value);
}

static void call_erase(struct world *w)
{
	int cell = below(w, w->cells);
	void *value = w->cell[cell];
	MA_STATE(mas, &w->mt, lo(w, cell), lo(w, cell));

	platform_fail_nth(platform_default(), -1);
	if (below(w, 2)) {
		w->call = "mtree_erase";
		expect(w, "entry", (unsigned long)mtree_erase(&w->mt, hi(w, cell)), (unsigned long)value);
	} else if (below(w, 2)) {
		w->call = "mt_take";
		mtree_lock(&w->mt);
		expect(w, "entry", (unsigned long)mt_take(&w->mt, hi(w, cell)), (unsigned long)value);
		mtree_unlock(&w->mt);
	} else {
		w->call = "mas_erase";
		mas_lock(&mas);
		expect(w, "entry", (unsigned long)mas_erase(&mas), (unsigned long)value);
		mas_unlock(&mas);
	}
	platform_fail_nth(platform_default(), 0);
	for (int i = 0; value && i < w->cells; i++)
		if (w->cell[i] == value && i <= cell) {
			int j = i;

			while (j < w->cells && w->cell[j] == value)
				j++;
			if (j > cell)
				set_cells(w, i, j - 1, NULL);
			i = j;
		}
}

/* Promise 3: NULL over whole ranges and gaps, with every allocation failing. */
static void call_clear_whole(struct world *w)
{
	int from, to;

	pick(w, &from, &to);
	while (from > 0 && w->cell[from] && w->cell[from - 1] == w->cell[from])
		from--;
	while (to + 1 < w->cells && w->cell[to] && w->cell[to + 1] == w->cell[to])
		to++;
	w->call = "mtree_store_range NULL over whole ranges";
	platform_fail_nth(platform_default(), -1);
	expect(w, "result", (unsigned long)mtree_store_range(&w->mt, lo(w, from), hi(w, to), NULL, 0), 0);
	platform_fail_nth(platform_default(), 0);
	set_cells(w, from, to, NULL);
}

static void call_walk(struct world *w)
{
	int cell = below(w, w->cells);
	MA_STATE(mas, &w->mt, lo(w, cell), lo(w, cell));
	void *entry;

	w->call = "mas_walk";
	entry = mas_walk(&mas);
	expect(w, "mtree_load", (unsigned long)mtree_load(&w->mt, hi(w, cell)), (unsigned long)w->cell[cell]);
	if (w->mt.ma_root)
		expect_at(w, &mas, entry, cell);
}

static void call_find(struct world *w)
{
	int cell = below(w, w->cells), max = cell + below(w, w->cells - cell);
	MA_STATE(mas, &w->mt, lo(w, cell), lo(w, cell));
	void *entry;

	w->call = "mas_find";
	if (below(w, 2))
		mas_walk(&mas), mas_set(&mas, lo(w, cell));
	for (int i = cell; i <= max;) {
		unsigned long first, last;

		if (!w->cell[i]) {
			i++;
			continue;
		}
		entry = mas_find(&mas, lo(w, max));
		expect_at(w, &mas, entry, i);
		if (!below(w, 4))
			mas_pause(&mas);
		run_of(w, i, &first, &last);
		while (i < w->cells && lo(w, i) <= last && lo(w, i) >= first)
			i++;
	}
	expect(w, "entry at the end", (unsigned long)mas_find(&mas, lo(w, max)), 0);
}

static void call_find_rev(struct world *w)
{
	int cell = below(w, w->cells), min = below(w, cell + 1);
	MA_STATE(mas, &w->mt, hi(w, cell), hi(w, cell));
	void *entry;

	w->call = "mas_find_rev";
	for (int i = cell; i >= min;) {
		unsigned long first, last;

		if (!w->cell[i]) {
			i--;
			continue;
		}
		entry = mas_find_rev(&mas, hi(w, min));
		expect_at(w, &mas, entry, i);
		if (!below(w, 4))
			mas_pause(&mas);
		run_of(w, i, &first, &last);
		while (i >= 0 && hi(w, i) >= first)
			i--;
	}
	expect(w, "entry at the end", (unsigned long)mas_find_rev(&mas, hi(w, min)), 0);
}

static void call_neighbours(struct world *w)
{
	int cell = below(w, w->cells), i;
	MA_STATE(mas, &w->mt, lo(w, cell), lo(w, cell));
	unsigned long first, last;
	void *entry;

	run_of(w, cell, &first, &last);
	w->call = "mas_next";
	entry = mas_next(&mas, ULONG_MAX);
	for (i = cell; i < w->cells && (!w->cell[i] || lo(w, i) <= last); i++)
		;
	if (i < w->cells)
		expect_at(w, &mas, entry, i);
	else
		expect(w, "next", (unsigned long)entry, 0);
	expect(w, "mt_next", (unsigned long)mt_next(&w->mt, lo(w, cell), ULONG_MAX), (unsigned long)entry);
	w->call = "mas_prev";
	mas_set(&mas, lo(w, cell));
	entry = mas_prev(&mas, 0);
	for (i = cell; i >= 0 && (!w->cell[i] || lo(w, i) >= first); i--)
		;
	if (i >= 0)
		expect_at(w, &mas, entry, i);
	else
		expect(w, "prev", (unsigned long)entry, 0);
	expect(w, "mt_prev", (unsigned long)mt_prev(&w->mt, lo(w, cell), 0), (unsigned long)entry);
}

/* What a writer asks before a change, from anywhere in a range or gap. */
static void call_near(struct world *w)
{
	int cell = below(w, w->cells), i;
	unsigned long first, last;
	struct mt_near near;

	w->call = "mt_near";
	run_of(w, cell, &first, &last);
	mtree_lock(&w->mt);
	mt_near(&w->mt, below(w, 2) ? lo(w, cell) : hi(w, cell), &near);
	mtree_unlock(&w->mt);
	expect(w, "at", (unsigned long)near.at, (unsigned long)w->cell[cell]);
	for (i = cell; i >= 0 && (!w->cell[i] || lo(w, i) >= first); i--)
		;
	expect(w, "before", (unsigned long)near.before, i < 0 ? 0 : (unsigned long)w->cell[i]);
	if (i >= 0)
		expect(w, "last index before", near.before_last, hi(w, i));
	for (i = cell; i < w->cells && (!w->cell[i] || lo(w, i) <= last); i++)
		;
	expect(w, "after", (unsigned long)near.after, i < w->cells ? (unsigned long)w->cell[i] : 0);
	if (i < w->cells)
		expect(w, "first index after", near.after_first, lo(w, i));
}

/* The lowest or highest place for @size indexes in [min, max], by the cells. */
static bool model_area(const struct world *w, unsigned long min, unsigned long max, unsigned long size, bool up,
		       unsigned long *place)
{
	bool found = false;

	for (int i = -1; i <= w->cells; i++) {
		unsigned long first, last;

		if (i == -1 || i == w->cells) {
			first = i < 0 ? 0 : hi(w, w->cells - 1) + 1;
			last = i < 0 ? lo(w, 0) - 1 : ULONG_MAX;
			if (w->layout == LAY_WHOLE || (i < 0 && !lo(w, 0)))
				continue;
			if (!w->cell[i < 0 ? 0 : w->cells - 1])
				continue;
		} else {
			if (w->cell[i])
				continue;
			run_of(w, i, &first, &last);
		}
		if (first < min)
			first = min;
		if (last > max)
			last = max;
		if (first > last || last - first < size - 1)
			continue;
		*place = up ? first : last - (size - 1);
		found = true;
		if (up)
			return true;
	}
	return found;
}

static void call_area(struct world *w)
{
	int from, to;
	unsigned long min, max, size, place = 0;
	bool up = below(w, 2), found;
	MA_STATE(mas, &w->mt, 0, 0);
	int err;

	pick(w, &from, &to);
	min = below(w, 4) ? lo(w, from) : 0;
	max = below(w, 4) ? hi(w, to) : ULONG_MAX;
	size = hi(w, below(w, 5) < w->cells ? below(w, 5) : 0) - lo(w, 0) + 1;
	if (size == 0 || max - min < size - 1)
		size = max - min ? 1 + roll(w) % (max - min) : 1;
	w->call = up ? "mas_empty_area" : "mas_empty_area_rev";
	found = model_area(w, min, max, size, up, &place);
	err = up ? mas_empty_area(&mas, min, max, size) : mas_empty_area_rev(&mas, min, max, size);
	expect(w, "result", (unsigned long)err, (unsigned long)(found ? 0 : -EBUSY));
	if (found) {
		expect(w, "index", mas.index, place);
		expect(w, "last", mas.last, place + (size - 1));
	}
	if (up)
		return;
	place = 0;
	expect(w, "mt_highest_gap", mt_highest_gap(&w->mt, min, max, size, &place), found);
	if (found)
		expect(w, "place", place, mas.index);
}

static void call_alloc(struct world *w)
{
	int want = 1 + below(w, 3), from, to;
	unsigned long place = 0, start = 7, size;
	bool up = below(w, 2), found;
	void *value = new_value(w);
	int err;

	if (!(w->mt.ma_flags & MT_FLAGS_ALLOC_RANGE))
		return;
	pick(w, &from, &to);
	if (to - from + 1 < want)
		return;
	w->call = up ? "mtree_alloc_range" : "mtree_alloc_rrange";
	size = lo(w, 1) - lo(w, 0);
	size *= (unsigned long)want;
	if (w->layout == LAY_WHOLE)
		return;
	found = model_area(w, lo(w, from), hi(w, to), size, up, &place);
	err = up ? mtree_alloc_range(&w->mt, &start, value, size, lo(w, from), hi(w, to), 0)
		 : mtree_alloc_rrange(&w->mt, &start, value, size, lo(w, from), hi(w, to), 0);
	expect(w, "result", (unsigned long)err, (unsigned long)(found ? 0 : -EBUSY));
	expect(w, "start", start, found ? place : 7);
	if (found)
		set_cells(w, cell_of(w, place), cell_of(w, place + size - 1), value);
}

static void call_dup(struct world *w)
{
	struct maple_tree copy, old = w->mt;

	w->call = "mtree_dup";
	mt_init_flags(&copy, w->mt.ma_flags);
	expect(w, "result", (unsigned long)mtree_dup(&w->mt, &copy, 0), 0);
	w->mt = copy;
	compare_all(w);
	if (below(w, 2)) {
		mtree_destroy(&old);
	} else {
		copy = w->mt;
		w->mt = old;
		mtree_destroy(&copy);
	}
}

static void call_switch_rcu(struct world *w)
{
	w->call = "mt_set_in_rcu";
	if (mt_in_rcu(&w->mt))
		mt_clear_in_rcu(&w->mt);
	else
		mt_set_in_rcu(&w->mt);
}

static void one_call(struct world *w)
{
	static void (*const call[])(struct world *) = {
		call_store, call_store, call_mas_store, call_insert, call_insert, call_insert, call_erase, call_erase,
		call_erase, call_clear_whole, call_store_and_step, call_cut, call_cut,
	};
	static void (*const look[])(struct world *) = {
		call_walk, call_find, call_find_rev, call_neighbours, call_near, call_area, call_area,
	};

	w->step++;
	if (!below(w, 200))
		call_dup(w);
	if (!below(w, 500))
		call_switch_rcu(w);
	if (!below(w, 10))
		call_alloc(w);
	call[below(w, sizeof(call) / sizeof(call[0]))](w);
	look[below(w, sizeof(look) / sizeof(look[0]))](w);
}

/* Every second cell, so that there are gaps everywhere. */
static void fill(struct world *w)
{
	for (int i = 0; i < w->cells; i += 2) {
		w->cell[i] = new_value(w);
		expect(w, "result", (unsigned long)mtree_store_range(&w->mt, lo(w, i), hi(w, i), w->cell[i], 0), 0);
	}
}

/* A large tree: the validator after each call, all ranges now and then. */
static void run_deep(enum layout layout, unsigned int flags, uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->layout = layout;
	w->cells = MAX_CELLS;
	w->random = seed * 0x9e3779b97f4a7c15ull | 1;
	mt_init_flags(&w->mt, flags);
	w->call = "fill";
	fill(w);
	assert_true(mt_height(&w->mt) >= 3);
	for (unsigned long i = 0; i < 1200; i++) {
		one_call(w);
		compare_valid(w);
		if (i % 500 == 499)
			compare_all(w);
	}
	mtree_destroy(&w->mt);
	free(w);
}

static unsigned long calls_per_run(void)
{
	const char *env = getenv("TREE_CALLS");

	return env ? strtoul(env, NULL, 0) : 5000;
}

static void run(enum layout layout, int cells, unsigned int flags, uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	unsigned long calls = calls_per_run() / (unsigned long)(cells > 64 ? cells / 32 : 1);
	struct platform_stats stats;

	assert_non_null(w);
	w->layout = layout;
	w->cells = cells;
	w->random = seed * 0x9e3779b97f4a7c15ull | 1;
	mt_init_flags(&w->mt, flags);
	for (unsigned long i = 0; i < calls; i++) {
		one_call(w);
		compare_all(w);
	}
	mtree_destroy(&w->mt);
	free(w);
	platform_read_stats(platform_default(), &stats);
	assert_int_equal(stats.nodes, 0);
	assert_int_equal(stats.others, 0);
}

static void run_all(uint64_t seed)
{
	static const int cells[] = { 8, 64, 256, 1024 };

	printf("seed %#lx\n", (unsigned long)seed);
	for (int layout = 0; layout < LAYOUTS; layout++)
		for (unsigned int flags = 0; flags < 4; flags++)
			for (int i = 0; i < 4; i++) {
				if (layout == LAY_WHOLE && cells[i] == 8 && flags == 3)
					continue;
				run((enum layout)layout, cells[i], flags, seed + (unsigned long)i);
			}
}

static void deep(void **state)
{
	(void)state;
	for (int layout = 0; layout < LAYOUTS; layout++)
		run_deep((enum layout)layout, layout & 1 ? MT_FLAGS_ALLOC_RANGE : 3, 7);
}

static void fixed_seed(void **state)
{
	(void)state;
	run_all(1);
}

static void fresh_seed(void **state)
{
	(void)state;
	run_all(seed_fresh());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deep),
		cmocka_unit_test(fixed_seed),
		cmocka_unit_test(fresh_seed),
	};

	return cmocka_run_group_tests_name("tree_random", tests, NULL, NULL);
}
