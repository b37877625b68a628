/* SPDX-License-Identifier: MIT */
/*
 * A4. Every sequence of up to four stores and erases over six indexes, against
 * an array of six cells: every way in which two, three and four ranges can meet.
 */
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

#define CELLS 6
#define DEPTH 4
#define RANGES (CELLS * (CELLS + 1) / 2)
#define OPS (2 * RANGES + CELLS)	/* store, clear, erase */

/* Where the cells lie: from 0, up to ULONG_MAX, and far apart. */
static const unsigned long layouts[][CELLS + 1] = {
	{ 0, 1, 2, 3, 4, 5, 6 },
	{ 0, 10, 1ul << 20, 1ul << 40, 1ul << 60, ULONG_MAX, 0 },
};

struct game {
	struct maple_tree mt;
	const unsigned long *at;
	void *cell[DEPTH + 1][CELLS];
	int op[DEPTH];
	unsigned long played;
};

static void range_of(int number, int *from, int *to)
{
	for (*from = 0; number >= CELLS - *from; (*from)++)
		number -= CELLS - *from;
	*to = *from + number;
}

static void clear_run(void **cell, int at)
{
	void *value = cell[at];
	int i;

	if (!value)
		return;
	for (i = at; i >= 0 && cell[i] == value; i--)
		cell[i] = NULL;
	for (i = at + 1; i < CELLS && cell[i] == value; i++)
		cell[i] = NULL;
}

static void play_op(struct game *g, int turn)
{
	void **now = g->cell[turn + 1];
	int op = g->op[turn], from, to;
	void *value = NULL;

	memcpy(now, g->cell[turn], sizeof(g->cell[turn]));
	if (op >= 2 * RANGES) {
		from = op - 2 * RANGES;
		assert_ptr_equal(mtree_erase(&g->mt, g->at[from]), now[from]);
		clear_run(now, from);
		return;
	}
	range_of(op % RANGES, &from, &to);
	if (op < RANGES)
		value = xa_mk_value((unsigned long)turn + 1);
	assert_int_equal(mtree_store_range(&g->mt, g->at[from], g->at[to + 1] - 1, value, 0), 0);
	for (int i = from; i <= to; i++)
		now[i] = value;
}

static bool same(struct game *g, int turn)
{
	MA_STATE(mas, &g->mt, 0, 0);
	void **cell = g->cell[turn];
	unsigned long where;

	if (tree_find_fault(&g->mt, &where))
		return false;
	for (int i = 0; i < CELLS;) {
		void *entry = i ? mas_next_range(&mas, ULONG_MAX) : mas_walk(&mas);
		int to = i;

		while (to + 1 < CELLS && cell[to + 1] == cell[i])
			to++;
		if (entry != cell[i] || (g->mt.ma_root && mas.index != g->at[i]))
			return false;
		if (g->mt.ma_root && cell[i] && mas.last != g->at[to + 1] - 1)
			return false;
		i = to + 1;
	}
	for (int i = 0; i < CELLS; i++)
		if (mtree_load(&g->mt, g->at[i]) != cell[i])
			return false;
	return true;
}

static void play(struct game *g, int turns, unsigned int flags)
{
	memset(g->cell[0], 0, sizeof(g->cell[0]));
	mt_init_flags(&g->mt, flags);
	for (int turn = 0; turn < turns; turn++)
		play_op(g, turn);
	if (!same(g, turns)) {
		printf("after operations");
		for (int turn = 0; turn < turns; turn++)
			printf(" %d", g->op[turn]);
		printf(", the tree is\n");
		mt_dump(&g->mt, mt_dump_dec);
		fail();
	}
	mtree_destroy(&g->mt);
	g->played++;
}

static void play_all(int turns, int layout, unsigned int flags)
{
	struct game *g = calloc(1, sizeof(*g));
	long games = 1;

	assert_non_null(g);
	g->at = layouts[layout];
	for (int i = 0; i < turns; i++)
		games *= OPS;
	for (long number = 0; number < games; number++) {
		long rest = number;

		for (int turn = 0; turn < turns; turn++, rest /= OPS)
			g->op[turn] = (int)(rest % OPS);
		play(g, turns, flags);
	}
	printf("%lu sequences of %d\n", g->played, turns);
	free(g);
}

static void up_to_three_in_all_modes(void **state)
{
	(void)state;
	for (int turns = 1; turns <= 3; turns++)
		for (int layout = 0; layout < 2; layout++)
			for (unsigned int flags = 0; flags < 4; flags++)
				play_all(turns, layout, flags);
}

static void four(void **state)
{
	(void)state;
	play_all(4, 0, MT_FLAGS_ALLOC_RANGE);
	play_all(4, 1, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(up_to_three_in_all_modes),
		cmocka_unit_test(four),
	};

	return cmocka_run_group_tests_name("tree_exhaustive", tests, NULL, NULL);
}
