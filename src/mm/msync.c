/* SPDX-License-Identifier: MIT */
/* msync: no mapping changes, only what it refuses is seen. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "mm/mm.h"

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
