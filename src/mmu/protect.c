/* SPDX-License-Identifier: MIT */
/*
 * mprotect's part here: entries follow their mapping.
 *
 * What becomes writable again is not made so at once but where the next write would only do the same: a private page
 * that is dirty and ours alone, a shared one that is dirty. All others take one fault, which copies, or notes
 * that they get dirty.
 */
#include "mmu/mmu.h"

struct protect {
	struct mm_pgtables *pt;
	struct vm_area_struct *vma;
	vm_flags_t prot;
	unsigned long start, end;	/* changed so far, to be flushed; none if equal */
};

PTE_FN bool may_stay_writable(enum pt_format f, const struct protect *p, pte_t pte)
{
	struct page *page;

	if (!(p->prot & VM_WRITE) || pte_special(f, pte))
		return false;
	if (pte_write(f, pte))
		return true;
	if (!pte_dirty(f, pte) || !pte_soft_dirty(f, pte))
		return false;
	if (p->vma->vm_flags & VM_SHARED)
		return true;
	page = pfn_to_page(p->pt->pool, pte_pfn(f, pte));
	return page_has(page, PG_ANON) && page_mapcount(page) == 1 && page_refcount(page) == 1;
}

/* Hardware may set its bits while we look. */
PTE_FN void protect_entry(enum pt_format f, struct protect *p, pte_t *ptep, unsigned long addr, unsigned int level)
{
	pte_t pte = pte_load(ptep), new;

	do {
		if (!pte_has_page(f, pte) || (level && pte_is_table(f, pte)))
			return;
		new = pte_modify(f, level, pte, p->prot);
		if (!may_stay_writable(f, p, pte))
			new = pte_wrprotect(f, new);
		if (new.v == pte.v)
			return;
	} while (!pte_cmpxchg(ptep, &pte, new));
	if (p->start == p->end)
		p->start = addr;
	p->end = addr + PT_SPAN(level);
}

PTE_FN void protect_range_body(enum pt_format f, struct protect *p, struct pt_range *range)
{
	pte_t *ptep = range->ptep;

	if (range->level) {
		protect_entry(f, p, ptep, range->start, 1);
		return;
	}
	for (unsigned long addr = range->start; addr != range->end; addr += PAGE_SIZE, ptep++)
		protect_entry(f, p, ptep, addr, 0);
}

static void protect_range(struct protect *p, struct pt_range *range)
{
	pt_dispatch(p->pt->geo->format, protect_range_body, p, range);
}

void change_protection(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	struct protect p = { .pt = vma->vm_mm->pt, .vma = vma, .prot = vma->vm_flags & VM_ACCESS_FLAGS };
	struct mm_struct *mm = vma->vm_mm;
	struct pt_cursor cursor;
	struct pt_range range;

	if (!p.pt || start >= end)
		return;
	mmap_assert_write_locked(mm);
	pf_assert(vma->vm_start <= start && end <= vma->vm_end);
	mmu_notifier_invalidate_start(mm, start, end);
	pt_cursor_init(&cursor, p.pt);
	pt_cursor_set(&cursor, start, end);
	while (pt_cursor_next(&cursor, &range)) {
		if (!pt_range_lock(p.pt, &range))
			continue;
		protect_range(&p, &range);
		pt_range_unlock(&range);
	}
	if (p.start != p.end)
		flush_tlb_range(p.pt, p.start, p.end);
	mmu_notifier_invalidate_end(mm, start, end);
}
