/* SPDX-License-Identifier: MIT */
/*
 * Readers: look up, next, previous, find. No lock, no waiting, no recursion.
 *
 * A state remembers its leaf, the leaf's bounds and its order word. Another
 * step inside the same leaf costs no walk, as long as the tree has not changed
 * since; if it has, the state walks again to where it stood. The bounds
 * that a reader beside a writer saw may be out of date: what it reports is then
 * what was true when it walked.
 *
 * What a walk can be relied on beside a writer, by O1 to O5 of node.h and S1 to S4 of search_body.h:
 *   W1  ma_seq is loaded (acquire) before the root, and raised (release) after a change can be
 *       seen. A state that finds it unchanged knows a leaf as all changes that were complete then
 *       have left it.
 *   W2  A range is reported whole, as one order word named it: the order word is loaded (acquire)
 *       before the bounds that it names, and those never change (O1). An entry is loaded
 *       (acquire) after it, and before what it points to.
 *   W3  No index is passed by that had an entry all the time. A step leaves a range by the end
 *       that was reported; where the tree has changed, and an entry reaches over that end now,
 *       that entry is reported, with its bounds.
 *   W4  What is reported ends beyond what was reported before, in the direction of the walk:
 *       nothing is met twice, though a range that has changed may reach back.
 *   W5  A step from leaf to leaf is taken only to one that begins where this one ends; else by a
 *       walk to there (O4, O5). A loop reads that leaf's order word when it comes to the leaf before, and goes there
 *       only if ma_seq is unchanged since: so W1 and W2 hold for it as for the leaf that it is in.
 */
#include "tree/tree.h"

void mas_set_error(struct ma_state *mas, int err)
{
	mas->node = MA_ERROR(err);
	mas->status = ma_error;
}

enum root_kind { ROOT_EMPTY, ROOT_ENTRY, ROOT_NODE };

static enum root_kind descend(struct ma_state *mas, unsigned long index)
{
	struct maple_enode *e;

	mas->seq = RD_ACQ(mas->tree->ma_seq);
	e = RD_ACQ(mas->tree->ma_root);
	if (!root_is_node(e)) {
		mas->node = NULL;
		return e ? ROOT_ENTRY : ROOT_EMPTY;
	}
	state_descend(mas, e, index);
	return ROOT_NODE;
}

/* Who steps from leaf to leaf will want the one that comes third. */
static inline void prefetch_ahead(const struct inner *up, uint64_t above)
{
	const char *leaf;

	above &= above - 1;
	above &= above - 1;
	if (!above)
		return;
	leaf = (const char *)enode_node(RD(*child_slot(up, lowest_bit(above))));
	for (unsigned int at = 0; at < LEAF_SIZE; at += 64)
		__builtin_prefetch(leaf + at);
}

/* The children of the leaf's parent behind the leaf. */
static uint64_t leaves_above(const struct ma_state *mas)
{
	return mas->up ? inner_above(mas->up_live, mas->end) : 0;
}

/*
 * Go to the first range of the leaf @e with @order behind this one, if it begins where this one ends; else false.
 * The state is up to date, but a writer may be at work.
 */
static inline bool enter_leaf(struct ma_state *mas, uint64_t above, struct maple_enode *e, uint64_t order)
{
	const struct inner *up = mas->up;
	unsigned int child = lowest_bit(above);

	pf_assert(child > mas->end);
	if (RD(*child_start(up, child)) != mas->max + 1 || !order_count(order) || leaf_start(e, order, 0) != mas->max + 1)
		return false;
	above &= above - 1;
	prefetch_ahead(up, above);
	mas->node = e;
	mas->order = order;
	mas->min = mas->max + 1;
	mas->max = above ? RD(*child_start(up, lowest_bit(above))) - 1 : mas->up_max;
	mas_set_place(mas, 1 * MAS_PLACE_OFFSET + child * MAS_PLACE_END);
	return true;
}

/* Go to the leaf beside this one, if it has the same parent and begins where this one ends; else false. */
static bool next_leaf(struct ma_state *mas)
{
	uint64_t above = leaves_above(mas);
	struct maple_enode *e;

	if (!above)
		return false;
	e = RD_ACQ(*child_slot(mas->up, lowest_bit(above)));
	return enter_leaf(mas, above, e, RD_ACQ(enode_node(e)->word));
}

/*
 * A loop asks for it when it comes to a leaf, and goes there when it leaves that: if ma_seq has not changed until then,
 * what it read is as good as what it would read then (W1).
 */
struct mt_leaf mas_leaf_ahead(const struct ma_state *mas)
{
	uint64_t above = leaves_above(mas);
	struct maple_enode *e;

	if (!above)
		return (struct mt_leaf){ NULL, 0 };
	e = RD_ACQ(*child_slot(mas->up, lowest_bit(above)));
	if (enode_type(e) != NODE_NARROW)
		return (struct mt_leaf){ NULL, 0 };
	return (struct mt_leaf){ e, RD_ACQ(enode_node(e)->word) };
}

struct mt_leaf mas_leaf_enter(struct ma_state *mas, struct mt_leaf next, unsigned long max)
{
	if (__builtin_expect(mas->max < max && mas->last <= mas->max, 1))
		enter_leaf(mas, leaves_above(mas), next.node, next.order);
	return mas_leaf_ahead(mas);
}

/* The bounds of the range or gap at @offset. False if there is none: two ranges touch. */
static bool bounds_at(const struct ma_state *mas, unsigned int offset, unsigned long *first,
		      unsigned long *last)
{
	unsigned int place = (offset - 1) / 2;

	pf_assert(mas->node && offset <= 2 * order_count(mas->order));
	if (offset & 1) {
		*first = leaf_start(mas->node, mas->order, place);
		*last = leaf_last(mas->node, mas->order, place);
		return true;
	}
	*first = mas->min;
	if (offset) {
		*first = leaf_last(mas->node, mas->order, place);
		if (*first >= mas->max)
			return false;
		++*first;
	}
	*last = mas->max;
	if (offset / 2 < order_count(mas->order)) {
		unsigned long start = leaf_start(mas->node, mas->order, offset / 2);

		if (start <= *first)
			return false;
		*last = start - 1;
	}
	return true;
}

static void *entry_at(const struct ma_state *mas, unsigned int offset)
{
	return offset & 1 ? leaf_entry(mas->node, mas->order, (offset - 1) / 2) : NULL;
}

/* Be at the offset: report its range. It exists. */
static void *arrive(struct ma_state *mas)
{
	mas->status = ma_active;
	if (!bounds_at(mas, mas->offset, &mas->index, &mas->last))
		return NULL;
	return entry_at(mas, mas->offset);
}

static void *root_entry(struct ma_state *mas)
{
	void *entry = RD_ACQ(mas->tree->ma_root);

	return root_is_node(entry) ? NULL : entry;
}

static void *nothing_from(struct ma_state *mas, unsigned long index)
{
	mas->index = index;
	mas->last = ULONG_MAX;
	mas->status = ma_none;
	return NULL;
}

/* No range beyond [0, 0], or none at all. */
static void *beyond_root(struct ma_state *mas)
{
	return nothing_from(mas, RD_ACQ(mas->tree->ma_root) ? 1 : 0);
}

static void *at_root(struct ma_state *mas)
{
	mas->index = 0;
	mas->last = 0;
	mas->status = ma_root;
	return root_entry(mas);
}

/* The state is at [0, 0]. If that is not the only entry any more, let the next step walk there. */
static bool root_has_grown(struct ma_state *mas)
{
	if (!root_is_node(RD_ACQ(mas->tree->ma_root)))
		return false;
	pf_assert(!mas->node);
	mas->status = ma_active;
	return true;
}

/* Walk to @index and report the range that contains it. */
void *mas_load(struct ma_state *mas, unsigned long index)
{
	switch (descend(mas, index)) {
	case ROOT_NODE:
		return arrive(mas);
	case ROOT_ENTRY:
		return index ? nothing_from(mas, 1) : at_root(mas);
	case ROOT_EMPTY:
		break;
	}
	return nothing_from(mas, 0);
}

void *mas_walk(struct ma_state *mas)
{
	return mas_load(mas, mas->index);
}

static bool up_to_date(const struct ma_state *mas)
{
	return mas->node && mas->seq == RD_ACQ(mas->tree->ma_seq);
}

/*
 * Replace the entry of the range that the state stands at, if it stands at
 * exactly [index, last] and nothing has changed since. The lock. Return the old
 * entry, or NULL if it does not.
 */
void *mas_replace_here(struct ma_state *mas, void *entry)
{
	unsigned int slot;
	void *old;

	if (mas->status != ma_active || !(mas->offset & 1) || !up_to_date(mas))
		return NULL;
	slot = order_slot(mas->order, (mas->offset - 1u) / 2);
	if (slot_start(mas->node, slot) != mas->index || slot_last(mas->node, slot) != mas->last)
		return NULL;
	old = *slot_entry(mas->node, slot);
	WR_REL(*slot_entry(mas->node, slot), entry);
	return old;
}

/* Stepping ---------------------------------------------------------------- */

/*
 * Make the leaf and offset good again, for the range that contains @index: the
 * end of the present range that the step leaves it by. @anew: the state had been at a leaf, which has
 * changed since. False when the root is no node any more.
 */
static bool refresh(struct ma_state *mas, unsigned long index, bool *anew)
{
	bool good = up_to_date(mas);

	*anew = mas->node && !good;
	return good || descend(mas, index) == ROOT_NODE;
}

static bool at_gap(const struct ma_state *mas)
{
	return mas->node && !(mas->offset & 1);
}

static void *overflow(struct ma_state *mas)
{
	mas->status = ma_overflow;
	return NULL;
}

static void *underflow(struct ma_state *mas)
{
	mas->status = ma_underflow;
	return NULL;
}

/* Go to the next range or gap, in this leaf or the next. The present one ends at @last, not ULONG_MAX. */
static bool advance(struct ma_state *mas, unsigned long last)
{
	unsigned int place = (mas->offset + 1u) / 2;	/* of the next range */
	unsigned long first, ignored;

	if (mas->offset & 1 && bounds_at(mas, mas->offset + 1u, &first, &ignored)) {
		mas->offset++;
		return true;
	}
	if (place < order_count(mas->order)) {
		mas->offset = (unsigned char)(2 * place + 1);
		return true;
	}
	if (last <= mas->max && next_leaf(mas))
		return true;
	return descend(mas, (last > mas->max ? last : mas->max) + 1) == ROOT_NODE;
}

/*
 * From a range to the next one, in the same leaf or the one beside it, if it
 * begins at or below @max: most steps are this. Else NULL, and nothing is changed
 * that a full step does not find its way from.
 */
static inline void *step_inside(struct ma_state *mas, unsigned long max)
{
	unsigned int place = (mas->offset + 1u) / 2, slot;
	unsigned long start;

	if (!(mas->offset & 1) || !up_to_date(mas))
		return NULL;
	if (place >= order_count(mas->order)) {
		if (mas->max >= max || mas->last > mas->max || !next_leaf(mas))
			return NULL;
		place = 0;
	}
	slot = order_slot(mas->order, place);
	start = slot_start(mas->node, slot);
	if (start > max)
		return NULL;
	mas_set_place(mas, (2ul * place + 1) * MAS_PLACE_OFFSET + mas->end * MAS_PLACE_END);
	mas->index = start;
	mas->last = slot_last(mas->node, slot);
	return RD_ACQ(*slot_entry(mas->node, slot));
}

/* As step_inside(), to the range before, in the same leaf, if it ends at or above @min. */
static inline void *step_back_inside(struct ma_state *mas, unsigned long min)
{
	unsigned int slot;
	unsigned long last;

	/* At offset 1 is the leaf's first range. */
	if (!(mas->offset & 1) || mas->offset == 1 || !up_to_date(mas))
		return NULL;
	slot = order_slot(mas->order, (mas->offset - 3u) / 2);
	last = slot_last(mas->node, slot);
	if (last < min)
		return NULL;
	mas->offset = (unsigned char)(mas->offset - 2u);
	mas->index = slot_start(mas->node, slot);
	mas->last = last;
	return RD_ACQ(*slot_entry(mas->node, slot));
}

/* The next range after the present one, gaps included if @gaps, that begins at or below @max. */
static void *step_next(struct ma_state *mas, unsigned long max, bool gaps)
{
	bool was_at_gap = at_gap(mas), anew;
	unsigned long first, last;
	void *entry;

	if (!refresh(mas, mas->last, &anew))
		return beyond_root(mas);
	if (!bounds_at(mas, mas->offset, &first, &last))
		last = mas->last;
	/* Where an entry has come to the gap's end, or reaches further than the range did, it was not met yet (W3). */
	else if (anew && !at_gap(mas) && first <= max && (was_at_gap || last > mas->last))
		return arrive(mas);
	do {
		if (last >= max)
			return overflow(mas);
		if (!advance(mas, last))
			return beyond_root(mas);
		entry = arrive(mas);
		last = mas->last;
	} while (!entry && !gaps);
	return entry;
}

/* Go to the range or gap before. @first is where the present one begins; not 0. */
static bool retreat(struct ma_state *mas, unsigned long first)
{
	unsigned long ignored, too;

	if (mas->offset & 1 && bounds_at(mas, mas->offset - 1u, &ignored, &too)) {
		mas->offset--;
		return true;
	}
	if (mas->offset >= 2) {
		mas->offset = (unsigned char)((mas->offset - 2u) | 1);
		return true;
	}
	if (mas->min && mas->min < first)
		first = mas->min;
	return descend(mas, first - 1) == ROOT_NODE;
}

static void *step_prev(struct ma_state *mas, unsigned long min, bool gaps)
{
	bool was_at_gap = at_gap(mas), anew;
	unsigned long first, last;
	void *entry;

	if (!refresh(mas, mas->index, &anew)) {
		if (mas->index > 0 && root_entry(mas))
			return at_root(mas);
		return underflow(mas);
	}
	if (!bounds_at(mas, mas->offset, &first, &last))
		first = mas->index;
	else if (anew && !at_gap(mas) && last >= min && (was_at_gap || first < mas->index))
		return arrive(mas);
	do {
		if (first <= min)
			return underflow(mas);
		if (!retreat(mas, first))
			return underflow(mas);
		entry = arrive(mas);
		first = mas->index;
	} while (!entry && !gaps);
	return entry;
}

/* Next and previous ------------------------------------------------------- */

/*
 * A state that ran into the limit on one side stands before what it has not
 * seen on the other: going back there, the range it stands at comes first.
 * True when @entry is the answer already.
 */
static bool next_begins(struct ma_state *mas, unsigned long max, void **entry)
{
	bool was_none = mas->status == ma_none;

	*entry = NULL;
	if (mas->status == ma_error)
		return true;
	if (mas->last >= max) {
		overflow(mas);
		return true;
	}
	switch (mas->status) {
	case ma_active:
		return false;
	case ma_overflow:
		mas->status = ma_active;
		return false;
	case ma_underflow:
		*entry = mas_walk(mas);
		return *entry || (mas->status != ma_active);
	case ma_root:
		if (root_has_grown(mas))
			return false;
		nothing_from(mas, 1);
		return true;
	default:
		mas_walk(mas);
	}
	if (mas->status == ma_active)
		return false;
	if (!was_none || mas->status != ma_root)
		beyond_root(mas);
	return true;
}

static void *next_of(struct ma_state *mas, unsigned long max, bool gaps)
{
	void *entry;

	if (next_begins(mas, max, &entry))
		return entry;
	return step_next(mas, max, gaps);
}

void *mas_next_far(struct ma_state *mas, unsigned long max)
{
	if (mas->status == ma_active && mas->last < max) {
		void *entry = step_inside(mas, max);

		if (entry)
			return entry;
	}
	return next_of(mas, max, false);
}

void *mas_next(struct ma_state *mas, unsigned long max)
{
	return mas_next_far(mas, max);
}

void *mas_next_range(struct ma_state *mas, unsigned long max)
{
	return next_of(mas, max, true);
}

static bool prev_begins(struct ma_state *mas, unsigned long min, void **entry)
{
	*entry = NULL;
	if (mas->status == ma_error)
		return true;
	if (mas->index <= min) {
		underflow(mas);
		return true;
	}
	switch (mas->status) {
	case ma_active:
		return false;
	case ma_underflow:
		mas->status = ma_active;
		return false;
	case ma_overflow:
		*entry = mas_walk(mas);
		if (*entry)
			return true;
		break;
	case ma_root:
		break;
	default:
		mas_walk(mas);
	}
	if (mas->status == ma_active)
		return false;
	/* Only [0, 0] can be before, and the state is above it. */
	if (mas->index && !min && root_entry(mas))
		*entry = at_root(mas);
	else
		mas->status = ma_none;
	return true;
}

static void *prev_of(struct ma_state *mas, unsigned long min, bool gaps)
{
	void *entry = NULL;

	if (!gaps && mas->status == ma_active && mas->index > min)
		entry = step_back_inside(mas, min);
	if (entry)
		return entry;
	if (prev_begins(mas, min, &entry))
		return entry;
	return step_prev(mas, min, gaps);
}

void *mas_prev(struct ma_state *mas, unsigned long min)
{
	return prev_of(mas, min, false);
}

void *mas_prev_range(struct ma_state *mas, unsigned long min)
{
	return prev_of(mas, min, true);
}

/* Find -------------------------------------------------------------------- */

/*
 * The first call looks at index itself, the following ones behind the present
 * range. True when @entry is the answer, NULL included.
 */
static bool find_begins(struct ma_state *mas, unsigned long max, void **entry)
{
	*entry = NULL;
	switch (mas->status) {
	case ma_error:
		return true;
	case ma_active:
		return mas->last >= max;
	case ma_pause:
		if (mas->last >= max)
			return true;
		mas->index = ++mas->last;
		break;
	case ma_none:
		if (mas->last >= max)
			return true;
		mas->index = mas->last;
		break;
	case ma_underflow:
		if (mas->index >= max) {
			overflow(mas);
			return true;
		}
		break;
	case ma_overflow:
		if (mas->last >= max)
			return true;
		break;
	case ma_root:
		if (root_has_grown(mas))
			return mas->last >= max;
		nothing_from(mas, 1);
		return true;
	case ma_start:
		break;
	}
	if (mas->index > max)
		return true;
	*entry = mas_walk(mas);
	if (*entry)
		return true;
	if (mas->status != ma_active) {
		beyond_root(mas);
		return true;
	}
	return mas->index == max;
}

static void *find_of(struct ma_state *mas, unsigned long max, bool gaps)
{
	void *entry;

	if (find_begins(mas, max, &entry))
		return entry;
	entry = step_next(mas, max, gaps);
	/* A gap that reaches to the limit is where the state is then. */
	if (!gaps && mas->status == ma_overflow)
		mas->status = ma_active;
	return entry;
}

void *mas_find_far(struct ma_state *mas, unsigned long max)
{
	if (mas->status == ma_active && mas->last < max) {
		void *entry = step_inside(mas, max);

		if (entry)
			return entry;
	}
	return find_of(mas, max, false);
}

void *mas_find(struct ma_state *mas, unsigned long max)
{
	return mas_find_far(mas, max);
}

void *mas_find_range(struct ma_state *mas, unsigned long max)
{
	return find_of(mas, max, true);
}

static bool find_rev_begins(struct ma_state *mas, unsigned long min, void **entry)
{
	*entry = NULL;
	switch (mas->status) {
	case ma_error:
		return true;
	case ma_active:
		return mas->index < min;
	case ma_pause:
		if (mas->index <= min) {
			underflow(mas);
			return true;
		}
		mas->last = --mas->index;
		break;
	case ma_none:
		if (mas->index <= min)
			return true;
		mas->last = mas->index;
		break;
	case ma_overflow:
		if (mas->index <= min) {
			underflow(mas);
			return true;
		}
		mas->status = ma_active;
		return false;
	case ma_underflow:
		if (mas->index <= min)
			return true;
		mas->status = ma_active;
		return false;
	case ma_root:
		mas->status = ma_none;
		return true;
	case ma_start:
		break;
	}
	if (mas->index < min)
		return true;
	*entry = mas_walk(mas);
	if (*entry)
		return true;
	if (mas->status != ma_active) {
		if (!min || mtree_empty(mas->tree))
			*entry = at_root(mas);
		return true;
	}
	return mas->index < min;
}

static void *find_rev_of(struct ma_state *mas, unsigned long min, bool gaps)
{
	void *entry = NULL;

	if (!gaps && mas->status == ma_active && mas->index > min)
		entry = step_back_inside(mas, min);
	if (entry)
		return entry;
	if (find_rev_begins(mas, min, &entry))
		return entry;
	return step_prev(mas, min, gaps);
}

void *mas_find_rev(struct ma_state *mas, unsigned long min)
{
	return find_rev_of(mas, min, false);
}

void *mas_find_range_rev(struct ma_state *mas, unsigned long min)
{
	return find_rev_of(mas, min, true);
}

void mas_pause(struct ma_state *mas)
{
	mas->status = ma_pause;
	mas->node = NULL;
}
