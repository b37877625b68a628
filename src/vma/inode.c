/* SPDX-License-Identifier: MIT */
/* The contents of an inode: how long they are, and which pages of them are at hand. */
#include "vma/vma.h"

/* The newest first. */
static void shmem_list_add(struct address_space *mapping)
{
	struct mm_context *ctx = mapping->ctx;

	pf_mutex_lock(&ctx->shmem_lock);
	mapping->shmem_next = ctx->shmem_list;
	if (mapping->shmem_next)
		mapping->shmem_next->shmem_link = &mapping->shmem_next;
	mapping->shmem_link = &ctx->shmem_list;
	ctx->shmem_list = mapping;
	pf_mutex_unlock(&ctx->shmem_lock);
}

static void shmem_list_del(struct address_space *mapping)
{
	pf_mutex_lock(&mapping->ctx->shmem_lock);
	pf_assert(*mapping->shmem_link == mapping);
	*mapping->shmem_link = mapping->shmem_next;
	if (mapping->shmem_next)
		mapping->shmem_next->shmem_link = mapping->shmem_link;
	pf_mutex_unlock(&mapping->ctx->shmem_lock);
}

static bool get_not_zero(struct address_space *mapping)
{
	unsigned long refs = atomic_load(&mapping->refs);

	while (refs)
		if (atomic_compare_exchange_weak(&mapping->refs, &refs, refs + 1))
			return true;
	return false;
}

struct address_space *shmem_list_next(struct mm_context *ctx, struct address_space *prev)
{
	struct address_space *mapping;

	pf_mutex_lock(&ctx->shmem_lock);
	mapping = prev ? prev->shmem_next : ctx->shmem_list;
	/* Who has no holder any more gives its slots back by itself. */
	while (mapping && !get_not_zero(mapping))
		mapping = mapping->shmem_next;
	pf_mutex_unlock(&ctx->shmem_lock);
	address_space_put(prev);
	return mapping;
}

struct address_space *address_space_create(struct mm_context *ctx, const struct vm_file_info *info)
{
	struct address_space *mapping;

	mapping = pf_alloc(ctx->pf, PF_INODE, sizeof(*mapping), _Alignof(struct address_space));
	if (!mapping)
		return NULL;
	mapping->ctx = ctx;
	atomic_store(&mapping->refs, 1);
	atomic_store(&mapping->i_size, info->sized ? info->bytes : I_SIZE_ENDLESS);
	mt_init_flags(&mapping->i_pages, MT_FLAGS_USE_RCU);
	mt_set_platform(&mapping->i_pages, ctx->pf);
	mt_init(&mapping->i_promised);
	mt_set_platform(&mapping->i_promised, ctx->pf);
	pf_mutex_init(&mapping->i_mmap_lock);
	pf_mutex_init(&mapping->i_change_lock);
	pf_mutex_init(&mapping->i_lock);
	mapping->shmem = info->kind == VM_FILE_SHMEM;
	mapping->cached = info->cached;
	mapping->read_page = info->read_page;
	mapping->read_page_arg = info->read_page_arg;
	mapping->write_page = info->write_page;
	if (mapping->shmem)
		shmem_list_add(mapping);
	return mapping;
}

void address_space_get(struct address_space *mapping)
{
	pf_assert(atomic_load(&mapping->refs) > 0);
	atomic_fetch_add(&mapping->refs, 1);
}

void address_space_put(struct address_space *mapping)
{
	struct mm_context *ctx;

	if (!mapping || atomic_fetch_sub(&mapping->refs, 1) != 1)
		return;
	ctx = mapping->ctx;
	if (ctx->a_ops)
		ctx->a_ops->evict(mapping);
	if (mapping->shmem)
		shmem_list_del(mapping);
	/* Entries may be left in the index, of what has been given back. */
	pf_warn_on_once(ctx->pf, atomic_load(&mapping->nr_pages) != 0, "an inode of %lu pages is freed",
			atomic_load(&mapping->nr_pages));
	mtree_destroy(&mapping->i_pages);
	mtree_destroy(&mapping->i_promised);
	huge_give_back(ctx, mapping->promised);
	pf_assert(!mapping->i_mmap);
	pf_mutex_destroy(&mapping->i_mmap_lock);
	pf_mutex_destroy(&mapping->i_change_lock);
	pf_mutex_destroy(&mapping->i_lock);
	pf_free(ctx->pf, PF_INODE, mapping);
}

pgoff_t i_size_pages(const struct address_space *mapping)
{
	uint64_t bytes = atomic_load_explicit(&mapping->i_size, memory_order_acquire);

	return (bytes >> PAGE_SHIFT) + ((bytes & ~PAGE_MASK) != 0);
}

void i_size_write(struct address_space *mapping, uint64_t bytes)
{
	mapping->changes++;
	atomic_store_explicit(&mapping->i_size, bytes, memory_order_release);
}

void *i_pages_load(struct address_space *mapping, pgoff_t index)
{
	pf_assert(pf_rcu_read_lock_held());
	return mtree_load(&mapping->i_pages, index);
}

void *i_pages_find(struct address_space *mapping, pgoff_t *index, pgoff_t last)
{
	MA_STATE(mas, &mapping->i_pages, *index, *index);
	void *entry;

	pf_assert(pf_rcu_read_lock_held());
	entry = mas_find(&mas, last);
	if (entry)
		*index = mas.index;
	return entry;
}

int i_pages_insert(struct address_space *mapping, pgoff_t index, void *entry)
{
	int err = mtree_insert(&mapping->i_pages, index, entry, GFP_KERNEL);

	if (!err && !xa_is_value(entry))
		atomic_fetch_add(&mapping->nr_pages, 1);
	return err;
}

bool i_pages_replace(struct address_space *mapping, pgoff_t index, void *old, void *entry)
{
	MA_STATE(mas, &mapping->i_pages, index, index);
	bool found;

	pf_assert(old);
	mtree_lock(&mapping->i_pages);
	found = mas_walk(&mas) == old;
	if (found) {
		/* One entry of exactly this range: neither of the two needs memory. */
		pf_assert(mas.index == index && mas.last == index);
		if (entry)
			mas_store(&mas, entry);
		else
			mas_erase(&mas);
		atomic_fetch_add(&mapping->nr_pages,
				 (entry && !xa_is_value(entry)) - (unsigned long)!xa_is_value(old));
	}
	mtree_unlock(&mapping->i_pages);
	return found;
}
