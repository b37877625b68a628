/* SPDX-License-Identifier: MIT */
/*
 * Pages and tables on their way out.
 *
 *   zap     entry -> none          the translation may be cached still
 *   gather  pages[nr++], tables    nothing is reused
 *   flush   one range for all      whoever translates has forgotten
 *   free    pages at once; tables after a grace period, since a walk without locks may be in one
 *
 * A batch is as many pages as the gather has room for, or as many tables; then all four steps are done and it
 * begins anew. Tables are linked through their own state, and the first carries the callback, so that nothing has
 * to be allocated.
 */
#include "mmu/mmu.h"

#define MMU_GATHER_TABLES 512

static void flush_range(struct mm_pgtables *pt, unsigned long start, unsigned long end)
{
	__atomic_add_fetch(&pt->tlb_gen, 1, __ATOMIC_ACQ_REL);
	__atomic_add_fetch(&pt->work.flushes, 1, __ATOMIC_RELAXED);
	if (pt->flush)
		pt->flush(pt->flush_arg, pt->mm, start, end);
	soft_tlb_flush(pt, start, end);
}

void flush_cache_mm(struct mm_struct *mm)
{
	const struct mm_context_options *opt = &mm->ctx->opt;

	mmap_assert_locked(mm);
	if (opt->flush_cache)
		opt->flush_cache(opt->flush_cache_arg, mm);
}

void flush_tlb_range(struct mm_pgtables *pt, unsigned long start, unsigned long end)
{
	if (pt)
		flush_range(pt, start, end);
}

void tlb_gather_mmu(struct mmu_gather *tlb, struct mm_struct *mm, bool everything)
{
	pf_assert(!everything || !mm->pt || mm->pt->dead || pf_rwsem_held(&mm->mmap_lock));
	/* The room for pages is not cleared. */
	memset(tlb, 0, offsetof(struct mmu_gather, cursor));
	tlb->pt = mm->pt;
	if (!tlb->pt)
		return;
	tlb->everything = everything;
	if (SAMARA_DEBUG)
		__atomic_add_fetch(&tlb->pt->gathers, 1, __ATOMIC_ACQ_REL);
	update_hiwater_rss(tlb->pt);
	pt_cursor_init(&tlb->cursor, tlb->pt);
}

/* Add [start, last] to what has to be flushed. */
static void note_range(struct mmu_gather *tlb, unsigned long start, unsigned long last)
{
	pf_assert(start <= last);
	if (!tlb->active || start < tlb->start)
		tlb->start = start;
	if (!tlb->active || last > tlb->end - 1)
		tlb->end = last + 1;
	tlb->active = true;
}

void tlb_note(struct mmu_gather *tlb, unsigned long addr, unsigned int level)
{
	addr &= ~(PT_SPAN(level) - 1);
	note_range(tlb, addr, addr + (PT_SPAN(level) - 1));
}

static bool planted(const struct mmu_gather *tlb, unsigned int what)
{
	return SAMARA_DEBUG && (tlb->pt->pool->plants & what);
}

bool tlb_remove_page(struct mmu_gather *tlb, struct page *page)
{
	pf_assert(tlb->active && tlb->nr < MMU_GATHER_PAGES);
	if (SAMARA_DEBUG)
		page_set(page, PG_UNFLUSHED);
	if (planted(tlb, MMU_PLANT_NO_BATCH)) {
		page_remove_rmap(page);
		put_page(tlb->pt->pool, page);
		return false;
	}
	tlb->pages[tlb->nr++] = page;
	return tlb->nr == MMU_GATHER_PAGES;
}

void tlb_remove_table(struct mmu_gather *tlb, struct page *table)
{
	struct frame_pool *pool = tlb->pt->pool;

	pf_assert(page_has(table, PG_TABLE) && atomic_load(&table->used) == 0);
	__atomic_sub_fetch(&tlb->pt->table_bytes, PAGE_SIZE, __ATOMIC_RELAXED);
	note_range(tlb, table->start, table->start + (PT_SPAN(table->level + 1) - 1));
	if (SAMARA_DEBUG)
		page_set(table, PG_UNFLUSHED);
	if (planted(tlb, MMU_PLANT_EARLY_TABLE)) {
		free_table_page(pool, table);
		return;
	}
	table->next_table = tlb->tables;
	tlb->tables = page_to_pfn(pool, table);
	tlb->nr_tables++;
	if (tlb->nr_tables >= MMU_GATHER_TABLES)
		tlb_flush_mmu(tlb);
}

/* Translations of all that is gathered are gone. Debug builds only. */
static void mark_flushed(struct mmu_gather *tlb)
{
	struct frame_pool *pool = tlb->pt->pool;

	for (unsigned int i = 0; i < tlb->nr; i++)
		page_clear(tlb->pages[i], PG_UNFLUSHED);
	for (pfn_t pfn = tlb->tables; pfn; pfn = pfn_to_page(pool, pfn)->next_table)
		page_clear(pfn_to_page(pool, pfn), PG_UNFLUSHED);
}

void tlb_flush_only(struct mmu_gather *tlb)
{
	if (!tlb->pt || !tlb->active)
		return;
	if (!planted(tlb, MMU_PLANT_NO_FLUSH)) {
		if (tlb->everything)
			flush_range(tlb->pt, 0, 0);
		else
			flush_range(tlb->pt, tlb->start, tlb->end);
		if (SAMARA_DEBUG)
			mark_flushed(tlb);
	}
	tlb->active = false;
}

static unsigned long free_table_list(struct frame_pool *pool, pfn_t pfn)
{
	unsigned long nr = 0;
	struct page *table;

	for (; pfn; nr++) {
		table = pfn_to_page(pool, pfn);
		pfn = table->next_table;
		free_table_page(pool, table);
	}
	return nr;
}

static void grace_has_passed(pf_rcu_head *head)
{
	struct page *first = (struct page *)((char *)head - offsetof(struct page, rcu));
	struct frame_pool *pool = first->pool;

	__atomic_sub_fetch(&pool->nr_waiting, free_table_list(pool, page_to_pfn(pool, first)), __ATOMIC_RELAXED);
}

/* Tables that may wait for a grace period before who adds to them waits too: or they would use the pool up. */
static unsigned long most_waiting(const struct frame_pool *pool)
{
	unsigned long share = pool->nr_frames / 32;

	return share < MMU_GATHER_TABLES ? share : MMU_GATHER_TABLES;
}

static void free_tables(struct mmu_gather *tlb)
{
	struct frame_pool *pool = tlb->pt->pool;

	if (!tlb->tables)
		return;
	/* An address space that ends has no users, and who came by a reverse map has left. Holders may look still. */
	if (tlb->everything && atomic_load(&tlb->pt->mm->mm_count) <= 1) {
		free_table_list(pool, tlb->tables);
	} else {
		if (__atomic_add_fetch(&pool->nr_waiting, tlb->nr_tables, __ATOMIC_RELAXED) > most_waiting(pool))
			tlb->wait = true;
		pf_call_rcu(&pfn_to_page(pool, tlb->tables)->rcu, grace_has_passed);
	}
	tlb->tables = 0;
	tlb->nr_tables = 0;
}

static void add_counters(struct mmu_gather *tlb)
{
	for (int i = 0; i < NR_MM_COUNTERS; i++) {
		if (tlb->rss[i])
			add_mm_counter(tlb->pt, i, tlb->rss[i]);
		tlb->rss[i] = 0;
	}
}

void tlb_flush_mmu(struct mmu_gather *tlb)
{
	if (!tlb->pt)
		return;
	tlb_flush_only(tlb);
	put_pages(tlb->pt->pool, tlb->pages, tlb->nr);
	tlb->nr = 0;
	free_tables(tlb);
	add_counters(tlb);
}

void tlb_finish_mmu(struct mmu_gather *tlb)
{
	struct mm_pgtables *pt = tlb->pt;

	if (!pt)
		return;
	tlb_flush_mmu(tlb);
	if (SAMARA_DEBUG)
		__atomic_sub_fetch(&pt->gathers, 1, __ATOMIC_ACQ_REL);
	__atomic_add_fetch(&pt->work.vmas, tlb->work.vmas, __ATOMIC_RELAXED);
	__atomic_add_fetch(&pt->work.tables, tlb->cursor.tables, __ATOMIC_RELAXED);
	__atomic_add_fetch(&pt->work.slots, tlb->cursor.slots, __ATOMIC_RELAXED);
	__atomic_add_fetch(&pt->work.unlinked, tlb->work.unlinked, __ATOMIC_RELAXED);
	__atomic_add_fetch(&pt->work.unlink_rounds, tlb->work.unlink_rounds, __ATOMIC_RELAXED);
	__atomic_add_fetch(&pt->work.swept, tlb->work.swept, __ATOMIC_RELAXED);
	__atomic_add_fetch(&pt->work.swept_slots, tlb->work.swept_slots, __ATOMIC_RELAXED);
	pf_assert(!tlb->wait || !pf_rcu_read_lock_held());
	if (tlb->wait)
		pf_rcu_barrier();
}

void tlb_cond_resched(struct mmu_gather *tlb)
{
	if (SAMARA_DEBUG && (tlb->active || tlb->nr || tlb->tables))
		mmu_trip(tlb->pt->pool, MMU_TRIP_YIELD_UNFLUSHED, tlb->start);
	pf_cond_resched(tlb->pt->pool->pf);
}
