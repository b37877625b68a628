/* SPDX-License-Identifier: MIT */
/* msync and mincore: no mapping changes, only what they refuse is seen. Promise 1. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

#define sync_pages(state, at, count, flags) strip_do(state, DIFF_MSYNC, PG(at), PAGES(count), flags)

/* A hole is passed over and remembered. */
static void holes(void **state)
{
	strip_build(state, "|ss|  |kk|");
	assert_int_equal(sync_pages(state, 0, 2, MS_SYNC), 0);
	assert_int_equal(sync_pages(state, 0, 4, MS_SYNC), -ENOMEM);
	assert_int_equal(sync_pages(state, 0, 6, MS_SYNC | MS_INVALIDATE), -EBUSY);
	assert_int_equal(sync_pages(state, 2, 4, MS_ASYNC | MS_INVALIDATE), -EBUSY);
	assert_int_equal(sync_pages(state, 2, 4, MS_ASYNC), -ENOMEM);
	assert_int_equal(sync_pages(state, 20, 4, MS_ASYNC), -ENOMEM);
}

static void sync_arguments(void **state)
{
	strip_build(state, "|ss|");
	assert_int_equal(sync_pages(state, 0, 2, 0), 0);
	assert_int_equal(sync_pages(state, 0, 2, MS_SYNC | MS_ASYNC), -EINVAL);
	assert_int_equal(sync_pages(state, 0, 2, 8), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MSYNC, PG(0) + 1, 1, MS_SYNC), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MSYNC, PG(0), ~0UL, MS_SYNC), 0);
	assert_int_equal(strip_do(state, DIFF_MSYNC, PG(0), -4096UL, MS_SYNC), -ENOMEM);
	assert_int_equal(sync_pages(state, 9, 0, MS_SYNC), 0);
}

#ifdef STRIP_KERNEL
#define BESIDE_KERNEL true
#else
#define BESIDE_KERNEL false
#endif

static void which_are_in_core(void **state)
{
	unsigned char vec[2] = { 7, 7 };

	strip_build(state, "|ww|rr|  |nn|");
	assert_int_equal(strip_do(state, DIFF_MINCORE, PG(0), PAGES(4)), 0);
	assert_int_equal(strip_do(state, DIFF_MINCORE, PG(0), PAGES(4) + 1), -ENOMEM);
	assert_int_equal(strip_do(state, DIFF_MINCORE, PG(4), PAGES(1)), -ENOMEM);
	assert_int_equal(strip_do(state, DIFF_MINCORE, PG(6), PAGES(2)), 0);
	assert_int_equal(strip_do(state, DIFF_MINCORE, PG(0) + 1, PAGES(1)), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MINCORE, PG(0), ~0UL), -ENOMEM);
	assert_int_equal(strip_do(state, DIFF_MINCORE, PG(4), 0), 0);
	/* The model alone has no page tables here, and tells of no pages. */
	assert_int_equal(mm_mincore(strip_mm(state), PG(0), PAGES(2), vec), BESIDE_KERNEL ? 0 : -EOPNOTSUPP);
	assert_int_equal(vec[0], BESIDE_KERNEL ? 0 : 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(holes),
		strip_test(sync_arguments),
		strip_test(which_are_in_core),
	};

	return cmocka_run_group_tests_name("msync", tests, NULL, NULL);
}
