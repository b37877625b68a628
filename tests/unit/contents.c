/* SPDX-License-Identifier: MIT */
/*
 * What lies behind the addresses: pages that faults bring, calls move and take away, and a fork shares.
 *
 * Drawings have two letters for a page: A a private page that nobody else maps, a one that others map too, z the
 * zero page, F a file's, G a guard marker, - nothing; and the value that the page's last byte holds.
 */
#define _GNU_SOURCE
#include "support/world.h"

#include <errno.h>
#include <string.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static struct mm_struct *mm_of(void **state)
{
	return world_of(state)->mm;
}

/* Frames and tables in use. */
static unsigned long used_by(struct mm_context *ctx)
{
	/* What waits for a grace period still counts. */
	samara_rcu_barrier();
	return frame_pool_used(ctx->frames);
}

/* The last byte says more than the first: that all of the page was copied, or cleared. */
static enum mm_fault page_try_put(struct mm_struct *mm, unsigned long at, int value)
{
	unsigned char byte = (unsigned char)value;

	return mm_write(mm, AT(at + 1) - 1, &byte, 1, NULL);
}

static void page_put(struct mm_struct *mm, unsigned long at, int value)
{
	assert_int_equal(page_try_put(mm, at, value), MM_FAULT_OK);
}

static int page_get(struct mm_struct *mm, unsigned long at)
{
	unsigned char byte = 255;

	assert_int_equal(mm_read(mm, AT(at + 1) - 1, &byte, 1, NULL), MM_FAULT_OK);
	return byte;
}

static unsigned long page_frame(struct mm_struct *mm, unsigned long at)
{
	struct mm_page_info info = info_of(mm, at);

	assert_true(info.present);
	return info.frame;
}

static char kind_of(const struct mm_page_info *info)
{
	if (info->guard)
		return 'G';
	if (!info->present)
		return '-';
	if (info->zero)
		return 'z';
	if (info->file_or_shared)
		return 'F';
	return info->exclusive ? 'A' : 'a';
}

static void draw_page(struct mm_struct *mm, unsigned long at, char out[3])
{
	struct mm_page_info info = info_of(mm, at);
	unsigned char byte = 0;

	out[0] = out[1] = kind_of(&info);
	if (info.present) {
		assert_int_equal(mm_peek(mm, AT(at + 1) - 1, &byte, 1), 0);
		out[1] = (char)('0' + byte);
	}
	out[2] = ' ';
}

static void assert_contents(struct mm_struct *mm, const char *drawing, int line)
{
	size_t pages = (strlen(drawing) + 1) / 3;
	char found[256] = "";

	for (size_t at = 0; at < pages; at++)
		draw_page(mm, at, &found[at * 3]);
	found[pages * 3 - 1] = '\0';
	if (strcmp(found, drawing) == 0)
		return;
	print_error("line %d: pages are \"%s\", expected \"%s\"\n", line, found, drawing);
	fail();
}

#define contents_are(mm, drawing) assert_contents((mm), (drawing), __LINE__)

/* A copy that runs into a hole ends there and says how far it got. */
static void partial_copy(void **state)
{
	struct mm_struct *mm = mm_of(state);
	char buf[2 * PAGE_SIZE];
	size_t done = 0;

	memset(buf, 3, sizeof(buf));
	map_anon(mm, 0, 1, RW);
	assert_int_equal(mm_write(mm, AT(0) + 100, buf, sizeof(buf), &done), MM_FAULT_MAPERR);
	assert_int_equal(done, PAGE_SIZE - 100);
	assert_int_equal(mm_read(mm, AT(0) + 100, buf, sizeof(buf), &done), MM_FAULT_MAPERR);
	assert_int_equal(done, PAGE_SIZE - 100);
	contents_are(mm, "A3 --");
}

/* B3, B10. What is unmapped is gone, and its frame is free; what is mapped there anew begins empty.
 *
 *   before  A1 A2 A3 z0
 *   unmap      |-----|
 *   after   A1 -- -- z0
 */
static void unmap(void **state)
{
	struct mm_struct *mm = mm_of(state);
	unsigned long used;

	map_anon(mm, 0, 4, RW);
	for (int i = 0; i < 3; i++)
		page_put(mm, (unsigned long)i, i + 1);
	page_get(mm, 3);
	used = used_by(world_of(state)->ctx);
	assert_int_equal(mm_munmap(mm, AT(1), 2 * PAGE_SIZE), 0);
	contents_are(mm, "A1 -- -- z0");
	assert_int_equal(used_by(world_of(state)->ctx), used - 2);
	map_anon(mm, 1, 2, RW);
	assert_int_equal(page_get(mm, 1), 0);
	contents_are(mm, "A1 z0 -- z0");
}

/* B4, C4. With the last mapping the tables go; those that a neighbour still uses stay. */
static void tables_go(void **state)
{
	struct mm_struct *mm = mm_of(state);
	unsigned long empty = used_by(world_of(state)->ctx), one;

	map_anon(mm, 0, 1, RW);
	page_put(mm, 0, 1);
	one = used_by(world_of(state)->ctx);
	assert_true(one > empty + 1);
	/* The same lowest table, another one, and one far away. */
	map_anon(mm, 8, 1, RW);
	map_anon(mm, 600, 1, RW);
	map_anon(mm, 1 << 20, 1, RW);
	page_put(mm, 8, 2);
	page_put(mm, 600, 3);
	page_put(mm, 1 << 20, 4);
	assert_int_equal(mm_munmap(mm, AT(8), PAGE_SIZE << 20), 0);
	assert_int_equal(used_by(world_of(state)->ctx), one);
	assert_int_equal(page_get(mm, 0), 1);
	assert_int_equal(mm_munmap(mm, AT(0), PAGE_SIZE), 0);
	assert_int_equal(used_by(world_of(state)->ctx), empty);
}

/* B7. Mapped over: the new mapping begins empty, its neighbours keep what they have. */
static void map_over(void **state)
{
	struct mm_struct *mm = mm_of(state);

	map_anon(mm, 0, 3, RW);
	for (int i = 0; i < 3; i++)
		page_put(mm, (unsigned long)i, i + 1);
	map_anon(mm, 1, 1, RW);
	contents_are(mm, "A1 -- A3");
}

/* B9. MADV_DONTNEED takes pages and leaves mapping and guard markers. */
static void dontneed(void **state)
{
	struct mm_struct *mm = mm_of(state);
	struct mm_counters before, after;

	map_anon(mm, 0, 4, RW);
	for (int i = 0; i < 4; i++)
		page_put(mm, (unsigned long)i, i + 1);
	assert_int_equal(mm_madvise(mm, AT(1), PAGE_SIZE, MADV_GUARD_INSTALL), 0);
	contents_are(mm, "A1 GG A3 A4");
	assert_int_equal(page_try_put(mm, 1, 9), MM_FAULT_MAPERR);
	mm_read_counters(mm, &before);
	assert_int_equal(mm_madvise(mm, AT(0), 3 * PAGE_SIZE, MADV_DONTNEED), 0);
	mm_read_counters(mm, &after);
	assert_int_equal(after.map_count, before.map_count);
	contents_are(mm, "-- GG -- A4");
	assert_int_equal(page_get(mm, 0), 0);
	assert_int_equal(mm_madvise(mm, AT(1), PAGE_SIZE, MADV_GUARD_REMOVE), 0);
	assert_int_equal(page_get(mm, 1), 0);
	contents_are(mm, "z0 z0 -- A4");
}

/* B9. A lowest table that gets empty by MADV_DONTNEED goes, as on Linux. */
static void dontneed_frees_a_table(void **state)
{
	struct mm_struct *mm = mm_of(state);
	unsigned long empty, used;

	map_anon(mm, 0, 1024, RW);
	page_put(mm, 0, 1);
	empty = used_by(world_of(state)->ctx);
	page_put(mm, 512, 1);
	used = used_by(world_of(state)->ctx);
	assert_int_equal(used, empty + 2);
	assert_int_equal(mm_madvise(mm, AT(512), 512 * PAGE_SIZE, MADV_DONTNEED), 0);
	assert_int_equal(used_by(world_of(state)->ctx), empty);
	assert_int_equal(page_get(mm, 512), 0);
}

/* B10. Unmapping drops markers as it drops pages: mapped anew, the place is free of them. */
static void unmap_drops_guards(void **state)
{
	struct mm_struct *mm = mm_of(state);

	map_anon(mm, 0, 2, RW);
	page_put(mm, 0, 1);
	assert_int_equal(mm_madvise(mm, AT(0), 2 * PAGE_SIZE, MADV_GUARD_INSTALL), 0);
	contents_are(mm, "GG GG");
	assert_int_equal(mm_munmap(mm, AT(0), 2 * PAGE_SIZE), 0);
	map_anon(mm, 0, 2, RW);
	contents_are(mm, "-- --");
	assert_int_equal(page_get(mm, 1), 0);
}

/* Access is taken away and given back; contents stay, and rights are those of the moment. */
static void protect(void **state)
{
	struct mm_struct *mm = mm_of(state);

	map_anon(mm, 0, 2, RW);
	page_put(mm, 0, 1);
	page_get(mm, 1);
	assert_int_equal(mm_mprotect(mm, AT(0), 2 * PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(page_try_put(mm, 0, 2), MM_FAULT_ACCERR);
	assert_int_equal(page_get(mm, 0), 1);
	assert_int_equal(mm_mprotect(mm, AT(0), 2 * PAGE_SIZE, PROT_NONE), 0);
	assert_int_equal(mm_fault(mm, AT(0), MM_READ), MM_FAULT_ACCERR);
	contents_are(mm, "A1 z0");
	assert_int_equal(mm_mprotect(mm, AT(0), 2 * PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	page_put(mm, 1, 3);
	contents_are(mm, "A1 A3");
}

/* A move takes the pages along: the frames are the same. */
static void move(void **state)
{
	struct mm_struct *mm = mm_of(state);
	struct mm_mremap_args args = { .addr = AT(0), .old_len = 3 * PAGE_SIZE, .new_len = 3 * PAGE_SIZE,
				       .flags = MREMAP_MAYMOVE | MREMAP_FIXED, .new_addr = AT(4) };
	unsigned long out, frame;

	map_anon(mm, 0, 3, RW);
	page_put(mm, 0, 1);
	page_put(mm, 2, 3);
	frame = page_frame(mm, 0);
	assert_int_equal(mm_mremap(mm, &args, &out), 0);
	contents_are(mm, "-- -- -- -- A1 -- A3");
	assert_int_equal(page_frame(mm, 4), frame);
}

/* Over the border of a lowest table, and by whole tables at once. */
static void move_tables(void **state)
{
	struct mm_struct *mm = mm_of(state);
	struct mm_mremap_args args = { .addr = AT(0), .old_len = 1024 * PAGE_SIZE, .new_len = 1024 * PAGE_SIZE,
				       .flags = MREMAP_MAYMOVE | MREMAP_FIXED, .new_addr = AT(4096) };
	unsigned long out;

	map_anon(mm, 0, 1024, RW);
	page_put(mm, 0, 1);
	page_put(mm, 511, 2);
	page_put(mm, 512, 3);
	page_put(mm, 1023, 4);
	assert_int_equal(mm_mremap(mm, &args, &out), 0);
	args = (struct mm_mremap_args){ .addr = AT(4096), .old_len = 1024 * PAGE_SIZE, .new_len = 1024 * PAGE_SIZE,
					.flags = MREMAP_MAYMOVE | MREMAP_FIXED, .new_addr = AT(5) };
	assert_int_equal(mm_mremap(mm, &args, &out), 0);
	assert_int_equal(page_get(mm, 5), 1);
	assert_int_equal(page_get(mm, 5 + 511), 2);
	assert_int_equal(page_get(mm, 5 + 512), 3);
	assert_int_equal(page_get(mm, 5 + 1023), 4);
}

/* E2. What a child does not get: pages of mappings that are left out, and of those that are emptied. */
static void not_for_children(void **state)
{
	struct mm_struct *mm = mm_of(state), *child;

	map_anon(mm, 0, 4, RW);
	for (int i = 0; i < 4; i++)
		page_put(mm, (unsigned long)i, i + 1);
	assert_int_equal(mm_madvise(mm, AT(1), PAGE_SIZE, MADV_DONTFORK), 0);
	assert_int_equal(mm_madvise(mm, AT(2), PAGE_SIZE, MADV_WIPEONFORK), 0);
	assert_int_equal(mm_fork(mm, &child), 0);
	contents_are(mm, "a1 A2 A3 a4");
	contents_are(child, "a1 -- -- a4");
	assert_int_equal(page_try_put(child, 1, 5), MM_FAULT_MAPERR);
	assert_int_equal(page_get(child, 2), 0);
	mm_put(child);
}

/* F1, F3, F4. Any allocation of a fork fails: the parent has what it had, and its next writes copy nothing. */
static void failed_fork(void **state)
{
	struct platform *pf = mm_context_platform(world_of(state)->ctx);
	struct mm_struct *mm = mm_of(state), *child;
	unsigned long frames[4], used;
	long points = 0;
	int err;

	map_anon(mm, 0, 2, RW);
	map_anon(mm, 600, 2, RW);
	for (unsigned long i = 0; i < 4; i++)
		page_put(mm, i / 2 * 600 + i % 2, (int)i + 1);
	for (;; points++) {
		for (unsigned long i = 0; i < 4; i++)
			frames[i] = page_frame(mm, i / 2 * 600 + i % 2);
		used = used_by(world_of(state)->ctx);
		platform_fail_nth(pf, points + 1);
		err = mm_fork(mm, &child);
		platform_fail_nth(pf, 0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(mm_validate(mm), 0);
		contents_are(mm, "A1 A2 --");
		assert_int_equal(used_by(world_of(state)->ctx), used);
		for (unsigned long i = 0; i < 4; i++) {
			page_put(mm, i / 2 * 600 + i % 2, (int)i + 1);
			assert_int_equal(page_frame(mm, i / 2 * 600 + i % 2), frames[i]);
		}
		assert_int_equal(used_by(world_of(state)->ctx), used);
	}
	assert_true(points > 5);
	contents_are(child, "a1 a2 --");
	mm_put(child);
}

static void count_lines(void *arg, const char *line)
{
	++*(int *)arg;
}

/* A5. The validator of a whole context finds a reference that nobody holds, and counts only what is right. */
static void validator(void **state)
{
	int lines = 0;
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 512, .log = count_lines, .log_arg = &lines };
	struct mm_validated seen = { 0 }, none = { 0 };
	struct mm_struct *mm, *child;
	struct mm_context *ctx;
	struct page *page;

	assert_int_equal(mm_context_create(&opt, &ctx), 0);
	assert_int_equal(mm_create(ctx, NULL, &mm), 0);
	map_anon(mm, 0, 4, RW);
	put_byte(mm, 0, 1);
	put_byte(mm, 1, 2);
	assert_int_equal(mm_fork(mm, &child), 0);
	put_byte(child, 1, 3);
	assert_int_equal(mm_context_validate(ctx, true, &seen), 0);
	assert_int_equal(seen.mms, 2);
	assert_int_equal(seen.vmas, 2);
	assert_int_equal(seen.tables, 8);
	assert_int_equal(seen.pages, 4);
	/* One of the two is shared. */
	assert_int_equal(seen.frames, 8 + 3);

	page = pfn_to_page(ctx->frames, (pfn_t)page_frame(child, 1));
	atomic_fetch_add(&page->refcount, 1);
	assert_int_equal(mm_context_validate(ctx, true, &none), 1);
	assert_int_equal(lines, 1);
	assert_memory_equal(&none, &(struct mm_validated){ 0 }, sizeof(none));
	/* The tables alone do not tell. */
	assert_int_equal(mm_context_validate(ctx, false, &none), 0);
	assert_int_equal(none.mms, 2);
	assert_int_equal(none.frames, 0);
	atomic_fetch_sub(&page->refcount, 1);

	child->map_count++;
	assert_int_equal(mm_context_validate(ctx, false, &none), 1);
	child->map_count--;
	assert_int_equal(mm_context_validate(ctx, true, &seen), 0);
	assert_int_equal(seen.frames, 2 * 11);
	mm_put(child);
	mm_put(mm);
	mm_context_destroy(ctx);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		page_test(partial_copy),
		page_test(unmap),
		page_test(tables_go),
		page_test(map_over),
		page_test(dontneed),
		page_test(dontneed_frees_a_table),
		page_test(unmap_drops_guards),
		page_test(protect),
		page_test(move),
		page_test(move_tables),
		page_test(not_for_children),
		page_test(failed_fork),
		cmocka_unit_test(validator),
	};

	return cmocka_run_group_tests_name("contents", tests, NULL, NULL);
}
