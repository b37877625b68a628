/* SPDX-License-Identifier: MIT */
/* What ends while somebody is still at it: address spaces that are held, and files that end somewhere else. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "vma/vma.h"

#define WINDOW 0x200000000UL
#define AREA(i) (WINDOW + (unsigned long)(i) * PMD_SIZE)

enum { AREAS = 8, ENDS = 100, ROUNDS = 60, PAGES = 16 };

static unsigned long complaints;

static void complain(void *arg, const char *line)
{
	(void)arg;
	__atomic_add_fetch(&complaints, 1, __ATOMIC_RELAXED);
	print_message("%s\n", line);
}

static struct mm_context *make_context(void)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 8192, .log = complain };
	struct mm_context *ctx;

	assert_int_equal(mm_context_create(&opt, &ctx), 0);
	return ctx;
}

static void map(struct mm_struct *mm, unsigned long addr, unsigned long pages, unsigned long flags, struct vm_file *file)
{
	struct mm_mmap_args args = { .addr = addr, .len = pages * PAGE_SIZE, .prot = PROT_READ | PROT_WRITE,
				     .flags = flags | MAP_FIXED, .file = file };
	unsigned long at;

	assert_int_equal(mm_mmap(mm, &args, &at), 0);
}

/* Promise 6. A TLB holds the address space, no more: translating beside the last mmput() is harmless, and finds nothing after. */
static void *translates(void *arg)
{
	struct mm_tlb *tlb = arg;
	enum mm_fault fault = MM_FAULT_OK;
	void *at;

	for (unsigned long n = 0; fault == MM_FAULT_OK; n++) {
		mm_tlb_begin(tlb);
		fault = mm_translate(tlb, AREA(n % AREAS) + n / AREAS % 64 * PAGE_SIZE, MM_WRITE, &at);
		if (fault == MM_FAULT_OK)
			*(unsigned char *)at = 1;
		mm_tlb_end(tlb);
	}
	return (void *)(uintptr_t)fault;
}

static void translated_to_the_end(void **state)
{
	struct mm_context *ctx = make_context();
	struct mm_struct *mm;
	struct mm_tlb *tlb;
	pthread_t thread;
	void *fault;

	(void)state;
	for (unsigned long n = 0; n < ENDS; n++) {
		assert_int_equal(mm_create(ctx, NULL, &mm), 0);
		for (int i = 0; i < AREAS; i++)
			map(mm, AREA(i), 64, MAP_PRIVATE | MAP_ANONYMOUS, NULL);
		assert_int_equal(mm_tlb_create(mm, &tlb), 0);
		assert_int_equal(pthread_create(&thread, NULL, translates, tlb), 0);
		for (volatile unsigned long i = 0; i < n * 1000; i++)
			;
		mmput(mm);
		assert_int_equal(pthread_join(thread, &fault), 0);
		assert_int_equal((uintptr_t)fault, MM_FAULT_MAPERR);
		mm_tlb_destroy(tlb);
	}
	mm_context_destroy(ctx);
	assert_int_equal(complaints, 0);
}

struct file_scene {
	struct vm_file *file;
	pthread_barrier_t both;
	bool stop;
};

static void *shortens(void *arg)
{
	struct file_scene *scene = arg;

	for (;;) {
		pthread_barrier_wait(&scene->both);
		if (scene->stop)
			return NULL;
		assert_int_equal(vm_file_truncate(scene->file, 0), 0);
		pthread_barrier_wait(&scene->both);
	}
}

/*
 * Row E5's other side: one truncate after the other, whole. Who makes the file longer and then writes finds what was
 * written, however long another, who had made it shorter before, is about it.
 */
static void ends_one_after_the_other(void **state)
{
	struct mm_context *ctx = make_context();
	struct vm_file_info info = { .size = sizeof(info), .kind = VM_FILE_SHMEM, .readable = true, .writable = true };
	struct file_scene scene = { .stop = false };
	const unsigned long last = AREA(0) + (PAGES - 1) * PAGE_SIZE;
	unsigned char byte, seven = 7;
	unsigned long lost = 0, stale = 0;
	struct mm_struct *mm;
	pthread_t thread;
	bool wrote;

	(void)state;
	assert_int_equal(mm_create(ctx, NULL, &mm), 0);
	assert_int_equal(vm_file_create(ctx, &info, &scene.file), 0);
	map(mm, AREA(0), PAGES, MAP_SHARED, scene.file);
	assert_int_equal(pthread_barrier_init(&scene.both, NULL, 2), 0);
	assert_int_equal(pthread_create(&thread, NULL, shortens, &scene), 0);
	for (unsigned long n = 0; n < ROUNDS; n++) {
		assert_int_equal(vm_file_truncate(scene.file, PAGES * PAGE_SIZE), 0);
		for (unsigned long i = 0; i < PAGES; i++)
			assert_int_equal(mm_write(mm, AREA(0) + i * PAGE_SIZE, &seven, 1, NULL), MM_FAULT_OK);
		pthread_barrier_wait(&scene.both);
		for (volatile unsigned long i = 0; i < n * 50; i++)
			;
		assert_int_equal(vm_file_truncate(scene.file, (PAGES + 1) * PAGE_SIZE), 0);
		wrote = mm_write(mm, last, &seven, 1, NULL) == MM_FAULT_OK;
		pthread_barrier_wait(&scene.both);
		/* Ours was the later one: the other's has gone before, and all of it. */
		if (vm_file_size(scene.file) == 0)
			continue;
		lost += wrote && (mm_read(mm, last, &byte, 1, NULL) != MM_FAULT_OK || byte != 7);
		assert_int_equal(mm_read(mm, AREA(0), &byte, 1, NULL), MM_FAULT_OK);
		stale += byte != 0;
	}
	scene.stop = true;
	pthread_barrier_wait(&scene.both);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_barrier_destroy(&scene.both);
	mmput(mm);
	vm_file_put(scene.file);
	mm_context_destroy(ctx);
	assert_int_equal(lost, 0);
	assert_int_equal(stale, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(translated_to_the_end), cmocka_unit_test(ends_one_after_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
