/* SPDX-License-Identifier: MIT */
/*
 * A swap area comes, and goes: swapoff brings back every page that is in it.
 *
 *   1. the area hands out no more slots
 *   2. every address space on the list, in its order, and every inode of shared memory, gives up what it has
 *   3. when no slot is in use, nobody leads to the area; after a grace period it is gone
 *
 * One walk meets every child. A fork holds its parent's mmap_lock from before it copies the first entry until
 * the child is on the list, behind its parent: who looks at the parent either comes first, and then there is
 * no entry to copy, or comes when the child is on the list, where the walk gets to it. What is left after a
 * walk is on its way: a page-out that has its slot already, an exit, a recovery. So the walk is made again.
 */
#include "mm/mm.h"
#include "mmu/mmu.h"

int mm_swapon(struct mm_context *ctx, unsigned long slots)
{
	struct swap_area *area;

	if (!slots || slots >= UINT32_MAX || !ctx->frames)
		return -EINVAL;
	area = swap_area_create(ctx->pf, slots);
	if (!area)
		return -ENOMEM;
	pf_mutex_lock(&ctx->mm_list_lock);
	if (!ctx->swap) {
		/* Found without the lock: swap_area_of(). */
		__atomic_store_n(&ctx->swap, area, __ATOMIC_RELEASE);
		area = NULL;
	}
	pf_mutex_unlock(&ctx->mm_list_lock);
	swap_area_destroy(area);
	return area ? -EBUSY : 0;
}

/* All that one address space has in the area. */
static int unuse_mm(struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	int err = 0;

	mmap_read_lock(mm);
	/* What the reaper has not taken of it goes with it. */
	if (mm->pt && !mm_flag_is_set(mm, MMF_UNSTABLE) && get_mm_counter(mm->pt, MM_SWAPENTS) > 0) {
		vma_iter_init(&vmi, mm, 0);
		for_each_vma(vmi, vma) {
			err = unuse_vma(vma);
			if (err)
				break;
		}
	}
	mmap_read_unlock(mm);
	return err;
}

static bool is_to_die(struct mm_struct *caller)
{
	return caller && caller->opt.fatal_signal_pending &&
	       caller->opt.fatal_signal_pending(caller->opt.signal_arg, caller);
}

static int unuse_all_mms(struct mm_context *ctx, struct mm_struct *caller)
{
	struct mm_struct *mm = NULL;
	int err = 0;

	while (!err && (mm = mm_context_next(ctx, mm)) != NULL)
		err = is_to_die(caller) ? -EINTR : unuse_mm(mm);
	mmput(mm);
	return err;
}

static int unuse_all_files(struct mm_context *ctx, struct mm_struct *caller)
{
	struct address_space *mapping = NULL;
	int err = 0;

	while (!err && (mapping = shmem_list_next(ctx, mapping)) != NULL)
		err = is_to_die(caller) ? -EINTR : unuse_mapping(mapping);
	address_space_put(mapping);
	return err;
}

/* Until no slot is in use. The area hands out none. */
static int empty_area(struct mm_context *ctx, struct swap_area *area, struct mm_struct *caller)
{
	unsigned int rounds = 0;
	int err;

	while (!swap_area_is_empty(area)) {
		err = unuse_all_mms(ctx, caller);
		if (!err)
			err = unuse_all_files(ctx, caller);
		if (err)
			return err;
		if (!swap_area_is_empty(area))
			pf_relax(&rounds);
	}
	return 0;
}

/* The context's area, closed by us; NULL: it has none, or somebody else empties it. */
static struct swap_area *close_area(struct mm_context *ctx)
{
	struct swap_area *area;

	pf_rcu_read_lock();
	area = swap_area_of(ctx);
	if (area && !swap_area_close(area, true))
		area = NULL;
	pf_rcu_read_unlock();
	return area;
}

int mm_swapoff(struct mm_context *ctx, struct mm_struct *caller)
{
	struct swap_area *area = close_area(ctx);
	int err;

	pf_assert(!caller || caller->ctx == ctx);
	if (!area)
		return -EINVAL;
	err = empty_area(ctx, area, caller);
	if (err) {
		swap_area_close(area, false);
		return err;
	}
	pf_mutex_lock(&ctx->mm_list_lock);
	pf_assert(ctx->swap == area);
	__atomic_store_n(&ctx->swap, NULL, __ATOMIC_RELEASE);
	pf_mutex_unlock(&ctx->mm_list_lock);
	/* Who found it without a slot of it has got none, and may be about to learn that. */
	pf_synchronize_rcu();
	swap_area_destroy(area);
	return 0;
}
