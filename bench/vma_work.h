/* SPDX-License-Identifier: MIT */
/*
 * What the contestants of the benchmark of mappings share.
 *
 * The work is N mappings of 1 to 64 pages, half of them after a gap of 1 to 64 pages, in a window of addresses. Every
 * second one may be written to, so that none merges. A figure is the median of seven
 * runs; who goes first changes from run to run.
 */
#ifndef SAMARA_BENCH_VMA_WORK_H
#define SAMARA_BENCH_VMA_WORK_H

#include <sys/mman.h>

#include "contest.h"

enum vma_row {
	ROW_MMAP_FIXED,
	ROW_MMAP_SEARCH,
	ROW_MUNMAP_RANDOM,
	ROW_PAIR,
	ROW_PROTECT,
	ROW_MUNMAP_ALL,
	ROW_FORK,
	ROW_TEARDOWN,
	ROW_LOOKUP,
	NR_VMA_ROWS
};

#define VMA_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS)
/* Differs from both kinds of mappings, so that what is mapped beside one does not join it. */
#define PAIR_PROT (PROT_READ | PROT_EXEC)

static inline unsigned long vma_prot(unsigned long i)
{
	return i & 1 ? PROT_READ : PROT_READ | PROT_WRITE;
}

static inline unsigned long vma_len(const struct work *work, unsigned long i)
{
	return work->range[i].last - work->range[i].start + 1;
}

static inline unsigned long vma_span(const struct work *work)
{
	return work->top + 1 - WORK_BASE;
}

/* How often a row of single calls is done in one run. */
static inline unsigned long vma_calls(const struct work *work)
{
	return work->n < 20000 ? 20000 : work->n;
}

/* How often all N are made or removed in one run. */
static inline unsigned long vma_rounds(const struct work *work)
{
	return work->n >= 5000 ? 1 : 5000 / work->n;
}

/* The library. Nanoseconds per call, or per mapping. */
struct space;
struct space *ours_make(const struct work *work, unsigned long base);
void ours_drop(struct space *space);
double ours_run(struct space *space, const struct work *work, enum vma_row row);

/* The running kernel: a process of its own makes the calls. It has @limit mappings at most. */
struct kernel;
struct kernel *kernel_start(unsigned long *limit);
void kernel_stop(struct kernel *kernel);
/* Fill it, and say where. The process works on the same @work from here on. */
unsigned long kernel_make(struct kernel *kernel, const struct work *work);
double kernel_run(struct kernel *kernel, const struct work *work, enum vma_row row);

#endif
