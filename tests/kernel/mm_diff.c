/* SPDX-License-Identifier: MIT */
/*
 * The model beside the running kernel: random calls, compared after each (promise 1).
 * By hand: samara diff.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "support/seed.h"
#include "diff.h"

#define FIXED_SEED 20261120u
#define CALLS 100000u

static void run_seed(uint64_t seed)
{
	struct diff_options opt = { .seed = seed, .calls = CALLS };
	struct diff_report report;
	int err;

	printf("# seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	err = diff_run(stdout, &opt, &report);
	printf("# %lu calls compared, %lu refused by both, %lu mappings compared, %.0f calls a second\n",
	       report.compared, report.refused, report.mappings,
	       (double)report.compared / (report.seconds > 0 ? report.seconds : 1));
	fflush(stdout);
	assert_int_equal(err, 0);
	assert_int_equal(report.calls, CALLS);
}

/* Promise 1. */
static void fixed_seed(void **state)
{
	run_seed(FIXED_SEED);
}

/* Promise 1. */
static void fresh_seed(void **state)
{
	run_seed(seed_fresh());
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_seed),
		cmocka_unit_test(fresh_seed),
	};

	diff_same_place(argv);
	tracee_watch();
	return cmocka_run_group_tests_name("mm_diff", tests, NULL, NULL);
}
