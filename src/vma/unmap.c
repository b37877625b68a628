/* SPDX-License-Identifier: MIT */
/*
 * Taking VMAs away: gather, change the tree once, complete.
 *
 *   before     |AAAAAA|  |BBBB|CCCCCC|
 *   range          |------------|
 *   stays      |AAAA|            |CCC|     A and C keep their objects, trimmed
 *   detached       |h|   |BBBB|t|          h and t are new: what goes of A and C
 *
 *   before     |AAAAAAAAAAAA|
 *   range          |---|
 *   stays      |AAAA|   |HHH|              H is new
 *   detached       |hhh|
 *
 * Gathering allocates h, t and H and changes nothing. Where the range has no
 * VMA cut, nothing is allocated at all, and the tree loses whole entries, which
 * cannot fail.
 */
#include "vma/vma.h"

/* VMAs torn down between two offers of the processor to others. */
#define YIELD_AFTER 1024
/* So many that go stay at the hand of their address space, for its next mappings. */
#define FREED_ONE_BY_ONE 16

static void set_add(struct vma_set *set, struct vm_area_struct *vma)
{
	pf_assert(!vma->set_next);
	if (set->last)
		set->last->set_next = vma;
	else
		set->first = vma;
	set->last = vma;
	set->count++;
}

static bool cuts_first(const struct vma_munmap_struct *vms)
{
	return vms->first && vms->first->vm_start < vms->start;
}

static bool cuts_last(const struct vma_munmap_struct *vms)
{
	return vms->last && vms->end < vms->last->vm_end;
}

bool vms_is_whole(const struct vma_munmap_struct *vms)
{
	return !cuts_first(vms) && !cuts_last(vms);
}

/* What of @vma lies in the range. */
static unsigned long pages_within(const struct vma_munmap_struct *vms, const struct vm_area_struct *vma)
{
	unsigned long start = vma->vm_start > vms->start ? vma->vm_start : vms->start;
	unsigned long end = vma->vm_end < vms->end ? vma->vm_end : vms->end;

	return (end - start) >> PAGE_SHIFT;
}

static void count_in(struct vma_munmap_struct *vms, const struct vm_area_struct *vma)
{
	unsigned long pages = pages_within(vms, vma);

	vms->vma_count++;
	vms->nr_pages += pages;
	if (vma->vm_flags & VM_LOCKED)
		vms->locked_vm += pages;
	if (vma->vm_flags & VM_ACCOUNT)
		vms->accounted += pages;
	if (vma->vm_flags & VM_HUGE_OWNER)
		vms->huge_owned += pages;
	if (is_exec_mapping(vma->vm_flags))
		vms->exec_vm += pages;
	else if (is_stack_mapping(vma->vm_flags))
		vms->stack_vm += pages;
	else if (is_data_mapping(vma->vm_flags))
		vms->data_vm += pages;
}

/* A copy of @vma, narrowed to [start, end). */
static struct vm_area_struct *dup_part(struct mm_struct *mm, struct vm_area_struct *vma, unsigned long start,
				       unsigned long end)
{
	struct vm_area_struct *part = vma_dup(mm, vma);

	if (!part)
		return NULL;
	vma_set_start(part, start);
	part->vm_end = end;
	return part;
}

/* Sealed VMAs stay. When the range begins inside a VMA before, Linux has split that by then. */
static int refuse_sealed(struct vma_munmap_struct *vms)
{
	struct vm_area_struct *upper;

	if (!cuts_first(vms) || (vms->first->vm_flags & VM_SEALED))
		return -EPERM;
	return vma_split(vms->first, vms->start, &upper) ? -ENOMEM : -EPERM;
}

/*
 * Walks the VMAs below an end with a few found ahead of the one in hand, so that the memory of those is on its way.
 * A long unmap meets each of its VMAs for the first time in a while.
 */
#define LOOK_AHEAD 8u

struct outlook {
	struct vma_iterator vmi;
	unsigned long end;
	bool to_change;			/* the second line of each is written to */
	struct vm_area_struct *ahead[LOOK_AHEAD];
	unsigned int found, taken;
	struct vm_area_struct *beyond;	/* the first at or above the end; known when all have been taken */
	bool ended;
};

static inline void outlook_init(struct outlook *outlook, struct mm_struct *mm, unsigned long start,
				unsigned long end, bool to_change)
{
	vma_iter_init(&outlook->vmi, mm, start);
	outlook->to_change = to_change;
	outlook->end = end;
	outlook->found = outlook->taken = 0;
	outlook->ended = false;
}

static struct vm_area_struct *outlook_next(struct outlook *outlook)
{
	struct vm_area_struct *vma;

	while (!outlook->ended && outlook->found - outlook->taken < LOOK_AHEAD) {
		vma = vma_next(&outlook->vmi);
		outlook->ended = !vma || outlook->vmi.mas.index >= outlook->end;
		if (outlook->ended) {
			outlook->beyond = vma;
			break;
		}
		__builtin_prefetch(vma);
		if (outlook->to_change)
			__builtin_prefetch(&vma->chain, 1);
		outlook->ahead[outlook->found++ % LOOK_AHEAD] = vma;
	}
	return outlook->taken == outlook->found ? NULL : outlook->ahead[outlook->taken++ % LOOK_AHEAD];
}

/* The last VMA cannot be cut. Where the range begins inside a mapping, Linux has split that by then. */
static int refuse_end(struct vma_munmap_struct *vms, int why)
{
	struct vm_area_struct *upper;

	if (cuts_first(vms) && vma_split(vms->first, vms->start, &upper))
		return -ENOMEM;
	return why;
}

/* Count in @vma, which overlaps the range. Whether it may go. */
static bool take_in(struct vma_munmap_struct *vms, struct vm_area_struct *vma)
{
	if (!vms->first)
		vms->first = vma;
	vms->last = vma;
	count_in(vms, vma);
	return !(vma->vm_flags & VM_SEALED);
}

/* The rest, after the first one. Whether all may go: it ends with one that may not. */
static bool survey_more(struct vma_munmap_struct *vms)
{
	struct vm_area_struct *vma;
	struct outlook outlook;
	bool may_go = true;

	outlook_init(&outlook, vms->mm, vms->first->vm_end, vms->end, false);
	while (may_go && (vma = outlook_next(&outlook)) != NULL)
		may_go = take_in(vms, vma);
	if (!may_go)
		return false;
	vms->next = outlook.beyond;
	vms->next_start = outlook.beyond ? outlook.vmi.mas.index : 0;
	return true;
}

/* Find what overlaps, and what is next to it. Whether all of it may go. */
static bool survey(struct vma_munmap_struct *vms)
{
	struct vma_around around;

	vma_around(vms->mm, vms->start, &around);
	vms->prev = around.prev;
	vms->prev_end = around.prev_end;
	vms->next = around.next;
	vms->next_start = around.next_start;
	if (around.vma) {
		if (!take_in(vms, around.vma))
			return false;
		return !around.next || around.next_start >= vms->end || survey_more(vms);
	}
	if (!around.next || around.next_start >= vms->end)
		return true;
	return take_in(vms, around.next) && survey_more(vms);
}

/* What stays at the cut ends is next to the range. 0, or what keeps it from being cut there. */
static int survey_ends(struct vma_munmap_struct *vms, bool may_go)
{
	int err = 0;

	if (cuts_first(vms) && vms->end < vms->first->vm_end &&
	    vms->mm->map_count >= vms->mm->ctx->opt.max_map_count)
		return -ENOMEM;
	if (cuts_first(vms) && !(vms->first->vm_flags & VM_SEALED))
		err = vma_may_split(vms->first, vms->start);
	if (err)
		return err;
	if (!may_go)
		return refuse_sealed(vms);
	if (cuts_last(vms))
		err = vma_may_split(vms->last, vms->end);
	if (err)
		return refuse_end(vms, err);
	if (cuts_first(vms)) {
		vms->prev = vms->first;
		vms->prev_end = vms->start;
	}
	if (cuts_last(vms)) {
		vms->next = vms->last;
		vms->next_start = vms->end;
	}
	return 0;
}

int vms_gather_vmas(struct vma_munmap_struct *vms, struct mm_struct *mm, unsigned long start,
		    unsigned long end)
{
	bool punched, may_go;
	int err;

	mmap_assert_write_locked(mm);
	pf_assert(start < end);
	*vms = (struct vma_munmap_struct){ .mm = mm, .start = start, .end = end };
	may_go = survey(vms);
	if (may_go && vms_is_whole(vms))
		return 0;
	err = survey_ends(vms, may_go);
	if (err || vms_is_whole(vms))
		return err;

	punched = cuts_first(vms) && cuts_last(vms) && vms->first == vms->last;
	if (cuts_first(vms)) {
		vms->head = dup_part(mm, vms->first, start, punched ? end : vms->first->vm_end);
		if (!vms->head)
			return -ENOMEM;
	}
	if (punched) {
		vms->high = dup_part(mm, vms->first, end, vms->first->vm_end);
		vms->next = vms->high;
	} else if (cuts_last(vms)) {
		vms->tail = dup_part(mm, vms->last, vms->last->vm_start, end);
	}
	if ((punched && !vms->high) || (!punched && cuts_last(vms) && !vms->tail)) {
		vms_abort(vms);
		return -ENOMEM;
	}
	return 0;
}

void vms_abort(struct vma_munmap_struct *vms)
{
	struct vm_area_struct *made[] = { vms->head, vms->tail, vms->high };

	for (int i = 0; i < 3; i++)
		if (made[i])
			vma_free(vms->mm, made[i]);
	vms->head = vms->tail = vms->high = NULL;
}

void vms_abort_split(struct vma_munmap_struct *vms)
{
	struct vm_area_struct *upper, *last = vms->last;

	vms_abort(vms);
	if (!vms->first)
		return;
	if (cuts_last(vms) && vma_split(last, vms->end, &upper))
		return;
	if (cuts_first(vms))
		vma_split(vms->first, vms->start, &upper);
}

/* The parts that go, and those that are new, enter the reverse maps as what they are cut from shrinks. */
static void trim_last(struct vma_munmap_struct *vms)
{
	struct vm_area_struct *vma = vms->last;

	if (!vms->tail)
		return;
	vma_start_write(vma);
	rmap_lock(vma);
	rmap_leave_locked(vma);
	vma_set_start(vma, vms->end);
	rmap_enter_locked(vma);
	rmap_enter_locked(vms->tail);
	rmap_unlock(vma);
}

static void trim_first(struct vma_munmap_struct *vms)
{
	struct vm_area_struct *vma = vms->first;

	if (!vms->head)
		return;
	vma_start_write(vma);
	if (vms->high)
		vma_mark_attached(vms->high);
	rmap_lock(vma);
	rmap_leave_locked(vma);
	vma->vm_end = vms->start;
	rmap_enter_locked(vma);
	rmap_enter_locked(vms->head);
	if (vms->high)
		rmap_enter_locked(vms->high);
	rmap_unlock(vma);
}

/* Whether nothing has to be given back of a VMA but its memory. */
static bool is_plain(const struct vm_area_struct *vma)
{
	return !vma->vm_file && !vma->name && !vma->chain;
}

/* Before the tree changes: collect what goes, trim what stays. */
void vms_detach(struct vma_munmap_struct *vms)
{
	struct vm_area_struct *vma, *goes;
	struct outlook outlook;
	/* Their pages would have to go first. */
	bool plain = !vms->mm->pt;

	mmap_assert_write_locked(vms->mm);
	pf_assert(!vms->detached.count);
	if (!vms->first)
		return;
	if (vms->first != vms->last)
		outlook_init(&outlook, vms->mm, vms->first->vm_end, vms->end, true);
	for (vma = vms->first;; vma = outlook_next(&outlook)) {
		goes = vma;
		if (vma == vms->first && vms->head)
			goes = vms->head;
		else if (vma == vms->last && vms->tail)
			goes = vms->tail;
		else
			vma_mark_detached(vma);
		set_add(&vms->detached, goes);
		plain = plain && is_plain(goes);
		if (vma == vms->last)
			break;
	}
	vms->plain = plain;
	trim_last(vms);
	trim_first(vms);
	if (vms->clear)
		vms->clear(vms);
	vms->mm->splits += (vms->head != NULL) + (vms->tail != NULL) + (vms->high != NULL);
	pf_assert(vms->detached.count == vms->vma_count);
	pf_assert(vms->mm->map_count >= vms->vma_count);
	vms->mm->map_count -= vms->vma_count;
	vms->mm->map_count += (vms->head != NULL) + (vms->tail != NULL) + (vms->high != NULL);
}

void vms_attach_high(struct vma_munmap_struct *vms)
{
	if (vms->high)
		vma_store_replace(vms->mm, vms->high);
}

void vms_account(struct vma_munmap_struct *vms)
{
	struct mm_struct *mm = vms->mm;

	mmap_assert_write_locked(mm);
	if (!vms->first)
		return;
	/* The mark rises before the counters fall. */
	if (mm->total_vm > mm->hiwater_vm)
		mm->hiwater_vm = mm->total_vm;
	pf_assert(mm->total_vm >= vms->nr_pages);
	pf_assert(mm->accounted >= vms->accounted);
	mm->total_vm -= vms->nr_pages;
	mm->exec_vm -= vms->exec_vm;
	mm->stack_vm -= vms->stack_vm;
	mm->data_vm -= vms->data_vm;
	mm->locked_vm -= vms->locked_vm;
	mm->accounted -= vms->accounted;
}

void vms_release(struct vma_munmap_struct *vms)
{
	struct vm_area_struct *vma, *next;
	struct mm_struct *mm = vms->mm;

	if (!vms->first)
		return;
	pf_assert(!vms->clear || !mm->pt);
	pf_assert(vms->kept <= vms->accounted);
	vm_unacct_memory(mm->ctx, vms->accounted - vms->kept);
	huge_give_back(mm->ctx, vms->huge_owned >> HPAGE_ORDER);
	if (vms->plain && vms->detached.count > FREED_ONE_BY_ONE) {
		vma_free_plain(mm, &vms->detached);
		vms->detached = (struct vma_set){ 0 };
	}
	for (vma = vms->detached.first; vma; vma = next) {
		next = vma->set_next;
		if (next) {
			__builtin_prefetch(next);
			__builtin_prefetch(&next->chain, 1);
		}
		vma->set_next = NULL;
		vma_free(mm, vma);
	}
	vms->detached = (struct vma_set){ 0 };
}

void vms_complete(struct vma_munmap_struct *vms)
{
	vms_account(vms);
	vms_release(vms);
}

int vms_remove(struct vma_munmap_struct *vms)
{
	struct vma_store store;
	int err;

	if (vms_is_whole(vms)) {
		vms_detach(vms);
		if (vms->first == vms->last)
			vma_store_erase(vms->mm, vms->first);
		else
			vma_store_clear(vms->mm, vms->first->vm_start, vms->last->vm_end);
		return 0;
	}
	err = vma_store_prepare(&store, vms->mm, vms->start, vms->end, NULL);
	if (err) {
		vms_abort(vms);
		return err;
	}
	vms_detach(vms);
	vma_store_commit(&store);
	vms_attach_high(vms);
	return 0;
}

unsigned long tear_down_vmas(struct mm_struct *mm, struct vma_iterator *vmi, struct vm_area_struct *vma,
			     unsigned long end)
{
	unsigned long count = 0, accounted = 0;

	mmap_assert_write_locked(mm);
	for (; vma; vma = vma_find(vmi, end)) {
		if (vma->vm_flags & VM_ACCOUNT)
			accounted += vma_pages(vma);
		if (vma->vm_flags & VM_HUGE_OWNER)
			huge_give_back(mm->ctx, vma_pages(vma) >> HPAGE_ORDER);
		vma_mark_detached(vma);
		vma_free(mm, vma);
		count++;
		if (count % YIELD_AFTER == 0)
			pf_cond_resched(mm->ctx->pf);
	}
	pf_warn_on_once(mm->ctx->pf, count != mm->map_count, "tear-down found %lu mappings where %lu were counted",
			count, mm->map_count);
	/* Who holds the address space finds it empty; the mark stays. */
	vm_stat_account(mm, 0, 0);
	mm->map_count = mm->accounted = mm->locked_vm = mm->locked_lost = 0;
	mm->total_vm = mm->data_vm = mm->exec_vm = mm->stack_vm = 0;
	return accounted;
}
