/* SPDX-License-Identifier: MIT */
/* brk. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "mm/mm.h"

static bool within_data_limit(const struct mm_struct *mm, unsigned long brk)
{
	unsigned long limit = mm->opt.rlimit[MM_RLIMIT_DATA], heap = brk - mm->start_brk;

	pf_assert(brk >= mm->start_brk);
	if (limit == MM_RLIM_INFINITY)
		return true;
	return heap <= limit && mm->opt.data_size <= limit - heap;
}

/* The heap keeps a page, and the gap of a stack, from what is above. */
static bool room_above(struct mm_struct *mm, unsigned long oldbrk, unsigned long newbrk)
{
	struct vm_area_struct *next;

	if (newbrk > mm->opt.task_size)
		return false;
	next = find_vma(mm, oldbrk);
	return !next || (newbrk < vm_start_gap(next) && vm_start_gap(next) - newbrk >= PAGE_SIZE);
}

static int do_brk_flags(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct vma_new new = {
		.start = start, .end = end, .pgoff = start >> PAGE_SHIFT, .just_expand = true,
		/* Observed: it joins what ends here only if that is part of the heap. */
		.no_merge = start <= mm->start_brk,
		.flags = VM_READ | VM_WRITE | VM_MAY_ALL | VM_ACCOUNT | mm->def_flags |
			 (mm->opt.read_implies_exec ? VM_EXEC : 0),
	};
	unsigned long pages = (end - start) >> PAGE_SHIFT;
	int err;

	pf_assert(start < end && !((start | end) & ~PAGE_MASK));
	if (start < mm->ctx->opt.rawio_below && !mm->opt.cap_sys_rawio)
		return -EPERM;
	if (!mlock_future_ok(mm, mm->def_flags, end - start))
		return -EAGAIN;
	if (!may_expand_vm(mm, new.flags, pages) || mm->map_count > mm->ctx->opt.max_map_count)
		return -ENOMEM;
	err = vm_enough_memory(mm->ctx, pages);
	if (err)
		return err;
	err = vma_insert(mm, &new, NULL, NULL);
	if (err) {
		vm_unacct_memory(mm->ctx, pages);
		return err;
	}
	if (mm->def_flags & VM_LOCKED)
		mm_populate_locked(mm, start, end);
	return 0;
}

static int move_brk(struct mm_struct *mm, unsigned long brk)
{
	unsigned long newbrk = PAGE_ALIGN(brk), oldbrk = PAGE_ALIGN(mm->brk);
	struct vm_area_struct *vma;

	mmap_assert_write_locked(mm);
	/* An end in the last page, which only a mirror can have set, has no whole page above it. */
	if (oldbrk < mm->brk || brk < mm->start_brk || newbrk < brk || !within_data_limit(mm, brk))
		return -EINVAL;
	if (oldbrk == newbrk)
		return 0;
	if (brk <= mm->brk) {
		/* Something else may have been mapped where the heap was. */
		vma = find_vma_intersection(mm, newbrk, oldbrk);
		return vma ? do_vmi_munmap(mm, newbrk, oldbrk) : -EINVAL;
	}
	return room_above(mm, oldbrk, newbrk) ? do_brk_flags(mm, oldbrk, newbrk) : -ENOMEM;
}

unsigned long mm_brk(struct mm_struct *mm, unsigned long brk)
{
	mmap_write_lock(mm);
	if (!move_brk(mm, brk))
		mm->brk = brk;
	brk = mm->brk;
	mmap_write_unlock(mm);
	return brk;
}
