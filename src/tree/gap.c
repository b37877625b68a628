/* SPDX-License-Identifier: MIT */
/*
 * Gap search, both ways, and what allocates by it. The way through the nodes is
 * in gap_body.h.
 */
#include "tree/tree.h"

#include <errno.h>

static bool search_root(struct gap_search *s, bool upwards)
{
	unsigned long first = s->mt->ma_root ? 1 : 0;

	if (first < s->min)
		first = s->min;
	s->found = upwards ? first : s->max - s->more;
	return first <= s->max && s->max - first >= s->more;
}

static int search(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size,
		  bool upwards)
{
	struct gap_search s = { mas->tree, min, max, size - 1,
				tree_tracks_gaps(mas->tree) ? gap_encode(size) : 0, 0 };
	bool found;

	if (min > max || size == 0 || max - min < size - 1)
		return -EINVAL;
	if (!root_is_node(mas->tree->ma_root))
		found = search_root(&s, upwards);
	else
		found = upwards ? gap_search_up(&s) : gap_search_down(&s);
	if (!found) {
		mas_set_range(mas, min, max);
		mas_set_error(mas, -EBUSY);
		return -EBUSY;
	}
	__mas_set_range(mas, s.found, s.found + s.more);
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

bool mt_highest_gap(const struct maple_tree *mt, unsigned long min, unsigned long max, unsigned long size,
		    unsigned long *first)
{
	struct gap_search s = { mt, min, max, size - 1, tree_tracks_gaps(mt) ? gap_encode(size) : 0, 0 };

	pf_assert(min <= max && size && max - min >= size - 1);
	if (!(root_is_node(mt->ma_root) ? gap_search_down(&s) : search_root(&s, false)))
		return false;
	*first = s.found;
	return true;
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
