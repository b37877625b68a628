/* SPDX-License-Identifier: MIT */
/* The maple tree: ranges in, found, walked, out; gaps; copies. One thread. */
#include <samara/maple_tree.h>

#include "bench.h"

#define TREE_FLAGS (MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU)
#define LOOKUPS (1UL << 17)

static void fill(struct maple_tree *mt, struct bench_set *set, int in_order)
{
	struct bench_range *range;
	unsigned long i;

	mt_init_flags(mt, TREE_FLAGS);
	for (i = 0; i < set->n; i++) {
		range = &set->range[in_order ? i : set->order[i]];
		bench_check(mtree_store_range(mt, range->start, range->last, range, GFP_KERNEL), "store");
	}
}

/* Runs that build from nothing are repeated for small trees, so that the clock has something to see. */
static unsigned long rounds(const struct bench_set *set)
{
	return set->n >= 100000 ? 1 : 200000 / set->n;
}

/* Each lookup waits for the one before it if @mask lets the found pointer into the next address. */
static double lookups(struct bench_set *set, uintptr_t mask)
{
	unsigned long *at = bench_alloc(LOOKUPS * sizeof(*at));
	struct bench_range *range;
	struct maple_tree mt;
	uintptr_t found = 0;
	unsigned long i;
	double start, end;

	for (i = 0; i < LOOKUPS; i++) {
		range = &set->range[bench_random(set) % set->n];
		at[i] = range->start + bench_random(set) % (range->last - range->start + 1);
	}
	fill(&mt, set, 0);
	start = bench_now();
	for (i = 0; i < LOOKUPS; i++) {
		found = (uintptr_t)mtree_load(&mt, at[i] + (found & mask));
		bench_keep((void *)found);
	}
	end = bench_now();
	mtree_destroy(&mt);
	samara_rcu_barrier();
	free(at);
	return (end - start) / LOOKUPS;
}

static double lookup(struct bench_set *set)
{
	return lookups(set, 0);
}

/* Ranges are aligned to 16 bytes in memory, so the bit is 0; the processor does not know. */
static double lookup_dependent(struct bench_set *set)
{
	return lookups(set, 1);
}

static double iterate(struct bench_set *set)
{
	unsigned long reps = 1 + 1000000 / set->n, r;
	struct maple_tree mt;
	double start, end;
	void *entry;

	fill(&mt, set, 0);
	start = bench_now();
	for (r = 0; r < reps; r++) {
		MA_STATE(mas, &mt, 0, 0);

		samara_rcu_read_lock();
		mas_for_each(&mas, entry, ULONG_MAX)
			bench_keep(entry);
		samara_rcu_read_unlock();
	}
	end = bench_now();
	mtree_destroy(&mt);
	samara_rcu_barrier();
	return (end - start) / ((double)reps * (double)set->n);
}

static double insert_runs(struct bench_set *set, int in_order)
{
	unsigned long reps = rounds(set), r;
	struct maple_tree mt;
	double start, ns = 0;

	for (r = 0; r < reps; r++) {
		start = bench_now();
		fill(&mt, set, in_order);
		ns += bench_now() - start;
		mtree_destroy(&mt);
	}
	samara_rcu_barrier();
	return ns / ((double)reps * (double)set->n);
}

static double insert_random(struct bench_set *set)
{
	return insert_runs(set, 0);
}

static double insert_in_order(struct bench_set *set)
{
	return insert_runs(set, 1);
}

static double erase_random(struct bench_set *set)
{
	unsigned long reps = rounds(set), r, i;
	struct maple_tree mt;
	double start, ns = 0;

	for (r = 0; r < reps; r++) {
		fill(&mt, set, 1);
		start = bench_now();
		for (i = 0; i < set->n; i++)
			bench_keep(mtree_erase(&mt, set->range[set->order[i]].start));
		ns += bench_now() - start;
		mtree_destroy(&mt);
	}
	samara_rcu_barrier();
	return ns / ((double)reps * (double)set->n);
}

static double erase_and_put_back(struct bench_set *set)
{
	unsigned long i, ops = 100000;
	struct bench_range *range;
	struct maple_tree mt;
	double start, end;

	fill(&mt, set, 0);
	start = bench_now();
	for (i = 0; i < ops; i++) {
		range = &set->range[set->order[i % set->n]];
		mtree_erase(&mt, range->start);
		bench_check(mtree_store_range(&mt, range->start, range->last, range, GFP_KERNEL), "store");
	}
	end = bench_now();
	mtree_destroy(&mt);
	samara_rcu_barrier();
	return (end - start) / (double)ops;
}

static double gaps(struct bench_set *set, int (*search)(struct ma_state *, unsigned long, unsigned long, unsigned long))
{
	unsigned long top = set->range[set->n - 1].last, i, ops = 50000;
	struct maple_tree mt;
	double start, end;

	fill(&mt, set, 0);
	start = bench_now();
	mtree_lock(&mt);
	for (i = 0; i < ops; i++) {
		MA_STATE(mas, &mt, 0, 0);

		bench_check(search(&mas, BENCH_BASE, top, (1 + i % 8) * BENCH_PAGE), "gap search");
		bench_keep(&mas);
	}
	mtree_unlock(&mt);
	end = bench_now();
	mtree_destroy(&mt);
	samara_rcu_barrier();
	return (end - start) / (double)ops;
}

static double gap_lowest(struct bench_set *set)
{
	return gaps(set, mas_empty_area);
}

static double gap_highest(struct bench_set *set)
{
	return gaps(set, mas_empty_area_rev);
}

/* Copy and destroy are measured together, since each copy has to go: first one, then the other is told. */
static double copies(struct bench_set *set, int destroying)
{
	unsigned long reps = rounds(set), r;
	struct maple_tree mt, copy;
	double start, middle, ns = 0;

	fill(&mt, set, 0);
	for (r = 0; r < reps; r++) {
		mt_init_flags(&copy, TREE_FLAGS);
		start = bench_now();
		bench_check(mtree_dup(&mt, &copy, GFP_KERNEL), "copy");
		middle = bench_now();
		mtree_destroy(&copy);
		ns += destroying ? bench_now() - middle : middle - start;
	}
	mtree_destroy(&mt);
	samara_rcu_barrier();
	return ns / ((double)reps * (double)set->n);
}

static double copy_per_entry(struct bench_set *set)
{
	return copies(set, 0);
}

static double destroy_per_entry(struct bench_set *set)
{
	return copies(set, 1);
}

int main(void)
{
	static const struct bench_line lines[] = {
		{ "lookup, independent", lookup },
		{ "lookup, each depends on the last", lookup_dependent },
		{ "iterate, per entry", iterate },
		{ "insert, random order, from empty", insert_random },
		{ "insert, in order", insert_in_order },
		{ "erase, random", erase_random },
		{ "erase one and put it back", erase_and_put_back },
		{ "lowest free gap of 1 to 8 pages", gap_lowest },
		{ "highest free gap of 1 to 8 pages", gap_highest },
		{ "duplicate the tree, per entry", copy_per_entry },
		{ "destroy, per entry", destroy_per_entry },
	};
	static const unsigned long sizes[] = { 100, 10000, 1000000 };

	printf("maple tree, gaps tracked, RCU mode, locks taken\n");
	bench_table(lines, sizeof(lines) / sizeof(*lines), sizes, 3);
	return 0;
}
