/* SPDX-License-Identifier: MIT */
/* One reader and one writer, each on a core of its own: what the writer costs the reader. */
#define _GNU_SOURCE
#include <samara/maple_tree.h>
#include <samara/platform.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "contest.h"

struct duel {
	struct maple_tree mt;
	const struct work *work;
	int writer_core;
	atomic_bool stop;
	unsigned long writes;
};

/* Takes random ranges out and puts them back. */
static void *writer(void *arg)
{
	struct duel *duel = arg;
	const struct work *work = duel->work;
	unsigned long i;

	for (i = 0; !atomic_load_explicit(&duel->stop, memory_order_relaxed); i++) {
		struct work_range *range = &work->range[work->which[i % WORK_QUERIES]];

		mtree_erase(&duel->mt, range->start);
		mtree_store_range(&duel->mt, range->start, range->last, range, GFP_KERNEL);
	}
	duel->writes = i;
	return NULL;
}

/* Lookups a second, over half a second. Half of the queries, so that both threads take other ways. */
static double read_for_a_while(struct duel *duel)
{
	const struct work *work = duel->work;
	double start = work_now(), now;
	unsigned long done = 0, at = WORK_QUERIES / 2;
	uintptr_t sum = 0;

	do {
		for (unsigned int i = 0; i < 1000; i++)
			sum += (uintptr_t)mtree_load(&duel->mt, work->at[at = (at + 1) % WORK_QUERIES]);
		done += 1000;
		now = work_now();
	} while (now - start < 0.5e9);
	work_keep(sum);
	return (double)done / (now - start) * 1e9;
}

/* On its own core from the first moment: on ours it might never get to run. */
static void start_writer(struct duel *duel, pthread_t *thread)
{
	pthread_attr_t attr;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(duel->writer_core, &set);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	if (pthread_create(thread, &attr, writer, duel)) {
		fputs("bench: cannot start the writer's thread\n", stderr);
		exit(1);
	}
	pthread_attr_destroy(&attr);
}

static double reader(struct duel *duel, int busy, double *writes)
{
	pthread_t thread;
	double start = work_now(), rate;

	atomic_store(&duel->stop, false);
	if (busy)
		start_writer(duel, &thread);
	rate = read_for_a_while(duel);
	atomic_store(&duel->stop, true);
	if (busy) {
		pthread_join(thread, NULL);
		*writes = (double)duel->writes / (work_now() - start) * 1e9;
	}
	samara_rcu_barrier();
	return rate;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

void threads_table(const struct work *work, int core)
{
	static struct duel duel;
	double idle[WORK_RUNS], busy[WORK_RUNS], writes[WORK_RUNS];

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		puts("one reader beside one writer: left out, it needs two cores");
		return;
	}
	mt_init_flags(&duel.mt, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
	duel.work = work;
	duel.writer_core = core ? 0 : 1;
	for (unsigned long i = 0; i < work->n; i++) {
		struct work_range *range = &work->range[work->in[i]];

		mtree_store_range(&duel.mt, range->start, range->last, range, GFP_KERNEL);
	}
	for (int r = 0; r < WORK_RUNS; r++) {
		idle[r] = reader(&duel, 0, NULL);
		busy[r] = reader(&duel, 1, &writes[r]);
	}
	mtree_destroy(&duel.mt);
	samara_rcu_barrier();
	qsort(idle, WORK_RUNS, sizeof(*idle), compare);
	qsort(busy, WORK_RUNS, sizeof(*busy), compare);
	qsort(writes, WORK_RUNS, sizeof(*writes), compare);
	printf("%-44s %10lu %12.2f %12.2f %9.1f %% %12.2f\n", "million lookups a second", work->n,
	       idle[WORK_RUNS / 2] / 1e6, busy[WORK_RUNS / 2] / 1e6,
	       100 * (1 - busy[WORK_RUNS / 2] / idle[WORK_RUNS / 2]), writes[WORK_RUNS / 2] / 1e6);
}
