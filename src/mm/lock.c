/* SPDX-License-Identifier: MIT */
/* mlock, mlock2, munlock, mlockall, munlockall. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "mm/mm.h"

static bool can_be_locked(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & (VM_SPECIAL | VM_HUGETLB | VM_DROPPABLE));
}

/* [start, end) of @vma gets the locking bits of @newflags. */
static int mlock_fixup(struct vm_area_struct *vma, unsigned long start, unsigned long end,
		       vm_flags_t newflags)
{
	long pages = (long)((end - start) >> PAGE_SHIFT);
	struct mm_struct *mm = vma->vm_mm;
	vm_flags_t old = vma->vm_flags;
	int err;

	mmap_assert_write_locked(mm);
	pf_assert(vma->vm_start <= start && start < end && end <= vma->vm_end);
	if (newflags == old || !can_be_locked(vma))
		return 0;
	err = vma_modify_flags(vma, start, end, newflags, &vma);
	if (err)
		return err;
	if (!(newflags & VM_LOCKED))
		mm->locked_vm -= pages;
	else if (!(old & VM_LOCKED))
		mm->locked_vm += pages;
	return 0;
}

static int apply_vma_lock_flags(struct mm_struct *mm, unsigned long start, unsigned long end,
				vm_flags_t flags)
{
	unsigned long at = start, upto;
	struct vm_area_struct *vma;
	int err;

	mmap_assert_write_locked(mm);
	while (at < end) {
		vma = vma_lookup(mm, at);
		if (!vma)
			return -ENOMEM;
		upto = vma->vm_end < end ? vma->vm_end : end;
		err = mlock_fixup(vma, at, upto, (vma->vm_flags & ~VM_LOCKED_MASK) | flags);
		if (err)
			return err;
		at = upto;
	}
	return 0;
}

/* Pages of [start, end) that are locked already, and so count once only. */
static unsigned long locked_within(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	unsigned long pages = 0, from, upto;

	vma_iter_init(&vmi, mm, start);
	for_each_vma_range(vmi, vma, end) {
		if (!(vma->vm_flags & VM_LOCKED))
			continue;
		from = vma->vm_start > start ? vma->vm_start : start;
		upto = vma->vm_end < end ? vma->vm_end : end;
		pages += (upto - from) >> PAGE_SHIFT;
	}
	return pages;
}

/* Page-align a byte range. 0, or -EINVAL when it wraps. */
static int page_range(unsigned long *addr, size_t len, unsigned long *end)
{
	unsigned long bytes = PAGE_ALIGN(len + (*addr & ~PAGE_MASK));

	*addr &= PAGE_MASK;
	*end = *addr + bytes;
	return *end < *addr ? -EINVAL : 0;
}

static bool within_limit(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	unsigned long limit = mm->opt.rlimit[MM_RLIMIT_MEMLOCK] >> PAGE_SHIFT;
	unsigned long locked = mm->locked_vm + ((end - start) >> PAGE_SHIFT);

	if (locked > limit && !mm->opt.cap_ipc_lock)
		locked -= locked_within(mm, start, end);
	return locked <= limit || mm->opt.cap_ipc_lock;
}

/* The reserve, if there is one, is left to the caller, who may populate next. */
static int change_locks(struct mm_struct *mm, unsigned long start, unsigned long end, vm_flags_t flags)
{
	int err = vma_reserve_for_range(mm, start, end, flags & VM_LOCKED);

	return err ? err : apply_vma_lock_flags(mm, start, end, flags);
}

/*
 * Populate in order of address; memory that nobody may touch ends it. Observed: droppable memory is not
 * locked, but populated, and so even with MLOCK_ONFAULT. 0 or -ENOMEM.
 */
static int populate_accessible(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma;
	struct vma_iterator vmi;

	/* A walk up to 0 would be one of everything: the last address is end - 1. */
	if (start == end)
		return 0;
	vma_iter_init(&vmi, mm, start);
	for_each_vma_range(vmi, vma, end) {
		if ((vma->vm_flags & VM_SPECIAL) && !(vma->vm_flags & VM_HUGETLB))
			continue;
		if (vma->vm_flags & VM_LOCKONFAULT)
			continue;
		if (!vma_is_accessible(vma) || mm_populate_to_lock(vma, start, end))
			return -ENOMEM;
	}
	return 0;
}

int mm_mlock(struct mm_struct *mm, unsigned long addr, size_t len, int flags)
{
	vm_flags_t vm_flags = VM_LOCKED;
	unsigned long end;
	int err;

	if (flags & ~MLOCK_ONFAULT)
		return -EINVAL;
	if (flags & MLOCK_ONFAULT)
		vm_flags |= VM_LOCKONFAULT;
	err = page_range(&addr, len, &end);
	mmap_write_lock(mm);
	/* The limit is asked before the range is. */
	if (!can_do_mlock(mm))
		err = -EPERM;
	else if (!within_limit(mm, addr, end))
		err = -ENOMEM;
	if (!err)
		err = change_locks(mm, addr, end, vm_flags);
	if (!err)
		err = populate_accessible(mm, addr, end);
	vma_unreserve(mm);
	mmap_write_unlock(mm);
	return err;
}

int mm_munlock(struct mm_struct *mm, unsigned long addr, size_t len)
{
	unsigned long end;
	int err = page_range(&addr, len, &end);

	if (err)
		return err;
	mmap_write_lock(mm);
	err = change_locks(mm, addr, end, 0);
	vma_unreserve(mm);
	mmap_write_unlock(mm);
	return err;
}

/* Every VMA gets the locking bits @flags; one that cannot be changed for the map count stays as it is. */
static int lock_all(struct mm_struct *mm, vm_flags_t flags)
{
	struct vm_area_struct *vma;
	unsigned long at = 0;
	int err;

	mmap_assert_write_locked(mm);
	err = vma_reserve_for_range(mm, 0, mm->opt.task_size, flags & VM_LOCKED);
	if (err)
		return err;
	while ((vma = find_vma(mm, at)) != NULL) {
		at = vma->vm_end;
		mlock_fixup(vma, vma->vm_start, vma->vm_end, (vma->vm_flags & ~VM_LOCKED_MASK) | flags);
	}
	return 0;
}

int mm_mlockall(struct mm_struct *mm, int flags)
{
	vm_flags_t bits = VM_LOCKED | (flags & MCL_ONFAULT ? VM_LOCKONFAULT : 0);
	int err = 0;

	if (!flags || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT)
		return -EINVAL;
	mmap_write_lock(mm);
	if (!can_do_mlock(mm))
		err = -EPERM;
	else if ((flags & MCL_CURRENT) && !mm->opt.cap_ipc_lock &&
		 mm->total_vm > mm->opt.rlimit[MM_RLIMIT_MEMLOCK] >> PAGE_SHIFT)
		err = -ENOMEM;
	if (!err && (flags & MCL_CURRENT))
		err = lock_all(mm, bits);
	if (!err)
		mm->def_flags = flags & MCL_FUTURE ? bits : 0;
	if (!err && (flags & MCL_CURRENT))
		mm_populate_locked(mm, 0, mm->opt.task_size);
	vma_unreserve(mm);
	mmap_write_unlock(mm);
	return err;
}

int mm_munlockall(struct mm_struct *mm)
{
	int err;

	mmap_write_lock(mm);
	err = lock_all(mm, 0);
	if (!err)
		mm->def_flags = 0;
	vma_unreserve(mm);
	mmap_write_unlock(mm);
	return err;
}
