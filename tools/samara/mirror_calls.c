/* SPDX-License-Identifier: MIT */
/*
 * The model makes the calls. Where the kernel chose an address, the model is
 * asked first where it would have gone, and then told to go to the kernel's:
 * one wrong guess must not lead to a hundred others.
 */
#include <errno.h>
#include <string.h>

#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "mirror_parts.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static unsigned long page_up(unsigned long len)
{
	return (len + PAGE - 1) & ~(PAGE - 1);
}

/* mmap -------------------------------------------------------------------- */

static bool is_anonymous(const struct call *call)
{
	return call->args[3] & MAP_ANONYMOUS;
}

bool mmap_is_foreign(const struct call *call)
{
	unsigned long flags = call->args[3];

	/* Huge pages are a file of the kernel's own; droppable memory is no part of the model. */
	if ((flags & MAP_HUGETLB) || (flags & MAP_TYPE) == MAP_DROPPABLE)
		return true;
	return !is_anonymous(call) && call->file.anonymous_inode;
}

int mmap_arguments(struct mirror *m, const struct call *call, struct mm_mmap_args *args)
{
	*args = (struct mm_mmap_args){
		.addr = call->args[0],
		.len = call->args[1],
		.prot = call->args[2],
		.flags = call->args[3],
		.offset = call->args[5],
	};
	if (is_anonymous(call))
		return 0;
	/* /dev/zero mapped shared is shared anonymous memory, with a file of its own. */
	if (call->file.known && call->file.info.kind == VM_FILE_ZERO && (args->flags & MAP_SHARED)) {
		args->flags |= MAP_ANONYMOUS;
		return 0;
	}
	return description_get(m, &call->file, &args->file);
}

/*
 * Errors that depend on more than the model knows: which files can be mapped at all, seals and leases, a
 * signal that ends the process, pages that cannot be had.
 */
static bool mmap_error_is_outside(const struct call *call)
{
	if (call->ret == -EINTR)
		return true;
	if (is_anonymous(call))
		return mmap_is_foreign(call);
	if (!call->file.known || call->file.anonymous_inode || call->file.info.kind == VM_FILE_DEVICE)
		return true;
	switch ((int)call->ret) {
	case -EBADF:
	case -ENODEV:
	case -ENXIO:
	case -EIO:
	case -ENFILE:
	case -ETXTBSY:
		return true;
	case -EPERM:
		return call->file.info.kind == VM_FILE_SHMEM;
	default:
		return false;
	}
}

/* How much the machine has to give is not always known (in a replay never): such refusals stand. */
static bool refused_for_want_of_memory(const struct mirror *m, const struct call *call)
{
	return m->memory_unknown && call->ret == -ENOMEM;
}

/* Ask the model where it would have gone, then send it where the kernel went. */
static void mmap_place(struct mirror *m, struct space *s, const struct call *call, struct mm_mmap_args *args)
{
	unsigned long at;

	pf_assert(!is_error(call->ret));
	if (args->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
		return;
	m->stats.searched++;
	if (!mm_get_unmapped_area(s->mm, args, &at) && at == (unsigned long)call->ret)
		m->stats.predicted++;
	args->addr = (unsigned long)call->ret;
	args->flags |= MAP_FIXED_NOREPLACE;
	/* The kernel found nothing wrong with the flags; with the one added it might. */
	if ((args->flags & MAP_TYPE) == MAP_SHARED_VALIDATE)
		args->flags = (args->flags & ~(unsigned long)MAP_TYPE) | MAP_SHARED;
}

static int mmap_written(struct mirror *m, struct space *s, const struct call *call)
{
	unsigned long start = (unsigned long)call->ret, end = start + page_up(call->args[1]);

	if ((call->args[2] & PROT_WRITE) && !(call->args[3] & MAP_SHARED))
		return written_set(m, s, start, end);
	return written_clear(m, s, start, end);
}

/* Without a kernel to ask: a driver's mapping, as far as the call tells. */
static long mmap_foreign_blindly(struct space *s, const struct call *call)
{
	unsigned long prot = call->args[2], start = (unsigned long)call->ret;
	unsigned long flags = MM_VM_MAYREAD | MM_VM_MAYWRITE | MM_VM_DONTEXPAND | MM_VM_IO;
	struct mm_adopt_args args = { .start = start, .special = true };
	int err;

	flags |= prot & PROT_READ ? MM_VM_READ : 0;
	flags |= prot & PROT_WRITE ? MM_VM_WRITE : 0;
	flags |= prot & PROT_EXEC ? MM_VM_EXEC | MM_VM_MAYEXEC : 0;
	flags |= call->args[3] & MAP_SHARED ? MM_VM_SHARED | MM_VM_MAYSHARE : 0;
	args.end = start + page_up(call->args[1]);
	args.flags = flags;
	args.name = call->file.info.name;
	err = mm_adopt(s->mm, &args);
	return err ? err : call->ret;
}

static int apply_foreign_mmap(struct mirror *m, struct space *s, const struct call *call, struct outcome *out)
{
	out->outside = true;
	if (is_error(call->ret))
		return 0;
	out->take_over = true;
	if (m->opt.read_map)
		return 0;
	out->take_over = false;
	return mmap_foreign_blindly(s, call) == -ENOMEM ? -ENOMEM : 0;
}

static int apply_mmap(struct mirror *m, struct space *s, const struct call *call, struct outcome *out)
{
	struct mm_mmap_args args;
	unsigned long at;
	int err;

	if (mmap_is_foreign(call))
		return apply_foreign_mmap(m, s, call, out);
	if (is_error(call->ret) && (mmap_error_is_outside(call) || refused_for_want_of_memory(m, call))) {
		out->outside = true;
		return 0;
	}
	err = mmap_arguments(m, call, &args);
	if (err)
		return err;
	if (!is_error(call->ret))
		mmap_place(m, s, call, &args);
	err = mm_mmap(s->mm, &args, &at);
	vm_file_put(args.file);
	out->result = err ? err : (long)at;
	return is_error(call->ret) ? 0 : mmap_written(m, s, call);
}

/* mremap ------------------------------------------------------------------ */

/* The kernel grows a mapping where it is if nothing is in the way. */
static bool grows_in_place(struct space *s, const struct mm_vma_info *vma, const unsigned long *args)
{
	unsigned long old_end = args[0] + page_up(args[1]), new_end = args[0] + page_up(args[2]);
	struct mm_vma_info above;

	if ((args[3] & MREMAP_DONTUNMAP) || !args[1] || old_end != vma->end || new_end > USER_TOP)
		return false;
	return mm_next_vma(s->mm, old_end, &above) || above.start >= new_end;
}

bool mremap_search(struct space *s, const struct call *call, struct mm_mmap_args *args)
{
	const unsigned long *a = call->args;
	struct mm_vma_info vma;
	bool shrinks = page_up(a[2]) <= page_up(a[1]);

	if (!(a[3] & MREMAP_MAYMOVE) || (a[3] & MREMAP_FIXED) || (shrinks && !(a[3] & MREMAP_DONTUNMAP)))
		return false;
	if (mm_next_vma(s->mm, a[0], &vma) || vma.start > a[0] || grows_in_place(s, &vma, a))
		return false;
	*args = (struct mm_mmap_args){
		.addr = a[3] & MREMAP_DONTUNMAP ? a[4] : 0,
		.len = page_up(a[2]),
		.prot = vma.flags & 7,
		.flags = vma.flags & MM_VM_MAYSHARE ? MAP_SHARED : MAP_PRIVATE,
		.file = vma.file,
		.offset = vma.file ? vma.offset + (a[0] - vma.start) : 0,
	};
	args->flags |= vma.file ? 0 : MAP_ANONYMOUS;
	return true;
}

static void mremap_place(struct mirror *m, struct space *s, const struct call *call,
			 struct mm_mremap_args *args)
{
	struct mm_mmap_args search;
	unsigned long at;

	pf_assert(!is_error(call->ret));
	if ((unsigned long)call->ret == call->args[0] || !mremap_search(s, call, &search))
		return;
	m->stats.searched++;
	if (!mm_get_unmapped_area(s->mm, &search, &at) && at == (unsigned long)call->ret)
		m->stats.predicted++;
	args->flags |= MREMAP_FIXED;
	args->new_addr = (unsigned long)call->ret;
}

static int apply_mremap(struct mirror *m, struct space *s, const struct call *call, struct outcome *out)
{
	const unsigned long *a = call->args;
	unsigned long at = a[0], new_end = (unsigned long)call->ret + page_up(a[2]);
	struct mm_mremap_args args = { a[0], a[1], a[2], a[3], a[4] };
	bool written = false;
	int err;

	if (refused_for_want_of_memory(m, call)) {
		out->outside = true;
		return 0;
	}
	if (!is_error(call->ret)) {
		mremap_place(m, s, call, &args);
		written = written_any(s, a[0], a[0] + (a[1] ? page_up(a[1]) : PAGE));
	}
	err = mm_mremap(s->mm, &args, &at);
	out->result = err ? err : (long)at;
	if (is_error(call->ret))
		return 0;
	return written ? written_set(m, s, (unsigned long)call->ret, new_end) :
			 written_clear(m, s, (unsigned long)call->ret, new_end);
}

/* The heap ---------------------------------------------------------------- */

/* The first answer of a heap that nobody described says where it is. */
static int learn_heap(struct space *s, const struct call *call, struct outcome *out)
{
	unsigned long end = (unsigned long)call->ret;
	unsigned long start = call->args[0] && end == call->args[0] ? 0 : end;

	pf_assert(!s->heap_known);
	out->outside = true;
	if (!start || mm_adopt_brk(s->mm, start, end))
		return 0;
	s->heap_known = true;
	s->heap_start = s->heap_end = end;
	return 0;
}

static int apply_brk(struct mirror *m, struct space *s, const struct call *call, struct outcome *out)
{
	unsigned long old = page_up(s->heap_end), end = (unsigned long)call->ret;

	if (!s->heap_known)
		return learn_heap(s, call, out);
	if (m->memory_unknown && end == s->heap_end && call->args[0] > end) {
		out->outside = true;
		return 0;
	}
	out->result = (long)mm_brk(s->mm, call->args[0]);
	s->heap_end = end;
	end = page_up(end);
	return end > old ? written_set(m, s, old, end) : written_clear(m, s, end, old);
}

/* The rest ---------------------------------------------------------------- */

static int apply_mprotect(struct mirror *m, struct space *s, const struct call *call, struct outcome *out)
{
	const unsigned long *a = call->args;

	out->result = mm_pkey_mprotect(s->mm, a[0], a[1], a[2],
				       call->kind == CALL_PKEY_MPROTECT ? (int)a[3] : -1);
	if (!(a[2] & PROT_WRITE) || a[0] > USER_TOP || a[1] > USER_TOP)
		return 0;
	return written_set(m, s, a[0], a[0] + page_up(a[1]));
}

/* A processor without keys has none to give, or fewer. */
static void apply_pkey(struct space *s, const struct call *call, struct outcome *out)
{
	const unsigned long *a = call->args;

	if (call->kind == CALL_PKEY_FREE)
		out->result = mm_pkey_free(s->mm, (int)a[0]);
	else if (call->ret == -ENOSPC)
		out->outside = true;
	else
		out->result = mm_pkey_alloc(s->mm, a[0], a[1]);
}

/* Errors that come from pages, which the model of mappings does not have. */
static bool madvise_error_is_outside(const struct call *call)
{
	switch (call->args[2]) {
	case MADV_COLLAPSE:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
	case MADV_REMOVE:
	case MADV_HWPOISON:
	case MADV_SOFT_OFFLINE:
		return true;
	default:
		return call->ret == -EINTR || call->ret == -EAGAIN || call->ret == -EIO ||
		       call->ret == -EBADF;
	}
}

static int apply_madvise(struct space *s, const struct call *call, struct outcome *out)
{
	const unsigned long *a = call->args;

	/* Made in any case: what lies below the place of the error has been advised. */
	out->outside = is_error(call->ret) && madvise_error_is_outside(call);
	out->result = mm_madvise(s->mm, a[0], a[1], (int)a[2]);
	return 0;
}

static int apply_setrlimit(struct space *s, const struct call *call, struct outcome *out)
{
	static const struct {
		unsigned long resource;
		enum mm_rlimit which;
	} limits[] = {
		{ RLIMIT_AS, MM_RLIMIT_AS },
		{ RLIMIT_DATA, MM_RLIMIT_DATA },
		{ RLIMIT_STACK, MM_RLIMIT_STACK },
		{ RLIMIT_MEMLOCK, MM_RLIMIT_MEMLOCK },
	};

	out->outside = true;
	if (is_error(call->ret))
		return 0;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (limits[i].resource == call->args[0])
			mm_set_rlimit(s->mm, limits[i].which, call->args[1]);
	return 0;
}

/* Locking populates, and pages may be refused for reasons of their own. */
static bool lock_error_is_outside(const struct call *call)
{
	return call->ret == -EINTR || call->ret == -EAGAIN;
}

static int apply_lock(struct space *s, const struct call *call, struct outcome *out)
{
	const unsigned long *a = call->args;

	switch (call->kind) {
	case CALL_MLOCK:
		out->result = mm_mlock(s->mm, a[0], a[1], 0);
		break;
	case CALL_MLOCK2:
		out->result = mm_mlock(s->mm, a[0], a[1], (int)a[2]);
		break;
	case CALL_MUNLOCK:
		out->result = mm_munlock(s->mm, a[0], a[1]);
		break;
	case CALL_MLOCKALL:
		out->result = mm_mlockall(s->mm, (int)a[0]);
		break;
	default:
		out->result = mm_munlockall(s->mm);
		break;
	}
	out->outside = is_error(call->ret) && lock_error_is_outside(call);
	return 0;
}

int apply_call(struct mirror *m, struct space *s, const struct call *call, struct outcome *out)
{
	const unsigned long *a = call->args;

	memset(out, 0, sizeof(*out));
	switch (call->kind) {
	case CALL_MMAP:
		return apply_mmap(m, s, call, out);
	case CALL_MUNMAP:
		out->result = mm_munmap(s->mm, a[0], a[1]);
		return 0;
	case CALL_MPROTECT:
	case CALL_PKEY_MPROTECT:
		return apply_mprotect(m, s, call, out);
	case CALL_PKEY_ALLOC:
	case CALL_PKEY_FREE:
		apply_pkey(s, call, out);
		return 0;
	case CALL_REMAP_FILE_PAGES:
		out->result = mm_remap_file_pages(s->mm, a[0], a[1], a[2], a[3], a[4]);
		return 0;
	case CALL_MREMAP:
		return apply_mremap(m, s, call, out);
	case CALL_BRK:
		return apply_brk(m, s, call, out);
	case CALL_MADVISE:
		return apply_madvise(s, call, out);
	case CALL_MLOCK:
	case CALL_MLOCK2:
	case CALL_MUNLOCK:
	case CALL_MLOCKALL:
	case CALL_MUNLOCKALL:
		return apply_lock(s, call, out);
	case CALL_MSEAL:
		out->result = mm_mseal(s->mm, a[0], a[1], a[2]);
		return 0;
	case CALL_SETRLIMIT:
		return apply_setrlimit(s, call, out);
	default:
		/* msync, mincore and the like leave mappings alone. */
		out->outside = true;
		return 0;
	}
}
