/* SPDX-License-Identifier: MIT */
/*
 * The page of code, each piece followed by int3, which stops the process:
 *
 *   0   syscall
 *   16  mov (%rdi), %al
 *   32  mov %sil, (%rdi)
 *
 * Behind them lie the names that memory may get.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diff_tracee.h"

#define NOT_ALLOWED 2	/* exit status of a process that may not be traced */

#define CODE_SYSCALL (TRACEE_CODE + 0)
#define CODE_READ (TRACEE_CODE + 16)
#define CODE_WRITE (TRACEE_CODE + 32)

static const unsigned char code[] = {
	[0] = 0x0f, 0x05, 0xcc,
	[16] = 0x8a, 0x07, 0xcc,
	[32] = 0x40, 0x88, 0x37, 0xcc,
};

#define NAMES_AT 64
#define NAME_ROOM 16

const char *const tracee_names[TRACEE_NR_NAMES] = { NULL, "a", "b", "[" };

unsigned long tracee_name(unsigned long number)
{
	return number && number < TRACEE_NR_NAMES ? TRACEE_CODE + NAMES_AT + number * NAME_ROOM : 0;
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2];
	size_t i;

	for (i = 0; i < 2; i++)
		none[i].effective = none[i].permitted = none[i].inheritable = 0;
	syscall(SYS_capset, &head, none);
}

/*
 * In the child: nothing that allocates, and no library call that might. The
 * kernel writes to the rseq area at a preemption, so that it must be given up
 * before its memory goes.
 */
static void become_tracee(bool drop_caps, unsigned long start_brk)
{
	volatile unsigned char *page;
	size_t i;

	if (drop_caps)
		drop_capabilities();
	if (__rseq_size)
		syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32, RSEQ_FLAG_UNREGISTER,
			RSEQ_SIG);
	/*
	 * A huge page is used at the kernel's leisure, and a mere read of one ties the mapping to an
	 * anon_vma.
	 */
	syscall(SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0);
	syscall(SYS_brk, start_brk);
	syscall(SYS_mmap, TRACEE_CODE, TRACEE_END - TRACEE_CODE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	page = (volatile unsigned char *)TRACEE_CODE;
	for (i = 0; i < sizeof(code); i++)
		page[i] = code[i];
	for (i = 1; i < TRACEE_NR_NAMES; i++)
		page[NAMES_AT + i * NAME_ROOM] = (unsigned char)tracee_names[i][0];
	syscall(SYS_mprotect, TRACEE_CODE, 4096, PROT_READ | PROT_EXEC);
	signal(SIGCHLD, SIG_IGN);	/* its own children are nobody's zombies */
	/* A tracer that is killed before it has asked for that by an option would leave it stopped for ever. */
	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0))
		syscall(SYS_exit_group, NOT_ALLOWED);
	syscall(SYS_kill, syscall(SYS_getpid), SIGSTOP);
	syscall(SYS_exit_group, 1);
}

/* A numeric field of /proc/self/stat, from 3; the second one, in parentheses, may contain anything. */
static unsigned long read_stat_field(int wanted)
{
	char buf[2048];
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	char *p;
	int field;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	buf[n] = 0;
	p = strrchr(buf, ')');
	for (field = 2; p && field < wanted; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoul(p + 1, NULL, 10) : 0;
}

static int open_of(pid_t pid, const char *name, int mode)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return open(path, mode | O_CLOEXEC);
}

static void no_files(struct tracee *t)
{
	t->maps_fd = t->smaps_fd = t->status_fd = t->pagemap_fd = t->mem_fd = -1;
}

static int open_files(struct tracee *t)
{
	t->maps_fd = open_of(t->pid, "maps", O_RDONLY);
	t->smaps_fd = open_of(t->pid, "smaps", O_RDONLY);
	t->status_fd = open_of(t->pid, "status", O_RDONLY);
	t->pagemap_fd = open_of(t->pid, "pagemap", O_RDONLY);
	t->mem_fd = open_of(t->pid, "mem", O_RDWR);
	return t->maps_fd < 0 || t->smaps_fd < 0 || t->status_fd < 0 || t->pagemap_fd < 0 || t->mem_fd < 0 ? -errno :
													     0;
}

/* The only effect of the timer's signal: calls that block come back. */
static void ignore_tick(int signo)
{
	(void)signo;
}

void tracee_watch(void)
{
	struct itimerval each_second = { { 1, 0 }, { 1, 0 } };
	struct sigaction action = { .sa_handler = ignore_tick };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &each_second, NULL);
}

/*
 * waitpid() for one process; when it takes too long the process is killed, and when even that does not
 * help, given up.
 */
static int wait_patiently(struct tracee *t, int *status)
{
	int ticks = 0;

	for (;;) {
		if (waitpid(t->pid, status, __WALL) == t->pid)
			return 0;
		if (errno != EINTR)
			return -errno;
		ticks++;
		if (ticks == TRACEE_PATIENCE) {
			t->hung = true;
			kill(t->pid, SIGKILL);
		} else if (ticks == 2 * TRACEE_PATIENCE) {
			return -ETIMEDOUT;
		}
	}
}

/* Somebody else's signal, or the news of a child's end: nothing that the call did. */
static bool is_stray(struct tracee *t, int status)
{
	siginfo_t info;

	if (WSTOPSIG(status) == SIGTRAP)
		return false;
	if (WSTOPSIG(status) == SIGCHLD)
		return true;
	return !ptrace(PTRACE_GETSIGINFO, t->pid, 0, &info) && info.si_code <= 0;
}

/* The next stop that the process itself has caused. Its wait status, or -1 when the process is gone. */
static int wait_stop(struct tracee *t)
{
	int status;

	for (;;) {
		t->end = -1;
		if (wait_patiently(t, &status)) {
			t->dead = true;
			return -1;
		}
		if (!WIFSTOPPED(status)) {
			t->dead = true;
			t->end = status;
			return -1;
		}
		if (!is_stray(t, status))
			return status;
		if (ptrace(PTRACE_CONT, t->pid, 0, 0) && errno != ESRCH)
			return -1;
	}
}

/* The first stop: the one that the process asks for itself. */
static int wait_first_stop(struct tracee *t)
{
	int status;

	if (wait_patiently(t, &status))
		return -ECHILD;
	if (WIFSTOPPED(status))
		return 0;
	t->dead = true;
	t->end = status;
	return WIFEXITED(status) && WEXITSTATUS(status) == NOT_ALLOWED ? -EPERM : -ESRCH;
}

/* Runs from @rip with up to six arguments until the next stop, whose wait status is returned. */
static int run_from(struct tracee *t, unsigned long rip, long nr, const unsigned long arg[6])
{
	struct user_regs_struct regs;

	/* What cannot be asked for its registers has been killed, and its end is what is waited for. */
	if (t->dead)
		return -1;
	if (ptrace(PTRACE_GETREGS, t->pid, 0, &regs))
		return wait_stop(t);
	regs.rip = rip;
	regs.rax = (unsigned long)nr;
	regs.orig_rax = ~0UL;	/* no system call to be restarted */
	regs.rdi = arg[0];
	regs.rsi = arg[1];
	regs.rdx = arg[2];
	regs.r10 = arg[3];
	regs.r8 = arg[4];
	regs.r9 = arg[5];
	regs.rsp = 0;
	if (ptrace(PTRACE_SETREGS, t->pid, 0, &regs) || ptrace(PTRACE_CONT, t->pid, 0, 0))
		return wait_stop(t);
	return wait_stop(t);
}

static long result_of(struct tracee *t)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, t->pid, 0, &regs))
		return -ESRCH;
	return (long)regs.rax;
}

long tracee_call(struct tracee *t, long nr, const unsigned long arg[6])
{
	int status = run_from(t, CODE_SYSCALL, nr, arg);

	if (status < 0 || WSTOPSIG(status) != SIGTRAP)
		return -ESRCH;
	return result_of(t);
}

/* Unmap everything but the two pages. */
static int empty_out(struct tracee *t)
{
	unsigned long below[6] = { 0, TRACEE_CODE };
	unsigned long above[6] = { TRACEE_END, TRACEE_TASK_SIZE - TRACEE_END };
	long err = tracee_call(t, SYS_munmap, below);

	if (!err)
		err = tracee_call(t, SYS_munmap, above);
	return (int)err;
}

int tracee_create(struct tracee *t, bool drop_caps)
{
	unsigned long start_brk = read_stat_field(47);
	long options = PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK;
	int err;

	memset(t, 0, sizeof(*t));
	no_files(t);
	t->pid = (pid_t)syscall(SYS_fork);
	if (t->pid == 0)
		become_tracee(drop_caps, start_brk);
	if (t->pid < 0)
		return -errno;
	err = wait_first_stop(t);
	if (!err && ptrace(PTRACE_SETOPTIONS, t->pid, 0, options))
		err = errno == ESRCH ? -ESRCH : -EPERM;
	if (!err)
		err = empty_out(t);
	if (!err)
		err = open_files(t);
	if (err)
		tracee_destroy(t);
	return err;
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

void tracee_destroy(struct tracee *t)
{
	int status;

	if (!t->dead) {
		kill(t->pid, SIGKILL);
		while (!wait_patiently(t, &status) && WIFSTOPPED(status))
			;
	}
	close_if_open(t->maps_fd);
	close_if_open(t->smaps_fd);
	close_if_open(t->status_fd);
	close_if_open(t->pagemap_fd);
	close_if_open(t->mem_fd);
}

int tracee_layout(struct tracee *t, struct tracee_layout *out)
{
	unsigned long map[6] = { 0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, ~0UL, 0 };
	unsigned long none[6] = { 0 };
	unsigned long unmap[6] = { 0, 4096 };
	long at = tracee_call(t, SYS_mmap, map);

	if (at < 0)
		return (int)at;
	unmap[0] = (unsigned long)at;
	out->mmap_base = (unsigned long)at + 4096;
	out->start_brk = (unsigned long)tracee_call(t, SYS_brk, none);
	out->data_size = read_stat_field(46) - read_stat_field(45);
	return (int)tracee_call(t, SYS_munmap, unmap);
}

long tracee_fork(struct tracee *t, struct tracee *child)
{
	unsigned long none[6] = { 0 };
	int status = run_from(t, CODE_SYSCALL, SYS_fork, none);
	unsigned long pid;

	if (status < 0)
		return -ESRCH;
	if (status >> 8 != (SIGTRAP | PTRACE_EVENT_FORK << 8))
		return result_of(t);

	if (ptrace(PTRACE_GETEVENTMSG, t->pid, 0, &pid))
		return -ESRCH;
	memset(child, 0, sizeof(*child));
	child->pid = (pid_t)pid;
	no_files(child);
	if (wait_first_stop(child) || ptrace(PTRACE_CONT, t->pid, 0, 0) || wait_stop(t) < 0)
		return -ESRCH;
	return open_files(child);
}

struct tracee_touch tracee_touch(struct tracee *t, unsigned long addr, char how, unsigned char byte)
{
	unsigned long arg[6] = { addr, byte };
	unsigned long rip = how == 'r' ? CODE_READ : how == 'w' ? CODE_WRITE : addr;
	struct tracee_touch touch = { 0, 0 };
	int status = run_from(t, rip, TRACEE_CODE, arg);
	siginfo_t info;

	if (status < 0 || ptrace(PTRACE_GETSIGINFO, t->pid, 0, &info)) {
		t->dead = true;
		touch.signo = SIGKILL;
		return touch;
	}
	if (WSTOPSIG(status) == SIGTRAP)
		return touch;
	/*
	 * Zeroes, executed, write to the address in %rax, the page of code: that fault is not the one asked
	 * for.
	 */
	if (how == 'x' && (unsigned long)info.si_addr != addr)
		return touch;
	touch.signo = WSTOPSIG(status);
	touch.code = info.si_code;
	return touch;
}

long tracee_read(int fd, char *buf, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while ((n = pread(fd, buf + have, size - 1 - have, (off_t)have)) > 0)
		have += (size_t)n;
	buf[have] = 0;
	return n < 0 || have == size - 1 ? -1 : (long)have;
}
