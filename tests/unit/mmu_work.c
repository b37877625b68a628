/* SPDX-License-Identifier: MIT */
/*
 * Promise 7. What unmapping and exit look at is in proportion to what is there, counted and not timed: each mapping
 * once for its pages and once for its reverse maps, each table once for its pages and once to be freed, and of a
 * table no more than its 512 entries. The span of the address space costs nothing.
 */
#define _GNU_SOURCE
#include "support/world.h"

#include "mm/mm.h"

#define NORESERVE (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED)

static void map(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct mm_mmap_args args = { .addr = start, .len = end - start, .prot = PROT_READ | PROT_WRITE,
				     .flags = NORESERVE };
	unsigned long out;

	assert_int_equal(mm_mmap(mm, &args, &out), 0);
}

static void populate(struct mm_struct *mm, unsigned long addr, enum mm_access access)
{
	assert_int_equal(mm_fault(mm, addr, access), MM_FAULT_OK);
}

/* The root is there too. */
static unsigned long tables_of(const struct mm_struct *mm)
{
	return __atomic_load_n(&mm->pt->table_bytes, __ATOMIC_RELAXED) / PAGE_SIZE + 1;
}

static void one_page(struct mm_struct *mm)
{
	map(mm, 1UL << 16, mm->opt.task_size);
	populate(mm, mm->opt.task_size / 2, MM_WRITE);
}

enum { SPREAD = 1000 };

static void spread(struct mm_struct *mm)
{
	unsigned long step = (mm->opt.task_size / SPREAD) & PAGE_MASK;

	for (unsigned long i = 0; i < SPREAD; i++) {
		map(mm, (i + 1) * step - 4 * PAGE_SIZE, (i + 1) * step - 2 * PAGE_SIZE);
		populate(mm, (i + 1) * step - 3 * PAGE_SIZE, MM_WRITE);
	}
}

/* Read, so that the frames are few: there are entries for all pages the same. */
static void a_gigabyte(struct mm_struct *mm)
{
	map(mm, WINDOW, WINDOW + (1UL << 30));
	for (unsigned long at = 0; at < 1UL << 30; at += PAGE_SIZE)
		populate(mm, WINDOW + at, MM_READ);
}

static const struct {
	const char *name;
	void (*fill)(struct mm_struct *mm);
	unsigned long vmas;
} cases[] = {
	{ "one page in the whole range", one_page, 1 },
	{ "1,000 mappings over the whole range", spread, SPREAD },
	{ "1 GiB populated", a_gigabyte, 1 },
};

/* The same for every kind of hardware but for a table or two: one is enough for the summary. */
static const char *prefix(const struct mm_struct *mm)
{
	return mm->opt.geometry == MM_X86_64 ? "# note: " : "# ";
}

static void check(const struct mm_struct *mm, const char *call, size_t i, const struct mmu_work *work,
		  unsigned long tables)
{
	print_message("%s%s, %s: %lu mappings, visited %lu for pages, %lu for reverse maps; %lu tables, entered %lu for "
		      "pages, %lu to free those below; slots %lu and %lu, at most %lu; %lu flushes\n", prefix(mm), call,
		      cases[i].name, cases[i].vmas, work->vmas, work->unlinked, tables, work->tables, work->swept,
		      work->slots, work->swept_slots, tables * PT_ENTRIES, work->flushes);
	assert_int_equal(work->vmas, cases[i].vmas);
	assert_int_equal(work->unlinked, cases[i].vmas);
	assert_int_equal(work->tables, tables);
	/* The lowest tables are freed from above: nobody looks into them again. */
	assert_true(work->swept < tables);
	assert_true(work->slots <= tables * PT_ENTRIES);
	assert_true(work->swept_slots <= tables * PT_ENTRIES);
}

static struct mmu_work work_since(const struct mm_struct *mm, const struct mmu_work *before)
{
	struct mmu_work now = mm->pt->work;

	return (struct mmu_work){
		.vmas = now.vmas - before->vmas,
		.unlinked = now.unlinked - before->unlinked,
		.tables = now.tables - before->tables,
		.slots = now.slots - before->slots,
		.swept = now.swept - before->swept,
		.swept_slots = now.swept_slots - before->swept_slots,
		.flushes = now.flushes - before->flushes,
	};
}

/* One call for all of it, and then what is left is the root. */
static void by_munmap(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct mmu_work before, work;
	unsigned long tables;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cases[i].fill(mm);
		tables = tables_of(mm);
		before = mm->pt->work;
		assert_int_equal(mm_munmap(mm, 0, mm->opt.task_size), 0);
		work = work_since(mm, &before);
		check(mm, "munmap", i, &work, tables);
		assert_int_equal(tables_of(mm), 1);
	}
}

/* The same at the end of an address space, which is looked at by who still holds it. */
static void by_exit(void **state)
{
	struct world *world = world_of(state);
	struct mmu_work before, work;
	struct mm_struct *mm;
	unsigned long tables;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(mm_create(world->ctx, &world->mm->opt, &mm), 0);
		cases[i].fill(mm);
		tables = tables_of(mm);
		before = mm->pt->work;
		mmgrab(mm);
		mm_put(mm);
		work = work_since(mm, &before);
		check(mm, "exit", i, &work, tables);
		mmdrop(mm);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		page_test(by_munmap),
		page_test(by_exit),
	};

	return cmocka_run_group_tests_name("mmu_work", tests, NULL, NULL);
}
