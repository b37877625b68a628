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

static bool same_way(const struct maple_tree *mt, unsigned long index, const struct path *path)
{
	struct path now;

	path_walk(mt, index, &now);
	for (unsigned int d = 0; d < now.height; d++)
		if (d >= path->height || now.step[d].node != path->step[d].node ||
		    now.step[d].child != path->step[d].child || now.step[d].min != path->step[d].min ||
		    now.step[d].max != path->step[d].max)
			return false;
	return now.height == path->height && now.leaf == path->leaf && now.order == path->order &&
	       now.rank == path->rank && now.min == path->min && now.max == path->max;
}

/* The way to @index: the tree's finger, if it has one, else @own. The lock. */
struct path *path_to(struct maple_tree *mt, unsigned long index, struct path *own)
{
	struct finger *finger = tree_finger(mt);

	if (!finger) {
		path_walk(mt, index, own);
		return own;
	}
	if (finger->seq == mt->ma_seq && index >= finger->path.min && index <= finger->path.max) {
		path_refresh(&finger->path, index);
		pf_assert_full(same_way(mt, index, &finger->path));
	} else {
		path_walk(mt, index, &finger->path);
		finger->seq = mt->ma_seq;
	}
	return &finger->path;
}

/* A change has been made; @kept: in the leaf that the finger points to, and neither moved it nor its bounds. */
void path_changed(struct maple_tree *mt, bool kept)
{
	tree_changed(mt);
	if (tree_finger(mt))
		tree_finger(mt)->seq = kept ? mt->ma_seq : NO_SEQ;
}

/* Whether no leaf lies below the path's. Such a leaf's separator may be lower than its first range. */
bool path_is_leftmost(const struct path *path)
{
	return path->min == 0;
}

static unsigned long wide_longest_between(const struct wide *leaf, uint64_t order)
{
	unsigned int count = order_count(order);
	unsigned long longest = 0, before = leaf->last[order & 15], gap;

	for (unsigned int k = 1; k < count; k++) {
		order >>= 4;
		gap = leaf->start[order & 15] - 1 - before;
		before = leaf->last[order & 15];
		longest = gap > longest ? gap : longest;
	}
	return longest;
}

/* The longest gap that a leaf with these bounds is responsible for. */
gap_code leaf_longest_gap(const struct maple_enode *leaf, uint64_t order, unsigned long min,
			  unsigned long max)
{
	unsigned int count = order_count(order);
	unsigned long before = leaf_start(leaf, order, 0) - min, between, after;

	pf_assert(count && leaf_start(leaf, order, 0) >= min);
	between = enode_type(leaf) == NODE_NARROW ? narrow_longest_between(enode_narrow(leaf), order)
						  : wide_longest_between(enode_wide(leaf), order);
	after = max - leaf_last(leaf, order, count - 1);
	if (between < before)
		between = before;
	return gap_encode(between > after ? between : after);
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

/*
 * Set the gap of the child taken at @depth, and tell the nodes above, as far as anything changes. Each knows the
 * longest of its children before: only where that was this one's, and it became shorter, are all looked at.
 */
void path_set_gap(struct maple_tree *mt, const struct path *path, unsigned int depth, gap_code gap)
{
	if (!tree_tracks_gaps(mt))
		return;
	for (;;) {
		const struct path_step *step = &path->step[depth];
		gap_code *at = child_gap(step->node, step->child), before = *at, longest;

		*at = gap;
		if (before == gap || !depth)
			return;
		step = &path->step[--depth];
		longest = *child_gap(step->node, step->child);
		if (gap > before ? gap <= longest : before < longest)
			return;
		if (gap < before)
			gap = inner_longest_gap(path->step[depth + 1].node);
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

/* A gap of @length of the leaf of @path was filled, and @left remains behind what fills it. */
void path_gap_filled(struct maple_tree *mt, const struct path *path, unsigned long length, unsigned long left)
{
	const struct path_step *up = &path->step[path->height - 1];
	gap_code longest = *child_gap(up->node, up->child);

	pf_assert(tree_tracks_gaps(mt) && path->height);
	if (gap_encode(length) >= longest && gap_encode(left) != longest)
		path_update_gap(mt, path);
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

/*
 * A reader may see one of the two changed. The separator goes first: by the old key an index between leads to
 * @child, whose bounds are lowered to it. By the new one it would lead to the child before, whose bounds
 * still ended below it, and a walk upwards would go round and round until the writer goes on.
 */
static void set_start(struct inner *node, unsigned int child, unsigned long start)
{
	pf_assert(*child_start(node, child) <= start);
	WR_REL(*child_start(node, child), start);
	WR_REL(node->key[child], key_of(node, start));
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

void leaf_replaced(struct maple_tree *mt, struct path *path, struct maple_enode *leaf)
{
	const struct path_step *up = &path->step[path->height ? path->height - 1 : 0];

	if (path->height)
		WR_REL(*child_slot(up->node, up->child), leaf);
	else
		WR_REL(mt->ma_root, (void *)leaf);
	node_retire(mt, enode_node(path->leaf));
	path->leaf = leaf;
}

/* The leaf beside, of @beside, its parent's children there; or that which has @index, beyond a bound. */
static const struct maple_enode *leaf_beside(const struct maple_tree *mt, const struct path *path,
					     uint64_t beside, unsigned long index)
{
	const struct inner *up = path->step[path->height - 1].node;
	struct path other;

	pf_assert(path->height);
	if (beside)
		return *child_slot(up, index < path->min ? highest_bit(beside) : lowest_bit(beside));
	path_walk(mt, index, &other);
	return other.leaf;
}

void path_last_below(const struct maple_tree *mt, const struct path *path, struct mt_near *near)
{
	const struct path_step *up;
	const struct maple_enode *leaf;
	unsigned int slot;
	uint64_t order;

	near->before = NULL;
	if (path_is_leftmost(path))
		return;
	up = &path->step[path->height - 1];
	leaf = leaf_beside(mt, path, up->node->head.word & ((1ull << up->child) - 1), path->min - 1);
	order = enode_node(leaf)->word;
	pf_assert(order_count(order));
	slot = order_slot(order, order_count(order) - 1);
	near->before = *slot_entry(leaf, slot);
	near->before_last = slot_last(leaf, slot);
}

void path_first_above(const struct maple_tree *mt, const struct path *path, struct mt_near *near)
{
	const struct path_step *up;
	const struct maple_enode *leaf;
	unsigned int slot;
	uint64_t order;

	near->after = NULL;
	if (path->max == ULONG_MAX)
		return;
	up = &path->step[path->height - 1];
	leaf = leaf_beside(mt, path, inner_above(up->node->head.word, up->child), path->max + 1);
	order = enode_node(leaf)->word;
	pf_assert(order_count(order));
	slot = order_slot(order, 0);
	near->after = *slot_entry(leaf, slot);
	near->after_first = slot_start(leaf, slot);
}
