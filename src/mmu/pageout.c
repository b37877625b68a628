/* SPDX-License-Identifier: MIT */
/*
 * Page-out: from a frame, through the reverse maps, to everything that names it.
 *
 *   private page    1. every entry loses write access, is flushed, and gives its "dirty" to the page
 *                   2. the page is written to a slot
 *                   3. each entry that is still the same comes to name the slot
 *   shared memory   1. every entry goes   2. the page is written   3. the file's index comes to name the slot
 *   clean page      the entries go; it can be had again, or nobody wants it (MADV_FREE)
 *
 * Who writes to the page between steps takes write access back (it is his alone) or copies it, and his
 * entry is
 * left as it is: it is not the one that was saved. An entry that the reverse maps do not lead to, of a
 * child that is still being made, keeps the page where it is: what is found must be all that map it.
 */
#include "mmu/pageout.h"
#include "mmu/fault.h"

struct pageout {
	struct mm_context *ctx;
	struct frame_pool *pool;
	struct page *page;
	unsigned long slot;	/* 0: entries go without one */
	int found;		/* entries */
	bool locked;		/* one is in memory that is locked */
	bool droppable;		/* one is in memory that may be lost */
	bool young;		/* one was touched since the last look */
	bool keep_young;
	bool try;		/* locks of reverse maps are not waited for */
	bool busy;		/* so that one was not got */
	void (*visit)(struct pageout *out, struct vm_area_struct *vma, unsigned long addr,
		      struct pt_slot *slot, pte_t pte);
};

/* Of a VMA that may map the page: its entry, if it does. */
static bool visit_vma(void *arg, struct vm_area_struct *vma)
{
	struct pageout *out = arg;
	struct mm_pgtables *pt = vma->vm_mm->pt;
	pgoff_t offset = out->page->index - vma->vm_pgoff;
	unsigned long addr = vma->vm_start + (offset << PAGE_SHIFT);
	struct pt_slot slot;
	pte_t pte;

	mmu_notifier_invalidate_start(vma->vm_mm, addr, addr + PAGE_SIZE);
	if (pte_find_lock(pt, addr, &slot)) {
		pte = pte_load(slot.ptep);
		if (slot.level == 0 && pte_has_page(pt->geo->format, pte) &&
		    !pte_special(pt->geo->format, pte) &&
		    pfn_to_page(pt->pool, pte_pfn(pt->geo->format, pte)) == out->page)
			out->visit(out, vma, addr, &slot, pte);
		pte_unlock(&slot);
	}
	mmu_notifier_invalidate_end(vma->vm_mm, addr, addr + PAGE_SIZE);
	return true;
}

/*
 * While an entry maps it, the anon_vma is linked to that entry's VMA, which leaves under the lock that is
 * held here and only after its entries have gone. False: the lock is somebody else's, and nothing was
 * visited.
 */
static bool walk_entries(struct pageout *out)
{
	struct page *page = out->page;
	struct rmap_walk walk = { .first = page->index, .last = page->index, .visit = visit_vma, .arg = out };

	pf_assert(page_has(page, PG_LOCKED));
	out->found = 0;
	if (!page_has(page, PG_ANON)) {
		out->busy = !(out->try ? i_mmap_try_walk : i_mmap_walk)(page->mapping, &walk);
		return !out->busy;
	}
	if (!out->try)
		pf_mutex_lock(&out->ctx->anon_lock);
	else if (!pf_mutex_trylock(&out->ctx->anon_lock)) {
		out->busy = true;
		return false;
	}
	if (page_mapcount(page) > 0)
		anon_vma_walk_locked(page->mapping, &walk);
	pf_mutex_unlock(&out->ctx->anon_lock);
	return true;
}

/* What the entry knows of the page goes to the page. */
static void note_entry(struct pageout *out, enum pt_format format, pte_t pte)
{
	if (pte_dirty(format, pte))
		page_set(out->page, PG_DIRTY);
	if (pte_young(format, pte))
		page_set(out->page, PG_REFERENCED);
}

/* 1. No write without a fault any more. */
static void visit_protect(struct pageout *out, struct vm_area_struct *vma, unsigned long addr,
			  struct pt_slot *slot, pte_t pte)
{
	enum pt_format format = slot->pt->geo->format;
	pte_t clean;

	out->found++;
	out->locked |= (vma->vm_flags & VM_LOCKED) != 0;
	out->droppable |= (vma->vm_flags & VM_DROPPABLE) != 0;
	if (out->locked)
		return;
	clean = pte_mkclean(format, pte_wrprotect(format, pte));
	if (pte_dirty(format, pte))
		clean = pte_mksoft_dirty(format, clean);
	pte = pte_replace(slot, clean);
	note_entry(out, format, pte);
	flush_tlb_range(slot->pt, addr, addr + PAGE_SIZE);
}

/* What stays where it is was touched; next time it has to have been touched again. */
static void visit_age(struct pageout *out, struct vm_area_struct *vma, unsigned long addr,
		      struct pt_slot *slot, pte_t pte)
{
	enum pt_format format = slot->pt->geo->format;

	(void)addr;
	out->found++;
	out->locked |= (vma->vm_flags & VM_LOCKED) != 0;
	if (!pte_young(format, pte))
		return;
	out->young = true;
	pte_cmpxchg(slot->ptep, &pte, pte_mkold(format, pte));
}

/* 3. The entry names the slot, or nothing. Flushed before the frame can be anything else. */
static void visit_unmap(struct pageout *out, struct vm_area_struct *vma, unsigned long addr,
			struct pt_slot *slot, pte_t pte)
{
	enum pt_format format = slot->pt->geo->format;
	bool anon = page_has(out->page, PG_ANON);
	pte_t away = { 0 };

	if (vma->vm_flags & VM_LOCKED)
		return;
	/* A private page that was written to since it was saved. */
	if (anon && (pte_write(format, pte) || pte_dirty(format, pte)))
		return;
	if (out->slot && anon) {
		away = pte_mk_swap(out->slot);
		if (pte_soft_dirty(format, pte))
			away = pte_mksoft_dirty(format, away);
		swap_slot_dup(swap_area_of(out->ctx), out->slot);
		add_mm_counter(slot->pt, MM_SWAPENTS, 1);
	}
	update_hiwater_rss(slot->pt);
	pte = pte_replace(slot, away);
	flush_tlb_range(slot->pt, addr, addr + PAGE_SIZE);
	if (!anon)
		note_entry(out, format, pte);
	add_mm_counter(slot->pt, page_counter(out->page), -1);
	page_remove_rmap(out->page);
	put_page(out->pool, out->page);	/* the entry's; the caller has one more */
	out->found++;
}

/* To be written back: who writes to it from now on takes a fault, which notes that it is newer again. */
static void visit_clean(struct pageout *out, struct vm_area_struct *vma, unsigned long addr,
			struct pt_slot *slot, pte_t pte)
{
	enum pt_format format = slot->pt->geo->format;
	pte_t clean;

	(void)vma;
	out->found++;
	if (!pte_write(format, pte) && !pte_dirty(format, pte))
		return;
	clean = pte_mkclean(format, pte_wrprotect(format, pte));
	if (pte_dirty(format, pte))
		clean = pte_mksoft_dirty(format, clean);
	pte = pte_replace(slot, clean);
	flush_tlb_range(slot->pt, addr, addr + PAGE_SIZE);
	if (pte_dirty(format, pte))
		page_set(out->page, PG_DIRTY);
}

/* Who else has it, beside @others that are known of? */
static bool is_held(const struct page *page, int others)
{
	return page_refcount(page) != page_mapcount(page) + others || atomic_load(&page->pincount) > 0;
}

static bool was_touched(struct pageout *out)
{
	if (!out->keep_young)
		return false;
	out->visit = visit_age;
	return !walk_entries(out) || out->young || out->locked;
}

/* Save the page's bytes. 0: no slot, or they cannot be written. */
static unsigned long save(struct pageout *out)
{
	struct swap_area *area;
	unsigned long slot;

	/* With a slot of it, the area stays. */
	pf_rcu_read_lock();
	area = swap_area_of(out->ctx);
	slot = area ? swap_slot_alloc(area) : 0;
	pf_rcu_read_unlock();
	if (slot && swap_slot_write(area, slot, page_address(out->pool, out->page))) {
		swap_slot_free(area, slot);
		return 0;
	}
	return slot;
}

static bool pageout_anon(struct pageout *out)
{
	struct page *page = out->page;

	if (is_held(page, 1) || was_touched(out))
		return false;
	out->visit = visit_protect;
	if (!walk_entries(out))
		return false;
	if (out->locked || out->found != page_mapcount(page) || is_held(page, 1))
		return false;
	/* What is droppable is never saved. */
	if (page_has(page, PG_DIRTY) && !out->droppable) {
		out->slot = save(out);
		if (!out->slot)
			return false;
	}
	out->visit = visit_unmap;
	walk_entries(out);
	if (out->slot)
		swap_slot_free(swap_area_of(out->ctx), out->slot);
	/* An entry that was left goes on without the slot: the page is newer than nothing. */
	if (page_mapcount(page) > 0 && out->slot)
		page_set(page, PG_DIRTY);
	return page_mapcount(page) == 0;
}

/* A page of a file leaves its index; nobody maps it, and the cache and the caller alone hold it. */
static bool leave_cache(struct pageout *out, struct address_space *mapping, void *entry)
{
	struct page *page = out->page;

	if (!i_pages_replace(mapping, page->index, page, entry))
		return false;
	page->mapping = NULL;
	put_page(out->pool, page);
	return true;
}

/* What is newer than its file goes back to it. No entry lets anybody write to the page without a fault. */
static bool write_back(struct pageout *out, struct address_space *mapping)
{
	struct page *page = out->page;

	if (!mapping->write_page)
		return false;
	/* Before the bytes are read: who takes such a fault meanwhile sets it again. */
	page_clear(page, PG_DIRTY);
	if (!mapping->write_page(mapping->read_page_arg, page->index, page_address(out->pool, page)))
		return true;
	page_set(page, PG_DIRTY);
	return false;
}

bool writeback_page(struct address_space *mapping, struct page *page)
{
	struct pageout out = { .ctx = mapping->ctx, .pool = mapping->ctx->frames, .page = page,
			       .visit = visit_clean };

	pf_assert(page_has(page, PG_LOCKED) && page->mapping == mapping);
	if (mapping->shmem || !mapping->write_page)
		return true;
	if (page_mapcount(page) > 0)
		walk_entries(&out);
	return !page_has(page, PG_DIRTY) || write_back(&out, mapping);
}

static bool pageout_file(struct pageout *out)
{
	struct address_space *mapping = out->page->mapping;
	struct page *page = out->page;

	if (!mapping || is_held(page, 2) || was_touched(out))
		return false;
	out->visit = visit_unmap;
	walk_entries(out);
	if (page_mapcount(page) > 0 || is_held(page, 2))
		return false;
	/* Who finds it from now on waits for its lock, and then looks whether it is still in its place. */
	if (!mapping->shmem)
		return (!page_has(page, PG_DIRTY) || write_back(out, mapping)) &&
		       leave_cache(out, mapping, NULL);
	out->slot = save(out);
	if (!out->slot)
		return false;
	if (leave_cache(out, mapping, xa_mk_value(out->slot)))
		return true;
	swap_slot_free(swap_area_of(out->ctx), out->slot);
	return false;
}

static bool pageout_locked(struct pageout *out)
{
	struct page *page = out->page;

	pf_assert(page_has(page, PG_LOCKED) && page_refcount(page) > 0);
	if (page_has(page, PG_HEAD | PG_TAIL | PG_TABLE | PG_RESERVED | PG_HUGETLB))
		return false;
	/* One that a fault has just taken is neither yet: what it is mapped by is being written. */
	if (page_has(page, PG_ANON))
		return pageout_anon(out);
	return page_has(page, PG_UPTODATE) && pageout_file(out);
}

bool pageout_page(struct mm_context *ctx, struct page *page, bool keep_young)
{
	struct pageout out = { .ctx = ctx, .pool = ctx->frames, .page = page, .keep_young = keep_young };

	return pageout_locked(&out);
}

/* A walk over all frames. */
struct reclaim {
	struct mm_context *ctx;
	bool try;	/* as of a page-out */
	bool busy;	/* a lock was somebody else's: another walk may find more */
};

/* One frame that somebody else may be using for anything. */
static bool reclaim_frame(struct reclaim *reclaim, pfn_t pfn, bool keep_young)
{
	struct mm_context *ctx = reclaim->ctx;
	struct page *page = pfn_to_page(ctx->frames, pfn);
	struct pageout out = { .ctx = ctx, .pool = ctx->frames, .page = page, .keep_young = keep_young,
			       .try = reclaim->try };
	bool freed = false;

	if (page_has(page, PG_FREE | PG_TABLE | PG_RESERVED | PG_HEAD | PG_TAIL) || !try_get_page(page))
		return false;
	/* It may have become another's before it was held. */
	if (!page_has(page, PG_TABLE)) {
		out.busy = !trylock_page(page);
		if (!out.busy) {
			freed = pageout_locked(&out);
			unlock_page(page);
		}
		reclaim->busy |= out.busy;
	}
	put_page(ctx->frames, page);
	return freed;
}

static unsigned long reclaim_walk(struct reclaim *reclaim, unsigned long wanted)
{
	struct frame_pool *pool = reclaim->ctx->frames;
	unsigned long freed = 0, pfn;

	/* The hand goes round twice: what was touched lately is spared the first time. */
	for (unsigned long seen = 0; pool && seen < 2 * pool->nr_frames && freed < wanted; seen++) {
		pfn = __atomic_fetch_add(&pool->hand, 1, __ATOMIC_RELAXED) % pool->nr_frames;
		freed += reclaim_frame(reclaim, (pfn_t)pfn, seen < pool->nr_frames);
	}
	return freed;
}

unsigned long reclaim_frames(struct mm_context *ctx, unsigned long wanted)
{
	struct reclaim reclaim = { .ctx = ctx };

	return reclaim_walk(&reclaim, wanted);
}

unsigned long try_reclaim_frames(struct mm_context *ctx, unsigned long wanted, bool *busy)
{
	struct reclaim reclaim = { .ctx = ctx, .try = true };
	unsigned long freed = reclaim_walk(&reclaim, wanted);

	*busy = reclaim.busy;
	return freed;
}

void pageout_range(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	struct mm_pgtables *pt = vma->vm_mm->pt;
	struct page *page;
	struct pt_slot slot;
	pte_t pte;

	if (!pt)
		return;
	mmap_assert_locked(vma->vm_mm);
	for (unsigned long addr = start; addr < end; addr += PAGE_SIZE) {
		if (!pte_find_lock(pt, addr, &slot)) {
			addr |= PMD_SIZE - 1 - (PAGE_SIZE - 1);
			continue;
		}
		pte = pte_load(slot.ptep);
		page = NULL;
		if (slot.level == 0 && pte_has_page(pt->geo->format, pte) &&
		    !pte_special(pt->geo->format, pte))
			page = pfn_to_page(pt->pool, pte_pfn(pt->geo->format, pte));
		/* What others map too is theirs to give up. */
		if (page && page_mapcount(page) == 1)
			get_page(page);
		else
			page = NULL;
		pte_unlock(&slot);
		if (!page)
			continue;
		if (trylock_page(page)) {
			pageout_page(vma->vm_mm->ctx, page, false);
			unlock_page(page);
		}
		put_page(pt->pool, page);
	}
}
