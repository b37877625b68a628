/* SPDX-License-Identifier: MIT */
/* Looking through page tables from outside: for the calls of floor 5. All take a @pt that is there. */
#ifndef SAMARA_MMU_ACCESS_H
#define SAMARA_MMU_ACCESS_H

#include "mmu/mmu.h"

/* access.c ---------------------------------------------------------------- */

/*
 * The entry of @addr, locked until access_unlock(), if it allows @access, which is noted in it as hardware
 * would. False:
 * nothing is locked, a fault is needed.
 */
bool access_lock(struct mm_pgtables *pt, unsigned long addr, enum mm_access access, struct pt_slot *slot);
void access_unlock(struct pt_slot *slot);
/* Where the byte lies that a locked entry maps. */
void *access_address(const struct pt_slot *slot, unsigned long addr);
/*
 * Copy @len bytes, in one page, to @buf, or from it for MM_WRITE. False: a fault is needed, nothing was
 * copied.
 */
bool access_bytes(struct mm_pgtables *pt, unsigned long addr, void *buf, size_t len, enum mm_access access);
/* The same for reading, whatever the entry allows, if there is a page. Leaves no trace. */
bool peek_bytes(struct mm_pgtables *pt, unsigned long addr, void *buf, size_t len);

enum pin_result {
	PIN_DONE,
	PIN_FAULT,	/* nothing there that allows the access */
	PIN_UNSHARE	/* fault_unshare() first */
};

enum pin_result pin_frame(struct mm_pgtables *pt, unsigned long addr, enum mm_access access, unsigned long *frame);
void unpin_frame(struct frame_pool *pool, unsigned long frame, bool written);
/* A frame of zeroes that is pinned, and nobody's. 0 or -ENOMEM. */
int frame_alloc_pinned(struct frame_pool *pool, unsigned long *frame);
void page_info(struct mm_pgtables *pt, unsigned long addr, struct mm_page_info *out);
/* The first page of [addr, end) of which page_info() has something to tell, or @end. mmap_lock. */
unsigned long page_next(struct mm_pgtables *pt, unsigned long addr, unsigned long end);
/* A byte for each page of [start, end): 1 if it is in memory. mmap_lock. */
void mincore_range(struct vm_area_struct *vma, unsigned long start, unsigned long end, unsigned char *vec);

/* discard.c: what madvise says about the pages of [start, end) of @vma. mmap_lock. --- */

void discard_range(struct vm_area_struct *vma, unsigned long start, unsigned long end);
void discard_range_lazily(struct vm_area_struct *vma, unsigned long start, unsigned long end);
void cold_range(struct vm_area_struct *vma, unsigned long start, unsigned long end);

/*
 * filemap.c: read pages of the file of @vma into the page cache, without mapping them: those of shared memory
 * that are in the swap area, of other files all up to a bound. What cannot be read is not. mmap_lock.
 */
void willneed_range(struct vm_area_struct *vma, unsigned long start, unsigned long end);

/*
 * filemap.c: take [first, last] of a file out of every address space, private copies apart, and out of
 * memory.
 */
void filemap_punch(struct vm_file *file, pgoff_t first, pgoff_t last);

/*
 * fault.c: give @vma a copy of its own of the private page at @addr that others map too. As
 * handle_mm_fault().
 */
enum mm_fault fault_unshare(struct vm_area_struct *vma, unsigned long addr);

/* driver.c: let the driver of @vma, if it likes, map pages of it in advance. 0 or what it says. */
int driver_mmap(struct vm_area_struct *vma);
/* driver.c: let the driver of @vma make an access within a page. Its errors are bus errors. */
enum mm_fault driver_access(struct vm_area_struct *vma, unsigned long addr, void *buf, size_t len, bool write);

/* dirty.c: bit n of @bitmap is set for the n-th page of [start, end), both aligned. Returns how many. */
unsigned long dirty_collect(struct mm_pgtables *pt, unsigned long start, unsigned long end, uint64_t *bitmap);

/* tlb.c ------------------------------------------------------------------- */

#define TLB_ENTRIES 256
#define NR_ACCESSES 3

struct tlb_entry {
	unsigned long page;		/* address */
	unsigned long generation;	/* never 0 in use */
	unsigned char *bytes;
};

struct mm_tlb {
	atomic_ulong generation;	/* from 1 */
	atomic_ulong active;		/* odd: inside a section */
	bool barrier_prepared;		/* pf_light_barrier() */
	struct mm_struct *mm;		/* held */
	struct tlb_entry entry[NR_ACCESSES][TLB_ENTRIES];
	/* notifier_lock of the page tables; RCU: */
	struct mm_tlb *next;
};

static inline struct tlb_entry *soft_tlb_entry(struct mm_tlb *tlb, unsigned long addr, enum mm_access access)
{
	return &tlb->entry[access][(addr >> PAGE_SHIFT) % TLB_ENTRIES];
}

/* 0 or -ENOMEM. @mm must outlive it. */
int soft_tlb_create(struct mm_struct *mm, struct mm_tlb **out);
void soft_tlb_destroy(struct mm_tlb *tlb);
/* Inside a section; NULL: not there. */
static inline void *soft_tlb_lookup(struct mm_tlb *tlb, unsigned long addr, enum mm_access access)
{
	const struct tlb_entry *entry = soft_tlb_entry(tlb, addr, access);

	pf_assert(atomic_load_explicit(&tlb->active, memory_order_relaxed) & 1);
	if (entry->page != (addr & PAGE_MASK) ||
	    entry->generation != atomic_load_explicit(&tlb->generation, memory_order_relaxed))
		return NULL;
	return entry->bytes + (addr & ~PAGE_MASK);
}

/* Outside of one. False: a fault is needed. */
bool soft_tlb_fill(struct mm_tlb *tlb, unsigned long addr, enum mm_access access);

#endif
