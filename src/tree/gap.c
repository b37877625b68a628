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
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

struct gap_search {
	const struct maple_tree *mt;
	unsigned long min, max;		/* inclusive */
	unsigned long size;
	gap_code code;			/* of size */
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

/*
 * The lowest place in the leaf, from the gap before place @k on. Gaps between
 * ranges that touch have no length and fit nowhere.
 */
static bool leaf_lowest(struct gap_search *s, const struct path *path, unsigned int k)
{
	unsigned int count = order_count(path->order);
	unsigned long lo, hi, before, next;

	for (; k <= count; k++) {
		before = k ? leaf_last(path->leaf, path->order, k - 1) : path->min;
		if (k && before >= path->max)
			return false;
		next = k < count ? leaf_start(path->leaf, path->order, k) : 0;
		/* Between two ranges one comparison tells: whether they touch, nobody can foresee. */
		if (k < count && (k ? next - 1 - before < s->size : next <= before))
			continue;
		if (gap_fits(s, before + (k != 0), k < count ? next - 1 : path->max, &lo, &hi)) {
			s->found = lo;
			return true;
		}
	}
	return false;
}

/* The highest place in the leaf, from the gap before place @k downwards; @k = count is the last one's. */
static bool leaf_highest(struct gap_search *s, const struct path *path, unsigned int k)
{
	unsigned int count = order_count(path->order);
	unsigned long lo, hi, last = path->max, first;

	if (k < count)
		last = leaf_start(path->leaf, path->order, k) - 1;
	for (;; k--) {
		first = k ? leaf_last(path->leaf, path->order, k - 1) : path->min;
		if (k ? last - first >= s->size : first <= last && last != ULONG_MAX) {
			if (gap_fits(s, first + (k != 0), last, &lo, &hi)) {
				s->found = hi - (s->size - 1);
				return true;
			}
		}
		if (!k || first < s->min)
			return false;
		last = leaf_start(path->leaf, path->order, k - 1);
		if (!last--)
			return false;
	}
}

/* Which of four codes are at least @least, a bit each. Codes are below 2^31. */
#if defined(__SSE2__)
static inline unsigned int not_below(const gap_code *code, gap_code least)
{
	__m128i below = _mm_cmplt_epi32(_mm_loadu_si128((const void *)code), _mm_set1_epi32((int)least));

	return ~(unsigned int)_mm_movemask_ps(_mm_castsi128_ps(below)) & 15;
}
#else
static inline unsigned int not_below(const gap_code *code, gap_code least)
{
	unsigned int bits = 0;

	for (unsigned int i = 0; i < 4; i++)
		bits |= (unsigned int)(code[i] >= least) << i;
	return bits;
}
#endif

/* The children that may have such a gap. */
static uint64_t worth_a_look(const struct gap_search *s, const struct inner *node)
{
	unsigned int cap = live_cap(node->head.word);
	uint64_t fit = 0;

	if (!tree_tracks_gaps(s->mt))
		return node->head.word;
	for (unsigned int i = 0; i < cap; i += 4)
		fit |= (uint64_t)not_below(child_gap(node, i), s->code) << i;
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
	return *child_slot(step->node, child);
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

/* Go on with the next child worth a look; NULL when there is none, or it is out of the limits. */
static struct maple_enode *next_child(const struct gap_search *s, struct path *path, bool upwards)
{
	while (path->height) {
		struct path_step *step = &path->step[path->height - 1];
		uint64_t fit = worth_a_look(s, step->node);

		fit &= upwards ? inner_above(fit, step->child) : (1ull << step->child) - 1;
		if (fit) {
			unsigned int child = upwards ? lowest_bit(fit)
						     : 63 - (unsigned int)__builtin_clzll(fit);
			struct maple_enode *e = take_child(path, path->height - 1, child);

			return (upwards ? path->min <= s->max : path->max >= s->min) ? e : NULL;
		}
		path->height--;
	}
	return NULL;
}

/* From inner node @e down to the first leaf worth a look, or on from there. */
static struct maple_enode *first_leaf(const struct gap_search *s, struct path *path, struct maple_enode *e,
				      bool upwards)
{
	while (e && !enode_is_leaf(e)) {
		uint64_t fit;

		push(path, e);
		fit = worth_a_look(s, enode_inner(e));
		if (fit) {
			e = take_child(path, path->height - 1, upwards ? lowest_bit(fit)
								       : 63 - (unsigned int)__builtin_clzll(fit));
		} else {
			path->height--;
			e = next_child(s, path, upwards);
		}
	}
	return e;
}

/* Whether the leaf that the path leads to may have such a gap. */
static bool leaf_worth_a_look(const struct gap_search *s, const struct path *path)
{
	const struct path_step *up;

	if (!path->height || !tree_tracks_gaps(s->mt))
		return true;
	up = &path->step[path->height - 1];
	return *child_gap(up->node, up->child) >= s->code;
}

static bool search_nodes(struct gap_search *s, bool upwards)
{
	struct path path;
	struct maple_enode *e;
	bool look;

	/* In the first leaf, the limit lies in the gap before place rank, or in the range before that. */
	path_walk(s->mt, upwards ? s->min : s->max, &path);
	look = leaf_worth_a_look(s, &path);
	for (;;) {
		if (look && (upwards ? leaf_lowest(s, &path, path.rank) : leaf_highest(s, &path, path.rank)))
			return true;
		e = next_child(s, &path, upwards);
		e = first_leaf(s, &path, e, upwards);
		if (!e)
			return false;
		path.leaf = e;
		path.order = enode_node(e)->word;
		path.rank = upwards ? 0 : order_count(path.order);
		look = true;
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

static int search(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size,
		  bool upwards)
{
	struct gap_search s = { mas->tree, min, max, size, gap_encode(size), 0 };
	bool found;

	if (min > max || size == 0 || max - min < size - 1)
		return -EINVAL;
	found = root_is_node(mas->tree->ma_root) ? search_nodes(&s, upwards) : search_root(&s, upwards);
	if (!found) {
		mas_set_range(mas, min, max);
		mas_set_error(mas, -EBUSY);
		return -EBUSY;
	}
	mas_set_range(mas, s.found, s.found + (size - 1));
	mas_arrive(mas, mas->tree->ma_root);
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

	if (!tree_tracks_gaps(mt) || entry_is_reserved(entry) || xa_is_zero(entry))
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
static int find_cyclic(struct ma_state *mas, unsigned long range_lo, unsigned long range_hi,
		       unsigned long next)
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

	if (range_lo > range_hi)
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

	if (!tree_tracks_gaps(mt) || entry_is_reserved(entry) || xa_is_zero(entry))
		return -EINVAL;
	mtree_lock(mt);
	ret = mas_alloc_cyclic(&mas, startp, entry, range_lo, range_hi, next, gfp);
	mtree_unlock(mt);
	return ret;
}
