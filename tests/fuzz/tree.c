/* SPDX-License-Identifier: MIT */
/*
 * Bytes as calls on a tree, beside an array of cells. Each call is four bytes:
 * what, first cell, length, and how (which layout, which allocation fails).
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <samara/maple_tree.h>

#include "tree/tree.h"

#define CELLS 256

struct toy {
	struct maple_tree mt;
	int shift;
	void *cell[CELLS];
	unsigned long next_value;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static unsigned long at(const struct toy *t, int cell)
{
	return (unsigned long)cell << t->shift;
}

static unsigned long end(const struct toy *t, int cell)
{
	return at(t, cell) + ((1ul << t->shift) - 1);
}

static void set(struct toy *t, int from, int to, void *value)
{
	for (int i = from; i <= to; i++)
		t->cell[i] = value;
}

static void do_store(struct toy *t, int from, int to, void *value, int failing)
{
	int err;

	platform_fail_nth(platform_default(), failing);
	err = mtree_store_range(&t->mt, at(t, from), end(t, to), value, 0);
	platform_fail_nth(platform_default(), 0);
	must(!err || (err == -ENOMEM && failing), "a store that fails without reason");
	if (!err)
		set(t, from, to, value);
}

static void do_prealloc(struct toy *t, int from, int to, void *value)
{
	MA_STATE(mas, &t->mt, at(t, from), end(t, to));

	must(mas_preallocate(&mas, value, 0) == 0, "mas_preallocate");
	platform_fail_nth(platform_default(), -1);
	mas_store_prealloc(&mas, value);
	platform_fail_nth(platform_default(), 0);
	set(t, from, to, value);
}

static void do_erase(struct toy *t, int cell)
{
	void *value = t->cell[cell];
	int i;

	platform_fail_nth(platform_default(), -1);
	must(mtree_erase(&t->mt, at(t, cell)) == value, "what mtree_erase returns");
	platform_fail_nth(platform_default(), 0);
	for (i = cell; value && i >= 0 && t->cell[i] == value; i--)
		t->cell[i] = NULL;
	for (i = cell + 1; value && i < CELLS && t->cell[i] == value; i++)
		t->cell[i] = NULL;
}

/* The first free run of @nr cells in [from, to], or -1. */
static int free_run(const struct toy *t, int from, int to, int nr)
{
	int run = 0;

	for (int i = from; i <= to; i++) {
		run = t->cell[i] ? 0 : run + 1;
		if (run == nr)
			return i - nr + 1;
	}
	return -1;
}

static void do_alloc(struct toy *t, int from, int to, int nr, void *value)
{
	unsigned long start = 0;
	int should = free_run(t, from, to, nr), err;

	if (to - from + 1 < nr)
		return;
	err = mtree_alloc_range(&t->mt, &start, value, (unsigned long)nr << t->shift, at(t, from), end(t, to), 0);
	must(err == (should < 0 ? -EBUSY : 0), "what mtree_alloc_range returns");
	if (should < 0)
		return;
	must(start == at(t, should), "where mtree_alloc_range puts it");
	set(t, should, should + nr - 1, value);
}

static void do_dup(struct toy *t)
{
	struct maple_tree copy;

	mt_init_flags(&copy, t->mt.ma_flags);
	must(mtree_dup(&t->mt, &copy, 0) == 0, "mtree_dup");
	mtree_destroy(&t->mt);
	t->mt = copy;
}

static void compare(struct toy *t)
{
	MA_STATE(mas, &t->mt, 0, 0);
	unsigned long where, next = 0;
	void *entry;

	must(!tree_find_fault(&t->mt, &where), "the tree");
	mas_for_each(&mas, entry, ULONG_MAX) {
		int first = (int)(mas.index >> t->shift), last = (int)(mas.last >> t->shift);

		must(at(t, first) == mas.index && end(t, last) == mas.last, "a range that no call made");
		for (int i = (int)next; i < first; i++)
			must(!t->cell[i], "an entry that is missing");
		for (int i = first; i <= last; i++)
			must(t->cell[i] == entry, "a wrong entry");
		next = (unsigned long)last + 1;
	}
	for (int i = (int)next; i < CELLS; i++)
		must(!t->cell[i], "an entry that is missing at the end");
}

static void one_call(struct toy *t, const uint8_t *b)
{
	int from = b[1], to = from + b[2] % (b[3] & 64 ? CELLS : 8);
	void *value = xa_mk_value(++t->next_value);

	if (to >= CELLS)
		to = CELLS - 1;
	switch (b[0] % 8) {
	case 0:
	case 1:
		do_store(t, from, to, value, 0);
		break;
	case 2:
		do_store(t, from, to, value, b[3] % 8);
		break;
	case 3:
		do_store(t, from, to, NULL, b[3] % 8);
		break;
	case 4:
		do_prealloc(t, from, to, b[3] & 1 ? value : NULL);
		break;
	case 5:
		do_erase(t, from);
		break;
	case 6:
		do_alloc(t, from, to, 1 + b[3] % 4, value);
		break;
	default:
		if (b[3] % 16 == 0)
			do_dup(t);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int shifts[] = { 0, 4, 12, 28, 56 };
	struct toy *t;

	if (size < 5)
		return 0;
	t = calloc(1, sizeof(*t));
	if (!t)
		return 0;
	t->shift = shifts[data[0] % 5];
	mt_init_flags(&t->mt, MT_FLAGS_ALLOC_RANGE | (data[0] & 128 ? MT_FLAGS_USE_RCU : 0));
	for (size_t i = 1; i + 4 <= size && i < 4000; i += 4) {
		one_call(t, data + i);
		compare(t);
	}
	mtree_destroy(&t->mt);
	free(t);
	return 0;
}
