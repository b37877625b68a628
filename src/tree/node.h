/* SPDX-License-Identifier: MIT */
/*
 * How nodes look, and how a reader looks into one.
 *
 * The tree is a B-tree whose leaves hold ranges with entries; gaps are not
 * stored. An inner node has, for each child, the lowest index that belongs to
 * it; the child reaches to where the next one begins. That index, the
 * child's separator, is the start of the first range in it, except on the
 * leftmost path, whose separators are not looked at. So each gap lies in one
 * leaf: it belongs to the leaf with the range before it.
 *
 *   root      |10 ........|500 ..........|          separators
 *             /            \
 *   leaves  [10,19][40,41]  [500,599][700,700]      gap 42..499 is the left one's
 *
 * A leaf holds its ranges in slots in any order; one order word, written by a
 * single store, lists the slots in use in rising order. An inner node holds its
 * children in rising order; one live word says which are in use.
 *
 * What a reader may rely on, without a lock:
 *   O1  A slot's range is written before the slot enters the order word, and
 *       never changes in the node's life. Its entry changes only to another
 *       entry for exactly that range.
 *   O2  Each change of what a node contains is one release store: of the order
 *       word, the live word, a slot's entry, a child pointer, or the root. It
 *       pairs with the acquire load of the same word by the reader.
 *   O3  A node that was replaced or dropped never changes again, and is freed
 *       after a grace period.
 *   O4  A separator changes only upwards and only over indexes without entry.
 *   O5  A child pointer changes only to a node that says the same for every
 *       index the child was responsible for, but those that the store changes.
 * What follows from it for who goes down is in search_body.h (S1 to S5), for who walks in walk.c (W1 to W5).
 */
#ifndef SAMARA_TREE_NODE_H
#define SAMARA_TREE_NODE_H

#include "platform/platform.h"
#include <samara/maple_tree.h>

/* Shared with readers: single words, no tearing; ordering only where named. */
#define RD(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define RD_ACQ(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define WR(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#define WR_REL(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)

/*
 * Searching reads many words and wants vectors, which atomic loads forbid. Each
 * word is aligned and is read whole; ThreadSanitizer gets the atomic loads.
 */
#if PF_TSAN
#define RD_MANY(x) RD(x)
#else
#define RD_MANY(x) (x)
#endif

/* @a if @condition, else @b: both are there, and no branch is wanted. */
#define CHOOSE(condition, a, b) ((b) ^ (((a) ^ (b)) & -(unsigned long)((condition) != 0)))

static inline unsigned int lowest_bit(uint64_t bits)
{
	return (unsigned int)__builtin_ctzll(bits);
}

static inline unsigned int highest_bit(uint64_t bits)
{
	return 63 - (unsigned int)__builtin_clzll(bits);
}

enum node_type {
	NODE_NARROW,	/* leaf; bounds are 32-bit distances from the base */
	NODE_WIDE,	/* leaf; bounds are whole words */
	NODE_INNER,
};

#define NARROW_CAP 14
#define WIDE_CAP 9
#define LEAF_CAP NARROW_CAP
#define SMALL_CAP 16		/* children of a small inner node */
#define INNER_CAP 48		/* of a large one */
#define MAX_HEIGHT 20
#define NODE_ALIGN 64

enum node_size { SIZE_LEAF, SIZE_SMALL, SIZE_INNER, NODE_SIZES };

/* info: whether it is out of use, and its size. */
#define NODE_DEAD 1u
#define NODE_SIZE_SHIFT 1

struct node {
	uint64_t word;		/* leaf: order; inner: live */
	uint64_t base;		/* narrow: what start and last count from; inner: what keys do */
	struct node *link;	/* while set aside, or waiting to be freed */
	uint16_t info;
	uint16_t cap;		/* inner: children it has room for */
	uint16_t used;		/* inner: children ever put in, the dead ones too */
	uint16_t shift;		/* inner: indexes to one step of a key, as a power of two */
};

struct narrow {
	struct node head;
	uint32_t start[NARROW_CAP];
	uint32_t last[NARROW_CAP];
	void *slot[NARROW_CAP];
};

struct wide {
	struct node head;
	unsigned long start[WIDE_CAP];
	unsigned long last[WIDE_CAP];
	void *slot[WIDE_CAP];
};

/*
 * The length of a gap, in 32 bits: exact below 2^26, else rounded up by less than
 * 2^-25 of it. A longer gap never has a lower code, so that codes are compared
 * instead of lengths; only a leaf says whether a gap is really long enough.
 */
typedef uint32_t gap_code;

static inline gap_code gap_encode(unsigned long length)
{
	unsigned int drop;

	if (length < 1ul << 26)
		return (gap_code)length;
	drop = 38 - (unsigned int)__builtin_clzl(length);
	return (drop << 25) + (gap_code)(length >> drop) + ((length & ((1ul << drop) - 1)) != 0);
}

/*
 * An inner node. A search looks at the keys, which are short: a separator's
 * distance from the base, in steps of 2^shift, cut to 16 bits. Where keys differ
 * they are in the order of their separators; only where one is that of the index asked for
 * have separators to be looked at. Any base and shift are right, as long as the keys' range
 * does not wrap; inner_finish() chooses good ones, once.
 *
 *   | head | keys | separators | children | longest gap below each |
 *
 * for 16 children (small) or 48 (large). Separators, children and gaps each begin a cache line:
 * what a writer does to gaps is not in the way of readers. Of the children that are not
 * in use yet, separators and keys are the highest. Gaps are the lock's.
 */
typedef int16_t inner_key;	/* less 2^15: vectors compare with signs */

#define KEY_HIGHEST INT16_MAX
#define KEY_OFFSET 0x8000u

struct inner {
	struct node head;
	inner_key key[];	/* rising, as separators; see child_start() and its like for what follows */
};

#define INNER_BYTES(cap) (sizeof(struct node) + (cap) * (sizeof(inner_key) + 2 * sizeof(void *) + sizeof(gap_code)))

#define LEAF_SIZE 256
/* What the public header says of it, for what is inlined. */
_Static_assert(sizeof(struct mt_narrow) == sizeof(struct narrow) && NODE_NARROW == 0 &&
	       offsetof(struct mt_narrow, base) == offsetof(struct narrow, head.base) &&
	       offsetof(struct mt_narrow, start) == offsetof(struct narrow, start) &&
	       offsetof(struct mt_narrow, last) == offsetof(struct narrow, last) &&
	       offsetof(struct mt_narrow, slot) == offsetof(struct narrow, slot), "one layout");
_Static_assert(offsetof(struct ma_state, status) % sizeof(unsigned long) == 0 && ma_active == 0 &&
	       offsetof(struct ma_state, offset) == offsetof(struct ma_state, status) + 4 &&
	       offsetof(struct ma_state, end) == offsetof(struct ma_state, status) + 7, "mas_place() is one word");

#define SMALL_SIZE 384
#define INNER_SIZE 1088
_Static_assert(sizeof(struct narrow) == LEAF_SIZE, "a narrow leaf fills its node");
_Static_assert(sizeof(struct wide) <= LEAF_SIZE, "a wide leaf fits its node");
_Static_assert(INNER_BYTES(SMALL_CAP) == SMALL_SIZE, "a small inner node fills its node");
_Static_assert(INNER_BYTES(INNER_CAP) == INNER_SIZE, "a large inner node fills its node");

/*
 * A pointer to a node, as it stands in a parent or the root:
 *
 *   | address ......................| 0 0 | type | 1 0 |
 *    63                            6 5   4 3    2 1   0
 *
 * Bits 10 keep it apart from what the root may hold instead.
 */
static inline struct maple_enode *enode_make(void *node, enum node_type type)
{
	return (struct maple_enode *)((uintptr_t)node | (uintptr_t)type << 2 | 2);
}

static inline enum node_type enode_type(const struct maple_enode *e)
{
	return (enum node_type)((uintptr_t)e >> 2 & 3);
}

static inline struct node *enode_node(const struct maple_enode *e)
{
	return (struct node *)((uintptr_t)e & ~(uintptr_t)(NODE_ALIGN - 1));
}

static inline bool enode_is_leaf(const struct maple_enode *e)
{
	return enode_type(e) != NODE_INNER;
}

static inline struct inner *enode_inner(const struct maple_enode *e)
{
	return (struct inner *)enode_node(e);
}

static inline struct narrow *enode_narrow(const struct maple_enode *e)
{
	return (struct narrow *)enode_node(e);
}

static inline struct wide *enode_wide(const struct maple_enode *e)
{
	return (struct wide *)enode_node(e);
}

static inline size_t enode_bytes(const struct maple_enode *e)
{
	return enode_is_leaf(e) ? LEAF_SIZE : INNER_BYTES(enode_node(e)->cap);
}

/* Whether the root is a node, not an entry for [0, 0] and not NULL. */
static inline bool root_is_node(const void *root)
{
	return xa_is_internal(root);
}

/* Whether the root itself can hold @entry. */
static inline bool root_can_hold(const void *entry)
{
	return entry && !xa_is_internal(entry);
}

/*
 * The order word of a leaf:
 *
 *   | used | count | slot at place 13 | ... | slot at place 1 | slot at place 0 |
 *    63  60 59   56 55              52        7               4 3              0
 *
 * used counts the slots written so far, those that were dropped too.
 */
static inline unsigned int order_count(uint64_t order)
{
	return order >> 56 & 15;
}

static inline unsigned int order_used(uint64_t order)
{
	return (unsigned int)(order >> 60);
}

static inline unsigned int order_slot(uint64_t order, unsigned int place)
{
	return order >> (4 * place) & 15;
}

#define ORDER_PLACES ((1ull << 56) - 1)

/* Whether a place has @slot. */
static inline bool order_has(uint64_t order, unsigned int slot)
{
	const uint64_t ones = 0x11111111111111;
	uint64_t differ = order ^ slot * ones;

	/* The lowest nibble that is zero sets its high bit; what is above it is of no interest. */
	return (differ - ones) & ~differ & (ones << 3) & ((1ull << (4 * order_count(order))) - 1);
}

static inline uint64_t order_below(unsigned int place)
{
	return (1ull << (4 * place)) - 1;
}

static inline uint64_t order_make(uint64_t places, unsigned int count, unsigned int used)
{
	return (places & ORDER_PLACES) | (uint64_t)count << 56 | (uint64_t)used << 60;
}

/* With @slot at @place, and what was there and behind it one place higher. */
static inline uint64_t order_insert(uint64_t order, unsigned int place, unsigned int slot)
{
	uint64_t below = order & order_below(place), above = order & ORDER_PLACES & ~order_below(place);

	return below | (uint64_t)slot << (4 * place) | (above << 4 & ORDER_PLACES) |
	       ((order & ~ORDER_PLACES) + (1ull << 56));
}

/* Without what is at @place. */
static inline uint64_t order_remove(uint64_t order, unsigned int place)
{
	uint64_t below = order & order_below(place), above = order & ORDER_PLACES & ~order_below(place + 1);

	return below | above >> 4 | ((order & ~ORDER_PLACES) - (1ull << 56));
}

/* The order of a fresh leaf with @count ranges: slot k at place k. */
static inline uint64_t order_fresh(unsigned int count)
{
	return order_make(0xdcba9876543210ull & order_below(count), count, count);
}

/* Leaves ------------------------------------------------------------------ */

static inline unsigned long slot_start(const struct maple_enode *e, unsigned int slot)
{
	if (enode_type(e) == NODE_NARROW)
		return enode_narrow(e)->head.base + RD(enode_narrow(e)->start[slot]);
	return RD(enode_wide(e)->start[slot]);
}

static inline unsigned long slot_last(const struct maple_enode *e, unsigned int slot)
{
	if (enode_type(e) == NODE_NARROW)
		return enode_narrow(e)->head.base + RD(enode_narrow(e)->last[slot]);
	return RD(enode_wide(e)->last[slot]);
}

static inline void **slot_entry(const struct maple_enode *e, unsigned int slot)
{
	if (enode_type(e) == NODE_NARROW)
		return &enode_narrow(e)->slot[slot];
	return &enode_wide(e)->slot[slot];
}

static inline unsigned long leaf_start(const struct maple_enode *e, uint64_t order, unsigned int place)
{
	return slot_start(e, order_slot(order, place));
}

static inline unsigned long leaf_last(const struct maple_enode *e, uint64_t order, unsigned int place)
{
	return slot_last(e, order_slot(order, place));
}

static inline void *leaf_entry(const struct maple_enode *e, uint64_t order, unsigned int place)
{
	return RD_ACQ(*slot_entry(e, order_slot(order, place)));
}

static inline unsigned int leaf_cap(const struct maple_enode *e)
{
	return enode_type(e) == NODE_NARROW ? NARROW_CAP : WIDE_CAP;
}

/* Whether a slot of the leaf can hold these bounds. */
static inline bool slot_fits(const struct maple_enode *e, unsigned long start, unsigned long last)
{
	unsigned long base = enode_node(e)->base;

	return enode_type(e) == NODE_WIDE || (start >= base && last - base <= UINT32_MAX);
}

/* Write a fresh slot, which no order word names yet (O1). */
static inline void slot_fill(struct maple_enode *e, unsigned int slot, unsigned long start,
			     unsigned long last, void *entry)
{
	if (enode_type(e) == NODE_NARROW) {
		struct narrow *leaf = enode_narrow(e);

		WR(leaf->start[slot], (uint32_t)(start - leaf->head.base));
		WR(leaf->last[slot], (uint32_t)(last - leaf->head.base));
	} else {
		WR(enode_wide(e)->start[slot], start);
		WR(enode_wide(e)->last[slot], last);
	}
	WR(*slot_entry(e, slot), entry);
}

static inline unsigned int narrow_rank(const struct narrow *leaf, uint64_t order, uint32_t distance)
{
	unsigned int count = order_count(order), rank = 0;

	for (unsigned int k = 0; k < count; k++)
		rank += RD(leaf->start[order_slot(order, k)]) <= distance;
	return rank;
}

/* How many ranges of the leaf begin at or below @index. */
static inline unsigned int leaf_rank(const struct maple_enode *e, uint64_t order, unsigned long index)
{
	unsigned int count = order_count(order), rank = 0;

	if (enode_type(e) == NODE_NARROW) {
		const struct narrow *leaf = enode_narrow(e);
		unsigned long distance = index - leaf->head.base;

		if (index < leaf->head.base)
			return 0;
		return narrow_rank(leaf, order, distance > UINT32_MAX ? UINT32_MAX : (uint32_t)distance);
	}
	for (unsigned int k = 0; k < count; k++)
		rank += RD(enode_wide(e)->start[order_slot(order, k)]) <= index;
	return rank;
}

/* Inner nodes ------------------------------------------------------------- */

static inline unsigned long *inner_starts(const struct inner *node)
{
	return (unsigned long *)((uintptr_t)node->key + node->head.cap * sizeof(inner_key));
}

static inline struct maple_enode **inner_children(const struct inner *node)
{
	return (struct maple_enode **)(inner_starts(node) + node->head.cap);
}

static inline gap_code *inner_gaps(const struct inner *node)
{
	return (gap_code *)(inner_children(node) + node->head.cap);
}

static inline unsigned long *child_start(const struct inner *node, unsigned int i)
{
	return inner_starts(node) + i;
}

static inline struct maple_enode **child_slot(const struct inner *node, unsigned int i)
{
	return inner_children(node) + i;
}

static inline gap_code *child_gap(const struct inner *node, unsigned int i)
{
	return inner_gaps(node) + i;
}

static inline enum node_size node_size(const struct node *node)
{
	return (enum node_size)(node->info >> NODE_SIZE_SHIFT);
}

/* In steps from the base; what has a key of its own has KEY_OFFSET to KEY_OFFSET + UINT16_MAX. */
static inline unsigned long key_steps(const struct inner *node, unsigned long index)
{
	return (index - node->head.base) >> node->head.shift;
}

static inline bool key_is_cut(unsigned long steps)
{
	return steps - KEY_OFFSET > UINT16_MAX;
}

/* Never higher for a lower index. */
static inline inner_key key_of(const struct inner *node, unsigned long index)
{
	unsigned long steps = key_steps(node, index), lowest = node->head.base + ((unsigned long)KEY_OFFSET << node->head.shift);

	if (!key_is_cut(steps))
		return (inner_key)steps;
	return index < lowest ? INT16_MIN : KEY_HIGHEST;
}

/* How many children a search has to look at: above, none is alive. */
static inline unsigned int live_cap(uint64_t live)
{
	return live >> SMALL_CAP ? INNER_CAP : SMALL_CAP;
}

/*
 * The highest live one of the first @count children, or the lowest live one. Nearly always it is
 * the last of them: the processor guesses so, and goes on before it has the live word.
 */
static inline unsigned int live_among(uint64_t live, unsigned int count)
{
	uint64_t below;

	if (__builtin_expect(live >> ((count - 1) & 63) & 1, 1))
		return count - 1;
	below = (live & ((1ull << count) - 1)) | (live & -live);
	return highest_bit(below);
}

/*
 * The child that is responsible for @index, by looking at all separators. @live is not 0. They
 * rise, those of dead children included, and those never used are ULONG_MAX.
 */
static inline unsigned int inner_route(const struct inner *node, uint64_t live, unsigned long index)
{
	const unsigned long *start = inner_starts(node);
	unsigned int count = 0, cap = live_cap(live);

	for (unsigned int i = 0; i < cap; i++)
		count += RD_MANY(start[i]) <= index;
	return live_among(live, count);
}

static inline bool inner_is_lowest(uint64_t live, unsigned int child)
{
	return !(live & ((1ull << child) - 1));
}

/* The live children above @child; 0 when it is the highest. */
static inline uint64_t inner_above(uint64_t live, unsigned int child)
{
	return live & ~((2ull << child) - 1);
}

/*
 * Narrow [*@min, *@max], the bounds of @node, to those of its @child. Without branches: that a child is
 * the lowest or the highest of its node happens too often to be foreseen, and not often enough.
 */
static inline void inner_bounds(const struct inner *node, uint64_t live, unsigned int child,
				unsigned long *min, unsigned long *max)
{
	uint64_t above = inner_above(live, child);
	unsigned long start = RD(*child_start(node, child));
	unsigned long next = RD(*child_start(node, lowest_bit(above | 1ull << 63) & (above ? 63 : 0)));

	*min = CHOOSE(inner_is_lowest(live, child), *min, start);
	*max = CHOOSE(above, next - 1, *max);
}

#endif
