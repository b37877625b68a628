/* SPDX-License-Identifier: MIT */
/*
 * What is known of anon_vmas when faults are not told.
 *
 * A mapping of the model that has an anon_vma has one for certain: smaps showed
 * anonymous pages in it. One that has none, and was never writable since it was
 * mapped, has none for certain. The others are unknown: those that lie over a
 * range of the space's `written` tree.
 */
#include <errno.h>

#include <linux/mman.h>

#include "mirror_parts.h"

/* The range table --------------------------------------------------------- */

static int written_store(struct mirror *m, struct space *s, unsigned long start, unsigned long end,
			 void *entry)
{
	if (!mirror_is_blind(m) || start >= end)
		return 0;
	return mtree_store_range(&s->written, start, end - 1, entry, GFP_KERNEL);
}

int written_set(struct mirror *m, struct space *s, unsigned long start, unsigned long end)
{
	return written_store(m, s, start, end, xa_mk_value(1));
}

int written_clear(struct mirror *m, struct space *s, unsigned long start, unsigned long end)
{
	return written_store(m, s, start, end, NULL);
}

bool written_any(struct space *s, unsigned long start, unsigned long end)
{
	unsigned long index = start;

	/* A trace that is damaged may name a range that wraps: nothing lies in it. */
	if (start >= end)
		return false;
	return mt_find(&s->written, &index, end - 1) != NULL;
}

int written_fork(struct space *child, struct space *parent)
{
	return mtree_dup(&parent->written, &child->written, GFP_KERNEL);
}

/* Settling ---------------------------------------------------------------- */

static bool in_doubt(struct space *s, const struct mm_vma_info *vma)
{
	return !(vma->flags & MM_VM_MAYSHARE) && !vma->has_anon_vma && written_any(s, vma->start, vma->end);
}

/* All mappings of the model below one line of the kernel's. */
static int settle_line(struct space *s, const struct map_line *line, unsigned long *settled)
{
	struct mm_vma_info vma;
	unsigned long at = line->start;
	int err;

	pf_assert(line->perms[3] == 'p' && line->has_anonymous);
	while (at < line->end && !mm_next_vma(s->mm, at, &vma) && vma.start < line->end) {
		at = vma.end;
		if (vma.has_anon_vma || (vma.flags & MM_VM_MAYSHARE))
			continue;
		err = mm_adopt_anon(s->mm, vma.start);
		if (err == -ENOMEM)
			return err;
		*settled += !err;
	}
	return 0;
}

int settle_from(struct space *s, const struct map *smaps, unsigned long *settled)
{
	for (size_t i = 0; i < smaps->nr; i++) {
		const struct map_line *line = &smaps->lines[i];
		int err;

		if (!line->has_anonymous || line->perms[3] == 's')
			continue;
		err = settle_line(s, line, settled);
		if (err)
			return err;
	}
	return 0;
}

/* A mapping that overlaps [@start - 1, @end] and is in doubt. */
static bool doubt_near(struct space *s, unsigned long start, unsigned long end)
{
	struct mm_vma_info vma;
	unsigned long at = start ? start - 1 : 0;

	if (end < start)
		end = USER_TOP;
	while (!mm_next_vma(s->mm, at, &vma) && vma.start <= end) {
		if (in_doubt(s, &vma))
			return true;
		at = vma.end;
	}
	return false;
}

static bool doubt_at_mmap(struct mirror *m, struct space *s, const struct call *call)
{
	struct mm_mmap_args args;
	unsigned long at = call->args[0];
	int err = 0;

	if (mmap_is_foreign(call))
		return false;
	if (!(call->args[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
		if (mmap_arguments(m, call, &args))
			return false;
		err = mm_get_unmapped_area(s->mm, &args, &at);
		vm_file_put(args.file);
	}
	return !err && doubt_near(s, at, at + call->args[1]);
}

static bool doubt_at_mremap(struct space *s, const struct call *call)
{
	unsigned long old = call->args[0], old_len = call->args[1], new_len = call->args[2];
	struct mm_mmap_args args;
	unsigned long at;

	if (doubt_near(s, old, old + (old_len > new_len ? old_len : new_len)))
		return true;
	if (call->args[3] & MREMAP_FIXED)
		return doubt_near(s, call->args[4], call->args[4] + new_len);
	return mremap_search(s, call, &args) && !mm_get_unmapped_area(s->mm, &args, &at) &&
	       doubt_near(s, at, at + new_len);
}

static bool call_in_doubt(struct mirror *m, struct space *s, const struct call *call)
{
	switch (call->kind) {
	case CALL_MMAP:
		return doubt_at_mmap(m, s, call);
	case CALL_MREMAP:
		return doubt_at_mremap(s, call);
	case CALL_BRK:
		return s->heap_known && call->args[0] && doubt_near(s, s->heap_start, s->heap_end + PAGE);
	case CALL_MUNMAP:
	case CALL_MPROTECT:
	case CALL_PKEY_MPROTECT:
	case CALL_MADVISE:
	case CALL_MLOCK:
	case CALL_MLOCK2:
	case CALL_MUNLOCK:
	case CALL_MSEAL:
	case CALL_REMAP_FILE_PAGES:
		return doubt_near(s, call->args[0], call->args[0] + call->args[1]);
	case CALL_MLOCKALL:
	case CALL_MUNLOCKALL:
	case CALL_FORK:
		return doubt_near(s, 0, USER_TOP);
	default:
		return false;
	}
}

int settle_before(struct mirror *m, struct process *p, const struct call *call)
{
	unsigned long settled = 0;
	int err;

	if (!mirror_is_blind(m) || !call_in_doubt(m, p->space, call))
		return 0;
	err = read_kernel(m, p, true, &m->smaps);
	if (err)
		return err < 0 ? err : 0;
	err = settle_from(p->space, &m->smaps, &settled);
	if (!err && settled)
		tell_taken(m, p, &m->smaps);
	return err;
}
