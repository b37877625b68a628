/* SPDX-License-Identifier: MIT */
/* The life of an address space: users and holders, the list, exit, and what trace points tell. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/mm.h"

#define PAGE 4096UL
#define AT(page) (0x200000000UL + (unsigned long)(page) * PAGE)

/* What was told, in order. */
struct told {
	struct mm_trace trace;
	unsigned long flags, map_count;
	long live_vmas;
};

struct scene {
	struct mm_context *ctx;
	struct mm_struct *mm;
	struct told told[64];
	unsigned int count;
	char log[512];
	unsigned int yields;
	long signal_after;	/* mappings of a fork; -1: never */
};

static void remember(void *arg, const struct mm_trace *trace)
{
	struct scene *scene = arg;
	struct told *told = &scene->told[scene->count++ % 64];
	struct platform_stats stats;

	pf_read_stats_now(scene->ctx->pf, &stats);
	*told = (struct told){ .trace = *trace, .flags = atomic_load(&trace->mm->flags),
			       .map_count = trace->mm->map_count, .live_vmas = stats.vmas };
}

static void keep_line(void *arg, const char *line)
{
	struct scene *scene = arg;

	snprintf(scene->log, sizeof(scene->log), "%s", line);
}

static void count_yield(void *arg)
{
	((struct scene *)arg)->yields++;
}

static bool signal_comes(void *arg, struct mm_struct *mm)
{
	struct scene *scene = arg;

	assert_ptr_equal(mm, scene->mm);
	return scene->signal_after >= 0 && scene->signal_after-- == 0;
}

static int setup(void **state)
{
	static struct scene scene;
	struct mm_context_options opt = {
		.size = sizeof(opt), .trace = remember, .trace_arg = &scene, .log = keep_line, .log_arg = &scene,
	};
	struct mm_options mm_opt = { .size = sizeof(mm_opt), .fatal_signal_pending = signal_comes,
				     .signal_arg = &scene };

	memset(&scene, 0, sizeof(scene));
	scene.signal_after = -1;
	*state = &scene;
	if (mm_context_create(&opt, &scene.ctx))
		return -1;
	pf_set_resched_hook(scene.ctx->pf, count_yield, &scene);
	return mm_create(scene.ctx, &mm_opt, &scene.mm);
}

/* Nothing is left, whatever the test did. */
static int teardown(void **state)
{
	struct scene *scene = *state;
	struct platform_stats stats;

	mmput(scene->mm);
	platform_read_stats(scene->ctx->pf, &stats);
	if (stats.mms || stats.vmas || stats.nodes || stats.anon_vmas || mm_context_committed(scene->ctx))
		return -1;
	mm_context_destroy(scene->ctx);
	return 0;
}

static void map(struct scene *scene, unsigned long page, unsigned long pages)
{
	struct mm_mmap_args args = {
		.addr = AT(page), .len = pages * PAGE, .prot = PROT_READ | PROT_WRITE,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	};
	unsigned long out;

	assert_int_equal(mm_mmap(scene->mm, &args, &out), 0);
}

/* Mappings of a page with a page between. */
static void map_many(struct scene *scene, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++)
		map(scene, 2 * i, 1);
}

static const struct told *last_told(const struct scene *scene)
{
	assert_true(scene->count > 0);
	return &scene->told[(scene->count - 1) % 64];
}

/* D1. The last user's leaving empties the address space, once; the last holder's frees it. */
static void users_and_holders(void **state)
{
	struct scene *scene = *state;
	struct mm_struct *mm = scene->mm;
	struct platform_stats stats;

	map_many(scene, 3);
	mmget(mm);
	mmgrab(mm);
	mmput(mm);
	assert_int_equal(mm->map_count, 3);
	scene->count = 0;
	mmput(mm);
	assert_int_equal(scene->count, 1);
	assert_int_equal(last_told(scene)->trace.event, MM_TRACE_EXIT);
	assert_int_equal(last_told(scene)->trace.result, 3);
	assert_false(mmget_not_zero(mm));

	/* G5. The holder finds an address space without mappings, and no harm in it. */
	assert_int_equal(mm_validate(mm), 0);
	mmap_read_lock(mm);
	assert_null(find_vma(mm, 0));
	mmap_read_unlock(mm);
	platform_read_stats(scene->ctx->pf, &stats);
	assert_int_equal(stats.mms, 1);
	assert_int_equal(stats.vmas, 0);
	mmdrop(mm);
	platform_read_stats(scene->ctx->pf, &stats);
	assert_int_equal(stats.mms, 0);
	assert_int_equal(scene->count, 1);
	scene->mm = NULL;
}

/* D1. A walk takes a user of each, and meets none that has no user left. */
static void the_list(void **state)
{
	struct scene *scene = *state;
	struct mm_struct *child, *met[4] = { NULL }, *mm = NULL;
	unsigned int count = 0;

	assert_int_equal(mm_fork(scene->mm, &child), 0);
	while ((mm = mm_context_next(scene->ctx, mm)) != NULL) {
		assert_true(count < 4);
		assert_int_equal(atomic_load(&mm->mm_users), 2);
		met[count++] = mm;
		/* It goes while the walk stands on it, and the walk goes on. */
		if (mm == scene->mm) {
			mmput(mm);
			scene->mm = NULL;
		}
	}
	assert_int_equal(count, 2);
	assert_ptr_equal(met[1], child);
	assert_int_equal(atomic_load(&child->mm_users), 1);
	mmgrab(child);
	mmput(child);
	assert_null(mm_context_next(scene->ctx, NULL));
	mmdrop(child);
}

/* D2, D5. An empty address space is only destroyed, and its exit is told of. */
static void empty_exit(void **state)
{
	struct scene *scene = *state;

	mmput(scene->mm);
	scene->mm = NULL;
	assert_int_equal(scene->count, 1);
	assert_int_equal(last_told(scene)->trace.event, MM_TRACE_EXIT);
	assert_int_equal(last_told(scene)->trace.result, 0);
}

/* D5. When exit is told of, nothing is left: it is the last. */
static void exit_is_told_last(void **state)
{
	struct scene *scene = *state;

	map_many(scene, 20);
	scene->count = 0;
	mmput(scene->mm);
	scene->mm = NULL;
	assert_int_equal(scene->count, 1);
	assert_int_equal(last_told(scene)->map_count, 0);
	assert_int_equal(last_told(scene)->live_vmas, 0);
	assert_true(last_told(scene)->flags & 1UL << MMF_OOM_SKIP);
	assert_int_equal(mm_context_committed(scene->ctx), 0);
}

/* D4. Tear-down offers the processor to others on long lists. */
static void long_lists_yield(void **state)
{
	struct scene *scene = *state;

	map_many(scene, 3000);
	assert_int_equal(scene->yields, 0);
	mmput(scene->mm);
	scene->mm = NULL;
	assert_int_equal(scene->yields, 2);
}

/* D4. A count that does not match is said, with both numbers, and ends nothing. */
static void miscounted(void **state)
{
	struct scene *scene = *state;

	map_many(scene, 5);
	scene->mm->map_count = 7;
	mmput(scene->mm);
	scene->mm = NULL;
	assert_string_equal(scene->log, "tear-down found 5 mappings where 7 were counted");
	assert_int_equal(last_told(scene)->live_vmas, 0);
}

/* D4. It begins with the mapping that is given, ends at an address, and returns what was accounted. */
static void tear_down_has_limits(void **state)
{
	struct scene *scene = *state;
	struct mm_struct *mm = scene->mm;
	struct vm_area_struct *vma;
	struct vma_iterator vmi;

	map(scene, 0, 1);
	map(scene, 2, 2);
	map(scene, 6, 4);
	map(scene, 12, 8);
	mmap_write_lock(mm);
	mm->map_count = 2;
	vma_iter_init(&vmi, mm, AT(1));
	vma = vma_next(&vmi);
	assert_int_equal(vma->vm_start, AT(2));
	assert_int_equal(tear_down_vmas(mm, &vmi, vma, AT(12)), 6);
	assert_string_equal(scene->log, "");
	vm_unacct_memory(mm->ctx, 6);

	/* What is left is the first and the last: put the tree right, and let them go too. */
	vma_store_clear(mm, AT(2), AT(10));
	mm->map_count = 2;
	mm->accounted = 9;
	mm->total_vm = mm->data_vm = 9;
	mmap_write_unlock(mm);
	assert_int_equal(mm_validate(mm), 0);
}

/* E2, F1, F2, F5, F7. A fatal signal before mapping k: nothing, some or nearly all of the child was made. */
static void signal_between_mappings(void **state)
{
	struct scene *scene = *state;
	struct mm_struct *child = NULL;
	struct platform_stats before, after;
	unsigned long committed;
	long k;

	map_many(scene, 40);
	platform_read_stats(scene->ctx->pf, &before);
	committed = mm_context_committed(scene->ctx);
	for (k = 0; k < 40; k++) {
		scene->signal_after = k;
		scene->count = 0;
		assert_int_equal(mm_fork(scene->mm, &child), -EINTR);
		assert_null(child);
		platform_read_stats(scene->ctx->pf, &after);
		assert_int_equal(after.vmas, before.vmas);
		assert_int_equal(after.nodes, before.nodes);
		assert_int_equal(after.mms, 1);
		assert_int_equal(mm_context_committed(scene->ctx), committed);
		/* D5. The child's end is told of, and that it is unstable; then that the fork failed. */
		assert_int_equal(scene->count, 2);
		assert_int_equal(scene->told[0].trace.event, MM_TRACE_EXIT);
		/* F7. By the time that the locks were dropped there was nothing left to find. */
		assert_int_equal(scene->told[0].trace.result, 0);
		assert_int_equal(scene->told[0].flags, 1UL << MMF_OOM_SKIP | 1UL << MMF_UNSTABLE);
		assert_int_equal(scene->told[1].trace.event, MM_TRACE_FORK);
		assert_int_equal(scene->told[1].trace.result, -EINTR);
	}
	scene->signal_after = 40;
	assert_int_equal(mm_fork(scene->mm, &child), 0);
	assert_int_equal(mm_validate(child), 0);
	scene->signal_after = -1;
	mmput(child);
}

/* F8. The copy of the tree fails: no entry was anyone's, and nothing is marked but by the exit. */
static void tree_copy_fails(void **state)
{
	struct scene *scene = *state;
	struct mm_struct *child = NULL;

	map_many(scene, 40);
	scene->count = 0;
	platform_fail_nth(scene->ctx->pf, 2);
	assert_int_equal(mm_fork(scene->mm, &child), -ENOMEM);
	platform_fail_nth(scene->ctx->pf, 0);
	assert_int_equal(scene->told[0].trace.event, MM_TRACE_EXIT);
	assert_int_equal(scene->told[0].flags & 1UL << MMF_UNSTABLE, 0);
	assert_int_equal(last_told(scene)->trace.event, MM_TRACE_FORK);
}

/* Each call is told of, when it has done its work. */
static void calls_are_told(void **state)
{
	struct scene *scene = *state;
	struct mm_struct *child;

	map(scene, 0, 4);
	assert_int_equal(last_told(scene)->trace.event, MM_TRACE_MMAP);
	assert_int_equal(last_told(scene)->trace.addr, AT(0));
	assert_int_equal(last_told(scene)->trace.len, 4 * PAGE);
	mm_fault(scene->mm, AT(1) + 5, MM_WRITE);
	assert_int_equal(last_told(scene)->trace.event, MM_TRACE_FAULT);
	assert_int_equal(last_told(scene)->trace.addr, AT(1) + 5);
	assert_int_equal(last_told(scene)->trace.result, MM_FAULT_OK);
	mm_fault(scene->mm, AT(100), MM_READ);
	assert_int_equal(last_told(scene)->trace.result, MM_FAULT_MAPERR);
	mm_munmap(scene->mm, AT(1), PAGE);
	assert_int_equal(last_told(scene)->trace.event, MM_TRACE_MUNMAP);
	assert_int_equal(last_told(scene)->map_count, 2);
	mm_munmap(scene->mm, AT(1) + 1, PAGE);
	assert_int_equal(last_told(scene)->trace.result, -EINVAL);
	assert_int_equal(mm_fork(scene->mm, &child), 0);
	assert_int_equal(last_told(scene)->trace.event, MM_TRACE_FORK);
	assert_ptr_equal(last_told(scene)->trace.child, child);
	mmput(child);
}

#define life_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		life_test(users_and_holders), life_test(the_list), life_test(empty_exit),
		life_test(exit_is_told_last), life_test(long_lists_yield), life_test(miscounted),
		life_test(tear_down_has_limits), life_test(signal_between_mappings), life_test(tree_copy_fails),
		life_test(calls_are_told),
	};

	return cmocka_run_group_tests_name("life", tests, NULL, NULL);
}
