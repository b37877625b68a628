/* SPDX-License-Identifier: MIT */
/*
 * When two VMAs become one, and one becomes two.
 *
 * A range (new, or part of an existing VMA, "middle") joins a neighbour that
 * it cannot be told from:
 *
 *   new range        |PPPP|....|NNNN|      ->  |PPPPPPPPPPPPPP|  both
 *                                              |PPPPPPPPP|NNNN|  left
 *                                              |PPPP|NNNNNNNNN|  right
 *   whole middle     |PPPP|MMMM|NNNN|      ->  the same three
 *   head of middle   |PPPP|MMMMMMMM|       ->  |PPPPPPPP|MMMM|
 *   tail of middle   |MMMMMMMM|NNNN|       ->  |MMMM|NNNNNNNN|
 *
 * Each is one change of the tree: the target is stored over all that it has
 * then, which trims or replaces what was there.
 */
#include "vma/vma.h"

static bool has_inherited_pages(const struct vm_area_struct *vma)
{
	return vma && vma->anon_vma && vma->chain->older;
}

/*
 * The anon_vma rule. Pages of one VMA must all be found through its chain, so:
 * an unfaulted side takes over the other's anon_vma, unless that one came through a fork,
 * where widening it would let pages be looked for in too many processes.
 */
static enum vma_difference anon_vma_difference(const struct vm_area_struct *pages_of,
					       const struct vm_area_struct *near)
{
	const struct anon_vma *mine = pages_of ? pages_of->anon_vma : NULL;

	if (mine == near->anon_vma)
		return VMA_SAME;
	if (mine && near->anon_vma)
		return VMA_DIFFERS_ANON_VMA;
	return has_inherited_pages(mine ? pages_of : near) ? VMA_DIFFERS_INHERITED : VMA_SAME;
}

static enum vma_difference difference(const struct vma_merge *vmg, const struct vm_area_struct *near,
				      bool offset_fits)
{
	enum vma_difference differs;

	if ((vmg->flags | near->vm_flags) & VM_SPECIAL)
		return VMA_DIFFERS_SPECIAL;
	if (vmg->flags != near->vm_flags)
		return VMA_DIFFERS_FLAGS;
	if (vmg->file != near->vm_file)
		return VMA_DIFFERS_FILE;
	if (!offset_fits)
		return VMA_DIFFERS_OFFSET;
	if (!vma_name_same(vmg->name, near->name))
		return VMA_DIFFERS_NAME;
	differs = anon_vma_difference(vmg->pages_of, near);
	/* Observed: a mapping that grows takes in what is unwritten, though its own pages are inherited. */
	if (vmg->grows && vmg->pages_of->anon_vma && differs == VMA_DIFFERS_INHERITED)
		return VMA_SAME;
	return differs;
}

enum vma_difference vma_difference_left(const struct vma_merge *vmg)
{
	return difference(vmg, vmg->prev, vma_pgoff_at(vmg->prev, vmg->start) == vmg->pgoff);
}

enum vma_difference vma_difference_right(const struct vma_merge *vmg)
{
	pgoff_t after = vmg->pgoff + ((vmg->end - vmg->start) >> PAGE_SHIFT);

	return difference(vmg, vmg->next, vma_pgoff_at(vmg->next, vmg->end) == after);
}

static bool can_merge_left(const struct vma_merge *vmg)
{
	if (!vmg->prev || vmg->prev_end != vmg->start)
		return false;
	if (vmg->middle && vmg->middle->vm_start != vmg->start)
		return false;
	return vma_difference_left(vmg) == VMA_SAME;
}

/* Both neighbours may suit the range and yet not each other: then only the left one is joined. */
static bool can_merge_right(const struct vma_merge *vmg, bool left)
{
	if (vmg->just_expand || !vmg->next || vmg->next_start != vmg->end)
		return false;
	if (vmg->middle && vmg->middle->vm_end != vmg->end)
		return false;
	if (vma_difference_right(vmg) != VMA_SAME)
		return false;
	return !left || anon_vma_difference(vmg->prev, vmg->next) != VMA_DIFFERS_ANON_VMA;
}

static void remove_vma_later(struct vma_merge *vmg, struct vm_area_struct *vma)
{
	pf_assert(!vmg->removed[1]);
	vmg->removed[vmg->removed[0] != NULL] = vma;
}

/* Who of those that go brings an anon_vma that the target has not. */
static struct vm_area_struct *anon_source(const struct vma_merge *vmg, bool both)
{
	if (vmg->target->anon_vma)
		return NULL;
	if (vmg->pages_of && vmg->pages_of->anon_vma)
		return vmg->pages_of;
	if (both && vmg->next->anon_vma)
		return vmg->next;
	return NULL;
}

static void plan(struct vma_merge *vmg)
{
	bool left = can_merge_left(vmg);
	bool right = can_merge_right(vmg, left);
	struct vm_area_struct *middle = vmg->middle;
	bool whole = middle && middle->vm_start == vmg->start && middle->vm_end == vmg->end;

	if (!left && !right)
		return;
	vmg->target = left ? vmg->prev : vmg->next;
	vmg->new_start = left ? vmg->prev->vm_start : vmg->start;
	vmg->new_end = right ? vmg->next->vm_end : vmg->end;
	vmg->new_pgoff = left ? vmg->prev->vm_pgoff : vmg->pgoff;
	if (whole)
		remove_vma_later(vmg, middle);
	else
		vmg->trimmed = middle;
	if (left && right && vmg->next != vmg->prev)
		remove_vma_later(vmg, vmg->next);
	vmg->anon_from = anon_source(vmg, left && right);
}

/* The links that the planned merge needs. 0, or -ENOMEM with no target. */
static int merge_links(struct vma_merge *vmg)
{
	if (!vmg->anon_from)
		return 0;
	vmg->links = anon_links_alloc(vmg->mm, anon_vma_chain_length(vmg->anon_from));
	if (vmg->links)
		return 0;
	vmg->target = NULL;
	return -ENOMEM;
}

static int merge_fails(struct vma_merge *vmg)
{
	anon_links_free(vmg->mm, vmg->links);
	vmg->target = NULL;
	vmg->links = NULL;
	return -ENOMEM;
}

/* What the planned merge needs. 0, or -ENOMEM with nothing taken and no target. */
static int merge_allocate(struct vma_merge *vmg)
{
	int err = merge_links(vmg);

	if (err)
		return err;
	if (vma_store_prepare(&vmg->store, vmg->mm, vmg->new_start, vmg->new_end, vmg->target))
		return merge_fails(vmg);
	return 0;
}

int vma_merge_prepare(struct vma_merge *vmg)
{
	mmap_assert_write_locked(vmg->mm);
	pf_assert(vmg->start < vmg->end);
	plan(vmg);
	return vmg->target ? merge_allocate(vmg) : 0;
}

/* Bounds and chains change, all at once for who comes through a reverse map. */
static void merge_bounds(struct vma_merge *vmg)
{
	struct vm_area_struct *target = vmg->target, *trimmed = vmg->trimmed;

	rmap_lock(target);
	rmap_leave_locked(target);
	if (trimmed)
		rmap_leave_locked(trimmed);
	for (int i = 0; i < 2 && vmg->removed[i]; i++)
		rmap_leave_locked(vmg->removed[i]);
	if (vmg->anon_from && target->vm_mm->ctx->frames)
		anon_vma_clone_locked(target, vmg->anon_from, vmg->links);
	else if (vmg->anon_from)
		anon_vma_clone(target, vmg->anon_from, vmg->links);
	if (trimmed && target == vmg->prev)
		vma_set_start(trimmed, vmg->end);
	else if (trimmed)
		trimmed->vm_end = vmg->start;
	target->vm_start = vmg->new_start;
	target->vm_end = vmg->new_end;
	target->vm_pgoff = vmg->new_pgoff;
	rmap_enter_locked(target);
	if (trimmed)
		rmap_enter_locked(trimmed);
	rmap_unlock(target);
}

static void merge_lock(struct vma_merge *vmg)
{
	pf_assert(vmg->target && vmg->target->vm_mm == vmg->mm);
	pf_assert(vmg->new_start < vmg->new_end);
	vma_start_write(vmg->target);
	if (vmg->trimmed)
		vma_start_write(vmg->trimmed);
}

/* The tree has changed. Cannot fail. */
static struct vm_area_struct *merge_finish(struct vma_merge *vmg)
{
	struct mm_struct *mm = vmg->mm;

	vmg->target->had_guards |= vmg->pages_of && vmg->pages_of->had_guards;
	for (int i = 0; i < 2 && vmg->removed[i]; i++)
		vmg->target->had_guards |= vmg->removed[i]->had_guards;
	for (int i = 0; i < 2 && vmg->removed[i]; i++)
		vma_mark_detached(vmg->removed[i]);
	merge_bounds(vmg);
	mm->merges++;
	for (int i = 0; i < 2 && vmg->removed[i]; i++) {
		vma_free(mm, vmg->removed[i]);
		mm->map_count--;
		mm->merges += i;
	}
	return vmg->target;
}

struct vm_area_struct *vma_merge_commit(struct vma_merge *vmg)
{
	merge_lock(vmg);
	vma_store_commit(&vmg->store);
	return merge_finish(vmg);
}

int vma_merge_now(struct vma_merge *vmg)
{
	int err;

	mmap_assert_write_locked(vmg->mm);
	pf_assert(vmg->start < vmg->end);
	plan(vmg);
	if (!vmg->target)
		return 0;
	err = merge_links(vmg);
	if (err)
		return err;
	merge_lock(vmg);
	if (vmg->middle ? vma_store_over(vmg->mm, vmg->new_start, vmg->new_end, vmg->target)
			: vma_store_now(vmg->mm, vmg->new_start, vmg->new_end, vmg->target))
		return merge_fails(vmg);
	merge_finish(vmg);
	return 0;
}

int vma_merge_force(struct vm_area_struct *lower, struct vm_area_struct *upper)
{
	struct mm_struct *mm = lower->vm_mm;
	struct vma_merge vmg = {
		.mm = mm, .prev = lower, .middle = upper, .start = upper->vm_start, .end = upper->vm_end,
		.pgoff = upper->vm_pgoff, .flags = upper->vm_flags, .file = upper->vm_file, .name = upper->name,
		.pages_of = upper, .prev_end = lower->vm_end,
	};
	enum vma_difference differs = vma_difference_left(&vmg);

	mmap_assert_write_locked(mm);
	if (lower->vm_end != upper->vm_start || (differs != VMA_SAME && differs < VMA_DIFFERS_ANON_VMA))
		return -EINVAL;
	vmg.target = lower;
	vmg.new_start = lower->vm_start;
	vmg.new_end = upper->vm_end;
	vmg.new_pgoff = lower->vm_pgoff;
	vmg.removed[0] = upper;
	vmg.anon_from = anon_source(&vmg, false);
	if (merge_allocate(&vmg))
		return -ENOMEM;
	vma_merge_commit(&vmg);
	return 0;
}

/* Splits ------------------------------------------------------------------ */

static bool map_count_allows(const struct mm_struct *mm)
{
	return mm->map_count < mm->ctx->opt.max_map_count;
}

int vma_split(struct vm_area_struct *vma, unsigned long addr, struct vm_area_struct **upper)
{
	struct mm_struct *mm = vma->vm_mm;
	struct vm_area_struct *new;

	mmap_assert_write_locked(mm);
	pf_assert(vma->vm_start < addr && addr < vma->vm_end);
	new = vma_dup(mm, vma);
	if (!new)
		return -ENOMEM;
	vma_set_start(new, addr);
	vma_start_write(vma);
	if (vma_store_now(mm, addr, vma->vm_end, new)) {
		vma_free(mm, new);
		return -ENOMEM;
	}

	/* From here on nothing can fail. */
	vma_mark_attached(new);
	rmap_lock(vma);
	rmap_leave_locked(vma);
	vma->vm_end = addr;
	rmap_enter_locked(vma);
	rmap_enter_locked(new);
	rmap_unlock(vma);
	mm->map_count++;
	mm->splits++;
	*upper = new;
	return 0;
}

/* What a part of a VMA is to have. */
struct vma_change {
	vm_flags_t flags;
	struct vma_name *name;
};

static void apply_change(struct vm_area_struct *vma, const struct vma_change *change)
{
	vma->vm_flags = change->flags;
	if (vma->name != change->name)
		vma_set_name(vma, change->name);
}

/*
 * Cut [start, end) out of @vma as a VMA of its own with @change.
 *
 *   before  |VVVVVVVVVVVV|
 *   after   |VVV|MMM|HHHH|    M and H are new; H only where V reaches above,
 *                             and where V does not reach below, V is the upper rest
 *
 * M and H are stored by one change. Where H is NULL, V's entry stays on the other side of M.
 */
static int cut_out(struct vm_area_struct *vma, unsigned long start, unsigned long end,
		   const struct vma_change *change, struct vm_area_struct **out)
{
	bool below = vma->vm_start < start, above = end < vma->vm_end;
	struct vm_area_struct *middle, *high = NULL;
	struct mm_struct *mm = vma->vm_mm;

	pf_assert(vma->vm_start <= start && start < end && end <= vma->vm_end);
	pf_assert(below || above);
	middle = vma_dup(mm, vma);
	if (!middle)
		return -ENOMEM;
	if (below && above) {
		high = vma_dup(mm, vma);
		if (!high)
			goto free_middle;
		vma_set_start(high, end);
	}
	vma_set_start(middle, start);
	middle->vm_end = end;
	apply_change(middle, change);
	vma_start_write(vma);
	if (vma_store_cut(vma, middle, high))
		goto free_high;

	/* From here on nothing can fail. */
	vma_mark_attached(middle);
	if (high)
		vma_mark_attached(high);
	rmap_lock(vma);
	rmap_leave_locked(vma);
	if (below)
		vma->vm_end = start;
	else
		vma_set_start(vma, end);
	rmap_enter_locked(vma);
	rmap_enter_locked(middle);
	if (high)
		rmap_enter_locked(high);
	rmap_unlock(vma);
	mm->map_count += below + above;
	mm->splits += below + above;
	*out = middle;
	return 0;

free_high:
	if (high)
		vma_free(mm, high);
free_middle:
	vma_free(mm, middle);
	return -ENOMEM;
}

/* Who is next to the VMA that the range is part of. */
static void find_neighbours(struct vma_merge *vmg)
{
	struct vm_area_struct *vma = vmg->middle;
	struct vma_around around;

	vma_around(vma->vm_mm, vma->vm_start, &around);
	pf_assert(around.vma == vma);
	vmg->prev = around.prev;
	vmg->next = around.next;
	vmg->prev_end = around.prev_end;
	vmg->next_start = around.next_start;
}

/*
 * 0, or what keeps [start, end) of @vma from being cut out. The first of two splits may be possible, and is
 * made.
 */
static int ask_for_cuts(struct vm_area_struct *vma, unsigned long start, unsigned long end,
			struct vm_area_struct **out)
{
	bool below = vma->vm_start < start, above = end < vma->vm_end;
	int err = below ? vma_may_split(vma, start) : 0;

	if (err || !above)
		return err;
	err = vma_may_split(vma, end);
	if (err && below)
		vma_split(vma, start, out);
	return err;
}

/* [start, end) reaches to an end of @vma, and may join who is there. *@out: whom it has joined, or NULL. */
static __attribute__((noinline)) int join_neighbour(struct vm_area_struct *vma, unsigned long start,
						    unsigned long end, const struct vma_change *change,
						    struct vm_area_struct **out)
{
	struct vma_merge vmg = {
		.mm = vma->vm_mm, .middle = vma, .start = start, .end = end,
		.pgoff = vma_pgoff_at(vma, start), .flags = change->flags, .file = vma->vm_file,
		.name = change->name, .pages_of = vma,
	};
	int err;

	find_neighbours(&vmg);
	err = vma_merge_now(&vmg);
	*out = err ? NULL : vmg.target;
	return err;
}

static int vma_modify(struct vm_area_struct *vma, unsigned long start, unsigned long end,
		      const struct vma_change *change, struct vm_area_struct **out)
{
	struct mm_struct *mm = vma->vm_mm;
	bool below = vma->vm_start < start, above = end < vma->vm_end;
	struct vm_area_struct *joined = NULL;
	int err = 0;

	mmap_assert_write_locked(mm);
	pf_assert(vma->vm_start <= start && end <= vma->vm_end);
	/* Between two parts of itself it meets nobody else. */
	if (!below || !above)
		err = join_neighbour(vma, start, end, change, &joined);
	if (err)
		return err;
	if (joined) {
		*out = joined;
		return 0;
	}
	if (!below && !above) {
		vma_start_write(vma);
		apply_change(vma, change);
		*out = vma;
		return 0;
	}
	if (!map_count_allows(mm))
		return -ENOMEM;
	err = ask_for_cuts(vma, start, end, out);
	if (err)
		return err;
	if (below && above && mm->map_count + 1 >= mm->ctx->opt.max_map_count) {
		/* Room for the first of two splits alone: Linux makes it, and then fails. */
		vma_split(vma, start, out);
		return -ENOMEM;
	}
	return cut_out(vma, start, end, change, out);
}

int vma_modify_flags(struct vm_area_struct *vma, unsigned long start, unsigned long end, vm_flags_t flags,
		     struct vm_area_struct **out)
{
	return vma_modify(vma, start, end, &(struct vma_change){ .flags = flags, .name = vma->name }, out);
}

int vma_modify_name(struct vm_area_struct *vma, unsigned long start, unsigned long end, struct vma_name *name,
		    struct vm_area_struct **out)
{
	return vma_modify(vma, start, end, &(struct vma_change){ .flags = vma->vm_flags, .name = name }, out);
}
