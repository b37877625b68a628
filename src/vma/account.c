/* SPDX-License-Identifier: MIT */
/* Counters, limits, and what has been promised. */
#include "vma/vma.h"

bool is_exec_mapping(vm_flags_t flags)
{
	return (flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN)) == VM_EXEC;
}

bool is_stack_mapping(vm_flags_t flags)
{
	return flags & VM_GROWSDOWN;
}

bool is_data_mapping(vm_flags_t flags)
{
	return (flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) == VM_WRITE;
}

void vm_stat_account(struct mm_struct *mm, vm_flags_t flags, long pages)
{
	/* A high-water mark rises before its counter falls. */
	if (mm->total_vm > mm->hiwater_vm)
		mm->hiwater_vm = mm->total_vm;
	mm->total_vm += pages;
	if (is_exec_mapping(flags))
		mm->exec_vm += pages;
	else if (is_stack_mapping(flags))
		mm->stack_vm += pages;
	else if (is_data_mapping(flags))
		mm->data_vm += pages;
}

static unsigned long limit_pages(const struct mm_struct *mm, enum mm_rlimit which)
{
	return mm->opt.rlimit[which] >> PAGE_SHIFT;
}

bool may_expand_vm(struct mm_struct *mm, vm_flags_t flags, unsigned long pages)
{
	mmap_assert_locked(mm);
	if (mm->total_vm + pages > limit_pages(mm, MM_RLIMIT_AS))
		return false;
	if (!is_data_mapping(flags))
		return true;
	/* Observed: a limit of 0 holds for the heap alone. */
	return mm->opt.rlimit[MM_RLIMIT_DATA] == 0 || mm->data_vm + pages <= limit_pages(mm, MM_RLIMIT_DATA);
}

bool mlock_future_ok(struct mm_struct *mm, vm_flags_t flags, unsigned long bytes)
{
	if (!(flags & VM_LOCKED) || mm->opt.cap_ipc_lock)
		return true;
	return mm->locked_vm + (bytes >> PAGE_SHIFT) <= limit_pages(mm, MM_RLIMIT_MEMLOCK);
}

bool can_do_mlock(struct mm_struct *mm)
{
	return mm->opt.rlimit[MM_RLIMIT_MEMLOCK] != 0 || mm->opt.cap_ipc_lock;
}

/* How many pages may be promised in all. */
static unsigned long commit_limit(const struct mm_context_options *opt)
{
	return opt->overcommit == MM_OVERCOMMIT_NEVER && opt->commit_limit ? opt->commit_limit : LONG_MAX;
}

int vm_enough_memory(struct mm_context *ctx, unsigned long pages)
{
	const struct mm_context_options *opt = &ctx->opt;
	unsigned long limit = commit_limit(opt);
	long now = atomic_load_explicit(&ctx->committed, memory_order_relaxed);

	if (opt->overcommit == MM_OVERCOMMIT_GUESS && opt->total_ram && pages > opt->total_ram)
		return -ENOMEM;
	/* Nobody sees a promise that is taken back: of two that come at once, the one that fits is made. */
	do {
		pf_assert(now >= 0);
		if (pages > limit || (unsigned long)now > limit - pages)
			return -ENOMEM;
	} while (!atomic_compare_exchange_weak(&ctx->committed, &now, now + (long)pages));
	return 0;
}

void vm_unacct_memory(struct mm_context *ctx, unsigned long pages)
{
	long now = atomic_fetch_sub(&ctx->committed, (long)pages) - (long)pages;

	pf_warn_on_once(ctx->pf, now < 0, "%ld pages are committed after %lu were returned", now, pages);
}

bool accountable_mapping(const struct vm_file *file, vm_flags_t flags)
{
	(void)file;
	return (flags & (VM_NORESERVE | VM_SHARED | VM_WRITE | VM_HUGETLB)) == VM_WRITE;
}
