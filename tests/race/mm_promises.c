/* SPDX-License-Identifier: MIT */
/* Beside one that asks for more than may be promised, and gets nothing, another gets what fits. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>

#include "vma/vma.h"

enum { ROUNDS = 1000000, LIMIT = 10 };

struct contest {
	struct mm_context *ctx;
	atomic_bool stop;
	atomic_long asked, granted;
};

static void *ask_too_much(void *arg)
{
	struct contest *contest = arg;

	while (!atomic_load(&contest->stop)) {
		if (!vm_enough_memory(contest->ctx, LIMIT + 1))
			atomic_fetch_add(&contest->granted, 1);
		atomic_fetch_add(&contest->asked, 1);
	}
	return NULL;
}

static void who_fits_is_promised(void **state)
{
	struct mm_context_options opt = {
		.size = sizeof(opt), .overcommit = MM_OVERCOMMIT_NEVER, .commit_limit = LIMIT,
	};
	struct contest contest = { 0 };
	pthread_t thread;
	long refused = 0;

	(void)state;
	assert_int_equal(mm_context_create(&opt, &contest.ctx), 0);
	assert_int_equal(pthread_create(&thread, NULL, ask_too_much, &contest), 0);
	while (atomic_load(&contest.asked) < ROUNDS) {
		if (vm_enough_memory(contest.ctx, LIMIT))
			refused++;
		else
			vm_unacct_memory(contest.ctx, LIMIT);
	}
	atomic_store(&contest.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(refused, 0);
	assert_int_equal(contest.granted, 0);
	assert_int_equal(mm_context_committed(contest.ctx), 0);
	mm_context_destroy(contest.ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_fits_is_promised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
