/* SPDX-License-Identifier: MIT */
/*
 * mremap.
 *
 * A mapping grows or shrinks where it is, or moves: the copy enters at the new
 * place (and may merge there, even with what it comes from), then the old
 * place is unmapped. What several steps need is reserved before the first: VMAs, and tables for the pages.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "mm/mm.h"
#include "mmu/mmu.h"

enum remap_kind { REMAP_SAME, REMAP_SHRINK, REMAP_EXPAND };

struct vma_remap_struct {
	struct mm_struct *mm;
	unsigned long addr;
	unsigned long old_len, new_len;	/* bytes, whole pages */
	unsigned long new_addr;
	unsigned long flags;
	struct vm_area_struct *vma;	/* that contains addr */
	enum remap_kind kind;
	struct pt_spares *tables;	/* for the new place, of the whole call */
};

static bool implies_new_addr(const struct vma_remap_struct *vrm)
{
	return vrm->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);
}

static bool overlaps(const struct vma_remap_struct *vrm)
{
	return vrm->addr + vrm->old_len > vrm->new_addr && vrm->new_addr + vrm->new_len > vrm->addr;
}

static int check_params(const struct vma_remap_struct *vrm)
{
	const struct mm_struct *mm = vrm->mm;

	if (vrm->flags & ~(unsigned long)(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP))
		return -EINVAL;
	if ((vrm->addr & ~PAGE_MASK) || !vrm->new_len || vrm->new_len > mm->opt.task_size)
		return -EINVAL;
	if (!implies_new_addr(vrm))
		return 0;
	if (vrm->new_addr > mm->opt.task_size - vrm->new_len || (vrm->new_addr & ~PAGE_MASK))
		return -EINVAL;
	if (!(vrm->flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if ((vrm->flags & MREMAP_DONTUNMAP) && vrm->old_len != vrm->new_len)
		return -EINVAL;
	if (overlaps(vrm))
		return -EINVAL;
	/* A move may need up to four more mappings; asked before anything is unmapped. */
	return mm->map_count + 5 >= mm->ctx->opt.max_map_count ? -ENOMEM : 0;
}

/* Huge pages move whole, and do not grow. */
static bool align_hugetlb(struct vma_remap_struct *vrm)
{
	vrm->old_len = (vrm->old_len + PMD_SIZE - 1) & -PMD_SIZE;
	vrm->new_len = (vrm->new_len + PMD_SIZE - 1) & -PMD_SIZE;
	return !((vrm->addr | vrm->new_addr) & (PMD_SIZE - 1)) && vrm->new_len <= vrm->old_len;
}

/* May this VMA be resized or moved as asked? Sets the kind. */
static int check_prep_vma(struct vma_remap_struct *vrm)
{
	struct vm_area_struct *vma = vrm->vma;
	struct mm_struct *mm = vrm->mm;
	unsigned long delta;
	pgoff_t pgoff;

	if (!vma)
		return -EFAULT;
	if (vma->vm_flags & VM_SEALED)
		return -EPERM;
	if ((vma->vm_flags & VM_HUGETLB) && !align_hugetlb(vrm))
		return -EINVAL;
	vrm->kind = vrm->old_len == vrm->new_len ? REMAP_SAME :
		    vrm->old_len > vrm->new_len	 ? REMAP_SHRINK :
						   REMAP_EXPAND;
	if (!vrm->old_len && !(vma->vm_flags & (VM_SHARED | VM_MAYSHARE)))
		return -EINVAL;
	if ((vrm->flags & MREMAP_DONTUNMAP) &&
	    (vma->vm_flags & (VM_DONTEXPAND | VM_PFNMAP | VM_ADOPTED_SPECIAL)))
		return -EINVAL;
	/* What stays where it is may reach over other mappings, and holes. */
	if (vrm->kind != REMAP_EXPAND && !implies_new_addr(vrm))
		return 0;
	if (vrm->kind == REMAP_SHRINK)
		return vrm->new_len > vma->vm_end - vrm->addr ? -EFAULT : 0;
	if (vrm->old_len > vma->vm_end - vrm->addr)
		return -EFAULT;
	if (vrm->kind == REMAP_SAME)
		return 0;
	delta = vrm->new_len - vrm->old_len;
	pgoff = vma_pgoff_at(vma, vrm->addr);
	if (pgoff + (vrm->new_len >> PAGE_SHIFT) < pgoff)
		return -EINVAL;
	if (vma->vm_flags & (VM_DONTEXPAND | VM_PFNMAP | VM_ADOPTED_SPECIAL))
		return -EFAULT;
	if (!mlock_future_ok(mm, vma->vm_flags, delta))
		return -EAGAIN;
	return may_expand_vm(mm, vma->vm_flags, delta >> PAGE_SHIFT) ? 0 : -ENOMEM;
}

static bool can_expand_in_place(const struct vma_remap_struct *vrm)
{
	unsigned long end = vrm->vma->vm_end + (vrm->new_len - vrm->old_len);

	if (vrm->addr + vrm->old_len != vrm->vma->vm_end)
		return false;
	if (end < vrm->vma->vm_end || end > vrm->mm->opt.task_size)
		return false;
	return !find_vma_intersection(vrm->mm, vrm->vma->vm_end, end);
}

/* The room above the mapping is free: it grows over it, and may reach a neighbour that it can join. */
static int expand_in_place(struct vma_remap_struct *vrm)
{
	struct vm_area_struct *vma = vrm->vma;
	struct mm_struct *mm = vrm->mm;
	struct vma_merge vmg = {
		.mm = mm,
		.prev = vma,
		.start = vma->vm_end,
		.end = vma->vm_end + (vrm->new_len - vrm->old_len),
		.pgoff = vma_pgoff_at(vma, vma->vm_end),
		.flags = vma->vm_flags,
		.file = vma->vm_file,
		.name = vma->name,
		.pages_of = vma,
		.prev_end = vma->vm_end,
		.grows = true,
	};
	unsigned long pages = (vmg.end - vmg.start) >> PAGE_SHIFT;
	unsigned long charge = vma->vm_flags & VM_ACCOUNT ? pages : 0;
	int err;

	mmap_assert_write_locked(vrm->mm);
	vmg.next = find_vma(mm, vmg.start);
	vmg.next_start = vmg.next ? vmg.next->vm_start : 0;
	err = vm_enough_memory(mm->ctx, charge);
	if (err)
		return err;
	err = vma_merge_prepare(&vmg);
	if (err || !vmg.target) {
		vm_unacct_memory(mm->ctx, charge);
		return -ENOMEM;
	}
	vma = vma_merge_commit(&vmg);
	vm_stat_account(mm, vma->vm_flags, (long)pages);
	mm->accounted += charge;
	if (vma->vm_flags & VM_LOCKED) {
		mm->locked_vm += pages;
		mm_populate_locked(mm, vmg.start, vmg.end);
	}
	return 0;
}

static int choose_new_addr(struct vma_remap_struct *vrm)
{
	struct vm_unmapped_area want = {
		.addr = implies_new_addr(vrm) ? vrm->new_addr : 0,
		.len = vrm->new_len,
		.flags = (vrm->flags & MREMAP_FIXED ? MAP_FIXED : 0) |
			 (vrm->vma->vm_flags & VM_MAYSHARE ? MAP_SHARED : 0),
		.file = vrm->vma->vm_file,
		.offset = (uint64_t)vma_pgoff_at(vrm->vma, vrm->addr) << PAGE_SHIFT,
	};

	mmap_assert_write_locked(vrm->mm);
	return get_unmapped_area(vrm->mm, &want, &vrm->new_addr);
}

/* After a move that keeps the old mapping: it is unlocked, and has no pages. */
static void keep_source(struct vma_remap_struct *vrm, unsigned long addr)
{
	struct vm_area_struct *vma = vma_lookup(vrm->mm, addr);

	vma_start_write(vma);
	/* Observed: its pages stay in the count of locked ones, for good. */
	if (vma->vm_flags & VM_LOCKED)
		vrm->mm->locked_lost += vma_pages(vma);
	vma->vm_flags &= ~VM_LOCKED_MASK;
	if (vma->vm_start == addr && vma->vm_end == addr + vrm->old_len)
		unlink_anon_vmas(vrm->mm, vma);
}

/* The pages that move. */
static struct pt_move pages_to_move(const struct vma_remap_struct *vrm)
{
	return (struct pt_move){
		.from = vrm->addr,
		.to = vrm->new_addr,
		.len = vrm->old_len < vrm->new_len ? vrm->old_len : vrm->new_len,
		.replaces = vrm->flags & MREMAP_FIXED,
	};
}

/* Both mappings are there. Cannot fail. */
static void move_pages(struct vma_remap_struct *vrm)
{
	struct pt_move move = pages_to_move(vrm);

	move.vma = vma_lookup(vrm->mm, vrm->addr);
	if (move.len)
		move_page_tables(&move, vrm->tables);
}

/* The old place is unmapped when the pages have moved: if that takes a cut, may it be made? */
static int ask_for_cuts(const struct vma_remap_struct *vrm)
{
	const struct vm_area_struct *vma = vrm->vma;
	unsigned long end = vrm->addr + vrm->old_len;
	int err = vma->vm_start < vrm->addr ? vma_may_split(vma, vrm->addr) : 0;

	return err || end >= vma->vm_end ? err : vma_may_split(vma, end);
}

/* The driver does not want it: the new place, which has no pages yet, goes again. */
static int refuse_move(struct vma_remap_struct *vrm, int why)
{
	struct mm_struct *mm = vrm->mm;
	unsigned long mark = mm->hiwater_vm;
	int err = do_vmi_munmap(mm, vrm->new_addr, vrm->new_addr + vrm->new_len);

	pf_warn_on_once(mm->ctx->pf, err, "where a move was refused, %#lx could not be unmapped: %d",
			vrm->new_addr, err);
	mm->hiwater_vm = mark;
	return why;
}

static int move_vma(struct vma_remap_struct *vrm)
{
	struct vm_area_struct *vma = vrm->vma;
	struct mm_struct *mm = vrm->mm;
	bool keeps = vrm->flags & MREMAP_DONTUNMAP, accounted = vma->vm_flags & VM_ACCOUNT;
	unsigned long pages = vrm->new_len >> PAGE_SHIFT;
	unsigned long beyond = keeps ? pages : pages - (vrm->old_len >> PAGE_SHIFT);
	bool locked = vma->vm_flags & VM_LOCKED;
	struct vma_new new = {
		.start = vrm->new_addr, .end = vrm->new_addr + vrm->new_len, .flags = vma->vm_flags,
		.file = vma->vm_file, .pgoff = vma_pgoff_at(vma, vrm->addr), .moved_from = vma,
	};
	struct pt_move move = pages_to_move(vrm);
	struct vm_area_struct *to;
	int err;

	mmap_assert_write_locked(vrm->mm);
	if (mm->map_count + 3 >= mm->ctx->opt.max_map_count)
		return -ENOMEM;
	err = ask_for_cuts(vrm);
	if (err)
		return err;
	/* Where the place was given, that has been done before what was there went. */
	err = move.replaces ? 0 : move_page_tables_prepare(mm, &move, vrm->tables);
	if (err)
		return err;
	if (vma_is_anonymous(vma) && !vma->anon_vma)
		new.pgoff = vrm->new_addr >> PAGE_SHIFT;
	if (accounted) {
		err = vm_enough_memory(mm->ctx, beyond);
		if (err)
			return err;
		atomic_fetch_add(&mm->ctx->committed, (long)(pages - beyond));
	}
	if (vma->vm_flags & VM_HUGE_OWNER)
		huge_move(mm->ctx, pages >> HPAGE_ORDER);
	err = vma_insert(mm, &new, NULL, &to);
	if (err) {
		if (vma->vm_flags & VM_HUGE_OWNER)
			huge_give_back(mm->ctx, pages >> HPAGE_ORDER);
		vm_unacct_memory(mm->ctx, accounted ? pages : 0);
		return err;
	}
	err = vma_may_move(to, vrm->addr);
	if (err)
		return refuse_move(vrm, err);
	move_pages(vrm);
	if (keeps)
		keep_source(vrm, vrm->addr);
	else if (vrm->old_len)
		err = do_vmi_munmap(mm, vrm->addr, vrm->addr + vrm->old_len);
	pf_warn_on_once(mm->ctx->pf, err, "the source of a move, %#lx, could not be unmapped: %d", vrm->addr,
			err);
	if (locked && vrm->new_len > vrm->old_len)
		mm_populate_locked(mm, vrm->new_addr + vrm->old_len, vrm->new_addr + vrm->new_len);
	return 0;
}

static int reserve_for_move(struct vma_remap_struct *vrm)
{
	unsigned long sources = 0, targets = 0, longest, other, vmas;
	struct pt_move move = pages_to_move(vrm);
	int err;

	err = move.replaces ? move_page_tables_prepare(vrm->mm, &move, vrm->tables) : 0;
	if (err)
		return err;
	longest = vma_longest_chain(vrm->mm, vrm->addr, vrm->addr + vrm->old_len, &sources);
	other = implies_new_addr(vrm)
			? vma_longest_chain(vrm->mm, vrm->new_addr, vrm->new_addr + vrm->new_len, &targets)
			: 0;
	if (other > longest)
		longest = other;
	/*
	 * Each source is copied, and may punch a hole in what is at its destination, which takes two more:
	 * gaps between sources leave parts of that. The ends of both ranges may cut a VMA in three.
	 */
	vmas = 3 * sources + 7;
	return vma_reserve(vrm->mm, &(struct vma_needs){
		.vmas = vmas, .links = vmas * (longest + 1), .stores = 4 * sources + 4 });
}

/* The part beyond the new length goes. It may reach over other mappings, but not beyond the user range. */
static int unmap_tail(struct vma_remap_struct *vrm)
{
	unsigned long start = vrm->addr + vrm->new_len, end = vrm->addr + vrm->old_len;

	if (end < start || end > vrm->mm->opt.task_size)
		return -EINVAL;
	return do_vmi_munmap(vrm->mm, start, end);
}

/* At an address that was given: what is there goes first. */
static int mremap_to(struct vma_remap_struct *vrm)
{
	struct mm_struct *mm = vrm->mm;
	int err;

	if (vrm->flags & MREMAP_FIXED) {
		err = do_vmi_munmap(mm, vrm->new_addr, vrm->new_addr + vrm->new_len);
		if (err)
			return err;
		vrm->vma = vma_lookup(mm, vrm->addr);
		if (!vrm->vma)
			return -EFAULT;
	}
	if (vrm->kind == REMAP_SHRINK) {
		err = unmap_tail(vrm);
		if (err)
			return err;
		vrm->old_len = vrm->new_len;
		vrm->vma = vma_lookup(mm, vrm->addr);
	}
	if ((vrm->flags & MREMAP_DONTUNMAP) &&
	    !may_expand_vm(mm, vrm->vma->vm_flags, vrm->old_len >> PAGE_SHIFT))
		return -ENOMEM;
	err = choose_new_addr(vrm);
	return err ? err : move_vma(vrm);
}

static int mremap_at(struct vma_remap_struct *vrm)
{
	int err;

	vrm->new_addr = vrm->addr;
	if (vrm->kind == REMAP_SAME)
		return 0;
	if (vrm->kind == REMAP_SHRINK)
		return unmap_tail(vrm);
	if (can_expand_in_place(vrm))
		return expand_in_place(vrm);
	if (!(vrm->flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	err = choose_new_addr(vrm);
	if (!err)
		err = reserve_for_move(vrm);
	return err ? err : move_vma(vrm);
}

static int remap_one(struct vma_remap_struct *vrm)
{
	int err = check_prep_vma(vrm);

	if (err)
		return err;
	return implies_new_addr(vrm) ? mremap_to(vrm) : mremap_at(vrm);
}

/* A move alone, without a change of size, may take several mappings along, gaps between them kept. */
static int remap_move(struct vma_remap_struct *vrm)
{
	unsigned long at = vrm->addr, end = vrm->addr + vrm->old_len, shift = vrm->new_addr - vrm->addr;
	struct vma_remap_struct one;
	struct vm_area_struct *vma;
	bool several;
	int err;

	mmap_assert_write_locked(vrm->mm);
	vma = vma_lookup(vrm->mm, at);
	if (!vma)
		return -EFAULT;
	several = end > vma->vm_end;
	do {
		/* Observed: private /dev/zero moves alone only. */
		if (several && vma->vm_file && vma_is_anonymous(vma))
			return -EFAULT;
		one = *vrm;
		one.vma = vma;
		one.addr = vma->vm_start > at ? vma->vm_start : at;
		at = vma->vm_end < end ? vma->vm_end : end;
		one.old_len = one.new_len = at - one.addr;
		one.new_addr = one.addr + shift;
		err = remap_one(&one);
		if (err)
			return err;
		vma = find_vma_intersection(vrm->mm, at, end);
	} while (at < end && vma);
	return 0;
}

int mm_mremap(struct mm_struct *mm, const struct mm_mremap_args *args, unsigned long *out)
{
	struct pt_spares tables = { 0 };
	struct vma_remap_struct vrm = {
		.mm = mm,
		.addr = args->addr,
		.old_len = PAGE_ALIGN(args->old_len),
		.new_len = PAGE_ALIGN(args->new_len),
		.new_addr = args->new_addr,
		.flags = args->flags,
		.tables = &tables,
	};
	int err;

	mmap_write_lock(mm);
	err = check_params(&vrm);
	/* Without a new address only a move takes several steps, and reserves when it is due. */
	if (!err && implies_new_addr(&vrm))
		err = reserve_for_move(&vrm);
	if (!err && (vrm.flags & MREMAP_FIXED) && vrm.old_len == vrm.new_len) {
		err = remap_move(&vrm);
	} else if (!err) {
		vrm.vma = vma_lookup(mm, vrm.addr);
		err = remap_one(&vrm);
	}
	vma_unreserve(mm);
	pt_spares_free(mm->ctx->frames, &tables);
	if (!err)
		*out = vrm.new_addr;
	mmap_write_unlock(mm);
	return err;
}
