/* SPDX-License-Identifier: MIT */
/*
 * Where nodes come from and where they go.
 *
 * Each node is one attempt to allocate. A tree in RCU mode hands over the
 * nodes that a change retired together, to be freed after a grace period. That
 * takes no memory: a pool, made with the tree's first node, has a few batch
 * heads; while all are on their way, nodes wait in a list, which the next
 * batch that comes back takes along.
 *
 * A pool outlives its tree until the last batch has come back.
 */
#include "tree/tree.h"

#include <errno.h>
#include <string.h>

#include "tree/reserve.h"

#define POOL_BATCHES 16

struct mt_batch {
	pf_rcu_head rcu;
	struct mt_pool *pool;
	struct node *nodes;
	bool on_its_way;	/* set by the writer, cleared by the callback */
};

struct mt_pool {
	struct platform *pf;
	struct node *gathered;		/* retired by the change that is being made; the tree's lock */
	struct node *gathered_last;
	struct node *waiting;		/* for a batch head: added by the writer, taken by any callback */
	unsigned int refs;		/* the tree, and each batch on its way */
	struct mt_batch batch[POOL_BATCHES];
	struct mt_batch farewell;	/* for when the tree is destroyed */
	struct node *spare[2];		/* by size: taken in advance, see mt_reserve(); the tree's lock */
};

static void pool_put(struct mt_pool *pool)
{
	if (__atomic_sub_fetch(&pool->refs, 1, __ATOMIC_ACQ_REL) == 0)
		pf_free(pool->pf, PF_OTHER, pool);
}

static bool pool_get(struct maple_tree *mt)
{
	if (mt->ma_pool)
		return true;
	mt->ma_pool = pf_alloc(tree_platform(mt), PF_OTHER, sizeof(struct mt_pool), _Alignof(struct mt_pool));
	if (!mt->ma_pool)
		return false;
	mt->ma_pool->pf = tree_platform(mt);
	mt->ma_pool->refs = 1;
	return true;
}

static void free_list(struct platform *pf, struct node *list)
{
	struct node *next;

	for (; list; list = next) {
		next = list->link;
		pf_free(pf, PF_NODE, list);
	}
}

/* A node for @mt, zeroed, or NULL. */
struct node *node_alloc(struct maple_tree *mt, enum node_size size)
{
	struct node *spare;

	if (!pool_get(mt))
		return NULL;
	spare = mt->ma_pool->spare[size];
	if (spare) {
		mt->ma_pool->spare[size] = spare->link;
		spare->link = NULL;
		return spare;
	}
	return pf_alloc(tree_platform(mt), PF_NODE, size == SIZE_LEAF ? LEAF_SIZE : INNER_SIZE, NODE_ALIGN);
}

/* Give back a node that no reader has seen. */
void node_free(struct maple_tree *mt, struct node *node)
{
	pf_free(tree_platform(mt), PF_NODE, node);
}

/* Retire a node that readers may be looking at. It must be out of the tree already. */
void node_retire(struct maple_tree *mt, struct node *node)
{
	if (!mt_in_rcu(mt)) {
		node_free(mt, node);
		return;
	}
	pf_assert(mt->ma_pool);
	node->info |= NODE_DEAD;
	if (!mt->ma_pool->gathered)
		mt->ma_pool->gathered_last = node;
	node->link = mt->ma_pool->gathered;
	mt->ma_pool->gathered = node;
}

/* Add what the last change retired to those that wait. */
static void wait_for_batch(struct mt_pool *pool)
{
	struct node *before = RD(pool->waiting);

	if (!pool->gathered)
		return;
	do {
		pool->gathered_last->link = before;
	} while (!__atomic_compare_exchange_n(&pool->waiting, &before, pool->gathered, true, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
	pool->gathered = NULL;
}

static struct node *take_waiting(struct mt_pool *pool)
{
	return __atomic_exchange_n(&pool->waiting, NULL, __ATOMIC_ACQUIRE);
}

/* Free the batch, and carry those that waited meanwhile, if any. */
static void batch_done(pf_rcu_head *head)
{
	struct mt_batch *batch = (struct mt_batch *)head;
	struct mt_pool *pool = batch->pool;

	free_list(pool->pf, batch->nodes);
	batch->nodes = take_waiting(pool);
	if (batch->nodes) {
		pf_call_rcu(&batch->rcu, batch_done);
		return;
	}
	WR_REL(batch->on_its_way, false);
	pool_put(pool);
}

static void batch_send(struct mt_pool *pool, struct mt_batch *batch)
{
	struct node *nodes = take_waiting(pool);

	if (!nodes)
		return;
	batch->pool = pool;
	batch->nodes = nodes;
	WR(batch->on_its_way, true);
	__atomic_add_fetch(&pool->refs, 1, __ATOMIC_RELAXED);
	pf_call_rcu(&batch->rcu, batch_done);
}

/* Hand over what was retired, if a batch head is at hand. Called once per change. */
void retire_flush(struct maple_tree *mt)
{
	struct mt_pool *pool = mt->ma_pool;

	if (!pool || !(pool->gathered || RD(pool->waiting)))
		return;
	wait_for_batch(pool);
	for (int i = 0; i < POOL_BATCHES; i++) {
		if (!RD_ACQ(pool->batch[i].on_its_way)) {
			batch_send(pool, &pool->batch[i]);
			return;
		}
	}
}

static struct node *first_live_child(struct inner *node)
{
	return node->head.word ? enode_node(node->child[__builtin_ctzll(node->head.word)]) : NULL;
}

/*
 * Retire @top and all below it. The way back up is kept in an array, since a
 * dead node must stay as it is.
 */
void retire_subtree(struct maple_tree *mt, struct maple_enode *top)
{
	struct inner *way[MAX_HEIGHT];
	uint64_t left[MAX_HEIGHT];
	unsigned int depth = 0;
	struct maple_enode *e = top;

	for (;;) {
		if (!enode_is_leaf(e)) {
			pf_assert(depth < MAX_HEIGHT && first_live_child(enode_inner(e)));
			way[depth] = enode_inner(e);
			left[depth++] = enode_inner(e)->head.word;
		} else {
			node_retire(mt, enode_node(e));
		}
		while (depth && !left[depth - 1])
			node_retire(mt, &way[--depth]->head);
		if (!depth)
			return;
		e = way[depth - 1]->child[__builtin_ctzll(left[depth - 1])];
		left[depth - 1] &= left[depth - 1] - 1;
	}
}

void __mt_destroy(struct maple_tree *mt)
{
	void *root = mt->ma_root;
	struct mt_pool *pool = mt->ma_pool;

	WR_REL(mt->ma_root, NULL);
	tree_changed(mt);
	if (root_is_node(root))
		retire_subtree(mt, root);
	mt_unreserve(mt);
	mt->ma_pool = NULL;
	if (!pool)
		return;
	pf_assert(!pool->spare[SIZE_LEAF] && !pool->spare[SIZE_INNER]);
	wait_for_batch(pool);
	batch_send(pool, &pool->farewell);
	pool_put(pool);
}

void mtree_destroy(struct maple_tree *mt)
{
	mtree_lock(mt);
	__mt_destroy(mt);
	mtree_unlock(mt);
}

/* Nodes set aside in a state --------------------------------------------- */

/* Have at least @need nodes of each size set aside. On failure, those got so far stay. */
bool reserve_fill(struct ma_state *mas, const unsigned int need[2])
{
	struct node *node;

	for (int size = SIZE_LEAF; size <= SIZE_INNER; size++) {
		while (mas->alloc_nr[size] < need[size]) {
			node = node_alloc(mas->tree, (enum node_size)size);
			if (!node)
				return false;
			node->link = mas->alloc[size];
			mas->alloc[size] = node;
			mas->alloc_nr[size]++;
		}
	}
	return true;
}

/* A node that was set aside, or a new one, or NULL. */
struct node *reserve_take(struct ma_state *mas, enum node_size size)
{
	struct node *node = mas->alloc[size];

	if (!node)
		return node_alloc(mas->tree, size);
	mas->alloc[size] = node->link;
	mas->alloc_nr[size]--;
	node->link = NULL;
	return node;
}

void reserve_free(struct ma_state *mas)
{
	for (int size = SIZE_LEAF; size <= SIZE_INNER; size++) {
		free_list(tree_platform(mas->tree), mas->alloc[size]);
		mas->alloc[size] = NULL;
		mas->alloc_nr[size] = 0;
	}
}

/* Nodes set aside in a tree ----------------------------------------------- */

/* What one store may replace at most: the leaves at both ends and beside them, and a way up for each. */
#define LEAVES_PER_STORE 6
#define INNERS_PER_LEVEL 4

int mt_reserve(struct maple_tree *mt, unsigned long stores)
{
	unsigned long need[2] = {
		[SIZE_LEAF] = stores * LEAVES_PER_STORE,
		[SIZE_INNER] = stores * INNERS_PER_LEVEL * (mt_height(mt) + 2),
	};
	struct node *taken = NULL, *node;

	for (int size = SIZE_LEAF; size <= SIZE_INNER; size++) {
		for (taken = NULL; need[size]; need[size]--) {
			node = node_alloc(mt, (enum node_size)size);
			if (!node)
				break;
			node->link = taken;
			taken = node;
		}
		if (mt->ma_pool)
			mt->ma_pool->spare[size] = taken;
		if (need[size]) {
			mt_unreserve(mt);
			return -ENOMEM;
		}
	}
	return 0;
}

void mt_unreserve(struct maple_tree *mt)
{
	if (!mt->ma_pool)
		return;
	for (int size = SIZE_LEAF; size <= SIZE_INNER; size++) {
		free_list(mt->ma_pool->pf, mt->ma_pool->spare[size]);
		mt->ma_pool->spare[size] = NULL;
	}
}
