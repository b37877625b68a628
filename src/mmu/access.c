/* SPDX-License-Identifier: MIT */
/*
 * Looking through the page tables, as hardware would: reading and writing bytes, pinning frames, and what is
 * known of a page. What is not there is the caller's to fault in.
 *
 * Bytes are copied while the entry's table is locked, so that no fork, unmap or protection change comes
 * between the
 * look at the entry and the access.
 */
#include "mmu/access.h"
#include "mmu/fault.h"

static pfn_t pfn_of(const struct pt_slot *slot, pte_t pte, unsigned long addr)
{
	return pte_pfn(slot->pt->geo->format, pte) + (slot->level ? (pfn_t)PT_INDEX(addr, 0) : 0);
}

void *access_address(const struct pt_slot *slot, unsigned long addr)
{
	pfn_t pfn = pfn_of(slot, pte_load(slot->ptep), addr);

	return (unsigned char *)pfn_address(slot->pt->pool, pfn) + (addr & ~PAGE_MASK);
}

/*
 * Without mmap_lock the tables may go at any time: as long as the RCU section lasts they are tables still, if
 * empty ones. Beyond what they reach an index would begin anew, and another address's page be found.
 */
static bool look_lock(struct mm_pgtables *pt, unsigned long addr, struct pt_slot *slot)
{
	if (addr >= pt->geo->task_size_max)
		return false;
	pf_rcu_read_lock();
	if (pte_find_lock(pt, addr, slot))
		return true;
	pf_rcu_read_unlock();
	return false;
}

static void look_unlock(struct pt_slot *slot)
{
	pte_unlock(slot);
	pf_rcu_read_unlock();
}

void access_unlock(struct pt_slot *slot)
{
	look_unlock(slot);
}

static bool allows(enum pt_format format, pte_t pte, enum mm_access access)
{
	if (!pte_present(pte))
		return false;
	return access == MM_WRITE ? pte_write(format, pte) : access == MM_EXEC ? pte_exec(format, pte) : true;
}

bool access_lock(struct mm_pgtables *pt, unsigned long addr, enum mm_access access, struct pt_slot *slot)
{
	enum pt_format format = pt->geo->format;
	pte_t pte;

	if (!look_lock(pt, addr, slot))
		return false;
	pte = pte_load(slot->ptep);
	if (!allows(format, pte, access)) {
		look_unlock(slot);
		return false;
	}
	/* As hardware does. */
	pte = pte_mkyoung(format, pte);
	if (access == MM_WRITE)
		pte = pte_mksoft_dirty(format, pte_mkdirty(format, pte));
	set_pte(slot, pte);
	return true;
}

bool access_bytes(struct mm_pgtables *pt, unsigned long addr, void *buf, size_t len, enum mm_access access)
{
	struct pt_slot slot;

	pf_assert(len && (addr & ~PAGE_MASK) + len <= PAGE_SIZE);
	if (!access_lock(pt, addr, access, &slot))
		return false;
	if (access == MM_WRITE)
		memcpy(access_address(&slot, addr), buf, len);
	else
		memcpy(buf, access_address(&slot, addr), len);
	look_unlock(&slot);
	return true;
}

bool peek_bytes(struct mm_pgtables *pt, unsigned long addr, void *buf, size_t len)
{
	struct pt_slot slot;
	bool there;

	pf_assert(len && (addr & ~PAGE_MASK) + len <= PAGE_SIZE);
	if (!look_lock(pt, addr, &slot))
		return false;
	there = pte_has_page(pt->geo->format, pte_load(slot.ptep));
	if (there)
		memcpy(buf, access_address(&slot, addr), len);
	look_unlock(&slot);
	return there;
}

/* Pinning ----------------------------------------------------------------------- */

/* Of a frame that a pin gave out; NULL for the zero page, which is not counted. */
static struct page *counted_page(struct frame_pool *pool, unsigned long frame)
{
	struct page *page = pfn_to_page(pool, (pfn_t)frame);

	if (page_has(page, PG_TAIL))
		page = pfn_to_page(pool, (pfn_t)(frame & ~(PT_ENTRIES - 1)));
	return page_has(page, PG_RESERVED) ? NULL : page;
}

/*
 * A private page that another entry maps too cannot be pinned: the next write of either side would part
 * what is
 * pinned from what the address shows.
 */
static bool is_shared_copy(const struct page *page)
{
	return page_has(page, PG_ANON) && page_mapcount(page) > 1;
}

enum pin_result pin_frame(struct mm_pgtables *pt, unsigned long addr, enum mm_access access, unsigned long *frame)
{
	struct page *page;
	struct pt_slot slot;
	pte_t pte;

	if (!access_lock(pt, addr, access, &slot))
		return PIN_FAULT;
	pte = pte_load(slot.ptep);
	*frame = pfn_of(&slot, pte, addr);
	page = pte_special(pt->geo->format, pte) ? NULL : counted_page(pt->pool, *frame);
	if (page && is_shared_copy(page)) {
		look_unlock(&slot);
		return PIN_UNSHARE;
	}
	if (page) {
		get_page(page);
		atomic_fetch_add(&page->pincount, 1);
	}
	look_unlock(&slot);
	return PIN_DONE;
}

int frame_alloc_pinned(struct frame_pool *pool, unsigned long *frame)
{
	struct page *page = alloc_page_nowait(pool, true);

	if (!page)
		return -ENOMEM;
	atomic_store(&page->pincount, 1);
	*frame = page_to_pfn(pool, page);
	return 0;
}

/* One pin less, if there is one. */
static bool drop_pin(struct page *page)
{
	int pins = atomic_load(&page->pincount);

	while (pins > 0)
		if (atomic_compare_exchange_weak(&page->pincount, &pins, pins - 1))
			return true;
	return false;
}

void unpin_frame(struct frame_pool *pool, unsigned long frame, bool written)
{
	struct page *page;

	if (pf_warn_on_once(pool->pf, frame >= pool->nr_frames, "frame %lu is unpinned, of %lu", frame,
			    pool->nr_frames))
		return;
	page = counted_page(pool, frame);
	if (!page)
		return;
	if (written)
		page_set(page, PG_DIRTY);
	if (pf_warn_on_once(pool->pf, !drop_pin(page), "frame %lu is unpinned, and was not pinned", frame))
		return;
	put_page(pool, page);
}

/* What is known of a page --------------------------------------------------------- */

void page_info(struct mm_pgtables *pt, unsigned long addr, struct mm_page_info *out)
{
	enum pt_format format = pt->geo->format;
	const struct page *page;
	struct pt_slot slot;
	pte_t pte;

	*out = (struct mm_page_info){ 0 };
	if (!look_lock(pt, addr, &slot))
		return;
	pte = pte_load(slot.ptep);
	out->present = pte_has_page(format, pte);
	out->swapped = pte_is_swap(format, pte);
	out->guard = pte_is_guard(format, pte);
	out->soft_dirty = !pte_none(pte) && pte_soft_dirty(format, pte);
	if (out->swapped)
		out->slot = pte_swap_slot(pte);
	if (out->present) {
		out->frame = pfn_of(&slot, pte, addr);
		out->writable = pte_present(pte) && pte_write(format, pte);
		out->young = pte_young(format, pte);
		out->dirty = pte_dirty(format, pte);
		out->huge = slot.level > 0;
		out->zero = out->frame == pt->pool->zero_pfn;
	}
	if (out->present && !pte_special(format, pte)) {
		page = pfn_to_page(pt->pool, pte_pfn(format, pte));
		out->file_or_shared = !page_has(page, PG_ANON);
		out->exclusive = page_mapcount(page) == 1;
		out->pinned = atomic_load(&page->pincount) > 0;
	}
	look_unlock(&slot);
}

/* The first entry of @range that is not none, or the range's end. */
static unsigned long first_entry(struct mm_pgtables *pt, struct pt_range *range)
{
	unsigned long addr = range->start;

	if (range->level)
		return addr;
	if (!pt_range_lock(pt, range))
		return range->end;
	while (addr < range->end && pte_none(pte_load(range->ptep + ((addr - range->start) >> PAGE_SHIFT))))
		addr += PAGE_SIZE;
	pt_range_unlock(range);
	return addr;
}

unsigned long page_next(struct mm_pgtables *pt, unsigned long addr, unsigned long end)
{
	struct pt_cursor cursor;
	struct pt_range range;
	unsigned long found;

	mmap_assert_locked(pt->mm);
	pt_cursor_init(&cursor, pt);
	pt_cursor_set(&cursor, addr, end);
	while (pt_cursor_next(&cursor, &range)) {
		found = first_entry(pt, &range);
		if (found < range.end)
			return found;
	}
	return end;
}

/* mincore -------------------------------------------------------------------------- */

/*
 * What has no entry is in memory if it is a file's and in the page cache. Observed: with huge pages only where there
 * is no table for an entry either; @level is where the search ended.
 */
static bool is_cached(const struct vm_area_struct *vma, unsigned long addr, unsigned int level)
{
	const bool huge = vma->vm_flags & VM_HUGETLB;
	struct address_space *mapping;
	struct page *page;
	pgoff_t index;

	if (!vma->vm_file || vma_is_anonymous(vma) || (huge && level <= 1))
		return false;
	mapping = vma->vm_file->mapping;
	index = vma_pgoff_at(vma, addr);
	if (mapping->cached)
		return index < i_size_pages(mapping);
	page = filemap_peek_page(mapping, huge ? index & ~(PT_ENTRIES - 1) : index);
	if (page)
		put_page(mapping->ctx->frames, page);
	return page;
}

void mincore_range(struct vm_area_struct *vma, unsigned long start, unsigned long end, unsigned char *vec)
{
	struct mm_pgtables *pt = vma->vm_mm->pt;
	unsigned int level;
	pte_t pte;

	mmap_assert_locked(vma->vm_mm);
	for (unsigned long addr = start; addr < end; addr += PAGE_SIZE, vec++) {
		pf_rcu_read_lock();
		pte = pt_peek(pt, addr, &level);
		pf_rcu_read_unlock();
		/* Observed: a guard marker does not hide what is in the page cache. */
		if (pte_none(pte) || pte_is_guard(pt->geo->format, pte))
			*vec = is_cached(vma, addr, level);
		else
			*vec = pte_has_page(pt->geo->format, pte);
	}
}
