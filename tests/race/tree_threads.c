/* SPDX-License-Identifier: MIT */
/*
 * A4. Two readers and one writer at full speed, for ThreadSanitizer and for
 * luck. The writer numbers its changes; a reader that saw at most one change begin
 * or end while it looked must have found the entry from before or after it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include <samara/maple_tree.h>

#include "tree/tree.h"

#define CELLS 300
#define APART 16

struct field {
	struct maple_tree mt;
	unsigned long seq;		/* odd while a change is being made */
	void *now[CELLS], *next[CELLS];
	bool stop;
	uint64_t random;
	unsigned long judged[2];
	unsigned long wrong;
};

struct reader {
	struct field *f;
	int number;
	uint64_t random;
};

static int below(uint64_t *random, int n)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (int)(*random % (uint64_t)n);
}

static char missed;	/* the change moved the ranges under the walk: nothing to judge */

static void judge(struct reader *r, int cell, void *(*look)(struct field *, int))
{
	struct field *f = r->f;
	unsigned long before = RD_ACQ(f->seq), after;
	void *old = RD_ACQ(f->now[cell]), *to = RD_ACQ(f->next[cell]), *is, *now;

	is = look(f, cell);
	now = RD_ACQ(f->now[cell]);
	after = RD_ACQ(f->seq);
	if (before != after || is == &missed)
		return;
	r->f->judged[r->number]++;
	if (is != old && is != now && !(before & 1 && is == to))
		__atomic_add_fetch(&f->wrong, 1, __ATOMIC_RELAXED);
}

static void *look_load(struct field *f, int cell)
{
	return mtree_load(&f->mt, (unsigned long)cell * APART + APART / 2);
}

/* Reach the cell by stepping from the one before it. */
static void *look_next(struct field *f, int cell)
{
	MA_STATE(mas, &f->mt, 0, 0);
	unsigned long index = (unsigned long)cell * APART;
	void *entry;

	pf_rcu_read_lock();
	mas_set(&mas, index ? index - 1 : 0);
	entry = mas_walk(&mas);
	if (mas.last < index)
		entry = mas_next_range(&mas, ULONG_MAX);
	if (mas.index > index || mas.last < index)
		entry = &missed;
	pf_rcu_read_unlock();
	return entry;
}

static void *read_cells(void *arg)
{
	struct reader *r = arg;
	struct field *f = r->f;

	while (!RD_ACQ(f->stop)) {
		judge(r, below(&r->random, CELLS), look_load);
		if (!below(&r->random, 4))
			judge(r, below(&r->random, CELLS), look_next);
	}
	return NULL;
}

/* A whole walk: in order, no range twice. */
static void *read_all(void *arg)
{
	struct reader *r = arg;
	struct field *f = r->f;

	while (!RD_ACQ(f->stop)) {
		MA_STATE(mas, &f->mt, 0, 0);
		unsigned long next = 0;
		void *entry;

		pf_rcu_read_lock();
		mas_for_each(&mas, entry, ULONG_MAX) {
			if (mas.last < mas.index || mas.last < next)
				__atomic_add_fetch(&f->wrong, 1, __ATOMIC_RELAXED);
			next = mas.last;
		}
		pf_rcu_read_unlock();
		for (int i = 0; i < 20; i++)
			judge(r, below(&r->random, CELLS), look_load);
	}
	return NULL;
}

static void change(struct field *f, unsigned long value)
{
	int from = below(&f->random, CELLS), to = from + below(&f->random, below(&f->random, 5) ? 4 : 60);
	void *entry = below(&f->random, 3) ? xa_mk_value(value) : NULL;

	if (to >= CELLS)
		to = CELLS - 1;
	for (int i = from; i <= to; i++)
		WR_REL(f->next[i], entry);
	__atomic_store_n(&f->seq, f->seq + 1, __ATOMIC_SEQ_CST);
	mtree_store_range(&f->mt, (unsigned long)from * APART, (unsigned long)(to + 1) * APART - 1, entry, 0);
	for (int i = from; i <= to; i++)
		WR_REL(f->now[i], entry);
	__atomic_store_n(&f->seq, f->seq + 1, __ATOMIC_SEQ_CST);
}

static void race(uint64_t seed, int changes)
{
	struct field *f = calloc(1, sizeof(*f));
	struct reader r[2] = { { f, 0, seed * 3 | 1 }, { f, 1, seed * 5 | 1 } };
	pthread_t thread[2];
	unsigned long where;

	printf("seed %#lx\n", (unsigned long)seed);
	assert_non_null(f);
	f->random = seed * 0x9e3779b97f4a7c15ull | 1;
	mt_init_flags(&f->mt, MT_FLAGS_USE_RCU | MT_FLAGS_ALLOC_RANGE);
	assert_int_equal(pthread_create(&thread[0], NULL, read_cells, &r[0]), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, read_all, &r[1]), 0);
	for (int i = 0; i < changes; i++) {
		change(f, (unsigned long)i + 1);
		/* Now and then let a reader judge a tree at rest. */
		if (!below(&f->random, 100))
			sched_yield();
	}
	WR_REL(f->stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_null(tree_find_fault(&f->mt, &where));
	printf("%lu and %lu looks judged\n", f->judged[0], f->judged[1]);
	assert_int_equal(f->wrong, 0);
	mtree_destroy(&f->mt);
	free(f);
}

static void fixed_seed(void **state)
{
	(void)state;
	race(1, 40000);
}

static void fresh_seed(void **state)
{
	const char *env = getenv("SAMARA_SEED");
	struct timespec now;

	(void)state;
	clock_gettime(CLOCK_REALTIME, &now);
	race(env ? strtoull(env, NULL, 0) : (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec, 40000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_seed),
		cmocka_unit_test(fresh_seed),
	};

	return cmocka_run_group_tests_name("tree_threads", tests, NULL, NULL);
}
