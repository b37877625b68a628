/* SPDX-License-Identifier: MIT */
/*
 * What makes life hard for a tracer, one case per name:
 *
 *	traced CASE [N]
 *
 * Each ends with status 0 when it saw what it expected, unless its comment says otherwise.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define THREADS 8

extern char **environ;

static void fail(const char *what)
{
	perror(what);
	exit(9);
}

static char *map(long pages)
{
	char *p = mmap(NULL, pages * PAGE, RW, ANON, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	return p;
}

/* Maps, writes, splits and unmaps, @rounds times. */
static void churn(long rounds)
{
	for (long i = 0; i < rounds; i++) {
		long pages = 2 + i % 7;
		char *p = map(pages);

		p[0] = 1;
		mprotect(p + PAGE, PAGE, PROT_READ);
		if (pages > 2)
			p[2 * PAGE] = 1;
		munmap(p, pages * PAGE);
	}
}

static void *churn_thread(void *arg)
{
	churn((long)arg);
	return NULL;
}

static void start_threads(pthread_t *id, int n, void *(*fn)(void *), long arg)
{
	for (int i = 0; i < n; i++)
		if (pthread_create(&id[i], NULL, fn, (void *)arg))
			fail("pthread_create");
}

static void join_threads(const pthread_t *id, int n)
{
	for (int i = 0; i < n; i++)
		pthread_join(id[i], NULL);
}

static int wait_for(pid_t pid)
{
	int status = 0;

	if (pid < 0 || waitpid(pid, &status, __WALL) != pid)
		fail("wait");
	return status;
}

/* Eight threads that map at once. */
static int threads(long n)
{
	pthread_t id[THREADS];

	start_threads(id, THREADS, churn_thread, n);
	join_threads(id, THREADS);
	return 0;
}

/* Forks while threads map; each child maps too. */
static int forks(long n)
{
	pthread_t id[THREADS];

	start_threads(id, THREADS, churn_thread, n);
	for (int i = 0; i < 10; i++) {
		pid_t pid = fork();

		if (!pid) {
			churn(5);
			_exit(0);
		}
		if (wait_for(pid))
			return 1;
	}
	join_threads(id, THREADS);
	return 0;
}

/* vfork-like children while threads map. */
static int spawns(long n)
{
	char *argv[] = { "true", NULL };
	pthread_t id[THREADS];
	pid_t pid;

	start_threads(id, THREADS, churn_thread, n);
	for (int i = 0; i < 10; i++)
		if (posix_spawnp(&pid, "true", NULL, NULL, argv, environ) || wait_for(pid))
			return 1;
	join_threads(id, THREADS);
	return 0;
}

static void *exec_thread(void *arg)
{
	(void)arg;
	execlp("true", "true", (char *)NULL);
	fail("exec");
	return NULL;
}

/* A thread calls exec while others map: the process goes on as that program. */
static int exec_from_thread(long n)
{
	pthread_t id[THREADS + 1];

	start_threads(id, THREADS, churn_thread, 1L << 30);
	usleep(n * 1000);
	start_threads(&id[THREADS], 1, exec_thread, 0);
	join_threads(id, THREADS + 1);
	return 1;
}

static void *outlive(void *arg)
{
	int fd = open("/bin/true", O_RDONLY);
	char *p;

	(void)arg;
	usleep(50000);
	churn(20);
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	exit(p == MAP_FAILED || memcmp(p, "\177ELF", 4));
}

/* The first thread ends, another goes on, mapping files too. */
static int leader_exits(long n)
{
	pthread_t id;

	(void)n;
	start_threads(&id, 1, outlive, 0);
	pthread_exit(NULL);
}

static int shared_child(void *arg)
{
	churn((long)arg);
	return 0;
}

/* Processes that share their memory with their parent, with and without its waiting. */
static int shared_memory(long n)
{
	static char stack[2][1 << 16];
	pid_t pid = clone(shared_child, stack[0] + sizeof(stack[0]), CLONE_VM | SIGCHLD, (void *)n);

	churn(n);
	if (wait_for(pid))
		return 1;
	/* Not SIGCHLD at its end: the kernel calls that a clone. */
	pid = clone(shared_child, stack[0] + sizeof(stack[0]), CLONE_VM | SIGWINCH, (void *)n);
	churn(n);
	if (wait_for(pid))
		return 1;
	pid = clone(shared_child, stack[1] + sizeof(stack[1]), CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)n);
	churn(n);
	if (wait_for(pid))
		return 1;
	/* vfork in name only: the memory is a copy. */
	pid = syscall(SYS_clone, CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, 0);
	churn(n);
	if (!pid)
		_exit(0);
	return wait_for(pid);
}

/* Dies of SIGKILL (status 137 in a shell) while its threads are in calls. */
static int killed(long n)
{
	pthread_t id[THREADS];

	start_threads(id, THREADS, churn_thread, 1L << 30);
	usleep(n * 1000);
	kill(getpid(), SIGKILL);
	pause();
	return 1;
}

/* Children are killed at any moment; the parent goes on. */
static int children_killed(long n)
{
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid) {
			pthread_t id;

			start_threads(&id, 1, churn_thread, 1L << 30);
			churn(1L << 30);
		}
		usleep(1000 + 377 * i);
		kill(pid, SIGKILL);
		if (WTERMSIG(wait_for(pid)) != SIGKILL)
			return 1;
		churn(3);
	}
	return 0;
}

/* Processes are killed while they fork; what they have forked goes on. */
static int forkers_killed(long n)
{
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid) {
			signal(SIGCHLD, SIG_IGN);
			for (int j = 0; j < 200; j++)
				if (!fork()) {
					churn(1);
					_exit(0);
				}
			pause();
		}
		usleep(500 + 177 * i);
		kill(pid, SIGKILL);
		if (WTERMSIG(wait_for(pid)) != SIGKILL)
			return 1;
	}
	return 0;
}

/* A child stops itself again and again, and is continued. */
static int stops(long n)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		for (int i = 0; i < n; i++) {
			churn(2);
			raise(SIGSTOP);
		}
		_exit(0);
	}
	for (int i = 0; i < n; i++) {
		if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
			return 1;
		kill(pid, SIGCONT);
	}
	return wait_for(pid);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* Signals at 5 kHz, in and between calls. */
static int signals(long n)
{
	struct itimerval every = { { 0, 200 }, { 0, 200 } };
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	churn(n);
	return 0;
}

/* Memory that no mmap has made: System V and asynchronous I/O. */
static int foreign(long n)
{
	int id = shmget(IPC_PRIVATE, 4 * PAGE, IPC_CREAT | 0600);
	aio_context_t ctx = 0;
	char *p;

	if (id < 0)
		fail("shmget");
	p = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	if (p == (char *)-1)
		fail("shmat");
	p[0] = 1;
	churn(n);
	if (syscall(SYS_io_setup, 4, &ctx))
		fail("io_setup");
	churn(n);
	mprotect(p + PAGE, PAGE, PROT_READ);
	syscall(SYS_io_destroy, ctx);
	shmdt(p);
	churn(n);
	return 0;
}

struct uffd {
	int fd;
	char *page;
};

/* Maps while another call is blocked, and only then serves what that one waits for. */
static void *serve(void *arg)
{
	const struct uffd *u = arg;
	struct uffd_msg msg;
	struct uffdio_copy copy = { .dst = (uintptr_t)u->page, .len = PAGE };

	if (read(u->fd, &msg, sizeof(msg)) != sizeof(msg))
		fail("read");
	copy.src = (uintptr_t)map(1);
	if (ioctl(u->fd, UFFDIO_COPY, &copy))
		fail("UFFDIO_COPY");
	return NULL;
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* A call of another is blocked until we read what it did; before, a process that shares the memory ends. */
static void *end_before_read(void *arg)
{
	static char stack[1 << 16];
	const struct uffd *u = arg;
	struct pollfd ready = { u->fd, POLLIN, 0 };
	struct uffd_msg msg;

	if (poll(&ready, 1, -1) != 1)
		fail("poll");
	if (wait_for(clone(nothing, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL)))
		fail("child");
	if (read(u->fd, &msg, sizeof(msg)) != sizeof(msg) || msg.event != UFFD_EVENT_UNMAP)
		fail("read");
	return NULL;
}

/* Starts @server for a fresh page. False where that is not permitted. */
static bool start_serving(struct uffd *u, unsigned long features, void *(*server)(void *), pthread_t *id)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	*u = (struct uffd){ syscall(SYS_userfaultfd, O_CLOEXEC | (features ? O_NONBLOCK : 0)), map(1) };
	reg.range.start = (uintptr_t)u->page;
	reg.range.len = PAGE;
	if (u->fd < 0 || ioctl(u->fd, UFFDIO_API, &api) || ioctl(u->fd, UFFDIO_REGISTER, &reg))
		return false;
	if (pthread_create(id, NULL, server, u))
		fail("pthread_create");
	return true;
}

/* mlock() waits for a page that a thread provides only after it has mapped something. */
static int blocked(long n)
{
	struct uffd u;
	pthread_t id;

	if (!start_serving(&u, 0, serve, &id))
		return 77;
	if (mlock(u.page, PAGE))
		return 1;
	pthread_join(id, NULL);
	churn(n);
	return 0;
}

/* munmap() has unmapped, and does not return until a process that shares the memory has ended. */
static int end_in_call(long n)
{
	struct uffd u;
	pthread_t id;

	if (!start_serving(&u, UFFD_FEATURE_EVENT_UNMAP, end_before_read, &id))
		return 77;
	if (munmap(u.page, PAGE))
		return 1;
	pthread_join(id, NULL);
	churn(n);
	return 0;
}

/* Writes a program through a mapping and runs it: nobody else may still hold it open for writing. */
static int run_written(long n)
{
	char path[] = "/tmp/traced.XXXXXX";
	int from = open("/bin/true", O_RDONLY), to = mkstemp(path);
	struct stat st;
	char *p;
	pid_t pid;

	(void)n;
	if (from < 0 || to < 0 || fstat(from, &st) || ftruncate(to, st.st_size) || fchmod(to, 0700))
		fail("copy");
	p = mmap(NULL, st.st_size, RW, MAP_SHARED, to, 0);
	if (p == MAP_FAILED || read(from, p, st.st_size) != st.st_size)
		fail("mapping");
	munmap(p, st.st_size);
	close(to);
	pid = vfork();
	if (!pid) {
		execl(path, path, (char *)NULL);
		_exit(126);
	}
	n = wait_for(pid);
	unlink(path);
	return WEXITSTATUS(n);
}

/* Touches n MiB without a call in between: nothing but faults. */
static int faults(long n)
{
	char *p = map(n << 8);

	for (long i = 0; i < n << 8; i++)
		p[i * PAGE] = 1;
	return 0;
}

static int grow_by(long n)
{
	volatile char frame[PAGE];

	frame[0] = (char)n;
	return n ? grow_by(n - 1) + frame[0] - (char)n : 0;
}

static void *grow_thread(void *arg)
{
	churn((long)arg);
	return NULL;
}

/* The stack of the first thread grows while others map. */
static int grows(long n)
{
	pthread_t id[THREADS];

	start_threads(id, THREADS, grow_thread, n);
	for (int i = 1; i < 200; i++)
		grow_by(4 * i);
	join_threads(id, THREADS);
	return 0;
}

/* Limits that change what calls may do. */
static int limits(long n)
{
	struct rlimit limit = { 64 << 20, RLIM_INFINITY };
	char *p;

	churn(n);
	setrlimit(RLIMIT_AS, &limit);
	p = mmap(NULL, 128 << 20, RW, ANON, -1, 0);
	if (p != MAP_FAILED)
		return 1;
	limit.rlim_cur = RLIM_INFINITY;
	syscall(SYS_prlimit64, 0, RLIMIT_AS, &limit, NULL);
	p = mmap(NULL, 128 << 20, RW, ANON, -1, 0);
	return p == MAP_FAILED;
}

/* Leaves a child behind that ends later. */
static int leaves_child(long n)
{
	if (!fork()) {
		usleep(n * 1000);
		churn(3);
		_exit(5);
	}
	return 0;
}

/* Says that it runs, and waits to be told to end. */
static int waits(long n)
{
	churn(n);
	puts("waiting");
	fflush(stdout);
	pause();
	return 1;
}

/* Forks one after the other; the child writes, maps and ends, the parent writes on. */
static int many_forks(long n)
{
	char *p = map(64), *shared = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	madvise(p + 60 * PAGE, PAGE, MADV_DONTFORK);
	madvise(p + 62 * PAGE, PAGE, MADV_WIPEONFORK);
	mprotect(p + 50 * PAGE, PAGE, PROT_READ);
	for (long i = 0; i < n; i++) {
		pid_t pid;

		p[i % 50 * PAGE] = (char)i;
		pid = fork();
		if (!pid) {
			p[(i + 1) % 50 * PAGE] = 1;
			shared[0] = (char)i;
			munmap(p + (52 + i % 6) * PAGE, 2 * PAGE);
			churn(1);
			_exit(p[i % 50 * PAGE] != (char)i);
		}
		if (wait_for(pid) || shared[0] != (char)i || p[i % 50 * PAGE] != (char)i)
			return 1;
	}
	return 0;
}

/*
 * Forks until one is refused, @n times over; the children end when they are told to. Each time there are some that
 * succeed and some that do not.
 */
static int refused_forks(long n)
{
	struct rlimit limit = { 6, 6 };
	char *p = map(32);

	/* It is not asked of who may do anything. */
	if (!geteuid() || setrlimit(RLIMIT_NPROC, &limit))
		return 77;
	for (long round = 0; round < n; round++) {
		int forked = 0, refused = 0, status, end[2];

		if (pipe(end))
			fail("pipe");
		for (int i = 0; i < 8; i++) {
			pid_t pid = fork();

			p[i * PAGE]++;
			if (!pid) {
				close(end[1]);
				churn(2);
				_exit(read(end[0], &end, 1) != 0);
			}
			forked += pid > 0;
			refused += pid < 0;
			churn(2);
		}
		close(end[0]);
		close(end[1]);
		for (int i = 0; i < forked; i++)
			if (wait(&status) < 0 || status)
				return 1;
		if (!forked || !refused)
			return 1;
	}
	return 0;
}

static const struct {
	const char *name;
	int (*run)(long n);
	long n;
} cases[] = {
	{ "threads", threads, 50 }, { "forks", forks, 50 }, { "spawns", spawns, 50 },
	{ "exec-from-thread", exec_from_thread, 20 }, { "leader-exits", leader_exits, 0 },
	{ "shared-memory", shared_memory, 20 }, { "killed", killed, 20 },
	{ "children-killed", children_killed, 10 }, { "forkers-killed", forkers_killed, 10 },
	{ "stops", stops, 10 }, { "signals", signals, 500 },
	{ "foreign", foreign, 5 }, { "blocked", blocked, 5 }, { "end-in-call", end_in_call, 5 },
	{ "run-written", run_written, 0 },
	{ "faults", faults, 256 }, { "grows", grows, 100 }, { "limits", limits, 3 },
	{ "leaves-child", leaves_child, 100 }, { "waits", waits, 3 },
	{ "many-forks", many_forks, 200 }, { "refused-forks", refused_forks, 20 },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!strcmp(argv[1], cases[i].name))
			return cases[i].run(argc > 2 ? atol(argv[2]) : cases[i].n);
	fprintf(stderr, "%s: which case?\n", argv[0]);
	return 2;
}
