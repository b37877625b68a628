/* SPDX-License-Identifier: MIT */
/* Contexts: what address spaces share. */
#include "mm/mm.h"
#include "mmu/fault.h"
#include "mmu/pageout.h"
#include "mmu/mmu.h"

static const struct mm_context_options default_options = {
	.size = sizeof(struct mm_context_options),
	.max_map_count = 65530,
	.stack_guard_gap = 256 * PAGE_SIZE,
	.mmap_min_addr = 65536,
	.rawio_below = 4096,
	.fault_around = 16,
};

static void fill_defaults(struct mm_context_options *opt)
{
	if (!opt->max_map_count)
		opt->max_map_count = default_options.max_map_count;
	if (!opt->stack_guard_gap)
		opt->stack_guard_gap = default_options.stack_guard_gap;
	if (!opt->rawio_below)
		opt->rawio_below = default_options.rawio_below;
	if (!opt->mmap_min_addr)
		opt->mmap_min_addr = default_options.mmap_min_addr;
	if (!opt->fault_around)
		opt->fault_around = default_options.fault_around;
}

int mm_context_create(const struct mm_context_options *opt, struct mm_context **out)
{
	struct mm_context_options options = default_options;
	struct mm_context *ctx;
	struct platform *pf;
	int err = -ENOMEM;

	/* Of another size there may be less of it. */
	if (opt && opt->size != sizeof(options))
		return -EINVAL;
	if (opt)
		options = *opt;
	if (options.overcommit > MM_OVERCOMMIT_NEVER || options.pkeys > 16 ||
	    options.pressure > MM_PRESSURE_REAP)
		return -EINVAL;
	fill_defaults(&options);
	if (options.fault_around > PT_ENTRIES || (options.fault_around & (options.fault_around - 1)))
		return -EINVAL;
	pf = options.platform ? options.platform : platform_create(options.log, options.log_arg);
	if (!pf)
		return -ENOMEM;
	ctx = pf_alloc(pf, PF_CONTEXT, sizeof(*ctx), _Alignof(struct mm_context));
	if (!ctx)
		goto destroy_platform;
	ctx->pf = pf;
	ctx->opt = options;
	ctx->vmas = pf_slab_create(pf, PF_VMA, sizeof(struct vm_area_struct), VMA_ALIGN,
				   offsetof(struct vm_area_struct, set_next));
	if (!ctx->vmas)
		goto free_context;
	if (options.frames)
		err = frame_pool_create(pf, options.frames, &ctx->frames);
	if (options.frames && err)
		goto destroy_slab;
	ctx->validate_tables = options.frames ? mmu_validate : NULL;
	if (ctx->frames)
		ctx->a_ops = page_cache_ops();
	mm_relieve_pressure(ctx);
	pf_mutex_init(&ctx->anon_lock);
	pf_mutex_init(&ctx->mm_list_lock);
	pf_mutex_init(&ctx->shmem_lock);
	pf_rwsem_init(&ctx->fork_gate);
	pf_rwsem_init(&ctx->daemon_lock);
	*out = ctx;
	return 0;

destroy_slab:
	pf_slab_destroy(ctx->vmas);
free_context:
	pf_free(pf, PF_CONTEXT, ctx);
destroy_platform:
	if (!options.platform)
		platform_destroy(pf);
	return err;
}

void mm_context_destroy(struct mm_context *ctx)
{
	struct platform *pf;
	bool own;

	if (!ctx)
		return;
	pf = ctx->pf;
	own = !ctx->opt.platform;
	pf_rcu_barrier();
	if (pf_warn_on_once(pf, atomic_load(&ctx->users) != 0,
			    "context destroyed with %ld address spaces and files left",
			    atomic_load(&ctx->users)))
		return;
	pf_warn_on_once(pf, atomic_load(&ctx->committed) != 0, "context destroyed with %ld pages committed",
			atomic_load(&ctx->committed));
	pf_warn_on_once(ctx->pf, atomic_load(&ctx->huge_promised) != 0,
			"context destroyed with %ld huge pages promised", atomic_load(&ctx->huge_promised));
	pf_slab_destroy(ctx->vmas);
	swap_area_destroy(ctx->swap);
	frame_pool_destroy(ctx->frames);
	pf_assert(!ctx->mm_list && !ctx->shmem_list && !ctx->daemons);
	pf_rwsem_destroy(&ctx->daemon_lock);
	pf_rwsem_destroy(&ctx->fork_gate);
	pf_mutex_destroy(&ctx->shmem_lock);
	pf_mutex_destroy(&ctx->mm_list_lock);
	pf_mutex_destroy(&ctx->anon_lock);
	pf_free(pf, PF_CONTEXT, ctx);
	if (own)
		platform_destroy(pf);
}

struct platform *mm_context_platform(struct mm_context *ctx)
{
	return ctx->pf;
}

unsigned long mm_context_committed(struct mm_context *ctx)
{
	return (unsigned long)atomic_load(&ctx->committed);
}

unsigned long mm_reclaim(struct mm_context *ctx, unsigned long frames)
{
	return reclaim_frames(ctx, frames);
}

unsigned long mm_context_huge_promised(struct mm_context *ctx)
{
	long promised = atomic_load(&ctx->huge_promised);

	pf_assert(promised >= 0);
	return (unsigned long)promised;
}

/* Validating ----------------------------------------------------------------- */

/* What has been found right is what is counted. */
static void add_validated(struct mm_struct *mm, struct mm_validated *sum)
{
	sum->mms++;
	sum->vmas += (unsigned long)mm->map_count;
	if (!mm->pt)
		return;
	sum->tables += 1 + __atomic_load_n(&mm->pt->table_bytes, __ATOMIC_RELAXED) / PAGE_SIZE;
	sum->pages += get_mm_rss(mm->pt) + get_mm_counter(mm->pt, MM_SWAPENTS);
}

static int validate_all(struct mm_context *ctx, struct mm_validated *sum)
{
	struct mm_struct *mm = NULL;
	int broken = 0;

	while ((mm = mm_context_next(ctx, mm)) != NULL) {
		mmap_read_lock(mm);
		broken += validate_mm(mm);
		add_validated(mm, sum);
		mmap_read_unlock(mm);
	}
	return broken;
}

static int validate_frames(struct mm_context *ctx, unsigned long nr)
{
	struct mm_struct **mms = pf_sparse_alloc((nr + 1) * sizeof(*mms));
	struct mm_struct *mm = NULL;
	unsigned int found = 0;
	int broken;

	if (!mms)
		return -ENOMEM;
	/* Without references: nobody takes them away meanwhile. */
	while ((mm = mm_context_next(ctx, mm)) != NULL && found < nr)
		mms[found++] = mm;
	pf_assert(!mm && found == nr);
	broken = mmu_validate_frames(ctx, mms, found);
	pf_sparse_free(mms, (nr + 1) * sizeof(*mms));
	return broken;
}

int mm_context_validate(struct mm_context *ctx, bool frames, struct mm_validated *seen)
{
	struct mm_validated sum = { 0 };
	int broken = validate_all(ctx, &sum);

	if (!broken && frames && ctx->frames) {
		broken = validate_frames(ctx, sum.mms);
		sum.frames = frame_pool_used(ctx->frames);
	}
	if (broken)
		return broken;
	seen->mms += sum.mms;
	seen->vmas += sum.vmas;
	seen->tables += sum.tables;
	seen->pages += sum.pages;
	seen->frames += sum.frames;
	return 0;
}
