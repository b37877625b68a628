/* SPDX-License-Identifier: MIT */
/*
 * What the mirror is told, and when. A fault is told in its place among the calls of its own address space: in the
 * order in which they had the lock, as far as that is known; else before a call if it was taken before the call
 * was let through, after the call if it was taken after the call had returned or lies in what the call has mapped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "tracer.h"
#include "tracer_numbers.h"

/* Faults of processes that we never hear of must not fill the memory. */
#define MAX_KEPT_FAULTS (1UL << 20)

/*
 * A map that stacks grow in is read again, so that it is clear which of them it shows: 1 s in all, because who is in
 * the fault may have to wait for a CPU that others keep busy.
 */
#define MAP_TRIES 160
#define MAP_TRY_US 6400

/* From a fault's exception to its asking for the lock, in ns. */
#define FAULT_TO_LOCK 500

/* A fault that is older than this, in ns, has done what it had to do, or what it was for cannot be done. */
#define SLOWEST_FAULT 1000000000

uint64_t tell_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* The first failure is kept, and ends the mirroring; a divergence is none, the mirror counts it. */
static void note_error(struct tracer *t, int err)
{
	if (err < 0 && !t->error)
		t->error = err;
}

/* Faults ------------------------------------------------------------------ */

static void tell_lost(struct tracer *t)
{
	if (t->faults_lost)
		return;
	t->faults_lost = true;
	complain("run", "page faults came faster than they could be taken in, and some were lost; from here "
			"on, what hangs on them is taken from the kernel and counted as explained");
	mirror_faults_lost(t->mirror);
	if (t->trace)
		trace_faults_lost(t->trace);
}

/*
 * What the access was for can be seen in the page, as nothing but a call takes it away again. Only
 * in private memory that may be written, and has not been, does that matter.
 */
static bool was_write(struct tracer *t, struct process *process, const struct fault *fault)
{
	struct mm_struct *mm = mirror_mm(t->mirror, process->pid);
	struct mm_vma_info vma;

	if (fault->access_known)
		return fault->write;
	if (!mm || mm_next_vma(mm, fault->addr, &vma))
		return false;
	if (vma.start <= fault->addr &&
	    (vma.has_anon_vma || (vma.flags & MM_VM_SHARED) || !(vma.flags & MM_VM_WRITE)))
		return false;
	return look_is_own_page(process, fault->addr);
}

/* Where the fault was there is a mapping of the model, perhaps since that fault: a stack that has grown. */
static bool in_model(struct tracer *t, const struct fault *fault)
{
	struct mm_struct *mm = mirror_mm(t->mirror, fault->pid);
	struct mm_vma_info vma;

	return mm && !mm_next_vma(mm, fault->addr, &vma) && vma.start <= fault->addr;
}

static void tell_fault(struct tracer *t, struct process *process, const struct fault *fault)
{
	enum mm_access access = was_write(t, process, fault) ? MM_WRITE : MM_READ;

	/* Those in mappings are too many to be kept until a slow one has grown its stack. */
	if (!in_model(t, fault))
		t->recent[t->nr_recent++ % RECENT_FAULTS] = *fault;
	if (t->trace)
		trace_fault(t->trace, fault->pid, fault->addr, access);
	note_error(t, mirror_fault(t->mirror, fault->pid, fault->addr, access));
}

/* Whether an address is of what the call has mapped: before it, nothing there could be touched. */
static bool in_result(const struct task *task, unsigned long addr)
{
	const struct call *call = &task->call;
	unsigned long ret = (unsigned long)call->ret, old;

	if (!call->returned || (call->ret < 0 && call->ret > -4096))
		return false;
	switch (call->kind) {
	case CALL_MMAP:
		return addr - ret < call->args[1];
	case CALL_MREMAP:
		return addr - ret < call->args[2];
	case CALL_BRK:
		old = task->process->aspace->brk;
		return old && addr >= (old & -4096UL) && addr < ret;
	default:
		return false;
	}
}

/* Whether a fault gives its mapping an anon_vma, which takes the address space's lock, as far as that is told. */
static bool needs_lock(struct tracer *t, const struct process *process, const struct fault *fault)
{
	struct mm_struct *mm = mirror_mm(t->mirror, process->pid);
	struct mm_vma_info vma;

	if (!faults_know_locks(t->faults) || !fault->write || !mm || mm_next_vma(mm, fault->addr, &vma))
		return false;
	return vma.start <= fault->addr && !vma.has_anon_vma && (vma.flags & MM_VM_WRITE) &&
	       !(vma.flags & MM_VM_SHARED);
}

/* It has not got so far: its task waits for the lock, or for a CPU. */
static bool is_under_way(struct tracer *t, const struct process *process, const struct fault *fault, uint64_t now)
{
	return !fault->locked && fault->time + SLOWEST_FAULT > now && needs_lock(t, process, fault);
}

/* Which faults are told now. The others wait, and so do those of a child that nobody knows yet. */
struct selection {
	const struct task *task;	/* not those that come after its call, told next; NULL: no such */
	uint64_t until;			/* ns; not those that have their effect later */
	uint64_t now;			/* ns */
	pid_t dropped;			/* those of this process never */
	pid_t ended;			/* those of this process now or never */
};

/*
 * A fault needs the address space's lock for what the mirror is told of it, and waits while a call has that.
 * Where it is not known when the call had it: a child has what its parent had at the moment of the copy,
 * which is early in a fork; another call is rather late in the time that we see.
 */
static bool is_after(struct tracer *t, const struct task *task, const struct process *process,
		     const struct fault *fault)
{
	if (task->locked && fault->locked && needs_lock(t, process, fault))
		return fault->locked > task->locked;
	if (fault->time < task->entered)
		return false;
	if (task->locked)
		return fault->time + FAULT_TO_LOCK > task->locked;
	if (fault->time > task->left || task->call.kind == CALL_FORK)
		return true;
	return in_result(task, fault->addr);
}

/* What a call that still goes on does is not known: all that has come since it was let through waits for that. */
static bool is_beside(struct tracer *t, const struct task *task, const struct process *process,
		      const struct fault *fault)
{
	return fault->time >= task->entered ||
	       (fault->locked >= task->entered && needs_lock(t, process, fault));
}

/* Whatever stop we are at, a fault has its place among the calls of its own address space. */
static bool is_later(struct tracer *t, const struct selection *sel, const struct process *process,
		     const struct fault *fault)
{
	const struct task *owner = process->aspace->owner;

	if (sel->task && sel->task->process->aspace == process->aspace)
		return is_after(t, sel->task, process, fault);
	return owner && owner->state == TASK_IN_CALL && is_beside(t, owner, process, fault);
}

/* ns; where the lock is not told, the soonest. */
static uint64_t has_effect_at(const struct fault *fault)
{
	return fault->locked ? fault->locked : fault->time + FAULT_TO_LOCK;
}

static bool is_selected(struct tracer *t, const struct selection *sel, const struct process *process,
			const struct fault *fault)
{
	if (!process || has_effect_at(fault) > sel->until || is_under_way(t, process, fault, sel->now))
		return false;
	return fault->pid == sel->ended || !is_later(t, sel, process, fault);
}

/* Those that took the lock had their effect then, the others as soon as they could. */
static int by_effect(const void *a, const void *b)
{
	const struct fault *x = a, *y = b;
	uint64_t at = x->locked ? x->locked : x->time, other = y->locked ? y->locked : y->time;

	return at < other ? -1 : at > other;
}

static void tell_selected(struct tracer *t, struct selection sel)
{
	struct fault *list;
	size_t i, nr, kept = 0;
	bool lost = false;

	if (!t->faults || t->error)
		return;
	sel.now = tell_now();
	if (faults_drain(t->faults, &list, &nr, &lost)) {
		note_error(t, -ENOMEM);
		return;
	}
	faults_sort(list, nr, by_effect);
	for (i = 0; i < nr; i++) {
		struct process *process = process_find(t, list[i].pid);

		if (list[i].pid == sel.dropped || (process && !process->mirrored))
			continue;
		if (is_selected(t, &sel, process, &list[i]))
			tell_fault(t, process, &list[i]);
		else if (kept < MAX_KEPT_FAULTS && list[i].pid != sel.ended)
			list[kept++] = list[i];
	}
	faults_keep(t->faults, kept);
	if (lost)
		tell_lost(t);
}

void tell_faults(struct tracer *t)
{
	tell_selected(t, (struct selection){ .until = UINT64_MAX });
}

static void tell_faults_before(struct tracer *t, struct task *task)
{
	struct fault *list;
	bool lost = false;
	size_t nr;

	task->locked = 0;
	if (t->faults && !t->error && !faults_drain(t->faults, &list, &nr, &lost))
		task->locked = faults_lock_time(t->faults, task->tid, task->entered, task->left);
	if (lost)
		tell_lost(t);
	tell_selected(t, (struct selection){ .task = task, .until = UINT64_MAX });
}

void tell_late_faults(void *arg, pid_t pid)
{
	struct tracer *t = arg;

	(void)pid;
	tell_selected(t, (struct selection){ .until = t->map_read });
}

/* Maps -------------------------------------------------------------------- */

/* The first line that ends above @addr, or NULL. */
static const struct map_line *line_above(const struct map *map, unsigned long addr)
{
	size_t low = 0, high = map->nr;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (addr >= map->lines[middle].end)
			low = middle + 1;
		else
			high = middle;
	}
	return low < map->nr ? &map->lines[low] : NULL;
}

/* Below the stack, where that is to grow. */
static bool is_below_stack(struct tracer *t, const struct fault *fault, const struct aspace *as,
			   const struct map *map)
{
	const struct process *process = process_find(t, fault->pid);
	const struct map_line *line;

	if (!process || process->aspace != as || fault->time < as->born)
		return false;
	line = line_above(map, fault->addr);
	return line && fault->addr < line->start && !strcmp(line->name, "[stack]");
}

/*
 * Whether a stack may have grown behind the reader's back: it was touched below the end that @map shows while
 * that was read, since @from, or so shortly before that the fault may not have got far.
 */
static bool stack_in_motion(struct tracer *t, const struct aspace *as, uint64_t from, const struct map *map)
{
	struct fault *list;
	bool lost = false;
	size_t nr;

	if (faults_drain(t->faults, &list, &nr, &lost)) {
		note_error(t, -ENOMEM);
		return false;
	}
	if (lost)
		tell_lost(t);
	/* Not told yet: it may wait beside a call for longer than it takes, and be told once this map has been read. */
	while (nr-- && list[nr].time + SLOWEST_FAULT >= from)
		if (is_below_stack(t, &list[nr], as, map))
			return true;
	for (nr = t->nr_recent < RECENT_FAULTS ? t->nr_recent : RECENT_FAULTS; nr--;)
		if (t->recent[nr].time + SLOWEST_FAULT >= from && is_below_stack(t, &t->recent[nr], as, map) &&
		    in_model(t, &t->recent[nr]))
			return true;
	return false;
}

int tell_read_map(void *arg, pid_t pid, bool smaps, struct map *map)
{
	struct tracer *t = arg;
	const struct process *process = process_find(t, pid);
	uint64_t from;
	int err;

	for (int tries = 0; ; tries++) {
		from = tell_now();
		err = look_read_map(t, pid, smaps, map);
		t->map_read = tell_now();
		if (err || !t->faults || t->error || tries == MAP_TRIES)
			return err;
		if (!stack_in_motion(t, process->aspace, from, map))
			return 0;
		/* Whoever is in the fault may need our CPU. */
		usleep(tries < 7 ? 50 << tries : MAP_TRY_US);
	}
}

void tell_took_map(void *arg, pid_t pid, const struct map *map)
{
	struct tracer *t = arg;

	if (t->trace)
		trace_map(t->trace, pid, map);
}

/* Calls ------------------------------------------------------------------- */

static void identify_file(struct tracer *t, struct task *task)
{
	int pidfd = process_pidfd(task->process), own = -1;

	if (pidfd >= 0 && !process_live_task(task->process))
		return;
	/* Once its first thread has ended, a process lends no descriptors; its other threads do. */
	if (task->tid != task->process->pid) {
		struct task *leader = task_find(t, task->process->pid);

		if (!leader || leader->exiting)
			own = syscall(SYS_pidfd_open, task->tid, NR_PIDFD_THREAD);
	}
	files_identify(t->files, own >= 0 ? own : pidfd, (int)task->call.args[4], &task->call.file);
	if (own >= 0)
		close(own);
}

void tell_before(struct tracer *t, struct task *task)
{
	struct call *call = &task->call;

	task->entered = tell_now();
	tell_faults(t);
	if (t->error)
		return;
	if (call->kind == CALL_MMAP && !(call->args[3] & MAP_ANONYMOUS))
		identify_file(t, task);
	if (call->kind == CALL_EXEC) {
		/* A program that is still held open for writing could not be run. */
		files_release(t->files, t->mirror);
		/* Unsure: a call of another thread has blocked, and may have done some of its work. */
		if (t->verify == MIRROR_VERIFY_EXIT && task->process->aspace->refs == 1 && !task->unsure)
			tell_compare(t, task->process);
		return;
	}
	/* What smaps would settle matters to comparisons only, and costs more than all the rest. */
	if (t->verify != MIRROR_VERIFY_NONE)
		note_error(t, mirror_before(t->mirror, call));
}

static const char *foreign_text(const struct task *task, char *buf, size_t len)
{
	const struct call *call = &task->call;

	snprintf(buf, len, "%s(%#lx, %#lx, %#lx, %#lx) = %#lx", task->name, call->args[0], call->args[1],
		 call->args[2], call->args[3], (unsigned long)call->ret);
	return buf;
}

static void tell_mirror(struct tracer *t, struct call *call)
{
	if (t->trace)
		trace_call(t->trace, call);
	note_error(t, mirror_call(t->mirror, call));
}

void tell_call(struct tracer *t, struct task *task)
{
	struct call *call = &task->call;
	char text[160];

	if (t->error)
		return;
	if (task->unsure)
		call->returned = false;
	if (task->name)
		call->text = foreign_text(task, text, sizeof(text));
	tell_faults_before(t, task);
	tell_mirror(t, call);
	tell_faults(t);
	if (call->kind == CALL_BRK)
		task->process->aspace->brk = (unsigned long)call->ret;
}

void tell_over(struct tracer *t, struct task *task)
{
	struct call *call = &task->call;

	if (call->file.known)
		files_done(t->files, &call->file);
	call->file.known = false;
	if (!t->error && call_may_unmap(call))
		files_release(t->files, t->mirror);
}

/* Processes --------------------------------------------------------------- */

/* Calls of others ran beside the fork: nobody can say which of them the child has seen. */
static void adopt_child(struct tracer *t, pid_t child)
{
	struct map map = { 0 };

	if (!look_read_map(t, child, true, &map)) {
		note_error(t, mirror_adopt_map(t->mirror, child, &map));
		tell_took_map(t, child, &map);
	}
	map_free(&map);
}

void tell_child(struct tracer *t, struct task *task, pid_t child, uint64_t flags)
{
	struct call *call = &task->call;

	if (t->error)
		return;
	if (!(flags & CLONE_VM))
		call->kind = CALL_FORK;
	else
		call->kind = (flags & CLONE_VFORK) ? CALL_VFORK : CALL_CLONE_VM;
	call->pid = task->process->pid;
	call->tid = task->tid;
	memset(call->args, 0, sizeof(call->args));
	call->args[0] = flags;
	call->ret = child;
	call->returned = true;
	call->text = NULL;
	if (call->kind == CALL_FORK)
		tell_faults_before(t, task);
	tell_mirror(t, call);
	if (call->kind == CALL_FORK && task->unsure)
		adopt_child(t, child);
}

void tell_exec(struct tracer *t, struct process *process)
{
	struct mirror_exec_info info;
	struct map map = { 0 };
	int err;

	if (t->error)
		return;
	process->aspace->born = tell_now();
	/* What was touched until now is in the map already. */
	tell_selected(t, (struct selection){ .until = UINT64_MAX, .dropped = process->pid });
	look_exec_info(process->pid, &info);
	err = look_read_map(t, process->pid, true, &map);
	if (!err) {
		if (t->trace)
			trace_exec(t->trace, process->pid, &map, &info);
		err = mirror_exec(t->mirror, process->pid, &map, &info);
		process->aspace->brk = info.brk;
	} else if (err == -ENOENT || err == -ESRCH) {
		err = 0;	/* killed meanwhile */
		process->mirrored = false;
	}
	map_free(&map);
	note_error(t, err);
}

/*
 * Whether the kernel may show what the mirror has not been told yet, or the other way round: a call goes on, of
 * another process that shares the memory if the own ones have all ended.
 */
static bool in_motion(const struct aspace *as)
{
	return as->owner || as->outside;
}

void tell_exit(struct tracer *t, struct process *process)
{
	struct call call = {
		.kind = CALL_EXIT, .pid = process->pid, .tid = process->pid, .returned = true,
		.in_motion = in_motion(process->aspace),
	};

	tell_selected(t, (struct selection){ .until = UINT64_MAX, .ended = process->pid });
	if (!process->mirrored || t->error)
		return;
	tell_mirror(t, &call);
	files_release(t->files, t->mirror);
}

void tell_compare(struct tracer *t, struct process *process)
{
	int err;

	tell_faults(t);
	if (t->error)
		return;
	err = mirror_compare(t->mirror, process->pid);
	if (err != -ENOENT && err != -ESRCH)
		note_error(t, err);
}

void tell_forget(struct tracer *t, pid_t pid)
{
	if (t->trace)
		trace_forget(t->trace, pid);
	mirror_forget(t->mirror, pid);
}
