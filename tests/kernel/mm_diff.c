/* SPDX-License-Identifier: MIT */
/*
 * The model beside the running kernel: random calls, compared after each (promise 1).
 *
 * By itself it runs a fixed and a fresh seed. By hand:
 *
 *   test_kernel_mm_diff --seed S --calls N [--episode N] [--only mmap,munmap,...]
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/diff.h"

#define FIXED_SEED 20261120u
#define CALLS 20000u

static void print_report(const struct diff_options *opt, const struct diff_report *r)
{
	unsigned int i;

	printf("# seed %llu: %lu calls, %lu refused by both, %lu mappings compared, %.0f calls a second\n#",
	       (unsigned long long)opt->seed, r->calls, r->failed, r->compared,
	       (double)r->calls / (r->seconds > 0 ? r->seconds : 1));
	for (i = 0; i < DIFF_NR_KINDS; i++)
		printf(" %s %lu", diff_kind_name(i), r->by_kind[i]);
	printf("\n");
	fflush(stdout);
}

static int run_seed(uint64_t seed)
{
	struct diff_options opt = { .seed = seed, .calls = CALLS };
	struct diff_report report;
	int err;

	printf("# seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	err = diff_run(stdout, &opt, &report);
	print_report(&opt, &report);
	return err;
}

/* Promise 1. */
static void fixed_seed(void **state)
{
	assert_int_equal(run_seed(FIXED_SEED), 0);
}

/* Promise 1. */
static void fresh_seed(void **state)
{
	assert_int_equal(run_seed((uint64_t)time(NULL) ^ (uint64_t)getpid() << 32), 0);
}

/* Names, with commas between, to a bit for each kind. Exits when a name is unknown. */
static uint32_t parse_only(char *names)
{
	uint32_t only = 0;
	char *name, *rest = names;
	unsigned int i;

	while ((name = strsep(&rest, ","))) {
		for (i = 0; i < DIFF_NR_KINDS && strcmp(name, diff_kind_name(i)); i++)
			;
		if (i == DIFF_NR_KINDS) {
			fprintf(stderr, "mm_diff: no call is named '%s'\n", name);
			exit(2);
		}
		only |= 1u << i;
	}
	return only;
}

static int by_hand(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "calls", required_argument, NULL, 'c' },
		{ "episode", required_argument, NULL, 'e' },
		{ "only", required_argument, NULL, 'o' },
		{ 0 },
	};
	struct diff_options opt = { .seed = FIXED_SEED, .calls = CALLS };
	struct diff_report report;
	int c, err;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			opt.seed = strtoull(optarg, NULL, 0);
		else if (c == 'c')
			opt.calls = strtoul(optarg, NULL, 0);
		else if (c == 'e')
			opt.episode = strtoul(optarg, NULL, 0);
		else if (c == 'o')
			opt.only = parse_only(optarg);
		else
			return 2;
	}
	err = diff_run(stdout, &opt, &report);
	print_report(&opt, &report);
	return err;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_seed),
		cmocka_unit_test(fresh_seed),
	};

	diff_same_place(argv);
	if (argc > 1)
		return by_hand(argc, argv);
	return cmocka_run_group_tests_name("mm_diff", tests, NULL, NULL);
}
