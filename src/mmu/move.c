/* SPDX-License-Identifier: MIT */
/*
 * mremap's part here: entries move, pages stay where they are.
 *
 *   from   T1 [....pppp] T2 [pppppppp] T3 [pp......]
 *   to     U1 [......pp] U2 [pppppppp] U3 [pppp....]      each lowest table's entries go into two at most
 *
 *   from   T1 [....pppp] T2 [pppppppp] T3 [pp......]      both places lie alike within 2 MiB:
 *   to     U1 [....pppp] T2 [pppppppp] U3 [pp......]      a table that moves as a whole is hooked in over there
 *
 * Tables for the new place are taken from the pool before anything moves, and hooked in as the move gets there: so
 * it cannot fail, and what was not needed goes back.
 *
 * A walker of the reverse maps may look at the new place before, and at the old one after a page has moved,
 * and would miss it; so their locks are held around each table's move.
 */
#include "mmu/mmu.h"

/* Whether a table's part of the range moves as a whole, if nothing hangs at its new place. */
static bool is_whole(const struct pt_range *range, unsigned long to)
{
	return range->level == 0 && !((range->start | to) & (PMD_SIZE - 1)) && range->end - range->start == PMD_SIZE;
}

/* Level of the lowest table that there is for @addr; above 1, or 1 with an empty entry, nothing hangs there. */
static unsigned int lowest_level(struct mm_pgtables *pt, unsigned long addr, bool *empty)
{
	unsigned int level;

	*empty = pte_none(pt_peek(pt, addr, &level));
	return level;
}

/* Preparing --------------------------------------------------------------- */

struct count {
	struct mm_pgtables *pt;
	bool replaces;
	unsigned long last[PT_MAX_LEVELS];	/* the last table of that level that was counted, + 1 */
	unsigned long nr;
};

/* The tables for @addr, from level @lowest up, that are not there or may go before the move. */
static void count_tables(struct count *count, unsigned long addr, unsigned int lowest)
{
	unsigned int top = count->pt->geo->levels - 1;
	unsigned long number;
	bool empty;

	if (!count->replaces)
		top = lowest_level(count->pt, addr, &empty);
	for (unsigned int level = lowest; level < top; level++) {
		number = (addr >> PT_SHIFT(level + 1)) + 1;
		count->nr += count->last[level] != number;
		count->last[level] = number;
	}
}

static void count_range(struct count *count, const struct pt_range *range, unsigned long to)
{
	bool empty = false;
	unsigned int lowest = range->level;

	if (!count->replaces && is_whole(range, to) && lowest_level(count->pt, to, &empty) >= 1 && empty)
		lowest = 1;
	count_tables(count, to, lowest);
	count_tables(count, to + (range->end - range->start) - 1, lowest);
}

int move_page_tables_prepare(struct mm_struct *mm, const struct pt_move *move, struct pt_spares *spares)
{
	struct count count = { .pt = mm->pt, .replaces = move->replaces };
	unsigned long end = move->from + move->len;
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	struct pt_cursor cursor;
	struct pt_range range;

	mmap_assert_write_locked(mm);
	/* What reaches beyond the user range has no pages there, and is refused later. */
	if (end < move->from || end > mm->opt.task_size)
		end = mm->opt.task_size;
	if (!mm->pt || !move->len || move->from >= end)
		return 0;
	/* No fault adds tables from here on. */
	vma_iter_init(&vmi, mm, move->from);
	for_each_vma_range(vmi, vma, end)
		vma_start_write(vma);
	pt_cursor_init(&cursor, mm->pt);
	pt_cursor_set(&cursor, move->from, end);
	while (pt_cursor_next(&cursor, &range))
		count_range(&count, &range, move->to + (range.start - move->from));
	return pt_spares_add(mm->pt->pool, spares, count.nr);
}

/* Moving ------------------------------------------------------------------ */

/* Table @range->table, as a whole. False: something hangs there. */
PTE_FN bool move_table_body(enum pt_format f, struct mm_pgtables *pt, struct pt_range *range, unsigned long to)
{
	struct page *table, *old_parent = range->upper;
	struct pt_slot slot;
	pte_t pte;

	if (pte_alloc_lock(pt, to, 1, &slot))
		return false;
	if (!pte_none(pte_load(slot.ptep))) {
		pte_unlock(&slot);
		return false;
	}
	/* Parents are locked by no one else in pairs: whoever wants two of one address space has mmap_lock for writing. */
	if (slot.table != old_parent)
		pf_spin_lock(&old_parent->ptl);
	pte = pte_load(range->parent);
	pf_assert(pte_is_table(f, pte));
	table = pfn_to_page(pt->pool, pte_pfn(f, pte));
	pf_assert(table->level == 0 && table->start == range->start);
	pf_spin_lock(&table->ptl);
	pte_store(range->parent, (pte_t){ 0 });
	atomic_fetch_sub_explicit(&old_parent->used, 1, memory_order_relaxed);
	flush_tlb_range(pt, range->start, range->end);
	table->start = to;
	set_pte(&slot, pte_mk_table(f, page_to_pfn(pt->pool, table)));
	pf_spin_unlock(&table->ptl);
	if (slot.table != old_parent)
		pf_spin_unlock(&old_parent->ptl);
	pte_unlock(&slot);
	return true;
}

static bool move_table(struct mm_pgtables *pt, struct pt_range *range, unsigned long to)
{
	pt_dispatch(pt->geo->format, move_table_body, pt, range, to);
}

/* @nr entries, between locked tables. */
PTE_FN void move_entries_body(enum pt_format f, struct pt_range *range, struct pt_slot *to, unsigned long nr)
{
	struct pt_slot from = { .pt = to->pt, .table = range->table, .level = range->level };
	pte_t pte;

	for (unsigned long i = 0; i < nr; i++, to->ptep++) {
		from.ptep = range->ptep + i;
		if (pte_none(pte_load(from.ptep)))
			continue;
		pf_assert(pte_none(pte_load(to->ptep)));
		pte = pte_replace(&from, (pte_t){ 0 });
		/* Who looks for changes by address finds that this one has changed. */
		if (!pte_is_guard(f, pte))
			pte = pte_mksoft_dirty(f, pte);
		set_pte(to, pte);
	}
}

static void move_entries(struct pt_range *range, struct pt_slot *to, unsigned long nr)
{
	pt_dispatch(to->pt->geo->format, move_entries_body, range, to, nr);
}

/* As much of @range as goes into one table at @to. Returns the bytes. */
static unsigned long move_piece(struct mm_pgtables *pt, struct pt_range *range, unsigned long to,
				struct pt_spares *spares)
{
	unsigned long room = PMD_SIZE - (to & (PMD_SIZE - 1)), len = range->end - range->start;
	struct pt_slot slot;
	bool found;

	len = len < room ? len : room;
	pf_assert(len && !(len & ~PAGE_MASK));
	found = !pt_alloc_spared(pt, to, range->level, spares) && pte_find(pt, to, range->level, &slot);
	if (pf_warn_on_once(pt->pool->pf, !found, "no table at %lx to move to", to) || !pt_range_lock(pt, range))
		return len;
	/* Near each other, both places may be in one table. */
	if (slot.table != range->table)
		pf_spin_lock(&slot.table->ptl);
	move_entries(range, &slot, range->level ? 1 : len >> PAGE_SHIFT);
	/* Still locked, so that nobody finds the page at its new place while the old one can be used. */
	flush_tlb_range(pt, range->start, range->start + len);
	if (slot.table != range->table)
		pf_spin_unlock(&slot.table->ptl);
	pt_range_unlock(range);
	return len;
}

static void move_range(struct mm_pgtables *pt, struct pt_range *range, unsigned long to, struct pt_spares *spares)
{
	unsigned long len;

	if (is_whole(range, to)) {
		pf_warn_on_once(pt->pool->pf, pt_alloc_spared(pt, to, 1, spares), "no table at %lx to move to", to);
		if (move_table(pt, range, to))
			return;
	}
	while (range->start != range->end) {
		len = move_piece(pt, range, to, spares);
		range->start += len;
		to += len;
	}
}

void move_page_tables(const struct pt_move *move, struct pt_spares *spares)
{
	struct mm_struct *mm = move->vma->vm_mm;
	struct pt_cursor cursor;
	struct pt_range range;

	if (!mm->pt || !move->len)
		return;
	mmap_assert_write_locked(mm);
	pf_assert(!((move->from | move->to | move->len) & ~PAGE_MASK));
	mmu_notifier_invalidate_start(mm, move->from, move->from + move->len);
	pt_cursor_init(&cursor, mm->pt);
	pt_cursor_set(&cursor, move->from, move->from + move->len);
	while (pt_cursor_next(&cursor, &range)) {
		rmap_lock(move->vma);
		move_range(mm->pt, &range, move->to + (range.start - move->from), spares);
		rmap_unlock(move->vma);
	}
	mmu_notifier_invalidate_end(mm, move->from, move->from + move->len);
}
