/* SPDX-License-Identifier: MIT */
/* VMAs as objects, lookups by address, iterators, and single changes of the tree. */
#include "vma/vma.h"

#include "tree/near.h"
#include "tree/reserve.h"

/* Locks ------------------------------------------------------------------- */

void mmap_read_lock(struct mm_struct *mm)
{
	pf_down_read(&mm->mmap_lock);
}

void mmap_read_unlock(struct mm_struct *mm)
{
	pf_up_read(&mm->mmap_lock);
}

void mmap_write_lock(struct mm_struct *mm)
{
	pf_down_write(&mm->mmap_lock);
}

void mmap_write_unlock(struct mm_struct *mm)
{
	pf_assert(!mm->spares.active);
	pf_assert_full(validate_mm(mm) == 0);
	vma_end_write_all(mm);
	pf_up_write(&mm->mmap_lock);
}

void mmap_write_downgrade(struct mm_struct *mm)
{
	/* Not validated here: pages of mappings that have gone may be there still. */
	pf_assert(!mm->spares.active);
	vma_end_write_all(mm);
	pf_downgrade_write(&mm->mmap_lock);
}

void mmap_assert_locked(struct mm_struct *mm)
{
	pf_assert(pf_rwsem_held(&mm->mmap_lock) || pf_rcu_read_lock_held());
}

void mmap_assert_write_locked(struct mm_struct *mm)
{
	pf_assert(pf_rwsem_write_held(&mm->mmap_lock));
}

/* Objects ----------------------------------------------------------------- */

/* All but the lock, which those who find a VMA after its end may be looking at. */
#define VMA_FIELDS offsetof(struct vm_area_struct, vm_start)

static void clear_fields(struct vm_area_struct *vma)
{
	memset((char *)vma + VMA_FIELDS, 0, sizeof(*vma) - VMA_FIELDS);
}

static void copy_fields(struct vm_area_struct *dst, const struct vm_area_struct *src)
{
	memcpy((char *)dst + VMA_FIELDS, (const char *)src + VMA_FIELDS, sizeof(*dst) - VMA_FIELDS);
}

/* Memory for a VMA, which holds anything but for its lock. */
static struct vm_area_struct *vma_take(struct mm_struct *mm)
{
	struct vm_area_struct *vma = mm->spares.vmas;

	if (vma)
		mm->spares.vmas = vma->set_next;
	else
		vma = pf_stock_alloc(&mm->vma_stock);
	pf_assert(!vma || vma_is_detached(vma));
	return vma;
}

struct vm_area_struct *vma_alloc(struct mm_struct *mm)
{
	struct vm_area_struct *vma = vma_take(mm);

	if (!vma)
		return NULL;
	clear_fields(vma);
	vma->vm_mm = mm;
	return vma;
}

struct vm_area_struct *vma_copy(struct mm_struct *mm, const struct vm_area_struct *from)
{
	struct vm_area_struct *vma = vma_take(mm);

	if (!vma)
		return NULL;
	copy_fields(vma, from);
	vma->vm_mm = mm;
	vma->chain = NULL;
	vma->anon_vma = NULL;
	vma->set_next = NULL;
	vma->file_node.end = 0;
	if (vma->vm_file)
		vm_file_get(vma->vm_file);
	vma_name_get(vma->name);
	vma_open(vma);
	return vma;
}

struct vm_area_struct *vma_dup(struct mm_struct *mm, struct vm_area_struct *vma)
{
	unsigned long links = anon_vma_chain_length(vma);
	struct anon_vma_chain *chain = anon_links_alloc(mm, links);
	struct vm_area_struct *new;

	if (links && !chain)
		return NULL;
	new = vma_copy(mm, vma);
	if (!new) {
		anon_links_free(mm, chain);
		return NULL;
	}
	anon_vma_clone(new, vma, chain);
	return new;
}

void vma_free(struct mm_struct *mm, struct vm_area_struct *vma)
{
	pf_assert(vma->vm_mm == mm && !vma->set_next && vma_is_detached(vma));
	vma_unlink(mm, vma);
	vma_close(vma);
	vm_file_put(vma->vm_file);
	vma_name_put(mm->ctx, vma->name);
	vma->vm_mm = NULL;
	pf_stock_free(&mm->vma_stock, vma);
}

void vma_free_plain(struct mm_struct *mm, const struct vma_set *set)
{
	pf_assert(set->count && vma_is_detached(set->first) && vma_is_detached(set->last));
	pf_stock_free_list(&mm->vma_stock, set->first, set->last, set->count);
}

void vma_set_start(struct vm_area_struct *vma, unsigned long start)
{
	pf_assert(!(start & ~PAGE_MASK));
	vma->vm_pgoff = vma_pgoff_at(vma, start);
	vma->vm_start = start;
}

void vma_set_file(struct vm_area_struct *vma, struct vm_file *file)
{
	if (file)
		vm_file_get(file);
	vma->vm_file = file;
	vma_open(vma);
}

struct vma_name *vma_name_create(struct mm_context *ctx, const char *text)
{
	size_t len = strlen(text) + 1;
	struct vma_name *name = pf_alloc(ctx->pf, PF_OTHER, sizeof(*name) + len, _Alignof(struct vma_name));

	if (!name)
		return NULL;
	atomic_store(&name->refs, 1);
	memcpy(name->text, text, len);
	return name;
}

void vma_name_get(struct vma_name *name)
{
	if (name)
		atomic_fetch_add(&name->refs, 1);
}

bool vma_name_same(const struct vma_name *a, const struct vma_name *b)
{
	return a == b || (a && b && !strcmp(a->text, b->text));
}

void vma_set_name(struct vm_area_struct *vma, struct vma_name *name)
{
	vma_name_get(name);
	vma_name_put(vma->vm_mm->ctx, vma->name);
	vma->name = name;
}

void vma_name_put(struct mm_context *ctx, struct vma_name *name)
{
	if (name && atomic_fetch_sub(&name->refs, 1) == 1)
		pf_free(ctx->pf, PF_OTHER, name);
}

/* Lookups ----------------------------------------------------------------- */

struct vm_area_struct *find_vma(struct mm_struct *mm, unsigned long addr)
{
	return find_vma_intersection(mm, addr, 0);
}

struct vm_area_struct *find_vma_intersection(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	unsigned long index = start;

	mmap_assert_locked(mm);
	/* An end of 0 wraps to the last address on purpose. */
	return mt_find(&mm->mm_mt, &index, end - 1);
}

struct vm_area_struct *find_vma_prev(struct mm_struct *mm, unsigned long addr, struct vm_area_struct **prev)
{
	struct vm_area_struct *vma;
	struct vma_iterator vmi;

	mmap_assert_locked(mm);
	vma_iter_init(&vmi, mm, addr);
	vma = mas_walk(&vmi.mas);
	*prev = mas_prev(&vmi.mas, 0);
	return vma ? vma : find_vma(mm, addr);
}

void vma_around(struct mm_struct *mm, unsigned long addr, struct vma_around *around)
{
	struct mt_near near;

	mmap_assert_write_locked(mm);
	mt_near(&mm->mm_mt, addr, &near);
	around->prev = near.before;
	around->vma = near.at;
	around->next = near.after;
	/* A change writes to its second line, too: both are on their way at once. */
	if (near.at)
		__builtin_prefetch(&((struct vm_area_struct *)near.at)->chain, 1);
	around->prev_end = near.before ? near.before_last + 1 : 0;
	around->next_start = near.after ? near.after_first : 0;
}

struct vm_area_struct *vma_lookup(struct mm_struct *mm, unsigned long addr)
{
	mmap_assert_locked(mm);
	return mtree_load(&mm->mm_mt, addr);
}

/* Iterators --------------------------------------------------------------- */

void vma_iter_init(struct vma_iterator *vmi, struct mm_struct *mm, unsigned long addr)
{
	mas_init(&vmi->mas, &mm->mm_mt, addr);
	vmi->set = NULL;
	vmi->at = NULL;
}

void vma_iter_init_set(struct vma_iterator *vmi, const struct vma_set *set)
{
	*vmi = (struct vma_iterator){ .set = set };
}

void vma_iter_set(struct vma_iterator *vmi, unsigned long addr)
{
	if (!vmi->set) {
		mas_set(&vmi->mas, addr);
		return;
	}
	vmi->at = NULL;
	vmi->index = 0;
	while (vmi->index < addr && vma_find(vmi, 0))
		;
}

struct vm_area_struct *vma_find(struct vma_iterator *vmi, unsigned long end)
{
	if (!vmi->set)
		return mas_find(&vmi->mas, end - 1);
	if (vmi->index >= vmi->set->count || (end && vmi->index >= end))
		return NULL;
	vmi->at = vmi->at ? vmi->at->set_next : vmi->set->first;
	vmi->index++;
	return vmi->at;
}

struct vm_area_struct *vma_next(struct vma_iterator *vmi)
{
	return vma_find(vmi, 0);
}

struct vm_area_struct *vma_prev(struct vma_iterator *vmi)
{
	pf_assert(!vmi->set);
	return mas_prev(&vmi->mas, 0);
}

/* Changes of the tree ----------------------------------------------------- */

int vma_store_prepare(struct vma_store *store, struct mm_struct *mm, unsigned long start, unsigned long end,
		      struct vm_area_struct *vma)
{
	int err;

	pf_assert(start < end);
	mas_init(&store->mas, &mm->mm_mt, start);
	mas_set_range(&store->mas, start, end - 1);
	store->vma = vma;
	err = mas_preallocate(&store->mas, vma, GFP_KERNEL);
	store->prepared = !err;
	return err ? -ENOMEM : 0;
}

void vma_store_commit(struct vma_store *store)
{
	pf_assert(store->prepared);
	mas_store_prealloc(&store->mas, store->vma);
	store->prepared = false;
}

int vma_store_now(struct mm_struct *mm, unsigned long start, unsigned long end, struct vm_area_struct *vma)
{
	pf_assert(vma && start < end);
	mmap_assert_write_locked(mm);
	return mt_put(&mm->mm_mt, start, end - 1, vma);
}

int vma_store_over(struct mm_struct *mm, unsigned long start, unsigned long end, struct vm_area_struct *vma)
{
	const struct mt_cut cut = { start, end - 1, vma, NULL };

	pf_assert(vma && start < end);
	mmap_assert_write_locked(mm);
	return mt_cut(&mm->mm_mt, &cut, end - 1);
}

int vma_store_cut(struct vm_area_struct *vma, struct vm_area_struct *middle, struct vm_area_struct *high)
{
	const struct mt_cut cut = { middle->vm_start, middle->vm_end - 1, middle, high };
	struct mm_struct *mm = vma->vm_mm;

	mmap_assert_write_locked(mm);
	pf_assert(vma->vm_start <= middle->vm_start && middle->vm_end <= vma->vm_end);
	pf_assert(!high || high->vm_start == middle->vm_end);
	return mt_cut(&mm->mm_mt, &cut, vma->vm_end - 1);
}

void vma_store_cancel(struct vma_store *store)
{
	if (store->prepared)
		mas_destroy(&store->mas);
	store->prepared = false;
}

void vma_store_replace(struct mm_struct *mm, struct vm_area_struct *vma)
{
	int err = mt_put(&mm->mm_mt, vma->vm_start, vma->vm_end - 1, vma);

	pf_warn_on_once(mm->ctx->pf, err, "replacing the entry %#lx-%#lx failed: %d", vma->vm_start,
			vma->vm_end, err);
}

void vma_store_clear(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	MA_STATE(mas, &mm->mm_mt, start, end - 1);
	int err = mas_store_gfp(&mas, NULL, GFP_KERNEL);

	pf_warn_on_once(mm->ctx->pf, err, "clearing %#lx-%#lx failed: %d", start, end, err);
}

void vma_store_erase(struct mm_struct *mm, struct vm_area_struct *vma)
{
	void *erased = mt_take(&mm->mm_mt, vma->vm_start);

	pf_warn_on_once(mm->ctx->pf, erased != vma, "erasing %#lx-%#lx found %p", vma->vm_start, vma->vm_end, erased);
}

/* Reserve ----------------------------------------------------------------- */

static int reserve_vmas(struct mm_struct *mm, unsigned long count)
{
	struct vm_area_struct *vma;

	while (count--) {
		vma = pf_stock_alloc(&mm->vma_stock);
		if (!vma)
			return -ENOMEM;
		vma->set_next = mm->spares.vmas;
		mm->spares.vmas = vma;
	}
	return 0;
}

static int reserve_anon_vmas(struct mm_struct *mm, unsigned long count)
{
	struct anon_vma *anon_vma, *taken = NULL;
	int err = 0;

	while (count--) {
		anon_vma = anon_vma_alloc(mm);
		if (!anon_vma) {
			err = -ENOMEM;
			break;
		}
		anon_vma->parent = taken;
		taken = anon_vma;
	}
	mm->spares.anon_vmas = taken;
	return err;
}

int vma_reserve(struct mm_struct *mm, const struct vma_needs *needs)
{
	struct anon_vma_chain *links;

	mmap_assert_write_locked(mm);
	pf_assert(!mm->spares.active);
	mm->spares.active = true;
	if (reserve_vmas(mm, needs->vmas))
		goto give_back;
	links = anon_links_alloc(mm, needs->links);
	mm->spares.links = links;
	if (needs->links && !links)
		goto give_back;
	if (reserve_anon_vmas(mm, needs->anon_vmas))
		goto give_back;
	if (mt_reserve(&mm->mm_mt, needs->stores))
		goto give_back;
	return 0;

give_back:
	vma_unreserve(mm);
	return -ENOMEM;
}

void vma_unreserve(struct mm_struct *mm)
{
	struct vma_spares spares = mm->spares;
	struct vm_area_struct *vma;
	struct anon_vma *anon_vma;

	if (!spares.active)
		return;
	mm->spares = (struct vma_spares){ 0 };
	while ((vma = spares.vmas) != NULL) {
		spares.vmas = vma->set_next;
		pf_stock_free(&mm->vma_stock, vma);
	}
	while ((anon_vma = spares.anon_vmas) != NULL) {
		spares.anon_vmas = anon_vma->parent;
		pf_free(mm->ctx->pf, PF_ANON_VMA, anon_vma);
	}
	anon_links_free(mm, spares.links);
	mt_unreserve(&mm->mm_mt);
}

unsigned long vma_longest_chain(struct mm_struct *mm, unsigned long start, unsigned long end,
				unsigned long *count)
{
	unsigned long longest = 0, length;
	struct vm_area_struct *vma;
	struct vma_iterator vmi;

	find_vma_prev(mm, start, &vma);
	if (vma)
		longest = anon_vma_chain_length(vma);
	vma_iter_init(&vmi, mm, start);
	while ((vma = vma_next(&vmi)) != NULL) {
		length = anon_vma_chain_length(vma);
		longest = length > longest ? length : longest;
		if (vma->vm_start >= end)
			break;
		++*count;
	}
	return longest;
}

static bool could_join(const struct vm_area_struct *lower, const struct vm_area_struct *upper)
{
	return lower->vm_end == upper->vm_start && lower->vm_file == upper->vm_file &&
	       vma_pgoff_at(lower, lower->vm_end) == upper->vm_pgoff;
}

/* How often neighbours meet, in [start, end) and at its ends, that other flags could join. */
static unsigned long count_joins(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma, *before;
	struct vma_iterator vmi;
	unsigned long joins = 0;

	find_vma_prev(mm, start, &before);
	vma_iter_init(&vmi, mm, start);
	while ((vma = vma_next(&vmi)) != NULL) {
		joins += before && could_join(before, vma);
		if (vma->vm_start >= end)
			break;
		before = vma;
	}
	return joins;
}

int vma_reserve_for_range(struct mm_struct *mm, unsigned long start, unsigned long end, bool populate)
{
	unsigned long count = 0, longest = vma_longest_chain(mm, start, end, &count);

	if (!count || (count == 1 && !populate))
		return 0;
	/* A split at either end copies a chain; a merge gives one to a neighbour that had none. */
	return vma_reserve(mm, &(struct vma_needs){
		.vmas = 4,
		.links = (count + 5) * longest + (populate ? count + 2 : 0),
		.anon_vmas = populate ? count + 2 : 0,
		/* Flags alone change no entry: only two splits do, and what joins. */
		.stores = count_joins(mm, start, end) + 2,
	});
}
