/* SPDX-License-Identifier: MIT */
/* Floor 5: an address space as its user sees it. One file per call. */
#ifndef SAMARA_MM_MM_H
#define SAMARA_MM_MM_H

#include "vma/vma.h"

/* mm.c */

/*
 * An address space without VMAs, not counted in any way that a failure would have to undo. NULL: no memory.
 */
struct mm_struct *mm_alloc(struct mm_context *ctx, const struct mm_options *opt);
/* The opposite: the tree is empty or destroyed. */
void mm_free(struct mm_struct *mm);

/* life.c */

/* On the list once it is whole; off it when its last user has gone. Take the list's lock. */
void mm_list_add(struct mm_struct *mm);
void mm_list_del(struct mm_struct *mm);
/* The end of one that has never been on it, and that nobody else has seen. */
void mm_abandon(struct mm_struct *mm);

/* fork.c */

static inline void fork_step(struct mm_struct *child, enum fork_step step, struct vm_area_struct *vma)
{
	struct mm_context *ctx = child->ctx;

	if (__builtin_expect(ctx->fork_step != NULL, 0))
		ctx->fork_step(ctx->fork_step_arg, child, step, vma);
}

/* daemons.c: no lock is held */

/* @child is whole, and found by all but the caller of the fork. */
void mm_daemons_fork(struct mm_struct *parent, struct mm_struct *child);
/* The last user has gone, of one that was on the list. */
void mm_daemons_exit(struct mm_struct *mm);

/* exit.c */

/* Everything goes; the memory of @mm stays. Takes mmap_lock. */
void exit_mmap(struct mm_struct *mm);
void mm_destroy_tree(struct mm_struct *mm);

/* pressure.c */

/* From now on an allocation that finds no frame does what the context's options say. Before the first one. */
void mm_relieve_pressure(struct mm_context *ctx);

/* unmap.c */

/*
 * Take away what is mapped in [start, end), pages and all. Errors as for vms_gather_vmas(). mmap_lock for
 * writing.
 */
int do_vmi_munmap(struct mm_struct *mm, unsigned long start, unsigned long end);
/* For vms->clear. */
void vms_clear_ptes(struct vma_munmap_struct *vms);

/* fault.c */

/*
 * Make the pages of [start, end) present, as far as that shows in the VMAs: writable private
 * ones get their anon_vma. Passed over are holes, what is locked on fault, and what cannot be populated.
 * mmap_lock for writing. 0 or -ENOMEM.
 */
int mm_populate_locked(struct mm_struct *mm, unsigned long start, unsigned long end);
/*
 * The same for [start, end) of one VMA, which may be locked on fault, by reads or writes. 0; -ENOMEM;
 * -EINVAL: its protection key forbids it; -EFAULT: it reaches beyond the end of the file.
 */
int mm_populate_vma(struct vm_area_struct *vma, unsigned long start, unsigned long end, bool write);
/* The same as locking does it: by writes where that makes private pages. */
int mm_populate_to_lock(struct vm_area_struct *vma, unsigned long start, unsigned long end);
/* Grow the stack @vma down to @addr. 0; -ENOMEM, -EPERM: nothing has changed. mmap_lock for writing. */
int expand_stack(struct vm_area_struct *vma, unsigned long addr);

/* protect.c */

vm_flags_t calc_vm_prot_bits(unsigned long prot);

/* map.c */

/* mm_mmap() with mmap_lock held for writing. */
int do_mmap(struct mm_struct *mm, const struct mm_mmap_args *args, unsigned long *out);

/* pkey.c; mmap_lock for writing, but for the last one, for which it may be held for reading */

void pkeys_init(struct mm_struct *mm);
void pkeys_dup(struct mm_struct *child, struct mm_struct *parent);
bool pkey_is_allocated(const struct mm_struct *mm, int key);
/*
 * The key of pages that may be executed alone, taken into use now if there is none yet; -1: none is to be
 * had.
 */
int execute_only_pkey(struct mm_struct *mm);
/* The key that a change to @prot gives @vma, where the caller asks for @key, or with -1 for none. */
int override_pkey(struct vm_area_struct *vma, unsigned long prot, int key);
bool pkey_permits(const struct vm_area_struct *vma, bool write);
/* Whether no mapping has a key that could forbid anything now. No lock. */
bool pkeys_forbid_nothing(const struct mm_struct *mm);

static inline vm_flags_t pkey_flags(int key)
{
	return (vm_flags_t)key << MM_VM_PKEY_SHIFT;
}

#endif
