/* SPDX-License-Identifier: MIT */
/* Protection keys: promise 1. */
#define _GNU_SOURCE
#include "support/strip.h"

#include <errno.h>
#include <sys/mman.h>

static bool no_keys(void **state)
{
	if (((struct diff *)*state)->has_keys)
		return false;
	print_message("this machine has no protection keys\n");
	return true;
}

static long key_protect(void **state, unsigned long at, unsigned long count, unsigned long prot, int key)
{
	return strip_do(state, DIFF_PKEY_MPROTECT, PG(at), PAGES(count), prot, (unsigned long)(long)key);
}

#define RW (PROT_READ | PROT_WRITE)

/* Keys are given out from the lowest, and one that was given back is the next. */
static void lowest_first(void **state)
{
	int key;

	if (no_keys(state))
		skip();
	for (key = 1; key < 16; key++)
		assert_int_equal(strip_do(state, DIFF_PKEY_ALLOC, 0, 0), key);
	assert_int_equal(strip_do(state, DIFF_PKEY_ALLOC, 0, 0), -ENOSPC);
	assert_int_equal(strip_do(state, DIFF_PKEY_FREE, 3), 0);
	assert_int_equal(strip_do(state, DIFF_PKEY_FREE, 3), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_PKEY_ALLOC, 0, 0), 3);
	assert_int_equal(strip_do(state, DIFF_PKEY_FREE, 16), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_PKEY_FREE, ~0UL), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_PKEY_ALLOC, 1, 0), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_PKEY_ALLOC, 0, 4), -EINVAL);
}

/* Mappings with different keys stay apart.
 *
 *   before  |wwwwww|
 *   key       |--|
 *   after   |ww|ww|ww|   and one again with key 0
 */
static void apart(void **state)
{
	if (no_keys(state))
		skip();
	strip_build(state, "|wwwwww|");
	strip_do(state, DIFF_PKEY_ALLOC, 0, 0);
	assert_int_equal(key_protect(state, 2, 2, RW, 1), 0);
	strip_is(state, "|ww|ww|ww|");
	assert_int_equal(strip_key(state, 2), 1);
	assert_int_equal(strip_key(state, 4), 0);
	/* mprotect leaves the key alone, whatever becomes of it. */
	assert_int_equal(strip_do(state, DIFF_PKEY_FREE, 1), 0);
	assert_int_equal(strip_protect(state, 0, 6, 'r'), 0);
	strip_is(state, "|rr|rr|rr|");
	assert_int_equal(strip_key(state, 2), 1);
	assert_int_equal(key_protect(state, 2, 2, PROT_READ, 0), 0);
	strip_is(state, "|rrrrrr|");
}

static void refused(void **state)
{
	if (no_keys(state))
		skip();
	strip_build(state, "|wwww|");
	assert_int_equal(key_protect(state, 0, 2, PROT_READ, 1), -EINVAL);
	assert_int_equal(key_protect(state, 0, 2, PROT_READ, 16), -EINVAL);
	assert_int_equal(key_protect(state, 0, 2, PROT_READ, -2), -EINVAL);
	strip_is(state, "|wwww|");
	/* The range is asked about before the key, and the key before what is mapped. */
	assert_int_equal(key_protect(state, 0, 0, PROT_READ, 7), 0);
	assert_int_equal(strip_do(state, DIFF_PKEY_MPROTECT, PG(0), -4096UL, PROT_READ, 7), -ENOMEM);
	assert_int_equal(key_protect(state, 20, 2, PROT_READ, 7), -EINVAL);
	assert_int_equal(key_protect(state, 20, 2, PROT_READ, -1), -ENOMEM);
}

/* What may be executed alone has a key of its own, which nobody may use or free; it loses it with that. */
static void execution_alone(void **state)
{
	if (no_keys(state))
		skip();
	strip_build(state, "|eeeeee|");
	assert_int_equal(strip_do(state, DIFF_MPROTECT, PG(2), PAGES(2), PROT_EXEC), 0);
	strip_is(state, "|ee|oo|ee|");
	assert_int_equal(strip_key(state, 2), 1);
	assert_int_equal(strip_read(state, 2), MM_FAULT_PKUERR);
	assert_int_equal(strip_write(state, 2), MM_FAULT_PKUERR);
	assert_int_equal(strip_do(state, DIFF_EXEC, PG(2)), MM_FAULT_OK);
	assert_int_equal(key_protect(state, 0, 2, PROT_READ, 1), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_PKEY_FREE, 1), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_PKEY_ALLOC, 0, 0), 2);
	assert_int_equal(strip_protect(state, 2, 2, 'e'), 0);
	strip_is(state, "|eeeeee|");
	/* A mapping that was refused has taken it into use all the same. */
	assert_int_equal(strip_mmap(state, 10, 1, PROT_EXEC, MAP_PRIVATE) > 0, 1);
	assert_int_equal(strip_key(state, 10), 1);
}

static void refused_takes_it_too(void **state)
{
	if (no_keys(state))
		skip();
	assert_int_equal(strip_do(state, DIFF_MMAP, PG(0) + 1, PAGES(1), PROT_EXEC, MAP_PRIVATE | MAP_FIXED), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_PKEY_ALLOC, 0, 0), 2);
}

/* Rights are asked at reads and writes, not at execution; the key is named where both forbid it. */
static void touches(void **state)
{
	if (no_keys(state))
		skip();
	strip_build(state, "|xx|rr|");
	assert_int_equal(strip_do(state, DIFF_PKEY_ALLOC, 0, MM_PKEY_DISABLE_WRITE), 1);
	assert_int_equal(strip_do(state, DIFF_PKEY_ALLOC, 0, MM_PKEY_DISABLE_ACCESS), 2);
	key_protect(state, 0, 1, RW | PROT_EXEC, 1);
	key_protect(state, 1, 1, RW | PROT_EXEC, 2);
	key_protect(state, 2, 2, PROT_READ, 1);
	assert_int_equal(strip_read(state, 0), MM_FAULT_OK);
	assert_int_equal(strip_write(state, 0), MM_FAULT_PKUERR);
	assert_int_equal(strip_read(state, 1), MM_FAULT_PKUERR);
	assert_int_equal(strip_do(state, DIFF_EXEC, PG(1)), MM_FAULT_OK);
	assert_int_equal(strip_write(state, 2), MM_FAULT_PKUERR);
	assert_int_equal(strip_do(state, DIFF_EXEC, PG(2)), MM_FAULT_ACCERR);
	strip_is(state, "|x|x|rr|");
	/* The rights stay in the register when the key goes, and are overwritten when it comes again. */
	strip_do(state, DIFF_PKEY_FREE, 1);
	assert_int_equal(strip_write(state, 0), MM_FAULT_PKUERR);
	strip_do(state, DIFF_PKEY_ALLOC, 0, 0);
	assert_int_equal(strip_write(state, 0), MM_FAULT_OK);
}

/* Locking and populating touch as the program does. */
static void populating(void **state)
{
	if (no_keys(state))
		skip();
	strip_build(state, "|wwww|");
	strip_do(state, DIFF_PKEY_ALLOC, 0, MM_PKEY_DISABLE_WRITE);
	key_protect(state, 0, 2, RW, 1);
	assert_int_equal(strip_advise(state, 0, 2, 22 /* POPULATE_READ */), 0);
	assert_int_equal(strip_advise(state, 0, 2, 23 /* POPULATE_WRITE */), -EINVAL);
	assert_int_equal(strip_do(state, DIFF_MLOCK, PG(0), PAGES(4), 0), -ENOMEM);
	strip_is(state, "|kk|kk|");
	assert_int_equal(strip_do(state, DIFF_MLOCKALL, MCL_CURRENT), 0);
	strip_is(state, "|kk|KK|");
}

/* Sealed memory that a key makes unwritable refuses to be discarded. */
static void sealed(void **state)
{
	if (no_keys(state))
		skip();
	strip_build(state, "|ww|");
	strip_do(state, DIFF_PKEY_ALLOC, 0, MM_PKEY_DISABLE_WRITE);
	key_protect(state, 0, 2, RW, 1);
	strip_do(state, DIFF_MSEAL, PG(0), PAGES(2), 0);
	assert_int_equal(strip_advise(state, 0, 2, MADV_DONTNEED), -EPERM);
	strip_do(state, DIFF_PKEY_FREE, 1);
	strip_do(state, DIFF_PKEY_ALLOC, 0, 0);
	assert_int_equal(strip_advise(state, 0, 2, MADV_DONTNEED), 0);
}

/* A child has its parent's keys and rights. */
static void child(void **state)
{
	if (no_keys(state))
		skip();
	strip_build(state, "|ww|ee|");
	strip_do(state, DIFF_PKEY_ALLOC, 0, MM_PKEY_DISABLE_WRITE);
	strip_do(state, DIFF_MPROTECT, PG(2), PAGES(2), PROT_EXEC);
	key_protect(state, 0, 2, RW, 1);
	strip_fork(state);
	assert_int_equal(strip_write_in(state, 1, 0), MM_FAULT_PKUERR);
	assert_int_equal(strip_do_in(state, 1, DIFF_PKEY_FREE, 2), -EINVAL);
	assert_int_equal(strip_do_in(state, 1, DIFF_PKEY_ALLOC, 0, 0), 3);
	assert_int_equal(strip_do(state, DIFF_PKEY_ALLOC, 0, 0), 3);
}

/* A processor without keys: -1 is all that can be asked for. */
static void without(void **state)
{
	struct mm_context_options opt = { .size = sizeof(opt) };
	struct diff *d = *state;

	assert_int_equal(diff_close(d), 0);
	assert_int_equal(diff_open_model(d, &opt, NULL), 0);
	strip_build(state, "|ww|");
	assert_int_equal(strip_do(state, DIFF_PKEY_ALLOC, 0, 0), -ENOSPC);
	assert_int_equal(key_protect(state, 0, 2, PROT_READ, 0), -EINVAL);
	assert_int_equal(key_protect(state, 0, 2, PROT_EXEC, -1), 0);
	assert_int_equal(strip_key(state, 0), 0);
	assert_int_equal(strip_read(state, 0), MM_FAULT_OK);
	opt.pkeys = 17;
	assert_int_equal(mm_context_create(&opt, &(struct mm_context *){ NULL }), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		strip_test(lowest_first),
		strip_test(apart),
		strip_test(refused),
		strip_test(execution_alone),
		strip_test(refused_takes_it_too),
		strip_test(touches),
		strip_test(populating),
		strip_test_plain(sealed),
		strip_test(child),
		strip_test_model(without),
	};

	return cmocka_run_group_tests_name("pkey", tests, NULL, NULL);
}
