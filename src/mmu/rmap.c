/* SPDX-License-Identifier: MIT */
/* Going from the pages of a file to all entries that map them. */
#include "mmu/mmu.h"

struct unmapping {
	pgoff_t first, last;
	const struct zap_details *details;
};

static bool unmap_in_vma(void *arg, struct vm_area_struct *vma)
{
	const struct unmapping *unmapping = arg;
	pgoff_t first = unmapping->first > vma->vm_pgoff ? unmapping->first : vma->vm_pgoff;
	pgoff_t end = vma->vm_pgoff + vma_pages(vma);

	if (unmapping->last < end - 1)
		end = unmapping->last + 1;
	pf_assert(first < end);
	zap_page_range(vma, vma->vm_start + ((first - vma->vm_pgoff) << PAGE_SHIFT),
		       vma->vm_start + ((end - vma->vm_pgoff) << PAGE_SHIFT), unmapping->details);
	return true;
}

void unmap_mapping_range(struct address_space *mapping, pgoff_t first, pgoff_t last,
			 const struct zap_details *details)
{
	struct unmapping unmapping = { first, last, details };

	pf_assert(first <= last);
	if (!mapping->ctx->frames)
		return;
	/* A child in the making has copied entries, and cannot be found yet: it is waited for. */
	fork_gate_close(mapping->ctx);
	i_mmap_walk(mapping, &(struct rmap_walk){ first, last, unmap_in_vma, &unmapping });
	fork_gate_open(mapping->ctx);
}
