/* SPDX-License-Identifier: MIT */
/*
 * Those who do work on every address space: told of children when these are whole, and of ends before
 * anything goes.
 *
 * A fork tells them when the child has been published and all locks are dropped, and before its caller gets
 * it. So nobody has to be told that a child has failed, and nobody finds half of one.
 */
#include "mm/mm.h"

static bool has_none(const struct mm_context *ctx)
{
	return !__atomic_load_n(&ctx->daemons, __ATOMIC_ACQUIRE);
}

void mm_daemon_register(struct mm_context *ctx, struct mm_daemon *daemon)
{
	struct mm_daemon **at;

	pf_assert(daemon->ops);
	pf_down_write(&ctx->daemon_lock);
	for (at = &ctx->daemons; *at; at = &(*at)->next)
		pf_assert(*at != daemon);
	daemon->next = NULL;
	__atomic_store_n(at, daemon, __ATOMIC_RELEASE);
	pf_up_write(&ctx->daemon_lock);
}

void mm_daemon_unregister(struct mm_context *ctx, struct mm_daemon *daemon)
{
	struct mm_daemon **at;

	pf_down_write(&ctx->daemon_lock);
	for (at = &ctx->daemons; *at && *at != daemon; at = &(*at)->next)
		;
	if (*at)
		__atomic_store_n(at, daemon->next, __ATOMIC_RELEASE);
	pf_up_write(&ctx->daemon_lock);
}

void mm_daemons_fork(struct mm_struct *parent, struct mm_struct *child)
{
	struct mm_context *ctx = child->ctx;

	pf_assert(mt_in_rcu(&child->mm_mt));
	if (has_none(ctx))
		return;
	pf_down_read(&ctx->daemon_lock);
	for (struct mm_daemon *daemon = ctx->daemons; daemon; daemon = daemon->next)
		if (daemon->ops->fork)
			daemon->ops->fork(daemon, parent, child);
	pf_up_read(&ctx->daemon_lock);
}

void mm_daemons_exit(struct mm_struct *mm)
{
	struct mm_context *ctx = mm->ctx;

	pf_assert(atomic_load(&mm->mm_users) == 0);
	if (has_none(ctx))
		return;
	pf_down_read(&ctx->daemon_lock);
	for (struct mm_daemon *daemon = ctx->daemons; daemon; daemon = daemon->next)
		if (daemon->ops->exit)
			daemon->ops->exit(daemon, mm);
	pf_up_read(&ctx->daemon_lock);
}
