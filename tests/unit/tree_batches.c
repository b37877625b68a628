/* SPDX-License-Identifier: MIT */
/*
 * H4. Nodes come from the host and go back to it in batches: what a copy and its destruction, as in a fork and an
 * exit, ask of the host's allocator and of its RCU is counted at the host's own doors.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include <samara/maple_tree.h>

#include "tree/tree.h"

#define ENTRIES 4000ul

static unsigned long asked;	/* of the host's allocator */
static unsigned long handed;	/* to the host's RCU */

#if defined(__SANITIZE_ADDRESS__) || PF_TSAN
#define COUNTS_MEMORY 0		/* the sanitizer has the allocator's place */
#else
#define COUNTS_MEMORY 1

void *__libc_malloc(size_t size);

void *malloc(size_t size)
{
	__atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);
	return __libc_malloc(size);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	__atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}
#endif

typedef void call_rcu_fn(struct rcu_head *head, void (*func)(struct rcu_head *head));

void urcu_memb_call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	static call_rcu_fn *host;

	if (!host)
		host = (call_rcu_fn *)(uintptr_t)dlsym(RTLD_NEXT, "urcu_memb_call_rcu");
	__atomic_add_fetch(&handed, 1, __ATOMIC_RELAXED);
	host(head, func);
}

static unsigned long nodes(void)
{
	struct platform_stats stats;

	platform_read_stats(platform_default(), &stats);
	return (unsigned long)stats.nodes;
}

static unsigned long attempts(void)
{
	struct platform_stats stats;

	platform_read_stats(platform_default(), &stats);
	return stats.attempts;
}

static void fill(struct maple_tree *mt)
{
	mt_init_flags(mt, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE);
	for (unsigned long i = 0; i < ENTRIES; i++)
		assert_int_equal(mtree_store_range(mt, 16 * i, 16 * i + 7, xa_mk_value(i), 0), 0);
}

/* A fork copies the parent's tree: pieces of memory, each larger than the one before, hold all nodes. */
static void a_copy_asks_the_host_seldom(void **state)
{
	struct maple_tree from, to;
	unsigned long before, copied;

	(void)state;
	if (!COUNTS_MEMORY) {
		print_message("a sanitizer has the allocator's place\n");
		skip();
	}
	fill(&from);
	copied = nodes();
	mt_init_flags(&to, from.ma_flags);
	before = asked;
	assert_int_equal(mtree_dup(&from, &to, 0), 0);
	printf("%lu nodes copied, the host was asked %lu times\n", copied, asked - before);
	assert_true(copied > 200);
	assert_true(asked - before <= 10);
	mtree_destroy(&to);
	mtree_destroy(&from);
	assert_int_equal(nodes(), 0);
}

/* With a reader inside, all nodes of a tree wait for one grace period together; with none, for none. */
static void a_tree_is_destroyed_in_one_batch(void **state)
{
	struct maple_tree mt;
	unsigned long before;

	(void)state;
	for (int reader = 0; reader < 2; reader++) {
		fill(&mt);
		samara_rcu_barrier();
		before = handed;
		if (reader)
			samara_rcu_read_lock();
		mtree_destroy(&mt);
		if (reader)
			samara_rcu_read_unlock();
		assert_int_equal(handed - before, reader);
		assert_int_equal(nodes(), 0);
	}
}

/* While somebody reads, what is replaced is handed over in batches, and all of it can be used again afterwards. */
static void what_is_replaced_waits_in_batches(void **state)
{
	unsigned long before, replaced = attempts(), rounds = 50;
	struct maple_tree mt;
	unsigned int live;

	(void)state;
	mt_init_flags(&mt, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE);
	samara_rcu_barrier();
	before = handed;
	for (unsigned long round = 0; round < rounds; round++) {
		samara_rcu_read_lock();
		for (unsigned long i = 0; i < 400; i++)
			assert_int_equal(mtree_store_range(&mt, 3 * (i * 7919 % 401), 3 * (i * 7919 % 401) + 1,
							   xa_mk_value(round + i), 0), 0);
		assert_int_equal(mtree_store_range(&mt, 0, ULONG_MAX, NULL, 0), 0);
		samara_rcu_read_unlock();
		samara_rcu_barrier();
	}
	replaced = attempts() - replaced;
	live = (unsigned int)nodes();
	printf("%lu nodes replaced, handed over %lu times\n", replaced, handed - before);
	assert_int_equal(live, 0);
	assert_true(replaced / rounds > 64);
	assert_true(handed - before >= rounds);
	assert_true(handed - before <= replaced / 48 + rounds);
	mtree_destroy(&mt);
}

/* What was freed keeps nothing, not in its head alone: who still reads it is found out. */
static void what_was_freed_is_poisoned(void **state)
{
	struct maple_tree mt;
	unsigned char *leaf;

	(void)state;
	if (SAMARA_DEBUG < 1) {
		print_message("only where there are assertions\n");
		skip();
	}
	mt_init(&mt);
	for (unsigned long i = 1; i <= 8; i++)
		assert_int_equal(mtree_store_range(&mt, 100 * i, 100 * i + 9, xa_mk_value(i), 0), 0);
	leaf = (unsigned char *)enode_node(mt.ma_root);
	assert_int_equal(mtree_store_range(&mt, 0, ULONG_MAX, NULL, 0), 0);
	assert_int_equal(nodes(), 0);
	for (size_t i = sizeof(struct node); i < LEAF_SIZE; i++)
		assert_int_equal(leaf[i], 0x6b);
	assert_int_equal(((struct node *)leaf)->word, 0x6b6b6b6b6b6b6b6bul);
	mtree_destroy(&mt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_asks_the_host_seldom),
		cmocka_unit_test(a_tree_is_destroyed_in_one_batch),
		cmocka_unit_test(what_is_replaced_waits_in_batches),
		cmocka_unit_test(what_was_freed_is_poisoned),
	};

	return cmocka_run_group_tests_name("tree_batches", tests, NULL, NULL);
}
