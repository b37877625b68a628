/* SPDX-License-Identifier: MIT */
/* When tasks had the lock of their address space, and which page fault took it for what it had to do. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tracer.h"

/* Of a lock that a fault took, the fault is among the last so many before it. */
#define FAULTS_BEFORE_LOCK 1024

/* What is later than the beginning of a draining less this, in ns, may not have been drained in its order. */
#define DRAIN_SLACK 1000000

/* Locks whose call is never asked about must not fill the memory. */
#define MAX_LOCKS 65536

struct locks {
	size_t nr;
	struct lock list[MAX_LOCKS];	/* as they came */
};

int locks_create(struct locks **out)
{
	/* Not touched before it is needed. */
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void locks_destroy(struct locks *locks)
{
	free(locks);
}

void locks_add(struct locks *locks, const struct lock *lock)
{
	/* When there is no room, the older half is forgotten. */
	if (locks->nr == MAX_LOCKS) {
		locks->nr /= 2;
		memmove(locks->list, locks->list + locks->nr, locks->nr * sizeof(*lock));
	}
	locks->list[locks->nr++] = *lock;
}

void faults_sort(struct fault *list, size_t nr, int (*compare)(const void *a, const void *b))
{
	for (size_t i = 1; i < nr; i++) {
		if (compare(&list[i - 1], &list[i]) > 0) {
			qsort(list, nr, sizeof(*list), compare);
			return;
		}
	}
}

static int by_time(const void *a, const void *b)
{
	const struct fault *x = a, *y = b;

	return x->time < y->time ? -1 : x->time > y->time;
}

/* The last fault of @lock's task before that, if it is not too far back; NULL: none. */
static struct fault *fault_of_lock(struct fault *list, size_t nr, const struct lock *lock)
{
	size_t low = 0, high = nr;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (list[middle].time <= lock->time)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t n = 0; low && n < FAULTS_BEFORE_LOCK; n++)
		if (list[--low].tid == lock->tid)
			return &list[low];
	return NULL;
}

void locks_match(struct locks *locks, struct fault *list, size_t nr, uint64_t began)
{
	size_t i, kept = 0;

	faults_sort(list, nr, by_time);
	for (i = 0; i < locks->nr; i++) {
		const struct lock *lock = &locks->list[i];
		struct fault *fault = lock->write ? NULL : fault_of_lock(list, nr, lock);

		if (fault && (!fault->locked || lock->time < fault->locked))
			fault->locked = lock->time;
		/* The fault may still be in a ring that was drained before. */
		if (lock->write || lock->time + DRAIN_SLACK > began)
			locks->list[kept++] = *lock;
	}
	locks->nr = kept;
}

uint64_t locks_first_write(struct locks *locks, pid_t tid, uint64_t from, uint64_t to)
{
	uint64_t first = 0;
	size_t i, kept = 0;

	for (i = 0; i < locks->nr; i++) {
		const struct lock *lock = &locks->list[i];

		if (!lock->write || lock->tid != tid || lock->time > to)
			locks->list[kept++] = *lock;
		else if (lock->time >= from && (!first || lock->time < first))
			first = lock->time;
	}
	locks->nr = kept;
	return first;
}
