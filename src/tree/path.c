/* SPDX-License-Identifier: MIT */
/*
 * The way down as a writer needs it, and what has to be told upwards along it:
 * separators and gaps.
 *
 * A gap is kept with the leaf that holds the range before it, with its full
 * length: the leaf is responsible for all indexes up to the next separator, and
 * that is where the next range begins.
 */
#include "tree/tree.h"

/* Whether no leaf lies below the path's. Such a leaf's separator may be lower than its first range. */
bool path_is_leftmost(const struct path *path)
{
	return path->min == 0;
}

/* The longest gap that a leaf with these bounds is responsible for. */
gap_code leaf_longest_gap(const struct maple_enode *leaf, uint64_t order, unsigned long min,
			  unsigned long max)
{
	unsigned int count = order_count(order);
	unsigned long longest, from, gap;

	pf_assert(count && leaf_start(leaf, order, 0) >= min);
	longest = leaf_start(leaf, order, 0) - min;
	for (unsigned int k = 0; k < count; k++) {
		from = leaf_last(leaf, order, k);
		gap = (k + 1 < count ? leaf_start(leaf, order, k + 1) - 1 : max) - from;
		if (gap > longest)
			longest = gap;
	}
	return gap_encode(longest);
}

/* Of all children: that of a dead one is 0. */
gap_code inner_longest_gap(const struct inner *node)
{
	const gap_code *gap = inner_gaps(node);
	gap_code longest = 0;

	for (unsigned int i = 0; i < SMALL_CAP; i++)
		longest = gap[i] > longest ? gap[i] : longest;
	if (node->head.used > SMALL_CAP)
		for (unsigned int i = SMALL_CAP; i < INNER_CAP; i++)
			longest = gap[i] > longest ? gap[i] : longest;
	return longest;
}

/* Set the gap of the child taken at @depth, and tell the nodes above, as far as anything changes. */
void path_set_gap(struct maple_tree *mt, const struct path *path, unsigned int depth, gap_code gap)
{
	if (!tree_tracks_gaps(mt))
		return;
	for (;;) {
		const struct path_step *step = &path->step[depth];

		if (*child_gap(step->node, step->child) == gap)
			return;
		*child_gap(step->node, step->child) = gap;
		if (!depth)
			return;
		gap = inner_longest_gap(step->node);
		depth--;
	}
}

/* The leaf of @path is responsible for one more gap, of @length, or for a longer one than before. */
void path_gap_grown(struct maple_tree *mt, const struct path *path, unsigned long length)
{
	const struct path_step *up;

	if (!tree_tracks_gaps(mt) || !path->height)
		return;
	up = &path->step[path->height - 1];
	if (gap_encode(length) > *child_gap(up->node, up->child))
		path_set_gap(mt, path, path->height - 1, gap_encode(length));
}

/* The leaf of @path has changed, or its bounds have. */
void path_update_gap(struct maple_tree *mt, const struct path *path)
{
	if (!tree_tracks_gaps(mt) || !path->height)
		return;
	path_set_gap(mt, path, path->height - 1,
		     leaf_longest_gap(path->leaf, enode_node(path->leaf)->word, path->min, path->max));
}

/* The leaf that is responsible for @index has new bounds. */
void tree_update_gap_at(struct maple_tree *mt, unsigned long index)
{
	struct path path;

	if (!tree_tracks_gaps(mt))
		return;
	path_walk(mt, index, &path);
	if (path.leaf)
		path_update_gap(mt, &path);
}

/* A reader may see one of the two changed: for the indexes between, any answer is right. */
static void set_start(struct inner *node, unsigned int child, unsigned long start)
{
	WR_REL(node->key[child], key_of(node, start));
	WR_REL(*child_start(node, child), start);
}

/* The dead children after it go first, so that the starts rise at any moment. */
static void raise_start(struct inner *node, unsigned int child, unsigned long start)
{
	unsigned int end = child + 1;

	pf_assert(*child_start(node, child) <= start);
	while (end < node->head.used && !(node->head.word >> end & 1))
		end++;
	while (--end > child)
		if (*child_start(node, end) < start)
			set_start(node, end, start);
	set_start(node, child, start);
}

/*
 * What was below the child taken at @depth - 1 begins at @start now: raise its
 * separator, which stands in the lowest node where the path does not take the
 * lowest child. Indexes below @start have no entry (O4).
 */
void path_raise(const struct path *path, unsigned int depth, unsigned long start)
{
	while (depth--) {
		const struct path_step *step = &path->step[depth];

		if (!inner_is_lowest(step->node->head.word, step->child)) {
			raise_start(step->node, step->child, start);
			return;
		}
	}
}
