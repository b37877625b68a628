/* SPDX-License-Identifier: MIT */
/*
 * Promises 5 and 6. Readers lock single VMAs while two address spaces of one context, whose VMAs
 * come from the same memory, are changed without pause. Whoever has a VMA locked finds it whole: of the address
 * space that was asked, around the address, its fields in step, and the same at the end as at the beginning.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/seed.h"
#include "vma/vma.h"

enum { READERS = 2, SPACES = 2, CHANGES = 6000, PAGES = 48 };

#define FIXED_SEED 20261125u
#define START 0x200000000UL
#define AT(page) (START + (unsigned long)(page) * 4096)

struct scene {
	struct mm_struct *mm[SPACES];
	uint64_t seed;
	atomic_bool stop;
	atomic_ulong locked, wrong;
};

struct writer {
	struct scene *scene;
	struct mm_struct *mm;
	uint64_t random;
};

static unsigned long next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (unsigned long)((*state * 2685821657736338717ull) >> 16);
}

/* Anonymous memory that has never moved is born where it lies: true between changes, not within one. */
static bool is_whole(const struct vm_area_struct *vma, const struct mm_struct *mm, unsigned long addr)
{
	return vma->vm_mm == mm && vma->vm_start <= addr && addr < vma->vm_end &&
	       vma->vm_pgoff == vma->vm_start >> PAGE_SHIFT && !vma->set_next &&
	       (!vma_anon_vma(vma) || vma_anon_vma(vma)->id);
}

static void *lock_vmas(void *arg)
{
	struct scene *scene = arg;
	uint64_t random = (scene->seed ^ (uintptr_t)&random) | 1;
	unsigned long locked = 0, wrong = 0, addr, start, end, flags;
	struct vm_area_struct *vma;
	struct mm_struct *mm;

	while (!atomic_load(&scene->stop)) {
		mm = scene->mm[next_random(&random) % SPACES];
		addr = AT(next_random(&random) % PAGES);
		vma = lock_vma_under_rcu(mm, addr);
		if (!vma)
			continue;
		locked++;
		start = vma->vm_start;
		end = vma->vm_end;
		flags = vma->vm_flags;
		wrong += !is_whole(vma, mm, addr);
		for (int i = 0; i < 20; i++)
			wrong += start != vma->vm_start || end != vma->vm_end || flags != vma->vm_flags;
		vma_end_read(vma);
	}
	atomic_fetch_add(&scene->locked, locked);
	atomic_fetch_add(&scene->wrong, wrong);
	return NULL;
}

/* So many go at once that they are given back as they hang together, for either address space to take. */
static void come_and_go(struct writer *w)
{
	struct mm_mmap_args args = { .len = 4096, .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED };
	unsigned long at;
	int page;

	for (page = 0; page < PAGES; page++) {
		args.addr = AT(page);
		args.prot = page % 2 ? PROT_NONE : PROT_READ;
		mm_mmap(w->mm, &args, &at);
	}
	mm_munmap(w->mm, AT(0), PAGES * 4096);
}

static void change(struct writer *w)
{
	static const unsigned long prots[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
	unsigned long first = next_random(&w->random) % PAGES;
	unsigned long len = (1 + next_random(&w->random) % 8) * 4096, at;
	bool all = next_random(&w->random) % 32 == 0;
	struct mm_mmap_args args = {
		.addr = AT(first), .len = len, .prot = prots[next_random(&w->random) % 3],
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	};

	if (all) {
		come_and_go(w);
		return;
	}
	switch (next_random(&w->random) % 6) {
	case 0:
		mm_munmap(w->mm, AT(first), len);
		break;
	case 1:
		mm_mprotect(w->mm, AT(first), len, args.prot);
		break;
	case 2:
		mm_madvise(w->mm, AT(first), len, next_random(&w->random) % 2 ? MADV_DONTDUMP : MADV_DODUMP);
		break;
	case 3:
		mm_fault(w->mm, AT(first), MM_WRITE);
		break;
	default:
		mm_mmap(w->mm, &args, &at);
	}
}

static void *change_mappings(void *arg)
{
	struct writer *w = arg;

	for (int i = 0; i < CHANGES; i++)
		change(w);
	return NULL;
}

static void race(uint64_t seed)
{
	struct scene scene = { .seed = seed };
	pthread_t reader[READERS], thread[SPACES];
	struct writer writer[SPACES];
	struct mm_context *ctx;
	int i;

	print_message("# SAMARA_SEED=%llu\n", (unsigned long long)seed);
	assert_int_equal(mm_context_create(NULL, &ctx), 0);
	for (i = 0; i < SPACES; i++)
		assert_int_equal(mm_create(ctx, NULL, &scene.mm[i]), 0);
	/* The number that stamps are compared with begins anew on the way. */
	atomic_store(&scene.mm[0]->mm_lock_seq, UINT32_MAX - CHANGES / 4);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&reader[i], NULL, lock_vmas, &scene), 0);
	for (i = 0; i < SPACES; i++) {
		writer[i] = (struct writer){ &scene, scene.mm[i], (seed + (uint64_t)i) * 2 + 1 };
		assert_int_equal(pthread_create(&thread[i], NULL, change_mappings, &writer[i]), 0);
	}
	for (i = 0; i < SPACES; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	atomic_store(&scene.stop, true);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(reader[i], NULL), 0);
	assert_true(atomic_load(&scene.mm[0]->mm_lock_seq) < UINT32_MAX / 2);
	for (i = 0; i < SPACES; i++) {
		assert_int_equal(mm_validate(scene.mm[i]), 0);
		mmput(scene.mm[i]);
	}
	mm_context_destroy(ctx);
	print_message("# %lu VMAs locked\n", scene.locked);
	assert_true(scene.locked > 0);
	assert_int_equal(scene.wrong, 0);
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

	return cmocka_run_group_tests_name("vma_lock", tests, NULL, NULL);
}
