/* SPDX-License-Identifier: MIT */
/* A call over many mappings is all or nothing too, and what it sets aside for that stays in proportion. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <cmocka.h>

#include <samara/mm.h>

#define PAGE 4096UL

struct space {
	struct mm_context *ctx;
	struct mm_struct *mm;
	unsigned long start, pages;
};

/* @pages pages of one mapping, every other one read-only: as many mappings, of which each could join both neighbours. */
static void comb(struct space *s, unsigned long pages)
{
	struct mm_mmap_args args = {
		.len = pages * PAGE, .prot = PROT_READ | PROT_WRITE, .flags = MAP_PRIVATE | MAP_ANONYMOUS,
	};

	s->pages = pages;
	assert_int_equal(mm_context_create(NULL, &s->ctx), 0);
	assert_int_equal(mm_create(s->ctx, NULL, &s->mm), 0);
	assert_int_equal(mm_mmap(s->mm, &args, &s->start), 0);
	for (unsigned long i = 0; i < pages; i += 2)
		assert_int_equal(mm_mprotect(s->mm, s->start + i * PAGE, PAGE, PROT_READ), 0);
}

static void finish(struct space *s)
{
	struct platform_stats stats;

	mm_put(s->mm);
	platform_read_stats(mm_context_platform(s->ctx), &stats);
	assert_int_equal(stats.vmas, 0);
	assert_int_equal(stats.nodes, 0);
	assert_int_equal(stats.anon_vmas, 0);
	mm_context_destroy(s->ctx);
}

static unsigned long map_count(struct mm_struct *mm)
{
	struct mm_counters counters;

	mm_read_counters(mm, &counters);
	return counters.map_count;
}

/* H2. Whichever allocation fails, none of the mappings has joined; when none fails, all have. */
static void merging_many_is_all_or_nothing(void **state)
{
	struct platform *pf;
	struct space s;
	long n = 1;
	int err;

	comb(&s, 300);
	pf = mm_context_platform(s.ctx);
	/* The first allocations one by one, then in strides: they are alike. */
	for (;; n += n < 100 ? 1 : 37) {
		platform_fail_nth(pf, n);
		err = mm_mprotect(s.mm, s.start, s.pages * PAGE, PROT_READ);
		platform_fail_nth(pf, 0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(map_count(s.mm), s.pages);
		assert_int_equal(mm_validate(s.mm), 0);
	}
	assert_true(n > 10);
	assert_int_equal(map_count(s.mm), 1);
	finish(&s);
}

/* H2. Nor does the second half of the work need what the reserve has not. */
static void the_reserve_suffices(void **state)
{
	struct platform_stats before, after;
	struct space s;

	comb(&s, 3000);
	platform_read_stats(mm_context_platform(s.ctx), &before);
	assert_int_equal(mm_mprotect(s.mm, s.start, s.pages * PAGE, PROT_READ), 0);
	assert_int_equal(map_count(s.mm), 1);
	platform_read_stats(mm_context_platform(s.ctx), &after);
	assert_true(after.attempts - before.attempts < 8 * s.pages);
	finish(&s);
}

/* H3. Mappings that cannot join need no more than two. */
static void flags_alone_need_little(void **state)
{
	struct platform_stats before, after;
	struct space s;

	comb(&s, 3000);
	for (unsigned long i = 0; i < s.pages; i += 2)
		assert_int_equal(mm_munmap(s.mm, s.start + i * PAGE, PAGE), 0);
	platform_read_stats(mm_context_platform(s.ctx), &before);
	assert_int_equal(mm_madvise(s.mm, s.start + PAGE, (s.pages - 1) * PAGE, MADV_DONTFORK), -ENOMEM);
	platform_read_stats(mm_context_platform(s.ctx), &after);
	assert_true(after.attempts - before.attempts < 100);
	finish(&s);
}

/* Whichever allocation of creating a context fails, the platform's own and its frames' too, nothing is left. */
static void a_context_is_made_whole_or_not(void **state)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 64 };
	struct mm_context *ctx = NULL;
	struct platform_stats stats;
	struct platform *pf;
	long n = 0;
	int err;

	(void)state;
	platform_fail_nth(platform_default(), 1);
	assert_int_equal(mm_context_create(&opt, &ctx), -ENOMEM);
	assert_null(ctx);
	pf = opt.platform = platform_create(NULL, NULL);
	assert_non_null(pf);
	do {
		platform_fail_nth(pf, ++n);
		err = mm_context_create(&opt, &ctx);
		platform_fail_nth(pf, 0);
		platform_read_stats(pf, &stats);
		if (err) {
			assert_int_equal(err, -ENOMEM);
			assert_null(ctx);
			assert_int_equal(stats.contexts + stats.others + stats.frames + stats.tables, 0);
		}
	} while (err);
	assert_true(n > 3);
	assert_ptr_equal(mm_context_platform(ctx), pf);
	mm_context_destroy(ctx);
	platform_read_stats(pf, &stats);
	assert_int_equal(stats.contexts + stats.others + stats.frames + stats.tables, 0);
	platform_destroy(pf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merging_many_is_all_or_nothing),
		cmocka_unit_test(the_reserve_suffices),
		cmocka_unit_test(flags_alone_need_little),
		cmocka_unit_test(a_context_is_made_whole_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
