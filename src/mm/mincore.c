/* SPDX-License-Identifier: MIT */
/* mincore: what it refuses. Which pages are in memory is not modelled here. */
#include "mm/mm.h"

int mm_mincore(struct mm_struct *mm, unsigned long addr, size_t len, unsigned char *vec)
{
	struct vm_area_struct *vma;
	unsigned long at, end;
	int err = 0;

	if (addr & ~PAGE_MASK)
		return -EINVAL;
	if (addr > mm->opt.task_size || len > mm->opt.task_size - addr)
		return -ENOMEM;
	if (vec)
		return -EOPNOTSUPP;
	end = addr + PAGE_ALIGN(len);
	mmap_read_lock(mm);
	for (at = addr; at < end && !err; at = vma ? vma->vm_end : end) {
		vma = vma_lookup(mm, at);
		if (!vma)
			err = -ENOMEM;
	}
	mmap_read_unlock(mm);
	return err;
}
