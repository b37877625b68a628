/* SPDX-License-Identifier: MIT */
/* Limits nearly reached: the number of mappings, RLIMIT_AS and RLIMIT_DATA, and what may be promised. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A context with few mappings, or little memory. */
static void open_with(void **state, unsigned long max_map_count, unsigned long commit_limit)
{
	struct mm_context_options opt = { .size = sizeof(opt), .max_map_count = max_map_count };
	struct diff *d = *state;

	if (commit_limit) {
		opt.overcommit = MM_OVERCOMMIT_NEVER;
		opt.commit_limit = commit_limit;
	}
	assert_int_equal(diff_close(d), 0);
	assert_int_equal(diff_open_model(d, &opt, NULL), 0);
}

/* @count mappings that do not join, one page each with a hole after each. */
static void fill(void **state, unsigned long count)
{
	unsigned long i;

	for (i = 0; i < count; i++)
		assert_true(strip_map(state, 2 * i, 1, 'r') > 0);
}

/* B2. mmap still succeeds at the limit, and is refused beyond it. */
static void mmap_at_the_limit(void **state)
{
	open_with(state, 8, 0);
	fill(state, 8);
	assert_true(strip_map(state, 40, 1, 'r') > 0);
	assert_int_equal(strip_counters(state).map_count, 9);
	assert_int_equal(strip_map(state, 50, 1, 'r'), -ENOMEM);
	assert_int_equal(strip_counters(state).map_count, 9);
}

/* B2. A split that would pass the limit is refused; the map is as before.
 *
 *   before  |wwww| and as many others as are allowed
 *   unmap     |--|
 *   after   |wwww|
 */
static void unmap_at_the_limit(void **state)
{
	open_with(state, 8, 0);
	strip_build(state, "|wwww|");
	strip_map(state, 10, 1, 'r');
	strip_map(state, 12, 1, 'r');
	strip_map(state, 14, 1, 'r');
	strip_map(state, 16, 1, 'r');
	strip_map(state, 18, 1, 'r');
	strip_map(state, 20, 1, 'r');
	strip_map(state, 22, 1, 'r');
	assert_int_equal(strip_unmap(state, 1, 2), -ENOMEM);
	strip_is(state, "|wwww|");
	/* A mapping that only loses an end needs no other one. */
	assert_int_equal(strip_unmap(state, 3, 1), 0);
	strip_is(state, "|www| ");
	assert_int_equal(strip_unmap(state, 10, 1), 0);
	assert_int_equal(strip_unmap(state, 1, 1), 0);
	strip_is(state, "|w| |w| ");
}

/* Splits by mprotect are refused too. */
static void protect_at_the_limit(void **state)
{
	open_with(state, 4, 0);
	strip_build(state, "|wwww|");
	strip_map(state, 10, 1, 'r');
	strip_map(state, 12, 1, 'r');
	strip_map(state, 14, 1, 'r');
	assert_int_equal(strip_protect(state, 2, 2, 'r'), -ENOMEM);
	strip_is(state, "|wwww|");
	assert_int_equal(strip_protect(state, 0, 4, 'r'), 0);
	strip_is(state, "|rrrr|");
}

/* Partial effect: locking fails at a split that the limit forbids; what lies below is locked.
 *
 *   before  |WW|rr|xxxx|  and as many others as are allowed
 *   lock    |--------|
 *   after   |kk|kk|xxxx|
 */
static void lock_at_the_limit(void **state)
{
	open_with(state, 5, 0);
	strip_build(state, "|WW|rr|xxxx|");
	strip_map(state, 20, 1, 'r');
	strip_map(state, 22, 1, 'r');
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), PAGES(6), 0), -ENOMEM);
	strip_is(state, "|KK|kk|xxxx|");
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(4), PAGES(4), 0), 0);
	strip_is(state, "|KK|kk|KKKK|");
	assert_int_equal(strip_do(state, DIFF_MUNLOCK, PG(0), PAGES(6)), -ENOMEM);
	strip_is(state, "|WW|rr|KKKK|");
}

/* The limit of the address space counts pages, what is mapped over not twice. */
static void address_space(void **state)
{
	unsigned long total;

	strip_build(state, "|wwww|");
	total = strip_counters(state).total_vm;
	strip_do(state, DIFF_RLIMIT, MM_RLIMIT_AS, PAGES(total + 2));
	assert_int_equal(strip_mmap(state, 10, 3, PROT_READ, MAP_PRIVATE), -ENOMEM);
	assert_true(strip_mmap(state, 2, 4, PROT_READ, MAP_PRIVATE) > 0);
	strip_is(state, "|ww|rrrr|");
	assert_int_equal(strip_mmap(state, 10, 1, PROT_READ, MAP_PRIVATE), -ENOMEM);
	assert_int_equal(strip_do(state, DIFF_MREMAP, PG(0), PAGES(2), PAGES(3), MREMAP_MAYMOVE), -ENOMEM);
	strip_is(state, "|ww|rrrr|");
}

/* The limit of data counts what is private and writable. */
static void data(void **state)
{
	unsigned long now;

	strip_build(state, "|wwww|");
	now = strip_counters(state).data_vm;
	strip_do(state, DIFF_RLIMIT, MM_RLIMIT_DATA, PAGES(now + 1));
	assert_int_equal(strip_mmap(state, 10, 2, PROT_READ | PROT_WRITE, MAP_PRIVATE), -ENOMEM);
	assert_true(strip_mmap(state, 10, 2, PROT_READ, MAP_PRIVATE) > 0);
	assert_true(strip_mmap(state, 20, 2, PROT_READ | PROT_WRITE, MAP_SHARED) > 0);
	assert_int_equal(strip_protect(state, 10, 2, 'w'), -ENOMEM);
	assert_int_equal(strip_protect(state, 10, 1, 'w'), 0);
}

/* Strict promises: what is beyond the limit is refused, by mmap, mprotect, mremap, brk and fork alike. */
static void strict_promises(void **state)
{
	struct diff *d = *state;

	open_with(state, 0, 10);
	strip_build(state, "|wwww|");
	assert_int_equal(strip_map(state, 10, 7, 'w'), -ENOMEM);
	assert_true(strip_map(state, 10, 2, 'w') > 0);
	assert_true(strip_map(state, 20, 6, 'r') > 0);
	assert_int_equal(strip_protect(state, 20, 6, 'w'), -ENOMEM);
	assert_int_equal(strip_do(state, DIFF_MREMAP, PG(0), PAGES(4), PAGES(9), MREMAP_MAYMOVE), -ENOMEM);
	assert_int_equal(strip_do(state, DIFF_BRK, d->layout.start_brk + PAGES(5)), d->layout.start_brk);
	assert_int_equal(strip_fork(state), -ENOMEM);
	assert_int_equal(mm_context_committed(d->ctx), 6);
	assert_int_equal(strip_unmap(state, 10, 2), 0);
	assert_int_equal(strip_fork(state), 0);
	assert_int_equal(mm_context_committed(d->ctx), 8);
}

/* NORESERVE counts for nothing when promises are strict. */
static void strict_ignores_noreserve(void **state)
{
	open_with(state, 0, 4);
	assert_int_equal(strip_mmap(state, 0, 5, PROT_READ | PROT_WRITE, MAP_NORESERVE), -ENOMEM);
	assert_true(strip_mmap(state, 0, 4, PROT_READ | PROT_WRITE, MAP_NORESERVE) > 0);
}

/* Nothing is mapped below the lowest address without the right to it. */
static void lowest_address(void **state)
{
	assert_int_equal(strip_do(state, DIFF_MMAP, 0, PAGES(1), PROT_READ, MAP_FIXED), -EPERM);
}

/* A program whose own data fill the address space has no room for a heap: the sum does not wrap. */
static void data_beyond_all_addresses(void **state)
{
	struct mm_options opt = {
		.size = sizeof(opt), .start_brk = 0x10000000, .limits_set = true, .data_size = ~0UL - 8 * 4096,
		.rlimit = { MM_RLIM_INFINITY, 1 << 20, 8 << 20, 8 << 20 },
	};
	struct mm_context *ctx;
	struct mm_struct *mm;

	assert_int_equal(mm_context_create(NULL, &ctx), 0);
	assert_int_equal(mm_create(ctx, &opt, &mm), 0);
	assert_int_equal(mm_brk(mm, opt.start_brk + 16 * 4096), opt.start_brk);
	mm_put(mm);
	mm_context_destroy(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test_model(mmap_at_the_limit),
		strip_test_model(unmap_at_the_limit),
		strip_test_model(protect_at_the_limit),
		strip_test_model(lock_at_the_limit),
		strip_test(address_space),
		strip_test(data),
		strip_test_model(strict_promises),
		strip_test_model(strict_ignores_noreserve),
		strip_test_model(lowest_address),
		strip_test_model(data_beyond_all_addresses),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
