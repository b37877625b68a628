/* SPDX-License-Identifier: MIT */
/* Fork and copy on write: what parent and child share, and who gets a copy when. */
#include "support/world.h"

static struct mm_struct *fork_of(struct mm_struct *mm)
{
	struct mm_struct *child;

	assert_int_equal(mm_fork(mm, &child), 0);
	return child;
}

static unsigned long frame_of(struct mm_struct *mm, unsigned long page)
{
	struct mm_page_info info = info_of(mm, page);

	assert_true(info.present);
	return info.frame;
}

/*
 *   parent  |A0.A|   fork   |a0.a|   child writes the first   |a0.a|
 *   child                   |a0.a|                            |A0.a|
 */
static void shared_until_written(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;

	map_anon(mm, 0, 4, RW);
	put_byte(mm, 0, 1);
	touch(mm, 1, MM_READ);
	put_byte(mm, 3, 3);
	child = fork_of(mm);
	pages_are(mm, 0, "a0.a");
	pages_are(child, 0, "a0.a");
	assert_int_equal(frame_of(mm, 0), frame_of(child, 0));
	assert_false(info_of(mm, 0).exclusive);
	assert_int_equal(get_mm_counter(child->pt, MM_ANONPAGES), 2);
	valid(world_of(state)->ctx, mm, child);

	put_byte(child, 0, 9);
	pages_are(child, 0, "A0.a");
	pages_are(mm, 0, "a0.a");
	assert_int_equal(get_byte(mm, 0), 1);
	assert_int_equal(get_byte(child, 0), 9);
	assert_int_equal(get_byte(child, 3), 3);
	valid(world_of(state)->ctx, mm, child);
	mmput(child);
}

/* F4. When the child has gone, the parent takes its pages back where they are. */
static void taken_back_without_a_copy(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;
	unsigned long frame;

	map_anon(mm, 0, 2, RW);
	put_byte(mm, 0, 1);
	frame = frame_of(mm, 0);
	child = fork_of(mm);
	mmput(child);
	pages_are(mm, 0, "a.");
	put_byte(mm, 0, 2);
	pages_are(mm, 0, "A.");
	assert_int_equal(frame_of(mm, 0), frame);

	/* The same when the child has copied: the last one left owns the page. */
	child = fork_of(mm);
	put_byte(child, 0, 3);
	put_byte(mm, 0, 4);
	assert_int_equal(frame_of(mm, 0), frame);
	assert_int_equal(get_byte(child, 0), 3);
	assert_int_equal(get_byte(mm, 0), 4);
	mmput(child);
}

/* Three generations, each of which sees what it wrote, else what there was when it was forked. */
static void generations(void **state)
{
	struct mm_struct *a = world_of(state)->mm, *b, *c;

	map_anon(a, 0, 3, RW);
	put_byte(a, 0, 10);
	put_byte(a, 1, 11);
	put_byte(a, 2, 12);
	b = fork_of(a);
	put_byte(b, 1, 21);
	c = fork_of(b);
	put_byte(c, 2, 32);
	put_byte(a, 0, 40);
	put_byte(b, 2, 52);
	valid(world_of(state)->ctx, a, b, c);
	assert_int_equal(get_byte(a, 0), 40);
	assert_int_equal(get_byte(b, 0), 10);
	assert_int_equal(get_byte(c, 0), 10);
	assert_int_equal(get_byte(a, 1), 11);
	assert_int_equal(get_byte(c, 1), 21);
	assert_int_equal(get_byte(a, 2), 12);
	assert_int_equal(get_byte(b, 2), 52);
	assert_int_equal(get_byte(c, 2), 32);
	mmput(b);
	assert_int_equal(get_byte(c, 1), 21);
	mmput(c);
}

/* What was never written is left to faults, and so are pages of shared files. */
static void left_to_faults(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;
	struct vm_file *file = world_file(world_of(state)->ctx, NULL);

	map_anon(mm, 0, 2, RW);
	touch(mm, 0, MM_READ);
	map_file(mm, 4, 2, RW, MAP_SHARED, file, 0);
	put_byte(mm, 4, 'X');
	child = fork_of(mm);
	pages_are(child, 0, "......");
	assert_int_equal(get_byte(child, 4), 'X');
	put_byte(child, 4, 'Y');
	assert_int_equal(get_byte(mm, 4), 'Y');
	mmput(child);
	vm_file_put(file);
}

/* A private mapping of a file, written in part: pages of the file come along with private ones. */
static void private_file(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;
	struct vm_file *file = world_file(world_of(state)->ctx, NULL);

	map_file(mm, 0, 3, RW, MAP_PRIVATE, file, 0);
	put_byte(mm, 0, 'X');
	touch(mm, 1, MM_READ);
	child = fork_of(mm);
	assert_int_equal(info_of(child, 0).file_or_shared, false);
	assert_int_equal(info_of(child, 1).file_or_shared, true);
	put_byte(child, 1, 'Z');
	assert_int_equal(get_byte(mm, 1), 'b');
	assert_int_equal(get_byte(child, 0), 'X');
	valid(world_of(state)->ctx, mm, child);
	mmput(child);
	vm_file_put(file);
}

/* Guard markers are inherited; what is not to be inherited leaves no page. */
static void what_comes_along(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;

	map_anon(mm, 0, 8, RW);
	put_byte(mm, 0, 1);
	put_byte(mm, 2, 2);
	put_byte(mm, 4, 3);
	assert_int_equal(mm_madvise(mm, AT(6), PAGE_SIZE, MADV_GUARD_INSTALL), 0);
	assert_int_equal(mm_madvise(mm, AT(2), 2 * PAGE_SIZE, MADV_DONTFORK), 0);
	assert_int_equal(mm_madvise(mm, AT(4), 2 * PAGE_SIZE, MADV_WIPEONFORK), 0);
	child = fork_of(mm);
	pages_are(child, 0, "a.....g.");
	pages_are(mm, 0, "a.A.A.g.");
	assert_int_equal(touch(child, 6, MM_READ), MM_FAULT_MAPERR);
	assert_int_equal(touch(child, 2, MM_READ), MM_FAULT_MAPERR);
	assert_int_equal(get_byte(child, 4), 0);
	mmput(child);
}

/*
 * Observed: where a guard was ever installed the child gets all entries, of files and shared memory too,
 * though
 * nothing was written.
 */
static void guards_come_along(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;
	struct vm_file *file = world_file(world_of(state)->ctx, NULL);

	map_file(mm, 0, 4, RW, MAP_PRIVATE, file, 0);
	map_file(mm, 4, 4, RW, MAP_SHARED, file, 0);
	map_anon(mm, 8, 4, RW);
	for (unsigned long at = 0; at < 12; at += 4) {
		touch(mm, at + 1, MM_READ);
		assert_int_equal(mm_madvise(mm, AT(at), PAGE_SIZE, MADV_GUARD_INSTALL), 0);
	}
	assert_int_equal(mm_madvise(mm, AT(8), PAGE_SIZE, MADV_GUARD_REMOVE), 0);
	assert_int_equal(mm_fork(mm, &child), 0);
	pages_are(child, 0, "gf..");
	pages_are(child, 4, "gf..");
	pages_are(child, 8, ".0..");
	assert_int_equal(touch(child, 4, MM_READ), MM_FAULT_MAPERR);
	put_byte(child, 5, 'x');
	assert_int_equal(get_byte(mm, 5), 'x');
	valid(world_of(state)->ctx, mm, child);
	mmput(child);
	vm_file_put(file);
}

/* Who pinned a page goes on sharing it with the parent: the child has a copy from the start. */
static void pinned(void **state)
{
	struct world *p = world_of(state);
	struct mm_struct *mm = p->mm, *child;
	unsigned long frame;
	unsigned char *bytes;

	map_anon(mm, 0, 2, RW);
	put_byte(mm, 0, 1);
	put_byte(mm, 1, 2);
	assert_int_equal(mm_pin(mm, AT(0), MM_WRITE, &frame), 0);
	bytes = mm_frame_bytes(p->ctx, frame);
	child = fork_of(mm);
	pages_are(mm, 0, "Aa");
	assert_int_not_equal(frame_of(child, 0), frame);
	assert_int_equal(frame_of(mm, 0), frame);
	put_byte(mm, 0, 5);
	assert_int_equal(bytes[0], 5);
	bytes[0] = 6;
	assert_int_equal(get_byte(mm, 0), 6);
	assert_int_equal(get_byte(child, 0), 1);
	valid(p->ctx, mm, child);
	mmput(child);
	mm_unpin(p->ctx, frame, true);
}

/* Pinning a page that a child shares parts it from the child first. */
static void pinning_what_is_shared(void **state)
{
	struct world *p = world_of(state);
	struct mm_struct *mm = p->mm, *child;
	unsigned long frame;

	map_anon(mm, 0, 1, RW);
	put_byte(mm, 0, 1);
	child = fork_of(mm);
	assert_int_equal(mm_pin(child, AT(0), MM_READ, &frame), 0);
	assert_int_equal(frame_of(child, 0), frame);
	assert_int_not_equal(frame_of(mm, 0), frame);
	put_byte(mm, 0, 2);
	assert_int_equal(*(unsigned char *)mm_frame_bytes(p->ctx, frame), 1);
	put_byte(child, 0, 3);
	assert_int_equal(*(unsigned char *)mm_frame_bytes(p->ctx, frame), 3);
	/* It lives on when it is unmapped. */
	mmput(child);
	assert_int_equal(*(unsigned char *)mm_frame_bytes(p->ctx, frame), 3);
	mm_unpin(p->ctx, frame, false);
}

/*
 * F4. Every allocation of a fork failing in turn: the parent's pages are where they were, its next writes
 * copy
 * nothing, and then a fork succeeds.
 */
static void fork_without_memory(void **state)
{
	struct world *p = world_of(state);
	struct platform *pf = mm_context_platform(p->ctx);
	struct mm_struct *mm = p->mm, *child = NULL;
	unsigned long frame[4], pin, used;
	int n, i, err = -1;

	for (i = 0; i < 4; i++) {
		map_anon(mm, i * 2000, 2, RW);
		put_byte(mm, i * 2000, (unsigned char)i);
		frame[i] = frame_of(mm, i * 2000);
	}
	assert_int_equal(mm_pin(mm, AT(2000), MM_WRITE, &pin), 0);
	for (n = 1; err; n++) {
		pf_rcu_barrier();
		used = frame_pool_used(p->ctx->frames);
		platform_fail_nth(pf, n);
		err = mm_fork(mm, &child);
		platform_fail_nth(pf, 0);
		if (err) {
			pf_rcu_barrier();
			assert_int_equal(err, -ENOMEM);
			assert_int_equal(frame_pool_used(p->ctx->frames), used);
		}
		valid(p->ctx, mm, err ? NULL : child);
		for (i = 0; err && i < 4; i++) {
			assert_int_equal(get_byte(mm, i * 2000), i);
			put_byte(mm, i * 2000, (unsigned char)i);
			assert_int_equal(frame_of(mm, i * 2000), frame[i]);
		}
	}
	print_message("# note: %d allocations of a fork made to fail\n", n - 2);
	assert_true(n > 10);
	for (i = 0; i < 4; i++)
		assert_int_equal(get_byte(child, i * 2000), i);
	mmput(child);
	mm_unpin(p->ctx, pin, false);
}

/* Write access given by mprotect is no permission to write to what others share. */
static void protection_and_copies(void **state)
{
	struct mm_struct *mm = world_of(state)->mm, *child;

	map_anon(mm, 0, 2, RW);
	put_byte(mm, 0, 1);
	child = fork_of(mm);
	assert_int_equal(mm_mprotect(child, AT(0), 2 * PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(mm_mprotect(child, AT(0), 2 * PAGE_SIZE, RW), 0);
	put_byte(child, 0, 2);
	assert_int_equal(get_byte(mm, 0), 1);
	assert_int_equal(mm_mprotect(mm, AT(0), 2 * PAGE_SIZE, PROT_NONE), 0);
	assert_int_equal(touch(mm, 0, MM_READ), MM_FAULT_ACCERR);
	assert_int_equal(mm_mprotect(mm, AT(0), 2 * PAGE_SIZE, RW), 0);
	assert_int_equal(get_byte(mm, 0), 1);
	put_byte(mm, 0, 3);
	assert_int_equal(get_byte(child, 0), 2);
	valid(world_of(state)->ctx, mm, child);
	mmput(child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		page_test(shared_until_written), page_test(taken_back_without_a_copy), page_test(generations),
		page_test(left_to_faults), page_test(private_file), page_test(what_comes_along),
		page_test(guards_come_along), page_test(pinned),
		page_test(pinning_what_is_shared), page_test(fork_without_memory), page_test(protection_and_copies),
	};

	return cmocka_run_group_tests_name("cow", tests, NULL, NULL);
}
