/* SPDX-License-Identifier: MIT */
/* What the sources of the differential tester share among themselves; its users include diff.h. */
#ifndef SAMARA_TOOLS_DIFF_PARTS_H
#define SAMARA_TOOLS_DIFF_PARTS_H

#include "diff.h"
#include "mirror.h"

/* Maps and counters (diff_map.c) ------------------------------------------ */

/* Reads smaps when @flags, else maps. 0, or -EIO: there is none, or the process has gone. */
int diff_read_kernel_map(struct tracee *t, bool flags, struct diff_map *map);
void diff_read_model_map(struct mm_struct *mm, struct diff_map *map);
/* Compare what was read last; counters are read now. What differs first is told in d->why. */
bool diff_same_maps(struct diff *d, bool flags);
bool diff_same_counters(struct diff *d, struct diff_proc *p);

extern const char *const diff_counter_names[DIFF_NR_COUNTERS];

/* Presence and contents of all pages of the mappings that were read last (diff_pages.c). Told in d->why. */
bool diff_same_pages(struct diff *d, struct diff_proc *p);
/* What mincore told of @pages pages, as one number; without files on disk. */
unsigned long diff_mincore_sum(const struct diff *d, const struct diff_proc *p, unsigned long addr,
			       const unsigned char *vec, unsigned long pages);

/* Calls (diff_calls.c) ---------------------------------------------------- */

/* One call on one side; @child gets the new process of a fork. Returns its result, or a negative errno. */
long diff_on_kernel(struct diff *d, const struct diff_op *op, struct diff_proc *child);
long diff_on_model(struct diff *d, const struct diff_op *op, struct diff_proc *child);

/* The caller itself, where calls take a pidfd: Linux 6.14 and later. */
#define DIFF_PIDFD_SELF (-10000L)

/* The numbers of RLIMIT_*, and of system calls (0: none). */
extern const int diff_rlimits[MM_NR_RLIMITS];
long diff_syscall(unsigned int kind);
/* The arguments of that system call; those of mmap lack the descriptor. */
void diff_kernel_args(const struct diff_op *op, unsigned long arg[6]);

static inline bool diff_is_touch(const struct diff_op *op)
{
	return op->kind == DIFF_READ || op->kind == DIFF_WRITE || op->kind == DIFF_EXEC;
}

/* As the trace and the mirror have it; process ids and the result are the caller's to fill in. Not for touches. */
void diff_fill_call(const struct diff_op *op, struct call *call);
/* "munmap(0x200000000, 4096)", without result, into @buf of @len bytes; returns @buf. */
char *diff_format_op(const struct diff_op *op, char *buf, size_t len);
/* "-EINVAL", "0x200000000"; for touches "works", "SIGSEGV, SEGV_MAPERR". */
char *diff_format_result(const struct diff_op *op, long result, char *buf, size_t len);

/* The pool of huge pages (diff_pool.c) ------------------------------------ */

/* Makes one of DIFF_POOL_PAGES. False: the process may not, or there is one already, or another diff has made it. */
bool diff_pool_open(struct diff_pool *pool);
/* Gives it back; all who use it have ended. May be called on one that is not open. */
void diff_pool_close(struct diff_pool *pool);

/* The limit of mappings (diff_limit.c) ------------------------------------- */

/* What the machine has now; 0: it does not tell. */
unsigned long diff_limit_read(void);

/* A finding (diff_write.c) ------------------------------------------------ */

/* The calls that led to a difference. */
struct diff_episode {
	struct diff_op *op;
	long *result;		/* the kernel's, of each */
	size_t count;
	bool drop_caps;
	struct diff_taste taste;
};

/*
 * A C program that makes the calls of @e without Samara, and a trace for `samara replay`. @d is as the last
 * of them left it. Return: 0 or -errno of the write.
 */
int diff_write_program(const char *path, const struct diff *d, const struct diff_episode *e);
int diff_write_trace(const char *path, const struct diff *d, const struct diff_episode *e);

/* What drives the process in such a program: C text (made from diff_driver.c.in). */
extern const char diff_driver_text[];

#endif
