/* SPDX-License-Identifier: MIT */
/* A6. Which anon_vma a mapping gets when it is first written to. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <sys/mman.h>

static unsigned long id_at(void **state, unsigned long page)
{
	struct mm_vma_info vma;

	assert_int_equal(mm_next_vma(strip_mm(state), PG(page), &vma), 0);
	assert_true(vma.start <= PG(page));
	return vma.anon_vma_id;
}

/* A6. Reading gives none; writing does. */
static void first_write(void **state)
{
	strip_build(state, "|ww|");
	strip_read(state, 0);
	strip_is(state, "|ww|");
	assert_int_equal(id_at(state, 0), 0);
	strip_write(state, 1);
	strip_is(state, "|WW|");
	assert_int_not_equal(id_at(state, 0), 0);
}

/* A6. The next neighbour's is taken first.
 *
 *   |WW|xx|WW|   two anon_vmas; the middle is written to and takes the right one's
 */
static void next_first(void **state)
{
	strip_build(state, "|WW|xx|WW|");
	assert_int_not_equal(id_at(state, 0), id_at(state, 4));
	strip_write(state, 2);
	assert_int_equal(id_at(state, 2), id_at(state, 4));
}

/* A6. Else the previous neighbour's. */
static void previous_next(void **state)
{
	strip_build(state, "|WW|xx|ww|");
	strip_write(state, 2);
	assert_int_equal(id_at(state, 2), id_at(state, 0));
}

/* A6. No neighbour has one: a new one. */
static void else_new(void **state)
{
	strip_build(state, "|WW| |ww| |WW|");
	strip_write(state, 3);
	assert_int_not_equal(id_at(state, 3), 0);
	assert_int_not_equal(id_at(state, 3), id_at(state, 0));
	assert_int_not_equal(id_at(state, 3), id_at(state, 6));
}

/* A6. A neighbour that differs in more than its protection gives none. */
static void not_from_another_kind(void **state)
{
	strip_build(state, "|WW|cc|");
	strip_write(state, 2);
	assert_int_not_equal(id_at(state, 2), id_at(state, 0));
}

/* Shared memory has none, however often it is written to. */
static void shared_has_none(void **state)
{
	strip_build(state, "|ss|");
	strip_write(state, 0);
	strip_is(state, "|ss|");
}

/* A private file that is written to gets one; one that is only read does not. */
static void private_file(void **state)
{
	strip_build(state, "|dd|");
	strip_read(state, 0);
	strip_is(state, "|dd|");
	strip_write(state, 0);
	strip_is(state, "|DD|");
}

/* What is not permitted gives none. */
static void refused(void **state)
{
	strip_build(state, "|rr|");
	assert_int_equal(strip_write(state, 0), MM_FAULT_ACCERR);
	assert_int_equal(strip_write(state, 2), MM_FAULT_MAPERR);
	strip_is(state, "|rr|");
}

/* All parts of a split keep it. */
static void split_keeps(void **state)
{
	unsigned long id;

	strip_build(state, "|WWWWWW|");
	id = id_at(state, 0);
	strip_protect(state, 2, 2, 'r');
	assert_int_equal(id_at(state, 0), id);
	assert_int_equal(id_at(state, 2), id);
	assert_int_equal(id_at(state, 4), id);
}

/* The last mapping that goes takes it along. */
static void goes_with_the_last(void **state)
{
	struct platform_stats s;

	strip_build(state, "|WWWW|");
	strip_unmap(state, 1, 2);
	platform_read_stats(strip_platform(state), &s);
	assert_int_equal(s.anon_vmas, 1);
	strip_unmap(state, 0, 4);
	platform_read_stats(strip_platform(state), &s);
	assert_int_equal(s.anon_vmas, 0);
	assert_int_equal(s.anon_chains, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(first_write), strip_test(next_first), strip_test(previous_next),
		strip_test(else_new), strip_test(not_from_another_kind), strip_test(shared_has_none),
		strip_test(private_file), strip_test(refused), strip_test(split_keeps),
		strip_test_model(goes_with_the_last),
	};

	return cmocka_run_group_tests_name("anon_vma", tests, NULL, NULL);
}
