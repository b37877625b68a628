/* SPDX-License-Identifier: MIT */
/* Names of anonymous memory: prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME). */
#include <stdio.h>

#include "mm/mm.h"

#define NAME_MAX_BYTES 80	/* the closing 0 included */

static bool is_good_name(const char *name)
{
	size_t i;

	for (i = 0; i < NAME_MAX_BYTES && name[i]; i++)
		if (name[i] < ' ' || name[i] > '~' || strchr("\\`$[]", name[i]))
			return false;
	return i < NAME_MAX_BYTES;
}

/* As the map shows it. NULL: no memory. */
static struct vma_name *dress_name(struct mm_context *ctx, const char *format, const char *name)
{
	char text[NAME_MAX_BYTES + 16];

	snprintf(text, sizeof(text), format, name);
	return vma_name_create(ctx, text);
}

/* The name for private memory, and for shared memory that has no file. */
struct names {
	struct vma_name *private, *shared;
};

static int name_range(struct mm_struct *mm, unsigned long start, unsigned long end, const struct names *names)
{
	struct vm_area_struct *vma;
	unsigned long at = start, upto;
	struct vma_name *name;
	int err, hole = 0;

	mmap_assert_write_locked(mm);
	while (at < end) {
		vma = find_vma(mm, at);
		if (!vma || vma->vm_start >= end)
			return -ENOMEM;
		if (vma->vm_start > at) {
			hole = -ENOMEM;
			at = vma->vm_start;
		}
		if (vma->vm_file && !vma->vm_file->anonymous)
			return -EBADF;
		upto = vma->vm_end < end ? vma->vm_end : end;
		name = vma->vm_file ? names->shared : names->private;
		err = vma_name_same(vma->name, name) ? 0 : vma_modify_name(vma, at, upto, name, &vma);
		if (err)
			return err;
		at = upto;
	}
	return hole;
}

static int set_names(struct mm_struct *mm, unsigned long start, unsigned long end, const struct names *names)
{
	int err;

	mmap_write_lock(mm);
	err = vma_reserve_for_range(mm, start, end, false);
	if (!err)
		err = name_range(mm, start, end, names);
	vma_unreserve(mm);
	mmap_write_unlock(mm);
	return err;
}

int mm_set_anon_name(struct mm_struct *mm, unsigned long addr, size_t len, const char *name)
{
	unsigned long bytes = PAGE_ALIGN(len), end = addr + bytes;
	struct mm_context *ctx = mm->ctx;
	struct names names = { NULL, NULL };
	int err;

	if (!ctx->opt.anon_names || (name && !is_good_name(name)))
		return -EINVAL;
	if ((addr & ~PAGE_MASK) || (len && !bytes) || end < addr)
		return -EINVAL;
	if (end == addr)
		return 0;
	if (name) {
		names.private = dress_name(ctx, "[anon:%s]", name);
		names.shared = dress_name(ctx, "[anon_shmem:%s]", name);
	}
	if (name && (!names.private || !names.shared))
		err = -ENOMEM;
	else
		err = set_names(mm, addr, end, &names);
	vma_name_put(ctx, names.private);
	vma_name_put(ctx, names.shared);
	return err;
}
