/* SPDX-License-Identifier: MIT */
/* Who is traced: tasks, their processes, the address spaces that these share, and the gates of those. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tracer.h"

static unsigned int bucket(pid_t id)
{
	return (unsigned int)id % TRACER_BUCKETS;
}

/* Address spaces ---------------------------------------------------------- */

static struct aspace *aspace_create(void)
{
	struct aspace *as = calloc(1, sizeof(*as));

	if (as) {
		as->refs = 1;
		as->maps_fd = -1;
		as->pagemap_fd = -1;
	}
	return as;
}

void aspace_put(struct aspace *as)
{
	if (--as->refs)
		return;
	if (as->maps_fd >= 0)
		close(as->maps_fd);
	if (as->pagemap_fd >= 0)
		close(as->pagemap_fd);
	free(as);
}

/* Tasks ------------------------------------------------------------------- */

struct task *task_find(struct tracer *t, pid_t tid)
{
	struct task *task;

	for (task = t->tasks[bucket(tid)]; task; task = task->next)
		if (task->tid == tid)
			return task;
	return NULL;
}

struct task *task_add(struct tracer *t, pid_t tid)
{
	struct task *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	task->tid = tid;
	task->next = t->tasks[bucket(tid)];
	t->tasks[bucket(tid)] = task;
	t->nr_tasks++;
	return task;
}

void task_join(struct task *task, struct process *process)
{
	task->process = process;
	task->sibling = process->tasks;
	process->tasks = task;
}

static void task_leave(struct task *task)
{
	struct task **p;

	for (p = &task->process->tasks; *p; p = &(*p)->sibling) {
		if (*p == task) {
			*p = task->sibling;
			break;
		}
	}
	task->process = NULL;
}

static void task_unhash(struct tracer *t, struct task *task)
{
	struct task **p;

	for (p = &t->tasks[bucket(task->tid)]; *p; p = &(*p)->next) {
		if (*p == task) {
			*p = task->next;
			break;
		}
	}
}

struct process *task_remove(struct tracer *t, struct task *task)
{
	struct process *process = task->process;

	if (process)
		task_leave(task);
	task_unhash(t, task);
	t->nr_tasks--;
	free(task);
	return process && !process->tasks ? process : NULL;
}

void task_rename(struct tracer *t, struct task *task, pid_t tid)
{
	task_unhash(t, task);
	task->tid = tid;
	task->next = t->tasks[bucket(tid)];
	t->tasks[bucket(tid)] = task;
}

/* Processes --------------------------------------------------------------- */

struct process *process_find(struct tracer *t, pid_t pid)
{
	struct process *process;

	for (process = t->processes[bucket(pid)]; process; process = process->next)
		if (process->pid == pid)
			return process;
	return NULL;
}

struct process *process_add(struct tracer *t, pid_t pid, struct aspace *aspace)
{
	struct process *process = calloc(1, sizeof(*process));

	if (!process)
		return NULL;
	if (aspace)
		aspace->refs++;
	else
		aspace = aspace_create();
	if (!aspace) {
		free(process);
		return NULL;
	}
	process->pid = pid;
	process->aspace = aspace;
	process->pidfd = -1;
	process->next = t->processes[bucket(pid)];
	t->processes[bucket(pid)] = process;
	return process;
}

void process_free(struct tracer *t, struct process *process)
{
	struct process **p;

	for (p = &t->processes[bucket(process->pid)]; *p; p = &(*p)->next) {
		if (*p == process) {
			*p = process->next;
			break;
		}
	}
	aspace_put(process->aspace);
	if (process->pidfd >= 0)
		close(process->pidfd);
	free(process);
}

int process_renew_aspace(struct process *process)
{
	struct aspace *fresh = aspace_create();

	if (!fresh)
		return -ENOMEM;
	aspace_put(process->aspace);
	process->aspace = fresh;
	return 0;
}

int process_pidfd(struct process *process)
{
	if (process->pidfd < 0)
		process->pidfd = syscall(SYS_pidfd_open, process->pid, 0);
	return process->pidfd;
}

struct task *process_live_task(const struct process *process)
{
	struct task *task;

	for (task = process->tasks; task; task = task->sibling)
		if (!task->exiting)
			return task;
	return NULL;
}

/* Gates ------------------------------------------------------------------- */

void gate_queue(struct tracer *t, struct task *task)
{
	struct aspace *as = task->process->aspace;

	task->state = TASK_WAITING;
	task->gate_next = NULL;
	if (as->last)
		as->last->gate_next = task;
	else
		as->first = task;
	as->last = task;
	t->nr_waiting++;
}

struct task *gate_next(struct tracer *t, struct aspace *as)
{
	struct task *task = as->first;

	if (task)
		gate_unqueue(t, task);
	return task;
}

void gate_unqueue(struct tracer *t, struct task *task)
{
	struct aspace *as = task->process->aspace;
	struct task **p, *before = NULL;

	for (p = &as->first; *p; p = &(*p)->gate_next) {
		if (*p != task) {
			before = *p;
			continue;
		}
		*p = task->gate_next;
		if (as->last == task)
			as->last = before;
		task->gate_next = NULL;
		task->state = TASK_RUNNING;
		t->nr_waiting--;
		return;
	}
}
