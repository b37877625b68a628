/* SPDX-License-Identifier: MIT */
/* Address spaces with N mappings, no two of which merge: the calls, fork and exit. One thread. */
#include <samara/mm.h>
#include <sys/mman.h>

#include "bench.h"

struct space {
	struct mm_context *ctx;
	struct mm_struct *mm;
};

static unsigned long map(struct space *space, unsigned long addr, size_t len, unsigned long prot)
{
	struct mm_mmap_args args = {
		.addr = addr,
		.len = len,
		.prot = prot,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (addr ? MAP_FIXED : 0),
	};
	unsigned long at;

	bench_check(mm_mmap(space->mm, &args, &at), "mmap");
	return at;
}

/* Neighbours that touch differ in protection, so that N ranges are N mappings. */
static unsigned long prot_of(unsigned long i)
{
	return i & 1 ? PROT_READ : PROT_READ | PROT_WRITE;
}

static void map_range(struct space *space, const struct bench_set *set, unsigned long i)
{
	const struct bench_range *range = &set->range[i];

	map(space, range->start, range->last - range->start + 1, prot_of(i));
}

static void space_create(struct space *space)
{
	struct mm_context_options opt = {
		.size = sizeof(opt),
		.max_map_count = 1UL << 30,
		.overcommit = MM_OVERCOMMIT_ALWAYS,
	};

	bench_check(mm_context_create(&opt, &space->ctx), "context");
	bench_check(mm_create(space->ctx, NULL, &space->mm), "address space");
}

static void space_destroy(struct space *space)
{
	mm_put(space->mm);
	mm_context_destroy(space->ctx);
}

static void space_fill(struct space *space, const struct bench_set *set)
{
	unsigned long i;

	space_create(space);
	for (i = 0; i < set->n; i++)
		map_range(space, set, set->order[i]);
}

static unsigned long ops_of(const struct bench_set *set)
{
	return set->n < 20000 ? 20000 : set->n;
}

static double mmap_fixed(struct bench_set *set)
{
	unsigned long reps = ops_of(set) / set->n, r;
	struct space space;
	double start, ns = 0;

	for (r = 0; r < reps; r++) {
		start = bench_now();
		space_fill(&space, set);
		ns += bench_now() - start;
		space_destroy(&space);
	}
	return ns / (double)(reps * set->n);
}

static double munmap_random(struct bench_set *set)
{
	unsigned long reps = ops_of(set) / set->n, r, i;
	const struct bench_range *range;
	struct space space;
	double start, ns = 0;

	for (r = 0; r < reps; r++) {
		space_fill(&space, set);
		bench_shuffle(set);
		start = bench_now();
		for (i = 0; i < set->n; i++) {
			range = &set->range[set->order[i]];
			bench_check(mm_munmap(space.mm, range->start, range->last - range->start + 1), "munmap");
		}
		ns += bench_now() - start;
		space_destroy(&space);
	}
	return ns / (double)(reps * set->n);
}

static double mmap_munmap_pair(struct bench_set *set)
{
	unsigned long ops = ops_of(set), i, len;
	struct space space;
	double start, ns;

	space_fill(&space, set);
	start = bench_now();
	for (i = 0; i < ops; i++) {
		len = (1 + i % 64) * BENCH_PAGE;
		bench_check(mm_munmap(space.mm, map(&space, 0, len, PROT_NONE), len), "munmap");
	}
	ns = bench_now() - start;
	space_destroy(&space);
	return ns / (double)ops;
}

/* Make one page in the middle of a mapping inaccessible, then what it was: a split in three, and back. */
static double mprotect_split_merge(struct bench_set *set)
{
	unsigned long ops = ops_of(set), i, k, page, done = 0;
	struct space space;
	double start, ns;

	space_fill(&space, set);
	start = bench_now();
	for (i = 0; i < ops; i++) {
		k = set->order[i % set->n];
		page = set->range[k].start + BENCH_PAGE;
		if (set->range[k].last - set->range[k].start + 1 < 3 * BENCH_PAGE)
			continue;
		bench_check(mm_mprotect(space.mm, page, BENCH_PAGE, PROT_NONE), "mprotect");
		bench_check(mm_mprotect(space.mm, page, BENCH_PAGE, prot_of(k)), "mprotect");
		done++;
	}
	ns = bench_now() - start;
	space_destroy(&space);
	return ns / (double)done;
}

static double forks(struct bench_set *set, int exiting)
{
	unsigned long reps = ops_of(set) / set->n, r;
	double start, middle, ns = 0;
	struct mm_struct *child;
	struct space space;

	space_fill(&space, set);
	for (r = 0; r < reps; r++) {
		start = bench_now();
		bench_check(mm_fork(space.mm, &child), "fork");
		middle = bench_now();
		mm_put(child);
		ns += exiting ? bench_now() - middle : middle - start;
	}
	space_destroy(&space);
	return ns / (double)(reps * set->n);
}

static double fork_per_mapping(struct bench_set *set)
{
	return forks(set, 0);
}

static double exit_per_mapping(struct bench_set *set)
{
	return forks(set, 1);
}

static double find(struct bench_set *set)
{
	unsigned long ops = ops_of(set), i;
	struct mm_vma_info info;
	struct space space;
	double start, ns;

	space_fill(&space, set);
	bench_shuffle(set);
	start = bench_now();
	for (i = 0; i < ops; i++) {
		bench_check(mm_next_vma(space.mm, set->range[set->order[i % set->n]].last, &info), "find");
		bench_keep(&info);
	}
	ns = bench_now() - start;
	space_destroy(&space);
	return ns / (double)ops;
}

int main(void)
{
	static const struct bench_line lines[] = {
		{ "mmap at a fixed place", mmap_fixed },
		{ "munmap, random", munmap_random },
		{ "mmap with search, and munmap", mmap_munmap_pair },
		{ "mprotect that splits, and one that merges", mprotect_split_merge },
		{ "find and copy out a mapping", find },
		{ "fork, per mapping", fork_per_mapping },
		{ "exit, per mapping", exit_per_mapping },
	};
	static const unsigned long sizes[] = { 100, 10000, 100000 };

	printf("address space, no page tables\n");
	bench_table(lines, sizeof(lines) / sizeof(*lines), sizes, 3);
	return 0;
}
