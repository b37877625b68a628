/* SPDX-License-Identifier: MIT */
/*
 * Tables: the root of an address space, and those below it, made on demand. A table is zeroed and described before
 * one compare-exchange hangs it into its parent; who loses that race gives his own back. Also what is counted for
 * the address space as a whole.
 */
#include "mmu/mmu.h"

int pt_create(struct mm_struct *mm, const struct pt_geometry *geo)
{
	struct frame_pool *pool = mm->ctx->frames;
	struct mm_pgtables *pt;
	struct page *root;

	if (!pool)
		return 0;
	pt = pf_alloc(mm->ctx->pf, PF_OTHER, sizeof(*pt), _Alignof(struct mm_pgtables));
	if (!pt)
		return -ENOMEM;
	root = alloc_table_page(pool, geo->levels - 1, 0);
	if (!root) {
		pf_free(mm->ctx->pf, PF_OTHER, pt);
		return -ENOMEM;
	}
	pt->mm = mm;
	pt->pool = pool;
	pt->geo = geo;
	pt->root = page_to_pfn(pool, root);
	pf_mutex_init(&pt->notifier_lock);
	mm->pt = pt;
	return 0;
}

void pt_destroy(struct mm_struct *mm)
{
	struct mm_pgtables *pt = mm->pt;

	if (!pt)
		return;
	pf_warn_on_once(pt->pool->pf, pt->table_bytes != 0, "page tables of %lu bytes left at the end", pt->table_bytes);
	for (int i = 0; i < NR_MM_COUNTERS; i++)
		pf_warn_on_once(pt->pool->pf, pt->rss[i] != 0, "%ld resident pages of kind %d left at the end",
				pt->rss[i], i);
	free_table_page(pt->pool, pfn_to_page(pt->pool, pt->root));
	pf_mutex_destroy(&pt->notifier_lock);
	pf_free(pt->pool->pf, PF_OTHER, pt);
	mm->pt = NULL;
}

/* Spares ------------------------------------------------------------------ */

int pt_spares_add(struct frame_pool *pool, struct pt_spares *spares, unsigned long nr)
{
	struct pt_spares more = { 0 };
	struct page *table;

	for (; more.nr < nr; more.nr++) {
		table = alloc_table_page(pool, 0, 0);
		if (!table) {
			pt_spares_free(pool, &more);
			return -ENOMEM;
		}
		table->next_table = more.first ? more.first : spares->first;
		more.first = page_to_pfn(pool, table);
	}
	if (more.nr)
		spares->first = more.first;
	spares->nr += more.nr;
	return 0;
}

static struct page *take_spare(struct frame_pool *pool, struct pt_spares *spares)
{
	struct page *table;

	if (!spares || !spares->nr)
		return NULL;
	table = pfn_to_page(pool, spares->first);
	pf_assert(page_has(table, PG_TABLE) && atomic_load(&table->used) == 0);
	spares->first = table->next_table;
	spares->nr--;
	table->next_table = 0;
	return table;
}

void pt_spares_free(struct frame_pool *pool, struct pt_spares *spares)
{
	while (spares->nr)
		free_table_page(pool, take_spare(pool, spares));
}

/* Making ------------------------------------------------------------------ */

/* Make sure that a table hangs at @ptep, the entry for @addr at @level. *@out: its entry, or none: look again. */
PTE_FN int alloc_body(enum pt_format f, struct mm_pgtables *pt, unsigned long addr, unsigned int level, pte_t *ptep,
		      struct page *parent, pte_t *out, struct pt_spares *spares)
{
	unsigned long start = addr & ~(PT_SPAN(level) - 1);
	struct page *table = take_spare(pt->pool, spares);
	pte_t none = { 0 };

	if (!table)
		table = alloc_table_page(pt->pool, level - 1, start);
	if (!table)
		return -ENOMEM;
	table->level = level - 1;
	table->start = start;
	*out = pte_mk_table(f, page_to_pfn(pt->pool, table));
	if (!pte_cmpxchg(ptep, &none, *out)) {
		*out = none;
		free_table_page(pt->pool, table);
		return 0;
	}
	atomic_fetch_add_explicit(&parent->used, 1, memory_order_relaxed);
	__atomic_add_fetch(&pt->table_bytes, PAGE_SIZE, __ATOMIC_RELAXED);
	return 0;
}

static int alloc_at(struct mm_pgtables *pt, unsigned long addr, unsigned int level, pte_t *ptep,
		    struct page *parent, pte_t *out, struct pt_spares *spares)
{
	pf_assert(level > 0 && parent->level == level);
	pf_assert(addr < pt->geo->task_size_max);
	pt_dispatch(pt->geo->format, alloc_body, pt, addr, level, ptep, parent, out, spares);
}

int pt_alloc_at(struct mm_pgtables *pt, unsigned long addr, unsigned int level, pte_t *ptep, struct page *parent,
		pte_t *out)
{
	return alloc_at(pt, addr, level, ptep, parent, out, NULL);
}

PTE_FN int alloc_down_body(enum pt_format f, struct mm_pgtables *pt, unsigned long addr, unsigned int level,
			   struct pt_spares *spares)
{
	struct page *table = pfn_to_page(pt->pool, pt->root);
	pte_t *ptep, pte;
	int err;

	for (unsigned int l = pt->geo->levels - 1; l > level; l--) {
		ptep = pt_table(pt->pool, page_to_pfn(pt->pool, table)) + PT_INDEX(addr, l);
		pte = pte_load(ptep);
		if (pte_none(pte)) {
			err = alloc_at(pt, addr, l, ptep, table, &pte, spares);
			if (err)
				return err;
			pte = pte_load(ptep);
		}
		if (!pte_is_table(f, pte))
			return 0;
		table = pfn_to_page(pt->pool, pte_pfn(f, pte));
	}
	return 0;
}

int pt_alloc_spared(struct mm_pgtables *pt, unsigned long addr, unsigned int level, struct pt_spares *spares)
{
	pf_assert(level < pt->geo->levels && addr < pt->geo->task_size_max);
	pt_dispatch(pt->geo->format, alloc_down_body, pt, addr, level, spares);
}

int pt_alloc(struct mm_pgtables *pt, unsigned long addr, unsigned int level)
{
	return pt_alloc_spared(pt, addr, level, NULL);
}

/* Counters ---------------------------------------------------------------- */

void add_mm_counter(struct mm_pgtables *pt, enum mm_counter which, long pages)
{
	__atomic_add_fetch(&pt->rss[which], pages, __ATOMIC_RELAXED);
}

unsigned long get_mm_rss(const struct mm_pgtables *pt)
{
	return get_mm_counter(pt, MM_FILEPAGES) + get_mm_counter(pt, MM_ANONPAGES) + get_mm_counter(pt, MM_SHMEMPAGES);
}

void update_hiwater_rss(struct mm_pgtables *pt)
{
	unsigned long now = get_mm_rss(pt), mark = __atomic_load_n(&pt->hiwater_rss, __ATOMIC_RELAXED);

	while (now > mark)
		if (__atomic_compare_exchange_n(&pt->hiwater_rss, &mark, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return;
}

unsigned long get_mm_hiwater_rss(const struct mm_pgtables *pt)
{
	unsigned long now = get_mm_rss(pt), mark = __atomic_load_n(&pt->hiwater_rss, __ATOMIC_RELAXED);

	return now > mark ? now : mark;
}
