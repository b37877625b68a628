/* SPDX-License-Identifier: MIT */
/*
 * Memory pressure: an allocation that finds no frame takes pages back, then the memory of the largest address
 * space, and only then fails. Row E5's page-out, G2's reaper.
 */
#include "support/world.h"

#include "mmu/pageout.h"

#define FEW 96UL	/* frames */

struct scene {
	struct mm_context *ctx;
	struct mm_struct *mm;
};

static void build(struct scene *s, enum mm_pressure pressure, unsigned long slots)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = FEW, .pressure = pressure };

	assert_int_equal(mm_context_create(&opt, &s->ctx), 0);
	if (slots)
		assert_int_equal(mm_swapon(s->ctx, slots), 0);
	assert_int_equal(mm_create(s->ctx, NULL, &s->mm), 0);
}

/* Everything has come back: G1, and no count is wrong. */
static void end(struct scene *s)
{
	struct platform_stats stats;

	mmput(s->mm);
	platform_read_stats(s->ctx->pf, &stats);
	assert_int_equal(stats.frames + stats.tables + stats.vmas + stats.mms + stats.anon_vmas + stats.anon_chains +
			 stats.swap_slots, 0);
	mm_context_destroy(s->ctx);
}

/* Writes page @page until it cannot: how many of @count it could. */
static unsigned long write_pages(struct mm_struct *mm, unsigned long at, unsigned long count, enum mm_fault *why)
{
	for (unsigned long i = 0; i < count; i++) {
		unsigned char byte = (unsigned char)(i * 7 + 1);

		*why = mm_write(mm, AT(at + i) + 9, &byte, 1, NULL);
		if (*why != MM_FAULT_OK)
			return i;
	}
	return count;
}

static void holds(struct mm_struct *mm, unsigned long at, unsigned long count)
{
	unsigned char byte;

	for (unsigned long i = 0; i < count; i++) {
		assert_int_equal(mm_read(mm, AT(at + i) + 9, &byte, 1, NULL), MM_FAULT_OK);
		assert_int_equal(byte, (unsigned char)(i * 7 + 1));
	}
}

/*
 * 1. Ten times what there is of frames, written and read, in private and in shared memory, by parent and
 * child.
 */
static void reclaims(void **state)
{
	struct scene s;
	struct mm_struct *child;
	struct mm_mmap_args shared = { .addr = AT(2000), .len = 300 * PAGE_SIZE, .prot = RW,
				       .flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED };
	enum mm_fault why;
	unsigned long at;

	(void)state;
	build(&s, MM_PRESSURE_RECLAIM, 4000);
	map_anon(s.mm, 0, 10 * FEW, RW);
	assert_int_equal(mm_mmap(s.mm, &shared, &at), 0);
	assert_int_equal(write_pages(s.mm, 0, 10 * FEW, &why), 10 * FEW);
	assert_int_equal(write_pages(s.mm, 2000, 300, &why), 300);
	holds(s.mm, 0, 10 * FEW);
	assert_int_equal(mm_fork(s.mm, &child), 0);
	assert_int_equal(write_pages(child, 0, 100, &why), 100);
	holds(child, 0, 10 * FEW);
	holds(s.mm, 0, 10 * FEW);
	holds(child, 2000, 300);
	valid(s.ctx, s.mm, child);
	assert_true(swap_area_used(s.ctx->swap) > 9 * FEW);
	mmput(child);
	end(&s);
}

/*
 * Tables are frames too: one for each of many pages far from each other. They do not go, pages do for them.
 */
static void tables(void **state)
{
	struct scene s;
	unsigned long i;
	unsigned char byte;

	(void)state;
	build(&s, MM_PRESSURE_RECLAIM, 1000);
	for (i = 0; i < 70; i++) {
		map_anon(s.mm, i * 512, 1, RW);
		byte = (unsigned char)(i + 1);
		assert_int_equal(mm_write(s.mm, AT(i * 512), &byte, 1, NULL), MM_FAULT_OK);
	}
	/* More than there can be at once. */
	assert_true(s.mm->pt->table_bytes / PAGE_SIZE + 70 > FEW);
	for (i = 0; i < 70; i++)
		assert_int_equal(get_byte(s.mm, i * 512), i + 1);
	valid(s.ctx, s.mm);
	end(&s);
}

/* A file of a user's, and what has been written back to it. */
struct disk {
	unsigned char page[400];	/* one byte stands for each */
	unsigned long reads, writes;
	int error;
};

static int read_disk(void *arg, uint64_t index, void *page)
{
	struct disk *disk = arg;

	disk->reads++;
	((unsigned char *)page)[9] = disk->page[index];
	return 0;
}

static int write_disk(void *arg, uint64_t index, const void *page)
{
	struct disk *disk = arg;

	if (disk->error)
		return disk->error;
	disk->writes++;
	disk->page[index] = ((const unsigned char *)page)[9];
	return 0;
}

static struct vm_file *open_disk(struct scene *s, struct disk *disk, bool writes)
{
	struct vm_file_info info = { .size = sizeof(info), .readable = true, .writable = true, .read_page = read_disk,
				     .read_page_arg = disk, .write_page = writes ? write_disk : NULL };
	struct vm_file *file;

	*disk = (struct disk){ .reads = 0 };
	assert_int_equal(vm_file_create(s->ctx, &info, &file), 0);
	map_file(s->mm, 0, 400, RW, MAP_SHARED, file, 0);
	return file;
}

/*
 * 1. Pages of a file: those that can be read again are dropped, those that are newer than it are written
 * back.
 */
static void files(void **state)
{
	struct scene s;
	struct disk disk;
	struct vm_file *file;
	enum mm_fault why;
	unsigned char byte;

	(void)state;
	build(&s, MM_PRESSURE_RECLAIM, 0);
	file = open_disk(&s, &disk, true);
	for (unsigned long i = 0; i < 400; i++)
		assert_int_equal(mm_read(s.mm, AT(i), &byte, 1, NULL), MM_FAULT_OK);
	assert_int_equal(disk.writes, 0);
	assert_int_equal(write_pages(s.mm, 0, 400, &why), 400);
	assert_true(disk.writes > 400 - FEW);
	holds(s.mm, 0, 400);
	assert_int_equal(disk.page[0], 1);
	/* What cannot be written stays; then there is no frame. */
	assert_int_equal(write_pages(s.mm, 0, 400, &why), 400);
	disk.error = -EIO;
	assert_true(write_pages(s.mm, 0, 400, &why) < FEW);
	assert_int_equal(why, MM_FAULT_OOM);
	disk.error = 0;
	assert_int_equal(write_pages(s.mm, 0, 400, &why), 400);
	valid(s.ctx, s.mm);
	/* The last one who holds it lets it go when all is written. */
	assert_int_equal(mm_munmap(s.mm, AT(0), 400 * PAGE_SIZE), 0);
	disk.writes = 0;
	vm_file_put(file);
	assert_true(disk.writes > 0);
	for (unsigned long i = 0; i < 400; i++)
		assert_int_equal(disk.page[i], (unsigned char)(i * 7 + 1));
	end(&s);
}

/* A file that cannot be written to keeps what was written, and no frame is had. */
static void files_without_write(void **state)
{
	struct scene s;
	struct disk disk;
	struct vm_file *file;
	enum mm_fault why;
	unsigned long written;

	(void)state;
	build(&s, MM_PRESSURE_RECLAIM, 100);
	file = open_disk(&s, &disk, false);
	written = write_pages(s.mm, 0, 400, &why);
	assert_true(written > FEW / 2 && written < FEW);
	assert_int_equal(why, MM_FAULT_OOM);
	holds(s.mm, 0, written);
	vm_file_put(file);
	end(&s);
}

/* MS_SYNC writes what is newer, once; a write after it makes it newer again, through whatever entry. */
static void synced(void **state)
{
	struct scene s;
	struct disk disk;
	struct vm_file *file;
	struct mm_struct *child;
	unsigned char byte = 77;
	enum mm_fault why;

	(void)state;
	build(&s, MM_PRESSURE_FAIL, 0);
	file = open_disk(&s, &disk, true);
	assert_int_equal(write_pages(s.mm, 0, 8, &why), 8);
	assert_int_equal(mm_msync(s.mm, AT(0), 8 * PAGE_SIZE, MS_ASYNC), 0);
	assert_int_equal(disk.writes, 0);
	assert_int_equal(mm_msync(s.mm, AT(2), 4 * PAGE_SIZE, MS_SYNC), 0);
	assert_int_equal(disk.writes, 4);
	assert_int_equal(disk.page[5], 36);
	assert_int_equal(disk.page[6], 0);
	assert_int_equal(mm_msync(s.mm, AT(2), 4 * PAGE_SIZE, MS_SYNC), 0);
	assert_int_equal(disk.writes, 4);
	assert_false(info_of(s.mm, 2).writable || info_of(s.mm, 2).dirty);
	assert_int_equal(mm_fork(s.mm, &child), 0);
	assert_int_equal(mm_write(child, AT(3) + 9, &byte, 1, NULL), MM_FAULT_OK);
	assert_int_equal(mm_msync(s.mm, AT(0), 8 * PAGE_SIZE, MS_SYNC), 0);
	assert_int_equal(disk.writes, 9);
	assert_int_equal(disk.page[3], 77);
	/* It fails, and is not forgotten. */
	assert_int_equal(mm_write(s.mm, AT(7) + 9, &byte, 1, NULL), MM_FAULT_OK);
	disk.error = -EIO;
	assert_int_equal(mm_msync(s.mm, AT(0), 8 * PAGE_SIZE, MS_SYNC), -EIO);
	disk.error = 0;
	assert_int_equal(mm_msync(s.mm, AT(0), 8 * PAGE_SIZE, MS_SYNC), 0);
	assert_int_equal(disk.page[7], 77);
	valid(s.ctx, s.mm, child);
	mmput(child);
	vm_file_put(file);
	end(&s);
}

static struct mm_struct *other_mm(struct scene *s)
{
	struct mm_struct *mm;

	assert_int_equal(mm_create(s->ctx, NULL, &mm), 0);
	return mm;
}

/* 2. Nothing can go: the largest one's memory is taken, though not before, and whoever asked gets it. */
static void reaps(void **state)
{
	struct scene s;
	struct mm_struct *big;
	enum mm_fault why;

	(void)state;
	build(&s, MM_PRESSURE_REAP, 20);
	big = other_mm(&s);
	map_anon(big, 0, 60, RW);
	map_anon(s.mm, 0, 100, RW);
	assert_int_equal(write_pages(big, 0, 60, &why), 60);
	/* 20 pages find a slot. */
	assert_int_equal(write_pages(s.mm, 0, 30, &why), 30);
	assert_false(mm_flag_is_set(big, MMF_UNSTABLE));
	assert_int_equal(write_pages(s.mm, 0, 58, &why), 58);
	assert_true(mm_flag_is_set(big, MMF_UNSTABLE));
	assert_false(mm_flag_is_set(s.mm, MMF_UNSTABLE));
	assert_int_equal(touch(big, 0, MM_READ), MM_FAULT_BUS);
	holds(s.mm, 0, 58);
	valid(s.ctx, s.mm, big);
	mmput(big);
	end(&s);
}

/* 2. It may be the one that asks: its touch ends in a bus error, and the others have their memory. */
static void reaps_who_asks(void **state)
{
	struct scene s;
	struct mm_struct *small;
	enum mm_fault why;

	(void)state;
	build(&s, MM_PRESSURE_REAP, 0);
	small = other_mm(&s);
	map_anon(small, 0, 10, RW);
	map_anon(s.mm, 0, 200, RW);
	assert_int_equal(write_pages(small, 0, 10, &why), 10);
	assert_true(write_pages(s.mm, 0, 200, &why) > 50);
	assert_int_equal(why, MM_FAULT_BUS);
	assert_true(mm_flag_is_set(s.mm, MMF_UNSTABLE));
	holds(small, 0, 10);
	valid(s.ctx, s.mm, small);
	mmput(small);
	end(&s);
}

/* 3. None may be ended: the error, from a touch, from a fork and from a lock, and all is as it was. */
static void fails(void **state)
{
	static const enum mm_pressure all[] = { MM_PRESSURE_FAIL, MM_PRESSURE_RECLAIM, MM_PRESSURE_REAP };
	struct mm_options never = { .size = sizeof(never), .oom_score_adj = -1000 };
	struct mm_struct *child = NULL;
	enum mm_fault why;
	unsigned long written;
	struct scene s;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		build(&s, all[i], i ? 10 : 0);
		mmput(s.mm);
		assert_int_equal(mm_create(s.ctx, &never, &s.mm), 0);
		map_anon(s.mm, 0, 200, RW);
		written = write_pages(s.mm, 0, 200, &why);
		assert_true(written > 50 && written < 200);
		assert_int_equal(why, MM_FAULT_OOM);
		assert_int_equal(mm_fork(s.mm, &child), -ENOMEM);
		assert_null(child);
		assert_int_equal(mm_mlock(s.mm, AT(150), 40 * PAGE_SIZE, 0), -ENOMEM);
		assert_false(mm_flag_is_set(s.mm, MMF_UNSTABLE));
		assert_int_equal(mm_munlock(s.mm, AT(150), 40 * PAGE_SIZE), 0);
		/* What is swapped out needs a frame to be read. */
		assert_int_equal(mm_munmap(s.mm, AT(written - 12), 12 * PAGE_SIZE), 0);
		holds(s.mm, 0, written - 12);
		valid(s.ctx, s.mm);
		end(&s);
	}
}

/* A driver's own wish is not waited for: it may hold what those want who would have to give something up. */
static void drivers_wait_for_nothing(void **state)
{
	static unsigned long taken[FEW];
	unsigned long nr = 0, swapped;
	enum mm_fault why;
	struct scene s;

	(void)state;
	build(&s, MM_PRESSURE_RECLAIM, 1000);
	map_anon(s.mm, 0, 200, RW);
	assert_int_equal(write_pages(s.mm, 0, 200, &why), 200);
	swapped = swap_area_used(s.ctx->swap);
	while (!mm_frame_alloc(s.ctx, &taken[nr]))
		nr++;
	assert_int_equal(swap_area_used(s.ctx->swap), swapped);
	assert_int_equal(frame_pool_used(s.ctx->frames) + 2, FEW);
	/* A touch has its page all the same. */
	holds(s.mm, 0, 200);
	while (nr)
		mm_unpin(s.ctx, taken[--nr], false);
	end(&s);
}

/*
 * All three, with every n-th allocation failing on top: a call that fails has changed nothing that was
 * written.
 */
static void every_nth_fails(void **state)
{
	enum mm_fault why = MM_FAULT_OK;
	struct mm_struct *child;
	unsigned long failed = 0, n;
	struct scene s;
	int err;

	(void)state;
	build(&s, MM_PRESSURE_RECLAIM, 1000);
	map_anon(s.mm, 0, 150, RW);
	assert_int_equal(write_pages(s.mm, 0, 150, &why), 150);
	for (n = 1;; n++) {
		platform_fail_nth(s.ctx->pf, (long)n);
		err = mm_fork(s.mm, &child);
		if (!err)
			write_pages(child, 0, 40, &why);
		platform_fail_nth(s.ctx->pf, 0);
		assert_true(!err || err == -ENOMEM);
		failed += err || why != MM_FAULT_OK;
		holds(s.mm, 0, 150);
		if (!err)
			holds(child, 0, 150);
		valid(s.ctx, s.mm, err ? NULL : child);
		if (!err)
			mmput(child);
		if (!err && why == MM_FAULT_OK && n > 60)
			break;
		why = MM_FAULT_OK;
	}
	/* That of the swap-ins, copies and slots of forty writes alone are that many. */
	assert_true(failed > 40);
	print_message("# %lu points\n", n - 1);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reclaims),
		cmocka_unit_test(tables),
		cmocka_unit_test(files),
		cmocka_unit_test(files_without_write),
		cmocka_unit_test(synced),
		cmocka_unit_test(reaps),
		cmocka_unit_test(reaps_who_asks),
		cmocka_unit_test(fails),
		cmocka_unit_test(drivers_wait_for_nothing),
		cmocka_unit_test(every_nth_fails),
	};

	return cmocka_run_group_tests_name("pressure", tests, NULL, NULL);
}
