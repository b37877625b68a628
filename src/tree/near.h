/* SPDX-License-Identifier: MIT */
/* For callers above that hold the write lock: what they ask and change most often, without a state. */
#ifndef SAMARA_TREE_NEAR_H
#define SAMARA_TREE_NEAR_H

#include <samara/maple_tree.h>

/* What lies around an index. */
struct mt_near {
	void *before;			/* entry of the last range that ends below the index, or NULL */
	void *at;			/* of the one that contains it, or NULL */
	void *after;			/* of the first one that begins above it, or NULL */
	unsigned long before_last;	/* where before ends, inclusive; if there is one */
	unsigned long after_first;	/* where after begins; the same */
};

/* The writer's way leads to the index from here on: what is changed there next need not go down again. */
void mt_near(struct maple_tree *mt, unsigned long index, struct mt_near *near);

/* A store into ranges that are there. */
struct mt_cut {
	unsigned long index, last;
	void *entry;
	void *high;	/* for what remains above of the range that has last; NULL: that keeps its entry */
};

/*
 * The same for a part of a range, of which something remains: one change, though it may come with two entries. Where the
 * leaf has to be written anew it is two, and a reader without lock may meet the old entry above for a moment.
 * @high_last is where the range ends. 0; -ENOMEM: nothing has changed.
 */
int mt_cut(struct maple_tree *mt, const struct mt_cut *cut, unsigned long high_last);

/* Store @entry, not NULL, over [index, last], whatever was there. 0; -ENOMEM: nothing has changed. */
int mt_put(struct maple_tree *mt, unsigned long index, unsigned long last, void *entry);

/* Erase the range that contains @index, and return its entry; or NULL. Needs no memory. */
void *mt_take(struct maple_tree *mt, unsigned long index);

/* The highest place for @size indexes, at least 1, in [min, max]: its first index in *@first. False: none. */
bool mt_highest_gap(const struct maple_tree *mt, unsigned long min, unsigned long max, unsigned long size,
		    unsigned long *first);

#endif
