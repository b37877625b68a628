/* SPDX-License-Identifier: MIT */
/*
 * Promise 4; rows E4, E5, F6, F7, G1, G2, G3, G5. Those who walk other people's memory, all at once, beside forks
 * that are held up at every step, succeed, or fail at random points: for want of memory, over a refused
 * charge, by a signal.
 *
 *   truncate      a file shrinks and grows              page-out    frames are taken back
 *   reaper        children lose their memory            swapoff     all comes back from the swap area
 *   map reader    the list, every tree by its entries   faults      reads and writes in whoever is on the list
 *   reverse maps  from the file, from an anon_vma, from any frame
 *   daemon        is told of children and ends, and looks at all that it knows
 *
 * Nobody may meet a VMA of a child that is not whole, or one of another address space, or a marker, or find
 * memory other than it was left. In the second half the same observers run beside a fork that makes such
 * mistakes.
 *
 *   test_race_mm_walkers [--seconds N]     how long each seed runs; also SAMARA_SECONDS; 2
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "mm/mm.h"
#include "mmu/mmu.h"
#include "mmu/pageout.h"
#include "support/planted_fork.h"
#include "support/seed.h"

#define FIXED_SEED 20261125u
#define PAGE 4096UL
#define AT(page) (0x200000000UL + (unsigned long)(page) * PAGE)
#define ANON 0UL	/* private memory: page n of it holds n + 1 */
#define FILE_AT 200UL	/* the file, privately, written to */
#define SHARED_AT 300UL
#define MEMORY_AT 400UL	/* shared memory */
#define WIPED_AT 500UL
#define DROPPED_AT 600UL

enum { PAGES = 24, FILE_PAGES = 16, WRITTEN_BY_CHILD = 0xee, FAMILY = 4, FRAMES = 4096, SLOTS = 2048 };
/* Each observer may have one more, which has no other user any more. */
enum { KNOWN = FAMILY + 2 + 12 };
/* Mappings of the first one, and of its descendants, which lack what is dropped. */
enum { MAPPINGS = PAGES + 5, INHERITED = MAPPINGS - 1 };
/* How long a mistake may go unseen: seconds, and on a machine that has much else to do, forks. */
enum { BOUND = 60, BOUND_FORKS = 200 };

/* What can be wrong with what was found. */
enum wrong { WRONG_BYTES, WRONG_HALF, WRONG_FOREIGN, WRONG_MARKER, NR_WRONGS };
static const char *const wrong_name[] = { "bytes", "half made", "another's", "a marker" };
enum failure { FAIL_SIGNAL, FAIL_CHARGE, FAIL_MEMORY, NR_FAILURES };

/* One who merges pages, say: told of a child once it is whole, and of its end before anything is unmapped. */
struct watcher {
	struct mm_daemon daemon;	/* first */
	struct scene *scene;
	pthread_mutex_t lock;	/* of those it knows: none of them ends meanwhile */
	struct mm_struct *known[KNOWN];
	atomic_ulong looked, ended;
};

struct scene {
	struct mm_context *ctx;
	struct watcher watcher;
	struct mm_struct *mm;
	struct vm_file *file;
	uint64_t seed;
	double until;
	enum plant plant;
	enum wrong sought;	/* with something planted: ends when it is found */
	atomic_bool stop;
	atomic_ulong wrong[NR_WRONGS];
	atomic_ulong failed[NR_FAILURES], of_reaped, forked, tried;
	atomic_ulong maps, from_file, from_anon, from_frames;
	atomic_ulong faults, reaped, paged_out, truncated, swapped_off;
	_Atomic(struct mm_struct *) making;	/* the child of the fork that goes on now */
	/* the forking thread's: */
	uint64_t delays;
	long signal_after;
	struct mm_struct *family[FAMILY];
};

static double seconds = 2;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 2685821657736338717ull) >> 16;
}

static void found(struct scene *scene, enum wrong wrong)
{
	atomic_fetch_add(&scene->wrong[wrong], 1);
}

static bool goes_on(struct scene *scene)
{
	return !atomic_load(&scene->stop);
}

/* Forks ---------------------------------------------------------------------- */

static bool signal_comes(void *arg, struct mm_struct *mm)
{
	struct scene *scene = arg;

	return scene->signal_after >= 0 && scene->signal_after-- == 0;
}

static bool is_early(enum plant plant)
{
	return plant == PLANT_EARLY_RMAP || plant == PLANT_EARLY_LIST;
}

/* Others get their turn, for a moment or longer. */
static void hold_up(void *arg, struct mm_struct *child, enum fork_step step, struct vm_area_struct *vma)
{
	struct scene *scene = arg;
	unsigned long drawn = next_random(&scene->delays) % 32;

	if (step == FORK_TREE_COPIED)
		atomic_store(&scene->making, child);
	/* From here on it may be found; one that is found earlier is not looked into. */
	if (step == (is_early(scene->plant) ? FORK_PUBLIC : FORK_WHOLE))
		atomic_store(&scene->making, NULL);
	/* Where a marker is planted, what has failed is to be looked at. */
	if (step == FORK_FAILED && scene->plant == PLANT_MARKER)
		atomic_store(&scene->making, NULL);
	if (drawn < 4 || (step > FORK_PAGES_COPIED && drawn < 16))
		usleep((useconds_t)(next_random(&scene->delays) % 100));
	else if (drawn < 20)
		sched_yield();
}

/* Private memory of one that has not been reaped is what it was. */
static void check_intact(struct scene *scene, struct mm_struct *mm)
{
	unsigned char byte;

	for (unsigned long i = 0; i < PAGES; i++) {
		enum mm_fault fault = mm_read(mm, AT(ANON + 2 * i), &byte, 1, NULL);

		if (fault == MM_FAULT_OK && byte == i + 1)
			continue;
		/* Whatever was read while the mark came is not to be believed. */
		if (!mm_flag_is_set(mm, MMF_UNSTABLE) && fault != MM_FAULT_OOM)
			found(scene, WRONG_BYTES);
		return;
	}
}

/* One fork, which may fail in one of three ways, or in none. */
static int fork_once(struct scene *scene, struct mm_struct *parent, struct mm_struct **child,
		     uint64_t *random)
{
	unsigned long way = next_random(random) % (NR_FAILURES + 2), after = next_random(random);
	int err;

	scene->signal_after = way == FAIL_SIGNAL ? (long)(after % MAPPINGS) : -1;
	scene->ctx->opt.overcommit = way == FAIL_CHARGE ? MM_OVERCOMMIT_NEVER : MM_OVERCOMMIT_GUESS;
	scene->ctx->opt.commit_limit = mm_context_committed(scene->ctx) + after % PAGES;
	if (way == FAIL_MEMORY)
		platform_fail_nth(scene->ctx->pf, (long)(1 + after % 80));
	err = scene->plant ? planted_fork(scene->plant, parent, child) : mm_fork(parent, child);
	if (way == FAIL_MEMORY)
		platform_fail_nth(scene->ctx->pf, 0);
	atomic_fetch_add(&scene->tried, 1);
	if (err && mm_flag_is_set(parent, MMF_UNSTABLE))
		atomic_fetch_add(&scene->of_reaped, 1);
	else if (err && way < NR_FAILURES)
		atomic_fetch_add(&scene->failed[way], 1);
	else if (err)
		found(scene, WRONG_BYTES);
	else
		atomic_fetch_add(&scene->forked, 1);
	return err;
}

static void write_as_child(struct mm_struct *child, uint64_t *random)
{
	unsigned char byte = WRITTEN_BY_CHILD;

	for (unsigned long k = 0; k < 8; k++)
		mm_write(child, AT(ANON + 2 * (next_random(random) % PAGES)), &byte, 1, NULL);
}

/* It is time, and on a slow machine: all has happened once. Where something is planted: it was found. */
static bool has_enough(struct scene *scene)
{
	double late = now() - scene->until;

	if (scene->plant)
		return (late > 0 && atomic_load(&scene->tried) >= BOUND_FORKS) ||
		       atomic_load(&scene->wrong[scene->sought]);
	if (late > BOUND)
		return true;
	for (int i = 0; i < NR_FAILURES; i++)
		if (!atomic_load(&scene->failed[i]))
			return false;
	return late > 0 && atomic_load(&scene->forked) && atomic_load(&scene->paged_out) &&
	       atomic_load(&scene->reaped) && atomic_load(&scene->swapped_off);
}

static void *forks(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (scene->seed ^ 1) | 1;
	struct mm_struct **place, *parent, *child;

	while (!has_enough(scene)) {
		place = &scene->family[next_random(&random) % FAMILY];
		parent = *place && next_random(&random) % 4 == 0 ? *place : scene->mm;
		if (!fork_once(scene, parent, &child, &random)) {
			if (parent == scene->mm)
				check_intact(scene, child);
			write_as_child(child, &random);
			mmput(*place);
			*place = child;
		}
		check_intact(scene, scene->mm);
	}
	for (int i = 0; i < FAMILY; i++)
		mmput(scene->family[i]);
	return NULL;
}

/* The observer ------------------------------------------------------------------ */

/* Entry by entry, whatever it is. mmap_lock. */
static void check_tree(struct scene *scene, struct mm_struct *mm)
{
	unsigned long count = 0;
	struct ma_state mas;
	void *entry;

	mas_init(&mas, &mm->mm_mt, 0);
	while ((entry = mas_find(&mas, ULONG_MAX)) != NULL) {
		count++;
		if (xa_is_zero(entry)) {
			found(scene, WRONG_MARKER);
			return;
		}
		if (((struct vm_area_struct *)entry)->vm_mm != mm) {
			found(scene, WRONG_FOREIGN);
			return;
		}
	}
	if (count != mm->map_count)
		found(scene, WRONG_HALF);
}

/* A VMA that was found through a reverse map, whose lock is held. */
static bool look_at(void *arg, struct vm_area_struct *vma)
{
	struct scene *scene = arg;
	struct mm_struct *mm = vma->vm_mm;

	if (!mm || mm->ctx != scene->ctx) {
		found(scene, WRONG_FOREIGN);
		return true;
	}
	if (mm == atomic_load(&scene->making)) {
		found(scene, WRONG_HALF);
		return true;
	}
	/* A child's tree takes readers when it is whole, and not before. */
	if (!mt_in_rcu(&mm->mm_mt))
		found(scene, WRONG_HALF);
	if (!pf_try_down_read(&mm->mmap_lock))
		return true;
	check_tree(scene, mm);
	pf_up_read(&mm->mmap_lock);
	return true;
}

static bool look_at_mapping_of_file(void *arg, struct vm_area_struct *vma)
{
	struct scene *scene = arg;

	if (vma->vm_file != scene->file)
		found(scene, WRONG_FOREIGN);
	atomic_fetch_add(&scene->from_file, 1);
	return look_at(arg, vma);
}

static void *walks_from_the_file(void *arg)
{
	struct scene *scene = arg;

	while (goes_on(scene)) {
		i_mmap_walk(scene->file->mapping,
			    &(struct rmap_walk){ 0, ULONG_MAX, look_at_mapping_of_file, scene });
		usleep(20);
	}
	return NULL;
}

static bool look_at_relative(void *arg, struct vm_area_struct *vma)
{
	struct scene *scene = arg;

	atomic_fetch_add(&scene->from_anon, 1);
	return look_at(arg, vma);
}

static void *walks_from_anon_vmas(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (scene->seed ^ 4) | 1;
	struct vm_area_struct *vma;
	struct anon_vma *anon_vma;

	while (goes_on(scene)) {
		mmap_read_lock(scene->mm);
		vma = vma_lookup(scene->mm, AT(ANON + 2 * (next_random(&random) % PAGES)));
		anon_vma = vma ? vma_anon_vma(vma) : NULL;
		pf_mutex_lock(&scene->ctx->anon_lock);
		if (anon_vma)
			anon_vma_walk_locked(anon_vma,
					     &(struct rmap_walk){ 0, ULONG_MAX, look_at_relative, scene });
		pf_mutex_unlock(&scene->ctx->anon_lock);
		mmap_read_unlock(scene->mm);
		usleep(20);
	}
	return NULL;
}

static bool look_at_mapping_of_page(void *arg, struct vm_area_struct *vma)
{
	struct scene *scene = arg;

	atomic_fetch_add(&scene->from_frames, 1);
	return look_at(arg, vma);
}

/* Whom a page that is held and locked leads to. */
static void walk_from(struct scene *scene, struct page *page)
{
	struct rmap_walk walk = { .visit = look_at_mapping_of_page, .arg = scene };

	/* One that a fault has just taken is nothing yet, and what it is mapped by is being written. */
	if (!page_has(page, PG_ANON | PG_UPTODATE))
		return;
	walk.first = walk.last = page->index;
	if (page_has(page, PG_ANON)) {
		pf_mutex_lock(&scene->ctx->anon_lock);
		if (page_mapcount(page) > 0)
			anon_vma_walk_locked(page->mapping, &walk);
		pf_mutex_unlock(&scene->ctx->anon_lock);
	} else if (page->mapping) {
		i_mmap_walk(page->mapping, &walk);
	}
}

static void *walks_from_frames(void *arg)
{
	const uint32_t others = PG_FREE | PG_TABLE | PG_RESERVED | PG_HEAD | PG_TAIL;
	struct scene *scene = arg;

	for (pfn_t pfn = 2; goes_on(scene); pfn = pfn < FRAMES / 2 ? pfn + 1 : 2) {
		struct page *page = pfn_to_page(scene->ctx->frames, pfn);

		if (pfn == 2)
			usleep(100);
		if (page_has(page, others) || !try_get_page(page))
			continue;
		if (!page_has(page, others) && trylock_page(page)) {
			walk_from(scene, page);
			unlock_page(page);
		}
		put_page(scene->ctx->frames, page);
	}
	return NULL;
}

/* One on the list is whole. No lock is taken, since a fork holds that of its parent. */
static bool is_whole(struct scene *scene, struct mm_struct *mm)
{
	if (mm != atomic_load(&scene->making) && mt_in_rcu(&mm->mm_mt))
		return true;
	found(scene, WRONG_HALF);
	return false;
}

/* Everything is there, and its own. */
static void look_at_map(struct scene *scene, struct mm_struct *mm)
{
	unsigned long count;

	atomic_fetch_add(&scene->maps, 1);
	if (!is_whole(scene, mm))
		return;
	mmap_read_lock(mm);
	check_tree(scene, mm);
	count = mm->map_count;
	mmap_read_unlock(mm);
	if (count != (mm == scene->mm ? MAPPINGS : INHERITED))
		found(scene, WRONG_HALF);
}

static void *reads_maps(void *arg)
{
	struct scene *scene = arg;
	struct mm_struct *mm = NULL;

	while (goes_on(scene)) {
		while ((mm = mm_context_next(scene->ctx, mm)) != NULL)
			is_whole(scene, mm);
		while ((mm = mm_context_next(scene->ctx, mm)) != NULL)
			look_at_map(scene, mm);
		usleep(20);
	}
	return NULL;
}

/* The place of @mm, which may be NULL, among those that are known. */
static struct mm_struct **place_of(struct watcher *watcher, struct mm_struct *mm)
{
	for (int i = 0; i < KNOWN; i++)
		if (watcher->known[i] == mm)
			return &watcher->known[i];
	return NULL;
}

static void is_told_of_child(struct mm_daemon *daemon, struct mm_struct *parent, struct mm_struct *child)
{
	struct watcher *watcher = (struct watcher *)daemon;
	struct mm_struct **place;

	(void)parent;
	look_at_map(watcher->scene, child);
	pthread_mutex_lock(&watcher->lock);
	place = place_of(watcher, NULL);
	if (place && !place_of(watcher, child))
		*place = child;
	else
		found(watcher->scene, WRONG_HALF);
	pthread_mutex_unlock(&watcher->lock);
}

/* Nobody is told of the end of one whose beginning he was not told of. */
static void is_told_of_end(struct mm_daemon *daemon, struct mm_struct *mm)
{
	struct watcher *watcher = (struct watcher *)daemon;
	struct mm_struct **place;

	pthread_mutex_lock(&watcher->lock);
	place = place_of(watcher, mm);
	if (place)
		*place = NULL;
	else if (!watcher->scene->plant)
		found(watcher->scene, WRONG_HALF);
	pthread_mutex_unlock(&watcher->lock);
	look_at_map(watcher->scene, mm);
	atomic_fetch_add(&watcher->ended, 1);
}

static void *watches(void *arg)
{
	struct scene *scene = arg;
	struct watcher *watcher = &scene->watcher;

	while (goes_on(scene)) {
		for (int i = 0; i < KNOWN; i++) {
			pthread_mutex_lock(&watcher->lock);
			if (watcher->known[i]) {
				look_at_map(scene, watcher->known[i]);
				atomic_fetch_add(&watcher->looked, 1);
			}
			pthread_mutex_unlock(&watcher->lock);
		}
		usleep(20);
	}
	return NULL;
}

static void start_to_watch(struct scene *scene)
{
	static const struct mm_daemon_ops ops = { .fork = is_told_of_child, .exit = is_told_of_end };
	struct watcher *watcher = &scene->watcher;

	watcher->daemon.ops = &ops;
	watcher->scene = scene;
	pthread_mutex_init(&watcher->lock, NULL);
	watcher->known[0] = scene->mm;
	mm_daemon_register(scene->ctx, &watcher->daemon);
}

/* All has ended, and that has been told. */
static void end_watching(struct scene *scene)
{
	struct watcher *watcher = &scene->watcher;

	mm_daemon_unregister(scene->ctx, &watcher->daemon);
	for (int i = 0; i < KNOWN; i++)
		assert_null(watcher->known[i]);
	pthread_mutex_destroy(&watcher->lock);
}

/* The others ------------------------------------------------------------------------ */

/* A touch without the mmap_lock, and what it finds. */
static void touch(struct scene *scene, struct mm_struct *mm, unsigned long page, bool write)
{
	unsigned char byte = (unsigned char)(page + 1);
	struct vm_area_struct *vma = lock_vma_under_rcu(mm, AT(ANON + 2 * page));
	enum mm_fault fault;

	if (vma) {
		if (vma->vm_mm != mm || vma->vm_start != AT(ANON + 2 * page))
			found(scene, WRONG_FOREIGN);
		vma_end_read(vma);
	}
	/* What is written is what the first one has there. */
	fault = write ? mm_write(mm, AT(ANON + 2 * page), &byte, 1, NULL)
		      : mm_read(mm, AT(ANON + 2 * page), &byte, 1, NULL);
	if (byte != page + 1 && (byte != WRITTEN_BY_CHILD || mm == scene->mm) && fault == MM_FAULT_OK &&
	    !mm_flag_is_set(mm, MMF_UNSTABLE))
		found(scene, WRONG_BYTES);
	atomic_fetch_add(&scene->faults, 1);
}

static void *faults(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (scene->seed ^ 5) | 1;
	struct mm_struct *mm = NULL;

	while (goes_on(scene)) {
		while ((mm = mm_context_next(scene->ctx, mm)) != NULL)
			if (mm != atomic_load(&scene->making))
				touch(scene, mm, next_random(&random) % PAGES, next_random(&random) % 2);
		usleep(20);
	}
	return NULL;
}

static void *reaps(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (scene->seed ^ 3) | 1;
	struct mm_struct *mm = NULL;

	while (goes_on(scene)) {
		while ((mm = mm_context_next(scene->ctx, mm)) != NULL)
			if (mm != scene->mm && next_random(&random) % 4 == 0 && !mm_oom_reap(mm))
				atomic_fetch_add(&scene->reaped, 1);
		usleep(300);
	}
	return NULL;
}

static void *truncates(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (scene->seed ^ 2) | 1;
	unsigned char byte = 1;

	while (goes_on(scene)) {
		vm_file_truncate(scene->file, next_random(&random) % FILE_PAGES * PAGE);
		vm_file_truncate(scene->file, FILE_PAGES * PAGE);
		for (unsigned long i = 0; i < 4; i++)
			mm_write(scene->mm, AT(FILE_AT + next_random(&random) % FILE_PAGES), &byte, 1, NULL);
		atomic_fetch_add(&scene->truncated, 1);
		usleep(200);
	}
	return NULL;
}

static void *pages_out(void *arg)
{
	struct scene *scene = arg;

	while (goes_on(scene)) {
		atomic_fetch_add(&scene->paged_out, reclaim_frames(scene->ctx, 4));
		usleep(200);
	}
	return NULL;
}

/* All of it comes back, and the next area is there at once. */
static void *swaps_off(void *arg)
{
	struct scene *scene = arg;
	int err;

	while (goes_on(scene)) {
		err = mm_swapoff(scene->ctx, NULL);
		if (!err)
			atomic_fetch_add(&scene->swapped_off, 1);
		else if (err != -ENOMEM)
			found(scene, WRONG_BYTES);
		/* For want of memory it may have failed itself, and so may this. */
		while (!err && mm_swapon(scene->ctx, SLOTS) == -ENOMEM)
			sched_yield();
		usleep(2000);
	}
	return NULL;
}

/* All of it ----------------------------------------------------------------------- */

static void map(struct scene *scene, unsigned long page, unsigned long pages, unsigned long flags)
{
	struct mm_mmap_args args = { .addr = AT(page), .len = pages * PAGE, .prot = PROT_READ | PROT_WRITE,
				     .flags = flags | MAP_FIXED,
				     .file = flags & MAP_ANONYMOUS ? NULL : scene->file };
	unsigned char byte = (unsigned char)(page / 2 + 1);
	unsigned long at;

	assert_int_equal(mm_mmap(scene->mm, &args, &at), 0);
	assert_int_equal(mm_write(scene->mm, at, &byte, 1, NULL), MM_FAULT_OK);
}

static void build(struct scene *scene)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = FRAMES };
	struct mm_options mm_opt = { .size = sizeof(mm_opt), .fatal_signal_pending = signal_comes,
				     .signal_arg = scene };
	struct vm_file_info info = { .size = sizeof(info), .readable = true, .writable = true, .sized = true,
				     .bytes = FILE_PAGES * PAGE };

	assert_int_equal(mm_context_create(&opt, &scene->ctx), 0);
	assert_int_equal(mm_swapon(scene->ctx, SLOTS), 0);
	assert_int_equal(mm_create(scene->ctx, &mm_opt, &scene->mm), 0);
	assert_int_equal(vm_file_create(scene->ctx, &info, &scene->file), 0);
	for (unsigned long i = 0; i < PAGES; i++)
		map(scene, ANON + 2 * i, 1, MAP_PRIVATE | MAP_ANONYMOUS);
	map(scene, FILE_AT, FILE_PAGES, MAP_PRIVATE);
	map(scene, SHARED_AT, FILE_PAGES, MAP_SHARED);
	map(scene, MEMORY_AT, 4, MAP_SHARED | MAP_ANONYMOUS);
	map(scene, WIPED_AT, 4, MAP_PRIVATE | MAP_ANONYMOUS);
	map(scene, DROPPED_AT, 4, MAP_PRIVATE | MAP_ANONYMOUS);
	assert_int_equal(mm_madvise(scene->mm, AT(WIPED_AT), 4 * PAGE, MADV_WIPEONFORK), 0);
	assert_int_equal(mm_madvise(scene->mm, AT(DROPPED_AT), 4 * PAGE, MADV_DONTFORK), 0);
	scene->ctx->fork_step_arg = scene;
	scene->ctx->fork_step = hold_up;
	scene->delays = scene->seed | 1;
	start_to_watch(scene);
}

static void take_down(struct scene *scene)
{
	struct platform_stats stats;

	assert_int_equal(mmu_validate_frames(scene->ctx, &scene->mm, 1), 0);
	assert_int_equal(mm_validate(scene->mm), 0);
	mmput(scene->mm);
	end_watching(scene);
	vm_file_put(scene->file);
	platform_read_stats(scene->ctx->pf, &stats);
	assert_int_equal(stats.frames + stats.tables + stats.swap_slots, 0);
	assert_int_equal(stats.vmas + stats.mms + stats.anon_vmas + stats.nodes, 0);
	mm_context_destroy(scene->ctx);
}

static void run_threads(struct scene *scene)
{
	void *(*const body[])(void *) = { forks, truncates, pages_out, reaps, swaps_off, reads_maps, faults,
					  walks_from_the_file, walks_from_anon_vmas, walks_from_frames, watches };
	enum { THREADS = sizeof(body) / sizeof(body[0]) };
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, body[i], scene), 0);
	pthread_join(thread[0], NULL);
	atomic_store(&scene->stop, true);
	for (int i = 1; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

static void print_figures(const struct scene *scene, double took)
{
	print_message("# note: %.0f s: %lu forks; failed: %lu by signal, %lu by charge, %lu for memory, "
		      "%lu of a reaped parent\n", took, scene->forked, scene->failed[FAIL_SIGNAL],
		      scene->failed[FAIL_CHARGE], scene->failed[FAIL_MEMORY], scene->of_reaped);
	print_message("# note: beside them %lu truncations, %lu pages out, %lu swapoffs, %lu reaped, %lu faults\n",
		      scene->truncated, scene->paged_out, scene->swapped_off, scene->reaped, scene->faults);
	print_message("# note: looked at %lu maps, %lu VMAs from the file, %lu from anon_vmas, %lu from frames\n",
		      scene->maps, scene->from_file, scene->from_anon, scene->from_frames);
	print_message("# note: the daemon looked %lu times, and was told of %lu ends\n", scene->watcher.looked,
		      scene->watcher.ended);
}

static void run(uint64_t seed)
{
	static struct scene scene;
	double begun = now();

	scene = (struct scene){ .seed = seed, .until = begun + seconds };
	print_message("# SAMARA_SEED=%llu\n", (unsigned long long)seed);
	build(&scene);
	run_threads(&scene);
	print_figures(&scene, now() - begun);
	for (int i = 0; i < NR_WRONGS; i++)
		print_message("# %s: %lu\n", wrong_name[i], scene.wrong[i]);
	for (int i = 0; i < NR_WRONGS; i++)
		assert_int_equal(scene.wrong[i], 0);
	for (int i = 0; i < NR_FAILURES; i++)
		assert_true(scene.failed[i] > 0);
	assert_true(scene.forked && scene.truncated && scene.paged_out && scene.swapped_off);
	assert_true(scene.reaped && scene.faults && scene.watcher.looked && scene.watcher.ended);
	assert_true(scene.maps && scene.from_file && scene.from_anon && scene.from_frames);
	take_down(&scene);
}

static void fixed_seed(void **state)
{
	run(FIXED_SEED);
}

static void fresh_seed(void **state)
{
	run(seed_fresh());
}

/* What each mistake is found as. */
static void find(enum plant plant, enum wrong sought, const char *what)
{
	static struct scene scene;
	double begun;

	scene = (struct scene){ .seed = seed_fresh(), .plant = plant, .sought = sought };
	print_message("# SAMARA_SEED=%llu\n", (unsigned long long)scene.seed);
	build(&scene);
	begun = now();
	scene.until = begun + BOUND;
	run_threads(&scene);
	print_message("# note: %s: found (%s) after %.1f ms and %lu forks\n", what, wrong_name[sought],
		      1e3 * (now() - begun), scene.tried);
	assert_true(scene.wrong[sought] > 0);
	take_down(&scene);
}

static void early_in_reverse_maps(void **state)
{
	find(PLANT_EARLY_RMAP, WRONG_HALF, "in the reverse maps before it is whole");
}

static void early_on_the_list(void **state)
{
	find(PLANT_EARLY_LIST, WRONG_HALF, "on the list before it is whole");
}

/* Both the marker itself and the parent's entries behind it. */
static void marker_left(void **state)
{
	find(PLANT_MARKER, WRONG_MARKER, "a marker left by a fork that failed");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_seed), cmocka_unit_test(fresh_seed),
		cmocka_unit_test(early_in_reverse_maps), cmocka_unit_test(early_on_the_list),
		cmocka_unit_test(marker_left),
	};

	if (getenv("SAMARA_SECONDS"))
		seconds = atof(getenv("SAMARA_SECONDS"));
	if (argc == 3 && !strcmp(argv[1], "--seconds"))
		seconds = atof(argv[2]);
	return cmocka_run_group_tests_name("mm_walkers", tests, NULL, NULL);
}
