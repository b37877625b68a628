/* SPDX-License-Identifier: MIT */
/* Map eight pages, write-protect two of them, cut a hole, and see which mappings that leaves. */
#include <samara/mm.h>
#include <stdio.h>
#include <sys/mman.h>

static int print(void *out, const struct mm_vma_info *vma)
{
	char w = vma->flags & MM_VM_WRITE ? 'w' : '-';

	return fprintf(out, "%lx-%lx r%c-p\n", vma->start, vma->end, w) < 0;
}

int main(void)
{
	struct mm_mmap_args args = { .len = 8 << 12, .prot = PROT_READ | PROT_WRITE,
				     .flags = MAP_PRIVATE | MAP_ANONYMOUS };
	struct mm_context *ctx;
	struct mm_struct *mm;
	unsigned long addr;
	int err;

	if (mm_context_create(NULL, &ctx) || mm_create(ctx, NULL, &mm))
		return 1;
	err = mm_mmap(mm, &args, &addr) || mm_mprotect(mm, addr + (2 << 12), 2 << 12, PROT_READ) ||
	      mm_munmap(mm, addr + (5 << 12), 1 << 12) || mm_for_each_vma(mm, print, stdout);
	mm_put(mm);
	mm_context_destroy(ctx);
	return err;
}
