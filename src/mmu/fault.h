/* SPDX-License-Identifier: MIT */
/* What the files that answer faults share: fault.c, filemap.c, hugetlb.c. */
#ifndef SAMARA_MMU_FAULT_H
#define SAMARA_MMU_FAULT_H

#include "mmu/mmu.h"

/* One touch of one page that the VMA allows, on its way. */
struct fault {
	struct vm_area_struct *vma;
	struct mm_pgtables *pt;
	struct frame_pool *pool;
	enum pt_format format;
	enum mm_access access;
	unsigned long addr;	/* of the page */
};

/* What was found has changed meanwhile: look again. Never leaves handle_mm_fault(). */
#define FAULT_AGAIN ((enum mm_fault)100)

static inline bool fault_is_write(const struct fault *f)
{
	return f->access == MM_WRITE;
}

/* What the VMA allows, without write access: for pages that are not (yet) its own. */
/* What may be written to may be read too: no hardware has one without the other. */
static inline vm_flags_t prot_without_write(vm_flags_t prot)
{
	return prot & VM_WRITE ? (prot & ~VM_WRITE) | VM_READ : prot;
}

static inline vm_flags_t prot_readonly(const struct vm_area_struct *vma)
{
	return prot_without_write(vma->vm_flags & VM_ACCESS_FLAGS);
}

/* Linux kills whoever touches memory from which pages may have been taken. Under the entry's lock. */
static inline bool is_unstable(const struct fault *f)
{
	return mm_flag_is_set(f->vma->vm_mm, MMF_UNSTABLE);
}

/* The entry is locked and @pte still; false: nothing is locked. */
bool fault_lock_same(const struct fault *f, pte_t pte, struct pt_slot *slot);
/* Put @page, which nobody else has seen, into the locked entry; its reference goes with it. */
void fault_map_anon(const struct fault *f, struct pt_slot *slot, struct page *page);

/* filemap.c: what floor 3 asks of the page cache. */
const struct address_space_operations *page_cache_ops(void);

/* filemap.c: the entry was none, and the memory is a file's. */
enum mm_fault fault_file(const struct fault *f);
/* driver.c: the VMA's driver answers; what is at @pte now is none, or read-only in shared memory that is written to. */
enum mm_fault fault_driver(const struct fault *f, pte_t pte);

/* swap_in.c: @pte names a slot. */
enum mm_fault fault_swap(const struct fault *f, pte_t pte);

/*
 * Observed, by mincore() of huge pages in the same GiB: whoever looks for a page in vain has made the table that would
 * lead to it, at level 1. FAULT_AGAIN when it is there; OOM.
 */
enum mm_fault fault_make_table(const struct fault *f);

/* hugetlb.c: all of a fault on 2 MiB pages. */
enum mm_fault hugetlb_fault(const struct fault *f);
/* The private page of the entry @pte is copied if others map it too. */
enum mm_fault hugetlb_unshare(const struct fault *f, pte_t pte);

/*
 * filemap_get_page() with the page locked, in its place and before the end of the file, so that a truncate
 * waits for the entry that is made of it. unlock_page(), put_page().
 */
struct page *filemap_lock_page(struct address_space *mapping, pgoff_t index, int *err);
/* Enter a filled @page, whose reference goes with it. 0; -EAGAIN: another one is there; -ENOMEM. */
int filemap_add_page(struct address_space *mapping, pgoff_t index, struct page *page);
/* The page at @index if it is at hand, with a reference; else NULL. Reads nothing. */
struct page *filemap_peek_page(struct address_space *mapping, pgoff_t index);

#endif
