/* SPDX-License-Identifier: MIT */
/* Making an address space, and looking at it. */
#include "mm/mm.h"
#include "mmu/mmu.h"

#define TASK_SIZE_DEFAULT 0x7ffffffff000UL
#define MMAP_BASE_DEFAULT 0x7ffff7fff000UL
#define STACK_LIMIT_DEFAULT (8UL << 20)

#define MM_MT_FLAGS (MT_FLAGS_ALLOC_RANGE | MT_FLAGS_LOCK_EXTERN | MT_FLAGS_USE_RCU)

/* Requires that there is such a geometry. */
static void fill_defaults(struct mm_options *opt)
{
	unsigned long most = pt_geometry(opt->geometry)->task_size_max;

	if (!opt->task_size)
		opt->task_size = most < TASK_SIZE_DEFAULT ? most : TASK_SIZE_DEFAULT;
	if (!opt->mmap_base && opt->legacy_layout)
		opt->mmap_base = PAGE_ALIGN(opt->task_size / 3);
	if (!opt->mmap_base)
		opt->mmap_base = opt->task_size < MMAP_BASE_DEFAULT ? opt->task_size : MMAP_BASE_DEFAULT;
	if (opt->limits_set)
		return;
	for (int i = 0; i < MM_NR_RLIMITS; i++)
		opt->rlimit[i] = MM_RLIM_INFINITY;
	opt->rlimit[MM_RLIMIT_STACK] = STACK_LIMIT_DEFAULT;
	opt->rlimit[MM_RLIMIT_MEMLOCK] = STACK_LIMIT_DEFAULT;
}

struct mm_struct *mm_alloc(struct mm_context *ctx, const struct mm_options *opt)
{
	struct mm_struct *mm = pf_alloc(ctx->pf, PF_MM, sizeof(*mm), _Alignof(struct mm_struct));

	if (!mm)
		return NULL;
	mm->ctx = ctx;
	if (pt_create(mm, pt_geometry(opt->geometry))) {
		pf_free(ctx->pf, PF_MM, mm);
		return NULL;
	}
	mm->opt = *opt;
	mm->start_brk = mm->brk = opt->start_brk;
	atomic_store(&mm->mm_lock_seq, 1);
	atomic_store(&mm->mm_users, 1);
	atomic_store(&mm->mm_count, 1);
	pkeys_init(mm);
	pf_rwsem_init(&mm->mmap_lock);
	pf_stock_init(&mm->vma_stock, ctx->vmas);
	mt_init_flags(&mm->mm_mt, MM_MT_FLAGS);
	mt_set_platform(&mm->mm_mt, ctx->pf);
	mt_set_external_lock(&mm->mm_mt, &mm->mmap_lock);
	atomic_fetch_add(&ctx->users, 1);
	return mm;
}

void mm_free(struct mm_struct *mm)
{
	struct mm_context *ctx = mm->ctx;

	pf_assert(mm->map_count == 0 && mm->accounted == 0);
	pf_assert(!mm->list_next && !mm->list_prev);
	pf_stock_destroy(&mm->vma_stock);
	pt_destroy(mm);
	pf_rwsem_destroy(&mm->mmap_lock);
	pf_free(ctx->pf, PF_MM, mm);
	atomic_fetch_sub(&ctx->users, 1);
}

int mm_create(struct mm_context *ctx, const struct mm_options *opt, struct mm_struct **out)
{
	struct mm_options options = { .size = sizeof(options) };
	struct mm_struct *mm;

	/* Of another size there may be less of it. */
	if (opt && opt->size != sizeof(options))
		return -EINVAL;
	if (opt)
		options = *opt;
	if (!pt_geometry(options.geometry))
		return -EINVAL;
	fill_defaults(&options);
	if ((options.task_size | options.mmap_base) & ~PAGE_MASK || options.mmap_base > options.task_size)
		return -EINVAL;
	if (ctx->frames && options.task_size > pt_geometry(options.geometry)->task_size_max)
		return -EINVAL;
	mm = mm_alloc(ctx, &options);
	if (!mm)
		return -ENOMEM;
	mm_list_add(mm);
	*out = mm;
	return 0;
}

int mm_set_rlimit(struct mm_struct *mm, enum mm_rlimit which, unsigned long bytes)
{
	if (which < 0 || which >= MM_NR_RLIMITS)
		return -EINVAL;
	mmap_write_lock(mm);
	mm->opt.rlimit[which] = bytes;
	mmap_write_unlock(mm);
	return 0;
}

/* Looking ----------------------------------------------------------------- */

static void copy_info(const struct vm_area_struct *vma, struct mm_vma_info *out)
{
	const struct anon_vma *anon_vma = vma_anon_vma(vma);

	*out = (struct mm_vma_info){
		.start = vma->vm_start,
		.end = vma->vm_end,
		.flags = (vma->vm_flags & ~VM_NEVER_SHOWN) | (vma->had_guards ? MM_VM_MAYBE_GUARD : 0),
		.file = vma->vm_file,
		.name = vma->name ? vma->name->text : NULL,
		.has_anon_vma = anon_vma != NULL,
		.anon_vma_id = anon_vma ? anon_vma->id : 0,
	};
	if (!vma->vm_file)
		return;
	out->offset = (uint64_t)vma->vm_pgoff << PAGE_SHIFT;
	out->dev_major = vma->vm_file->info.dev_major;
	out->dev_minor = vma->vm_file->info.dev_minor;
	out->ino = vma->vm_file->info.ino;
	if (!out->name)
		out->name = vma->vm_file->info.name;
}

int mm_next_vma(struct mm_struct *mm, unsigned long addr, struct mm_vma_info *out)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = find_vma(mm, addr);
	if (vma)
		copy_info(vma, out);
	mmap_read_unlock(mm);
	return vma ? 0 : -ENOENT;
}

int mm_for_each_vma(struct mm_struct *mm, int (*fn)(void *arg, const struct mm_vma_info *vma), void *arg)
{
	struct vm_area_struct *vma;
	struct mm_vma_info info;
	struct vma_iterator vmi;
	int ret = 0;

	mmap_read_lock(mm);
	vma_iter_init(&vmi, mm, 0);
	for_each_vma(vmi, vma) {
		copy_info(vma, &info);
		ret = fn(arg, &info);
		if (ret)
			break;
	}
	mmap_read_unlock(mm);
	return ret;
}

#define GATE_START 0xffffffffff600000UL
#define GATE_END 0xffffffffff601000UL

int mm_gate_vma(struct mm_struct *mm, unsigned long addr, struct mm_vma_info *out)
{
	if (mm->opt.no_gate_area || addr < GATE_START || addr >= GATE_END)
		return -ENOENT;
	*out = (struct mm_vma_info){
		.start = GATE_START, .end = GATE_END, .flags = VM_EXEC | VM_MAYEXEC, .name = "[vsyscall]",
	};
	return 0;
}

void mm_read_counters(struct mm_struct *mm, struct mm_counters *out)
{
	mmap_read_lock(mm);
	*out = (struct mm_counters){
		.map_count = mm->map_count,
		.total_vm = mm->total_vm,
		.data_vm = mm->data_vm,
		.exec_vm = mm->exec_vm,
		.stack_vm = mm->stack_vm,
		.locked_vm = mm->locked_vm,
		.accounted = mm->accounted,
		.hiwater_vm = mm->hiwater_vm > mm->total_vm ? mm->hiwater_vm : mm->total_vm,
		.splits = mm->splits,
		.merges = mm->merges,
	};
	mmap_read_unlock(mm);
}

int mm_validate(struct mm_struct *mm)
{
	int broken;

	mmap_read_lock(mm);
	broken = validate_mm(mm);
	mmap_read_unlock(mm);
	return broken;
}
