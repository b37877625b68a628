/* SPDX-License-Identifier: MIT */
/* A7. Stacks that grow down. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

/* Far enough apart for the guard gap of 256 pages. */
#define STACK 600UL
#define GAP 256UL

static unsigned long start_at(void **state, unsigned long page)
{
	struct mm_vma_info vma;

	assert_int_equal(mm_next_vma(strip_mm(state), PG(page), &vma), 0);
	return (vma.start - STRIP_BASE) / DIFF_PAGE;
}

/* A7. A touch below makes it reach there; the counters follow. */
static void grows(void **state)
{
	struct mm_counters before, after;

	strip_map(state, STACK, 4, 'g');
	before = strip_counters(state);
	assert_int_equal(strip_write(state, STACK - 3), MM_FAULT_OK);
	assert_int_equal(start_at(state, STACK), STACK - 3);
	after = strip_counters(state);
	assert_int_equal(after.stack_vm, before.stack_vm + 3);
	assert_int_equal(after.total_vm, before.total_vm + 3);
	assert_int_equal(after.accounted, before.accounted + 3);
}

/* A7. Not into the guard gap above another mapping.
 *
 *   |ww|<---- 256 pages ---->|gggg|
 */
static void keeps_its_gap(void **state)
{
	strip_map(state, STACK, 4, 'g');
	strip_map(state, STACK - GAP - 10, 2, 'w');
	assert_int_equal(strip_write(state, STACK - 8), MM_FAULT_OK);
	assert_int_equal(strip_write(state, STACK - 9), MM_FAULT_MAPERR);
	assert_int_equal(start_at(state, STACK), STACK - 8);
}

/* A7. An inaccessible neighbour needs no gap. */
static void inaccessible_neighbour(void **state)
{
	strip_map(state, STACK, 4, 'g');
	strip_map(state, STACK - 10, 2, 'n');
	assert_int_equal(strip_write(state, STACK - 8), MM_FAULT_OK);
	assert_int_equal(start_at(state, STACK), STACK - 8);
}

/* A7. Nor does another stack. */
static void stack_below(void **state)
{
	strip_map(state, STACK, 4, 'g');
	strip_map(state, STACK - 10, 2, 'g');
	assert_int_equal(strip_write(state, STACK - 8), MM_FAULT_OK);
	assert_int_equal(start_at(state, STACK), STACK - 8);
}

/* A7. The limit of the stack. */
static void limit(void **state)
{
	strip_map(state, STACK, 4, 'g');
	strip_do(state, DIFF_RLIMIT, MM_RLIMIT_STACK, PAGES(6));
	assert_int_equal(strip_write(state, STACK - 2), MM_FAULT_OK);
	assert_int_equal(strip_write(state, STACK - 3), MM_FAULT_MAPERR);
	assert_int_equal(start_at(state, STACK), STACK - 2);
}

/* A7. The limit of the address space. */
static void limit_of_all(void **state)
{
	unsigned long total;

	strip_map(state, STACK, 4, 'g');
	total = strip_counters(state).total_vm;
	strip_do(state, DIFF_RLIMIT, MM_RLIMIT_AS, PAGES(total + 2));
	assert_int_equal(strip_write(state, STACK - 3), MM_FAULT_MAPERR);
	assert_int_equal(strip_write(state, STACK - 2), MM_FAULT_OK);
}

/* A7. A locked stack counts what it grows by. */
static void locked(void **state)
{
	unsigned long before;

	strip_map(state, STACK, 4, 'g');
	strip_do(state, DIFF_MLOCK, PG(STACK), PAGES(4), 0);
	before = strip_counters(state).locked_vm;
	assert_int_equal(strip_write(state, STACK - 1), MM_FAULT_OK);
	assert_int_equal(strip_counters(state).locked_vm, before + 1);
}

/* A read that finds nothing grows it too; what is not accessible does not grow. */
static void how_touched(void **state)
{
	strip_map(state, STACK, 4, 'g');
	assert_int_equal(strip_read(state, STACK - 1), MM_FAULT_OK);
	assert_int_equal(start_at(state, STACK), STACK - 1);
	strip_protect(state, STACK - 1, 5, 'r');
	strip_do(state, DIFF_WRITE, PG(STACK - 3));
	strip_protect(state, start_at(state, STACK), STACK + 4 - start_at(state, STACK), 'n');
	strip_do(state, DIFF_READ, PG(STACK - 8));
}

/* A7. A limit that refuses growth does so when the stack has its anon_vma. */
static void refused_leaves_an_anon_vma(void **state)
{
	struct mm_vma_info vma;

	strip_map(state, STACK, 4, 'g');
	strip_do(state, DIFF_RLIMIT, MM_RLIMIT_STACK, PAGES(6));
	assert_int_equal(strip_read(state, STACK - 8), MM_FAULT_MAPERR);
	assert_int_equal(mm_next_vma(strip_mm(state), PG(STACK), &vma), 0);
	assert_true(vma.has_anon_vma);
	/* Having one, its lower half does not join the upper one when it is moved behind it. */
	strip_move(state, STACK, 2, STACK + 4);
	assert_int_equal(mm_next_vma(strip_mm(state), PG(STACK), &vma), 0);
	assert_int_equal(vma.end, PG(STACK + 4));
}

/* A7. No memory for the anon_vma of what grew. */
static void without_memory(void **state)
{
	strip_map(state, STACK, 4, 'g');
	platform_fail_nth(strip_platform(state), -1);
	assert_int_equal(mm_fault(strip_mm(state), PG(STACK - 1), MM_WRITE), MM_FAULT_MAPERR);
	platform_fail_nth(strip_platform(state), 0);
	assert_int_equal(start_at(state, STACK), STACK);
	assert_int_equal(mm_validate(strip_mm(state)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(grows),
		strip_test(keeps_its_gap),
		strip_test(inaccessible_neighbour),
		strip_test(stack_below),
		strip_test(limit),
		strip_test(limit_of_all),
		strip_test(locked),
		strip_test(how_touched),
		strip_test(refused_leaves_an_anon_vma),
		strip_test_model(without_memory),
	};

	return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}
