/* SPDX-License-Identifier: MIT */
/*
 * Guard markers: entries that no access gets past, without a mapping of their own.
 *
 * They are not present, so hardware knows nothing of them; only unmapping, MADV_GUARD_REMOVE and an
 * install over
 * them take them away. A copy of the address space has them too.
 */
#include "mmu/mmu.h"

/*
 * Tables first, which may fail; then markers, which cannot.
 */
static int make_tables(struct mm_pgtables *pt, unsigned long start, unsigned long end)
{
	for (unsigned long addr = start; addr < end; addr = (addr | (PMD_SIZE - 1)) + 1) {
		int err = pt_alloc(pt, addr, 0);

		if (err)
			return err;
		/* The last table may be the highest that there is. */
		if ((addr | (PMD_SIZE - 1)) == ULONG_MAX)
			break;
	}
	return 0;
}

/* Put markers where nothing is, from *@addr on; false: there is something at *@addr. */
static bool mark_table(struct mm_pgtables *pt, unsigned long *addr, unsigned long end, int *err)
{
	enum pt_format format = pt->geo->format;
	struct pt_slot slot;
	pte_t pte;

	pf_assert(!(*addr & ~PAGE_MASK) && *addr < end);
	*err = pte_alloc_lock(pt, *addr, 0, &slot);
	if (*err)
		return true;
	for (; *addr < end; *addr += PAGE_SIZE, slot.ptep++) {
		pte = pte_load(slot.ptep);
		if (pte_none(pte))
			set_pte(&slot, pte_mk_guard());
		else if (!pte_is_guard(format, pte))
			break;
	}
	pte_unlock(&slot);
	return *addr == end;
}

int guard_install(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	struct mm_pgtables *pt = vma->vm_mm->pt;
	unsigned long addr = start, upto;
	int err;

	if (!pt)
		return 0;
	mmap_assert_write_locked(vma->vm_mm);
	pf_assert(vma->vm_start <= start && start < end && end <= vma->vm_end);
	err = make_tables(pt, start, end);
	while (!err && addr < end) {
		upto = (addr | (PMD_SIZE - 1)) + 1;
		if (!upto || upto > end)
			upto = end;
		/* A fault may be faster than we are after the zap: then once more. */
		if (!mark_table(pt, &addr, upto, &err))
			zap_page_range(vma, addr, upto, &(struct zap_details){ .keep_guards = true });
	}
	return err;
}

void guard_remove(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	struct mm_pgtables *pt = vma->vm_mm->pt;
	struct pt_cursor cursor;
	struct pt_range range;
	struct pt_slot slot;

	if (!pt)
		return;
	mmap_assert_locked(vma->vm_mm);
	pf_assert(vma->vm_start <= start && start < end && end <= vma->vm_end);
	pt_cursor_init(&cursor, pt);
	pt_cursor_set(&cursor, start, end);
	while (pt_cursor_next(&cursor, &range)) {
		if (range.level || !pt_range_lock(pt, &range))
			continue;
		slot = (struct pt_slot){ .pt = pt, .ptep = range.ptep, .table = range.table };
		for (unsigned long addr = range.start; addr < range.end; addr += PAGE_SIZE, slot.ptep++)
			if (pte_is_guard(pt->geo->format, pte_load(slot.ptep)))
				set_pte(&slot, (pte_t){ 0 });
		pt_range_unlock(&range);
	}
}

bool guard_at(struct vm_area_struct *vma, unsigned long addr)
{
	struct mm_pgtables *pt = vma->vm_mm->pt;
	unsigned int level;
	bool guard;

	if (!pt || (vma->vm_flags & VM_HUGETLB))
		return false;
	pf_assert(vma->vm_start <= addr && addr < vma->vm_end);
	pf_rcu_read_lock();
	guard = pte_is_guard(pt->geo->format, pt_peek(pt, addr & PAGE_MASK, &level));
	pf_rcu_read_unlock();
	return guard;
}
