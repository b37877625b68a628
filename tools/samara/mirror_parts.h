/* SPDX-License-Identifier: MIT */
/*
 * Inside the mirror: what its files share. Prototypes are grouped by the file
 * that owns them.
 *
 * Glossary
 *   space      one address space in the model; processes may share it
 *   blind      faults are not told: which mappings have an anon_vma is known
 *              for those settled from smaps, and for those never writable
 *   written    (of a space) addresses that may have been written since they
 *              were mapped; kept while blind
 *   settle     ask smaps which mappings hold anonymous pages, and tie those
 *              to an anon_vma in the model
 *   take over  make the model's mappings those of the kernel
 */
#ifndef SAMARA_TOOLS_MIRROR_PARTS_H
#define SAMARA_TOOLS_MIRROR_PARTS_H

#include <samara/maple_tree.h>

#include "platform/platform.h"
#include "mirror.h"

#define PAGE 4096UL
#define USER_TOP 0x7ffffffff000UL	/* one past the last user byte */

struct space {
	unsigned int users;		/* processes */
	struct mm_struct *mm;
	struct maple_tree written;	/* value entries over ranges; empty while faults are known */
	unsigned long splits0, merges0;	/* the mm's counters when the space began */
	bool heap_known;
	unsigned long heap_start, heap_end;	/* bytes, as brk has them */
	unsigned long stack_end;	/* of [stack]; 0: none was seen */
	bool layout_known;		/* it began with a map, not with nothing */
	bool stale;			/* a call was cut off: take the kernel's map over before the next */
};

struct process {
	pid_t pid;
	bool alive;
	struct space *space;		/* NULL: forgotten, or ended and not kept */
	struct process *next;		/* of the same bucket; live ones only */
};

/* An open file description, with a reference of our own to the library's file. */
struct description {
	uint64_t number;
	bool writable;
	struct vm_file *file;
	struct description *next;
};

#define PID_BUCKETS 256
#define DESCRIPTION_BUCKETS 1024

/* A copy of the model's mappings; the pointers in it die with the next change. */
struct view {
	struct mm_vma_info *vmas;
	size_t nr;
	size_t room;
};

struct mirror {
	struct mirror_options opt;
	struct mm_context *ctx;
	struct mirror_stats stats;	/* splits and merges: of the spaces that have ended */
	struct process **processes;	/* in order of first sight */
	size_t nr_processes;
	size_t room;
	struct process *by_pid[PID_BUCKETS];
	struct description *descriptions[DESCRIPTION_BUCKETS];
	unsigned long nr_descriptions;
	unsigned long sweep_at;		/* descriptions that are not mapped are dropped at this number */
	struct map map, smaps;		/* memory used again by each read */
	struct view view;
	bool legacy_layout;		/* vm.legacy_va_layout: all programs have their mappings bottom up */
	bool memory_unknown;		/* the model cannot say when the kernel runs out of memory */
	bool foreign_noted;
};

/* What the model says of a call. */
struct outcome {
	long result;		/* value, or -errno */
	bool outside;		/* the model has no say: the kernel's result stands */
	bool take_over;		/* and what the call mapped is to be asked of the kernel */
};

static inline bool is_error(long ret)
{
	return ret < 0 && ret >= -4095;
}

/* Faults are not told, and whether that matters is checked. */
static inline bool mirror_is_blind(const struct mirror *m)
{
	return !m->opt.faults_known && m->opt.read_map && m->opt.verify != MIRROR_VERIFY_NONE;
}

/* mirror.c */

struct process *find_mirrored(struct mirror *m, pid_t pid);
/* The file for what @file describes, with a reference for the caller. 0 or -ENOMEM. */
int description_get(struct mirror *m, const struct call_file *file, struct vm_file **out);
void note_peak(struct mirror *m, struct space *s);
/* What was learnt from the kernel's map, and a trace of the calls alone would not tell. */
void tell_taken(struct mirror *m, struct process *p, const struct map *smaps);
void say(struct mirror *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* mirror_calls.c: the model makes the calls */

/* Whether @file's mapping is a driver's, which only the kernel can show. */
bool mmap_is_foreign(const struct call *call);
/* The arguments as the model takes them. *@file, with a reference, is the caller's to put; it may be NULL. */
int mmap_arguments(struct mirror *m, const struct call *call, struct mm_mmap_args *args);
/* Where the kernel would put what a mremap that may move asks for; for mm_get_unmapped_area(). */
bool mremap_search(struct space *s, const struct call *call, struct mm_mmap_args *args);
int apply_call(struct mirror *m, struct space *s, const struct call *call, struct outcome *out);

/* mirror_layout.c: the kernel's map becomes the model's */

int space_create(struct mirror *m, const struct map *map, const struct mirror_exec_info *info,
		 struct space **out);
/*
 * Mappings that are in both stay as they are. @changed, if not NULL, gets the number of lines entered and of
 * gaps cleared. @map should be smaps. 0, -ENOMEM, or -EINVAL when the library refuses a line.
 */
int space_take_over(struct mirror *m, struct space *s, const struct map *map, unsigned long *changed);
/* One line anew: what the model knew of its anon_vma is forgotten. 0, -ENOMEM, -EINVAL. */
int space_enter_line(struct mirror *m, struct space *s, const struct map_line *line);

/* mirror_compare.c */

/* @view gets a copy of all mappings. 0 or -ENOMEM. */
int view_fill(struct view *view, struct mm_struct *mm);
bool vma_equals_line(const struct mm_vma_info *vma, const struct map_line *line);
/* 0; 1 when the process has no map any more, or there is no kernel to ask; -errno. */
int read_kernel(struct mirror *m, struct process *p, bool smaps, struct map *map);
/* Compare with the kernel now. 0, also when there is no map any more; 1 after a divergence; -ENOMEM. */
int compare_call(struct mirror *m, struct process *p, const struct call *call);
/* Take the kernel's map over, where the calls alone do not lead there. 0, 1 (no map to be had), -ENOMEM. */
int take_from_kernel(struct mirror *m, struct process *p, unsigned long *changed);
/* The model's result is another than the kernel's: report, take over. 1 or -ENOMEM. */
int diverge_result(struct mirror *m, struct process *p, const struct call *call, long result);

/* mirror_settle.c: what is known of anon_vmas when faults are not */

/* The range may have been written from now on; or was just mapped so that it was not. 0 or -ENOMEM. */
int written_set(struct mirror *m, struct space *s, unsigned long start, unsigned long end);
int written_clear(struct mirror *m, struct space *s, unsigned long start, unsigned long end);
bool written_any(struct space *s, unsigned long start, unsigned long end);
int written_fork(struct space *child, struct space *parent);
/*
 * From smaps: private mappings that hold anonymous pages have an anon_vma. Adds those to @settled that had
 * none before. 0 or -ENOMEM.
 */
int settle_from(struct space *s, const struct map *smaps, unsigned long *settled);
/* Before @call runs: settle if it touches, or lies next to, a mapping that is in doubt. 0 or -errno. */
int settle_before(struct mirror *m, struct process *p, const struct call *call);

#endif
