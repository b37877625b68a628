/* SPDX-License-Identifier: MIT */
/* The life of an address space with pages: in which order munmap, exit, fork and the reaper do what they do. */
#define _GNU_SOURCE
#include "support/world.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* What a notifier, or whoever translates, saw when it was told. */
struct seen {
	struct mm_notifier notifier;
	struct mm_struct *mm;
	unsigned long starts, ends, releases, flushes;
	unsigned long rss, map_count, flags;	/* at the release */
	unsigned long readable;	/* flushes at which others could have read the map */
};

static void on_start(struct mm_notifier *n, struct mm_struct *mm, unsigned long start, unsigned long end)
{
	((struct seen *)n)->starts++;
}

static void on_end(struct mm_notifier *n, struct mm_struct *mm, unsigned long start, unsigned long end)
{
	((struct seen *)n)->ends++;
}

static void on_release(struct mm_notifier *n, struct mm_struct *mm)
{
	struct seen *seen = (struct seen *)n;

	seen->releases++;
	seen->rss = get_mm_rss(mm->pt);
	seen->map_count = mm->map_count;
	seen->flags = atomic_load(&mm->flags);
}

static const struct mm_notifier_ops listen = { on_start, on_end, on_release };

static void on_flush(void *arg, struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct seen *seen = arg;

	seen->flushes++;
	if (pf_try_down_read(&mm->mmap_lock)) {
		seen->readable++;
		pf_up_read(&mm->mmap_lock);
	}
}

static void listen_to(struct seen *seen, struct mm_struct *mm)
{
	*seen = (struct seen){ .notifier.ops = &listen, .mm = mm };
	assert_int_equal(mm_notifier_register(mm, &seen->notifier), 0);
	mm_set_flush(mm, on_flush, seen);
}

/* D6. Nothing is allocated, nor tried to be, where memory without a name ends with its last mapping either. */
static void exit_tries_no_allocation(void **state)
{
	struct world *w = world_of(state);
	struct mm_mmap_args args = { .addr = AT(0), .len = 600 * PAGE_SIZE, .prot = RW,
				     .flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED };
	struct platform *pf = mm_context_platform(w->ctx);
	struct platform_stats before, after;
	struct mm_struct *mm;
	unsigned long at;

	assert_int_equal(mm_swapon(w->ctx, 1000), 0);
	assert_int_equal(mm_create(w->ctx, &w->mm->opt, &mm), 0);
	assert_int_equal(mm_mmap(mm, &args, &at), 0);
	for (unsigned long i = 0; i < 600; i += 1 + i % 3)
		put_byte(mm, i, 1);
	assert_true(mm_reclaim(w->ctx, 100) > 0);
	platform_read_stats(pf, &before);
	platform_fail_nth(pf, -1);
	mmput(mm);
	platform_fail_nth(pf, 0);
	platform_read_stats(pf, &after);
	assert_int_equal(after.attempts, before.attempts);
	assert_int_equal(after.swap_slots + after.inodes, 0);
}

/* D2, D3. The notifiers are released first, when all pages are there still and nobody keeps off. */
static void release_comes_first(void **state)
{
	struct world *w = world_of(state);
	struct mm_struct *child;
	struct seen seen;

	map_anon(w->mm, 0, 8, RW);
	put_byte(w->mm, 1, 5);
	put_byte(w->mm, 6, 6);
	assert_int_equal(mm_fork(w->mm, &child), 0);
	listen_to(&seen, child);
	mmgrab(child);
	mmput(child);
	assert_int_equal(seen.releases, 1);
	assert_int_equal(seen.rss, 2);
	assert_int_equal(seen.map_count, 1);
	assert_int_equal(seen.flags, 0);
	/* D3. Pages went when others could read; whoever comes now keeps off. */
	assert_true(seen.flushes > 0);
	assert_true(seen.readable > 0);
	assert_int_equal(get_mm_rss(child->pt), 0);
	assert_true(mm_flag_is_set(child, MMF_OOM_SKIP));
	mmdrop(child);
}

/* B4. When the pages of an unmapped range go, others can read the map already. */
static void unmap_lets_readers_in(void **state)
{
	struct world *w = world_of(state);
	struct seen seen;

	map_anon(w->mm, 0, 8, RW);
	put_byte(w->mm, 3, 1);
	listen_to(&seen, w->mm);
	assert_int_equal(mm_munmap(w->mm, AT(2), 4 * PAGE_SIZE), 0);
	assert_true(seen.flushes > 0);
	assert_int_equal(seen.readable, seen.flushes);
	assert_int_equal(seen.starts, 1);
	assert_int_equal(seen.ends, 1);
	mm_notifier_unregister(w->mm, &seen.notifier);
}

/* B6, B7. Where another mapping takes the place, pages go once, and nobody reads between. */
static void mapping_over_clears_once(void **state)
{
	struct world *w = world_of(state);
	struct seen seen;

	map_anon(w->mm, 0, 8, RW);
	put_byte(w->mm, 1, 1);
	put_byte(w->mm, 3, 3);
	put_byte(w->mm, 6, 6);
	listen_to(&seen, w->mm);
	map_anon(w->mm, 2, 3, RW);
	assert_int_equal(seen.starts, 1);
	assert_int_equal(seen.ends, 1);
	assert_true(seen.flushes > 0);
	assert_int_equal(seen.readable, 0);
	mm_notifier_unregister(w->mm, &seen.notifier);
	mm_set_flush(w->mm, NULL, NULL);
	/* The new one has no page of the old; what is around keeps its own. */
	assert_int_equal(get_byte(w->mm, 1), 1);
	assert_int_equal(get_byte(w->mm, 3), 0);
	assert_int_equal(get_byte(w->mm, 6), 6);
	valid(w->ctx, w->mm);
}

/* A truncate that comes while a child is being made. */
struct beside {
	struct vm_file *file;
	struct mm_context *ctx;
	pthread_t thread;
	bool started;
	atomic_bool done;
	bool done_within;
	unsigned int asked;
};

static void *truncate_it(void *arg)
{
	struct beside *beside = arg;

	vm_file_truncate(beside->file, PAGE_SIZE);
	atomic_store(&beside->done, true);
	return NULL;
}

/* Before the second mapping of a fork: the first one's pages are copied. */
static bool truncate_beside(void *arg, struct mm_struct *mm)
{
	struct beside *beside = arg;

	if (++beside->asked != 2)
		return false;
	beside->started = !pthread_create(&beside->thread, NULL, truncate_it, beside);
	usleep(30000);
	beside->done_within = atomic_load(&beside->done);
	return false;
}

/*
 * E5. It waits for the child, and finds in it what it found in the parent: private copies beyond the new end are gone
 * in both, at once.
 */
static void truncate_waits_for_a_child(void **state)
{
	struct world *w = world_of(state);
	struct beside beside = { .ctx = w->ctx };
	struct mm_options opt = { .size = sizeof(opt), .fatal_signal_pending = truncate_beside, .signal_arg = &beside,
				  .geometry = w->geometry, .task_size = w->mm->opt.task_size };
	struct vm_file_info info = { .size = sizeof(info), .sized = true, .bytes = 4 * PAGE_SIZE, .readable = true,
				     .writable = true };
	struct mm_struct *parent, *child;

	assert_int_equal(mm_create(w->ctx, &opt, &parent), 0);
	beside.file = world_file(w->ctx, &info);
	map_file(parent, 0, 4, RW, MAP_PRIVATE, beside.file, 0);
	map_anon(parent, 8, 2, RW);
	put_byte(parent, 0, 1);
	put_byte(parent, 2, 2);
	assert_int_equal(mm_fork(parent, &child), 0);
	assert_true(beside.started);
	assert_false(beside.done_within);
	pthread_join(beside.thread, NULL);
	for (int i = 0; i < 2; i++) {
		struct mm_struct *mm = i ? child : parent;

		assert_int_equal(get_byte(mm, 0), 1);
		assert_int_equal(touch(mm, 2, MM_READ), MM_FAULT_BUS);
		assert_true(strchr("a", draw_pages(mm, 0, 1)[0]) != NULL);
		pages_are(mm, 2, "..");
	}
	valid(w->ctx, w->mm, parent, child);
	mmput(child);
	mmput(parent);
	vm_file_put(beside.file);
}

/* G2, G4. Private memory goes, locked or not; shared memory stays; and from then on nothing there is trusted. */
static void reaped(void **state)
{
	struct world *w = world_of(state);
	struct mm_mmap_args shared = { .addr = AT(8), .len = 2 * PAGE_SIZE, .prot = RW,
				       .flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED };
	unsigned long at;

	map_anon(w->mm, 0, 4, RW);
	assert_int_equal(mm_mmap(w->mm, &shared, &at), 0);
	assert_int_equal(mm_mlock(w->mm, AT(0), 2 * PAGE_SIZE, 0), 0);
	put_byte(w->mm, 1, 1);
	put_byte(w->mm, 3, 3);
	put_byte(w->mm, 8, 8);

	/* It does not wait. */
	mmap_write_lock(w->mm);
	assert_int_equal(mm_oom_reap(w->mm), -EAGAIN);
	mmap_write_unlock(w->mm);
	assert_false(mm_flag_is_set(w->mm, MMF_UNSTABLE));

	assert_int_equal(mm_oom_reap(w->mm), 0);
	pages_are(w->mm, 0, "....");
	pages_are(w->mm, 8, "F.");
	assert_int_equal(touch(w->mm, 3, MM_READ), MM_FAULT_BUS);
	assert_int_equal(touch(w->mm, 0, MM_WRITE), MM_FAULT_BUS);
	assert_int_equal(touch(w->mm, 100, MM_READ), MM_FAULT_MAPERR);
	valid(w->ctx, w->mm);
}

/* G4. Nor does a child pass off empty pages as what was there: who was reaped is to die, and forks no more. */
static void reaped_parent(void **state)
{
	struct world *w = world_of(state);
	struct mm_struct *child = NULL;

	map_anon(w->mm, 0, 4, RW);
	put_byte(w->mm, 1, 1);
	assert_int_equal(mm_oom_reap(w->mm), 0);
	assert_int_equal(mm_fork(w->mm, &child), -EINTR);
	assert_null(child);
	valid(w->ctx, w->mm);
}

/* G2. It keeps off what goes already. */
static void reaper_keeps_off(void **state)
{
	struct world *w = world_of(state);

	map_anon(w->mm, 0, 4, RW);
	put_byte(w->mm, 1, 1);
	mm_set_flag(w->mm, MMF_OOM_SKIP);
	assert_int_equal(mm_oom_reap(w->mm), 0);
	assert_false(mm_flag_is_set(w->mm, MMF_UNSTABLE));
	assert_int_equal(get_byte(w->mm, 1), 1);
	assert_null(mm_oom_select(w->ctx));
}

/* G2. The largest is chosen, as the adjustment has it. G5: an empty one harms nobody. */
static void the_largest_is_chosen(void **state)
{
	struct world *w = world_of(state);
	struct mm_options opt = { .size = sizeof(opt), .geometry = w->geometry, .task_size = w->mm->opt.task_size };
	struct mm_struct *big, *chosen, *empty;

	assert_int_equal(mm_create(w->ctx, &opt, &empty), 0);
	assert_int_equal(mm_create(w->ctx, &opt, &big), 0);
	map_anon(w->mm, 0, 4, RW);
	put_byte(w->mm, 1, 1);
	map_anon(big, 0, 64, RW);
	for (unsigned long i = 0; i < 64; i++)
		put_byte(big, i, 1);
	chosen = mm_oom_select(w->ctx);
	assert_ptr_equal(chosen, big);
	mmdrop(chosen);
	big->opt.oom_score_adj = -1000;
	chosen = mm_oom_select(w->ctx);
	assert_ptr_equal(chosen, w->mm);
	mmdrop(chosen);
	mmput(big);
	mmput(empty);
}

/* D7. A child's tree is one that readers may be in when it is whole, and an ended one is not any more. */
static void trees_and_readers(void **state)
{
	struct world *w = world_of(state);
	struct mm_struct *child;

	map_anon(w->mm, 0, 4, RW);
	assert_int_equal(mm_fork(w->mm, &child), 0);
	assert_true(mt_in_rcu(&child->mm_mt));
	mmgrab(child);
	mmput(child);
	assert_false(mt_in_rcu(&child->mm_mt));
	mmdrop(child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		page_test(exit_tries_no_allocation), page_test(release_comes_first), page_test(unmap_lets_readers_in),
		page_test(mapping_over_clears_once), page_test(truncate_waits_for_a_child),
		page_test(reaped), page_test(reaped_parent),
		page_test(reaper_keeps_off), page_test(the_largest_is_chosen), page_test(trees_and_readers),
	};

	return cmocka_run_group_tests_name("life_pages", tests, NULL, NULL);
}
