/* SPDX-License-Identifier: MIT */
/*
 * Who wants to know when pages change hands, and who has to forget translations.
 *
 * The list is walked under its own lock, which is the last one taken but for those of what a notifier owns. So one that
 * is unregistered is not called any more when that returns.
 */
#include "mmu/mmu.h"

int mm_notifier_register(struct mm_struct *mm, struct mm_notifier *notifier)
{
	struct mm_pgtables *pt = mm->pt;
	struct mm_notifier *other;

	if (!pt || !notifier->ops)
		return -EINVAL;
	pf_mutex_lock(&pt->notifier_lock);
	for (other = pt->notifiers; other && other != notifier; other = other->next)
		;
	if (!other) {
		notifier->next = pt->notifiers;
		__atomic_store_n(&pt->notifiers, notifier, __ATOMIC_RELEASE);
	}
	pf_mutex_unlock(&pt->notifier_lock);
	return other ? -EEXIST : 0;
}

void mm_notifier_unregister(struct mm_struct *mm, struct mm_notifier *notifier)
{
	struct mm_pgtables *pt = mm->pt;
	struct mm_notifier **at;

	if (!pt)
		return;
	pf_mutex_lock(&pt->notifier_lock);
	for (at = &pt->notifiers; *at && *at != notifier; at = &(*at)->next)
		;
	if (*at)
		__atomic_store_n(at, notifier->next, __ATOMIC_RELEASE);
	pf_mutex_unlock(&pt->notifier_lock);
}

void mm_set_flush(struct mm_struct *mm, mm_flush_fn flush, void *arg)
{
	mmap_write_lock(mm);
	if (mm->pt) {
		mm->pt->flush = flush;
		mm->pt->flush_arg = arg;
	}
	mmap_write_unlock(mm);
}

static bool nobody_listens(const struct mm_pgtables *pt)
{
	return !pt || !__atomic_load_n(&pt->notifiers, __ATOMIC_ACQUIRE);
}

void mmu_notifier_invalidate_start(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct mm_pgtables *pt = mm->pt;

	pf_assert(start <= end - 1);
	if (nobody_listens(pt))
		return;
	pf_mutex_lock(&pt->notifier_lock);
	for (struct mm_notifier *n = pt->notifiers; n; n = n->next)
		if (n->ops->invalidate_range_start)
			n->ops->invalidate_range_start(n, mm, start, end);
	pf_mutex_unlock(&pt->notifier_lock);
}

void mmu_notifier_invalidate_end(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct mm_pgtables *pt = mm->pt;

	pf_assert(start <= end - 1);
	if (nobody_listens(pt))
		return;
	pf_mutex_lock(&pt->notifier_lock);
	for (struct mm_notifier *n = pt->notifiers; n; n = n->next)
		if (n->ops->invalidate_range_end)
			n->ops->invalidate_range_end(n, mm, start, end);
	pf_mutex_unlock(&pt->notifier_lock);
}

void mmu_notifier_release(struct mm_struct *mm)
{
	struct mm_pgtables *pt = mm->pt;
	struct mm_notifier *n;

	if (nobody_listens(pt))
		return;
	pf_mutex_lock(&pt->notifier_lock);
	for (n = pt->notifiers; n; n = n->next)
		if (n->ops->release)
			n->ops->release(n, mm);
	pf_mutex_unlock(&pt->notifier_lock);
}
