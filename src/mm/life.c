/* SPDX-License-Identifier: MIT */
/*
 * Users and holders of an address space, and the context's list of them.
 *
 *   users    run in it. When the last one goes, its mappings go: once.
 *   holders  keep its memory, no more. All users hold it together once.
 *
 * On the list is what is whole and has a user. A walker takes a user of each that it
 * looks at, under the list's lock, so that the one it stands on cannot leave the list; it takes
 * none of an address space whose last user has gone, though that may be on the list for a moment still.
 *
 * New ones go to its end. Nothing is locked while its lock is held: a fork takes it with two mmap_locks held.
 */
#include "mm/mm.h"

void mmget(struct mm_struct *mm)
{
	unsigned long before = atomic_fetch_add(&mm->mm_users, 1);

	pf_assert(before > 0);
	(void)before;
}

bool mmget_not_zero(struct mm_struct *mm)
{
	unsigned long users = atomic_load(&mm->mm_users);

	while (users)
		if (atomic_compare_exchange_weak(&mm->mm_users, &users, users + 1))
			return true;
	return false;
}

void mmput(struct mm_struct *mm)
{
	if (!mm || atomic_fetch_sub(&mm->mm_users, 1) != 1)
		return;
	mm_list_del(mm);
	mm_daemons_exit(mm);
	exit_mmap(mm);
	mmdrop(mm);
}

void mm_abandon(struct mm_struct *mm)
{
	pf_assert(atomic_load(&mm->mm_users) == 1 && !mm->map_count);
	atomic_store(&mm->mm_users, 0);
	exit_mmap(mm);
	mmdrop(mm);
}

void mmgrab(struct mm_struct *mm)
{
	unsigned long before = atomic_fetch_add(&mm->mm_count, 1);

	pf_assert(before > 0);
	(void)before;
}

void mmdrop(struct mm_struct *mm)
{
	if (mm && atomic_fetch_sub(&mm->mm_count, 1) == 1)
		mm_free(mm);
}

int mm_exec(struct mm_struct *mm, const struct mm_options *opt, struct mm_struct **out)
{
	struct mm_options options;
	int err;

	pf_assert(atomic_load(&mm->mm_users) > 0);
	if (!opt) {
		/* The limits may change; start_brk is where the old program's heap began. */
		mmap_read_lock(mm);
		options = mm->opt;
		mmap_read_unlock(mm);
		options.limits_set = true;
		options.start_brk = 0;
		opt = &options;
	}
	err = mm_create(mm->ctx, opt, out);
	if (!err)
		mmput(mm);
	return err;
}

/* The list ---------------------------------------------------------------- */

void mm_list_add(struct mm_struct *mm)
{
	struct mm_context *ctx = mm->ctx;

	pf_mutex_lock(&ctx->mm_list_lock);
	mm->list_prev = ctx->mm_list_last;
	if (mm->list_prev)
		mm->list_prev->list_next = mm;
	else
		ctx->mm_list = mm;
	ctx->mm_list_last = mm;
	pf_mutex_unlock(&ctx->mm_list_lock);
}

void mm_list_del(struct mm_struct *mm)
{
	struct mm_context *ctx = mm->ctx;

	pf_mutex_lock(&ctx->mm_list_lock);
	pf_assert(mm->list_prev || ctx->mm_list == mm);
	if (mm->list_prev)
		mm->list_prev->list_next = mm->list_next;
	else
		ctx->mm_list = mm->list_next;
	if (mm->list_next)
		mm->list_next->list_prev = mm->list_prev;
	else
		ctx->mm_list_last = mm->list_prev;
	mm->list_next = mm->list_prev = NULL;
	pf_mutex_unlock(&ctx->mm_list_lock);
}

struct mm_struct *mm_context_next(struct mm_context *ctx, struct mm_struct *prev)
{
	struct mm_struct *mm;

	pf_mutex_lock(&ctx->mm_list_lock);
	mm = prev ? prev->list_next : ctx->mm_list;
	while (mm && !mmget_not_zero(mm))
		mm = mm->list_next;
	pf_mutex_unlock(&ctx->mm_list_lock);
	mmput(prev);
	return mm;
}
