/* SPDX-License-Identifier: MIT */
/*
 * The search for a gap, once per generation of processors: included by search.c
 * with NAME(), and with route_at(), may_fit() and gaps_between().
 *
 * Each inner node says how long the longest gap below each child is. The search goes
 * down to the leaf that has the limit, as far as there may be a gap on the way; then to the
 * next child that may have one, on the side of the limit that is searched. In a tree that does
 * not track gaps all may: the code is 0. A gap that a leaf is responsible for may reach out of
 * [min, max] on either side: only what is left inside counts.
 */

/* The child that has the limit. Often it is the first or the last, where keys do not tell. */
static inline unsigned int NAME(child_at_limit)(const struct gap_search *s, const struct inner *node, uint64_t live,
						bool upwards)
{
	unsigned int last = highest_bit(live);
	uint64_t others = live & (live - 1);

	if (!upwards && *child_start(node, last) <= s->max)
		return last;
	if (upwards && others && *child_start(node, lowest_bit(others)) > s->min)
		return lowest_bit(live);
	NAME(prefetch_inner)(node);
	return NAME(route_at)(node, live, upwards ? s->min : s->max);
}

/* The gaps of the leaf that fit: bit k is the one before place k. */
static inline unsigned int NAME(gaps_of_leaf)(const struct gap_search *s, const struct maple_enode *e, uint64_t order,
					      const struct gap_path *path, unsigned long max, bool upwards)
{
	unsigned int count = order_count(order), fit;
	unsigned long first = leaf_start(e, order, 0), last = leaf_last(e, order, count - 1);

	if (__builtin_expect(enode_type(e) == NODE_NARROW, 1))
		fit = NAME(gaps_between)(s, enode_narrow(e), order, upwards);
	else
		fit = wide_between(s, e, order, upwards);
	fit |= (unsigned int)((last < max) & gap_fits(s, last + 1, max, upwards)) << count;
	if (first && gap_is_leftmost(path))
		fit |= gap_fits(s, 0, first - 1, upwards);
	return fit;
}

/* The first place in the leaf. When it is beyond the other limit, so are all the others. */
static inline bool NAME(gap_in_leaf)(struct gap_search *s, const struct maple_enode *e, const struct gap_path *path,
				     bool upwards)
{
	unsigned long max = gap_highest_index(path), at;
	uint64_t order = enode_node(e)->word;
	unsigned int fit = NAME(gaps_of_leaf)(s, e, order, path, max, upwards), k;

	if (!fit)
		return false;
	if (upwards) {
		k = lowest_bit(fit);
		at = k ? leaf_last(e, order, k - 1) + 1 : 0;
		s->found = at > s->min ? at : s->min;
		return s->found <= s->max && s->max - s->found >= s->more;
	}
	k = highest_bit(fit);
	/* What is no place is not looked at, but may be read. */
	at = leaf_start(e, order, k) - 1;
	at = k < order_count(order) ? at : max;
	s->found = (at < s->max ? at : s->max) - s->more;
	return s->found >= s->min;
}

/* Down the way to the limit. Where it leads to a child that cannot help it ends, with NULL. */
static inline const struct maple_enode *NAME(gap_to_limit)(const struct gap_search *s, struct gap_path *path,
							   bool upwards)
{
	const struct maple_enode *e = s->mt->ma_root;
	unsigned int depth = 0;

	while (!enode_is_leaf(e)) {
		const struct inner *node = enode_inner(e);
		unsigned int child;

		pf_assert(depth < MAX_HEIGHT);
		child = NAME(child_at_limit)(s, node, node->head.word, upwards);
		path->node[depth] = node;
		path->child[depth++] = (unsigned char)child;
		e = *child_slot(node, child);
		if (*child_gap(node, child) < s->code) {
			e = NULL;
			break;
		}
	}
	path->height = depth;
	return e;
}

/* From the path's lowest child to the next leaf that may help; NULL when there is none up to the other limit. */
static inline const struct maple_enode *NAME(gap_next_leaf)(const struct gap_search *s, struct gap_path *path,
							    bool upwards)
{
	bool beside = true;
	unsigned int depth = path->height;
	const struct maple_enode *e;

	while (depth--) {
		const struct inner *node = path->node[depth];
		uint64_t live = node->head.word, fit = NAME(may_fit)(node, live, s->code) & live;
		unsigned int child;

		if (beside)
			fit &= upwards ? ~1ull << path->child[depth] : (1ull << path->child[depth]) - 1;
		if (!fit) {
			beside = true;
			continue;
		}
		child = upwards ? lowest_bit(fit) : highest_bit(fit);
		path->child[depth++] = (unsigned char)child;
		path->height = depth;
		if (beside && gap_is_beyond(s, path, upwards))
			return NULL;
		e = *child_slot(node, child);
		if (enode_is_leaf(e))
			return e;
		pf_assert(depth < MAX_HEIGHT);
		path->node[depth++] = enode_inner(e);
		beside = false;
	}
	return NULL;
}

static inline __attribute__((always_inline)) bool NAME(gap_search)(struct gap_search *s, bool upwards)
{
	struct gap_path path;
	const struct maple_enode *e = NAME(gap_to_limit)(s, &path, upwards);

	for (;;) {
		if (e && NAME(gap_in_leaf)(s, e, &path, upwards))
			return true;
		e = NAME(gap_next_leaf)(s, &path, upwards);
		if (!e)
			return false;
	}
}

static bool NAME(gap_up)(struct gap_search *s)
{
	return NAME(gap_search)(s, true);
}

static bool NAME(gap_down)(struct gap_search *s)
{
	return NAME(gap_search)(s, false);
}
