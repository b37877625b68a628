/* SPDX-License-Identifier: MIT */
/* mprotect. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "mm/mm.h"
#include "mmu/mmu.h"

#ifndef PROT_SEM
#define PROT_SEM 0x8
#endif

vm_flags_t calc_vm_prot_bits(unsigned long prot)
{
	vm_flags_t flags = 0;

	if (prot & PROT_READ)
		flags |= VM_READ;
	if (prot & PROT_WRITE)
		flags |= VM_WRITE;
	if (prot & PROT_EXEC)
		flags |= VM_EXEC;
	return flags;
}

/* A private mapping that becomes writable may need its pages promised. */
static int charge_if_writable(struct vm_area_struct *vma, unsigned long pages, vm_flags_t *newflags,
			      unsigned long *charged)
{
	vm_flags_t old = vma->vm_flags;
	int err;

	if (!(*newflags & VM_WRITE)) {
		/* Never written to, and not to be: the promise is given back. */
		if ((old & VM_ACCOUNT) && vma_is_anonymous(vma) && !vma->anon_vma)
			*newflags &= ~VM_ACCOUNT;
		return 0;
	}
	if (!may_expand_vm(vma->vm_mm, *newflags, pages) && may_expand_vm(vma->vm_mm, old, pages))
		return -ENOMEM;
	if (old & (VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE))
		return 0;
	err = vm_enough_memory(vma->vm_mm->ctx, pages);
	if (err)
		return err;
	*charged = pages;
	*newflags |= VM_ACCOUNT;
	return 0;
}

/* [start, end) of @vma gets @newflags; *@out is the VMA that holds it then. */
static int mprotect_fixup(struct vm_area_struct *vma, unsigned long start, unsigned long end,
			  vm_flags_t newflags, struct vm_area_struct **out)
{
	unsigned long pages = (end - start) >> PAGE_SHIFT, charged = 0;
	struct mm_struct *mm = vma->vm_mm;
	vm_flags_t old = vma->vm_flags;
	int err;

	mmap_assert_write_locked(mm);
	pf_assert(vma->vm_start <= start && start < end && end <= vma->vm_end);
	*out = vma;
	if (old & VM_SEALED)
		return -EPERM;
	if (newflags == old)
		return 0;
	err = charge_if_writable(vma, pages, &newflags, &charged);
	if (err)
		return err;
	err = vma_modify_flags(vma, start, end, newflags, out);
	if (err) {
		vm_unacct_memory(mm->ctx, charged);
		return err;
	}
	mm->accounted += charged;
	if ((old & VM_ACCOUNT) && !(newflags & VM_ACCOUNT)) {
		mm->accounted -= pages;
		vm_unacct_memory(mm->ctx, pages);
	}
	vm_stat_account(mm, old, -(long)pages);
	vm_stat_account(mm, newflags, (long)pages);
	change_protection(*out, start, end);
	/* Keys are not in the entries, but they are in what is remembered of them. */
	if (mm->pt && ((old ^ newflags) & VM_PKEY))
		flush_tlb_range(mm->pt, start, end);
	/* Locked pages that become writable are copied now, not at a later fault. */
	if ((old & (VM_WRITE | VM_SHARED | VM_LOCKED)) == VM_LOCKED && (newflags & VM_WRITE))
		mm_populate_locked(mm, start, end);
	return 0;
}

/* @vma contains @start. */
static int mprotect_range(struct vm_area_struct *vma, unsigned long start, unsigned long end,
			  unsigned long prot, int key)
{
	struct mm_struct *mm = vma->vm_mm;
	unsigned long at = start, upto;
	vm_flags_t flags;
	int err;

	mmap_assert_write_locked(mm);
	for (;;) {
		pf_assert(vma->vm_start <= at && at < vma->vm_end);
		flags = calc_vm_prot_bits(prot) | pkey_flags(override_pkey(vma, prot, key)) |
			(vma->vm_flags & ~(VM_ACCESS_FLAGS | VM_PKEY));
		if ((prot & PROT_READ) && mm->opt.read_implies_exec && (vma->vm_flags & VM_MAYEXEC))
			flags |= VM_EXEC;
		if (((flags & VM_READ) && !(flags & VM_MAYREAD)) ||
		    ((flags & VM_WRITE) && !(flags & VM_MAYWRITE)) ||
		    ((flags & VM_EXEC) && !(flags & VM_MAYEXEC)))
			return -EACCES;
		upto = vma->vm_end < end ? vma->vm_end : end;
		err = mprotect_fixup(vma, at, upto, flags, &vma);
		if (err)
			return err;
		at = upto;
		if (at >= end)
			return 0;
		vma = vma_lookup(mm, at);
		if (!vma)
			return -ENOMEM;
	}
}

/*
 * Where the range begins: for PROT_GROWSDOWN at the start of the stack that it touches. *@out is the
 * mapping there.
 */
static int find_start(struct mm_struct *mm, unsigned long *start, unsigned long end, bool grows_down,
		      struct vm_area_struct **out)
{
	struct vm_area_struct *vma;
	struct vma_around around;

	vma_around(mm, *start, &around);
	vma = around.vma ? around.vma : around.next;
	if (!vma || (!around.vma && around.next_start >= end))
		return -ENOMEM;
	*out = vma;
	if (grows_down) {
		if (!(vma->vm_flags & VM_GROWSDOWN))
			return -EINVAL;
		*start = vma->vm_start;
		return 0;
	}
	return around.vma ? 0 : -ENOMEM;
}

int mm_mprotect(struct mm_struct *mm, unsigned long addr, size_t len, unsigned long prot)
{
	return mm_pkey_mprotect(mm, addr, len, prot, -1);
}

int mm_pkey_mprotect(struct mm_struct *mm, unsigned long addr, size_t len, unsigned long prot, int key)
{
	unsigned long grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
	unsigned long end = addr + PAGE_ALIGN(len);
	struct vm_area_struct *vma;
	int err = -EINVAL;

	prot &= ~grows;
	if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || (addr & ~PAGE_MASK))
		return -EINVAL;
	if (!len)
		return 0;
	if (end <= addr)
		return -ENOMEM;
	if (prot & ~(unsigned long)(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM))
		return -EINVAL;
	mmap_write_lock(mm);
	if (key == -1 || pkey_is_allocated(mm, key))
		err = find_start(mm, &addr, end, grows & PROT_GROWSDOWN, &vma);
	/* Nothing grows up here. */
	if (!err && (grows & PROT_GROWSUP))
		err = -EINVAL;
	/* A single change of a single mapping undoes itself. */
	if (!err && (vma->vm_end < end || mm->locked_vm))
		err = vma_reserve_for_range(mm, addr, end, mm->locked_vm != 0);
	if (!err) {
		err = mprotect_range(vma, addr, end, prot, key);
		vma_unreserve(mm);
	}
	mmap_write_unlock(mm);
	return err;
}
