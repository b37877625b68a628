/* SPDX-License-Identifier: MIT */
/* G1. Page-out and swap-in: pages leave by their reverse maps, and come back as they were. */
#include "support/world.h"

#include <pthread.h>
#include <unistd.h>

#include "mmu/pageout.h"

#define PAGEOUT(mm, at, count) assert_int_equal(mm_madvise(mm, AT(at), (count) * PAGE_SIZE, MADV_PAGEOUT), 0)

static int with_swap(void **state)
{
	int err = world_setup(state);

	return err ? err : mm_swapon(world_of(state)->ctx, 64);
}

#define swap_test_on(f, n)                                                                          \
	{ .name = #f "/" #n, .test_func = f, .setup_func = with_swap, .teardown_func = world_teardown, \
	  .initial_state = (void *)&world_geometries[n] }
#define swap_test(f) \
	swap_test_on(f, 0), swap_test_on(f, 1), swap_test_on(f, 2), swap_test_on(f, 3), swap_test_on(f, 4)

static long slots_used(void **state)
{
	return (long)swap_area_used(world_of(state)->ctx->swap);
}

/*   |A0A.|  ->  |s0s.|  ->  read, write  |A0A.|   */
static void there_and_back(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;

	map_anon(mm, 0, 4, RW);
	put_byte(mm, 0, 11);
	touch(mm, 1, MM_READ);
	put_byte(mm, 2, 12);
	PAGEOUT(mm, 0, 4);
	pages_are(mm, 0, "s0s.");
	assert_int_equal(slots_used(state), 2);
	assert_int_equal(get_mm_counter(mm->pt, MM_SWAPENTS), 2);
	assert_int_equal(get_mm_counter(mm->pt, MM_ANONPAGES), 0);
	valid(world_of(state)->ctx, mm);
	assert_int_equal(get_byte(mm, 0), 11);
	put_byte(mm, 2, 13);
	pages_are(mm, 0, "A0A.");
	assert_int_equal(slots_used(state), 0);
	PAGEOUT(mm, 2, 1);
	assert_int_equal(get_byte(mm, 2), 13);
	PAGEOUT(mm, 0, 4);
	assert_int_equal(mm_munmap(mm, AT(0), 2 * PAGE_SIZE), 0);
	assert_int_equal(slots_used(state), 1);
	valid(world_of(state)->ctx, mm);
}

/*
 * WILLNEED of shared memory brings back what is in the swap area, and maps nothing; what was never touched is
 * not made (observed). Of private memory nothing shows: it is read when it is touched.
 */
static void read_ahead(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *shared;

	shared = world_file(world_of(state)->ctx, &(struct vm_file_info){ .kind = VM_FILE_SHMEM });
	map_file(mm, 0, 6, RW, MAP_SHARED, shared, 0);
	map_anon(mm, 6, 2, RW);
	put_byte(mm, 1, 21);
	put_byte(mm, 4, 24);
	put_byte(mm, 6, 26);
	PAGEOUT(mm, 0, 8);
	assert_int_equal(slots_used(state), 3);
	assert_int_equal(mm_madvise(mm, AT(0), 3 * PAGE_SIZE, MADV_WILLNEED), 0);
	assert_int_equal(slots_used(state), 2);
	assert_int_equal(mm_madvise(mm, AT(0), 8 * PAGE_SIZE, MADV_WILLNEED), 0);
	assert_int_equal(slots_used(state), 1);
	assert_int_equal(atomic_load(&shared->mapping->nr_pages), 2);
	pages_are(mm, 0, "......s.");
	assert_int_equal(get_byte(mm, 1), 21);
	assert_int_equal(get_byte(mm, 4), 24);
	assert_int_equal(get_byte(mm, 6), 26);
	valid(world_of(state)->ctx, mm);
	vm_file_put(shared);
}

/* A slot is shared by parent and child like a page, and each reads it back for himself. */
static void forked(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;

	map_anon(mm, 0, 2, RW);
	put_byte(mm, 0, 1);
	put_byte(mm, 1, 2);
	PAGEOUT(mm, 0, 1);
	assert_int_equal(mm_fork(mm, &child), 0);
	pages_are(child, 0, "sa");
	valid(world_of(state)->ctx, mm, child);
	put_byte(child, 0, 9);
	assert_int_equal(slots_used(state), 1);
	assert_int_equal(get_byte(mm, 0), 1);
	assert_int_equal(get_byte(child, 0), 9);
	assert_int_equal(slots_used(state), 0);
	/* Reclaim takes what both map, out of both. */
	assert_int_equal(info_of(mm, 1).frame, info_of(child, 1).frame);
	mm_reclaim(world_of(state)->ctx, 100);
	pages_are(mm, 1, "s");
	pages_are(child, 1, "s");
	valid(world_of(state)->ctx, mm, child);
	put_byte(mm, 1, 3);
	assert_int_equal(get_byte(child, 1), 2);
	mmput(child);
}

/* MADV_FREE: as it was, until memory is short; then zeroes, unless it was written to since. */
static void lazily_freed(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;

	map_anon(mm, 0, 4, RW);
	put_byte(mm, 0, 1);
	put_byte(mm, 1, 2);
	put_byte(mm, 2, 3);
	PAGEOUT(mm, 2, 1);
	assert_int_equal(mm_madvise(mm, AT(0), 4 * PAGE_SIZE, MADV_FREE), 0);
	pages_are(mm, 0, "AA..");
	assert_int_equal(slots_used(state), 0);
	assert_int_equal(get_byte(mm, 0), 1);
	put_byte(mm, 1, 5);
	PAGEOUT(mm, 0, 4);
	pages_are(mm, 0, ".s..");
	assert_int_equal(get_byte(mm, 0), 0);
	assert_int_equal(get_byte(mm, 1), 5);
	valid(world_of(state)->ctx, mm);
}

/*
 * Promise 1. MADV_FREE of a page that a child has too gives it up on this side alone: for as long as the child lives it
 * is saved for both, and then it goes.
 */
static void lazily_freed_of_two(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;

	map_anon(mm, 0, 2, RW);
	put_byte(mm, 0, 1);
	put_byte(mm, 1, 2);
	assert_int_equal(mm_fork(mm, &child), 0);
	assert_int_equal(mm_madvise(mm, AT(0), 2 * PAGE_SIZE, MADV_FREE), 0);
	mm_reclaim(world_of(state)->ctx, 1);
	mm_reclaim(world_of(state)->ctx, 1);
	assert_int_equal(get_byte(child, 0), 1);
	assert_int_equal(get_byte(child, 1), 2);
	mmput(child);
	map_anon(mm, 4, 1, RW);
	put_byte(mm, 4, 3);
	assert_int_equal(mm_fork(mm, &child), 0);
	assert_int_equal(mm_madvise(mm, AT(4), PAGE_SIZE, MADV_FREE), 0);
	mmput(child);
	assert_int_equal(get_byte(mm, 4), 3);
	PAGEOUT(mm, 4, 1);
	pages_are(mm, 4, ".");
	assert_int_equal(get_byte(mm, 4), 0);
	valid(world_of(state)->ctx, mm);
}

/* Locked memory stays, pinned memory stays, and so does all when there is no slot. */
static void what_stays(void **state)
{
	struct world *w = world_of(state);
	unsigned long frame;
	int i;

	map_anon(w->mm, 0, 3, RW);
	for (i = 0; i < 3; i++)
		put_byte(w->mm, i, (unsigned char)(i + 1));
	assert_int_equal(mm_mlock(w->mm, AT(0), PAGE_SIZE, 0), 0);
	assert_int_equal(mm_pin(w->mm, AT(1), MM_WRITE, &frame), 0);
	assert_int_equal(mm_madvise(w->mm, AT(0), PAGE_SIZE, MADV_PAGEOUT), -EINVAL);
	mm_reclaim(w->ctx, 100);
	PAGEOUT(w->mm, 1, 2);
	assert_false(info_of(w->mm, 0).swapped || info_of(w->mm, 1).swapped);
	assert_true(info_of(w->mm, 2).swapped);
	mm_unpin(w->ctx, frame, false);
	PAGEOUT(w->mm, 1, 1);
	assert_true(info_of(w->mm, 1).swapped);
	map_anon(w->mm, 100, 80, RW);
	for (i = 0; i < 80; i++)
		put_byte(w->mm, 100 + i, (unsigned char)i);
	PAGEOUT(w->mm, 100, 80);
	assert_int_equal(slots_used(state), 64);
	valid(w->ctx, w->mm);
	for (i = 0; i < 80; i++)
		assert_int_equal(get_byte(w->mm, 100 + i), i);
	for (i = 0; i < 3; i++)
		assert_int_equal(get_byte(w->mm, i), i + 1);
}

/* Shared memory is named by its file while it is away: every mapping finds it. */
static void shared_memory(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;
	struct vm_file *file = world_file(world_of(state)->ctx, &(struct vm_file_info){ .kind = VM_FILE_SHMEM });

	map_file(mm, 0, 3, RW, MAP_SHARED, file, 0);
	map_file(mm, 8, 3, RW, MAP_PRIVATE, file, 0);
	put_byte(mm, 0, 1);
	put_byte(mm, 1, 2);
	put_byte(mm, 9, 7);
	assert_int_equal(mm_fork(mm, &child), 0);
	assert_int_equal(get_byte(child, 0), 1);
	mm_reclaim(world_of(state)->ctx, 100);
	pages_are(mm, 0, "...");
	pages_are(mm, 8, ".s.");
	pages_are(child, 0, "...");
	assert_int_equal(slots_used(state), 3);
	valid(world_of(state)->ctx, mm, child);
	assert_int_equal(get_byte(child, 0), 1);
	put_byte(child, 1, 4);
	assert_int_equal(get_byte(mm, 1), 4);
	assert_int_equal(get_byte(mm, 9), 7);
	mm_reclaim(world_of(state)->ctx, 100);
	/* A hole that is punched takes slots with it. */
	assert_int_equal(vm_file_invalidate(file, 0, PAGE_SIZE), 0);
	assert_int_equal(get_byte(mm, 0), 0);
	assert_int_equal(get_byte(mm, 1), 4);
	valid(world_of(state)->ctx, mm, child);
	mmput(child);
	vm_file_put(file);
}

/* Pages of a file that can be read again are dropped; those that are newer than the file stay. */
static void file_pages(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = world_file(world_of(state)->ctx, NULL);

	map_file(mm, 0, 3, RW, MAP_SHARED, file, 0);
	assert_int_equal(get_byte(mm, 0), 'a');
	put_byte(mm, 1, 'X');
	mm_reclaim(world_of(state)->ctx, 100);
	assert_int_equal(atomic_load(&file->mapping->nr_pages), 1);
	assert_int_equal(slots_used(state), 0);
	assert_int_equal(get_byte(mm, 0), 'a');
	assert_int_equal(get_byte(mm, 1), 'X');
	valid(world_of(state)->ctx, mm);
	vm_file_put(file);
}

/* What was written to before it went is told of when it is away, and when it is back. */
static void dirty_while_away(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	uint64_t bitmap;

	map_anon(mm, 0, 3, RW);
	put_byte(mm, 0, 1);
	put_byte(mm, 1, 1);
	put_byte(mm, 2, 1);
	assert_int_equal(mm_dirty_collect(mm, AT(2), PAGE_SIZE, &bitmap), 1);
	PAGEOUT(mm, 0, 3);
	assert_int_equal(get_byte(mm, 1), 1);
	assert_int_equal(get_byte(mm, 2), 1);
	assert_int_equal(mm_dirty_collect(mm, AT(0), 2 * PAGE_SIZE, &bitmap), 2);
	assert_int_equal(bitmap, 3);
	assert_int_equal(mm_dirty_collect(mm, AT(0), 2 * PAGE_SIZE, &bitmap), 0);
}

/* The swap-in's allocation failing: out of memory, and the page is still in its slot. */
static void without_memory(void **state)
{
	struct world *w = world_of(state);

	map_anon(w->mm, 0, 1, RW);
	put_byte(w->mm, 0, 5);
	PAGEOUT(w->mm, 0, 1);
	platform_fail_nth(mm_context_platform(w->ctx), 1);
	assert_int_equal(touch(w->mm, 0, MM_READ), MM_FAULT_OOM);
	platform_fail_nth(mm_context_platform(w->ctx), 0);
	pages_are(w->mm, 0, "s");
	valid(w->ctx, w->mm);
	assert_int_equal(get_byte(w->mm, 0), 5);
	/* No slot to be had: nothing goes. */
	platform_fail_nth(mm_context_platform(w->ctx), 1);
	PAGEOUT(w->mm, 0, 1);
	platform_fail_nth(mm_context_platform(w->ctx), 0);
	assert_true(info_of(w->mm, 0).present);
	put_byte(w->mm, 0, 6);
	assert_int_equal(get_byte(w->mm, 0), 6);
}

/*
 * A fault that finds, when it has read its page, that somebody else was quicker, and then that page going:
 *
 *   fault       reads page 0 ......................... it is there  waits for its lock   gone: reads it again
 *   page-out                  somebody's page 0  locks it, writes it back ........ takes it out
 */
struct late {
	struct frame_pool *pool;
	struct mm_struct *mm;
	atomic_uint reads, writes;
	atomic_bool waits;	/* for its page to be locked */
	enum mm_fault fault;
};

/* False after some seconds. */
static bool comes_true(bool (*is_true)(void *arg), void *arg)
{
	for (int i = 0; i < 50000; i++) {
		if (is_true(arg))
			return true;
		usleep(100);
	}
	return false;
}

static bool is_reading(void *late)
{
	return atomic_load(&((struct late *)late)->reads) > 0;
}

static bool is_writing(void *late)
{
	return atomic_load(&((struct late *)late)->writes) > 0;
}

/* The cache has it, page-out, and who waits for its lock. */
static bool is_wanted(void *page)
{
	return page_refcount(page) == 3;
}

static int read_late(void *arg, uint64_t index, void *page)
{
	memset(page, 'a' + (int)index, PAGE_SIZE);
	if (atomic_fetch_add(&((struct late *)arg)->reads, 1) == 0)
		comes_true(is_writing, arg);
	return 0;
}

static int write_slowly(void *arg, uint64_t index, const void *bytes)
{
	struct late *late = arg;
	struct page *page = late->pool->pages;

	(void)index;
	while (page_address(late->pool, page) != bytes)
		page++;
	if (atomic_fetch_add(&late->writes, 1) == 0)
		atomic_store(&late->waits, comes_true(is_wanted, page));
	return 0;
}

static void *fault_late(void *arg)
{
	struct late *late = arg;

	late->fault = touch(late->mm, 0, MM_WRITE);
	return NULL;
}

/* Promise 2. It is no error, but looked for again. */
static void gone_before_it_is_locked(void **state)
{
	struct world *w = world_of(state);
	struct late late = { .pool = w->ctx->frames, .mm = w->mm };
	struct vm_file *file = world_file(w->ctx, &(struct vm_file_info){
		.read_page = read_late, .write_page = write_slowly, .read_page_arg = &late });
	struct mm_struct *other;
	pthread_t thread;

	assert_int_equal(mm_create(w->ctx, &w->mm->opt, &other), 0);
	map_file(w->mm, 0, 2, RW, MAP_SHARED, file, 0);
	map_file(other, 0, 2, RW, MAP_SHARED, file, 0);
	assert_int_equal(pthread_create(&thread, NULL, fault_late, &late), 0);
	assert_true(comes_true(is_reading, &late));
	put_byte(other, 0, 'B');
	PAGEOUT(other, 0, 1);
	pthread_join(thread, NULL);
	assert_true(late.waits);
	assert_int_equal(late.fault, MM_FAULT_OK);
	assert_int_equal(late.reads, 3);
	assert_int_equal(get_byte(w->mm, 0), 'a');
	mmput(other);
	valid(w->ctx, w->mm);
	assert_int_equal(mm_munmap(w->mm, AT(0), 2 * PAGE_SIZE), 0);
	vm_file_put(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		swap_test(there_and_back), swap_test(forked), swap_test(lazily_freed), swap_test(lazily_freed_of_two),
		swap_test(what_stays),
		swap_test(shared_memory), swap_test(file_pages), swap_test(dirty_while_away), swap_test(without_memory),
		swap_test(read_ahead), swap_test(gone_before_it_is_locked),
	};

	return cmocka_run_group_tests_name("pageout", tests, NULL, NULL);
}
