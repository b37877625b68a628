/* SPDX-License-Identifier: MIT */
/*
 * What calls and touches leave of pages. Beside the kernel each step compares which pages are present and what
 * they contain (tests/kernel/strip_pages.c); alone, the model has no page tables here, and the results are what is asked for.
 */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

/* What may be written to may be read, and its zero page is accessible. */
static void read_of_what_is_for_writing(void **state)
{
	strip_mmap(state, 0, 3, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	assert_int_equal(strip_read(state, 1), MM_FAULT_OK);
	assert_int_equal(strip_write(state, 1), MM_FAULT_OK);
	strip_mmap(state, 8, 3, PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
	assert_int_equal(strip_read(state, 9), MM_FAULT_OK);
	strip_protect(state, 8, 3, 'r');
	assert_int_equal(strip_read(state, 9), MM_FAULT_OK);
}

/* An instruction that may not be executed is fetched all the same: its page stays. */
static void fetch_leaves_a_page(void **state)
{
	strip_mmap(state, 0, 3, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
	assert_int_equal(strip_do(state, DIFF_EXEC, PG(1)), MM_FAULT_ACCERR);
	strip_mmap(state, 4, 3, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
	assert_int_equal(strip_do(state, DIFF_EXEC, PG(5)), MM_FAULT_ACCERR);
}

/* B9. Droppable memory goes when it is paged out, saved nowhere; other private memory stays where there is no swap. */
static void droppable_is_dropped(void **state)
{
	strip_mmap(state, 0, 3, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_DROPPABLE);
	assert_int_equal(strip_write(state, 1), MM_FAULT_OK);
	assert_int_equal(strip_advise(state, 0, 3, MADV_PAGEOUT), 0);
	assert_int_equal(strip_read(state, 1), MM_FAULT_OK);
}

/* A read maps sixteen pages from where the mapping begins, if they are in memory. */
static void around_from_the_beginning(void **state)
{
	strip_do_file(state, DIFF_MEMFD, DIFF_MMAP, PG(0), PAGES(30), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, 0);
	for (unsigned long i = 0; i < 30; i += 2)
		assert_int_equal(strip_write(state, i), MM_FAULT_OK);
	strip_do_file(state, DIFF_MEMFD, DIFF_MMAP, PG(43), PAGES(20), PROT_READ, MAP_PRIVATE | MAP_FIXED, PAGES(3));
	assert_int_equal(strip_read(state, 45), MM_FAULT_OK);
	assert_int_equal(strip_read(state, 62), MM_FAULT_OK);
}

/* What is in memory around is mapped although the page that was asked for lies beyond the end. */
static void around_what_is_beyond(void **state)
{
	strip_mmap(state, 0, 2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
	assert_int_equal(strip_write(state, 1), MM_FAULT_OK);
	assert_true(strip_do(state, DIFF_MREMAP, PG(0), PAGES(2), PAGES(4), MREMAP_MAYMOVE | MREMAP_FIXED, PG(10)) > 0);
	assert_int_equal(strip_do(state, DIFF_MADVISE, PG(10), PAGES(4), MADV_DONTNEED), 0);
	assert_int_equal(strip_read(state, 12), MM_FAULT_BUS);
	assert_int_equal(strip_do(state, DIFF_EXEC, PG(13)), MM_FAULT_BUS);
}

/* B9. Files end at 2^63: what lies beyond can be mapped of /dev/zero, and no hole be punched in it. */
static void no_hole_beyond_all_files(void **state)
{
	unsigned long shared = MAP_SHARED | MAP_FIXED, rw = PROT_READ | PROT_WRITE;

	strip_do_file(state, DIFF_ZERO, DIFF_MMAP, PG(0), PAGES(4), rw, shared, 1UL << 63);
	assert_int_equal(strip_advise(state, 0, 2, MADV_REMOVE), -EINVAL);
	assert_int_equal(strip_advise(state, 2, 4, MADV_REMOVE), -EINVAL);
}

/* A key whose rights have gone forbids what was done a moment ago. */
static void rights_of_a_key_change(void **state)
{
	long key = strip_do(state, DIFF_PKEY_ALLOC, 0, 0);

	if (key < 0) {
		print_message("no protection keys here\n");
		skip();
	}
	strip_map(state, 0, 2, 'w');
	strip_do(state, DIFF_PKEY_MPROTECT, PG(0), PAGES(2), PROT_READ | PROT_WRITE, (unsigned long)key);
	assert_int_equal(strip_write(state, 0), MM_FAULT_OK);
	assert_int_equal(strip_do(state, DIFF_PKEY_FREE, (unsigned long)key), 0);
	assert_int_equal(strip_do(state, DIFF_PKEY_ALLOC, 0, 1), key);
	assert_int_equal(strip_write(state, 0), MM_FAULT_PKUERR);
}

/* E2, F4. After a fork each side has its own. */
static void each_side_its_own(void **state)
{
	strip_map(state, 0, 4, 'w');
	strip_do(state, DIFF_WRITE, PG(1) + 100, 0x11);
	assert_int_equal(strip_fork(state), 0);
	strip_do_in(state, 1, DIFF_WRITE, PG(1) + 100, 0x22);
	strip_do(state, DIFF_WRITE, PG(1) + 101, 0x33);
	strip_do_in(state, 1, DIFF_WRITE, PG(2) + 100, 0x44);
	assert_int_equal(strip_read(state, 2), MM_FAULT_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(read_of_what_is_for_writing),
		strip_test(fetch_leaves_a_page),
		strip_test(droppable_is_dropped),
		strip_test(around_from_the_beginning),
		strip_test(around_what_is_beyond),
		strip_test(no_hole_beyond_all_files),
		strip_test(rights_of_a_key_change),
		strip_test(each_side_its_own),
	};

	return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
