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
#include <sys/mman.h>

#include "vma/vma.h"

enum { ROUNDS = 1000000, LIMIT = 10, HUGE_PAGES = 4, MAPS = 20000 };

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

struct mapper {
	struct mm_struct *mm;
	atomic_bool stop;
	atomic_long done, failed;
};

static int map_half(struct mm_struct *mm, unsigned long flags, unsigned long *at)
{
	struct mm_mmap_args args = { .addr = 0x200000000, .len = LIMIT / 2 * PAGE_SIZE, .prot = PROT_READ | PROT_WRITE,
				     .flags = MAP_PRIVATE | MAP_ANONYMOUS | flags };

	return mm_mmap(mm, &args, at);
}

static void *map_over(void *arg)
{
	struct mapper *mapper = arg;
	unsigned long at;

	while (!atomic_load(&mapper->stop)) {
		if (map_half(mapper->mm, MAP_FIXED, &at))
			atomic_fetch_add(&mapper->failed, 1);
		atomic_fetch_add(&mapper->done, 1);
	}
	return NULL;
}

/* What is mapped over hands its promise on: at no time are there two. */
static void mapped_over_and_over(void **state)
{
	struct mm_context_options opt = {
		.size = sizeof(opt), .overcommit = MM_OVERCOMMIT_NEVER, .commit_limit = LIMIT,
	};
	struct mapper mapper = { 0 };
	struct mm_context *ctx;
	struct mm_struct *mm;
	unsigned long at;
	pthread_t thread;
	long refused = 0;

	(void)state;
	assert_int_equal(mm_context_create(&opt, &ctx), 0);
	assert_int_equal(mm_create(ctx, NULL, &mm), 0);
	assert_int_equal(mm_create(ctx, NULL, &mapper.mm), 0);
	assert_int_equal(map_half(mapper.mm, MAP_FIXED, &at), 0);
	assert_int_equal(pthread_create(&thread, NULL, map_over, &mapper), 0);
	while (atomic_load(&mapper.done) < MAPS) {
		if (map_half(mm, 0, &at))
			refused++;
		else
			assert_int_equal(mm_munmap(mm, at, LIMIT / 2 * PAGE_SIZE), 0);
	}
	atomic_store(&mapper.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(refused, 0);
	assert_int_equal(mapper.failed, 0);
	mmput(mm);
	mmput(mapper.mm);
	assert_int_equal(mm_context_committed(ctx), 0);
	mm_context_destroy(ctx);
}

struct huge_contest {
	struct vm_file *file;
	atomic_bool stop;
	atomic_long asked, granted;
};

static void *ask_for_too_many(void *arg)
{
	struct huge_contest *contest = arg;
	struct huge_promise promise;

	while (!atomic_load(&contest->stop)) {
		if (!huge_promise_prepare(&promise, contest->file, 0, (HUGE_PAGES + 1) << HPAGE_ORDER, false, 0))
			atomic_fetch_add(&contest->granted, 1);
		atomic_fetch_add(&contest->asked, 1);
	}
	return NULL;
}

/* The same of huge pages. */
static void who_fits_is_promised_huge_pages(void **state)
{
	struct mm_context_options opt = { .size = sizeof(opt), .huge_pages = HUGE_PAGES };
	struct huge_contest contest = { 0 };
	struct huge_promise promise;
	struct mm_context *ctx;
	pthread_t thread;
	long refused = 0;

	(void)state;
	assert_int_equal(mm_context_create(&opt, &ctx), 0);
	assert_int_equal(vm_file_create_huge(ctx, PMD_SIZE, &contest.file), 0);
	assert_int_equal(pthread_create(&thread, NULL, ask_for_too_many, &contest), 0);
	while (atomic_load(&contest.asked) < ROUNDS) {
		if (huge_promise_prepare(&promise, contest.file, 0, (unsigned long)HUGE_PAGES << HPAGE_ORDER, false, 0))
			refused++;
		else
			huge_promise_cancel(&promise);
	}
	atomic_store(&contest.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(refused, 0);
	assert_int_equal(contest.granted, 0);
	assert_int_equal(mm_context_huge_promised(ctx), 0);
	vm_file_put(contest.file);
	mm_context_destroy(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_fits_is_promised), cmocka_unit_test(who_fits_is_promised_huge_pages),
		cmocka_unit_test(mapped_over_and_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
