/* SPDX-License-Identifier: MIT */
/*
 * fork, on the level of VMAs.
 *
 * The tree is duplicated in one pass; then each entry, which is the parent's
 * VMA, is replaced by the child's. When that fails half way,
 *
 *   child's tree   |cccc|ccc| |PPPP|PPPPP|
 *                              ^ limit: the first entry that is still the parent's
 *
 * what lies below the limit is torn down, the rest is not touched, and the
 * tree is destroyed. Nobody else has seen the child.
 */
#include "mm/mm.h"
#include "mm/trace.h"
#include "mmu/mmu.h"

/*
 * The child's copy of @mpnt, charged and with its chain; NULL when there is no memory or the charge is
 * refused.
 */
static struct vm_area_struct *dup_for_child(struct mm_struct *child, struct vm_area_struct *mpnt)
{
	unsigned long charge = mpnt->vm_flags & VM_ACCOUNT ? vma_pages(mpnt) : 0;
	struct vm_area_struct *vma;
	int err = 0;

	if (vm_enough_memory(child->ctx, charge))
		return NULL;
	vma = vma_copy(child, mpnt);
	if (!vma)
		goto uncharge;
	/* Observed: nor does a userfaultfd listen to the child. */
	vma->vm_flags &= ~(VM_LOCKED_MASK | VM_UFFD_MASK | VM_HUGE_OWNER);
	if (!(mpnt->vm_flags & VM_WIPEONFORK))
		err = anon_vma_fork(vma, mpnt);
	if (err)
		goto free_vma;
	return vma;

free_vma:
	vma_free(child, vma);
uncharge:
	vm_unacct_memory(child->ctx, charge);
	return NULL;
}

static void count_copied(struct mm_struct *child, const struct vm_area_struct *vma)
{
	child->map_count++;
	vm_stat_account(child, vma->vm_flags, (long)vma_pages(vma));
	if (vma->vm_flags & VM_ACCOUNT)
		child->accounted += vma_pages(vma);
}

/* Of whom the reaper has taken pages is to die too: a child would read zeroes where something was. */
static bool is_to_die(struct mm_struct *parent)
{
	if (mm_flag_is_set(parent, MMF_UNSTABLE))
		return true;
	return parent->opt.fatal_signal_pending &&
	       parent->opt.fatal_signal_pending(parent->opt.signal_arg, parent);
}

/* The child's VMA in place of @mpnt, which the state stands on; pages come last, when it is in the tree. */
static int copy_entry(struct mm_struct *child, struct vma_iterator *vmi, struct vm_area_struct *mpnt,
		      bool *stored)
{
	struct vm_area_struct *vma = dup_for_child(child, mpnt);
	int err;

	*stored = false;
	if (!vma)
		return -ENOMEM;
	vma_mark_attached(vma);
	mas_store(&vmi->mas, vma);
	count_copied(child, vma);
	*stored = true;
	fork_step(child, FORK_VMA_STORED, vma);
	/* Pages that are wiped are not copied; the parent's do not change while the others are. */
	if (!child->pt || (mpnt->vm_flags & VM_WIPEONFORK))
		return 0;
	vma_start_write(mpnt);
	err = copy_page_range(vma, mpnt);
	fork_step(child, FORK_PAGES_COPIED, vma);
	return err;
}

/*
 * Replace each entry. On failure *@limit is the start of the first one that is the parent's still, or 0 if
 * there is none.
 */
static int replace_entries(struct mm_struct *child, struct mm_struct *parent, unsigned long *limit)
{
	struct vm_area_struct *mpnt;
	struct vma_iterator vmi;
	bool stored;
	int err;

	mmap_assert_write_locked(child);
	vma_iter_init(&vmi, child, 0);
	for_each_vma(vmi, mpnt) {
		*limit = mpnt->vm_start;
		if (mpnt->vm_flags & VM_DONTCOPY) {
			mas_store(&vmi.mas, NULL);
			continue;
		}
		if (is_to_die(parent))
			return -EINTR;
		err = copy_entry(child, &vmi, mpnt, &stored);
		if (!err)
			continue;
		/* It failed over its pages: it is the child's, and goes too. */
		if (stored) {
			mpnt = vma_next(&vmi);
			*limit = mpnt ? mpnt->vm_start : 0;
		}
		return err;
	}
	return 0;
}

/* Pages, tables and VMAs of the child below @limit; 0: all. Returns the accounted pages. */
static unsigned long undo_below(struct mm_struct *child, unsigned long limit)
{
	struct vm_area_struct *first;
	struct unmap_desc unmap;
	struct vma_iterator vmi;

	vma_iter_init(&vmi, child, 0);
	first = vma_next(&vmi);
	unmap_all_init(&unmap, &vmi, first);
	/* Tables know nothing of the parent's entries: all of them go. The VMAs end at the limit. */
	unmap.tree_end = limit ? limit : unmap.pg_end;
	unmap.mm_wr_locked = true;
	flush_cache_mm(child);
	unmap_region(&unmap);
	fork_step(child, FORK_UNMAPPED, NULL);
	vma_iter_set(&vmi, first->vm_end);
	return tear_down_vmas(child, &vmi, first, limit);
}

/*
 * What has been made of the child goes again, before any lock is dropped. The parent's entries, from
 * @limit on, are not looked at. Allocates nothing and cannot fail.
 */
static void undo_dup(struct mm_struct *child, unsigned long limit)
{
	mmap_assert_write_locked(child);
	/* Its memory goes already. */
	mm_set_flag(child, MMF_OOM_SKIP);
	fork_step(child, FORK_FAILED, NULL);
	/* When nothing was made there is nothing below the limit, wherever it is. */
	if (child->map_count)
		vm_unacct_memory(child->ctx, undo_below(child, limit));
	fork_step(child, FORK_TORN_DOWN, NULL);
	mm_destroy_tree(child);
	mm_set_flag(child, MMF_UNSTABLE);
	fork_step(child, FORK_UNDONE, NULL);
}

static int dup_mmap(struct mm_struct *child, struct mm_struct *parent)
{
	unsigned long limit = 0;
	int err;

	mmap_assert_write_locked(parent);
	err = __mt_dup(&parent->mm_mt, &child->mm_mt, GFP_KERNEL);
	if (err)
		return err;
	/*
	 * Until it is whole, nobody else can find the child's tree, so nothing in it has to wait for readers.
	 */
	mt_clear_in_rcu(&child->mm_mt);
	flush_cache_mm(parent);
	fork_step(child, FORK_TREE_COPIED, NULL);
	err = replace_entries(child, parent, &limit);
	if (err) {
		undo_dup(child, limit);
		return err;
	}
	child->start_brk = parent->start_brk;
	child->brk = parent->brk;
	pkeys_dup(child, parent);
	fork_step(child, FORK_WHOLE, NULL);
	/*
	 * Publication. 1: its tree, for who has the child. 2: the way to it from pages. 3: the list, for who
	 * takes a user of it. 4: those who work on all, mm_daemons_fork(). 5: the caller. The list comes
	 * while the parent is locked still: swapoff, which walks the list, must not find the parent's entries
	 * copied and the child not there.
	 */
	mt_set_in_rcu(&child->mm_mt);
	fork_step(child, FORK_TREE_PUBLIC, NULL);
	rmap_enter_all(child);
	fork_step(child, FORK_RMAP_PUBLIC, NULL);
	mm_list_add(child);
	fork_step(child, FORK_PUBLIC, NULL);
	return 0;
}

static int make_child(struct mm_struct *parent, struct mm_struct **out)
{
	struct mm_struct *child;
	int err;

	/* The limits too are read under the lock. */
	mmap_write_lock(parent);
	child = mm_alloc(parent->ctx, &parent->opt);
	if (!child) {
		mmap_write_unlock(parent);
		return -ENOMEM;
	}
	mmap_write_lock(child);
	if (child->pt)
		fork_gate_enter(child->ctx);
	err = dup_mmap(child, parent);
	if (child->pt)
		fork_gate_leave(child->ctx);
	if (err)
		pf_up_write(&child->mmap_lock);
	else
		mmap_write_unlock(child);
	mmap_write_unlock(parent);
	if (err)
		mm_abandon(child);
	else
		*out = child;
	return err;
}

int mm_fork(struct mm_struct *parent, struct mm_struct **out)
{
	struct mm_struct *child = NULL;
	int err;

	pf_assert(atomic_load(&parent->mm_users) > 0);
	err = make_child(parent, &child);
	if (!err) {
		mm_daemons_fork(parent, child);
		*out = child;
	}
	trace_mm(parent, &(struct mm_trace){ .event = MM_TRACE_FORK, .result = err, .child = child });
	return err;
}
