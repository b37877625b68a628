/* SPDX-License-Identifier: MIT */
/* The swap area of a context: slots of a page each, counted by the entries that name them. */
#ifndef SAMARA_MMU_SWAP_H
#define SAMARA_MMU_SWAP_H

#include "vma/vma.h"

struct swap_area;

/*
 * The context's area, or NULL. It lasts while the caller holds a slot of it, or what names one; else within
 * an RCU section.
 */
static inline struct swap_area *swap_area_of(const struct mm_context *ctx)
{
	return __atomic_load_n(&ctx->swap, __ATOMIC_ACQUIRE);
}

/* Slot 0 is never handed out: 0 says "none". */

/* NULL when there is no memory. */
struct swap_area *swap_area_create(struct platform *pf, unsigned long slots);
/* No slot may be in use. NULL is allowed. */
void swap_area_destroy(struct swap_area *area);
/* A free slot with one reference, or 0: full, being emptied, or an attempt that has to fail. */
unsigned long swap_slot_alloc(struct swap_area *area);
/* One more entry names @slot. Allocates nothing. */
void swap_slot_dup(struct swap_area *area, unsigned long slot);
/*
 * The same for who found the slot's number without holding what names it: false if the slot is free by
 * now.
 */
bool swap_slot_try_dup(struct swap_area *area, unsigned long slot);
/* One entry less; the last one frees the slot. Allocates nothing. */
void swap_slot_free(struct swap_area *area, unsigned long slot);
unsigned long swap_slot_count(const struct swap_area *area, unsigned long slot);
/* 0 or a negative errno: */
int swap_slot_write(struct swap_area *area, unsigned long slot, const void *page);
int swap_slot_read(struct swap_area *area, unsigned long slot, void *page);
/*
 * Hand out no more slots, because swapoff is under way (or hand them out again). False: that is so already.
 */
bool swap_area_close(struct swap_area *area, bool closed);
/* No slot is in use, and who gave the last one back has done with the area. */
bool swap_area_is_empty(struct swap_area *area);
unsigned long swap_area_used(const struct swap_area *area);	/* slots */
unsigned long swap_area_size(const struct swap_area *area);

/* swap_in.c --------------------------------------------------------------- */

/* Bring back every page of @vma that is away. 0; -ENOMEM, -EIO: some may be back. mmap_lock. */
int unuse_vma(struct vm_area_struct *vma);
/* The same for shared memory. Takes the file's lock. */
int unuse_mapping(struct address_space *mapping);

#endif
