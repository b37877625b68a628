/* SPDX-License-Identifier: MIT */
/*
 * Promise 2, where pages come from: every allocation of a touch, of a populate, and of an advice about pages fails in
 * turn. What the call answers is what Linux has for it; mappings and their counters are as before; pages that were
 * made before the one that failed may stay, as with Linux; the validators are content, and the same call then succeeds.
 */
#define _GNU_SOURCE
#include "support/world.h"

#include <errno.h>
#include <stdlib.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define HUGE_AT 0x1000UL	/* pages */
#define PMD_PAGES PT_ENTRIES

struct scene {
	struct mm_context *ctx;
	struct mm_struct *mm, *child;
	struct vm_file *file;
	unsigned long complaints;
};

struct target {
	const char *name;
	void (*prepare)(struct scene *s);
	long (*call)(struct scene *s);	/* 0, a negative errno, or an enum mm_fault */
	long answers[3];		/* that a failure may have; 0 ends them, and is one itself if @may_succeed */
	bool may_succeed;
	const char *pages;		/* in the end, from page 0 on; NULL: not looked at */
};

/* What is there before --------------------------------------------------------------- */

static void nothing(struct scene *s)
{
	(void)s;
}

static void anon(struct scene *s)
{
	map_anon(s->mm, 0, 4, RW);
}

/* In two lowest tables, that are not there yet. */
static void two_tables(struct scene *s)
{
	map_anon(s->mm, PMD_PAGES - 2, 4, RW);
}

static void open_file(struct scene *s, unsigned long pages, bool cached)
{
	s->file = world_file(s->ctx, &(struct vm_file_info){ .sized = true, .bytes = pages * PAGE_SIZE, .cached = cached });
}

static void shared_file(struct scene *s)
{
	open_file(s, 4, false);
	map_file(s->mm, 0, 4, RW, MAP_SHARED, s->file, 0);
}

static void private_file(struct scene *s)
{
	open_file(s, 4, false);
	map_file(s->mm, 0, 4, RW, MAP_PRIVATE, s->file, 0);
}

/* Page 4 is beyond its end, and what is before it is at hand. */
static void short_file(struct scene *s)
{
	open_file(s, 4, true);
	map_file(s->mm, 16, 4, PROT_READ, MAP_SHARED, s->file, 0);
	for (unsigned long i = 0; i < 4; i++)
		assert_int_equal(touch(s->mm, 16 + i, MM_READ), MM_FAULT_OK);
	assert_int_equal(mm_munmap(s->mm, AT(16), 4 * PAGE_SIZE), 0);
	map_file(s->mm, 0, 5, PROT_READ, MAP_SHARED, s->file, 0);
}

static void written(struct scene *s)
{
	anon(s);
	for (unsigned long i = 0; i < 4; i++)
		put_byte(s->mm, i, (unsigned char)(i + 1));
}

static void swapped(struct scene *s)
{
	written(s);
	assert_int_equal(mm_madvise(s->mm, AT(0), 4 * PAGE_SIZE, MADV_PAGEOUT), 0);
	pages_are(s->mm, 0, "ssss");
}

static void forked(struct scene *s)
{
	written(s);
	assert_int_equal(mm_fork(s->mm, &s->child), 0);
}

/* Shared memory whose pages are in the swap area. */
static void shared_swapped(struct scene *s)
{
	s->file = world_file(s->ctx, &(struct vm_file_info){ .kind = VM_FILE_SHMEM, .sized = true, .bytes = 4 * PAGE_SIZE });
	map_file(s->mm, 0, 4, RW, MAP_SHARED, s->file, 0);
	for (unsigned long i = 0; i < 4; i++)
		put_byte(s->mm, i, (unsigned char)(i + 1));
	assert_int_equal(mm_madvise(s->mm, AT(0), 4 * PAGE_SIZE, MADV_PAGEOUT), 0);
	pages_are(s->mm, 0, "....");
}

static void map_huge(struct scene *s, unsigned long flags)
{
	struct mm_mmap_args args = { .addr = AT(HUGE_AT), .len = 2 * PMD_SIZE, .prot = RW,
				     .flags = flags | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED };
	unsigned long out;

	assert_int_equal(mm_mmap(s->mm, &args, &out), 0);
}

static void huge_private(struct scene *s)
{
	map_huge(s, MAP_PRIVATE);
}

static void huge_shared(struct scene *s)
{
	map_huge(s, MAP_SHARED);
}

static void huge_forked(struct scene *s)
{
	map_huge(s, MAP_PRIVATE);
	put_byte(s->mm, HUGE_AT, 1);
	assert_int_equal(mm_fork(s->mm, &s->child), 0);
}

/* What is done ------------------------------------------------------------------------ */

static long map_populated(struct scene *s, unsigned long at, unsigned long bytes, unsigned long flags)
{
	struct mm_mmap_args args = { .addr = AT(at), .len = bytes, .prot = RW,
				     .flags = flags | MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_FIXED };
	unsigned long out;

	return mm_mmap(s->mm, &args, &out);
}

static long populate_small(struct scene *s)
{
	return map_populated(s, 0, 4 * PAGE_SIZE, 0);
}

static long populate_huge(struct scene *s)
{
	return map_populated(s, HUGE_AT, 2 * PMD_SIZE, MAP_HUGETLB);
}

static long lock(struct scene *s)
{
	return mm_mlock(s->mm, AT(PMD_PAGES - 2), 4 * PAGE_SIZE, 0);
}

static long advise(struct scene *s, int advice)
{
	return mm_madvise(s->mm, AT(0), 4 * PAGE_SIZE, advice);
}

static long populate_read(struct scene *s)
{
	return advise(s, MADV_POPULATE_READ);
}

static long populate_write(struct scene *s)
{
	return advise(s, MADV_POPULATE_WRITE);
}

static long dontneed(struct scene *s)
{
	return advise(s, MADV_DONTNEED);
}

static long may_go(struct scene *s)
{
	return advise(s, MADV_FREE);
}

static long cold(struct scene *s)
{
	return advise(s, MADV_COLD);
}

static long pageout(struct scene *s)
{
	return advise(s, MADV_PAGEOUT);
}

static long punch(struct scene *s)
{
	return advise(s, MADV_REMOVE);
}

static long guard(struct scene *s)
{
	return advise(s, MADV_GUARD_INSTALL);
}

static long read_first(struct scene *s)
{
	return touch(s->mm, 0, MM_READ);
}

static long write_first(struct scene *s)
{
	return touch(s->mm, 0, MM_WRITE);
}

static long read_beyond(struct scene *s)
{
	return touch(s->mm, 4, MM_READ) == MM_FAULT_BUS ? 0 : -1;
}

static long child_writes(struct scene *s)
{
	return touch(s->child, 0, MM_WRITE);
}

static long read_huge(struct scene *s)
{
	return touch(s->mm, HUGE_AT + 5, MM_READ);
}

static long write_huge(struct scene *s)
{
	return touch(s->mm, HUGE_AT + 5, MM_WRITE);
}

static const struct target targets[] = {
	{ "mmap that populates", nothing, populate_small, { -ENOMEM }, true, "AAAA" },
	{ "mmap that populates with huge pages", nothing, populate_huge, { -ENOMEM }, true, NULL },
	{ "mlock over two tables", two_tables, lock, { -ENOMEM }, false, NULL },
	{ "MADV_POPULATE_READ", anon, populate_read, { -ENOMEM }, false, "0000" },
	{ "MADV_POPULATE_WRITE", anon, populate_write, { -ENOMEM }, false, "AAAA" },
	{ "MADV_POPULATE_READ of a file", shared_file, populate_read, { -ENOMEM }, false, "ffff" },
	{ "MADV_POPULATE_WRITE of a file", shared_file, populate_write, { -ENOMEM }, false, "FFFF" },
	{ "MADV_POPULATE_WRITE of copies of a file", private_file, populate_write, { -ENOMEM }, false, "AAAA" },
	{ "MADV_POPULATE_WRITE from swap", swapped, populate_write, { -ENOMEM }, false, "AAAA" },
	{ "MADV_DONTNEED", written, dontneed, { 0 }, true, "...." },
	{ "MADV_FREE", written, may_go, { 0 }, true, NULL },
	{ "MADV_COLD", written, cold, { 0 }, true, "AAAA" },
	{ "MADV_PAGEOUT", written, pageout, { 0 }, true, NULL },
	{ "MADV_REMOVE", shared_file, punch, { 0 }, true, "...." },
	{ "MADV_GUARD_INSTALL", anon, guard, { -ENOMEM }, false, "gggg" },
	{ "MADV_GUARD_INSTALL over pages", written, guard, { -ENOMEM }, false, "gggg" },
	{ "a read", anon, read_first, { MM_FAULT_OOM }, false, "0..." },
	{ "a write", anon, write_first, { MM_FAULT_OOM }, false, "A..." },
	{ "a read of a file", shared_file, read_first, { MM_FAULT_OOM }, false, "f..." },
	{ "a write to a file", shared_file, write_first, { MM_FAULT_OOM }, false, "F..." },
	{ "a write to a copy of a file", private_file, write_first, { MM_FAULT_OOM }, false, "A..." },
	{ "a read beyond a file", short_file, read_beyond, { 0 }, true, "ffff." },
	{ "a read from swap", swapped, read_first, { MM_FAULT_OOM }, false, NULL },
	{ "a write to what is in swap", swapped, write_first, { MM_FAULT_OOM }, false, "Asss" },
	{ "a read of shared memory in swap", shared_swapped, read_first, { MM_FAULT_OOM }, false, "f..." },
	{ "a copy on write", forked, child_writes, { MM_FAULT_OOM }, false, "aaaa" },
	{ "a read of a huge page", huge_private, read_huge, { MM_FAULT_OOM, MM_FAULT_BUS }, false, NULL },
	{ "a write to a huge page", huge_private, write_huge, { MM_FAULT_OOM, MM_FAULT_BUS }, false, NULL },
	{ "a write to a shared huge page", huge_shared, write_huge, { MM_FAULT_OOM, MM_FAULT_BUS }, false, NULL },
	{ "a copy on write of a huge page", huge_forked, write_huge, { MM_FAULT_OOM, MM_FAULT_BUS }, false, NULL },
};

/* The sweep --------------------------------------------------------------------------- */

static void complain(void *arg, const char *line)
{
	++*(unsigned long *)arg;
	print_message("complaint: %s\n", line);
}

static void begin(struct scene *s, enum mm_geometry geometry)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 4096, .huge_pages = 4, .fault_around = 16,
					  .log = complain, .log_arg = &s->complaints };
	struct mm_options mm_opt = { .size = sizeof(mm_opt), .geometry = geometry, .task_size = 1UL << 38 };

	*s = (struct scene){ 0 };
	assert_int_equal(mm_context_create(&opt, &s->ctx), 0);
	assert_int_equal(mm_swapon(s->ctx, 64), 0);
	assert_int_equal(mm_create(s->ctx, &mm_opt, &s->mm), 0);
}

static void end(struct scene *s)
{
	struct platform_stats left;

	if (s->child)
		mmput(s->child);
	mmput(s->mm);
	vm_file_put(s->file);
	platform_read_stats(mm_context_platform(s->ctx), &left);
	assert_int_equal(left.frames + left.tables + left.swap_slots + left.vmas + left.anon_vmas + left.files, 0);
	assert_int_equal(mm_context_huge_promised(s->ctx), 0);
	mm_context_destroy(s->ctx);
	assert_int_equal(s->complaints, 0);
}

static bool is_answer(const struct target *t, long ret)
{
	if (!ret)
		return t->may_succeed;
	for (int i = 0; i < 3 && t->answers[i]; i++)
		if (ret == t->answers[i])
			return true;
	return false;
}

static void check(const struct scene *s)
{
	if (s->child)
		valid(s->ctx, s->mm, s->child);
	else
		valid(s->ctx, s->mm);
}

/* What a failure is not to change. Locked pages are counted when they are locked; that they are not there is told. */
static void same_mappings(const struct mm_counters *before, struct scene *s, const struct target *t, long ret, int n)
{
	struct mm_counters now;

	if (!ret)
		return;
	mm_read_counters(s->mm, &now);
	if (t->call == lock)
		now.locked_vm = before->locked_vm;
	if (t->call == lock && now.map_count == before->map_count)
		return;
	if (memcmp(before, &now, sizeof(now)))
		print_message("%s, allocation %d failing: mappings have changed\n", t->name, n);
	assert_memory_equal(before, &now, sizeof(now));
}

/* The @n-th allocation fails. False: there are not so many. */
static bool fail_one(const struct target *t, enum mm_geometry geometry, int n)
{
	struct mm_counters before;
	struct platform_stats was, now;
	struct platform *pf;
	struct scene s;
	long ret;

	begin(&s, geometry);
	pf = mm_context_platform(s.ctx);
	t->prepare(&s);
	mm_read_counters(s.mm, &before);
	platform_read_stats(pf, &was);
	platform_fail_nth(pf, n);
	ret = t->call(&s);
	platform_fail_nth(pf, 0);
	platform_read_stats(pf, &now);
	if (now.failed == was.failed) {
		assert_int_equal(ret, 0);
	} else {
		if (!is_answer(t, ret))
			print_message("%s, allocation %d failing: the answer is %ld\n", t->name, n, ret);
		assert_true(is_answer(t, ret));
		same_mappings(&before, &s, t, ret, n);
		check(&s);
		assert_int_equal(t->call(&s), 0);
	}
	assert_int_equal(mm_validate(s.mm), 0);
	if (t->pages)
		pages_are(s.mm, 0, t->pages);
	end(&s);
	return now.failed != was.failed;
}

static void every_allocation(void **state)
{
	unsigned long all = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		unsigned long points = 0;

		/* Every one on the first; a part on each of the others, where formats and depths alone differ. */
		for (int g = 0; g < 5; g++)
			for (int n = g ? g : 1; fail_one(&targets[i], world_geometries[g], n); n += g ? 12 : 1)
				points++;
		print_message("%s: %lu points\n", targets[i].name, points);
		all += points;
	}
	print_message("# note: %lu points failed, 0 differences\n", all);
	assert_true(all > 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation),
	};

	return cmocka_run_group_tests_name("populate sweep", tests, NULL, NULL);
}
