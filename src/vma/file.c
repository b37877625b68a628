/* SPDX-License-Identifier: MIT */
/* Open file descriptions, as far as mappings care. */
#include "vma/vma.h"

int vm_file_create(struct mm_context *ctx, const struct vm_file_info *info, struct vm_file **out)
{
	size_t name_len;
	struct vm_file *file;
	char *name;

	if (!info || info->size != sizeof(*info) || info->kind > VM_FILE_HUGETLB)
		return -EINVAL;
	/* What an inode's pages are like does not depend on who opens it. */
	if (info->same_inode_as && (info->same_inode_as->ctx != ctx || info->same_inode_as->info.kind != info->kind))
		return -EINVAL;
	name_len = info->name ? strlen(info->name) + 1 : 0;
	file = pf_alloc(ctx->pf, PF_FILE, sizeof(*file) + name_len, _Alignof(struct vm_file));
	if (!file)
		return -ENOMEM;
	file->ctx = ctx;
	file->info = *info;
	file->info.same_inode_as = NULL;
	if (info->same_inode_as) {
		file->mapping = info->same_inode_as->mapping;
		address_space_get(file->mapping);
	} else {
		file->mapping = address_space_create(ctx, info);
	}
	if (!file->mapping) {
		pf_free(ctx->pf, PF_FILE, file);
		return -ENOMEM;
	}
	atomic_store(&file->refs, 1);
	if (info->name) {
		name = (char *)(file + 1);
		memcpy(name, info->name, name_len);
		file->info.name = name;
	}
	atomic_fetch_add(&ctx->users, 1);
	*out = file;
	return 0;
}

/* What a shared anonymous mapping is backed by: memory without a name, of a size known from the start. */
int vm_file_create_shared_anon(struct mm_context *ctx, unsigned long pages, bool noreserve,
			       struct vm_file **out)
{
	struct vm_file_info info = {
		.size = sizeof(info),
		.dev_minor = 1,
		.kind = VM_FILE_SHMEM,
		.readable = true,
		.writable = true,
		.name = "/dev/zero (deleted)",
		.sized = true,
		.bytes = (uint64_t)pages << PAGE_SHIFT,
	};
	unsigned long charge = noreserve ? 0 : pages;
	int err;

	err = vm_enough_memory(ctx, charge);
	if (err)
		return err;
	err = vm_file_create(ctx, &info, out);
	if (err) {
		vm_unacct_memory(ctx, charge);
		return err;
	}
	(*out)->charged = charge;
	(*out)->anonymous = true;
	return 0;
}

void vm_file_get(struct vm_file *file)
{
	pf_assert(atomic_load(&file->refs) > 0);
	atomic_fetch_add(&file->refs, 1);
}

void vm_file_put(struct vm_file *file)
{
	struct mm_context *ctx;

	if (!file || atomic_fetch_sub(&file->refs, 1) != 1)
		return;
	ctx = file->ctx;
	address_space_put(file->mapping);
	vm_unacct_memory(ctx, file->charged);
	pf_free(ctx->pf, PF_FILE, file);
	atomic_fetch_sub(&ctx->users, 1);
}

unsigned long vm_file_refs(const struct vm_file *file)
{
	return atomic_load(&file->refs);
}

uint64_t vm_file_size(const struct vm_file *file)
{
	return atomic_load(&file->mapping->i_size);
}

void vm_file_set_identity(struct vm_file *file, uint32_t dev_major, uint32_t dev_minor, uint64_t ino)
{
	file->info.dev_major = dev_major;
	file->info.dev_minor = dev_minor;
	file->info.ino = ino;
}
