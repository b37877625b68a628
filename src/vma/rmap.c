/* SPDX-License-Identifier: MIT */
/*
 * Reverse maps: from a page to the VMAs that may map it.
 *
 *   file page       mapping->i_mmap     every VMA of the file
 *   anonymous page  anon_vma->rb_root   every link of a chain to it
 *
 * Both are interval trees over page offsets: treaps, ordered by first offset, whose nodes know the end that is
 * highest in their subtree. A node's priority is a hash of its address, so that trees are
 * balanced without a word for it. The offsets are the VMA's own: it leaves its trees before they change, and
 * enters them again after, within one section of the locks, so that no walker misses it.
 *
 *               |----a----|
 *        |--b--|           |------c------|
 *
 * The file's i_mmap_lock is taken before the context's anon_lock. Only VMAs of whole address spaces are in a tree: a
 * child's enter when it is published (promise 4). Where there are no pages nothing is entered at all.
 */
#include "vma/vma.h"

/* Of which kind is a tree? */
enum rmap_kind { RMAP_FILE, RMAP_ANON };

static struct vm_area_struct *node_vma(const struct rmap_node *node, enum rmap_kind kind)
{
	const char *at = (const char *)node;

	if (kind == RMAP_ANON)
		return ((const struct anon_vma_chain *)(at - offsetof(struct anon_vma_chain, node)))->vma;
	return (struct vm_area_struct *)(at - offsetof(struct vm_area_struct, file_node));
}

static pgoff_t node_first(const struct rmap_node *node, enum rmap_kind kind)
{
	return node_vma(node, kind)->vm_pgoff;
}

/* One past the last offset. */
static pgoff_t node_end(const struct rmap_node *node, enum rmap_kind kind)
{
	const struct vm_area_struct *vma = node_vma(node, kind);

	return vma->vm_pgoff + vma_pages(vma);
}

static unsigned long priority(const struct rmap_node *node)
{
	return ((unsigned long)node >> 4) * 0x9e3779b97f4a7c15ul;
}

static bool is_below(const struct rmap_node *a, const struct rmap_node *b, enum rmap_kind kind)
{
	pgoff_t first_a = node_first(a, kind), first_b = node_first(b, kind);

	return first_a < first_b || (first_a == first_b && a < b);
}

static void update(struct rmap_node *node, enum rmap_kind kind)
{
	pgoff_t end = node_end(node, kind);

	if (node->left && node->left->end > end)
		end = node->left->end;
	if (node->right && node->right->end > end)
		end = node->right->end;
	node->end = end;
}

/* What of @tree is below @node, and what is above it. */
static void cut(struct rmap_node *tree, const struct rmap_node *node, struct rmap_node **below,
		struct rmap_node **above, enum rmap_kind kind)
{
	if (!tree) {
		*below = *above = NULL;
	} else if (is_below(tree, node, kind)) {
		*below = tree;
		cut(tree->right, node, &tree->right, above, kind);
		update(tree, kind);
	} else {
		*above = tree;
		cut(tree->left, node, below, &tree->left, kind);
		update(tree, kind);
	}
}

static struct rmap_node *join(struct rmap_node *below, struct rmap_node *above, enum rmap_kind kind)
{
	if (!below || !above)
		return below ? below : above;
	if (priority(below) > priority(above)) {
		below->right = join(below->right, above, kind);
		update(below, kind);
		return below;
	}
	above->left = join(below, above->left, kind);
	update(above, kind);
	return above;
}

static void insert(struct rmap_node **link, struct rmap_node *node, enum rmap_kind kind)
{
	pgoff_t end = node_end(node, kind);

	pf_assert(!node->end);
	while (*link && priority(*link) > priority(node)) {
		if ((*link)->end < end)
			(*link)->end = end;
		link = is_below(node, *link, kind) ? &(*link)->left : &(*link)->right;
	}
	cut(*link, node, &node->left, &node->right, kind);
	update(node, kind);
	*link = node;
}

static void erase_below(struct rmap_node **link, struct rmap_node *node, enum rmap_kind kind)
{
	struct rmap_node *tree = *link;

	pf_assert(tree);
	if (tree == node) {
		*link = join(node->left, node->right, kind);
		return;
	}
	erase_below(is_below(node, tree, kind) ? &tree->left : &tree->right, node, kind);
	update(tree, kind);
}

static void erase(struct rmap_node **link, struct rmap_node *node, enum rmap_kind kind)
{
	erase_below(link, node, kind);
	*node = (struct rmap_node){ .end = 0 };
}

/* In order of the first offset. False: a visit has ended it. */
static bool walk(struct rmap_node *tree, const struct rmap_walk *walked, enum rmap_kind kind)
{
	pgoff_t first;

	if (!tree || tree->end <= walked->first)
		return true;
	if (!walk(tree->left, walked, kind))
		return false;
	first = node_first(tree, kind);
	if (first > walked->last)
		return true;
	if (node_end(tree, kind) > walked->first && !walked->visit(walked->arg, node_vma(tree, kind)))
		return false;
	return walk(tree->right, walked, kind);
}

bool i_mmap_walk(struct address_space *mapping, const struct rmap_walk *walked)
{
	bool all;

	pf_mutex_lock(&mapping->i_mmap_lock);
	all = walk(mapping->i_mmap, walked, RMAP_FILE);
	pf_mutex_unlock(&mapping->i_mmap_lock);
	return all;
}

bool i_mmap_try_walk(struct address_space *mapping, const struct rmap_walk *walked)
{
	if (!pf_mutex_trylock(&mapping->i_mmap_lock))
		return false;
	walk(mapping->i_mmap, walked, RMAP_FILE);
	pf_mutex_unlock(&mapping->i_mmap_lock);
	return true;
}

bool anon_vma_walk_locked(struct anon_vma *anon_vma, const struct rmap_walk *walked)
{
	return walk(anon_vma->rb_root, walked, RMAP_ANON);
}

/* VMAs -------------------------------------------------------------------- */

static struct address_space *mapping_of(const struct vm_area_struct *vma)
{
	return vma->vm_file ? vma->vm_file->mapping : NULL;
}

static bool has_reverse_maps(const struct mm_struct *mm)
{
	return mm->ctx->frames != NULL;
}

void rmap_lock(struct vm_area_struct *vma)
{
	if (!has_reverse_maps(vma->vm_mm))
		return;
	if (mapping_of(vma))
		pf_mutex_lock(&mapping_of(vma)->i_mmap_lock);
	pf_mutex_lock(&vma->vm_mm->ctx->anon_lock);
}

void rmap_unlock(struct vm_area_struct *vma)
{
	if (!has_reverse_maps(vma->vm_mm))
		return;
	pf_mutex_unlock(&vma->vm_mm->ctx->anon_lock);
	if (mapping_of(vma))
		pf_mutex_unlock(&mapping_of(vma)->i_mmap_lock);
}

void rmap_enter_link(struct anon_vma_chain *link)
{
	if (has_reverse_maps(link->vma->vm_mm))
		insert(&link->anon_vma->rb_root, &link->node, RMAP_ANON);
}

void rmap_leave_link(struct anon_vma_chain *link)
{
	if (link->node.end)
		erase(&link->anon_vma->rb_root, &link->node, RMAP_ANON);
}

void rmap_enter_locked(struct vm_area_struct *vma)
{
	if (!has_reverse_maps(vma->vm_mm))
		return;
	if (vma->vm_file)
		insert(&mapping_of(vma)->i_mmap, &vma->file_node, RMAP_FILE);
	for (struct anon_vma_chain *link = vma->chain; link; link = link->older)
		rmap_enter_link(link);
}

void rmap_leave_locked(struct vm_area_struct *vma)
{
	if (vma->file_node.end)
		erase(&mapping_of(vma)->i_mmap, &vma->file_node, RMAP_FILE);
	for (struct anon_vma_chain *link = vma->chain; link; link = link->older)
		rmap_leave_link(link);
}

void rmap_enter(struct vm_area_struct *vma)
{
	if (!has_reverse_maps(vma->vm_mm) || !(vma->vm_file || vma->chain))
		return;
	rmap_lock(vma);
	rmap_enter_locked(vma);
	rmap_unlock(vma);
}

bool vma_in_reverse_map(const struct vm_area_struct *vma)
{
	return vma->file_node.end || (vma->chain && vma->chain->node.end);
}

void vma_unlink(struct mm_struct *mm, struct vm_area_struct *vma)
{
	vma_assert_write_locked(vma);
	/* Even to see whether it is in takes the lock: others that come and go write to its node. */
	if (vma->vm_file && has_reverse_maps(mm)) {
		pf_mutex_lock(&mapping_of(vma)->i_mmap_lock);
		if (vma->file_node.end)
			erase(&mapping_of(vma)->i_mmap, &vma->file_node, RMAP_FILE);
		pf_mutex_unlock(&mapping_of(vma)->i_mmap_lock);
	}
	unlink_anon_vmas(mm, vma);
}

void unlink_batch_init(struct unlink_batch *batch, struct mm_struct *mm)
{
	batch->mm = mm;
	batch->mapping = NULL;
	batch->nr = 0;
	batch->rounds = 0;
}

void unlink_batch_add(struct unlink_batch *batch, struct vm_area_struct *vma)
{
	vma_assert_write_locked(vma);
	unlink_anon_vmas(batch->mm, vma);
	if (!vma->vm_file || !has_reverse_maps(batch->mm))
		return;
	if (batch->nr == UNLINK_BATCH || batch->mapping != mapping_of(vma))
		unlink_batch_final(batch);
	batch->mapping = mapping_of(vma);
	batch->vmas[batch->nr++] = vma;
}

void unlink_batch_final(struct unlink_batch *batch)
{
	pf_assert(batch->nr <= UNLINK_BATCH);
	if (!batch->nr)
		return;
	pf_mutex_lock(&batch->mapping->i_mmap_lock);
	for (unsigned int i = 0; i < batch->nr; i++)
		if (batch->vmas[i]->file_node.end)
			erase(&batch->mapping->i_mmap, &batch->vmas[i]->file_node, RMAP_FILE);
	pf_mutex_unlock(&batch->mapping->i_mmap_lock);
	batch->nr = 0;
	batch->rounds++;
}

/* The gate: nobody misses a child in the making ------------------------------- */

void fork_gate_enter(struct mm_context *ctx)
{
	pf_down_read(&ctx->fork_gate);
}

void fork_gate_leave(struct mm_context *ctx)
{
	pf_up_read(&ctx->fork_gate);
}

void fork_gate_close(struct mm_context *ctx)
{
	pf_down_write(&ctx->fork_gate);
}

void fork_gate_open(struct mm_context *ctx)
{
	pf_up_write(&ctx->fork_gate);
}

/* Many at once: a file's lock is kept as long as the next VMA is of the same file. */
struct file_batch {
	struct address_space *mapping;
};

static void batch_lock(struct file_batch *batch, struct address_space *mapping)
{
	if (batch->mapping == mapping)
		return;
	if (batch->mapping)
		pf_mutex_unlock(&batch->mapping->i_mmap_lock);
	if (mapping)
		pf_mutex_lock(&mapping->i_mmap_lock);
	batch->mapping = mapping;
}

void rmap_enter_all(struct mm_struct *mm)
{
	struct file_batch batch = { NULL };
	struct vm_area_struct *vma;
	struct vma_iterator vmi;

	mmap_assert_write_locked(mm);
	if (!has_reverse_maps(mm))
		return;
	vma_iter_init(&vmi, mm, 0);
	for_each_vma(vmi, vma) {
		if (!vma->vm_file && !vma->chain)
			continue;
		/* Together, so that a walker of the one does not find what is not in the other yet. */
		batch_lock(&batch, mapping_of(vma));
		pf_mutex_lock(&mm->ctx->anon_lock);
		rmap_enter_locked(vma);
		pf_mutex_unlock(&mm->ctx->anon_lock);
	}
	batch_lock(&batch, NULL);
}

/* Validation -------------------------------------------------------------- */

static unsigned long check_tree(const struct rmap_node *tree, enum rmap_kind kind)
{
	pgoff_t end;
	unsigned long broken;

	if (!tree)
		return 0;
	end = node_end(tree, kind);
	broken = check_tree(tree->left, kind) + check_tree(tree->right, kind);
	if (tree->left) {
		broken += !is_below(tree->left, tree, kind) || priority(tree->left) > priority(tree);
		end = tree->left->end > end ? tree->left->end : end;
	}
	if (tree->right) {
		broken += !is_below(tree, tree->right, kind) || priority(tree->right) > priority(tree);
		end = tree->right->end > end ? tree->right->end : end;
	}
	/* Whoever is in a tree is somebody's. */
	return broken + (tree->end != end) + !node_vma(tree, kind)->vm_mm;
}

struct search {
	const struct vm_area_struct *vma;
	unsigned long found;
};

static bool is_it(void *arg, struct vm_area_struct *vma)
{
	struct search *search = arg;

	search->found += vma == search->vma;
	return true;
}

/* How often @vma is found by each of its offsets, which is to be once. */
static bool is_found(struct rmap_node *tree, const struct vm_area_struct *vma, enum rmap_kind kind)
{
	struct search search = { vma, 0 };
	pgoff_t last = vma->vm_pgoff + vma_pages(vma) - 1;

	walk(tree, &(struct rmap_walk){ vma->vm_pgoff, vma->vm_pgoff, is_it, &search }, kind);
	walk(tree, &(struct rmap_walk){ last, last, is_it, &search }, kind);
	return search.found == 2;
}

unsigned long rmap_check(struct vm_area_struct *vma)
{
	unsigned long broken = 0;

	if (!has_reverse_maps(vma->vm_mm))
		return vma_in_reverse_map(vma);
	rmap_lock(vma);
	if (vma->vm_file)
		broken += !is_found(mapping_of(vma)->i_mmap, vma, RMAP_FILE);
	for (const struct anon_vma_chain *link = vma->chain; link; link = link->older)
		broken += link->vma != vma || !is_found(link->anon_vma->rb_root, vma, RMAP_ANON);
	rmap_unlock(vma);
	return broken;
}

unsigned long i_mmap_check(struct address_space *mapping)
{
	unsigned long broken;

	pf_mutex_lock(&mapping->i_mmap_lock);
	broken = check_tree(mapping->i_mmap, RMAP_FILE);
	pf_mutex_unlock(&mapping->i_mmap_lock);
	return broken;
}

unsigned long anon_vma_check(struct mm_context *ctx, const struct anon_vma *anon_vma)
{
	unsigned long broken;

	pf_mutex_lock(&ctx->anon_lock);
	broken = check_tree(anon_vma->rb_root, RMAP_ANON);
	pf_mutex_unlock(&ctx->anon_lock);
	return broken;
}
