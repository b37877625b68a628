/* SPDX-License-Identifier: MIT */
/*
 * The software TLB: translations that one thread remembers.
 *
 *   entry[access][page number mod 256]     | page | generation | where the page lies |
 *
 * An entry counts while its generation is the TLB's. A flush makes a new generation, and then waits until
 * the owner has left the section in which he may use what he found before:
 *
 *   owner   active = odd     generation, entry: hit      reads, writes         active = even
 *   flush                 generation + 1 | heavy barrier | active odd? wait until it changes
 *
 * The owner only stores and loads; that the store of active is seen before his load of the generation is
 * what the
 * heavy barrier makes sure of, on the side of the flush. Either the flush sees the owner active, or the owner
 * sees the new generation. Outside of a section the owner holds nothing, and so it is there that he takes
 * faults.
 */
#include "mmu/access.h"

int soft_tlb_create(struct mm_struct *mm, struct mm_tlb **out)
{
	struct mm_tlb *tlb = pf_alloc(mm->ctx->pf, PF_OTHER, sizeof(*tlb), 64);
	struct mm_pgtables *pt = mm->pt;

	if (!tlb)
		return -ENOMEM;
	tlb->barrier_prepared = pf_heavy_barrier_prepare();
	tlb->mm = mm;
	atomic_store(&tlb->generation, 1);
	pf_mutex_lock(&pt->notifier_lock);
	tlb->next = pt->tlbs;
	pf_rcu_assign_pointer(pt->tlbs, tlb);
	pf_mutex_unlock(&pt->notifier_lock);
	*out = tlb;
	return 0;
}

void soft_tlb_destroy(struct mm_tlb *tlb)
{
	struct mm_pgtables *pt = tlb->mm->pt;
	struct mm_tlb **link;

	pf_assert(!(atomic_load(&tlb->active) & 1));
	pf_mutex_lock(&pt->notifier_lock);
	for (link = &pt->tlbs; *link != tlb; link = &(*link)->next)
		pf_assert(*link);
	pf_rcu_assign_pointer(*link, tlb->next);
	pf_mutex_unlock(&pt->notifier_lock);
	pf_synchronize_rcu();
	pf_free(tlb->mm->ctx->pf, PF_OTHER, tlb);
}

void mm_tlb_begin(struct mm_tlb *tlb)
{
	unsigned long active = atomic_load_explicit(&tlb->active, memory_order_relaxed);

	pf_assert(!(active & 1));
	atomic_store_explicit(&tlb->active, active + 1, memory_order_relaxed);
	/* Pairs with the heavy barrier of soft_tlb_flush(). */
	pf_light_barrier(tlb->barrier_prepared);
}

void mm_tlb_end(struct mm_tlb *tlb)
{
	unsigned long active = atomic_load_explicit(&tlb->active, memory_order_relaxed);

	pf_assert(active & 1);
	/* What was read and written comes before: pairs with the acquire of wait_for(). */
	atomic_store_explicit(&tlb->active, active + 1, memory_order_release);
}

/*
 * Only while the entry of the page tables is locked is it certain that whoever changes it flushes later
 * than the
 * generation is read here.
 */
bool soft_tlb_fill(struct mm_tlb *tlb, unsigned long addr, enum mm_access access)
{
	struct tlb_entry *entry = soft_tlb_entry(tlb, addr, access);
	struct pt_slot slot;

	pf_assert(!(atomic_load_explicit(&tlb->active, memory_order_relaxed) & 1));
	if (!access_lock(tlb->mm->pt, addr, access, &slot))
		return false;
	entry->page = addr & PAGE_MASK;
	entry->bytes = access_address(&slot, addr & PAGE_MASK);
	entry->generation = atomic_load(&tlb->generation);
	access_unlock(&slot);
	return true;
}

/* Until the owner has left the section that he was in. */
static void wait_for(struct mm_tlb *tlb)
{
	unsigned long active = atomic_load_explicit(&tlb->active, memory_order_acquire);

	unsigned int rounds = 0;

	if (!(active & 1))
		return;
	while (atomic_load_explicit(&tlb->active, memory_order_acquire) == active)
		pf_relax(&rounds);
}

void soft_tlb_flush(struct mm_pgtables *pt, unsigned long start, unsigned long end)
{
	struct mm_tlb *tlb;

	(void)start;
	(void)end;
	if (!__atomic_load_n(&pt->tlbs, __ATOMIC_ACQUIRE))
		return;
	pf_rcu_read_lock();
	for (tlb = pf_rcu_dereference(pt->tlbs); tlb; tlb = pf_rcu_dereference(tlb->next))
		atomic_fetch_add(&tlb->generation, 1);
	pf_heavy_barrier();
	for (tlb = pf_rcu_dereference(pt->tlbs); tlb; tlb = pf_rcu_dereference(tlb->next))
		wait_for(tlb);
	pf_rcu_read_unlock();
}
