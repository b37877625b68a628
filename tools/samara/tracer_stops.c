/* SPDX-License-Identifier: MIT */
/* What becomes of each stop that waitpid() reports: the gate, and the order in which the mirror hears. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "tracer.h"

/* A call that others wait for may take this long, in ns, before we look whether it has blocked. */
#define PATIENCE 200000000UL

/* And a child for its parent's event, before we believe that there will be none. */
#define ORPHAN_PATIENCE 2000000000UL

/* The kernel's own words for "to be made again"; such a call had no effect. */
#define RESTART_SYS 512
#define RESTART_NOINTR 513
#define RESTART_NOHAND 514
#define RESTART_BLOCK 516

/* Going on ---------------------------------------------------------------- */

/* Fails only where the task has been killed meanwhile: then its end will be reported. */
static void resume(const struct task *task, int sig)
{
	ptrace(task->state == TASK_IN_CALL ? PTRACE_SYSCALL : PTRACE_CONT, task->tid, NULL, sig);
}

static void let_through(struct tracer *t, struct task *task)
{
	struct aspace *as = task->process->aspace;

	as->owner = task;
	task->unsure = as->outside > 0;
	tell_before(t, task);
	/* What has been touched until here has been told; from now on it is not known what comes first. */
	task->state = TASK_IN_CALL;
	as->owner_since = task->entered;
	resume(task, 0);
}

/* The call of @task is over as far as others are concerned. */
static void open_gate(struct tracer *t, struct aspace *as, struct task *task)
{
	struct task *next;

	if (task->outside) {
		task->outside = false;
		as->outside--;
	}
	if (as->owner != task)
		return;
	as->owner = NULL;
	next = gate_next(t, as);
	if (next)
		let_through(t, next);
}

/* Calls ------------------------------------------------------------------- */

/*
 * False where the task has been killed since it stopped: it may be in the stop of its exit by now, which will
 * be reported, and knows of no call.
 */
static bool read_info(const struct task *task, unsigned int op, struct __ptrace_syscall_info *info)
{
	return ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof(*info), info) > 0 && info->op == op;
}

static void on_seccomp(struct tracer *t, struct task *task)
{
	struct __ptrace_syscall_info info;
	struct aspace *as = task->process->aspace;

	if (!read_info(task, PTRACE_SYSCALL_INFO_SECCOMP, &info))
		return;
	if (!task->process->mirrored || t->error ||
	    !call_decode(t, task, (long)info.seccomp.nr, (const uint64_t *)info.seccomp.args)) {
		resume(task, 0);
		return;
	}
	if (as->owner)
		gate_queue(t, task);
	else
		let_through(t, task);
}

static bool is_restart(long ret)
{
	return ret == -RESTART_SYS || ret == -RESTART_NOINTR || ret == -RESTART_NOHAND ||
	       ret == -RESTART_BLOCK;
}

static bool is_process_call(enum call_kind kind)
{
	return kind == CALL_FORK || kind == CALL_VFORK || kind == CALL_CLONE_VM || kind == CALL_EXEC;
}

/* Whether the map must be read before the program may go on. */
static bool must_look(const struct tracer *t, const struct task *task)
{
	return t->verify == MIRROR_VERIFY_EACH || task->call.kind == CALL_FOREIGN || task->unsure;
}

static void on_return(struct tracer *t, struct task *task)
{
	struct __ptrace_syscall_info info;
	struct aspace *as = task->process->aspace;
	bool look, tell;

	if (task->state != TASK_IN_CALL) {
		resume(task, 0);
		return;
	}
	if (!read_info(task, PTRACE_SYSCALL_INFO_EXIT, &info))
		return;
	task->left = tell_now();
	task->call.ret = (long)info.exit.rval;
	task->call.returned = true;
	task->state = TASK_RUNNING;
	task->flags_known = false;
	look = must_look(t, task);
	/* A fork or exec that gets here has failed; one that has not has had its event. */
	tell = !is_restart(task->call.ret) && !is_process_call(task->call.kind);
	if (!look)
		resume(task, 0);
	if (tell)
		tell_call(t, task);
	if (look)
		resume(task, 0);
	tell_over(t, task);
	open_gate(t, as, task);
}

/* Children ---------------------------------------------------------------- */

static void on_gone(struct tracer *t, struct task *task);

/*
 * The message of the event that the task has stopped for. 0 where it has been killed since: then the message
 * may be that of its exit.
 */
static pid_t event_message(const struct task *task, int event)
{
	unsigned long message;
	siginfo_t info;

	if (ptrace(PTRACE_GETEVENTMSG, task->tid, NULL, &message) ||
	    ptrace(PTRACE_GETSIGINFO, task->tid, NULL, &info) || info.si_code != (SIGTRAP | event << 8))
		return 0;
	return (pid_t)message;
}

/* Enter the child, as a thread of @process or as a process. */
static struct task *child_enter(struct tracer *t, struct process *parent, pid_t tid, uint64_t flags)
{
	struct task *child = task_find(t, tid);
	struct process *process = parent;

	if (!child)
		child = task_add(t, tid);
	if (!child)
		return NULL;
	/* Waited for too long, and taken in without its parent's event. */
	if (child->process)
		return child;
	if (!(flags & CLONE_THREAD)) {
		process = process_add(t, tid, (flags & CLONE_VM) ? parent->aspace : NULL);
		if (!process)
			return NULL;
		process->mirrored = parent->mirrored;
		process->aspace->brk = parent->aspace->brk;
	}
	task_join(child, process);
	return child;
}

static void on_child(struct tracer *t, struct task *task, int event)
{
	struct aspace *as = task->process->aspace;
	uint64_t flags = call_clone_flags(task);
	pid_t tid = event_message(task, event);
	struct task *child;

	task->left = tell_now();
	task->flags_known = false;
	if (!tid)
		return;
	child = child_enter(t, task->process, tid, flags);
	if (!child && !t->error)
		t->error = -ENOMEM;
	if (child && child->process->mirrored)
		tell_child(t, task, tid, flags);
	task->state = TASK_RUNNING;
	resume(task, 0);
	if (child && child->stopped) {
		child->stopped = false;
		resume(child, 0);
	}
	open_gate(t, as, task);
	if (child && child->dead)
		on_gone(t, child);
}

/* Exec -------------------------------------------------------------------- */

/* After an exec a process has one task, with the process's id; the event's message is the id it had. */
static struct task *exec_survivor(struct tracer *t, struct task *leader)
{
	struct process *process = leader->process;
	pid_t former = event_message(leader, PTRACE_EVENT_EXEC);
	struct task *task = leader, *other, *next;

	if (former && former != leader->tid) {
		other = task_find(t, former);
		if (other && other->process == process)
			task = other;
	}
	for (other = process->tasks; other; other = next) {
		next = other->sibling;
		if (other == task)
			continue;
		gate_unqueue(t, other);
		open_gate(t, process->aspace, other);
		task_remove(t, other);
	}
	if (task->tid != process->pid)
		task_rename(t, task, process->pid);
	return task;
}

/* Say why a program is not mirrored, if it is not. */
static bool can_mirror(struct tracer *t, const struct process *process)
{
	enum program_obstacle obstacle = look_process(process->pid);
	char link[64], name[256];
	ssize_t n;

	if (obstacle == PROGRAM_FINE)
		return true;
	t->unmirrored++;
	snprintf(link, sizeof(link), "/proc/%d/exe", process->pid);
	n = readlink(link, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = '\0';
	complain("run", "process %d now runs '%s', which is a %s program: it goes on without a mirror",
		 process->pid, name,
		 obstacle == PROGRAM_32_BIT ? "32-bit" : "set-user-ID, set-group-ID or privileged");
	return false;
}

static void on_exec(struct tracer *t, struct task *leader)
{
	struct process *process = leader->process;
	struct task *task = exec_survivor(t, leader);
	struct aspace *old = process->aspace;
	bool was = process->mirrored;

	/* The call had the gate of the memory that it has left; others may still live there. */
	old->refs++;
	if (process_renew_aspace(process)) {
		if (!t->error)
			t->error = -ENOMEM;
		old->refs--;
		resume(task, 0);
		return;
	}
	task->state = TASK_RUNNING;
	process->mirrored = can_mirror(t, process);
	if (process->mirrored)
		tell_exec(t, process);
	else if (was)
		tell_forget(t, process->pid);
	resume(task, 0);
	open_gate(t, old, task);
	aspace_put(old);
}

/* Ends -------------------------------------------------------------------- */

/* A task will make no more calls, and if it was in one, nobody knows how far that went. */
static void leave_calls(struct tracer *t, struct task *task)
{
	struct process *process = task->process;
	struct aspace *as = process->aspace;
	bool in_call = task->state == TASK_IN_CALL;

	task->exiting = true;
	gate_unqueue(t, task);
	task->state = TASK_RUNNING;
	if (in_call && !is_process_call(task->call.kind) && process->mirrored &&
	    (process_live_task(process) || as->refs > 1)) {
		task->call.returned = false;
		task->left = tell_now();
		tell_call(t, task);
	}
	if (in_call)
		tell_over(t, task);
	open_gate(t, as, task);
}

static void on_exit_event(struct tracer *t, struct task *task)
{
	struct process *process = task->process;
	bool last;

	task->exiting = true;
	last = !process_live_task(process);
	task->exiting = false;
	if (last && process->mirrored && t->verify == MIRROR_VERIFY_EXIT && process->aspace->refs == 1 &&
	    task->state != TASK_IN_CALL)
		tell_compare(t, process);
	leave_calls(t, task);
	resume(task, 0);
}

static void on_gone(struct tracer *t, struct task *task)
{
	struct process *process;

	if (!task->exiting)
		leave_calls(t, task);
	process = task_remove(t, task);
	if (!process)
		return;
	tell_exit(t, process);
	process_free(t, process);
}

/* All stops --------------------------------------------------------------- */

static bool is_stop_signal(int sig)
{
	return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

static void on_signal(struct tracer *t, struct task *task, int sig)
{
	siginfo_t info;

	/* Ctrl-Z, or a background job that wants the terminal: our shell must see us stop, or it waits. */
	if ((sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU) &&
	    !ptrace(PTRACE_GETSIGINFO, task->tid, NULL, &info) && info.si_code == SI_KERNEL)
		t->stop_seen = true;
	resume(task, sig);
}

/* A group-stop lasts until SIGCONT; any other stop of this kind is the first of a new task. */
static void on_event_stop(struct tracer *t, struct task *task, int sig)
{
	if (!is_stop_signal(sig)) {
		resume(task, 0);
		return;
	}
	t->stop_wanted = t->stop_wanted || t->stop_seen;
	t->stop_seen = false;
	ptrace(PTRACE_LISTEN, task->tid, NULL, 0);
}

static void on_stop(struct tracer *t, struct task *task, int event, int sig)
{
	switch (event) {
	case 0:
		if (sig == (SIGTRAP | 0x80))
			on_return(t, task);
		else
			on_signal(t, task, sig);
		break;
	case PTRACE_EVENT_SECCOMP:
		on_seccomp(t, task);
		break;
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		on_child(t, task, event);
		break;
	case PTRACE_EVENT_EXEC:
		on_exec(t, task);
		break;
	case PTRACE_EVENT_EXIT:
		on_exit_event(t, task);
		break;
	case PTRACE_EVENT_STOP:
		on_event_stop(t, task, sig);
		break;
	default:
		resume(task, 0);
	}
}

/* It waits for its parent's event; but if it is being killed, its parent may be too, and that never comes. */
static void on_unknown(struct tracer *t, struct task *task, int status)
{
	if (!WIFSTOPPED(status)) {
		task->stopped = false;
		task->dead = true;
	} else if (status >> 16 == PTRACE_EVENT_EXIT) {
		task->exiting = true;
		resume(task, 0);
	} else {
		task->stopped = true;
		t->nr_unknown_stops++;
	}
}

void stop_handle(struct tracer *t, pid_t tid, int status)
{
	struct task *task = task_find(t, tid);

	if (tid == t->first && !WIFSTOPPED(status)) {
		t->first_ended = true;
		t->first_status = status;
	}
	if (!task) {
		/* A child whose parent's event is still to come. */
		task = task_add(t, tid);
		if (!task) {
			t->error = -ENOMEM;
			if (WIFSTOPPED(status))
				ptrace(PTRACE_CONT, tid, NULL, 0);
			return;
		}
		task->seen = tell_now();
	}
	if (!task->process) {
		on_unknown(t, task, status);
	} else if (WIFSTOPPED(status)) {
		on_stop(t, task, status >> 16, WSTOPSIG(status));
	} else {
		on_gone(t, task);
	}
}

/* Orphans ----------------------------------------------------------------- */

/*
 * A parent that is killed just when it has made a child never has its event, and the child waits. What it
 * has of its parent's memory nobody can say: it goes on without a mirror until it calls exec.
 */
static void take_in(struct tracer *t, struct task *task)
{
	pid_t pid = look_status_id(task->tid, "\nTgid:");
	struct process *process = process_find(t, pid);

	if (!process && pid > 0)
		process = process_add(t, pid, NULL);
	if (!process)
		return;
	task_join(task, process);
	task->stopped = false;
	resume(task, 0);
}

/* Its parent has gone, so there will be no event; what we started ourselves has us for a parent. */
static bool is_orphan(struct tracer *t, const struct task *task, uint64_t now)
{
	pid_t parent;

	if (now - task->seen > ORPHAN_PATIENCE)
		return true;
	parent = look_status_id(task->tid, "\nPPid:");
	return parent != getpid() && !process_find(t, parent);
}

void stop_check_orphans(struct tracer *t)
{
	uint64_t now = tell_now();
	struct task *task;

	if (!t->nr_unknown_stops)
		return;
	t->nr_unknown_stops = 0;
	for (int i = 0; i < TRACER_BUCKETS; i++) {
		for (task = t->tasks[i]; task; task = task->next) {
			if (task->process || !task->stopped)
				continue;
			if (is_orphan(t, task, now))
				take_in(t, task);
			else
				t->nr_unknown_stops++;
		}
	}
}

/* Blocked calls ----------------------------------------------------------- */

static bool is_blocked(pid_t tid)
{
	char path[64], text[512];
	const char *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	at = strrchr(text, ')');
	return at && (at[2] == 'S' || at[2] == 'D');
}

/* Let the others go first; what each call has done can then only be seen in the map. */
static void bypass(struct tracer *t, struct aspace *as)
{
	struct task *task = as->owner, *next;

	task->outside = true;
	task->unsure = true;
	as->outside++;
	as->owner = NULL;
	t->beside++;
	next = gate_next(t, as);
	if (next)
		let_through(t, next);
}

void stop_check_gates(struct tracer *t)
{
	uint64_t now = tell_now();
	struct process *process;

	if (!t->nr_waiting)
		return;
	for (int i = 0; i < TRACER_BUCKETS; i++) {
		for (process = t->processes[i]; process; process = process->next) {
			struct aspace *as = process->aspace;

			if (as->owner && as->first && now - as->owner_since > PATIENCE &&
			    is_blocked(as->owner->tid))
				bypass(t, as);
		}
	}
}
