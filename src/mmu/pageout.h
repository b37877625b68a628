/* SPDX-License-Identifier: MIT */
/* Page-out, and the reclaim of frames that nobody has touched lately. */
#ifndef SAMARA_MMU_PAGEOUT_H
#define SAMARA_MMU_PAGEOUT_H

#include "mmu/mmu.h"

/*
 * Take the locked page, of which the caller holds one reference, out of every address space, and leave its
 * contents in
 * the swap area or its file. True: nobody but the caller has it any more. False: it is in use, locked,
 * pinned, was touched
 * lately (@keep_young), or there is no slot; what has happened to its entries by then does not show.
 * Takes the locks of reverse maps.
 */
bool pageout_page(struct mm_context *ctx, struct page *page, bool keep_young);
/* Up to @wanted frames become free. Returns how many; no lock of page tables or files may be held. */
unsigned long reclaim_frames(struct mm_context *ctx, unsigned long wanted);
/*
 * The same from an allocation: pages whose locks, or whose reverse maps' locks, somebody has are left alone.
 * *@busy: there were some.
 */
unsigned long try_reclaim_frames(struct mm_context *ctx, unsigned long wanted, bool *busy);
/*
 * If the locked page of @mapping is newer than the file, it is written back, and stays. False: it could not
 * be. Takes the locks of reverse maps.
 */
bool writeback_page(struct address_space *mapping, struct page *page);
/* MADV_PAGEOUT. mmap_lock. */
void pageout_range(struct vm_area_struct *vma, unsigned long start, unsigned long end);

#endif
