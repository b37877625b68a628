/* SPDX-License-Identifier: MIT */
/* remap_file_pages, and the ends of files. Promise 1. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

static uint64_t offset_at(void **state, unsigned long at)
{
	struct mm_vma_info vma;

	assert_int_equal(mm_next_vma(strip_mm(state), PG(at), &vma), 0);
	return (vma.offset + PG(at) - vma.start) / DIFF_PAGE;
}

#define remap_pages(state, at, count, pgoff) strip_do(state, DIFF_REMAP_FILE, PG(at), PAGES(count), 0, pgoff, 0)

/*   |ssssss|  ->  |ss|ss|ss|  ->  |ssssss|   a part shows another part of the file, and its own again */
static void part(void **state)
{
	strip_build(state, "|ssssss|");
	assert_int_equal(remap_pages(state, 2, 2, 0), 0);
	strip_is(state, "|ss|ss|ss|");
	assert_int_equal(offset_at(state, 2), 0);
	assert_int_equal(remap_pages(state, 2, 2, 2), 0);
	strip_is(state, "|ssssss|");
}

/* Mappings that touch, and differ in their place alone, are taken together. */
static void several(void **state)
{
	strip_build(state, "|ssssss|");
	assert_int_equal(remap_pages(state, 2, 2, 0), 0);
	assert_int_equal(remap_pages(state, 0, 6, 0), 0);
	strip_is(state, "|ssssss|");
	strip_protect(state, 4, 2, 'r');
	assert_int_equal(remap_pages(state, 0, 6, 1), -EINVAL);
	strip_unmap(state, 3, 1);
	assert_int_equal(remap_pages(state, 0, 4, 1), -EINVAL);
	assert_int_equal(offset_at(state, 0), 0);
}

/* Guards, though gone, leave a mark, which a new mapping has not.
 *
 *   before    |ssssss|   guarded; then a part is mapped anew
 *   after     |ss|ss|ss|
 */
static void after_guards(void **state)
{
	strip_build(state, "|ssssss|");
	assert_int_equal(strip_advise(state, 0, 1, 102 /* GUARD_INSTALL */), 0);
	assert_int_equal(strip_advise(state, 0, 1, 103 /* GUARD_REMOVE */), 0);
	assert_int_equal(remap_pages(state, 2, 2, 0), 0);
	strip_is(state, "|ss|ss|ss|");
	assert_int_equal(remap_pages(state, 0, 6, 0), -EINVAL);
	assert_int_equal(remap_pages(state, 2, 2, 2), 0);
	/* It keeps no mappings apart. */
	strip_is(state, "|ssssss|");
	assert_int_equal(remap_pages(state, 0, 6, 0), 0);
}

/* What is locked stays locked. */
static void locked(void **state)
{
	strip_build(state, "|ssss|");
	strip_do(state, DIFF_MLOCK, PG(0), PAGES(4), 1);
	assert_int_equal(remap_pages(state, 1, 2, 0), 0);
	strip_is(state, "|k|kk|k|");
	assert_int_equal(strip_counters(state).locked_vm, 4);
}

static void refused(void **state)
{
	strip_build(state, "|ss|ww|dd|");
	assert_int_equal(remap_pages(state, 2, 2, 0), -EINVAL);
	assert_int_equal(remap_pages(state, 4, 2, 0), -EINVAL);
	assert_int_equal(remap_pages(state, 8, 2, 0), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_REMAP_FILE, PG(0), PAGES(2), PROT_READ, 0, 0), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_REMAP_FILE, PG(0), 4095, 0, 0, 0), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_REMAP_FILE, PG(0), -4096UL, 0, 0, 0), -EINVAL);
	assert_int_equal(remap_pages(state, 0, 2, ~0UL), -EINVAL);
	assert_int_equal(remap_pages(state, 0, 2, 1UL << 51), -EOVERFLOW);
	assert_int_equal(remap_pages(state, 0, 2, 1UL << 60), -EOVERFLOW);
	strip_is(state, "|ss|ww|dd|");
	/* Unaligned ends are cut off. */
	assert_int_equal(strip_do(state, DIFF_REMAP_FILE, PG(0) + 100, PAGES(2) + 5, 0, 1, 0), 0);
	assert_int_equal(offset_at(state, 0), 1);
}

/* Nobody can touch what lies beyond the end of a file; private memory has its anon_vma by then. */
static void beyond_the_end(void **state)
{
	const unsigned long end = DIFF_FILE_BYTES / DIFF_PAGE;

	strip_build(state, "|ssss|");
	assert_int_equal(remap_pages(state, 0, 2, 3), 0);
	assert_int_equal(strip_write(state, 0), MM_FAULT_OK);
	assert_int_equal(strip_read(state, 1), MM_FAULT_BUS);
	assert_int_equal(strip_advise(state, 0, 2, 22 /* POPULATE_READ */), -EFAULT);
	strip_do_file(state, DIFF_DISK, DIFF_MMAP, PG(6), PAGES(2), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
		      (end - 1) * DIFF_PAGE);
	assert_int_equal(strip_read(state, 6), MM_FAULT_OK);
	assert_int_equal(strip_do(state, DIFF_EXEC, PG(6)), MM_FAULT_ACCERR);
	/* An instruction is read before it is seen that it may not be executed. */
	assert_int_equal(strip_do(state, DIFF_EXEC, PG(7)), MM_FAULT_BUS);
	strip_is(state, "|ss|ss|  |dd|");
	assert_int_equal(strip_write(state, 7), MM_FAULT_BUS);
	strip_is(state, "|ss|ss|  |DD|");
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(6), PAGES(2), 0), -ENOMEM);
	strip_protect(state, 6, 2, 'n');
	assert_int_equal(strip_do(state, DIFF_EXEC, PG(7)), MM_FAULT_ACCERR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(part),
		strip_test(several),
		strip_test(after_guards),
		strip_test(locked),
		strip_test(refused),
		strip_test(beyond_the_end),
	};

	return cmocka_run_group_tests_name("remap_file", tests, NULL, NULL);
}
