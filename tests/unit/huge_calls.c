/* SPDX-License-Identifier: MIT */
/* Memory in huge pages: promise 1. Drawn in huge pages, H, one a letter. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

#define RW (PROT_READ | PROT_WRITE)
#define AT(n) (DIFF_HUGE_WINDOW + (unsigned long)(n) * DIFF_HUGE_PAGE)
#define HUGE(n) ((unsigned long)(n) * DIFF_HUGE_PAGE)

static bool no_pool(void **state)
{
	struct diff *d = *state;

	if (d->has_huge)
		return false;
	print_message("no pool of huge pages can be made here\n");
	return true;
}

static long map_flags(void **state, unsigned long at, unsigned long count, unsigned long flags)
{
	return strip_do(state, DIFF_MMAP, AT(at), HUGE(count), RW, MAP_FIXED | MAP_HUGETLB | flags);
}

#define map_private(state, at, count) map_flags(state, at, count, MAP_PRIVATE)
#define unmap(state, at, count) strip_do(state, DIFF_MUNMAP, AT(at), HUGE(count))

/* Huge pages that are promised; the kernel agrees. */
static unsigned long promised(void **state)
{
	struct diff *d = *state;
	unsigned long pages = mm_context_huge_promised(d->ctx);

	if (!d->model_only)
		assert_int_equal(diff_pool_promised(&d->pool), pages);
	return pages;
}

/* The mappings from AT(0), as "2w2-4r": length in huge pages and protection; "-" for a gap. */
static void is(void **state, const char *drawing)
{
	char out[128] = "", *p = out;
	struct mm_vma_info vma;
	unsigned long at = AT(0);

	while (!mm_next_vma(strip_mm(state), at, &vma) && vma.start < AT(64)) {
		if (vma.start > at)
			p += sprintf(p, "%lu- ", (vma.start - at) / DIFF_HUGE_PAGE);
		p += sprintf(p, "%lu%c ", (vma.end - vma.start) / DIFF_HUGE_PAGE, vma.flags & MM_VM_WRITE ? 'w' : 'r');
		at = vma.end;
	}
	assert_string_equal(out, drawing);
}

/* A mapping is promised its pages when it is made, and gives back what is unmapped. */
static void private_promises(void **state)
{
	if (no_pool(state))
		skip();
	assert_true(map_private(state, 0, 4) > 0);
	assert_int_equal(promised(state), 4);
	assert_int_equal(unmap(state, 1, 2), 0);
	is(state, "1w 2- 1w ");
	assert_int_equal(promised(state), 2);
	assert_int_equal(strip_do(state, DIFF_WRITE, AT(0)), MM_FAULT_OK);
	assert_int_equal(promised(state), 2);
	assert_int_equal(unmap(state, 0, 4), 0);
	assert_int_equal(promised(state), 0);
}

/* Shared pages are the file's: promised once, and kept as long as there is a mapping, or a descriptor. */
static void shared_promises(void **state)
{
	if (no_pool(state))
		skip();
	assert_true(map_flags(state, 0, 2, MAP_SHARED) > 0);
	assert_int_equal(unmap(state, 0, 1), 0);
	assert_int_equal(promised(state), 2);
	assert_int_equal(unmap(state, 1, 1), 0);
	assert_int_equal(promised(state), 0);
	assert_true(strip_do_file(state, DIFF_HUGE, DIFF_MMAP, AT(0), HUGE(2), RW, MAP_SHARED | MAP_FIXED, 0) > 0);
	assert_true(strip_do_file(state, DIFF_HUGE, DIFF_MMAP, AT(4), HUGE(2), RW, MAP_SHARED | MAP_FIXED, HUGE(1)) > 0);
	assert_int_equal(promised(state), 3);
	assert_int_equal(unmap(state, 0, 8), 0);
	assert_int_equal(promised(state), 3);
}

/* Where the pool has no more. What was there is gone by then; MAP_NORESERVE takes no promise. */
static void pool_is_empty(void **state)
{
	if (no_pool(state))
		skip();
	map_private(state, 0, 4);
	assert_int_equal(map_private(state, 0, 17), -ENOMEM);
	is(state, "");
	assert_int_equal(promised(state), 0);
	assert_true(map_private(state, 0, 16) > 0);
	assert_int_equal(map_private(state, 20, 1), -ENOMEM);
	assert_int_equal(map_flags(state, 20, 1, MAP_SHARED), -ENOMEM);
	assert_true(map_flags(state, 20, 2, MAP_PRIVATE | MAP_NORESERVE) > 0);
	assert_int_equal(promised(state), 16);
	/* Mapping over gives back first, and then is promised. */
	assert_true(map_private(state, 0, 16) > 0);
	assert_int_equal(promised(state), 16);
}

/* Lengths are rounded up; addresses must be whole. */
static void whole_pages(void **state)
{
	const unsigned long fixed = MAP_FIXED | MAP_PRIVATE | MAP_HUGETLB;

	if (no_pool(state))
		skip();
	assert_true(strip_do(state, DIFF_MMAP, AT(0), 1, RW, fixed) > 0);
	is(state, "1w ");
	assert_int_equal(strip_do(state, DIFF_MMAP, AT(4) + 4096, HUGE(1), RW, fixed), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MMAP, AT(4) + 4096, HUGE(1), RW, MAP_PRIVATE | MAP_HUGETLB), AT(5));
	assert_int_equal(strip_do(state, DIFF_MMAP, AT(8), 0, RW, fixed), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MMAP, AT(8), HUGE(1), RW, fixed | 20UL << 26), -EINVAL);
	assert_true(strip_do(state, DIFF_MMAP, AT(8), HUGE(1), RW, fixed | 21UL << 26) > 0);
	/* A file of ordinary pages has none. */
	assert_int_equal(strip_do_file(state, DIFF_MEMFD, DIFF_MMAP, AT(9), HUGE(1), RW, fixed, 0), -EINVAL);
	assert_int_equal(strip_do_file(state, DIFF_HUGE, DIFF_MMAP, AT(8), HUGE(1), RW, MAP_FIXED | MAP_SHARED, 4096),
			 -EINVAL);
}

/* It is cut at whole pages only, and what was cut before the refusal stays cut. */
static void cuts(void **state)
{
	if (no_pool(state))
		skip();
	map_private(state, 0, 6);
	assert_int_equal(strip_do(state, DIFF_MUNMAP, AT(0), 4096), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MPROTECT, AT(0), 4096, PROT_READ), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MUNMAP, AT(0) + 4096, HUGE(1)), -EINVAL);
	is(state, "6w ");
	assert_int_equal(strip_do(state, DIFF_MPROTECT, AT(4), 4096, PROT_READ), -EINVAL);
	is(state, "4w 2w ");
	assert_int_equal(strip_do(state, DIFF_MUNMAP, AT(2), 4096), -EINVAL);
	is(state, "2w 2w 2w ");
	assert_int_equal(strip_do(state, DIFF_MPROTECT, AT(1), HUGE(2), PROT_READ), 0);
	is(state, "1w 1r 1r 1w 2w ");
	assert_int_equal(strip_do(state, DIFF_MMAP, AT(5) + 4096, 4096, RW, MAP_PRIVATE | MAP_FIXED), -EINVAL);
	assert_int_equal(promised(state), 6);
}

static void moves(void **state)
{
	const unsigned long to = 3; /* MAYMOVE, FIXED */

	if (no_pool(state))
		skip();
	/* A whole one. Of what moves a part, Linux 6.18 loses the promise for good: it is not asked to. */
	map_private(state, 0, 1);
	assert_int_equal(strip_do(state, DIFF_MREMAP, AT(0), 4096, 4096, to, AT(16)), AT(16));
	is(state, "16- 1w ");
	assert_int_equal(promised(state), 1);
	map_private(state, 0, 2);
	assert_int_equal(strip_do(state, DIFF_MREMAP, AT(0), HUGE(2), HUGE(1), 0), AT(0));
	assert_int_equal(promised(state), 2);
	assert_int_equal(strip_do(state, DIFF_MREMAP, AT(0), HUGE(1), HUGE(2), 1), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MREMAP, AT(0), HUGE(1), HUGE(1), to, AT(20) + 4096), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MREMAP, AT(0), HUGE(1), HUGE(1), 7 /* DONTUNMAP */, AT(20)), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MREMAP, AT(0), 0, HUGE(1), 1), -EINVAL);
}

static void advice(void **state)
{
	if (no_pool(state))
		skip();
	map_private(state, 0, 2);
	assert_int_equal(strip_do(state, DIFF_MADVISE, AT(0), 4096, MADV_DONTNEED), 0);
	assert_int_equal(strip_do(state, DIFF_MADVISE, AT(0) + 4096, HUGE(1), MADV_DONTNEED), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MADVISE, AT(0), HUGE(1), MADV_FREE), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MADVISE, AT(0), 4096, MADV_DONTDUMP), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MADVISE, AT(0), HUGE(1), MADV_DONTDUMP), 0);
	assert_int_equal(strip_do(state, DIFF_MADVISE, AT(0), HUGE(1), MADV_DODUMP), 0);
	assert_int_equal(strip_do(state, DIFF_MADVISE, AT(0), HUGE(2), MADV_HUGEPAGE), 0);
	assert_int_equal(strip_do(state, DIFF_MADVISE, AT(0), HUGE(2), MADV_COLD), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MADVISE, AT(0), HUGE(2), 25 /* COLLAPSE */), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MADVISE, AT(0), HUGE(2), 102 /* GUARD_INSTALL */), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MADVISE, AT(0), HUGE(2), MADV_WIPEONFORK), -EINVAL);
	/* Never locked, but populated: what nobody may touch cannot be. */
	assert_int_equal(strip_do(state, DIFF_MLOCK, AT(0), HUGE(2), 0), 0);
	assert_int_equal(strip_counters(state).locked_vm, 0);
	strip_do(state, DIFF_MPROTECT, AT(0), HUGE(2), PROT_NONE);
	assert_int_equal(strip_do(state, DIFF_MLOCK, AT(0), HUGE(2), 1), -ENOMEM);
}

/* A child's private mapping has no promise of its own, and gives none back. */
static void child(void **state)
{
	if (no_pool(state))
		skip();
	map_private(state, 0, 2);
	map_flags(state, 4, 1, MAP_SHARED);
	assert_int_equal(strip_fork(state), 0);
	assert_int_equal(promised(state), 3);
	strip_do_in(state, 1, DIFF_MUNMAP, AT(0), HUGE(8));
	assert_int_equal(promised(state), 3);
	strip_do_in(state, 1, DIFF_EXIT, 0);
	unmap(state, 0, 8);
	assert_int_equal(promised(state), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test_huge(private_promises),
		strip_test_huge(shared_promises),
		strip_test_huge(pool_is_empty),
		strip_test_huge(whole_pages),
		strip_test_huge(cuts),
		strip_test_huge(moves),
		strip_test_huge(advice),
		strip_test_huge(child),
	};

	return cmocka_run_group_tests_name("huge_calls", tests, NULL, NULL);
}
