/* SPDX-License-Identifier: MIT */
/*
 * Give space back: a node with few ranges or children joins a neighbour below the
 * same parent. Nothing depends on it. It takes memory only when the left node has
 * no fresh slots for what the right one holds, and is left undone when there
 * is none.
 *
 *   before  | A: 3 of 14 | B: 5 of 14 |
 *   1       | A: 8       | B: 5       |   A's order word takes in B's ranges; nobody looks for them there
 *   2       | A: 8                    |   the parent drops B; B's indexes fall to A
 */
#include "tree/tree.h"

#define JOIN_LEAF_MAX 10	/* ranges together, at most */
#define JOIN_INNER_AT 12
#define JOIN_INNER_MAX 32

/* Two neighbours below one parent. */
struct pair {
	struct maple_tree *mt;
	const struct path *path;
	unsigned int depth;		/* of the parent in the path */
	struct inner *parent;
	unsigned int left, right;	/* child numbers */
	struct maple_enode *a, *b;
	unsigned long middle;		/* the right one's separator */
	unsigned long min, max;		/* of both together */
};

static unsigned int node_count(const struct maple_enode *e)
{
	return enode_is_leaf(e) ? order_count(enode_node(e)->word)
				: (unsigned int)__builtin_popcountll(enode_node(e)->word);
}

static void pair_make(struct pair *p, unsigned int left, unsigned int right)
{
	const struct path_step *step = &p->path->step[p->depth];
	uint64_t live = p->parent->head.word;
	unsigned long ignored = 0;

	p->left = left;
	p->right = right;
	p->a = *child_slot(p->parent, left);
	p->b = *child_slot(p->parent, right);
	p->middle = *child_start(p->parent, right);
	p->min = step->min;
	p->max = step->max;
	inner_bounds(p->parent, live, left, &p->min, &ignored);
	inner_bounds(p->parent, live, right, &ignored, &p->max);
}

/* A partner for the child taken in the parent, such that both together are not more than @most. */
static bool pair_find(struct pair *p, unsigned int most)
{
	unsigned int child = p->path->step[p->depth].child;
	uint64_t live = p->parent->head.word;
	uint64_t above = inner_above(live, child), below = live & ((1ull << child) - 1);

	pf_assert(live >> child & 1);
	if (above) {
		pair_make(p, child, lowest_bit(above));
		if (node_count(p->a) + node_count(p->b) <= most)
			return true;
	}
	if (below) {
		pair_make(p, 63 - (unsigned int)__builtin_clzll(below), child);
		return node_count(p->a) + node_count(p->b) <= most;
	}
	return false;
}

/* Fill slots from number @used on; their bounds fit. */
static void narrow_takes_in(struct narrow *to, unsigned int used, const struct narrow *from, uint64_t order)
{
	uint32_t apart = (uint32_t)(from->head.base - to->head.base);

	for (unsigned int end = used + order_count(order); used < end; used++, order >>= 4) {
		unsigned int slot = order & 15;

		WR(to->start[used], from->start[slot] + apart);
		WR(to->last[used], from->last[slot] + apart);
		WR(to->slot[used], from->slot[slot]);
	}
}

/* Step 1 for leaves, in place. */
static bool leaf_takes_in(struct pair *p)
{
	uint64_t to = enode_node(p->a)->word, from = enode_node(p->b)->word, places = to;
	unsigned int used = order_used(to), count = order_count(to), nr = order_count(from);

	pf_assert(nr);
	/* All lie above what the left one has: the last decides. */
	if (used + nr > leaf_cap(p->a) || !slot_fits(p->a, p->middle, leaf_last(p->b, from, nr - 1)))
		return false;
	places &= order_below(count);
	for (unsigned int k = 0; k < nr; k++)
		places |= (uint64_t)(used + k) << (4 * (count + k));
	if (enode_type(p->a) == NODE_NARROW && enode_type(p->b) == NODE_NARROW)
		narrow_takes_in(enode_narrow(p->a), used, enode_narrow(p->b), from);
	else
		for (unsigned int k = 0; k < nr; k++)
			slot_fill(p->a, used + k, leaf_start(p->b, from, k), leaf_last(p->b, from, k),
				  leaf_entry(p->b, from, k));
	WR_REL(enode_node(p->a)->word, order_make(places, count + nr, used + nr));
	return true;
}

/* Step 1 for inner nodes, in place. */
static bool inner_takes_in(struct pair *p)
{
	struct inner *to = enode_inner(p->a), *from = enode_inner(p->b);
	unsigned int nr = node_count(p->b), used = to->head.used;
	unsigned long start;
	uint64_t fresh = 0;

	if (used + nr > to->head.cap)
		return false;
	for (uint64_t live = from->head.word; live; live &= live - 1, used++) {
		unsigned int i = lowest_bit(live);

		/* The lowest one's own separator is not kept; the node's is. */
		start = inner_is_lowest(from->head.word, i) ? p->middle : *child_start(from, i);
		WR(*child_start(to, used), start);
		WR(to->key[used], key_of(to, start));
		WR(*child_slot(to, used), *child_slot(from, i));
		*child_gap(to, used) = *child_gap(from, i);
		fresh |= 1ull << used;
	}
	to->head.used = (uint16_t)used;
	WR_REL(to->head.word, to->head.word | fresh);
	return true;
}

/* Replace the left one by a copy with room. */
static bool make_room(struct pair *p)
{
	struct maple_enode *copy = enode_is_leaf(p->a) ? leaf_compact(p->mt, p->a)
						       : inner_compact(p->mt, p->a, p->min);

	if (!copy)
		return false;
	WR_REL(*child_slot(p->parent, p->left), copy);
	node_retire(p->mt, enode_node(p->a));
	p->a = copy;
	return true;
}

static bool takes_in(struct pair *p)
{
	return enode_is_leaf(p->a) ? leaf_takes_in(p) : inner_takes_in(p);
}

static gap_code joined_gap(const struct pair *p)
{
	if (!enode_is_leaf(p->a))
		return inner_longest_gap(enode_inner(p->a));
	/* The separator above may have risen since the path was walked. */
	return leaf_longest_gap(p->a, enode_node(p->a)->word,
				p->min ? leaf_start(p->a, enode_node(p->a)->word, 0) : 0, p->max);
}

static void pair_finish(struct pair *p)
{
	WR_REL(p->parent->head.word, p->parent->head.word & ~(1ull << p->right));
	node_retire(p->mt, enode_node(p->b));
	if (!tree_tracks_gaps(p->mt))
		return;
	*child_gap(p->parent, p->right) = 0;
	*child_gap(p->parent, p->left) = joined_gap(p);
	if (p->depth)
		path_set_gap(p->mt, p->path, p->depth - 1, inner_longest_gap(p->parent));
}

static bool join_at(struct maple_tree *mt, const struct path *path, unsigned int depth, unsigned int most)
{
	struct pair p = { .mt = mt, .path = path, .depth = depth, .parent = path->step[depth].node };

	if (!pair_find(&p, most))
		return false;
	if (!takes_in(&p) && !(make_room(&p) && takes_in(&p)))
		return false;
	pair_finish(&p);
	return true;
}

/* The inner node at @depth of the path has lost a child. */
void join_inner(struct maple_tree *mt, const struct path *path, unsigned int depth)
{
	while (depth && node_count(enode_make(path->step[depth].node, NODE_INNER)) <= JOIN_INNER_AT) {
		if (!join_at(mt, path, depth - 1, JOIN_INNER_MAX))
			break;
		depth--;
	}
	collapse_root(mt);
}

/* The leaf of the path has lost ranges. Whether anything was joined. */
bool join_leaf(struct maple_tree *mt, const struct path *path)
{
	if (!path->height || node_count(path->leaf) > JOIN_LEAF_AT)
		return false;
	/* What was begun and not finished has changed nodes too. */
	if (join_at(mt, path, path->height - 1, JOIN_LEAF_MAX))
		join_inner(mt, path, path->height - 1);
	return true;
}
