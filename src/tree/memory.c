/* SPDX-License-Identifier: MIT */
/*
 * Where nodes come from and where they go.
 *
 * A tree has a pool, made with its first node: pieces of memory, each larger
 * than the one before, from which nodes are cut, and lists of free ones. Each node
 * is one attempt to allocate all the same. The pieces go back to the host when
 * the tree is destroyed, all at once and without a look at the nodes.
 *
 * A tree in RCU mode gathers the nodes that it retires. When there are some and
 * nobody happens to read, they can be used again at once, while they still are in
 * the cache. Else it hands them over in batches, to be reused after a grace period. That takes no memory: a pool has a few batch
 * heads; while all are on their way, nodes wait in a list, which the next
 * batch that comes back takes along.
 *
 * A pool outlives its tree until the last batch has come back and the last
 * state has given back what it had set aside.
 */
#include "tree/tree.h"

#include <errno.h>
#include <string.h>

#include "tree/reserve.h"

#define POOL_BATCHES 8
#define BATCH_NODES 64		/* so many are handed over together */
#define LOOK_NODES 16		/* so many are worth a look whether anybody reads */
#define FIRST_PIECE 8192ul
#define POISON 0x6b
#define POISON_WORD 0x6b6b6b6b6b6b6b6bull

/* A list of nodes that can be joined to another without a walk. */
struct node_list {
	struct node *first, *last;
};

struct mt_batch {
	pf_rcu_head rcu;
	struct mt_pool *pool;
	struct node *nodes[NODE_SIZES];	/* by size */
	bool on_its_way;	/* set by the writer, cleared by the callback */
};

struct piece {
	struct piece *next;
	size_t size;
};

struct mt_pool {
	struct finger finger;		/* first: see tree_finger() */
	struct platform *pf;
	/* The tree's lock: */
	struct node *free[NODE_SIZES];		/* by size */
	struct node *spare[NODE_SIZES];		/* by size: taken in advance, see mt_reserve() */
	unsigned char *cut, *cut_end;	/* what is left of the newest piece */
	struct piece *pieces;
	size_t next_piece;		/* bytes */
	unsigned long live;		/* nodes that are in use or set aside */
	unsigned long counted;		/* live, as the platform knows it */
	unsigned long tried;		/* attempts that the platform has not been told of */
	unsigned long lent;		/* of them, those that states have set aside */
	struct node *came_back[NODE_SIZES];	/* by size: lists that will be free[] when that is empty */
	struct node_list gathered[NODE_SIZES];	/* by size: retired, and to be handed over */
	unsigned long nr_gathered;
	unsigned long look_at;		/* so many gathered, and it is looked whether anybody reads */
	/* Anybody: */
	struct node *returned[NODE_SIZES];	/* by size: lists added by callbacks, taken by the writer */
	struct node *waiting[NODE_SIZES];	/* by size: for a batch head; added by the writer, taken by callbacks */
	unsigned int refs;		/* the tree, each batch on its way, each state with nodes */
	struct mt_batch batch[POOL_BATCHES];
	struct mt_batch farewell;	/* for when the tree is destroyed */
};

static size_t size_of(enum node_size size)
{
	return size == SIZE_LEAF ? LEAF_SIZE : size == SIZE_SMALL ? SMALL_SIZE : INNER_SIZE;
}

/* Pools ------------------------------------------------------------------- */

static unsigned char *aligned(void *ptr)
{
	return (unsigned char *)(((uintptr_t)ptr + NODE_ALIGN - 1) & ~(uintptr_t)(NODE_ALIGN - 1));
}

static void pool_put(struct mt_pool *pool)
{
	struct piece *piece, *next;
	struct platform *pf = pool->pf;
	size_t size;

	if (__atomic_sub_fetch(&pool->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	for (piece = pool->pieces; piece; piece = next) {
		size = piece->size;
		next = piece->next;
		if (SAMARA_DEBUG >= 1)
			memset(piece, POISON, size);
		pf_piece_free(pf, piece, size);
	}
	pf_count(pf, PF_OTHER, -1);
}

/* The pool lies at the head of its first piece. */
static struct mt_pool *pool_create(struct platform *pf)
{
	struct mt_pool *pool;
	struct piece *piece;

	if (!pf_attempts(pf, 1))
		return NULL;
	piece = pf_piece_alloc(pf, FIRST_PIECE);
	if (!piece)
		return NULL;
	piece->next = NULL;
	piece->size = FIRST_PIECE;
	pool = (struct mt_pool *)(piece + 1);
	memset(pool, 0, sizeof(*pool));
	pool->pf = pf;
	pool->pieces = piece;
	pool->cut = aligned(pool + 1);
	pool->cut_end = (unsigned char *)piece + FIRST_PIECE;
	pool->next_piece = FIRST_PIECE;
	pool->refs = 1;
	pool->look_at = LOOK_NODES;
	pool->finger.seq = NO_SEQ;
	pf_count(pf, PF_OTHER, 1);
	return pool;
}

static bool pool_get(struct maple_tree *mt)
{
	if (!mt->ma_pool)
		mt->ma_pool = pool_create(tree_platform(mt));
	return mt->ma_pool != NULL;
}

/* Make up to @n attempts; how many of them, the first ones, may go on. */
static unsigned long pool_try(struct mt_pool *pool, unsigned long n)
{
	if (__builtin_expect(pf_attempts_may_fail(pool->pf), 0))
		return pf_attempts(pool->pf, n);
	pool->tried += n;
	return n;
}

/* Tell the platform what a call has taken and given back. All calls end with it. */
static void pool_settle(struct mt_pool *pool)
{
	if (pool->tried)
		pf_attempts_made(pool->pf, pool->tried);
	pool->tried = 0;
	if (pool->live != pool->counted)
		pf_count(pool->pf, PF_NODE, (long)(pool->live - pool->counted));
	pool->counted = pool->live;
}

void nodes_settle(struct maple_tree *mt)
{
	if (mt->ma_pool)
		pool_settle(mt->ma_pool);
}

static void push(struct node **list, struct node *node)
{
	node->link = *list;
	*list = node;
}

/*
 * A list that callbacks have given back, if there is one. Lists hang together by the
 * base of their first nodes, so that nobody has to walk one.
 */
static struct node *pool_reclaim(struct mt_pool *pool, enum node_size size)
{
	struct node *first = pool->came_back[size];

	if (!first && RD(pool->returned[size]))
		first = __atomic_exchange_n(&pool->returned[size], NULL, __ATOMIC_ACQUIRE);
	if (first)
		pool->came_back[size] = (struct node *)(uintptr_t)first->base;
	return first;
}

/* The rest of the piece in hand becomes leaves. */
static bool pool_grow(struct mt_pool *pool)
{
	struct piece *piece = pf_piece_alloc(pool->pf, pool->next_piece);

	if (!piece)
		return false;
	for (; pool->cut + LEAF_SIZE <= pool->cut_end; pool->cut += LEAF_SIZE)
		push(&pool->free[SIZE_LEAF], (struct node *)pool->cut);
	piece->next = pool->pieces;
	piece->size = pool->next_piece;
	pool->pieces = piece;
	pool->cut = aligned(piece + 1);
	pool->cut_end = (unsigned char *)piece + piece->size;
	if (pool->next_piece < PF_PIECE_HUGE)
		pool->next_piece *= 2;
	return true;
}

/* A node of the pool, or NULL when the host has no more. The attempt has been made. */
static struct node *pool_take(struct mt_pool *pool, enum node_size size)
{
	struct node *node = pool->free[size];

	if (!node)
		node = pool_reclaim(pool, size);
	if (node) {
		pool->free[size] = node->link;
	} else {
		if (pool->cut + size_of(size) > pool->cut_end && !pool_grow(pool))
			return NULL;
		node = (struct node *)pool->cut;
		pool->cut += size_of(size);
	}
	pool->live++;
	return node;
}

/* What was freed looks like no node any more, but for what the pool keeps there: who still reads it is found out. */
static void poison(struct node *node)
{
	if (SAMARA_DEBUG < 1)
		return;
	node->word = POISON_WORD;
	node->base = POISON_WORD;
	memset(node + 1, POISON, size_of(node_size(node)) - sizeof(*node));
}

static void poison_all(struct node *list)
{
	if (SAMARA_DEBUG >= 1)
		for (; list; list = list->link)
			poison(list);
}

static struct node *node_prepare(struct node *node, enum node_size size)
{
	node->word = 0;
	node->base = 0;
	node->link = NULL;
	node->info = (uint16_t)(size << NODE_SIZE_SHIFT);
	node->cap = size == SIZE_SMALL ? SMALL_CAP : INNER_CAP;
	node->shift = 0;
	node->used = 0;
	return node;
}

/* The first node of the list for @size. For want of a small inner one, a large one will do. */
static struct node *take_first(struct node *list[NODE_SIZES], enum node_size size)
{
	struct node *node;

	if (!list[size] && size == SIZE_SMALL)
		size = SIZE_INNER;
	node = list[size];
	if (node) {
		list[size] = node->link;
		node->link = NULL;
	}
	return node;
}

/* A node for @mt with an empty head; the rest holds anything. Or NULL. */
struct node *node_alloc(struct maple_tree *mt, enum node_size size)
{
	struct mt_pool *pool;
	struct node *node;

	if (!pool_get(mt))
		return NULL;
	pool = mt->ma_pool;
	node = take_first(pool->spare, size);
	if (node)
		return node;
	if (!pool_try(pool, 1))
		return NULL;
	node = pool_take(pool, size);
	return node ? node_prepare(node, size) : NULL;
}

/*
 * @n nodes for a copy, which will write all of them. False when there are not so many:
 * those that there were stay with the pool until the tree is destroyed.
 */
bool node_alloc_many(struct maple_tree *mt, enum node_size size, unsigned int n, struct node **out)
{
	unsigned long passed;

	if (!pool_get(mt))
		return false;
	passed = pool_try(mt->ma_pool, n);
	for (unsigned int i = 0; i < passed; i++) {
		out[i] = pool_take(mt->ma_pool, size);
		if (!out[i])
			return false;
	}
	return passed == n;
}

/* Give back a node that no reader has seen. */
void node_free(struct maple_tree *mt, struct node *node)
{
	struct mt_pool *pool = mt->ma_pool;

	poison(node);
	push(&pool->free[node_size(node)], node);
	pool->live--;
}

/* Retiring ---------------------------------------------------------------- */

/* Retire a node that readers may be looking at. It must be out of the tree already. */
void node_retire(struct maple_tree *mt, struct node *node)
{
	struct mt_pool *pool = mt->ma_pool;
	struct node_list *gathered = &pool->gathered[node_size(node)];

	pf_assert(pool);
	node->info |= NODE_DEAD;
	if (!mt_in_rcu(mt)) {
		node_free(mt, node);
		return;
	}
	if (!gathered->first)
		gathered->last = node;
	push(&gathered->first, node);
	pool->nr_gathered++;
	/* It counts as freed from here on. */
	pool->live--;
}

/* Push a list, from @first to @last, onto a stack that others pop all of. */
static void push_all(struct node **stack, struct node *first, struct node *last)
{
	struct node *before = RD(*stack);

	do {
		last->link = before;
	} while (!__atomic_compare_exchange_n(stack, &before, first, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static void wait_for_batch(struct mt_pool *pool)
{
	for (int size = SIZE_LEAF; size < NODE_SIZES; size++) {
		struct node_list *gathered = &pool->gathered[size];

		if (gathered->first)
			push_all(&pool->waiting[size], gathered->first, gathered->last);
		*gathered = (struct node_list){ NULL, NULL };
	}
	pool->nr_gathered = 0;
}

static bool batch_load(struct mt_batch *batch)
{
	for (int size = SIZE_LEAF; size < NODE_SIZES; size++)
		batch->nodes[size] = __atomic_exchange_n(&batch->pool->waiting[size], NULL, __ATOMIC_ACQUIRE);
	return batch->nodes[SIZE_LEAF] || batch->nodes[SIZE_SMALL] || batch->nodes[SIZE_INNER];
}

/* The nodes of a batch are free again. */
static void batch_return(struct mt_batch *batch)
{
	for (int size = SIZE_LEAF; size < NODE_SIZES; size++) {
		struct node *first = batch->nodes[size], **stack = &batch->pool->returned[size];
		struct node *before = RD(*stack);

		if (!first)
			continue;
		poison_all(first);
		do {
			first->base = (uintptr_t)before;
		} while (!__atomic_compare_exchange_n(stack, &before, first, true, __ATOMIC_RELEASE,
						      __ATOMIC_RELAXED));
	}
}

/* Free the batch, and carry those that waited meanwhile, if any. */
static void batch_done(pf_rcu_head *head)
{
	struct mt_batch *batch = (struct mt_batch *)head;
	struct mt_pool *pool = batch->pool;

	batch_return(batch);
	if (batch_load(batch)) {
		pf_call_rcu(&batch->rcu, batch_done);
		return;
	}
	WR_REL(batch->on_its_way, false);
	pool_put(pool);
}

static void batch_send(struct mt_pool *pool, struct mt_batch *batch)
{
	batch->pool = pool;
	if (!batch_load(batch))
		return;
	WR(batch->on_its_way, true);
	__atomic_add_fetch(&pool->refs, 1, __ATOMIC_RELAXED);
	pf_call_rcu(&batch->rcu, batch_done);
}

/* Nobody has been reading since the last of them was retired. */
static void reuse_gathered(struct mt_pool *pool)
{
	for (int size = SIZE_LEAF; size < NODE_SIZES; size++) {
		struct node_list *gathered = &pool->gathered[size];

		if (!gathered->first)
			continue;
		poison_all(gathered->first);
		gathered->last->link = pool->free[size];
		pool->free[size] = gathered->first;
		*gathered = (struct node_list){ NULL, NULL };
	}
	pool->nr_gathered = 0;
}

/* Hand over what was retired, when it is worth it and a batch head is at hand. */
static void hand_over(struct mt_pool *pool)
{
	wait_for_batch(pool);
	for (int i = 0; i < POOL_BATCHES; i++) {
		if (!RD_ACQ(pool->batch[i].on_its_way)) {
			batch_send(pool, &pool->batch[i]);
			return;
		}
	}
}

/* Called once per change. */
void retire_flush(struct maple_tree *mt)
{
	struct mt_pool *pool = mt->ma_pool;

	if (!pool)
		return;
	pool_settle(pool);
	if (pool->nr_gathered < pool->look_at)
		return;
	if (pf_rcu_nobody_reads()) {
		reuse_gathered(pool);
		pool->look_at = LOOK_NODES;
	} else if (pool->nr_gathered >= BATCH_NODES) {
		hand_over(pool);
	} else {
		/* Somebody does: the next look is not worth more than a batch. */
		pool->look_at = BATCH_NODES;
	}
}

static struct node *first_live_child(struct inner *node)
{
	return node->head.word ? enode_node(*child_slot(node, lowest_bit(node->head.word))) : NULL;
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
		e = *child_slot(way[depth - 1], lowest_bit(left[depth - 1]));
		left[depth - 1] &= left[depth - 1] - 1;
	}
}

/* After a grace period nobody looks into the pieces. */
static void farewell_done(pf_rcu_head *head)
{
	pool_put(((struct mt_batch *)head)->pool);
}

void __mt_destroy(struct maple_tree *mt)
{
	struct mt_pool *pool = mt->ma_pool;

	WR_REL(mt->ma_root, NULL);
	tree_changed(mt);
	mt->ma_pool = NULL;
	if (!pool)
		return;
	pf_assert(pool->live >= pool->lent);
	pool->live = pool->lent;
	pool_settle(pool);
	if (!mt_in_rcu(mt) || pf_rcu_nobody_reads()) {
		pool_put(pool);
		return;
	}
	pool->farewell.pool = pool;
	pf_call_rcu(&pool->farewell.rcu, farewell_done);
}

void mtree_destroy(struct maple_tree *mt)
{
	mtree_lock(mt);
	__mt_destroy(mt);
	mtree_unlock(mt);
}

/* Nodes set aside in a state --------------------------------------------- */

/* What a state has set aside, told in one node more: states are made often, and seldom need any. */
struct mas_reserve {
	struct node head;
	struct mt_pool *pool;
	struct node *list[NODE_SIZES];
	unsigned int nr[NODE_SIZES];
};

_Static_assert(sizeof(struct mas_reserve) <= LEAF_SIZE, "a leaf has room for what is told of the others");

static void lend_back(struct mt_pool *pool, struct node *node, enum node_size size)
{
	push(&pool->free[size], node);
	pool->live--;
	pool->lent--;
}

/* Give back what the state has set aside. The tree may have been destroyed meanwhile. */
static void give_back(struct ma_state *mas)
{
	struct mas_reserve *reserve = mas->alloc;
	struct mt_pool *pool = reserve->pool;
	struct node *node;

	for (int size = SIZE_LEAF; size < NODE_SIZES; size++)
		while ((node = reserve->list[size]) != NULL) {
			reserve->list[size] = node->link;
			lend_back(pool, node, (enum node_size)size);
		}
	mas->alloc = NULL;
	lend_back(pool, &reserve->head, SIZE_LEAF);
	pool_settle(pool);
	pool_put(pool);
}

static struct mas_reserve *reserve_make(struct maple_tree *mt)
{
	struct mas_reserve *reserve = (struct mas_reserve *)node_alloc(mt, SIZE_LEAF);

	if (!reserve)
		return NULL;
	reserve->pool = mt->ma_pool;
	memset(reserve->list, 0, sizeof(reserve->list));
	memset(reserve->nr, 0, sizeof(reserve->nr));
	reserve->pool->lent++;
	__atomic_add_fetch(&reserve->pool->refs, 1, __ATOMIC_RELAXED);
	return reserve;
}

static bool reserve_add(struct maple_tree *mt, struct mas_reserve *reserve, enum node_size size)
{
	struct node *node = node_alloc(mt, size);

	if (!node)
		return false;
	reserve->pool->lent++;
	push(&reserve->list[size], node);
	reserve->nr[size]++;
	return true;
}

/* Have at least @need nodes of each size set aside. On failure, those got so far stay. */
bool reserve_fill(struct ma_state *mas, const unsigned int need[NODE_SIZES])
{
	bool filled = true;

	/* What it has of a tree that was destroyed since is of no use here. */
	if (mas->alloc && mas->alloc->pool != mas->tree->ma_pool)
		give_back(mas);
	if (!mas->alloc && (need[SIZE_LEAF] || need[SIZE_SMALL] || need[SIZE_INNER])) {
		mas->alloc = reserve_make(mas->tree);
		filled = mas->alloc != NULL;
	}
	for (int size = SIZE_LEAF; filled && size < NODE_SIZES; size++)
		while (filled && mas->alloc && mas->alloc->nr[size] < need[size])
			filled = reserve_add(mas->tree, mas->alloc, (enum node_size)size);
	nodes_settle(mas->tree);
	return filled;
}

/* A node that was set aside, or a new one, or NULL. */
struct node *reserve_take(struct ma_state *mas, enum node_size size)
{
	struct mas_reserve *reserve = mas->alloc;
	struct node *node = NULL;

	if (reserve && reserve->pool == mas->tree->ma_pool)
		node = take_first(reserve->list, size);
	if (!node)
		return node_alloc(mas->tree, size);
	reserve->pool->lent--;
	reserve->nr[node_size(node)]--;
	/* A state that has nothing left need not be destroyed. */
	if (!reserve->nr[SIZE_LEAF] && !reserve->nr[SIZE_SMALL] && !reserve->nr[SIZE_INNER])
		give_back(mas);
	return node;
}

/* Most states have nothing set aside. */
void reserve_free(struct ma_state *mas)
{
	if (mas->alloc)
		give_back(mas);
}

/* Nodes set aside in a tree ----------------------------------------------- */

/*
 * What one store may replace at most: the leaves at both ends and beside them, and a way up for each; and the
 * node that tells of those set aside. Of many
 * stores not every one can: a way up is due where a leaf is full, or two leaves meet, and the levels above
 * where that happens to inner nodes. So beyond the first few each is counted with what it replaces at the
 * lowest two levels.
 */
#define LEAVES_PER_STORE 7
#define INNERS_PER_LEVEL 4
#define COSTLY_STORES 6
#define LEAVES_PER_FURTHER_STORE 4
#define INNERS_PER_FURTHER_STORE 2

int mt_reserve(struct maple_tree *mt, unsigned long stores)
{
	unsigned long costly = stores < COSTLY_STORES ? stores : COSTLY_STORES, further = stores - costly;
	unsigned long need[NODE_SIZES] = {
		[SIZE_LEAF] = costly * LEAVES_PER_STORE + further * LEAVES_PER_FURTHER_STORE,
		[SIZE_INNER] = costly * INNERS_PER_LEVEL * (mt_height(mt) + 2) + further * INNERS_PER_FURTHER_STORE,
	};
	struct node *taken = NULL, *node;

	for (int size = SIZE_LEAF; size < NODE_SIZES; size++) {
		for (taken = NULL; need[size]; need[size]--) {
			node = node_alloc(mt, (enum node_size)size);
			if (!node)
				break;
			push(&taken, node);
		}
		if (mt->ma_pool)
			mt->ma_pool->spare[size] = taken;
		if (need[size]) {
			mt_unreserve(mt);
			return -ENOMEM;
		}
	}
	nodes_settle(mt);
	return 0;
}

void mt_unreserve(struct maple_tree *mt)
{
	struct node *node, *next;

	if (!mt->ma_pool)
		return;
	for (int size = SIZE_LEAF; size < NODE_SIZES; size++) {
		node = mt->ma_pool->spare[size];
		mt->ma_pool->spare[size] = NULL;
		for (; node; node = next) {
			next = node->link;
			node_free(mt, node);
		}
	}
	nodes_settle(mt);
}
