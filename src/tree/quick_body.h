/* SPDX-License-Identifier: MIT */
/*
 * The commonest changes, down the tree and done: a range into a gap of a narrow leaf, another entry
 * for exactly a range, and a range taken out from among others. None of them needs memory, or
 * changes a leaf's bounds; each is the one store that write.c and erase.c make in the same
 * case, which have all other cases. And what is asked before them, by the same way. Included by search.c
 * behind search_body.h.
 */

/* Apart from what follows, which so has less to keep where the finger points to the leaf already. */
static __attribute__((noinline)) void NAME(quick_walk)(struct maple_tree *mt, unsigned long index,
							struct finger *finger)
{
	NAME(walk_here)(mt, index, &finger->path);
	finger->seq = mt->ma_seq;
}

/* The way to @index, kept as the finger; NULL when the tree has no nodes. */
static inline __attribute__((always_inline)) struct path *NAME(quick_way)(struct maple_tree *mt,
									   unsigned long index)
{
	struct finger *finger = tree_finger(mt);

	if (!finger || !root_is_node(mt->ma_root))
		return NULL;
	if (finger->seq == mt->ma_seq && index >= finger->path.min && index <= finger->path.max)
		NAME(refresh)(&finger->path, index);
	else
		NAME(quick_walk)(mt, index, finger);
	return &finger->path;
}

/* The leaf has another order word. Its way stays good. */
static inline void NAME(quick_done)(struct maple_tree *mt)
{
	WR_REL(mt->ma_seq, mt->ma_seq + 1);
	tree_finger(mt)->seq = mt->ma_seq;
}

/*
 * Whether a gap of @length, of which @left remains, is certainly shorter than the longest below the leaf's parent's child,
 * or remains as long as that: so does the gap above the highest range when ranges come in order.
 */
static inline bool NAME(longest_stays)(const struct path *path, unsigned long length, unsigned long left)
{
	const struct path_step *up = &path->step[path->height - 1];
	gap_code longest = *child_gap(up->node, up->child);

	return length < (longest < 1u << 26 ? longest : 1u << 26) || gap_encode(left) == longest;
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
	unsigned long before, after, left;
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
	left = after - last - (place < count);
	if (tree_tracks_gaps(mt) && path->height && !NAME(longest_stays)(path, after - before, left))
		path_gap_filled(mt, path, after - before, left);
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

/* What lies around @index, where a narrow leaf is responsible for it. False: none is, nothing was looked for. */
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

/* Patches ----------------------------------------------------------------- */

/*
 * What is at the places [from, to), which touch each other, becomes one to three ranges with the same bounds in all:
 *
 *   before  |AAAAAAAA|BBBB|         |AAAAAAAAAAAAAAAA|
 *   store       |------|                |------|
 *   after   |AAAA|NNNNNN|BB|        |AAAA|NNNNNN|AAAA|
 *
 * No gap changes, so nobody above has to be told.
 */

/* How far the places from @patch->from on reach to @last. False: a gap, or another leaf, begins before. */
static inline bool NAME(patch_reach)(const struct narrow *leaf, uint64_t order, struct leaf_patch *patch,
				     uint32_t last)
{
	unsigned int slot = order_slot(order, patch->from), count = order_count(order), to = patch->from + 1;
	uint32_t end = leaf->last[slot];

	while (end < last) {
		slot = order_slot(order, to);
		if (to == count || leaf->start[slot] - 1 != end)
			return false;
		end = leaf->last[slot];
		to++;
	}
	patch->to = to;
	return true;
}

/* In a leaf of its own, as if it had been built anew. */
static struct maple_enode *NAME(patch_copy)(struct node *node, const struct narrow *leaf, uint64_t order,
					    const struct leaf_patch *patch)
{
	unsigned int shift = patch->nr - (patch->to - patch->from), to;
	struct narrow *copy = (struct narrow *)node;
	struct sorted sorted;

	/* Always as many steps: how many it would take is not foreseen. Behind the last place is anything. */
	for (unsigned int k = 0; k < NARROW_CAP; k++) {
		unsigned int slot = order_slot(order, k);

		to = k + (unsigned int)(-(unsigned long)(k >= patch->to) & shift);
		sorted.start[to] = leaf->start[slot];
		sorted.last[to] = leaf->last[slot];
		sorted.slot[to] = leaf->slot[slot];
	}
	for (unsigned int i = 0; i < patch->nr; i++) {
		sorted.start[patch->from + i] = patch->start[i];
		sorted.last[patch->from + i] = patch->last[i];
		sorted.slot[patch->from + i] = patch->entry[i];
	}
	copy->head.base = leaf->head.base;
	__builtin_memcpy(copy->start, sorted.start, sizeof(copy->start));
	__builtin_memcpy(copy->last, sorted.last, sizeof(copy->last));
	__builtin_memcpy(copy->slot, sorted.slot, sizeof(copy->slot));
	copy->head.word = order_fresh(order_count(order) + shift);
	return enode_make(copy, NODE_NARROW);
}

/* The new ranges go to fresh slots, or one to that which it had. False: there are not enough. */
static inline bool NAME(patch_slots)(struct narrow *leaf, uint64_t order, const struct leaf_patch *patch)
{
	unsigned int used = order_used(order), slot = used, bits = 4 * patch->nr;
	uint64_t middle = 0, places;

	if (patch->nr == 1) {
		slot = NAME(quick_slot)(leaf, order, patch->start[0], patch->last[0], patch->entry[0]);
		middle = slot;
	}
	if (slot == used) {
		if (used + patch->nr > NARROW_CAP)
			return false;
		middle = 0x210 + 0x111 * used;
		for (unsigned int i = 0; i < patch->nr; i++, used++) {
			WR(leaf->start[used], patch->start[i]);
			WR(leaf->last[used], patch->last[i]);
			WR(leaf->slot[used], patch->entry[i]);
		}
	}
	middle &= (1ull << bits) - 1;
	places = (order & ORDER_PLACES) >> (4 * patch->to) << bits | middle;
	places = places << (4 * patch->from) | (order & order_below(patch->from));
	WR_REL(leaf->head.word,
	       order_make(places, order_count(order) - (patch->to - patch->from) + patch->nr, used));
	return true;
}

/*
 * Store @entry over [index, last], which lies in ranges that touch, and @high over what remains above of the last
 * one, NULL leaving that its entry. 1; 0: it is not that simple, and nothing was done; -ENOMEM. *@old: the entry
 * at index before. @mas: where nodes may be set aside, or NULL.
 */
static int NAME(quick_patch)(struct maple_tree *mt, struct ma_state *mas, const struct mt_cut *cut,
			     void **old)
{
	struct path *path = NAME(quick_way)(mt, cut->index);
	struct leaf_patch patch;
	struct narrow *leaf;
	uint64_t order;
	uint32_t from, to, end;
	unsigned int slot;

	if (!path || enode_type(path->leaf) != NODE_NARROW || cut->last > path->max || !path->rank)
		return 0;
	leaf = enode_narrow(path->leaf);
	order = path->order;
	if (cut->last - leaf->head.base > UINT32_MAX)
		return 0;
	from = (uint32_t)(cut->index - leaf->head.base);
	to = (uint32_t)(cut->last - leaf->head.base);
	patch.from = path->rank - 1;
	slot = order_slot(order, patch.from);
	if (leaf->last[slot] < from || !NAME(patch_reach)(leaf, order, &patch, to))
		return 0;
	patch.nr = leaf->start[slot] < from;
	patch.start[0] = leaf->start[slot];
	patch.last[0] = from - 1;
	patch.entry[0] = *old = leaf->slot[slot];
	patch.start[patch.nr] = from;
	patch.last[patch.nr] = to;
	patch.entry[patch.nr++] = cut->entry;
	slot = order_slot(order, patch.to - 1);
	end = leaf->last[slot];
	if (end > to) {
		patch.start[patch.nr] = to + 1;
		patch.last[patch.nr] = end;
		patch.entry[patch.nr++] = cut->high ? cut->high : leaf->slot[slot];
	}
	if (order_count(order) + patch.nr > NARROW_CAP + (patch.to - patch.from))
		return 0;
	if (!NAME(patch_slots)(leaf, order, &patch)) {
		struct node *node = mas ? reserve_take(mas, SIZE_LEAF) : node_alloc(mt, SIZE_LEAF);

		if (!node)
			return -ENOMEM;
		leaf_replaced(mt, path, NAME(patch_copy)(node, leaf, order, &patch));
	}
	NAME(quick_done)(mt);
	retire_flush(mt);
	return 1;
}
