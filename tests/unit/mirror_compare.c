/* SPDX-License-Identifier: MIT */
/*
 * The mirror beside a kernel of our own making: the test says what the kernel
 * shows after each call, and the mirror says what it makes of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/personality.h>
#include <linux/sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "mirror.h"

#define PID 100
#define CHILD 101

/* Lines of smaps. Addresses are short, so that a test can be read. */
#define PROGRAM "00400000-00401000 r-xp 00000000 fe:00 7 /bin/x\nVmFlags: rd ex mr mw me\n"
#define LOADER "7f0000000000-7f0000001000 r-xp 00000000 fe:00 8 /lib/ld.so\nVmFlags: rd ex mr mw me\n"
#define STACK_AT(start) start "-7ff000022000 rw-p 00000000 00:00 0 [stack]\nAnonymous: 12 kB\n" \
			"VmFlags: rd wr mr mw me gd ac\n"
#define STACK STACK_AT("7ff000000000")
#define RW(range) range " rw-p 00000000 00:00 0 \nAnonymous: 0 kB\nVmFlags: rd wr mr mw me ac\n"
#define RW_WRITTEN(range) range " rw-p 00000000 00:00 0 \nAnonymous: 4 kB\nVmFlags: rd wr mr mw me ac\n"
#define NONE(range) range " ---p 00000000 00:00 0 \nVmFlags: mr mw me\n"

struct fake {
	struct mirror *m;
	const char *shows;	/* smaps; NULL: the process has gone */
	unsigned int reads, smaps_reads;
	unsigned int drains;
	unsigned long late_fault;	/* told when asked for; 0: none */
	unsigned int taken;		/* maps that were taken over */
	char *said;
	size_t said_len;
	FILE *report;
};

static int fake_read(void *arg, pid_t pid, bool smaps, struct map *map)
{
	struct fake *f = arg;

	f->reads++;
	f->smaps_reads += smaps;
	if (!f->shows)
		return -ESRCH;
	return map_parse(map, f->shows, strlen(f->shows), "fake");
}

static void fake_drain(void *arg, pid_t pid)
{
	struct fake *f = arg;

	f->drains++;
	if (f->late_fault)
		mirror_fault(f->m, pid, f->late_fault, MM_WRITE);
	f->late_fault = 0;
}

static void fake_took(void *arg, pid_t pid, const struct map *map)
{
	struct fake *f = arg;

	f->taken++;
}

static void start_with(struct fake *f, bool faults_known, const char *layout, unsigned long personality)
{
	struct mirror_options opt = {
		.verify = MIRROR_VERIFY_EACH,
		.faults_known = faults_known,
		.read_map = fake_read,
		.arg = f,
		.drain_faults = fake_drain,
		.took_map = fake_took,
	};
	struct mirror_exec_info info = { .brk_known = true, .start_brk = 0x500000, .brk = 0x500000,
					 .personality = personality };
	struct map map = { 0 };

	memset(f, 0, sizeof(*f));
	f->report = open_memstream(&f->said, &f->said_len);
	assert_non_null(f->report);
	opt.report = f->report;
	assert_int_equal(mirror_create(&opt, &f->m), 0);
	f->shows = layout;
	assert_int_equal(map_parse(&map, f->shows, strlen(f->shows), "exec"), 0);
	assert_int_equal(mirror_exec(f->m, PID, &map, &info), 0);
	map_free(&map);
}

static void start(struct fake *f, bool faults_known)
{
	start_with(f, faults_known, PROGRAM LOADER STACK, 0);
}

static struct mirror_stats stats_of(struct fake *f)
{
	struct mirror_stats stats;

	mirror_read_stats(f->m, &stats);
	return stats;
}

static void finish(struct fake *f)
{
	struct platform_stats live;
	struct mirror_stats stats = stats_of(f);

	assert_int_equal(stats.comparisons > 0 || stats.adopted > 0 || stats.divergences > 0 || !f->reads, 1);
	mirror_destroy(f->m);
	/* The ranges that a blind mirror keeps are a tree that belongs to no context. */
	platform_read_stats(platform_default(), &live);
	assert_int_equal(live.nodes, 0);
	fclose(f->report);
	free(f->said);
}

/* What the mirror must have counted so far. */
static void expect(struct fake *f, unsigned long explained, unsigned long adopted, unsigned long divergences)
{
	struct mirror_stats stats = stats_of(f);

	fflush(f->report);
	if (stats.explained != explained || stats.adopted != adopted || stats.divergences != divergences)
		fail_msg("explained %lu (want %lu), adopted %lu (want %lu), divergences %lu (want %lu); it "
			 "said:\n%s",
			 stats.explained, explained, stats.adopted, adopted, stats.divergences, divergences,
			 f->said);
}

static void expect_said(struct fake *f, const char *text)
{
	fflush(f->report);
	if (!strstr(f->said, text))
		fail_msg("expected \"%s\", but it said:\n%s", text, f->said);
}

static int make(struct fake *f, const struct call *call, const char *shows)
{
	assert_int_equal(mirror_before(f->m, call), 0);
	f->shows = shows;
	return mirror_call(f->m, call);
}

static struct call call_of(enum call_kind kind, unsigned long a, unsigned long b, unsigned long c, long ret)
{
	return (struct call){ .kind = kind, .pid = PID, .tid = PID, .args = { a, b, c }, .ret = ret,
			      .returned = true };
}

static struct call map_at(unsigned long addr, size_t len, unsigned long prot)
{
	struct call call = call_of(CALL_MMAP, addr, len, prot, (long)addr);

	call.args[3] = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	call.args[4] = (unsigned long)-1;
	return call;
}

/* The kernel chose. */
static struct call map_anywhere(size_t len, unsigned long prot, unsigned long flags, long ret)
{
	struct call call = call_of(CALL_MMAP, 0, len, prot, ret);

	call.args[3] = MAP_ANONYMOUS | flags;
	call.args[4] = (unsigned long)-1;
	return call;
}

/* Agreement --------------------------------------------------------------- */

static void equal_maps_are_no_divergence(void **state)
{
	struct call map = map_at(0x10000, 0x2000, PROT_READ | PROT_WRITE);
	struct call protect = call_of(CALL_MPROTECT, 0x11000, 0x1000, PROT_NONE, 0);
	struct fake f;

	start(&f, true);
	assert_int_equal(make(&f, &map, RW("10000-12000") PROGRAM LOADER STACK), 0);
	assert_int_equal(
		make(&f, &protect,
		     RW("10000-11000") "11000-12000 ---p 00000000 00:00 0 \nVmFlags: mr mw me ac\n" PROGRAM
			     LOADER STACK),
		0);
	expect(&f, 0, 0, 0);
	assert_int_equal(stats_of(&f).comparisons, 2);
	assert_int_equal(stats_of(&f).splits, 1);
	assert_int_equal(f.smaps_reads, 0);
	finish(&f);
}

static void a_failed_call_that_fails_in_the_model_too_is_no_divergence(void **state)
{
	struct call call = call_of(CALL_MUNMAP, 0x10001, 0x1000, 0, -EINVAL);
	struct fake f;

	start(&f, true);
	assert_int_equal(make(&f, &call, PROGRAM LOADER STACK), 0);
	expect(&f, 0, 0, 0);
	assert_int_equal(stats_of(&f).failed_calls, 1);
	finish(&f);
}

static void chosen_addresses_are_predicted_below_the_loader(void **state)
{
	struct call right = map_anywhere(0x1000, PROT_NONE, MAP_PRIVATE, 0x7efffffff000);
	struct call elsewhere = map_anywhere(0x1000, PROT_NONE, MAP_PRIVATE, 0x20000);
	struct fake f;

	start(&f, true);
	assert_int_equal(make(&f, &right, PROGRAM NONE("7efffffff000-7f0000000000") LOADER STACK), 0);
	assert_int_equal(make(&f, &elsewhere, NONE("20000-21000") PROGRAM NONE("7efffffff000-7f0000000000")
			      LOADER STACK), 0);
	expect(&f, 0, 0, 0);
	assert_int_equal(stats_of(&f).searched, 2);
	assert_int_equal(stats_of(&f).predicted, 1);
	finish(&f);
}

#define HIGH_PROGRAM "555555554000-555555555000 r-xp 00000000 fe:00 7 /bin/x\nVmFlags: rd ex mr mw me\n"

/* Without a limit of the stack the search begins low, and the program lies above everything but the stack. */
static void the_program_is_not_what_addresses_are_chosen_below(void **state)
{
	struct call map = map_anywhere(0x1000, PROT_NONE, MAP_PRIVATE, 0x14fffffff000);
	struct fake f;

#define LOW_LOADER "150000000000-150000001000 r-xp 00000000 fe:00 8 /lib/ld.so\nVmFlags: rd ex mr mw me\n"
	start_with(&f, true, LOW_LOADER HIGH_PROGRAM STACK, 0);
	assert_int_equal(make(&f, &map, NONE("14fffffff000-150000000000") LOW_LOADER HIGH_PROGRAM STACK), 0);
	assert_int_equal(stats_of(&f).predicted, 1);
	finish(&f);
}

static void the_old_layout_is_searched_upward_from_the_loader(void **state)
{
	struct call map = map_anywhere(0x1000, PROT_NONE, MAP_PRIVATE, 0x2ab379370000);
	struct fake f;

#define OLD_LOADER "2ab37933d000-2ab379370000 r-xp 00000000 fe:00 8 /lib/ld.so\nVmFlags: rd ex mr mw me\n"
	start_with(&f, true, OLD_LOADER HIGH_PROGRAM STACK, ADDR_COMPAT_LAYOUT);
	assert_int_equal(make(&f, &map, OLD_LOADER NONE("2ab379370000-2ab379371000") HIGH_PROGRAM STACK), 0);
	assert_int_equal(stats_of(&f).predicted, 1);
	finish(&f);
}

static void the_heap_grows_as_told(void **state)
{
	struct call call = call_of(CALL_BRK, 0x501000, 0, 0, 0x501000);
	struct fake f;

	start(&f, true);
	assert_int_equal(make(&f, &call, PROGRAM RW("500000-501000") LOADER STACK), 0);
	expect(&f, 0, 0, 0);
	finish(&f);
}

/* The kernel numbers shared anonymous memory; the number is learnt once, and compared from then on. */
static void the_number_of_shared_memory_is_learnt_once(void **state)
{
	struct call map = map_at(0x10000, 0x1000, PROT_READ | PROT_WRITE);
	struct call sync = call_of(CALL_MINCORE, 0x10000, 0x1000, 0, 0);
	struct fake f;

	start(&f, true);
	map.args[3] = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;
	assert_int_equal(make(&f, &map, "10000-11000 rw-s 00000000 00:01 55 /dev/zero (deleted)\n"
			      "VmFlags: rd wr sh mr mw me ms\n" PROGRAM LOADER STACK), 0);
	expect(&f, 0, 0, 0);
	assert_int_equal(make(&f, &sync, "10000-11000 rw-s 00000000 00:01 56 /dev/zero (deleted)\n"
			      "VmFlags: rd wr sh mr mw me ms\n" PROGRAM LOADER STACK), 1);
	expect(&f, 0, 0, 1);
	finish(&f);
}

/* Divergences ------------------------------------------------------------- */

static void another_map_is_a_divergence_and_only_one(void **state)
{
	struct call map = map_at(0x10000, 0x1000, PROT_READ | PROT_WRITE);
	struct call again = call_of(CALL_MINCORE, 0x10000, 0x1000, 0, 0);
	static const char kernel[] =
		"10000-11000 r--p 00000000 00:00 0 \nVmFlags: rd mr mw me\n" PROGRAM LOADER STACK;
	struct fake f;

	start(&f, true);
	assert_int_equal(make(&f, &map, kernel), 1);
	expect(&f, 0, 0, 1);
	expect_said(&f, "process 100: mmap(0x10000, 4096, PROT_READ|PROT_WRITE");
	expect_said(&f, "  - 00010000-00011000 rw-p");
	expect_said(&f, "  + 00010000-00011000 r--p");
	assert_int_equal(f.taken, 1);
	/* The kernel's map was taken over: nothing follows from it. */
	assert_int_equal(make(&f, &again, kernel), 0);
	expect(&f, 0, 0, 1);
	finish(&f);
}

static void another_result_is_a_divergence(void **state)
{
	struct call call = call_of(CALL_MPROTECT, 0x10000, 0x1000, PROT_READ, 0);
	struct fake f;

	start(&f, true);
	assert_int_equal(make(&f, &call, PROGRAM LOADER STACK), 1);
	expect(&f, 0, 0, 1);
	expect_said(&f, "model : mprotect(0x10000, 4096, PROT_READ) = -1 ENOMEM");
	expect_said(&f, "kernel: mprotect(0x10000, 4096, PROT_READ) = 0");
	finish(&f);
}

static void what_the_kernel_has_no_more_is_dropped_after_a_divergence(void **state)
{
	struct call map = map_at(0x10000, 0x3000, PROT_READ | PROT_WRITE);
	struct call again = call_of(CALL_MINCORE, 0x10000, 0x1000, 0, 0);
	static const char kernel[] = RW("11000-12000") PROGRAM LOADER STACK;
	struct fake f;

	start(&f, true);
	assert_int_equal(make(&f, &map, kernel), 1);
	assert_int_equal(make(&f, &again, kernel), 0);
	expect(&f, 0, 0, 1);
	assert_int_equal(mm_validate(mirror_mm(f.m, PID)), 0);
	finish(&f);
}

/* Stacks ------------------------------------------------------------------ */

static void a_stack_that_grew_unseen_is_grown(void **state)
{
	struct call call = call_of(CALL_MINCORE, 0x400000, 0x1000, 0, 0);
	struct fake f;

	start(&f, false);
	assert_int_equal(make(&f, &call, PROGRAM LOADER STACK_AT("7feffff00000")), 0);
	expect(&f, 0, 0, 0);
	assert_int_equal(stats_of(&f).stack_growths, 1);
	finish(&f);
}

/* With faults known, the source is asked for those that are on their way before anything is explained. */
static void a_late_fault_grows_the_stack(void **state)
{
	struct call call = call_of(CALL_MINCORE, 0x400000, 0x1000, 0, 0);
	struct fake f;

	start(&f, true);
	f.late_fault = 0x7feffff00010;
	assert_int_equal(make(&f, &call, PROGRAM LOADER STACK_AT("7feffff00000")), 0);
	expect(&f, 0, 0, 0);
	assert_int_equal(f.drains, 1);
	assert_int_equal(stats_of(&f).stack_growths, 1);
	assert_int_equal(stats_of(&f).faults, 1);
	finish(&f);
}

/* Boundaries that faults decide ------------------------------------------- */

/*
 * Faults are not told; both halves may have been written, each apart from the other, while the middle was a
 * hole, and smaps shows no page any more (MADV_DONTNEED).
 *
 *   before   |ww|  |ww|
 *   map         |ww|
 *   model    |wwwwww|
 *   kernel   |wwww|ww|
 */
static void a_boundary_that_an_unknown_fault_keeps_is_explained(void **state)
{
	struct call left = map_at(0x10000, 0x1000, PROT_READ | PROT_WRITE);
	struct call right = map_at(0x12000, 0x1000, PROT_READ | PROT_WRITE);
	struct call middle = map_at(0x11000, 0x1000, PROT_READ | PROT_WRITE);
	struct call again = call_of(CALL_MINCORE, 0x400000, 0x1000, 0, 0);
	static const char kernel[] = RW("10000-12000") RW("12000-13000") PROGRAM LOADER STACK;
	struct fake f;

	start(&f, false);
	assert_int_equal(make(&f, &left, RW("10000-11000") PROGRAM LOADER STACK), 0);
	assert_int_equal(make(&f, &right, RW("10000-11000") RW("12000-13000") PROGRAM LOADER STACK), 0);
	assert_int_equal(make(&f, &middle, kernel), 0);
	expect(&f, 1, 0, 0);
	expect_said(&f, "keeps two mappings at 12000");
	assert_int_equal(make(&f, &again, kernel), 0);
	expect(&f, 1, 0, 0);
	finish(&f);
}

/* The same with pages to be seen: smaps settles it before the call, and there is nothing to explain. */
static void pages_that_smaps_shows_settle_a_boundary(void **state)
{
	struct call left = map_at(0x10000, 0x1000, PROT_READ | PROT_WRITE);
	struct call right = map_at(0x12000, 0x1000, PROT_READ | PROT_WRITE);
	struct call middle = map_at(0x11000, 0x1000, PROT_READ | PROT_WRITE);
	static const char holes[] = RW_WRITTEN("10000-11000") RW_WRITTEN("12000-13000") PROGRAM LOADER STACK;
	struct fake f;

	start(&f, false);
	assert_int_equal(make(&f, &left, RW_WRITTEN("10000-11000") PROGRAM LOADER STACK), 0);
	assert_int_equal(make(&f, &right, holes), 0);
	assert_int_equal(make(&f, &middle, RW_WRITTEN("10000-12000") RW_WRITTEN("12000-13000") PROGRAM LOADER
			      STACK), 0);
	expect(&f, 0, 0, 0);
	/* A trace of the calls alone would not lead there. */
	assert_true(f.taken > 0);
	finish(&f);
}

/* What was never writable was never written: no fault can keep two such mappings apart. */
static void a_boundary_between_mappings_never_writable_is_a_divergence(void **state)
{
	struct call left = map_at(0x10000, 0x1000, PROT_NONE);
	struct call right = map_at(0x11000, 0x1000, PROT_NONE);
	struct fake f;

	start(&f, false);
	assert_int_equal(make(&f, &left, NONE("10000-11000") PROGRAM LOADER STACK), 0);
	assert_int_equal(make(&f, &right, NONE("10000-11000") NONE("11000-12000") PROGRAM LOADER STACK), 1);
	expect(&f, 0, 0, 1);
	finish(&f);
}

/* Flags that maps does not show keep mappings apart for a reason that has nothing to do with faults. */
static void a_boundary_with_different_flags_is_a_divergence(void **state)
{
	struct call left = map_at(0x10000, 0x1000, PROT_READ | PROT_WRITE);
	struct call right = map_at(0x11000, 0x1000, PROT_READ | PROT_WRITE);
	struct fake f;

	start(&f, false);
	assert_int_equal(make(&f, &left, RW("10000-11000") PROGRAM LOADER STACK), 0);
	assert_int_equal(make(&f, &right,
			      RW("10000-11000") "11000-12000 rw-p 00000000 00:00 0 \nVmFlags: rd wr mr mw me "
						"ac dc\n" PROGRAM LOADER STACK),
			 1);
	expect(&f, 0, 0, 1);
	finish(&f);
}

static void with_faults_known_a_boundary_is_a_divergence(void **state)
{
	struct call left = map_at(0x10000, 0x1000, PROT_READ | PROT_WRITE);
	struct call right = map_at(0x11000, 0x1000, PROT_READ | PROT_WRITE);
	struct fake f;

	start(&f, true);
	assert_int_equal(make(&f, &left, RW("10000-11000") PROGRAM LOADER STACK), 0);
	assert_int_equal(make(&f, &right, RW("10000-11000") RW("11000-12000") PROGRAM LOADER STACK), 1);
	expect(&f, 0, 0, 1);
	expect_said(&f, "at 11000 the model has no boundary");
	finish(&f);
}

/* Faults are told, but pages came by a way that gives none, and smaps shows them. */
static void pages_that_came_without_a_fault_are_explained(void **state)
{
	struct call left = map_at(0x10000, 0x1000, PROT_READ | PROT_WRITE);
	struct call right = map_at(0x12000, 0x1000, PROT_READ | PROT_WRITE);
	struct call middle = map_at(0x11000, 0x1000, PROT_READ | PROT_WRITE);
	struct call hole = call_of(CALL_MUNMAP, 0x11000, 0x1000, 0, 0);
	struct fake f;

	start(&f, true);
	assert_int_equal(make(&f, &left, RW("10000-11000") PROGRAM LOADER STACK), 0);
	assert_int_equal(make(&f, &right, RW("10000-11000") RW("12000-13000") PROGRAM LOADER STACK), 0);
	assert_int_equal(make(&f, &middle, RW_WRITTEN("10000-12000") RW_WRITTEN("12000-13000") PROGRAM LOADER
			      STACK), 0);
	expect(&f, 1, 0, 0);
	/* From now on the two sides are known to differ, pages or not. */
	make(&f, &hole, RW("10000-11000") RW("12000-13000") PROGRAM LOADER STACK);
	assert_int_equal(make(&f, &middle, RW("10000-12000") RW("12000-13000") PROGRAM LOADER STACK), 0);
	expect(&f, 1, 0, 0);
	finish(&f);
}

/* process_vm_writev and its like: the call is told, and what it wrote is asked of smaps at once. */
static void a_call_that_writes_for_the_program_settles(void **state)
{
	struct call left = map_at(0x10000, 0x1000, PROT_READ | PROT_WRITE);
	struct call right = map_at(0x12000, 0x1000, PROT_READ | PROT_WRITE);
	struct call middle = map_at(0x11000, 0x1000, PROT_READ | PROT_WRITE);
	struct call writes = call_of(CALL_FOREIGN, PID, 0, 0, 2);
	struct fake f;

	start(&f, true);
	make(&f, &left, RW("10000-11000") PROGRAM LOADER STACK);
	make(&f, &right, RW("10000-11000") RW("12000-13000") PROGRAM LOADER STACK);
	make(&f, &writes, RW_WRITTEN("10000-11000") RW_WRITTEN("12000-13000") PROGRAM LOADER STACK);
	assert_int_equal(f.taken, 1);
	assert_int_equal(make(&f, &middle, RW("10000-12000") RW("12000-13000") PROGRAM LOADER STACK), 0);
	expect(&f, 0, 0, 0);
	finish(&f);
}

/* As told, written left and right: the middle joins the left (A6). */
static void told_faults_decide(void **state)
{
	struct call left = map_at(0x10000, 0x1000, PROT_READ | PROT_WRITE);
	struct call right = map_at(0x12000, 0x1000, PROT_READ | PROT_WRITE);
	struct call middle = map_at(0x11000, 0x1000, PROT_READ | PROT_WRITE);
	struct fake f;

	start(&f, true);
	make(&f, &left, RW("10000-11000") PROGRAM LOADER STACK);
	make(&f, &right, RW("10000-11000") RW("12000-13000") PROGRAM LOADER STACK);
	assert_int_equal(mirror_fault(f.m, PID, 0x10000, MM_WRITE), 0);
	assert_int_equal(mirror_fault(f.m, PID, 0x12fff, MM_WRITE), 0);
	assert_int_equal(make(&f, &middle, RW("10000-12000") RW("12000-13000") PROGRAM LOADER STACK), 0);
	expect(&f, 0, 0, 0);
	finish(&f);
}

/* Once faults were lost, nothing is known of what may have been written. */
static void after_lost_faults_the_unknown_is_permitted(void **state)
{
	struct call left = map_at(0x10000, 0x1000, PROT_READ | PROT_WRITE);
	struct call right = map_at(0x12000, 0x1000, PROT_READ | PROT_WRITE);
	struct call middle = map_at(0x11000, 0x1000, PROT_READ | PROT_WRITE);
	struct fake f;

	start(&f, true);
	make(&f, &left, RW("10000-11000") PROGRAM LOADER STACK);
	make(&f, &right, RW("10000-11000") RW("12000-13000") PROGRAM LOADER STACK);
	mirror_faults_lost(f.m);
	assert_int_equal(make(&f, &middle, RW("10000-12000") RW("12000-13000") PROGRAM LOADER STACK), 0);
	expect(&f, 1, 0, 0);
	finish(&f);
}

/* Calls outside the model ------------------------------------------------- */

static void what_other_calls_map_is_adopted(void **state)
{
	struct call attach = call_of(CALL_FOREIGN, 1, 0, 0, 0x10000);
	struct call detach = call_of(CALL_FOREIGN, 0x10000, 0, 0, 0);
	struct fake f;

	start(&f, true);
	assert_int_equal(make(&f, &attach, "10000-12000 rw-s 00000000 00:01 9 /SYSV00000000 (deleted)\n"
			      "VmFlags: rd wr sh mr mw me ms\n" PROGRAM LOADER STACK), 0);
	expect(&f, 0, 1, 0);
	assert_int_equal(make(&f, &detach, PROGRAM LOADER STACK), 0);
	expect(&f, 0, 2, 0);
	finish(&f);
}

static void a_drivers_mapping_is_adopted(void **state)
{
	struct call map = map_anywhere(0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, 0x10000);
	struct fake f;

	start(&f, true);
	map.args[3] = MAP_SHARED;
	map.file.known = true;
	map.file.anonymous_inode = true;
	assert_int_equal(make(&f, &map, "10000-11000 rw-s 00000000 00:0e 1057 anon_inode:[perf_event]\n"
			      "VmFlags: rd wr sh mr mw me ms pf io de dd\n" PROGRAM LOADER STACK), 0);
	expect(&f, 0, 1, 0);
	finish(&f);
}

/* Closing the descriptor of a userfaultfd is no call of the model's, but flags go, and mappings join. */
static void mappings_that_join_when_userfaults_end_are_adopted(void **state)
{
	struct call map = map_at(0x10000, 0x2000, PROT_READ | PROT_WRITE);
	struct call registers = call_of(CALL_FOREIGN, 0, 0, 0, 0);
	struct call quiet = call_of(CALL_MINCORE, 0x400000, 0x1000, 0, 0);
	struct fake f;

	start(&f, true);
	make(&f, &map, RW("10000-12000") PROGRAM LOADER STACK);
	assert_int_equal(make(&f, &registers,
			      RW("10000-11000") "11000-12000 rw-p 00000000 00:00 0 \nVmFlags: rd wr mr mw me "
						"ac um\n" PROGRAM LOADER STACK),
			 0);
	expect(&f, 0, 2, 0);
	assert_int_equal(make(&f, &quiet, RW("10000-12000") PROGRAM LOADER STACK), 0);
	expect(&f, 0, 3, 0);
	finish(&f);
}

/* A call that was cut off may have taken effect; others who share the space go on from what is there. */
static void a_call_cut_off_is_asked_for(void **state)
{
	struct call map = map_at(0x10000, 0x1000, PROT_READ | PROT_WRITE);
	struct call next = call_of(CALL_MUNMAP, 0x10000, 0x1000, 0, 0);
	struct fake f;

	start(&f, true);
	map.returned = false;
	assert_int_equal(make(&f, &map, RW("10000-11000") PROGRAM LOADER STACK), 0);
	assert_int_equal(make(&f, &next, PROGRAM LOADER STACK), 0);
	expect(&f, 0, 1, 0);
	finish(&f);
}

/* Processes --------------------------------------------------------------- */

static struct call birth(enum call_kind kind, unsigned long flags)
{
	return call_of(kind, flags, 0, 0, CHILD);
}

static void a_forked_child_has_its_own_map(void **state)
{
	struct call born = birth(CALL_FORK, 0);
	struct call map = map_at(0x10000, 0x1000, PROT_NONE);
	struct call quiet = call_of(CALL_MINCORE, 0, 0, 0, 0);
	struct call gone = call_of(CALL_EXIT, 0, 0, 0, 0);
	struct fake f;

	start(&f, true);
	make(&f, &born, PROGRAM LOADER STACK);
	map.pid = CHILD;
	assert_int_equal(make(&f, &map, NONE("10000-11000") PROGRAM LOADER STACK), 0);
	assert_int_equal(make(&f, &quiet, PROGRAM LOADER STACK), 0);
	assert_int_equal(stats_of(&f).processes, 2);
	assert_int_equal(stats_of(&f).vmas_now, 7);
	gone.pid = CHILD;
	make(&f, &gone, NULL);
	assert_null(mirror_mm(f.m, CHILD));
	assert_int_equal(stats_of(&f).vmas_now, 3);
	assert_int_equal(stats_of(&f).vmas_peak, 4);
	expect(&f, 0, 0, 0);
	finish(&f);
}

static void a_vfork_child_shares_until_exec(void **state)
{
	struct call born = birth(CALL_VFORK, 0);
	struct call map = map_at(0x10000, 0x1000, PROT_NONE);
	struct call parents = call_of(CALL_MINCORE, 0, 0, 0, 0);
	struct map fresh = { 0 };
	struct fake f;

	start(&f, true);
	make(&f, &born, PROGRAM LOADER STACK);
	assert_ptr_equal(mirror_mm(f.m, CHILD), mirror_mm(f.m, PID));
	map.pid = CHILD;
	make(&f, &map, NONE("10000-11000") PROGRAM LOADER STACK);
	map_parse(&fresh, f.shows, strlen(f.shows), "exec");
	assert_int_equal(mirror_exec(f.m, CHILD, &fresh, NULL), 0);
	map_free(&fresh);
	assert_ptr_not_equal(mirror_mm(f.m, CHILD), mirror_mm(f.m, PID));
	assert_int_equal(make(&f, &parents, NONE("10000-11000") PROGRAM LOADER STACK), 0);
	expect(&f, 0, 0, 0);
	finish(&f);
}

/* One of two that share memory ends while the other is in a call: the kernel shows what is not told yet. */
static void an_end_amid_a_call_compares_nothing(void **state)
{
	struct call born = birth(CALL_CLONE_VM, CLONE_VM);
	struct call gone = call_of(CALL_EXIT, 0, 0, 0, 0);
	struct call map = map_at(0x10000, 0x1000, PROT_NONE);
	unsigned long comparisons;
	struct fake f;

	start(&f, true);
	make(&f, &born, PROGRAM LOADER STACK);
	comparisons = stats_of(&f).comparisons;
	gone.pid = CHILD;
	gone.in_motion = true;
	assert_int_equal(make(&f, &gone, NONE("10000-11000") PROGRAM LOADER STACK), 0);
	assert_int_equal(stats_of(&f).comparisons, comparisons);
	assert_null(mirror_mm(f.m, CHILD));
	assert_int_equal(make(&f, &map, NONE("10000-11000") PROGRAM LOADER STACK), 0);
	expect(&f, 0, 0, 0);
	finish(&f);
}

/* Nobody is in a call: what the ended one shared must be as the kernel shows it. */
static void an_end_between_calls_is_compared(void **state)
{
	struct call born = birth(CALL_CLONE_VM, CLONE_VM);
	struct call gone = call_of(CALL_EXIT, 0, 0, 0, 0);
	struct fake f;

	start(&f, true);
	make(&f, &born, PROGRAM LOADER STACK);
	gone.pid = CHILD;
	assert_int_equal(make(&f, &gone, NONE("10000-11000") PROGRAM LOADER STACK), 1);
	expect(&f, 0, 0, 1);
	finish(&f);
}

static void threads_are_no_processes(void **state)
{
	struct call born = birth(CALL_CLONE_VM, CLONE_VM | CLONE_THREAD);
	struct fake f;

	start(&f, true);
	make(&f, &born, PROGRAM LOADER STACK);
	assert_null(mirror_mm(f.m, CHILD));
	assert_int_equal(mirror_nr_processes(f.m), 1);
	finish(&f);
}

static void an_unknown_process_is_ignored(void **state)
{
	struct call call = map_at(0x10000, 0x1000, PROT_NONE);
	struct fake f;

	start(&f, true);
	call.pid = 4711;
	assert_int_equal(mirror_before(f.m, &call), 0);
	assert_int_equal(mirror_call(f.m, &call), 0);
	assert_int_equal(mirror_fault(f.m, 4711, 0x1000, MM_READ), 0);
	mirror_forget(f.m, 4711);
	assert_int_equal(stats_of(&f).calls[CALL_MMAP], 0);
	finish(&f);
}

/* Files ------------------------------------------------------------------- */

static void a_description_is_free_when_its_last_mapping_goes(void **state)
{
	struct call map = map_at(0x10000, 0x1000, PROT_READ);
	struct call unmap = call_of(CALL_MUNMAP, 0x10000, 0x1000, 0, 0);
	struct fake f;

	start(&f, true);
	map.args[3] = MAP_PRIVATE | MAP_FIXED;
	map.file.known = true;
	map.file.description = 77;
	map.file.info = (struct vm_file_info){ .size = sizeof(map.file.info), .ino = 5, .dev_major = 0xfe,
					       .readable = true };
	assert_int_equal(mirror_description_mapped(f.m, 77), 0);
	assert_int_equal(make(&f, &map, "10000-11000 r--p 00000000 fe:00 5 /f\nVmFlags: rd mr mw me\n" PROGRAM
			      LOADER STACK), 0);
	assert_int_equal(mirror_description_mapped(f.m, 77), 1);
	make(&f, &unmap, PROGRAM LOADER STACK);
	assert_int_equal(mirror_description_mapped(f.m, 77), 0);
	expect(&f, 0, 0, 0);
	finish(&f);
}

/* A memory file sealed while it is open: its shared mappings can no longer become writable. */
static void a_sealed_file_is_another_file(void **state)
{
	struct call before = map_at(0x10000, 0x1000, PROT_READ), after = map_at(0x20000, 0x1000, PROT_READ);
	struct call open = call_of(CALL_MPROTECT, 0x10000, 0x1000, PROT_READ | PROT_WRITE, 0);
	struct call sealed = call_of(CALL_MPROTECT, 0x20000, 0x1000, PROT_READ | PROT_WRITE, -EACCES);
	struct fake f;

	start(&f, true);
	before.args[3] = after.args[3] = MAP_SHARED | MAP_FIXED;
	before.file.known = true;
	before.file.description = 78;
	before.file.info = (struct vm_file_info){ .size = sizeof(before.file.info), .ino = 5, .dev_minor = 1,
						  .kind = VM_FILE_SHMEM, .readable = true, .writable = true };
	after.file = before.file;
	after.file.info.writable = false;
#define SHARED(range, perms) range " " perms " 00000000 00:01 5 /memfd:x\n"
	make(&f, &before, SHARED("10000-11000", "r--s") PROGRAM LOADER STACK);
	make(&f, &after, SHARED("10000-11000", "r--s") SHARED("20000-21000", "r--s") PROGRAM LOADER STACK);
	make(&f, &open, SHARED("10000-11000", "rw-s") SHARED("20000-21000", "r--s") PROGRAM LOADER STACK);
	make(&f, &sealed, SHARED("10000-11000", "rw-s") SHARED("20000-21000", "r--s") PROGRAM LOADER STACK);
	expect(&f, 0, 0, 0);
	assert_int_equal(mirror_description_mapped(f.m, 78), 2);
	finish(&f);
}

static void errors_of_files_that_cannot_be_mapped_are_outside_the_model(void **state)
{
	struct call call = map_anywhere(0x1000, PROT_READ, MAP_PRIVATE, -ENODEV);
	struct fake f;

	start(&f, true);
	call.args[3] = MAP_PRIVATE;
	call.file.known = true;
	call.file.info = (struct vm_file_info){ .size = sizeof(call.file.info), .ino = 5, .readable = true };
	assert_int_equal(make(&f, &call, PROGRAM LOADER STACK), 0);
	call.ret = -EBADF;
	call.file.known = false;
	assert_int_equal(make(&f, &call, PROGRAM LOADER STACK), 0);
	expect(&f, 0, 0, 0);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_maps_are_no_divergence),
		cmocka_unit_test(a_failed_call_that_fails_in_the_model_too_is_no_divergence),
		cmocka_unit_test(chosen_addresses_are_predicted_below_the_loader),
		cmocka_unit_test(the_program_is_not_what_addresses_are_chosen_below),
		cmocka_unit_test(the_old_layout_is_searched_upward_from_the_loader),
		cmocka_unit_test(the_heap_grows_as_told),
		cmocka_unit_test(the_number_of_shared_memory_is_learnt_once),
		cmocka_unit_test(another_map_is_a_divergence_and_only_one),
		cmocka_unit_test(another_result_is_a_divergence),
		cmocka_unit_test(what_the_kernel_has_no_more_is_dropped_after_a_divergence),
		cmocka_unit_test(a_stack_that_grew_unseen_is_grown),
		cmocka_unit_test(a_late_fault_grows_the_stack),
		cmocka_unit_test(a_boundary_that_an_unknown_fault_keeps_is_explained),
		cmocka_unit_test(pages_that_smaps_shows_settle_a_boundary),
		cmocka_unit_test(a_boundary_between_mappings_never_writable_is_a_divergence),
		cmocka_unit_test(a_boundary_with_different_flags_is_a_divergence),
		cmocka_unit_test(with_faults_known_a_boundary_is_a_divergence),
		cmocka_unit_test(pages_that_came_without_a_fault_are_explained),
		cmocka_unit_test(a_call_that_writes_for_the_program_settles),
		cmocka_unit_test(told_faults_decide),
		cmocka_unit_test(after_lost_faults_the_unknown_is_permitted),
		cmocka_unit_test(what_other_calls_map_is_adopted),
		cmocka_unit_test(a_drivers_mapping_is_adopted),
		cmocka_unit_test(mappings_that_join_when_userfaults_end_are_adopted),
		cmocka_unit_test(a_call_cut_off_is_asked_for),
		cmocka_unit_test(a_forked_child_has_its_own_map),
		cmocka_unit_test(a_vfork_child_shares_until_exec),
		cmocka_unit_test(an_end_amid_a_call_compares_nothing),
		cmocka_unit_test(an_end_between_calls_is_compared),
		cmocka_unit_test(threads_are_no_processes),
		cmocka_unit_test(an_unknown_process_is_ignored),
		cmocka_unit_test(a_description_is_free_when_its_last_mapping_goes),
		cmocka_unit_test(a_sealed_file_is_another_file),
		cmocka_unit_test(errors_of_files_that_cannot_be_mapped_are_outside_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
