/* SPDX-License-Identifier: MIT */
/* The pool of frames: who gets which, what is counted, and what happens at its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <pthread.h>

#include "mmu/mmu.h"

/* Not a multiple of 512, so that the end is not aligned. */
#define FRAMES (4 * 512 + 100)

static int setup(void **state)
{
	struct platform *pf = platform_create(NULL, NULL);
	struct frame_pool *pool;

	assert_int_equal(frame_pool_create(pf, FRAMES, &pool), 0);
	*state = pool;
	return 0;
}

static int teardown(void **state)
{
	struct frame_pool *pool = *state;
	struct platform *pf = pool->pf;
	struct platform_stats stats;

	assert_int_equal(frame_pool_used(pool), 0);
	frame_pool_destroy(pool);
	platform_read_stats(pf, &stats);
	assert_int_equal(stats.frames, 0);
	assert_int_equal(stats.tables, 0);
	assert_int_equal(stats.others, 0);
	platform_destroy(pf);
	return 0;
}

static bool is_zero(struct frame_pool *pool, struct page *page, unsigned long nr)
{
	const unsigned char *byte = page_address(pool, page);

	for (unsigned long i = 0; i < nr * PAGE_SIZE; i++)
		if (byte[i])
			return false;
	return true;
}

/* A frame is zeroed if that is asked for, also when it was used before; its count is right at each step. */
static void used_again(void **state)
{
	struct frame_pool *pool = *state;
	struct platform_stats stats;
	struct page *page, *again;

	page = alloc_page(pool, true);
	assert_true(is_zero(pool, page, 1));
	assert_int_equal(page_refcount(page), 1);
	assert_int_not_equal(page_to_pfn(pool, page), 0);
	memset(page_address(pool, page), 0xab, PAGE_SIZE);
	get_page(page);
	put_page(pool, page);
	assert_int_equal(page_refcount(page), 1);
	assert_true(try_get_page(page));
	put_page(pool, page);
	platform_read_stats(pool->pf, &stats);
	assert_int_equal(stats.frames, 1);
	put_page(pool, page);
	assert_false(try_get_page(page));
	platform_read_stats(pool->pf, &stats);
	assert_int_equal(stats.frames, 0);
	/* The one that was freed last is the warmest. */
	again = alloc_page(pool, true);
	assert_ptr_equal(again, page);
	assert_true(is_zero(pool, again, 1));
	put_page(pool, again);
}

static void *take_and_free(void *arg)
{
	struct frame_pool *pool = arg;
	struct page *pages[100];

	for (int i = 0; i < 100; i++)
		pages[i] = alloc_page(pool, false);
	put_pages(pool, pages, 100);
	return NULL;
}

/* Each frame can be had, those on the shelves of other threads too, and no frame twice. */
static void to_the_last_frame(void **state)
{
	struct frame_pool *pool = *state;
	struct page *pages[FRAMES], *page;
	unsigned char seen[FRAMES] = { 0 };
	unsigned int nr = 0;
	pthread_t thread;

	for (int i = 0; i < 3; i++) {
		pthread_create(&thread, NULL, take_and_free, pool);
		pthread_join(thread, NULL);
	}
	while ((page = alloc_page(pool, false)) != NULL) {
		assert_in_range(page_to_pfn(pool, page), 2, FRAMES - 1);
		assert_int_equal(seen[page_to_pfn(pool, page)]++, 0);
		pages[nr++] = page;
	}
	/* Frame 0 and the zero page are nobody's. */
	assert_int_equal(nr, FRAMES - 2);
	assert_null(alloc_huge_page(pool));
	assert_int_equal(frame_pool_used(pool), FRAMES - 2);
	put_pages(pool, pages, nr);
}

/* Large frames are aligned and zeroed, and count as 512; when small ones run out, free large ones are broken up. */
static void huge(void **state)
{
	struct frame_pool *pool = *state;
	struct page *head[4], *pages[FRAMES];
	struct platform_stats stats;
	unsigned int nr = 0;

	for (int i = 0; i < 3; i++) {
		head[i] = alloc_huge_page(pool);
		assert_non_null(head[i]);
		assert_int_equal(page_to_pfn(pool, head[i]) % 512, 0);
		assert_true(page_has(head[i], PG_HEAD) && page_has(head[i] + 511, PG_TAIL));
		assert_true(is_zero(pool, head[i], 512));
		memset(page_address(pool, head[i]), 0xcd, 512 * PAGE_SIZE);
	}
	platform_read_stats(pool->pf, &stats);
	assert_int_equal(stats.frames, 3 * 512);
	/* The fourth would have frame 0 in it. */
	assert_null(alloc_huge_page(pool));
	put_page(pool, head[1]);
	head[1] = alloc_huge_page(pool);
	assert_non_null(head[1]);
	assert_true(is_zero(pool, head[1], 512));
	put_page(pool, head[1]);
	while ((pages[nr] = alloc_page(pool, true)) != NULL) {
		assert_true(is_zero(pool, pages[nr], 1));
		nr++;
	}
	assert_int_equal(nr, FRAMES - 2 - 2 * 512);
	put_pages(pool, pages, nr);
	put_page(pool, head[0]);
	put_page(pool, head[2]);
}

/* Each frame is one attempt, which fails on request and leaves nothing behind. */
static void attempts(void **state)
{
	struct frame_pool *pool = *state;
	struct page *page, *table;

	platform_fail_nth(pool->pf, 1);
	assert_null(alloc_page(pool, true));
	platform_fail_nth(pool->pf, 1);
	assert_null(alloc_huge_page(pool));
	platform_fail_nth(pool->pf, 2);
	page = alloc_page(pool, true);
	assert_non_null(page);
	assert_null(alloc_table_page(pool, 0, 0));
	table = alloc_table_page(pool, 0, 0);
	assert_non_null(table);
	assert_true(is_zero(pool, table, 1));
	assert_int_equal(frame_pool_used(pool), 2);
	free_table_page(pool, table);
	put_page(pool, page);
}

static void sizes(void **state)
{
	struct platform *pf = platform_create(NULL, NULL);
	struct frame_pool *pool;

	assert_int_equal(frame_pool_create(pf, 3, &pool), -EINVAL);
	assert_int_equal(frame_pool_create(pf, 1UL << 33, &pool), -EINVAL);
	for (long n = 1; n <= 2; n++) {
		platform_fail_nth(pf, n);
		assert_int_equal(frame_pool_create(pf, 16, &pool), -ENOMEM);
	}
	assert_int_equal(frame_pool_create(pf, 16, &pool), 0);
	frame_pool_destroy(pool);
	platform_destroy(pf);
}

/* A page's lock is one thread's. */
static void page_lock(void **state)
{
	struct frame_pool *pool = *state;
	struct page *page = alloc_page(pool, false);

	lock_page(page);
	assert_false(trylock_page(page));
	unlock_page(page);
	assert_true(trylock_page(page));
	unlock_page(page);
	put_page(pool, page);
}

#define pool_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(used_again),
		pool_test(to_the_last_frame),
		pool_test(huge),
		pool_test(attempts),
		pool_test(page_lock),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
