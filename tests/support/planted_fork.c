/* SPDX-License-Identifier: MIT */
/* See planted_fork.h. What fork.c calls at the places in question is called here instead. */
#include "support/planted_fork.h"

#include <unistd.h>

#include "mm/mm.h"
#include "mm/trace.h"
#include "mmu/mmu.h"

/* Of the fork that this thread is in. */
static _Thread_local enum plant planted;
/* Its child is on the list already. */
static _Thread_local bool listed;

static void plant_step(struct mm_struct *child, enum fork_step step, struct vm_area_struct *vma)
{
	if (planted == PLANT_EARLY_RMAP && step == FORK_VMA_STORED)
		rmap_enter(vma);
	if (planted == PLANT_EARLY_LIST && step == FORK_TREE_COPIED) {
		mm_list_add(child);
		listed = true;
	}
	fork_step(child, step, vma);
}

static void plant_rmap_enter_all(struct mm_struct *child)
{
	if (planted != PLANT_EARLY_RMAP)
		rmap_enter_all(child);
}

static void plant_list_add(struct mm_struct *child)
{
	if (!listed)
		mm_list_add(child);
	listed = false;
}

static void plant_unmap_region(struct unmap_desc *unmap)
{
	if (planted != PLANT_MARKER)
		unmap_region(unmap);
}

static unsigned long plant_tear_down(struct mm_struct *child, struct vma_iterator *vmi,
				     struct vm_area_struct *vma, unsigned long end)
{
	return planted == PLANT_MARKER ? 0 : tear_down_vmas(child, vmi, vma, end);
}

/* The end of those that are the child's: a marker takes the place of the first that is the parent's. */
static void leave_marker(struct mm_struct *child)
{
	struct vm_area_struct *vma;
	struct vma_iterator vmi;

	vma_iter_init(&vmi, child, 0);
	for_each_vma(vmi, vma) {
		if (vma->vm_mm == child) {
			rmap_enter(vma);
			continue;
		}
		mas_store(&vmi.mas, XA_ZERO_ENTRY);
		break;
	}
	vma_end_write_all(child);
}

static void plant_destroy_tree(struct mm_struct *child)
{
	if (planted == PLANT_MARKER)
		leave_marker(child);
	else
		mm_destroy_tree(child);
}

/* What the recovery has left. */
static void clear_away(struct mm_struct *child)
{
	struct vm_area_struct *first, *vma = NULL;
	struct unmap_desc unmap;
	struct vma_iterator vmi;
	unsigned long limit = 0;
	struct ma_state mas;
	void *entry;

	mmap_write_lock(child);
	mas_init(&mas, &child->mm_mt, 0);
	entry = mas_find(&mas, ULONG_MAX);
	first = child->map_count ? entry : NULL;
	while (entry && entry != XA_ZERO_ENTRY) {
		vma = entry;
		entry = vma->vm_mm == child ? mas_find(&mas, ULONG_MAX) : NULL;
	}
	limit = entry ? mas.index : 0;
	if (first) {
		vma_iter_init(&vmi, child, 0);
		vma_next(&vmi);
		unmap_all_init(&unmap, &vmi, first);
		unmap.tree_end = limit ? limit : unmap.pg_end;
		unmap.mm_wr_locked = true;
		unmap_region(&unmap);
		vma_iter_set(&vmi, first->vm_end);
		vm_unacct_memory(child->ctx, tear_down_vmas(child, &vmi, first, limit));
	}
	mm_destroy_tree(child);
	pf_up_write(&child->mmap_lock);
}

static void plant_abandon(struct mm_struct *child)
{
	if (listed) {
		/* Somebody may have a user of it. */
		listed = false;
		mmput(child);
		return;
	}
	if (planted == PLANT_MARKER) {
		usleep(100);
		clear_away(child);
	}
	mm_abandon(child);
}

#define fork_step plant_step
#define rmap_enter_all plant_rmap_enter_all
#define mm_list_add plant_list_add
#define unmap_region plant_unmap_region
#define tear_down_vmas plant_tear_down
#define mm_destroy_tree plant_destroy_tree
#define mm_abandon plant_abandon
#define mm_fork planted_mm_fork
static int planted_mm_fork(struct mm_struct *parent, struct mm_struct **out);
#include "mm/fork.c"

int planted_fork(enum plant plant, struct mm_struct *parent, struct mm_struct **out)
{
	planted = plant;
	return planted_mm_fork(parent, out);
}
