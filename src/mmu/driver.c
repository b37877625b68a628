/* SPDX-License-Identifier: MIT */
/*
 * Mappings whose driver answers: with a frame of its own, or by making each access itself.
 *
 * The driver holds a reference to what it gives, the entry takes one more, so that either may go first. It
 * is asked
 * again when shared memory that was mapped for reading is written to; private mappings get copies as from
 * a file.
 */
#include "mmu/access.h"
#include "mmu/fault.h"

/* The frame that the driver named, with a reference; NULL: it is none that can be mapped. */
static struct page *driver_page(const struct fault *f, unsigned long frame)
{
	struct page *page = frame < f->pool->nr_frames ? pfn_to_page(f->pool, (pfn_t)frame) : NULL;
	bool bad = !page || page_has(page, PG_RESERVED | PG_TABLE | PG_FREE | PG_ANON | PG_HEAD | PG_TAIL);

	if (pf_warn_on_once(f->pool->pf, bad, "a driver gives frame %lu, which is not its own", frame))
		return NULL;
	return try_get_page(page) ? page : NULL;
}

/* Put it into the entry, which was @pte; the reference goes with it. False: the entry has changed. */
static enum mm_fault map_driver_page(const struct fault *f, pte_t pte, struct page *page)
{
	vm_flags_t prot = fault_is_write(f) ? f->vma->vm_flags : prot_readonly(f->vma);
	pte_t new = pte_mkyoung(f->format, pte_mk(f->format, 0, page_to_pfn(f->pool, page), prot));
	struct pt_slot slot;

	if (pte_alloc_lock(f->pt, f->addr, 0, &slot))
		return MM_FAULT_OOM;
	if (pte_load(slot.ptep).v != pte.v) {
		pte_unlock(&slot);
		return FAULT_AGAIN;
	}
	if (!pte_none(pte)) {
		/* It maps the old frame for reading: that has to be forgotten before the new one is seen. */
		struct page *old = pfn_to_page(f->pool, pte_pfn(f->format, pte));

		pte_replace(&slot, (pte_t){ 0 });
		flush_tlb_range(f->pt, f->addr, f->addr + PAGE_SIZE);
		add_mm_counter(f->pt, page_counter(old), -1);
		page_remove_rmap(old);
		put_page(f->pool, old);
	}
	if (fault_is_write(f))
		new = pte_mksoft_dirty(f->format, pte_mkdirty(f->format, new));
	page_add_file_rmap(page);
	add_mm_counter(f->pt, page_counter(page), 1);
	set_pte(&slot, new);
	pte_unlock(&slot);
	return MM_FAULT_OK;
}

static enum mm_fault map_copy(const struct fault *f, pte_t pte, struct page *page)
{
	struct page *new = alloc_page(f->pool, false);
	enum mm_fault result = MM_FAULT_OOM;
	struct pt_slot slot;

	if (!new)
		return MM_FAULT_OOM;
	memcpy(page_address(f->pool, new), page_address(f->pool, page), PAGE_SIZE);
	if (!pte_alloc_lock(f->pt, f->addr, 0, &slot)) {
		result = pte_load(slot.ptep).v == pte.v ? MM_FAULT_OK : FAULT_AGAIN;
		if (result == MM_FAULT_OK)
			fault_map_anon(f, &slot, new);
		pte_unlock(&slot);
	}
	if (result != MM_FAULT_OK)
		put_page(f->pool, new);
	return result;
}

static enum mm_fault take_frame(const struct fault *f, pte_t pte, const struct vm_fault *asked)
{
	struct page *page = driver_page(f, asked->frame);
	enum mm_fault result;

	if (!page)
		return MM_FAULT_BUS;
	result = asked->private_copy ? map_copy(f, pte, page) : map_driver_page(f, pte, page);
	if (asked->private_copy || result != MM_FAULT_OK)
		put_page(f->pool, page);
	return result;
}

enum mm_fault fault_driver(const struct fault *f, pte_t pte)
{
	const struct vm_operations *ops = driver_of(f->vma);
	struct vm_fault asked = {
		.mm = f->vma->vm_mm, .addr = f->addr, .pgoff = vma_pgoff_at(f->vma, f->addr), .access = f->access,
		.private_copy = fault_is_write(f) && !(f->vma->vm_flags & VM_SHARED),
	};

	pf_assert(pte_none(pte) || !asked.private_copy);
	if (!ops->fault)
		return ops->access ? MM_FAULT_EMULATE : MM_FAULT_BUS;
	switch (ops->fault(f->vma->vm_file->info.ops_arg, &asked)) {
	case VM_FAULT_FRAME:
		return take_frame(f, pte, &asked);
	case VM_FAULT_EMULATE:
		return MM_FAULT_EMULATE;
	case VM_FAULT_NOMEM:
		return MM_FAULT_OOM;
	default:
		return MM_FAULT_BUS;
	}
}

enum mm_fault driver_access(struct vm_area_struct *vma, unsigned long addr, void *buf, size_t len, bool write)
{
	const struct vm_operations *ops = driver_of(vma);
	uint64_t offset = ((uint64_t)vma_pgoff_at(vma, addr) << PAGE_SHIFT) + (addr & ~PAGE_MASK);

	pf_assert((addr & ~PAGE_MASK) + len <= PAGE_SIZE);
	if (!ops || !ops->access || !(vma->vm_flags & (write ? VM_WRITE : VM_READ)))
		return MM_FAULT_BUS;
	return ops->access(vma->vm_file->info.ops_arg, offset, buf, len, write) ? MM_FAULT_BUS : MM_FAULT_OK;
}
