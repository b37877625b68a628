/* SPDX-License-Identifier: MIT */
/* Inodes: what open files share, how long the contents are, and the index of pages under it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vma/vma.h"

static int setup(void **state)
{
	return mm_context_create(NULL, (struct mm_context **)state);
}

static int teardown(void **state)
{
	struct platform_stats s;

	platform_read_stats(mm_context_platform(*state), &s);
	mm_context_destroy(*state);
	return s.files || s.inodes || s.nodes ? -1 : 0;
}

static struct vm_file *open_file(struct mm_context *ctx, uint64_t bytes, struct vm_file *same)
{
	struct vm_file_info info = { .size = sizeof(info), .readable = true, .sized = true, .bytes = bytes,
				     .same_inode_as = same };
	struct vm_file *file;

	assert_int_equal(vm_file_create(ctx, &info, &file), 0);
	return file;
}

static long live_inodes(struct mm_context *ctx)
{
	struct platform_stats s;

	platform_read_stats(mm_context_platform(ctx), &s);
	return s.inodes;
}

/* Two files, one inode: it goes with the last of them. */
static void shared_by_files(void **state)
{
	struct vm_file *a = open_file(*state, 5000, NULL), *b = open_file(*state, 1, a);

	assert_ptr_equal(a->mapping, b->mapping);
	assert_int_equal(live_inodes(*state), 1);
	assert_int_equal(vm_file_size(b), 5000);
	vm_file_put(a);
	assert_int_equal(live_inodes(*state), 1);
	assert_int_equal(i_size_pages(b->mapping), 2);
	vm_file_put(b);
	assert_int_equal(live_inodes(*state), 0);
}

static void sizes_in_pages(void **state)
{
	static const struct {
		uint64_t bytes, pages;
	} row[] = { { 0, 0 }, { 1, 1 }, { 4095, 1 }, { 4096, 1 }, { 4097, 2 }, { UINT64_MAX, 1ul << 52 } };
	struct vm_file *file = open_file(*state, 0, NULL);
	size_t i;

	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		pf_mutex_lock(&file->mapping->i_lock);
		i_size_write(file->mapping, row[i].bytes);
		pf_mutex_unlock(&file->mapping->i_lock);
		assert_int_equal(i_size_pages(file->mapping), row[i].pages);
	}
	assert_int_equal(file->mapping->changes, i);
	vm_file_put(file);
}

static void of_another_context(void **state)
{
	struct mm_context *other;
	struct vm_file *file = open_file(*state, 0, NULL), *out;
	struct vm_file_info info = { .size = sizeof(info), .same_inode_as = file };

	assert_int_equal(mm_context_create(NULL, &other), 0);
	assert_int_equal(vm_file_create(other, &info, &out), -EINVAL);
	mm_context_destroy(other);
	vm_file_put(file);
}

/* Failing either of the two allocations leaves nothing. */
static void without_memory(void **state)
{
	struct vm_file_info info = { .size = sizeof(info) };
	struct vm_file *out = NULL;
	int n;

	for (n = 1; n <= 2; n++) {
		platform_fail_nth(mm_context_platform(*state), n);
		assert_int_equal(vm_file_create(*state, &info, &out), -ENOMEM);
		assert_null(out);
		assert_int_equal(live_inodes(*state), 0);
	}
	assert_int_equal(vm_file_create(*state, &info, &out), 0);
	vm_file_put(out);
}

static void *entry(unsigned long n)
{
	return (void *)(n * 64 + 0x10000);
}

static void load_is(struct address_space *mapping, pgoff_t index, void *wanted)
{
	pf_rcu_read_lock();
	assert_ptr_equal(i_pages_load(mapping, index), wanted);
	pf_rcu_read_unlock();
}

/* Dense below 100, two of three free above. */
static pgoff_t place(unsigned long i)
{
	return i < 100 ? i : 100 + (i - 100) * 3;
}

/* Enter, find, replace and take away; the last needs no memory, whatever is around. */
static void pages_by_index(void **state)
{
	struct vm_file *file = open_file(*state, 0, NULL);
	struct address_space *m = file->mapping;
	pgoff_t index = 101;
	unsigned long i;

	for (i = 0; i < 300; i++)
		assert_int_equal(i_pages_insert(m, place(i), entry(i)), 0);
	assert_int_equal(i_pages_insert(m, 0, entry(1)), -EEXIST);
	assert_int_equal(atomic_load(&m->nr_pages), 300);
	load_is(m, 0, entry(0));
	load_is(m, 101, NULL);
	pf_rcu_read_lock();
	assert_ptr_equal(i_pages_find(m, &index, 1000), entry(101));
	assert_int_equal(index, 103);
	assert_null(i_pages_find(m, &(pgoff_t){ 104 }, 105));
	pf_rcu_read_unlock();

	platform_fail_nth(mm_context_platform(*state), -1);
	assert_false(i_pages_replace(m, 2, entry(0), NULL));
	assert_true(i_pages_replace(m, 2, entry(2), xa_mk_value(7)));
	load_is(m, 2, xa_mk_value(7));
	assert_int_equal(atomic_load(&m->nr_pages), 299);
	assert_true(i_pages_replace(m, 2, xa_mk_value(7), entry(2)));
	for (i = 0; i < 300; i++)
		assert_true(i_pages_replace(m, place(i), entry(i), NULL));
	platform_fail_nth(mm_context_platform(*state), 0);
	assert_int_equal(atomic_load(&m->nr_pages), 0);
	assert_true(mtree_empty(&m->i_pages));
	vm_file_put(file);
}

/* One page alone, at the index that a tree keeps in its root. */
static void the_first_page_alone(void **state)
{
	struct vm_file *file = open_file(*state, 0, NULL);

	assert_int_equal(i_pages_insert(file->mapping, 0, entry(0)), 0);
	load_is(file->mapping, 0, entry(0));
	load_is(file->mapping, 1, NULL);
	assert_true(i_pages_replace(file->mapping, 0, entry(0), entry(1)));
	load_is(file->mapping, 0, entry(1));
	assert_true(i_pages_replace(file->mapping, 0, entry(1), NULL));
	assert_true(mtree_empty(&file->mapping->i_pages));
	vm_file_put(file);
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(shared_by_files), test(sizes_in_pages), test(of_another_context),
		test(without_memory),  test(pages_by_index), test(the_first_page_alone),
	};

	return cmocka_run_group_tests_name("inode", tests, NULL, NULL);
}
