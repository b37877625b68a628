/* SPDX-License-Identifier: MIT */
/* mseal. */
#include "mm/mm.h"

static bool is_gapless(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma;

	mmap_assert_locked(mm);
	for (unsigned long at = start; at < end; at = vma->vm_end) {
		vma = vma_lookup(mm, at);
		if (!vma)
			return false;
	}
	return true;
}

static int seal_range(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	unsigned long at = start, upto;
	struct vm_area_struct *vma;
	int err;

	mmap_assert_write_locked(mm);
	while (at < end) {
		vma = vma_lookup(mm, at);
		upto = vma->vm_end < end ? vma->vm_end : end;
		if (!(vma->vm_flags & VM_SEALED)) {
			err = vma_modify_flags(vma, at, upto, vma->vm_flags | VM_SEALED, &vma);
			if (err)
				return err;
		}
		at = upto;
	}
	return 0;
}

int mm_mseal(struct mm_struct *mm, unsigned long addr, size_t len, unsigned long flags)
{
	unsigned long bytes = PAGE_ALIGN(len), end = addr + bytes;
	int err = 0;

	if (flags || (addr & ~PAGE_MASK) || (len && !bytes) || end < addr)
		return -EINVAL;
	if (end == addr)
		return 0;
	mmap_write_lock(mm);
	if (!is_gapless(mm, addr, end))
		err = -ENOMEM;
	if (!err)
		err = vma_reserve_for_range(mm, addr, end, false);
	if (!err)
		err = seal_range(mm, addr, end);
	vma_unreserve(mm);
	mmap_write_unlock(mm);
	return err;
}
