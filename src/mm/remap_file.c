/* SPDX-License-Identifier: MIT */
/* remap_file_pages, which Linux has long made of mmap. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "mm/mm.h"

/* Whether the mappings of [@start, @end), of which @vma is the first, differ in their place alone. */
static bool are_alike(struct vm_area_struct *vma, unsigned long end)
{
	struct vm_area_struct *next;
	unsigned long at;

	for (at = vma->vm_end; at < end; at = next->vm_end) {
		next = vma_lookup(vma->vm_mm, at);
		if (!next || next->vm_file != vma->vm_file || next->vm_flags != vma->vm_flags)
			return false;
		/*
		 * Observed: guards that were installed once tell them apart here, though not where they
		 * merge.
		 */
		if (next->had_guards != vma->had_guards)
			return false;
	}
	return true;
}

static unsigned long prot_of(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & VM_READ ? PROT_READ : 0) | (vma->vm_flags & VM_WRITE ? PROT_WRITE : 0) |
	       (vma->vm_flags & VM_EXEC ? PROT_EXEC : 0);
}

static int remap_range(struct mm_struct *mm, unsigned long start, unsigned long end, unsigned long pgoff,
		       unsigned long flags)
{
	struct vm_area_struct *vma = vma_lookup(mm, start);
	struct mm_mmap_args args;
	struct vm_file *file;
	unsigned long at;
	int err;

	mmap_assert_write_locked(mm);
	if (!vma || !(vma->vm_flags & VM_SHARED) || !vma->vm_file || !are_alike(vma, end))
		return -EINVAL;
	file = vma->vm_file;
	args = (struct mm_mmap_args){
		.addr = start, .len = end - start, .prot = prot_of(vma), .file = file,
		.flags = (flags & MAP_NONBLOCK) | MAP_SHARED | MAP_FIXED | MAP_POPULATE |
			 (vma->vm_flags & VM_LOCKED ? MAP_LOCKED : 0),
		/* No file reaches beyond what can be said in bytes. */
		.offset = (pgoff < PAGE_MASK >> PAGE_SHIFT ? (uint64_t)pgoff << PAGE_SHIFT : PAGE_MASK),
	};
	/* The mapping that goes may hold the last reference. */
	vm_file_get(file);
	err = do_mmap(mm, &args, &at);
	vm_file_put(file);
	return err;
}

int mm_remap_file_pages(struct mm_struct *mm, unsigned long addr, size_t size, unsigned long prot,
			unsigned long pgoff, unsigned long flags)
{
	unsigned long start = addr & PAGE_MASK, bytes = size & PAGE_MASK;
	int err;

	if (prot || start + bytes <= start || pgoff + (bytes >> PAGE_SHIFT) < pgoff)
		return -EINVAL;
	mmap_write_lock(mm);
	err = remap_range(mm, start, start + bytes, pgoff, flags);
	mmap_write_unlock(mm);
	return err;
}
