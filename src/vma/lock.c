/* SPDX-License-Identifier: MIT */
/*
 * One VMA's own lock: a fault takes it for reading, instead of the mmap_lock.
 *
 *   vm_refcnt     0: detached (never in the tree, or out of it). 1: in the tree. Each reader adds one.
 *   vm_lock_seq   equal to mm->mm_lock_seq: locked for writing
 *
 * A writer, who has mmap_lock for writing, stamps the VMA with the number of its section, and waits until the
 * readers have gone. It unlocks all that it has stamped at once, by counting mm_lock_seq up. A reader first adds itself,
 * then looks at the stamp: whichever of the two came first, one sees the other.
 *
 * The memory of a VMA is type-stable: whoever finds one under RCU may hold another one by the time that it has
 * added itself, in another address space even. It therefore looks whose it is, and where, under the lock. Nothing
 * but these functions writes to the two words, so that a free VMA's vm_refcnt is 0 and stays so.
 */
#include "vma/vma.h"

static unsigned int lock_seq(const struct mm_struct *mm)
{
	return atomic_load_explicit(&mm->mm_lock_seq, memory_order_acquire);
}

static bool is_stamped(const struct mm_struct *mm, const struct vm_area_struct *vma)
{
	/* The stamp first: who sees a stamp then sees a count at least as new. */
	unsigned int stamp = atomic_load(&vma->vm_lock_seq);

	return stamp == lock_seq(mm);
}

bool vma_start_read(struct mm_struct *mm, struct vm_area_struct *vma)
{
	unsigned int refs;

	/* Most of those that are locked need not be disturbed. */
	if (is_stamped(mm, vma))
		return false;
	refs = atomic_load_explicit(&vma->vm_refcnt, memory_order_relaxed);
	do {
		if (!refs)
			return false;
	} while (!atomic_compare_exchange_weak(&vma->vm_refcnt, &refs, refs + 1));
	if (vma->vm_mm == mm && !is_stamped(mm, vma))
		return true;
	vma_end_read(vma);
	return false;
}

void vma_end_read(struct vm_area_struct *vma)
{
	unsigned int before = atomic_fetch_sub_explicit(&vma->vm_refcnt, 1, memory_order_release);

	pf_assert(before > 1);
	(void)before;
}

struct vm_area_struct *lock_vma_under_rcu(struct mm_struct *mm, unsigned long addr)
{
	struct vm_area_struct *vma;

	pf_rcu_read_lock();
	vma = vma_lookup(mm, addr);
	if (vma && !vma_start_read(mm, vma))
		vma = NULL;
	pf_rcu_read_unlock();
	if (!vma || (vma->vm_start <= addr && addr < vma->vm_end))
		return vma;
	/* It has moved, or become another one of this address space. */
	vma_end_read(vma);
	return NULL;
}

void vma_start_write(struct vm_area_struct *vma)
{
	struct mm_struct *mm = vma->vm_mm;
	unsigned int seq = lock_seq(mm), rounds = 0;

	mmap_assert_write_locked(mm);
	if (atomic_load_explicit(&vma->vm_lock_seq, memory_order_relaxed) == seq)
		return;
	atomic_exchange(&vma->vm_lock_seq, seq);
	/* Those who come now add themselves for a moment, see the stamp, and go. */
	while (atomic_load(&vma->vm_refcnt) > 1)
		pf_relax(&rounds);
}

void vma_mark_attached(struct vm_area_struct *vma)
{
	mmap_assert_write_locked(vma->vm_mm);
	pf_assert(atomic_load(&vma->vm_refcnt) == 0);
	atomic_store_explicit(&vma->vm_lock_seq, lock_seq(vma->vm_mm), memory_order_relaxed);
	atomic_store_explicit(&vma->vm_refcnt, 1, memory_order_release);
}

void vma_mark_detached(struct vm_area_struct *vma)
{
	unsigned int one = 1, rounds = 0;

	if (atomic_compare_exchange_strong(&vma->vm_refcnt, &one, 0))
		return;
	pf_assert(one > 0);
	vma_start_write(vma);
	do {
		pf_relax(&rounds);
		one = 1;
	} while (!atomic_compare_exchange_strong(&vma->vm_refcnt, &one, 0));
}

/* Every 2^32 sections: stamps of long ago must not be taken for one of now. */
static void forget_stamps(struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	struct vma_iterator vmi;

	vma_iter_init(&vmi, mm, 0);
	for_each_vma(vmi, vma)
		atomic_store(&vma->vm_lock_seq, 0);
}

void vma_end_write_all(struct mm_struct *mm)
{
	unsigned int seq = lock_seq(mm) + 1;

	mmap_assert_write_locked(mm);
	if (!seq) {
		/* One that was stamped 1 just before the count begins anew would look locked. */
		forget_stamps(mm);
		seq = 1;
	}
	atomic_store_explicit(&mm->mm_lock_seq, seq, memory_order_release);
}

void vma_assert_write_locked(struct vm_area_struct *vma)
{
	pf_assert(vma_is_detached(vma) || (pf_rwsem_write_held(&vma->vm_mm->mmap_lock) &&
					   is_stamped(vma->vm_mm, vma)));
}

void vma_assert_locked(struct vm_area_struct *vma)
{
	/* Detached, held for reading by somebody, or all of it is held. */
	pf_assert(atomic_load(&vma->vm_refcnt) != 1 || pf_rwsem_held(&vma->vm_mm->mmap_lock));
}
