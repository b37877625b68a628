/* SPDX-License-Identifier: MIT */
/*
 * Eight threads that map, move, shrink and unmap at once, so that one gets what
 * another has just given back. No thread touches another's memory.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define THREADS 8
#define ROUNDS 400
#define PLACES 16
#define PAGE 4096UL

struct place {
	char *at;
	size_t len;
};

static size_t some_pages(unsigned int *seed)
{
	return PAGE * (1 + rand_r(seed) % 64);
}

static void map(struct place *p, unsigned int *seed)
{
	p->len = some_pages(seed);
	p->at = mmap(NULL, p->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->at == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
}

static void move(struct place *p, unsigned int *seed)
{
	size_t len = some_pages(seed);
	char *at = mremap(p->at, p->len, len, MREMAP_MAYMOVE);

	/* Two mappings, one of them read-only, do not move together. */
	if (at == MAP_FAILED)
		return;
	p->at = at;
	p->len = len;
}

static void *work(void *arg)
{
	struct place places[PLACES] = { 0 };
	unsigned int seed = (uintptr_t)arg;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		struct place *p = &places[rand_r(&seed) % PLACES];
		int what = rand_r(&seed) % 4;

		if (!p->at) {
			map(p, &seed);
		} else if (what == 0) {
			munmap(p->at, p->len);
			p->at = NULL;
		} else if (what == 1) {
			mprotect(p->at, PAGE, PROT_READ);
		} else if (what == 2) {
			move(p, &seed);
		} else {
			madvise(p->at, p->len, MADV_DONTNEED);
		}
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS];
	uintptr_t i;

	for (i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(i + 1)))
			return 1;
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
