/* SPDX-License-Identifier: MIT */
/*
 * A process whose address space is empty but for a page of code and one to
 * write to, and which makes exactly the system calls and touches that the caller asks for.
 *
 * It is a forked copy of the caller that has unmapped everything else and is
 * driven with ptrace. The pages lie at TRACEE_CODE and TRACEE_SCRATCH; calls must leave
 * them alone.
 */
#ifndef SAMARA_TOOLS_DIFF_TRACEE_H
#define SAMARA_TOOLS_DIFF_TRACEE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define TRACEE_CODE 0x30000000UL
#define TRACEE_SCRATCH (TRACEE_CODE + 4096UL)
#define TRACEE_END (TRACEE_SCRATCH + 4096UL)
#define TRACEE_TASK_SIZE 0x7ffffffff000UL

#define TRACEE_PATIENCE 10	/* seconds that one call may take */

struct tracee {
	pid_t pid;
	int maps_fd;
	int smaps_fd;
	int status_fd;
	int pagemap_fd;
	int mem_fd;
	bool dead;		/* it ended, and not by tracee_destroy() */
	bool hung;		/* a call took longer than TRACEE_PATIENCE, and it was killed */
	int end;		/* how, as waitpid() tells; -1: it does not tell */
};

/** How a touch ended, as the signal and its code say. */
struct tracee_touch {
	int signo;	/* 0: it worked */
	int code;	/* si_code */
};

/** What every process that is made here starts with. */
struct tracee_layout {
	unsigned long mmap_base;
	unsigned long start_brk;
	unsigned long data_size;	/* bytes of the data of the program that it was forked from */
};

/**
 * tracee_watch - from now on, a process that does not come back from a call is killed and counts as dead
 *
 * Takes SIGALRM and the interval timer of the calling process.
 */
void tracee_watch(void);

/**
 * tracee_create - start a process with an empty address space
 * @t:         filled in
 * @drop_caps: without the rights that lift limits
 *
 * Return: 0; a negative errno: -EPERM when tracing is not allowed, -ESRCH
 * when the process was killed meanwhile.
 */
int tracee_create(struct tracee *t, bool drop_caps);

/** tracee_destroy - kill the process and wait until it is gone. */
void tracee_destroy(struct tracee *t);

/** tracee_layout - where mappings and heap begin; @t must be as tracee_create() left it. */
int tracee_layout(struct tracee *t, struct tracee_layout *out);

/**
 * tracee_call - make a system call in the process
 *
 * Return: what the kernel returns: a value or a negative errno. When the
 * process has died, -ESRCH.
 */
long tracee_call(struct tracee *t, long nr, const unsigned long arg[6]);

/** tracee_fork - let the process fork; @child is another process, driven alike. Return: 0 or a negative errno. */
long tracee_fork(struct tracee *t, struct tracee *child);

/** tracee_touch - read ('r'), write ('w') or execute ('x') the byte at @addr. Written is @byte. */
struct tracee_touch tracee_touch(struct tracee *t, unsigned long addr, char how, unsigned char byte);

/** Names for anonymous memory that lie in the page of code; the last one is bad. NULL: no name. */
#define TRACEE_NR_NAMES 4
extern const char *const tracee_names[TRACEE_NR_NAMES];
/** tracee_name - where the name lies in the process; 0 for NULL. */
unsigned long tracee_name(unsigned long number);

/**
 * tracee_read - read a file of the process from its beginning
 * @fd:   maps_fd, smaps_fd or status_fd
 * @buf:  gets a string
 * @size: of @buf
 *
 * Return: bytes read, without the closing 0; -1 when @buf is too small.
 */
long tracee_read(int fd, char *buf, size_t size);

#endif
