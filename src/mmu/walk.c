/* SPDX-License-Identifier: MIT */
/*
 * Finding entries.
 *
 *   address   | 9 bits | 9 bits | 9 bits | 9 bits | 12 bits |        and 9 bits more with 5 levels
 *   level         3        2        1        0      offset           3 levels: from 2 on
 *
 *   root [....T....] -> [..T......] -> [...T..L..] -> [pppp....s..g]
 *                                             |
 *                                          a leaf of 2 MiB
 *
 * The lowest table is found under RCU, locked, and its parent's entry looked at again: if it points elsewhere
 * now, the table had been emptied and unhooked, and the walk begins anew.
 */
#include "mmu/mmu.h"

/* Whether @parent still leads to @table. Hardware may have set bits of it. */
PTE_FN bool leads_to(enum pt_format f, struct mm_pgtables *pt, pte_t *parent, struct page *table)
{
	pte_t pte = pte_load(parent);

	return pte_is_table(f, pte) && pfn_to_page(pt->pool, pte_pfn(f, pte)) == table;
}

PTE_FN pte_t *entry_of(struct mm_pgtables *pt, struct page *table, unsigned long addr, unsigned int level)
{
	return pt_table(pt->pool, page_to_pfn(pt->pool, table)) + PT_INDEX(addr, level);
}

/* One entry --------------------------------------------------------------- */

enum walk_result { WALK_LOCKED, WALK_NO_TABLE, WALK_AGAIN };

/* Down to @level, or to where there is no table. Locks the table reached. Requires RCU, or that no table can go. */
PTE_FN enum walk_result walk_lock(enum pt_format f, struct mm_pgtables *pt, unsigned long addr, unsigned int level,
				  bool alloc, int *err, struct pt_slot *out)
{
	struct page *table = pfn_to_page(pt->pool, pt->root);
	unsigned int l = pt->geo->levels - 1;
	pte_t *ptep = entry_of(pt, table, addr, l), *parent = NULL, pte;

	while (l > level) {
		pte = pte_load(ptep);
		if (pte_none(pte)) {
			if (!alloc)
				return WALK_NO_TABLE;
			*err = pt_alloc_at(pt, addr, l, ptep, table, &pte);
			if (*err)
				return WALK_NO_TABLE;
			if (pte_none(pte))
				return WALK_AGAIN;
		}
		if (!pte_is_table(f, pte))
			break;
		parent = ptep;
		table = pfn_to_page(pt->pool, pte_pfn(f, pte));
		ptep = entry_of(pt, table, addr, --l);
	}
	pf_spin_lock(&table->ptl);
	if (l == 0 && !leads_to(f, pt, parent, table)) {
		pf_spin_unlock(&table->ptl);
		return WALK_AGAIN;
	}
	/* A leaf that has become a table, or the other way round. */
	if (l > level && (pte_none(pte_load(ptep)) || pte_is_table(f, pte_load(ptep)))) {
		pf_spin_unlock(&table->ptl);
		return WALK_AGAIN;
	}
	*out = (struct pt_slot){ .pt = pt, .ptep = ptep, .table = table, .level = l };
	return WALK_LOCKED;
}

PTE_FN bool find_lock_body(enum pt_format f, struct mm_pgtables *pt, unsigned long addr, struct pt_slot *out)
{
	enum walk_result result;
	int err = 0;

	do {
		pf_rcu_read_lock();
		result = walk_lock(f, pt, addr, 0, false, &err, out);
		pf_rcu_read_unlock();
	} while (result == WALK_AGAIN);
	return result == WALK_LOCKED;
}

bool pte_find_lock(struct mm_pgtables *pt, unsigned long addr, struct pt_slot *out)
{
	pt_dispatch(pt->geo->format, find_lock_body, pt, addr, out);
}

PTE_FN int alloc_lock_body(enum pt_format f, struct mm_pgtables *pt, unsigned long addr, unsigned int level,
			   struct pt_slot *out)
{
	unsigned long since = frame_pool_short(pt->pool);
	enum walk_result result;
	int err = 0;

	do {
		pf_rcu_read_lock();
		result = walk_lock(f, pt, addr, level, true, &err, out);
		pf_rcu_read_unlock();
		if (result == WALK_NO_TABLE && err == -ENOMEM && frame_pool_relieve(pt->pool, since))
			result = WALK_AGAIN;
	} while (result == WALK_AGAIN);
	if (result == WALK_NO_TABLE)
		return err;
	if (out->level == level && (level == 0 || !pte_is_table(f, pte_load(out->ptep))))
		return 0;
	pte_unlock(out);
	return -EEXIST;
}

int pte_alloc_lock(struct mm_pgtables *pt, unsigned long addr, unsigned int level, struct pt_slot *out)
{
	pf_assert(level <= 1);
	pt_dispatch(pt->geo->format, alloc_lock_body, pt, addr, level, out);
}

PTE_FN bool find_body(enum pt_format f, struct mm_pgtables *pt, unsigned long addr, unsigned int level,
		      struct pt_slot *out)
{
	struct page *table = pfn_to_page(pt->pool, pt->root);
	pte_t pte;

	for (unsigned int l = pt->geo->levels - 1; l > level; l--) {
		pte = pte_load(entry_of(pt, table, addr, l));
		if (!pte_is_table(f, pte))
			return false;
		table = pfn_to_page(pt->pool, pte_pfn(f, pte));
	}
	*out = (struct pt_slot){ .pt = pt, .ptep = entry_of(pt, table, addr, level), .table = table, .level = level };
	return true;
}

bool pte_find(struct mm_pgtables *pt, unsigned long addr, unsigned int level, struct pt_slot *out)
{
	pf_assert(pf_rwsem_write_held(&pt->mm->mmap_lock));
	pf_assert(level < pt->geo->levels);
	pt_dispatch(pt->geo->format, find_body, pt, addr, level, out);
}

void pte_unlock(struct pt_slot *slot)
{
	pf_assert(page_has(slot->table, PG_TABLE) && pf_spin_is_locked(&slot->table->ptl));
	pf_spin_unlock(&slot->table->ptl);
}

static void count_change(struct mm_pgtables *pt, struct page *table, pte_t old, pte_t pte)
{
	pf_assert(pf_spin_is_locked(&table->ptl));
	if (pte_none(old) && !pte_none(pte))
		atomic_fetch_add_explicit(&table->used, 1, memory_order_relaxed);
	else if (!pte_none(old) && pte_none(pte))
		atomic_fetch_sub_explicit(&table->used, 1, memory_order_relaxed);
	if (SAMARA_DEBUG)
		__atomic_add_fetch(&pt->changes, 1, __ATOMIC_RELAXED);
}

void set_pte(struct pt_slot *slot, pte_t pte)
{
	count_change(slot->pt, slot->table, pte_load(slot->ptep), pte);
	pte_store(slot->ptep, pte);
}

pte_t pte_replace(struct pt_slot *slot, pte_t pte)
{
	pte_t old = pte_xchg(slot->ptep, pte);

	count_change(slot->pt, slot->table, old, pte);
	return old;
}

PTE_FN pte_t peek_body(enum pt_format f, struct mm_pgtables *pt, unsigned long addr, unsigned int *level)
{
	pfn_t table = pt->root;
	unsigned int l = pt->geo->levels - 1;
	pte_t pte;

	for (;;) {
		pte = pte_load(pt_table(pt->pool, table) + PT_INDEX(addr, l));
		if (l == 0 || !pte_is_table(f, pte))
			break;
		table = pte_pfn(f, pte);
		l--;
	}
	*level = l;
	return pte;
}

pte_t pt_peek(struct mm_pgtables *pt, unsigned long addr, unsigned int *level)
{
	pf_assert(pf_rcu_read_lock_held() || pf_rwsem_held(&pt->mm->mmap_lock));
	pt_dispatch(pt->geo->format, peek_body, pt, addr, level);
}

/* Ranges ------------------------------------------------------------------ */

void pt_cursor_init(struct pt_cursor *cursor, struct mm_pgtables *pt)
{
	unsigned int top = pt->geo->levels - 1;

	cursor->pt = pt;
	cursor->done = true;
	cursor->at = top;
	cursor->path[top] = pfn_to_page(pt->pool, pt->root);
	cursor->lowest = 0;
	cursor->tables = cursor->slots = 0;
}

void pt_cursor_set(struct pt_cursor *cursor, unsigned long start, unsigned long end)
{
	/* Beyond what the root covers, an index would begin anew. */
	const unsigned long reach = PT_SPAN(cursor->pt->geo->levels);

	pf_assert(start < end || !end);
	cursor->addr = start;
	cursor->end = end - 1 < reach - 1 ? end : reach;
	cursor->done = start >= reach;
	if (!cursor->tables)
		cursor->tables = 1;	/* the root */
}

/* @next: first address that has not been looked at; 0 past the top. */
PTE_FN void advance(struct pt_cursor *cursor, unsigned long next)
{
	cursor->addr = next;
	cursor->done = !next || next - 1 >= cursor->end - 1;
}

/* The lowest table of the path that covers where the cursor stands. */
PTE_FN unsigned int climb(struct pt_cursor *cursor)
{
	unsigned int top = cursor->pt->geo->levels - 1, l = cursor->at;

	while (l < top && cursor->path[l]->start != (cursor->addr & ~(PT_SPAN(l + 1) - 1)))
		l++;
	cursor->at = l;
	return l;
}

/* The range in one lowest table, whose parent's entry is @ptep. */
PTE_FN void lowest_range(struct pt_cursor *cursor, pfn_t pfn, unsigned long next, pte_t *ptep, struct pt_range *out)
{
	unsigned long last = next - 1 < cursor->end - 1 ? next - 1 : cursor->end - 1;

	if (cursor->lowest != pfn) {
		cursor->lowest = pfn;
		cursor->tables++;
	}
	*out = (struct pt_range){ .start = cursor->addr, .end = last + 1, .level = 0, .parent = ptep,
				   .upper = cursor->path[1] };
}

PTE_FN bool cursor_body(enum pt_format f, struct pt_cursor *cursor, struct pt_range *out)
{
	struct mm_pgtables *pt = cursor->pt;
	unsigned long next;
	unsigned int l;
	pte_t *ptep, pte;

	while (!cursor->done) {
		l = climb(cursor);
		ptep = entry_of(pt, cursor->path[l], cursor->addr, l);
		pte = pte_load(ptep);
		if (l > 1 && pte_is_table(f, pte)) {
			cursor->slots++;
			cursor->path[l - 1] = pfn_to_page(pt->pool, pte_pfn(f, pte));
			cursor->at = l - 1;
			cursor->tables++;
			continue;
		}
		next = (cursor->addr | (PT_SPAN(l) - 1)) + 1;
		cursor->slots++;
		if (pte_none(pte)) {
			advance(cursor, next);
			continue;
		}
		pf_assert(l == 1);
		if (pte_is_table(f, pte))
			lowest_range(cursor, pte_pfn(f, pte), next, ptep, out);
		else
			*out = (struct pt_range){ .start = cursor->addr & ~(PMD_SIZE - 1), .end = next, .level = 1,
						  .ptep = ptep, .table = cursor->path[1] };
		advance(cursor, next);
		return true;
	}
	return false;
}

bool pt_cursor_next(struct pt_cursor *cursor, struct pt_range *out)
{
	pt_dispatch(cursor->pt->geo->format, cursor_body, cursor, out);
}

PTE_FN bool range_lock_body(enum pt_format f, struct mm_pgtables *pt, struct pt_range *range)
{
	struct page *table;
	pte_t pte;

	pf_rcu_read_lock();
	pte = pte_load(range->parent);
	if (!pte_is_table(f, pte))
		goto gone;
	table = pfn_to_page(pt->pool, pte_pfn(f, pte));
	pf_spin_lock(&table->ptl);
	if (!leads_to(f, pt, range->parent, table)) {
		pf_spin_unlock(&table->ptl);
		goto gone;
	}
	pf_rcu_read_unlock();
	range->table = table;
	range->ptep = entry_of(pt, table, range->start, 0);
	return true;

gone:
	pf_rcu_read_unlock();
	return false;
}

bool pt_range_lock(struct mm_pgtables *pt, struct pt_range *range)
{
	if (range->level == 0)
		pt_dispatch(pt->geo->format, range_lock_body, pt, range);
	pf_spin_lock(&range->table->ptl);
	return true;
}

void pt_range_unlock(struct pt_range *range)
{
	pf_spin_unlock(&range->table->ptl);
}
