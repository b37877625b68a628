/* SPDX-License-Identifier: MIT */
/* For callers above that make several stores, of which none after the first may fail. */
#ifndef SAMARA_TREE_RESERVE_H
#define SAMARA_TREE_RESERVE_H

struct maple_tree;

/*
 * Set nodes aside in the tree for @stores stores, wherever they are. Nodes are taken from
 * there first, until mt_unreserve(). The write lock. 0; -ENOMEM, with nothing set aside.
 */
int mt_reserve(struct maple_tree *mt, unsigned long stores);

/* Give back what is left; nothing happens when nothing is. The write lock. */
void mt_unreserve(struct maple_tree *mt);

#endif
