/* SPDX-License-Identifier: MIT */
/*
 * Row E5's page-out, promise 2. Threads that write, read, fork, unmap and truncate with a fraction of the
 * frames that they touch: each allocation may have to take pages from any of the others, and none waits for
 * another for ever.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/mm.h"
#include "mmu/mmu.h"
#include "support/seed.h"

#define FIXED_SEED 20261127u
#define AT(page) (0x200000000UL + (unsigned long)(page) * PAGE_SIZE)

enum { THREADS = 4, PAGES = 96, FRAMES = 160, ROUNDS = 60 };

struct scene {
	struct mm_context *ctx;
	struct vm_file *file;	/* everybody maps it, and has a byte of each page */
	uint64_t seed;
	atomic_ulong wrong, forks, starved, writes;
	atomic_uint number;
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 2685821657736338717ull) >> 16;
}

/* It keeps nothing: what is written may change while it is. */
static int write_disk(void *arg, uint64_t index, const void *page)
{
	(void)index;
	(void)page;
	atomic_fetch_add(&((struct scene *)arg)->writes, 1);
	return 0;
}

static struct mm_struct *new_mm(struct scene *scene)
{
	struct mm_mmap_args args = { .addr = AT(0), .len = PAGES * PAGE_SIZE, .prot = PROT_READ | PROT_WRITE,
				     .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED };
	struct mm_struct *mm;
	unsigned long at;

	if (mm_create(scene->ctx, NULL, &mm))
		return NULL;
	if (mm_mmap(mm, &args, &at))
		atomic_fetch_add(&scene->wrong, 1);
	args.addr = AT(1000);
	args.flags = MAP_SHARED | MAP_FIXED;
	args.file = scene->file;
	if (mm_mmap(mm, &args, &at))
		atomic_fetch_add(&scene->wrong, 1);
	return mm;
}

/* Whether there was no memory; anything else but success is wrong. */
static bool starves(struct scene *scene, enum mm_fault fault)
{
	if (fault == MM_FAULT_OOM)
		atomic_fetch_add(&scene->starved, 1);
	else if (fault != MM_FAULT_OK)
		atomic_fetch_add(&scene->wrong, 1);
	return fault == MM_FAULT_OOM;
}

/* One thread's: what it wrote to each page, which nobody else changes. */
static void play(struct scene *scene, struct mm_struct *mm, unsigned int number, unsigned char *wrote,
		 uint64_t *random)
{
	struct mm_struct *child;
	unsigned char byte;
	unsigned long i;

	for (int k = 0; k < 40; k++) {
		i = next_random(random) % PAGES;
		byte = (unsigned char)(1 + next_random(random) % 255);
		if (next_random(random) % 2) {
			if (!starves(scene, mm_write(mm, AT(i), &byte, 1, NULL)))
				wrote[i] = byte;
		} else if (!starves(scene, mm_read(mm, AT(i), &byte, 1, NULL)) && byte != wrote[i]) {
			atomic_fetch_add(&scene->wrong, 1);
		}
		starves(scene, mm_write(mm, AT(1000 + i) + number, &byte, 1, NULL));
	}
	if (next_random(random) % 4 || mm_fork(mm, &child))
		return;
	atomic_fetch_add(&scene->forks, 1);
	for (i = 0; i < PAGES; i++)
		if (!starves(scene, mm_read(child, AT(i), &byte, 1, NULL)) && byte != wrote[i])
			atomic_fetch_add(&scene->wrong, 1);
	mmput(child);
}

static void *plays(void *arg)
{
	struct scene *scene = arg;
	unsigned int number = atomic_fetch_add(&scene->number, 1);
	uint64_t random = (scene->seed ^ (number + 1) * 0x9e3779b97f4a7c15ul) | 1;
	struct mm_struct *mm = new_mm(scene);
	unsigned char wrote[PAGES] = { 0 };

	for (int round = 0; mm && round < ROUNDS; round++) {
		play(scene, mm, number, wrote, &random);
		if (next_random(&random) % 8 == 0) {
			mm_madvise(mm, AT(0), PAGES / 2 * PAGE_SIZE, MADV_DONTNEED);
			memset(wrote, 0, PAGES / 2);
		}
		if (next_random(&random) % 8 == 0)
			vm_file_invalidate(scene->file, 0, PAGES / 2 * PAGE_SIZE);
		if (next_random(&random) % 8 == 0)
			mm_msync(mm, AT(1000), PAGES * PAGE_SIZE, MS_SYNC);
	}
	if (mm && mm_validate(mm))
		atomic_fetch_add(&scene->wrong, 1);
	mmput(mm);
	return NULL;
}

static void run(uint64_t seed)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = FRAMES, .pressure = MM_PRESSURE_RECLAIM };
	static struct scene scene;
	struct vm_file_info info = { .size = sizeof(info), .readable = true, .writable = true, .sized = true,
				     .bytes = PAGES * PAGE_SIZE, .read_page_arg = &scene, .write_page = write_disk };
	struct platform_stats stats;
	pthread_t thread[THREADS];

	scene = (struct scene){ .seed = seed };
	print_message("# SAMARA_SEED=%llu\n", (unsigned long long)seed);
	assert_int_equal(mm_context_create(&opt, &scene.ctx), 0);
	assert_int_equal(mm_swapon(scene.ctx, 2000), 0);
	assert_int_equal(vm_file_create(scene.ctx, &info, &scene.file), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, plays, &scene), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	print_message("# %lu forks, %lu times no frame, %lu times no memory, %lu pages written back\n",
		      scene.forks, frame_pool_short(scene.ctx->frames), scene.starved, scene.writes);
	assert_int_equal(scene.wrong, 0);
	assert_true(frame_pool_short(scene.ctx->frames) > 0 && scene.forks > 0 && scene.writes > 0);
	vm_file_put(scene.file);
	platform_read_stats(scene.ctx->pf, &stats);
	assert_int_equal(stats.frames + stats.tables + stats.vmas + stats.mms + stats.anon_vmas + stats.swap_slots,
			 0);
	mm_context_destroy(scene.ctx);
}

static void fixed_seed(void **state)
{
	(void)state;
	run(FIXED_SEED);
}

static void fresh_seed(void **state)
{
	(void)state;
	run(seed_fresh());
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(fixed_seed), cmocka_unit_test(fresh_seed) };

	return cmocka_run_group_tests_name("pressure", tests, NULL, NULL);
}
