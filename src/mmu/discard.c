/* SPDX-License-Identifier: MIT */
/*
 * Advice about pages: which may go at once (MADV_DONTNEED), which may go when memory is short (MADV_FREE),
 * which
 * have not been touched lately (MADV_COLD).
 *
 * A private page that no entry calls dirty, and that is not dirty itself, holds nothing that anybody wants:
 * MADV_FREE makes it so, the next write makes it dirty again, and page-out drops it without a slot.
 */
#include "mmu/access.h"
#include "mmu/swap.h"

void discard_range(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	const struct zap_details details = { .keep_guards = true, .free_tables = true };

	mmap_assert_locked(vma->vm_mm);
	pf_assert(vma->vm_start <= start && end <= vma->vm_end);
	if (vma->vm_mm->pt)
		zap_page_range(vma, start, end, &details);
}

/* What is done to each entry of a range; under its table's lock. Returns the entry as it shall be. */
struct range_walk {
	struct vm_area_struct *vma;
	struct mm_pgtables *pt;
	enum pt_format format;
	pte_t (*visit)(struct range_walk *walk, pte_t pte);
	bool changed;			/* an entry of a page: what is remembered of it must be forgotten */
};

static void walk_table(struct range_walk *walk, struct pt_range *range)
{
	struct pt_slot slot = { .pt = walk->pt, .ptep = range->ptep, .table = range->table, .level = range->level };
	pte_t pte, new;

	for (unsigned long addr = range->start; addr < range->end; addr += PAGE_SIZE, slot.ptep++) {
		pte = pte_load(slot.ptep);
		if (pte_none(pte))
			continue;
		pf_assert(pf_spin_is_locked(&range->table->ptl));
		new = walk->visit(walk, pte);
		if (new.v == pte.v)
			continue;
		walk->changed |= pte_has_page(walk->format, pte);
		/* Hardware may have noted a write meanwhile: then it stays as it is. */
		if (pte_none(new))
			set_pte(&slot, new);
		else
			pte_cmpxchg(slot.ptep, &pte, new);
	}
}

static void walk_range(struct range_walk *walk, unsigned long start, unsigned long end)
{
	struct pt_cursor cursor;
	struct pt_range range;

	walk->pt = walk->vma->vm_mm->pt;
	if (!walk->pt)
		return;
	mmap_assert_locked(walk->vma->vm_mm);
	pf_assert(walk->vma->vm_start <= start && start < end && end <= walk->vma->vm_end);
	walk->format = walk->pt->geo->format;
	pt_cursor_init(&cursor, walk->pt);
	pt_cursor_set(&cursor, start, end);
	while (pt_cursor_next(&cursor, &range)) {
		if (range.level || !pt_range_lock(walk->pt, &range))
			continue;
		walk->changed = false;
		walk_table(walk, &range);
		/* Before the table is unlocked: a write through what is remembered would not be noted. */
		if (walk->changed)
			flush_tlb_range(walk->pt, range.start, range.end);
		pt_range_unlock(&range);
	}
}

/*
 * What is swapped out is forgotten at once. Observed: a page that others have too is given up on this side; what
 * they wrote their own entry tells, which a fork has copied, and goes with it. If it is the page that tells,
 * it stays as it is.
 */
static pte_t visit_lazily(struct range_walk *walk, pte_t pte)
{
	struct page *page;

	if (pte_is_swap(walk->format, pte)) {
		swap_slot_free(swap_area_of(walk->vma->vm_mm->ctx), pte_swap_slot(pte));
		add_mm_counter(walk->pt, MM_SWAPENTS, -1);
		return (pte_t){ 0 };
	}
	if (!pte_has_page(walk->format, pte) || pte_special(walk->format, pte))
		return pte;
	page = pfn_to_page(walk->pt->pool, pte_pfn(walk->format, pte));
	if (!page_has(page, PG_ANON) || atomic_load(&page->pincount) > 0)
		return pte;
	if (page_mapcount(page) != 1 && page_has(page, PG_DIRTY))
		return pte;
	page_clear(page, PG_DIRTY);
	return pte_mkold(walk->format, pte_mkclean(walk->format, pte));
}

void discard_range_lazily(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	struct range_walk walk = { .vma = vma, .visit = visit_lazily };

	pf_assert(vma_is_anonymous(vma));
	walk_range(&walk, start, end);
}

static pte_t visit_cold(struct range_walk *walk, pte_t pte)
{
	return pte_has_page(walk->format, pte) ? pte_mkold(walk->format, pte) : pte;
}

void cold_range(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	struct range_walk walk = { .vma = vma, .visit = visit_cold };

	walk_range(&walk, start, end);
}
