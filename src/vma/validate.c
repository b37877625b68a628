/* SPDX-License-Identifier: MIT */
/* The whole-map validator: tree, VMAs and counters agree, with no list to lean on. */
#include <stdio.h>

#include "vma/vma.h"

struct sums {
	unsigned long vmas, total, data, exec, stack, locked, accounted;
};

struct check {
	struct mm_struct *mm;
	int broken;
};

static void broken(struct check *check, const struct vm_area_struct *vma, const char *what,
		   unsigned long found, unsigned long wanted)
{
	atomic_bool once = false;

	check->broken++;
	pf_warn(check->mm->ctx->pf, &once, "mm %p, VMA %#lx-%#lx: %s is %#lx, not %#lx", (void *)check->mm,
		vma ? vma->vm_start : 0, vma ? vma->vm_end : 0, what, found, wanted);
}

static void equal(struct check *check, const struct vm_area_struct *vma, const char *what,
		  unsigned long found, unsigned long wanted)
{
	if (found != wanted)
		broken(check, vma, what, found, wanted);
}

static void check_anon_vma(struct check *check, const struct vm_area_struct *vma)
{
	pf_mutex *lock = &check->mm->ctx->anon_lock;
	bool own_found, chain_alone;

	/* A first write beside us may be linking it. */
	pf_mutex_lock(lock);
	own_found = !vma->anon_vma;
	for (const struct anon_vma_chain *link = vma->chain; link; link = link->older)
		own_found |= link->anon_vma == vma->anon_vma;
	chain_alone = vma->chain && !vma->anon_vma;
	pf_mutex_unlock(lock);
	equal(check, vma, "link to its own anon_vma", own_found, true);
	equal(check, vma, "chain without an anon_vma", chain_alone, false);
}

static void check_vma(struct check *check, const struct vm_area_struct *vma, const struct ma_state *mas)
{
	equal(check, vma, "first byte in the tree", mas->index, vma->vm_start);
	equal(check, vma, "last byte in the tree", mas->last, vma->vm_end - 1);
	equal(check, vma, "owner", (unsigned long)vma->vm_mm, (unsigned long)check->mm);
	if (vma_is_detached(vma))
		broken(check, vma, "count of who may lock it", 0, 1);
	equal(check, vma, "alignment", (vma->vm_start | vma->vm_end) & ~PAGE_MASK, 0);
	equal(check, vma, "link of a side set", (unsigned long)vma->set_next, 0);
	if (vma->vm_end > check->mm->opt.task_size)
		broken(check, vma, "end", vma->vm_end, check->mm->opt.task_size);
	check_anon_vma(check, vma);
	equal(check, vma, "faults of its reverse maps", rmap_check((struct vm_area_struct *)vma), 0);
	if (vma->vm_file && atomic_load(&vma->vm_file->refs) == 0)
		broken(check, vma, "references of its file", 0, 1);
}

static void add_up(struct sums *sums, const struct vm_area_struct *vma)
{
	unsigned long pages = vma_pages(vma);

	sums->vmas++;
	sums->total += pages;
	if (vma->vm_flags & VM_LOCKED)
		sums->locked += pages;
	if (vma->vm_flags & VM_ACCOUNT)
		sums->accounted += pages;
	if (is_exec_mapping(vma->vm_flags))
		sums->exec += pages;
	else if (is_stack_mapping(vma->vm_flags))
		sums->stack += pages;
	else if (is_data_mapping(vma->vm_flags))
		sums->data += pages;
}

int validate_mm(struct mm_struct *mm)
{
	struct check check = { .mm = mm };
	const struct vm_area_struct *vma;
	struct sums sums = { 0 };
	unsigned long last_end = 0;
	struct vma_iterator vmi;

	mmap_assert_locked(mm);
	if (!mt_is_valid(&mm->mm_mt))
		broken(&check, NULL, "validity of the tree", 0, 1);
	vma_iter_init(&vmi, mm, 0);
	for_each_vma(vmi, vma) {
		check_vma(&check, vma, &vmi.mas);
		if (vma->vm_start < last_end)
			broken(&check, vma, "start below the end of the one before", vma->vm_start, last_end);
		last_end = vma->vm_end;
		add_up(&sums, vma);
	}
	equal(&check, NULL, "map_count", mm->map_count, sums.vmas);
	equal(&check, NULL, "total_vm", mm->total_vm, sums.total);
	equal(&check, NULL, "data_vm", mm->data_vm, sums.data);
	equal(&check, NULL, "exec_vm", mm->exec_vm, sums.exec);
	equal(&check, NULL, "stack_vm", mm->stack_vm, sums.stack);
	equal(&check, NULL, "locked_vm", mm->locked_vm, sums.locked + mm->locked_lost);
	equal(&check, NULL, "accounted", mm->accounted, sums.accounted);
	if (mm->ctx->validate_tables)
		check.broken += mm->ctx->validate_tables(mm);
	return check.broken;
}
