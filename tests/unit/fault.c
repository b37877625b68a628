/* SPDX-License-Identifier: MIT */
/* Faults on private memory: what a touch puts into the page tables, on each kind of hardware. */
#include "support/world.h"

/*   touched     r  w                       r w
 *   before    |....|                     |0...|
 *   after     |0.A.|   and then a write  |A...|
 */
static void first_touches(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;

	map_anon(mm, 0, 4, RW);
	pages_are(mm, 0, "....");
	assert_int_equal(touch(mm, 0, MM_READ), MM_FAULT_OK);
	assert_int_equal(touch(mm, 2, MM_WRITE), MM_FAULT_OK);
	pages_are(mm, 0, "0.A.");
	assert_int_equal(get_mm_counter(mm->pt, MM_ANONPAGES), 1);
	assert_true(info_of(mm, 2).exclusive && info_of(mm, 2).dirty && info_of(mm, 2).young);
	assert_int_equal(get_byte(mm, 2), 0);
	put_byte(mm, 0, 7);
	pages_are(mm, 0, "A.A.");
	assert_int_equal(get_byte(mm, 0), 7);
	assert_int_equal(touch(mm, 1, MM_READ), MM_FAULT_OK);
	assert_int_equal(get_byte(mm, 1), 0);
	assert_int_equal(get_mm_counter(mm->pt, MM_ANONPAGES), 2);
	valid(world_of(state)->ctx, mm);
}

/* A frame that was used is handed out again, and shows nothing of what was in it. */
static void fresh_means_zero(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	static unsigned char bytes[PAGE_SIZE], zero[PAGE_SIZE];
	int i;

	map_anon(mm, 0, 8, RW);
	memset(bytes, 0x5a, sizeof(bytes));
	for (i = 0; i < 8; i++)
		assert_int_equal(mm_write(mm, AT(i), bytes, PAGE_SIZE, NULL), MM_FAULT_OK);
	assert_int_equal(mm_munmap(mm, AT(0), 8 * PAGE_SIZE), 0);
	map_anon(mm, 0, 8, RW);
	for (i = 0; i < 8; i++) {
		assert_int_equal(touch(mm, i, MM_WRITE), MM_FAULT_OK);
		assert_int_equal(mm_read(mm, AT(i), bytes, PAGE_SIZE, NULL), MM_FAULT_OK);
		assert_memory_equal(bytes, zero, PAGE_SIZE);
	}
}

static void refused(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	unsigned char byte = 1;
	size_t done = 99;

	map_anon(mm, 0, 2, PROT_READ);
	map_anon(mm, 2, 2, PROT_NONE);
	assert_int_equal(touch(mm, 0, MM_WRITE), MM_FAULT_ACCERR);
	assert_int_equal(touch(mm, 2, MM_READ), MM_FAULT_ACCERR);
	assert_int_equal(touch(mm, 4, MM_READ), MM_FAULT_MAPERR);
	assert_int_equal(mm_write(mm, AT(0), &byte, 1, &done), MM_FAULT_ACCERR);
	assert_int_equal(done, 0);
	pages_are(mm, 0, ".....");
}

/*
 * No frame, or no table for one: nothing has changed but tables that are empty, and the next touch
 * succeeds.
 */
static void without_memory(void **state)
{
	struct world *p = world_of(state);
	struct platform *pf = mm_context_platform(p->ctx);
	enum mm_fault fault = MM_FAULT_OOM;
	int n, points = 0;

	map_anon(p->mm, 0, 2, RW);
	touch(p->mm, 0, MM_WRITE);
	for (n = 1; fault != MM_FAULT_OK; n++, points++) {
		map_anon(p->mm, 1 << 22, 1, RW);
		platform_fail_nth(pf, n);
		fault = touch(p->mm, 1 << 22, MM_WRITE);
		platform_fail_nth(pf, 0);
		if (fault != MM_FAULT_OK) {
			assert_int_equal(fault, MM_FAULT_OOM);
			pages_are(p->mm, 1 << 22, ".");
		}
		assert_int_equal(get_mm_counter(p->mm->pt, MM_ANONPAGES), 1 + (fault == MM_FAULT_OK));
		valid(p->ctx, p->mm);
	}
	assert_true(points > 2);
	pages_are(p->mm, 1 << 22, "A");
}

/* Executing is asked of the entry too. */
static void executing(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;

	map_anon(mm, 0, 1, RW);
	put_byte(mm, 0, 0xc3);
	assert_int_equal(touch(mm, 0, MM_EXEC), MM_FAULT_ACCERR);
	assert_int_equal(mm_mprotect(mm, AT(0), PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(touch(mm, 0, MM_EXEC), MM_FAULT_OK);
	pages_are(mm, 0, "a");
	assert_int_equal(get_byte(mm, 0), 0xc3);
	assert_int_equal(touch(mm, 0, MM_WRITE), MM_FAULT_ACCERR);
	valid(world_of(state)->ctx, mm);
}

/* G4. Pages may be missing: whoever would see it gets a bus error. */
static void in_an_unstable_address_space(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = world_file(world_of(state)->ctx, NULL);

	map_anon(mm, 0, 3, RW);
	map_file(mm, 4, 3, RW, MAP_PRIVATE, file, 0);
	touch(mm, 0, MM_WRITE);
	touch(mm, 1, MM_READ);
	touch(mm, 5, MM_READ);
	mm_set_flag(mm, MMF_UNSTABLE);
	assert_int_equal(touch(mm, 2, MM_READ), MM_FAULT_BUS);
	assert_int_equal(touch(mm, 2, MM_WRITE), MM_FAULT_BUS);
	assert_int_equal(touch(mm, 1, MM_WRITE), MM_FAULT_BUS);
	assert_int_equal(touch(mm, 4 + 2, MM_WRITE), MM_FAULT_BUS);
	vm_file_put(file);
}

/* Guard markers: no access gets past, and only those who know them take them away. */
static void guards(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	unsigned char byte = 1;
	size_t done;

	map_anon(mm, 0, 6, RW);
	put_byte(mm, 1, 5);
	put_byte(mm, 2, 5);
	assert_int_equal(mm_madvise(mm, AT(2), 2 * PAGE_SIZE, MADV_GUARD_INSTALL), 0);
	pages_are(mm, 0, ".Agg..");
	assert_int_equal(get_mm_counter(mm->pt, MM_ANONPAGES), 1);
	assert_int_equal(touch(mm, 2, MM_READ), MM_FAULT_MAPERR);
	assert_int_equal(touch(mm, 3, MM_WRITE), MM_FAULT_MAPERR);
	assert_int_equal(mm_write(mm, AT(2) - 1, "xy", 2, &done), MM_FAULT_MAPERR);
	assert_int_equal(done, 1);
	assert_int_equal(mm_peek(mm, AT(2), &byte, 1), -ENODATA);
	valid(world_of(state)->ctx, mm);
	assert_int_equal(mm_madvise(mm, AT(0), 6 * PAGE_SIZE, MADV_DONTNEED), 0);
	pages_are(mm, 0, "..gg..");
	assert_int_equal(mm_madvise(mm, AT(0), 3 * PAGE_SIZE, MADV_GUARD_REMOVE), 0);
	pages_are(mm, 0, "...g..");
	assert_int_equal(get_byte(mm, 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		page_test(first_touches), page_test(fresh_means_zero), page_test(refused),
		page_test(without_memory), page_test(executing), page_test(in_an_unstable_address_space),
		page_test(guards),
	};

	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
