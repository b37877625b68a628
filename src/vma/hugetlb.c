/* SPDX-License-Identifier: MIT */
/*
 * Memory in huge pages of 2 MiB (MAP_HUGETLB): a pool that the context has, and
 * promises on it. A mapping is promised its pages when it is made, so that no
 * touch has to fail later:
 *
 *   private   the mapping's own promise, which goes with what is unmapped
 *   shared    the file's: each page once, however often it is mapped, until the file goes or a hole takes the page
 *
 * Such mappings can be cut at multiples of 2 MiB only.
 */
#include "vma/vma.h"

/* @replaced pages are about to be given back. */
static int take(struct mm_context *ctx, unsigned long pages, unsigned long replaced)
{
	unsigned long limit = ctx->opt.huge_pages < LONG_MAX ? ctx->opt.huge_pages + replaced : LONG_MAX;
	long now = atomic_load(&ctx->huge_promised);

	/* Nobody sees a promise that is taken back: beside one who asks for too much, what fits is promised. */
	do {
		pf_assert(now >= 0);
		if (pages > limit || (unsigned long)now > limit - pages)
			return -ENOSPC;
	} while (!atomic_compare_exchange_weak(&ctx->huge_promised, &now, now + (long)pages));
	return 0;
}

void huge_give_back(struct mm_context *ctx, unsigned long pages)
{
	long now = atomic_fetch_sub(&ctx->huge_promised, (long)pages) - (long)pages;

	pf_warn_on_once(ctx->pf, now < 0, "%ld huge pages are promised after %lu were given back", now, pages);
}

void huge_move(struct mm_context *ctx, unsigned long pages)
{
	atomic_fetch_add(&ctx->huge_promised, (long)pages);
}

/* Pages of [first, last] that the file is not promised yet. i_lock. */
static unsigned long missing(struct address_space *mapping, unsigned long first, unsigned long last)
{
	MA_STATE(mas, &mapping->i_promised, first, first);
	unsigned long count = last - first + 1, from, upto;
	void *entry;

	mas_lock(&mas);
	mas_for_each(&mas, entry, last) {
		from = mas.index > first ? mas.index : first;
		upto = mas.last < last ? mas.last : last;
		count -= upto - from + 1;
	}
	mas_unlock(&mas);
	return count;
}

int huge_promise_prepare(struct huge_promise *promise, struct vm_file *file, pgoff_t pgoff, unsigned long pages,
			 bool shared, unsigned long replaced)
{
	unsigned long first = pgoff >> HPAGE_ORDER, last = first + (pages >> HPAGE_ORDER) - 1;
	struct address_space *mapping = file->mapping;
	int err;

	*promise = (struct huge_promise){ .mapping = mapping, .pages = pages >> HPAGE_ORDER };
	pf_assert(pages && !(pages & ((1UL << HPAGE_ORDER) - 1)));
	if (!shared) {
		err = take(mapping->ctx, promise->pages, replaced >> HPAGE_ORDER);
		if (err)
			promise->mapping = NULL;
		return err;
	}
	pf_mutex_lock(&mapping->i_lock);
	promise->shared = true;
	promise->pages = missing(mapping, first, last);
	mas_init(&promise->mas, &mapping->i_promised, first);
	mas_set_range(&promise->mas, first, last);
	err = take(mapping->ctx, promise->pages, replaced >> HPAGE_ORDER);
	if (err)
		goto unlock;
	mas_lock(&promise->mas);
	if (!mas_preallocate(&promise->mas, xa_mk_value(1), GFP_KERNEL))
		return 0;
	mas_unlock(&promise->mas);
	huge_give_back(mapping->ctx, promise->pages);
	err = -ENOMEM;
unlock:
	pf_mutex_unlock(&mapping->i_lock);
	*promise = (struct huge_promise){ 0 };
	return err;
}

void huge_promise_commit(struct huge_promise *promise)
{
	if (!promise->mapping || !promise->shared)
		return;
	mas_store_prealloc(&promise->mas, xa_mk_value(1));
	mas_unlock(&promise->mas);
	promise->mapping->promised += promise->pages;
	pf_mutex_unlock(&promise->mapping->i_lock);
}

void huge_promise_cancel(struct huge_promise *promise)
{
	if (!promise->mapping)
		return;
	huge_give_back(promise->mapping->ctx, promise->pages);
	if (!promise->shared)
		return;
	mas_destroy(&promise->mas);
	mas_unlock(&promise->mas);
	pf_mutex_unlock(&promise->mapping->i_lock);
}

int huge_promise_page(struct address_space *mapping, pgoff_t index)
{
	int err = 0;

	/* Who maps over huge pages has the i_lock when it waits for the mapping's, which we have. */
	if (!mapping->ctx->opt.huge_pages || !pf_mutex_trylock(&mapping->i_lock))
		return 0;
	if (mtree_load(&mapping->i_promised, index))
		goto unlock;
	err = take(mapping->ctx, 1, 0);
	if (err)
		goto unlock;
	err = mtree_store_range(&mapping->i_promised, index, index, xa_mk_value(1), GFP_KERNEL);
	if (err)
		huge_give_back(mapping->ctx, 1);
	else
		mapping->promised++;
unlock:
	pf_mutex_unlock(&mapping->i_lock);
	return err;
}

void huge_promise_drop(struct address_space *mapping, pgoff_t index)
{
	pf_mutex_lock(&mapping->i_lock);
	if (mtree_load(&mapping->i_promised, index) &&
	    !mtree_store_range(&mapping->i_promised, index, index, NULL, GFP_KERNEL)) {
		pf_assert(mapping->promised > 0);
		mapping->promised--;
		huge_give_back(mapping->ctx, 1);
	}
	pf_mutex_unlock(&mapping->i_lock);
}

int vm_file_create_huge(struct mm_context *ctx, uint64_t bytes, struct vm_file **out)
{
	struct vm_file_info info = {
		.size = sizeof(info), .dev_minor = 1, .kind = VM_FILE_HUGETLB, .readable = true, .writable = true,
		.name = "/anon_hugepage (deleted)", .sized = true, .bytes = bytes,
	};

	return vm_file_create(ctx, &info, out);
}
