/* SPDX-License-Identifier: MIT */
/*
 * In which order the mirror is told of calls and page faults, for faults and locks at times that the test chooses:
 * it takes the place of tracer_faults.c. That a fault came before a split shows in both halves having an
 * anon_vma; one that came after ties the half that it touched only.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "tracer.h"

#define PID 100
#define THREAD 101
#define OTHER 200		/* a process of its own */
#define AT 0x10000000UL
#define HALF (AT + 0x1000)
#define LAYOUT                                                                                                     \
	"10000000-10002000 rw-p 00000000 00:00 0 \nAnonymous: 0 kB\nVmFlags: rd wr mr mw me ac\n"                  \
	"7ff000000000-7ff000022000 rw-p 00000000 00:00 0 [stack]\nAnonymous: 12 kB\nVmFlags: rd wr mr mw me gd ac\n"

/* What the kernel has told, and is told next. */
struct faults {
	struct fault list[16];
	size_t nr;
	struct locks *locks;
	bool locks_known;
};

int faults_open(pid_t pid, struct faults **out, const char **step)
{
	return -1;
}

void faults_close(struct faults *f)
{
}

int faults_drain(struct faults *f, struct fault **list, size_t *nr, bool *lost)
{
	locks_match(f->locks, f->list, f->nr, tell_now());
	*list = f->list;
	*nr = f->nr;
	return 0;
}

bool faults_know_locks(const struct faults *f)
{
	return f->locks_known;
}

void faults_keep(struct faults *f, size_t nr)
{
	f->nr = nr;
}

uint64_t faults_lock_time(struct faults *f, pid_t tid, uint64_t from, uint64_t to)
{
	return locks_first_write(f->locks, tid, from, to);
}

struct fixture {
	struct tracer t;
	struct faults faults;
	struct task *task;	/* of PID, in an mprotect() of the upper half */
	struct task *other;	/* of OTHER */
};

static struct task *add_process(struct tracer *t, pid_t pid, const char *layout)
{
	struct mirror_exec_info info = { 0 };
	struct process *process = process_add(t, pid, NULL);
	struct task *task = task_add(t, pid);
	struct map map = { 0 };

	assert_non_null(process);
	assert_non_null(task);
	task_join(task, process);
	process->mirrored = true;
	assert_int_equal(map_parse(&map, layout, strlen(layout), "exec"), 0);
	assert_int_equal(mirror_exec(t->mirror, pid, &map, &info), 0);
	map_free(&map);
	return task;
}

/* As when it is let through its gate. */
static void enter_split(struct tracer *t, struct task *task)
{
	task->call = (struct call){ .kind = CALL_MPROTECT, .pid = task->process->pid, .tid = task->tid,
				    .args = { HALF, 0x1000, PROT_READ } };
	task->process->aspace->owner = task;
	tell_before(t, task);
	task->state = TASK_IN_CALL;
}

/* As at its exit stop, so many ns after it began. */
static void leave(struct tracer *t, struct task *task, uint64_t after)
{
	task->left = task->entered + after;
	task->call.returned = true;
	task->state = TASK_RUNNING;
	tell_call(t, task);
	tell_over(t, task);
	task->process->aspace->owner = NULL;
	assert_int_equal(t->error, 0);
}

static void start_with(struct fixture *x, bool locks_known, const char *layout)
{
	struct mirror_options opt = { .verify = MIRROR_VERIFY_NONE, .faults_known = true };

	memset(x, 0, sizeof(*x));
	x->t.verify = MIRROR_VERIFY_NONE;
	x->t.faults = &x->faults;
	x->faults.locks_known = locks_known;
	assert_int_equal(locks_create(&x->faults.locks), 0);
	assert_int_equal(files_create(&x->t.files), 0);
	assert_int_equal(mirror_create(&opt, &x->t.mirror), 0);
	x->task = add_process(&x->t, PID, layout);
	x->other = add_process(&x->t, OTHER, LAYOUT);
	enter_split(&x->t, x->task);
}

static void start(struct fixture *x)
{
	start_with(x, true, LAYOUT);
}

static void finish(struct fixture *x)
{
	struct task *tasks[] = { x->task, x->other };

	for (int i = 0; i < 2; i++) {
		struct process *process = tasks[i] ? task_remove(&x->t, tasks[i]) : NULL;

		if (process)
			process_free(&x->t, process);
	}
	mirror_destroy(x->t.mirror);
	files_destroy(x->t.files);
	locks_destroy(x->faults.locks);
}

/* Times are ns since the call of x->task was let through. */
static void add_fault(struct fixture *x, pid_t tid, unsigned long addr, long time)
{
	assert_true(x->faults.nr < 16);
	x->faults.list[x->faults.nr++] = (struct fault){
		.time = x->task->entered + time, .addr = addr, .pid = tid == OTHER ? OTHER : PID, .tid = tid,
		.access_known = true, .write = true,
	};
}

static void add_lock(struct fixture *x, pid_t tid, bool write, long time)
{
	locks_add(x->faults.locks, &(struct lock){ x->task->entered + time, tid, write });
}

static struct mm_vma_info vma_at(struct fixture *x, pid_t pid, unsigned long addr)
{
	struct mm_vma_info vma;

	assert_int_equal(mm_next_vma(mirror_mm(x->t.mirror, pid), addr, &vma), 0);
	assert_true(vma.start <= addr);
	return vma;
}

static void expect_before(struct fixture *x)
{
	assert_true(vma_at(x, PID, AT).has_anon_vma);
	assert_true(vma_at(x, PID, HALF).has_anon_vma);
	assert_int_equal(x->faults.nr, 0);
}

static void expect_after(struct fixture *x)
{
	assert_true(vma_at(x, PID, AT).has_anon_vma);
	assert_false(vma_at(x, PID, HALF).has_anon_vma);
	assert_int_equal(x->faults.nr, 0);
}

/* An exception 500 us before the call had its lock, whose task then had to wait for a CPU. */
static void a_fault_comes_after_a_call_that_had_the_lock_first(void **state)
{
	struct fixture x;

	start(&x);
	add_fault(&x, THREAD, AT, 1000);
	add_lock(&x, PID, true, 501000);
	add_lock(&x, THREAD, false, 540000);
	leave(&x.t, x.task, 600000);
	expect_after(&x);
	finish(&x);
}

/* Its exception came right before the lock of the call, and yet it was the first to have that. */
static void a_fault_comes_before_a_call_that_had_the_lock_later(void **state)
{
	struct fixture x;

	start(&x);
	add_fault(&x, THREAD, AT, 100000);
	add_lock(&x, THREAD, false, 100200);
	add_lock(&x, PID, true, 100400);
	leave(&x.t, x.task, 600000);
	expect_before(&x);
	finish(&x);
}

/* One that began before the call did, and gets the lock when that has returned. */
static void a_fault_under_way_waits(void **state)
{
	struct fixture x;

	start(&x);
	add_fault(&x, THREAD, AT, -40000);
	add_lock(&x, PID, true, 20000);
	leave(&x.t, x.task, 30000);
	assert_false(vma_at(&x, PID, AT).has_anon_vma);
	assert_int_equal(x.faults.nr, 1);
	add_lock(&x, THREAD, false, 60000);
	tell_faults(&x.t);
	expect_after(&x);
	finish(&x);
}

/* Another process stops while the call goes on: the fault still comes after that. */
static void a_stop_of_another_address_space_tells_no_fault_beside_a_call(void **state)
{
	for (int locks_known = 0; locks_known < 2; locks_known++) {
		struct fixture x;

		start_with(&x, locks_known, LAYOUT);
		add_fault(&x, THREAD, AT, 30000);
		add_fault(&x, OTHER, AT, 31000);
		add_lock(&x, THREAD, false, 32000);
		add_lock(&x, OTHER, false, 33000);
		enter_split(&x.t, x.other);
		assert_true(vma_at(&x, OTHER, AT).has_anon_vma);
		assert_false(vma_at(&x, PID, AT).has_anon_vma);
		leave(&x.t, x.other, 10000);
		assert_false(vma_at(&x, PID, AT).has_anon_vma);
		assert_int_equal(x.faults.nr, 1);
		add_lock(&x, PID, true, 20000);
		leave(&x.t, x.task, 25000);
		expect_after(&x);
		finish(&x);
	}
}

/* What came before the call was let through need not wait for it. */
static void a_stop_of_another_address_space_tells_what_came_before(void **state)
{
	struct fixture x;

	start(&x);
	add_fault(&x, THREAD, AT, -3000);
	add_lock(&x, THREAD, false, -2000);
	enter_split(&x.t, x.other);
	assert_true(vma_at(&x, PID, AT).has_anon_vma);
	leave(&x.t, x.task, 25000);
	expect_before(&x);
	leave(&x.t, x.other, 25000);
	finish(&x);
}

/* Where the kernel tells no locks, the time of the exception decides. */
static void without_locks_the_exception_counts(void **state)
{
	static const struct {
		long fault, lock;
		bool before;
	} cases[] = { { -1000, 0, true }, { 1000, 5000, true }, { 4800, 5000, false }, { 20000, 0, false } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture x;

		start_with(&x, false, LAYOUT);
		add_fault(&x, THREAD, AT, cases[i].fault);
		if (cases[i].lock)
			add_lock(&x, PID, true, cases[i].lock);
		leave(&x.t, x.task, 10000);
		if (cases[i].before)
			expect_before(&x);
		else
			expect_after(&x);
		finish(&x);
	}
}

/*
 * Three mappings, the lowest with an anon_vma. If the second is written before the third, both share that of the
 * first; else the third gets its own. The exceptions came the other way round.
 */
static void faults_have_the_order_of_their_locks(void **state)
{
	static const char layout[] =
		"0ffff000-10000000 rw-p 00000000 00:00 0 \nAnonymous: 4 kB\nVmFlags: rd wr mr mw me ac\n"
		"10000000-10002000 rwxp 00000000 00:00 0 \nAnonymous: 0 kB\nVmFlags: rd wr ex mr mw me ac\n"
		"10002000-10003000 rw-p 00000000 00:00 0 \nAnonymous: 0 kB\nVmFlags: rd wr mr mw me ac\n";
	struct fixture x;

	start_with(&x, true, layout);
	add_fault(&x, THREAD, AT + 0x2000, -9000);
	add_fault(&x, PID, AT, -8000);
	add_lock(&x, PID, false, -7000);
	add_lock(&x, THREAD, false, -6000);
	tell_faults(&x.t);
	assert_int_equal(x.faults.nr, 0);
	assert_int_equal(vma_at(&x, PID, AT).anon_vma_id, vma_at(&x, PID, AT - 1).anon_vma_id);
	assert_int_equal(vma_at(&x, PID, AT + 0x2000).anon_vma_id, vma_at(&x, PID, AT - 1).anon_vma_id);
	finish(&x);
}

/*
 * A map was read, and differs: what had its effect by then is told, and no more. An exception that came in the last
 * moments of the reading had its effect after it.
 */
static void a_map_shows_what_had_its_effect_before_it_was_read(void **state)
{
	struct fixture x;

	for (int locks_known = 0; locks_known < 2; locks_known++) {
		start_with(&x, locks_known, LAYOUT);
		leave(&x.t, x.task, 600000);
		add_fault(&x, THREAD, AT, 700000);
		if (locks_known)
			add_lock(&x, THREAD, false, 700400);
		x.t.map_read = x.task->entered + 700070;
		tell_late_faults(&x.t, PID);
		assert_false(vma_at(&x, PID, AT).has_anon_vma);
		assert_int_equal(x.faults.nr, 1);
		x.t.map_read = x.task->entered + 701000;
		tell_late_faults(&x.t, PID);
		assert_true(vma_at(&x, PID, AT).has_anon_vma);
		assert_int_equal(x.faults.nr, 0);
		finish(&x);
	}
}

/* Who has gone before it had the lock never gets it: nothing is kept for it. */
static void nothing_waits_for_who_has_gone(void **state)
{
	struct fixture x;
	struct process *process;

	start(&x);
	add_fault(&x, OTHER, AT, 1000);
	tell_faults(&x.t);
	assert_int_equal(x.faults.nr, 1);
	process = task_remove(&x.t, x.other);
	x.other = NULL;
	tell_exit(&x.t, process);
	process_free(&x.t, process);
	assert_int_equal(x.faults.nr, 0);
	leave(&x.t, x.task, 10000);
	finish(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fault_comes_after_a_call_that_had_the_lock_first),
		cmocka_unit_test(a_fault_comes_before_a_call_that_had_the_lock_later),
		cmocka_unit_test(a_fault_under_way_waits),
		cmocka_unit_test(a_stop_of_another_address_space_tells_no_fault_beside_a_call),
		cmocka_unit_test(a_stop_of_another_address_space_tells_what_came_before),
		cmocka_unit_test(without_locks_the_exception_counts),
		cmocka_unit_test(faults_have_the_order_of_their_locks),
		cmocka_unit_test(a_map_shows_what_had_its_effect_before_it_was_read),
		cmocka_unit_test(nothing_waits_for_who_has_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
