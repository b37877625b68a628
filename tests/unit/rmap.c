/* SPDX-License-Identifier: MIT */
/* Reverse maps: from an offset of a file, or of an anon_vma, to all VMAs there, and to no others. */
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

#define FIXED_SEED 20261125u
#define PAGE 4096UL
#define AT(page) (0x200000000UL + (unsigned long)(page) * PAGE)

enum { FILES = 2, SPACES = 4, SPAN = 64, ROUNDS = 3000 };

struct scene {
	struct mm_context *ctx;
	struct mm_struct *mm[SPACES];
	struct vm_file *file[FILES];
	uint64_t random;
	unsigned long asked;	/* mappings of forks so far */
	long signal_after;
};

static unsigned long next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (unsigned long)((*state * 2685821657736338717ull) >> 16);
}

static unsigned long below(struct scene *scene, unsigned long n)
{
	return next_random(&scene->random) % n;
}

/* What a walk finds, checked against what the address spaces hold. */
struct found {
	struct scene *scene;
	unsigned long count, strange;
};

static bool is_in_a_space(struct scene *scene, struct vm_area_struct *vma)
{
	for (int i = 0; i < SPACES; i++)
		if (scene->mm[i] && vma->vm_mm == scene->mm[i] && mtree_load(&vma->vm_mm->mm_mt, vma->vm_start) == vma)
			return true;
	return false;
}

static bool count_it(void *arg, struct vm_area_struct *vma)
{
	struct found *found = arg;

	found->count++;
	found->strange += !is_in_a_space(found->scene, vma);
	return true;
}

static bool covers(const struct vm_area_struct *vma, pgoff_t offset)
{
	return vma->vm_pgoff <= offset && offset < vma->vm_pgoff + vma_pages(vma);
}

static bool is_linked_to(const struct vm_area_struct *vma, const struct anon_vma *anon_vma)
{
	for (const struct anon_vma_chain *link = vma->chain; link; link = link->older)
		if (link->anon_vma == anon_vma)
			return true;
	return false;
}

/* VMAs of all address spaces that map @offset of @mapping, or of @anon_vma; found the slow way. */
static unsigned long expected(struct scene *scene, const struct address_space *mapping,
			      const struct anon_vma *anon_vma, pgoff_t offset)
{
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	unsigned long count = 0;

	for (int i = 0; i < SPACES; i++) {
		if (!scene->mm[i])
			continue;
		mmap_read_lock(scene->mm[i]);
		vma_iter_init(&vmi, scene->mm[i], 0);
		for_each_vma(vmi, vma)
			count += covers(vma, offset) &&
				 (mapping ? vma->vm_file && vma->vm_file->mapping == mapping :
					    is_linked_to(vma, anon_vma));
		mmap_read_unlock(scene->mm[i]);
	}
	return count;
}

static void check_file(struct scene *scene, int which, pgoff_t offset)
{
	struct address_space *mapping = scene->file[which]->mapping;
	struct found found = { .scene = scene };

	assert_true(i_mmap_walk(mapping, &(struct rmap_walk){ offset, offset, count_it, &found }));
	assert_int_equal(found.strange, 0);
	assert_int_equal(found.count, expected(scene, mapping, NULL, offset));
	assert_int_equal(i_mmap_check(mapping), 0);
}

/* Every anon_vma of a random VMA, at its first offset. */
static void check_anon(struct scene *scene, struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	struct found found;

	mmap_read_lock(mm);
	vma = find_vma(mm, AT(below(scene, SPAN)));
	mmap_read_unlock(mm);
	if (!vma)
		return;
	for (struct anon_vma_chain *link = vma->chain; link; link = link->older) {
		found = (struct found){ .scene = scene };
		pf_mutex_lock(&scene->ctx->anon_lock);
		anon_vma_walk_locked(link->anon_vma,
				     &(struct rmap_walk){ vma->vm_pgoff, vma->vm_pgoff, count_it, &found });
		pf_mutex_unlock(&scene->ctx->anon_lock);
		assert_int_equal(found.strange, 0);
		assert_int_equal(found.count, expected(scene, NULL, link->anon_vma, vma->vm_pgoff));
		assert_int_equal(anon_vma_check(scene->ctx, link->anon_vma), 0);
	}
}

/* Promise 4, G3. Between two mappings of a fork: no way leads to the child. */
static bool look_from_pages(void *arg, struct mm_struct *mm)
{
	struct scene *scene = arg;
	struct found found = { .scene = scene };

	scene->asked++;
	for (int i = 0; i < FILES; i++)
		i_mmap_walk(scene->file[i]->mapping, &(struct rmap_walk){ 0, ULONG_MAX, count_it, &found });
	assert_int_equal(found.strange, 0);
	return scene->signal_after >= 0 && scene->signal_after-- == 0;
}

static int setup(void **state)
{
	static struct scene scene;
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 4096 };
	struct mm_options mm_opt = { .size = sizeof(mm_opt), .fatal_signal_pending = look_from_pages,
				     .signal_arg = &scene };
	struct vm_file_info info = { .size = sizeof(info), .readable = true, .writable = true };

	scene = (struct scene){ .signal_after = -1 };
	*state = &scene;
	if (mm_context_create(&opt, &scene.ctx) || mm_create(scene.ctx, &mm_opt, &scene.mm[0]))
		return -1;
	for (int i = 0; i < FILES; i++)
		if (vm_file_create(scene.ctx, &info, &scene.file[i]))
			return -1;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;
	struct platform_stats stats;

	for (int i = 0; i < SPACES; i++)
		mmput(scene->mm[i]);
	for (int i = 0; i < FILES; i++) {
		if (scene->file[i]->mapping->i_mmap)
			return -1;
		vm_file_put(scene->file[i]);
	}
	platform_read_stats(scene->ctx->pf, &stats);
	if (stats.vmas || stats.anon_vmas || stats.anon_chains)
		return -1;
	mm_context_destroy(scene->ctx);
	return 0;
}

static void map(struct scene *scene, struct mm_struct *mm)
{
	static const unsigned long prots[] = { PROT_READ, PROT_READ | PROT_WRITE, PROT_NONE };
	unsigned long which = below(scene, FILES + 1), at;
	struct mm_mmap_args args = {
		.addr = AT(below(scene, SPAN)), .len = (1 + below(scene, 12)) * PAGE,
		.prot = prots[below(scene, 3)], .offset = below(scene, 20) * PAGE,
		.flags = MAP_FIXED | (below(scene, 2) ? MAP_SHARED : MAP_PRIVATE),
	};

	if (which < FILES)
		args.file = scene->file[which];
	else
		args.flags |= MAP_ANONYMOUS;
	if (which == FILES)
		args.offset = 0;
	assert_int_equal(mm_mmap(mm, &args, &at), 0);
}

static void fork_or_end(struct scene *scene)
{
	unsigned long to = below(scene, SPACES), from = below(scene, SPACES);

	if (to == from || !scene->mm[from])
		return;
	mmput(scene->mm[to]);
	scene->mm[to] = NULL;
	scene->signal_after = below(scene, 2) ? (long)below(scene, 30) : -1;
	if (mm_fork(scene->mm[from], &scene->mm[to]))
		scene->mm[to] = NULL;
	scene->signal_after = -1;
}

static void change(struct scene *scene)
{
	struct mm_struct *mm = scene->mm[below(scene, SPACES)];
	unsigned long addr = AT(below(scene, SPAN)), len = (1 + below(scene, 10)) * PAGE, at;
	struct mm_mremap_args move = { .addr = addr, .old_len = len, .new_len = (1 + below(scene, 10)) * PAGE,
				       .flags = MREMAP_MAYMOVE, .new_addr = AT(below(scene, SPAN)) };

	if (!mm)
		return;
	switch (below(scene, 8)) {
	case 0:
		mm_munmap(mm, addr, len);
		break;
	case 1:
		mm_mprotect(mm, addr, len, below(scene, 2) ? PROT_READ : PROT_READ | PROT_WRITE);
		break;
	case 2:
		move.flags |= below(scene, 2) ? MREMAP_FIXED : 0;
		mm_mremap(mm, &move, &at);
		break;
	case 3:
	case 4:
		mm_fault(mm, addr, MM_WRITE);
		break;
	case 5:
		fork_or_end(scene);
		break;
	default:
		map(scene, mm);
	}
}

/* Splits, merges, moves, faults, forks that succeed and fail, exits: the maps lead to what is there. */
static void run(struct scene *scene, uint64_t seed)
{
	print_message("# SAMARA_SEED=%llu\n", (unsigned long long)seed);
	scene->random = seed * 2 + 1;
	for (int i = 0; i < ROUNDS; i++) {
		change(scene);
		check_file(scene, (int)below(scene, FILES), below(scene, 32));
		if (scene->mm[0])
			check_anon(scene, scene->mm[0]);
		else
			assert_int_equal(mm_create(scene->ctx, NULL, &scene->mm[0]), 0);
	}
	print_message("# %lu mappings of forks\n", scene->asked);
	assert_true(scene->asked > 0);
}

static void fixed_seed(void **state)
{
	run(*state, FIXED_SEED);
}

static void fresh_seed(void **state)
{
	run(*state, seed_fresh());
}

static bool stop_at_third(void *arg, struct vm_area_struct *vma)
{
	return ++*(unsigned int *)arg < 3;
}

/* A visit can end the walk. Mappings are met in order of their offsets. */
static void a_visit_ends_it(void **state)
{
	struct scene *scene = *state;
	unsigned int visits = 0;
	unsigned long at;

	for (unsigned long i = 0; i < 8; i++) {
		struct mm_mmap_args args = { .addr = AT(2 * i), .len = PAGE, .prot = PROT_READ, .file = scene->file[0],
					     .flags = MAP_SHARED | MAP_FIXED, .offset = (8 - i) * PAGE };

		assert_int_equal(mm_mmap(scene->mm[0], &args, &at), 0);
	}
	assert_false(i_mmap_walk(scene->file[0]->mapping,
				 &(struct rmap_walk){ 0, ULONG_MAX, stop_at_third, &visits }));
	assert_int_equal(visits, 3);
}

/* Without pages there is nothing to come from, and nothing is entered. */
static void without_pages(void **state)
{
	struct scene scene = { .random = 1 };
	struct vm_file_info info = { .size = sizeof(info), .readable = true, .writable = true };

	assert_int_equal(mm_context_create(NULL, &scene.ctx), 0);
	assert_int_equal(mm_create(scene.ctx, NULL, &scene.mm[0]), 0);
	for (int i = 0; i < FILES; i++)
		assert_int_equal(vm_file_create(scene.ctx, &info, &scene.file[i]), 0);
	for (int i = 0; i < 50; i++)
		map(&scene, scene.mm[0]);
	for (int i = 0; i < FILES; i++) {
		assert_null(scene.file[i]->mapping->i_mmap);
		vm_file_put(scene.file[i]);
	}
	mmput(scene.mm[0]);
	mm_context_destroy(scene.ctx);
}

#define rmap_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rmap_test(fixed_seed), rmap_test(fresh_seed), rmap_test(a_visit_ends_it),
		cmocka_unit_test(without_pages),
	};

	return cmocka_run_group_tests_name("rmap", tests, NULL, NULL);
}
