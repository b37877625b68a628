/* SPDX-License-Identifier: MIT */
/*
 * The page half of a fault: the VMA is found and locked, and it allows the access.
 *
 *   entry        read                          write
 *   none         the zero page, or a file's    a fresh page; of a shared file, the file's own
 *   read-only    (nothing to do)               ours alone: taken back; else copied
 *   swap         read back                     read back
 *   guard        SIGSEGV                       SIGSEGV
 *
 * Each answer looks at the entry without a lock, gets what it needs, locks, looks whether the entry
 * is still the same, and changes it: under the lock nothing is allocated, copied or waited for.
 */
#include "mmu/access.h"
#include "mmu/fault.h"

bool fault_lock_same(const struct fault *f, pte_t pte, struct pt_slot *slot)
{
	if (!pte_find_lock(f->pt, f->addr, slot))
		return false;
	if (slot->level == 0 && pte_load(slot->ptep).v == pte.v)
		return true;
	pte_unlock(slot);
	return false;
}

/* An entry of a page that was just touched. */
PTE_FN pte_t touched(enum pt_format format, pte_t pte, bool write)
{
	pte = pte_mkyoung(format, pte);
	return write ? pte_mksoft_dirty(format, pte_mkdirty(format, pte)) : pte;
}

PTE_FN void map_anon_body(enum pt_format format, const struct fault *f, struct pt_slot *slot, struct page *page)
{
	pte_t pte = pte_mk(format, 0, page_to_pfn(f->pool, page), f->vma->vm_flags);

	page_add_new_anon_rmap(page, f->vma, f->addr);
	add_mm_counter(f->pt, MM_ANONPAGES, 1);
	set_pte(slot, touched(format, pte, fault_is_write(f)));
}

void fault_map_anon(const struct fault *f, struct pt_slot *slot, struct page *page)
{
	map_anon_body(f->format, f, slot, page);
}

/* Nothing is there yet, and the memory is private and has no file. */
PTE_FN enum mm_fault fault_anon_body(enum pt_format format, const struct fault *f)
{
	bool write = fault_is_write(f);
	enum mm_fault result = MM_FAULT_OK;
	struct page *page = NULL;
	struct pt_slot slot;

	if (write) {
		page = alloc_page(f->pool, true);
		if (!page)
			return MM_FAULT_OOM;
	}
	if (pte_alloc_lock(f->pt, f->addr, 0, &slot)) {
		result = MM_FAULT_OOM;
		goto put;
	}
	if (!pte_none(pte_load(slot.ptep)))
		result = FAULT_AGAIN;
	else if (is_unstable(f))
		result = MM_FAULT_BUS;
	else if (write)
		map_anon_body(format, f, &slot, page);
	else
		set_pte(&slot, touched(format,
				       pte_mkspecial(format, pte_mk(format, 0, f->pool->zero_pfn,
								    prot_readonly(f->vma))), false));
	pte_unlock(&slot);
	if (result == MM_FAULT_OK)
		return MM_FAULT_OK;
put:
	if (page)
		put_page(f->pool, page);
	return result;
}

static enum mm_fault fault_anon(const struct fault *f)
{
	pt_dispatch(f->format, fault_anon_body, f);
}

/* Write access ---------------------------------------------------------------- */

/*
 * Whose write access may be given without a copy: a private page that no other entry maps. Who pinned it
 * did so
 * through this entry, since fork copies pinned pages, and wants to see what is written. The table is
 * locked, and
 * no entry can be added but by copying this one.
 */
static bool is_ours_alone(const struct page *page)
{
	return page_has(page, PG_ANON) && page_mapcount(page) == 1;
}

/*
 * The locked entry, which is @pte, gets what the VMA allows, written to or not. Nothing is taken away:
 * no flush.
 */
static void upgrade(const struct fault *f, struct pt_slot *slot, pte_t pte, vm_flags_t prot)
{
	pte = pte_modify(f->format, 0, pte, prot);
	set_pte(slot, touched(f->format, pte, fault_is_write(f)));
}

/* A copy of @old (NULL: of zeroes, or of what @pte's uncounted frame holds) is ready to be mapped. */
static struct page *copy_for_write(const struct fault *f, pte_t pte)
{
	pfn_t pfn = pte_pfn(f->format, pte);
	bool zero = pfn == f->pool->zero_pfn;
	struct page *new = alloc_page(f->pool, zero);

	if (new && !zero)
		memcpy(page_address(f->pool, new), pfn_address(f->pool, pfn), PAGE_SIZE);
	return new;
}

/*
 * Put the copy @new in place of @old. No translation of the old page may be left when the first write to
 * the new one can happen, so the entry is none until it is flushed.
 */
static void replace_page(const struct fault *f, struct pt_slot *slot, struct page *old, struct page *new)
{
	pf_assert(page_refcount(new) > 0 && page_mapcount(new) == 0);
	pf_assert(!old || page_mapcount(old) > 0);
	pte_replace(slot, (pte_t){ 0 });
	flush_tlb_range(f->pt, f->addr, f->addr + PAGE_SIZE);
	if (old) {
		add_mm_counter(f->pt, page_counter(old), -1);
		page_remove_rmap(old);
	}
	fault_map_anon(f, slot, new);
}

/* @old, NULL for an entry without a counted page, comes with a reference, which is given back. */
static enum mm_fault wp_copy(const struct fault *f, pte_t pte, struct page *old)
{
	struct mm_struct *mm = f->vma->vm_mm;
	enum mm_fault result = MM_FAULT_OOM;
	struct page *new = copy_for_write(f, pte);
	struct pt_slot slot;

	if (!new)
		goto put_old;
	mmu_notifier_invalidate_start(mm, f->addr, f->addr + PAGE_SIZE);
	result = FAULT_AGAIN;
	if (fault_lock_same(f, pte, &slot)) {
		result = is_unstable(f) ? MM_FAULT_BUS : MM_FAULT_OK;
		if (result == MM_FAULT_OK)
			replace_page(f, &slot, old, new);
		pte_unlock(&slot);
	}
	mmu_notifier_invalidate_end(mm, f->addr, f->addr + PAGE_SIZE);
	if (result != MM_FAULT_OK)
		put_page(f->pool, new);
	else if (old)
		put_page(f->pool, old);	/* the entry's */
put_old:
	if (old)
		put_page(f->pool, old);
	return result;
}

/* A write to shared memory that has only been read so far. */
static enum mm_fault fault_wp_shared(const struct fault *f, pte_t pte)
{
	struct pt_slot slot;

	if (driver_of(f->vma) && !pte_special(f->format, pte))
		return fault_driver(f, pte);
	if (!fault_lock_same(f, pte, &slot))
		return FAULT_AGAIN;
	if (!pte_special(f->format, pte))
		page_set(pfn_to_page(f->pool, pte_pfn(f->format, pte)), PG_DIRTY);
	upgrade(f, &slot, pte, f->vma->vm_flags);
	pte_unlock(&slot);
	return MM_FAULT_OK;
}

/* To private memory: take the page back, or copy it. */
static enum mm_fault fault_wp_private(const struct fault *f, pte_t pte)
{
	struct page *page = NULL;
	struct pt_slot slot;

	if (!fault_lock_same(f, pte, &slot))
		return FAULT_AGAIN;
	if (!pte_special(f->format, pte))
		page = pfn_to_page(f->pool, pte_pfn(f->format, pte));
	if (page && is_ours_alone(page)) {
		upgrade(f, &slot, pte, f->vma->vm_flags);
		pte_unlock(&slot);
		return MM_FAULT_OK;
	}
	if (page)
		get_page(page);
	pte_unlock(&slot);
	return wp_copy(f, pte, page);
}

/* A page is there: what is missing is a right that the VMA has, or a note of the touch. */
static enum mm_fault fault_present(const struct fault *f, pte_t pte)
{
	vm_flags_t prot = f->vma->vm_flags & VM_ACCESS_FLAGS;
	struct pt_slot slot;

	if (!pte_write(f->format, pte)) {
		if (fault_is_write(f))
			return f->vma->vm_flags & VM_SHARED ? fault_wp_shared(f, pte) :
							       fault_wp_private(f, pte);
		prot = prot_without_write(prot);
	}
	if (!fault_lock_same(f, pte, &slot))
		return FAULT_AGAIN;
	upgrade(f, &slot, pte, prot);
	pte_unlock(&slot);
	return MM_FAULT_OK;
}

/* All of it ---------------------------------------------------------------------- */

static enum mm_fault fault_entry(const struct fault *f, pte_t pte)
{
	if (pte_none(pte) && vma_is_anonymous(f->vma))
		return fault_anon(f);
	if (pte_none(pte))
		return driver_of(f->vma) ? fault_driver(f, pte) : fault_file(f);
	if (pte_has_page(f->format, pte))
		return fault_present(f, pte);
	if (pte_is_swap(f->format, pte))
		return fault_swap(f, pte);
	pf_assert(pte_is_guard(f->format, pte));
	return MM_FAULT_MAPERR;
}

enum mm_fault fault_make_table(const struct fault *f)
{
	struct pt_slot slot;
	int err = pte_alloc_lock(f->pt, f->addr & ~(PMD_SIZE - 1), 1, &slot);

	if (err)
		return err == -ENOMEM ? MM_FAULT_OOM : MM_FAULT_BUS;
	pf_assert(slot.level == 1);
	pte_unlock(&slot);
	return FAULT_AGAIN;
}

enum mm_fault handle_mm_fault(struct vm_area_struct *vma, unsigned long addr, enum mm_access access)
{
	struct mm_pgtables *pt = vma->vm_mm->pt;
	struct fault f = { .vma = vma, .pt = pt, .addr = addr & PAGE_MASK, .access = access };
	enum mm_fault result;
	unsigned int level;
	pte_t pte;

	if (!pt)
		return MM_FAULT_OK;
	pf_assert(vma->vm_start <= addr && addr < vma->vm_end);
	f.pool = pt->pool;
	f.format = pt->geo->format;
	if (vma->vm_flags & VM_HUGETLB)
		return hugetlb_fault(&f);
	do {
		pf_rcu_read_lock();
		pte = pt_peek(pt, f.addr, &level);
		pf_rcu_read_unlock();
		result = fault_entry(&f, pte);
	} while (result == FAULT_AGAIN);
	/* Without memory for it nothing is lost: it is an error already. */
	if (result == MM_FAULT_BUS && level > 1)
		fault_make_table(&f);
	return result;
}

enum mm_fault fault_unshare(struct vm_area_struct *vma, unsigned long addr)
{
	struct mm_pgtables *pt = vma->vm_mm->pt;
	struct fault f = { .vma = vma, .pt = pt, .pool = pt->pool, .format = pt->geo->format, .access = MM_WRITE,
			   .addr = addr & PAGE_MASK };
	enum mm_fault result;
	unsigned int level;
	pte_t pte;

	pf_rcu_read_lock();
	pte = pt_peek(pt, f.addr, &level);
	pf_rcu_read_unlock();
	if (!pte_present(pte) || pte_special(f.format, pte) || !vma->anon_vma)
		return MM_FAULT_OK;	/* it has changed: the caller looks again */
	/* A copy as for a write; the new entry has no more rights than the VMA. */
	result = vma->vm_flags & VM_HUGETLB ? hugetlb_unshare(&f, pte) : fault_wp_private(&f, pte);
	return result == FAULT_AGAIN ? MM_FAULT_OK : result;
}

int populate_range_for(struct vm_area_struct *vma, unsigned long start, unsigned long end, enum mm_access access)
{
	unsigned long step = vma->vm_flags & VM_HUGETLB ? PMD_SIZE : PAGE_SIZE;

	if (!vma->vm_mm->pt)
		return 0;
	for (unsigned long addr = start & -step; addr < end; addr += step) {
		switch (handle_mm_fault(vma, addr, access)) {
		case MM_FAULT_OK:
			break;
		case MM_FAULT_OOM:
			return -ENOMEM;
		default:
			return -EFAULT;
		}
	}
	return 0;
}

int populate_vma_range(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	bool writes = (vma->vm_flags & (VM_WRITE | VM_SHARED)) == VM_WRITE;

	return populate_range_for(vma, start, end, writes ? MM_WRITE : MM_READ);
}
