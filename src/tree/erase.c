/* SPDX-License-Identifier: MIT */
/*
 * Stores of NULL.
 *
 * Whole ranges go by dropping them from the order words of their leaves, and
 * leaves that become empty by dropping them from their parents' live words. That
 * takes no memory and cannot fail. The gap that remains belongs to the leaf
 * before it, so the leaf's separator moves up to its first range; nobody can tell
 * an erased range from one that never was.
 *
 *   before   ... [30,39] | [40,49][50,59]      separator 40
 *   erase 40 ... [30,39] |        [50,59]      separator 50, gap 40..49 is the left leaf's
 *
 * A range of which something remains is cut as by a store (write.c), and that may
 * need memory.
 */
#include "tree/tree.h"

#include <errno.h>
#include <string.h>

/*
 * The separator of the leaf of @path has been raised to @start: the leaf has lost the gap behind what was its
 * first range, and the leaf before it has a longer one. False when that one has another parent.
 */
static bool pass_front_gap(struct maple_tree *mt, const struct path *path, unsigned long start)
{
	const struct path_step *up = &path->step[path->height - 1];
	uint64_t below = up->node->head.word & ((1ull << up->child) - 1), order;
	const struct maple_enode *before;
	unsigned int child;
	gap_code grown;

	if (!below)
		return false;
	child = 63 - (unsigned int)__builtin_clzll(below);
	before = *child_slot(up->node, child);
	order = enode_node(before)->word;
	grown = gap_encode(start - 1 - leaf_last(before, order, order_count(order) - 1));
	if (grown > *child_gap(up->node, child))
		*child_gap(up->node, child) = grown;
	*child_gap(up->node, up->child) =
		leaf_longest_gap(path->leaf, enode_node(path->leaf)->word, start, path->max);
	if (path->height > 1)
		path_set_gap(mt, path, path->height - 2, inner_longest_gap(up->node));
	return true;
}

/* The first range of the leaf at @min begins later than its separator says: correct that. Whether its bounds stay. */
static bool settle_front(struct maple_tree *mt, const struct path *path)
{
	uint64_t order = enode_node(path->leaf)->word;
	unsigned long start = leaf_start(path->leaf, order, 0);

	pf_assert(start >= path->min && start <= path->max);
	if (path_is_leftmost(path) || start == path->min) {
		path_update_gap(mt, path);
		return true;
	}
	path_raise(path, path->height, start);
	if (!tree_tracks_gaps(mt) || pass_front_gap(mt, path, start))
		return false;
	tree_update_gap_at(mt, start);
	tree_update_gap_at(mt, path->min - 1);
	return false;
}

/* A root with one child gives way to it. */
void collapse_root(struct maple_tree *mt)
{
	for (;;) {
		struct maple_enode *root = mt->ma_root;
		struct inner *node;

		if (!root_is_node(root) || enode_is_leaf(root))
			return;
		node = enode_inner(root);
		if (node->head.word & (node->head.word - 1))
			return;
		WR_REL(mt->ma_root, (void *)*child_slot(node, lowest_bit(node->head.word)));
		node_retire(mt, &node->head);
	}
}

/*
 * Drop the leaf of @path, of which no range remains, and the inner nodes that
 * have no other child. Their words stay as they are: readers inside see the leaf.
 */
static void drop_leaf(struct maple_tree *mt, const struct path *path)
{
	unsigned int depth = path->height;
	struct inner *node = NULL;
	uint64_t live = 0;

	WR_REL(enode_node(path->leaf)->word, order_make(0, 0, order_used(path->order)));
	while (depth--) {
		node = path->step[depth].node;
		live = node->head.word & ~(1ull << path->step[depth].child);
		if (live)
			break;
	}
	if (!live) {
		WR_REL(mt->ma_root, NULL);
		for (unsigned int d = 0; d < path->height; d++)
			node_retire(mt, &path->step[d].node->head);
		node_retire(mt, enode_node(path->leaf));
		return;
	}
	WR_REL(node->head.word, live);
	*child_gap(node, path->step[depth].child) = 0;
	if (inner_is_lowest(live, lowest_bit(live)) &&
	    path->step[depth].child < lowest_bit(live))
		path_raise(path, depth, *child_start(node, lowest_bit(live)));
	if (depth)
		path_set_gap(mt, path, depth - 1, inner_longest_gap(node));
	for (unsigned int d = depth + 1; d < path->height; d++)
		node_retire(mt, &path->step[d].node->head);
	node_retire(mt, enode_node(path->leaf));
	tree_update_gap_at(mt, path_is_leftmost(path) ? 0 : path->min - 1);
	join_inner(mt, path, depth);
}

/* Drop the ranges at places [from, to). Whether the leaf and its bounds stay. */
static bool drop_places(struct maple_tree *mt, const struct path *path, unsigned int from, unsigned int to)
{
	unsigned int count = order_count(path->order) - (to - from);
	uint64_t places;
	bool kept = true;

	pf_assert(from < to && to <= order_count(path->order));
	if (!count) {
		drop_leaf(mt, path);
		return false;
	}
	places = (path->order & ORDER_PLACES) >> (4 * to) << (4 * from) | (path->order & order_below(from));
	WR_REL(enode_node(path->leaf)->word, order_make(places, count, order_used(path->order)));
	if (from)
		path_gap_grown(mt, path, (to < order_count(path->order) ?
					  leaf_start(path->leaf, path->order, to) - 1 : path->max) -
					 leaf_last(path->leaf, path->order, from - 1));
	else
		kept = settle_front(mt, path);
	return !join_leaf(mt, path) && kept;
}

bool erase_place(struct maple_tree *mt, const struct path *path, unsigned int place)
{
	return drop_places(mt, path, place, place + 1);
}

/* Which places of the leaf lie wholly in [index, last]. */
static void whole_places(const struct path *path, unsigned long index, unsigned long last, unsigned int *from,
			 unsigned int *to)
{
	*from = leaf_rank(path->leaf, path->order, index);
	if (*from && leaf_start(path->leaf, path->order, *from - 1) == index)
		--*from;
	*to = leaf_rank(path->leaf, path->order, last);
	if (*to > *from && leaf_last(path->leaf, path->order, *to - 1) > last)
		--*to;
}

/* Drop all ranges that lie wholly in [index, last], leaf by leaf, upwards. */
static void drop_whole(struct maple_tree *mt, unsigned long index, unsigned long last)
{
	unsigned long at = index;
	unsigned int from, to;
	struct path path;

	for (;;) {
		path_walk(mt, at, &path);
		if (!path.leaf)
			return;
		whole_places(&path, index, last, &from, &to);
		if (from < to)
			drop_places(mt, &path, from, to);
		if (path.max >= last)
			return;
		at = path.max + 1;
	}
}

/* Whether a range of the leaf contains both @index and what lies before it. */
static bool cuts(const struct path *path, unsigned long index)
{
	unsigned int rank = leaf_rank(path->leaf, path->order, index);

	return rank && leaf_start(path->leaf, path->order, rank - 1) < index &&
	       leaf_last(path->leaf, path->order, rank - 1) >= index;
}

/* Cut the ranges of one leaf of which something remains. 0 or -ENOMEM. */
static int trim(struct write *w)
{
	struct path path;
	int err = write_leaf(w);

	if (err || w->dry)
		return err;
	path_walk(w->mt, w->lo->min, &path);
	w->kept = settle_front(w->mt, &path) && w->kept;
	return 0;
}

/* The part of the store that falls to the leaf of @path. */
static void narrow_to(struct write *w, const struct path *path)
{
	if (w->index < path->min)
		w->index = path->min;
	if (w->last > path->max)
		w->last = path->max;
	w->own = *path;
	w->own.rank = leaf_rank(path->leaf, path->order, w->index);
	w->lo = &w->own;
	w->hi = &w->own;
}

/* Both ends are cut, in two leaves: get the memory for both first, so that all is done or nothing. */
static int trim_ends(struct write *w, bool low, bool high)
{
	struct write part = *w;

	part.dry = true;
	if (low) {
		narrow_to(&part, w->lo);
		write_leaf(&part);
	}
	if (high) {
		part.index = w->index;
		part.last = w->last;
		narrow_to(&part, w->hi);
		write_leaf(&part);
	}
	memcpy(w->need, part.need, sizeof(w->need));
	if (w->dry)
		return 0;
	if (!reserve_fill(w->mas, w->need))
		return -ENOMEM;
	part.dry = false;
	if (low) {
		part.index = w->index;
		part.last = w->last;
		path_walk(w->mt, w->index, w->lo);
		narrow_to(&part, w->lo);
		trim(&part);
	}
	if (high) {
		part.index = w->index;
		part.last = w->last;
		path_walk(w->mt, w->last, w->hi);
		narrow_to(&part, w->hi);
		trim(&part);
	}
	return 0;
}

/* Store NULL over [index, last]. Both paths have been walked. 0 or -ENOMEM. */
int erase_range(struct write *w)
{
	bool low, high;
	int err;

	if (!w->lo->leaf) {
		if (w->index == 0 && !w->dry)
			WR_REL(w->mt->ma_root, NULL);
		return 0;
	}
	low = cuts(w->lo, w->index);
	high = w->last < ULONG_MAX && cuts(w->hi, w->last + 1);
	if (low || high) {
		if (w->lo->leaf == w->hi->leaf)
			return trim(w);
		err = trim_ends(w, low, high);
		if (err)
			return err;
	}
	if (!w->dry)
		drop_whole(w->mt, w->index, w->last);
	return 0;
}
