/* SPDX-License-Identifier: MIT */
/* What a child gets, and what a fork that fails leaves behind. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vma/vma.h"

/* Everything but what is marked, and no locks.
 *
 *   parent  |WW|cc|rr|KK|PP|ss|
 *   child   |WW|  |rr|WW|pp|ss|
 */
static void what_is_copied(void **state)
{
	strip_build(state, "|WW|cc|rr|KK|PP|ss|");
	assert_int_equal(strip_fork(state), 0);
	strip_is_in(state, 1, "|WW|  |rr|WW|pp|ss|");
	strip_is(state, "|WW|cc|rr|KK|PP|ss|");
}

/* Each side goes its own way. */
static void apart(void **state)
{
	strip_build(state, "|WWWW|");
	strip_fork(state);
	strip_do_in(state, 1, DIFF_MUNMAP, PG(1), PAGES(1));
	strip_protect(state, 2, 1, 'r');
	strip_is_in(state, 1, "|W| |WW|");
	strip_is(state, "|WW|R|W|");
}

/* A child outlives its parent's mappings, and a grandchild the child. */
static void generations(void **state)
{
	strip_build(state, "|WWWW|rr|");
	strip_fork(state);
	strip_do_in(state, 1, DIFF_FORK, 0);
	strip_unmap(state, 0, 6);
	strip_do_in(state, 1, DIFF_EXIT, 0);
	strip_is_in(state, 2, "|WWWW|rr|");
	strip_write_in(state, 2, 0);
	strip_protect_in(state, 2, 1, 2, 'r');
	strip_is_in(state, 2, "|W|RR|W|rr|");
}

/* Observed: what a userfaultfd listens to in the parent, it does not hear of in a child. */
static void userfaults_stay(void **state)
{
	struct mm_adopt_args args = { .start = PG(0), .end = PG(2),
				      .flags = VM_READ | VM_WRITE | VM_MAY_ALL | VM_UFFD_MISSING | VM_UFFD_WP };
	struct mm_struct *mm = strip_mm(state), *child;

	assert_int_equal(mm_adopt(mm, &args), 0);
	assert_int_equal(mm_fork(mm, &child), 0);
	mmap_read_lock(child);
	assert_int_equal(vma_lookup(child, PG(0))->vm_flags, args.flags & ~VM_UFFD_MASK);
	mmap_read_unlock(child);
	mmap_read_lock(mm);
	assert_int_equal(vma_lookup(mm, PG(0))->vm_flags, args.flags);
	mmap_read_unlock(mm);
	mm_put(child);
}

/* When the child has gone, the parent's written memory joins as if it had never forked. */
static void child_gone(void **state)
{
	strip_build(state, "|WW|  |ww|");
	strip_fork(state);
	strip_do_in(state, 1, DIFF_EXIT, 0);
	strip_map(state, 2, 2, 'w');
	strip_is(state, "|WWWWWW|");
}

/* A child has its parent's counters, without what it did not get. */
static void counters(void **state)
{
	struct diff *d = *state;
	struct mm_counters parent, child;

	strip_build(state, "|WW|cc|KK|gg|");
	strip_fork(state);
	parent = strip_counters(state);
	mm_read_counters(d->proc[1].mm, &child);
	assert_int_equal(child.total_vm, parent.total_vm - 2);
	assert_int_equal(child.locked_vm, 0);
	assert_int_equal(child.stack_vm, parent.stack_vm);
	assert_int_equal(child.map_count, parent.map_count - 1);
	assert_int_equal(mm_context_committed(d->ctx), parent.accounted + child.accounted);
}

/* Promises 2 and 4. Any allocation fails: the parent is as before, and nothing is left of the child. */
static void fails_without_trace(void **state)
{
	struct platform *pf = strip_platform(state);
	struct platform_stats before, after;
	struct mm_struct *child = NULL;
	long n, err;

	strip_build(state, "|WW|XX|rr|KK|PP|ss|dd|");
	platform_read_stats(pf, &before);
	for (n = 1;; n++) {
		platform_fail_nth(pf, n);
		err = mm_fork(strip_mm(state), &child);
		platform_fail_nth(pf, 0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_null(child);
		platform_read_stats(pf, &after);
		assert_int_equal(after.vmas, before.vmas);
		assert_int_equal(after.nodes, before.nodes);
		assert_int_equal(after.mms, before.mms);
		assert_int_equal(after.anon_vmas, before.anon_vmas);
		assert_int_equal(after.anon_chains, before.anon_chains);
		strip_is(state, "|WW|XX|rr|KK|PP|ss|dd|");
	}
	assert_true(n > 3);
	mm_put(child);
}

static void *fork_it(void *mm)
{
	struct mm_struct *child = NULL;

	return mm_fork(mm, &child) ? NULL : child;
}

/* A limit that is set while a fork waits for the lock is the child's too. */
static void limits_of_the_moment(void **state)
{
	struct mm_struct *mm = strip_mm(state);
	void *child = NULL;
	pthread_t thread;

	mmap_write_lock(mm);
	assert_int_equal(pthread_create(&thread, NULL, fork_it, mm), 0);
	usleep(50000);
	mm->opt.rlimit[MM_RLIMIT_DATA] = PAGES(7);
	mmap_write_unlock(mm);
	assert_int_equal(pthread_join(thread, &child), 0);
	assert_non_null(child);
	assert_int_equal(((struct mm_struct *)child)->opt.rlimit[MM_RLIMIT_DATA], PAGES(7));
	mm_put(child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(what_is_copied), strip_test(apart), strip_test(generations),
		strip_test(child_gone), strip_test(counters), strip_test_model(fails_without_trace),
		strip_test_model(limits_of_the_moment), strip_test_model(userfaults_stay),
	};

	return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
