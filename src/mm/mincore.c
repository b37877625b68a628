/* SPDX-License-Identifier: MIT */
/* mincore. Which pages are in memory is known where there are page tables. */
#include "mm/mm.h"
#include "mmu/access.h"

int mm_mincore(struct mm_struct *mm, unsigned long addr, size_t len, unsigned char *vec)
{
	struct vm_area_struct *vma;
	unsigned long at, end, upto;
	int err = 0;

	if (addr & ~PAGE_MASK)
		return -EINVAL;
	if (addr > mm->opt.task_size || len > mm->opt.task_size - addr)
		return -ENOMEM;
	if (vec && !mm->pt)
		return -EOPNOTSUPP;
	end = addr + PAGE_ALIGN(len);
	mmap_read_lock(mm);
	for (at = addr; at < end && !err; at = upto) {
		vma = vma_lookup(mm, at);
		upto = vma && vma->vm_end < end ? vma->vm_end : end;
		if (!vma)
			err = -ENOMEM;
		else if (vec)
			mincore_range(vma, at, upto, vec + ((at - addr) >> PAGE_SHIFT));
	}
	mmap_read_unlock(mm);
	return err;
}
