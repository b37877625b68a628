/* SPDX-License-Identifier: MIT */
/* mprotect changes entries: they never allow what their mapping does not, on each kind of hardware. */
#define _GNU_SOURCE
#include "support/pages.h"

#include <sys/mman.h>

#define GiB (1UL << 30)

static void protect(struct pages *p, unsigned long addr, unsigned long nr, unsigned long prot)
{
	assert_int_equal(mm_mprotect(p->mm, addr, nr << PAGE_SHIFT, prot), 0);
	pages_validate(p);
}

static void is(struct pages *p, unsigned long addr, bool present, bool write, bool exec)
{
	enum pt_format f = pages_format(p);
	pte_t pte = pages_entry(p, addr);

	assert_int_equal(pte_present(pte), present);
	assert_int_equal(pte_protnone(f, pte), !present);
	assert_int_equal(present && pte_write(f, pte), write);
	if (present)
		assert_int_equal(pte_exec(f, pte), exec);
}

/* Rights come and go; the page, its contents, dirty and accessed stay.
 *
 *   rw- -> r-- -> --- -> r-x -> rw-        the page is dirty and ours alone: writable at once
 */
static void round_trip(struct pages *p)
{
	struct vm_area_struct *vma = pages_map(p, GiB, 600);
	struct page *page = pages_put(p, vma, GiB + 511 * PAGE_SIZE);
	enum pt_format f = pages_format(p);
	unsigned long addr = GiB + 511 * PAGE_SIZE;

	pages_set(p, addr, pte_mksoft_dirty(f, pages_entry(p, addr)));
	is(p, addr, true, true, false);
	p->flushes = 0;
	protect(p, GiB, 600, PROT_READ);
	assert_int_equal(p->flushes, 1);
	is(p, addr, true, false, false);
	protect(p, GiB, 600, PROT_NONE);
	is(p, addr, false, false, false);
	protect(p, GiB, 600, PROT_READ | PROT_EXEC);
	is(p, addr, true, false, true);
	protect(p, GiB, 600, PROT_READ | PROT_WRITE);
	is(p, addr, true, true, false);
	assert_ptr_equal(pages_at(p, addr), page);
	assert_true(pte_dirty(f, pages_entry(p, addr)) && pte_young(f, pages_entry(p, addr)));
	assert_int_equal(get_mm_rss(p->mm->pt), 1);
	/* Nothing changes, nothing is flushed. */
	p->flushes = 0;
	protect(p, GiB, 600, PROT_READ | PROT_WRITE);
	assert_int_equal(p->flushes, 0);
	pages_clear(p);
}

static void rights_come_and_go(void **state)
{
	pages_on_each(round_trip);
}

/* Write access does not come back for a page that another holds, that is clean, or that is the zero page. */
static void held_back(struct pages *p)
{
	struct vm_area_struct *vma = pages_map(p, GiB, 16);
	enum pt_format f = pages_format(p);
	struct page *shared = pages_put(p, vma, GiB);

	pages_set(p, GiB, pte_mksoft_dirty(f, pages_entry(p, GiB)));
	pages_put(p, vma, GiB + PAGE_SIZE);
	pages_set(p, GiB + PAGE_SIZE, pte_mksoft_dirty(f, pte_mkclean(f, pages_entry(p, GiB + PAGE_SIZE))));
	pages_set(p, GiB + 2 * PAGE_SIZE, pte_mkspecial(f, pte_mk(f, 0, p->pool->zero_pfn, VM_READ)));
	pages_put(p, vma, GiB + 3 * PAGE_SIZE);
	protect(p, GiB, 16, PROT_READ);
	get_page(shared);
	assert_int_equal(mm_mprotect(p->mm, GiB, 16 << PAGE_SHIFT, PROT_READ | PROT_WRITE), 0);
	is(p, GiB, true, false, false);
	is(p, GiB + PAGE_SIZE, true, false, false);
	is(p, GiB + 2 * PAGE_SIZE, true, false, false);
	/* Not soft-dirty: somebody waits to see that it is written to. */
	is(p, GiB + 3 * PAGE_SIZE, true, false, false);
	put_page(p->pool, shared);
	pages_validate(p);
	pages_clear(p);
}

static void write_access_waits(void **state)
{
	pages_on_each(held_back);
}

/* A part of a mapping: its edges are exact, also across the edge of a table. */
static void part(struct pages *p)
{
	struct vm_area_struct *vma = pages_map(p, GiB, 1024);

	for (unsigned long i = 500; i < 530; i++)
		pages_put(p, vma, GiB + i * PAGE_SIZE);
	protect(p, GiB + 505 * PAGE_SIZE, 20, PROT_READ);
	for (unsigned long i = 500; i < 530; i++)
		is(p, GiB + i * PAGE_SIZE, true, i < 505 || i >= 525, false);
	pages_clear(p);
}

static void exact_edges(void **state)
{
	pages_on_each(part);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rights_come_and_go),
		cmocka_unit_test(write_access_waits),
		cmocka_unit_test(exact_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
