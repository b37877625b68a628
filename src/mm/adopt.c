/* SPDX-License-Identifier: MIT */
/* Taking over what another kernel shows: for mirrors. */
#include "mm/mm.h"

/* Where there are pages, those of such a mapping have to be had from somewhere, and fit. */
static bool has_pages(const struct mm_struct *mm, const struct mm_adopt_args *args)
{
	bool huge = args->flags & VM_HUGETLB, shared = args->flags & (VM_SHARED | VM_MAYSHARE);

	if (!mm->pt)
		return true;
	if (huge && ((args->start | args->end | args->offset) & (PMD_SIZE - 1)))
		return false;
	if (args->file)
		return huge == (args->file->info.kind == VM_FILE_HUGETLB);
	return !shared || (args->special && !huge);
}

int mm_adopt(struct mm_struct *mm, const struct mm_adopt_args *args)
{
	struct vma_new new = {
		.start = args->start,
		.end = args->end,
		.flags = args->flags & ~(MM_VM_MAYBE_GUARD | VM_NEVER_SHOWN),
		.file = args->file,
		.no_merge = true,
		.pgoff = args->file ? args->offset >> PAGE_SHIFT : args->start >> PAGE_SHIFT,
	};
	unsigned long charge = args->flags & VM_ACCOUNT ? (args->end - args->start) >> PAGE_SHIFT : 0;
	struct vma_munmap_struct vms;
	struct vm_area_struct *vma;
	int err;

	if (args->start >= args->end || args->end > mm->opt.task_size ||
	    ((args->start | args->end | args->offset) & ~PAGE_MASK))
		return -EINVAL;
	if ((args->file && args->file->ctx != mm->ctx) || !has_pages(mm, args))
		return -EINVAL;
	if (args->special)
		new.flags |= VM_ADOPTED_SPECIAL;
	if (args->name) {
		new.name = vma_name_create(mm->ctx, args->name);
		if (!new.name)
			return -ENOMEM;
	}
	mmap_write_lock(mm);
	if (args->flags & VM_PKEY)
		atomic_store(&mm->keyed, true);
	err = vms_gather_vmas(&vms, mm, args->start, args->end);
	if (!err) {
		vms.clear = vms_clear_ptes;
		err = vma_insert(mm, &new, &vms, &vma);
		if (err) {
			vms_abort(&vms);
		} else {
			vma->had_guards = args->flags & MM_VM_MAYBE_GUARD;
			atomic_fetch_add(&mm->ctx->committed, (long)charge);
		}
	}
	mmap_write_unlock(mm);
	vma_name_put(mm->ctx, new.name);
	return err;
}

int mm_adopt_brk(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	if (end < start)
		return -EINVAL;
	mmap_write_lock(mm);
	mm->start_brk = start;
	mm->brk = end;
	mmap_write_unlock(mm);
	return 0;
}

int mm_adopt_anon(struct mm_struct *mm, unsigned long addr)
{
	struct vm_area_struct *vma;
	int err = -EINVAL;

	mmap_write_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma && !(vma->vm_flags & VM_SHARED))
		err = anon_vma_prepare(mm, vma);
	mmap_write_unlock(mm);
	return err;
}

int mm_adopt_split(struct mm_struct *mm, unsigned long addr)
{
	struct vm_area_struct *vma, *upper;
	int err = -EINVAL;

	mmap_write_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma && vma->vm_start < addr && !(addr & ~PAGE_MASK))
		err = vma_may_split(vma, addr);
	if (!err)
		err = vma_split(vma, addr, &upper);
	mmap_write_unlock(mm);
	return err;
}

int mm_adopt_merge(struct mm_struct *mm, unsigned long addr)
{
	struct vm_area_struct *upper, *lower = NULL;
	int err = -EINVAL;

	mmap_write_lock(mm);
	upper = vma_lookup(mm, addr);
	if (upper && upper->vm_start == addr && addr)
		lower = vma_lookup(mm, addr - 1);
	if (lower)
		err = vma_merge_force(lower, upper);
	mmap_write_unlock(mm);
	return err;
}
