/* SPDX-License-Identifier: MIT */
/*
 * A mirror: the address spaces of a set of processes, kept by the library from
 * a stream of calls, and compared with what the kernel shows.
 *
 * The stream has two sources: the tracer (run.c), and files (replay.c). Both
 * fill in a struct call for each call that has returned and hand it to
 * mirror_call(), in the order in which the kernel ran the calls of one
 * address space.
 */
#ifndef SAMARA_TOOLS_MIRROR_H
#define SAMARA_TOOLS_MIRROR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <samara/mm.h>

/* Calls ------------------------------------------------------------------- */

/* Those that the mirror knows. The name table in calls.c has the same order. */
enum call_kind {
	CALL_MMAP,
	CALL_MUNMAP,
	CALL_MPROTECT,
	CALL_PKEY_MPROTECT,
	CALL_PKEY_ALLOC,
	CALL_PKEY_FREE,
	CALL_MREMAP,
	CALL_BRK,
	CALL_MADVISE,
	CALL_MLOCK,
	CALL_MLOCK2,
	CALL_MUNLOCK,
	CALL_MLOCKALL,
	CALL_MUNLOCKALL,
	CALL_MSEAL,
	CALL_MSYNC,		/* no effect on mappings */
	CALL_MINCORE,
	CALL_REMAP_FILE_PAGES,
	/* Also prlimit64 on itself: args[0] is the resource, args[1] the new soft limit in bytes. */
	CALL_SETRLIMIT,
	/* shmat, io_setup, userfaultfd, ...: may change the map in ways that are adopted. */
	CALL_FOREIGN,
	/* Processes: */
	CALL_FORK,		/* ret is the child's process id; a new address space */
	CALL_VFORK,		/* ret is the child's process id; it shares memory until exec or exit */
	/* A thread, or a process that shares; ret is the new one's id, args[0] the clone flags. */
	CALL_CLONE_VM,
	CALL_EXEC,
	CALL_EXIT,		/* the last thread of the process has gone */
	CALL_NR_KINDS
};

const char *call_name(enum call_kind kind);
/* As the trace format spells it, which differs for what is no system call. */
const char *call_word(enum call_kind kind);
/* The kind for a system call's name as strace and the trace format spell it; -1: not known. */
/* (clone, clone3: CALL_CLONE_VM, and the flags decide whether it is CALL_FORK or CALL_VFORK.) */
int call_kind_by_name(const char *name);

/* The file behind a descriptor, as far as the source knows it. */
struct call_file {
	bool known;
	bool anonymous_inode;	/* a driver's mapping: adopted as the kernel shows it */
	uint64_t description;	/* equal for the same open file description, and never reused; 0: unknown */
	struct vm_file_info info;
	char name[512];		/* info.name points here, or is NULL */
};

struct call {
	enum call_kind kind;
	pid_t pid;		/* process (thread group) */
	pid_t tid;
	unsigned long args[6];	/* as the system call has them; mmap: addr, len, prot, flags, fd, offset */
	long ret;		/* value, or -errno */
	bool returned;		/* false: killed in the call; whether it took effect is unknown */
	bool in_motion;		/* CALL_EXIT: others change what it shared right now, so nothing is compared */
	struct call_file file;	/* mmap of a file */
	const char *text;	/* for messages: the line it came from, or NULL: made of the above */
};

/* "mprotect(0x7f0000000000, 4096, PROT_READ|PROT_WRITE) = 0" into @buf; returns @buf. */
char *call_format(const struct call *call, char *buf, size_t len);

/* Maps files -------------------------------------------------------------- */

struct map_line {
	unsigned long start, end;
	char perms[5];
	uint64_t offset;
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	char *name;		/* in the map's own text, "" when there is none */
	/* from smaps, when it was read: */
	unsigned long vm_flags;	/* MM_VM_*, 0 when not read */
	bool has_anonymous;	/* "Anonymous:" or "Swap:" is not 0 */
};

struct map {
	struct map_line *lines;	/* sorted, the gate area left out */
	size_t nr;
	size_t room;
	char *text;		/* owns the names */
	size_t text_room;
};

/*
 * Parse the text of a maps or smaps file (detected by its lines). @origin is the file's name for
 * messages. Checks order, overlap, alignment, the user range ([vsyscall] excepted). A bad line is
 * explained on standard error with @origin and its line number; then -EINVAL is returned. @map may
 * hold an earlier map, whose memory is used again. -ENOMEM.
 */
int map_parse(struct map *map, const char *text, size_t len, const char *origin);
/* Read and parse /proc/@pid/maps (or smaps). Returns 0 or -errno; -ESRCH when the process has gone. */
int map_read_pid(struct map *map, pid_t pid, bool smaps);
/* The same from a maps file that is held open (rewound by pread). */
int map_read_fd(struct map *map, int fd, const char *origin);
void map_free(struct map *map);
/* Print one line in the format of /proc/PID/maps. */
void map_print_line(FILE *out, const struct mm_vma_info *vma);
/* The MM_VM_* flag of a code of VmFlags, which begins @code; 0 when it has no meaning for the model. */
unsigned long map_flag(const char *code);
/* Print the codes of @flags, and a protection key that is not 0, a blank before each (@out may be NULL). Returns those of @flags that have one. */
unsigned long map_print_flags(FILE *out, unsigned long flags);

/* Mirrors ----------------------------------------------------------------- */

struct mirror;

enum mirror_verify { MIRROR_VERIFY_NONE, MIRROR_VERIFY_EXIT, MIRROR_VERIFY_EACH };

struct mirror_options {
	enum mirror_verify verify;
	bool faults_known;	/* each first write of a page is told by mirror_fault() */
	bool replay;		/* no kernel to ask: the calls' results are taken as given */
	FILE *report;		/* divergences and explanations are printed here as they are found */
	/*
	 * How the kernel's view is asked for. Both may be NULL (replay).
	 * read_map fills @map with maps, or with smaps if @smaps; 0 or -errno.
	 */
	int (*read_map)(void *arg, pid_t pid, bool smaps, struct map *map);
	void *arg;
	/*
	 * Tells the faults of @pid that have happened but were not told yet, by mirror_fault(). Asked
	 * before a stack that the kernel shows larger than the model is called a divergence. May be NULL.
	 */
	void (*drain_faults)(void *arg, pid_t pid);
	/* The model took over the kernel's map: a trace of calls alone would not lead there. May be NULL. */
	void (*took_map)(void *arg, pid_t pid, const struct map *map);
};

/* What the summary and --json report. */
struct mirror_stats {
	unsigned long processes;	/* address spaces seen: the first, forks, execs */
	unsigned long calls[CALL_NR_KINDS];
	unsigned long failed_calls;	/* of these, ended in an error */
	unsigned long vmas_now;		/* over all live address spaces */
	unsigned long vmas_peak;	/* the largest map_count of one address space */
	unsigned long splits, merges;
	unsigned long comparisons;	/* maps compared, VMA by VMA */
	unsigned long explained;	/* faults not told permit both outcomes; the kernel's was taken */
	unsigned long adopted;		/* mappings made by calls outside the model */
	unsigned long divergences;
	unsigned long searched;		/* mmap and mremap that left the address to the kernel */
	unsigned long predicted;	/* of these, chosen by the model too */
	unsigned long faults;		/* told */
	unsigned long stack_growths;
};

int mirror_create(const struct mirror_options *opt, struct mirror **out);
void mirror_destroy(struct mirror *m);
void mirror_read_stats(struct mirror *m, struct mirror_stats *out);

/* What is known of a process at exec, beside its map. */
struct mirror_exec_info {
	bool brk_known;
	unsigned long start_brk, brk;
	bool limits_known;
	unsigned long rlimit[MM_NR_RLIMITS];	/* bytes */
	bool cap_ipc_lock;
	unsigned long personality;
	bool static_binary;
};

/*
 * A process with a fresh address space whose layout is @map (smaps when the source could read it):
 * the first one, or one that has just called exec. Replaces what the mirror had for @pid.
 * Returns 0, -ENOMEM, or -EINVAL when the library refuses the map.
 */
int mirror_exec(struct mirror *m, pid_t pid, const struct map *map, const struct mirror_exec_info *info);

/*
 * Before a call is let through: settles what it may depend on (smaps, when faults are not known).
 * May be left out in replay.
 */
int mirror_before(struct mirror *m, const struct call *call);

/*
 * A call has returned: the model makes it too, and is compared with the kernel as the options ask.
 * CALL_FORK, CALL_VFORK and CALL_CLONE_VM are told at the parent's event, before the child runs;
 * CALL_EXIT when the last thread has gone; what it shared with others is compared unless it is in motion.
 * CALL_EXEC is told by mirror_exec() alone.
 * A pid that the mirror does not know is ignored. Returns 0, 1 after a divergence (reported), or -ENOMEM.
 */
int mirror_call(struct mirror *m, const struct call *call);

/* A page fault at @addr in @pid's address space. Ignored where the pid is unknown. */
int mirror_fault(struct mirror *m, pid_t pid, unsigned long addr, enum mm_access access);

/* The model is no longer fed with all faults from now on (events were lost). */
void mirror_faults_lost(struct mirror *m);

/* Compare @pid's map with the kernel's now, for verify=exit. 0, 1 after a divergence, -errno. */
int mirror_compare(struct mirror *m, pid_t pid);

/*
 * Take the kernel's map over where the model differs, without calling it a divergence: what a trace
 * tells where the calls do not lead there. Differing mappings count as adopted. Returns 0 or -errno.
 */
int mirror_adopt_map(struct mirror *m, pid_t pid, const struct map *map);

/* Forget a process without comparing (killed; became 32-bit; set-user-ID). */
void mirror_forget(struct mirror *m, pid_t pid);

/* The address space of a process, NULL when unknown. Not counted: valid until the next call on @m. */
struct mm_struct *mirror_mm(struct mirror *m, pid_t pid);
/* Processes in order of first sight, the ended ones included; a replay keeps their final map. */
size_t mirror_nr_processes(struct mirror *m);
pid_t mirror_process_pid(struct mirror *m, size_t index);
struct mm_struct *mirror_process_mm(struct mirror *m, size_t index);
/* Print the mappings of one as /proc/PID/maps does, [heap] and [stack] named. 0; -ENOENT: no map was kept. */
int mirror_print_maps(struct mirror *m, size_t index, FILE *out);

/* How many mappings hold the open file description; 0: it may be closed, and its number is free. */
unsigned long mirror_description_mapped(struct mirror *m, uint64_t description);

#endif
