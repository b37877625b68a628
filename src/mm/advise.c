/* SPDX-License-Identifier: MIT */
/* madvise: what an advice does to VMAs, and what it refuses. What it does to their pages is floor 4's. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "mm/mm.h"
#include "mmu/access.h"
#include "mmu/pageout.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/* Advice that becomes a flag: which it sets, which it clears, which VMAs cannot take it. */
struct flag_advice {
	int advice;
	vm_flags_t set, clear, refused;
	bool anonymous_only;
	bool huge_may;	/* what is refused to others, memory in huge pages takes */
	bool discards;	/* contents, for someone: sealed memory refuses */
};

static const struct flag_advice flag_advices[] = {
	{ .advice = MADV_NORMAL, .clear = VM_RAND_READ | VM_SEQ_READ },
	{ .advice = MADV_SEQUENTIAL, .set = VM_SEQ_READ, .clear = VM_RAND_READ },
	{ .advice = MADV_RANDOM, .set = VM_RAND_READ, .clear = VM_SEQ_READ },
	{ .advice = MADV_DONTFORK, .set = VM_DONTCOPY, .discards = true },
	{ .advice = MADV_DOFORK, .clear = VM_DONTCOPY, .refused = VM_IO },
	{ .advice = MADV_WIPEONFORK, .set = VM_WIPEONFORK, .refused = VM_SHARED, .anonymous_only = true,
	  .discards = true },
	{ .advice = MADV_KEEPONFORK, .clear = VM_WIPEONFORK, .refused = VM_DROPPABLE },
	{ .advice = MADV_DONTDUMP, .set = VM_DONTDUMP },
	{ .advice = MADV_DODUMP, .clear = VM_DONTDUMP, .refused = VM_SPECIAL | VM_DROPPABLE,
	  .huge_may = true },
	{ .advice = MADV_HUGEPAGE, .set = VM_HUGEPAGE, .clear = VM_NOHUGEPAGE, .refused = VM_SPECIAL,
	  .huge_may = true },
	{ .advice = MADV_NOHUGEPAGE, .set = VM_NOHUGEPAGE, .clear = VM_HUGEPAGE, .refused = VM_SPECIAL,
	  .huge_may = true },
	{ .advice = MADV_MERGEABLE, .set = VM_MERGEABLE },
	{ .advice = MADV_UNMERGEABLE, .clear = VM_MERGEABLE },
};

static const struct flag_advice *find_flag_advice(int advice)
{
	for (size_t i = 0; i < sizeof(flag_advices) / sizeof(flag_advices[0]); i++)
		if (flag_advices[i].advice == advice)
			return &flag_advices[i];
	return NULL;
}

/* One visit of a madvise: [start, end) lies within @vma. */
struct advice_walk {
	struct mm_struct *mm;
	int advice;
	const struct flag_advice *flags;	/* NULL: advice about pages */
};

/* Same-page merging takes private, ordinary memory; advice on other memory has no effect. */
static bool ksm_ignores(const struct vm_area_struct *vma)
{
	return vma->vm_flags & (VM_SHARED | VM_MAYSHARE | VM_SPECIAL | VM_HUGETLB | VM_DROPPABLE |
				 VM_MERGEABLE);
}

static bool sealed_against_discard(const struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_SEALED) || !vma_is_anonymous(vma))
		return false;
	return !(vma->vm_flags & VM_WRITE) || !pkey_permits(vma, true);
}

static int visit_flags(const struct advice_walk *walk, struct vm_area_struct *vma, unsigned long start,
		       unsigned long end)
{
	const struct flag_advice *advice = walk->flags;
	vm_flags_t flags = (vma->vm_flags & ~advice->clear) | advice->set;
	int err;

	pf_assert(vma->vm_start <= start && start < end && end <= vma->vm_end);
	if (advice->discards && sealed_against_discard(vma))
		return -EPERM;
	if ((vma->vm_flags & advice->refused) && !(advice->huge_may && (vma->vm_flags & VM_HUGETLB)))
		return -EINVAL;
	if (advice->anonymous_only && vma->vm_file)
		return -EINVAL;
	if (advice->advice == MADV_MERGEABLE && ksm_ignores(vma))
		return 0;
	if (flags == vma->vm_flags)
		return 0;
	err = vma_modify_flags(vma, start, end, flags, &vma);
	return err == -ENOMEM ? -EAGAIN : err;
}

static int visit_discard(const struct advice_walk *walk, struct vm_area_struct *vma, unsigned long start,
			 unsigned long end)
{
	vm_flags_t refused = VM_PFNMAP | VM_ADOPTED_SPECIAL;

	if (sealed_against_discard(vma))
		return -EPERM;
	if (walk->advice != MADV_DONTNEED_LOCKED)
		refused |= VM_LOCKED;
	if (vma->vm_flags & refused)
		return -EINVAL;
	if (vma->vm_flags & VM_HUGETLB) {
		/* Whole pages alone go. */
		if (start & (PMD_SIZE - 1))
			return -EINVAL;
		end &= -PMD_SIZE;
		if (start >= end)
			return walk->advice == MADV_FREE ? -EINVAL : 0;
	}
	if (walk->advice != MADV_FREE)
		discard_range(vma, start, end);
	else if (vma_is_anonymous(vma))
		discard_range_lazily(vma, start, end);
	else
		return -EINVAL;
	return 0;
}

static int visit_remove(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	vm_flags_t needed = VM_SHARED | VM_MAYWRITE;
	uint64_t offset = (uint64_t)vma_pgoff_at(vma, start) << PAGE_SHIFT;

	if (sealed_against_discard(vma))
		return -EPERM;
	if ((vma->vm_flags & VM_LOCKED) || !vma->vm_file)
		return -EINVAL;
	if ((vma->vm_flags & needed) != needed)
		return -EACCES;
	/* The hole is one in a file, whose offsets are signed. */
	if (offset > INT64_MAX)
		return -EINVAL;
	if (offset + (end - start) > INT64_MAX)
		return -EFBIG;
	filemap_punch(vma->vm_file, vma_pgoff_at(vma, start), vma_pgoff_at(vma, end) - 1);
	return 0;
}

static int visit_guard(const struct advice_walk *walk, struct vm_area_struct *vma, unsigned long start,
		       unsigned long end)
{
	vm_flags_t refused = VM_SPECIAL | VM_HUGETLB;
	int err;

	if (sealed_against_discard(vma) && walk->advice == MADV_GUARD_INSTALL)
		return -EPERM;
	if (walk->advice == MADV_GUARD_INSTALL)
		refused |= VM_LOCKED;
	if (vma->vm_flags & refused)
		return -EINVAL;
	if (walk->advice == MADV_GUARD_REMOVE) {
		guard_remove(vma, start, end);
		return 0;
	}
	/*
	 * Markers are entries of its page tables, so anonymous memory counts as written to; that of files
	 * does not.
	 */
	err = vma_is_anonymous(vma) ? anon_vma_prepare(walk->mm, vma) : 0;
	if (!err)
		err = guard_install(vma, start, end);
	if (err)
		return err;
	/* Observed: the whole mapping is marked, for good. */
	vma_start_write(vma);
	vma->had_guards = true;
	return 0;
}

static int visit_cold(const struct advice_walk *walk, struct vm_area_struct *vma, unsigned long start,
		      unsigned long end)
{
	if (vma->vm_flags & (VM_LOCKED | VM_PFNMAP | VM_HUGETLB))
		return -EINVAL;
	if (walk->advice == MADV_COLD)
		cold_range(vma, start, end);
	else
		pageout_range(vma, start, end);
	return 0;
}

static int visit_populate(const struct advice_walk *walk, struct vm_area_struct *vma, unsigned long start,
			  unsigned long end)
{
	vm_flags_t needed = walk->advice == MADV_POPULATE_WRITE ? VM_WRITE : VM_READ;

	if ((vma->vm_flags & (VM_IO | VM_PFNMAP)) || !(vma->vm_flags & needed))
		return -EINVAL;
	return mm_populate_vma(vma, start, end, needed == VM_WRITE);
}

static int visit(const struct advice_walk *walk, struct vm_area_struct *vma, unsigned long start,
		 unsigned long end)
{
	if (walk->flags)
		return visit_flags(walk, vma, start, end);
	switch (walk->advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
		return visit_discard(walk, vma, start, end);
	case MADV_COLD:
	case MADV_PAGEOUT:
		return visit_cold(walk, vma, start, end);
	case MADV_REMOVE:
		return visit_remove(vma, start, end);
	case MADV_GUARD_INSTALL:
	case MADV_GUARD_REMOVE:
		return visit_guard(walk, vma, start, end);
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return visit_populate(walk, vma, start, end);
	case MADV_COLLAPSE:
		return walk->mm->opt.no_huge_pages || (vma->vm_flags & VM_HUGETLB) ? -EINVAL : 0;
	default: /* MADV_WILLNEED */
		willneed_range(vma, start, end);
		return 0;
	}
}

static bool is_known(int advice)
{
	static const int known[] = {
		MADV_WILLNEED, MADV_DONTNEED, MADV_DONTNEED_LOCKED, MADV_FREE, MADV_COLD, MADV_PAGEOUT,
		MADV_REMOVE, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
		MADV_COLLAPSE,
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i] == advice)
			return true;
	return find_flag_advice(advice) != NULL;
}

static bool is_poison(int advice)
{
	return advice == MADV_HWPOISON || advice == MADV_SOFT_OFFLINE;
}

/* Holes are passed over, and remembered. */
static int walk_vmas(const struct advice_walk *walk, unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma;
	unsigned long at = start, upto;
	int err, hole = 0;

	mmap_assert_write_locked(walk->mm);
	while (at < end) {
		vma = find_vma(walk->mm, at);
		if (!vma || vma->vm_start >= end)
			return -ENOMEM;
		if (vma->vm_start > at) {
			hole = -ENOMEM;
			at = vma->vm_start;
		}
		upto = vma->vm_end < end ? vma->vm_end : end;
		err = visit(walk, vma, at, upto);
		if (err)
			return err;
		at = upto;
	}
	return hole;
}

/* Populating stops at the first hole. */
static int walk_populate(const struct advice_walk *walk, unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma;
	unsigned long upto;
	int err;

	for (unsigned long at = start; at < end; at = upto) {
		vma = vma_lookup(walk->mm, at);
		if (!vma)
			return -ENOMEM;
		upto = vma->vm_end < end ? vma->vm_end : end;
		err = visit(walk, vma, at, upto);
		if (err)
			return err;
	}
	return 0;
}

static bool is_populate(int advice)
{
	return advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE;
}

int mm_madvise(struct mm_struct *mm, unsigned long addr, size_t len, int advice)
{
	struct advice_walk walk = { .mm = mm, .advice = advice, .flags = find_flag_advice(advice) };
	unsigned long bytes = PAGE_ALIGN(len), end = addr + bytes;
	bool makes_anon = advice == MADV_GUARD_INSTALL || advice == MADV_POPULATE_WRITE;
	int err = 0;

	if (!is_known(advice) && !(is_poison(advice) && mm->ctx->opt.memory_failure))
		return -EINVAL;
	if ((addr & ~PAGE_MASK) || (len && !bytes) || end < addr)
		return -EINVAL;
	if (end == addr)
		return 0;
	if (is_poison(advice))
		return -EPERM;
	mmap_write_lock(mm);
	if (walk.flags || makes_anon)
		err = vma_reserve_for_range(mm, addr, end, makes_anon);
	if (!err)
		err = is_populate(advice) ? walk_populate(&walk, addr, end) : walk_vmas(&walk, addr, end);
	vma_unreserve(mm);
	mmap_write_unlock(mm);
	return err;
}

/* process_madvise ---------------------------------------------------------- */

/* Observed: more pieces are refused; of more bytes, what is beyond is left alone. */
#define MOST_PIECES 1024UL
#define MOST_BYTES (INT32_MAX & PAGE_MASK)

/*
 * Observed: lengths are looked at before addresses, and all pieces before the first is advised. @total is of all
 * bytes that will be advised.
 */
static int check_pieces(const struct mm_struct *mm, const struct mm_advice_range *piece, unsigned long count,
			size_t *total)
{
	unsigned long i, top = mm->opt.task_size;

	*total = 0;
	for (i = 0; i < count; i++) {
		if (piece[i].len > INT64_MAX)
			return -EINVAL;
		*total += piece[i].len < MOST_BYTES - *total ? piece[i].len : MOST_BYTES - *total;
	}
	for (i = 0; i < count; i++)
		if (piece[i].addr > top || piece[i].len > top - piece[i].addr)
			return -EFAULT;
	return 0;
}

int mm_process_madvise(struct mm_struct *mm, const struct mm_advice_range *piece, unsigned long count, int advice,
		       unsigned int flags, size_t *done)
{
	size_t len, total;
	int err;

	*done = 0;
	if (flags || count > MOST_PIECES)
		return -EINVAL;
	err = check_pieces(mm, piece, count, &total);
	/* Observed: a piece of no bytes has its address looked at, but not one behind the last byte. */
	for (unsigned long i = 0; *done < total && !err; i++) {
		pf_assert(i < count && total <= MOST_BYTES);
		len = piece[i].len < total - *done ? piece[i].len : total - *done;
		err = mm_madvise(mm, piece[i].addr, len, advice);
		if (!err)
			*done += len;
	}
	return *done ? 0 : err;
}
