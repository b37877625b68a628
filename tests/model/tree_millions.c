/* SPDX-License-Identifier: MIT */
/*
 * A4, H1, H2. Ten million random calls, every call of the interface among them, on trees so small that
 * everything meets everything, against an array of cells. After each call the result, the reported range and
 * the whole tree are compared, and the validator looks at it.
 *
 * The cells cover the whole index space, the first begins at 0 and the last ends at ULONG_MAX:
 *
 *   units    0, 1, 2, ... 63, and one cell for all above
 *   ends     30 low indexes, the middle as one cell, 30 indexes up to ULONG_MAX
 *   spread   bounds anywhere, so that leaves hold far and near bounds
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

#define CELLS 65
#define NONE (-1)

enum layout { UNITS, ENDS, SPREAD, LAYOUTS };

struct world {
	struct maple_tree mt;
	enum layout layout;
	unsigned long lo[CELLS], hi[CELLS];
	void *cell[CELLS];
	unsigned long next_value, next_cyclic;
	uint64_t random;
	unsigned long calls;
	const char *call;
	/* what pick() chose */
	int from, to;
};

/* Chance ------------------------------------------------------------------ */

static uint64_t roll(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static int below(struct world *w, int n)
{
	return (int)((roll(w) >> 33) * (uint64_t)n >> 31);
}

static unsigned long in_cell(struct world *w, int cell)
{
	unsigned long span = w->hi[cell] - w->lo[cell];

	return below(w, 3) ? w->lo[cell] : below(w, 2) || !span ? w->hi[cell] : w->lo[cell] + roll(w) % span;
}

/* A range of cells, mostly short; now and then a large part. */
static void pick(struct world *w)
{
	int most = below(w, 16) ? 5 : CELLS;

	w->from = below(w, CELLS);
	w->to = w->from + below(w, most);
	if (w->to >= CELLS)
		w->to = CELLS - 1;
}

static void *new_value(struct world *w)
{
	return xa_mk_value(++w->next_value);
}

/* The model --------------------------------------------------------------- */

static int first_of_run(const struct world *w, int cell)
{
	int i = cell;

	while (i > 0 && w->cell[i - 1] == w->cell[cell])
		i--;
	return i;
}

static int last_of_run(const struct world *w, int cell)
{
	int i = cell;

	while (i + 1 < CELLS && w->cell[i + 1] == w->cell[cell])
		i++;
	return i;
}

static void set_cells(struct world *w, int from, int to, void *value)
{
	for (int i = from; i <= to; i++)
		w->cell[i] = value;
}

/* Whether nothing but [0, 0] is in the tree: it needs no node, and reports what has none. */
static bool lives_in_root(const struct world *w)
{
	return !root_is_node(w->mt.ma_root);
}

/* The cell where the next entry after the run of @cell begins, or the entry before it ends; NONE. */
static int entry_after(const struct world *w, int cell)
{
	for (int i = last_of_run(w, cell) + 1; i < CELLS; i++)
		if (w->cell[i])
			return i;
	return NONE;
}

static int entry_before(const struct world *w, int cell)
{
	for (int i = first_of_run(w, cell) - 1; i >= 0; i--)
		if (w->cell[i])
			return i;
	return NONE;
}

/* Comparing --------------------------------------------------------------- */

static _Noreturn void fail_at(struct world *w, const char *what, unsigned long is, unsigned long should)
{
	printf("layout %d, flags %#x, call %lu, %s [%d, %d]: %s is %#lx, should be %#lx\n", w->layout, w->mt.ma_flags,
	       w->calls, w->call, w->from, w->to, what, is, should);
	mt_dump(&w->mt, mt_dump_hex);
	fflush(stdout);
	platform_fail_nth(platform_default(), 0);
	fail();
	abort();
}

static inline void expect(struct world *w, const char *what, unsigned long is, unsigned long should)
{
	if (__builtin_expect(is != should, 0))
		fail_at(w, what, is, should);
}

static inline void expect_entry(struct world *w, const void *is, const void *should)
{
	expect(w, "entry", (unsigned long)is, (unsigned long)should);
}

/* The state reports the whole run of @cell; @entry is its. */
static void expect_run(struct world *w, const struct ma_state *mas, const void *entry, int cell)
{
	expect_entry(w, entry, w->cell[cell]);
	expect(w, "index", mas->index, w->lo[first_of_run(w, cell)]);
	expect(w, "last", mas->last, w->hi[last_of_run(w, cell)]);
}

static void compare_all(struct world *w)
{
	MA_STATE(mas, &w->mt, 0, 0);
	unsigned long where = 0;
	int cell = 0;
	void *entry;

	if (tree_find_fault(&w->mt, &where))
		fail_at(w, tree_find_fault(&w->mt, &where), where, 0);
	mas_for_each(&mas, entry, ULONG_MAX) {
		while (cell < CELLS && w->hi[cell] < mas.index)
			expect_entry(w, NULL, w->cell[cell++]);
		expect(w, "index of an entry", mas.index, w->lo[cell]);
		for (; cell < CELLS && w->lo[cell] <= mas.last; cell++)
			expect_entry(w, entry, w->cell[cell]);
		expect(w, "last of an entry", mas.last, w->hi[cell - 1]);
	}
	while (cell < CELLS)
		expect_entry(w, NULL, w->cell[cell++]);
}

/* Calls that change the tree ---------------------------------------------- */

static void call_store(struct world *w)
{
	void *value = below(w, 5) ? new_value(w) : NULL;
	int err;

	pick(w);
	if (w->layout == UNITS && w->from < 64 && below(w, 2)) {
		w->call = "mtree_store";
		w->to = w->from;
		err = mtree_store(&w->mt, w->lo[w->from], value, GFP_KERNEL);
	} else {
		w->call = "mtree_store_range";
		err = mtree_store_range(&w->mt, w->lo[w->from], w->hi[w->to], value, GFP_KERNEL);
	}
	expect(w, "result", (unsigned long)err, 0);
	set_cells(w, w->from, w->to, value);
}

/* H2. When memory runs out nothing has changed; NULL over whole entries does not need any. */
static void call_store_without_memory(struct world *w)
{
	void *value = below(w, 2) ? new_value(w) : NULL;
	bool whole;
	int err;

	pick(w);
	whole = (!w->cell[w->from] || first_of_run(w, w->from) == w->from) &&
		(!w->cell[w->to] || last_of_run(w, w->to) == w->to);
	w->call = "mtree_store_range without memory";
	platform_fail_nth(platform_default(), below(w, 2) ? -1 : 1 + below(w, 4));
	err = mtree_store_range(&w->mt, w->lo[w->from], w->hi[w->to], value, GFP_KERNEL);
	platform_fail_nth(platform_default(), 0);
	if (err && (value || !whole))
		expect(w, "result", (unsigned long)err, (unsigned long)-ENOMEM);
	else
		expect(w, "result", (unsigned long)err, 0);
	if (!err)
		set_cells(w, w->from, w->to, value);
	compare_all(w);
}

static void call_mas_store(struct world *w)
{
	void *value = below(w, 4) ? new_value(w) : NULL;
	MA_STATE(mas, &w->mt, 0, 0);
	int err = 0;

	pick(w);
	mas_set_range(&mas, w->lo[w->from], w->hi[w->to]);
	mas_lock(&mas);
	switch (below(w, 3)) {
	case 0:
		w->call = "mas_store";
		expect_entry(w, mas_store(&mas, value), w->cell[w->from]);
		expect(w, "error", mas_is_err(&mas), 0);
		break;
	case 1:
		w->call = "mas_store_gfp";
		err = mas_store_gfp(&mas, value, GFP_KERNEL);
		break;
	default:
		w->call = "mas_preallocate";
		err = mas_preallocate(&mas, value, GFP_KERNEL);
		platform_fail_nth(platform_default(), -1);
		mas_store_prealloc(&mas, value);
		platform_fail_nth(platform_default(), 0);
	}
	expect(w, "result", (unsigned long)err, 0);
	set_cells(w, w->from, w->to, value);
	if (value) {
		expect(w, "index", mas.index, w->lo[w->from]);
		expect(w, "last", mas.last, w->hi[w->to]);
	} else if (mas.status == ma_active) {
		expect_run(w, &mas, NULL, w->from);
	}
	mas_unlock(&mas);
}

/* Nodes are set aside, and not used after all. */
static void call_preallocate_only(struct world *w)
{
	MA_STATE(mas, &w->mt, 0, 0);

	pick(w);
	mas_set_range(&mas, w->lo[w->from], w->hi[w->to]);
	mas_lock(&mas);
	if (below(w, 2)) {
		w->call = "mas_preallocate, mas_destroy";
		expect(w, "result", (unsigned long)mas_preallocate(&mas, xa_mk_value(1), GFP_KERNEL), 0);
	} else {
		w->call = "mas_expected_entries, mas_destroy";
		expect(w, "result", (unsigned long)mas_expected_entries(&mas, 1 + roll(w) % 40), 0);
	}
	mas_destroy(&mas);
	mas_unlock(&mas);
}

static void call_nomem(struct world *w)
{
	MA_STATE(mas, &w->mt, 0, 0);
	void *value = new_value(w);

	pick(w);
	w->call = "mas_store, mas_nomem";
	mas_lock(&mas);
	platform_fail_nth(platform_default(), 1 + below(w, 2));
	do {
		mas_set_range(&mas, w->lo[w->from], w->hi[w->to]);
		mas_store(&mas, value);
	} while (mas_nomem(&mas, GFP_KERNEL));
	platform_fail_nth(platform_default(), 0);
	mas_unlock(&mas);
	if (!mas_is_err(&mas))
		set_cells(w, w->from, w->to, value);
	else
		expect(w, "error", (unsigned long)xa_err(mas.node), (unsigned long)-ENOMEM);
}

static void call_insert(struct world *w)
{
	MA_STATE(mas, &w->mt, 0, 0);
	void *value = new_value(w), *there;
	int should = 0, err;

	pick(w);
	if (below(w, 3)) {
		w->from = first_of_run(w, w->from);
		w->to = w->from;
	}
	for (int i = w->from; i <= w->to; i++)
		if (w->cell[i])
			should = -EEXIST;
	if (below(w, 2)) {
		w->call = "mtree_insert_range";
		err = mtree_insert_range(&w->mt, w->lo[w->from], w->hi[w->to], value, GFP_KERNEL);
	} else if (w->lo[w->from] == w->hi[w->to]) {
		w->call = "mtree_insert";
		err = mtree_insert(&w->mt, w->lo[w->from], value, GFP_KERNEL);
	} else {
		w->call = "mas_insert";
		mas_set_range(&mas, w->lo[w->from], w->hi[w->to]);
		mas_lock(&mas);
		there = mas_insert(&mas, value);
		err = mas_is_err(&mas) ? xa_err(mas.node) : 0;
		mas_unlock(&mas);
		expect(w, "entry there", there != NULL, should != 0);
	}
	expect(w, "result", (unsigned long)err, (unsigned long)should);
	if (!should)
		set_cells(w, w->from, w->to, value);
}

/* H1. Erasing needs no memory. */
static void call_erase(struct world *w)
{
	int cell = below(w, CELLS);
	void *value = w->cell[cell];
	unsigned long index = in_cell(w, cell);
	MA_STATE(mas, &w->mt, index, index);

	w->from = w->to = cell;
	platform_fail_nth(platform_default(), -1);
	mas_lock(&mas);
	if (below(w, 2)) {
		mas_unlock(&mas);
		w->call = "mtree_erase";
		expect_entry(w, mtree_erase(&w->mt, index), value);
		mas_lock(&mas);
	} else {
		w->call = "mas_erase";
		expect_entry(w, mas_erase(&mas), value);
	}
	mas_unlock(&mas);
	platform_fail_nth(platform_default(), 0);
	if (value)
		set_cells(w, first_of_run(w, cell), last_of_run(w, cell), NULL);
	if (w->call[1] == 'a' && mas.status == ma_active)
		expect_run(w, &mas, NULL, cell);
}

static void call_dup(struct world *w)
{
	struct maple_tree copy, old = w->mt;
	unsigned int flags = w->mt.ma_flags;

	mt_init_flags(&copy, flags);
	if (below(w, 2)) {
		w->call = "mtree_dup";
		expect(w, "result", (unsigned long)mtree_dup(&w->mt, &copy, GFP_KERNEL), 0);
	} else {
		w->call = "__mt_dup";
		expect(w, "result", (unsigned long)__mt_dup(&w->mt, &copy, GFP_KERNEL), 0);
	}
	w->mt = copy;
	compare_all(w);
	mtree_destroy(&old);
}

static void call_destroy(struct world *w)
{
	w->call = "mtree_destroy";
	mtree_destroy(&w->mt);
	expect(w, "mtree_empty", mtree_empty(&w->mt), true);
	set_cells(w, 0, CELLS - 1, NULL);
}

static void call_switch_rcu(struct world *w)
{
	w->call = "mt_set_in_rcu, mt_clear_in_rcu";
	if (mt_in_rcu(&w->mt))
		mt_clear_in_rcu(&w->mt);
	else
		mt_set_in_rcu(&w->mt);
}

/* A zero entry is seen by states only, and gone again at once: the model knows nothing of it. */
static void call_reserve(struct world *w)
{
	MA_STATE(mas, &w->mt, 0, 0);
	unsigned long at;

	pick(w);
	if (w->cell[w->from])
		return;
	at = w->lo[w->from];
	w->call = "XA_ZERO_ENTRY";
	expect(w, "result", (unsigned long)mtree_insert_range(&w->mt, at, w->hi[w->from], XA_ZERO_ENTRY, 0), 0);
	expect_entry(w, mtree_load(&w->mt, at), NULL);
	mas_set(&mas, at);
	expect_entry(w, mas_walk(&mas), XA_ZERO_ENTRY);
	expect(w, "result", (unsigned long)mtree_insert(&w->mt, at, xa_mk_value(1), 0), (unsigned long)-EEXIST);
	expect_entry(w, mtree_erase(&w->mt, at), XA_ZERO_ENTRY);
}

/* Calls that look --------------------------------------------------------- */

static void call_load(struct world *w)
{
	int cell = below(w, CELLS);
	unsigned long index = in_cell(w, cell);
	MA_STATE(mas, &w->mt, index, index);
	void *entry;

	w->from = w->to = cell;
	w->call = "mtree_load";
	expect_entry(w, mtree_load(&w->mt, index), w->cell[cell]);
	w->call = "mas_walk";
	entry = mas_walk(&mas);
	if (!lives_in_root(w))
		expect_run(w, &mas, entry, cell);
	else
		expect_entry(w, entry, w->cell[cell]);
}

/* From a cell upwards, up to a limit: what each of the four steps must find there. */
static void call_upwards(struct world *w)
{
	bool gaps = below(w, 2), find = below(w, 2), walked = below(w, 2);
	int cell, next, max;
	struct ma_state mas;
	unsigned long limit;
	void *entry;

	pick(w);
	cell = w->from;
	max = cell + below(w, CELLS - cell);
	limit = in_cell(w, max);
	mas_init(&mas, &w->mt, w->lo[cell]);
	if (limit < w->lo[cell] || lives_in_root(w))
		return;
	if (walked)
		mas_walk(&mas);
	w->to = max;
	w->call = find ? gaps ? "mas_find_range" : "mas_find" : gaps ? "mas_next_range" : "mas_next";
	entry = find ? gaps ? mas_find_range(&mas, limit) : mas_find(&mas, limit)
		     : gaps ? mas_next_range(&mas, limit) : mas_next(&mas, limit);
	if (find && !walked && w->cell[cell]) {
		expect_run(w, &mas, entry, cell);
		return;
	}
	if (gaps)
		next = last_of_run(w, cell) + 1 < CELLS ? last_of_run(w, cell) + 1 : NONE;
	else
		next = entry_after(w, cell);
	if (next == NONE || w->lo[next] > limit)
		expect_entry(w, entry, NULL);
	else if (!gaps || w->cell[cell] || !find || walked)
		expect_run(w, &mas, entry, next);
}

static void call_downwards(struct world *w)
{
	bool gaps = below(w, 2), find = below(w, 2), walked = below(w, 2);
	struct ma_state mas;
	unsigned long limit;
	int cell, before, min;
	void *entry;

	pick(w);
	cell = w->from;
	min = below(w, cell + 1);
	limit = in_cell(w, min);
	mas_init(&mas, &w->mt, w->hi[cell]);
	if (limit > w->hi[cell] || lives_in_root(w))
		return;
	if (walked)
		mas_walk(&mas);
	w->to = min;
	w->call = find ? gaps ? "mas_find_range_rev" : "mas_find_rev" : gaps ? "mas_prev_range" : "mas_prev";
	entry = find ? gaps ? mas_find_range_rev(&mas, limit) : mas_find_rev(&mas, limit)
		     : gaps ? mas_prev_range(&mas, limit) : mas_prev(&mas, limit);
	if (find && !walked && w->cell[cell]) {
		expect_run(w, &mas, entry, cell);
		return;
	}
	if (gaps)
		before = first_of_run(w, cell) - 1;
	else
		before = entry_before(w, cell);
	if (before < 0 || w->hi[before] < limit)
		expect_entry(w, entry, NULL);
	else
		expect_run(w, &mas, entry, before);
}

/* A loop over entries, with pauses. */
static void call_loop(struct world *w)
{
	int from = below(w, CELLS), cell;
	MA_STATE(mas, &w->mt, w->lo[from], w->lo[from]);
	bool up = below(w, 2);
	void *entry;

	w->from = w->to = cell = from;
	w->call = up ? "mas_for_each, mas_pause" : "mas_for_each_rev, mas_pause";
	for (int steps = 0; steps < 6; steps++) {
		while (cell >= 0 && cell < CELLS && !w->cell[cell])
			cell += up ? 1 : -1;
		entry = up ? mas_find(&mas, ULONG_MAX) : mas_find_rev(&mas, 0);
		if (cell < 0 || cell == CELLS) {
			expect_entry(w, entry, NULL);
			return;
		}
		expect_run(w, &mas, entry, cell);
		cell = up ? last_of_run(w, cell) + 1 : first_of_run(w, cell) - 1;
		if (!below(w, 3))
			mas_pause(&mas);
	}
}

static void call_mt_find(struct world *w)
{
	int cell, next, max;
	unsigned long index, limit;
	void *entry;

	pick(w);
	cell = w->from;
	max = cell + below(w, CELLS - cell);
	index = w->lo[cell];
	limit = w->hi[max];
	w->call = "mt_find";
	next = w->cell[cell] ? cell : entry_after(w, cell);
	entry = mt_find(&w->mt, &index, limit);
	if (next == NONE || next > max) {
		expect_entry(w, entry, NULL);
		expect(w, "index", index, w->lo[cell]);
		return;
	}
	expect_entry(w, entry, w->cell[next]);
	expect(w, "index", index, w->hi[last_of_run(w, next)] + 1);
	w->call = "mt_find_after";
	cell = next;
	next = entry_after(w, cell);
	entry = mt_find_after(&w->mt, &index, limit);
	expect_entry(w, entry, next == NONE || next > max || !(w->hi[last_of_run(w, cell)] + 1) ? NULL : w->cell[next]);
}

static void call_mt_next(struct world *w)
{
	int cell = below(w, CELLS), max = below(w, CELLS), next = entry_after(w, cell), before = entry_before(w, cell);
	unsigned long index = in_cell(w, cell);

	w->from = cell;
	w->to = max;
	w->call = "mt_next";
	expect_entry(w, mt_next(&w->mt, index, w->hi[max]), next == NONE || next > max ? NULL : w->cell[next]);
	w->call = "mt_prev";
	expect_entry(w, mt_prev(&w->mt, index, w->lo[max]), before == NONE || before < max ? NULL : w->cell[before]);
}

/* Gaps -------------------------------------------------------------------- */

/* The lowest or highest place for @size indexes in [min, max]. */
static bool model_area(const struct world *w, unsigned long min, unsigned long max, unsigned long size, bool up,
		       unsigned long *place)
{
	bool found = false;

	for (int i = 0; i < CELLS; i++) {
		unsigned long first, last;

		if (w->cell[i])
			continue;
		first = w->lo[i] > min ? w->lo[i] : min;
		i = last_of_run(w, i);
		last = w->hi[i] < max ? w->hi[i] : max;
		if (first > last || last - first < size - 1)
			continue;
		*place = up ? first : last - (size - 1);
		found = true;
		if (up)
			break;
	}
	return found;
}

static void call_empty_area(struct world *w)
{
	unsigned long min, max, size, place = 0;
	MA_STATE(mas, &w->mt, 0, 0);
	bool up = below(w, 2), found;
	int err;

	pick(w);
	if (below(w, 2))
		w->to = w->from + below(w, CELLS - w->from);
	min = in_cell(w, w->from);
	max = below(w, 4) ? w->hi[w->to] : ULONG_MAX;
	size = 1 + roll(w) % (below(w, 2) ? 5 : max - min ? max - min : 1);
	if (max - min < size - 1)
		size = 1;
	w->call = up ? "mas_empty_area" : "mas_empty_area_rev";
	found = model_area(w, min, max, size, up, &place);
	err = up ? mas_empty_area(&mas, min, max, size) : mas_empty_area_rev(&mas, min, max, size);
	expect(w, "result", (unsigned long)err, (unsigned long)(found ? 0 : -EBUSY));
	expect(w, "index", mas.index, found ? place : min);
	expect(w, "last", mas.last, found ? place + (size - 1) : max);
}

/* One index is one cell in the units only. */
static void call_alloc(struct world *w)
{
	unsigned long place = 0, start = 77, size = 1 + roll(w) % 4, max;
	bool up = below(w, 2), found;
	void *value = new_value(w);
	int err, should;

	pick(w);
	if (w->layout != UNITS || w->from > 60)
		return;
	max = w->from + below(w, 64 - w->from);
	found = model_area(w, w->lo[w->from], max, size, up, &place);
	should = max - w->lo[w->from] < size - 1 ? -EINVAL : found ? 0 : -EBUSY;
	if (!(w->mt.ma_flags & MT_FLAGS_ALLOC_RANGE))
		should = -EINVAL;
	w->call = up ? "mtree_alloc_range" : "mtree_alloc_rrange";
	err = up ? mtree_alloc_range(&w->mt, &start, value, size, w->lo[w->from], max, GFP_KERNEL)
		 : mtree_alloc_rrange(&w->mt, &start, value, size, w->lo[w->from], max, GFP_KERNEL);
	expect(w, "result", (unsigned long)err, (unsigned long)should);
	expect(w, "start", start, should ? 77 : place);
	if (!should)
		set_cells(w, (int)place, (int)(place + size - 1), value);
}

static void call_cyclic(struct world *w)
{
	unsigned long place = 0, start = 77, min, lo, hi;
	MA_STATE(mas, &w->mt, 0, 0);
	void *value = new_value(w);
	int should = 0, err;

	pick(w);
	if (w->layout != UNITS || w->from > 60 || !(w->mt.ma_flags & MT_FLAGS_ALLOC_RANGE))
		return;
	lo = w->lo[w->from];
	hi = lo + (unsigned long)below(w, 64 - w->from);
	min = w->next_cyclic > lo ? w->next_cyclic : lo;
	if (min > hi || !model_area(w, min, hi, 1, true, &place)) {
		should = min > lo ? 1 : -EBUSY;
		if (should == 1 && !model_area(w, lo, hi, 1, true, &place))
			should = -EBUSY;
	}
	if (below(w, 2)) {
		w->call = "mtree_alloc_cyclic";
		err = mtree_alloc_cyclic(&w->mt, &start, value, lo, hi, &w->next_cyclic, GFP_KERNEL);
	} else {
		w->call = "mas_alloc_cyclic";
		mas_lock(&mas);
		err = mas_alloc_cyclic(&mas, &start, value, lo, hi, &w->next_cyclic, GFP_KERNEL);
		mas_unlock(&mas);
	}
	expect(w, "result", (unsigned long)err, (unsigned long)should);
	if (should < 0)
		return;
	expect(w, "start", start, place);
	expect(w, "next", w->next_cyclic, place + 1);
	w->cell[place] = value;
}

/* Worlds ------------------------------------------------------------------ */

static int by_size(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

static void lay_out(struct world *w)
{
	for (int i = 0; i < CELLS; i++) {
		if (w->layout == UNITS || (w->layout == ENDS && i <= 32))
			w->lo[i] = (unsigned long)i;
		else if (w->layout == ENDS)
			w->lo[i] = ULONG_MAX - (unsigned long)(CELLS - 1 - i);
		else
			w->lo[i] = i ? (roll(w) >> below(w, 60)) + 1 : 0;
	}
	if (w->layout == SPREAD)
		qsort(w->lo, CELLS, sizeof(w->lo[0]), by_size);
	for (int i = 1; i < CELLS; i++)
		if (w->lo[i] <= w->lo[i - 1])
			w->lo[i] = w->lo[i - 1] + 1;
	for (int i = 0; i < CELLS; i++)
		w->hi[i] = i + 1 < CELLS ? w->lo[i + 1] - 1 : ULONG_MAX;
}

static void one_call(struct world *w)
{
	static void (*const calls[])(struct world *) = {
		call_store,   call_store,	call_store_without_memory, call_mas_store, call_mas_store, call_nomem,
		call_insert,  call_insert,	call_erase,		   call_erase,	   call_erase,	   call_preallocate_only,
		call_load,    call_upwards,	call_upwards,		   call_downwards, call_downwards, call_loop,
		call_mt_find, call_mt_next,	call_empty_area,	   call_empty_area, call_alloc,	   call_cyclic,
	};
	int rare = below(w, 1024);

	w->calls++;
	if (rare == 0)
		call_destroy(w);
	else if (rare < 4)
		call_dup(w);
	else if (rare < 6)
		call_switch_rcu(w);
	else if (rare < 14)
		call_reserve(w);
	else
		calls[below(w, sizeof(calls) / sizeof(calls[0]))](w);
}

/* Calls in all, in thousands. */
static unsigned long thousands(void)
{
	const char *env = getenv("TREE_CALLS");

	return env ? strtoul(env, NULL, 0) : 10000;
}

/* Some worlds of @layout, of every kind of tree, so that a new seed comes into play now and then. */
static unsigned long run(enum layout layout, unsigned long calls, uint64_t seed)
{
	const unsigned int worlds = 16;
	struct world *w = calloc(1, sizeof(*w));
	struct platform_stats stats;
	unsigned long sum = 0;

	assert_non_null(w);
	for (unsigned int i = 0; i < worlds; i++) {
		memset(w, 0, sizeof(*w));
		w->layout = layout;
		w->random = (seed + i) * 0x9e3779b97f4a7c15ull | 1;
		lay_out(w);
		mt_init_flags(&w->mt, i % 4);
		while (w->calls < calls / worlds) {
			one_call(w);
			compare_all(w);
		}
		sum += w->calls;
		mtree_destroy(&w->mt);
	}
	free(w);
	platform_read_stats(platform_default(), &stats);
	assert_int_equal(stats.nodes, 0);
	assert_int_equal(stats.others, 0);
	return sum;
}

static void millions(enum layout layout, unsigned int percent)
{
	uint64_t seed = seed_fresh();
	unsigned long calls;

	printf("seed %#lx\n", (unsigned long)seed);
	calls = run(layout, thousands() * 10 * percent, seed);
	printf("%lu calls\n", calls);
}

static void units(void **state)
{
	(void)state;
	millions(UNITS, 40);
}

static void ends(void **state)
{
	(void)state;
	millions(ENDS, 30);
}

static void spread(void **state)
{
	(void)state;
	millions(SPREAD, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units),
		cmocka_unit_test(ends),
		cmocka_unit_test(spread),
	};

	return cmocka_run_group_tests_name("tree_millions", tests, NULL, NULL);
}
