/* SPDX-License-Identifier: MIT */
/*
 * What the benchmarks share: ranges, their shuffles, time, medians.
 *
 * The ranges are 1 to 64 pages long, and half of them have a gap of 1 to 64 pages
 * before them. Random order is shuffled anew before each of the seven runs, so
 * that the branch predictor cannot learn it.
 */
#ifndef SAMARA_BENCH_H
#define SAMARA_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BENCH_RUNS 7
#define BENCH_PAGE 4096UL
#define BENCH_BASE 0x10000000UL

struct bench_range {
	unsigned long start;	/* first byte */
	unsigned long last;	/* last byte */
};

struct bench_set {
	unsigned long n;
	struct bench_range *range;	/* in order */
	uint32_t *order;		/* a permutation of the ranges */
	uint64_t random;		/* state; never 0 */
};

static inline double bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static inline uint64_t bench_random(struct bench_set *set)
{
	set->random ^= set->random >> 12;
	set->random ^= set->random << 25;
	set->random ^= set->random >> 27;
	return set->random * 2685821657736338717UL;
}

/* Keeps the compiler from dropping a result that nobody uses. */
static inline void bench_keep(const void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

static inline void bench_shuffle(struct bench_set *set)
{
	unsigned long i, k;
	uint32_t swap;

	for (i = set->n - 1; i > 0; i--) {
		k = bench_random(set) % (i + 1);
		swap = set->order[i];
		set->order[i] = set->order[k];
		set->order[k] = swap;
	}
}

static inline void *bench_alloc(size_t size)
{
	void *ptr = malloc(size);

	if (!ptr) {
		fputs("bench: no memory\n", stderr);
		exit(1);
	}
	return ptr;
}

static inline void bench_set_init(struct bench_set *set, unsigned long n)
{
	unsigned long at = BENCH_BASE;
	unsigned long i;

	set->n = n;
	set->random = 88172645463325252UL;
	set->range = bench_alloc(n * sizeof(*set->range));
	set->order = bench_alloc(n * sizeof(*set->order));
	for (i = 0; i < n; i++) {
		if (bench_random(set) & 1)
			at += (1 + bench_random(set) % 64) * BENCH_PAGE;
		set->range[i].start = at;
		at += (1 + bench_random(set) % 64) * BENCH_PAGE;
		set->range[i].last = at - 1;
		set->order[i] = (uint32_t)i;
	}
	bench_shuffle(set);
}

static inline void bench_set_free(struct bench_set *set)
{
	free(set->range);
	free(set->order);
}

static inline void bench_check(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "bench: %s failed: %d\n", what, err);
	exit(1);
}

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* One line of a table: name, and the median of the runs' nanoseconds per operation for each size. */
struct bench_line {
	const char *name;
	double (*run)(struct bench_set *set);	/* one run; nanoseconds per operation */
};

static inline double bench_median(const struct bench_line *line, struct bench_set *set)
{
	double ns[BENCH_RUNS];
	int i;

	for (i = 0; i < BENCH_RUNS; i++) {
		bench_shuffle(set);
		ns[i] = line->run(set);
	}
	qsort(ns, BENCH_RUNS, sizeof(*ns), bench_compare);
	return ns[BENCH_RUNS / 2];
}

static inline void bench_table(const struct bench_line *lines, size_t nr_lines, const unsigned long *sizes,
			       size_t nr_sizes)
{
	struct bench_set *set = bench_alloc(nr_sizes * sizeof(*set));
	size_t l, s;

	printf("%-44s", "ns per operation, median of 7, at N =");
	for (s = 0; s < nr_sizes; s++) {
		bench_set_init(&set[s], sizes[s]);
		printf(" %10lu", sizes[s]);
	}
	printf("\n");
	for (l = 0; l < nr_lines; l++) {
		printf("%-44s", lines[l].name);
		for (s = 0; s < nr_sizes; s++) {
			printf(" %10.1f", bench_median(&lines[l], &set[s]));
			fflush(stdout);
		}
		printf("\n");
	}
	for (s = 0; s < nr_sizes; s++)
		bench_set_free(&set[s]);
	free(set);
}

#endif
