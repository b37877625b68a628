/* SPDX-License-Identifier: MIT */
/*
 * The tracer: runs a program under ptrace, stops it at memory and process calls
 * only, and tells the mirror of each of them in the kernel's own order.
 *
 * The calls of one address space go through a gate, one at a time. A thread
 * that comes to its gate waits in its seccomp stop; the gate opens when the
 * call before has returned, or has become another task's business (fork, exec,
 * exit), or has blocked for so long that others must go first.
 */
#ifndef SAMARA_TOOLS_TRACER_H
#define SAMARA_TOOLS_TRACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mirror.h"
#include "trace.h"

/* tracer_filter.c --------------------------------------------------------- */

/* A compiled seccomp filter: array of struct sock_filter. */
struct tracer_filter {
	void *code;
	unsigned short len;	/* instructions */
};

/* Compile the filter that stops a program where the mirror must see it. Return: 0 or -errno. */
int filter_build(struct tracer_filter *out);
void filter_free(struct tracer_filter *filter);
/* Put the calling process under the filter, for good. Return: 0 or -errno. */
int filter_install(const struct tracer_filter *filter);

/* tracer_faults.c --------------------------------------------------------- */

/* One page fault of a traced task. */
struct fault {
	uint64_t time;		/* ns, CLOCK_MONOTONIC, when the exception was taken */
	unsigned long addr;
	uint64_t locked;	/* ns, when its task then had the lock of its address space; 0: not yet, or not known */
	pid_t pid;		/* process */
	pid_t tid;
	bool access_known;	/* else the page itself must be looked at */
	bool write;
};

struct faults;

/**
 * faults_open - listen to the page faults of a process and its descendants
 * @pid:  the process, before it does what matters
 * @out:  the listener
 * @step: on failure, the words for what could not be done
 *
 * Return: 0 or -errno.
 */
int faults_open(pid_t pid, struct faults **out, const char **step);

/**
 * faults_drain - take all faults that have been recorded so far
 * @f:    the listener
 * @list: sorted by time, those not yet taken out by faults_keep() included
 * @nr:   how many
 * @lost: set when some were lost, else untouched
 *
 * Return: 0 or -ENOMEM.
 */
int faults_drain(struct faults *f, struct fault **list, size_t *nr, bool *lost);

/* Whether the times of locks are told. */
bool faults_know_locks(const struct faults *f);

/* After a drain: only the first @nr entries of the list, as rearranged, wait for the next. */
void faults_keep(struct faults *f, size_t nr);

/*
 * When, in ns, @tid first had the lock of its address space for writing in [@from, @to], as far as has been
 * drained; 0 if it had not, or the kernel does not tell. What @tid did until @to is forgotten.
 */
uint64_t faults_lock_time(struct faults *f, pid_t tid, uint64_t from, uint64_t to);

/* Stop listening. NULL is allowed. */
void faults_close(struct faults *f);

/* tracer_locks.c ---------------------------------------------------------- */

/* A task got the lock of its address space. */
struct lock {
	uint64_t time;		/* ns, CLOCK_MONOTONIC */
	pid_t tid;
	bool write;
};

struct locks;

/* Return: 0 or -ENOMEM. */
int locks_create(struct locks **out);
/* NULL is allowed. */
void locks_destroy(struct locks *locks);
/* The oldest are forgotten when they are too many. */
void locks_add(struct locks *locks, const struct lock *lock);

/*
 * Sort @list by time, and enter when each fault's task then first had its lock for reading, as far as that is
 * known. Locks for reading are forgotten then, but for those so late that their fault may not be in a list for
 * which the rings were read from @began, in ns, on.
 */
void locks_match(struct locks *locks, struct fault *list, size_t nr, uint64_t began);
/* As faults_lock_time(). */
uint64_t locks_first_write(struct locks *locks, pid_t tid, uint64_t from, uint64_t to);
/* Sort a list that is mostly sorted already. */
void faults_sort(struct fault *list, size_t nr, int (*compare)(const void *a, const void *b));

/* tracer_files.c ---------------------------------------------------------- */

struct files;

int files_create(struct files **out);
void files_destroy(struct files *files);

/*
 * What is behind descriptor @fd of the process that @pidfd refers to: a duplicate is held for as long as the
 * mirror maps the description, so that it can be told from others, and until files_done().
 */
void files_identify(struct files *files, int pidfd, int fd, struct call_file *out);
/* The call for which @file was identified is over, and the mirror has been told. */
void files_done(struct files *files, const struct call_file *file);
/* Give back the duplicates whose description is not mapped. */
void files_release(struct files *files, struct mirror *m);

/* tracer_tasks.c ---------------------------------------------------------- */

struct tracer;
struct task;
struct process;

/* What tasks share who share memory. */
struct aspace {
	unsigned long refs;	/* processes */
	struct task *owner;	/* whose call goes on, or NULL */
	struct task *first;	/* those who wait at the gate */
	struct task *last;
	uint64_t owner_since;	/* ns */
	unsigned int outside;	/* calls that go on without owning the gate, because they had blocked */
	int maps_fd;		/* /proc/PID/maps, held open; -1 until wanted */
	int pagemap_fd;		/* likewise */
	uint64_t born;		/* ns; faults of its processes before that were of another */
	unsigned long brk;	/* end of the heap as last reported; 0: not yet */
};

struct process {
	pid_t pid;
	struct aspace *aspace;
	struct task *tasks;
	int pidfd;		/* -1 until wanted */
	bool mirrored;
	struct process *next;	/* in its bucket */
};

enum task_state {
	TASK_RUNNING,		/* as far as we know */
	TASK_WAITING,		/* in its seccomp stop, in the gate's queue */
	TASK_IN_CALL,		/* let through; its exit stop is to come */
};

struct task {
	pid_t tid;
	struct process *process;	/* NULL: seen before its parent's event */
	enum task_state state;
	bool stopped;		/* first stop seen, and not resumed yet */
	bool exiting;		/* its exit event was seen, or it is gone */
	bool dead;		/* reaped before its parent's event */
	uint64_t seen;		/* ns; when it was first heard of, before its parent's event */
	bool outside;		/* in a call, but the gate has been opened to others */
	bool unsure;		/* a call of another ran beside its own */
	bool flags_known;	/* call.args[0] holds the clone flags of the call that it is in */
	uint64_t entered;	/* ns; when the call was let through */
	uint64_t locked;	/* ns; when it had the address space for itself; 0: never, or not known */
	uint64_t left;		/* ns; when it had returned, or had become a child */
	long nr;		/* system call number */
	struct call call;
	const char *name;	/* of a call that the mirror has no word for, or NULL */
	struct task *gate_next;
	struct task *sibling;	/* in its process */
	struct task *next;	/* in its bucket */
};

#define TRACER_BUCKETS 1024
#define RECENT_FAULTS 64	/* a power of two */

struct tracer {
	struct mirror *mirror;
	struct trace *trace;	/* or NULL */
	struct faults *faults;	/* or NULL */
	struct files *files;
	enum mirror_verify verify;
	struct task *tasks[TRACER_BUCKETS];
	struct process *processes[TRACER_BUCKETS];
	unsigned long nr_tasks;
	unsigned long nr_waiting;	/* at any gate */
	unsigned long nr_unknown_stops;	/* at most so many children wait for their parents' events */
	bool stop_seen;		/* the terminal has told the program to stop */
	bool stop_wanted;	/* it has, and so shall we, when all who were told have */
	pid_t first;		/* the program itself */
	bool first_ended;
	int first_status;	/* as wait() gives it */
	uint64_t map_read;	/* ns; when the last map had been read */
	struct fault recent[RECENT_FAULTS];	/* the last that were told outside of mappings, around the end */
	unsigned int nr_recent;	/* told ever */
	bool faults_lost;
	int error;		/* first failure of our own, as -errno: nothing is told any more */
	unsigned long beside;	/* calls that ran beside a blocked one */
	unsigned long unmirrored;	/* programs that could not be mirrored */
};

struct task *task_find(struct tracer *t, pid_t tid);
/* A task without a process yet; NULL when there is no memory. */
struct task *task_add(struct tracer *t, pid_t tid);
/* Remove from its process and free. Return: the process if that was its last task, else NULL. */
struct process *task_remove(struct tracer *t, struct task *task);
/* Give a task that has none a process. */
void task_join(struct task *task, struct process *process);
/* Exec from another thread: @task takes the id @tid. */
void task_rename(struct tracer *t, struct task *task, pid_t tid);

/* Give a process's reference back. */
void aspace_put(struct aspace *as);

struct process *process_find(struct tracer *t, pid_t pid);
/* A process in @aspace, or in one of its own when that is NULL; NULL when there is no memory. */
struct process *process_add(struct tracer *t, pid_t pid, struct aspace *aspace);
void process_free(struct tracer *t, struct process *process);
/* Leave the address space for a fresh one. Return: 0 or -ENOMEM, with nothing changed. */
int process_renew_aspace(struct process *process);
/* The descriptor of the process, or -1. */
int process_pidfd(struct process *process);
/* A thread of the process that still has its memory, or NULL. */
struct task *process_live_task(const struct process *process);

/* The last in the queue. */
void gate_queue(struct tracer *t, struct task *task);
/* Take the first out of the queue, NULL when nobody waits. */
struct task *gate_next(struct tracer *t, struct aspace *as);
/* Take @task out of the queue, wherever it stands. */
void gate_unqueue(struct tracer *t, struct task *task);

/* tracer_calls.c ---------------------------------------------------------- */

/*
 * Fill in @task's call from the system call's number and arguments. Return: false if the mirror need not hear
 * of it (then it is let through without the gate).
 */
bool call_decode(struct tracer *t, struct task *task, long nr, const uint64_t args[6]);
/* Whether the call, having succeeded or not, may have dropped mappings of files. */
bool call_may_unmap(const struct call *call);
/* The flags of the clone, clone3, fork or vfork that @task is in, by its registers. */
uint64_t call_clone_flags(struct task *task);

/* tracer_look.c ----------------------------------------------------------- */

/* Read maps or smaps of a process. Return: 0 or -errno. */
int look_read_map(struct tracer *t, pid_t pid, bool smaps, struct map *map);
/* Whether the page at @addr is the process's own: not a file's, nor the page of zeros. */
bool look_is_own_page(struct process *process, unsigned long addr);
/* The id behind "\nTgid:" or the like in the status of a task, or -1. */
pid_t look_status_id(pid_t tid, const char *field);
/* What the mirror wants to know at exec. */
void look_exec_info(pid_t pid, struct mirror_exec_info *info);

/* What stands against mirroring a program. */
enum program_obstacle { PROGRAM_FINE, PROGRAM_32_BIT, PROGRAM_SETID };
/* For a file, as @uid and @gid would run it. A file that cannot be read is fine: exec says more. */
enum program_obstacle look_program(const char *path, uid_t uid, gid_t gid);
/* For what a process runs now. */
enum program_obstacle look_process(pid_t pid);

/* tracer_tell.c ----------------------------------------------------------- */

uint64_t tell_now(void);
/* Tell the mirror of the faults so far. */
void tell_faults(struct tracer *t);
/* The callbacks of the mirror; @arg is the tracer. Late faults are those that the map just read shows. */
int tell_read_map(void *arg, pid_t pid, bool smaps, struct map *map);
void tell_late_faults(void *arg, pid_t pid);
void tell_took_map(void *arg, pid_t pid, const struct map *map);
/* The call of @task is about to be let through. */
void tell_before(struct tracer *t, struct task *task);
/* The call of @task has returned, or never will: the mirror is told, and the trace. */
void tell_call(struct tracer *t, struct task *task);
/* The call of @task is over, told or not: what was held for it is given back. */
void tell_over(struct tracer *t, struct task *task);
/* The call of @task has made the task @child: CALL_FORK, CALL_VFORK or CALL_CLONE_VM, by the clone @flags. */
void tell_child(struct tracer *t, struct task *task, pid_t child, uint64_t flags);
/* The last task of @process has gone. */
void tell_exit(struct tracer *t, struct process *process);
/* Compare now, for MIRROR_VERIFY_EXIT. */
void tell_compare(struct tracer *t, struct process *process);
/* @process has a fresh address space. */
void tell_exec(struct tracer *t, struct process *process);
void tell_forget(struct tracer *t, pid_t pid);

/* tracer_stops.c ---------------------------------------------------------- */

/* What waitpid() has reported of @tid. */
void stop_handle(struct tracer *t, pid_t tid, int status);
/* Open the gates behind calls that have blocked. */
void stop_check_gates(struct tracer *t);
/* Let children go whose parent's event will never come. */
void stop_check_orphans(struct tracer *t);

/* tracer.c ---------------------------------------------------------------- */

struct tracer_options {
	char **argv;		/* program and arguments, NULL at the end */
	enum mirror_verify verify;
	bool faults_wanted;	/* listen to page faults if that is possible */
	bool faults_needed;	/* and do not run without */
	const char *trace;	/* file, or NULL */
};

struct tracer_result {
	int status;		/* of the program, as wait() gives it */
	unsigned long beside;
	unsigned long unmirrored;
	bool faults_known;
	struct mirror_stats stats;
};

/**
 * tracer_run - run a program to its end, and its descendants to theirs, with a mirror beside them
 *
 * What goes wrong is explained on standard error.
 *
 * Return: 0, with @out filled in; else the exit status for samara.
 */
int tracer_run(const struct tracer_options *opt, struct tracer_result *out);

#endif
