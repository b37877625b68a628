/* SPDX-License-Identifier: MIT */
/*
 * B4, C4. The middle mapping comes and goes with its tables, while the neighbours, who share tables with it at all levels,
 * fault and lose pages, and lowest tables with them. In the end nothing is left over, and nothing was taken from others.
 *
 *   |low low low|middle middle|high high high|      edges inside of lowest tables
 */
#define _GNU_SOURCE
#include "support/pages.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define ROUNDS 3000
#define LOW ((1UL << 39) - 5 * PMD_SIZE + 7 * PAGE_SIZE)
#define MIDDLE ((1UL << 39) - 2 * PMD_SIZE + 100 * PAGE_SIZE)	/* over an edge of tables of every level */
#define HIGH ((1UL << 39) + 2 * PMD_SIZE + 9 * PAGE_SIZE)
#define END (HIGH + 3 * PMD_SIZE)

struct scene {
	struct pages *p;
	unsigned long start, end;	/* of this thread's mapping */
	unsigned long wrong;
	atomic_bool *stop;
};

static void map(struct pages *p, unsigned long start, unsigned long end, unsigned long prot)
{
	struct mm_mmap_args args = { .addr = start, .len = end - start, .prot = prot,
				     .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE };
	unsigned long out;

	assert_int_equal(mm_mmap(p->mm, &args, &out), 0);
}

/* Touch pages at both ends, and let them go again. */
static void *neighbour(void *arg)
{
	const struct zap_details dontneed = { .keep_guards = true, .free_tables = true };
	struct scene *s = arg;
	struct vm_area_struct *vma;
	unsigned long at;

	for (unsigned long i = 0; !atomic_load(s->stop); i++) {
		for (int k = 0; k < 6; k++) {
			at = k % 2 ? s->end - (1 + (i + k) % 200) * PAGE_SIZE : s->start + (i + k) % 200 * PAGE_SIZE;
			s->wrong += mm_fault(s->p->mm, at, k % 3 ? MM_WRITE : MM_READ) != MM_FAULT_OK;
		}
		mmap_read_lock(s->p->mm);
		vma = vma_lookup(s->p->mm, s->start);
		zap_page_range(vma, s->start, s->end, &dontneed);
		mmap_read_unlock(s->p->mm);
	}
	return NULL;
}

static void middle_comes_and_goes(void **state)
{
	struct scene scene[2];
	atomic_bool stop = false;
	pthread_t thread[2];
	struct pages p;

	pages_begin(&p, MM_X86_64);
	map(&p, LOW, MIDDLE, PROT_READ | PROT_WRITE);
	map(&p, HIGH, END, PROT_READ | PROT_WRITE);
	scene[0] = (struct scene){ .p = &p, .start = LOW, .end = MIDDLE, .stop = &stop };
	scene[1] = (struct scene){ .p = &p, .start = HIGH, .end = END, .stop = &stop };
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, neighbour, &scene[i]);
	for (int round = 0; round < ROUNDS; round++) {
		map(&p, MIDDLE, HIGH, PROT_READ | PROT_WRITE | PROT_EXEC);
		for (unsigned long at = MIDDLE; at < HIGH; at += 100 * PAGE_SIZE)
			assert_int_equal(mm_fault(p.mm, at, MM_WRITE), MM_FAULT_OK);
		assert_int_equal(mm_munmap(p.mm, MIDDLE, HIGH - MIDDLE), 0);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(scene[i].wrong, 0);
	}
	pages_validate(&p);
	assert_int_equal(mm_munmap(p.mm, LOW, END - LOW), 0);
	assert_int_equal(pages_tables(&p), 0);
	pages_validate(&p);
	pages_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(middle_comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
