/* SPDX-License-Identifier: MIT */
/* The memory itself: bytes, translations that are remembered, pins, and what was written to. */
#include "support/world.h"

#include <errno.h>

static void bytes_across_pages(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	static unsigned char in[3 * PAGE_SIZE], out[3 * PAGE_SIZE];
	size_t i, done;

	for (i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)(i * 7 + i / 256);
	map_anon(mm, 0, 4, RW);
	assert_int_equal(mm_write(mm, AT(0) + 100, in, sizeof(in), &done), MM_FAULT_OK);
	assert_int_equal(done, sizeof(in));
	assert_int_equal(mm_read(mm, AT(0) + 100, out, sizeof(out), &done), MM_FAULT_OK);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(mm_read(mm, AT(4) - 5, out, 10, &done), MM_FAULT_MAPERR);
	assert_int_equal(done, 5);
	assert_int_equal(mm_read(mm, AT(9), out, 0, &done), MM_FAULT_OK);
	assert_int_equal(done, 0);
}

/* Nothing is touched by a peek: not the page tables, not the page. */
static void peeking(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	unsigned char byte;

	map_anon(mm, 0, 3, RW);
	assert_int_equal(mm_peek(mm, AT(0), &byte, 1), -ENODATA);
	pages_are(mm, 0, "...");
	put_byte(mm, 1, 9);
	assert_int_equal(mm_mprotect(mm, AT(1), PAGE_SIZE, PROT_NONE), 0);
	assert_int_equal(mm_peek(mm, AT(1), &byte, 1), 0);
	assert_int_equal(byte, 9);
	assert_int_equal(mm_peek(mm, AT(2) - 1, &byte, 2), -ENODATA);
}

static unsigned char *translate(struct mm_tlb *tlb, unsigned long page, enum mm_access access, enum mm_fault wanted)
{
	void *at = NULL;

	assert_int_equal(mm_translate(tlb, AT(page), access, &at), wanted);
	assert_true((at != NULL) == (wanted == MM_FAULT_OK));
	return at;
}

/* What is remembered is forgotten when the page tables change: by unmap, protection, fork, discard. */
static void translations(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;
	unsigned char *at;
	struct mm_tlb *tlb;

	map_anon(mm, 0, 4, RW);
	assert_int_equal(mm_tlb_create(mm, &tlb), 0);
	mm_tlb_begin(tlb);
	assert_int_equal(*translate(tlb, 0, MM_READ, MM_FAULT_OK), 0);
	at = translate(tlb, 0, MM_WRITE, MM_FAULT_OK);
	*at = 5;
	/* The zero page was remembered for reading, and is no more. */
	assert_ptr_equal(translate(tlb, 0, MM_READ, MM_FAULT_OK), at);
	assert_ptr_equal(translate(tlb, 0, MM_WRITE, MM_FAULT_OK), at);
	translate(tlb, 9, MM_READ, MM_FAULT_MAPERR);
	mm_tlb_end(tlb);
	assert_int_equal(get_byte(mm, 0), 5);

	assert_int_equal(mm_fork(mm, &child), 0);
	mm_tlb_begin(tlb);
	*translate(tlb, 0, MM_WRITE, MM_FAULT_OK) = 6;
	mm_tlb_end(tlb);
	assert_int_equal(get_byte(child, 0), 5);
	mmput(child);

	assert_int_equal(mm_mprotect(mm, AT(0), PAGE_SIZE, PROT_READ), 0);
	mm_tlb_begin(tlb);
	translate(tlb, 0, MM_WRITE, MM_FAULT_ACCERR);
	assert_int_equal(*translate(tlb, 0, MM_READ, MM_FAULT_OK), 6);
	mm_tlb_end(tlb);
	assert_int_equal(mm_madvise(mm, AT(0), PAGE_SIZE, MADV_DONTNEED), 0);
	mm_tlb_begin(tlb);
	assert_int_equal(*translate(tlb, 0, MM_READ, MM_FAULT_OK), 0);
	mm_tlb_end(tlb);
	assert_int_equal(mm_munmap(mm, AT(0), PAGE_SIZE), 0);
	mm_tlb_begin(tlb);
	translate(tlb, 0, MM_READ, MM_FAULT_MAPERR);
	mm_tlb_end(tlb);
	mm_tlb_destroy(tlb);
}

/* Without memory a TLB is not made; one may outlive the users of its address space. */
static void a_tlb_holds(void **state)
{
	struct world *p = world_of(state);
	struct mm_struct *mm;
	struct mm_tlb *tlb = NULL;
	struct mm_options opt = { .size = sizeof(opt), .geometry = p->geometry, .task_size = 1UL << 38 };

	platform_fail_nth(mm_context_platform(p->ctx), 1);
	assert_int_equal(mm_tlb_create(p->mm, &tlb), -ENOMEM);
	platform_fail_nth(mm_context_platform(p->ctx), 0);
	assert_null(tlb);
	assert_int_equal(mm_create(p->ctx, &opt, &mm), 0);
	map_anon(mm, 0, 1, RW);
	assert_int_equal(mm_tlb_create(mm, &tlb), 0);
	mm_tlb_begin(tlb);
	*translate(tlb, 0, MM_WRITE, MM_FAULT_OK) = 1;
	mm_tlb_end(tlb);
	mmput(mm);
	mm_tlb_begin(tlb);
	translate(tlb, 0, MM_READ, MM_FAULT_MAPERR);
	mm_tlb_end(tlb);
	mm_tlb_destroy(tlb);
}

static void pins(void **state)
{
	struct world *p = world_of(state);
	unsigned long frame;

	map_anon(p->mm, 0, 2, RW);
	map_anon(p->mm, 2, 1, PROT_READ);
	assert_int_equal(mm_pin(p->mm, AT(2), MM_WRITE, &frame), -EFAULT);
	assert_int_equal(mm_pin(p->mm, AT(5), MM_READ, &frame), -EFAULT);
	assert_int_equal(mm_pin(p->mm, AT(0), MM_WRITE, &frame), 0);
	assert_true(info_of(p->mm, 0).pinned);
	*(unsigned char *)mm_frame_bytes(p->ctx, frame) = 77;
	assert_int_equal(get_byte(p->mm, 0), 77);
	assert_int_equal(mm_munmap(p->mm, AT(0), PAGE_SIZE), 0);
	assert_int_equal(*(unsigned char *)mm_frame_bytes(p->ctx, frame), 77);
	mm_unpin(p->ctx, frame, true);
	/* The page of zeroes needs no pin. */
	assert_int_equal(mm_pin(p->mm, AT(1), MM_READ, &frame), 0);
	assert_true(info_of(p->mm, 1).zero);
	mm_unpin(p->ctx, frame, false);
	assert_null(mm_frame_bytes(p->ctx, FRAMES));
}

static uint64_t collect(struct mm_struct *mm, unsigned long pages)
{
	uint64_t bitmap = ~0ull;
	long found = mm_dirty_collect(mm, AT(0), pages * PAGE_SIZE, &bitmap);

	assert_int_equal(found, __builtin_popcountll(bitmap));
	return bitmap;
}

/* Each write is told once: whoever made it, through whatever translation. */
static void what_was_written(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = world_file(world_of(state)->ctx, NULL);
	struct mm_tlb *tlb;

	map_anon(mm, 0, 8, RW);
	map_file(mm, 8, 4, RW, MAP_SHARED, file, 0);
	assert_int_equal(mm_tlb_create(mm, &tlb), 0);
	put_byte(mm, 1, 1);
	touch(mm, 2, MM_READ);
	touch(mm, 3, MM_WRITE);
	touch(mm, 9, MM_READ);
	put_byte(mm, 10, 1);
	assert_int_equal(collect(mm, 12), 0x40a);
	assert_int_equal(collect(mm, 12), 0);
	mm_tlb_begin(tlb);
	*translate(tlb, 1, MM_WRITE, MM_FAULT_OK) = 1;
	mm_tlb_end(tlb);
	assert_int_equal(collect(mm, 12), 2);
	mm_tlb_begin(tlb);
	translate(tlb, 1, MM_READ, MM_FAULT_OK);
	*translate(tlb, 3, MM_WRITE, MM_FAULT_OK) = 1;
	mm_tlb_end(tlb);
	assert_int_equal(collect(mm, 12), 8);
	/* The file's page stays newer than the file. */
	assert_true(page_has(pfn_to_page(mm->pt->pool, (pfn_t)info_of(mm, 10).frame), PG_DIRTY));
	assert_int_equal(mm_dirty_collect(mm, AT(0) + 1, PAGE_SIZE, &(uint64_t){ 0 }), -EINVAL);
	mm_tlb_destroy(tlb);
	vm_file_put(file);
}

/* Where there are no page tables there are no bytes, and everything says so. */
static void without_page_tables(void **state)
{
	struct mm_context *ctx;
	struct mm_struct *mm;
	struct mm_tlb *tlb;
	unsigned long frame;
	unsigned char byte = 1;
	struct mm_page_info info;

	(void)state;
	assert_int_equal(mm_context_create(NULL, &ctx), 0);
	assert_int_equal(mm_create(ctx, NULL, &mm), 0);
	map_anon(mm, 0, 1, RW);
	assert_int_equal(touch(mm, 0, MM_WRITE), MM_FAULT_OK);
	assert_int_equal(mm_read(mm, AT(0), &byte, 1, NULL), MM_FAULT_BUS);
	assert_int_equal(mm_peek(mm, AT(0), &byte, 1), -ENODATA);
	assert_int_equal(mm_tlb_create(mm, &tlb), -EINVAL);
	assert_int_equal(mm_pin(mm, AT(0), MM_READ, &frame), -EINVAL);
	assert_int_equal(mm_page_info(mm, AT(0), &info), 0);
	assert_false(info.present);
	assert_null(mm_frame_bytes(ctx, 1));
	assert_int_equal(mm_swapon(ctx, 10), -EINVAL);
	mmput(mm);
	mm_context_destroy(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		page_test(bytes_across_pages), page_test(peeking), page_test(translations), page_test(a_tlb_holds),
		page_test(pins), page_test(what_was_written), cmocka_unit_test(without_page_tables),
	};

	return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
