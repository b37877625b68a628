/* SPDX-License-Identifier: MIT */
/*
 * Gap search, both ways, and what allocates by it.
 *
 * Each inner node says how long the longest gap below each child is, so that
 * the search skips children that cannot help. In a tree that does not track
 * gaps it looks at all. A gap that a leaf is responsible for may reach out of
 * [min, max] on either side: only what is left inside counts.
 */
#include "tree/tree.h"

#include <errno.h>

struct gap_search {
	const struct maple_tree *mt;
	unsigned long min, max;		/* inclusive */
	unsigned long size;
	unsigned long found;		/* first index */
};

/* The part of the gap [@first, @last] that lies inside the limits is long enough. */
static bool gap_fits(const struct gap_search *s, unsigned long first, unsigned long last, unsigned long *lo,
		     unsigned long *hi)
{
	*lo = first > s->min ? first : s->min;
	*hi = last < s->max ? last : s->max;
	return *lo <= *hi && *hi - *lo >= s->size - 1;
}

/* The bounds of the gap before place @k, or after the last one. False if there is none. */
static bool leaf_gap(const struct path *path, unsigned int k, unsigned long *first, unsigned long *last)
{
	*first = path->min;
	if (k) {
		*first = leaf_last(path->leaf, path->order, k - 1);
		if (*first >= path->max)
			return false;
		++*first;
	}
	*last = path->max;
	if (k < order_count(path->order)) {
		unsigned long start = leaf_start(path->leaf, path->order, k);

		if (start <= *first)
			return false;
		*last = start - 1;
	}
	return true;
}

static bool leaf_lowest(struct gap_search *s, const struct path *path)
{
	unsigned long first, last, lo, hi;

	for (unsigned int k = 0; k <= order_count(path->order); k++) {
		if (leaf_gap(path, k, &first, &last) && gap_fits(s, first, last, &lo, &hi)) {
			s->found = lo;
			return true;
		}
	}
	return false;
}

static bool leaf_highest(struct gap_search *s, const struct path *path)
{
	unsigned long first, last, lo, hi;

	for (unsigned int k = order_count(path->order) + 1; k--;) {
		if (leaf_gap(path, k, &first, &last) && gap_fits(s, first, last, &lo, &hi)) {
			s->found = hi - (s->size - 1);
			return true;
		}
	}
	return false;
}

/* The children that may have such a gap. */
static uint64_t worth_a_look(const struct gap_search *s, const struct inner *node)
{
	uint64_t fit = 0;

	if (!tree_tracks_gaps(s->mt))
		return node->head.word;
	for (unsigned int i = 0; i < INNER_CAP; i++)
		fit |= (uint64_t)(node->gap[i] >= s->size) << i;
	return fit & node->head.word;
}

/* Take @child at the path's bottom step, and set the bounds for what is below. */
static struct maple_enode *take_child(struct path *path, unsigned int depth, unsigned int child)
{
	struct path_step *step = &path->step[depth];

	step->child = child;
	path->min = step->min;
	path->max = step->max;
	inner_bounds(step->node, step->node->head.word, child, &path->min, &path->max);
	return step->node->child[child];
}

/* Push inner node @e, which spans the path's bounds. */
static void push(struct path *path, struct maple_enode *e)
{
	struct path_step *step = &path->step[path->height++];

	pf_assert(path->height <= MAX_HEIGHT);
	step->node = enode_inner(e);
	step->min = path->min;
	step->max = path->max;
}

/* Go on with the next child worth a look, upwards or downwards; NULL when there is none, or it is out of the limits. */
static struct maple_enode *next_child(const struct gap_search *s, struct path *path, bool upwards)
{
	while (path->height) {
		struct path_step *step = &path->step[path->height - 1];
		uint64_t fit = worth_a_look(s, step->node);

		fit &= upwards ? inner_above(fit, step->child) : (1ull << step->child) - 1;
		if (fit) {
			unsigned int child = upwards ? (unsigned int)__builtin_ctzll(fit)
						     : 63 - (unsigned int)__builtin_clzll(fit);
			struct maple_enode *e = take_child(path, path->height - 1, child);

			return (upwards ? path->min <= s->max : path->max >= s->min) ? e : NULL;
		}
		path->height--;
	}
	return NULL;
}

/* From inner node @e down to the first leaf worth a look, or on from there. */
static struct maple_enode *first_leaf(const struct gap_search *s, struct path *path, struct maple_enode *e, bool upwards)
{
	while (e && !enode_is_leaf(e)) {
		uint64_t fit;

		push(path, e);
		fit = worth_a_look(s, enode_inner(e));
		if (fit) {
			e = take_child(path, path->height - 1, upwards ? (unsigned int)__builtin_ctzll(fit)
								       : 63 - (unsigned int)__builtin_clzll(fit));
		} else {
			path->height--;
			e = next_child(s, path, upwards);
		}
	}
	return e;
}

static bool search_nodes(struct gap_search *s, bool upwards)
{
	struct path path;
	struct maple_enode *e;

	path_walk(s->mt, upwards ? s->min : s->max, &path);
	for (;;) {
		path.order = enode_node(path.leaf)->word;
		if (upwards ? leaf_lowest(s, &path) : leaf_highest(s, &path))
			return true;
		e = next_child(s, &path, upwards);
		e = first_leaf(s, &path, e, upwards);
		if (!e)
			return false;
		path.leaf = e;
	}
}

static bool search_root(struct gap_search *s, bool upwards)
{
	unsigned long lo, hi;

	if (!gap_fits(s, s->mt->ma_root ? 1 : 0, ULONG_MAX, &lo, &hi))
		return false;
	s->found = upwards ? lo : hi - (s->size - 1);
	return true;
}

static int search(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size, bool upwards)
{
	struct gap_search s = { mas->tree, min, max, size, 0 };
	bool found;

	if (min > max || size == 0 || max - min < size - 1)
		return -EINVAL;
	found = root_is_node(mas->tree->ma_root) ? search_nodes(&s, upwards) : search_root(&s, upwards);
	if (!found) {
		mas_set_error(mas, -EBUSY);
		return -EBUSY;
	}
	mas_set_range(mas, s.found, s.found + (size - 1));
	return 0;
}

int mas_empty_area(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size)
{
	return search(mas, min, max, size, true);
}

int mas_empty_area_rev(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size)
{
	return search(mas, min, max, size, false);
}

/* Allocating -------------------------------------------------------------- */

static int alloc_area(struct maple_tree *mt, unsigned long *startp, void *entry, unsigned long size,
		      unsigned long min, unsigned long max, bool upwards)
{
	MA_STATE(mas, mt, 0, 0);
	int err;

	if (!tree_tracks_gaps(mt) || entry_is_reserved(entry))
		return -EINVAL;
	mtree_lock(mt);
	err = search(&mas, min, max, size, upwards);
	if (!err)
		err = mas_store_gfp(&mas, entry, 0);
	if (!err)
		*startp = mas.index;
	mtree_unlock(mt);
	return err;
}

int mtree_alloc_range(struct maple_tree *mt, unsigned long *startp, void *entry, unsigned long size,
		      unsigned long min, unsigned long max, gfp_t gfp)
{
	(void)gfp;
	return alloc_area(mt, startp, entry, size, min, max, true);
}

int mtree_alloc_rrange(struct maple_tree *mt, unsigned long *startp, void *entry, unsigned long size,
		       unsigned long min, unsigned long max, gfp_t gfp)
{
	(void)gfp;
	return alloc_area(mt, startp, entry, size, min, max, false);
}

/* Find a free index at or after @next, or again from @range_lo. 0, 1 when wrapped, or an error. */
static int find_cyclic(struct ma_state *mas, unsigned long range_lo, unsigned long range_hi, unsigned long next)
{
	unsigned long min = next > range_lo ? next : range_lo;
	unsigned int *flags = &mas->tree->ma_flags;
	int err = min > range_hi ? -EBUSY : search(mas, min, range_hi, 1, true);

	if (!err && *flags & MT_FLAGS_ALLOC_WRAPPED) {
		*flags &= ~(unsigned int)MT_FLAGS_ALLOC_WRAPPED;
		return 1;
	}
	if (err && range_lo < min) {
		mas_reset(mas);
		err = search(mas, range_lo, range_hi, 1, true);
		if (!err)
			return 1;
	}
	return err;
}

int mas_alloc_cyclic(struct ma_state *mas, unsigned long *startp, void *entry, unsigned long range_lo,
		     unsigned long range_hi, unsigned long *next, gfp_t gfp)
{
	int wrapped, err;

	if (!tree_tracks_gaps(mas->tree) || entry_is_reserved(entry) || range_lo > range_hi)
		return -EINVAL;
	wrapped = find_cyclic(mas, range_lo, range_hi, *next);
	if (wrapped < 0)
		return wrapped;
	err = mas_store_gfp(mas, entry, gfp);
	if (err)
		return err;
	*startp = mas->index;
	*next = mas->index + 1;
	if (!*next)
		mas->tree->ma_flags |= MT_FLAGS_ALLOC_WRAPPED;
	return wrapped;
}

int mtree_alloc_cyclic(struct maple_tree *mt, unsigned long *startp, void *entry, unsigned long range_lo,
		       unsigned long range_hi, unsigned long *next, gfp_t gfp)
{
	MA_STATE(mas, mt, 0, 0);
	int ret;

	mtree_lock(mt);
	ret = mas_alloc_cyclic(&mas, startp, entry, range_lo, range_hi, next, gfp);
	mtree_unlock(mt);
	return ret;
}
