/* SPDX-License-Identifier: MIT */
/* A2, A4, A5, A8, B1. Finding VMAs through the tree, and walking them. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

#include "vma/vma.h"

static struct mm_struct *locked(void **state, const char *drawing)
{
	struct mm_struct *mm;

	strip_build(state, drawing);
	mm = strip_mm(state);
	mmap_read_lock(mm);
	return mm;
}

/* A2. The first that ends above: it need not contain the address. */
static void find_first_above(void **state)
{
	struct mm_struct *mm = locked(state, "  |ww|  |rr|");

	assert_int_equal(find_vma(mm, 0)->vm_start, PG(2));
	assert_int_equal(find_vma(mm, PG(2))->vm_start, PG(2));
	assert_int_equal(find_vma(mm, PG(4) - 1)->vm_start, PG(2));
	assert_int_equal(find_vma(mm, PG(4))->vm_start, PG(6));
	assert_null(find_vma(mm, PG(8)));
	assert_null(find_vma(mm, ~0UL));
	mmap_read_unlock(mm);
}

/* A9. Found by its address alone, and as the kernel prints it; no lookup meets it, nothing counts it. */
static void gate_area(void **state)
{
	struct mm_struct *mm = locked(state, "|ww|");
	unsigned long at = 0xffffffffff600000UL;
	struct mm_counters counters;
	struct mm_vma_info gate;

	assert_null(find_vma(mm, PG(2)));
	assert_null(vma_lookup(mm, at));
	mmap_read_unlock(mm);
	assert_int_equal(mm_next_vma(mm, at, &gate), -ENOENT);
	assert_int_equal(mm_gate_vma(mm, at - 1, &gate), -ENOENT);
	assert_int_equal(mm_gate_vma(mm, at + 4096, &gate), -ENOENT);
	assert_int_equal(mm_gate_vma(mm, at, &gate), 0);
	assert_int_equal(gate.start, at);
	assert_int_equal(gate.end, at + 4096);
	assert_int_equal(gate.flags & (MM_VM_READ | MM_VM_WRITE | MM_VM_EXEC | MM_VM_SHARED), MM_VM_EXEC);
	assert_string_equal(gate.name, "[vsyscall]");
	assert_int_equal(mm_munmap(mm, at, 4096), -EINVAL);
	mm_read_counters(mm, &counters);
	assert_int_equal(counters.map_count, 1);
	assert_int_equal(counters.total_vm, 2);
}

/* A9. An address space may have none. */
static void no_gate_area(void **state)
{
	struct mm_options opt = { .size = sizeof(opt), .no_gate_area = true };
	struct mm_context *ctx;
	struct mm_struct *mm;
	struct mm_vma_info gate;

	assert_int_equal(mm_context_create(NULL, &ctx), 0);
	assert_int_equal(mm_create(ctx, &opt, &mm), 0);
	assert_int_equal(mm_gate_vma(mm, 0xffffffffff600000UL, &gate), -ENOENT);
	mm_put(mm);
	mm_context_destroy(ctx);
}

/* A2. Only one that contains the address. */
static void lookup_contains(void **state)
{
	struct mm_struct *mm = locked(state, "  |ww|  |rr|");

	assert_null(vma_lookup(mm, PG(2) - 1));
	assert_int_equal(vma_lookup(mm, PG(2))->vm_start, PG(2));
	assert_int_equal(vma_lookup(mm, PG(4) - 1)->vm_start, PG(2));
	assert_null(vma_lookup(mm, PG(4)));
	assert_null(vma_lookup(mm, ~0UL));
	mmap_read_unlock(mm);
}

/* A2. The first that overlaps; the end is exclusive. */
static void intersection(void **state)
{
	struct mm_struct *mm = locked(state, "  |ww|  |rr|");

	assert_null(find_vma_intersection(mm, PG(0), PG(2)));
	assert_int_equal(find_vma_intersection(mm, PG(0), PG(2) + 1)->vm_start, PG(2));
	assert_int_equal(find_vma_intersection(mm, PG(3), PG(7))->vm_start, PG(2));
	assert_null(find_vma_intersection(mm, PG(4), PG(6)));
	assert_int_equal(find_vma_intersection(mm, PG(4), PG(6) + 1)->vm_start, PG(6));
	mmap_read_unlock(mm);
}

/* A2. An end of 0 means "to the top". */
static void intersection_to_the_top(void **state)
{
	struct mm_struct *mm = locked(state, "  |ww|  |rr|");

	assert_int_equal(find_vma_intersection(mm, PG(4), 0)->vm_start, PG(6));
	assert_null(find_vma_intersection(mm, PG(8), 0));
	mmap_read_unlock(mm);
}

/* A2. Both the VMA and its predecessor, also when there is none above. */
static void with_predecessor(void **state)
{
	struct mm_struct *mm = locked(state, "  |ww|  |rr|");
	struct vm_area_struct *prev = NULL;

	assert_int_equal(find_vma_prev(mm, PG(0), &prev)->vm_start, PG(2));
	assert_null(prev);
	assert_int_equal(find_vma_prev(mm, PG(3), &prev)->vm_start, PG(2));
	assert_null(prev);
	assert_int_equal(find_vma_prev(mm, PG(4), &prev)->vm_start, PG(6));
	assert_int_equal(prev->vm_start, PG(2));
	assert_null(find_vma_prev(mm, PG(8), &prev));
	assert_int_equal(prev->vm_start, PG(6));
	mmap_read_unlock(mm);
}

/* A2. All of them in an address space without any VMA. */
static void empty(void **state)
{
	struct mm_struct *mm = strip_mm(state);
	struct vm_area_struct *prev;

	mmap_read_lock(mm);
	assert_null(find_vma(mm, 0));
	assert_null(vma_lookup(mm, PG(0)));
	assert_null(find_vma_intersection(mm, 0, 0));
	assert_null(find_vma_prev(mm, PG(0), &prev));
	assert_null(prev);
	mmap_read_unlock(mm);
}

/* A4, A8. An iterator goes both ways and ends at both ends; the last one is the highest address. */
static void iterate(void **state)
{
	struct mm_struct *mm = locked(state, "|ww|rr|  |xx|nn|");
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	unsigned long n = 0, last = 0;

	vma_iter_init(&vmi, mm, 0);
	for_each_vma(vmi, vma) {
		assert_true(vma->vm_start >= last);
		last = vma->vm_end;
		n++;
	}
	assert_int_equal(n, 4);
	assert_int_equal(last, PG(10));
	for (n = 0; (vma = vma_prev(&vmi)); n++) {
		assert_int_equal(vma->vm_end, last == PG(6) ? PG(4) : last);
		last = vma->vm_start;
	}
	assert_int_equal(n, 4);
	mmap_read_unlock(mm);
}

/* A4. A range: those that begin below its end; an end of 0 is the top. */
static void iterate_range(void **state)
{
	struct mm_struct *mm = locked(state, "|ww|rr|  |xx|nn|");
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	unsigned long n = 0;

	vma_iter_init(&vmi, mm, PG(2));
	for_each_vma_range(vmi, vma, PG(7))
		n++;
	assert_int_equal(n, 2);
	vma_iter_init(&vmi, mm, PG(2));
	for (n = 0; vma_find(&vmi, 0); n++)
		;
	assert_int_equal(n, 3);
	mmap_read_unlock(mm);
}

/* A4. Between two looks the lock was dropped, and what the iterator stood on is gone. */
static void paused(void **state)
{
	struct mm_struct *mm = locked(state, "|ww|rr|xx|nn|");
	struct vm_area_struct *vma;
	struct vma_iterator vmi;

	vma_iter_init(&vmi, mm, 0);
	vma = vma_next(&vmi);
	assert_int_equal(vma->vm_start, PG(0));
	mmap_read_unlock(mm);
	assert_int_equal(mm_munmap(mm, PG(0), PAGES(4)), 0);
	mmap_read_lock(mm);
	vma_iter_set(&vmi, PG(2));
	assert_int_equal(vma_next(&vmi)->vm_start, PG(4));
	mmap_read_unlock(mm);
}

/* A3. An RCU section is enough for a lookup. */
static void under_rcu(void **state)
{
	struct mm_struct *mm;

	strip_build(state, "|ww|");
	mm = strip_mm(state);
	samara_rcu_read_lock();
	assert_int_equal(vma_lookup(mm, PG(1))->vm_start, PG(0));
	samara_rcu_read_unlock();
}

/* A5. The validator finds a VMA whose bounds are not those of its entry, and a wrong count. */
static void count_lines(void *arg, const char *line)
{
	++*(int *)arg;
}

static struct vm_area_struct *first_vma(struct mm_struct *mm)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = find_vma(mm, 0);
	mmap_read_unlock(mm);
	return vma;
}

static void validator(void **state)
{
	int lines = 0;
	struct mm_context_options opt = { .size = sizeof(opt), .log = count_lines, .log_arg = &lines };
	struct diff *d = *state;
	struct mm_struct *mm;

	diff_close(d);
	assert_int_equal(diff_open_model(d, &opt, NULL), 0);
	strip_build(state, "|ww|  |rr|");
	mm = strip_mm(state);
	assert_int_equal(mm_validate(mm), 0);

	mm->map_count++;
	assert_true(mm_validate(mm) > 0);
	assert_true(lines > 0);
	mm->map_count--;

	mm->total_vm++;
	assert_true(mm_validate(mm) > 0);
	mm->total_vm--;

	first_vma(mm)->vm_end += PAGES(1);
	assert_true(mm_validate(mm) > 0);
	first_vma(mm)->vm_end -= PAGES(1);
	assert_int_equal(mm_validate(mm), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test_model(find_first_above), strip_test_model(gate_area),
		cmocka_unit_test(no_gate_area),     strip_test_model(lookup_contains),
		strip_test_model(intersection),     strip_test_model(intersection_to_the_top),
		strip_test_model(with_predecessor), strip_test_model(empty),
		strip_test_model(iterate),          strip_test_model(iterate_range),
		strip_test_model(paused),           strip_test_model(under_rcu),
		strip_test_model(validator),
	};

	return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
