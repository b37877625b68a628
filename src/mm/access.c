/* SPDX-License-Identifier: MIT */
/*
 * The memory itself: reading, writing, translating, pinning, and what changed. Faults as the program's
 * own touch.
 */
#include "mm/mm.h"
#include "mmu/access.h"

/* What a touch comes to where there are no page tables, and so no pages. */
#define NO_PAGES MM_FAULT_BUS

/* The driver of the mapping makes the access. */
static enum mm_fault emulate(struct mm_struct *mm, unsigned long addr, void *buf, size_t len, bool write)
{
	enum mm_fault fault = MM_FAULT_MAPERR;
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma)
		fault = driver_access(vma, addr, buf, len, write);
	mmap_read_unlock(mm);
	return fault;
}

/* Whether it is certain that no key forbids it; else a fault tells. */
static bool key_permits(struct mm_struct *mm, unsigned long addr, enum mm_access access)
{
	struct vm_area_struct *vma = lock_vma_under_rcu(mm, addr);
	bool permits;

	if (!vma)
		return false;
	permits = pkey_permits(vma, access == MM_WRITE);
	vma_end_read(vma);
	return permits;
}

/* Rights of protection keys are not in the entries: the mapping has to be asked. Nobody's forbid to execute. */
static enum mm_fault ask_key(struct mm_struct *mm, unsigned long addr, enum mm_access access)
{
	if (access == MM_EXEC || pkeys_forbid_nothing(mm) || key_permits(mm, addr, access))
		return MM_FAULT_OK;
	return mm_fault(mm, addr, access);
}

/* One page's part of a transfer. */
static enum mm_fault access_part(struct mm_struct *mm, unsigned long addr, void *buf, size_t len,
				 enum mm_access access)
{
	enum mm_fault fault = ask_key(mm, addr, access);

	while (fault == MM_FAULT_OK && !access_bytes(mm->pt, addr, buf, len, access))
		fault = mm_fault(mm, addr, access);
	return fault == MM_FAULT_EMULATE ? emulate(mm, addr, buf, len, access == MM_WRITE) : fault;
}

static enum mm_fault access_all(struct mm_struct *mm, unsigned long addr, unsigned char *buf, size_t len,
				enum mm_access access, size_t *done)
{
	enum mm_fault fault = MM_FAULT_OK;
	size_t part, did = 0;

	if (!mm->pt && len)
		fault = NO_PAGES;
	while (fault == MM_FAULT_OK && did < len) {
		part = PAGE_SIZE - ((addr + did) & ~PAGE_MASK);
		if (part > len - did)
			part = len - did;
		fault = access_part(mm, addr + did, buf + did, part, access);
		if (fault == MM_FAULT_OK)
			did += part;
	}
	if (done)
		*done = did;
	return fault;
}

enum mm_fault mm_read(struct mm_struct *mm, unsigned long addr, void *buf, size_t len, size_t *done)
{
	return access_all(mm, addr, buf, len, MM_READ, done);
}

enum mm_fault mm_write(struct mm_struct *mm, unsigned long addr, const void *buf, size_t len, size_t *done)
{
	/* MM_WRITE only reads what it is given. */
	return access_all(mm, addr, (unsigned char *)(uintptr_t)buf, len, MM_WRITE, done);
}

int mm_peek(struct mm_struct *mm, unsigned long addr, void *buf, size_t len)
{
	unsigned char *at = buf;
	size_t part;

	for (; len; len -= part, addr += part, at += part) {
		part = PAGE_SIZE - (addr & ~PAGE_MASK);
		if (part > len)
			part = len;
		if (!mm->pt || !peek_bytes(mm->pt, addr, at, part))
			return -ENODATA;
	}
	return 0;
}

/* Translating ---------------------------------------------------------------- */

int mm_tlb_create(struct mm_struct *mm, struct mm_tlb **out)
{
	int err;

	if (!mm->pt)
		return -EINVAL;
	mmgrab(mm);
	err = soft_tlb_create(mm, out);
	if (err)
		mmdrop(mm);
	return err;
}

void mm_tlb_destroy(struct mm_tlb *tlb)
{
	struct mm_struct *mm;

	if (!tlb)
		return;
	mm = tlb->mm;
	soft_tlb_destroy(tlb);
	mmdrop(mm);
}

/* Out of a section. The TLB only holds the address space: it is touched by who is a user, or has ended. */
static enum mm_fault fill(struct mm_tlb *tlb, unsigned long addr, enum mm_access access)
{
	struct mm_struct *mm = tlb->mm;
	enum mm_fault fault = MM_FAULT_OK;
	bool permitted;

	if (!mmget_not_zero(mm))
		return MM_FAULT_MAPERR;
	/* What is remembered is forgotten when the rights of keys change. */
	permitted = access == MM_EXEC || pkeys_forbid_nothing(mm) || key_permits(mm, addr, access);
	if (!permitted || !soft_tlb_fill(tlb, addr, access))
		fault = mm_fault(mm, addr, access);
	if (!permitted && fault == MM_FAULT_OK)
		soft_tlb_fill(tlb, addr, access);
	mmput(mm);
	return fault;
}

/* Not found: out of the section, where locks may be taken. */
static enum mm_fault translate_slow(struct mm_tlb *tlb, unsigned long addr, enum mm_access access, void **out)
{
	enum mm_fault fault;
	void *bytes;

	do {
		mm_tlb_end(tlb);
		fault = fill(tlb, addr, access);
		mm_tlb_begin(tlb);
		if (fault != MM_FAULT_OK)
			return fault;
		bytes = soft_tlb_lookup(tlb, addr, access);
	} while (!bytes);
	*out = bytes;
	return MM_FAULT_OK;
}

enum mm_fault mm_translate(struct mm_tlb *tlb, unsigned long addr, enum mm_access access, void **out)
{
	void *bytes = soft_tlb_lookup(tlb, addr, access);

	if (__builtin_expect(!bytes, 0))
		return translate_slow(tlb, addr, access, out);
	*out = bytes;
	return MM_FAULT_OK;
}

/* Pinning -------------------------------------------------------------------- */

static enum mm_fault unshare(struct mm_struct *mm, unsigned long addr)
{
	enum mm_fault fault = MM_FAULT_MAPERR;
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma)
		fault = fault_unshare(vma, addr);
	mmap_read_unlock(mm);
	return fault;
}

int mm_pin(struct mm_struct *mm, unsigned long addr, enum mm_access access, unsigned long *frame)
{
	enum mm_fault fault;

	if (!mm->pt)
		return -EINVAL;
	fault = ask_key(mm, addr, access);
	while (fault == MM_FAULT_OK) {
		switch (pin_frame(mm->pt, addr, access, frame)) {
		case PIN_DONE:
			return 0;
		case PIN_FAULT:
			fault = mm_fault(mm, addr, access);
			break;
		case PIN_UNSHARE:
			fault = unshare(mm, addr);
			break;
		}
	}
	return fault == MM_FAULT_OOM ? -ENOMEM : -EFAULT;
}

int mm_frame_alloc(struct mm_context *ctx, unsigned long *frame)
{
	return ctx->frames ? frame_alloc_pinned(ctx->frames, frame) : -EINVAL;
}

void mm_unpin(struct mm_context *ctx, unsigned long frame, bool written)
{
	if (ctx->frames)
		unpin_frame(ctx->frames, frame, written);
}

void *mm_frame_bytes(struct mm_context *ctx, unsigned long frame)
{
	return ctx->frames && frame < ctx->frames->nr_frames ? pfn_address(ctx->frames, (pfn_t)frame) : NULL;
}

/* Looking -------------------------------------------------------------------- */

int mm_page_info(struct mm_struct *mm, unsigned long addr, struct mm_page_info *out)
{
	struct mm_page_info info = { 0 };

	if (addr >= mm->opt.task_size)
		return -EINVAL;
	if (mm->pt)
		page_info(mm->pt, addr, &info);
	*out = info;
	return 0;
}

unsigned long mm_next_page(struct mm_struct *mm, unsigned long addr, unsigned long end)
{
	unsigned long found;

	if (!mm->pt || addr >= end || end > mm->opt.task_size)
		return end;
	mmap_read_lock(mm);
	found = page_next(mm->pt, addr & PAGE_MASK, end);
	mmap_read_unlock(mm);
	return found;
}

long mm_dirty_collect(struct mm_struct *mm, unsigned long addr, size_t len, uint64_t *bitmap)
{
	unsigned long end = addr + len;
	unsigned long found = 0;

	if (((addr | len) & ~PAGE_MASK) || end < addr || end > mm->opt.task_size)
		return -EINVAL;
	memset(bitmap, 0, (len / PAGE_SIZE + 63) / 64 * sizeof(*bitmap));
	if (!len || !mm->pt)
		return 0;
	mmap_read_lock(mm);
	found = dirty_collect(mm->pt, addr, end, bitmap);
	mmap_read_unlock(mm);
	return (long)found;
}
