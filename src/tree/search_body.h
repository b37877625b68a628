/* SPDX-License-Identifier: MIT */
/*
 * The ways down, once per generation of processors: included by search.c with
 * NAME(), which adds the generation's suffix, and with route_at(), rank_at()
 * and slots_around(), which search one node.
 *
 * What a way down can be relied on beside a writer, by O1 to O5 of node.h:
 *   S1  The root, a node's live word or order word, and a child pointer are each loaded with
 *       acquire, in this order, before anything behind them: the release store that showed it
 *       (O2) has everything before it.
 *   S2  Keys and separators may be those from before or after one was raised (O4). Both ways lead
 *       to a leaf that says the same for the index; its lower bound is lowered to the index where
 *       the other way would have been taken.
 *   S3  A slot counts only if the order word names it; its bounds were written before that, and
 *       stay (O1). The entry is loaded with acquire, so that what it points to can be seen.
 *   S4  The way down ends: nodes do not change depth, and one that was replaced leads to what it
 *       led to (O3, O5).
 */

/* Begin to fetch what a search of a leaf will look at, all at once. */
static inline void NAME(prefetch_leaf)(const struct maple_enode *e)
{
	const char *node = (const char *)enode_node(e);

	__builtin_prefetch(node);
	__builtin_prefetch(node + 64);
	__builtin_prefetch(node + 128);
	__builtin_prefetch(node + 192);
}

/* The children of a large one. */
static inline void NAME(prefetch_inner)(const struct inner *node)
{
	const char *at = (const char *)node;
	size_t from = sizeof(struct node) + INNER_CAP * (sizeof(inner_key) + sizeof(unsigned long));

	__builtin_prefetch(node->key + SMALL_CAP);
	for (unsigned int line = 0; line < INNER_CAP * sizeof(void *); line += 64)
		__builtin_prefetch(at + from + line);
}

static inline unsigned int NAME(rank_in_leaf)(const struct maple_enode *e, uint64_t order,
					      unsigned long index)
{
	unsigned long distance = index - enode_node(e)->base;

	if (enode_type(e) == NODE_WIDE)
		return wide_rank(enode_wide(e), order, index);
	if (index < enode_node(e)->base)
		return 0;
	return NAME(rank_at)(enode_narrow(e), order, distance > UINT32_MAX ? UINT32_MAX : (uint32_t)distance);
}

static inline void *NAME(lookup_wide)(const struct wide *leaf, uint64_t order, unsigned long index)
{
	unsigned int rank = wide_rank(leaf, order, index), slot;

	if (!rank)
		return NULL;
	slot = order_slot(order, rank - 1);
	return RD(leaf->last[slot]) >= index ? RD_ACQ(leaf->slot[slot]) : NULL;
}

/* Of the slots around the index, those dropped and those not named yet among them, the order has one at most. */
static inline void *NAME(lookup_narrow)(const struct narrow *leaf, uint64_t order, unsigned long index)
{
	unsigned long distance = index - leaf->head.base;
	unsigned int slots;

	if (index < leaf->head.base || distance > UINT32_MAX)
		return NULL;
	for (slots = NAME(slots_around)(leaf, (uint32_t)distance); slots; slots &= slots - 1)
		if (__builtin_expect(order_has(order, lowest_bit(slots)), 1))
			return RD_ACQ(leaf->slot[lowest_bit(slots)]);
	return NULL;
}

static void *NAME(lookup)(const struct maple_tree *mt, unsigned long index)
{
	struct maple_enode *e = RD_ACQ(mt->ma_root);
	uint64_t order;

	if (!root_is_node(e))
		return index ? NULL : (void *)e;
	while (!enode_is_leaf(e)) {
		const struct inner *node = enode_inner(e);

		NAME(prefetch_inner)(node);
		e = RD_ACQ(*child_slot(node, NAME(route_at)(node, RD_ACQ(node->head.word), index)));
	}
	NAME(prefetch_leaf)(e);
	order = RD_ACQ(enode_node(e)->word);
	if (enode_type(e) == NODE_WIDE)
		return NAME(lookup_wide)(enode_wide(e), order, index);
	return NAME(lookup_narrow)(enode_narrow(e), order, index);
}

static void NAME(descend)(struct ma_state *mas, struct maple_enode *e, unsigned long index)
{
	unsigned long min = 0, max = ULONG_MAX;
	unsigned int rank;

	mas->up = NULL;
	while (!enode_is_leaf(e)) {
		struct inner *node = enode_inner(e);
		uint64_t live = RD_ACQ(node->head.word);
		unsigned int child;

		NAME(prefetch_inner)(node);
		child = NAME(route_at)(node, live, index);
		mas->up = node;
		mas->up_live = live;
		mas->up_max = max;
		mas->end = (unsigned char)child;
		e = RD_ACQ(*child_slot(node, child));
		inner_bounds(node, live, child, &min, &max);
	}
	NAME(prefetch_leaf)(e);
	mas->node = e;
	/* Beside a writer the separator may have risen since the child was chosen (O4). */
	mas->min = min < index ? min : index;
	mas->max = max;
	mas->order = RD_ACQ(enode_node(e)->word);
	rank = NAME(rank_in_leaf)(e, mas->order, index);
	mas->offset = (unsigned char)(2 * rank);
	if (rank && leaf_last(e, mas->order, rank - 1) >= index)
		mas->offset--;
}

static inline __attribute__((always_inline)) void NAME(walk_here)(const struct maple_tree *mt,
								  unsigned long index, struct path *path)
{
	struct maple_enode *e = mt->ma_root;
	unsigned long min = 0, max = ULONG_MAX;
	struct path_step *step = path->step;

	path->leaf = NULL;
	path->order = 0;
	path->rank = 0;
	if (root_is_node(e)) {
		for (; !enode_is_leaf(e); step++) {
			struct inner *node = enode_inner(e);
			uint64_t live = node->head.word;

			pf_assert(step < path->step + MAX_HEIGHT - 1);
			NAME(prefetch_inner)(node);
			step->node = node;
			step->min = min;
			step->max = max;
			step->child = NAME(route_at)(node, live, index);
			/* Most stores have a look at it. */
			__builtin_prefetch(child_gap(node, step->child));
			e = *child_slot(node, step->child);
			inner_bounds(node, live, step->child, &min, &max);
		}
		NAME(prefetch_leaf)(e);
		path->leaf = e;
		path->order = enode_node(e)->word;
		path->rank = NAME(rank_in_leaf)(e, path->order, index);
	}
	path->height = (unsigned int)(step - path->step);
	path->min = min;
	path->max = max;
}

static void NAME(walk)(const struct maple_tree *mt, unsigned long index, struct path *path)
{
	NAME(walk_here)(mt, index, path);
}

static void NAME(refresh)(struct path *path, unsigned long index)
{
	if (!path->leaf)
		return;
	path->order = enode_node(path->leaf)->word;
	path->rank = NAME(rank_in_leaf)(path->leaf, path->order, index);
}
