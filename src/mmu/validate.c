/* SPDX-License-Identifier: MIT */
/*
 * Whether page tables, mappings, frames and counters agree. Looks at everything and changes nothing.
 *
 * An address space is looked at under its mmap_lock, table by table under their locks; pages may come and go
 * beside it, so sums that do not fit are counted again before they are told. Frames are looked at with nobody beside.
 */
#include "mmu/mmu.h"

#define SUM_TRIES 2000

struct check {
	struct mm_struct *mm;
	struct mm_pgtables *pt;
	struct vma_iterator vmi;
	struct vm_area_struct *vma;	/* the first that ends above what is looked at */
	unsigned long tables;
	long rss[NR_MM_COUNTERS];
	uint32_t *entries;		/* by frame, or NULL */
	int broken;
};

/* Each is told, not the first alone. */
#define report(c, fmt, ...)                                                     \
	do {                                                                    \
		atomic_bool told = false;                                       \
									\
		(c)->broken++;                                                  \
		pf_warn((c)->pt->pool->pf, &told, fmt, __VA_ARGS__);            \
	} while (0)

static struct vm_area_struct *vma_over(struct check *c, unsigned long addr)
{
	while (c->vma && c->vma->vm_end <= addr)
		c->vma = vma_next(&c->vmi);
	return c->vma && c->vma->vm_start <= addr ? c->vma : NULL;
}

/* What the entry allows, the mapping must allow. */
static void check_permission(struct check *c, unsigned long addr, pte_t pte, const struct vm_area_struct *vma)
{
	enum pt_format f = c->pt->geo->format;

	if (pte_protnone(f, pte)) {
		if (vma_is_accessible(vma))
			report(c, "%lx: the entry allows nothing where the mapping allows %lx", addr, vma->vm_flags & 7);
		return;
	}
	if (!vma_is_accessible(vma))
		report(c, "%lx: a page is accessible in a mapping that is not", addr);
	if (pte_write(f, pte) && !(vma->vm_flags & VM_WRITE))
		report(c, "%lx: a page is writable in a mapping that is not", addr);
	if (pte_exec(f, pte) && !(vma->vm_flags & VM_EXEC))
		report(c, "%lx: a page is executable in a mapping that is not", addr);
}

static void check_special(struct check *c, unsigned long addr, pte_t pte, const struct vm_area_struct *vma)
{
	enum pt_format f = c->pt->geo->format;

	if (pte_pfn(f, pte) == c->pt->pool->zero_pfn) {
		if (pte_write(f, pte))
			report(c, "%lx: the zero page is writable", addr);
		return;
	}
	if (!(vma->vm_flags & (VM_PFNMAP | VM_MIXEDMAP | VM_IO)))
		report(c, "%lx: frame %x is not counted in a mapping that is no driver's", addr, pte_pfn(f, pte));
}

/*
 * Each entry is a reference too. Others map and unmap the page while the two counts are read: what is wrong for good is
 * wrong each time.
 */
static bool counts_fit(const struct page *page)
{
	for (int i = 0; i < 8; i++) {
		int mapped = page_mapcount(page);

		if (mapped >= 1 && page_refcount(page) >= mapped)
			return true;
	}
	return false;
}

static void check_page(struct check *c, unsigned long addr, pte_t pte, unsigned int level,
		       const struct vm_area_struct *vma)
{
	struct frame_pool *pool = c->pt->pool;
	pfn_t pfn = pte_pfn(c->pt->geo->format, pte);
	struct page *page;

	if (pfn >= pool->nr_frames) {
		report(c, "%lx: frame %x is beyond the pool", addr, pfn);
		return;
	}
	page = pfn_to_page(pool, pfn);
	if (page_has(page, PG_FREE | PG_TABLE | PG_TAIL | PG_RESERVED) || (level && !page_has(page, PG_HEAD)))
		report(c, "%lx: maps frame %x, which is none to be mapped (flags %x)", addr, pfn,
		       atomic_load(&page->flags));
	if (!counts_fit(page))
		report(c, "%lx: maps frame %x, which counts %d entries and %d references", addr, pfn,
		       page_mapcount(page), page_refcount(page));
	/* Else nobody comes here from the page. */
	if (page->mapping && !level && page->index != vma_pgoff_at(vma, addr))
		report(c, "%lx: maps frame %x of offset %lx, where the mapping has %lx", addr, pfn, page->index,
		       vma_pgoff_at(vma, addr));
	c->rss[page_counter(page)] += level ? (long)PT_ENTRIES : 1;
	if (c->entries)
		c->entries[pfn]++;
}

static void check_leaf(struct check *c, unsigned long addr, pte_t pte, unsigned int level)
{
	const struct vm_area_struct *vma = vma_over(c, addr);
	enum pt_format f = c->pt->geo->format;

	if (!vma) {
		report(c, "%lx: entry %lx outside of every mapping", addr, (unsigned long)pte.v);
		return;
	}
	if (level && !(vma->vm_flags & VM_HUGETLB))
		report(c, "%lx: an entry of 2 MiB in a mapping of small pages", addr);
	if (pte_has_page(f, pte)) {
		check_permission(c, addr, pte, vma);
		if (pte_special(f, pte))
			check_special(c, addr, pte, vma);
		else
			check_page(c, addr, pte, level, vma);
	} else if (pte_is_swap(f, pte)) {
		c->rss[MM_SWAPENTS]++;
		if (!c->mm->ctx->swap || !swap_slot_count(c->mm->ctx->swap, pte_swap_slot(pte)))
			report(c, "%lx: swap slot %lx is free", addr, pte_swap_slot(pte));
	} else if (!pte_is_guard(f, pte)) {
		report(c, "%lx: entry %lx is of no kind", addr, (unsigned long)pte.v);
	}
}

static void check_table(struct check *c, struct page *table, unsigned int level, unsigned long start);

/* A large leaf: a file that ends takes it and its page away beside us, but for the lock of its table. */
static void check_large(struct check *c, struct page *table, pte_t *ptep, unsigned long addr)
{
	pte_t pte;

	pf_spin_lock(&table->ptl);
	pte = pte_load(ptep);
	if (!pte_none(pte) && !pte_is_table(c->pt->geo->format, pte))
		check_leaf(c, addr, pte, 1);
	pf_spin_unlock(&table->ptl);
}

/* An entry of a table above the lowest. */
static void check_upper(struct check *c, unsigned long addr, pte_t pte, unsigned int level)
{
	struct frame_pool *pool = c->pt->pool;
	pfn_t pfn = pte_pfn(c->pt->geo->format, pte);
	struct page *child;

	if (!pte_is_table(c->pt->geo->format, pte)) {
		report(c, "%lx: entry %lx at level %u is no table", addr, (unsigned long)pte.v, level);
		return;
	}
	if (pfn >= pool->nr_frames) {
		report(c, "%lx: table %x is beyond the pool", addr, pfn);
		return;
	}
	child = pfn_to_page(pool, pfn);
	/* Reached by another way too, it would have been made for that. */
	if (!page_has(child, PG_TABLE) || child->level != level - 1 || child->start != addr) {
		report(c, "%lx: frame %x is not the table that belongs there", addr, pfn);
		return;
	}
	c->tables++;
	check_table(c, child, level - 1, addr);
}

static void check_table(struct check *c, struct page *table, unsigned int level, unsigned long start)
{
	pte_t *ptep = pt_table(c->pt->pool, page_to_pfn(c->pt->pool, table)), pte;
	uint32_t used = 0, counted;

	if (!level)
		pf_spin_lock(&table->ptl);
	for (unsigned long i = 0; i < PT_ENTRIES; i++) {
		pte = pte_load(ptep + i);
		if (pte_none(pte))
			continue;
		used++;
		if (level == 1 && !pte_is_table(c->pt->geo->format, pte))
			check_large(c, table, ptep + i, start + i * PT_SPAN(level));
		else if (level)
			check_upper(c, start + i * PT_SPAN(level), pte, level);
		else
			check_leaf(c, start + i * PAGE_SIZE, pte, 0);
	}
	counted = atomic_load(&table->used);
	if (!level)
		pf_spin_unlock(&table->ptl);
	if (used != counted && !level)
		report(c, "%lx: the table has %u entries and counts %u", start, used, counted);
}

static void check_all(struct check *c, struct mm_struct *mm, uint32_t *entries)
{
	*c = (struct check){ .mm = mm, .pt = mm->pt, .entries = entries };
	vma_iter_init(&c->vmi, mm, 0);
	c->vma = vma_next(&c->vmi);
	check_table(c, pfn_to_page(c->pt->pool, c->pt->root), c->pt->geo->levels - 1, 0);
}

/* Whether what is counted for the whole is what was found. */
static bool sums_fit(const struct check *c)
{
	const struct mm_pgtables *pt = c->pt;

	for (int i = 0; i < NR_MM_COUNTERS; i++)
		if (c->rss[i] != __atomic_load_n(&pt->rss[i], __ATOMIC_RELAXED))
			return false;
	return c->tables * PAGE_SIZE == __atomic_load_n(&pt->table_bytes, __ATOMIC_RELAXED);
}

static void report_sums(struct check *c)
{
	const struct mm_pgtables *pt = c->pt;

	if (c->tables * PAGE_SIZE != pt->table_bytes)
		report(c, "page tables of %lu bytes found, %lu counted", c->tables * PAGE_SIZE, pt->table_bytes);
	for (int i = 0; i < NR_MM_COUNTERS; i++)
		if (c->rss[i] != pt->rss[i])
			report(c, "%ld resident pages of kind %d found, %ld counted", c->rss[i], i, pt->rss[i]);
}

int mmu_validate(struct mm_struct *mm)
{
	unsigned int rounds = 0;
	struct check c;

	if (!mm->pt)
		return 0;
	pf_assert(pf_rwsem_held(&mm->mmap_lock));
	for (int i = 0; i < SUM_TRIES; i++) {
		check_all(&c, mm, NULL);
		if (c.broken || sums_fit(&c))
			return c.broken;
		pf_relax(&rounds);
	}
	/* One that has been interrupted for so long has not counted yet what it took away. */
	if (!__atomic_load_n(&mm->pt->gathers, __ATOMIC_ACQUIRE))
		report_sums(&c);
	return c.broken;
}

/* Frames ------------------------------------------------------------------ */

/* References that a page has beside its entries, as far as they can be found. */
static int32_t other_holders(struct page *page)
{
	uint32_t flags = atomic_load(&page->flags);
	struct address_space *mapping = page->mapping;
	int32_t holders = atomic_load(&page->pincount);
	bool cached = false;

	if (flags & PG_SWAPCACHE)
		holders++;
	if (!(flags & PG_ANON) && mapping) {
		pf_rcu_read_lock();
		cached = i_pages_load(mapping, page->index) == page;
		pf_rcu_read_unlock();
	}
	return holders + cached;
}

static void check_frame(struct check *c, pfn_t pfn, unsigned long *used, unsigned long *tables)
{
	struct page *page = pfn_to_page(c->pt->pool, pfn);
	uint32_t flags = atomic_load(&page->flags);
	int32_t refs = page_refcount(page), holders;

	if (flags & PG_TABLE) {
		++*tables;
		++*used;
		if (c->entries[pfn])
			report(c, "table %x is mapped", pfn);
		return;
	}
	if (flags & (PG_RESERVED | PG_TAIL)) {
		*used += (flags & PG_TAIL) != 0;
		return;
	}
	if (!refs || (flags & PG_FREE)) {
		if (c->entries[pfn] || refs)
			report(c, "frame %x is free, has %u entries and %d references", pfn, c->entries[pfn], refs);
		return;
	}
	++*used;
	if (page_mapcount(page) != (int32_t)c->entries[pfn])
		report(c, "frame %x counts %d entries, %u were found", pfn, page_mapcount(page), c->entries[pfn]);
	holders = other_holders(page);
	if (refs != (int32_t)c->entries[pfn] + holders)
		report(c, "frame %x counts %d references, %u entries and %d other holders were found", pfn, refs,
		       c->entries[pfn], holders);
}

int mmu_validate_frames(struct mm_context *ctx, struct mm_struct **mms, unsigned int nr)
{
	struct frame_pool *pool = ctx->frames;
	unsigned long used = 0, tables = 0, found = 0;
	struct mm_pgtables none = { .pool = pool };
	struct check c, sum = { .pt = &none };

	if (!pool)
		return 0;
	pf_rcu_barrier();
	sum.entries = pf_sparse_alloc(pool->nr_frames * sizeof(*sum.entries));
	if (!sum.entries)
		return -ENOMEM;
	for (unsigned int i = 0; i < nr; i++) {
		mmap_read_lock(mms[i]);
		check_all(&c, mms[i], sum.entries);
		if (!sums_fit(&c))
			report_sums(&c);
		mmap_read_unlock(mms[i]);
		sum.broken += c.broken;
		found += c.tables + 1;	/* and the root */
	}
	for (pfn_t pfn = 0; pfn < pool->nr_frames; pfn++)
		check_frame(&sum, pfn, &used, &tables);
	if (tables != found)
		report(&sum, "%lu page tables found, %lu frames are some", found, tables);
	if (used != frame_pool_used(pool))
		report(&sum, "%lu frames in use found, %lu counted", used, frame_pool_used(pool));
	pf_sparse_free(sum.entries, pool->nr_frames * sizeof(*sum.entries));
	return sum.broken;
}
