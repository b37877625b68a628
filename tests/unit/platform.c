/* SPDX-License-Identifier: MIT */
/* The seam: what platform.h promises of memory, failure on request, slabs, warnings and locks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"

static char logged[512];
static int log_lines;

static void log_line(void *arg, const char *line)
{
	assert_ptr_equal(arg, logged);
	strncpy(logged, line, sizeof(logged) - 1);
	log_lines++;
}

static int setup(void **state)
{
	log_lines = 0;
	*state = platform_create(log_line, logged);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	platform_destroy(*state);
	return log_lines ? -1 : 0;
}

static void memory_is_zeroed_and_aligned(void **state)
{
	static const char zeroes[768];
	struct platform *pf = *state;
	size_t align;

	for (align = 1; align <= 4096; align *= 2) {
		void *ptr = pf_alloc(pf, PF_NODE, sizeof(zeroes), align);

		assert_non_null(ptr);
		assert_int_equal((uintptr_t)ptr % align, 0);
		assert_memory_equal(ptr, zeroes, sizeof(zeroes));
		memset(ptr, 0xa5, sizeof(zeroes));
		pf_free(pf, PF_NODE, ptr);
	}
	pf_free(pf, PF_NODE, NULL);
}

static void live_objects_are_counted_by_kind(void **state)
{
	struct platform *pf = *state;
	struct platform_stats stats;
	void *node = pf_alloc(pf, PF_NODE, 256, 256);
	void *file = pf_alloc(pf, PF_FILE, 100, 8);

	platform_read_stats(pf, &stats);
	assert_int_equal(stats.nodes, 1);
	assert_int_equal(stats.files, 1);
	assert_int_equal(stats.vmas + stats.mms + stats.anon_vmas + stats.anon_chains, 0);
	assert_int_equal(stats.contexts + stats.others, 0);
	assert_int_equal(stats.attempts, 2);

	pf_free(pf, PF_NODE, node);
	pf_free(pf, PF_FILE, file);
	platform_read_stats(pf, &stats);
	assert_int_equal(stats.nodes, 0);
	assert_int_equal(stats.files, 0);
	assert_int_equal(stats.attempts, 2);
	assert_int_equal(stats.failed, 0);
}

/* Asked to fail the third attempt: two succeed, one fails, the next succeed again. */
static void the_nth_attempt_fails_once(void **state)
{
	struct platform *pf = *state;
	struct platform_stats stats;
	void *ptr[5];
	int i;

	platform_fail_nth(pf, 3);
	for (i = 0; i < 5; i++) {
		ptr[i] = pf_alloc(pf, PF_OTHER, 16, 8);
		if (i == 2)
			assert_null(ptr[i]);
		else
			assert_non_null(ptr[i]);
	}
	platform_read_stats(pf, &stats);
	assert_int_equal(stats.failed, 1);
	assert_int_equal(stats.attempts, 5);
	assert_int_equal(stats.others, 4);
	for (i = 0; i < 5; i++)
		pf_free(pf, PF_OTHER, ptr[i]);
}

static void all_attempts_fail_until_told_otherwise(void **state)
{
	struct platform *pf = *state;
	void *ptr;
	int i;

	platform_fail_nth(pf, -1);
	for (i = 0; i < 10; i++)
		assert_null(pf_alloc(pf, PF_VMA, 64, 64));
	platform_fail_nth(pf, 0);
	ptr = pf_alloc(pf, PF_VMA, 64, 64);
	assert_non_null(ptr);
	pf_free(pf, PF_VMA, ptr);
}

static void two_platforms_do_not_meet(void **state)
{
	struct platform *pf = *state;
	struct platform *other = platform_create(NULL, NULL);
	struct platform_stats stats;
	void *ptr;

	assert_non_null(other);
	platform_fail_nth(other, -1);
	ptr = pf_alloc(pf, PF_MM, 8, 8);
	assert_non_null(ptr);
	platform_read_stats(other, &stats);
	assert_int_equal(stats.mms, 0);
	assert_int_equal(stats.attempts, 0);
	pf_free(pf, PF_MM, ptr);
	platform_destroy(other);
}

/* Objects of a slab are zeroed when handed out, also the second time, and do not overlap. */
static void slab_objects_are_zeroed_and_apart(void **state)
{
	enum { N = 500, SIZE = 88 };
	static const char zeroes[SIZE];
	struct pf_slab *slab = pf_slab_create(*state, PF_VMA, SIZE, 64, 72);
	unsigned char *object[N];
	int round, i;

	assert_non_null(slab);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < N; i++) {
			object[i] = pf_slab_alloc(slab);
			assert_non_null(object[i]);
			assert_int_equal((uintptr_t)object[i] % 64, 0);
			assert_memory_equal(object[i], zeroes, SIZE);
			memset(object[i], i & 0xff, SIZE);
		}
		for (i = 0; i < N; i++) {
			assert_int_equal(object[i][0], i & 0xff);
			assert_int_equal(object[i][SIZE - 1], i & 0xff);
			pf_slab_free(slab, object[i]);
		}
	}
	pf_slab_destroy(slab);
}

/* A reader under RCU may still look at an object that was freed beneath it. The link's word is the slab's. */
static void slab_free_leaves_the_contents(void **state)
{
	enum { LINK = 16 };
	struct pf_slab *slab = pf_slab_create(*state, PF_VMA, 64, 64, LINK);
	unsigned char *object = pf_slab_alloc(slab);
	struct pf_stock stock;
	int round, i;

	assert_int_equal(pf_slab_stride(slab), 64);
	pf_stock_init(&stock, slab);
	for (round = 0; round < 2; round++) {
		memset(object, 0x5a, 64);
		if (round)
			pf_stock_free(&stock, object);
		else
			pf_slab_free(slab, object);
		for (i = 0; i < 64; i++)
			if (i < LINK || i >= LINK + (int)sizeof(void *))
				assert_int_equal(object[i], 0x5a);
		object = round ? NULL : pf_stock_alloc(&stock);
	}
	pf_stock_destroy(&stock);
	pf_slab_destroy(slab);
}

/* Objects go from one stock to another, and the counts are exact while stocks hold some back. */
static void stocks_share_a_slab(void **state)
{
	enum { N = 100 };
	struct platform *pf = *state;
	struct pf_slab *slab = pf_slab_create(pf, PF_VMA, 64, 64, 0);
	struct pf_stock mine, yours;
	struct platform_stats stats;
	unsigned long before;
	void *object[N];
	int round, i, k;

	pf_stock_init(&mine, slab);
	pf_stock_init(&yours, slab);
	platform_read_stats(pf, &stats);
	before = stats.attempts;
	for (round = 0; round < 3; round++) {
		for (i = 0; i < N; i++) {
			object[i] = pf_stock_alloc(i % 3 ? &mine : &yours);
			assert_non_null(object[i]);
			for (k = 0; k < i; k++)
				assert_ptr_not_equal(object[i], object[k]);
			platform_read_stats(pf, &stats);
			assert_int_equal(stats.vmas, i + 1);
			assert_int_equal(stats.attempts - before, round * N + i + 1);
		}
		for (i = 0; i < N; i++) {
			pf_stock_free(&mine, object[i]);
			platform_read_stats(pf, &stats);
			assert_int_equal(stats.vmas, N - i - 1);
		}
	}
	pf_stock_destroy(&mine);
	pf_stock_destroy(&yours);
	platform_read_stats(pf, &stats);
	assert_int_equal(stats.vmas, 0);
	assert_int_equal(stats.attempts - before, 3 * N);
	pf_slab_destroy(slab);
}

/* A stock makes each of its attempts fail when asked to, whether or not it has something at hand. */
static void stock_attempts_fail_on_request(void **state)
{
	struct platform *pf = *state;
	struct pf_slab *slab = pf_slab_create(pf, PF_VMA, 64, 64, 0);
	struct pf_stock stock;
	struct platform_stats stats;
	void *object[3];
	int n;

	pf_stock_init(&stock, slab);
	for (n = 0; n < 3; n++) {
		platform_fail_nth(pf, 2);
		object[n] = pf_stock_alloc(&stock);
		assert_non_null(object[n]);
		assert_null(pf_stock_alloc(&stock));
	}
	platform_read_stats(pf, &stats);
	assert_int_equal(stats.vmas, 3);
	assert_int_equal(stats.failed, 3);
	for (n = 0; n < 3; n++)
		pf_stock_free(&stock, object[n]);
	pf_stock_destroy(&stock);
	pf_slab_destroy(slab);
}

static void slab_attempts_fail_on_request(void **state)
{
	struct platform *pf = *state;
	struct pf_slab *slab = pf_slab_create(pf, PF_VMA, 64, 8, 0);
	struct platform_stats stats;
	void *object;

	platform_fail_nth(pf, 1);
	assert_null(pf_slab_alloc(slab));
	object = pf_slab_alloc(slab);
	assert_non_null(object);
	platform_read_stats(pf, &stats);
	assert_int_equal(stats.vmas, 1);
	pf_slab_free(slab, object);
	platform_read_stats(pf, &stats);
	assert_int_equal(stats.vmas, 0);
	pf_slab_destroy(slab);

	platform_fail_nth(pf, 1);
	assert_null(pf_slab_create(pf, PF_VMA, 64, 8, 0));
}

/* A broken invariant is told once, with what was found, and execution goes on. */
static void a_warning_is_logged_once(void **state)
{
	struct platform *pf = *state;
	int i;

	for (i = 0; i < 3; i++)
		assert_true(pf_warn_on_once(pf, i >= 0, "found %d of %s", i, "them"));
	assert_int_equal(log_lines, 1);
	assert_string_equal(logged, "found 0 of them");
	assert_false(pf_warn_on_once(pf, i < 0, "not so"));
	assert_int_equal(log_lines, 1);
	log_lines = 0;
}

static void destroying_with_live_objects_is_reported(void **state)
{
	struct platform *pf = platform_create(log_line, logged);
	void *ptr = pf_alloc(pf, PF_ANON_VMA, 8, 8);

	(void)state;
	platform_destroy(pf);
	assert_int_equal(log_lines, 1);
	assert_non_null(strstr(logged, "1 live objects"));
	log_lines = 0;
	/* The count went with the platform; the memory is left. */
	free(ptr);
}

static void a_writer_is_known_and_becomes_a_reader(void **state)
{
	struct pf_rwsem sem;

	(void)state;
	pf_rwsem_init(&sem);
	assert_false(pf_rwsem_held(&sem));
	pf_down_write(&sem);
	assert_true(pf_rwsem_write_held(&sem));
	assert_true(pf_rwsem_held(&sem));
	pf_downgrade_write(&sem);
	assert_false(pf_rwsem_write_held(&sem));
	assert_true(pf_rwsem_held(&sem));
	pf_down_read(&sem);
	pf_up_read(&sem);
	pf_up_read(&sem);
	assert_false(pf_rwsem_held(&sem));
	pf_rwsem_destroy(&sem);
}

static void rcu_sections_nest(void **state)
{
	(void)state;
	assert_false(pf_rcu_read_lock_held());
	pf_rcu_read_lock();
	samara_rcu_read_lock();
	samara_rcu_read_unlock();
	assert_true(pf_rcu_read_lock_held());
	pf_rcu_read_unlock();
	assert_false(pf_rcu_read_lock_held());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(memory_is_zeroed_and_aligned, setup, teardown),
		cmocka_unit_test_setup_teardown(live_objects_are_counted_by_kind, setup, teardown),
		cmocka_unit_test_setup_teardown(the_nth_attempt_fails_once, setup, teardown),
		cmocka_unit_test_setup_teardown(all_attempts_fail_until_told_otherwise, setup, teardown),
		cmocka_unit_test_setup_teardown(two_platforms_do_not_meet, setup, teardown),
		cmocka_unit_test_setup_teardown(slab_objects_are_zeroed_and_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(slab_free_leaves_the_contents, setup, teardown),
		cmocka_unit_test_setup_teardown(slab_attempts_fail_on_request, setup, teardown),
		cmocka_unit_test_setup_teardown(stocks_share_a_slab, setup, teardown),
		cmocka_unit_test_setup_teardown(stock_attempts_fail_on_request, setup, teardown),
		cmocka_unit_test_setup_teardown(a_warning_is_logged_once, setup, teardown),
		cmocka_unit_test_setup_teardown(destroying_with_live_objects_is_reported, setup, teardown),
		cmocka_unit_test_setup_teardown(a_writer_is_known_and_becomes_a_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(rcu_sections_nest, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
