/* SPDX-License-Identifier: MIT */
/* What a driver is asked and told about mappings of its file, pages apart. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "vma/vma.h"

void vma_open(const struct vm_area_struct *vma)
{
	const struct vm_operations *ops = driver_of(vma);

	if (ops && ops->open)
		ops->open(vma->vm_file->info.ops_arg, vma->vm_mm);
}

void vma_close(const struct vm_area_struct *vma)
{
	const struct vm_operations *ops = driver_of(vma);

	if (ops && ops->close)
		ops->close(vma->vm_file->info.ops_arg, vma->vm_mm);
}

struct vm_mapping vma_as_mapping(const struct vm_area_struct *vma)
{
	vm_flags_t flags = vma->vm_flags;

	pf_assert(vma->vm_mm && vma->vm_start < vma->vm_end);
	return (struct vm_mapping){
		.mm = vma->vm_mm,
		.start = vma->vm_start,
		.end = vma->vm_end,
		.pgoff = vma->vm_pgoff,
		.prot = (flags & VM_READ ? PROT_READ : 0ul) | (flags & VM_WRITE ? PROT_WRITE : 0ul) |
			(flags & VM_EXEC ? PROT_EXEC : 0ul),
		.shared = flags & VM_MAYSHARE,
	};
}

int vma_may_split(const struct vm_area_struct *vma, unsigned long addr)
{
	const struct vm_operations *ops = driver_of(vma);
	struct vm_mapping map;
	int err;

	pf_assert(vma->vm_start <= addr && addr <= vma->vm_end);
	mmap_assert_write_locked(vma->vm_mm);
	if (vma->vm_flags & VM_HUGETLB)
		return addr & (PMD_SIZE - 1) ? -EINVAL : 0;
	if (!ops || !ops->may_split)
		return 0;
	map = vma_as_mapping(vma);
	err = ops->may_split(vma->vm_file->info.ops_arg, &map, addr);
	pf_assert(err <= 0);
	return err;
}

int vma_may_move(const struct vm_area_struct *to, unsigned long from)
{
	const struct vm_operations *ops = driver_of(to);
	struct vm_mapping map;
	int err;

	mmap_assert_write_locked(to->vm_mm);
	if (!ops || !ops->mremap)
		return 0;
	map = vma_as_mapping(to);
	err = ops->mremap(to->vm_file->info.ops_arg, &map, from);
	pf_assert(err <= 0);
	return err;
}
