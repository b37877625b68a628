/* SPDX-License-Identifier: MIT */
/*
 * The OOM reaper: the private memory of an address space that is to die is worth more to others than to it.
 *
 * It walks beside faults and exits, under the lock held for reading, which it only tries for:
 *
 *   MMF_OOM_SKIP   seen under the lock: its memory goes already, or has gone; hands off
 *   MMF_UNSTABLE   set before the first page is taken, so that no fault passes off an empty page as what was
 *                  there
 */
#include "mm/mm.h"
#include "mmu/mmu.h"

/* Of what is not private, and of frames that are no pages, others may have need. */
static bool may_reap(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & (VM_SHARED | VM_HUGETLB | VM_PFNMAP | VM_MIXEDMAP | VM_IO));
}

int mm_oom_reap(struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	struct vma_iterator vmi;

	if (!pf_try_down_read(&mm->mmap_lock))
		return -EAGAIN;
	if (!mm_flag_is_set(mm, MMF_OOM_SKIP)) {
		mm_set_flag(mm, MMF_UNSTABLE);
		vma_iter_init(&vmi, mm, 0);
		for_each_vma(vmi, vma)
			if (may_reap(vma))
				zap_page_range(vma, vma->vm_start, vma->vm_end, NULL);
		mm_set_flag(mm, MMF_OOM_SKIP);
	}
	mmap_read_unlock(mm);
	return 0;
}

/* How much would be won, in pages; 0: nothing, or it is not to be ended. */
static unsigned long badness(const struct mm_struct *mm)
{
	long points, adj = mm->opt.oom_score_adj;

	if (!mm->pt || adj <= -1000 || mm_flag_is_set(mm, MMF_OOM_SKIP) || mm_flag_is_set(mm, MMF_UNSTABLE))
		return 0;
	points = (long)(get_mm_rss(mm->pt) + get_mm_counter(mm->pt, MM_SWAPENTS) +
			__atomic_load_n(&mm->pt->table_bytes, __ATOMIC_RELAXED) / PAGE_SIZE);
	points += adj * (long)(mm->ctx->frames->nr_frames / 1000);
	return points > 0 ? (unsigned long)points : 0;
}

struct mm_struct *mm_oom_select(struct mm_context *ctx)
{
	struct mm_struct *mm, *chosen = NULL;
	unsigned long points, most = 0;

	/*
	 * What is on the list is held by its users. None of them is taken: the last one's going may not be
	 * ours.
	 */
	pf_mutex_lock(&ctx->mm_list_lock);
	for (mm = ctx->mm_list; mm; mm = mm->list_next) {
		points = badness(mm);
		if (points <= most)
			continue;
		most = points;
		chosen = mm;
	}
	if (chosen)
		mmgrab(chosen);
	pf_mutex_unlock(&ctx->mm_list_lock);
	return chosen;
}
