/* SPDX-License-Identifier: MIT */
/*
 * Duplicate a tree in one pass over its nodes. Each node is copied as it is;
 * in inner nodes the children are then replaced by their copies, from the lowest
 * up. Nobody can reach the copy before its root is set.
 */
#include "tree/tree.h"

#include <errno.h>
#include <string.h>

struct dup {
	struct maple_tree *to;
	unsigned int depth;
	struct inner *node[MAX_HEIGHT];	/* copies, root first */
	uint64_t left[MAX_HEIGHT];	/* children still to be copied */
};

static struct maple_enode *copy_node(struct node *to, const struct maple_enode *from)
{
	if (enode_is_leaf(from))
		memcpy(to, enode_node(from), LEAF_SIZE);
	else
		memcpy(to, enode_node(from), enode_bytes(from));
	to->link = NULL;
	return enode_make(to, enode_type(from));
}

/* Leaves lie where they were made: several are fetched while one is copied. */
#define LEAVES_AHEAD 4

static void prefetch_leaf(const struct maple_enode *leaf)
{
	for (unsigned int at = 0; at < LEAF_SIZE; at += 64)
		__builtin_prefetch((const char *)enode_node(leaf) + at);
}

/* Copy the leaves below the copied inner @node, all at once. False when there is no memory. */
static bool dup_leaves(struct maple_tree *to, struct inner *node)
{
	uint64_t live = node->head.word, ahead = live;
	unsigned int nr = (unsigned int)__builtin_popcountll(live);
	struct node *fresh[INNER_CAP];

	if (!node_alloc_many(to, SIZE_LEAF, nr, fresh))
		return false;
	for (unsigned int i = 0; i < LEAVES_AHEAD && ahead; i++, ahead &= ahead - 1)
		prefetch_leaf(*child_slot(node, lowest_bit(ahead)));
	for (unsigned int i = 0; live; i++, live &= live - 1) {
		unsigned int child = lowest_bit(live);

		if (ahead) {
			prefetch_leaf(*child_slot(node, lowest_bit(ahead)));
			ahead &= ahead - 1;
		}
		*child_slot(node, child) = copy_node(fresh[i], *child_slot(node, child));
	}
	return true;
}

/*
 * Copy one node. An inner one is left for its children to be copied, if those
 * are inner ones too. NULL when there is no memory.
 */
static struct maple_enode *dup_node(struct dup *d, const struct maple_enode *from)
{
	struct maple_enode *copy;
	struct inner *node;
	struct node *fresh;

	if (!node_alloc_many(d->to, node_size(enode_node(from)), 1, &fresh))
		return NULL;
	copy = copy_node(fresh, from);
	if (enode_is_leaf(copy))
		return copy;
	pf_assert(d->depth < MAX_HEIGHT);
	node = enode_inner(copy);
	d->node[d->depth] = node;
	d->left[d->depth] = node->head.word;
	if (enode_is_leaf(*child_slot(node, lowest_bit(node->head.word)))) {
		if (!dup_leaves(d->to, node))
			return NULL;
		d->left[d->depth] = 0;
	}
	d->depth++;
	return copy;
}

static struct maple_enode *dup_nodes(struct dup *d, const struct maple_enode *root)
{
	struct maple_enode *copy = dup_node(d, root), *top = copy;

	while (copy && d->depth) {
		uint64_t *left = &d->left[d->depth - 1];
		struct inner *node = d->node[d->depth - 1];

		if (!*left) {
			/* Complete: it becomes the child that its parent waits for. */
			if (--d->depth) {
				uint64_t *up = &d->left[d->depth - 1];

				*child_slot(d->node[d->depth - 1], lowest_bit(*up)) = enode_make(node, NODE_INNER);
				*up &= *up - 1;
			}
			continue;
		}
		copy = dup_node(d, *child_slot(node, lowest_bit(*left)));
	}
	return copy ? top : NULL;
}

static bool same_kind(const struct maple_tree *a, const struct maple_tree *b)
{
	return !((a->ma_flags ^ b->ma_flags) &
		 ~(unsigned int)(MT_FLAGS_HEIGHT_MASK | MT_FLAGS_ALLOC_WRAPPED));
}

int __mt_dup(struct maple_tree *mt, struct maple_tree *new_tree, gfp_t gfp)
{
	struct dup d = { .to = new_tree };
	struct maple_enode *root = mt->ma_root;

	(void)gfp;
	if (new_tree->ma_root || !same_kind(mt, new_tree))
		return -EINVAL;
	if (root_is_node(root)) {
		root = dup_nodes(&d, root);
		if (!root) {
			/* All that was copied lies in the new tree's pool. */
			__mt_destroy(new_tree);
			return -ENOMEM;
		}
	}
	nodes_settle(new_tree);
	WR_REL(new_tree->ma_root, (void *)root);
	tree_changed(new_tree);
	pf_assert_full(mt_is_valid(new_tree));
	return 0;
}

int mtree_dup(struct maple_tree *mt, struct maple_tree *new_tree, gfp_t gfp)
{
	int err;

	mtree_lock(new_tree);
	mtree_lock(mt);
	err = __mt_dup(mt, new_tree, gfp);
	mtree_unlock(mt);
	mtree_unlock(new_tree);
	return err;
}
