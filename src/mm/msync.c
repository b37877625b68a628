/* SPDX-License-Identifier: MIT */
/*
 * msync: no mapping changes. MS_SYNC writes back what is newer than its file, as far as the file can be
 * written to.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "mm/mm.h"
#include "mmu/mmu.h"

/* The part of @vma in [start, end). 0; -EIO. */
static int write_back(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	if (!vma->vm_mm->pt || !vma->vm_file || !(vma->vm_flags & VM_SHARED))
		return 0;
	if (start < vma->vm_start)
		start = vma->vm_start;
	if (end > vma->vm_end)
		end = vma->vm_end;
	pf_assert(start < end);
	return filemap_write_range(vma->vm_file->mapping, vma_pgoff_at(vma, start),
				   vma_pgoff_at(vma, end) - 1);
}

static int sync_range(struct mm_struct *mm, unsigned long start, unsigned long end, int flags)
{
	struct vm_area_struct *vma;
	unsigned long at = start;
	int hole = 0;

	mmap_assert_locked(mm);
	while (at < end) {
		vma = find_vma(mm, at);
		if (!vma || vma->vm_start >= end)
			return -ENOMEM;
		if (vma->vm_start > at)
			hole = -ENOMEM;
		if ((flags & MS_INVALIDATE) && (vma->vm_flags & VM_LOCKED))
			return -EBUSY;
		if ((flags & MS_SYNC) && write_back(vma, at, end))
			return -EIO;
		at = vma->vm_end;
	}
	return hole;
}

int mm_msync(struct mm_struct *mm, unsigned long addr, size_t len, int flags)
{
	unsigned long end = addr + PAGE_ALIGN(len);
	int err;

	if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || (addr & ~PAGE_MASK))
		return -EINVAL;
	if ((flags & MS_ASYNC) && (flags & MS_SYNC))
		return -EINVAL;
	if (end < addr)
		return -ENOMEM;
	mmap_read_lock(mm);
	err = sync_range(mm, addr, end, flags);
	mmap_read_unlock(mm);
	return err;
}
