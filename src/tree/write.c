/* SPDX-License-Identifier: MIT */
/*
 * Stores of entries.
 *
 * A store looks for the cheapest of these, top to bottom:
 *   1. exactly a range that is there: its slot gets the new entry, one store;
 *   2. inside one leaf with slots left: new ranges go to fresh slots, the order
 *      word takes them in and drops what they replace, one store;
 *   3. otherwise the leaves it touches are written anew, and the inner nodes
 *      above as far up as the number of children changes; one store of a child
 *      pointer, or of the root, shows all of it.
 *
 * Of 3, everything is built before anything is seen. When memory runs out
 * while building, what was built is freed and the tree is as it was.
 */
#include "tree/tree.h"

#include <errno.h>
#include <string.h>

struct item {
	unsigned long start, last;
	void *entry;
};

/* What is left of one leaf, the new range, what is left of another. */
#define MAX_ITEMS (2 * LEAF_CAP + 4)

struct items {
	unsigned int nr;
	unsigned int added;	/* number of the new range */
	struct item item[MAX_ITEMS];
};

struct kid {
	unsigned long start;
	gap_code gap;
	struct maple_enode *enode;
};

#define MAX_NEW_KIDS 5
#define MAX_KIDS (2 * INNER_CAP + MAX_NEW_KIDS)

struct kids {
	unsigned int nr;
	bool first_kept;	/* the first is the old one, unchanged: only what follows is new */
	struct kid kid[MAX_KIDS];
};

static bool covers(const struct path *path, int place, unsigned long index)
{
	return place >= 0 && leaf_last(path->leaf, path->order, (unsigned int)place) >= index;
}

/* The entry at the first index of the store. */
void *write_old_entry(const struct write *w)
{
	int place = (int)w->lo->rank - 1;

	if (!w->lo->leaf)
		return w->index == 0 ? w->mt->ma_root : NULL;
	return covers(w->lo, place, w->index) ? leaf_entry(w->lo->leaf, w->lo->order, (unsigned int)place) : NULL;
}

/* Gathering --------------------------------------------------------------- */

static void add_item(struct items *to, unsigned long start, unsigned long last, void *entry)
{
	pf_assert(to->nr < MAX_ITEMS && start <= last);
	to->item[to->nr++] = (struct item){ start, last, entry };
}

/* What the leaf of @path has below the store, the last one trimmed. */
static void gather_below(const struct write *w, const struct path *path, unsigned int from, struct items *to)
{
	unsigned int count = order_count(path->order);

	for (unsigned int k = from; k < count; k++) {
		unsigned long start = leaf_start(path->leaf, path->order, k);
		unsigned long last = leaf_last(path->leaf, path->order, k);

		if (start >= w->index)
			return;
		if (last >= w->index)
			last = w->index - 1;
		add_item(to, start, last, leaf_entry(path->leaf, path->order, k));
	}
}

static void gather_above(const struct write *w, const struct path *path, struct items *to)
{
	unsigned int count = order_count(path->order);
	unsigned int k = leaf_rank(path->leaf, path->order, w->last);

	if (k && leaf_last(path->leaf, path->order, k - 1) > w->last)
		k--;
	for (; k < count; k++) {
		unsigned long start = leaf_start(path->leaf, path->order, k);

		if (start <= w->last)
			start = w->last + 1;
		add_item(to, start, leaf_last(path->leaf, path->order, k), leaf_entry(path->leaf, path->order, k));
	}
}

/* All ranges of the touched leaves as they will be. */
static void gather(const struct write *w, struct items *to)
{
	void *root = w->mt->ma_root;

	to->nr = 0;
	if (w->lo->leaf)
		gather_below(w, w->lo, 0, to);
	else if (root && w->index > 0)
		add_item(to, 0, 0, root);
	to->added = to->nr;
	if (w->entry)
		add_item(to, w->index, w->last, w->entry);
	if (w->hi->leaf)
		gather_above(w, w->hi, to);
}

/* Building ---------------------------------------------------------------- */

/* A node from the reserve or the platform; NULL when counting only, or when there is none. */
static struct node *take_node(struct write *w, enum node_size size)
{
	struct node *node;

	w->need[size]++;
	if (w->dry || w->failed)
		return NULL;
	node = reserve_take(w->mas, size);
	if (!node) {
		w->failed = true;
		return NULL;
	}
	node->link = w->built;
	w->built = node;
	return node;
}

static bool fits_narrow(const struct item *item, unsigned int nr)
{
	return nr <= NARROW_CAP && item[nr - 1].last - item[0].start <= UINT32_MAX;
}

static bool fits_leaf(const struct item *item, unsigned int nr)
{
	return nr <= WIDE_CAP || fits_narrow(item, nr);
}

static struct maple_enode *build_narrow(struct narrow *leaf, const struct item *item, unsigned int nr)
{
	leaf->head.base = item[0].start;
	for (unsigned int i = 0; i < nr; i++) {
		leaf->start[i] = (uint32_t)(item[i].start - leaf->head.base);
		leaf->last[i] = (uint32_t)(item[i].last - leaf->head.base);
		leaf->slot[i] = item[i].entry;
	}
	leaf->head.word = order_fresh(nr);
	return enode_make(leaf, NODE_NARROW);
}

static struct maple_enode *build_wide(struct wide *leaf, const struct item *item, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		leaf->start[i] = item[i].start;
		leaf->last[i] = item[i].last;
		leaf->slot[i] = item[i].entry;
	}
	leaf->head.word = order_fresh(nr);
	return enode_make(leaf, NODE_WIDE);
}

static struct maple_enode *build_leaf(struct write *w, const struct item *item, unsigned int nr)
{
	struct node *node = take_node(w, SIZE_LEAF);

	pf_assert(nr && fits_leaf(item, nr));
	if (!node)
		return NULL;
	if (fits_narrow(item, nr))
		return build_narrow((struct narrow *)node, item, nr);
	return build_wide((struct wide *)node, item, nr);
}

/* Into how many leaves of about equal size the ranges go. */
static unsigned int leaf_pieces(const struct items *items)
{
	unsigned int pieces = 1;

	for (;; pieces++) {
		bool fits = true;

		for (unsigned int i = 0; i < pieces && fits; i++) {
			unsigned int from = i * items->nr / pieces, to = (i + 1) * items->nr / pieces;

			fits = fits_leaf(&items->item[from], to - from);
		}
		if (fits)
			return pieces;
	}
}

static void set_leaf_gaps(const struct write *w, struct kids *kids)
{
	if (!tree_tracks_gaps(w->mt) || w->dry || w->failed)
		return;
	for (unsigned int i = 0; i < kids->nr; i++) {
		struct kid *kid = &kids->kid[i];
		unsigned long max = i + 1 < kids->nr ? kids->kid[i + 1].start - 1 : w->hi->max;

		kid->gap = leaf_longest_gap(kid->enode, enode_node(kid->enode)->word, kid->start, max);
	}
}

/* Whether the new range only follows what the topmost leaf has: that leaf may stay and remain full. */
static bool is_append(const struct write *w, const struct items *items)
{
	unsigned int count = order_count(w->lo->order);

	return w->lo->leaf && w->entry && w->lo->max == ULONG_MAX && items->nr == count + 1 && items->added == count &&
	       leaf_last(w->lo->leaf, w->lo->order, count - 1) < w->index && !fits_leaf(items->item, items->nr);
}

static void build_leaves(struct write *w, struct kids *kids)
{
	struct items items;
	unsigned int pieces;

	gather(w, &items);
	pf_assert(items.nr);
	kids->first_kept = is_append(w, &items);
	if (kids->first_kept) {
		kids->nr = 2;
		kids->kid[0] = (struct kid){ w->lo->min, 0, w->lo->leaf };
		kids->kid[1] = (struct kid){ w->index, 0, build_leaf(w, &items.item[items.added], 1) };
	} else {
		pieces = leaf_pieces(&items);
		pf_assert(pieces <= MAX_NEW_KIDS);
		kids->nr = pieces;
		for (unsigned int i = 0; i < pieces; i++) {
			unsigned int from = i * items.nr / pieces, to = (i + 1) * items.nr / pieces;

			kids->kid[i].start = i ? items.item[from].start : w->lo->min;
			kids->kid[i].gap = 0;
			kids->kid[i].enode = build_leaf(w, &items.item[from], to - from);
		}
	}
	set_leaf_gaps(w, kids);
}

/* Building: a narrow leaf gets one range more ----------------------------- */

/* Whether the store goes into a gap of one narrow leaf, whose slots can hold its bounds. */
static bool goes_into_gap(const struct write *w)
{
	const struct path *path = w->lo;
	unsigned int place = path->rank;

	return w->entry && path->leaf && path->leaf == w->hi->leaf && enode_type(path->leaf) == NODE_NARROW &&
	       slot_fits(path->leaf, w->index, w->last) && !covers(path, (int)place - 1, w->index) &&
	       !(place < order_count(path->order) && leaf_start(path->leaf, path->order, place) <= w->last);
}

/* The new range is put between the others by counting: at which place it comes is not foreseen. */
static void sort_leaf(const struct write *w, struct sorted *sorted)
{
	const struct narrow *leaf = enode_narrow(w->lo->leaf);
	unsigned int place = w->lo->rank, count = order_count(w->lo->order);
	uint64_t order = w->lo->order;

	for (unsigned int k = 0; k < count; k++, order >>= 4) {
		unsigned int slot = order & 15, to = k + (k >= place);

		sorted->start[to] = leaf->start[slot];
		sorted->last[to] = leaf->last[slot];
		sorted->slot[to] = leaf->slot[slot];
	}
	sorted->start[place] = (uint32_t)(w->index - leaf->head.base);
	sorted->last[place] = (uint32_t)(w->last - leaf->head.base);
	sorted->slot[place] = w->entry;
}

/* The longest gap that a leaf with ranges [@from, @to) is responsible for. Its bounds are distances too. */
static gap_code sorted_gap(const struct sorted *sorted, unsigned int from, unsigned int to, unsigned long min,
			   unsigned long max)
{
	unsigned long before = sorted->start[from] - min, after = max - sorted->last[to - 1];
	uint32_t longest = 0, gap;

	for (unsigned int k = from + 1; k < to; k++) {
		gap = sorted->start[k] - 1 - sorted->last[k - 1];
		longest = gap > longest ? gap : longest;
	}
	if (before < longest)
		before = longest;
	return gap_encode(before > after ? before : after);
}

static struct maple_enode *sorted_leaf(struct write *w, const struct sorted *sorted, unsigned int from,
				       unsigned int to)
{
	struct narrow *leaf = (struct narrow *)take_node(w, SIZE_LEAF);

	pf_assert(from < to && to - from <= NARROW_CAP);
	if (!leaf)
		return NULL;
	leaf->head.base = enode_node(w->lo->leaf)->base + sorted->start[from];
	/* Always as many: that goes by vectors. */
	for (unsigned int i = 0; i < NARROW_CAP; i++) {
		leaf->start[i] = sorted->start[from + i] - sorted->start[from];
		leaf->last[i] = sorted->last[from + i] - sorted->start[from];
	}
	memcpy(leaf->slot, sorted->slot + from, sizeof(leaf->slot));
	leaf->head.word = order_fresh(to - from);
	return enode_make(leaf, NODE_NARROW);
}

/* The topmost leaf stays, full as it is, and the range behind its last one begins another. */
static void append_leaf(struct write *w, struct kids *kids)
{
	const struct item item = { w->index, w->last, w->entry };

	kids->first_kept = true;
	kids->nr = 2;
	kids->kid[0] = (struct kid){ w->lo->min, 0, w->lo->leaf };
	kids->kid[1] = (struct kid){ w->index, 0, build_leaf(w, &item, 1) };
	set_leaf_gaps(w, kids);
}

/* build_leaves() in its commonest case: the leaf's ranges and the new one go to two leaves, or to one. */
static void split_leaf(struct write *w, struct kids *kids)
{
	unsigned int nr = order_count(w->lo->order) + 1, half = nr / 2;
	unsigned long base = enode_node(w->lo->leaf)->base, min = w->lo->min - base, max = w->lo->max - base;
	struct sorted sorted;

	if (nr > NARROW_CAP && w->lo->rank == nr - 1 && w->lo->max == ULONG_MAX) {
		append_leaf(w, kids);
		return;
	}
	sort_leaf(w, &sorted);
	kids->first_kept = false;
	if (nr <= NARROW_CAP) {
		kids->nr = 1;
		kids->kid[0] = (struct kid){ w->lo->min, 0, sorted_leaf(w, &sorted, 0, nr) };
		if (tree_tracks_gaps(w->mt))
			kids->kid[0].gap = sorted_gap(&sorted, 0, nr, min, max);
		return;
	}
	kids->nr = 2;
	kids->kid[0] = (struct kid){ w->lo->min, 0, sorted_leaf(w, &sorted, 0, half) };
	kids->kid[1] = (struct kid){ base + sorted.start[half], 0, sorted_leaf(w, &sorted, half, nr) };
	if (!tree_tracks_gaps(w->mt))
		return;
	kids->kid[0].gap = sorted_gap(&sorted, 0, half, min, sorted.start[half] - 1ul);
	kids->kid[1].gap = sorted_gap(&sorted, half, nr, sorted.start[half], max);
}

static void set_kid(struct inner *node, unsigned int i, const struct kid *kid)
{
	inner_set(node, i, kid->start, kid->enode, kid->gap);
}

/* A new node may be large for few children, but not small for many. */
static enum node_size size_for(unsigned int nr)
{
	return nr <= SMALL_CAP ? SIZE_SMALL : SIZE_INNER;
}

static struct maple_enode *build_inner(struct write *w, const struct kid *kid, unsigned int nr, gap_code *gap,
				       const struct inner *like)
{
	struct inner *node = (struct inner *)take_node(w, size_for(nr));

	if (!node)
		return NULL;
	for (unsigned int i = 0; i < nr; i++)
		set_kid(node, i, &kid[i]);
	inner_finish(node, nr, like);
	*gap = inner_longest_gap(node);
	return enode_make(node, NODE_INNER);
}

static void add_live(const struct inner *node, uint64_t live, struct kids *to)
{
	for (; live; live &= live - 1) {
		unsigned int i = lowest_bit(live);

		pf_assert(to->nr < MAX_KIDS);
		to->kid[to->nr++] = (struct kid){ *child_start(node, i), *child_gap(node, i), *child_slot(node, i) };
	}
}

/* The children at @depth as they will be: left of the store, the new ones, right of it. */
static void gather_kids(const struct write *w, unsigned int depth, const struct kids *new_kids,
			struct kids *all)
{
	const struct path_step *lo = &w->lo->step[depth], *hi = &w->hi->step[depth];

	all->nr = 0;
	all->first_kept = false;
	add_live(lo->node, lo->node->head.word & ((1ull << lo->child) - 1), all);
	/* The lowest child's separator is not looked at, and may lie anywhere below. */
	if (all->nr)
		all->kid[0].start = lo->min;
	for (unsigned int i = 0; i < new_kids->nr; i++)
		all->kid[all->nr++] = new_kids->kid[i];
	add_live(hi->node, inner_above(hi->node->head.word, hi->child), all);
}

/* The node at @depth is full, and all that is new comes after what it has. */
static bool is_inner_append(const struct write *w, unsigned int depth, const struct kids *kids)
{
	const struct path_step *step = &w->lo->step[depth];

	return kids->first_kept && kids->nr == 2 && step->child == INNER_CAP - 1 &&
	       step->node->head.word == (1ull << INNER_CAP) - 1;
}

/* The longest gap of a step's node once that of the child taken is @gap. */
static gap_code gap_with(const struct path_step *step, gap_code gap)
{
	for (uint64_t live = step->node->head.word & ~(1ull << step->child); live; live &= live - 1) {
		gap_code other = *child_gap(step->node, lowest_bit(live));

		if (other > gap)
			gap = other;
	}
	return gap;
}

/* All children of the node are live, and it has room for those that come instead of one. */
static bool is_plain_copy(const struct write *w, unsigned int depth, const struct kids *kids)
{
	const struct path_step *lo = &w->lo->step[depth], *hi = &w->hi->step[depth];
	unsigned int used = lo->node->head.used;

	return lo->node == hi->node && lo->child == hi->child && used + kids->nr - 1 <= INNER_CAP &&
	       lo->node->head.word == (1ull << used) - 1;
}

/* The commonest case of what build_level() does: one child becomes two. */
static void copy_with(struct write *w, const struct path_step *step, struct kids *kids)
{
	unsigned int nr = step->node->head.used + kids->nr - 1u;
	struct inner *to = (struct inner *)take_node(w, size_for(nr));
	struct kid up = { step->min, 0, NULL };

	if (to) {
		for (unsigned int i = 0; i < kids->nr; i++)
			set_kid(to, step->child + i, &kids->kid[i]);
		inner_copy_around(to, step->node, step->child, kids->nr, step->min);
		up.gap = inner_longest_gap(to);
		up.enode = enode_make(to, NODE_INNER);
	}
	kids->kid[0] = up;
	kids->nr = 1;
	kids->first_kept = false;
}

/* Write the inner nodes of one level anew; @kids becomes what they are. */
static void build_level(struct write *w, unsigned int depth, struct kids *kids)
{
	struct kids all, up;

	if (is_inner_append(w, depth, kids)) {
		const struct path_step *step = &w->lo->step[depth];
		struct kid *last = &kids->kid[1];

		last->enode = build_inner(w, last, 1, &last->gap, step->node);
		kids->kid[0].start = step->min;
		kids->kid[0].gap = gap_with(step, kids->kid[0].gap);
		kids->kid[0].enode = enode_make(step->node, NODE_INNER);
		return;
	}
	if (is_plain_copy(w, depth, kids)) {
		copy_with(w, &w->lo->step[depth], kids);
		return;
	}
	gather_kids(w, depth, kids, &all);
	up.first_kept = false;
	up.nr = (all.nr + INNER_CAP - 1) / INNER_CAP;
	for (unsigned int i = 0; i < up.nr; i++) {
		unsigned int from = i * all.nr / up.nr, to = (i + 1) * all.nr / up.nr;
		gap_code gap = 0;

		up.kid[i].start = i ? all.kid[from].start : w->lo->step[depth].min;
		up.kid[i].enode = build_inner(w, &all.kid[from], to - from, &gap, w->lo->step[depth].node);
		up.kid[i].gap = gap;
	}
	kids->nr = up.nr;
	kids->first_kept = false;
	memcpy(kids->kid, up.kid, up.nr * sizeof(up.kid[0]));
}

/* Where the change becomes visible. */
enum show { SHOW_ROOT, SHOW_CHILD, SHOW_APPEND };

struct plan {
	enum show show;
	unsigned int depth;	/* of the inner node that shows it */
	bool leaf_kept;		/* an append: the old leaf stays */
	unsigned int kept_from;	/* an append: inner nodes from this depth on stay */
	struct kids kids;
};

/* The slot after the last child is free, and no reader has seen it. */
static bool can_append(const struct path_step *step, const struct kids *kids)
{
	return kids->first_kept && kids->nr == 2 && step->child + 1 == step->node->head.used &&
	       step->node->head.used < step->node->head.cap;
}

/* The levels above the new leaves, as far up as the number of children changes. */
static void build_up(struct write *w, struct plan *plan)
{
	struct kids *kids = &plan->kids;
	unsigned int depth = w->lo->height;

	plan->leaf_kept = kids->first_kept;
	plan->kept_from = depth;
	while (depth) {
		const struct path_step *lo = &w->lo->step[depth - 1], *hi = &w->hi->step[depth - 1];

		plan->depth = depth - 1;
		if (lo->node == hi->node && lo->child == hi->child) {
			plan->show = kids->nr == 1 ? SHOW_CHILD : SHOW_APPEND;
			if (kids->nr == 1 || can_append(lo, kids))
				return;
		}
		build_level(w, depth - 1, kids);
		if (kids->first_kept)
			plan->kept_from = depth - 1;
		depth--;
	}
	plan->show = SHOW_ROOT;
	plan->depth = 0;
	if (kids->nr > 1) {
		kids->kid[0].enode = build_inner(w, kids->kid, kids->nr, &kids->kid[0].gap, NULL);
	}
}

/* A copy of a leaf that has all its unused slots fresh again, or NULL when there is no memory. */
struct maple_enode *leaf_compact(struct maple_tree *mt, const struct maple_enode *leaf)
{
	uint64_t order = enode_node(leaf)->word;
	struct items items = { .nr = 0 };
	struct node *node = node_alloc(mt, SIZE_LEAF);

	if (!node)
		return NULL;
	for (unsigned int k = 0; k < order_count(order); k++)
		add_item(&items, leaf_start(leaf, order, k), leaf_last(leaf, order, k), leaf_entry(leaf, order, k));
	if (fits_narrow(items.item, items.nr))
		return build_narrow((struct narrow *)node, items.item, items.nr);
	return build_wide((struct wide *)node, items.item, items.nr);
}

/* The same for an inner node whose bounds begin at @min: a large one. */
struct maple_enode *inner_compact(struct maple_tree *mt, const struct maple_enode *e, unsigned long min)
{
	struct inner *node = (struct inner *)node_alloc(mt, SIZE_INNER);
	struct kids kids = { .nr = 0 };

	if (!node)
		return NULL;
	add_live(enode_inner(e), enode_node(e)->word, &kids);
	kids.kid[0].start = min;
	for (unsigned int i = 0; i < kids.nr; i++)
		set_kid(node, i, &kids.kid[i]);
	inner_finish(node, kids.nr, enode_inner(e));
	return enode_make(node, NODE_INNER);
}

/* Showing ----------------------------------------------------------------- */

/* Take the nodes between the two paths, and those on them from @depth down, out of use. */
static void retire_replaced(struct write *w, const struct plan *plan)
{
	unsigned int top = plan->show == SHOW_ROOT ? 0 : plan->depth + 1;
	unsigned int end = plan->leaf_kept ? plan->kept_from : w->lo->height;

	for (unsigned int d = top; d < end; d++) {
		const struct path_step *lo = &w->lo->step[d], *hi = &w->hi->step[d];
		uint64_t above = inner_above(lo->node->head.word, lo->child);
		uint64_t below = (1ull << hi->child) - 1;

		if (lo->node == hi->node) {
			for (above &= below; above; above &= above - 1)
				retire_subtree(w->mt, *child_slot(lo->node, lowest_bit(above)));
		} else {
			for (; above; above &= above - 1)
				retire_subtree(w->mt, *child_slot(lo->node, lowest_bit(above)));
			for (below &= hi->node->head.word; below; below &= below - 1)
				retire_subtree(w->mt, *child_slot(hi->node, lowest_bit(below)));
			node_retire(w->mt, &hi->node->head);
		}
		node_retire(w->mt, &lo->node->head);
	}
	if (!w->lo->leaf || plan->leaf_kept)
		return;
	if (w->hi->leaf != w->lo->leaf)
		node_retire(w->mt, enode_node(w->hi->leaf));
	node_retire(w->mt, enode_node(w->lo->leaf));
}

static void show_append(struct write *w, const struct plan *plan)
{
	const struct path_step *step = &w->lo->step[plan->depth];
	struct inner *node = step->node;
	const struct kid *old = &plan->kids.kid[0], *fresh = &plan->kids.kid[1];
	unsigned int i = node->head.used++;

	WR(node->key[i], key_of(node, fresh->start));
	WR(*child_start(node, i), fresh->start);
	WR(*child_slot(node, i), fresh->enode);
	*child_gap(node, i) = fresh->gap;
	WR_REL(node->head.word, node->head.word | 1ull << i);
	if (!tree_tracks_gaps(w->mt))
		return;
	*child_gap(node, step->child) = old->gap;
	if (plan->depth)
		path_set_gap(w->mt, w->lo, plan->depth - 1, inner_longest_gap(node));
}

/* The leaf that an append left in place has a shorter gap now: tell the parents that stay too. */
static void settle_kept(struct write *w, struct plan *plan)
{
	unsigned int d = w->lo->height;

	if (!plan->leaf_kept || !tree_tracks_gaps(w->mt))
		return;
	while (d > plan->kept_from) {
		const struct path_step *step = &w->lo->step[--d];

		*child_gap(step->node, step->child) = d + 1 == w->lo->height ?
			leaf_longest_gap(w->lo->leaf, w->lo->order, w->lo->min, w->index - 1) :
			inner_longest_gap(w->lo->step[d + 1].node);
	}
}

static void show(struct write *w, struct plan *plan)
{
	const struct path_step *step = &w->lo->step[plan->depth];

	settle_kept(w, plan);
	switch (plan->show) {
	case SHOW_ROOT:
		WR_REL(w->mt->ma_root, (void *)plan->kids.kid[0].enode);
		break;
	case SHOW_CHILD:
		WR_REL(*child_slot(step->node, step->child), plan->kids.kid[0].enode);
		path_set_gap(w->mt, w->lo, plan->depth, plan->kids.kid[0].gap);
		break;
	case SHOW_APPEND:
		show_append(w, plan);
		break;
	}
	retire_replaced(w, plan);
	if (plan->show == SHOW_ROOT)
		collapse_root(w->mt);
}

/* Undo the building: no reader has seen any of it. */
static void unbuild(struct write *w)
{
	struct node *next;

	for (; w->built; w->built = next) {
		next = w->built->link;
		node_free(w->mt, w->built);
	}
}

static int rewrite(struct write *w)
{
	struct plan plan;

	if (goes_into_gap(w))
		split_leaf(w, &plan.kids);
	else
		build_leaves(w, &plan.kids);
	build_up(w, &plan);
	if (w->dry)
		return 0;
	if (w->failed) {
		unbuild(w);
		return -ENOMEM;
	}
	show(w, &plan);
	return 0;
}

/* Inside one leaf --------------------------------------------------------- */

/*
 * The ranges at places [from, to) become up to three others:
 *
 *   before  |AAAAAAAA|  |BBBB|
 *   store       |------|
 *   after   |AAAA|NNNNNN|BBBB|
 */
struct patch {
	unsigned int from, to;
	struct items items;
};

static void make_patch(const struct write *w, struct patch *patch)
{
	const struct path *path = w->lo;
	int at = (int)path->rank - 1;
	unsigned int to = path->rank, count = order_count(path->order);

	while (to < count && leaf_start(path->leaf, path->order, to) <= w->last)
		to++;
	patch->from = covers(path, at, w->index) ? (unsigned int)at : (unsigned int)(at + 1);
	patch->to = to;
	patch->items.nr = 0;
	if (patch->from < to && leaf_start(path->leaf, path->order, patch->from) < w->index)
		add_item(&patch->items, leaf_start(path->leaf, path->order, patch->from), w->index - 1,
			 leaf_entry(path->leaf, path->order, patch->from));
	if (w->entry)
		add_item(&patch->items, w->index, w->last, w->entry);
	if (patch->from < to && leaf_last(path->leaf, path->order, to - 1) > w->last)
		add_item(&patch->items, w->last + 1, leaf_last(path->leaf, path->order, to - 1),
			 leaf_entry(path->leaf, path->order, to - 1));
}

/*
 * Whether the store into the gap before place @k may leave the leaf with a shorter
 * longest gap: it takes the longest, and what is left of that is not as long any more.
 */
static bool takes_longest_gap(const struct write *w, unsigned int k)
{
	const struct path *path = w->lo;
	const struct path_step *up;
	unsigned long first, last, left;
	gap_code longest;

	if (!path->height || !tree_tracks_gaps(w->mt))
		return false;
	up = &path->step[path->height - 1];
	first = k ? leaf_last(path->leaf, path->order, k - 1) : path->min;
	last = k < order_count(path->order) ? leaf_start(path->leaf, path->order, k) : path->max;
	longest = *child_gap(up->node, up->child);
	if (gap_encode(last - first) < longest)
		return false;
	left = k < order_count(path->order) ? last - 1 - w->last : last - w->last;
	return gap_encode(left) != longest;
}

/* Case 2. False when the leaf has not enough fresh slots, or they cannot hold the bounds. */
static bool patch_in_place(struct write *w, const struct patch *patch)
{
	const struct path *path = w->lo;
	unsigned int used = order_used(path->order), count = order_count(path->order);
	unsigned int nr = patch->items.nr;
	uint64_t middle = 0, places;

	if (used + nr > leaf_cap(path->leaf))
		return false;
	for (unsigned int i = 0; i < nr; i++)
		if (!slot_fits(path->leaf, patch->items.item[i].start, patch->items.item[i].last))
			return false;
	if (w->dry)
		return true;
	for (unsigned int i = 0; i < nr; i++) {
		slot_fill(path->leaf, used + i, patch->items.item[i].start, patch->items.item[i].last,
			  patch->items.item[i].entry);
		middle |= (uint64_t)(used + i) << (4 * i);
	}
	places = (path->order & ORDER_PLACES) >> (4 * patch->to);
	places = places << (4 * nr) | middle;
	places = places << (4 * patch->from) | (path->order & order_below(patch->from));
	count = count - (patch->to - patch->from) + nr;
	WR_REL(enode_node(path->leaf)->word, order_make(places & order_below(count), count, used + nr));
	path_update_gap(w->mt, path);
	return true;
}

/* The slots of the leaf that have just these bounds, a bit each. */
static unsigned int slots_with(const struct maple_enode *e, unsigned long index, unsigned long last)
{
	unsigned long base = enode_node(e)->base;
	unsigned int slots = 0;

	if (enode_type(e) == NODE_WIDE) {
		const struct wide *wide = enode_wide(e);

		for (unsigned int i = 0; i < WIDE_CAP; i++)
			slots |= (unsigned int)(wide->start[i] == index && wide->last[i] == last) << i;
	} else if (slot_fits(e, index, last)) {
		uint32_t from = (uint32_t)(index - base), to = (uint32_t)(last - base);
		const struct narrow *narrow = enode_narrow(e);

		for (unsigned int i = 0; i < NARROW_CAP; i++)
			slots |= (unsigned int)!((narrow->start[i] ^ from) | (narrow->last[i] ^ to)) << i;
	}
	return slots;
}

/*
 * A slot that held this range with this entry before it was dropped, or -1. It
 * may come back: whoever still goes by an old order word finds the same in it (O1).
 */
static int dropped_slot(const struct write *w)
{
	const struct path *path = w->lo;
	unsigned int used = order_used(path->order), slots;

	if (used == order_count(path->order))
		return -1;
	slots = slots_with(path->leaf, w->index, w->last) & ((1u << used) - 1);
	for (; slots; slots &= slots - 1)
		if (*slot_entry(path->leaf, lowest_bit(slots)) == w->entry)
			return (int)lowest_bit(slots);
	return -1;
}

/* Case 2 where nothing was: one range into a gap. False when it is not that simple. */
static bool fill_gap_in_place(struct write *w)
{
	const struct path *path = w->lo;
	unsigned int count = order_count(path->order), used = order_used(path->order), place = path->rank;
	int slot;
	uint64_t places;
	bool longest;

	if (!w->entry || count == leaf_cap(path->leaf) || covers(path, (int)place - 1, w->index) ||
	    (place < count && leaf_start(path->leaf, path->order, place) <= w->last))
		return false;
	slot = dropped_slot(w);
	if (slot < 0) {
		if (used == leaf_cap(path->leaf) || !slot_fits(path->leaf, w->index, w->last))
			return false;
		slot = (int)used++;
		if (!w->dry)
			slot_fill(path->leaf, (unsigned int)slot, w->index, w->last, w->entry);
	}
	if (w->dry)
		return true;
	longest = takes_longest_gap(w, place);
	places = (path->order & ORDER_PLACES) >> (4 * place) << 4 | (uint64_t)slot;
	places = places << (4 * place) | (path->order & order_below(place));
	WR_REL(enode_node(path->leaf)->word, order_make(places, count + 1, used));
	if (longest)
		path_update_gap(w->mt, path);
	return true;
}

/* Case 1. */
static bool replace_exact(struct write *w)
{
	const struct path *path = w->lo;
	int at = (int)path->rank - 1;
	unsigned int place = (unsigned int)at;

	if (!w->entry || at < 0 || leaf_start(path->leaf, path->order, place) != w->index ||
	    leaf_last(path->leaf, path->order, place) != w->last)
		return false;
	if (!w->dry)
		WR_REL(*slot_entry(path->leaf, order_slot(path->order, place)), w->entry);
	return true;
}

/*
 * Store @w->entry, or with NULL cut a hole into ranges of one leaf of which
 * something remains. Both paths have been walked. 0 or -ENOMEM.
 */
int write_leaf(struct write *w)
{
	struct patch patch;

	if (w->lo->leaf && w->lo->leaf == w->hi->leaf) {
		w->kept = true;
		if (replace_exact(w) || fill_gap_in_place(w))
			return 0;
		make_patch(w, &patch);
		if (patch_in_place(w, &patch))
			return 0;
		w->kept = false;
	}
	if (!w->lo->leaf && w->index == 0 && w->last == 0 && root_can_hold(w->entry)) {
		if (!w->dry)
			WR_REL(w->mt->ma_root, w->entry);
		return 0;
	}
	return rewrite(w);
}
