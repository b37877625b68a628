/* SPDX-License-Identifier: MIT */
/*
 * fork: the child gets the parent's entries, and both lose write access to what they now share.
 *
 *   parent's entry        child's
 *   private page          the same page, read-only in both; the next write copies it, or takes it back when
 *                         the other one has let go
 *   pinned private page   a copy at once: who pinned it goes on seeing what the parent writes
 *   zero page, file page  the same
 *   swap                  the same slot, counted once more
 *   guard                 the same
 *   page of a shared file none: a fault finds it in the page cache (but see needs_copy())
 *
 * A failure leaves in the child what was copied, which the recovery unmaps like anything else, and in the
 * parent
 * entries that are read-only: its next write takes them back, since no other entry maps the page any more.
 */
#include "mmu/fault.h"
#include "mmu/swap.h"

struct copying {
	struct vm_area_struct *dst, *src;
	struct mm_pgtables *dst_pt, *src_pt;
	struct frame_pool *pool;
	enum pt_format format;
	struct page *spare;		/* for the copy of a pinned page */
	long rss[NR_MM_COUNTERS];	/* of the child, to be added */
	bool protected;			/* an entry of the parent has lost write access */
};

/* What one entry came to. */
enum copied { COPIED, COPY_NEEDS_PAGE };

static bool is_private(const struct copying *copy)
{
	return !(copy->src->vm_flags & VM_SHARED);
}

/* Hardware may note an access at the same time: that must not be lost. Returns the entry as it is now. */
static pte_t protect_parent(struct copying *copy, pte_t *ptep, pte_t pte)
{
	pte_t readonly;

	do
		readonly = pte_wrprotect(copy->format, pte);
	while (!pte_cmpxchg(ptep, &pte, readonly));
	copy->protected = true;
	return readonly;
}

static void copy_pinned(struct copying *copy, struct pt_slot *slot, pte_t pte, struct page *page,
			unsigned long addr)
{
	struct page *new = copy->spare;
	pte_t mine = pte_mk(copy->format, 0, page_to_pfn(copy->pool, new), copy->dst->vm_flags);

	pf_assert(new && page_mapcount(new) == 0);
	copy->spare = NULL;
	memcpy(page_address(copy->pool, new), page_address(copy->pool, page), PAGE_SIZE);
	page_add_new_anon_rmap(new, copy->dst, addr);
	mine = pte_mkdirty(copy->format, mine);
	if (pte_soft_dirty(copy->format, pte))
		mine = pte_mksoft_dirty(copy->format, mine);
	copy->rss[MM_ANONPAGES]++;
	set_pte(slot, mine);
}

/* An entry that names a frame. */
static enum copied copy_present(struct copying *copy, struct pt_slot *slot, pte_t *ptep, pte_t pte,
				unsigned long addr)
{
	struct page *page = NULL;

	if (!pte_special(copy->format, pte)) {
		page = pfn_to_page(copy->pool, pte_pfn(copy->format, pte));
		if (page_has(page, PG_ANON) && atomic_load(&page->pincount) > 0) {
			if (!copy->spare)
				return COPY_NEEDS_PAGE;
			copy_pinned(copy, slot, pte, page, addr);
			return COPIED;
		}
	}
	if (is_private(copy) && pte_write(copy->format, pte))
		pte = protect_parent(copy, ptep, pte);
	if (page) {
		get_page(page);
		page_dup_rmap(page);
		copy->rss[page_counter(page)]++;
	}
	set_pte(slot, pte);
	return COPIED;
}

static enum copied copy_entry(struct copying *copy, struct pt_slot *slot, pte_t *ptep, unsigned long addr)
{
	pte_t pte = pte_load(ptep);

	pf_assert(copy->dst->vm_start <= addr && addr < copy->dst->vm_end);
	if (pte_none(pte))
		return COPIED;
	if (pte_has_page(copy->format, pte))
		return copy_present(copy, slot, ptep, pte, addr);
	if (pte_is_swap(copy->format, pte)) {
		swap_slot_dup(swap_area_of(copy->src->vm_mm->ctx), pte_swap_slot(pte));
		copy->rss[MM_SWAPENTS]++;
	}
	set_pte(slot, pte);
	return COPIED;
}

/*
 * From *@addr on, as far as no page is needed that is not at hand. 0, -ENOMEM, or -EAGAIN: get a spare
 * one, go on.
 */
static int copy_entries(struct copying *copy, struct pt_range *range, unsigned long *addr)
{
	enum copied copied = COPIED;
	struct pt_slot slot;
	pte_t *ptep;
	int err;

	/* Nobody else knows the child's table: the order of the two locks does not matter. */
	err = pte_alloc_lock(copy->dst_pt, *addr, 0, &slot);
	if (err)
		return err;
	if (pt_range_lock(copy->src_pt, range)) {
		ptep = range->ptep + ((*addr - range->start) >> PAGE_SHIFT);
		for (; *addr < range->end; *addr += PAGE_SIZE, ptep++, slot.ptep++) {
			copied = copy_entry(copy, &slot, ptep, *addr);
			if (copied == COPY_NEEDS_PAGE)
				break;
		}
		pt_range_unlock(range);
	}
	pte_unlock(&slot);
	return copied == COPY_NEEDS_PAGE ? -EAGAIN : 0;
}

static int copy_table(struct copying *copy, struct pt_range *range)
{
	unsigned long addr = range->start;
	int err;

	while ((err = copy_entries(copy, range, &addr)) == -EAGAIN) {
		copy->spare = alloc_page(copy->pool, false);
		if (!copy->spare)
			return -ENOMEM;
	}
	return err;
}

/* A 2 MiB page: shared until somebody writes, like a small one. Pinned: copied at once. */
static int copy_huge(struct copying *copy, struct pt_range *range)
{
	struct page *page, *new = NULL;
	struct pt_slot slot;
	pte_t pte;
	int err;

	err = pte_alloc_lock(copy->dst_pt, range->start, 1, &slot);
	if (err)
		return err;
	if (!pt_range_lock(copy->src_pt, range))
		goto unlock;
	pte = pte_load(range->ptep);
	if (!pte_has_page(copy->format, pte))
		goto unlock_src;
	page = pfn_to_page(copy->pool, pte_pfn(copy->format, pte));
	if (page_has(page, PG_ANON) && atomic_load(&page->pincount) > 0) {
		new = alloc_huge_page(copy->pool);
		err = new ? 0 : -ENOMEM;
		if (err)
			goto unlock_src;
		page_set(new, PG_HUGETLB);
		memcpy(page_address(copy->pool, new), page_address(copy->pool, page), PMD_SIZE);
		page_add_new_anon_rmap(new, copy->dst, range->start);
		pte = pte_mkdirty(copy->format, pte_mk(copy->format, 1, page_to_pfn(copy->pool, new),
						       copy->dst->vm_flags));
	} else {
		if (pte_write(copy->format, pte))
			pte = protect_parent(copy, range->ptep, pte);
		get_page(page);
		page_dup_rmap(page);
	}
	copy->rss[MM_HUGEPAGES] += (long)PT_ENTRIES;
	set_pte(&slot, pte);
unlock_src:
	pt_range_unlock(range);
unlock:
	pte_unlock(&slot);
	return err;
}

/*
 * Where nothing private was ever written, all of it can be had again by faults: Linux copies nothing
 * there either, so the child has no page of it at first. Observed: where guards were installed, of
 * whatever memory,
 * it has them and all the pages.
 */
static bool needs_copy(const struct vm_area_struct *src)
{
	return src->anon_vma || src->had_guards || (src->vm_flags & (VM_PFNMAP | VM_MIXEDMAP));
}

int copy_page_range(struct vm_area_struct *dst, struct vm_area_struct *src)
{
	struct copying copy = { .dst = dst, .src = src, .dst_pt = dst->vm_mm->pt, .src_pt = src->vm_mm->pt };
	struct pt_cursor cursor;
	struct pt_range range;
	int err = 0;

	if (!copy.src_pt || !needs_copy(src))
		return 0;
	mmap_assert_write_locked(src->vm_mm);
	mmap_assert_write_locked(dst->vm_mm);
	pf_assert(dst->vm_start == src->vm_start && dst->vm_end == src->vm_end);
	copy.pool = copy.src_pt->pool;
	copy.format = copy.src_pt->geo->format;
	mmu_notifier_invalidate_start(src->vm_mm, src->vm_start, src->vm_end);
	pt_cursor_init(&cursor, copy.src_pt);
	pt_cursor_set(&cursor, src->vm_start, src->vm_end);
	while (!err && pt_cursor_next(&cursor, &range))
		err = range.level ? copy_huge(&copy, &range) : copy_table(&copy, &range);
	if (copy.spare)
		put_page(copy.pool, copy.spare);
	for (int i = 0; i < NR_MM_COUNTERS; i++)
		if (copy.rss[i])
			add_mm_counter(copy.dst_pt, (enum mm_counter)i, copy.rss[i]);
	/* On failure too: nobody may write to what was shared for a while through what he remembers. */
	if (copy.protected)
		flush_tlb_range(copy.src_pt, src->vm_start, src->vm_end);
	mmu_notifier_invalidate_end(src->vm_mm, src->vm_start, src->vm_end);
	return err;
}
