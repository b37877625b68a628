/* SPDX-License-Identifier: MIT */
/*
 * Where a mapping goes when its user does not say.
 *
 *   0    min                                      mmap_base        stack
 *   |     |......................<- search down ------|     |gap|SSSSSSS|
 *
 * Below each stack a guard gap stays free. Large anonymous mappings are
 * placed so that huge pages fit (observed on the kernel; docs/addresses.md).
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "vma/vma.h"

#include "tree/near.h"

#define MMAP_32BIT_BEGIN 0x40000000UL
#define MMAP_32BIT_END 0x80000000UL
/* A hint above this may be answered above it. */
#define DEFAULT_MAP_WINDOW ((1UL << 47) - PAGE_SIZE)

struct gap_search {
	unsigned long low, high;	/* bytes; high is exclusive */
	unsigned long len;
};

unsigned long vm_start_gap(const struct vm_area_struct *vma)
{
	unsigned long gap;

	if (!(vma->vm_flags & VM_GROWSDOWN))
		return vma->vm_start;
	gap = vma->vm_mm->ctx->opt.stack_guard_gap;
	return vma->vm_start > gap ? vma->vm_start - gap : 0;
}

/* Whether there may be a stack, which keeps a gap below itself. */
static bool has_stacks(const struct mm_struct *mm)
{
	return mm->stack_vm != 0;
}

static bool is_free_with_guard(struct mm_struct *mm, unsigned long addr, unsigned long len)
{
	struct vm_area_struct *vma = find_vma(mm, addr);

	return !vma || addr + len <= vm_start_gap(vma);
}

/*
 * A gap that reaches into the guard of the stack above it moves the limit
 * below that guard, for the rest of the search.
 */
static int search_down(struct mm_struct *mm, struct gap_search search, unsigned long *out)
{
	struct vm_area_struct *above;
	unsigned long end;

	for (;;) {
		if (search.high <= search.low || search.high - search.low < search.len)
			return -ENOMEM;
		if (!mt_highest_gap(&mm->mm_mt, search.low, search.high - 1, search.len, &end))
			return -ENOMEM;
		end += search.len;
		above = has_stacks(mm) ? find_vma(mm, end) : NULL;
		if (!above || vm_start_gap(above) >= end) {
			*out = end - search.len;
			return 0;
		}
		search.high = vm_start_gap(above);
	}
}

static int search_up(struct mm_struct *mm, struct gap_search search, unsigned long *out)
{
	struct vm_area_struct *above;
	struct ma_state mas;
	unsigned long start;

	for (;;) {
		mas_init(&mas, &mm->mm_mt, 0);
		if (search.high <= search.low || search.high - search.low < search.len)
			return -ENOMEM;
		if (mas_empty_area(&mas, search.low, search.high - 1, search.len))
			return -ENOMEM;
		start = mas.index;
		above = has_stacks(mm) ? find_vma(mm, start) : NULL;
		if (!above || vm_start_gap(above) >= start + search.len) {
			*out = start;
			return 0;
		}
		search.low = above->vm_end;
	}
}

static unsigned long lowest(const struct mm_struct *mm, unsigned long low)
{
	unsigned long min = mm->ctx->opt.mmap_min_addr;

	return low < min ? min : low;
}

static int place_upward(struct mm_struct *mm, unsigned long addr, unsigned long len, unsigned long flags,
			unsigned long *out)
{
	unsigned long begin = mm->opt.legacy_layout ? mm->opt.mmap_base : PAGE_ALIGN(mm->opt.task_size / 3);
	unsigned long end = mm->opt.task_size;

	if (flags & MAP_32BIT) {
		begin = MMAP_32BIT_BEGIN;
		end = MMAP_32BIT_END;
	}
	if (len > end)
		return -ENOMEM;
	if (addr) {
		addr = PAGE_ALIGN(addr);
		if (end - len >= addr && is_free_with_guard(mm, addr, len)) {
			*out = addr;
			return 0;
		}
	}
	return search_up(mm, (struct gap_search){ lowest(mm, begin), end, len }, out);
}

static int place(struct mm_struct *mm, unsigned long addr, unsigned long len, unsigned long flags,
		 unsigned long *out)
{
	if (len > mm->opt.task_size)
		return -ENOMEM;
	if (mm->opt.legacy_layout || (flags & MAP_32BIT))
		return place_upward(mm, addr, len, flags, out);
	if (addr) {
		addr &= PAGE_MASK;
		if (addr <= mm->opt.task_size - len &&
		    is_free_with_guard(mm, addr, len)) {
			*out = addr;
			return 0;
		}
	}
	if (!search_down(mm, (struct gap_search){ lowest(mm, PAGE_SIZE), mm->opt.mmap_base, len }, out))
		return 0;
	/* Nothing below the base: once more, upward over everything. */
	return place_upward(mm, 0, len, flags, out);
}

static bool wants_huge_alignment(const struct vm_unmapped_area *want)
{
	uint64_t first_huge = (want->offset + PMD_SIZE - 1) & ~(PMD_SIZE - 1);
	uint64_t end = want->offset + want->len;
	bool wraps = end + PMD_SIZE < want->offset;

	if (!want->file)
		return !(want->flags & MAP_SHARED) && !want->addr && !(want->len & (PMD_SIZE - 1));
	if (want->file->info.kind == VM_FILE_ZERO && (want->flags & MAP_SHARED))
		return false;
	if (!want->file->info.hugepage_aligned && want->file->info.kind != VM_FILE_ZERO)
		return false;
	return !wraps && end > first_huge && end - first_huge >= PMD_SIZE;
}

/* Search with room to shift, then shift so that address and offset agree modulo 2 MiB. */
static int place_huge(struct mm_struct *mm, const struct vm_unmapped_area *want, unsigned long *out)
{
	unsigned long offset = want->file ? want->offset : 0;
	unsigned long found, shift;
	int err;

	if (want->len + PMD_SIZE < want->len)
		return -ENOMEM;
	err = place(mm, want->addr, want->len + PMD_SIZE, want->flags, &found);
	if (err)
		return err;
	if (want->addr && found == want->addr) {
		*out = found;
		return 0;
	}
	shift = (offset - found) & (PMD_SIZE - 1);
	if (!shift && !mm->opt.legacy_layout)
		shift = PMD_SIZE;
	*out = found + shift;
	return 0;
}

/* For files of huge pages: any multiple of 2 MiB, as high or as low as the search goes. */
static int place_hugetlb(struct mm_struct *mm, const struct vm_unmapped_area *want, unsigned long *out)
{
	unsigned long hint = (want->addr + PMD_SIZE - 1) & -PMD_SIZE, len = want->len + PMD_SIZE - PAGE_SIZE;
	unsigned long top = want->flags & MAP_32BIT ? MMAP_32BIT_END : mm->opt.task_size;
	struct gap_search down = { lowest(mm, PAGE_SIZE), mm->opt.mmap_base, len };
	unsigned long found;
	int err;

	if (want->addr && hint && want->len <= top && hint <= top - want->len && is_free_with_guard(mm, hint, want->len)) {
		*out = hint;
		return 0;
	}
	if (!mm->opt.legacy_layout && !(want->flags & MAP_32BIT) && !search_down(mm, down, &found)) {
		*out = (found + len - want->len) & -PMD_SIZE;
		return 0;
	}
	err = place_upward(mm, 0, len, want->flags, &found);
	if (!err)
		*out = (found + PMD_SIZE - 1) & -PMD_SIZE;
	return err;
}

static bool is_hugetlb_file(const struct vm_file *file)
{
	return file && file->info.kind == VM_FILE_HUGETLB;
}

/* Where the caller leaves the choice, or has made it. */
static int choose(struct mm_struct *mm, const struct vm_unmapped_area *want, unsigned long *out)
{
	int err = -ENOMEM;

	if (is_hugetlb_file(want->file) && (want->len & (PMD_SIZE - 1)))
		return -EINVAL;
	if (want->flags & MAP_FIXED) {
		if (is_hugetlb_file(want->file) && (want->addr & (PMD_SIZE - 1)))
			return -EINVAL;
		*out = want->addr;
		return 0;
	}
	if (is_hugetlb_file(want->file))
		return place_hugetlb(mm, want, out);
	if (wants_huge_alignment(want))
		err = place_huge(mm, want, out);
	return err ? place(mm, want->addr, want->len, want->flags, out) : 0;
}

int get_unmapped_area(struct mm_struct *mm, const struct vm_unmapped_area *want, unsigned long *out)
{
	unsigned long found = 0;
	int err;

	mmap_assert_locked(mm);
	if (want->len > mm->opt.task_size)
		return -ENOMEM;
	err = choose(mm, want, &found);
	if (err)
		return err;
	/* Observed: an address that looks like an error is taken for one. */
	if (found >= -4095UL)
		return (int)found;
	if (found > mm->opt.task_size - want->len)
		return -ENOMEM;
	if (found & ~PAGE_MASK)
		return -EINVAL;
	if (found < mm->ctx->opt.rawio_below && !mm->opt.cap_sys_rawio)
		return -EPERM;
	*out = found;
	return 0;
}
