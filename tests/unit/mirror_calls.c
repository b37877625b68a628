/* SPDX-License-Identifier: MIT */
/* Names of calls, and how a call is printed. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "mirror.h"

static void names_are_unique_and_found_again(void **state)
{
	for (int i = 0; i < CALL_NR_KINDS; i++)
		assert_int_equal(call_kind_by_name(call_name((enum call_kind)i)), i);
}

static void other_spellings_are_known(void **state)
{
	assert_int_equal(call_kind_by_name("prlimit64"), CALL_SETRLIMIT);
	assert_int_equal(call_kind_by_name("clone3"), CALL_CLONE_VM);
	assert_int_equal(call_kind_by_name("shmat"), CALL_FOREIGN);
	assert_int_equal(call_kind_by_name("exit_group"), CALL_EXIT);
}

static void unknown_names_are_refused(void **state)
{
	assert_int_equal(call_kind_by_name("openat"), -1);
	assert_int_equal(call_kind_by_name(""), -1);
	assert_int_equal(call_kind_by_name("mmapx"), -1);
}

static void expect(const struct call *call, const char *text)
{
	char buf[512];

	assert_string_equal(call_format(call, buf, sizeof(buf)), text);
}

static void calls_are_printed_as_strace_does(void **state)
{
	struct call mmap_call = { .kind = CALL_MMAP, .returned = true, .ret = 0x7f0000000000,
				  .args = { 0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
					    (unsigned long)-1, 0 } };
	struct call none = { .kind = CALL_MPROTECT, .returned = true, .args = { 0x1000, 4096, 0 } };
	struct call odd = { .kind = CALL_MPROTECT, .returned = true, .ret = -EINVAL,
			    .args = { 0x1000, 1, 0x85 } };
	struct call move = { .kind = CALL_MREMAP, .returned = true, .ret = 0x9000,
			     .args = { 0x1000, 4096, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, 0x9000 } };
	struct call advice = {.kind = CALL_MADVISE, .returned = true, .args = {0x1000, 4096, MADV_DONTNEED}};

	expect(&mmap_call, "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = "
			   "0x7f0000000000");
	expect(&none, "mprotect(0x1000, 4096, PROT_NONE) = 0");
	expect(&odd, "mprotect(0x1000, 1, PROT_READ|PROT_EXEC|0x80) = -1 EINVAL");
	expect(&move, "mremap(0x1000, 4096, 8192, MREMAP_MAYMOVE|MREMAP_FIXED, 0x9000) = 0x9000");
	expect(&advice, "madvise(0x1000, 4096, MADV_DONTNEED) = 0");
}

static void a_call_cut_off_has_no_result(void **state)
{
	struct call call = { .kind = CALL_MUNMAP, .args = { 0x1000, 4096 } };

	expect(&call, "munmap(0x1000, 4096) = ?");
}

static void the_file_is_named(void **state)
{
	struct call call = { .kind = CALL_MMAP, .returned = true, .ret = -EACCES,
			     .args = { 0, 4096, PROT_READ, MAP_SHARED, 3, 0x2000 } };

	call.file.known = true;
	strcpy(call.file.name, "/bin/x");
	call.file.info.name = call.file.name;
	expect(&call, "mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3</bin/x>, 0x2000) = -1 EACCES");
}

/* The buffer is never written beyond, and always ends. */
static void a_short_buffer_cuts(void **state)
{
	struct call call = { .kind = CALL_MUNMAP, .returned = true, .args = { 0x1000, 4096 } };
	static const char whole[] = "munmap(0x1000, 4096) = 0";
	char buf[64];

	for (size_t len = 1; len < sizeof(whole) + 4; len++) {
		size_t want = len - 1 < sizeof(whole) - 1 ? len - 1 : sizeof(whole) - 1;

		memset(buf, '#', sizeof(buf));
		call_format(&call, buf, len);
		assert_int_equal(strlen(buf), want);
		assert_memory_equal(buf, whole, want);
		assert_int_equal(buf[len], '#');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_unique_and_found_again),
		cmocka_unit_test(other_spellings_are_known),
		cmocka_unit_test(unknown_names_are_refused),
		cmocka_unit_test(calls_are_printed_as_strace_does),
		cmocka_unit_test(a_call_cut_off_has_no_result),
		cmocka_unit_test(the_file_is_named),
		cmocka_unit_test(a_short_buffer_cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
