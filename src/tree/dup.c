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

static struct maple_enode *copy_node(struct maple_tree *to, const struct maple_enode *from)
{
	bool leaf = enode_is_leaf(from);
	struct node *node = node_alloc(to, leaf ? SIZE_LEAF : SIZE_INNER);

	if (!node)
		return NULL;
	memcpy(node, enode_node(from), leaf ? LEAF_SIZE : INNER_SIZE);
	node->link = NULL;
	return enode_make(node, enode_type(from));
}

/* Copy one node. An inner one is left for its children to be copied. */
static struct maple_enode *dup_node(struct dup *d, const struct maple_enode *from)
{
	struct maple_enode *copy = copy_node(d->to, from);

	if (copy && !enode_is_leaf(copy)) {
		pf_assert(d->depth < MAX_HEIGHT);
		d->node[d->depth] = enode_inner(copy);
		d->left[d->depth++] = enode_inner(copy)->head.word;
	}
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

				d->node[d->depth - 1]->child[__builtin_ctzll(*up)] = enode_make(node, NODE_INNER);
				*up &= *up - 1;
			}
			continue;
		}
		copy = dup_node(d, node->child[__builtin_ctzll(*left)]);
		if (copy && enode_is_leaf(copy)) {
			node->child[__builtin_ctzll(*left)] = copy;
			*left &= *left - 1;
		}
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
