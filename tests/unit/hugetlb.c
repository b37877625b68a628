/* SPDX-License-Identifier: MIT */
/* Pages of 2 MiB: one leaf a level up, faulted, shared, copied and taken away whole. */
#include "support/world.h"

#define HUGE_PAGES PT_ENTRIES

static void map_huge(struct mm_struct *mm, unsigned long at, unsigned long huge_pages, unsigned long flags,
		     struct vm_file *file)
{
	struct vm_area_struct *vma;

	map_file(mm, at, huge_pages * HUGE_PAGES, RW, flags, file, 0);
	mmap_write_lock(mm);
	vma = vma_lookup(mm, AT(at));
	vma_start_write(vma);
	vma->vm_flags |= VM_HUGETLB;
	mmap_write_unlock(mm);
}

/* A read gets a page of its own: there is no large page of zeroes. Nothing but the leaf is made. */
static void faulted_whole(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct mm_page_info info;

	map_huge(mm, 0, 2, MAP_PRIVATE, NULL);
	assert_int_equal(touch(mm, 3, MM_WRITE), MM_FAULT_OK);
	info = info_of(mm, 100);
	assert_true(info.huge && info.writable && info.exclusive);
	assert_int_equal(info.frame, info_of(mm, 0).frame + 100);
	assert_int_equal(info.frame % HUGE_PAGES, 100);
	assert_false(info_of(mm, HUGE_PAGES).present);
	assert_int_equal(get_mm_counter(mm->pt, MM_HUGEPAGES), HUGE_PAGES);
	put_byte(mm, 511, 9);
	assert_int_equal(get_byte(mm, 511), 9);
	assert_int_equal(get_byte(mm, 510), 0);
	valid(world_of(state)->ctx, mm);
}

static void copied_on_write(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;
	unsigned long frame;

	map_huge(mm, 0, 1, MAP_PRIVATE, NULL);
	put_byte(mm, 7, 1);
	frame = info_of(mm, 0).frame;
	assert_int_equal(mm_fork(mm, &child), 0);
	assert_int_equal(info_of(child, 0).frame, frame);
	assert_false(info_of(mm, 0).writable);
	put_byte(child, 7, 2);
	assert_int_equal(get_byte(mm, 7), 1);
	assert_int_equal(get_byte(child, 7), 2);
	valid(world_of(state)->ctx, mm, child);
	/* Taken back without a copy. */
	put_byte(mm, 8, 3);
	assert_int_equal(info_of(mm, 0).frame, frame);
	mmput(child);
}

static void shared_file(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;
	struct vm_file *file = world_file(world_of(state)->ctx, &(struct vm_file_info){ .kind = VM_FILE_SHMEM,
									       .sized = true, .bytes = PMD_SIZE });

	map_huge(mm, 0, 2, MAP_SHARED, file);
	put_byte(mm, 5, 1);
	assert_int_equal(mm_fork(mm, &child), 0);
	put_byte(child, 6, 2);
	assert_int_equal(get_byte(mm, 6), 2);
	assert_int_equal(get_byte(child, 5), 1);
	assert_int_equal(touch(mm, HUGE_PAGES, MM_READ), MM_FAULT_BUS);
	valid(world_of(state)->ctx, mm, child);
	mmput(child);
	vm_file_put(file);
}

/* Promise 1. A hole takes whole pages; what it has of others is zeroed, in place. Proven by the kernel: samara diff draws it.
 *
 *   page    |000000|111111|222222|
 *   hole         |--------|--|
 *   after   |0000..|      |..2222|
 */
static void punched(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = world_file(world_of(state)->ctx, &(struct vm_file_info){ .kind = VM_FILE_SHMEM,
									       .sized = true, .bytes = 3 * PMD_SIZE });
	unsigned long i, frame;

	map_huge(mm, 0, 3, MAP_SHARED, file);
	/* The pool of a context is another matter. */
	file->info.kind = VM_FILE_HUGETLB;
	for (i = 0; i < 3 * HUGE_PAGES; i += 4)
		put_byte(mm, i, 1);
	frame = info_of(mm, 0).frame;
	assert_int_equal(mm_madvise(mm, AT(HUGE_PAGES - 8), PMD_SIZE + 16 * PAGE_SIZE, MADV_REMOVE), 0);
	assert_int_equal(info_of(mm, 0).frame, frame);
	assert_false(info_of(mm, HUGE_PAGES).present);
	assert_true(info_of(mm, 2 * HUGE_PAGES).present);
	assert_int_equal(get_byte(mm, HUGE_PAGES - 12), 1);
	assert_int_equal(get_byte(mm, HUGE_PAGES - 8), 0);
	assert_int_equal(get_byte(mm, HUGE_PAGES - 4), 0);
	assert_int_equal(get_byte(mm, HUGE_PAGES), 0);
	assert_int_equal(get_byte(mm, 2 * HUGE_PAGES + 4), 0);
	assert_int_equal(get_byte(mm, 2 * HUGE_PAGES + 8), 1);
	/* All of it within one page, which stays. */
	assert_int_equal(mm_madvise(mm, AT(4), 2 * PAGE_SIZE, MADV_REMOVE), 0);
	assert_int_equal(get_byte(mm, 0), 1);
	assert_int_equal(get_byte(mm, 4), 0);
	assert_int_equal(get_byte(mm, 8), 1);
	assert_int_equal(info_of(mm, 0).frame, frame);
	valid(world_of(state)->ctx, mm);
	assert_int_equal(mm_munmap(mm, AT(0), 3 * PMD_SIZE), 0);
	file->info.kind = VM_FILE_SHMEM;
	vm_file_put(file);
}

/* Promise 1. What is not mapped is in core if the file has it, but not where there is a table for the entry already. */
static void in_core(void **state)
{
	const unsigned long far = 1UL << 18;	/* 1 GiB on: other tables */
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = world_file(world_of(state)->ctx, &(struct vm_file_info){ .kind = VM_FILE_SHMEM,
									       .sized = true, .bytes = 2 * PMD_SIZE });
	unsigned char vec[2 * HUGE_PAGES];

	map_huge(mm, 0, 2, MAP_SHARED, file);
	put_byte(mm, 5, 1);
	map_huge(mm, 2 * HUGE_PAGES, 2, MAP_PRIVATE, file);
	map_huge(mm, far, 3, MAP_PRIVATE, file);
	assert_int_equal(mm_mincore(mm, AT(0), 2 * PMD_SIZE, vec), 0);
	assert_true(vec[0] == 1 && vec[HUGE_PAGES - 1] == 1 && vec[HUGE_PAGES] == 0);
	assert_int_equal(mm_mincore(mm, AT(2 * HUGE_PAGES), 2 * PMD_SIZE, vec), 0);
	assert_true(vec[0] == 0 && vec[HUGE_PAGES] == 0);
	assert_int_equal(mm_mincore(mm, AT(far), 2 * PMD_SIZE, vec), 0);
	assert_true(vec[0] == 1 && vec[HUGE_PAGES - 1] == 1 && vec[HUGE_PAGES] == 0);
	/* Whoever looks for a page in vain has made the table, too. */
	assert_int_equal(touch(mm, far + 2 * HUGE_PAGES, MM_READ), MM_FAULT_BUS);
	assert_int_equal(mm_mincore(mm, AT(far), 2 * PMD_SIZE, vec), 0);
	assert_true(vec[0] == 0 && vec[HUGE_PAGES] == 0);
	valid(world_of(state)->ctx, mm);
	assert_int_equal(mm_munmap(mm, AT(0), 2 * PMD_SIZE), 0);
	vm_file_put(file);
}

/* Promise 1. So has he who looks for a small page in vain, in the same GiB. */
static void in_core_beside_a_short_file(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = world_file(world_of(state)->ctx, &(struct vm_file_info){ .kind = VM_FILE_SHMEM,
									       .sized = true, .bytes = PMD_SIZE });
	struct vm_file *small = world_file(world_of(state)->ctx, &(struct vm_file_info){ .kind = VM_FILE_SHMEM,
									       .sized = true, .bytes = PAGE_SIZE });
	const unsigned long far = 1UL << 18;
	unsigned char in;

	map_huge(mm, far, 1, MAP_SHARED, file);
	put_byte(mm, far, 1);
	map_huge(mm, 0, 1, MAP_PRIVATE, file);
	map_file(mm, HUGE_PAGES, 2, RW, MAP_SHARED, small, 0);
	assert_int_equal(mm_mincore(mm, AT(0), PAGE_SIZE, &in), 0);
	assert_int_equal(in, 1);
	assert_int_equal(touch(mm, HUGE_PAGES + 1, MM_READ), MM_FAULT_BUS);
	assert_int_equal(mm_mincore(mm, AT(0), PAGE_SIZE, &in), 0);
	assert_int_equal(in, 0);
	valid(world_of(state)->ctx, mm);
	assert_int_equal(mm_munmap(mm, AT(0), PMD_SIZE + 2 * PAGE_SIZE), 0);
	vm_file_put(small);
	vm_file_put(file);
}

/* Promise 1. A hole takes the promise of a page that it takes, and not that of one that was never there. */
static void promises_in_a_hole(void **state)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 1UL << 13, .huge_pages = 3 };
	struct mm_mmap_args args = { .len = 2 * PMD_SIZE, .prot = PROT_READ | PROT_WRITE,
				     .flags = MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB };
	unsigned long shared, private, byte = 1;
	struct mm_context *ctx;
	struct mm_struct *mm;

	assert_int_equal(mm_context_create(&opt, &ctx), 0);
	assert_int_equal(mm_create(ctx, NULL, &mm), 0);
	assert_int_equal(mm_mmap(mm, &args, &shared), 0);
	assert_int_equal(mm_write(mm, shared, &byte, 1, NULL), MM_FAULT_OK);
	assert_int_equal(mm_context_huge_promised(ctx), 2);
	assert_int_equal(mm_madvise(mm, shared, 2 * PMD_SIZE, MADV_REMOVE), 0);
	assert_int_equal(mm_context_huge_promised(ctx), 1);
	/* The place is taken by who is promised it now; a touch of the hole finds no page. */
	args.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
	assert_int_equal(mm_mmap(mm, &args, &private), 0);
	assert_int_equal(mm_fault(mm, shared, MM_WRITE), MM_FAULT_BUS);
	assert_int_equal(mm_fault(mm, shared + PMD_SIZE, MM_WRITE), MM_FAULT_OK);
	assert_int_equal(mm_munmap(mm, private, 2 * PMD_SIZE), 0);
	assert_int_equal(mm_context_huge_promised(ctx), 1);
	assert_int_equal(mm_fault(mm, shared, MM_WRITE), MM_FAULT_OK);
	assert_int_equal(mm_context_huge_promised(ctx), 2);
	assert_int_equal(mm_validate(mm), 0);
	mmput(mm);
	assert_int_equal(mm_context_huge_promised(ctx), 0);
	mm_context_destroy(ctx);
}

/* No large frame left: a bus error, as from an empty pool; and with one given back, none. */
static void none_left(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	unsigned long i;

	map_huge(mm, 0, FRAMES / HUGE_PAGES + 1, MAP_PRIVATE, NULL);
	for (i = 0; touch(mm, i * HUGE_PAGES, MM_WRITE) == MM_FAULT_OK; i++)
		;
	assert_in_range(i, 2, FRAMES / HUGE_PAGES);
	assert_int_equal(touch(mm, i * HUGE_PAGES, MM_WRITE), MM_FAULT_BUS);
	assert_int_equal(mm_munmap(mm, AT(0), PMD_SIZE), 0);
	assert_int_equal(touch(mm, i * HUGE_PAGES, MM_WRITE), MM_FAULT_OK);
	assert_int_equal(get_mm_counter(mm->pt, MM_HUGEPAGES), i * HUGE_PAGES);
	valid(world_of(state)->ctx, mm);
}

/* Pinned, a child gets a copy at once. */
static void pinned(void **state)
{
	struct world *w = world_of(state);
	struct mm_struct *child;
	unsigned long frame;

	map_huge(w->mm, 0, 1, MAP_PRIVATE, NULL);
	put_byte(w->mm, 9, 1);
	assert_int_equal(mm_pin(w->mm, AT(9), MM_WRITE, &frame), 0);
	assert_int_equal(frame, info_of(w->mm, 9).frame);
	assert_int_equal(mm_fork(w->mm, &child), 0);
	assert_true(info_of(w->mm, 0).writable);
	assert_int_not_equal(info_of(child, 9).frame, frame);
	assert_int_equal(get_byte(child, 9), 1);
	valid(w->ctx, w->mm, child);
	mmput(child);
	mm_unpin(w->ctx, frame, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		page_test(faulted_whole), page_test(copied_on_write), page_test(shared_file), page_test(none_left),
		page_test(pinned), page_test(punched), page_test(in_core),
		page_test(in_core_beside_a_short_file), cmocka_unit_test(promises_in_a_hole),
	};

	return cmocka_run_group_tests_name("hugetlb", tests, NULL, NULL);
}
