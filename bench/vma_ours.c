/* SPDX-License-Identifier: MIT */
/* The rows of mappings on the library. */
#include <samara/mm.h>

#include "vma_work.h"

struct space {
	struct mm_context *ctx;
	struct mm_struct *mm;
	unsigned long base, span;
};

static void check(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "vma: %s on the library failed: %d\n", what, err);
	exit(1);
}

static unsigned long map(struct space *space, unsigned long addr, size_t len, unsigned long prot)
{
	struct mm_mmap_args args = {
		.addr = addr, .len = len, .prot = prot, .flags = VMA_FLAGS | (addr ? MAP_FIXED : 0),
	};
	unsigned long at;

	check(mm_mmap(space->mm, &args, &at), "mmap");
	return at;
}

static unsigned long place(const struct space *space, const struct work *work, unsigned long i)
{
	return work->range[i].start - WORK_BASE + space->base;
}

static void fill(struct space *space, const struct work *work)
{
	for (unsigned long i = 0; i < work->n; i++)
		map(space, place(space, work, work->in[i]), vma_len(work, work->in[i]), vma_prot(work->in[i]));
}

static void clear(struct space *space)
{
	check(mm_munmap(space->mm, space->base, space->span), "munmap");
}

struct space *ours_make(const struct work *work, unsigned long base)
{
	struct mm_context_options options = { .size = sizeof(options), .max_map_count = 1UL << 30 };
	struct mm_options mm_options = { .size = sizeof(mm_options) };
	struct space *space = calloc(1, sizeof(*space));

	check(!space, "memory");
	space->base = base;
	space->span = vma_span(work);
	mm_options.mmap_base = base + space->span;
	check(mm_context_create(&options, &space->ctx), "mm_context_create");
	check(mm_create(space->ctx, &mm_options, &space->mm), "mm_create");
	fill(space, work);
	return space;
}

void ours_drop(struct space *space)
{
	mm_put(space->mm);
	mm_context_destroy(space->ctx);
	free(space);
}

static double mmap_fixed(struct space *space, const struct work *work)
{
	unsigned long rounds = vma_rounds(work);
	double ns = 0, begin;

	for (unsigned long r = 0; r < rounds; r++) {
		clear(space);
		begin = work_now();
		fill(space, work);
		ns += work_now() - begin;
	}
	return ns / (double)(rounds * work->n);
}

static double mmap_search(struct space *space, const struct work *work)
{
	unsigned long rounds = vma_rounds(work);
	double ns = 0, begin;

	for (unsigned long r = 0; r < rounds; r++) {
		clear(space);
		begin = work_now();
		for (unsigned long i = 0; i < work->n; i++)
			map(space, 0, vma_len(work, work->in[i]), vma_prot(i));
		ns += work_now() - begin;
	}
	clear(space);
	fill(space, work);
	return ns / (double)(rounds * work->n);
}

static double munmap_random(struct space *space, const struct work *work)
{
	unsigned long rounds = vma_rounds(work);
	double ns = 0, begin;

	for (unsigned long r = 0; r < rounds; r++) {
		begin = work_now();
		for (unsigned long i = 0; i < work->n; i++)
			check(mm_munmap(space->mm, place(space, work, work->out[i]), vma_len(work, work->out[i])),
			      "munmap");
		ns += work_now() - begin;
		fill(space, work);
	}
	return ns / (double)(rounds * work->n);
}

static double pair(struct space *space, const struct work *work)
{
	unsigned long calls = vma_calls(work);
	double begin = work_now();

	for (unsigned long i = 0; i < calls; i++)
		check(mm_munmap(space->mm, map(space, 0, WORK_PAGE, PAIR_PROT), WORK_PAGE), "munmap");
	return (work_now() - begin) / (double)calls;
}

static double protect(struct space *space, const struct work *work)
{
	unsigned long calls = vma_calls(work), done = 0;
	double begin = work_now();

	for (unsigned long i = 0; i < calls; i++) {
		unsigned long k = work->out[i % work->n], page = place(space, work, k) + WORK_PAGE;

		if (vma_len(work, k) < 3 * WORK_PAGE)
			continue;
		check(mm_mprotect(space->mm, page, WORK_PAGE, PROT_NONE), "mprotect");
		check(mm_mprotect(space->mm, page, WORK_PAGE, vma_prot(k)), "mprotect");
		done++;
	}
	return done ? (work_now() - begin) / (double)done : -1;
}

static double munmap_all(struct space *space, const struct work *work)
{
	unsigned long rounds = vma_rounds(work);
	double ns = 0, begin;

	for (unsigned long r = 0; r < rounds; r++) {
		begin = work_now();
		clear(space);
		ns += work_now() - begin;
		fill(space, work);
	}
	return ns / (double)(rounds * work->n);
}

static double forks(struct space *space, const struct work *work, enum vma_row row)
{
	unsigned long rounds = vma_rounds(work);
	double ns = 0, begin, middle;
	struct mm_struct *child;

	for (unsigned long r = 0; r < rounds; r++) {
		begin = work_now();
		check(mm_fork(space->mm, &child), "fork");
		middle = work_now();
		mm_put(child);
		ns += row == ROW_FORK ? middle - begin : work_now() - middle;
	}
	return ns / (double)(rounds * work->n);
}

static double lookup(struct space *space, const struct work *work)
{
	unsigned long calls = vma_calls(work);
	double begin = work_now();
	struct mm_vma_info info;

	for (unsigned long i = 0; i < calls; i++) {
		check(mm_next_vma(space->mm, work->at[i] - WORK_BASE + space->base, &info), "lookup");
		work_keep(info.start);
	}
	return (work_now() - begin) / (double)calls;
}

double ours_run(struct space *space, const struct work *work, enum vma_row row)
{
	switch (row) {
	case ROW_MMAP_FIXED:
		return mmap_fixed(space, work);
	case ROW_MMAP_SEARCH:
		return mmap_search(space, work);
	case ROW_MUNMAP_RANDOM:
		return munmap_random(space, work);
	case ROW_PAIR:
		return pair(space, work);
	case ROW_PROTECT:
		return protect(space, work);
	case ROW_MUNMAP_ALL:
		return munmap_all(space, work);
	case ROW_FORK:
	case ROW_TEARDOWN:
		return forks(space, work, row);
	default:
		return lookup(space, work);
	}
}
