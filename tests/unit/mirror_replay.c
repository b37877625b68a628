/* SPDX-License-Identifier: MIT */
/* The mirror without a kernel: the calls and their results are all there is. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "mirror.h"

#define PID 100
#define CHILD 101

#define START                                                                                  \
	"00400000-00401000 r-xp 00000000 fe:00 7                                  /bin/x\n"     \
	"00500000-00521000 rw-p 00000000 00:00 0                                  [heap]\n"     \
	"7f0000000000-7f0000001000 r-xp 00000000 fe:00 8                          /lib/ld.so\n" \
	"7ff000000000-7ff000022000 rw-p 00000000 00:00 0                          [stack]\n"

struct replay {
	struct mirror *m;
	char *said;
	size_t said_len;
	FILE *report;
};

static void begin(struct replay *r, const char *layout)
{
	struct mirror_options opt = { .verify = MIRROR_VERIFY_NONE, .replay = true };
	struct map map = { 0 };

	memset(r, 0, sizeof(*r));
	r->report = open_memstream(&r->said, &r->said_len);
	assert_non_null(r->report);
	opt.report = r->report;
	assert_int_equal(mirror_create(&opt, &r->m), 0);
	assert_int_equal(map_parse(&map, layout, strlen(layout), "initial"), 0);
	assert_int_equal(mirror_exec(r->m, PID, &map, NULL), 0);
	map_free(&map);
}

static void finish(struct replay *r)
{
	mirror_destroy(r->m);
	fclose(r->report);
	free(r->said);
}

static struct mirror_stats stats_of(struct replay *r)
{
	struct mirror_stats stats;

	mirror_read_stats(r->m, &stats);
	return stats;
}

/* The map of the process at @index must be @want. */
static void expect_map(struct replay *r, size_t index, const char *want)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(mirror_print_maps(r->m, index, out), 0);
	fclose(out);
	assert_string_equal(text, want);
	free(text);
}

static struct call call_of(enum call_kind kind, pid_t pid, unsigned long a, unsigned long b, unsigned long c,
			   long ret)
{
	return (struct call){ .kind = kind, .pid = pid, .tid = pid, .args = { a, b, c }, .ret = ret,
			      .returned = true };
}

static struct call map_low(pid_t pid, unsigned long len, long ret)
{
	struct call call = call_of(CALL_MMAP, pid, 0, len, PROT_NONE, ret);

	call.args[3] = MAP_PRIVATE | MAP_ANONYMOUS;
	call.args[4] = (unsigned long)-1;
	return call;
}

#define LOW "00010000-00012000 ---p 00000000 00:00 0 \n"

static void the_initial_map_is_printed_as_it_was(void **state)
{
	struct replay r;

	begin(&r, START);
	expect_map(&r, 0, START);
	finish(&r);
}

static void calls_change_the_map(void **state)
{
	struct call map = map_low(PID, 0x2000, 0x10000);
	struct call grow = call_of(CALL_BRK, PID, 0x522000, 0, 0, 0x522000);
	struct replay r;

	begin(&r, START);
	assert_int_equal(mirror_call(r.m, &map), 0);
	assert_int_equal(mirror_call(r.m, &grow), 0);
	expect_map(&r, 0,
		   LOW "00400000-00401000 r-xp 00000000 fe:00 7                                  /bin/x\n"
		   "00500000-00522000 rw-p 00000000 00:00 0                                  [heap]\n"
		   "7f0000000000-7f0000001000 r-xp 00000000 fe:00 8                          /lib/ld.so\n"
		   "7ff000000000-7ff000022000 rw-p 00000000 00:00 0                          [stack]\n");
	finish(&r);
}

static void the_last_map_outlives_the_process(void **state)
{
	struct call born = call_of(CALL_FORK, PID, 0, 0, 0, CHILD);
	struct call map = map_low(CHILD, 0x2000, 0x10000);
	struct call gone = call_of(CALL_EXIT, CHILD, 0, 0, 0, 0);
	struct replay r;

	begin(&r, START);
	mirror_call(r.m, &born);
	mirror_call(r.m, &map);
	mirror_call(r.m, &gone);
	assert_null(mirror_mm(r.m, CHILD));
	assert_int_equal(mirror_nr_processes(r.m), 2);
	assert_int_equal(mirror_process_pid(r.m, 1), CHILD);
	expect_map(&r, 0, START);
	expect_map(&r, 1, LOW START);
	finish(&r);
}

/* A child that shared memory until it ended keeps the map of that moment. */
static void the_last_map_of_a_vfork_child_is_its_own(void **state)
{
	struct call born = call_of(CALL_VFORK, PID, 0, 0, 0, CHILD);
	struct call gone = call_of(CALL_EXIT, CHILD, 0, 0, 0, 0);
	struct call map = map_low(PID, 0x2000, 0x10000);
	struct replay r;

	begin(&r, START);
	mirror_call(r.m, &born);
	mirror_call(r.m, &gone);
	mirror_call(r.m, &map);
	expect_map(&r, 0, LOW START);
	expect_map(&r, 1, START);
	finish(&r);
}

/* An id that comes again is another process. */
static void an_id_used_again_is_a_new_process(void **state)
{
	struct call born = call_of(CALL_FORK, PID, 0, 0, 0, CHILD);
	struct call gone = call_of(CALL_EXIT, CHILD, 0, 0, 0, 0);
	struct call map = map_low(CHILD, 0x2000, 0x10000);
	struct replay r;

	begin(&r, START);
	mirror_call(r.m, &born);
	mirror_call(r.m, &gone);
	mirror_call(r.m, &born);
	mirror_call(r.m, &map);
	assert_int_equal(mirror_nr_processes(r.m), 3);
	expect_map(&r, 1, START);
	expect_map(&r, 2, LOW START);
	finish(&r);
}

/* How much memory the machine had is not in a trace; its refusals are, and stand. */
static void refusals_for_want_of_memory_are_taken_as_given(void **state)
{
	struct call map = map_low(PID, 0x2000, -ENOMEM);
	struct call grow = call_of(CALL_BRK, PID, 0x600000, 0, 0, 0x521000);
	struct replay r;

	begin(&r, START);
	assert_int_equal(mirror_call(r.m, &map), 0);
	assert_int_equal(mirror_call(r.m, &grow), 0);
	assert_int_equal(stats_of(&r).divergences, 0);
	assert_int_equal(stats_of(&r).failed_calls, 1);
	expect_map(&r, 0, START);
	finish(&r);
}

static void another_result_is_a_divergence(void **state)
{
	struct call call = call_of(CALL_MPROTECT, PID, 0x10000, 0x1000, PROT_READ, 0);
	struct replay r;

	begin(&r, START);
	assert_int_equal(mirror_call(r.m, &call), 1);
	assert_int_equal(stats_of(&r).divergences, 1);
	finish(&r);
}

/* Where a trace began in the middle and no map was given, what is missing proves nothing. */
static void without_a_layout_nothing_is_judged(void **state)
{
	struct call call = call_of(CALL_MPROTECT, PID, 0x10000, 0x1000, PROT_READ, 0);
	struct replay r;

	begin(&r, "");
	assert_int_equal(mirror_call(r.m, &call), 0);
	assert_int_equal(stats_of(&r).divergences, 0);
	finish(&r);
}

static void memory_of_other_calls_is_noted_once(void **state)
{
	struct call call = call_of(CALL_FOREIGN, PID, 1, 0, 0, 0x7e0000000000);
	const char *first;
	struct replay r;

	begin(&r, START);
	call.text = "shmat(1, NULL, 0) = 0x7e0000000000";
	mirror_call(r.m, &call);
	mirror_call(r.m, &call);
	fflush(r.report);
	first = strstr(r.said, call.text);
	assert_non_null(first);
	assert_null(strstr(first + 1, call.text));
	expect_map(&r, 0, START);
	finish(&r);
}

static void a_map_told_is_taken_over(void **state)
{
	struct map map = { 0 };
	struct replay r;

	begin(&r, START);
	assert_int_equal(map_parse(&map, LOW START, strlen(LOW START), "told"), 0);
	assert_int_equal(mirror_adopt_map(r.m, PID, &map), 0);
	expect_map(&r, 0, LOW START);
	assert_int_equal(stats_of(&r).adopted, 1);
	map_free(&map);
	finish(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_initial_map_is_printed_as_it_was),
		cmocka_unit_test(calls_change_the_map),
		cmocka_unit_test(the_last_map_outlives_the_process),
		cmocka_unit_test(the_last_map_of_a_vfork_child_is_its_own),
		cmocka_unit_test(an_id_used_again_is_a_new_process),
		cmocka_unit_test(refusals_for_want_of_memory_are_taken_as_given),
		cmocka_unit_test(another_result_is_a_divergence),
		cmocka_unit_test(without_a_layout_nothing_is_judged),
		cmocka_unit_test(memory_of_other_calls_is_noted_once),
		cmocka_unit_test(a_map_told_is_taken_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
