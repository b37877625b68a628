/* SPDX-License-Identifier: MIT */
/* From a system call's number and arguments to the mirror's words for it. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

#include "tracer.h"
#include "tracer_numbers.h"

static const struct {
	int nr;
	enum call_kind kind;
	const char *name;	/* of a call that the mirror has no word for */
} known[] = {
	{ SYS_mmap, CALL_MMAP, NULL },
	{ SYS_munmap, CALL_MUNMAP, NULL },
	{ SYS_mprotect, CALL_MPROTECT, NULL },
	{ SYS_brk, CALL_BRK, NULL },
	{ SYS_madvise, CALL_MADVISE, NULL },
	{ SYS_mremap, CALL_MREMAP, NULL },
	{ SYS_pkey_mprotect, CALL_PKEY_MPROTECT, NULL },
	{ SYS_pkey_alloc, CALL_PKEY_ALLOC, NULL },
	{ SYS_pkey_free, CALL_PKEY_FREE, NULL },
	{ SYS_mlock, CALL_MLOCK, NULL },
	{ SYS_mlock2, CALL_MLOCK2, NULL },
	{ SYS_munlock, CALL_MUNLOCK, NULL },
	{ SYS_mlockall, CALL_MLOCKALL, NULL },
	{ SYS_munlockall, CALL_MUNLOCKALL, NULL },
	{ NR_MSEAL, CALL_MSEAL, NULL },
	{ SYS_setrlimit, CALL_SETRLIMIT, NULL },
	{ SYS_prlimit64, CALL_SETRLIMIT, NULL },
	{ SYS_fork, CALL_FORK, NULL },
	{ SYS_vfork, CALL_VFORK, NULL },
	{ SYS_clone, CALL_CLONE_VM, NULL },
	{ SYS_clone3, CALL_CLONE_VM, NULL },
	{ SYS_execve, CALL_EXEC, NULL },
	{ SYS_execveat, CALL_EXEC, NULL },
	{ SYS_shmat, CALL_FOREIGN, "shmat" },
	{ SYS_shmdt, CALL_FOREIGN, "shmdt" },
	{ SYS_io_setup, CALL_FOREIGN, "io_setup" },
	{ SYS_io_destroy, CALL_FOREIGN, "io_destroy" },
	{ SYS_remap_file_pages, CALL_REMAP_FILE_PAGES, NULL },
	{ SYS_mbind, CALL_FOREIGN, "mbind" },
	{ NR_SET_MEMPOLICY_HOME_NODE, CALL_FOREIGN, "set_mempolicy_home_node" },
	{ NR_MAP_SHADOW_STACK, CALL_FOREIGN, "map_shadow_stack" },
	{ SYS_process_madvise, CALL_FOREIGN, "process_madvise" },
	{ SYS_process_vm_writev, CALL_FOREIGN, "process_vm_writev" },
	{ SYS_prctl, CALL_FOREIGN, "prctl" },
	{ SYS_ioctl, CALL_FOREIGN, "ioctl" },
};

/* Return: bytes read from the tracee, fewer than @len where its memory ends. */
static size_t read_tracee(pid_t tid, unsigned long addr, void *buf, size_t len)
{
	struct iovec here = { buf, len };
	struct iovec there = { (void *)addr, len };
	ssize_t n = process_vm_readv(tid, &here, 1, &there, 1, 0);

	return n < 0 ? 0 : (size_t)n;
}

static bool limit_matters(unsigned long resource)
{
	return resource == RLIMIT_AS || resource == RLIMIT_DATA || resource == RLIMIT_STACK ||
	       resource == RLIMIT_MEMLOCK;
}

/* setrlimit(resource, new), or prlimit64(pid, resource, new, old): resource and soft limit go to args[]. */
static bool decode_limit(struct tracer *t, struct task *task, long nr, const uint64_t args[6])
{
	bool of_pid = nr == SYS_prlimit64;
	unsigned int resource = (unsigned int)args[of_pid ? 1 : 0];
	struct call *call = &task->call;
	struct rlimit64 limit = { 0, 0 };

	if (!limit_matters(resource))
		return false;
	if (read_tracee(task->tid, args[of_pid ? 2 : 1], &limit, sizeof(limit)) != sizeof(limit))
		return false;
	if (of_pid && (pid_t)args[0] != 0) {
		if (!process_find(t, (pid_t)args[0]))
			return false;
		call->pid = (pid_t)args[0];
	}
	memset(call->args, 0, sizeof(call->args));
	call->args[0] = resource;
	call->args[1] = limit.rlim_cur;
	return true;
}

/* Pages come to another process, or the own, without a fault: its map is looked at afterwards. */
static bool decode_write(struct tracer *t, struct task *task, const uint64_t args[6])
{
	task->call.pid = (pid_t)args[0];
	return process_find(t, (pid_t)args[0]) != NULL;
}

/*
 * A child that is not traced has the filter all the same, and each call that stops there fails with ENOSYS:
 * LeakSanitizer's helper, say. So the wish not to be traced is not passed on.
 */
static void let_trace(struct task *task, long nr, uint64_t at, uint64_t flags)
{
	uint64_t traced = flags & ~(uint64_t)CLONE_UNTRACED;
	struct iovec here = { &traced, sizeof(traced) }, there = { (void *)at, sizeof(traced) };

	if (traced == flags)
		return;
	if (nr == SYS_clone)
		ptrace(PTRACE_POKEUSER, task->tid, offsetof(struct user_regs_struct, rdi), traced);
	else if (nr == SYS_clone3)
		(void)!process_vm_writev(task->tid, &here, 1, &there, 1, 0);
}

/* The flags to args[0]. A thread changes no map, and so need not wait. */
static bool decode_clone(struct task *task, long nr, const uint64_t args[6])
{
	uint64_t flags = 0;

	if (nr == SYS_clone)
		flags = args[0];
	else if (nr == SYS_clone3)
		/* The first word of struct clone_args. */
		read_tracee(task->tid, args[0], &flags, sizeof(flags));
	else if (nr == SYS_vfork)
		flags = CLONE_VM | CLONE_VFORK;
	let_trace(task, nr, args[0], flags);
	memset(task->call.args, 0, sizeof(task->call.args));
	task->call.args[0] = flags;
	task->flags_known = true;
	return !(flags & CLONE_VM) || (flags & CLONE_VFORK);
}

bool call_decode(struct tracer *t, struct task *task, long nr, const uint64_t args[6])
{
	struct call *call = &task->call;
	size_t i, n = sizeof(known) / sizeof(known[0]);

	for (i = 0; i < n && known[i].nr != nr; i++)
		;
	if (i == n)
		return false;
	call->kind = known[i].kind;
	call->pid = task->process->pid;
	call->tid = task->tid;
	for (int a = 0; a < 6; a++)
		call->args[a] = args[a];
	call->ret = 0;
	call->returned = false;
	call->in_motion = false;
	call->text = NULL;
	memset(&call->file, 0, offsetof(struct call_file, name) + 1);
	task->nr = nr;
	task->name = known[i].name;
	if (nr == SYS_process_vm_writev)
		return decode_write(t, task, args);
	if (call->kind == CALL_SETRLIMIT)
		return decode_limit(t, task, nr, args);
	if (call->kind == CALL_FORK || call->kind == CALL_VFORK || call->kind == CALL_CLONE_VM)
		return decode_clone(task, nr, args);
	return true;
}

bool call_may_unmap(const struct call *call)
{
	switch (call->kind) {
	case CALL_MMAP:
		return !(call->args[3] & MAP_ANONYMOUS) || (call->args[3] & MAP_FIXED);
	case CALL_MUNMAP:
	case CALL_MREMAP:
	case CALL_REMAP_FILE_PAGES:
	case CALL_FOREIGN:
	case CALL_EXIT:
		return true;
	default:
		return !call->returned;
	}
}

uint64_t call_clone_flags(struct task *task)
{
	struct user_regs_struct regs;
	uint64_t flags = 0;

	if (task->flags_known)
		return task->call.args[0];
	if (ptrace(PTRACE_GETREGS, task->tid, NULL, &regs))
		return 0;
	switch ((long)regs.orig_rax) {
	case SYS_clone:
		return regs.rdi;
	case SYS_clone3:
		read_tracee(task->tid, regs.rdi, &flags, sizeof(flags));
		return flags;
	case SYS_vfork:
		return CLONE_VM | CLONE_VFORK;
	default:
		return 0;
	}
}
