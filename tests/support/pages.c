/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "support/pages.h"

#include <stdio.h>
#include <sys/mman.h>

const enum mm_geometry pages_geometries[5] = { MM_X86_64, MM_X86_64_LA57, MM_ARM64, MM_RISCV64_SV39,
					       MM_RISCV64_SV48 };

static void complain(void *arg, const char *line)
{
	struct pages *p = arg;

	p->complaints++;
	print_message("complaint: %s\n", line);
}

static void count_flush(void *arg, struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct pages *p = arg;

	__atomic_add_fetch(&p->flushes, 1, __ATOMIC_RELAXED);
}

void pages_begin(struct pages *p, enum mm_geometry geometry)
{
	struct mm_context_options options = { .size = sizeof(options), .frames = PAGES_FRAMES, .log = complain,
					      .log_arg = p };
	struct mm_options mm_options = { .size = sizeof(mm_options), .geometry = geometry };

	*p = (struct pages){ 0 };
	mm_options.task_size = pt_geometry(geometry)->task_size_max;
	assert_int_equal(mm_context_create(&options, &p->ctx), 0);
	assert_int_equal(mm_create(p->ctx, &mm_options, &p->mm), 0);
	p->pool = p->ctx->frames;
	mm_set_flush(p->mm, count_flush, p);
}

void pages_end(struct pages *p)
{
	struct platform_stats stats;

	mm_put(p->mm);
	platform_read_stats(mm_context_platform(p->ctx), &stats);
	assert_int_equal(stats.frames, 0);
	assert_int_equal(stats.tables, 0);
	assert_int_equal(stats.vmas, 0);
	assert_int_equal(stats.anon_vmas, 0);
	mm_context_destroy(p->ctx);
	assert_int_equal(p->complaints, 0);
}

struct vm_area_struct *pages_map(struct pages *p, unsigned long addr, unsigned long nr)
{
	struct mm_mmap_args args = { .addr = addr, .len = nr << PAGE_SHIFT, .prot = PAGES_RW,
				     .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE };
	struct vm_area_struct *vma;
	unsigned long at;

	assert_int_equal(mm_mmap(p->mm, &args, &at), 0);
	assert_int_equal(at, addr);
	mmap_write_lock(p->mm);
	vma = vma_lookup(p->mm, addr);
	if (!vma->anon_vma)
		assert_int_equal(anon_vma_prepare(p->mm, vma), 0);
	mmap_write_unlock(p->mm);
	return vma;
}

enum pt_format pages_format(const struct pages *p)
{
	return p->mm->pt->geo->format;
}

void pages_set(struct pages *p, unsigned long addr, pte_t pte)
{
	struct pt_slot slot;

	mmap_read_lock(p->mm);
	assert_int_equal(pte_alloc_lock(p->mm->pt, addr, 0, &slot), 0);
	set_pte(&slot, pte);
	pte_unlock(&slot);
	mmap_read_unlock(p->mm);
}

struct page *pages_put(struct pages *p, struct vm_area_struct *vma, unsigned long addr)
{
	struct page *page = alloc_page(p->pool, true);
	enum pt_format f = pages_format(p);
	pte_t pte;

	assert_non_null(page);
	*(unsigned long *)page_address(p->pool, page) = addr;
	page_add_new_anon_rmap(page, vma, addr);
	add_mm_counter(p->mm->pt, MM_ANONPAGES, 1);
	pte = pte_mk(f, 0, page_to_pfn(p->pool, page), vma->vm_flags);
	pages_set(p, addr, pte_mkyoung(f, pte_mkdirty(f, pte)));
	return page;
}

pte_t pages_entry(struct pages *p, unsigned long addr)
{
	unsigned int level;
	pte_t pte;

	samara_rcu_read_lock();
	pte = pt_peek(p->mm->pt, addr, &level);
	samara_rcu_read_unlock();
	return level ? (pte_t){ 0 } : pte;
}

struct mmu_work pages_work(struct pages *p)
{
	struct mmu_work work = p->mm->pt->work;

	p->mm->pt->work = (struct mmu_work){ 0 };
	return work;
}

unsigned long pages_tables(const struct pages *p)
{
	return p->mm->pt->table_bytes / PAGE_SIZE;
}

void pages_unmap_all(struct pages *p)
{
	struct unmap_desc unmap;
	struct vma_iterator vmi;

	mmap_write_lock(p->mm);
	vma_iter_init(&vmi, p->mm, 0);
	unmap_all_init(&unmap, &vmi, vma_next(&vmi));
	unmap.mm_wr_locked = true;
	unmap_region(&unmap);
	mmap_write_unlock(p->mm);
}

void pages_clear(struct pages *p)
{
	pages_unmap_all(p);
	assert_int_equal(mm_munmap(p->mm, 0, p->mm->opt.task_size), 0);
}

struct page *pages_at(struct pages *p, unsigned long addr)
{
	pte_t pte = pages_entry(p, addr);

	return pte_has_page(pages_format(p), pte) ? pfn_to_page(p->pool, pte_pfn(pages_format(p), pte)) : NULL;
}

void pages_validate(struct pages *p)
{
	assert_int_equal(mm_validate(p->mm), 0);
	assert_int_equal(mmu_validate_frames(p->ctx, &p->mm, 1), 0);
}

void pages_on_each(void (*test)(struct pages *p))
{
	struct pages p;

	for (int i = 0; i < 5; i++) {
		pages_begin(&p, pages_geometries[i]);
		test(&p);
		pages_end(&p);
	}
}
