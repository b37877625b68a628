/* SPDX-License-Identifier: MIT */
/* A program touches memory: stacks grow, private memory that is written to gets its anon_vma. */
#include "mm/mm.h"
#include "mm/trace.h"
#include "mmu/mmu.h"

/* Whether the VMA below leaves the stack its guard gap; stacks and inaccessible memory may be near. */
static bool keeps_guard_gap(struct mm_struct *mm, struct vm_area_struct *vma, unsigned long addr)
{
	struct vm_area_struct *prev;

	find_vma_prev(mm, vma->vm_start, &prev);
	if (!prev)
		return true;
	if (prev->vm_end > addr)
		return false;
	if ((prev->vm_flags & VM_GROWSDOWN) || !vma_is_accessible(prev))
		return true;
	return addr - prev->vm_end >= mm->ctx->opt.stack_guard_gap;
}

/* Limits and charge for a stack that grows by @pages. */
static int acct_stack_growth(struct vm_area_struct *vma, unsigned long addr, unsigned long pages)
{
	struct mm_struct *mm = vma->vm_mm;

	pf_assert(pages && !(addr & ~PAGE_MASK));
	if (!may_expand_vm(mm, vma->vm_flags, pages))
		return -ENOMEM;
	if (vma->vm_end - addr > mm->opt.rlimit[MM_RLIMIT_STACK])
		return -ENOMEM;
	if (!mlock_future_ok(mm, vma->vm_flags, pages << PAGE_SHIFT))
		return -ENOMEM;
	return vm_enough_memory(mm->ctx, pages);
}

int expand_stack(struct vm_area_struct *vma, unsigned long addr)
{
	struct mm_struct *mm = vma->vm_mm;
	unsigned long pages;
	struct vma_store store;
	int err;

	mmap_assert_write_locked(mm);
	addr &= PAGE_MASK;
	if (addr < mm->ctx->opt.mmap_min_addr)
		return -EPERM;
	pages = (vma->vm_start - addr) >> PAGE_SHIFT;
	if (!keeps_guard_gap(mm, vma, addr) || pages > vma->vm_pgoff)
		return -ENOMEM;
	err = vma_store_prepare(&store, mm, addr, vma->vm_end, vma);
	if (err)
		return err;
	/* Observed: the anon_vma stays when a limit then refuses the growth. */
	err = anon_vma_prepare(mm, vma);
	if (err)
		goto cancel;
	err = acct_stack_growth(vma, addr, pages);
	if (err)
		goto cancel;

	/* From here on nothing can fail. */
	vma_start_write(vma);
	rmap_lock(vma);
	rmap_leave_locked(vma);
	vma_set_start(vma, addr);
	rmap_enter_locked(vma);
	rmap_unlock(vma);
	vma_store_commit(&store);
	vm_stat_account(mm, vma->vm_flags, (long)pages);
	if (vma->vm_flags & VM_LOCKED)
		mm->locked_vm += pages;
	/* Charged whatever its flags, and given back with the VMA only if it is accounted. */
	if (vma->vm_flags & VM_ACCOUNT)
		mm->accounted += pages;
	else
		vm_unacct_memory(mm->ctx, pages);
	return 0;

cancel:
	vma_store_cancel(&store);
	return err;
}

static bool is_private_writable(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & (VM_WRITE | VM_SHARED)) == VM_WRITE && !(vma->vm_flags & (VM_IO | VM_PFNMAP));
}

/* Whether the page at @addr lies beyond the end of the file. */
static bool is_beyond_file(const struct vm_area_struct *vma, unsigned long addr)
{
	return vma->vm_file && !vma_is_anonymous(vma) &&
	       vma_pgoff_at(vma, addr) >= i_size_pages(vma->vm_file->mapping);
}

static bool needs_anon_vma(const struct vm_area_struct *vma, enum mm_access access)
{
	/* A private huge page is one of its own, for a read too. */
	if ((vma->vm_flags & (VM_HUGETLB | VM_MAYSHARE)) == VM_HUGETLB)
		return vma->vm_mm->pt && !vma_anon_vma(vma);
	return access == MM_WRITE && is_private_writable(vma) && !vma_anon_vma(vma);
}

int mm_populate_vma(struct vm_area_struct *vma, unsigned long start, unsigned long end, bool write)
{
	int err = 0;

	pf_assert(vma->vm_start < end && start < vma->vm_end && start < end);
	if (start < vma->vm_start)
		start = vma->vm_start;
	if (end > vma->vm_end)
		end = vma->vm_end;
	if (!pkey_permits(vma, write))
		return -EINVAL;
	if (((write && is_private_writable(vma)) || needs_anon_vma(vma, MM_READ)) && !guard_at(vma, start))
		err = anon_vma_prepare(vma->vm_mm, vma);
	/* Huge pages may not grow, and are no driver's for all that. */
	if (!err && (!(vma->vm_flags & VM_SPECIAL) || (vma->vm_flags & VM_HUGETLB)))
		err = populate_range_for(vma, start, end, write ? MM_WRITE : MM_READ);
	if (!err && is_beyond_file(vma, end - PAGE_SIZE))
		err = -EFAULT;
	return err;
}

int mm_populate_to_lock(struct vm_area_struct *vma, unsigned long start, unsigned long end)
{
	return mm_populate_vma(vma, start, end, is_private_writable(vma));
}

int mm_populate_locked(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	int err;

	mmap_assert_write_locked(mm);
	vma_iter_init(&vmi, mm, start);
	for_each_vma_range(vmi, vma, end) {
		if ((vma->vm_flags & VM_LOCKONFAULT) || !vma_is_accessible(vma))
			continue;
		err = mm_populate_to_lock(vma, start, end);
		if (err == -ENOMEM)
			return err;
	}
	return 0;
}

/* Keys are asked at reads and writes alone. */
static bool key_forbids(const struct vm_area_struct *vma, enum mm_access access)
{
	return access != MM_EXEC && !pkey_permits(vma, access == MM_WRITE);
}

/*
 * Observed: an instruction is fetched as it is read, and that it may not be executed shows when the page is
 * there; so a page that no file can give comes first.
 */
static bool misses_page(const struct vm_area_struct *vma, unsigned long addr, enum mm_access access)
{
	return access == MM_EXEC && vma_is_accessible(vma) && is_beyond_file(vma, addr);
}

static bool may_access(const struct vm_area_struct *vma, enum mm_access access)
{
	if (key_forbids(vma, access))
		return false;
	switch (access) {
	case MM_WRITE:
		return vma->vm_flags & VM_WRITE;
	case MM_EXEC:
		return vma->vm_flags & VM_EXEC;
	default:
		return vma_is_accessible(vma);
	}
}

/* Where both forbid it the key is named. */
static enum mm_fault refusal(const struct vm_area_struct *vma, unsigned long addr, enum mm_access access)
{
	if (misses_page(vma, addr, access))
		return MM_FAULT_BUS;
	return key_forbids(vma, access) ? MM_FAULT_PKUERR : MM_FAULT_ACCERR;
}

/* The refusal, and what it leaves: the page that was fetched from is there. */
static enum mm_fault refused(struct vm_area_struct *vma, unsigned long addr, enum mm_access access)
{
	enum mm_fault why = refusal(vma, addr, access), fetched;

	if (access != MM_EXEC || !vma_is_accessible(vma))
		return why;
	fetched = handle_mm_fault(vma, addr, MM_READ);
	return fetched == MM_FAULT_OK ? why : fetched;
}

/* With @vma or the mmap_lock locked for reading; it contains @addr. */
static enum mm_fault fault_in_vma(struct vm_area_struct *vma, unsigned long addr, enum mm_access access)
{
	vma_assert_locked(vma);
	pf_assert(vma->vm_start <= addr && addr < vma->vm_end);
	if (!may_access(vma, access))
		return refused(vma, addr, access);
	/*
	 * Observed: it has its anon_vma by now, though the file has no page to copy. With page tables a guard comes
	 * first: they tell.
	 */
	if (!vma->vm_mm->pt && is_beyond_file(vma, addr))
		return MM_FAULT_BUS;
	return handle_mm_fault(vma, addr, access);
}

/* Most touches need no lock but the VMA's. False: the mmap_lock has to be asked. */
static bool fault_vma_locked(struct mm_struct *mm, unsigned long addr, enum mm_access access,
			     enum mm_fault *fault)
{
	struct vm_area_struct *vma = lock_vma_under_rcu(mm, addr);
	bool done;

	if (!vma)
		return false;
	/* An anon_vma is taken over from a neighbour, which only the mmap_lock keeps where it is. */
	done = !needs_anon_vma(vma, access);
	if (done)
		*fault = fault_in_vma(vma, addr, access);
	vma_end_read(vma);
	return done;
}

/* A fetch that is refused does too. */
static bool leads_to_page(const struct vm_area_struct *vma, enum mm_access access)
{
	return may_access(vma, access) || (access == MM_EXEC && vma_is_accessible(vma));
}

/* With the mmap_lock. Observed: a guard is met before a mapping of a file is tied to an anon_vma. */
static enum mm_fault first_write(struct vm_area_struct *vma, unsigned long addr, enum mm_access access)
{
	if (guard_at(vma, addr))
		return MM_FAULT_MAPERR;
	if (anon_vma_prepare(vma->vm_mm, vma))
		return MM_FAULT_OOM;
	return fault_in_vma(vma, addr, access);
}

/* False: a stack has to grow first. */
static bool fault_read_locked(struct mm_struct *mm, unsigned long addr, enum mm_access access,
			      enum mm_fault *fault)
{
	struct vm_area_struct *vma = find_vma(mm, addr);

	if (vma && vma->vm_start > addr && (vma->vm_flags & VM_GROWSDOWN))
		return false;
	if (!vma || vma->vm_start > addr)
		*fault = MM_FAULT_MAPERR;
	else if (leads_to_page(vma, access) && needs_anon_vma(vma, access))
		*fault = first_write(vma, addr, access);
	else
		*fault = fault_in_vma(vma, addr, access);
	return true;
}

/* Grow the stack above @addr, unless it has been done meanwhile. */
static bool grow_stack(struct mm_struct *mm, unsigned long addr)
{
	struct vm_area_struct *vma;
	bool grown;

	mmap_write_lock(mm);
	vma = find_vma(mm, addr);
	grown = vma && (vma->vm_start <= addr ||
			((vma->vm_flags & VM_GROWSDOWN) && !expand_stack(vma, addr)));
	mmap_write_unlock(mm);
	return grown;
}

static enum mm_fault do_fault(struct mm_struct *mm, unsigned long addr, enum mm_access access)
{
	enum mm_fault fault = MM_FAULT_OK;
	bool done = fault_vma_locked(mm, addr, access, &fault);

	while (!done) {
		mmap_read_lock(mm);
		done = fault_read_locked(mm, addr, access, &fault);
		mmap_read_unlock(mm);
		if (!done && !grow_stack(mm, addr))
			return MM_FAULT_MAPERR;
	}
	return fault;
}

enum mm_fault mm_fault(struct mm_struct *mm, unsigned long addr, enum mm_access access)
{
	enum mm_fault fault = do_fault(mm, addr, access);

	/*
	 * Asked last: a page that the reaper took, and that is empty now, was taken after the mark was set.
	 */
	if (fault == MM_FAULT_OK && mm_flag_is_set(mm, MMF_UNSTABLE))
		fault = MM_FAULT_BUS;
	trace_mm(mm, &(struct mm_trace){ .event = MM_TRACE_FAULT, .addr = addr, .len = 1, .result = fault });
	return fault;
}
