/* SPDX-License-Identifier: MIT */
/* Promise 8: whatever is asked of the library, it answers with an errno. It does not crash, hang, or do half of it. */
#include "support/world.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/*
 * Beyond what the page tables reach, an index begins anew:
 *
 *   address   |  1  | 0x1ff | ... | 12 bits |     finds nothing, and not the page of
 *             |     | 0x1ff | ... | 12 bits |
 */
static void beyond_the_page_tables(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	unsigned long frame = 77, at;
	unsigned char byte = 5;
	struct mm_tlb *tlb;
	void *bytes = NULL;

	map_anon(mm, 0, 1, RW);
	put_byte(mm, 0, 9);
	assert_int_equal(mm_tlb_create(mm, &tlb), 0);
	for (unsigned int bit = 38; bit < 64; bit++) {
		at = AT(0) | 1UL << bit;
		assert_int_equal(mm_read(mm, at, &byte, 1, NULL), MM_FAULT_MAPERR);
		assert_int_equal(mm_write(mm, at, &byte, 1, NULL), MM_FAULT_MAPERR);
		assert_int_equal(mm_peek(mm, at, &byte, 1), -ENODATA);
		assert_int_equal(mm_pin(mm, at, MM_READ, &frame), -EFAULT);
		mm_tlb_begin(tlb);
		assert_int_equal(mm_translate(tlb, at, MM_READ, &bytes), MM_FAULT_MAPERR);
		mm_tlb_end(tlb);
	}
	mm_tlb_destroy(tlb);
	assert_int_equal(byte, 5);
	assert_null(bytes);
	assert_int_equal(get_byte(mm, 0), 9);
}

/* The log is told, once, and nothing is given away that somebody else holds. */
static void unpinned_without_a_pin(void **state)
{
	struct world *world = world_of(state);
	struct mm_page_info info;

	map_anon(world->mm, 0, 1, RW);
	put_byte(world->mm, 0, 3);
	info = info_of(world->mm, 0);
	mm_unpin(world->ctx, info.frame, false);
	assert_int_equal(get_byte(world->mm, 0), 3);
	assert_int_equal(info_of(world->mm, 0).frame, info.frame);
	mm_unpin(world->ctx, FRAMES, true);
	mm_unpin(world->ctx, ~0UL, true);
	valid(world->ctx, world->mm);
	world->complaints = 0;
}

static void unpinned_without_frames(void **state)
{
	struct mm_context *ctx;

	(void)state;
	assert_int_equal(mm_context_create(NULL, &ctx), 0);
	mm_unpin(ctx, 1, true);
	assert_null(mm_frame_bytes(ctx, 1));
	mm_context_destroy(ctx);
}

/* A list that leads back to itself has no end. */
static void a_notifier_twice(void **state)
{
	static const struct mm_notifier_ops ops;
	struct mm_notifier a = { .ops = &ops }, b = { .ops = &ops };
	struct mm_struct *mm = world_of(state)->mm;

	map_anon(mm, 0, 1, RW);
	assert_int_equal(mm_notifier_register(mm, &a), 0);
	assert_int_equal(mm_notifier_register(mm, &b), 0);
	assert_int_equal(mm_notifier_register(mm, &a), -EEXIST);
	assert_int_equal(mm_munmap(mm, AT(0), PAGE_SIZE), 0);
	mm_notifier_unregister(mm, &a);
	mm_notifier_unregister(mm, &a);
	mm_notifier_unregister(mm, &b);
	assert_int_equal(mm_notifier_register(mm, &a), 0);
	mm_notifier_unregister(mm, &a);
}

/* Two contexts never meet: the pages of a file are frames of its own one. */
static void files_of_another_context(void **state)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 64 };
	struct mm_struct *mm = world_of(state)->mm;
	struct mm_mmap_args args = { .addr = AT(0), .len = PAGE_SIZE, .prot = RW, .flags = MAP_SHARED | MAP_FIXED };
	struct mm_adopt_args adopted = { .start = AT(0), .end = AT(1), .flags = VM_READ };
	struct mm_context *other;
	unsigned long at = 7;

	assert_int_equal(mm_context_create(&opt, &other), 0);
	args.file = adopted.file = world_file(other, NULL);
	assert_int_equal(mm_mmap(mm, &args, &at), -EBADF);
	assert_int_equal(mm_get_unmapped_area(mm, &args, &at), -EBADF);
	assert_int_equal(mm_adopt(mm, &adopted), -EINVAL);
	assert_int_equal(at, 7);
	assert_int_equal(vm_file_refs(args.file), 1);
	vm_file_put(args.file);
	mm_context_destroy(other);
}

/* Small pages in the index of an inode of huge ones, or the other way round, would be taken for what they are not. */
static void an_inode_has_one_kind(void **state)
{
	struct mm_context *ctx = world_of(state)->ctx;
	struct vm_file_info info = { .size = sizeof(info), .kind = VM_FILE_SHMEM, .readable = true };
	struct vm_file *file, *other = NULL;

	assert_int_equal(vm_file_create(ctx, &info, &file), 0);
	info.same_inode_as = file;
	info.kind = VM_FILE_HUGETLB;
	assert_int_equal(vm_file_create(ctx, &info, &other), -EINVAL);
	info.kind = VM_FILE_SHMEM;
	assert_int_equal(vm_file_create(ctx, &info, &other), 0);
	vm_file_put(other);
	vm_file_put(file);
}

/* As the kernel has it for memfd_create(MFD_HUGETLB). */
static void part_of_a_huge_page(void **state)
{
	struct vm_file_info info = { .kind = VM_FILE_HUGETLB };
	struct vm_file *file = world_file(world_of(state)->ctx, &info);

	assert_int_equal(vm_file_truncate(file, PAGE_SIZE), -EINVAL);
	assert_int_equal(vm_file_truncate(file, PMD_SIZE + 1), -EINVAL);
	assert_int_equal(vm_file_size(file), UINT64_MAX);
	assert_int_equal(vm_file_truncate(file, PMD_SIZE), 0);
	vm_file_put(file);
}

/* What is adopted has to get its pages from somewhere. */
static void adopted_flags(void **state)
{
	static const unsigned long refused[] = {
		VM_READ | VM_WRITE | VM_SHARED, VM_READ | VM_MAYSHARE, VM_READ | VM_HUGETLB,
		VM_READ | VM_HUGETLB | VM_SHARED | VM_MAYSHARE,
	};
	struct mm_struct *mm = world_of(state)->mm;
	struct mm_adopt_args args = { .start = AT(0), .end = AT(3) };
	struct mm_vma_info vma;
	size_t i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		args.flags = refused[i];
		assert_int_equal(mm_adopt(mm, &args), -EINVAL);
	}
	assert_int_equal(mm_next_vma(mm, 0, &vma), -ENOENT);
	/* Bits that mean something inside only: a promise of huge pages that nobody made, say. */
	args.flags = VM_READ | VM_NEVER_SHOWN;
	assert_int_equal(mm_adopt(mm, &args), 0);
	assert_int_equal(touch(mm, 0, MM_READ), MM_FAULT_OK);
	assert_int_equal(mm_munmap(mm, AT(0), 3 * PAGE_SIZE), 0);
	assert_int_equal(mm_context_huge_promised(mm->ctx), 0);
}

/* A page of 2 MiB belongs to one mapping. */
static void huge_pages_are_not_cut(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct mm_adopt_args args = { .start = WINDOW, .end = WINDOW + 2 * PMD_SIZE, .flags = VM_READ | VM_HUGETLB };

	assert_int_equal(mm_adopt(mm, &args), 0);
	assert_int_equal(mm_adopt_split(mm, WINDOW + PAGE_SIZE), -EINVAL);
	assert_int_equal(mm_adopt_split(mm, WINDOW + PMD_SIZE), 0);
	assert_int_equal(mm_validate(mm), 0);
}

/* Options of a shorter version end where the next page may not be there. */
static void options_of_other_sizes(void **state)
{
	static const size_t sizes[] = { 0, 8, 4096 };
	char *pages = mmap(NULL, 2 * PAGE_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t *size = (size_t *)(void *)(pages + PAGE_SIZE - sizeof(*size));
	struct mm_context *ctx = world_of(state)->ctx, *other = NULL;
	struct mm_struct *mm = NULL;
	struct vm_file *file = NULL;
	size_t i;

	assert_int_equal(munmap(pages + PAGE_SIZE, PAGE_SIZE), 0);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		*size = sizes[i];
		assert_int_equal(mm_context_create((void *)size, &other), -EINVAL);
		assert_int_equal(mm_create(ctx, (void *)size, &mm), -EINVAL);
		assert_int_equal(vm_file_create(ctx, (void *)size, &file), -EINVAL);
	}
	assert_null(other);
	assert_null(mm);
	assert_null(file);
	munmap(pages, PAGE_SIZE);
}

/* Where a mapping would be put is where it is put, in huge pages too. */
static void the_place_of_huge_pages(void **state)
{
	struct mm_context_options opt = { .size = sizeof(opt), .huge_pages = 4 };
	struct mm_mmap_args args = { .len = PAGE_SIZE, .prot = RW, .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB };
	unsigned long would = 1, is = 0;
	struct mm_context *ctx;
	struct mm_struct *mm;

	(void)state;
	assert_int_equal(mm_context_create(&opt, &ctx), 0);
	assert_int_equal(mm_create(ctx, NULL, &mm), 0);
	assert_int_equal(mm_get_unmapped_area(mm, &args, &would), 0);
	assert_int_equal(mm_mmap(mm, &args, &is), 0);
	assert_int_equal(would, is);
	mmput(mm);
	mm_context_destroy(ctx);
}

/* Longer than any file: seen where the user range is longer still. */
static void longer_than_any_file(void **state)
{
	struct mm_options opt = { .size = sizeof(opt), .task_size = -PAGE_SIZE };
	struct mm_mmap_args args = { .len = (1UL << 63) + PAGE_SIZE, .prot = PROT_READ, .flags = MAP_PRIVATE };
	unsigned long at = 0;
	struct mm_context *ctx;
	struct mm_struct *mm;

	(void)state;
	assert_int_equal(mm_context_create(NULL, &ctx), 0);
	assert_int_equal(mm_create(ctx, &opt, &mm), 0);
	args.file = world_file(ctx, NULL);
	assert_int_equal(mm_mmap(mm, &args, &at), -EOVERFLOW);
	vm_file_put(args.file);
	mmput(mm);
	mm_context_destroy(ctx);
}

/* Without a heap there is nothing to move, and no page of it comes to lie at address 0. */
static void no_heap(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct mm_vma_info vma;

	assert_int_equal(mm_brk(mm, PAGE_SIZE), 0);
	assert_int_equal(mm_next_vma(mm, 0, &vma), -ENOENT);
}

/* Promise 2: guards for which there is no memory leave no mark. */
static void guards_without_memory(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct platform *pf = mm_context_platform(mm->ctx);
	unsigned long nth = 0;
	struct mm_vma_info vma;
	int err;

	map_anon(mm, 0, 2, RW);
	do {
		platform_fail_nth(pf, ++nth);
		err = mm_madvise(mm, AT(0), PAGE_SIZE, MADV_GUARD_INSTALL);
		platform_fail_nth(pf, 0);
		assert_int_equal(mm_next_vma(mm, AT(0), &vma), 0);
		assert_true(!(vma.flags & MM_VM_MAYBE_GUARD) == (err != 0));
	} while (err);
	assert_true(nth > 3);
}

/* Where there is no memory for the page nothing is there, but the mapping has its anon_vma (docs/partial.md). */
static void a_write_without_a_page(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct platform *pf = mm_context_platform(mm->ctx);
	enum mm_fault fault;
	unsigned long nth = 0;
	struct mm_vma_info vma;
	bool kept = false;

	map_anon(mm, 0, 2, RW);
	do {
		pages_are(mm, 0, "..");
		platform_fail_nth(pf, ++nth);
		fault = touch(mm, 0, MM_WRITE);
		platform_fail_nth(pf, 0);
		assert_true(fault == MM_FAULT_OK || fault == MM_FAULT_OOM);
		assert_int_equal(mm_next_vma(mm, AT(0), &vma), 0);
		kept |= fault == MM_FAULT_OOM && vma.has_anon_vma;
	} while (fault != MM_FAULT_OK);
	assert_true(kept);
	pages_are(mm, 0, "A.");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		page_test(beyond_the_page_tables), page_test(unpinned_without_a_pin), page_test(a_notifier_twice),
		page_test(files_of_another_context), page_test(an_inode_has_one_kind), page_test(adopted_flags),
		page_test(huge_pages_are_not_cut), page_test(part_of_a_huge_page), page_test(options_of_other_sizes),
		page_test(no_heap), page_test(guards_without_memory),
		page_test(a_write_without_a_page),
		cmocka_unit_test(unpinned_without_frames),
		cmocka_unit_test(the_place_of_huge_pages), cmocka_unit_test(longer_than_any_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
