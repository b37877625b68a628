/* SPDX-License-Identifier: MIT */
/*
 * B7, promises 4 and 5. Threads of one program: two change mappings, one touches memory, one
 * forks and lets its children change and die, one walks with mm_next_vma() and must
 * find mappings in order, whole, and never a hole where one thread only ever maps over.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <samara/mm.h>

#include "support/seed.h"

#define FIXED_SEED 20261120u
#define PAGE 4096UL
#define START 0x200000000UL
#define SPAN 48UL			/* pages that calls fall into */
#define SOLID (START + 256 * PAGE)	/* mapped throughout, and mapped over again and again */
#define SOLID_PAGES 16UL

enum { ROUNDS = 5000 };

struct scene {
	struct mm_context *ctx;
	struct mm_struct *mm;
	uint64_t seed;
	atomic_bool stop;
	atomic_ulong wrong;	/* what no thread may see */
	atomic_ulong looks;
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 2685821657736338717ull) >> 16;
}

static unsigned long random_page(uint64_t *random)
{
	return START + next_random(random) % SPAN * PAGE;
}

static void map_at(struct mm_struct *mm, unsigned long addr, size_t len, unsigned long prot)
{
	struct mm_mmap_args args = { .addr = addr, .len = len, .prot = prot,
				     .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED };
	unsigned long out;

	mm_mmap(mm, &args, &out);
}

static void change(struct mm_struct *mm, uint64_t *random)
{
	static const unsigned long prot[] = { PROT_READ, PROT_READ | PROT_WRITE, PROT_NONE };
	unsigned long addr = random_page(random), len = (1 + next_random(random) % 6) * PAGE;
	struct mm_mremap_args move = { .addr = addr, .old_len = len, .new_len = len,
				       .flags = MREMAP_MAYMOVE | MREMAP_FIXED };
	unsigned long out;

	switch (next_random(random) % 5) {
	case 0:
		map_at(mm, addr, len, prot[next_random(random) % 3]);
		break;
	case 1:
		mm_munmap(mm, addr, len);
		break;
	case 2:
		mm_mprotect(mm, addr, len, prot[next_random(random) % 3]);
		break;
	case 3:
		mm_madvise(mm, addr, len, next_random(random) % 2 ? MADV_DONTDUMP : MADV_DODUMP);
		break;
	default:
		move.new_addr = random_page(random);
		mm_mremap(mm, &move, &out);
	}
}

static void *changes(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (scene->seed ^ (uintptr_t)&random) | 1;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		change(scene->mm, &random);
		map_at(scene->mm, SOLID + next_random(&random) % 8 * PAGE, 4 * PAGE,
		       next_random(&random) % 2 ? PROT_READ : PROT_READ | PROT_WRITE);
	}
	return NULL;
}

static void *touches(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (scene->seed ^ (uintptr_t)&random) | 1;

	while (!atomic_load(&scene->stop)) {
		mm_fault(scene->mm, random_page(&random), next_random(&random) % 2 ? MM_READ : MM_WRITE);
		if (mm_fault(scene->mm, SOLID + next_random(&random) % (SOLID_PAGES * PAGE), MM_READ) !=
		    MM_FAULT_OK)
			atomic_fetch_add(&scene->wrong, 1);
	}
	return NULL;
}

static void *forks(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (scene->seed ^ (uintptr_t)&random) | 1;
	struct mm_struct *child;
	int i;

	while (!atomic_load(&scene->stop)) {
		if (mm_fork(scene->mm, &child))
			continue;
		for (i = 0; i < 4; i++) {
			change(child, &random);
			mm_fault(child, random_page(&random), MM_WRITE);
		}
		if (mm_validate(child))
			atomic_fetch_add(&scene->wrong, 1);
		mm_put(child);
	}
	return NULL;
}

/* One walk: in order, whole pages, and no hole in what is always mapped. */
static unsigned long walk(struct mm_struct *mm)
{
	struct mm_vma_info vma;
	unsigned long at = 0, wrong = 0;

	while (!mm_next_vma(mm, at, &vma)) {
		wrong += vma.start >= vma.end || vma.end <= at || (vma.start | vma.end) % PAGE != 0;
		if (at >= SOLID && at < SOLID + SOLID_PAGES * PAGE && vma.start > at)
			wrong++;
		at = vma.end;
	}
	return wrong + (at < SOLID + SOLID_PAGES * PAGE);
}

static void *walks(void *arg)
{
	struct scene *scene = arg;
	unsigned long looks = 0;

	while (!atomic_load(&scene->stop)) {
		atomic_fetch_add(&scene->wrong, walk(scene->mm));
		looks++;
	}
	atomic_fetch_add(&scene->looks, looks);
	return NULL;
}

static void run_seed(uint64_t seed)
{
	void *(*const body[])(void *) = { touches, forks, walks, changes, changes };
	enum { THREADS = sizeof(body) / sizeof(body[0]), FINITE = 3 };
	struct scene scene = { .seed = seed };
	struct platform_stats stats;
	pthread_t thread[THREADS];
	int i;

	printf("# seed %llu\n", (unsigned long long)seed);
	assert_int_equal(mm_context_create(NULL, &scene.ctx), 0);
	assert_int_equal(mm_create(scene.ctx, NULL, &scene.mm), 0);
	map_at(scene.mm, SOLID, SOLID_PAGES * PAGE, PROT_READ);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, body[i], &scene), 0);
	for (i = FINITE; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	atomic_store(&scene.stop, true);
	for (i = 0; i < FINITE; i++)
		pthread_join(thread[i], NULL);

	assert_int_equal(atomic_load(&scene.wrong), 0);
	assert_true(atomic_load(&scene.looks) > 0);
	assert_int_equal(mm_validate(scene.mm), 0);
	mm_put(scene.mm);
	platform_read_stats(mm_context_platform(scene.ctx), &stats);
	assert_int_equal(stats.vmas + stats.anon_vmas + stats.anon_chains + stats.mms + stats.nodes, 0);
	mm_context_destroy(scene.ctx);
}

static void fixed_seed(void **state)
{
	run_seed(FIXED_SEED);
}

static void fresh_seed(void **state)
{
	run_seed(seed_fresh());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_seed),
		cmocka_unit_test(fresh_seed),
	};

	return cmocka_run_group_tests_name("mm_calls", tests, NULL, NULL);
}
