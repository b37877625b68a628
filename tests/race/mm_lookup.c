/* SPDX-License-Identifier: MIT */
/*
 * B7, promise 5. Readers look mappings up under RCU while one writer replaces, cuts,
 * protects and joins them. What is mapped throughout is found each time.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/seed.h"
#include "vma/vma.h"

enum { READERS = 2, CHANGES = 4000, PAGES = 64 };

#define FIXED_SEED 20261120u
#define START 0x200000000UL
#define AT(page) (START + (unsigned long)(page) * 4096)

struct scene {
	struct mm_struct *mm;
	atomic_bool stop;
	atomic_ulong looks;
	atomic_ulong holes;	/* lookups that found nothing where something was mapped throughout */
};

static unsigned long next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (unsigned long)((*state * 2685821657736338717ull) >> 16);
}

static void *read_pages(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (uintptr_t)&random | 1;
	unsigned long looks = 0, holes = 0, addr;
	struct vm_area_struct *vma, *above;

	while (!atomic_load(&scene->stop)) {
		addr = AT(next_random(&random) % PAGES) + next_random(&random) % 4096;
		samara_rcu_read_lock();
		vma = vma_lookup(scene->mm, addr);
		above = find_vma(scene->mm, addr);
		samara_rcu_read_unlock();
		looks += 2;
		holes += !vma + !above;
	}
	atomic_fetch_add(&scene->looks, looks);
	atomic_fetch_add(&scene->holes, holes);
	return NULL;
}

static int map(struct mm_struct *mm, unsigned long first, unsigned long pages, unsigned long prot)
{
	struct mm_mmap_args args = {
		.addr = AT(first),
		.len = pages * 4096,
		.prot = prot,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	};
	unsigned long at;

	return mm_mmap(mm, &args, &at);
}

/* Any of these leaves every page of the field mapped, before, while and after. */
static int change(struct mm_struct *mm, uint64_t *random)
{
	static const unsigned long prots[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
	unsigned long first = next_random(random) % PAGES;
	unsigned long pages = 1 + next_random(random) % (PAGES - first);
	unsigned long prot = prots[next_random(random) % 3];

	switch (next_random(random) % 4) {
	case 0:
		return mm_mprotect(mm, AT(first), pages * 4096, prot);
	case 1:
		mm_fault(mm, AT(first), MM_WRITE);
		return 0;
	default:
		return map(mm, first, pages, prot);
	}
}

static void race(uint64_t seed)
{
	struct scene scene = { .mm = NULL };
	pthread_t reader[READERS];
	struct mm_context *ctx;
	uint64_t random = seed * 2 + 1;
	int i;

	print_message("# SAMARA_SEED=%llu\n", (unsigned long long)seed);
	assert_int_equal(mm_context_create(NULL, &ctx), 0);
	assert_int_equal(mm_create(ctx, NULL, &scene.mm), 0);
	assert_int_equal(map(scene.mm, 0, PAGES, PROT_READ), 0);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&reader[i], NULL, read_pages, &scene), 0);
	for (i = 0; i < CHANGES; i++)
		assert_int_equal(change(scene.mm, &random), 0);
	atomic_store(&scene.stop, true);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(reader[i], NULL), 0);
	assert_int_equal(mm_validate(scene.mm), 0);
	mm_put(scene.mm);
	mm_context_destroy(ctx);
	assert_true(scene.looks > 0);
	assert_int_equal(scene.holes, 0);
}

static void fixed_seed(void **state)
{
	race(FIXED_SEED);
}

static void fresh_seed(void **state)
{
	race(seed_fresh());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_seed),
		cmocka_unit_test(fresh_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
