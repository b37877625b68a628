/* SPDX-License-Identifier: MIT */
/*
 * G1, E5. Swapoff: everything that is in the area comes back, wherever it is named, whoever forks or exits
 * beside.
 */
#define _GNU_SOURCE
#include "support/world.h"

#include <pthread.h>
#include <unistd.h>

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

/* Pages @at ... hold 1, 2, ..., and are swapped out. */
static void fill_and_page_out(struct mm_struct *mm, unsigned long at, unsigned long count)
{
	map_anon(mm, at, count, RW);
	for (unsigned long i = 0; i < count; i++)
		put_byte(mm, at + i, (unsigned char)(i + 1));
	PAGEOUT(mm, at, count);
	for (unsigned long i = 0; i < count; i++)
		assert_true(info_of(mm, at + i).swapped);
}

static void is_filled(struct mm_struct *mm, unsigned long at, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++)
		assert_int_equal(get_byte(mm, at + i), i + 1);
}

/*
 * Private pages that parent and child share a slot of, shared memory that is mapped and that is not; touched
 * by nobody since.
 *
 *   parent  |s0sA|   child  |s0sa|   file  |ss.s|
 */
static void all_comes_back(void **state)
{
	struct world *w = world_of(state);
	struct vm_file *file = world_file(w->ctx, &(struct vm_file_info){ .kind = VM_FILE_SHMEM });
	struct mm_struct *child;
	uint64_t bitmap;

	map_anon(w->mm, 0, 4, RW);
	map_file(w->mm, 8, 4, RW, MAP_SHARED, file, 0);
	for (int i = 0; i < 4; i++) {
		if (i != 1)
			put_byte(w->mm, i, (unsigned char)(i + 1));
		if (i != 2)
			put_byte(w->mm, 8 + i, (unsigned char)(i + 101));
	}
	touch(w->mm, 1, MM_READ);
	assert_int_equal(mm_dirty_collect(w->mm, AT(0), PAGE_SIZE, &bitmap), 1);
	PAGEOUT(w->mm, 0, 3);
	PAGEOUT(w->mm, 8, 4);
	assert_int_equal(mm_fork(w->mm, &child), 0);
	assert_int_equal(mm_munmap(w->mm, AT(8), 4 * PAGE_SIZE), 0);
	assert_int_equal(swap_area_used(w->ctx->swap), 5);
	pages_are(child, 0, "s0sa");
	assert_int_equal(mm_swapoff(w->ctx, w->mm), 0);
	assert_null(w->ctx->swap);
	assert_int_equal(get_mm_counter(w->mm->pt, MM_SWAPENTS), 0);
	assert_int_equal(get_mm_counter(child->pt, MM_SWAPENTS), 0);
	/* Nobody has touched them: they are old, and what was told of as written to is not told of again. */
	assert_true(info_of(w->mm, 0).present && !info_of(w->mm, 0).young && info_of(w->mm, 0).dirty);
	assert_false(info_of(w->mm, 0).soft_dirty);
	assert_true(info_of(w->mm, 2).soft_dirty);
	valid(w->ctx, w->mm, child);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(get_byte(w->mm, i), i == 1 ? 0 : i + 1);
		assert_int_equal(get_byte(child, i), i == 1 ? 0 : i + 1);
		assert_int_equal(get_byte(child, 8 + i), i == 2 ? 0 : i + 101);
	}
	/* There is none, and there may be another. */
	assert_int_equal(mm_swapoff(w->ctx, NULL), -EINVAL);
	PAGEOUT(w->mm, 0, 1);
	assert_true(info_of(w->mm, 0).present);
	assert_int_equal(mm_swapon(w->ctx, 8), 0);
	PAGEOUT(child, 2, 1);
	assert_int_equal(get_byte(child, 2), 3);
	mmput(child);
	vm_file_put(file);
}

/* Too few frames: some pages are back, the others are where they were, and the area is in use. */
static void without_frames(void **state)
{
	struct world *w = world_of(state);
	static unsigned long taken[FRAMES];
	unsigned long nr = 0;

	fill_and_page_out(w->mm, 0, 40);
	while (!mm_frame_alloc(w->ctx, &taken[nr]))
		nr++;
	for (int i = 0; i < 10; i++)
		mm_unpin(w->ctx, taken[--nr], false);
	assert_int_equal(mm_swapoff(w->ctx, NULL), -ENOMEM);
	assert_int_equal(get_mm_counter(w->mm->pt, MM_SWAPENTS), 30);
	assert_int_equal(get_mm_counter(w->mm->pt, MM_ANONPAGES), 10);
	valid(w->ctx, w->mm);
	/* It takes pages again. */
	PAGEOUT(w->mm, 0, 40);
	assert_int_equal(get_mm_counter(w->mm->pt, MM_SWAPENTS), 40);
	while (nr)
		mm_unpin(w->ctx, taken[--nr], false);
	assert_int_equal(mm_swapoff(w->ctx, NULL), 0);
	is_filled(w->mm, 0, 40);
	valid(w->ctx, w->mm);
}

/* The n-th allocation fails, for every n that there is: -ENOMEM, and nothing is lost. */
static void every_allocation(void **state)
{
	struct world *w = world_of(state);
	struct vm_file *file = world_file(w->ctx, &(struct vm_file_info){ .kind = VM_FILE_SHMEM });
	struct mm_struct *child;
	unsigned long n;
	int err = -ENOMEM;

	map_file(w->mm, 40, 4, RW, MAP_SHARED, file, 0);
	for (n = 1; err; n++) {
		fill_and_page_out(w->mm, 0, 6);
		put_byte(w->mm, 41, 9);
		PAGEOUT(w->mm, 40, 4);
		assert_int_equal(mm_fork(w->mm, &child), 0);
		platform_fail_nth(w->ctx->pf, n);
		err = mm_swapoff(w->ctx, NULL);
		platform_fail_nth(w->ctx->pf, 0);
		assert_true(!err || err == -ENOMEM);
		valid(w->ctx, w->mm, child);
		is_filled(w->mm, 0, 6);
		is_filled(child, 0, 6);
		assert_int_equal(get_byte(child, 41), 9);
		mmput(child);
		assert_true(n < 100);
	}
	/* A page for each of the two that share six slots, and one of shared memory. */
	assert_int_equal(n - 1, 14);
	vm_file_put(file);
}

struct asked {
	unsigned int times, die_at;	/* 0: never */
};

static bool asked_whether_to_die(void *arg, struct mm_struct *mm)
{
	struct asked *asked = arg;

	(void)mm;
	return ++asked->times == asked->die_at;
}

static struct mm_struct *new_mm(struct world *w, bool (*fatal_signal)(void *, struct mm_struct *), void *arg)
{
	struct mm_options opt = { .size = sizeof(opt), .fatal_signal_pending = fatal_signal,
				  .signal_arg = arg, .geometry = w->geometry,
				  .task_size = w->mm->opt.task_size };
	struct mm_struct *mm;

	assert_int_equal(mm_create(w->ctx, &opt, &mm), 0);
	return mm;
}

/* A fatal signal ends it before any of the address spaces and files, and the area is in use again. */
static void interrupted(void **state)
{
	struct world *w = world_of(state);
	struct vm_file *file = world_file(w->ctx, &(struct vm_file_info){ .kind = VM_FILE_SHMEM });
	struct asked asked = { .die_at = 0 };
	struct mm_struct *mm = new_mm(w, asked_whether_to_die, &asked);

	fill_and_page_out(w->mm, 0, 4);
	fill_and_page_out(mm, 0, 4);
	map_file(mm, 8, 1, RW, MAP_SHARED, file, 0);
	put_byte(mm, 8, 8);
	PAGEOUT(mm, 8, 1);
	for (asked.die_at = 1; asked.die_at <= 3; asked.die_at++) {
		asked.times = 0;
		assert_int_equal(mm_swapoff(w->ctx, mm), -EINTR);
		assert_int_equal(swap_area_used(w->ctx->swap), 13 - 4 * asked.die_at);
		valid(w->ctx, w->mm, mm);
	}
	PAGEOUT(mm, 0, 4);
	assert_int_equal(swap_area_used(w->ctx->swap), 5);
	asked.die_at = 0;
	assert_int_equal(mm_swapoff(w->ctx, mm), 0);
	is_filled(w->mm, 0, 4);
	is_filled(mm, 0, 4);
	assert_int_equal(get_byte(mm, 8), 8);
	valid(w->ctx, w->mm, mm);
	mmput(mm);
	vm_file_put(file);
}

/* Swapoff on a thread of its own. */
struct beside {
	struct mm_context *ctx;
	struct mm_struct *caller;	/* counts who is met */
	pthread_t thread;
	atomic_bool done;
	int result;
	/* of a fork that it comes into: */
	unsigned int asked;
	bool dies, done_within;
};

static void *swap_off(void *arg)
{
	struct beside *beside = arg;

	beside->result = mm_swapoff(beside->ctx, beside->caller);
	atomic_store(&beside->done, true);
	return NULL;
}

static void start(struct beside *beside)
{
	assert_int_equal(pthread_create(&beside->thread, NULL, swap_off, beside), 0);
	usleep(30000);
}

/* Before the second mapping of a fork: the first one's entries are copied. */
static bool swap_off_beside(void *arg, struct mm_struct *mm)
{
	struct beside *beside = arg;

	(void)mm;
	if (++beside->asked != 2)
		return false;
	start(beside);
	beside->done_within = atomic_load(&beside->done);
	return beside->dies;
}

static void beside_a_fork(struct world *w, bool dies)
{
	struct asked met = { .die_at = 0 };
	struct beside beside = { .ctx = w->ctx, .dies = dies };
	struct mm_struct *parent = new_mm(w, swap_off_beside, &beside), *child = NULL;

	beside.caller = new_mm(w, asked_whether_to_die, &met);
	fill_and_page_out(parent, 0, 4);
	fill_and_page_out(parent, 8, 4);
	assert_int_equal(mm_fork(parent, &child), dies ? -EINTR : 0);
	assert_int_equal(beside.asked, 2);
	pthread_join(beside.thread, NULL);
	assert_false(beside.done_within);
	assert_int_equal(beside.result, 0);
	/* One walk met all: the world's, the parent, who calls, and the child, if it has become one. */
	assert_int_equal(met.times, dies ? 3 : 4);
	for (int i = 0; i < (dies ? 1 : 2); i++) {
		struct mm_struct *mm = i ? child : parent;

		pages_are(mm, 0, "AAAA");
		pages_are(mm, 8, "AAAA");
		is_filled(mm, 0, 4);
		is_filled(mm, 8, 4);
	}
	valid(w->ctx, w->mm, parent, beside.caller, child);
	mmput(child);
	mmput(beside.caller);
	mmput(parent);
}

/*
 * E5. A child in the making holds slots, and is not on the list: it is waited for, and then met by the same
 * walk.
 */
static void waits_for_a_child(void **state)
{
	beside_a_fork(world_of(state), false);
}

/* G1. One that fails gives its slots back by itself, and is never met. */
static void survives_a_failed_fork(void **state)
{
	beside_a_fork(world_of(state), true);
}

/* G1. One that is unstable is passed over: its slots go with it. */
static void passes_over_the_unstable(void **state)
{
	struct world *w = world_of(state);
	struct beside beside = { .ctx = w->ctx };
	struct mm_struct *mm = new_mm(w, NULL, NULL);

	fill_and_page_out(w->mm, 0, 4);
	fill_and_page_out(mm, 0, 4);
	mm_set_flag(mm, MMF_UNSTABLE);
	start(&beside);
	assert_false(atomic_load(&beside.done));
	assert_int_equal(get_mm_counter(mm->pt, MM_SWAPENTS), 4);
	assert_int_equal(get_mm_counter(w->mm->pt, MM_SWAPENTS), 0);
	/* Nor are there two at a time. */
	assert_int_equal(mm_swapoff(w->ctx, NULL), -EINVAL);
	assert_int_equal(mm_swapon(w->ctx, 4), -EBUSY);
	mmput(mm);
	pthread_join(beside.thread, NULL);
	assert_int_equal(beside.result, 0);
	is_filled(w->mm, 0, 4);
	valid(w->ctx, w->mm);
}

/*
 * G1. The reaper takes what is swapped out too, and swapoff has nothing to wait for. G5: nor with an empty
 * one.
 */
static void after_the_reaper(void **state)
{
	struct world *w = world_of(state);
	struct mm_struct *mm = new_mm(w, NULL, NULL), *empty = new_mm(w, NULL, NULL);

	fill_and_page_out(mm, 0, 4);
	assert_int_equal(mm_oom_reap(mm), 0);
	assert_int_equal(mm_swapoff(w->ctx, NULL), 0);
	pages_are(mm, 0, "....");
	assert_int_equal(touch(mm, 0, MM_READ), MM_FAULT_BUS);
	valid(w->ctx, w->mm, mm, empty);
	mmput(empty);
	mmput(mm);
}

/* A context without page tables has no area. */
static void without_pages(void **state)
{
	struct mm_context *ctx;

	(void)state;
	assert_int_equal(mm_context_create(NULL, &ctx), 0);
	assert_int_equal(mm_swapoff(ctx, NULL), -EINVAL);
	mm_context_destroy(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		swap_test(all_comes_back),
		swap_test(without_frames),
		swap_test(every_allocation),
		swap_test(interrupted),
		swap_test(waits_for_a_child),
		swap_test(survives_a_failed_fork),
		swap_test(passes_over_the_unstable),
		swap_test(after_the_reaper),
		cmocka_unit_test(without_pages),
	};

	return cmocka_run_group_tests_name("swapoff", tests, NULL, NULL);
}
