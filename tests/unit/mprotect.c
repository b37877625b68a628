/* SPDX-License-Identifier: MIT */
/* Protection: splits, merges, and what stays when a part is refused. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

/*   |wwwwww|  ->  |ww|rr|ww|  ->  |wwwwww|  */
static void split_and_merge(void **state)
{
	strip_build(state, "|wwwwww|");
	assert_int_equal(strip_protect(state, 2, 2, 'r'), 0);
	strip_is(state, "|ww|rr|ww|");
	assert_int_equal(strip_counters(state).splits, 2);
	assert_int_equal(strip_protect(state, 2, 2, 'w'), 0);
	strip_is(state, "|wwwwww|");
}

/* The changed part joins the neighbour on its left, whose edge moves.
 *
 *   before  |rr|wwww|
 *   protect    |rr|
 *   after   |rrrr|ww|
 */
static void edge_moves_right(void **state)
{
	strip_build(state, "|rr|wwww|");
	assert_int_equal(strip_protect(state, 2, 2, 'r'), 0);
	strip_is(state, "|rrrr|ww|");
}

/*   |wwww|rr| -> |ww|rrrr| */
static void edge_moves_left(void **state)
{
	strip_build(state, "|wwww|rr|");
	assert_int_equal(strip_protect(state, 2, 2, 'r'), 0);
	strip_is(state, "|ww|rrrr|");
}

/* Several mappings become one.
 *
 *   before  |wwww|nn|xx|rrrr|
 *   protect   |--------|
 *   after   |ww|rrrrrrrrrr|
 */
static void several_become_one(void **state)
{
	strip_build(state, "|wwww|nn|xx|rrrr|");
	assert_int_equal(strip_protect(state, 2, 6, 'r'), 0);
	strip_is(state, "|ww|rrrrrrrrrr|");
}

/* Partial effect: what lies below a hole is changed when the call fails there.
 *
 *   before  |wwww|  |ww|
 *   protect   |------|
 *   after   |ww|rr|  |ww|
 */
static void stops_at_a_hole(void **state)
{
	strip_build(state, "|wwww|  |ww|");
	assert_int_equal(strip_protect(state, 2, 6, 'r'), -ENOMEM);
	strip_is(state, "|ww|rr|  |ww|");
}

/* A range that begins in a hole is refused whole. */
static void begins_in_a_hole(void **state)
{
	strip_build(state, "  |ww|");
	assert_int_equal(strip_protect(state, 0, 4, 'r'), -ENOMEM);
	strip_is(state, "  |ww|");
}

/* Partial effect: a sealed mapping refuses, and what lies below it has changed.
 *
 *   before  |ww|mm|ww|
 *   protect |--------|
 *   after   |rr|mm|ww|
 */
static void stops_at_a_sealed_one(void **state)
{
	strip_build(state, "|ww|mm|ww|");
	assert_int_equal(strip_protect(state, 0, 6, 'r'), -EPERM);
	strip_is(state, "|rr|mm|ww|");
	assert_int_equal(strip_protect(state, 2, 1, 'r'), -EPERM);
	strip_is(state, "|rr|mm|ww|");
}

/* A shared mapping of a file that was opened for reading only cannot become writable. */
static void refused_by_the_file(void **state)
{
	assert_true(strip_do_file(state, DIFF_DISK_READ_ONLY, DIFF_MMAP, PG(0), PAGES(2), PROT_READ,
				  MAP_SHARED | MAP_FIXED, 0) > 0);
	assert_int_equal(strip_protect(state, 0, 1, 'w'), -EACCES);
	strip_is(state, "|ss|");
	assert_true(strip_do_file(state, DIFF_DISK_READ_ONLY, DIFF_MMAP, PG(0), PAGES(2), PROT_READ,
				  MAP_PRIVATE | MAP_FIXED, 0) > 0);
	assert_int_equal(strip_protect(state, 0, 1, 'w'), 0);
}

static void bad_arguments(void **state)
{
	strip_build(state, "|ww|");
	assert_int_equal(strip_do(state, DIFF_MPROTECT, PG(0) + 1, PAGES(1), PROT_READ), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MPROTECT, PG(0), 0, PROT_READ), 0);
	assert_int_equal(strip_do(state, DIFF_MPROTECT, PG(0), ~0UL, PROT_READ), -ENOMEM);
	assert_int_equal(strip_do(state, DIFF_MPROTECT, PG(0), -4096UL, PROT_READ), -ENOMEM);
	assert_int_equal(strip_do(state, DIFF_MPROTECT, PG(0), PAGES(1), 0x100), -EINVAL);
	assert_int_equal(
		strip_do(state, DIFF_MPROTECT, PG(0), PAGES(1), PROT_GROWSDOWN | PROT_GROWSUP | PROT_READ),
		-EINVAL);
	assert_int_equal(strip_do(state, DIFF_MPROTECT, PG(0), PAGES(1), PROT_GROWSDOWN | PROT_READ),
			 -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MPROTECT, PG(0), PAGES(1), PROT_GROWSUP | PROT_READ), -EINVAL);
	strip_is(state, "|ww|");
}

/* PROT_GROWSDOWN reaches to the beginning of a stack.
 *
 *   before  |gggg|
 *   protect    |-|
 *   after   |gggg|  all read-only
 */
static void grows_down_to_the_beginning(void **state)
{
	struct mm_vma_info vma;

	strip_build(state, "  |gggg|");
	assert_int_equal(strip_do(state, DIFF_MPROTECT, PG(5), PAGES(1), PROT_READ | PROT_GROWSDOWN), 0);
	strip_is(state, "  |gggg|");
	assert_int_equal(mm_next_vma(strip_mm(state), PG(2), &vma), 0);
	assert_int_equal(vma.flags & (MM_VM_READ | MM_VM_WRITE), MM_VM_READ);
}

/* Memory is promised while it is writable, and for good once it was written to. */
static void promised(void **state)
{
	unsigned long before = strip_counters(state).accounted;

	strip_build(state, "|rrrr|");
	assert_int_equal(strip_counters(state).accounted, before);
	strip_protect(state, 0, 4, 'w');
	assert_int_equal(strip_counters(state).accounted, before + 4);
	strip_protect(state, 0, 4, 'r');
	assert_int_equal(strip_counters(state).accounted, before);
	strip_protect(state, 0, 4, 'w');
	strip_write(state, 0);
	strip_protect(state, 0, 4, 'r');
	assert_int_equal(strip_counters(state).accounted, before + 4);
}

/* Read-only memory that was written to does not join what was never promised. */
static void promised_does_not_join_unpromised(void **state)
{
	strip_map(state, 0, 2, 'r');
	strip_map(state, 2, 2, 'w');
	strip_write(state, 2);
	strip_protect(state, 2, 2, 'r');
	strip_is(state, "|rr|RR|");
}

/* Counters follow the kind of the mapping. */
static void counters_follow(void **state)
{
	struct mm_counters before = strip_counters(state), after;

	strip_build(state, "|wwww|");
	strip_protect(state, 0, 4, 'e');
	after = strip_counters(state);
	assert_int_equal(after.data_vm, before.data_vm);
	assert_int_equal(after.exec_vm, before.exec_vm + 4);
	strip_protect(state, 0, 2, 'n');
	after = strip_counters(state);
	assert_int_equal(after.exec_vm, before.exec_vm + 2);
	assert_int_equal(after.total_vm, before.total_vm + 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(split_and_merge),
		strip_test(edge_moves_right),
		strip_test(edge_moves_left),
		strip_test(several_become_one),
		strip_test(stops_at_a_hole),
		strip_test(begins_in_a_hole),
		strip_test(stops_at_a_sealed_one),
		strip_test(refused_by_the_file),
		strip_test(bad_arguments),
		strip_test(grows_down_to_the_beginning),
		strip_test(promised),
		strip_test(promised_does_not_join_unpromised),
		strip_test(counters_follow),
	};

	return cmocka_run_group_tests_name("mprotect", tests, NULL, NULL);
}
