/* SPDX-License-Identifier: MIT */
/* A device for an emulator: one register that adds up. No page ever holds it: each access is the driver's. */
#include <errno.h>
#include <samara/mm.h>
#include <stdio.h>
#include <sys/mman.h>

/* What has an access hook and no fault hook is emulated throughout. */
static int adds_up(void *sum, uint64_t offset, void *buf, size_t len, bool write)
{
	unsigned int *value = buf;

	if (offset || len != sizeof(*value))
		return -EIO;
	*(write ? (unsigned int *)sum : value) = *(unsigned int *)sum + (write ? *value : 0);
	return 0;
}

int main(void)
{
	const struct vm_operations ops = { .access = adds_up };
	unsigned int sum = 0, value = 20;
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 64 };
	struct vm_file_info info = { .size = sizeof(info), .kind = VM_FILE_DEVICE, .readable = true,
				     .writable = true, .ops = &ops, .ops_arg = &sum };
	struct mm_mmap_args args = { .len = 4096, .prot = PROT_READ | PROT_WRITE, .flags = MAP_SHARED };
	struct mm_context *ctx;
	struct mm_struct *mm;
	unsigned long at;

	if (mm_context_create(&opt, &ctx) || mm_create(ctx, NULL, &mm) || vm_file_create(ctx, &info, &args.file) ||
	    mm_mmap(mm, &args, &at) || mm_write(mm, at, &value, 4, NULL) || mm_read(mm, at, &value, 4, NULL))
		return 1;
	printf("the register: %u, next to it: fault %d\n", value, mm_read(mm, at + 4, &value, 4, NULL));
	vm_file_put(args.file);
	mm_put(mm);
	mm_context_destroy(ctx);
	return 0;
}
