/* SPDX-License-Identifier: MIT */
/*
 * Promise 4; rows E5, F7, G1, G2, G3, G5. Those who walk other people's memory, all at once, beside forks that succeed and that
 * fail at random mappings: one truncates a file and lets it grow, one pages out, one reaps children, one reads the map of
 * every address space, one goes from the file to its VMAs. Nobody may meet a VMA of a child that is not whole, or find
 * memory other than it was left.
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

#define FIXED_SEED 20261125u
#define PAGE 4096UL
#define AT(page) (0x200000000UL + (unsigned long)(page) * PAGE)
#define ANON 0UL	/* private memory: page n of it holds n + 1 */
#define FILE_AT 200UL	/* the file, privately, written to */
#define SHARED_AT 300UL

enum { PAGES = 24, FILE_PAGES = 16, FORKS = 250 };

struct scene {
	struct mm_context *ctx;
	struct mm_struct *mm;
	struct vm_file *file;
	uint64_t seed;
	atomic_bool stop;
	atomic_ulong wrong;	/* half-made VMAs, or bytes that are not what they were */
	atomic_ulong forked, failed, met, reaped;
	/* the forking thread's: */
	long signal_after;
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 2685821657736338717ull) >> 16;
}

static bool signal_comes(void *arg, struct mm_struct *mm)
{
	struct scene *scene = arg;

	(void)mm;
	/* Others get their turn between any two mappings. */
	sched_yield();
	return scene->signal_after >= 0 && scene->signal_after-- == 0;
}

/* Private memory of one that has not been reaped is what it was. */
static bool is_intact(struct mm_struct *mm)
{
	unsigned char byte;

	for (unsigned long i = 0; i < PAGES; i++) {
		enum mm_fault fault = mm_read(mm, AT(ANON + 2 * i), &byte, 1, NULL);

		if (fault == MM_FAULT_OK && byte == i + 1)
			continue;
		/* Whatever was read while the mark came is not to be believed. */
		if (mm_flag_is_set(mm, MMF_UNSTABLE) || fault == MM_FAULT_OOM)
			return true;
		return false;
	}
	return true;
}

static void *forks(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (scene->seed ^ 1) | 1;
	struct mm_struct *child;
	unsigned char byte = 0xee;

	for (int i = 0; i < FORKS; i++) {
		scene->signal_after = next_random(&random) % 2 ? (long)(next_random(&random) % 30) : -1;
		if (mm_fork(scene->mm, &child)) {
			atomic_fetch_add(&scene->failed, 1);
			continue;
		}
		atomic_fetch_add(&scene->forked, 1);
		if (!is_intact(child))
			atomic_fetch_add(&scene->wrong, 1);
		for (unsigned long k = 0; k < 8; k++)
			mm_write(child, AT(ANON + 2 * (next_random(&random) % PAGES)), &byte, 1, NULL);
		mmput(child);
		if (!is_intact(scene->mm))
			atomic_fetch_add(&scene->wrong, 1);
	}
	return NULL;
}

static void *truncates(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (scene->seed ^ 2) | 1;
	unsigned char byte = 1;

	while (!atomic_load(&scene->stop)) {
		vm_file_truncate(scene->file, next_random(&random) % FILE_PAGES * PAGE);
		vm_file_truncate(scene->file, FILE_PAGES * PAGE);
		for (unsigned long i = 0; i < 4; i++)
			mm_write(scene->mm, AT(FILE_AT + next_random(&random) % FILE_PAGES), &byte, 1, NULL);
		usleep(200);
	}
	return NULL;
}

static void *pages_out(void *arg)
{
	struct scene *scene = arg;

	while (!atomic_load(&scene->stop)) {
		reclaim_frames(scene->ctx, 4);
		usleep(200);
	}
	return NULL;
}

static int count_it(void *arg, const struct mm_vma_info *vma)
{
	*(unsigned long *)arg += vma->start < vma->end;
	return 0;
}

/* Reads every map, and takes the memory of a child now and then. */
static void *walks_all(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (scene->seed ^ 3) | 1;
	struct mm_struct *mm = NULL;
	unsigned long mappings;

	while (!atomic_load(&scene->stop)) {
		while ((mm = mm_context_next(scene->ctx, mm)) != NULL) {
			mappings = 0;
			mm_for_each_vma(mm, count_it, &mappings);
			/* None is on the list without all of its mappings. */
			if (mappings != PAGES + 2)
				atomic_fetch_add(&scene->wrong, 1);
			atomic_fetch_add(&scene->met, 1);
			if (mm != scene->mm && next_random(&random) % 4 == 0 && !mm_oom_reap(mm))
				atomic_fetch_add(&scene->reaped, 1);
		}
		usleep(100);
	}
	return NULL;
}

static bool look_at(void *arg, struct vm_area_struct *vma)
{
	struct scene *scene = arg;

	/* A child's tree takes readers when it is whole, and not before. */
	if (!vma->vm_mm || vma->vm_mm->ctx != scene->ctx || !mt_in_rcu(&vma->vm_mm->mm_mt) || vma->vm_file != scene->file)
		atomic_fetch_add(&scene->wrong, 1);
	atomic_fetch_add(&scene->met, 1);
	return true;
}

static void *walks_from_the_file(void *arg)
{
	struct scene *scene = arg;

	while (!atomic_load(&scene->stop)) {
		i_mmap_walk(scene->file->mapping, &(struct rmap_walk){ 0, ULONG_MAX, look_at, scene });
		sched_yield();
	}
	return NULL;
}

static void map(struct scene *scene, unsigned long page, unsigned long pages, unsigned long flags)
{
	struct mm_mmap_args args = { .addr = AT(page), .len = pages * PAGE, .prot = PROT_READ | PROT_WRITE,
				     .flags = flags | MAP_FIXED,
				     .file = flags & MAP_ANONYMOUS ? NULL : scene->file };
	unsigned long at;

	assert_int_equal(mm_mmap(scene->mm, &args, &at), 0);
}

static void build(struct scene *scene)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 4096 };
	struct mm_options mm_opt = { .size = sizeof(mm_opt), .fatal_signal_pending = signal_comes,
				     .signal_arg = scene };
	struct vm_file_info info = { .size = sizeof(info), .readable = true, .writable = true, .sized = true,
				     .bytes = FILE_PAGES * PAGE };

	assert_int_equal(mm_context_create(&opt, &scene->ctx), 0);
	assert_int_equal(mm_swapon(scene->ctx, 2048), 0);
	assert_int_equal(mm_create(scene->ctx, &mm_opt, &scene->mm), 0);
	assert_int_equal(vm_file_create(scene->ctx, &info, &scene->file), 0);
	for (unsigned long i = 0; i < PAGES; i++) {
		unsigned char byte = (unsigned char)(i + 1);

		map(scene, ANON + 2 * i, 1, MAP_PRIVATE | MAP_ANONYMOUS);
		assert_int_equal(mm_write(scene->mm, AT(ANON + 2 * i), &byte, 1, NULL), MM_FAULT_OK);
	}
	map(scene, FILE_AT, FILE_PAGES, MAP_PRIVATE);
	map(scene, SHARED_AT, FILE_PAGES, MAP_SHARED);
}

static void run(uint64_t seed)
{
	void *(*const body[])(void *) = { forks, truncates, pages_out, walks_all, walks_from_the_file };
	enum { THREADS = sizeof(body) / sizeof(body[0]) };
	static struct scene scene;
	struct platform_stats stats;
	pthread_t thread[THREADS];

	scene = (struct scene){ .seed = seed };
	print_message("# SAMARA_SEED=%llu\n", (unsigned long long)seed);
	build(&scene);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, body[i], &scene), 0);
	pthread_join(thread[0], NULL);
	atomic_store(&scene.stop, true);
	for (int i = 1; i < THREADS; i++)
		pthread_join(thread[i], NULL);

	print_message("# %lu forks, %lu failed, %lu met, %lu reaped\n", scene.forked, scene.failed, scene.met,
		      scene.reaped);
	assert_int_equal(scene.wrong, 0);
	assert_true(scene.forked > 0 && scene.failed > 0 && scene.met > 0);
	assert_int_equal(mmu_validate_frames(scene.ctx, &scene.mm, 1), 0);
	assert_int_equal(mm_validate(scene.mm), 0);
	mmput(scene.mm);
	vm_file_put(scene.file);
	platform_read_stats(scene.ctx->pf, &stats);
	assert_int_equal(stats.frames + stats.tables + stats.vmas + stats.mms + stats.anon_vmas + stats.swap_slots, 0);
	mm_context_destroy(scene.ctx);
}

static void fixed_seed(void **state)
{
	run(FIXED_SEED);
}

static void fresh_seed(void **state)
{
	const char *seed = getenv("SAMARA_SEED");

	run(seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) ^ (uint64_t)getpid());
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(fixed_seed), cmocka_unit_test(fresh_seed) };

	return cmocka_run_group_tests_name("mm_walkers", tests, NULL, NULL);
}
