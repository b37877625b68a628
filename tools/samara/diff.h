/* SPDX-License-Identifier: MIT */
/*
 * The same calls on the running kernel and on the model, compared after each.
 *
 * A pair is a traced process with an empty address space (diff_tracee.h) beside a
 * model that was told its layout. diff_step() makes one call on both and compares
 * the result, then the mappings line by line with their flags, the counters, and the
 * pages. Others than the process that made the call are looked at in turn.
 */
#ifndef SAMARA_TOOLS_DIFF_H
#define SAMARA_TOOLS_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <samara/mm.h>
#include "diff_tracee.h"

#define DIFF_PAGE 4096UL
/** Where most calls go: far from everything else. */
#define DIFF_WINDOW 0x200000000UL
#define DIFF_WINDOW_PAGES 64UL
/** Huge pages that a run may have, and where it maps most of them. */
#define DIFF_POOL_PAGES 16
#define DIFF_HUGE_PAGE (2UL << 20)
#define DIFF_HUGE_WINDOW 0x280000000UL
/** Pages of the file of huge pages. */
#define DIFF_HUGE_FILE 4UL
/** All files but /dev/zero are as long. */
#define DIFF_FILE_BYTES (64UL << 20)
#define DIFF_MAX_PROCS 8
#define DIFF_MAX_VMAS 1024
/** A limit of mappings that a run can be given; with more, each comparison would take too long. */
#define DIFF_MAP_COUNT_MIN 200UL
#define DIFF_MAP_COUNT_MAX 1000UL
/** Where the mappings lie that use it up. */
#define DIFF_BALLAST 0x240000000UL
/** The kernel whose behaviour the model implements. */
#define DIFF_REFERENCE "6.18"
/** The oldest kernel that can be compared with it. */
#define DIFF_OLDEST_MAJOR 6
#define DIFF_OLDEST_MINOR 1

enum diff_kind {
	DIFF_MMAP,	/* addr, len, prot, flags, offset; file */
	DIFF_MUNMAP,	/* addr, len */
	DIFF_MPROTECT,	/* addr, len, prot */
	DIFF_MREMAP,	/* addr, old_len, new_len, flags, new_addr */
	DIFF_BRK,	/* brk */
	DIFF_MADVISE,	/* addr, len, advice */
	DIFF_MLOCK,	/* addr, len, flags */
	DIFF_MUNLOCK,	/* addr, len */
	DIFF_MLOCKALL,	/* flags */
	DIFF_MUNLOCKALL,
	DIFF_MSEAL,	/* addr, len, flags */
	DIFF_READ,	/* addr */
	DIFF_WRITE,	/* addr, byte */
	DIFF_EXEC,	/* addr */
	DIFF_FORK,
	DIFF_EXIT,
	DIFF_RLIMIT,	/* enum mm_rlimit, bytes */
	DIFF_PKEY_MPROTECT, /* addr, len, prot, key */
	DIFF_PKEY_ALLOC, /* flags, rights */
	DIFF_PKEY_FREE,	/* key */
	DIFF_MSYNC,	/* addr, len, flags */
	DIFF_MINCORE,	/* addr, len; the vector goes to the scratch page */
	DIFF_REMAP_FILE, /* addr, size, prot, pgoff, flags */
	DIFF_NAME,	/* addr, len, number of the name in diff_names */
	DIFF_PROCESS_MADVISE, /* addr, len, advice; second addr, len; flags. The pieces go to the scratch page */
	DIFF_NR_KINDS
};

/** The files that calls can map. */
enum diff_file {
	DIFF_NO_FILE,
	DIFF_MEMFD,
	DIFF_MEMFD_2,
	DIFF_DISK,
	DIFF_DISK_READ_ONLY,
	DIFF_DISK_WRITE_ONLY,
	DIFF_ZERO,
	DIFF_HUGE,	/* in huge pages; there where the machine has a pool */
	DIFF_NR_FILES
};

/** One call. */
struct diff_op {
	uint8_t kind;	/* enum diff_kind */
	uint8_t proc;	/* whose call; one that does not exist makes the call a no-op */
	uint8_t file;	/* enum diff_file */
	unsigned long arg[6];
};

/** A mapping, as either side shows it. */
struct diff_vma {
	unsigned long start;
	unsigned long end;
	char perms[5];
	uint64_t offset;
	unsigned int dev_major;
	unsigned int dev_minor;
	uint64_t ino;
	unsigned long flags;	/* MM_VM_*, those that VmFlags shows */
};

struct diff_map {
	int count;
	struct diff_vma vma[DIFF_MAX_VMAS];
};

/** Counters of /proc/PID/status that both sides have, in pages. */
enum diff_counter { DIFF_VMSIZE, DIFF_VMLCK, DIFF_VMDATA, DIFF_VMSTK, DIFF_VMEXE, DIFF_NR_COUNTERS };

struct diff_counters {
	unsigned long value[DIFF_NR_COUNTERS];
};

struct diff_proc {
	bool alive;
	struct tracee tracee;
	struct mm_struct *mm;
	struct diff_map map;	/* what both showed last */
};

/** Huge pages taken for the comparison. */
struct diff_pool {
	int size;	/* /proc/sys/vm/nr_hugepages, or -1 */
	long before;	/* pages that were promised before: the kernel has lost some */
	int end;	/* its closing tells the guardian to give the pool back; or -1 */
	pid_t guardian;
};

/** vm.max_map_count, lowered. */
struct diff_limit {
	int fd;		/* or -1 */
	int end;	/* tells the guardian to put the limit back; or -1 */
	pid_t guardian;
};

/**
 * diff_limit_lower - lower the machine's limit of mappings
 * @limit: filled in
 * @to:    the new one
 *
 * It is put back by diff_limit_restore(), or when the process and all that it
 * has started since have ended. Other programs get no more mappings meanwhile.
 *
 * Return: 0; -EACCES, -EPERM, -EROFS, -ENOENT (the setting cannot be written),
 * -EWOULDBLOCK (another process has lowered it), -ERANGE (it is lower already),
 * and the errors of fork.
 */
int diff_limit_lower(struct diff_limit *limit, unsigned long to);

/** diff_limit_restore - put it back. Allowed on one that could not be lowered. */
void diff_limit_restore(struct diff_limit *limit);

/** The kernel and the model, side by side. */
struct diff {
	struct mm_context *ctx;
	bool no_pages;		/* set before opening: the model has no page tables, mappings only */
	bool validate;		/* set before opening: the model is checked by itself after each call, all of it */
	enum mm_geometry geometry; /* set before opening: of the model's page tables */
	bool model_only;	/* there is no kernel: nothing is compared */
	bool no_aslr;		/* all addresses can be predicted, MAP_32BIT's too */
	bool has_huge;		/* there is a pool of huge pages */
	struct diff_pool pool;
	bool has_keys;		/* there are protection keys */
	bool has_names;		/* anonymous memory can be named */
	bool has_process_madvise; /* of oneself, without a descriptor */
	bool has_swap;		/* there is something to swap to */
	bool has_caps;		/* the process began with the rights that lift limits */
	struct diff_proc proc[DIFF_MAX_PROCS];
	struct vm_file *file[DIFF_NR_FILES];
	struct vm_file_info file_info[DIFF_NR_FILES];
	int fd[DIFF_NR_FILES];
	long files_open;	/* in the model */
	struct tracee_layout layout;
	unsigned long rlimit[MM_NR_RLIMITS];	/* of the first process at its beginning */
	unsigned long steps;	/* calls made; no-ops are not counted */
	unsigned long compared;	/* of these, compared */
	unsigned long mappings;	/* compared in all */
	unsigned long pages;	/* whose contents were */
	unsigned long valid_calls; /* after which the model was checked by itself */
	struct mm_validated valid; /* and what was found right there, and at the end */
	unsigned long touched;	/* address of the last call */
	unsigned long bad_byte;	/* the first one that differs, or its page; 0: none does */
	char bad_page[48];	/* what the model has there: "absent", "a private page, byte 0x12" */
	unsigned int flags_every;	/* compare flags and counters at each so many calls */
	bool thorough;		/* all processes and all flags after each call, else some of them in turn */
	int turn;		/* the process that was looked at last without having made the call */
	long kernel_result;	/* of the last call */
	long model_result;
	unsigned long kernel_core; /* what a mincore told, as one number */
	unsigned long model_core;
	struct diff_map kernel_map;	/* of the process that the last call changed */
	struct diff_map model_map;
	struct diff_counters kernel_counters;	/* when they were compared last */
	struct diff_counters model_counters;
	int shown;		/* whose maps these are */
	char why[256];	/* the first difference */
};

/**
 * diff_open - start one process and its model
 * @d:         filled in, but for what is to be set before
 * @drop_caps: without the rights that lift limits
 *
 * Return: 0; a negative errno, see tracee_create().
 */
int diff_open(struct diff *d, bool drop_caps);

/** diff_open_huge - the same with a pool of huge pages, if one can be had: d->has_huge says whether. */
int diff_open_huge(struct diff *d, bool drop_caps);

/** diff_pool_promised - huge pages of the pool in use or promised, as the machine tells. */
long diff_pool_promised(const struct diff_pool *pool);

/**
 * diff_open_model - a model alone, which diff_step() and the others drive as well
 * @d:   filled in
 * @ctx: of the context, or NULL for the defaults
 * @mm:  of the address space; NULL for the layout of a small program
 *
 * Return: 0; a negative errno.
 */
int diff_open_model(struct diff *d, const struct mm_context_options *ctx, const struct mm_options *mm);

/** diff_close - diff_end(), and the files and the context go. Return: as diff_end(). */
long diff_close(struct diff *d);

/** diff_end - end all processes and their models. Return: objects of theirs that are left, 0 if all is well. */
long diff_end(struct diff *d);

/** diff_begin - after diff_end(), a fresh process and its model. Return: as diff_open(). */
int diff_begin(struct diff *d, bool drop_caps);

/** diff_step - make one call on both sides and compare. Return: whether they agree; d->why says what differs. */
bool diff_step(struct diff *d, const struct diff_op *op);

/**
 * diff_valid - check the model by itself: all address spaces, and at the end of an episode the @frames
 *
 * Return: 0; 1 when it is broken, and d->why says so; -ENOMEM.
 */
int diff_valid(struct diff *d, bool frames);

/** diff_same_all - compare all processes that are alive. Return: as diff_step(). */
bool diff_same_all(struct diff *d);

/** diff_print_op - a call as a line of text. */
void diff_print_op(FILE *out, const struct diff_op *op);

/** diff_print_maps - both sides' mappings after the last call. */
void diff_print_maps(FILE *out, const struct diff *d);

/**
 * diff_same_place - continue where addresses are the same each time
 * @argv: of the program, which is restarted once, without ASLR
 *
 * Returns where that is not allowed too; then nothing asks for MAP_32BIT.
 */
void diff_same_place(char **argv);

/** What a run of random calls is made of. */
struct diff_options {
	uint64_t seed;
	unsigned long calls;	/* 0: no end */
	double seconds;		/* 0: no end */
	unsigned long episode;	/* calls before a fresh process is taken; 0: 400 */
	uint32_t only;		/* bit per enum diff_kind; 0: all */
	enum mm_geometry geometry;
	bool validate;		/* check the model by itself after each call */
	unsigned long map_count; /* the limit of mappings, as it was lowered to be reached; 0: it is not */
	const char *keep;	/* folder for what reproduces a difference; NULL: nothing is written */
	void (*tick)(void *arg, unsigned long calls);	/* now and then, for somebody who waits; may be NULL */
	void *arg;
};

struct diff_report {
	unsigned long calls;
	unsigned long compared;	/* calls: a process that ends leaves nothing to compare */
	unsigned long mappings;	/* compared */
	unsigned long pages;	/* contents compared */
	unsigned long by_kind[DIFF_NR_KINDS];
	unsigned long refused;	/* calls that both refused */
	unsigned long without_caps;
	unsigned long valid_calls;	/* with validate: after which the model was found right */
	struct mm_validated valid;	/* what was looked at then */
	unsigned long at_the_limit;	/* calls made with at most three mappings left, where there is a limit to reach */
	unsigned long divergences;
	bool huge_pages;	/* there was a pool to compare with */
	double seconds;
};

/**
 * diff_run - random calls until they are done or the sides differ
 *
 * A difference is shrunk to the fewest calls and printed on @out.
 *
 * Return: 0; 1 when the sides differ; a negative errno when it could not run.
 */
int diff_run(FILE *out, const struct diff_options *opt, struct diff_report *report);

/** diff_print_report - the figures, for people. */
void diff_print_report(FILE *out, const struct diff_options *opt, const struct diff_report *report);

/** diff_write_json - the figures as one JSON object. @path "-" is standard output. Return: 0 or -errno. */
int diff_write_json(const char *path, const struct diff_options *opt, const struct diff_report *report);

/* The generator (diff_gen.c). */

struct diff_rng {
	uint64_t state;
};

uint64_t diff_random(struct diff_rng *rng);

/** Calls that are to be made one after the other (diff_recipe.c). */
#define DIFF_PLAN_MAX 12
struct diff_plan {
	struct diff_op op[DIFF_PLAN_MAX];
	unsigned int count;
	unsigned int next;
	uint8_t proc;		/* whose */
	bool limits;		/* rather what reaches a limit */
	bool huge;		/* there are huge pages, and they are wanted */
};

/** What one episode leans to, drawn at its beginning. */
struct diff_taste {
	bool window;	/* all within DIFF_WINDOW; else the kernel chooses addresses */
	bool fork;
	bool seal;
	bool lock;
	bool keys;	/* protection keys */
	bool huge;	/* huge pages; then it does not fork */
	bool limits;
	unsigned long map_count;	/* so many mappings are to be reached; 0: few */
	uint32_t only;		/* bit per enum diff_kind; 0: all */
	struct diff_plan plan;	/* under way */
};

void diff_draw_taste(struct diff_rng *rng, uint32_t only, struct diff_taste *taste);
void diff_draw_op(struct diff_rng *rng, struct diff_taste *taste, const struct diff *d, struct diff_op *op);

/** diff_draw_plan - fill @plan, whose proc is set. The calls may be anything: the drawer of calls leaves out what hurts. */
void diff_draw_plan(struct diff_rng *rng, const struct diff *d, struct diff_plan *plan);

/** diff_geometry_name - as --geometry takes it; NULL beyond the last. */
const char *diff_geometry_name(enum mm_geometry geometry);

/** diff_kind_name - the call's name; NULL beyond the last. */
const char *diff_kind_name(unsigned int kind);

#endif
