/* SPDX-License-Identifier: MIT */
/* Where mappings go when nobody says: upwards, below 2 GiB, for huge pages; and what is refused before that. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>

#include <samara/mm.h>

#define PAGE 4096UL
#define MIB (1UL << 20)
#define GUARD (256 * PAGE)
#define BASE 0x2aaaaaaab000UL

struct space {
	struct mm_context *ctx;
	struct mm_struct *mm;
};

static void open_space(struct space *s, const struct mm_options *opt)
{
	assert_int_equal(mm_context_create(NULL, &s->ctx), 0);
	assert_int_equal(mm_create(s->ctx, opt, &s->mm), 0);
}

static void close_space(struct space *s)
{
	mm_put(s->mm);
	mm_context_destroy(s->ctx);
}

static long map_at(struct space *s, unsigned long addr, size_t len, unsigned long flags)
{
	struct mm_mmap_args args = {
		.addr = addr, .len = len, .prot = PROT_READ, .flags = MAP_PRIVATE | MAP_ANONYMOUS | flags,
	};
	unsigned long out;
	int err = mm_mmap(s->mm, &args, &out);

	return err ? err : (long)out;
}

/* The lowest hole above the base; a hint that is free is taken, one that is not is passed over.
 *
 *   base |1|22|   |3|        then  |1|22|4| |3|
 */
static void upwards(void **state)
{
	struct mm_options opt = { .size = sizeof(opt), .legacy_layout = true };
	struct space s;

	(void)state;
	open_space(&s, &opt);
	assert_int_equal(map_at(&s, 0, PAGE, 0), BASE);
	assert_int_equal(map_at(&s, 0, 2 * PAGE, 0), BASE + PAGE);
	assert_int_equal(map_at(&s, BASE + 6 * PAGE, PAGE, 0), BASE + 6 * PAGE);
	assert_int_equal(map_at(&s, BASE + PAGE, PAGE, 0), BASE + 3 * PAGE);
	assert_int_equal(map_at(&s, 0, 0x7ffffffff000UL, 0), -ENOMEM);
	close_space(&s);
}

/* The room below a stack that is its guard gap is none: the search goes on above the stack.
 *
 *   base |4 free pages|guard|SS|        5 pages go here^
 */
static void upwards_past_a_stack(void **state)
{
	struct mm_options opt = { .size = sizeof(opt), .legacy_layout = true };
	struct space s;
	unsigned long stack = BASE + 4 * PAGE + GUARD;

	(void)state;
	open_space(&s, &opt);
	assert_int_equal(map_at(&s, stack, 2 * PAGE, MAP_FIXED | MAP_GROWSDOWN), stack);
	assert_int_equal(map_at(&s, 0, 5 * PAGE, 0), stack + 2 * PAGE);
	assert_int_equal(map_at(&s, 0, 4 * PAGE, 0), BASE);
	close_space(&s);
}

static void below_two_gibibytes(void **state)
{
	struct space s;

	(void)state;
	open_space(&s, NULL);
	assert_int_equal(map_at(&s, 0, PAGE, MAP_32BIT), 0x40000000);
	assert_int_equal(map_at(&s, 0x50000000, PAGE, MAP_32BIT), 0x50000000);
	assert_int_equal(map_at(&s, 0x90000000, PAGE, MAP_32BIT), 0x40001000);
	assert_int_equal(map_at(&s, 0, 0x40000000, MAP_32BIT), -ENOMEM);
	assert_int_equal(map_at(&s, 0, 0x80001000, MAP_32BIT), -ENOMEM);
	close_space(&s);
}

/* Nothing is left below the base of a search downwards: once more, upwards from a third of the addresses. */
static void second_search(void **state)
{
	struct mm_options opt = { .size = sizeof(opt), .mmap_base = 0x20000 };
	struct space s;

	(void)state;
	open_space(&s, &opt);
	assert_int_equal(map_at(&s, 0, 16 * PAGE, 0), 0x10000);
	assert_int_equal(map_at(&s, 0, MIB, 0), BASE);
	close_space(&s);
}

/* A file system that asks for it gets address and offset that agree modulo 2 MiB. */
static void huge_pages_of_files(void **state)
{
	struct vm_file_info info = {
		.size = sizeof(info), .kind = VM_FILE_REGULAR, .readable = true, .hugepage_aligned = true,
	};
	struct mm_mmap_args args = { .len = 4 * MIB, .prot = PROT_READ, .flags = MAP_PRIVATE, .offset = 5 * PAGE };
	struct mm_options opt = { .size = sizeof(opt), .legacy_layout = true };
	struct space s;
	unsigned long at;

	(void)state;
	for (int up = 0; up < 2; up++) {
		open_space(&s, up ? &opt : NULL);
		args.addr = 0;
		assert_int_equal(vm_file_create(s.ctx, &info, &args.file), 0);
		assert_int_equal(mm_mmap(s.mm, &args, &at), 0);
		assert_int_equal((at - args.offset) % (2 * MIB), 0);
		args.addr = 0x100000000UL + PAGE;
		assert_int_equal(mm_mmap(s.mm, &args, &at), 0);
		assert_int_equal(at, args.addr);
		args.len = PAGE;
		args.addr = 0;
		assert_int_equal(mm_get_unmapped_area(s.mm, &args, &at), 0);
		args.len = 4 * MIB;
		vm_file_put(args.file);
		close_space(&s);
	}
}

static int where(struct space *s, const struct mm_mmap_args *args)
{
	unsigned long at;

	return mm_get_unmapped_area(s->mm, args, &at);
}

/* What is asked before any place is looked for, in both calls that look for one. */
static void refused(void **state)
{
	struct mm_mmap_args args = { .len = PAGE, .flags = MAP_PRIVATE | MAP_ANONYMOUS };
	struct vm_file_info device = { .size = sizeof(device), .kind = VM_FILE_DEVICE, .readable = true };
	struct space s;

	(void)state;
	open_space(&s, NULL);
	args.offset = 1;
	assert_int_equal(where(&s, &args), -EINVAL);
	args.offset = 0;
	args.len = 0;
	assert_int_equal(where(&s, &args), -EINVAL);
	args.len = ~0UL;
	assert_int_equal(where(&s, &args), -ENOMEM);
	args.len = 0x800000000000UL;
	assert_int_equal(where(&s, &args), -ENOMEM);
	args.len = PAGE;
	args.flags = MAP_PRIVATE;
	assert_int_equal(where(&s, &args), -EBADF);
	assert_int_equal(vm_file_create(s.ctx, &device, &args.file), 0);
	assert_int_equal(where(&s, &args), -ENODEV);
	vm_file_put(args.file);
	args.file = NULL;
	assert_int_equal(map_at(&s, 0x10000, PAGE, MAP_FIXED), 0x10000);
	assert_int_equal(map_at(&s, 0x10000, PAGE, MAP_FIXED_NOREPLACE), -EEXIST);
	assert_int_equal(map_at(&s, 0x10001, PAGE, MAP_FIXED), -EINVAL);
	assert_int_equal(map_at(&s, 0x7ffffffff000UL, PAGE, MAP_FIXED), -ENOMEM);
	assert_int_equal(map_at(&s, -11UL, PAGE, MAP_FIXED), -11);
	close_space(&s);
}

/* Options and arguments that no address space can have. */
static void impossible(void **state)
{
	struct mm_options opt = { .size = sizeof(opt), .task_size = 0x10001 };
	struct mm_struct *mm = NULL;
	struct space s;

	(void)state;
	open_space(&s, NULL);
	assert_int_equal(mm_create(s.ctx, &opt, &mm), -EINVAL);
	opt.task_size = 0x10000;
	opt.mmap_base = 0x20000;
	assert_int_equal(mm_create(s.ctx, &opt, &mm), -EINVAL);
	opt.size = 1;
	assert_int_equal(mm_create(s.ctx, &opt, &mm), -EINVAL);
	assert_null(mm);
	assert_int_equal(mm_set_rlimit(s.mm, MM_NR_RLIMITS, 0), -EINVAL);
	assert_int_equal(mm_mseal(s.mm, 0x10000, PAGE, 1), -EINVAL);
	assert_int_equal(mm_mseal(s.mm, 0x10001, PAGE, 0), -EINVAL);
	assert_int_equal(mm_mseal(s.mm, 0x10000, ~0UL, 0), -EINVAL);
	assert_int_equal(mm_mseal(s.mm, ~0UL << 12, 2 * PAGE, 0), -EINVAL);
	assert_int_equal(mm_mseal(s.mm, 0x10000, 0, 0), 0);
	assert_int_equal(mm_mseal(s.mm, 0x10000, PAGE, 0), -ENOMEM);
	close_space(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(upwards),
		cmocka_unit_test(upwards_past_a_stack),
		cmocka_unit_test(below_two_gibibytes),
		cmocka_unit_test(second_search),
		cmocka_unit_test(huge_pages_of_files),
		cmocka_unit_test(refused),
		cmocka_unit_test(impossible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
