/* SPDX-License-Identifier: MIT */
/* mmap. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "mm/mm.h"
#include "mm/trace.h"
#include "mmu/access.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#define MAP_HUGE_MASK 0x3f
#endif
#ifndef MAP_UNINITIALIZED
#define MAP_UNINITIALIZED 0x4000000
#endif

/* What a plain MAP_SHARED ignores when it does not know it, and MAP_SHARED_VALIDATE refuses. */
#define KNOWN_FLAGS                                                                                          \
	(MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE |             \
	 MAP_UNINITIALIZED | MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK |      \
	 MAP_STACK | MAP_HUGETLB | MAP_32BIT | 0x80 | (0x3fU << 26))

static bool is_hugetlb(const struct vm_file *file)
{
	return file && file->info.kind == VM_FILE_HUGETLB;
}

/* A mapping in the making. */
struct mmap_request {
	struct mm_struct *mm;
	const struct mm_mmap_args *args;
	unsigned long len;		/* bytes, whole pages */
	unsigned long flags;		/* MAP_FIXED_NOREPLACE brings MAP_FIXED along */
	unsigned long prot;
	struct vm_file *file;
	bool counts_as_locked;		/* droppable memory, which loses its lock once it is mapped */
	struct huge_promise promise;
	struct vma_new new;
};

static int check_length(struct mmap_request *req)
{
	uint64_t pgoff = req->args->offset >> PAGE_SHIFT;

	if (!req->args->len)
		return -EINVAL;
	req->len = PAGE_ALIGN(req->args->len);
	if (!req->len)
		return -ENOMEM;
	if (pgoff + (req->len >> PAGE_SHIFT) < pgoff)
		return -EOVERFLOW;
	return 0;
}

/* A hint below the lowest allowed address is moved up to it; one of 0 is none. */
static unsigned long round_hint(const struct mm_struct *mm, unsigned long addr)
{
	addr &= PAGE_MASK;
	if (addr && addr < mm->ctx->opt.mmap_min_addr)
		return PAGE_ALIGN(mm->ctx->opt.mmap_min_addr);
	return addr;
}

static int find_place(struct mmap_request *req, unsigned long *addr)
{
	struct vm_unmapped_area want = {
		.addr = req->args->addr, .len = req->len, .flags = req->flags, .file = req->file,
		.offset = req->args->offset,
	};
	int err;

	mmap_assert_locked(req->mm);
	if (!(req->flags & MAP_FIXED))
		want.addr = round_hint(req->mm, want.addr);
	err = get_unmapped_area(req->mm, &want, addr);
	if (err)
		return err;
	if ((req->flags & MAP_FIXED_NOREPLACE) && find_vma_intersection(req->mm, *addr, *addr + req->len))
		return -EEXIST;
	return 0;
}

static vm_flags_t flags_from_args(const struct mmap_request *req)
{
	vm_flags_t flags = calc_vm_prot_bits(req->prot) | req->mm->def_flags | VM_MAY_ALL;

	if (req->flags & MAP_GROWSDOWN)
		flags |= VM_GROWSDOWN;
	if (req->flags & MAP_LOCKED)
		flags |= VM_LOCKED;
	/* Observed: a mapping meant as a stack is kept from huge pages. */
	if (req->flags & MAP_STACK)
		flags |= VM_NOHUGEPAGE;
	if (req->flags & MAP_SYNC)
		flags |= VM_SYNC;
	if ((req->flags & MAP_NORESERVE) &&
	    (req->mm->ctx->opt.overcommit != MM_OVERCOMMIT_NEVER || is_hugetlb(req->file)))
		flags |= VM_NORESERVE;
	return flags;
}

/* What may be executed alone gets a protection key that lets nobody read it. */
static vm_flags_t execute_only_flags(const struct mmap_request *req)
{
	int key = req->prot == PROT_EXEC ? execute_only_pkey(req->mm) : 0;

	return key > 0 ? pkey_flags(key) : 0;
}

static int check_shared_file(const struct mmap_request *req, vm_flags_t *flags)
{
	unsigned long known = KNOWN_FLAGS;

	/* A file system may know it, and refuse later. */
	if (req->file->info.kind == VM_FILE_REGULAR)
		known |= MAP_SYNC;
	if ((req->flags & MAP_TYPE) == MAP_SHARED_VALIDATE && (req->flags & ~known))
		return -EOPNOTSUPP;
	if ((req->prot & PROT_WRITE) && !req->file->info.writable)
		return -EACCES;
	*flags |= VM_SHARED | VM_MAYSHARE;
	if (!req->file->info.writable)
		*flags &= ~(VM_MAYWRITE | VM_SHARED);
	return 0;
}

/* How far a file of this kind reaches, in bytes. */
static uint64_t largest_file(const struct vm_file_info *info)
{
	return info->kind == VM_FILE_ZERO || info->kind == VM_FILE_DEVICE ? UINT64_MAX : INT64_MAX;
}

static int check_file(struct mmap_request *req, vm_flags_t *flags)
{
	const struct vm_file_info *info = &req->file->info;
	int err = 0;

	if (req->len > largest_file(info) ||
	    req->args->offset >> PAGE_SHIFT > (largest_file(info) - req->len) >> PAGE_SHIFT)
		return -EOVERFLOW;
	switch (req->flags & MAP_TYPE) {
	case MAP_SHARED:
	case MAP_SHARED_VALIDATE:
		err = check_shared_file(req, flags);
		break;
	case MAP_PRIVATE:
		break;
	default:
		return -EINVAL;
	}
	if (err)
		return err;
	if (!info->readable)
		return -EACCES;
	if (info->noexec) {
		if (*flags & VM_EXEC)
			return -EPERM;
		*flags &= ~VM_MAYEXEC;
	}
	if (*flags & VM_GROWSDOWN)
		return -EINVAL;
	if (info->kind == VM_FILE_HUGETLB) {
		/* Never locked, but populated as if it were. */
		req->counts_as_locked = *flags & VM_LOCKED;
		*flags &= ~VM_LOCKED_MASK;
		*flags |= VM_HUGETLB | VM_DONTEXPAND;
	}
	/* Frames that a driver gives are not the file's to be had again: such mappings stay as they are. */
	if (info->kind == VM_FILE_DEVICE)
		*flags |= VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP;
	return 0;
}

static int check_anonymous(struct mmap_request *req, vm_flags_t *flags)
{
	switch (req->flags & MAP_TYPE) {
	case MAP_SHARED:
		if (*flags & VM_GROWSDOWN)
			return -EINVAL;
		*flags |= VM_SHARED | VM_MAYSHARE;
		return 0;
	case MAP_PRIVATE:
		return 0;
	case MAP_DROPPABLE:
		if ((*flags & VM_GROWSDOWN) || (req->flags & MAP_LOCKED))
			return -EINVAL;
		/*
		 * Observed: as long as it looks for neighbours, and when it is populated, it counts as
		 * locked.
		 */
		req->new.no_merge = req->counts_as_locked = *flags & VM_LOCKED;
		*flags &= ~VM_LOCKED_MASK;
		*flags |= VM_DROPPABLE | VM_NORESERVE | VM_WIPEONFORK | VM_DONTDUMP;
		return 0;
	default:
		return -EINVAL;
	}
}

/* Address, flags and rights, in the order in which Linux asks. */
static int prepare_request(struct mmap_request *req)
{
	const struct mm_struct *mm = req->mm;
	vm_flags_t *flags = &req->new.flags;
	unsigned long addr;
	int err;

	req->flags = req->args->flags;
	req->prot = req->args->prot;
	req->file = req->flags & MAP_ANONYMOUS ? NULL : req->args->file;
	if (req->flags & MAP_FIXED_NOREPLACE)
		req->flags |= MAP_FIXED;
	if ((req->prot & PROT_READ) && mm->opt.read_implies_exec && !(req->file && req->file->info.noexec))
		req->prot |= PROT_EXEC;
	err = check_length(req);
	if (err)
		return err;
	if (mm->map_count > mm->ctx->opt.max_map_count)
		return -ENOMEM;
	/* Observed: it is taken into use whatever becomes of the mapping. */
	*flags = execute_only_flags(req);
	err = find_place(req, &addr);
	if (err)
		return err;
	*flags |= flags_from_args(req);
	if ((req->flags & MAP_LOCKED) && !can_do_mlock(req->mm))
		return -EPERM;
	if (!mlock_future_ok(req->mm, *flags, req->len))
		return -EAGAIN;
	err = req->file ? check_file(req, flags) : check_anonymous(req, flags);
	if (err)
		return err;
	req->new.start = addr;
	req->new.end = addr + req->len;
	req->new.pgoff = req->file ? req->args->offset >> PAGE_SHIFT : addr >> PAGE_SHIFT;
	req->new.file = req->file;
	return 0;
}

/* The backing that is made for the mapping alone: it never merges. */
static int make_shared_memory(struct mmap_request *req, struct vm_file **made)
{
	bool zero = req->file && req->file->info.kind == VM_FILE_ZERO;
	int err;

	if (!(req->flags & MAP_SHARED) || (req->file && !zero))
		return 0;
	err = vm_file_create_shared_anon(req->mm->ctx, req->len >> PAGE_SHIFT, req->new.flags &VM_NORESERVE,
					 made);
	if (err)
		return err;
	req->new.file = *made;
	if (!zero)
		req->new.pgoff = 0;
	return 0;
}

/* Charge what the mapping needs beyond what it replaces. */
static int charge(struct mmap_request *req, struct vma_munmap_struct *vms, unsigned long *charged)
{
	struct mm_context *ctx = req->mm->ctx;
	unsigned long pages = req->len >> PAGE_SHIFT;
	unsigned long beyond = pages > vms->accounted ? pages - vms->accounted : 0;
	int err;

	mmap_assert_write_locked(req->mm);
	*charged = 0;
	if (!accountable_mapping(req->file, req->new.flags))
		return 0;
	err = vm_enough_memory(ctx, beyond);
	if (err)
		return err;
	/* The rest is promised already, and goes over to the new mapping. */
	vms->kept = pages - beyond;
	*charged = beyond;
	req->new.flags |= VM_ACCOUNT;
	return 0;
}

/* What the file itself has to say. No file system of ours can promise what MAP_SYNC asks for. */
static int call_mmap(struct mmap_request *req, const struct vma_munmap_struct *vms)
{
	bool regular = req->file && req->file->info.kind == VM_FILE_REGULAR, shared;
	int err;

	if (regular && (req->new.flags & VM_SYNC))
		return -EOPNOTSUPP;
	if (!is_hugetlb(req->file))
		return 0;
	if (req->new.pgoff & ((1UL << HPAGE_ORDER) - 1))
		return -EINVAL;
	if (req->new.flags & VM_NORESERVE)
		return 0;
	shared = req->new.flags & VM_MAYSHARE;
	err = huge_promise_prepare(&req->promise, req->file, req->new.pgoff, req->len >> PAGE_SHIFT, shared,
				   vms->huge_owned);
	if (!err && !shared)
		req->new.flags |= VM_HUGE_OWNER;
	return err;
}

/* The first of two phases: its driver may refuse. Nothing has changed, and the hook changes nothing. */
static int prepare_driver(const struct mmap_request *req)
{
	struct vm_area_struct vma = {
		.vm_mm = req->mm, .vm_start = req->new.start, .vm_end = req->new.end, .vm_flags = req->new.flags,
		.vm_pgoff = req->new.pgoff, .vm_file = req->file,
	};
	const struct vm_operations *ops = driver_of(&vma);
	struct vm_mapping map;
	int err;

	if (!ops || !ops->mmap_prepare)
		return 0;
	map = vma_as_mapping(&vma);
	err = ops->mmap_prepare(req->file->info.ops_arg, &map);
	pf_assert(err <= 0);
	return err;
}

/*
 * A driver of the old style maps pages itself. If it fails half way, what it has mapped goes like any other pages:
 * between the neighbours, and without memory, since the mapping goes whole.
 */
static int map_in_advance(struct mm_struct *mm, struct vm_area_struct *vma)
{
	unsigned long mark = mm->hiwater_vm;
	int err = driver_of(vma) ? driver_mmap(vma) : 0, undone;

	if (!err)
		return 0;
	pf_assert(err < 0);
	undone = do_vmi_munmap(mm, vma->vm_start, vma->vm_end);
	pf_warn_on_once(mm->ctx->pf, undone, "a driver's mapping that failed could not be undone: %d", undone);
	/* It never was. */
	mm->hiwater_vm = mark;
	return err;
}

/* A mapping that can be written to makes a file of huge pages as long as it needs. */
static void lengthen_file(const struct mmap_request *req)
{
	struct address_space *mapping;
	uint64_t end = req->args->offset + req->len;

	if (!is_hugetlb(req->file) || !(req->new.flags & VM_WRITE) || end <= vm_file_size(req->file))
		return;
	mapping = req->file->mapping;
	pf_mutex_lock(&mapping->i_change_lock);
	pf_mutex_lock(&mapping->i_lock);
	if (end > atomic_load(&mapping->i_size))
		i_size_write(mapping, end);
	pf_mutex_unlock(&mapping->i_lock);
	pf_mutex_unlock(&mapping->i_change_lock);
}

static int mmap_region(struct mmap_request *req)
{
	struct mm_struct *mm = req->mm;
	struct vma_munmap_struct vms;
	struct vm_area_struct *vma;
	struct vm_file *made = NULL;
	unsigned long charged = 0;
	int err;

	mmap_assert_write_locked(req->mm);
	err = vms_gather_vmas(&vms, mm, req->new.start, req->new.end);
	if (err)
		return err;
	err = -ENOMEM;
	if (!may_expand_vm(mm, req->new.flags, (req->len >> PAGE_SHIFT) - vms.nr_pages))
		goto abort_split;
	err = charge(req, &vms, &charged);
	if (err)
		goto abort_split;
	err = prepare_driver(req);
	if (err)
		goto uncharge;
	err = call_mmap(req, &vms);
	/* Want of memory leaves no call half done; what else the file says does. */
	if (err == -ENOMEM)
		goto uncharge;
	if (err)
		goto refused_by_file;
	err = make_shared_memory(req, &made);
	if (err)
		goto uncharge;
	vms.clear = vms_clear_ptes;
	err = vma_insert(mm, &req->new, &vms, &vma);
	vm_file_put(made);
	if (err)
		goto uncharge;
	huge_promise_commit(&req->promise);
	lengthen_file(req);
	return map_in_advance(mm, vma);

uncharge:
	huge_promise_cancel(&req->promise);
	vm_unacct_memory(mm->ctx, charged);
	vms_abort(&vms);
	return err;
refused_by_file:
	/* Linux asks the file when what was there has been unmapped, and does not put it back. */
	vm_unacct_memory(mm->ctx, charged);
	vms_abort(&vms);
	do_vmi_munmap(mm, req->new.start, req->new.end);
	/* The pool of huge pages has no more. */
	return err == -ENOSPC ? -ENOMEM : err;
abort_split:
	vms_abort_split(&vms);
	return err;
}

static bool wants_populate(const struct mmap_request *req)
{
	return (req->new.flags & VM_LOCKED) || req->counts_as_locked ||
	       (req->flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE;
}

static int check_args(const struct mm_struct *mm, const struct mm_mmap_args *args)
{
	if (args->offset & ~PAGE_MASK)
		return -EINVAL;
	/* A file of another context is no open file here. */
	if (!(args->flags & MAP_ANONYMOUS) && (!args->file || args->file->ctx != mm->ctx))
		return -EBADF;
	if (args->file && !(args->flags & MAP_ANONYMOUS) && args->file->info.kind == VM_FILE_DEVICE &&
	    !args->file->info.ops)
		return -ENODEV;
	return 0;
}

int do_mmap(struct mm_struct *mm, const struct mm_mmap_args *args, unsigned long *out)
{
	struct mmap_request req = { .mm = mm, .args = args };
	int err;

	mmap_assert_write_locked(mm);
	err = prepare_request(&req);
	if (!err)
		err = mmap_region(&req);
	if (err)
		return err;
	*out = req.new.start;
	/* The mapping stands, whether or not it could be populated. */
	if (wants_populate(&req))
		mm_populate_locked(mm, req.new.start, req.new.end);
	return 0;
}

/*
 * What is asked for in huge pages: whole ones, of a file that is made now if there is none. *@args is what is
 * to be mapped, *@made, which may be NULL, the caller's to put.
 */
static int ask_for_huge_pages(struct mm_context *ctx, struct mm_mmap_args *args, struct vm_file **made)
{
	unsigned long order = args->flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;
	bool anonymous = args->flags & MAP_ANONYMOUS;
	int err;

	*made = NULL;
	if (!anonymous && !is_hugetlb(args->file))
		return args->flags & MAP_HUGETLB ? -EINVAL : 0;
	if (anonymous && !(args->flags & MAP_HUGETLB))
		return 0;
	if (anonymous && order && 1UL << order != PMD_SIZE)
		return -EINVAL;
	args->len = (args->len + PMD_SIZE - 1) & -PMD_SIZE;
	if (!anonymous)
		return 0;
	err = vm_file_create_huge(ctx, args->len, made);
	if (err)
		return err;
	args->file = *made;
	args->flags &= ~(unsigned long)MAP_ANONYMOUS;
	return 0;
}

int mm_mmap(struct mm_struct *mm, const struct mm_mmap_args *args, unsigned long *out)
{
	struct mm_mmap_args asked = *args;
	struct vm_file *made = NULL;
	int err = check_args(mm, args);

	if (!err)
		err = ask_for_huge_pages(mm->ctx, &asked, &made);
	if (err)
		return err;
	mmap_write_lock(mm);
	err = do_mmap(mm, &asked, out);
	mmap_write_unlock(mm);
	vm_file_put(made);
	trace_mm(mm, &(struct mm_trace){ .event = MM_TRACE_MMAP, .addr = err ? args->addr : *out,
					 .len = args->len, .result = err });
	return err;
}

int mm_get_unmapped_area(struct mm_struct *mm, const struct mm_mmap_args *args, unsigned long *out)
{
	struct mm_mmap_args asked = *args;
	struct mmap_request req = { .mm = mm, .args = &asked };
	struct vm_file *made = NULL;
	int err = check_args(mm, args);

	if (!err)
		err = ask_for_huge_pages(mm->ctx, &asked, &made);
	if (err)
		return err;
	req.flags = asked.flags;
	req.file = asked.flags & MAP_ANONYMOUS ? NULL : asked.file;
	if (req.flags & MAP_FIXED_NOREPLACE)
		req.flags |= MAP_FIXED;
	err = check_length(&req);
	if (!err) {
		mmap_read_lock(mm);
		err = find_place(&req, out);
		mmap_read_unlock(mm);
	}
	vm_file_put(made);
	return err;
}
