/* SPDX-License-Identifier: MIT */
/*
 * Taking entries away: one table at a time, under its lock.
 *
 *   [p p . s . g P P]      p, P pages (P: dirty, of a shared file)   s swapped out   g guard
 *    | |   |   |
 *    | |   |   dropped, but where MADV_DONTNEED keeps it
 *    | |   its slot has one use less
 *    gathered: mapcount falls before the table is unlocked, refcount after the flush
 *
 * A dirty page of a file is flushed before its mapcount falls: who writes it back looks for entries that could
 * make it dirty again, and a cached translation is one.
 */
#include "mmu/mmu.h"

/* What one table is zapped for, and how far that has come. */
struct zap {
	struct mmu_gather *tlb;
	struct vm_area_struct *vma;
	const struct zap_details *details;
	unsigned int first;	/* in tlb->pages: gathered from this table, still with its mapcount */
	bool flush_first;
};

static const struct zap_details spare_nothing;

/* Counters, and what the hardware has noted, go from the entry to the page. True: the gather is full. */
PTE_FN bool zap_page(enum pt_format f, struct zap *zap, struct page *page, pte_t pte, unsigned long addr,
		     unsigned int level)
{
	struct mmu_gather *tlb = zap->tlb;
	enum mm_counter kind = page_counter(page);

	tlb->rss[kind] -= level ? (long)PT_ENTRIES : 1;
	if (kind != MM_ANONPAGES) {
		if (pte_young(f, pte))
			page_set(page, PG_REFERENCED);
		if (pte_dirty(f, pte)) {
			page_set(page, PG_DIRTY);
			zap->flush_first = true;
		}
	}
	tlb_note(tlb, addr, level);
	return tlb_remove_page(tlb, page);
}

/* The pages of this table lose the entries that are gone. Its lock is held. */
static void drop_mapcounts(struct zap *zap)
{
	struct mmu_gather *tlb = zap->tlb;

	pf_assert(zap->first <= tlb->nr);
	if (zap->flush_first)
		tlb_flush_only(tlb);
	for (unsigned int i = zap->first; i < tlb->nr; i++)
		page_remove_rmap(tlb->pages[i]);
	zap->flush_first = false;
	zap->first = tlb->nr;
}

/* Whether an entry that names a page stays. */
PTE_FN bool spares_page(const struct zap_details *details, const struct page *page)
{
	return details->keep_private && page && page_has(page, PG_ANON);
}

/* An entry without a page. True: it stays. */
PTE_FN bool spares_other(enum pt_format f, struct zap *zap, pte_t pte)
{
	if (pte_is_guard(f, pte))
		return zap->details->keep_guards;
	if (!pte_is_swap(f, pte))
		return false;
	if (zap->details->keep_private && !(zap->vma->vm_flags & VM_MAYSHARE))
		return true;
	swap_slot_free(swap_area_of(zap->vma->vm_mm->ctx), pte_swap_slot(pte));
	zap->tlb->rss[MM_SWAPENTS]--;
	return false;
}

/* Take the entry away, and see what it was at last. */
PTE_FN pte_t take_entry(struct mmu_gather *tlb, pte_t *ptep, pte_t seen)
{
	if (!tlb->everything)
		return pte_xchg(ptep, (pte_t){ 0 });
	/* Nobody translates any more. */
	pte_store(ptep, (pte_t){ 0 });
	return seen;
}

/* Returns where to go on, which is range->end unless the gather is full. */
PTE_FN unsigned long zap_table_body(enum pt_format f, struct zap *zap, struct pt_range *range)
{
	struct mmu_gather *tlb = zap->tlb;
	uint32_t used = atomic_load_explicit(&range->table->used, memory_order_relaxed);
	unsigned long addr = range->start;
	struct page *page;
	bool full = false;
	pte_t *ptep, pte;

	for (ptep = range->ptep; used && !full && addr != range->end; ptep++, addr += PAGE_SIZE) {
		pte = pte_load(ptep);
		tlb->cursor.slots++;
		if (pte_none(pte))
			continue;
		if (!pte_has_page(f, pte)) {
			if (spares_other(f, zap, pte))
				continue;
			pte_store(ptep, (pte_t){ 0 });
			used--;
			continue;
		}
		page = pte_special(f, pte) ? NULL : pfn_to_page(tlb->pt->pool, pte_pfn(f, pte));
		if (spares_page(zap->details, page))
			continue;
		pte = take_entry(tlb, ptep, pte);
		used--;
		if (page)
			full = zap_page(f, zap, page, pte, addr, 0);
		else
			tlb_note(tlb, addr, 0);
	}
	atomic_store_explicit(&range->table->used, used, memory_order_relaxed);
	return full ? addr : range->end;
}

static unsigned long zap_table(struct zap *zap, struct pt_range *range)
{
	pt_dispatch(zap->tlb->pt->geo->format, zap_table_body, zap, range);
}

/* A leaf of 2 MiB, or what stands in its place. */
PTE_FN unsigned long zap_leaf_body(enum pt_format f, struct zap *zap, struct pt_range *range)
{
	pte_t pte = pte_load(range->ptep);
	struct mmu_gather *tlb = zap->tlb;
	bool full = false;

	if (pte_none(pte) || pte_is_table(f, pte))
		return range->end;
	if (!pte_has_page(f, pte) && spares_other(f, zap, pte))
		return range->end;
	pte = take_entry(tlb, range->ptep, pte);
	atomic_fetch_sub_explicit(&range->table->used, 1, memory_order_relaxed);
	if (!pte_has_page(f, pte))
		return range->end;
	if (pte_special(f, pte))
		tlb_note(tlb, range->start, 1);
	else
		full = zap_page(f, zap, pfn_to_page(tlb->pt->pool, pte_pfn(f, pte)), pte, range->start, 1);
	(void)full;	/* the caller looks at the room that is left */
	return range->end;
}

static unsigned long zap_leaf(struct zap *zap, struct pt_range *range)
{
	pt_dispatch(zap->tlb->pt->geo->format, zap_leaf_body, zap, range);
}

/* Unhook the lowest table of @range if it is empty. Nothing is locked; the level above stays. */
PTE_FN void free_if_empty_body(enum pt_format f, struct mmu_gather *tlb, struct pt_range *range)
{
	struct page *parent = range->upper, *table = range->table;
	bool empty = false;
	pte_t pte;

	pf_spin_lock(&parent->ptl);
	pte = pte_load(range->parent);
	/* Locked inside its parent's lock, so that it cannot be unhooked twice. */
	if (pte_is_table(f, pte) && pfn_to_page(tlb->pt->pool, pte_pfn(f, pte)) == table) {
		pf_spin_lock(&table->ptl);
		empty = atomic_load_explicit(&table->used, memory_order_relaxed) == 0;
		if (empty)
			pte_store(range->parent, (pte_t){ 0 });
		pf_spin_unlock(&table->ptl);
	}
	if (empty)
		atomic_fetch_sub_explicit(&parent->used, 1, memory_order_relaxed);
	pf_spin_unlock(&parent->ptl);
	if (empty)
		tlb_remove_table(tlb, table);
}

static void free_if_empty(struct mmu_gather *tlb, struct pt_range *range)
{
	pt_dispatch(tlb->pt->geo->format, free_if_empty_body, tlb, range);
}

/* One table's part of the range, in as many turns as the gather needs. */
static void zap_range(struct zap *zap, struct pt_range *range)
{
	struct mmu_gather *tlb = zap->tlb;
	bool empty;

	do {
		if (!pt_range_lock(tlb->pt, range))
			return;
		zap->first = tlb->nr;
		range->start = range->level ? zap_leaf(zap, range) : zap_table(zap, range);
		drop_mapcounts(zap);
		empty = range->level == 0 && atomic_load_explicit(&range->table->used, memory_order_relaxed) == 0;
		if (SAMARA_DEBUG)
			__atomic_add_fetch(&tlb->pt->changes, 1, __ATOMIC_RELAXED);
		pt_range_unlock(range);
		if (SAMARA_DEBUG && (tlb->pt->pool->plants & MMU_PLANT_EARLY_YIELD))
			tlb_cond_resched(tlb);
		if (tlb->nr == MMU_GATHER_PAGES)
			tlb_flush_mmu(tlb);
	} while (range->start != range->end);
	if (empty && zap->details->free_tables)
		free_if_empty(tlb, range);
}

void unmap_page_range(struct mmu_gather *tlb, struct vm_area_struct *vma, unsigned long start, unsigned long end,
		      const struct zap_details *details)
{
	struct zap zap = { .tlb = tlb, .vma = vma, .details = details ? details : &spare_nothing };
	struct pt_range range;

	if (!tlb->pt || start >= end)
		return;
	pf_assert(vma->vm_start <= start && end <= vma->vm_end);
	pt_cursor_set(&tlb->cursor, start, end);
	while (pt_cursor_next(&tlb->cursor, &range))
		zap_range(&zap, &range);
}

void zap_page_range(struct vm_area_struct *vma, unsigned long start, unsigned long end,
		    const struct zap_details *details)
{
	struct mm_struct *mm = vma->vm_mm;
	struct mmu_gather tlb;

	if (!mm->pt || start >= end)
		return;
	pf_assert(!((start | end) & ~PAGE_MASK) && vma->vm_start <= start && end <= vma->vm_end);
	if (vma->vm_flags & VM_HUGETLB)
		hugetlb_zap_begin(vma, &start, &end);
	mmu_notifier_invalidate_start(mm, start, end);
	tlb_gather_mmu(&tlb, mm, false);
	tlb.work.vmas++;
	unmap_page_range(&tlb, vma, start, end, details);
	tlb_finish_mmu(&tlb);
	mmu_notifier_invalidate_end(mm, start, end);
	if (vma->vm_flags & VM_HUGETLB)
		hugetlb_zap_end(vma);
}
