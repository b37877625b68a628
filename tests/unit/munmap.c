/* SPDX-License-Identifier: MIT */
/* B. Unmapping: what is split, what is left, what it costs. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

/* B1. The hole takes the tail of one VMA and the head of the next.
 *
 *   before  |wwwwwwww|rrrrrrrr|
 *   unmap        |------|
 *   after   |wwww|        |rrrr|
 */
static void across_two(void **state)
{
	strip_build(state, "|wwwwwwww|rrrrrrrr|");
	assert_int_equal(strip_unmap(state, 4, 8), 0);
	strip_is(state, "|wwww|        |rrrr|");
}

/* B1. A hole in the middle makes two of one.
 *
 *   before  |WWWW|
 *   unmap     |--|
 *   after   |W|  |W|
 */
static void hole_in_the_middle(void **state)
{
	strip_build(state, "|WWWW|");
	assert_int_equal(strip_unmap(state, 1, 2), 0);
	strip_is(state, "|W|  |W|");
	assert_int_equal(strip_counters(state).splits, 2);
}

/* B1.  |wwww| loses its head; the page offset of the rest stays, so that the head joins again. */
static void head(void **state)
{
	strip_build(state, "|WWWW|");
	assert_int_equal(strip_unmap(state, 0, 2), 0);
	strip_is(state, "  |WW|");
	strip_map(state, 0, 2, 'w');
	strip_is(state, "|WWWW|");
}

/* B1.  |wwww| loses its tail. */
static void tail(void **state)
{
	strip_build(state, "|wwww|");
	assert_int_equal(strip_unmap(state, 2, 2), 0);
	strip_is(state, "|ww|  ");
}

/* B1. Mappings of each kind in the range, the ends cut.
 *
 *   before  |wwww|rr|  |nn|xxxx|
 *   unmap     |------------|
 *   after   |ww|          |xx|
 */
static void many(void **state)
{
	struct mm_counters before, after;

	before = strip_counters(state);
	strip_build(state, "|wwww|rr|  |nn|xxxx|");
	assert_int_equal(strip_unmap(state, 2, 10), 0);
	strip_is(state, "|ww|          |xx|");
	after = strip_counters(state);
	assert_int_equal(after.map_count - before.map_count, 2);
	assert_int_equal(after.total_vm - before.total_vm, 4);
	assert_int_equal(after.data_vm - before.data_vm, 4);
	assert_int_equal(after.accounted - before.accounted, 4);
}

enum marked { NONE, CUT, WRITTEN, NAMED, OF_A_FILE, NR_MARKED };

/* One mapping of many is not like the others: something besides its memory has to be given back. */
static void mark_one(void **state, enum marked marked)
{
	if (marked == WRITTEN)
		strip_write(state, 20);
	if (marked == NAMED)
		assert_int_equal(mm_set_anon_name(strip_mm(state), PG(20), PAGES(1), "a"), 0);
	if (marked == OF_A_FILE)
		strip_map(state, 20, 1, 'd');
}

/* B5. More than are kept at hand go back at once, a cut, written or named one, or a file's, among them. */
static void many_at_once(void **state)
{
#define TWENTY "|w|r|w|r|w|r|w|r|w|r|w|r|w|r|w|r|w|r|w|r"
	struct platform_stats before, built, there, after;
	struct diff *d = *state;
	unsigned long refs = vm_file_refs(d->file[DIFF_DISK]);

	platform_read_stats(strip_platform(state), &before);
	for (enum marked marked = NONE; marked < NR_MARKED; marked++) {
		strip_build(state, TWENTY TWENTY "|");
		platform_read_stats(strip_platform(state), &built);
		mark_one(state, marked);
		platform_read_stats(strip_platform(state), &there);
		assert_int_equal(there.vmas - before.vmas, 40);
		assert_int_equal(there.others - built.others, marked == NAMED);
		assert_int_equal(vm_file_refs(d->file[DIFF_DISK]) - refs, marked == OF_A_FILE);
		platform_fail_nth(strip_platform(state), -1);
		assert_int_equal(strip_unmap(state, marked == CUT, 40), 0);
		platform_fail_nth(strip_platform(state), 0);
		platform_read_stats(strip_platform(state), &after);
		assert_int_equal(after.vmas - before.vmas, marked == CUT);
		assert_int_equal(after.anon_chains, before.anon_chains);
		assert_int_equal(after.others, built.others);
		assert_int_equal(vm_file_refs(d->file[DIFF_DISK]), refs);
		assert_int_equal(mm_validate(strip_mm(state)), 0);
		assert_int_equal(strip_unmap(state, 0, 40), 0);
	}
}

/* Nothing mapped there is no error. */
static void nothing_there(void **state)
{
	strip_build(state, "|ww|  |ww|");
	assert_int_equal(strip_unmap(state, 2, 2), 0);
	assert_int_equal(strip_unmap(state, 100, 20), 0);
	strip_is(state, "|ww|  |ww|");
}

static void bad_arguments(void **state)
{
	strip_build(state, "|ww|");
	assert_int_equal(strip_do(state, DIFF_MUNMAP, PG(0) + 1, PAGES(1)), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MUNMAP, PG(0), 0), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MUNMAP, PG(0), ~0UL), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MUNMAP, PG(0), -4095UL), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MUNMAP, PG(0), TRACEE_TASK_SIZE), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MUNMAP, TRACEE_TASK_SIZE, PAGES(1)), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MUNMAP, -PAGES(1), PAGES(1)), -EINVAL);
	strip_is(state, "|ww|");
}

/* A length is rounded up to pages. */
static void length_rounds_up(void **state)
{
	strip_build(state, "|www|");
	assert_int_equal(strip_do(state, DIFF_MUNMAP, PG(0), PAGES(1) + 1), 0);
	strip_is(state, "  |w|");
}

/* B1, promise 3. Whole mappings go without one attempt to allocate. */
static void whole_allocates_nothing(void **state)
{
	unsigned long before;

	strip_build(state, "|WW|rr|XX|  |nn|ss|dd|");
	before = strip_attempts(state);
	platform_fail_nth(strip_platform(state), -1);
	assert_int_equal(strip_unmap(state, 0, 8), 0);
	strip_is(state, "        |nn|ss|dd|");
	assert_int_equal(strip_unmap(state, 0, 14), 0);
	platform_fail_nth(strip_platform(state), 0);
	strip_is(state, "              ");
	assert_int_equal(strip_attempts(state), before);
}

/* B1, promise 3. A mapping that loses an end is not split: that needs no memory for a VMA, but may fail. */
static void cut_end_is_all_or_nothing(void **state)
{
	long err;

	strip_build(state, "|WWWW|");
	platform_fail_nth(strip_platform(state), -1);
	err = strip_unmap(state, 2, 2);
	platform_fail_nth(strip_platform(state), 0);
	assert_true(err == 0 || err == -ENOMEM);
	strip_is(state, err ? "|WWWW|" : "|WW|  ");
}

/* B2. No memory for the split: the map is as before. */
static void split_without_memory(void **state)
{
	struct platform_stats before, after;

	strip_build(state, "|WWWW|rr|");
	platform_read_stats(strip_platform(state), &before);
	platform_fail_nth(strip_platform(state), -1);
	assert_int_equal(strip_unmap(state, 1, 2), -ENOMEM);
	platform_fail_nth(strip_platform(state), 0);
	platform_read_stats(strip_platform(state), &after);
	strip_is(state, "|WWWW|rr|");
	assert_int_equal(before.vmas, after.vmas);
	assert_int_equal(before.nodes, after.nodes);
	assert_int_equal(before.anon_chains, after.anon_chains);
	assert_int_equal(mm_validate(strip_mm(state)), 0);
}

/* B2. A sealed mapping in the range: refused, and the split before it stays, as on Linux.
 *
 *   before  |wwww|mm|
 *   unmap     |---|
 *   after   |ww|ww|mm|
 */
static void sealed_leaves_a_split(void **state)
{
	strip_build(state, "|wwww|mm|");
	assert_int_equal(strip_unmap(state, 2, 3), -EPERM);
	strip_is(state, "|ww|ww|mm|");
}

/* B2. Nothing is split when the first mapping is the sealed one. */
static void sealed_first(void **state)
{
	strip_build(state, "|mmmm|ww|");
	assert_int_equal(strip_unmap(state, 2, 3), -EPERM);
	strip_is(state, "|mmmm|ww|");
}

/* B2. Whole mappings before the sealed one stay too. */
static void sealed_after_whole(void **state)
{
	strip_build(state, "|ww|rr|mm|");
	assert_int_equal(strip_unmap(state, 0, 5), -EPERM);
	strip_is(state, "|ww|rr|mm|");
}

/* B5. The file's references go with the mappings, and a split takes one. */
static void file_references(void **state)
{
	struct diff *d = *state;
	struct vm_file *file = d->file[DIFF_DISK];
	unsigned long before = vm_file_refs(file);

	strip_build(state, "|dddd|");
	assert_int_equal(vm_file_refs(file), before + 1);
	strip_unmap(state, 1, 2);
	assert_int_equal(vm_file_refs(file), before + 2);
	strip_unmap(state, 0, 4);
	assert_int_equal(vm_file_refs(file), before);
}

/* B5. Each counter falls by what went, and no other. */
static void statistics(void **state)
{
	struct mm_counters before = strip_counters(state), after;

	strip_build(state, "|wwww|eee|kk|gg|rr|");
	after = strip_counters(state);
	assert_int_equal(after.total_vm - before.total_vm, 13);
	assert_int_equal(after.exec_vm - before.exec_vm, 3);
	assert_int_equal(after.locked_vm - before.locked_vm, 2);
	assert_int_equal(after.stack_vm - before.stack_vm, 2);
	assert_int_equal(after.data_vm - before.data_vm, 6);
	strip_unmap(state, 0, 13);
	after = strip_counters(state);
	assert_int_equal(after.total_vm, before.total_vm);
	assert_int_equal(after.exec_vm, before.exec_vm);
	assert_int_equal(after.locked_vm, before.locked_vm);
	assert_int_equal(after.stack_vm, before.stack_vm);
	assert_int_equal(after.data_vm, before.data_vm);
	assert_int_equal(after.accounted, before.accounted);
	assert_int_equal(after.map_count, before.map_count);
}

/* B11. The high-water mark keeps what was there before. */
static void high_water(void **state)
{
	unsigned long top;

	strip_build(state, "|wwwwwwww|");
	top = strip_counters(state).total_vm;
	strip_unmap(state, 0, 8);
	assert_int_equal(strip_counters(state).hiwater_vm, top);
}

/* The last page of the user range can be mapped and unmapped. */
static void top_of_the_range(void **state)
{
	unsigned long top = TRACEE_TASK_SIZE - PAGES(1);

	assert_int_equal(strip_do(state, DIFF_MMAP, top, PAGES(1), PROT_READ, MAP_FIXED), (long)top);
	assert_int_equal(strip_do(state, DIFF_MUNMAP, top, PAGES(1)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(across_two),
		strip_test(hole_in_the_middle),
		strip_test(head),
		strip_test(tail),
		strip_test(many),
		strip_test_model(many_at_once),
		strip_test(nothing_there),
		strip_test(bad_arguments),
		strip_test(length_rounds_up),
		strip_test(whole_allocates_nothing),
		strip_test_model(cut_end_is_all_or_nothing),
		strip_test_model(split_without_memory),
		strip_test(sealed_leaves_a_split),
		strip_test(sealed_first),
		strip_test(sealed_after_whole),
		strip_test(file_references),
		strip_test(statistics),
		strip_test(high_water),
		strip_test(top_of_the_range),
	};

	return cmocka_run_group_tests_name("munmap", tests, NULL, NULL);
}
