/* SPDX-License-Identifier: MIT */
/* Our own tree as a contestant, in RCU mode with gap tracking and without both. */
#include <samara/maple_tree.h>
#include <samara/platform.h>

#include <string.h>

#include "contest.h"
#include "tree/node.h"

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "bench: %s went wrong\n", what);
	exit(1);
}

/* Before we settle on one core: the thread that runs RCU callbacks may choose its own, as anywhere. */
void contest_warm_up(void)
{
	struct maple_tree mt;

	mt_init_flags(&mt, MT_FLAGS_USE_RCU);
	check(!mtree_store_range(&mt, 10, 20, &mt, GFP_KERNEL), "a store");
	mtree_destroy(&mt);
	samara_rcu_barrier();
}

static void put(struct maple_tree *mt, const struct work *work, unsigned long i)
{
	struct work_range *range = &work->range[i];

	check(!mtree_store_range(mt, range->start, range->last, range, GFP_KERNEL), "a store");
}

static void *ours_make(const struct contestant *self, const struct work *work)
{
	struct maple_tree *mt = malloc(sizeof(*mt));

	check(mt != NULL, "memory for a tree");
	mt_init_flags(mt, self->flags);
	for (unsigned long i = 0; i < work->n; i++)
		put(mt, work, work->in[i]);
	for (unsigned long i = 0; i < WORK_QUERIES; i++)
		check(mtree_load(mt, work->at[i]) == &work->range[work->which[i]], "a lookup");
	samara_rcu_barrier();
	return mt;
}

static void ours_drop(void *filled)
{
	mtree_destroy(filled);
	samara_rcu_barrier();
	free(filled);
}

static double lookup(struct maple_tree *mt, const struct work *work)
{
	uintptr_t sum = 0;
	double start = work_now();

	for (unsigned long i = 0; i < WORK_QUERIES; i++)
		sum += (uintptr_t)mtree_load(mt, work->at[i]);
	work_keep(sum);
	return (work_now() - start) / WORK_QUERIES;
}

/* What is found is aligned, so its low bit is 0; the processor does not know, and waits for it. */
static double lookup_dep(struct maple_tree *mt, const struct work *work)
{
	uintptr_t found = 0;
	double start = work_now();

	for (unsigned long i = 0; i < WORK_QUERIES; i++)
		found = (uintptr_t)mtree_load(mt, work->at[i + (found & 1)]);
	work_keep(found);
	return (work_now() - start) / WORK_QUERIES;
}

static double iterate(struct maple_tree *mt, const struct work *work)
{
	unsigned long rounds = work_rounds(work);
	uintptr_t sum = 0;
	double start = work_now();

	for (unsigned long r = 0; r < rounds; r++) {
		MA_STATE(mas, mt, 0, 0);
		void *entry;

		samara_rcu_read_lock();
		mas_for_each(&mas, entry, ULONG_MAX)
			sum += mas.index + mas.last;
		samara_rcu_read_unlock();
	}
	work_keep(sum);
	return (work_now() - start) / ((double)rounds * (double)work->n);
}

/* From empty to full and, for @erase, to empty again; what is asked for is measured. */
static double come_and_go(unsigned int flags, struct work *work, const uint32_t *in, bool erase)
{
	unsigned long rounds = work_rounds(work);
	double start, ns = 0;

	for (unsigned long r = 0; r < rounds; r++) {
		struct maple_tree mt;

		if (rounds > 1)
			work_shuffle(work);
		mt_init_flags(&mt, flags);
		start = work_now();
		for (unsigned long i = 0; i < work->n; i++)
			put(&mt, work, in ? in[i] : i);
		if (erase) {
			start = work_now();
			for (unsigned long i = 0; i < work->n; i++)
				mtree_erase(&mt, work->range[work->out[i]].start);
		}
		ns += work_now() - start;
		check(!erase || mtree_empty(&mt), "an erase");
		mtree_destroy(&mt);
	}
	samara_rcu_barrier();
	return ns / ((double)rounds * (double)work->n);
}

static double put_back(struct maple_tree *mt, const struct work *work)
{
	unsigned long ops = 500000;
	double start = work_now();

	for (unsigned long i = 0; i < ops; i++) {
		mtree_erase(mt, work->range[work->which[i]].start);
		put(mt, work, work->which[i]);
	}
	return (work_now() - start) / (double)ops;
}

static double gap_whole(struct maple_tree *mt, const struct work *work, bool highest)
{
	unsigned long ops = WORK_QUERIES / 4;
	uintptr_t sum = 0;
	double start = work_now();

	for (unsigned long i = 0; i < ops; i++) {
		MA_STATE(mas, mt, 0, 0);

		if (highest)
			mas_empty_area_rev(&mas, WORK_BASE, work->top, work_gap_size(work, i));
		else
			mas_empty_area(&mas, WORK_BASE, work->top, work_gap_size(work, i));
		sum += mas.index + mas.last;
	}
	work_keep(sum);
	return (work_now() - start) / (double)ops;
}

static double gap_below(struct maple_tree *mt, const struct work *work)
{
	unsigned long ops = WORK_QUERIES / 4;
	uintptr_t sum = 0;
	double start = work_now();

	for (unsigned long i = 0; i < ops; i++) {
		unsigned long size = work_gap_size(work, i);
		MA_STATE(mas, mt, 0, 0);

		mas_empty_area_rev(&mas, WORK_BASE, work_gap_top(work, i, size), size);
		sum += mas.last;
	}
	work_keep(sum);
	return (work_now() - start) / (double)ops;
}

#define RING 64

/* The highest gap below a random top is filled; 64 fillings later it is freed. */
static double alloc_free(struct maple_tree *mt, const struct work *work)
{
	static const uint64_t filling;	/* something to point at */
	unsigned long ring[RING] = { 0 }, ops = 200000;
	double start = work_now(), end;

	for (unsigned long i = 0; i < ops; i++) {
		unsigned long size = work_gap_size(work, i), *slot = &ring[i % RING];
		MA_STATE(mas, mt, 0, 0);

		if (*slot)
			mtree_erase(mt, *slot);
		*slot = 0;
		if (mas_empty_area_rev(&mas, WORK_BASE, work_gap_top(work, i, size), size))
			continue;
		*slot = mas.last + 1 - size;
		mas_set_range(&mas, *slot, mas.last);
		check(!mas_store_gfp(&mas, (void *)&filling, GFP_KERNEL), "a store");
	}
	end = work_now();
	for (unsigned int i = 0; i < RING; i++)
		if (ring[i])
			mtree_erase(mt, ring[i]);
	return (end - start) / (double)ops;
}

/* As fork does: copy, replace each entry by one's own, and in the end destroy. */
static double copy(struct maple_tree *mt, const struct work *work, enum op op)
{
	unsigned long rounds = work_rounds(work) < 200 ? work_rounds(work) : 200;
	double ns = 0, start;

	for (unsigned long r = 0; r < rounds; r++) {
		struct maple_tree child;
		MA_STATE(mas, &child, 0, 0);
		void *entry;

		mt_init_flags(&child, mt->ma_flags);
		start = work_now();
		check(!__mt_dup(mt, &child, GFP_KERNEL), "a copy");
		if (op == OP_DUP)
			ns += work_now() - start;
		mt_clear_in_rcu(&child);
		start = work_now();
		mas_for_each(&mas, entry, ULONG_MAX)
			mas_store(&mas, (char *)entry + 8);
		if (op == OP_REPLACE)
			ns += work_now() - start;
		start = work_now();
		__mt_destroy(&child);
		if (op == OP_DESTROY)
			ns += work_now() - start;
	}
	return ns / ((double)rounds * (double)work->n);
}

/* Looking at nodes: sizes, and the cache lines that a lookup has to load. ------- */

static unsigned long count_nodes(const struct maple_enode *e)
{
	const struct inner *node = enode_inner(e);
	unsigned long bytes = enode_bytes(e);

	if (enode_is_leaf(e))
		return bytes;
	for (uint64_t live = node->head.word; live; live &= live - 1)
		bytes += count_nodes(*child_slot(node, lowest_bit(live)));
	return bytes;
}

static double bytes(struct maple_tree *mt, const struct work *work)
{
	return (double)count_nodes(mt->ma_root) / (double)work->n;
}

static double bytes_in_order(unsigned int flags, const struct work *work)
{
	struct maple_tree mt;
	double result;

	mt_init_flags(&mt, flags);
	for (unsigned long i = 0; i < work->n; i++)
		put(&mt, work, i);
	result = bytes(&mt, work);
	mtree_destroy(&mt);
	samara_rcu_barrier();
	return result;
}

/* A node has 17 lines at most: bit i is set when line i of it was touched. */
static void touch(unsigned int *lines, const void *node, const void *from, size_t size)
{
	size_t first = (size_t)((const char *)from - (const char *)node);

	for (size_t at = first / 64; at <= (first + size - 1) / 64; at++)
		*lines |= 1u << at;
}

static unsigned int lines_of_leaf(const struct maple_enode *e, unsigned long index)
{
	uint64_t order = enode_node(e)->word;
	unsigned int slot = order_slot(order, leaf_rank(e, order, index) - 1), lines = 1;

	if (enode_type(e) == NODE_NARROW) {
		const struct narrow *leaf = enode_narrow(e);

		touch(&lines, leaf, leaf->start, sizeof(leaf->start));
		touch(&lines, leaf, leaf->last, sizeof(leaf->last));
	} else {
		const struct wide *leaf = enode_wide(e);

		touch(&lines, leaf, leaf->start, sizeof(leaf->start));
		touch(&lines, leaf, &leaf->last[slot], sizeof(leaf->last[slot]));
	}
	touch(&lines, enode_node(e), slot_entry(e, slot), sizeof(void *));
	return (unsigned int)__builtin_popcount(lines);
}

/* The lines that one lookup loads, counted by taking its way: the tree's own, and those of each node. */
static unsigned int lines_of(const struct maple_tree *mt, unsigned long index)
{
	const struct maple_enode *e = mt->ma_root;
	unsigned int count = 1;

	while (!enode_is_leaf(e)) {
		const struct inner *node = enode_inner(e);
		unsigned int child = inner_route(node, node->head.word, index), lines = 1;

		touch(&lines, node, node->key, live_cap(node->head.word) * sizeof(inner_key));
		for (unsigned int i = 0; i < node->head.used; i++)
			if (node->key[i] == key_of(node, index))
				touch(&lines, node, child_start(node, i), sizeof(unsigned long));
		touch(&lines, node, child_slot(node, child), sizeof(void *));
		count += (unsigned int)__builtin_popcount(lines);
		e = *child_slot(node, child);
	}
	return count + lines_of_leaf(e, index);
}

static double lines(const struct maple_tree *mt, const struct work *work)
{
	unsigned long sum = 0, ops = WORK_QUERIES / 16;

	for (unsigned long i = 0; i < ops; i++)
		sum += lines_of(mt, work->at[i]);
	return (double)sum / (double)ops;
}

static double ours_run(void *filled, struct work *work, enum op op)
{
	struct maple_tree *mt = filled;

	switch (op) {
	case OP_LOOKUP:
		return lookup(mt, work);
	case OP_LOOKUP_DEP:
		return lookup_dep(mt, work);
	case OP_ITERATE:
		return iterate(mt, work);
	case OP_INSERT_RANDOM:
		return come_and_go(mt->ma_flags, work, work->in, false);
	case OP_INSERT_ORDER:
		return come_and_go(mt->ma_flags, work, NULL, false);
	case OP_ERASE_RANDOM:
		return come_and_go(mt->ma_flags, work, work->in, true);
	case OP_PUT_BACK:
		return put_back(mt, work);
	case OP_GAP_HIGHEST:
	case OP_GAP_LOWEST:
		return mt->ma_flags & MT_FLAGS_ALLOC_RANGE ? gap_whole(mt, work, op == OP_GAP_HIGHEST) : -1;
	case OP_GAP_BELOW:
		return gap_below(mt, work);
	case OP_ALLOC_FREE:
		return alloc_free(mt, work);
	case OP_DUP:
	case OP_REPLACE:
	case OP_DESTROY:
		return copy(mt, work, op);
	case OP_BYTES_RANDOM:
		return bytes(mt, work);
	case OP_BYTES_ORDER:
		return bytes_in_order(mt->ma_flags, work);
	case OP_LINES:
		return lines(mt, work);
	default:
		return -1;
	}
}

const struct contestant contest_ours_rcu = {
	.name = "samara",
	.make = ours_make,
	.drop = ours_drop,
	.run = ours_run,
	.flags = MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU,
};

const struct contestant contest_ours_plain = {
	.name = "samara, plain",
	.make = ours_make,
	.drop = ours_drop,
	.run = ours_run,
	.flags = 0,
};
