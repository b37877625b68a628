/* SPDX-License-Identifier: MIT */
/* Floor 5: an address space as its user sees it. One file per call. */
#ifndef SAMARA_MM_MM_H
#define SAMARA_MM_MM_H

#include "vma/vma.h"

/* mm.c */

/* An address space without VMAs, not counted in any way that a failure would have to undo. NULL: no memory. */
struct mm_struct *mm_alloc(struct mm_context *ctx, const struct mm_options *opt);
/* The opposite: the tree is empty or destroyed. */
void mm_free(struct mm_struct *mm);

/* life.c */

/* On the list once it is whole; off it when its last user has gone. Take the list's lock. */
void mm_list_add(struct mm_struct *mm);
void mm_list_del(struct mm_struct *mm);
/* The end of one that has never been on it, and that nobody else has seen. */
void mm_abandon(struct mm_struct *mm);

/* exit.c */

/* Everything goes; the memory of @mm stays. Takes mmap_lock. */
void exit_mmap(struct mm_struct *mm);
void mm_destroy_tree(struct mm_struct *mm);

/* fault.c */

/*
 * Make the pages of [start, end) present, as far as that shows in the VMAs: writable private
 * ones get their anon_vma. Holes are passed over, and what is locked on fault. mmap_lock for writing. 0 or -ENOMEM.
 */
int mm_populate_locked(struct mm_struct *mm, unsigned long start, unsigned long end);
/* The same for one VMA, which may be locked on fault. */
int mm_populate_vma(struct vm_area_struct *vma);
/* Grow the stack @vma down to @addr. 0; -ENOMEM, -EPERM: nothing has changed. mmap_lock for writing. */
int expand_stack(struct vm_area_struct *vma, unsigned long addr);

/* protect.c */

vm_flags_t calc_vm_prot_bits(unsigned long prot);

#endif
