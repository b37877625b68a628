/* SPDX-License-Identifier: MIT */
/*
 * A4. Two readers and one writer at full speed, for ThreadSanitizer and for
 * luck. The writer numbers its changes; a reader that saw at most one change begin
 * or end while it looked must have found the entry from before or after it. Beside random
 * changes, there are phases for each way in which the tree changes its shape.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <samara/maple_tree.h>

#include "support/seed.h"
#include "tree/tree.h"

#define CELLS 300
#define LANDMARK 50		/* every so many cells one that no change touches */

struct field {
	struct maple_tree tree[2];
	int at;				/* the tree that is in use */
	int cells;
	unsigned long apart;		/* indexes per cell */
	bool landmarks;
	unsigned long seq;		/* odd while a change is being made */
	void *now[CELLS], *next[CELLS];
	bool stop;
	uint64_t random;
	unsigned long value;
	unsigned long judged[2];
	unsigned long walks;
	unsigned long wrong;
};

struct reader {
	struct field *f;
	int number;
	uint64_t random;
};

static int below(uint64_t *random, int n)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (int)(*random % (uint64_t)n);
}

static unsigned long index_of(const struct field *f, int cell)
{
	return (unsigned long)cell * f->apart;
}

static bool is_landmark(const struct field *f, int cell)
{
	return f->landmarks && cell % LANDMARK == LANDMARK / 2;
}

static struct maple_tree *tree(struct field *f)
{
	return &f->tree[RD_ACQ(f->at)];
}

static void is_wrong(struct field *f)
{
	__atomic_add_fetch(&f->wrong, 1, __ATOMIC_RELAXED);
}

/* Readers ----------------------------------------------------------------- */

static char missed;	/* the change moved the ranges under the walk: nothing to judge */

static void judge(struct reader *r, int cell, void *(*look)(struct field *, int))
{
	struct field *f = r->f;
	unsigned long before = RD_ACQ(f->seq), after;
	void *old = RD_ACQ(f->now[cell]), *to = RD_ACQ(f->next[cell]), *is, *now;

	/* As long as it lasts, the tree that it found is there. */
	pf_rcu_read_lock();
	is = look(f, cell);
	pf_rcu_read_unlock();
	now = RD_ACQ(f->now[cell]);
	after = RD_ACQ(f->seq);
	if (before != after || is == &missed)
		return;
	r->f->judged[r->number]++;
	if (is != old && is != now && !(before & 1 && is == to))
		is_wrong(f);
}

static void *look_load(struct field *f, int cell)
{
	return mtree_load(tree(f), index_of(f, cell) + f->apart / 2);
}

/* Reach the cell by stepping from the one before it. */
static void *look_next(struct field *f, int cell)
{
	unsigned long index = index_of(f, cell);
	MA_STATE(mas, tree(f), index ? index - 1 : 0, index ? index - 1 : 0);
	void *entry;

	entry = mas_walk(&mas);
	if (mas.last < index)
		entry = mas_next_range(&mas, ULONG_MAX);
	if (mas.index > index || mas.last < index)
		entry = &missed;
	return entry;
}

static void *look_prev(struct field *f, int cell)
{
	unsigned long index = index_of(f, cell), above = index_of(f, cell + 1);
	MA_STATE(mas, tree(f), above, above);
	void *entry;

	entry = mas_walk(&mas);
	if (mas.index > index)
		entry = mas_prev_range(&mas, 0);
	if (mas.index > index || mas.last < index)
		entry = &missed;
	return entry;
}

static void *look_find(struct field *f, int cell)
{
	unsigned long index = index_of(f, cell);

	return mt_find(tree(f), &index, index + f->apart - 1);
}

static void *read_cells(void *arg)
{
	static void *(*const look[])(struct field *, int) = {
		look_load, look_load, look_load, look_next, look_prev, look_find
	};
	struct reader *r = arg;
	struct field *f = r->f;

	while (!RD_ACQ(f->stop))
		judge(r, below(&r->random, f->cells), look[below(&r->random, 6)]);
	return NULL;
}

/* W3: the cells [from, to) lie between what was met last and what is met now. */
static void passed_by(struct field *f, int from, int to)
{
	for (int i = from < 0 ? 0 : from; i < to && i < f->cells; i++)
		if (is_landmark(f, i))
			is_wrong(f);
}

static int cell_at(const struct field *f, unsigned long index)
{
	return index / f->apart < (unsigned long)f->cells ? (int)(index / f->apart) : f->cells;
}

/* A whole walk upwards. W3, W4: in order, nothing twice, and all that stays is met. */
static void walk_up(struct field *f, struct maple_tree *mt)
{
	MA_STATE(mas, mt, 0, 0);
	unsigned long beyond = 0;
	int next = 0;
	void *entry;

	mas_for_each(&mas, entry, ULONG_MAX) {
		if (mas.last < mas.index || mas.last < beyond)
			is_wrong(f);
		passed_by(f, next, cell_at(f, mas.index));
		next = cell_at(f, mas.last) + 1;
		beyond = mas.last + 1;
	}
	passed_by(f, next, f->cells);
}

static void walk_down(struct field *f, struct maple_tree *mt)
{
	MA_STATE(mas, mt, ULONG_MAX, ULONG_MAX);
	unsigned long before = ULONG_MAX;
	int next = f->cells;
	void *entry;

	mas_for_each_rev(&mas, entry, 0) {
		if (mas.last < mas.index || mas.index > before)
			is_wrong(f);
		passed_by(f, cell_at(f, mas.last) + 1, next);
		next = cell_at(f, mas.index);
		before = mas.index ? mas.index - 1 : 0;
	}
	passed_by(f, 0, next);
}

static void *read_all(void *arg)
{
	struct reader *r = arg;
	struct field *f = r->f;

	while (!RD_ACQ(f->stop)) {
		pf_rcu_read_lock();
		walk_up(f, tree(f));
		walk_down(f, tree(f));
		pf_rcu_read_unlock();
		f->walks += 2;
		for (int i = 0; i < 20; i++)
			judge(r, below(&r->random, f->cells), look_load);
	}
	return NULL;
}

/* The writer -------------------------------------------------------------- */

static void change_begins(struct field *f)
{
	__atomic_store_n(&f->seq, f->seq + 1, __ATOMIC_SEQ_CST);
}

static void change_ends(struct field *f)
{
	__atomic_store_n(&f->seq, f->seq + 1, __ATOMIC_SEQ_CST);
	/* Now and then let a reader judge a tree at rest. */
	if (!below(&f->random, 100))
		sched_yield();
}

static void change(struct field *f, int from, int to, void *entry)
{
	if (to >= f->cells)
		to = f->cells - 1;
	for (int i = from; i <= to; i++)
		WR_REL(f->next[i], entry);
	change_begins(f);
	mtree_store_range(tree(f), index_of(f, from), index_of(f, to + 1) - 1, entry, 0);
	for (int i = from; i <= to; i++)
		WR_REL(f->now[i], entry);
	change_ends(f);
}

static void *fresh_value(struct field *f)
{
	return xa_mk_value(++f->value);
}

static void phase_random(struct field *f)
{
	for (int i = 0; i < 2000; i++) {
		int from = below(&f->random, f->cells);
		int to = from + below(&f->random, below(&f->random, 5) ? 4 : 60);

		for (int cell = from; cell <= to; cell++)
			if (is_landmark(f, cell))
				to = cell - 1;
		if (from <= to)
			change(f, from, to, below(&f->random, 3) ? fresh_value(f) : NULL);
	}
}

/* Each behind the one before: full leaves stay, and new ones come after them. Then all goes at once. */
static void phase_appends(struct field *f)
{
	change(f, 0, f->cells - 1, NULL);
	for (int i = 0; i < f->cells; i++)
		change(f, i, i, fresh_value(f));
	change(f, 0, f->cells - 1, NULL);
}

/* An entry grows down over the gap below it, as a stack does, and takes what is there. */
static void phase_growth(struct field *f)
{
	for (int i = 5; i + 8 < f->cells; i += 9) {
		void *stack = fresh_value(f);

		change(f, i, i + 7, NULL);
		for (int at = i + 7; at >= i; at -= 2)
			change(f, at, i + 8, stack);
		change(f, i - 2, i + 8, stack);
	}
}

/* In the middle of full leaves, which become two each; then all but a few go, and leaves join. */
static void phase_splits_and_merges(struct field *f)
{
	for (int i = 0; i < f->cells; i += 2)
		change(f, i, i, NULL);
	for (int i = 0; i < f->cells; i += 2)
		change(f, i, i, fresh_value(f));
	for (int i = 0; i < f->cells; i++)
		if (i % 9)
			change(f, i, i, NULL);
}

/* From nothing to [0, 0] in the root, to a leaf, to two levels, and back. */
static void phase_root(struct field *f)
{
	change(f, 0, f->cells - 1, NULL);
	for (int round = 0; round < 10; round++) {
		change(f, 0, 0, fresh_value(f));
		change(f, 2, 3, fresh_value(f));
		for (int i = 4; i < 60; i += 2)
			change(f, i, i, fresh_value(f));
		assert_int_equal(mt_height(tree(f)), 2);
		for (int i = 2; i < 60; i += 2)
			change(f, i, i, NULL);
		change(f, 2, f->cells - 1, NULL);
		assert_true(mt_height(tree(f)) <= 1);
		change(f, 0, 0, NULL);
		assert_true(mtree_empty(tree(f)));
	}
}

static void must_be_as_known(struct field *f, struct maple_tree *mt)
{
	unsigned long where;

	assert_null(tree_find_fault(mt, &where));
	for (int i = 0; i < f->cells; i++)
		assert_ptr_equal(mtree_load(mt, index_of(f, i)), f->now[i]);
}

/* Copies of the tree that readers are in; they go over to every second one, and what they were in is destroyed. */
static void phase_copies(struct field *f)
{
	for (int round = 0; round < 12; round++) {
		int other = !f->at;

		for (int i = 0; i < 20; i++) {
			int from = below(&f->random, f->cells);

			change(f, from, from + below(&f->random, 40), fresh_value(f));
		}
		mt_init_flags(&f->tree[other], f->tree[f->at].ma_flags);
		assert_int_equal(mtree_dup(tree(f), &f->tree[other], 0), 0);
		must_be_as_known(f, &f->tree[other]);
		if (round & 1) {
			change_begins(f);
			WR_REL(f->at, other);
			change_ends(f);
			other = !other;
		}
		mtree_destroy(&f->tree[other]);
		/* Who still is in the one that was destroyed must have left before it is begun anew. */
		pf_synchronize_rcu();
	}
}

typedef void phase_fn(struct field *f);

static void race(uint64_t seed, unsigned long apart, bool landmarks, phase_fn *phase, int rounds)
{
	struct field *f = calloc(1, sizeof(*f));
	struct reader r[2] = { { f, 0, seed * 3 | 1 }, { f, 1, seed * 5 | 1 } };
	pthread_t thread[2];
	unsigned long where;

	printf("seed %#lx\n", (unsigned long)seed);
	assert_non_null(f);
	f->random = seed * 0x9e3779b97f4a7c15ull | 1;
	f->cells = CELLS;
	f->apart = apart;
	mt_init_flags(&f->tree[0], MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE);
	for (int i = 0; landmarks && i < f->cells; i += LANDMARK)
		change(f, i + LANDMARK / 2, i + LANDMARK / 2, fresh_value(f));
	f->landmarks = landmarks;
	assert_int_equal(pthread_create(&thread[0], NULL, read_cells, &r[0]), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, read_all, &r[1]), 0);
	for (int i = 0; i < rounds; i++)
		phase(f);
	WR_REL(f->stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_null(tree_find_fault(tree(f), &where));
	must_be_as_known(f, tree(f));
	printf("%lu changes; %lu and %lu looks judged, %lu walks\n", f->seq / 2, f->judged[0], f->judged[1], f->walks);
	assert_int_equal(f->wrong, 0);
	mtree_destroy(tree(f));
	free(f);
}

/* O1 to O5, W1 to W5. */
static void fixed_seed(void **state)
{
	(void)state;
	race(1, 16, true, phase_random, 20);
}

static void fresh_seed(void **state)
{
	(void)state;
	race(seed_fresh(), 16, true, phase_random, 20);
}

/* O5, W5: a leaf that is full stays, its parent gets another child. */
static void appends(void **state)
{
	(void)state;
	race(2, 16, false, phase_appends, 20);
	race(2, 1ul << 34, false, phase_appends, 20);
}

/* O1, O4, W3. */
static void growth_over_a_gap(void **state)
{
	(void)state;
	race(3, 16, false, phase_growth, 60);
}

/* O4, O5, S2: leaves become two, and join. */
static void splits_and_merges(void **state)
{
	(void)state;
	race(4, 16, false, phase_splits_and_merges, 20);
	race(4, 1ul << 34, false, phase_splits_and_merges, 20);
}

/* S1, S4, W1: the root is NULL, an entry, a leaf, two levels. */
static void root_changes(void **state)
{
	(void)state;
	race(5, 1, false, phase_root, 20);
}

/* O3: a tree is copied while it is read, and destroyed while it is read. */
static void copies_of_a_live_tree(void **state)
{
	(void)state;
	race(6, 16, false, phase_copies, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_seed),
		cmocka_unit_test(fresh_seed),
		cmocka_unit_test(appends),
		cmocka_unit_test(growth_over_a_gap),
		cmocka_unit_test(splits_and_merges),
		cmocka_unit_test(root_changes),
		cmocka_unit_test(copies_of_a_live_tree),
	};

	return cmocka_run_group_tests_name("tree_threads", tests, NULL, NULL);
}
