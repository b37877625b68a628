/* SPDX-License-Identifier: MIT */
/*
 * Which pages were written to since the last look, for snapshots and migration.
 *
 * Hardware and faults set "dirty" in an entry; that bit also says whether the page is newer than its file,
 * so when it
 * is cleared here the page takes it over. What left an entry meanwhile lives on as "soft-dirty": a swap
 * entry has that
 * bit too.
 */
#include "mmu/access.h"

struct collection {
	struct mm_pgtables *pt;
	unsigned long start;		/* first address of the bitmap */
	uint64_t *bitmap;
	unsigned long found;
	unsigned long flush_start, flush_end;
};

static void note(struct collection *c, unsigned long start, unsigned long end)
{
	for (unsigned long addr = start; addr < end; addr += PAGE_SIZE) {
		unsigned long bit = (addr - c->start) >> PAGE_SHIFT;

		c->bitmap[bit / 64] |= 1ull << bit % 64;
		c->found++;
	}
	if (c->flush_start == c->flush_end)
		c->flush_start = start;
	c->flush_end = end;
}

/* True if it was written to; hardware may set its bits meanwhile, and then sets them anew. */
static bool test_and_clear(struct collection *c, pte_t *ptep)
{
	enum pt_format format = c->pt->geo->format;
	pte_t pte = pte_load(ptep), clean;
	bool dirty;

	do {
		if (pte_none(pte) || pte_is_guard(format, pte))
			return false;
		dirty = pte_has_page(format, pte) && pte_dirty(format, pte);
		if (!dirty && !pte_soft_dirty(format, pte))
			return false;
		clean = pte_clear_soft_dirty(format, pte);
		if (dirty)
			clean = pte_mkclean(format, clean);
	} while (!pte_cmpxchg(ptep, &pte, clean));
	if (dirty && !pte_special(format, pte))
		page_set(pfn_to_page(c->pt->pool, pte_pfn(format, pte)), PG_DIRTY);
	return true;
}

static void collect_table(struct collection *c, struct pt_range *range)
{
	pte_t *ptep = range->ptep;

	if (range->level) {
		if (test_and_clear(c, ptep))
			note(c, range->start, range->end);
		return;
	}
	for (unsigned long addr = range->start; addr < range->end; addr += PAGE_SIZE, ptep++)
		if (test_and_clear(c, ptep))
			note(c, addr, addr + PAGE_SIZE);
}

unsigned long dirty_collect(struct mm_pgtables *pt, unsigned long start, unsigned long end, uint64_t *bitmap)
{
	struct collection c = { .pt = pt, .start = start, .bitmap = bitmap };
	struct pt_cursor cursor;
	struct pt_range range;

	pf_assert(!((start | end) & ~PAGE_MASK) && start < end);
	pt_cursor_init(&cursor, pt);
	pt_cursor_set(&cursor, start, end);
	while (pt_cursor_next(&cursor, &range)) {
		if (!pt_range_lock(pt, &range))
			continue;
		collect_table(&c, &range);
		/* Before anybody else may look: who has the old translation would not note his next write. */
		if (c.flush_start < c.flush_end)
			flush_tlb_range(pt, c.flush_start, c.flush_end);
		c.flush_start = c.flush_end = 0;
		pt_range_unlock(&range);
	}
	return c.found;
}
