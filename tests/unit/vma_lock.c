/* SPDX-License-Identifier: MIT */
/* Promise 5. The lock of one VMA: who gets it, and who waits. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vma/vma.h"

#define PAGE 4096UL
#define AT(page) (0x200000000UL + (unsigned long)(page) * PAGE)

static int setup(void **state)
{
	struct mm_mmap_args args = {
		.addr = AT(0), .len = 4 * PAGE, .prot = PROT_READ,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	};
	struct mm_context *ctx;
	struct mm_struct *mm;
	unsigned long at;

	if (mm_context_create(NULL, &ctx) || mm_create(ctx, NULL, &mm))
		return -1;
	*state = mm;
	return mm_mmap(mm, &args, &at);
}

static int teardown(void **state)
{
	struct mm_struct *mm = *state;
	struct mm_context *ctx = mm->ctx;

	mmput(mm);
	mm_context_destroy(ctx);
	return 0;
}

static struct vm_area_struct *locked_at(struct mm_struct *mm, unsigned long addr)
{
	struct vm_area_struct *vma = lock_vma_under_rcu(mm, addr);

	if (vma)
		vma_end_read(vma);
	return vma;
}

/* Several at once, each gets it; there is none outside of mappings. */
static void readers_share(void **state)
{
	struct vm_area_struct *vma = lock_vma_under_rcu(*state, AT(1));

	assert_non_null(vma);
	assert_ptr_equal(locked_at(*state, AT(3)), vma);
	vma_end_read(vma);
	assert_null(locked_at(*state, AT(4)));
}

/* Locked for writing until the mmap_lock goes: given up, or turned to reading. */
static void one_section_one_lock(void **state)
{
	struct mm_struct *mm = *state;
	struct vm_area_struct *vma;

	mmap_write_lock(mm);
	vma = vma_lookup(mm, AT(0));
	assert_ptr_equal(locked_at(mm, AT(0)), vma);
	vma_start_write(vma);
	vma_start_write(vma);
	assert_null(locked_at(mm, AT(0)));
	mmap_write_unlock(mm);
	assert_ptr_equal(locked_at(mm, AT(0)), vma);

	mmap_write_lock(mm);
	vma_start_write(vma);
	mmap_write_downgrade(mm);
	assert_ptr_equal(locked_at(mm, AT(0)), vma);
	mmap_read_unlock(mm);
}

static void *unmap_it(void *mm)
{
	mm_munmap(mm, AT(0), 4 * PAGE);
	return NULL;
}

/* Who takes it away waits for who has it; from the moment that it waits on, nobody else gets it. */
static void removal_waits(void **state)
{
	struct mm_struct *mm = *state;
	struct vm_area_struct *vma = lock_vma_under_rcu(mm, AT(0));
	pthread_t thread;

	assert_non_null(vma);
	assert_int_equal(pthread_create(&thread, NULL, unmap_it, mm), 0);
	while (locked_at(mm, AT(0)))
		usleep(100);
	usleep(20000);
	/* Still the same, for us. */
	assert_int_equal(vma->vm_start, AT(0));
	assert_int_equal(vma->vm_end, AT(4));
	assert_ptr_equal(vma->vm_mm, mm);
	assert_false(vma_is_detached(vma));
	vma_end_read(vma);
	pthread_join(thread, NULL);
	assert_true(vma_is_detached(vma));
	assert_int_equal(mm->map_count, 0);
}

/* Promise 6. One found under RCU has become another address space's: it is not given out. */
static void another_address_space(void **state)
{
	struct mm_struct *mm = *state, *other;
	struct vm_area_struct *vma;

	assert_int_equal(mm_create(mm->ctx, NULL, &other), 0);
	vma = locked_at(mm, AT(0));
	assert_non_null(vma);
	assert_true(vma_start_read(mm, vma));
	vma_end_read(vma);
	assert_false(vma_start_read(other, vma));
	assert_int_equal(atomic_load(&vma->vm_refcnt), 1);
	mmput(other);
}

/* A touch beside a change of other mappings does not wait for the mmap_lock. */
static void a_fault_does_not_wait(void **state)
{
	struct mm_struct *mm = *state;

	/* This thread has the lock for writing: a fault that took it would never return. */
	mmap_write_lock(mm);
	assert_int_equal(mm_fault(mm, AT(2), MM_READ), MM_FAULT_OK);
	assert_int_equal(mm_fault(mm, AT(2), MM_WRITE), MM_FAULT_ACCERR);
	mmap_write_unlock(mm);
}

#define lock_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lock_test(readers_share), lock_test(one_section_one_lock), lock_test(removal_waits),
		lock_test(another_address_space), lock_test(a_fault_does_not_wait),
	};

	return cmocka_run_group_tests_name("vma_lock", tests, NULL, NULL);
}
