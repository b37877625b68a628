/* SPDX-License-Identifier: MIT */
/*
 * An allocation has found no frame.
 *
 *   1. reclaim   pages that were not used lately go to the swap area, or back to their file
 *   2. reap      the largest address space loses its memory
 *   3. error     MM_FAULT_OOM, or -ENOMEM
 *
 * Who allocates holds locks: a mmap_lock or two, a VMA's, a page's. So locks are only tried for here, and no
 * user of an address space is taken, whose giving back could be the end of it.
 */
#include "mm/mm.h"
#include "mmu/pageout.h"

/* Frames that are asked for at a time: those who come next shall find some. */
#define BATCH 16UL

/*
 * A lock that somebody has for a moment is no reason to end an address space; one of the caller's is for
 * ever.
 */
#define TRIES 64

static bool reclaim_some(struct mm_context *ctx)
{
	unsigned int rounds = 0;
	bool busy = true;

	for (int i = 0; busy && i < TRIES; i++) {
		if (i)
			pf_relax(&rounds);
		if (try_reclaim_frames(ctx, BATCH, &busy))
			return true;
	}
	return false;
}

/* False: none is left that could be, or somebody changes it, who may be the caller. */
static bool reap_largest(struct mm_context *ctx)
{
	struct mm_struct *mm = mm_oom_select(ctx);
	int err = -ESRCH;

	if (mm)
		err = mm_oom_reap(mm);
	mmdrop(mm);
	return !err;
}

static bool relieve(void *arg)
{
	struct mm_context *ctx = arg;

	pf_assert(!pf_rcu_read_lock_held());
	return reclaim_some(ctx) || (ctx->opt.pressure == MM_PRESSURE_REAP && reap_largest(ctx));
}

void mm_relieve_pressure(struct mm_context *ctx)
{
	if (ctx->opt.pressure == MM_PRESSURE_FAIL || !ctx->frames)
		return;
	ctx->frames->relieve = relieve;
	ctx->frames->relieve_arg = ctx;
}
