/* SPDX-License-Identifier: MIT */
/*
 * Back from the swap area: one page at a touch, or all of them, wherever they are named, for swapoff.
 *
 *   an entry of a page table    a page of its own: what shared the slot were copies of each other anyway
 *   an index of shared memory   the page that every mapping will find
 *
 * The slot is held while it is read, so that it cannot come to mean another page and the entry the same
 * again.
 */
#include "mmu/fault.h"
#include "mmu/swap.h"

/* The locked entry, which is @pte, names a slot; @page holds what is in it. */
static void map_swapped_in(const struct fault *f, struct pt_slot *slot, pte_t pte, struct page *page,
			   bool touched)
{
	pte_t new = pte_mk(f->format, 0, page_to_pfn(f->pool, page), f->vma->vm_flags);

	page_add_anon_rmap(page, f->vma, f->addr);
	add_mm_counter(f->pt, MM_SWAPENTS, -1);
	add_mm_counter(f->pt, MM_ANONPAGES, 1);
	new = pte_mkdirty(f->format, new);
	if (touched)
		new = pte_mkyoung(f->format, new);
	if ((touched && fault_is_write(f)) || pte_soft_dirty(f->format, pte))
		new = pte_mksoft_dirty(f->format, new);
	set_pte(slot, new);
}

static enum mm_fault swap_in(const struct fault *f, pte_t pte, bool touched)
{
	unsigned long swap_slot = pte_swap_slot(pte);
	enum mm_fault result = MM_FAULT_OOM;
	struct page *page = NULL;
	struct swap_area *area;
	struct pt_slot slot;

	if (!fault_lock_same(f, pte, &slot))
		return FAULT_AGAIN;
	/* It stays as long as the slot is held. */
	area = swap_area_of(f->vma->vm_mm->ctx);
	pf_assert(area);
	swap_slot_dup(area, swap_slot);
	pte_unlock(&slot);
	page = alloc_page(f->pool, false);
	if (!page)
		goto free_slot;
	result = MM_FAULT_BUS;
	if (swap_slot_read(area, swap_slot, page_address(f->pool, page)))
		goto put;
	result = FAULT_AGAIN;
	if (!fault_lock_same(f, pte, &slot))
		goto put;
	map_swapped_in(f, &slot, pte, page, touched);
	pte_unlock(&slot);
	swap_slot_free(area, swap_slot);	/* the entry's */
	swap_slot_free(area, swap_slot);
	return MM_FAULT_OK;

put:
	put_page(f->pool, page);
free_slot:
	swap_slot_free(area, swap_slot);
	return result;
}

enum mm_fault fault_swap(const struct fault *f, pte_t pte)
{
	return swap_in(f, pte, true);
}

/* Swapoff ------------------------------------------------------------------ */

/* From *@addr on, the first entry that names a slot; false: there is none in the rest of the table. */
static bool find_swap_entry(const struct fault *f, struct pt_range *range, unsigned long *addr, pte_t *pte)
{
	bool found = false;
	pte_t *ptep;

	if (!pt_range_lock(f->pt, range))
		return false;
	ptep = range->ptep + ((*addr - range->start) >> PAGE_SHIFT);
	for (; *addr < range->end && !found; *addr += PAGE_SIZE, ptep++) {
		*pte = pte_load(ptep);
		found = pte_is_swap(f->format, *pte);
	}
	pt_range_unlock(range);
	if (found)
		*addr -= PAGE_SIZE;
	return found;
}

static int errno_of(enum mm_fault result)
{
	if (result == MM_FAULT_OK || result == FAULT_AGAIN)
		return 0;
	return result == MM_FAULT_OOM ? -ENOMEM : -EIO;
}

static int unuse_table(struct fault *f, struct pt_range *range)
{
	unsigned long addr = range->start;
	int err = 0;
	pte_t pte;

	/* One that has changed meanwhile is looked at again. */
	while (!err && find_swap_entry(f, range, &addr, &pte)) {
		f->addr = addr;
		err = errno_of(swap_in(f, pte, false));
	}
	return err;
}

int unuse_vma(struct vm_area_struct *vma)
{
	struct mm_pgtables *pt = vma->vm_mm->pt;
	struct fault f = { .vma = vma, .pt = pt, .pool = pt->pool, .format = pt->geo->format,
			   .access = MM_READ };
	struct pt_cursor cursor;
	struct pt_range range;
	int err = 0;

	mmap_assert_locked(vma->vm_mm);
	/* Private pages alone are named by entries. */
	if (!vma->anon_vma || (vma->vm_flags & VM_HUGETLB))
		return 0;
	pt_cursor_init(&cursor, pt);
	pt_cursor_set(&cursor, vma->vm_start, vma->vm_end);
	while (!err && pt_cursor_next(&cursor, &range))
		if (range.level == 0)
			err = unuse_table(&f, &range);
	return err;
}

int unuse_mapping(struct address_space *mapping)
{
	struct page *page;
	pgoff_t index = 0;
	void *entry;
	int err;

	pf_assert(mapping->shmem);
	do {
		pf_rcu_read_lock();
		entry = i_pages_find(mapping, &index, ULONG_MAX);
		pf_rcu_read_unlock();
		if (!xa_is_value(entry))
			continue;
		page = filemap_get_page(mapping, index, &err);
		if (page)
			put_page(mapping->ctx->frames, page);
		/* What lies beyond the end goes by who has moved the end. */
		else if (err != -ERANGE)
			return err;
	} while (entry && index++ < ULONG_MAX);
	return 0;
}
