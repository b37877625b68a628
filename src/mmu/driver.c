/* SPDX-License-Identifier: MIT */
/*
 * Mappings whose driver answers: with a frame of its own, by mapping frames itself, or by making each access.
 *
 *   gives a frame     counted: driver and entry hold a reference each, so that either may go first. Asked
 *                     again when shared memory that was mapped for reading is written to
 *   maps it itself    not counted: the driver keeps the frame as long as it is mapped
 *   emulates          no entry: each access is the driver's
 *
 * Private mappings get copies of what they write to, as from a file.
 */
#include "mmu/access.h"
#include "mmu/fault.h"

/* What a hook sees of a mapping, and what it is of. */
struct driver_map {
	struct vm_mapping map;
	struct vm_area_struct *vma;
	unsigned long wanted;	/* address of the page that is touched */
	bool served;		/* something is mapped there */
};

static bool is_drivers(struct frame_pool *pool, unsigned long frame)
{
	bool bad = frame >= pool->nr_frames ||
		   page_has(pfn_to_page(pool, (pfn_t)frame),
			    PG_RESERVED | PG_TABLE | PG_FREE | PG_ANON | PG_HEAD | PG_TAIL);

	return !pf_warn_on_once(pool->pf, bad, "a driver gives frame %lu, which is not its own", frame);
}

/* The frame that the driver named, with a reference; NULL: it is none that can be mapped. */
static struct page *driver_page(const struct fault *f, unsigned long frame)
{
	struct page *page;

	if (!is_drivers(f->pool, frame))
		return NULL;
	page = pfn_to_page(f->pool, (pfn_t)frame);
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
	if (pte_load(slot.ptep).v != pte.v || is_unstable(f)) {
		pte_unlock(&slot);
		return is_unstable(f) ? MM_FAULT_BUS : FAULT_AGAIN;
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
	pf_assert(page_refcount(page) > 0 && !page_has(page, PG_ANON));
	memcpy(page_address(f->pool, new), page_address(f->pool, page), PAGE_SIZE);
	if (!pte_alloc_lock(f->pt, f->addr, 0, &slot)) {
		result = pte_load(slot.ptep).v == pte.v ? MM_FAULT_OK : FAULT_AGAIN;
		if (is_unstable(f))
			result = MM_FAULT_BUS;
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

	struct driver_map dm = { .map = vma_as_mapping(f->vma), .vma = f->vma, .wanted = f->addr };

	pf_assert(pte_none(pte) || !asked.private_copy);
	if (!ops->fault)
		return ops->access ? MM_FAULT_EMULATE : MM_FAULT_BUS;
	asked.map = &dm.map;
	switch (ops->fault(f->vma->vm_file->info.ops_arg, &asked)) {
	case VM_FAULT_FRAME:
		return take_frame(f, pte, &asked);
	case VM_FAULT_MAPPED:
		/* A frame that it has given it has to give again. */
		pf_warn_on_once(f->pool->pf, !dm.served || !pte_none(pte),
				"a driver says that it has mapped %lx, where it has not", f->addr);
		return dm.served && pte_none(pte) ? FAULT_AGAIN : MM_FAULT_BUS;
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

int driver_mmap(struct vm_area_struct *vma)
{
	const struct vm_operations *ops = driver_of(vma);
	struct driver_map dm = { .vma = vma };

	vma_assert_write_locked(vma);
	if (!ops || !ops->mmap)
		return 0;
	dm.map = vma_as_mapping(vma);
	return ops->mmap(vma->vm_file->info.ops_arg, &dm.map);
}

/* Frames of a driver, not counted -------------------------------------------------- */

static int map_frame(struct driver_map *dm, unsigned long addr, pfn_t frame)
{
	struct vm_area_struct *vma = dm->vma;
	struct mm_pgtables *pt = vma->vm_mm->pt;
	vm_flags_t prot = vma->vm_flags & VM_SHARED ? vma->vm_flags : prot_readonly(vma);
	enum pt_format format = pt->geo->format;
	struct pt_slot slot;
	int err = 0;
	pte_t pte;

	if (pte_alloc_lock(pt, addr, 0, &slot))
		return -ENOMEM;
	pte = pte_load(slot.ptep);
	if (mm_flag_is_set(vma->vm_mm, MMF_UNSTABLE))
		err = -EFAULT;
	else if (pte_none(pte))
		set_pte(&slot, pte_mkspecial(format, pte_mk(format, 0, frame, prot)));
	else if (!pte_has_page(format, pte) || !pte_special(format, pte) || pte_pfn(format, pte) != frame)
		err = -EBUSY;
	pte_unlock(&slot);
	/* Another thread may have been first, or a private copy be there: it is served all the same. */
	if (addr == dm->wanted && (!err || err == -EBUSY))
		dm->served = true;
	return err;
}

int mm_map_frames(const struct vm_mapping *map, unsigned long addr, const unsigned long *frames,
		  unsigned long nr)
{
	struct driver_map *dm = (struct driver_map *)(uintptr_t)map;
	struct frame_pool *pool = map->mm->ctx->frames;
	int err = 0;

	vma_assert_locked(dm->vma);
	pf_assert(driver_of(dm->vma) && dm->vma->vm_mm == map->mm);
	if ((addr & ~PAGE_MASK) || addr < map->start || addr > map->end ||
	    nr > (map->end - addr) >> PAGE_SHIFT)
		return -EINVAL;
	if (!map->mm->pt)
		return 0;
	for (unsigned long i = 0; i < nr && !err; i++)
		err = is_drivers(pool, frames[i]) ?
			      map_frame(dm, addr + (i << PAGE_SHIFT), (pfn_t)frames[i]) : -EINVAL;
	return err;
}
