/* SPDX-License-Identifier: MIT */
/*
 * The end of an address space: its last user has gone.
 *
 * Those who hold it, and found it when it had users, may still look at it under its lock. So
 *
 *   1. pages go under the lock held for reading: nobody changes mappings any more, and a reaper may help
 *   2. the reaper is told to keep off
 *   3. tables, mappings and tree go under the lock held for writing
 *   4. the trace point, when nothing is left
 *
 * Nothing here allocates, and nothing can fail.
 */
#include "mm/mm.h"
#include "mm/trace.h"
#include "mmu/mmu.h"

/* The tree is empty of VMAs that are anyone's: give its nodes back. Requires mmap_lock for writing. */
void mm_destroy_tree(struct mm_struct *mm)
{
	mmap_assert_write_locked(mm);
	/* Nobody looks without the lock any more, so that nodes need not wait for readers. */
	mt_clear_in_rcu(&mm->mm_mt);
	__mt_destroy(&mm->mm_mt);
}

/* Pages, while others may look still; *@tlb is left to be finished. Requires mmap_lock for reading. */
static void exit_pages(struct mmu_gather *tlb, struct unmap_desc *unmap, struct mm_struct *mm)
{
	flush_cache_mm(mm);
	tlb_gather_mmu(tlb, mm, true);
	unmap_vmas(tlb, unmap);
}

/* Tables, then VMAs. Returns the accounted pages. Requires mmap_lock for writing. */
static unsigned long exit_mappings(struct mmu_gather *tlb, struct unmap_desc *unmap, struct mm_struct *mm)
{
	struct vm_area_struct *vma = unmap->first;
	struct vma_iterator *vmi = unmap->mas;

	mmap_assert_write_locked(mm);
	unmap_pgtable_init(unmap, vmi);
	free_pgtables(tlb, unmap);
	tlb_finish_mmu(tlb);
	vma_iter_set(vmi, vma->vm_end);
	return tear_down_vmas(mm, vmi, vma, 0);
}

void exit_mmap(struct mm_struct *mm)
{
	unsigned long count, accounted = 0;
	struct vm_area_struct *vma;
	struct mmu_gather tlb;
	struct unmap_desc unmap;
	struct vma_iterator vmi;

	pf_assert(atomic_load(&mm->mm_users) == 0);
	mmu_notifier_release(mm);
	mmap_read_lock(mm);
	count = mm->map_count;
	vma_iter_init(&vmi, mm, 0);
	vma = vma_next(&vmi);
	unmap_all_init(&unmap, &vmi, vma);
	if (vma)
		exit_pages(&tlb, &unmap, mm);
	mmap_read_unlock(mm);
	/* The reaper could only find what is gone, and would meet tables that go. */
	mm_set_flag(mm, MMF_OOM_SKIP);
	mmap_write_lock(mm);
	if (vma)
		accounted = exit_mappings(&tlb, &unmap, mm);
	mm_destroy_tree(mm);
	pf_up_write(&mm->mmap_lock);
	vm_unacct_memory(mm->ctx, accounted);
	trace_mm(mm, &(struct mm_trace){ .event = MM_TRACE_EXIT, .result = (long)count });
}

void trace_mm_hook(struct mm_struct *mm, const struct mm_trace *trace)
{
	struct mm_trace told = *trace;

	told.mm = mm;
	mm->ctx->opt.trace(mm->ctx->opt.trace_arg, &told);
}
