/* SPDX-License-Identifier: MIT */
/*
 * The identity of private pages.
 *
 * A VMA that has been written to owns an anon_vma, alone or together with the
 * VMAs that it was cut from, and is linked to those of its ancestors, whose pages it
 * may still share. After fork:
 *
 *   parent   chain: P          own: P
 *   child    chain: C -> P     own: C (parent of C: P)
 *
 * A child may take over an ancestor's anon_vma that no VMA owns any more and
 * that has at most one child, so that chains of fork and exit do not grow
 * without end.
 *
 * The context's anon_lock guards everything here.
 */
#include "vma/vma.h"

static void anon_lock(struct mm_context *ctx)
{
	pf_mutex_lock(&ctx->anon_lock);
}

static void anon_unlock(struct mm_context *ctx)
{
	pf_mutex_unlock(&ctx->anon_lock);
}

unsigned long anon_vma_chain_length(const struct vm_area_struct *vma)
{
	unsigned long length = 0;

	for (const struct anon_vma_chain *link = vma->chain; link; link = link->older)
		length++;
	return length;
}

struct anon_vma_chain *anon_links_alloc(struct mm_struct *mm, unsigned long count)
{
	struct anon_vma_chain *links = NULL, *link;

	while (count--) {
		link = mm->spares.links;
		if (link)
			mm->spares.links = link->older;
		else
			link = pf_alloc(mm->ctx->pf, PF_ANON_CHAIN, sizeof(*link),
					_Alignof(struct anon_vma_chain));
		if (!link) {
			anon_links_free(mm, links);
			return NULL;
		}
		link->older = links;
		links = link;
	}
	return links;
}

void anon_links_free(struct mm_struct *mm, struct anon_vma_chain *links)
{
	struct anon_vma_chain *older;

	for (; links; links = older) {
		older = links->older;
		pf_free(mm->ctx->pf, PF_ANON_CHAIN, links);
	}
}

/* Requires the anon_lock. The link becomes the newest of @vma. */
static void anon_vma_link(struct vm_area_struct *vma, struct anon_vma_chain *link, struct anon_vma *anon_vma)
{
	link->anon_vma = anon_vma;
	link->older = vma->chain;
	link->vma = vma;
	vma->chain = link;
	anon_vma->nr_links++;
}

struct anon_vma *anon_vma_alloc(struct mm_struct *mm)
{
	struct anon_vma *anon_vma = mm->spares.anon_vmas;

	if (anon_vma) {
		mm->spares.anon_vmas = anon_vma->parent;
		anon_vma->parent = NULL;
	} else {
		anon_vma = pf_alloc(mm->ctx->pf, PF_ANON_VMA, sizeof(*anon_vma), _Alignof(struct anon_vma));
	}
	if (anon_vma)
		anon_vma->id = atomic_fetch_add(&mm->ctx->next_id, 1) + 1;
	return anon_vma;
}

/*
 * Requires the anon_lock. An anon_vma lives while a VMA is linked to it or another has it as
 * its parent; freeing one may free its parents.
 */
static void anon_vma_release(struct mm_context *ctx, struct anon_vma *anon_vma)
{
	struct anon_vma *parent;

	while (!anon_vma->nr_links) {
		parent = anon_vma->parent;
		if (anon_vma->nr_children != (parent == anon_vma))
			return;
		pf_assert(anon_vma->nr_active == 0 && !anon_vma->rb_root);
		pf_free(ctx->pf, PF_ANON_VMA, anon_vma);
		if (parent == anon_vma)
			return;
		parent->nr_children--;
		anon_vma = parent;
	}
}

/* Could pages of @vma share the anon_vma of @near, which meets it? Protection need not be equal. */
static struct anon_vma *reusable_anon_vma(const struct vm_area_struct *lower,
					  const struct vm_area_struct *upper,
					  const struct vm_area_struct *near)
{
	if (!near->anon_vma || near->chain->older)
		return NULL;
	if (lower->vm_end != upper->vm_start || lower->vm_file != upper->vm_file)
		return NULL;
	if ((lower->vm_flags ^ upper->vm_flags) & ~VM_ACCESS_FLAGS)
		return NULL;
	if (upper->vm_pgoff != vma_pgoff_at(lower, lower->vm_end))
		return NULL;
	return near->anon_vma;
}

static struct anon_vma *find_mergeable_anon_vma(struct mm_struct *mm, struct vm_area_struct *vma)
{
	struct anon_vma *anon_vma = NULL;
	struct vm_area_struct *next, *prev;
	struct vma_iterator vmi;

	vma_iter_init(&vmi, mm, vma->vm_end);
	next = mas_walk(&vmi.mas);
	if (next)
		anon_vma = reusable_anon_vma(vma, next, next);
	if (anon_vma)
		return anon_vma;
	vma_iter_set(&vmi, vma->vm_start);
	prev = vma_prev(&vmi);
	return prev ? reusable_anon_vma(prev, vma, prev) : NULL;
}

/* Requires the anon_lock. */
static void anon_vma_set(struct vm_area_struct *vma, struct anon_vma *anon_vma)
{
	anon_vma->nr_active++;
	/* A fault that has @vma locked alone follows it without the anon_lock. */
	__atomic_store_n(&vma->anon_vma, anon_vma, __ATOMIC_RELEASE);
}

/* The anon_vma that @vma shall have, with the anon_lock held on success. NULL: no memory, or another was quicker. */
static struct anon_vma *anon_vma_for(struct mm_struct *mm, struct vm_area_struct *vma)
{
	struct anon_vma *anon_vma, *made;

	anon_lock(mm->ctx);
	anon_vma = vma->anon_vma ? NULL : find_mergeable_anon_vma(mm, vma);
	if (anon_vma || vma->anon_vma)
		goto found;
	anon_unlock(mm->ctx);
	made = anon_vma_alloc(mm);
	if (!made)
		return NULL;
	anon_lock(mm->ctx);
	if (!vma->anon_vma) {
		made->parent = made;
		made->nr_children = 1;
		return made;
	}
	pf_free(mm->ctx->pf, PF_ANON_VMA, made);
found:
	if (!anon_vma)
		anon_unlock(mm->ctx);
	return anon_vma;
}

int anon_vma_prepare(struct mm_struct *mm, struct vm_area_struct *vma)
{
	struct anon_vma_chain *link;
	struct anon_vma *anon_vma;

	pf_assert(pf_rwsem_held(&mm->mmap_lock) && vma->vm_mm == mm);
	if (vma_anon_vma(vma))
		return 0;
	link = anon_links_alloc(mm, 1);
	if (!link)
		return -ENOMEM;
	anon_vma = anon_vma_for(mm, vma);
	if (!anon_vma) {
		anon_links_free(mm, link);
		return vma_anon_vma(vma) ? 0 : -ENOMEM;
	}
	anon_vma_link(vma, link, anon_vma);
	rmap_enter_link(link);
	anon_vma_set(vma, anon_vma);
	anon_unlock(mm->ctx);
	return 0;
}

/* Requires the anon_lock. Copies @src's chain to @dst, in the same order. */
static void chain_copy(struct vm_area_struct *dst, struct vm_area_struct *src, struct anon_vma_chain *links)
{
	struct anon_vma_chain **tail = &dst->chain;
	struct anon_vma_chain *link;

	pf_assert(!dst->chain);
	for (const struct anon_vma_chain *from = src->chain; from; from = from->older) {
		link = links;
		pf_assert(link);
		links = link->older;
		link->anon_vma = from->anon_vma;
		link->vma = dst;
		link->anon_vma->nr_links++;
		link->older = NULL;
		*tail = link;
		tail = &link->older;
	}
	pf_assert(!links);
}

void anon_vma_clone_locked(struct vm_area_struct *dst, struct vm_area_struct *src, struct anon_vma_chain *links)
{
	pf_assert(dst != src && !dst->anon_vma);
	if (!src->chain)
		return;
	chain_copy(dst, src, links);
	if (src->anon_vma)
		anon_vma_set(dst, src->anon_vma);
}

void anon_vma_clone(struct vm_area_struct *dst, struct vm_area_struct *src, struct anon_vma_chain *links)
{
	struct mm_context *ctx = dst->vm_mm->ctx;

	if (!src->chain)
		return;
	anon_lock(ctx);
	anon_vma_clone_locked(dst, src, links);
	anon_unlock(ctx);
}

/* Requires the anon_lock. The oldest ancestor's anon_vma that a child may take over. */
static struct anon_vma *reusable_ancestor(const struct vm_area_struct *vma)
{
	struct anon_vma *found = NULL;

	for (const struct anon_vma_chain *link = vma->chain; link; link = link->older)
		if (link->anon_vma->nr_children < 2 && link->anon_vma->nr_active == 0)
			found = link->anon_vma;
	return found;
}

int anon_vma_fork(struct vm_area_struct *child, struct vm_area_struct *parent)
{
	struct mm_struct *mm = child->vm_mm;
	struct mm_context *ctx = mm->ctx;
	struct anon_vma_chain *links, *own_link;
	struct anon_vma *own;

	child->chain = NULL;
	child->anon_vma = NULL;
	if (!parent->anon_vma)
		return 0;
	links = anon_links_alloc(mm, anon_vma_chain_length(parent));
	own_link = anon_links_alloc(mm, 1);
	own = anon_vma_alloc(mm);
	if (!links || !own_link || !own) {
		anon_links_free(mm, links);
		anon_links_free(mm, own_link);
		pf_free(ctx->pf, PF_ANON_VMA, own);
		return -ENOMEM;
	}

	anon_lock(ctx);
	chain_copy(child, parent, links);
	child->anon_vma = reusable_ancestor(child);
	if (!child->anon_vma) {
		own->parent = parent->anon_vma;
		parent->anon_vma->nr_children++;
		anon_vma_link(child, own_link, own);
		child->anon_vma = own;
		own = NULL;
		own_link = NULL;
	}
	child->anon_vma->nr_active++;
	anon_unlock(ctx);
	anon_links_free(mm, own_link);
	pf_free(ctx->pf, PF_ANON_VMA, own);
	return 0;
}

void unlink_anon_vmas(struct mm_struct *mm, struct vm_area_struct *vma)
{
	struct anon_vma_chain *link, *older;

	if (!vma->chain)
		return;
	anon_lock(mm->ctx);
	if (vma->anon_vma)
		vma->anon_vma->nr_active--;
	vma->anon_vma = NULL;
	for (link = vma->chain; link; link = older) {
		older = link->older;
		pf_assert(link->anon_vma->nr_links > 0 && link->vma == vma);
		rmap_leave_link(link);
		link->anon_vma->nr_links--;
		anon_vma_release(mm->ctx, link->anon_vma);
	}
	anon_unlock(mm->ctx);
	anon_links_free(mm, vma->chain);
	vma->chain = NULL;
}
