/* SPDX-License-Identifier: MIT */
/*
 * The calls on mappings: the library beside the running kernel.
 *
 * usage: vma [--n N]... [--core C] [--json FILE] [--peer "PROGRAM ARGS"]... [--only ROW]
 *
 * All on one core, in one run. The kernel's figures include the system call; it has as many mappings as
 * its limit (vm.max_map_count) lets it, where that is less than N. Its fork makes a process, and its
 * tear-down is from there to the return of waitpid(). A --peer is any program that prints lines
 * `name,N,operation,median,min,max`.
 */
#include <string.h>

#include "sheet.h"
#include "vma_work.h"

static const struct sheet_row rows[NR_VMA_ROWS] = {
	[ROW_MMAP_FIXED] = { "mmap at a fixed place", "mmap_fixed_build_per_vma", { 0 }, { 0 }, 0 },
	[ROW_MMAP_SEARCH] = { "mmap with search", "mmap_search_build_per_vma", { 0 }, { 0 }, 0 },
	[ROW_MUNMAP_RANDOM] = { "munmap, random", "munmap_rand", { 0 }, { 0 }, 0 },
	[ROW_PAIR] = { "mmap and munmap, a pair", "mmap_munmap_pair_1p", { 0.08 }, { 0.08 }, 0 },
	[ROW_PROTECT] = { "mprotect: split in three, merge", "mprotect_split_merge_pair", { 0.1 }, { 0.1 }, 0 },
	[ROW_MUNMAP_ALL] = { "munmap of everything, per mapping", "munmap_all_at_once_per_vma", { 0.1 }, { 0.1 }, 0 },
	[ROW_FORK] = { "fork, per mapping", "fork_per_vma", { 0 }, { 0 }, 0 },
	[ROW_TEARDOWN] = { "tear-down, per mapping", "teardown_per_vma", { 0 }, { 0 }, 0 },
	[ROW_LOOKUP] = { "lookup", "vma_lookup", { 0 }, { 0 }, 0 },
};

/* One size's contestants. The kernel's work may be smaller than ours. */
struct arena {
	struct work work, kernel_work;
	struct space *space;
	struct kernel *kernel;
};

static void make(struct arena *arena, unsigned long n, unsigned long limit)
{
	unsigned long base;

	work_make(&arena->work, n);
	work_make(&arena->kernel_work, n < limit ? n : limit);
	base = kernel_make(arena->kernel, &arena->kernel_work);
	/* With more mappings than the kernel has, its window is too small for ours. */
	base -= vma_span(&arena->work) - vma_span(&arena->kernel_work);
	arena->space = ours_make(&arena->work, base);
	if (n > limit)
		fprintf(stderr, "vma: the kernel has %lu mappings instead of %lu; sysctl vm.max_map_count says how many "
			"it may have\n", limit, n);
}

static void drop(struct arena *arena)
{
	ours_drop(arena->space);
	work_free(&arena->work);
	work_free(&arena->kernel_work);
}

static void measure_row(struct sheet *sheet, unsigned int size, struct arena *arena, enum vma_row row)
{
	double ours[WORK_RUNS], kernels[WORK_RUNS];

	for (unsigned int r = 0; r < WORK_RUNS; r++) {
		bool first = __builtin_parityl(arena->work.random);

		work_shuffle(&arena->work);
		if (first)
			ours[r] = ours_run(arena->space, &arena->work, row);
		work_shuffle(&arena->kernel_work);
		kernels[r] = kernel_run(arena->kernel, &arena->kernel_work, row);
		if (!first)
			ours[r] = ours_run(arena->space, &arena->work, row);
	}
	sheet_enter(sheet, "samara", size, row, ours, WORK_RUNS);
	sheet_enter(sheet, "kernel", size, row, kernels, WORK_RUNS);
}

int main(int argc, char **argv)
{
	static const unsigned long usual[] = { 100, 10000, 100000 };
	static struct sheet sheet = {
		.program = "vma", .rivals = { "kernel", "sys" }, .row = rows, .nr_rows = NR_VMA_ROWS, .only = -1,
	};
	struct arena arena;
	unsigned long limit;

	sheet_options(&sheet, argc, argv, usual, 3);
	sheet_pin(&sheet);
	arena.kernel = kernel_start(&limit);
	for (unsigned int s = 0; s < sheet.nr_sizes; s++) {
		make(&arena, sheet.size[s], limit);
		for (int row = 0; row < NR_VMA_ROWS; row++)
			if (sheet_wants(&sheet, row))
				measure_row(&sheet, s, &arena, (enum vma_row)row);
		drop(&arena);
	}
	kernel_stop(arena.kernel);
	sheet_run_peers(&sheet);
	sheet_show(&sheet);
	if (sheet.json)
		sheet_write_json(&sheet);
	return 0;
}
