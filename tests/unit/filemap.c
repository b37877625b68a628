/* SPDX-License-Identifier: MIT */
/* Mapped files: the page cache, private copies, and where the file ends. */
#include "support/world.h"

static struct vm_file *sized_file(void **state, uint64_t bytes)
{
	return world_file(world_of(state)->ctx, &(struct vm_file_info){ .sized = true, .bytes = bytes });
}

static long cached(struct vm_file *file)
{
	return (long)atomic_load(&file->mapping->nr_pages);
}

/* Promise 1. Guards outlive holes in the file and its end, and come before what the file has to say. */
static void guards_stay(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = sized_file(state, 4 * PAGE_SIZE);
	unsigned long i;

	map_file(mm, 0, 6, RW, MAP_PRIVATE, file, 0);
	map_file(mm, 20, 6, RW, MAP_SHARED, file, 0);
	for (i = 0; i < 40; i += 20) {
		assert_int_equal(mm_madvise(mm, AT(i + 1), 4 * PAGE_SIZE, MADV_GUARD_INSTALL), 0);
		/* Beyond the end. */
		assert_int_equal(touch(mm, i + 4, MM_WRITE), MM_FAULT_MAPERR);
		assert_int_equal(touch(mm, i + 4, MM_READ), MM_FAULT_MAPERR);
		assert_int_equal(touch(mm, i + 5, MM_WRITE), MM_FAULT_BUS);
	}
	assert_int_equal(mm_madvise(mm, AT(20), 2 * PAGE_SIZE, MADV_REMOVE), 0);
	assert_int_equal(vm_file_truncate(file, PAGE_SIZE), 0);
	for (i = 0; i < 40; i += 20)
		assert_true(info_of(mm, i + 1).guard && info_of(mm, i + 2).guard && info_of(mm, i + 4).guard);
	valid(world_of(state)->ctx, mm);
	assert_int_equal(mm_munmap(mm, AT(0), 40 * PAGE_SIZE), 0);
	vm_file_put(file);
}

static bool has_anon_vma(struct mm_struct *mm, unsigned long page)
{
	struct mm_vma_info vma;

	assert_int_equal(mm_next_vma(mm, AT(page), &vma), 0);
	return vma.has_anon_vma;
}

/* Promise 1. Who writes to a guard in a private mapping of a file, or locks memory from one on, ties it to no anon_vma. */
static void guards_tie_nothing(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = sized_file(state, 4 * PAGE_SIZE);

	map_file(mm, 0, 4, RW, MAP_PRIVATE, file, 0);
	assert_int_equal(mm_madvise(mm, AT(0), 2 * PAGE_SIZE, MADV_GUARD_INSTALL), 0);
	assert_int_equal(touch(mm, 1, MM_WRITE), MM_FAULT_MAPERR);
	assert_false(has_anon_vma(mm, 0));
	assert_int_equal(mm_madvise(mm, AT(1), 2 * PAGE_SIZE, MADV_POPULATE_WRITE), -EFAULT);
	assert_false(has_anon_vma(mm, 0));
	assert_int_equal(touch(mm, 2, MM_WRITE), MM_FAULT_OK);
	assert_true(has_anon_vma(mm, 0));
	valid(world_of(state)->ctx, mm);
	assert_int_equal(mm_munmap(mm, AT(0), 4 * PAGE_SIZE), 0);
	vm_file_put(file);
}

static unsigned char core_at(struct mm_struct *mm, unsigned long page)
{
	unsigned char core;

	assert_int_equal(mm_mincore(mm, AT(page), PAGE_SIZE, &core), 0);
	return core;
}

/*
 * Observed: WILLNEED brings pages into the page cache, up to the file's end, and maps none; holes are told, not
 * the end.
 */
static void read_ahead(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = sized_file(state, 8 * PAGE_SIZE);

	map_file(mm, 0, 10, RW, MAP_PRIVATE, file, 0);
	map_file(mm, 20, 10, PROT_NONE, MAP_SHARED, file, 0);
	assert_int_equal(mm_madvise(mm, AT(2), 3 * PAGE_SIZE, MADV_WILLNEED), 0);
	assert_int_equal(cached(file), 3);
	pages_are(mm, 0, "..........");
	assert_int_equal(core_at(mm, 1), 0);
	assert_int_equal(core_at(mm, 2), 1);
	assert_int_equal(core_at(mm, 24), 1);
	assert_int_equal(core_at(mm, 25), 0);
	/* What is at hand is mapped around. */
	assert_int_equal(get_byte(mm, 3), 'd');
	pages_are(mm, 0, "..fff.....");
	put_byte(mm, 3, 'P');
	assert_int_equal(mm_madvise(mm, AT(20), 10 * PAGE_SIZE, MADV_WILLNEED), 0);
	assert_int_equal(cached(file), 8);
	assert_int_equal(get_byte(mm, 3), 'P');
	assert_int_equal(mm_munmap(mm, AT(5), PAGE_SIZE), 0);
	assert_int_equal(mm_madvise(mm, AT(0), 10 * PAGE_SIZE, MADV_WILLNEED), -ENOMEM);
	valid(world_of(state)->ctx, mm);
	vm_file_put(file);
}

static int cannot_read(void *arg, uint64_t index, void *page)
{
	(void)arg;
	memset(page, 'x', PAGE_SIZE);
	return index == 2 ? -EIO : 0;
}

/* What cannot be read ahead is no error; a long range is read to a bound (observed). */
static void read_ahead_in_part(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file_info broken = { .read_page = cannot_read };
	struct vm_file *file = world_file(world_of(state)->ctx, &broken), *zero, *whole;

	whole = world_file(world_of(state)->ctx, NULL);
	zero = world_file(world_of(state)->ctx, &(struct vm_file_info){ .kind = VM_FILE_ZERO });
	map_file(mm, 0, 4, RW, MAP_SHARED, file, 0);
	map_file(mm, 4, 4, RW, MAP_PRIVATE, zero, 0);
	map_file(mm, 8, 2050, RW, MAP_SHARED, whole, 5);
	map_anon(mm, 2058, 2, RW);
	assert_int_equal(mm_madvise(mm, AT(0), 2060 * PAGE_SIZE, MADV_WILLNEED), 0);
	assert_int_equal(cached(file), 2);
	assert_int_equal(cached(zero), 0);
	assert_int_equal(cached(whole), 2048);
	assert_int_equal(core_at(mm, 8 + 2047), 1);
	assert_int_equal(core_at(mm, 8 + 2048), 0);
	assert_int_equal(touch(mm, 2, MM_READ), MM_FAULT_BUS);
	valid(world_of(state)->ctx, mm);
	assert_int_equal(mm_munmap(mm, AT(0), 2060 * PAGE_SIZE), 0);
	vm_file_put(whole);
	vm_file_put(zero);
	vm_file_put(file);
}

/* Reads map the file's page read-only; a private write copies it, a shared one dirties it. */
static void private_and_shared(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = world_file(world_of(state)->ctx, NULL);

	map_file(mm, 0, 4, RW, MAP_PRIVATE, file, 1);
	map_file(mm, 20, 4, RW, MAP_SHARED, file, 1);
	assert_int_equal(get_byte(mm, 0), 'b');
	pages_are(mm, 0, "f...");
	put_byte(mm, 20, 'S');
	pages_are(mm, 20, "F...");
	assert_int_equal(get_byte(mm, 0), 'S');
	put_byte(mm, 0, 'P');
	pages_are(mm, 0, "A...");
	assert_int_equal(get_byte(mm, 20), 'S');
	put_byte(mm, 21, 'T');
	put_byte(mm, 1, 'Q');
	assert_int_equal(get_byte(mm, 21), 'T');
	assert_int_equal(cached(file), 2);
	assert_int_equal(get_mm_counter(mm->pt, MM_FILEPAGES), 2);
	assert_int_equal(get_mm_counter(mm->pt, MM_ANONPAGES), 2);
	valid(world_of(state)->ctx, mm);
	assert_int_equal(mm_munmap(mm, AT(0), 24 * PAGE_SIZE), 0);
	/* The cache keeps them. */
	map_file(mm, 0, 4, PROT_READ, MAP_PRIVATE, file, 1);
	assert_int_equal(get_byte(mm, 0), 'S');
	vm_file_put(file);
}

/*
 * Observed: a read maps what is at hand in 64 KiB around, which begin at a multiple of that or with the mapping;
 * a write maps its own page.
 */
static void around(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = world_file(world_of(state)->ctx, NULL);
	int i;

	map_file(mm, 0, 40, RW, MAP_SHARED, file, 0);
	for (i = 2; i < 30; i += 3)
		put_byte(mm, i, (unsigned char)i);
	map_file(mm, 64 + 3, 40, RW, MAP_PRIVATE, file, 3);
	touch(mm, 64 + 5, MM_READ);
	/* Sixteen pages from where the mapping begins. */
	pages_are(mm, 64, ".....f..f..f..f..f......");
	touch(mm, 64 + 20, MM_WRITE);
	pages_are(mm, 64 + 16, ".f..A...........");
	touch(mm, 64 + 23, MM_READ);
	pages_are(mm, 64 + 16, ".f..A..f..f..f..");
	valid(world_of(state)->ctx, mm);
	vm_file_put(file);
}

/* A file that counts as read maps whole windows. */
static void around_what_is_cached(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file;

	file = world_file(world_of(state)->ctx,
			  &(struct vm_file_info){ .cached = true, .sized = true, .bytes = 20 * PAGE_SIZE });
	map_file(mm, 0, 32, RW, MAP_PRIVATE, file, 0);
	touch(mm, 18, MM_READ);
	pages_are(mm, 0, "................ffff............");
	put_byte(mm, 3, 1);
	touch(mm, 4, MM_READ);
	pages_are(mm, 0, "fffAffffffffffffffff............");
	assert_int_equal(get_byte(mm, 5), 'f');
	vm_file_put(file);
}

/* Beyond the last page there is nothing to map; what is behind the last byte in it reads as zero. */
static void beyond_the_end(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = sized_file(state, PAGE_SIZE + 10);
	unsigned char bytes[16];
	size_t done;

	map_file(mm, 0, 4, RW, MAP_SHARED, file, 0);
	map_file(mm, 4, 4, RW, MAP_PRIVATE, file, 0);
	assert_int_equal(touch(mm, 2, MM_READ), MM_FAULT_BUS);
	assert_int_equal(touch(mm, 2, MM_WRITE), MM_FAULT_BUS);
	assert_int_equal(touch(mm, 6, MM_READ), MM_FAULT_BUS);
	assert_int_equal(touch(mm, 6, MM_WRITE), MM_FAULT_BUS);
	assert_int_equal(mm_read(mm, AT(1), bytes, 16, &done), MM_FAULT_OK);
	assert_int_equal(bytes[9], 'b');
	assert_int_equal(bytes[10], 0);
	assert_int_equal(mm_read(mm, AT(2) - 8, bytes, 16, &done), MM_FAULT_BUS);
	assert_int_equal(done, 8);
	vm_file_put(file);
}

/* B10. Truncate takes private copies too, out of every address space.
 *
 *   shared   |FFFf|        |Ff..|
 *   private  |aAAf|        |aA..|
 */
static void truncated(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;
	struct vm_file *file = sized_file(state, 8 * PAGE_SIZE);

	map_file(mm, 0, 4, RW, MAP_SHARED, file, 0);
	map_file(mm, 4, 4, RW, MAP_PRIVATE, file, 0);
	put_byte(mm, 0, 'x');
	put_byte(mm, 1, 'y');
	put_byte(mm, 2, 'z');
	put_byte(mm, 5, 'p');
	put_byte(mm, 6, 'q');
	touch(mm, 7, MM_READ);
	assert_int_equal(mm_fork(mm, &child), 0);
	assert_int_equal(vm_file_truncate(file, PAGE_SIZE + 1), 0);
	assert_int_equal(cached(file), 2);
	pages_are(mm, 2, "..");
	pages_are(mm, 6, "..");
	pages_are(child, 6, "..");
	assert_int_equal(touch(mm, 2, MM_READ), MM_FAULT_BUS);
	assert_int_equal(touch(child, 6, MM_WRITE), MM_FAULT_BUS);
	assert_int_equal(get_byte(mm, 5), 'p');
	assert_int_equal(get_byte(mm, 1), 'y');
	/* Grown again, what was there is gone. */
	assert_int_equal(vm_file_truncate(file, 8 * PAGE_SIZE), 0);
	assert_int_equal(get_byte(mm, 1), 'y');
	assert_int_equal(mm_peek(mm, AT(1) + 1, &(unsigned char){ 0 }, 1), 0);
	valid(world_of(state)->ctx, mm, child);
	mmput(child);
	vm_file_put(file);
}

/* B10. Invalidation keeps private copies. */
static void invalidated(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = sized_file(state, 8 * PAGE_SIZE);

	map_file(mm, 0, 4, RW, MAP_SHARED, file, 0);
	map_file(mm, 4, 4, RW, MAP_PRIVATE, file, 0);
	put_byte(mm, 0, 'x');
	put_byte(mm, 1, 'y');
	put_byte(mm, 5, 'p');
	touch(mm, 4, MM_READ);
	assert_int_equal(vm_file_invalidate(file, 0, 2 * PAGE_SIZE), 0);
	assert_int_equal(cached(file), 0);
	pages_are(mm, 0, "....");
	pages_are(mm, 4, ".A..");
	assert_int_equal(get_byte(mm, 0), 'a');
	assert_int_equal(get_byte(mm, 5), 'p');
	assert_int_equal(vm_file_invalidate(file, 1, PAGE_SIZE), -EINVAL);
	vm_file_put(file);
}

/* Two open files of one inode show the same pages. */
static void one_inode(void **state)
{
	struct world *p = world_of(state);
	struct vm_file *a = world_file(p->ctx, NULL);
	struct vm_file *b = world_file(p->ctx, &(struct vm_file_info){ .same_inode_as = a });

	map_file(p->mm, 0, 1, RW, MAP_SHARED, a, 0);
	map_file(p->mm, 1, 1, RW, MAP_SHARED, b, 0);
	put_byte(p->mm, 0, 'k');
	assert_int_equal(get_byte(p->mm, 1), 'k');
	vm_file_put(a);
	put_byte(p->mm, 1, 'l');
	assert_int_equal(get_byte(p->mm, 0), 'l');
	vm_file_put(b);
}

static int read_error(void *arg, uint64_t index, void *page)
{
	(void)page;
	return index == 1 ? -(*(int *)arg) : 0;
}

static void that_cannot_be_read(void **state)
{
	struct world *p = world_of(state);
	int error = EIO;
	struct vm_file *file = world_file(p->ctx, &(struct vm_file_info){ .read_page = read_error,
									  .read_page_arg = &error });

	map_file(p->mm, 0, 3, RW, MAP_PRIVATE, file, 0);
	assert_int_equal(touch(p->mm, 0, MM_READ), MM_FAULT_OK);
	assert_int_equal(touch(p->mm, 1, MM_READ), MM_FAULT_BUS);
	assert_int_equal(touch(p->mm, 1, MM_WRITE), MM_FAULT_BUS);
	pages_are(p->mm, 0, "f..");
	error = 0;
	assert_int_equal(touch(p->mm, 1, MM_WRITE), MM_FAULT_OK);
	vm_file_put(file);
}

/* Shared memory without a name: a file of its own, of zeroes, that children share. */
static void shared_anonymous(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;

	map_file(mm, 0, 2, RW, MAP_SHARED, NULL, 0);
	assert_int_equal(get_byte(mm, 0), 0);
	put_byte(mm, 1, 4);
	assert_int_equal(get_mm_counter(mm->pt, MM_SHMEMPAGES), 2);
	assert_int_equal(mm_fork(mm, &child), 0);
	put_byte(child, 0, 5);
	assert_int_equal(get_byte(mm, 0), 5);
	assert_int_equal(get_byte(child, 1), 4);
	/* MADV_REMOVE punches a hole for both. */
	assert_int_equal(mm_madvise(mm, AT(1), PAGE_SIZE, MADV_REMOVE), 0);
	assert_int_equal(get_byte(child, 1), 0);
	assert_int_equal(get_byte(child, 0), 5);
	valid(world_of(state)->ctx, mm, child);
	mmput(child);
}

/* mincore: what is mapped, and of a file what is in the cache. */
static void in_core(void **state)
{
	struct mm_struct *mm = world_of(state)->mm;
	struct vm_file *file = world_file(world_of(state)->ctx, NULL);
	unsigned char vec[8];

	map_file(mm, 0, 4, RW, MAP_SHARED, file, 0);
	map_anon(mm, 4, 4, RW);
	put_byte(mm, 1, 1);
	touch(mm, 4, MM_READ);
	put_byte(mm, 6, 1);
	mm_madvise(mm, AT(7), PAGE_SIZE, MADV_GUARD_INSTALL);
	mm_madvise(mm, AT(1), PAGE_SIZE, MADV_DONTNEED);
	assert_int_equal(mm_mincore(mm, AT(0), 8 * PAGE_SIZE, vec), 0);
	assert_memory_equal(vec, ((unsigned char[]){ 0, 1, 0, 0, 1, 0, 1, 0 }), 8);
	vm_file_put(file);
}

/* Every allocation of a read and of a write failing in turn: out of memory, and nothing has changed. */
static void without_memory(void **state)
{
	struct world *p = world_of(state);
	struct platform *pf = mm_context_platform(p->ctx);
	enum mm_access access;
	enum mm_fault fault;
	int n, points = 0;

	for (access = MM_READ; access <= MM_WRITE; access++) {
		for (n = 1, fault = MM_FAULT_OOM; fault != MM_FAULT_OK; n++, points++) {
			struct vm_file *file = world_file(p->ctx, NULL);

			map_file(p->mm, n << 20, 4, RW, access == MM_READ ? MAP_SHARED : MAP_PRIVATE, file, 0);
			vm_file_put(file);
			platform_fail_nth(pf, n);
			fault = touch(p->mm, n << 20, access);
			platform_fail_nth(pf, 0);
			assert_true(fault == MM_FAULT_OK || fault == MM_FAULT_OOM);
			if (fault != MM_FAULT_OK)
				pages_are(p->mm, n << 20, "....");
			valid(p->ctx, p->mm);
			assert_int_equal(mm_munmap(p->mm, AT(n << 20), 4 * PAGE_SIZE), 0);
		}
	}
	assert_true(points > 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		page_test(guards_stay), page_test(guards_tie_nothing), page_test(read_ahead), page_test(read_ahead_in_part),
		page_test(private_and_shared), page_test(around), page_test(around_what_is_cached),
		page_test(beyond_the_end), page_test(truncated), page_test(invalidated), page_test(one_inode),
		page_test(that_cannot_be_read), page_test(shared_anonymous), page_test(in_core),
		page_test(without_memory),
	};

	return cmocka_run_group_tests_name("filemap", tests, NULL, NULL);
}
