/* SPDX-License-Identifier: MIT */
/*
 * A new mapping enters: into a neighbour, or as a VMA of its own, over free
 * room or in place of what an unmap has gathered. In each case the tree
 * changes once, so that no reader finds a hole where a mapping replaces another.
 */
#include "vma/vma.h"

static void surround(struct mm_struct *mm, const struct vma_new *new, const struct vma_munmap_struct *vms,
		     struct vma_merge *vmg)
{
	struct vma_around around;

	if (vms) {
		vmg->prev = vms->prev;
		vmg->next = vms->next;
		vmg->prev_end = vms->prev_end;
		vmg->next_start = vms->next_start;
		return;
	}
	vma_around(mm, new->start, &around);
	pf_assert(!around.vma && (!around.next || around.next_start >= new->end));
	vmg->prev = around.prev;
	vmg->next = around.next;
	vmg->prev_end = around.prev_end;
	vmg->next_start = around.next_start;
}

static struct vm_area_struct *make_vma(struct mm_struct *mm, const struct vma_new *new)
{
	struct vm_area_struct *vma;

	if (new->moved_from) {
		vma = vma_dup(mm, new->moved_from);
	} else {
		vma = vma_alloc(mm);
		if (vma) {
			vma_set_file(vma, new->file);
			vma->name = new->name;
			vma_name_get(new->name);
		}
	}
	if (!vma)
		return NULL;
	vma->vm_start = new->start;
	vma->vm_end = new->end;
	vma->vm_pgoff = new->pgoff;
	vma->vm_flags = new->flags;
	return vma;
}

static void count_new(struct mm_struct *mm, const struct vma_new *new)
{
	unsigned long pages = (new->end - new->start) >> PAGE_SHIFT;

	vm_stat_account(mm, new->flags, (long)pages);
	if (new->flags & VM_LOCKED)
		mm->locked_vm += pages;
	if (new->flags & VM_ACCOUNT)
		mm->accounted += pages;
}

static struct vm_area_struct *commit_merged(struct vma_merge *vmg, struct vma_munmap_struct *vms)
{
	bool high_stays = vms->high && vms->high != vmg->target && vms->high != vmg->removed[0];
	struct vm_area_struct *vma;

	vms_detach(vms);
	vma = vma_merge_commit(vmg);
	if (high_stays)
		vms_attach_high(vms);
	return vma;
}

/* Into the place of what @vms has gathered. Cannot fail once it has the memory. 0 or -ENOMEM. */
static int replace_by(struct vma_munmap_struct *vms, struct vm_area_struct *vma)
{
	struct vma_store store;

	if (vma_store_prepare(&store, vms->mm, vma->vm_start, vma->vm_end, vma))
		return -ENOMEM;
	vms_detach(vms);
	vma_mark_attached(vma);
	vma_store_commit(&store);
	rmap_enter(vma);
	vms_attach_high(vms);
	return 0;
}

/* A VMA of its own. 0 or -ENOMEM. */
static int insert_new(struct mm_struct *mm, const struct vma_new *new, struct vma_munmap_struct *vms,
		      struct vm_area_struct **out)
{
	struct vm_area_struct *vma = make_vma(mm, new);
	int err;

	if (!vma)
		return -ENOMEM;
	if (vms && vms->first) {
		err = replace_by(vms, vma);
	} else {
		err = vma_store_now(mm, new->start, new->end, vma);
		if (!err) {
			vma_mark_attached(vma);
			rmap_enter(vma);
		}
	}
	if (err) {
		vma_free(mm, vma);
		return err;
	}
	mm->map_count++;
	*out = vma;
	return 0;
}

int vma_insert(struct mm_struct *mm, const struct vma_new *new, struct vma_munmap_struct *vms,
	       struct vm_area_struct **out)
{
	struct vma_merge vmg = {
		.mm = mm, .start = new->start, .end = new->end, .pgoff = new->pgoff, .flags = new->flags,
		.file = new->file, .pages_of = new->moved_from, .just_expand = new->just_expand,
		.name = new->moved_from ? new->moved_from->name : new->name,
	};
	bool replaces = vms && vms->first;
	struct vm_area_struct *vma;
	int err = 0;

	mmap_assert_write_locked(mm);
	pf_assert(new->start < new->end);
	surround(mm, new, vms, &vmg);
	if (!new->no_merge)
		err = replaces ? vma_merge_prepare(&vmg) : vma_merge_now(&vmg);
	if (err)
		return err;
	if (vmg.target)
		vma = replaces ? commit_merged(&vmg, vms) : vmg.target;
	else
		err = insert_new(mm, new, vms, &vma);
	if (err)
		return err;
	if (replaces)
		vms_complete(vms);
	count_new(mm, new);
	if (out)
		*out = vma;
	return 0;
}
