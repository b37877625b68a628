/* SPDX-License-Identifier: MIT */
/* mremap moves entries: pages, contents and everything else that an entry can be, on each kind of hardware. */
#define _GNU_SOURCE
#include "support/pages.h"

#include <stdlib.h>
#include <sys/mman.h>

#define GiB (1UL << 30)
#define PMD PMD_SIZE

static void move(struct pages *p, unsigned long from, unsigned long to, unsigned long nr, unsigned long flags)
{
	struct mm_mremap_args args = { .addr = from, .old_len = nr << PAGE_SHIFT, .new_len = nr << PAGE_SHIFT,
				       .flags = MREMAP_MAYMOVE | MREMAP_FIXED | flags, .new_addr = to };
	unsigned long out;

	assert_int_equal(mm_mremap(p->mm, &args, &out), 0);
	assert_int_equal(out, to);
	pages_validate(p);
}

/* @nr pages from @from, each third left out, are found at @to and nowhere else. */
static void moved(struct pages *p, unsigned long from, unsigned long to, unsigned long nr)
{
	struct vm_area_struct *vma = pages_map(p, from, nr);
	struct page **pages = calloc(nr, sizeof(*pages));
	enum pt_format f = pages_format(p);

	for (unsigned long i = 0; i < nr; i++)
		if (i % 3)
			pages[i] = pages_put(p, vma, from + i * PAGE_SIZE);
	p->flushes = 0;
	move(p, from, to, nr, 0);
	assert_true(p->flushes > 0);
	for (unsigned long i = 0; i < nr; i++) {
		assert_true(pte_none(pages_entry(p, from + i * PAGE_SIZE)));
		assert_ptr_equal(pages_at(p, to + i * PAGE_SIZE), pages[i]);
		if (!pages[i])
			continue;
		assert_int_equal(*(unsigned long *)page_address(p->pool, pages[i]), from + i * PAGE_SIZE);
		assert_true(pte_write(f, pages_entry(p, to + i * PAGE_SIZE)));
		assert_true(pte_dirty(f, pages_entry(p, to + i * PAGE_SIZE)));
	}
	free(pages);
	pages_clear(p);
	assert_int_equal(pages_tables(p), 0);
}

/* Within one table, between two, across an edge of tables at either side. */
static void small(struct pages *p)
{
	moved(p, GiB, GiB + 64 * PAGE_SIZE, 20);
	moved(p, GiB, 2 * GiB + 64 * PAGE_SIZE, 20);
	moved(p, GiB + PMD - 10 * PAGE_SIZE, 2 * GiB + 64 * PAGE_SIZE, 20);
	moved(p, GiB, 2 * GiB - 7 * PAGE_SIZE, 20);
	moved(p, GiB - 3 * PAGE_SIZE, 4 * GiB - 7 * PAGE_SIZE, 1000);
}

static void entries(void **state)
{
	pages_on_each(small);
}

/* Where both places lie alike within 2 MiB, whole tables move: the table of the middle is the same one. */
static void aligned(struct pages *p)
{
	unsigned long from = GiB + 5 * PAGE_SIZE, to = 9 * GiB + 5 * PAGE_SIZE, middle = PMD + 8 * PAGE_SIZE;
	struct vm_area_struct *vma = pages_map(p, from, 700);
	struct page *page = pages_put(p, vma, GiB + middle);
	struct pt_slot slot;
	struct page *table;

	pages_put(p, vma, from);
	assert_true(pte_find_lock(p->mm->pt, GiB + middle, &slot));
	pte_unlock(&slot);
	/* The range ends within the second table: only entries move. */
	table = slot.table;
	move(p, from, to, 700, 0);
	assert_ptr_equal(pages_at(p, 9 * GiB + middle), page);
	assert_true(pte_find_lock(p->mm->pt, 9 * GiB + middle, &slot));
	pte_unlock(&slot);
	assert_ptr_not_equal(slot.table, table);
	pages_clear(p);

	vma = pages_map(p, from, 3 * 512);
	page = pages_put(p, vma, GiB + middle);
	assert_true(pte_find_lock(p->mm->pt, GiB + middle, &slot));
	pte_unlock(&slot);
	table = slot.table;
	move(p, from, to, 3 * 512, 0);
	assert_ptr_equal(pages_at(p, 9 * GiB + middle), page);
	assert_true(pte_find_lock(p->mm->pt, 9 * GiB + middle, &slot));
	pte_unlock(&slot);
	assert_ptr_equal(slot.table, table);
	assert_int_equal(slot.table->start, 9 * GiB + PMD);
	pages_clear(p);
	moved(p, GiB, 3 * GiB, 1024);
	moved(p, GiB + 100 * PAGE_SIZE, 3 * GiB + 100 * PAGE_SIZE, 2048);
}

static void whole_tables(void **state)
{
	pages_on_each(aligned);
}

/* What is no page moves too: zero pages, guards, swapped ones. */
static void kinds(struct pages *p)
{
	enum pt_format f = pages_format(p);
	struct swap_area *swap = swap_area_create(p->pool->pf, 8);
	unsigned long slot = swap_slot_alloc(swap);
	pte_t entry[3] = { pte_mkspecial(f, pte_mk(f, 0, p->pool->zero_pfn, VM_READ)), pte_mk_guard(),
			   pte_mk_swap(slot) };

	p->ctx->swap = swap;
	pages_map(p, GiB, 8);
	for (int i = 0; i < 3; i++)
		pages_set(p, GiB + i * PAGE_SIZE, entry[i]);
	add_mm_counter(p->mm->pt, MM_SWAPENTS, 1);
	move(p, GiB, 2 * GiB + 9 * PAGE_SIZE, 8, 0);
	for (int i = 0; i < 3; i++) {
		pte_t now = pages_entry(p, 2 * GiB + (9 + i) * PAGE_SIZE);

		assert_int_equal(pte_clear_soft_dirty(f, now).v, entry[i].v);
		assert_int_equal(pte_soft_dirty(f, now), i != 1);
	}
	pages_clear(p);
	p->ctx->swap = NULL;
	swap_area_destroy(swap);
}

static void every_kind(void **state)
{
	pages_on_each(kinds);
}

/* Over what is mapped there: its pages go, the moved ones come. With DONTUNMAP the old mapping stays, empty. */
static void over(struct pages *p)
{
	struct vm_area_struct *vma = pages_map(p, GiB, 600), *there;
	struct page *page = pages_put(p, vma, GiB + 3 * PAGE_SIZE);

	there = pages_map(p, 4 * GiB, 600);
	for (unsigned long i = 0; i < 600; i++)
		pages_put(p, there, 4 * GiB + i * PAGE_SIZE);
	/* What is unmapped takes its pages along only when the calls do so. */
	mmap_write_lock(p->mm);
	zap_page_range(there, there->vm_start, there->vm_end, NULL);
	mmap_write_unlock(p->mm);
	move(p, GiB, 4 * GiB, 600, MREMAP_DONTUNMAP);
	assert_ptr_equal(pages_at(p, 4 * GiB + 3 * PAGE_SIZE), page);
	assert_null(pages_at(p, GiB + 3 * PAGE_SIZE));
	assert_int_equal(get_mm_rss(p->mm->pt), 1);
	pages_clear(p);
}

static void over_another(void **state)
{
	pages_on_each(over);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries),
		cmocka_unit_test(whole_tables),
		cmocka_unit_test(every_kind),
		cmocka_unit_test(over_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
