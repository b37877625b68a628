/* SPDX-License-Identifier: MIT */
/*
 * Taking pages and tables of VMAs away, as struct unmap_desc describes it. Whoever unmaps comes through here: a
 * munmap with the side set of its VMAs, an exit, a fork that failed, a driver's mapping that was half made.
 *
 *   1. unmap_vmas     pages of each VMA: zapped, flushed, freed
 *   2. free_pgtables  each VMA leaves the reverse maps, so that nobody comes to its tables any more;
 *                     then tables that lie between floor and ceiling are unhooked, flushed, freed
 *
 * Between the floor and the ceiling there is no VMA but those that go. So however far these are apart, the
 * tables go in one sweep, each visited once, and those that belong to no VMA are met too:
 *
 *   |prev|      first   B        C          |next|
 *        ^floor                             ^ceiling
 *   T0 [ppp........]  T1 [..f......BB]  T2 [CC.....nn]      T1 goes; T0 and T2 are the neighbours' too
 */
#include "mmu/mmu.h"

#define RESCHED_VMAS 1024

/* Descriptions ------------------------------------------------------------ */

void unmap_region_init(struct unmap_desc *unmap, struct vma_iterator *vmi, const struct unmap_between *between)
{
	const struct mm_struct *mm = between->first->vm_mm;
	const struct pt_geometry *geo = mm->pt ? mm->pt->geo : NULL;

	pf_assert(between->first->vm_start <= between->last->vm_start);
	pf_assert(!between->prev || between->prev->vm_end <= between->first->vm_start);
	pf_assert(!between->next || between->next->vm_start >= between->last->vm_end);
	*unmap = (struct unmap_desc){
		.mas = vmi,
		.first = between->first,
		.pg_start = between->prev ? between->prev->vm_end : geo ? geo->first_user_addr : 0,
		.pg_end = between->next ? between->next->vm_start : geo ? geo->ceiling : 0,
		.vma_start = between->first->vm_start,
		.vma_end = between->last->vm_end,
		.tree_end = vmi->set ? vmi->set->count : between->last->vm_end,
		.tree_reset = vmi->set ? 1 : between->first->vm_end,
		.mm_wr_locked = between->mm_wr_locked,
	};
	vma_iter_set(vmi, unmap->tree_reset);
}

void unmap_all_init(struct unmap_desc *unmap, struct vma_iterator *vmi, struct vm_area_struct *vma)
{
	const struct pt_geometry *geo = vma && vma->vm_mm->pt ? vma->vm_mm->pt->geo : NULL;

	*unmap = (struct unmap_desc){
		.mas = vmi,
		.first = vma,
		.pg_start = geo ? geo->first_user_addr : 0,
		.pg_end = geo ? geo->ceiling : 0,
		.vma_start = 0,
		.vma_end = ULONG_MAX,
		.tree_end = 0,
		.tree_reset = vma ? vma->vm_end : 0,
		.everything = true,
		.nothing = !vma,
	};
	if (vma)
		vma_iter_set(vmi, unmap->tree_reset);
}

/* An exclusive end, of which 0 is the top, is not to be above another. */
static unsigned long clamp_end(unsigned long end, unsigned long ceiling)
{
	return end - 1 < ceiling - 1 ? end : ceiling;
}

void unmap_pgtable_init(struct unmap_desc *unmap, struct vma_iterator *vmi)
{
	const struct mm_struct *mm;

	pf_assert(unmap->mas == vmi);
	if (unmap->nothing)
		return;
	mm = unmap->first->vm_mm;
	unmap->pg_start = mm->pt ? mm->pt->geo->first_user_addr : 0;
	unmap->pg_end = mm->pt ? mm->pt->geo->ceiling : 0;
	unmap->vma_start = unmap->pg_start;
	unmap->vma_end = clamp_end(unmap->vma_end, unmap->pg_end);
	unmap->tree_end = clamp_end(unmap->tree_end, unmap->pg_end);
	unmap->mm_wr_locked = true;
	vma_iter_set(vmi, unmap->tree_reset);
}

/* Pages ------------------------------------------------------------------- */

/* Others may run: first flush what is not. */
static void breathe(struct mmu_gather *tlb)
{
	tlb_flush_mmu(tlb);
	tlb_cond_resched(tlb);
}

static void unmap_single_vma(struct mmu_gather *tlb, struct vm_area_struct *vma, const struct unmap_desc *unmap)
{
	unsigned long start = vma->vm_start > unmap->vma_start ? vma->vm_start : unmap->vma_start;
	unsigned long end = vma->vm_end < unmap->vma_end ? vma->vm_end : unmap->vma_end;

	if (start >= end)
		return;
	tlb->work.vmas++;
	if (vma->vm_flags & VM_HUGETLB)
		hugetlb_zap_begin(vma, &start, &end);
	unmap_page_range(tlb, vma, start, end, NULL);
	if (vma->vm_flags & VM_HUGETLB)
		hugetlb_zap_end(vma);
}

void unmap_vmas(struct mmu_gather *tlb, struct unmap_desc *unmap)
{
	struct vm_area_struct *vma = unmap->first;
	struct mm_struct *mm;
	unsigned long count = 0;

	if (unmap->nothing || !tlb->pt)
		return;
	mm = vma->vm_mm;
	mmu_notifier_invalidate_start(mm, unmap->vma_start, unmap->vma_end);
	do {
		unmap_single_vma(tlb, vma, unmap);
		if (++count % RESCHED_VMAS == 0)
			breathe(tlb);
		vma = vma_find(unmap->mas, unmap->tree_end);
	} while (vma);
	/* What was told to be gone at the end is gone. */
	tlb_flush_mmu(tlb);
	mmu_notifier_invalidate_end(mm, unmap->vma_start, unmap->vma_end);
}

/* Tables ------------------------------------------------------------------ */

/* Take @table's entry away and gather it, if all of it lies within the limits. It holds nothing any more. */
static void unhook(struct mmu_gather *tlb, struct page *parent, pte_t *ptep, struct page *table)
{
	struct frame_pool *pool = tlb->pt->pool;

	if (pf_warn_on_once(pool->pf, atomic_load(&table->used) != 0,
			    "a page table from %lx on, at level %u, has %u entries when it is to go", table->start,
			    table->level, atomic_load(&table->used)))
		return;
	pte_store(ptep, (pte_t){ 0 });
	atomic_fetch_sub_explicit(&parent->used, 1, memory_order_relaxed);
	tlb_remove_table(tlb, table);
}

/*
 * Tables below @table that lie within [floor, last]. The depth is that of the tables, five at most.
 */
static void sweep(struct mmu_gather *tlb, struct page *table, unsigned long floor, unsigned long last)
{
	struct frame_pool *pool = tlb->pt->pool;
	enum pt_format f = tlb->pt->geo->format;
	unsigned int level = table->level;
	unsigned long span = PT_SPAN(level), end = table->start + (span * PT_ENTRIES - 1);
	unsigned long addr = (floor > table->start ? floor : table->start) & ~(span - 1);
	bool whole = table->start >= floor && end <= last;
	/* Faults of the neighbours may add to a table that is theirs too, at any time. */
	uint32_t left = whole ? atomic_load_explicit(&table->used, memory_order_relaxed) : PT_ENTRIES;
	pte_t *ptep = pt_table(pool, page_to_pfn(pool, table)) + PT_INDEX(addr, level), pte;
	struct page *child;

	pf_assert(page_has(table, PG_TABLE) && level > 0 && floor <= last);
	tlb->work.swept++;
	end = last < end ? last : end;
	for (; left && addr <= end; ptep++, addr += span) {
		tlb->work.swept_slots++;
		pte = pte_load(ptep);
		if (pte_none(pte))
			continue;
		left--;
		if (!pte_is_table(f, pte))
			continue;
		child = pfn_to_page(pool, pte_pfn(f, pte));
		if (level > 1)
			sweep(tlb, child, floor, last);
		if (addr >= floor && addr + (span - 1) <= last)
			unhook(tlb, table, ptep, child);
		if (addr + span < addr)
			break;
	}
}

void free_pgd_range(struct mmu_gather *tlb, unsigned long floor, unsigned long ceiling)
{
	if (tlb->pt)
		sweep(tlb, pfn_to_page(tlb->pt->pool, tlb->pt->root), floor, ceiling - 1);
}

static struct vm_area_struct *restart(struct unmap_desc *unmap)
{
	vma_iter_set(unmap->mas, unmap->tree_reset);
	return unmap->first;
}

/* Debug builds: whoever is in a reverse map still could lead a walker to a table that is about to go. */
static void check_unlinked(struct mmu_gather *tlb, struct unmap_desc *unmap)
{
	struct vm_area_struct *vma = restart(unmap);

	do {
		if (vma_in_reverse_map(vma))
			mmu_trip(tlb->pt->pool, MMU_TRIP_TABLE_LINKED, vma->vm_start);
		vma = vma_find(unmap->mas, unmap->tree_end);
	} while (vma);
}

static void unlink_reverse_maps(struct mmu_gather *tlb, struct unmap_desc *unmap,
				struct unlink_batch *batch)
{
	struct vm_area_struct *vma = restart(unmap);

	do {
		/* A fault that has it locked ends first; the detached ones have no more faults. */
		if (unmap->mm_wr_locked && !unmap->mas->set)
			vma_start_write(vma);
		unlink_batch_add(batch, vma);
		tlb->work.unlinked++;
		vma = vma_find(unmap->mas, unmap->tree_end);
	} while (vma);
}

static bool planted(const struct mmu_gather *tlb, unsigned int plant)
{
	return SAMARA_DEBUG && (tlb->pt->pool->plants & plant);
}

void free_pgtables(struct mmu_gather *tlb, struct unmap_desc *unmap)
{
	struct unlink_batch batch;

	if (unmap->nothing || !tlb->pt)
		return;
	unlink_batch_init(&batch, unmap->first->vm_mm);
	/* In a side set the end is a number. */
	pf_warn_on_once(tlb->pt->pool->pf, !unmap->mas->set && unmap->tree_end - 1 > unmap->pg_end - 1,
			"tables up to %lx are to go, mappings up to %lx", unmap->pg_end, unmap->tree_end);
	/* Entries without a counted frame too are flushed before their VMA leaves the reverse maps. */
	tlb_flush_mmu(tlb);
	if (!planted(tlb, MMU_PLANT_NO_UNLINK))
		unlink_reverse_maps(tlb, unmap, &batch);
	if (!planted(tlb, MMU_PLANT_LATE_UNLINK))
		unlink_batch_final(&batch);
	if (SAMARA_DEBUG)
		check_unlinked(tlb, unmap);
	free_pgd_range(tlb, unmap->pg_start, unmap->pg_end);
	unlink_batch_final(&batch);
	tlb->work.unlink_rounds += batch.rounds;
}

void unmap_region(struct unmap_desc *unmap)
{
	struct mmu_gather tlb;

	if (unmap->nothing)
		return;
	tlb_gather_mmu(&tlb, unmap->first->vm_mm, unmap->everything);
	unmap_vmas(&tlb, unmap);
	free_pgtables(&tlb, unmap);
	tlb_finish_mmu(&tlb);
}
