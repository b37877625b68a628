/* SPDX-License-Identifier: MIT */
/*
 * The commonest changes, down the tree and done: a range into a gap of a narrow leaf, another entry
 * for exactly a range, and a range taken out from among others. None of them needs memory, or
 * changes a leaf's bounds; each is the one store that write.c and erase.c make in the same
 * case, which have all other cases. And what is asked before them, by the same way. Included by search.c
 * behind search_body.h.
 */

/* The way to @index, kept as the finger; NULL when the tree has no nodes. */
static inline struct path *NAME(quick_way)(struct maple_tree *mt, unsigned long index)
{
	struct finger *finger = tree_finger(mt);

	if (!finger || !root_is_node(mt->ma_root))
		return NULL;
	if (finger->seq == mt->ma_seq && index >= finger->path.min && index <= finger->path.max) {
		NAME(refresh)(&finger->path, index);
	} else {
		NAME(walk_here)(mt, index, &finger->path);
		finger->seq = mt->ma_seq;
	}
	return &finger->path;
}

/* The leaf has another order word. Its way stays good. */
static inline void NAME(quick_done)(struct maple_tree *mt)
{
	WR_REL(mt->ma_seq, mt->ma_seq + 1);
	tree_finger(mt)->seq = mt->ma_seq;
}

/* Whether a gap is certainly shorter than the longest below the leaf's parent's child, without its code. */
static inline bool NAME(is_lesser_gap)(const struct path *path, unsigned long length)
{
	const struct path_step *up = &path->step[path->height - 1];
	gap_code longest = *child_gap(up->node, up->child);

	return length < (longest < 1u << 26 ? longest : 1u << 26);
}

/*
 * The leaf has got a gap of @length. Whether it is the leaf's longest is not foreseen, so the store is made
 * in any case; further up it is seldom.
 */
static inline void NAME(tell_grown)(struct maple_tree *mt, const struct path *path, unsigned long length)
{
	const struct path_step *up = &path->step[path->height - 1];
	gap_code *at = child_gap(up->node, up->child), gap = gap_encode(length);

	*at = (gap_code)CHOOSE(gap > *at, (unsigned long)gap, (unsigned long)*at);
	if (path->height < 2)
		return;
	up--;
	if (__builtin_expect(gap > *child_gap(up->node, up->child), 0))
		path_set_gap(mt, path, path->height - 2, gap);
}

/* The slot that had this range with this entry until it was dropped (O1), or a fresh one; LEAF_CAP: none. */
static inline unsigned int NAME(quick_slot)(const struct narrow *leaf, uint64_t order, uint32_t from,
					    uint32_t to, const void *entry)
{
	unsigned int used = order_used(order), slots;

	if (used == order_count(order))
		return used;
	for (slots = NAME(slots_same)(leaf, from, to) & ((1u << used) - 1); slots; slots &= slots - 1)
		if (leaf->slot[lowest_bit(slots)] == entry)
			return lowest_bit(slots);
	return used;
}

/*
 * Put a range where nothing was, or with @old another entry to exactly a range. False: it is not
 * that simple, and nothing was done. *@old: the entry before.
 */
static bool NAME(quick_put)(struct maple_tree *mt, unsigned long index, unsigned long last, void *entry,
			    void **old)
{
	struct path *path = NAME(quick_way)(mt, index);
	unsigned int place, slot, count;
	unsigned long before, after;
	struct narrow *leaf;
	uint32_t from, to;
	uint64_t order;

	if (!path || enode_type(path->leaf) != NODE_NARROW || last > path->max)
		return false;
	leaf = enode_narrow(path->leaf);
	order = path->order;
	place = path->rank;
	count = order_count(order);
	if (index < leaf->head.base || last - leaf->head.base > UINT32_MAX)
		return false;
	from = (uint32_t)(index - leaf->head.base);
	to = (uint32_t)(last - leaf->head.base);
	before = path->min;
	after = path->max;
	if (place) {
		slot = order_slot(order, place - 1);
		if (leaf->last[slot] >= from) {
			if (!old || leaf->start[slot] != from || leaf->last[slot] != to)
				return false;
			*old = leaf->slot[slot];
			WR_REL(leaf->slot[slot], entry);
			return true;
		}
		before = leaf->head.base + leaf->last[slot];
	}
	if (place < count) {
		slot = order_slot(order, place);
		if (leaf->start[slot] <= to)
			return false;
		after = leaf->head.base + leaf->start[slot];
	}
	slot = NAME(quick_slot)(leaf, order, from, to, entry);
	if (slot == LEAF_CAP)
		return false;
	if (slot == order_used(order)) {
		WR(leaf->start[slot], from);
		WR(leaf->last[slot], to);
		WR(leaf->slot[slot], entry);
		order += 1ull << 60;
	}
	WR_REL(leaf->head.word, order_insert(order, place, slot));
	if (tree_tracks_gaps(mt) && path->height && !NAME(is_lesser_gap)(path, after - before))
		path_gap_filled(mt, path, after - before, after - last - (place < count));
	NAME(quick_done)(mt);
	if (old)
		*old = NULL;
	return true;
}

/* Drop the range that contains @index and return its entry. NULL: nothing was done, it is not that simple. */
static void *NAME(quick_take)(struct maple_tree *mt, unsigned long index, unsigned long *start,
			      unsigned long *last)
{
	struct path *path = NAME(quick_way)(mt, index);
	unsigned int place, slot, count, next;
	unsigned long before, after;
	struct narrow *leaf;
	uint64_t order;

	if (!path || enode_type(path->leaf) != NODE_NARROW || path->rank < 2)
		return NULL;
	leaf = enode_narrow(path->leaf);
	order = path->order;
	place = path->rank - 1;
	count = order_count(order);
	slot = order_slot(order, place);
	if (leaf->head.base + leaf->last[slot] < index || (count <= JOIN_LEAF_AT + 1 && path->height))
		return NULL;
	*start = leaf->head.base + leaf->start[slot];
	*last = leaf->head.base + leaf->last[slot];
	WR_REL(leaf->head.word, order_remove(order, place));
	/* Behind the last place any slot is looked at, for nothing. */
	next = order_slot(order, place + 1 < LEAF_CAP ? place + 1 : place);
	after = CHOOSE(place + 1 < count, leaf->head.base + leaf->start[next] - 1, path->max);
	before = leaf->head.base + leaf->last[order_slot(order, place - 1)];
	if (tree_tracks_gaps(mt) && path->height)
		NAME(tell_grown)(mt, path, after - before);
	NAME(quick_done)(mt);
	return leaf->slot[slot];
}

/* What lies around @index, where a narrow leaf is responsible for it. False: none is, and nothing was looked for. */
static bool NAME(quick_near)(struct maple_tree *mt, unsigned long index, struct mt_near *near)
{
	struct path *path = NAME(quick_way)(mt, index);
	unsigned int place, slot, count;
	const struct narrow *leaf;
	uint64_t order;

	if (!path || enode_type(path->leaf) != NODE_NARROW)
		return false;
	leaf = enode_narrow(path->leaf);
	order = path->order;
	place = path->rank;
	count = order_count(order);
	near->at = NULL;
	if (place < count) {
		slot = order_slot(order, place);
		near->after = leaf->slot[slot];
		near->after_first = leaf->head.base + leaf->start[slot];
	} else {
		path_first_above(mt, path, near);
	}
	if (place) {
		slot = order_slot(order, place - 1);
		if (leaf->head.base + leaf->last[slot] >= index) {
			near->at = leaf->slot[slot];
			place--;
		}
	}
	if (place) {
		slot = order_slot(order, place - 1);
		near->before = leaf->slot[slot];
		near->before_last = leaf->head.base + leaf->last[slot];
	} else {
		path_last_below(mt, path, near);
	}
	return true;
}
