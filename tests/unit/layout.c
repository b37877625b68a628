/* SPDX-License-Identifier: MIT */
/* What a VMA takes, and where in it that lies which the fast paths read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "vma/vma.h"

enum { LINE = 64, AT_MOST = 144 };

static struct mm_struct *mm;

static int setup(void **state)
{
	struct mm_context *ctx;

	(void)state;
	return mm_context_create(NULL, &ctx) || mm_create(ctx, NULL, &mm);
}

static int teardown(void **state)
{
	struct mm_context *ctx = mm->ctx;

	(void)state;
	mm_put(mm);
	mm_context_destroy(ctx);
	return 0;
}

static int by_address(const void *a, const void *b)
{
	uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return x < y ? -1 : x > y;
}

/* A VMA costs at most 144 bytes: of the memory of its slab, not only as a type. */
static void a_mapping_costs_at_most_144_bytes(void **state)
{
	enum { N = 1000 };
	struct mm_mmap_args args = { .len = PAGE_SIZE, .prot = MM_VM_READ, .flags = 0x22 };
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	unsigned long at, apart = 0;
	uintptr_t object[N];
	unsigned int i;

	(void)state;
	assert_in_range(sizeof(struct vm_area_struct), 1, AT_MOST);
	for (i = 0; i < N; i++) {
		args.prot ^= MM_VM_WRITE;
		assert_int_equal(mm_mmap(mm, &args, &at), 0);
	}
	assert_int_equal(mm->map_count, N);
	mmap_read_lock(mm);
	vma_iter_init(&vmi, mm, 0);
	i = 0;
	for_each_vma(vmi, vma)
		object[i++] = (uintptr_t)vma;
	mmap_read_unlock(mm);
	qsort(object, N, sizeof(object[0]), by_address);
	for (i = 1; i < N; i++) {
		if (object[i] - object[i - 1] > AT_MOST)
			apart++;
		assert_true(object[i] - object[i - 1] >= sizeof(struct vm_area_struct));
	}
	/* Only from one piece of the slab to the next is it further. */
	assert_in_range(apart, 0, 8);
}

/* What a lookup or a fault reads of a VMA lies in its first cache line. */
static void what_a_fault_reads_is_one_line(void **state)
{
#define ENDS_AT(field) (offsetof(struct vm_area_struct, field) + sizeof(((struct vm_area_struct *)0)->field))
	static const struct {
		const char *name;
		size_t end;
	} read[] = {
		{ "vm_refcnt", ENDS_AT(vm_refcnt) }, { "vm_lock_seq", ENDS_AT(vm_lock_seq) },
		{ "vm_start", ENDS_AT(vm_start) }, { "vm_end", ENDS_AT(vm_end) },
		{ "vm_flags", ENDS_AT(vm_flags) }, { "vm_mm", ENDS_AT(vm_mm) },
		{ "anon_vma", ENDS_AT(anon_vma) }, { "vm_file", ENDS_AT(vm_file) },
		{ "vm_pgoff", ENDS_AT(vm_pgoff) },
	};
	size_t i;

	(void)state;
	assert_int_equal(VMA_ALIGN % LINE, 0);
	assert_int_equal(pf_slab_stride(mm->ctx->vmas) % LINE, 0);
	for (i = 0; i < sizeof(read) / sizeof(*read); i++) {
		if (read[i].end > LINE)
			print_message("%s ends at byte %zu\n", read[i].name, read[i].end);
		assert_in_range(read[i].end, 1, LINE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_mapping_costs_at_most_144_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_fault_reads_is_one_line, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
