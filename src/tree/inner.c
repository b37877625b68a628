/* SPDX-License-Identifier: MIT */
/*
 * Inner nodes in the making: nobody sees them yet.
 *
 * What keys count from, and in which steps, is chosen once: such that the separators that a
 * node has, and those that may come behind them, lie apart. A few that lie far
 * out have the lowest or the highest key, with others; the search then looks at the
 * separators themselves.
 *
 *   separators   1000  1090  1200  1310         900000
 *   keys            0    90   200   310          65535     steps of 1
 */
#include "tree/tree.h"

#include <string.h>

/* From one separator to the next, about, of a node with two children. */
static unsigned long span_of_two(const struct inner *node)
{
	const struct maple_enode *lowest = *child_slot(node, 0);
	unsigned long from = enode_is_leaf(lowest) ? leaf_start(lowest, enode_node(lowest)->word, 0)
						   : enode_node(lowest)->base, second = *child_start(node, 1);

	return second > from ? second - from : 0;
}

/* Keys count from @from, in steps of 2^shift at most: their range must not wrap. */
static void set_scale(struct inner *node, unsigned long from, unsigned int shift)
{
	if (from > ULONG_MAX - UINT16_MAX)
		from = ULONG_MAX - UINT16_MAX;
	while (shift && (shift > 48 || ULONG_MAX - from < (1ul << 16 << shift) - 1))
		shift--;
	node->head.shift = (uint16_t)shift;
	node->head.base = from - ((unsigned long)KEY_OFFSET << shift);
}

/* Base and steps for @nr children; @like is a neighbour of the same level, or NULL. */
static void choose_scale(struct inner *node, unsigned int nr, const struct inner *like)
{
	unsigned int outer = (nr - 1) / 4;
	unsigned long lowest, low, high, span;

	if (nr < 3 && like) {
		set_scale(node, *child_start(node, nr - 1), like->head.shift);
		return;
	}
	/* The lowest separator may lie anywhere. Of the others the outer quarters do not count. */
	pf_assert(nr >= 2);
	lowest = *child_start(node, 1);
	low = *child_start(node, 1 + outer);
	high = *child_start(node, nr - 1 - outer);
	span = nr == 2 ? span_of_two(node) : (high - low) / (nr - 2 - 2 * outer);
	/* But where it lies near the next, as it does in all nodes but those at the lowest indexes, it has a key too. */
	if ((lowest - *child_start(node, 0)) / 8 <= span)
		lowest = *child_start(node, 0);
	if (span < (low - lowest) / 64)
		lowest = low - 64 * span;
	/* 64 of them fit into the keys. */
	set_scale(node, lowest, span >> 10 ? 54 - (unsigned int)__builtin_clzl(span) : 0);
}

static void fill_keys(struct inner *node, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++)
		node->key[i] = key_of(node, *child_start(node, i));
}

void inner_set(struct inner *node, unsigned int i, unsigned long start, struct maple_enode *child, gap_code gap)
{
	*child_start(node, i) = start;
	*child_slot(node, i) = child;
	*child_gap(node, i) = gap;
}

/* What searches may look at behind the @nr children; all of these are alive. */
static void finish(struct inner *node, unsigned int nr)
{
	for (unsigned int i = nr; i < node->head.cap; i++) {
		*child_start(node, i) = ULONG_MAX;
		node->key[i] = KEY_HIGHEST;
		*child_gap(node, i) = 0;
	}
	node->head.used = (uint16_t)nr;
	node->head.word = (1ull << nr) - 1;
}

/* The first @nr children have been set. @like is a neighbour of the same level, or NULL. */
void inner_finish(struct inner *node, unsigned int nr, const struct inner *like)
{
	pf_assert(nr && nr <= node->head.cap);
	choose_scale(node, nr, like);
	fill_keys(node, 0, nr);
	finish(node, nr);
}

/* @nr children of @from, from number @at on, to where @to has them from @into on. */
static void copy_children(struct inner *to, unsigned int into, const struct inner *from, unsigned int at,
			  unsigned int nr)
{
	memcpy(to->key + into, from->key + at, nr * sizeof(inner_key));
	memcpy(child_start(to, into), child_start(from, at), nr * sizeof(unsigned long));
	memcpy(child_slot(to, into), child_slot(from, at), nr * sizeof(struct maple_enode *));
	memcpy(child_gap(to, into), child_gap(from, at), nr * sizeof(gap_code));
}

/*
 * Make @to what @from is, with @room children instead of number @child: the caller has set
 * them, and those before and behind come from here. All children of @from are alive, and
 * begin at @min.
 */
void inner_copy_around(struct inner *to, const struct inner *from, unsigned int child, unsigned int room,
		       unsigned long min)
{
	unsigned int rest = from->head.used - child - 1, nr = child + room + rest;

	pf_assert(nr <= to->head.cap);
	copy_children(to, 0, from, 0, child);
	copy_children(to, child + room, from, child + 1, rest);
	/* The lowest child's separator may lie anywhere below; it must not stand above the next. */
	*child_start(to, 0) = min;
	if (from->head.cap == SMALL_CAP) {
		inner_finish(to, nr, NULL);
		return;
	}
	to->head.base = from->head.base;
	to->head.shift = from->head.shift;
	fill_keys(to, 0, 1);
	fill_keys(to, child, child + room);
	finish(to, nr);
}
