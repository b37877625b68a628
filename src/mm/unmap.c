/* SPDX-License-Identifier: MIT */
/*
 * munmap: what taking mappings away consists of, and in which order.
 *
 *   1. gather     what goes is surveyed, and what its cut ends need is allocated; nothing has changed
 *   2. detach     nobody can lock the VMAs any more; they stand in a side set, in order
 *   3. the tree   changes once
 *   4. account    statistics; then the lock may be turned to reading
 *   5. clear      pages, translations, reverse maps, tables, by one description over the side set
 *   6. release    promises, files, memory
 *
 * Where another mapping takes the place, 5 comes before 3, so that the new one begins with no page of the
 * old.
 */
#include "mm/mm.h"
#include "mm/trace.h"
#include "mmu/mmu.h"

void vms_clear_ptes(struct vma_munmap_struct *vms)
{
	struct unmap_desc unmap;
	struct vma_iterator vmi;

	pf_assert(vms->clear == vms_clear_ptes);
	vms->clear = NULL;
	if (!vms->mm->pt || !vms->detached.count)
		return;
	vma_iter_init_set(&vmi, &vms->detached);
	unmap_region_init(&unmap, &vmi, &(struct unmap_between){
		.first = vms->detached.first, .last = vms->detached.last,
		.prev = vms->prev, .next = vms->next,
	});
	unmap_region(&unmap);
}

/* Steps 1 to 4. *@vms is empty if nothing is mapped there. */
static int take_away(struct vma_munmap_struct *vms, struct mm_struct *mm, unsigned long start,
		     unsigned long end)
{
	int err = vms_gather_vmas(vms, mm, start, end);

	if (!err && vms->first)
		err = vms_remove(vms);
	if (err || !vms->first)
		return err;
	vms_account(vms);
	vms->clear = vms_clear_ptes;
	return 0;
}

int do_vmi_munmap(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct vma_munmap_struct vms;
	int err = take_away(&vms, mm, start, end);

	if (err || !vms.first)
		return err;
	vms_clear_ptes(&vms);
	vms_release(&vms);
	return 0;
}

/* The same, and mmap_lock is given up. Others may read while pages go: the VMAs are isolated. */
static int munmap_and_unlock(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct vma_munmap_struct vms;
	int err;

	if (!mm->pt) {
		err = do_vmi_munmap(mm, start, end);
		mmap_write_unlock(mm);
		return err;
	}
	err = take_away(&vms, mm, start, end);
	if (err || !vms.first) {
		mmap_write_unlock(mm);
		return err;
	}
	mmap_write_downgrade(mm);
	vms_clear_ptes(&vms);
	vms_release(&vms);
	pf_assert_full(validate_mm(mm) == 0);
	mmap_read_unlock(mm);
	return 0;
}

int mm_munmap(struct mm_struct *mm, unsigned long addr, size_t len)
{
	unsigned long bytes = PAGE_ALIGN(len);
	int err = -EINVAL;

	if (!(addr & ~PAGE_MASK) && addr <= mm->opt.task_size && len <= mm->opt.task_size - addr && bytes) {
		mmap_write_lock(mm);
		err = munmap_and_unlock(mm, addr, addr + bytes);
	}
	trace_mm(mm, &(struct mm_trace){ .event = MM_TRACE_MUNMAP, .addr = addr, .len = bytes,
					 .result = err });
	return err;
}
