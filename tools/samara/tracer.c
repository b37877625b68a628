/* SPDX-License-Identifier: MIT */
/* Starting a program under trace, waiting for its stops, and ending as it ends. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "tracer.h"

/* How often signals, gates and the rings of faults are looked after while nothing else happens. */
#define TICK_US 10000

#define TRACE_OPTIONS                                                                                        \
	(PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK |            \
	 PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT)

/* The program before it runs. */
struct start {
	pid_t pid;
	int go;		/* write end: a byte lets it start */
	int failed;	/* read end: the errno of an exec that failed */
};

/* Starting ---------------------------------------------------------------- */

static void run_child(const struct tracer_filter *filter, char **argv, int go, int failed)
{
	char byte;
	int err;

	/* Nobody there to trace us: do not run. */
	if (read(go, &byte, 1) != 1)
		_exit(127);
	err = -filter_install(filter);
	if (!err) {
		execvp(argv[0], argv);
		err = errno;
	}
	if (write(failed, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

static int start_fork(const struct tracer_filter *filter, char **argv, struct start *out)
{
	int go[2], failed[2];

	if (pipe2(go, O_CLOEXEC))
		return -errno;
	if (pipe2(failed, O_CLOEXEC)) {
		close(go[0]);
		close(go[1]);
		return -ENFILE;
	}
	fflush(NULL);
	out->pid = fork();
	if (!out->pid) {
		close(go[1]);
		run_child(filter, argv, go[0], failed[1]);
	}
	close(go[0]);
	close(failed[1]);
	out->go = go[1];
	out->failed = failed[0];
	if (out->pid > 0)
		return 0;
	close(out->go);
	close(out->failed);
	return -EAGAIN;
}

/* A program that has not started yet is not missed. */
static void start_abandon(struct start *start)
{
	close(start->go);
	close(start->failed);
	kill(start->pid, SIGKILL);
	waitpid(start->pid, NULL, __WALL);
}

static void ignore(int sig)
{
	(void)sig;
}

/*
 * What is typed at the terminal is for the program: it gets it too. SIGTERM and
 * SIGHUP wait to be passed on; the timer interrupts waitpid().
 */
static void set_signals(void)
{
	struct sigaction sa = { .sa_handler = SIG_IGN };
	struct itimerval tick = { { 0, TICK_US }, { 0, TICK_US } };
	sigset_t set;

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGQUIT, &sa, NULL);
	sigaction(SIGTSTP, &sa, NULL);
	sigaction(SIGTTIN, &sa, NULL);
	sigaction(SIGTTOU, &sa, NULL);
	sigaction(SIGPIPE, &sa, NULL);
	sa.sa_handler = ignore;
	sigaction(SIGALRM, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
}

/* A descriptor for each address space and each mapped file may be more than a shell allows. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Waiting ----------------------------------------------------------------- */

/* To the program while it lives, then to whatever it has left behind. */
static void pass_on(struct tracer *t, int sig)
{
	struct process *process;

	if (!t->first_ended) {
		kill(t->first, sig);
		return;
	}
	for (int i = 0; i < TRACER_BUCKETS; i++)
		for (process = t->processes[i]; process; process = process->next)
			kill(process->pid, sig);
}

static void look_after(struct tracer *t)
{
	const struct timespec now = { 0, 0 };
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sig = sigtimedwait(&set, NULL, &now);
	if (sig > 0)
		pass_on(t, sig);
	if (t->stop_wanted) {
		t->stop_wanted = false;
		raise(SIGSTOP);		/* until SIGCONT, which goes to the program too */
	}
	stop_check_gates(t);
	stop_check_orphans(t);
	tell_faults(t);
}

static void wait_all(struct tracer *t)
{
	int status;
	pid_t tid;

	for (;;) {
		tid = waitpid(-1, &status, __WALL);
		if (tid > 0)
			stop_handle(t, tid, status);
		else if (errno == EINTR)
			look_after(t);
		else
			return;
	}
}

/* Setting up -------------------------------------------------------------- */

static int seize(pid_t pid)
{
	if (!ptrace(PTRACE_SEIZE, pid, NULL, TRACE_OPTIONS))
		return 0;
	complain("run", "cannot trace the program: %s; a sandbox or another tracer may forbid it",
		 strerror(errno));
	return EXIT_NO_MEMORY;
}

static int listen_to_faults(struct tracer *t, const struct tracer_options *opt)
{
	const char *step;
	int err;

	if (!opt->faults_wanted)
		return 0;
	err = faults_open(t->first, &t->faults, &step);
	if (!err || !opt->faults_needed)
		return 0;
	complain("run", "--faults=perf: cannot %s: %s; run it as root, or use --faults=none", step,
		 strerror(-err));
	return EXIT_BAD_INPUT;
}

static int open_trace(struct tracer *t, const struct tracer_options *opt)
{
	int err;

	if (!opt->trace)
		return 0;
	err = trace_open(opt->trace, &t->trace);
	if (err) {
		complain("run", "cannot write the trace '%s': %s", opt->trace, strerror(-err));
		return EXIT_BAD_INPUT;
	}
	trace_faults(t->trace, t->faults != NULL);
	return 0;
}

static int make_mirror(struct tracer *t)
{
	struct mirror_options options = {
		.verify = t->verify,
		.faults_known = t->faults != NULL,
		.report = stderr,
		.read_map = tell_read_map,
		.arg = t,
		.drain_faults = t->faults ? tell_late_faults : NULL,
		.took_map = tell_took_map,
	};
	struct process *process;
	struct task *task;

	if (mirror_create(&options, &t->mirror) || files_create(&t->files))
		return complain_memory();
	process = process_add(t, t->first, NULL);
	task = process ? task_add(t, t->first) : NULL;
	if (!task)
		return complain_memory();
	/* It is mirrored from its exec on. */
	task_join(task, process);
	return 0;
}

static int set_up(struct tracer *t, const struct tracer_options *opt)
{
	int status = seize(t->first);

	if (!status)
		status = listen_to_faults(t, opt);
	if (!status)
		status = open_trace(t, opt);
	if (!status)
		status = make_mirror(t);
	return status;
}

/* Ending ------------------------------------------------------------------ */

static void tear_down(struct tracer *t)
{
	struct process *process;
	struct task *task;

	for (int i = 0; i < TRACER_BUCKETS; i++) {
		while ((task = t->tasks[i]))
			task_remove(t, task);
		while ((process = t->processes[i]))
			process_free(t, process);
	}
	/*
	 * The kernel takes all memory back at once. To do so by hand takes grace periods, some 15 ms that
	 * the user would wait for; debug builds do, because leaks are looked for there.
	 */
	if (SAMARA_DEBUG)
		mirror_destroy(t->mirror);
	files_destroy(t->files);
	faults_close(t->faults);
	free(t);
}

static int end_trace(struct tracer *t, const struct tracer_options *opt)
{
	int err = trace_close(t->trace);

	t->trace = NULL;
	if (!err)
		return 0;
	complain("run", "cannot write the trace '%s': %s", opt->trace, strerror(-err));
	return EXIT_NO_MEMORY;
}

/* Why the program never ran, if so. */
static int exec_failure(const struct start *start, const struct tracer_options *opt)
{
	int err;

	if (read(start->failed, &err, sizeof(err)) != sizeof(err))
		return 0;
	complain("run", "cannot run '%s': %s", opt->argv[0], strerror(err));
	return EXIT_BAD_INPUT;
}

static int finish(struct tracer *t, const struct start *start, const struct tracer_options *opt,
		  struct tracer_result *out)
{
	int status = exec_failure(start, opt), trace_status = end_trace(t, opt);

	if (!status)
		status = trace_status;
	if (!status && t->error == -ENOMEM)
		status = complain_memory();
	else if (!status && t->error) {
		complain("run", "the mirror ended before the program did: %s", strerror(-t->error));
		status = EXIT_NO_MEMORY;
	}
	out->status = t->first_status;
	out->beside = t->beside;
	out->unmirrored = t->unmirrored;
	out->faults_known = t->faults != NULL;
	mirror_read_stats(t->mirror, &out->stats);
	return status;
}

int tracer_run(const struct tracer_options *opt, struct tracer_result *out)
{
	struct tracer *t = calloc(1, sizeof(*t));
	struct tracer_filter filter;
	struct start start = { 0, -1, -1 };
	int status, err;

	if (!t)
		return complain_memory();
	err = filter_build(&filter);
	if (!err)
		err = start_fork(&filter, opt->argv, &start);
	filter_free(&filter);
	if (err) {
		free(t);
		complain("run", "cannot start a process: %s", strerror(-err));
		return EXIT_NO_MEMORY;
	}
	t->first = start.pid;
	t->verify = opt->verify;
	status = set_up(t, opt);
	if (status) {
		start_abandon(&start);
	} else {
		set_signals();
		raise_descriptor_limit();
		if (write(start.go, "", 1) == 1)
			wait_all(t);
		close(start.go);
		status = finish(t, &start, opt, out);
		close(start.failed);
	}
	trace_close(t->trace);
	tear_down(t);
	return status;
}
