/* SPDX-License-Identifier: MIT */
/*
 * What the files of this folder offer each other, by file.
 *
 * Glossary
 *   place     position of a range in a leaf's order, from 0
 *   offset    a state's position: 2k + 1 is the range at place k, 2k + 2 the gap
 *             after it, 0 the gap before the first (leftmost leaf only)
 *   path      the nodes from the root to a leaf, with the child taken in each
 *   retire    take a node out of use: freed after a grace period in RCU mode
 */
#ifndef SAMARA_TREE_TREE_H
#define SAMARA_TREE_TREE_H

#include "tree/near.h"
#include "tree/node.h"

/* A way down. Only writers use it: it holds while the lock is held and nothing changes. */
struct path_step {
	struct inner *node;
	unsigned int child;
	unsigned long min, max;	/* of the node */
};

struct path {
	unsigned int height;		/* inner nodes above the leaf */
	struct path_step step[MAX_HEIGHT];	/* root first */
	struct maple_enode *leaf;	/* NULL when the root is no node */
	uint64_t order;
	unsigned int rank;		/* ranges of the leaf that begin at or below the index walked to */
	unsigned long min, max;		/* of the leaf */
};

/*
 * The way that a writer went last, kept with the tree's pool: changes are often near
 * the one before. It is good as long as the tree's count of changes is seq.
 */
struct finger {
	unsigned long seq;
	struct path path;
};

#define NO_SEQ ULONG_MAX

/* NULL when the tree has never had a node. */
static inline struct finger *tree_finger(const struct maple_tree *mt)
{
	return (struct finger *)mt->ma_pool;
}

static inline struct platform *tree_platform(const struct maple_tree *mt)
{
	return mt->ma_platform ? mt->ma_platform : platform_default();
}

static inline bool tree_tracks_gaps(const struct maple_tree *mt)
{
	return (mt->ma_flags & MT_FLAGS_ALLOC_RANGE) != 0;
}

static inline void tree_changed(struct maple_tree *mt)
{
	WR_REL(mt->ma_seq, mt->ma_seq + 1);
}

static inline bool entry_is_reserved(const void *entry)
{
	return xa_is_internal(entry) && (uintptr_t)entry < MAPLE_RESERVED_RANGE && !xa_is_zero(entry);
}

/* Be at [index, last] without having walked there: the next step does. @root is the tree's, before a change. */
static inline void mas_arrive(struct ma_state *mas, const void *root)
{
	mas->node = NULL;
	mas->status = root_is_node(root) ? ma_active : root ? ma_root : ma_none;
}

/* memory.c: nodes come and go here. */
struct node *node_alloc(struct maple_tree *mt, enum node_size size);
bool node_alloc_many(struct maple_tree *mt, enum node_size size, unsigned int n, struct node **out);
void node_free(struct maple_tree *mt, struct node *node);
void nodes_settle(struct maple_tree *mt);
void node_retire(struct maple_tree *mt, struct node *node);
void retire_flush(struct maple_tree *mt);
void retire_subtree(struct maple_tree *mt, struct maple_enode *top);
bool reserve_fill(struct ma_state *mas, const unsigned int need[NODE_SIZES]);
struct node *reserve_take(struct ma_state *mas, enum node_size size);
void reserve_free(struct ma_state *mas);

/* search.c: the ways down. */
/* The entry at @index, and nothing else. Under RCU or the lock. */
void *tree_lookup(const struct maple_tree *mt, unsigned long index);
/* From node @e to the leaf responsible for @index, and the offset of the range or gap in it. */
void state_descend(struct ma_state *mas, struct maple_enode *e, unsigned long index);
/* To the leaf responsible for @index. The lock. */
void path_walk(const struct maple_tree *mt, unsigned long index, struct path *path);

/* The commonest changes. False or NULL: it is not one of them, and nothing was done. The lock. */
bool quick_put(struct maple_tree *mt, unsigned long index, unsigned long last, void *entry, void **old);
void *quick_take(struct maple_tree *mt, unsigned long index, unsigned long *start, unsigned long *last);
int quick_patch(struct maple_tree *mt, struct ma_state *mas, const struct mt_cut *cut, void **old);
bool quick_near(struct maple_tree *mt, unsigned long index, struct mt_near *near);

/* A narrow leaf's ranges and others, in order. What lies behind them holds anything. */
struct sorted {
	uint32_t start[2 * NARROW_CAP], last[2 * NARROW_CAP];
	void *slot[2 * NARROW_CAP];
};

/* The longest gap between two ranges of the leaf, which follow each other in its order. The lock. */
uint32_t narrow_longest_between(const struct narrow *leaf, uint64_t order);

/* What of a way that is still good depends on the leaf's contents and on @index. */
void path_refresh(struct path *path, unsigned long index);

/* A search for a gap: the place for @more + 1 indexes in [min, max]. The lock, or one that keeps writers out. */
struct gap_search {
	const struct maple_tree *mt;
	unsigned long min, max;		/* inclusive */
	unsigned long more;		/* indexes after the first */
	gap_code code;			/* of the length */
	unsigned long found;		/* first index */
};

/* The lowest or the highest place, in a tree whose root is a node. */
bool gap_search_up(struct gap_search *s);
bool gap_search_down(struct gap_search *s);

/* walk.c: readers. */
void *mas_replace_here(struct ma_state *mas, void *entry);
void *mas_load(struct ma_state *mas, unsigned long index);
void mas_set_error(struct ma_state *mas, int err);

/* path.c: what writers know about the way down. */
struct path *path_to(struct maple_tree *mt, unsigned long index, struct path *own);
void path_changed(struct maple_tree *mt, bool kept);
bool path_is_leftmost(const struct path *path);
gap_code leaf_longest_gap(const struct maple_enode *leaf, uint64_t order, unsigned long min,
			  unsigned long max);
void path_gap_grown(struct maple_tree *mt, const struct path *path, unsigned long length);
void path_gap_filled(struct maple_tree *mt, const struct path *path, unsigned long length,
		     unsigned long left);
void path_update_gap(struct maple_tree *mt, const struct path *path);
void path_set_gap(struct maple_tree *mt, const struct path *path, unsigned int depth, gap_code gap);
gap_code inner_longest_gap(const struct inner *node);
void path_raise(const struct path *path, unsigned int depth, unsigned long start);
void tree_update_gap_at(struct maple_tree *mt, unsigned long index);
/* @leaf, which says the same for all but what is being stored, takes the place of that of @path. */
void leaf_replaced(struct maple_tree *mt, struct path *path, struct maple_enode *leaf);
/* The last range below the leaf of @path, and the first one above it. */
void path_last_below(const struct maple_tree *mt, const struct path *path, struct mt_near *near);
void path_first_above(const struct maple_tree *mt, const struct path *path, struct mt_near *near);

/* inner.c: inner nodes in the making. */
void inner_set(struct inner *node, unsigned int i, unsigned long start, struct maple_enode *child, gap_code gap);
void inner_finish(struct inner *node, unsigned int nr, const struct inner *like);
void inner_copy_around(struct inner *to, const struct inner *from, unsigned int child, unsigned int room,
		       unsigned long min);

/* write.c: stores of entries. */
struct write {
	struct ma_state *mas;
	struct maple_tree *mt;
	unsigned long index, last;
	void *entry;
	struct path *lo;	/* to index: the tree's finger, or own */
	struct path *hi;	/* to last: lo if that is in the same leaf, else &other */
	struct path own, other;
	bool kept;		/* of the leaf's way, and of its bounds, nothing has changed */
	bool dry;		/* count what is needed, do nothing */
	bool failed;		/* memory ran out */
	unsigned int need[NODE_SIZES];
	struct node *built;	/* not visible yet */
};

void *write_old_entry(const struct write *w);
int write_leaf(struct write *w);

struct maple_enode *leaf_compact(struct maple_tree *mt, const struct maple_enode *leaf);
struct maple_enode *inner_compact(struct maple_tree *mt, const struct maple_enode *e, unsigned long min);

/* join.c: small nodes become fewer. */
#define JOIN_LEAF_AT 4		/* ranges, or fewer */
bool join_leaf(struct maple_tree *mt, const struct path *path);
void join_inner(struct maple_tree *mt, const struct path *path, unsigned int depth);

/* erase.c: stores of NULL. */
void collapse_root(struct maple_tree *mt);
int erase_range(struct write *w);
bool erase_place(struct maple_tree *mt, const struct path *path, unsigned int place);

/* check.c */
const char *tree_find_fault(const struct maple_tree *mt, unsigned long *where);

#endif
