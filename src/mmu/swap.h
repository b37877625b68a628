/* SPDX-License-Identifier: MIT */
/* The swap area of a context: slots of a page each, counted by the entries that name them. */
#ifndef SAMARA_MMU_SWAP_H
#define SAMARA_MMU_SWAP_H

#include "vma/vma.h"

struct swap_area;

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
int swap_slot_write(struct swap_area *area, unsigned long slot, const void *page);	/* 0 or a negative errno */
int swap_slot_read(struct swap_area *area, unsigned long slot, void *page);
/* Hand out no more slots, because swapoff is under way (or hand them out again). */
void swap_area_close(struct swap_area *area, bool closed);
unsigned long swap_area_used(const struct swap_area *area);	/* slots */
unsigned long swap_area_size(const struct swap_area *area);

#endif
