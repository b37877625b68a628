/* SPDX-License-Identifier: MIT */
/*
 * Promise 2, with pages. Calls that split, join, move and take away, over mappings with pages, guards, swapped pages
 * and deep tables, with their n-th allocation failing, n from 1 until they succeed. After each failure every entry of
 * the tables is as before, bit by bit, and so are tables, counters, frames and live objects; the
 * validators of mappings, entries and frames are content. Every one on x86-64, the others share another round.
 */
#define _GNU_SOURCE
#include "support/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define GiB (1UL << 30)
#define PMD PMD_SIZE
#define MAX_N 2000
#define MAX_ENTRIES 8192

/* Everything that a failed call must leave alone. */
struct snapshot {
	struct {
		unsigned long addr;
		uint64_t pte;
	} entry[MAX_ENTRIES];
	unsigned int entries;
	unsigned long table_bytes, used;
	long rss[NR_MM_COUNTERS];
	struct mm_counters counters;
	struct platform_stats stats;
};

struct target {
	const char *name;
	long (*call)(struct pages *p);
};

/* Calls ------------------------------------------------------------------- */

static long protect_middle(struct pages *p)
{
	return mm_mprotect(p->mm, GiB + 100 * PAGE_SIZE, 700 * PAGE_SIZE, PROT_READ);
}

static long protect_several(struct pages *p)
{
	return mm_mprotect(p->mm, GiB + 100 * PAGE_SIZE, 1400 * PAGE_SIZE, PROT_NONE);
}

static long remap(struct pages *p, unsigned long from, unsigned long nr, unsigned long new_nr, unsigned long flags,
		  unsigned long to)
{
	struct mm_mremap_args args = { .addr = from, .old_len = nr << PAGE_SHIFT, .new_len = new_nr << PAGE_SHIFT,
				       .flags = MREMAP_MAYMOVE | flags, .new_addr = to };
	unsigned long out;

	return mm_mremap(p->mm, &args, &out);
}

static long move_anywhere(struct pages *p)
{
	return remap(p, GiB, 1024, 200000, 0, 0);
}

static long move_far(struct pages *p)
{
	return remap(p, GiB, 1024, 1024, MREMAP_FIXED, 100 * GiB + 3 * PAGE_SIZE);
}

static long move_aligned(struct pages *p)
{
	return remap(p, GiB, 1024, 1024, MREMAP_FIXED, 100 * GiB);
}

static long move_part(struct pages *p)
{
	return remap(p, GiB + 200 * PAGE_SIZE, 600, 600, MREMAP_FIXED, 101 * GiB - 50 * PAGE_SIZE);
}

static long move_over(struct pages *p)
{
	return remap(p, GiB, 1024, 1024, MREMAP_FIXED, 8 * GiB + 100 * PAGE_SIZE);
}

static long move_several(struct pages *p)
{
	return remap(p, GiB, 1790, 1790, MREMAP_FIXED, 8 * GiB + 111 * PAGE_SIZE);
}

static long move_and_keep(struct pages *p)
{
	return remap(p, GiB, 1024, 1024, MREMAP_DONTUNMAP, 0);
}

static long unmap_hole(struct pages *p)
{
	return mm_munmap(p->mm, GiB + 100 * PAGE_SIZE, 700 * PAGE_SIZE);
}

static long map_over(struct pages *p)
{
	struct mm_mmap_args args = { .addr = GiB + 100 * PAGE_SIZE, .len = 700 * PAGE_SIZE, .prot = PROT_READ,
				     .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED };
	unsigned long out;

	return mm_mmap(p->mm, &args, &out);
}

static long advise_part(struct pages *p)
{
	long ret = mm_madvise(p->mm, GiB + 100 * PAGE_SIZE, 700 * PAGE_SIZE, MADV_DONTFORK);

	/* So Linux has it for want of memory. */
	return ret == -EAGAIN ? -ENOMEM : ret;
}

static const struct target targets[] = {
	{ "mprotect of a part", protect_middle },
	{ "mprotect of several", protect_several },
	{ "mremap to where there is room", move_anywhere },
	{ "mremap to a place of its own", move_far },
	{ "mremap of whole tables", move_aligned },
	{ "mremap of a part", move_part },
	{ "mremap over a mapping", move_over },
	{ "mremap of several over one", move_several },
	{ "mremap that keeps the old one", move_and_keep },
	{ "munmap of a hole", unmap_hole },
	{ "mmap over a part", map_over },
	{ "madvise of a part", advise_part },
};

/* The world --------------------------------------------------------------- */

/*
 *   GiB  |a a a a (1024)|b b b (600, read-only)|  hole  |d (100)|        8 GiB  |c c c c (2048)|
 */
static void build(struct pages *p)
{
	enum pt_format f = pages_format(p);
	struct vm_area_struct *a = pages_map(p, GiB, 1024), *b, *c, *d;

	pages_map(p, GiB + 2 * PMD, 600);
	assert_int_equal(mm_mprotect(p->mm, GiB + 2 * PMD, 600 * PAGE_SIZE, PROT_READ), 0);
	mmap_read_lock(p->mm);
	a = vma_lookup(p->mm, GiB);
	b = vma_lookup(p->mm, GiB + 2 * PMD);
	mmap_read_unlock(p->mm);
	d = pages_map(p, GiB + 2 * PMD + 700 * PAGE_SIZE, 100);
	pages_put(p, d, d->vm_start + 50 * PAGE_SIZE);
	c = pages_map(p, 8 * GiB, 2048);
	for (unsigned long i = 0; i < 1024; i += 3)
		pages_put(p, a, GiB + i * PAGE_SIZE);
	for (unsigned long i = 0; i < 600; i += 5)
		pages_put(p, b, b->vm_start + i * PAGE_SIZE);
	for (unsigned long i = 0; i < 2048; i += 2)
		pages_put(p, c, 8 * GiB + i * PAGE_SIZE);
	pages_set(p, GiB + PAGE_SIZE, pte_mk_guard());
	pages_set(p, GiB + 514 * PAGE_SIZE, pte_mkspecial(f, pte_mk(f, 0, p->pool->zero_pfn, VM_READ)));
	pages_set(p, GiB + 2 * PAGE_SIZE, pte_mk_swap(swap_slot_alloc(p->ctx->swap)));
	add_mm_counter(p->mm->pt, MM_SWAPENTS, 1);
	pages_validate(p);
}

static void take_entries(struct pages *p, struct snapshot *s)
{
	struct pt_cursor cursor;
	struct pt_range range;

	mmap_read_lock(p->mm);
	pt_cursor_init(&cursor, p->mm->pt);
	pt_cursor_set(&cursor, 0, 0);
	while (pt_cursor_next(&cursor, &range)) {
		assert_true(pt_range_lock(p->mm->pt, &range));
		for (unsigned long addr = range.start; addr < range.end; addr += PAGE_SIZE, range.ptep++) {
			if (pte_none(pte_load(range.ptep)))
				continue;
			assert_in_range(s->entries, 0, MAX_ENTRIES - 1);
			s->entry[s->entries].addr = addr;
			s->entry[s->entries++].pte = pte_load(range.ptep).v;
		}
		pt_range_unlock(&range);
	}
	mmap_read_unlock(p->mm);
}

static struct snapshot *take(struct pages *p)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	take_entries(p, s);
	platform_read_stats(p->pool->pf, &s->stats);
	s->stats.attempts = s->stats.failed = 0;
	s->table_bytes = p->mm->pt->table_bytes;
	s->used = frame_pool_used(p->pool);
	for (int i = 0; i < NR_MM_COUNTERS; i++)
		s->rss[i] = p->mm->pt->rss[i];
	mm_read_counters(p->mm, &s->counters);
	return s;
}

static void is_as_before(struct pages *p, const struct snapshot *before, const char *name, int n)
{
	struct snapshot *now = take(p);

	if (memcmp(now, before, sizeof(*now)))
		print_message("%s, allocation %d failing: %u entries before, %u after; %lu and %lu bytes of tables\n", name,
			      n, before->entries, now->entries, before->table_bytes, now->table_bytes);
	assert_memory_equal(now, before, sizeof(*now));
	free(now);
	pages_validate(p);
}

/* From the @first allocation on, each @step-th. Returns how many failed. */
static unsigned long sweep(struct pages *p, const struct target *target, int first, int step)
{
	struct platform *pf = p->pool->pf;
	struct snapshot *before = take(p);
	unsigned long failed = 0;
	long ret = -ENOMEM;

	for (int n = first; n < MAX_N && ret == -ENOMEM; n += step) {
		platform_fail_nth(pf, n);
		ret = target->call(p);
		platform_fail_nth(pf, 0);
		if (ret != -ENOMEM)
			break;
		is_as_before(p, before, target->name, n);
		failed++;
	}
	assert_int_equal(ret, 0);
	pages_validate(p);
	free(before);
	return failed;
}

static void on_geometry(int which, unsigned long *points)
{
	const unsigned int nr = sizeof(targets) / sizeof(targets[0]);
	struct swap_area *swap;
	struct pages p;

	for (unsigned int i = 0; i < nr; i++) {
		pages_begin(&p, pages_geometries[which]);
		swap = swap_area_create(p.pool->pf, 64);
		p.ctx->swap = swap;
		build(&p);
		/* Every one with the first; a part with each of the others, where formats and depths alone differ. */
		points[i] += which ? sweep(&p, &targets[i], which, 4) : sweep(&p, &targets[i], 1, 1);
		pages_clear(&p);
		p.ctx->swap = NULL;
		swap_area_destroy(swap);
		pages_end(&p);
	}
}

/* Promise 2. */
static void every_call(void **state)
{
	unsigned long points[sizeof(targets) / sizeof(targets[0])] = { 0 }, all = 0;

	for (int i = 0; i < 5; i++)
		on_geometry(i, points);
	for (unsigned int i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		print_message("%s: %lu points\n", targets[i].name, points[i]);
		all += points[i];
	}
	print_message("# note: %lu points failed, 0 differences\n", all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
