/* SPDX-License-Identifier: MIT */
/*
 * C3. A file of huge pages shrinks and grows beside faults, unmaps, mappings over, forks and exits of who maps it.
 * Around the unmapping of huge pages no lock of the file is held: nothing may be lost or left behind for that.
 *
 *   test_race_huge_truncate [SECONDS]
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "mm/mm.h"
#include "mmu/mmu.h"

enum { PAGES = 3, MAPPERS = 2 };
#define FRAMES (16 * PT_ENTRIES)
#define AT(n) (0x200000000UL + (unsigned long)(n) * PMD_SIZE)

struct scene {
	struct mm_context *ctx;
	struct mm_struct *mm;
	struct vm_file *file;
	atomic_bool stop;
	atomic_ulong truncated, mapped, faults, bus, forked, wrong;
};

static int seconds = 1;

/* Each has a place of its own in the address space that all share. */
struct mapper {
	struct scene *scene;
	unsigned int n;
};

static void *truncates(void *arg)
{
	struct scene *s = arg;

	for (unsigned long i = 0; !atomic_load(&s->stop); i++) {
		if (vm_file_truncate(s->file, i % (PAGES + 1) * PMD_SIZE))
			atomic_fetch_add(&s->wrong, 1);
		atomic_fetch_add(&s->truncated, 1);
	}
	return NULL;
}

/* A touch finds a page, or that the file is shorter now, or that there is no frame. */
static void touch_all(struct scene *s, struct mm_struct *mm, unsigned long at)
{
	for (unsigned long i = 0; i < PAGES; i++) {
		enum mm_fault fault = mm_fault(mm, at + i * PMD_SIZE, i % 2 ? MM_READ : MM_WRITE);

		if (fault == MM_FAULT_BUS)
			atomic_fetch_add(&s->bus, 1);
		else if (fault != MM_FAULT_OK && fault != MM_FAULT_OOM)
			atomic_fetch_add(&s->wrong, 1);
		atomic_fetch_add(&s->faults, 1);
	}
}

static void *maps(void *arg)
{
	const struct mapper *m = arg;
	struct scene *s = m->scene;
	struct mm_mmap_args args = { .addr = AT(16 * m->n), .len = PAGES * PMD_SIZE, .prot = PROT_READ | PROT_WRITE,
				     .flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE, .file = s->file };
	struct mm_struct *child;
	unsigned long out;

	for (unsigned long i = 0; !atomic_load(&s->stop); i++) {
		/* Over what is there, every other time. */
		args.flags = (i % 4 < 2 ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED | MAP_NORESERVE;
		if (mm_mmap(s->mm, &args, &out))
			atomic_fetch_add(&s->wrong, 1);
		atomic_fetch_add(&s->mapped, 1);
		touch_all(s, s->mm, args.addr);
		if (i % 3 == 0 && !mm_fork(s->mm, &child)) {
			touch_all(s, child, args.addr);
			mmput(child);
			atomic_fetch_add(&s->forked, 1);
		}
		if (i % 2 && mm_munmap(s->mm, args.addr, args.len))
			atomic_fetch_add(&s->wrong, 1);
	}
	return NULL;
}

static void shrinks_beside(void **state)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = FRAMES, .huge_pages = 12 };
	struct vm_file_info info = { .size = sizeof(info), .kind = VM_FILE_HUGETLB, .readable = true, .writable = true,
				     .sized = true, .bytes = PAGES * PMD_SIZE };
	struct timespec time = { .tv_sec = seconds };
	struct mapper mappers[MAPPERS];
	pthread_t threads[MAPPERS + 1];
	struct platform_stats left;
	struct scene s = { 0 };

	(void)state;
	assert_int_equal(mm_context_create(&opt, &s.ctx), 0);
	assert_int_equal(mm_create(s.ctx, NULL, &s.mm), 0);
	assert_int_equal(vm_file_create(s.ctx, &info, &s.file), 0);
	for (unsigned int i = 0; i < MAPPERS; i++) {
		mappers[i] = (struct mapper){ &s, i };
		assert_int_equal(pthread_create(&threads[i], NULL, maps, &mappers[i]), 0);
	}
	assert_int_equal(pthread_create(&threads[MAPPERS], NULL, truncates, &s), 0);
	nanosleep(&time, NULL);
	atomic_store(&s.stop, true);
	for (int i = 0; i <= MAPPERS; i++)
		pthread_join(threads[i], NULL);
	print_message("# note: %lu truncations beside %lu mappings, %lu faults (%lu beyond the end), %lu forks: %lu wrong\n",
		      s.truncated, s.mapped, s.faults, s.bus, s.forked, s.wrong);
	assert_int_equal(s.wrong, 0);
	assert_true(s.truncated > 0 && s.mapped > 0 && s.forked > 0 && s.bus > 0 && s.bus < s.faults);
	/* What is beyond the end now is nobody's. */
	assert_int_equal(vm_file_truncate(s.file, 0), 0);
	assert_int_equal(get_mm_counter(s.mm->pt, MM_HUGEPAGES) % PT_ENTRIES, 0);
	assert_int_equal(mm_validate(s.mm), 0);
	assert_int_equal(mmu_validate_frames(s.ctx, &s.mm, 1), 0);
	mmput(s.mm);
	vm_file_put(s.file);
	platform_read_stats(mm_context_platform(s.ctx), &left);
	assert_int_equal(left.frames + left.tables + left.vmas + left.inodes, 0);
	mm_context_destroy(s.ctx);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shrinks_beside),
	};

	if (argc > 1)
		seconds = atoi(argv[1]);
	return cmocka_run_group_tests_name("huge truncate", tests, NULL, NULL);
}
