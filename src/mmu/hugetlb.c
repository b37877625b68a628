/* SPDX-License-Identifier: MIT */
/*
 * Mappings of 2 MiB pages: leaves at level 1, one level above the lowest tables.
 *
 *   level 1    |table|leaf |leaf |none |
 *                     2 MiB 2 MiB
 *
 * There is no huge zero page: a read gets a page of its own too. A shared mapping's pages are its file's,
 * whose
 * index is in pages of 4 KiB like every other's, so that only each 512th is in use. They are never swapped
 * out.
 * Who finds no page gets a bus error, as from a pool that is empty.
 */
#include "mmu/fault.h"

static unsigned long huge_addr(const struct fault *f)
{
	return f->addr & ~(PMD_SIZE - 1);
}

static pte_t touched(const struct fault *f, pte_t pte, bool write)
{
	pte = pte_mkyoung(f->format, pte);
	return write ? pte_mksoft_dirty(f->format, pte_mkdirty(f->format, pte)) : pte;
}

/*
 * The entry is locked and @pte still. Where it was none there may be no table for it yet. 0,
 * FAULT_AGAIN, OOM.
 */
static enum mm_fault lock_same(const struct fault *f, pte_t pte, struct pt_slot *slot)
{
	int err = pte_alloc_lock(f->pt, huge_addr(f), 1, slot);

	if (err)
		return err == -ENOMEM ? MM_FAULT_OOM : MM_FAULT_BUS;
	if (pte_load(slot->ptep).v == pte.v)
		return MM_FAULT_OK;
	pte_unlock(slot);
	return FAULT_AGAIN;
}

static void map_huge_anon(const struct fault *f, struct pt_slot *slot, struct page *page)
{
	pte_t pte = pte_mk(f->format, 1, page_to_pfn(f->pool, page), f->vma->vm_flags);

	pf_assert(page_has(page, PG_HEAD) && page_has(page, PG_HUGETLB) && slot->level == 1);
	page_add_new_anon_rmap(page, f->vma, huge_addr(f));
	add_mm_counter(f->pt, MM_HUGEPAGES, (long)PT_ENTRIES);
	set_pte(slot, touched(f, pte, fault_is_write(f)));
}

static struct page *new_huge_page(const struct fault *f)
{
	struct page *page = alloc_huge_page(f->pool);

	if (page)
		page_set(page, PG_HUGETLB);
	return page;
}

static enum mm_fault huge_none_private(const struct fault *f)
{
	struct page *page = new_huge_page(f);
	enum mm_fault result;
	struct pt_slot slot;

	if (!page)
		return MM_FAULT_BUS;
	result = lock_same(f, (pte_t){ 0 }, &slot);
	if (result == MM_FAULT_OK) {
		map_huge_anon(f, &slot, page);
		pte_unlock(&slot);
	} else {
		put_page(f->pool, page);
	}
	return result;
}

/*
 * The file's page at @index, with a reference and locked, made if there is none. NULL: no huge page is left, or
 * beyond the end, or *@err.
 */
static struct page *huge_file_page(const struct fault *f, struct address_space *mapping, pgoff_t index, int *err)
{
	struct page *page, *made = NULL;

	*err = 0;
	for (;;) {
		page = filemap_peek_page(mapping, index);
		if (page) {
			lock_page(page);
			if (page->mapping == mapping && index < i_size_pages(mapping))
				break;
			unlock_page(page);
			put_page(f->pool, page);
		}
		if (index >= i_size_pages(mapping))
			return NULL;
		if (huge_promise_page(mapping, index >> HPAGE_ORDER))
			return NULL;
		made = new_huge_page(f);
		if (!made)
			return NULL;
		*err = filemap_add_page(mapping, index, made);
		if (*err)
			put_page(f->pool, made);
		/* Somebody else was quicker. */
		if (*err && *err != -EAGAIN)
			return NULL;
		*err = 0;
	}
	return page;
}

/* The file's page, also for a private mapping that finds it there; then a write copies it in a second step. */
static enum mm_fault huge_none_file(const struct fault *f)
{
	bool write = fault_is_write(f) && (f->vma->vm_flags & VM_SHARED);
	struct address_space *mapping = f->vma->vm_file->mapping;
	pgoff_t index = vma_pgoff_at(f->vma, huge_addr(f)) & ~(PT_ENTRIES - 1);
	int err;
	struct page *page = huge_file_page(f, mapping, index, &err);
	enum mm_fault result;
	struct pt_slot slot;

	if (!page)
		return err ? MM_FAULT_OOM : MM_FAULT_BUS;
	result = lock_same(f, (pte_t){ 0 }, &slot);
	if (result == MM_FAULT_OK) {
		vm_flags_t prot = write ? f->vma->vm_flags : prot_readonly(f->vma);

		get_page(page);
		page_add_file_rmap(page);
		add_mm_counter(f->pt, MM_HUGEPAGES, (long)PT_ENTRIES);
		set_pte(&slot, touched(f, pte_mk(f->format, 1, page_to_pfn(f->pool, page), prot), write));
		pte_unlock(&slot);
		if (write != fault_is_write(f))
			result = FAULT_AGAIN;
	}
	unlock_page(page);
	put_page(f->pool, page);
	return result;
}

/* @old comes with a reference, which is given back. */
static enum mm_fault huge_copy(const struct fault *f, pte_t pte, struct page *old)
{
	unsigned long addr = huge_addr(f);
	struct page *new = new_huge_page(f);
	enum mm_fault result = MM_FAULT_BUS;
	struct pt_slot slot;

	if (!new)
		goto put_old;
	pf_assert(page_has(old, PG_HEAD) && page_refcount(old) > 0);
	memcpy(page_address(f->pool, new), page_address(f->pool, old), PMD_SIZE);
	mmu_notifier_invalidate_start(f->vma->vm_mm, addr, addr + PMD_SIZE);
	result = lock_same(f, pte, &slot);
	if (result == MM_FAULT_OK) {
		pte_replace(&slot, (pte_t){ 0 });
		flush_tlb_range(f->pt, addr, addr + PMD_SIZE);
		add_mm_counter(f->pt, MM_HUGEPAGES, -(long)PT_ENTRIES);
		page_remove_rmap(old);
		map_huge_anon(f, &slot, new);
		pte_unlock(&slot);
		put_page(f->pool, old);	/* the entry's */
	} else {
		put_page(f->pool, new);
	}
	mmu_notifier_invalidate_end(f->vma->vm_mm, addr, addr + PMD_SIZE);
put_old:
	put_page(f->pool, old);
	return result;
}

static enum mm_fault huge_present(const struct fault *f, pte_t pte)
{
	bool write = fault_is_write(f), shared = f->vma->vm_flags & VM_SHARED;
	vm_flags_t prot = f->vma->vm_flags;
	enum mm_fault result;
	struct pt_slot slot;
	struct page *page;

	result = lock_same(f, pte, &slot);
	if (result != MM_FAULT_OK)
		return result;
	page = pfn_to_page(f->pool, pte_pfn(f->format, pte));
	if (write && !pte_write(f->format, pte) && !shared &&
	    !(page_has(page, PG_ANON) && page_mapcount(page) == 1)) {
		get_page(page);
		pte_unlock(&slot);
		return huge_copy(f, pte, page);
	}
	if (!write && !pte_write(f->format, pte))
		prot = prot_without_write(prot);
	set_pte(&slot, touched(f, pte_modify(f->format, 1, pte, prot), write));
	pte_unlock(&slot);
	return MM_FAULT_OK;
}

enum mm_fault hugetlb_unshare(const struct fault *f, pte_t pte)
{
	struct pt_slot slot;
	struct page *page;
	enum mm_fault result = lock_same(f, pte, &slot);

	if (result != MM_FAULT_OK)
		return result;
	page = pfn_to_page(f->pool, pte_pfn(f->format, pte));
	get_page(page);
	pte_unlock(&slot);
	return huge_copy(f, pte, page);
}

static bool is_beyond_file(const struct fault *f)
{
	return f->vma->vm_file && vma_pgoff_at(f->vma, huge_addr(f)) >= i_size_pages(f->vma->vm_file->mapping);
}

/* Observed: what a file has of huge pages a private mapping shows, what it has not is the mapping's own. */
static bool shows_file(const struct fault *f)
{
	struct page *page;

	if (!f->vma->vm_file || (f->vma->vm_flags & VM_MAYSHARE))
		return f->vma->vm_file;
	page = filemap_peek_page(f->vma->vm_file->mapping, vma_pgoff_at(f->vma, huge_addr(f)) & ~(PT_ENTRIES - 1));
	if (page)
		put_page(f->pool, page);
	return page;
}

enum mm_fault hugetlb_fault(const struct fault *f)
{
	enum mm_fault result;
	unsigned int level;
	pte_t pte;

	pf_assert(!((f->vma->vm_start | f->vma->vm_end) & (PMD_SIZE - 1)));
	do {
		pf_rcu_read_lock();
		pte = pt_peek(f->pt, huge_addr(f), &level);
		pf_rcu_read_unlock();
		if (pte_has_page(f->format, pte))
			result = huge_present(f, pte);
		else if (level > 1)
			result = fault_make_table(f);
		else if (is_beyond_file(f))
			result = MM_FAULT_BUS;
		else
			result = shows_file(f) ? huge_none_file(f) : huge_none_private(f);
	} while (result == FAULT_AGAIN);
	return result;
}

/*
 * Pages go whole. Faults of this mapping are kept out by its lock, and a page that enters the file meanwhile is
 * none of its entries: so no lock of the file is taken, which whoever maps over holds for its promise already.
 */
void hugetlb_zap_begin(struct vm_area_struct *vma, unsigned long *start, unsigned long *end)
{
	*start &= ~(PMD_SIZE - 1);
	*end = (*end + PMD_SIZE - 1) & ~(PMD_SIZE - 1);
	pf_assert(vma->vm_start <= *start && *end <= vma->vm_end);
}

void hugetlb_zap_end(struct vm_area_struct *vma)
{
	pf_assert(vma->vm_flags & VM_HUGETLB);
}
