/* SPDX-License-Identifier: MIT */
/* munmap. */
#include "mm/mm.h"

int mm_munmap(struct mm_struct *mm, unsigned long addr, size_t len)
{
	unsigned long bytes = PAGE_ALIGN(len);
	int err;

	if ((addr & ~PAGE_MASK) || addr > mm->opt.task_size || len > mm->opt.task_size - addr || !bytes)
		return -EINVAL;
	mmap_write_lock(mm);
	err = do_vmi_munmap(mm, addr, addr + bytes);
	mmap_write_unlock(mm);
	return err;
}
