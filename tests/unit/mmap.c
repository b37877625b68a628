/* SPDX-License-Identifier: MIT */
/* Mapping: where, over what, and what is refused. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

#define TWO_MB (1UL << 21)

/* B7. A fixed mapping replaces what is there.
 *
 *   before  |ww|rrrr|xx|
 *   map       |nnnn|
 *   after   |w|nnnnnn|x|
 */
static void fixed_replaces(void **state)
{
	strip_build(state, "|ww|rrrr|xx|");
	strip_map(state, 1, 6, 'n');
	strip_is(state, "|w|nnnnnn|x|");
}

/* B7. ... of the same kind: nothing is left of what was there, and it joins what stays. */
static void fixed_over_the_same(void **state)
{
	strip_build(state, "|wwwwww|");
	strip_map(state, 2, 2, 'w');
	strip_is(state, "|wwwwww|");
}

/* B7. In the middle of a written mapping: joins the left part only, since both sides have one anon_vma. */
static void fixed_into_a_written_one(void **state)
{
	strip_build(state, "|WWWWWW|");
	strip_map(state, 2, 2, 'w');
	strip_is(state, "|WWWWWW|");
}

static void noreplace(void **state)
{
	strip_build(state, "  |ww|  ");
	assert_int_equal(strip_do(state, DIFF_MMAP, PG(0), PAGES(3), PROT_READ, MAP_FIXED_NOREPLACE),
			 -EEXIST);
	assert_int_equal(strip_do(state, DIFF_MMAP, PG(0), PAGES(2), PROT_READ, MAP_FIXED_NOREPLACE),
			 (long)PG(0));
	strip_is(state, "|rr|ww|  ");
}

/* A hint that is free is taken, rounded down; one that is not is ignored. */
static void hints(void **state)
{
	long at;

	strip_build(state, "|ww|    ");
	assert_int_equal(strip_do(state, DIFF_MMAP, PG(3) + 5, PAGES(1), PROT_READ, MAP_PRIVATE),
			 (long)PG(3));
	at = strip_do(state, DIFF_MMAP, PG(1), PAGES(2), PROT_NONE, MAP_PRIVATE);
	assert_true(at > (long)PG(6));
	strip_is(state, "|ww| |r|  ");
}

/* The search begins at the base and goes down; equal neighbours join. */
static void top_down(void **state)
{
	struct diff *d = *state;
	unsigned long base = d->layout.mmap_base;

	assert_int_equal(strip_do(state, DIFF_MMAP, 0, PAGES(2), PROT_READ, MAP_PRIVATE),
			 (long)(base - PAGES(2)));
	assert_int_equal(strip_do(state, DIFF_MMAP, 0, PAGES(1), PROT_NONE, MAP_PRIVATE),
			 (long)(base - PAGES(3)));
	strip_do(state, DIFF_MUNMAP, base - PAGES(2), PAGES(2));
	assert_int_equal(strip_do(state, DIFF_MMAP, 0, PAGES(3), PROT_READ, MAP_PRIVATE),
			 (long)(base - PAGES(6)));
	assert_int_equal(strip_do(state, DIFF_MMAP, 0, PAGES(2), PROT_READ, MAP_PRIVATE),
			 (long)(base - PAGES(2)));
}

/* Multiples of 2 MiB are aligned to it. */
static void huge_alignment(void **state)
{
	long at = strip_do(state, DIFF_MMAP, 0, TWO_MB, PROT_NONE, MAP_PRIVATE);

	assert_true(at > 0);
	assert_int_equal(at % (long)TWO_MB, 0);
	at = strip_do(state, DIFF_MMAP, 0, TWO_MB + PAGES(1), PROT_NONE, MAP_PRIVATE);
	assert_true(at > 0);
	assert_int_not_equal(at % (long)TWO_MB, 0);
}

/* A stack keeps 256 pages free below itself. */
static void gap_below_a_stack(void **state)
{
	struct diff *d = *state;
	unsigned long base = d->layout.mmap_base;
	long stack =
		strip_do(state, DIFF_MMAP, 0, PAGES(4), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_GROWSDOWN);
	long next;

	assert_true(stack > 0);
	next = strip_do(state, DIFF_MMAP, 0, PAGES(1), PROT_READ, MAP_PRIVATE);
	assert_int_equal(next, (long)(base < (unsigned long)stack + PAGES(5) ?
				      (unsigned long)stack - PAGES(257) : base - PAGES(1)));
}

static void bad_arguments(void **state)
{
	assert_int_equal(strip_mmap(state, 0, 0, PROT_READ, MAP_PRIVATE), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MMAP, PG(0) + 1, PAGES(1), PROT_READ, MAP_FIXED), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MMAP, 0, ~0UL, PROT_READ, MAP_PRIVATE), -ENOMEM);
	assert_int_equal(strip_do(state, DIFF_MMAP, 0, TRACEE_TASK_SIZE, PROT_READ, MAP_PRIVATE), -ENOMEM);
	assert_int_equal(strip_do(state, DIFF_MMAP, TRACEE_TASK_SIZE, PAGES(1), PROT_READ, MAP_FIXED),
			 -ENOMEM);
	assert_int_equal(strip_do_file(state, DIFF_DISK, DIFF_MMAP, PG(0), PAGES(1), PROT_READ, MAP_FIXED, 0),
			 -EINVAL);
	assert_int_equal(strip_do_file(state, DIFF_DISK, DIFF_MMAP, PG(0), PAGES(1), PROT_READ,
				       MAP_PRIVATE | MAP_FIXED, 100), -EINVAL);
	assert_int_equal(strip_do_file(state, DIFF_DISK, DIFF_MMAP, PG(0), PAGES(2), PROT_READ,
				       MAP_PRIVATE | MAP_FIXED, -PAGES(1)), -EOVERFLOW);
	strip_is(state, "  ");
}

/* What the file was opened for decides. */
static void file_access(void **state)
{
	assert_int_equal(strip_do_file(state, DIFF_DISK_WRITE_ONLY, DIFF_MMAP, PG(0), PAGES(1), PROT_WRITE,
				       MAP_SHARED | MAP_FIXED, 0), -EACCES);
	assert_int_equal(strip_do_file(state, DIFF_DISK_READ_ONLY, DIFF_MMAP, PG(0), PAGES(1), PROT_WRITE,
				       MAP_SHARED | MAP_FIXED, 0), -EACCES);
	assert_int_equal(strip_do_file(state, DIFF_DISK_READ_ONLY, DIFF_MMAP, PG(0), PAGES(1), PROT_WRITE,
				       MAP_PRIVATE | MAP_FIXED, 0), (long)PG(0));
	assert_int_equal(strip_do_file(state, DIFF_DISK, DIFF_MMAP, PG(1), PAGES(1), PROT_READ,
				       MAP_SHARED_VALIDATE | MAP_FIXED | MAP_SYNC, 0), -EOPNOTSUPP);
	strip_is(state, "|d| ");
}

/* MAP_SYNC is a flag of the mapping; file systems refuse it, after what else there is to refuse. */
static void sync_is_refused_by_files(void **state)
{
	struct mm_vma_info vma;

	assert_int_equal(strip_mmap(state, 0, 1, PROT_READ, MAP_PRIVATE | MAP_SYNC), (long)PG(0));
	assert_int_equal(mm_next_vma(strip_mm(state), PG(0), &vma), 0);
	assert_true(vma.flags & MM_VM_SYNC);
	assert_int_equal(strip_do_file(state, DIFF_DISK, DIFF_MMAP, PG(2), PAGES(1), PROT_READ,
				       MAP_PRIVATE | MAP_FIXED | MAP_SYNC, 0), -EOPNOTSUPP);
	assert_int_equal(strip_do_file(state, DIFF_DISK_READ_ONLY, DIFF_MMAP, PG(2), PAGES(1),
				       PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_FIXED | MAP_SYNC, 0),
			 -EACCES);
}

/* B2, partial effect: a file that refuses its mapping does so when what was there is gone.
 *
 *   before  |wwwwww|
 *   map       |dd|    refused
 *   after   |ww|  |ww|
 */
static void refused_by_the_file(void **state)
{
	strip_build(state, "|wwwwww|");
	assert_int_equal(strip_do_file(state, DIFF_DISK, DIFF_MMAP, PG(2), PAGES(2), PROT_READ,
				       MAP_PRIVATE | MAP_FIXED | MAP_SYNC, 0), -EOPNOTSUPP);
	strip_is(state, "|ww|  |ww|");
}

/* B2, partial effect: a limit that refuses does so when the ends have been split.
 *
 *   before  |wwww|  |rrrr|
 *   map       |rrrrrr|      refused
 *   after   |ww|ww|  |rr|rr|
 */
static void refused_by_a_limit(void **state)
{
	strip_build(state, "|wwww|  |rrrr|");
	strip_do(state, DIFF_RLIMIT, MM_RLIMIT_AS, PAGES(strip_counters(state).total_vm + 1));
	assert_int_equal(strip_mmap(state, 2, 6, PROT_READ, MAP_PRIVATE), -ENOMEM);
	strip_is(state, "|ww|ww|  |rr|rr|");
}

/* How far a file of each kind may reach. */
static void offset_limits(void **state)
{
	static const struct {
		enum diff_file file;
		uint64_t offset;
		long err;
	} row[] = {
		{ DIFF_DISK, 0x7fffffffffffe000, 0 },	  { DIFF_DISK, 0x7ffffffffffff000, -EOVERFLOW },
		{ DIFF_MEMFD, 0x7fffffffffffe000, 0 },	  { DIFF_MEMFD, 0x8000000000000000, -EOVERFLOW },
		{ DIFF_ZERO, 0xffffffffffffe000, 0 },	  { DIFF_ZERO, 0xfffffffffffff000, -EOVERFLOW },
	};
	size_t i;

	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		assert_int_equal(strip_do_file(state, row[i].file, DIFF_MMAP, PG(0), PAGES(1), PROT_READ,
					       MAP_PRIVATE | MAP_FIXED, row[i].offset),
				 row[i].err ? row[i].err : (long)PG(0));
}

/* A fixed address that looks like an error number is returned as one. */
static void address_like_an_error(void **state)
{
	assert_int_equal(strip_do(state, DIFF_MMAP, ~0UL, PAGES(1), PROT_READ, MAP_FIXED), -EPERM);
	assert_int_equal(strip_do(state, DIFF_MMAP, -2UL, PAGES(1), PROT_READ, MAP_FIXED_NOREPLACE), -ENOENT);
	assert_int_equal(strip_do(state, DIFF_MMAP, -4096UL, PAGES(1), PROT_READ, MAP_FIXED), -ENOMEM);
}

/* Droppable memory: never promised, dumped, inherited or locked, and no advice changes that. */
static void droppable(void **state)
{
	struct mm_counters before = strip_counters(state);
	struct mm_vma_info vma;

	assert_int_equal(strip_mmap(state, 0, 2, PROT_READ | PROT_WRITE, 8), (long)PG(0));
	assert_int_equal(strip_mmap(state, 4, 2, PROT_READ, 8 | MAP_LOCKED), -EINVAL);
	assert_int_equal(strip_mmap(state, 4, 2, PROT_READ, 8 | MAP_GROWSDOWN), -EINVAL);
	assert_int_equal(
		strip_do_file(state, DIFF_MEMFD, DIFF_MMAP, PG(4), PAGES(2), PROT_READ, MAP_FIXED | 8, 0),
		-EINVAL);
	assert_int_equal(strip_do(state, DIFF_MADVISE, PG(0), PAGES(2), MADV_DODUMP), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MADVISE, PG(0), PAGES(2), 19 /* KEEPONFORK */), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MADVISE, PG(0), PAGES(2), MADV_MERGEABLE), 0);
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), PAGES(2), 0), 0);
	assert_int_equal(mm_next_vma(strip_mm(state), PG(0), &vma), 0);
	assert_true(vma.flags & MM_VM_DROPPABLE);
	assert_false(vma.flags & (MM_VM_LOCKED | MM_VM_MERGEABLE | MM_VM_ACCOUNT));
	assert_int_equal(strip_counters(state).accounted, before.accounted);
	assert_int_equal(strip_counters(state).locked_vm, before.locked_vm);
}

/*
 * B1. Droppable memory that would be locked joins nothing when it is mapped, and is populated.
 *
 *   locked   |AA|BB|  |CC|      anon_vmas: A and B share one, C has its own
 *   then     |AA|BBBB|CC|       the hole filled, with nothing to be locked
 */
static void droppable_under_mlockall(void **state)
{
	unsigned long rw = PROT_READ | PROT_WRITE;

	strip_do(state, DIFF_MLOCKALL, MCL_FUTURE);
	strip_mmap(state, 0, 2, rw, 8);
	strip_mmap(state, 2, 2, rw, 8);
	strip_is(state, "|PP|PP|");
	strip_mmap(state, 6, 2, rw, 8);
	strip_do(state, DIFF_MUNLOCKALL, 0);
	strip_mmap(state, 4, 2, rw, 8);
	strip_is(state, "|PP|PPPP|PP|");
}

/* A hint below the lowest address is moved up to it. */
static void low_hint(void **state)
{
	assert_int_equal(strip_do(state, DIFF_MMAP, 4097, PAGES(1), PROT_READ, MAP_PRIVATE), 65536);
}

/* A mapping that is not readable and not private to it: nothing is charged. */
static void what_is_promised(void **state)
{
	unsigned long before = strip_counters(state).accounted;

	strip_map(state, 0, 2, 'r');
	strip_map(state, 2, 2, 'n');
	strip_mmap(state, 6, 2, PROT_READ | PROT_WRITE, MAP_NORESERVE | MAP_PRIVATE);
	assert_int_equal(strip_counters(state).accounted, before);
	strip_map(state, 10, 2, 'w');
	strip_map(state, 14, 2, 'd');
	assert_int_equal(strip_counters(state).accounted, before + 4);
}

/* B7. No memory: what was to be replaced is still there. */
static void fixed_without_memory(void **state)
{
	long n, err;

	strip_build(state, "|WW|rrrr|XX|");
	for (n = 1;; n++) {
		platform_fail_nth(strip_platform(state), n);
		err = strip_map(state, 1, 6, 'n');
		platform_fail_nth(strip_platform(state), 0);
		if (err > 0)
			break;
		assert_int_equal(err, -ENOMEM);
		strip_is(state, "|WW|rrrr|XX|");
	}
	assert_true(n > 1);
	strip_is(state, "|W|nnnnnn|X|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(fixed_replaces),
		strip_test(fixed_over_the_same),
		strip_test(fixed_into_a_written_one),
		strip_test(noreplace),
		strip_test(hints),
		strip_test(top_down),
		strip_test(huge_alignment),
		strip_test(gap_below_a_stack),
		strip_test(bad_arguments),
		strip_test(file_access),
		strip_test(what_is_promised),
		strip_test(sync_is_refused_by_files),
		strip_test(refused_by_the_file),
		strip_test(refused_by_a_limit),
		strip_test(offset_limits),
		strip_test(address_like_an_error),
		strip_test(low_hint),
		strip_test(droppable),
		strip_test(droppable_under_mlockall),
		strip_test_model(fixed_without_memory),
	};

	return cmocka_run_group_tests_name("mmap", tests, NULL, NULL);
}
