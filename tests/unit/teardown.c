/* SPDX-License-Identifier: MIT */
/* B, C. Taking pages and tables away as a description says: its limits, the order of the steps, the work. */
#define _GNU_SOURCE
#include "support/pages.h"

#include <stdlib.h>
#include <sys/mman.h>

#define MiB (1UL << 20)
#define GiB (1UL << 30)
#define PMD PMD_SIZE

static int setup(void **state)
{
	struct pages *p = calloc(1, sizeof(*p));

	pages_begin(p, MM_X86_64);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pages *p = *state;

	pages_end(p);
	free(p);
	return 0;
}

/* Run @test with an address space of each kind of hardware. */
static void on_each(void (*test)(struct pages *p))
{
	struct pages p;

	for (int i = 0; i < 5; i++) {
		pages_begin(&p, pages_geometries[i]);
		test(&p);
		pages_end(&p);
	}
}

/* The VMA at @addr goes, with what lies between its neighbours. */
static void unmap_one(struct pages *p, unsigned long addr)
{
	struct unmap_between between = { .mm_wr_locked = true };
	struct vma_iterator vmi;
	struct unmap_desc unmap;

	mmap_write_lock(p->mm);
	between.first = between.last = vma_lookup(p->mm, addr);
	find_vma_prev(p->mm, addr, &between.prev);
	between.next = find_vma(p->mm, between.last->vm_end);
	vma_iter_init(&vmi, p->mm, addr);
	unmap_region_init(&unmap, &vmi, &between);
	unmap_region(&unmap);
	mmap_write_unlock(p->mm);
	assert_int_equal(mm_munmap(p->mm, addr, between.first->vm_end - addr), 0);
}

static unsigned long rss(struct pages *p)
{
	return get_mm_rss(p->mm->pt);
}

static void validate(struct pages *p)
{
	assert_int_equal(mm_validate(p->mm), 0);
	assert_int_equal(mmu_validate_frames(p->ctx, &p->mm, 1), 0);
}

/* C2. Each initialiser sets every field, whatever was there before. */
static void initialisers(void **state)
{
	struct pages *p = *state;
	struct vm_area_struct *a = pages_map(p, PMD, 1), *b = pages_map(p, 2 * PMD, 4), *c = pages_map(p, 3 * PMD, 1);
	struct vma_set set = { .first = b, .last = b, .count = 1 };
	struct vma_iterator vmi;
	struct unmap_desc unmap;

	mmap_write_lock(p->mm);
	memset(&unmap, 0xff, sizeof(unmap));
	vma_iter_init(&vmi, p->mm, 0);
	unmap_region_init(&unmap, &vmi, &(struct unmap_between){ b, b, a, c, true });
	assert_memory_equal(&unmap, (&(struct unmap_desc){ .mas = &vmi, .first = b, .pg_start = a->vm_end,
			    .pg_end = c->vm_start, .vma_start = b->vm_start, .vma_end = b->vm_end,
			    .tree_end = b->vm_end, .tree_reset = b->vm_end, .mm_wr_locked = true }), sizeof(unmap));

	/* No neighbours: from the lowest address to the top. A side set: by number. */
	memset(&unmap, 0xff, sizeof(unmap));
	vma_iter_init_set(&vmi, &set);
	unmap_region_init(&unmap, &vmi, &(struct unmap_between){ .first = b, .last = b });
	assert_memory_equal(&unmap, (&(struct unmap_desc){ .mas = &vmi, .first = b, .pg_start = 0, .pg_end = 0,
			    .vma_start = b->vm_start, .vma_end = b->vm_end, .tree_end = 1, .tree_reset = 1 }),
			    sizeof(unmap));

	memset(&unmap, 0xff, sizeof(unmap));
	vma_iter_init(&vmi, p->mm, 0);
	unmap_all_init(&unmap, &vmi, a);
	assert_memory_equal(&unmap, (&(struct unmap_desc){ .mas = &vmi, .first = a, .vma_end = ULONG_MAX,
			    .tree_reset = a->vm_end, .everything = true }), sizeof(unmap));

	/* C5. Nothing to do is a flag, not a limit. */
	memset(&unmap, 0xff, sizeof(unmap));
	unmap_all_init(&unmap, &vmi, NULL);
	assert_true(unmap.nothing);
	unmap_region(&unmap);
	mmap_write_unlock(p->mm);
	pages_clear(p);
}

/* C2, C5. The second pass goes from the lowest address of a user on, and no limit reaches over the ceiling. */
static void second_pass(void **state)
{
	struct pages *p = *state;
	struct pt_geometry geo = *p->mm->pt->geo;
	const struct pt_geometry *real = p->mm->pt->geo;
	struct vm_area_struct *a = pages_map(p, 4 * PMD, 1);
	struct vma_iterator vmi;
	struct unmap_desc unmap;

	geo.first_user_addr = PMD;
	geo.ceiling = GiB;
	p->mm->pt->geo = &geo;
	mmap_write_lock(p->mm);
	vma_iter_init(&vmi, p->mm, 0);
	unmap_all_init(&unmap, &vmi, a);
	assert_int_equal(unmap.tree_end, 0);
	unmap_pgtable_init(&unmap, &vmi);
	assert_memory_equal(&unmap, (&(struct unmap_desc){ .mas = &vmi, .first = a, .pg_start = PMD, .pg_end = GiB,
			    .vma_start = PMD, .vma_end = GiB, .tree_end = GiB, .tree_reset = a->vm_end,
			    .mm_wr_locked = true, .everything = true }), sizeof(unmap));
	/* A limit below the ceiling stays. */
	unmap.tree_end = 8 * PMD;
	unmap_pgtable_init(&unmap, &vmi);
	assert_int_equal(unmap.tree_end, 8 * PMD);
	mmap_write_unlock(p->mm);
	p->mm->pt->geo = real;
	pages_clear(p);
}

/* C3, C5. VMAs up to the end of the search, no further.
 *
 *   before   |p|   |p|   |p|
 *   search   ----------->
 *   after    |.|   |.|   |p|
 */
static void tree_end(struct pages *p)
{
	struct vm_area_struct *a = pages_map(p, PMD, 2);
	struct vm_area_struct *b = pages_map(p, GiB, 2), *c = pages_map(p, 4 * GiB, 2);
	struct vma_iterator vmi;
	struct unmap_desc unmap;
	struct mmu_gather tlb;

	pages_put(p, a, PMD);
	pages_put(p, b, GiB);
	pages_put(p, c, 4 * GiB);
	mmap_write_lock(p->mm);
	vma_iter_init(&vmi, p->mm, 0);
	unmap_all_init(&unmap, &vmi, a);
	unmap.tree_end = c->vm_start;
	tlb_gather_mmu(&tlb, p->mm, false);
	unmap_vmas(&tlb, &unmap);
	tlb_finish_mmu(&tlb);
	mmap_write_unlock(p->mm);
	assert_true(pte_none(pages_entry(p, PMD)));
	assert_true(pte_none(pages_entry(p, GiB)));
	assert_false(pte_none(pages_entry(p, 4 * GiB)));
	assert_int_equal(rss(p), 1);
	validate(p);
	pages_clear(p);
	assert_int_equal(pages_tables(p), 0);
}

static void search_ends_at_the_limit(void **state)
{
	on_each(tree_end);
}

struct listener {
	struct mm_notifier notifier;
	unsigned long starts, ends, releases, start, end, rss_at_end;
};

static void on_start(struct mm_notifier *n, struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct listener *l = (struct listener *)n;

	l->starts++;
	l->start = start;
	l->end = end;
}

static void on_end(struct mm_notifier *n, struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct listener *l = (struct listener *)n;

	l->ends++;
	l->rss_at_end = get_mm_rss(mm->pt);
	assert_int_equal(start, l->start);
	assert_int_equal(end, l->end);
}

static void on_release(struct mm_notifier *n, struct mm_struct *mm)
{
	((struct listener *)n)->releases++;
}

static const struct mm_notifier_ops listen = { on_start, on_end, on_release };

/* C3. One notifier range over all VMAs; what was told to be gone is gone when it ends. */
static void one_notifier_range(void **state)
{
	struct pages *p = *state;
	struct listener l = { .notifier.ops = &listen };
	struct vm_area_struct *vma;

	for (unsigned long i = 1; i <= 3; i++) {
		vma = pages_map(p, i * GiB, 8);
		pages_put(p, vma, i * GiB);
	}
	assert_int_equal(mm_notifier_register(p->mm, &l.notifier), 0);
	zap_page_range(vma, 3 * GiB, 3 * GiB + PAGE_SIZE, NULL);
	assert_int_equal(l.starts, 1);
	assert_int_equal(l.start, 3 * GiB);
	assert_int_equal(l.end, 3 * GiB + PAGE_SIZE);
	pages_unmap_all(p);
	assert_int_equal(l.starts, 2);
	assert_int_equal(l.ends, 2);
	assert_int_equal(l.start, 0);
	assert_int_equal(l.rss_at_end, 0);
	mmu_notifier_release(p->mm);
	assert_int_equal(l.releases, 1);
	mm_notifier_unregister(p->mm, &l.notifier);
	mmu_notifier_release(p->mm);
	assert_int_equal(l.releases, 1);
}

/* C4. The tables of a neighbour stay, those of the middle go, however the three lie.
 *
 *   |a|  |bbbbbb|  |c|       a and the start of b share a lowest table, so do the end of b and c
 */
static void neighbours(struct pages *p)
{
	unsigned long base = GiB, end = base + 3 * PMD;
	struct vm_area_struct *a = pages_map(p, base, 1), *b = pages_map(p, base + 8 * PAGE_SIZE, 3 * 512);
	struct vm_area_struct *c = pages_map(p, end + 9 * PAGE_SIZE, 1);
	unsigned long before;

	pages_put(p, a, base);
	before = pages_tables(p);
	pages_put(p, c, c->vm_start);
	assert_int_equal(pages_tables(p), before + 1);
	for (unsigned long addr = b->vm_start; addr < b->vm_end; addr += PAGE_SIZE)
		pages_put(p, b, addr);
	assert_int_equal(pages_tables(p), before + 3);
	assert_int_equal(rss(p), 3 * 512 + 2);
	unmap_one(p, b->vm_start);
	assert_int_equal(pages_tables(p), before + 1);
	assert_int_equal(rss(p), 2);
	assert_false(pte_none(pages_entry(p, base)));
	assert_false(pte_none(pages_entry(p, end + 9 * PAGE_SIZE)));
	validate(p);
	pages_clear(p);
	assert_int_equal(pages_tables(p), 0);
	samara_rcu_barrier();
	assert_int_equal(frame_pool_used(p->pool), 1);
}

static void a_neighbours_table_stays(void **state)
{
	on_each(neighbours);
}

/* C4. Tables that no VMA covers go too, if they lie between floor and ceiling; the others stay. */
static void outside_every_vma(struct pages *p)
{
	struct vm_area_struct *a = pages_map(p, GiB, 1), *b = pages_map(p, 8 * GiB, 1), *c = pages_map(p, 16 * GiB, 1);

	pages_put(p, a, GiB);
	pages_put(p, b, 8 * GiB);
	pages_put(p, c, 16 * GiB);
	mmap_write_lock(p->mm);
	assert_int_equal(pt_alloc(p->mm->pt, 4 * GiB, 0), 0);
	assert_int_equal(pt_alloc(p->mm->pt, 12 * GiB + 5 * PMD, 0), 0);
	assert_int_equal(pt_alloc(p->mm->pt, 20 * GiB, 0), 0);
	mmap_write_unlock(p->mm);
	unmap_one(p, 8 * GiB);
	/* What is left: two tables for each of a, c and the one above c, and one or two that they share. */
	assert_int_equal(pages_tables(p), 3 * 2 + p->mm->pt->geo->levels - 3);
	validate(p);
	pages_clear(p);
	assert_int_equal(pages_tables(p), 0);
}

static void tables_outside_every_vma(void **state)
{
	on_each(outside_every_vma);
}

/* C4, C5. Floor and ceiling decide: a table that reaches over either stays; ceiling 0 is the top. */
static void floor_and_ceiling(struct pages *p)
{
	struct mmu_gather tlb;
	unsigned long top = p->mm->opt.task_size & ~(PMD - 1), upper = p->mm->pt->geo->levels - 2;

	mmap_write_lock(p->mm);
	assert_int_equal(pt_alloc(p->mm->pt, GiB, 0), 0);
	assert_int_equal(pt_alloc(p->mm->pt, top - PMD, 0), 0);
	tlb_gather_mmu(&tlb, p->mm, false);
	free_pgd_range(&tlb, GiB + PAGE_SIZE, 0);
	tlb_finish_mmu(&tlb);
	/* All of the second but what the first has too; of the first nothing. */
	assert_int_equal(pages_tables(p), upper + 1);
	tlb_gather_mmu(&tlb, p->mm, false);
	free_pgd_range(&tlb, GiB, GiB + PMD - PAGE_SIZE);
	tlb_finish_mmu(&tlb);
	assert_int_equal(pages_tables(p), upper + 1);
	tlb_gather_mmu(&tlb, p->mm, false);
	free_pgd_range(&tlb, GiB, GiB + PMD);
	tlb_finish_mmu(&tlb);
	assert_int_equal(pages_tables(p), upper);
	tlb_gather_mmu(&tlb, p->mm, false);
	free_pgd_range(&tlb, 0, 0);
	tlb_finish_mmu(&tlb);
	assert_int_equal(pages_tables(p), 0);
	mmap_write_unlock(p->mm);
}

static void limits_of_tables(void **state)
{
	on_each(floor_and_ceiling);
}

/* C5. A search that reaches over the ceiling of the tables is complained about, but not for a side set. */
static void end_over_ceiling(void **state)
{
	struct pages *p = *state;
	struct vm_area_struct *a = pages_map(p, GiB, 1);
	struct vma_iterator vmi;
	struct unmap_desc unmap;

	pages_put(p, a, GiB);
	mmap_write_lock(p->mm);
	vma_iter_init(&vmi, p->mm, 0);
	unmap_all_init(&unmap, &vmi, a);
	unmap.pg_end = GiB + PMD;
	unmap.mm_wr_locked = true;
	assert_int_equal(p->complaints, 0);
	unmap_region(&unmap);
	mmap_write_unlock(p->mm);
	assert_int_equal(p->complaints, 1);
	p->complaints = 0;
	pages_clear(p);
}

/* B3, B4. The VMAs of a munmap are walked in their side set, out of the tree, with the lock turned to reading. */
static void side_set(struct pages *p)
{
	struct vm_area_struct *below = pages_map(p, PMD, 1), *above = pages_map(p, 64 * GiB, 1), *vma;
	struct vma_munmap_struct vms;
	struct unmap_between between;
	struct vma_iterator vmi;
	struct unmap_desc unmap;

	pages_put(p, below, PMD);
	pages_put(p, above, 64 * GiB);
	for (unsigned long i = 1; i <= 5; i++) {
		vma = pages_map(p, i * GiB, i);
		pages_put(p, vma, i * GiB + (i - 1) * PAGE_SIZE);
	}
	mmap_write_lock(p->mm);
	assert_int_equal(vms_gather_vmas(&vms, p->mm, GiB, 6 * GiB), 0);
	assert_true(vms_is_whole(&vms));
	vms_detach(&vms);
	vma_store_clear(p->mm, vms.first->vm_start, vms.last->vm_end);
	pf_downgrade_write(&p->mm->mmap_lock);
	pages_work(p);
	between = (struct unmap_between){ vms.detached.first, vms.detached.last, vms.prev, vms.next, false };
	vma_iter_init_set(&vmi, &vms.detached);
	unmap_region_init(&unmap, &vmi, &between);
	assert_int_equal(unmap.tree_end, 5);
	assert_int_equal(unmap.tree_reset, 1);
	unmap_region(&unmap);
	assert_int_equal(pages_work(p).vmas, 5);
	mmap_read_unlock(p->mm);
	assert_int_equal(rss(p), 2);
	for (unsigned long i = 1; i <= 5; i++)
		assert_true(pte_none(pages_entry(p, i * GiB + (i - 1) * PAGE_SIZE)));
	/* B6. Clearing again finds nothing: no flush, no page. */
	mmap_write_lock(p->mm);
	p->flushes = 0;
	vma_iter_set(&vmi, 1);
	unmap_region(&unmap);
	assert_int_equal(p->flushes, 0);
	vms_complete(&vms);
	mmap_write_unlock(p->mm);
	validate(p);
	pages_clear(p);
}

static void detached_vmas(void **state)
{
	on_each(side_set);
}

/* B8. A driver's mapping that failed after it had put some pages in is undone between its neighbours.
 *
 *   |a|dddddddd|c|        d has three pages, and its tables
 */
static void half_made_mapping(struct pages *p)
{
	struct vm_area_struct *a = pages_map(p, 4 * PMD - PAGE_SIZE, 1), *d, *c;
	unsigned long before;

	d = pages_map(p, 4 * PMD + PAGE_SIZE, 1022);
	c = pages_map(p, 6 * PMD, 1);
	pages_put(p, a, a->vm_start);
	pages_put(p, c, c->vm_start);
	before = pages_tables(p);
	pages_put(p, d, d->vm_start);
	pages_put(p, d, 5 * PMD);
	/* Not counted: what a driver has mapped itself. */
	pages_set(p, d->vm_start + PAGE_SIZE,
		  pte_mkspecial(pages_format(p), pte_mk(pages_format(p), 0, p->pool->zero_pfn, VM_READ)));
	assert_int_equal(pages_tables(p), before + 2);
	unmap_one(p, d->vm_start);
	assert_int_equal(pages_tables(p), before);
	assert_int_equal(rss(p), 2);
	validate(p);
	pages_clear(p);
}

static void drivers_mapping_undone(void **state)
{
	on_each(half_made_mapping);
}

/* B9. DONTNEED takes pages, leaves guards, and frees a lowest table that it has emptied. */
static void dontneed(struct pages *p)
{
	const struct zap_details details = { .keep_guards = true, .free_tables = true };
	struct vm_area_struct *vma = pages_map(p, GiB, 1024);
	unsigned long tables;

	pages_put(p, vma, GiB);
	pages_put(p, vma, GiB + PAGE_SIZE);
	tables = pages_tables(p);
	pages_put(p, vma, GiB + PMD);
	pages_set(p, GiB + PMD + PAGE_SIZE, pte_mk_guard());
	assert_int_equal(pages_tables(p), tables + 1);
	mmap_read_lock(p->mm);
	zap_page_range(vma, GiB, GiB + PAGE_SIZE, &details);
	assert_int_equal(pages_tables(p), tables + 1);
	zap_page_range(vma, GiB, GiB + 2 * PMD, &details);
	mmap_read_unlock(p->mm);
	assert_int_equal(pages_tables(p), tables);
	assert_true(pte_is_guard(pages_format(p), pages_entry(p, GiB + PMD + PAGE_SIZE)));
	assert_int_equal(rss(p), 0);
	validate(p);
	/* B10. Unmapping takes the guard too. */
	unmap_one(p, GiB);
	assert_int_equal(pages_tables(p), 0);
	assert_true(pte_none(pages_entry(p, GiB + PMD + PAGE_SIZE)));
}

static void dontneed_keeps_guards(void **state)
{
	on_each(dontneed);
}

/* B10. Invalidation leaves private pages where they are; an unmap takes pages, swapped ones, guards, zero pages. */
static void every_kind(struct pages *p)
{
	const struct zap_details invalidate = { .keep_private = true, .keep_guards = true };
	struct vm_area_struct *vma = pages_map(p, GiB, 16);
	enum pt_format f = pages_format(p);
	struct swap_area *swap = swap_area_create(p->pool->pf, 64);
	unsigned long slot = swap_slot_alloc(swap);

	p->ctx->swap = swap;
	pages_put(p, vma, GiB);
	pages_set(p, GiB + PAGE_SIZE, pte_mkspecial(f, pte_mk(f, 0, p->pool->zero_pfn, VM_READ)));
	pages_set(p, GiB + 2 * PAGE_SIZE, pte_mk_guard());
	pages_set(p, GiB + 3 * PAGE_SIZE, pte_mk_swap(slot));
	add_mm_counter(p->mm->pt, MM_SWAPENTS, 1);
	validate(p);
	mmap_read_lock(p->mm);
	zap_page_range(vma, vma->vm_start, vma->vm_end, &invalidate);
	mmap_read_unlock(p->mm);
	assert_true(pte_has_page(f, pages_entry(p, GiB)));
	assert_true(pte_none(pages_entry(p, GiB + PAGE_SIZE)));
	assert_true(pte_is_guard(f, pages_entry(p, GiB + 2 * PAGE_SIZE)));
	assert_true(pte_is_swap(f, pages_entry(p, GiB + 3 * PAGE_SIZE)));
	validate(p);
	unmap_one(p, GiB);
	for (unsigned long i = 0; i < 16; i++)
		assert_true(pte_none(pages_entry(p, GiB + i * PAGE_SIZE)));
	assert_int_equal(swap_area_used(swap), 0);
	assert_int_equal(get_mm_counter(p->mm->pt, MM_SWAPENTS), 0);
	p->ctx->swap = NULL;
	swap_area_destroy(swap);
}

static void unmap_takes_every_kind(void **state)
{
	on_each(every_kind);
}

/* B11. The mark of resident pages rises before they go. */
static void high_water(void **state)
{
	struct pages *p = *state;
	struct vm_area_struct *vma = pages_map(p, GiB, 100);

	for (unsigned long i = 0; i < 100; i++)
		pages_put(p, vma, GiB + i * PAGE_SIZE);
	assert_int_equal(p->mm->pt->hiwater_rss, 0);
	unmap_one(p, GiB);
	assert_int_equal(rss(p), 0);
	assert_int_equal(get_mm_hiwater_rss(p->mm->pt), 100);
}

/* A batch is what a gather has room for, with one flush each; and what was freed is free. */
static void batches(struct pages *p)
{
	struct vm_area_struct *vma = pages_map(p, GiB, 2000);

	for (unsigned long i = 0; i < 1300; i++)
		pages_put(p, vma, GiB + i * PAGE_SIZE);
	p->flushes = 0;
	mmap_read_lock(p->mm);
	zap_page_range(vma, vma->vm_start, vma->vm_end, NULL);
	mmap_read_unlock(p->mm);
	assert_int_equal(p->flushes, (1300 + MMU_GATHER_PAGES - 1) / MMU_GATHER_PAGES);
	assert_int_equal(frame_pool_used(p->pool), 1 + pages_tables(p));
	pages_clear(p);
}

static void one_flush_a_batch(void **state)
{
	on_each(batches);
}

/* C8. With the mmap lock held for writing, a VMA is locked before it leaves the reverse maps, and not earlier. */
static void locked_before_unlinked(void **state)
{
	struct pages *p = *state;
	struct vm_area_struct *vma = pages_map(p, GiB, 4), *next = pages_map(p, 2 * GiB, 4);
	struct vma_iterator vmi;
	struct unmap_desc unmap;
	struct mmu_gather tlb;

	pages_put(p, vma, GiB);
	mmap_write_lock(p->mm);
	vma_iter_init(&vmi, p->mm, 0);
	unmap_region_init(&unmap, &vmi, &(struct unmap_between){ vma, vma, NULL, next, true });
	tlb_gather_mmu(&tlb, p->mm, false);
	unmap_vmas(&tlb, &unmap);
	assert_true(vma_in_reverse_map(vma));
	assert_true(vma_start_read(p->mm, vma));
	vma_end_read(vma);
	free_pgtables(&tlb, &unmap);
	assert_false(vma_in_reverse_map(vma));
	assert_false(vma_start_read(p->mm, vma));
	assert_true(vma_in_reverse_map(next));
	assert_true(vma_start_read(p->mm, next));
	vma_end_read(next);
	tlb_finish_mmu(&tlb);
	mmap_write_unlock(p->mm);
	pages_clear(p);
}

/* The order ---------------------------------------------------------------- */

/* Two VMAs of 700 pages go, with @plant. */
static void with_plant(struct pages *p, unsigned int plant)
{
	struct vm_area_struct *vma;

	pages_begin(p, MM_X86_64);
	for (unsigned long i = 1; i <= 2; i++) {
		vma = pages_map(p, i * GiB, 700);
		for (unsigned long n = 0; n < 700; n++)
			pages_put(p, vma, i * GiB + n * PAGE_SIZE);
	}
	p->pool->plants = plant;
	pages_clear(p);
	p->pool->plants = 0;
}

static void trips(unsigned int plant, enum mmu_trip expected, unsigned long at_least)
{
	struct pages p;

	with_plant(&p, plant);
	for (int i = 0; i < MMU_NR_TRIPS; i++) {
		print_message("plant %x, instrument %d: %lu\n", plant, i, p.pool->trips[i]);
		if (i != (int)expected)
			assert_int_equal(p.pool->trips[i], 0);
	}
	if (expected != MMU_NR_TRIPS)
		assert_true(p.pool->trips[expected] >= at_least);
	pages_end(&p);
}

/* C6, C7. In order, no instrument trips. */
static void nothing_trips(void **state)
{
	trips(0, MMU_NR_TRIPS, 0);
}

/* C6. Without batches, a page is reused before its translation is flushed: each one is noticed. */
static void unbatched(void **state)
{
	trips(MMU_PLANT_NO_BATCH, MMU_TRIP_FRAME_UNFLUSHED, 1400);
}

/* C6. Tables go after the VMAs have left the reverse maps. */
static void linked(void **state)
{
	trips(MMU_PLANT_NO_UNLINK, MMU_TRIP_TABLE_LINKED, 2);
}

/* Mappings of one file, a hole between two of them, from 1 GiB on. The file is the caller's to put. */
static struct vm_file *map_often(struct pages *p, unsigned long count)
{
	struct vm_file_info info = { .size = sizeof(info), .kind = VM_FILE_SHMEM, .readable = true, .writable = true };
	struct mm_mmap_args args = { .len = PAGE_SIZE, .prot = PROT_READ | PROT_WRITE, .flags = MAP_SHARED | MAP_FIXED };
	unsigned long out;

	assert_int_equal(vm_file_create(p->ctx, &info, &args.file), 0);
	for (unsigned long i = 0; i < count; i++) {
		args.addr = GiB + 2 * i * PAGE_SIZE;
		assert_int_equal(mm_mmap(p->mm, &args, &out), 0);
	}
	assert_int_equal(mm_fault(p->mm, GiB, MM_WRITE), MM_FAULT_OK);
	return args.file;
}

/* C4. Mappings of a file leave its reverse map in batches: the file's lock is taken once for eight of them. */
static void files_in_batches(void **state)
{
	struct pages *p = *state;
	struct vm_file *file = map_often(p, 1000);
	struct mmu_work work;

	pages_work(p);
	assert_int_equal(mm_munmap(p->mm, GiB, GiB), 0);
	work = pages_work(p);
	assert_int_equal(work.unlinked, 1000);
	assert_int_equal(work.unlink_rounds, 125);
	print_message("1,000 mappings of a file left its reverse map in %lu rounds\n", work.unlink_rounds);
	assert_null(file->mapping->i_mmap);
	assert_int_equal(i_mmap_check(file->mapping), 0);
	vm_file_put(file);
}

/* C4, C6. The last batch too leaves before the tables go: else each of its mappings is noticed. */
static void late_batch(void **state)
{
	struct pages *p = *state;
	struct vm_file *file = map_often(p, 13);

	p->pool->plants = MMU_PLANT_LATE_UNLINK;
	assert_int_equal(mm_munmap(p->mm, GiB, GiB), 0);
	p->pool->plants = 0;
	assert_int_equal(p->pool->trips[MMU_TRIP_TABLE_LINKED], 13 - 8);
	vm_file_put(file);
}

/* C6. A table goes after its flush. */
static void early_table(void **state)
{
	trips(MMU_PLANT_EARLY_TABLE, MMU_TRIP_TABLE_UNFLUSHED, 5);
}

/* C7. No yield between a zap and its flush. */
static void early_yield(void **state)
{
	trips(MMU_PLANT_EARLY_YIELD, MMU_TRIP_YIELD_UNFLUSHED, 2);
}

/* C6. Without the flush, frames and tables are both freed too early. */
static void unflushed(void **state)
{
	struct pages p;

	with_plant(&p, MMU_PLANT_NO_FLUSH);
	assert_int_equal(p.pool->trips[MMU_TRIP_FRAME_UNFLUSHED], 1400);
	assert_true(p.pool->trips[MMU_TRIP_TABLE_UNFLUSHED] >= 5);
	pages_end(&p);
}

/* Promise 7 ---------------------------------------------------------------- */

/* What was visited in taking away what is mapped, printed. */
static struct mmu_work clear_counted(struct pages *p, const char *what)
{
	struct mmu_work work;

	pages_work(p);
	assert_int_equal(mm_munmap(p->mm, 0, p->mm->opt.task_size), 0);
	work = pages_work(p);
	print_message("%s, %s: pages: %lu VMAs, %lu tables, %lu slots; tables: %lu VMAs, %lu tables, %lu slots\n",
		      p->mm->pt->geo->name, what, work.vmas, work.tables, work.slots, work.unlinked, work.swept,
		      work.swept_slots);
	return work;
}

static void is_proportional(struct mmu_work work, unsigned long vmas, unsigned long tables)
{
	assert_int_equal(work.vmas, vmas);
	assert_int_equal(work.unlinked, vmas);
	assert_int_equal(work.tables, tables);
	/* Lowest tables are not entered to be freed. */
	assert_true(work.swept <= tables);
	assert_true(work.slots <= 512 * tables);
	assert_true(work.swept_slots <= 512 * tables);
}

/* Promise 7. One page in a mapping as large as the addresses. */
static void one_page(struct pages *p)
{
	unsigned long size = p->mm->opt.task_size - GiB - PAGE_SIZE;
	struct vm_area_struct *vma = pages_map(p, GiB, size >> PAGE_SHIFT);

	pages_put(p, vma, GiB + (size / 3 & PAGE_MASK));
	is_proportional(clear_counted(p, "1 page"), 1, p->mm->pt->geo->levels);
}

static void work_for_one_page(void **state)
{
	on_each(one_page);
}

/* Promise 7. 1,000 mappings over the whole range, a page each. */
static void spread(struct pages *p)
{
	unsigned long step = (p->mm->opt.task_size / 1001) & PAGE_MASK, tables;
	struct vm_area_struct *vma;

	for (unsigned long i = 1; i <= 1000; i++) {
		vma = pages_map(p, i * step, 3);
		pages_put(p, vma, i * step + PAGE_SIZE);
	}
	tables = pages_tables(p) + 1;
	is_proportional(clear_counted(p, "1,000 mappings"), 1000, tables);
}

static void work_for_many(void **state)
{
	on_each(spread);
}

/* Promise 7. One GiB, all of it there. The pages are the zero page, of which there is one. */
static void populated(struct pages *p)
{
	enum pt_format f = pages_format(p);
	pte_t zero = pte_mkspecial(f, pte_mk(f, 0, p->pool->zero_pfn, VM_READ));
	struct mmu_work work;
	struct pt_slot slot;

	pages_map(p, GiB, GiB >> PAGE_SHIFT);
	mmap_write_lock(p->mm);
	for (unsigned long addr = GiB; addr < 2 * GiB; addr += PAGE_SIZE) {
		assert_int_equal(pte_alloc_lock(p->mm->pt, addr, 0, &slot), 0);
		set_pte(&slot, zero);
		pte_unlock(&slot);
	}
	pf_up_write(&p->mm->mmap_lock);
	work = clear_counted(p, "1 GiB");
	is_proportional(work, 1, 512 + p->mm->pt->geo->levels - 1);
	assert_true(work.slots >= 512 * 512);
}

static void work_for_a_gigabyte(void **state)
{
	on_each(populated);
}

/* A walk to the top ends there, whatever the depth of the tables, and meets each of them once. */
static void to_the_top(struct pages *p)
{
	unsigned long last = p->mm->opt.task_size - PAGE_SIZE, met = 0;
	struct vm_area_struct *vma = pages_map(p, last, 1);
	struct pt_cursor cursor;
	struct pt_range range;

	pages_put(p, vma, last);
	mmap_read_lock(p->mm);
	pt_cursor_init(&cursor, p->mm->pt);
	pt_cursor_set(&cursor, 0, 0);
	while (met < 10 && pt_cursor_next(&cursor, &range))
		met++;
	assert_int_equal(met, 1);
	assert_int_equal(range.end - 1, last | (PMD_SIZE - 1));
	pt_cursor_set(&cursor, PT_SPAN(p->mm->pt->geo->levels), 0);
	assert_false(pt_cursor_next(&cursor, &range));
	mmap_read_unlock(p->mm);
	pages_clear(p);
}

static void walks_end_at_the_top(void **state)
{
	on_each(to_the_top);
}

#define one(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		one(initialisers),
		one(second_pass),
		cmocka_unit_test(search_ends_at_the_limit),
		one(one_notifier_range),
		cmocka_unit_test(a_neighbours_table_stays),
		cmocka_unit_test(tables_outside_every_vma),
		cmocka_unit_test(limits_of_tables),
		one(end_over_ceiling),
		cmocka_unit_test(detached_vmas),
		cmocka_unit_test(drivers_mapping_undone),
		cmocka_unit_test(dontneed_keeps_guards),
		cmocka_unit_test(unmap_takes_every_kind),
		one(high_water),
		cmocka_unit_test(one_flush_a_batch),
		one(locked_before_unlinked),
		cmocka_unit_test(nothing_trips),
		cmocka_unit_test(unbatched),
		cmocka_unit_test(unflushed),
		cmocka_unit_test(linked),
		one(files_in_batches),
		one(late_batch),
		cmocka_unit_test(early_table),
		cmocka_unit_test(early_yield),
		cmocka_unit_test(walks_end_at_the_top),
		cmocka_unit_test(work_for_one_page),
		cmocka_unit_test(work_for_many),
		cmocka_unit_test(work_for_a_gigabyte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
