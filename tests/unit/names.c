/* SPDX-License-Identifier: MIT */
/* Names of anonymous memory. Promise 1. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

#include <string.h>

static bool no_names(void **state)
{
	if (((struct diff *)*state)->has_names)
		return false;
	print_message("this kernel has no names for anonymous memory\n");
	return true;
}

/* The name is number @which of tracee_names. */
#define name_pages(state, at, count, which) strip_do(state, DIFF_NAME, PG(at), PAGES(count), which)

static const char *name_at(void **state, unsigned long at)
{
	struct mm_vma_info vma;

	assert_int_equal(mm_next_vma(strip_mm(state), PG(at), &vma), 0);
	return vma.name ? vma.name : "";
}

/*   |wwwwww|  ->  |ww|ww|ww|  ->  |wwwwww|   names keep neighbours apart, equal ones do not */
static void apart(void **state)
{
	if (no_names(state))
		skip();
	strip_build(state, "|WWWWWW|");
	assert_int_equal(name_pages(state, 2, 2, 1), 0);
	strip_is(state, "|WW|WW|WW|");
	assert_string_equal(name_at(state, 2), "[anon:a]");
	assert_string_equal(name_at(state, 4), "");
	assert_int_equal(name_pages(state, 0, 2, 1), 0);
	strip_is(state, "|WWWW|WW|");
	assert_int_equal(name_pages(state, 4, 2, 2), 0);
	strip_is(state, "|WWWW|WW|");
	assert_int_equal(name_pages(state, 0, 6, 0), 0);
	strip_is(state, "|WWWWWW|");
}

/* The name goes where the mapping goes, and to a child. */
static void moves_along(void **state)
{
	if (no_names(state))
		skip();
	strip_build(state, "|WWWW|");
	name_pages(state, 0, 4, 1);
	assert_true(strip_move(state, 2, 2, 10) > 0);
	assert_string_equal(name_at(state, 10), "[anon:a]");
	strip_do(state, DIFF_MREMAP, PG(0), PAGES(2), PAGES(3), 0);
	strip_is(state, "|WWW|");
	assert_string_equal(name_at(state, 0), "[anon:a]");
	strip_protect(state, 1, 1, 'r');
	assert_string_equal(name_at(state, 1), "[anon:a]");
	/* A new mapping has none, and so stays apart. */
	strip_map(state, 3, 1, 'w');
	strip_is(state, "|W|R|W|w|");
	strip_fork(state);
	strip_is_in(state, 1, "|W|R|W|w|");
	strip_protect(state, 1, 1, 'w');
	strip_is(state, "|WWW|w|");
}

/* Partial effects: holes are passed over; a mapping of a file ends it. */
static void partly(void **state)
{
	if (no_names(state))
		skip();
	strip_build(state, "|ww|  |ww|dd|ww|");
	assert_int_equal(name_pages(state, 1, 4, 1), -ENOMEM);
	strip_is(state, "|w|w|  |w|w|dd|ww|");
	assert_int_equal(name_pages(state, 4, 6, 2), -EBADF);
	assert_string_equal(name_at(state, 5), "[anon:b]");
	assert_string_equal(name_at(state, 8), "");
	strip_map(state, 12, 2, 's');
	assert_int_equal(name_pages(state, 12, 2, 1), 0);
	assert_string_equal(name_at(state, 12), "[anon_shmem:a]");
}

static void refused(void **state)
{
	struct mm_struct *mm = strip_mm(state);
	char name[81];

	strip_build(state, "|ww|");
	memset(name, 'x', 80);
	name[80] = 0;
	assert_int_equal(mm_set_anon_name(mm, PG(0), PAGES(2), name), -EINVAL);
	name[79] = 0;
	assert_int_equal(mm_set_anon_name(mm, PG(0), PAGES(2), name), 0);
	assert_int_equal(mm_set_anon_name(mm, PG(0), PAGES(2), "a\tb"), -EINVAL);
	assert_int_equal(mm_set_anon_name(mm, PG(0), PAGES(2), "$a"), -EINVAL);
	assert_int_equal(mm_set_anon_name(mm, PG(0) + 1, PAGES(2), "a"), -EINVAL);
	assert_int_equal(mm_set_anon_name(mm, PG(0), ~0UL, "a"), -EINVAL);
	assert_int_equal(mm_set_anon_name(mm, PG(0), 0, "a"), 0);
	assert_int_equal(mm_set_anon_name(mm, PG(0), PAGES(2), ""), 0);
	assert_string_equal(name_at(state, 0), "[anon:]");
}

/* Where there are none each such call is refused alike. */
static void without(void **state)
{
	struct mm_context_options opt = { .size = sizeof(opt) };
	struct diff *d = *state;

	if (d->model_only) {
		assert_int_equal(diff_close(d), 0);
		assert_int_equal(diff_open_model(d, &opt, NULL), 0);
	}
	if (d->has_names) {
		print_message("this kernel has names for anonymous memory\n");
		skip();
	}
	strip_build(state, "|ww|");
	assert_int_equal(name_pages(state, 0, 2, 1), -EINVAL);
	assert_int_equal(name_pages(state, 0, 0, 0), -EINVAL);
	assert_int_equal(name_pages(state, 4, 2, 3), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(apart),
		strip_test(moves_along),
		strip_test(partly),
		strip_test_model(refused),
		strip_test(without),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
