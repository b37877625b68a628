/* SPDX-License-Identifier: MIT */
/*
 * G1, E5. Swap areas come and go beside page-out, faults, and forks and exits of address spaces that have
 * pages in them, some of which fail half way. Nothing is lost, and no slot outlives its area.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mm/mm.h"
#include "mmu/mmu.h"
#include "mmu/pageout.h"
#include "support/seed.h"

#define FIXED_SEED 20261126u
#define AT(page) (0x200000000UL + (unsigned long)(page) * PAGE_SIZE)

enum { PAGES = 32, SHARED_AT = 100, FORKS = 300 };

struct scene {
	struct mm_context *ctx;
	struct mm_struct *mm;
	uint64_t seed;
	atomic_bool stop;
	atomic_ulong wrong, forked, failed, emptied, swapped_out;
	long signal_after;	/* the forking thread's */
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
	sched_yield();
	return scene->signal_after >= 0 && scene->signal_after-- == 0;
}

/* Every second page of private memory is a mapping of its own; page n holds n + 1, wherever it is. */
static bool is_intact(struct mm_struct *mm)
{
	unsigned char byte = 0;

	for (unsigned long i = 0; i < PAGES; i++) {
		if (mm_read(mm, AT(2 * i), &byte, 1, NULL) != MM_FAULT_OK || byte != i + 1)
			return false;
		if (mm_read(mm, AT(SHARED_AT + i), &byte, 1, NULL) != MM_FAULT_OK || byte != i + 1)
			return false;
	}
	return true;
}

static void *forks(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (scene->seed ^ 1) | 1;
	struct mm_struct *child, *grandchild;

	for (int i = 0; i < FORKS; i++) {
		scene->signal_after = next_random(&random) % 2 ? (long)(next_random(&random) % PAGES) : -1;
		if (mm_fork(scene->mm, &child)) {
			atomic_fetch_add(&scene->failed, 1);
			continue;
		}
		scene->signal_after = -1;
		atomic_fetch_add(&scene->forked, 1);
		if (!mm_fork(child, &grandchild)) {
			mmput(child);
			child = grandchild;
		}
		if (next_random(&random) % 4 == 0 && !is_intact(child))
			atomic_fetch_add(&scene->wrong, 1);
		mmput(child);
	}
	return NULL;
}

static void *pages_out(void *arg)
{
	struct scene *scene = arg;

	while (!atomic_load(&scene->stop)) {
		atomic_fetch_add(&scene->swapped_out, reclaim_frames(scene->ctx, 16));
		usleep(200);
	}
	return NULL;
}

static void *areas_come_and_go(void *arg)
{
	struct scene *scene = arg;

	while (!atomic_load(&scene->stop)) {
		usleep(1000);
		if (mm_swapoff(scene->ctx, NULL) || scene->ctx->swap || mm_swapon(scene->ctx, 4 * PAGES))
			atomic_fetch_add(&scene->wrong, 1);
		atomic_fetch_add(&scene->emptied, 1);
	}
	return NULL;
}

static void build(struct scene *scene)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 2048 };
	struct mm_options mm_opt = { .size = sizeof(mm_opt), .fatal_signal_pending = signal_comes,
				     .signal_arg = scene };
	struct mm_mmap_args args = { .len = PAGE_SIZE, .prot = PROT_READ | PROT_WRITE,
				     .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED };
	unsigned long at;

	assert_int_equal(mm_context_create(&opt, &scene->ctx), 0);
	assert_int_equal(mm_swapon(scene->ctx, 4 * PAGES), 0);
	assert_int_equal(mm_create(scene->ctx, &mm_opt, &scene->mm), 0);
	for (unsigned long i = 0; i < PAGES; i++) {
		args.addr = AT(2 * i);
		assert_int_equal(mm_mmap(scene->mm, &args, &at), 0);
	}
	args.addr = AT(SHARED_AT);
	args.len = PAGES * PAGE_SIZE;
	args.flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;
	assert_int_equal(mm_mmap(scene->mm, &args, &at), 0);
	for (unsigned long i = 0; i < PAGES; i++) {
		unsigned char byte = (unsigned char)(i + 1);

		assert_int_equal(mm_write(scene->mm, AT(2 * i), &byte, 1, NULL), MM_FAULT_OK);
		assert_int_equal(mm_write(scene->mm, AT(SHARED_AT + i), &byte, 1, NULL), MM_FAULT_OK);
	}
}

static void run(uint64_t seed)
{
	void *(*const body[])(void *) = { forks, pages_out, areas_come_and_go };
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
	print_message("# %lu forks, %lu failed, %lu pages out, %lu areas emptied\n", scene.forked,
		      scene.failed, scene.swapped_out, scene.emptied);
	assert_int_equal(scene.wrong, 0);
	assert_true(scene.forked > 0 && scene.failed > 0 && scene.swapped_out > 0 && scene.emptied > 0);
	assert_true(is_intact(scene.mm));
	assert_int_equal(mm_validate(scene.mm), 0);
	assert_int_equal(mmu_validate_frames(scene.ctx, &scene.mm, 1), 0);
	mmput(scene.mm);
	platform_read_stats(scene.ctx->pf, &stats);
	assert_int_equal(stats.frames + stats.tables + stats.vmas + stats.mms + stats.anon_vmas +
			 stats.swap_slots, 0);
	mm_context_destroy(scene.ctx);
}

static void fixed_seed(void **state)
{
	run(FIXED_SEED);
}

static void fresh_seed(void **state)
{
	run(seed_fresh());
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(fixed_seed), cmocka_unit_test(fresh_seed) };

	return cmocka_run_group_tests_name("swapoff", tests, NULL, NULL);
}
