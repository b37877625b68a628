/* SPDX-License-Identifier: MIT */
/* munmap. */
#include "mm/mm.h"
#include "mm/trace.h"

int mm_munmap(struct mm_struct *mm, unsigned long addr, size_t len)
{
	unsigned long bytes = PAGE_ALIGN(len);
	int err = -EINVAL;

	if (!(addr & ~PAGE_MASK) && addr <= mm->opt.task_size && len <= mm->opt.task_size - addr && bytes) {
		mmap_write_lock(mm);
		err = do_vmi_munmap(mm, addr, addr + bytes);
		mmap_write_unlock(mm);
	}
	trace_mm(mm, &(struct mm_trace){ .event = MM_TRACE_MUNMAP, .addr = addr, .len = bytes, .result = err });
	return err;
}
