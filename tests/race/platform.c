/* SPDX-License-Identifier: MIT */
/* The seam with several threads: locks exclude, grace periods wait for readers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <stdlib.h>

#include "platform/platform.h"

enum { THREADS = 4, ROUNDS = 4000 };

static void run_threads(void *(*body)(void *), void *arg)
{
	pthread_t thread[THREADS];
	int i;

	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, body, arg), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
}

struct pair {
	struct pf_rwsem sem;
	/* sem: equal whenever nobody holds it for writing */
	long a;
	long b;
	atomic_long differed;
};

/* Writes, downgrades, and reads what it wrote itself: no other writer may come between. */
static void *write_and_read(void *arg)
{
	struct pair *pair = arg;
	long mine;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		pf_down_write(&pair->sem);
		mine = ++pair->a;
		pair->b++;
		pf_downgrade_write(&pair->sem);
		if (pair->a != mine || pair->b != mine)
			atomic_fetch_add(&pair->differed, 1);
		pf_up_read(&pair->sem);

		pf_down_read(&pair->sem);
		if (pair->a != pair->b)
			atomic_fetch_add(&pair->differed, 1);
		pf_up_read(&pair->sem);
	}
	return NULL;
}

static void writers_exclude_and_downgrade_without_a_gap(void **state)
{
	struct pair pair = { .a = 0 };

	pf_rwsem_init(&pair.sem);
	run_threads(write_and_read, &pair);
	assert_int_equal(pair.differed, 0);
	assert_int_equal(pair.a, THREADS * ROUNDS);
	pf_rwsem_destroy(&pair.sem);
}

struct queue {
	struct pf_rwsem sem;
	atomic_int entered;	/* how many have been in */
	int writer_was, reader_was;
};

static void *write_once(void *arg)
{
	struct queue *queue = arg;

	pf_down_write(&queue->sem);
	queue->writer_was = atomic_fetch_add(&queue->entered, 1);
	pf_up_write(&queue->sem);
	return NULL;
}

static void *read_once(void *arg)
{
	struct queue *queue = arg;

	pf_down_read(&queue->sem);
	queue->reader_was = atomic_fetch_add(&queue->entered, 1);
	pf_up_read(&queue->sem);
	return NULL;
}

/* Until @waiting threads wait. */
static void wait_for_waiters(struct pf_rwsem *sem, unsigned int waiting)
{
	unsigned int now;

	do {
		sched_yield();
		pthread_mutex_lock(&sem->guard);
		now = sem->waiting;
		pthread_mutex_unlock(&sem->guard);
	} while (now != waiting);
}

/* A reader is in, a writer waits: a reader that comes then is let in after the writer. */
static void a_waiting_writer_goes_first(void **state)
{
	pthread_t writer, reader;
	struct queue queue = { .writer_was = -1, .reader_was = -1 };
	int i;

	for (i = 0; i < 100; i++) {
		queue.entered = 0;
		pf_rwsem_init(&queue.sem);
		pf_down_read(&queue.sem);
		assert_int_equal(pthread_create(&writer, NULL, write_once, &queue), 0);
		wait_for_waiters(&queue.sem, 1);
		assert_int_equal(pthread_create(&reader, NULL, read_once, &queue), 0);
		wait_for_waiters(&queue.sem, 2);
		assert_int_equal(queue.entered, 0);
		pf_up_read(&queue.sem);
		assert_int_equal(pthread_join(writer, NULL), 0);
		assert_int_equal(pthread_join(reader, NULL), 0);
		assert_int_equal(queue.writer_was, 0);
		assert_int_equal(queue.reader_was, 1);
		assert_false(pf_rwsem_held(&queue.sem));
		pf_rwsem_destroy(&queue.sem);
	}
}

struct counted {
	struct samara_lock lock;
	long n;			/* lock */
	atomic_bool favourite_is_made;
};

enum { ALONE = 200, TOGETHER = 300 };

static void count_up(struct counted *counted, int times)
{
	for (int i = 0; i < times; i++) {
		pf_lock(&counted->lock);
		counted->n++;
		pf_unlock(&counted->lock);
	}
}

/* Alone until it is the favourite, and then beside the others. */
static void *count_as_favourite(void *arg)
{
	struct counted *counted = arg;

	count_up(counted, ALONE);
	atomic_store(&counted->favourite_is_made, true);
	count_up(counted, TOGETHER);
	return NULL;
}

static void *count_as_another(void *arg)
{
	struct counted *counted = arg;

	while (!atomic_load(&counted->favourite_is_made))
		;
	count_up(counted, TOGETHER);
	return NULL;
}

/* The favour is taken away while the favourite goes in and out: nobody is ever inside beside another. */
static void a_lock_has_one_holder_favoured_or_not(void **state)
{
	enum { LOCKS = 300, OTHERS = 2 };
	pthread_t thread[OTHERS + 1];

	for (int l = 0; l < LOCKS; l++) {
		struct counted counted = { .n = 0 };

		for (int i = 0; i <= OTHERS; i++)
			assert_int_equal(pthread_create(&thread[i], NULL, i ? count_as_another : count_as_favourite, &counted), 0);
		for (int i = 0; i <= OTHERS; i++)
			assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(counted.n, ALONE + (OTHERS + 1) * TOGETHER);
		assert_int_equal(counted.lock.word, 0);
		assert_int_equal(counted.lock.inside, 0);
	}
}

struct visitor {
	atomic_int inside;	/* 1: told to enter, 2: is inside, 3: told to leave, 4: is outside */
};

static void *visit(void *arg)
{
	struct visitor *visitor = arg;

	pf_rcu_read_lock();
	atomic_store(&visitor->inside, 2);
	while (atomic_load(&visitor->inside) != 3)
		;
	pf_rcu_read_unlock();
	atomic_store(&visitor->inside, 4);
	while (atomic_load(&visitor->inside) != 5)
		;
	return NULL;
}

static void a_look_for_readers_misses_none(void **state)
{
	struct visitor visitor = { 1 };
	pthread_t thread;

	pf_rcu_read_lock();
	pf_rcu_read_lock();
	assert_false(pf_rcu_nobody_reads());
	pf_rcu_read_unlock();
	assert_false(pf_rcu_nobody_reads());
	pf_rcu_read_unlock();
	assert_true(pf_rcu_nobody_reads());

	assert_int_equal(pthread_create(&thread, NULL, visit, &visitor), 0);
	while (atomic_load(&visitor.inside) != 2)
		;
	assert_false(pf_rcu_nobody_reads());
	atomic_store(&visitor.inside, 3);
	while (atomic_load(&visitor.inside) != 4)
		;
	assert_true(pf_rcu_nobody_reads());
	atomic_store(&visitor.inside, 5);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(pf_rcu_nobody_reads());
}

struct cell {
	long value;
	pf_rcu_head rcu;
};

struct board {
	struct platform *pf;
	struct cell *cell;	/* RCU */
	atomic_bool stop;
	atomic_long dead_seen;
};

static void free_cell(pf_rcu_head *head)
{
	struct cell *cell = (struct cell *)((char *)head - offsetof(struct cell, rcu));

	cell->value = -1;
	free(cell);
}

static void *read_cell(void *arg)
{
	struct board *board = arg;
	struct cell *cell;
	int i;

	while (!atomic_load(&board->stop)) {
		pf_rcu_read_lock();
		cell = pf_rcu_dereference(board->cell);
		for (i = 0; i < 20; i++)
			if (cell->value < 0)
				atomic_fetch_add(&board->dead_seen, 1);
		pf_rcu_read_unlock();
	}
	return NULL;
}

static struct cell *new_cell(long value)
{
	struct cell *cell = calloc(1, sizeof(*cell));

	assert_non_null(cell);
	cell->value = value;
	return cell;
}

/* A cell is replaced under readers; it dies after the last of them let go of it. */
static void a_callback_waits_for_readers(void **state)
{
	struct board board = { .cell = new_cell(0) };
	pthread_t thread[THREADS];
	struct cell *old;
	long i;

	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, read_cell, &board), 0);
	for (i = 1; i <= ROUNDS; i++) {
		old = board.cell;
		pf_rcu_assign_pointer(board.cell, new_cell(i));
		if (i % 512) {
			pf_call_rcu(&old->rcu, free_cell);
		} else {
			pf_synchronize_rcu();
			old->value = -1;
			free(old);
		}
	}
	atomic_store(&board.stop, true);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	pf_rcu_barrier();
	assert_int_equal(board.dead_seen, 0);
	free(board.cell);
}

/* Each thread takes objects of one slab and finds its own mark in them when it gives them back. */
static void *take_and_give(void *arg)
{
	struct pf_slab *slab = arg;
	uintptr_t *object[16];
	long wrong = 0;
	int i, k;

	for (i = 0; i < ROUNDS / 16; i++) {
		for (k = 0; k < 16; k++) {
			object[k] = pf_slab_alloc(slab);
			if (!object[k])
				return (void *)1;
			*object[k] = (uintptr_t)object + (uintptr_t)k;
		}
		for (k = 0; k < 16; k++) {
			wrong += *object[k] != (uintptr_t)object + (uintptr_t)k;
			pf_slab_free(slab, object[k]);
		}
	}
	return (void *)wrong;
}

/* The same with a stock of its own, which gets and gives back whole batches. */
static void *take_and_give_in_stock(void *arg)
{
	uintptr_t *object[100];
	struct pf_stock stock;
	long wrong = 0;
	int i, k;

	pf_stock_init(&stock, arg);
	for (i = 0; i < ROUNDS / 16; i++) {
		for (k = 0; k < 100; k++) {
			object[k] = pf_stock_alloc(&stock);
			if (!object[k])
				return (void *)1;
			*object[k] = (uintptr_t)object + (uintptr_t)k;
		}
		for (k = 0; k < 100; k++) {
			wrong += *object[k] != (uintptr_t)object + (uintptr_t)k;
			pf_stock_free(&stock, object[k]);
		}
	}
	pf_stock_destroy(&stock);
	return (void *)wrong;
}

static void a_slab_gives_each_object_to_one_thread(void **state)
{
	struct platform *pf = platform_create(NULL, NULL);
	struct pf_slab *slab = pf_slab_create(pf, PF_VMA, 64, 64, 56);
	pthread_t thread[THREADS];
	struct platform_stats stats;
	void *wrong;
	int i;

	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, i % 2 ? take_and_give : take_and_give_in_stock, slab), 0);
	for (i = 0; i < 100; i++)
		platform_read_stats(pf, &stats);
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], &wrong), 0);
		assert_null(wrong);
	}
	platform_read_stats(pf, &stats);
	assert_int_equal(stats.vmas, 0);
	pf_slab_destroy(slab);
	platform_destroy(pf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writers_exclude_and_downgrade_without_a_gap),
		cmocka_unit_test(a_waiting_writer_goes_first),
		cmocka_unit_test(a_lock_has_one_holder_favoured_or_not),
		cmocka_unit_test(a_look_for_readers_misses_none),
		cmocka_unit_test(a_callback_waits_for_readers),
		cmocka_unit_test(a_slab_gives_each_object_to_one_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
