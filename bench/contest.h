/* SPDX-License-Identifier: MIT */
/*
 * What the contestants of the tree's benchmark share: the work, the clock, and
 * the sheet that results go to.
 *
 * The work is N ranges of 1 to 64 pages that do not overlap, half of them after
 * a gap of 1 to 64 pages. Lookups ask for a random index of a random range.
 * Each figure is the median of seven runs; the contestants take turns within
 * each run, so that a slow moment of the machine is shared.
 */
#ifndef SAMARA_CONTEST_H
#define SAMARA_CONTEST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WORK_RUNS 7
#define WORK_QUERIES (1u << 20)
#define WORK_BASE 0x10000000UL
#define WORK_PAGE 4096UL

enum op {
	OP_LOOKUP,
	OP_LOOKUP_DEP,
	OP_ITERATE,
	OP_INSERT_RANDOM,
	OP_INSERT_ORDER,
	OP_ERASE_RANDOM,
	OP_PUT_BACK,
	OP_GAP_HIGHEST,
	OP_GAP_LOWEST,
	OP_GAP_BELOW,
	OP_ALLOC_FREE,
	OP_DUP,
	OP_REPLACE,
	OP_DESTROY,
	OP_BYTES_RANDOM,
	OP_BYTES_ORDER,
	OP_LINES,
	NR_OPS
};

struct work_range {
	unsigned long start, last;	/* inclusive */
};

struct work {
	unsigned long n;
	unsigned long top;		/* the last index of the last range */
	struct work_range *range;	/* rising */
	uint32_t *in, *out;		/* permutations: how ranges come and go */
	unsigned long *at;		/* WORK_QUERIES indexes to ask for */
	uint32_t *which;		/* the range that each of them lies in */
	uint64_t random;
};

static inline double work_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* Keeps the compiler from dropping a result that nobody uses. */
static inline void work_keep(uintptr_t x)
{
	__asm__ volatile("" : : "r"(x) : "memory");
}

/* How often a small piece of work is repeated within one run, so that the clock has something to see. */
static inline unsigned long work_rounds(const struct work *work)
{
	return work->n >= 100000 ? 1 : work->n >= 5000 ? 20 : 200000 / (work->n + 1) + 1;
}

static inline unsigned long work_gap_size(const struct work *work, unsigned long query)
{
	return (1 + work->which[query] % 64) * WORK_PAGE;
}

/* The top under which query number @query looks for @size indexes. */
static inline unsigned long work_gap_top(const struct work *work, unsigned long query, unsigned long size)
{
	unsigned long top = work->at[query] | (WORK_PAGE - 1);

	return top < WORK_BASE + size ? WORK_BASE + size : top;
}

void work_make(struct work *work, unsigned long n);
void work_free(struct work *work);
void work_shuffle(struct work *work);

/* One run of one operation: nanoseconds (or bytes, or lines) each; negative when it cannot be had. */
struct contestant {
	const char *name;
	void *(*make)(const struct contestant *self, const struct work *work);	/* filled in random order */
	void (*drop)(void *filled);
	double (*run)(void *filled, struct work *work, enum op op);	/* may shuffle */
	unsigned int flags;
};

/* tree_ours.c */
void contest_warm_up(void);
extern const struct contestant contest_ours_rcu, contest_ours_plain;

/* tree_threads.c */
void threads_table(const struct work *work, int core);

/* peers.cc, when it is built. NULL behind the last. */
const struct contestant *const *contest_peers(void);

#ifdef __cplusplus
}
#endif

#endif
