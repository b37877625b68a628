/* SPDX-License-Identifier: MIT */
/* The calls that change a tree, in both interfaces, and the normal interface's lookups. */
#include "tree/tree.h"

#include <errno.h>
#include <string.h>

/* Trees ------------------------------------------------------------------- */

void mt_init_flags(struct maple_tree *mt, unsigned int flags)
{
	memset(mt, 0, sizeof(*mt));
	mt->ma_flags = flags;
}

void mt_set_platform(struct maple_tree *mt, struct platform *pf)
{
	pf_assert(!mt->ma_root && !mt->ma_pool);
	mt->ma_platform = pf;
}

void mtree_lock(struct maple_tree *mt)
{
	pf_lock(&mt->ma_lock);
}

void mtree_unlock(struct maple_tree *mt)
{
	pf_unlock(&mt->ma_lock);
}

void mt_set_in_rcu(struct maple_tree *mt)
{
	mt->ma_flags |= MT_FLAGS_USE_RCU;
}

void mt_clear_in_rcu(struct maple_tree *mt)
{
	mt->ma_flags &= ~(unsigned int)MT_FLAGS_USE_RCU;
}

unsigned int mt_height(const struct maple_tree *mt)
{
	struct maple_enode *e = RD_ACQ(mt->ma_root);
	unsigned int height = 1;

	if (!root_is_node(e))
		return 0;
	for (; !enode_is_leaf(e); height++)
		e = RD_ACQ(*child_slot(enode_inner(e), lowest_bit(RD_ACQ(enode_inner(e)->head.word))));
	return height;
}

/* The advanced interface -------------------------------------------------- */

static void write_begin(struct write *w, struct ma_state *mas, void *entry)
{
	w->mas = mas;
	w->mt = mas->tree;
	w->index = mas->index;
	w->last = mas->last;
	w->entry = entry;
	w->dry = false;
	w->failed = false;
	memset(w->need, 0, sizeof(w->need));
	w->built = NULL;
	w->kept = false;
	w->lo = path_to(w->mt, w->index, &w->own);
	w->hi = w->lo;
	if (w->lo->max < w->last) {
		w->hi = &w->other;
		path_walk(w->mt, w->last, w->hi);
	}
}

static int write_run(struct write *w)
{
	return w->entry ? write_leaf(w) : erase_range(w);
}

/*
 * The state is at [index, last], which it has just changed; it walks when it has to. With
 * [0, 0] in the root it begins anew: a find meets what was stored there.
 */
static void mas_arrive_changed(struct ma_state *mas)
{
	mas->node = NULL;
	mas->status = root_is_node(mas->tree->ma_root) ? ma_active : ma_start;
	pf_assert_full(mt_is_valid(mas->tree));
}

/* After a change: readers' states walk again, and this one is at what it stored. */
static void write_end(struct write *w)
{
	struct ma_state *mas = w->mas;

	/* Where there was no finger before, there is no way to keep. */
	path_changed(w->mt, w->kept && w->lo != &w->own);
	retire_flush(w->mt);
	__mas_set_range(mas, w->index, w->last);
	mas_arrive_changed(mas);
}

/* There was no memory for so many nodes. mas_nomem() finds them where a state in error has no use for the space. */
static void write_failed(struct ma_state *mas, const unsigned int (*need)[NODE_SIZES])
{
	nodes_settle(mas->tree);
	mas_set_error(mas, -ENOMEM);
	mas->order = (*need)[SIZE_LEAF];
	mas->up_live = (*need)[SIZE_SMALL];
	mas->up_max = (*need)[SIZE_INNER];
}

static int write_commit(struct write *w)
{
	int err = write_run(w);

	if (err) {
		write_failed(w->mas, &w->need);
		return err;
	}
	write_end(w);
	return 0;
}

/* The stores that quick_put() leaves. index is at or below last. */
static void *store_slowly(struct ma_state *mas, void *entry)
{
	struct write w;
	void *old;

	write_begin(&w, mas, entry);
	old = write_old_entry(&w);
	return write_commit(&w) ? NULL : old;
}

/* A leaf is written anew, by a node that the state has set aside. Whether that was all, or failed. */
static bool store_by_patch(struct ma_state *mas, void *entry, void **old)
{
	const struct mt_cut cut = { mas->index, mas->last, entry, NULL };
	int done = quick_patch(mas->tree, mas, &cut, old);

	if (done >= 0)
		return done;
	*old = NULL;
	write_failed(mas, &(const unsigned int[NODE_SIZES]){ [SIZE_LEAF] = 1 });
	return true;
}

/* As mas_store(), but the state is at [index, last] afterwards for NULL too. */
static void *store(struct ma_state *mas, void *entry)
{
	void *old = entry ? mas_replace_here(mas, entry) : NULL;

	if (old)
		return old;
	if (mas->index > mas->last) {
		mas_set_error(mas, -EINVAL);
		return NULL;
	}
	if (entry &&
	    (quick_put(mas->tree, mas->index, mas->last, entry, &old) || store_by_patch(mas, entry, &old))) {
		if (!mas_is_err(mas))
			mas_arrive_changed(mas);
		return old;
	}
	return store_slowly(mas, entry);
}

/*
 * NULL was stored into a tree that had @root. What was stored to is part of a gap now,
 * and that is where the state is. In a tree that has become empty it begins anew.
 */
static void settle_at_gap(struct ma_state *mas, const void *root)
{
	if (!root_is_node(root)) {
		mas_arrive(mas, root);
		return;
	}
	mas_walk(mas);
	if (mtree_empty(mas->tree))
		mas_reset(mas);
}

void *mas_store_far(struct ma_state *mas, void *entry)
{
	const void *root = mas->tree->ma_root;
	void *old = store(mas, entry);

	if (!entry && !mas_is_err(mas))
		settle_at_gap(mas, root);
	return old;
}

void *mas_store(struct ma_state *mas, void *entry)
{
	return mas_store_far(mas, entry);
}

static int store_gfp(struct ma_state *mas, void *entry)
{
	unsigned long index = mas->index, last = mas->last;
	int err;

	store(mas, entry);
	if (!mas_is_err(mas))
		return 0;
	err = xa_err(mas->node);
	reserve_free(mas);
	mas->index = index;
	mas->last = last;
	return err;
}

int mas_store_gfp(struct ma_state *mas, void *entry, gfp_t gfp)
{
	const void *root = mas->tree->ma_root;
	int err = store_gfp(mas, entry);

	(void)gfp;
	if (!err && !entry)
		settle_at_gap(mas, root);
	return err;
}

/* NULL over [index, last] will be one gap with those that it touches or ends in: take them in. */
static void widen_to_gaps(struct ma_state *mas)
{
	MA_STATE(at, mas->tree, mas->index, mas->index);
	void *entry = mas_walk(&at);

	if (entry && at.index == mas->index && mas->index > 0)
		entry = mas_load(&at, mas->index - 1);
	if (!entry)
		mas->index = at.index;
	entry = mas_load(&at, mas->last);
	if (entry && at.last == mas->last && mas->last < ULONG_MAX)
		entry = mas_load(&at, mas->last + 1);
	if (!entry)
		mas->last = at.last;
}

int mas_preallocate(struct ma_state *mas, void *entry, gfp_t gfp)
{
	struct write w;

	(void)gfp;
	if (mas->index > mas->last) {
		mas_set_error(mas, -EINVAL);
		return -EINVAL;
	}
	write_begin(&w, mas, entry);
	w.dry = true;
	write_run(&w);
	if (reserve_fill(mas, w.need)) {
		if (!entry && root_is_node(mas->tree->ma_root))
			widen_to_gaps(mas);
		mas_arrive(mas, mas->tree->ma_root);
		return 0;
	}
	reserve_free(mas);
	mas_reset(mas);
	return -ENOMEM;
}

void mas_store_prealloc(struct ma_state *mas, void *entry)
{
	mas_store(mas, entry);
	pf_warn_on_once(tree_platform(mas->tree), mas_is_err(mas),
			"a store of [%#lx, %#lx] was not preallocated", mas->index, mas->last);
	reserve_free(mas);
}

void *mas_insert(struct ma_state *mas, void *entry)
{
	unsigned long index = mas->index, last = mas->last;
	void *there;

	if (index > last) {
		mas_set_error(mas, -EINVAL);
		return NULL;
	}
	there = mas_load(mas, index);
	if (!there && mas->last < last)
		there = mas_next(mas, last);
	if (there) {
		mas_set_error(mas, -EEXIST);
		return there;
	}
	mas_set_range(mas, index, last);
	mas_store(mas, entry);
	return NULL;
}

/* [0, 0] in the root. */
static void *erase_root(struct ma_state *mas)
{
	void *entry = mas->index ? NULL : mas->tree->ma_root;

	if (entry)
		WR_REL(mas->tree->ma_root, NULL);
	return entry;
}

static void *erase_in_leaf(struct ma_state *mas, const struct path *path, bool *kept)
{
	unsigned int place = path->rank;
	void *entry;

	if (!place-- || leaf_last(path->leaf, path->order, place) < mas->index)
		return NULL;
	entry = leaf_entry(path->leaf, path->order, place);
	mas->index = leaf_start(path->leaf, path->order, place);
	mas->last = leaf_last(path->leaf, path->order, place);
	*kept = erase_place(mas->tree, path, place);
	return entry;
}

/* The erases that quick_take() leaves. */
static void *erase_slowly(struct ma_state *mas)
{
	struct maple_tree *mt = mas->tree;
	struct path own, *path = path_to(mt, mas->index, &own);
	bool kept = false;
	void *entry;

	entry = path->leaf ? erase_in_leaf(mas, path, &kept) : erase_root(mas);
	if (!entry) {
		if (path->leaf)
			mas_walk(mas);
		else
			mas_arrive(mas, mt->ma_root);
		return NULL;
	}
	path_changed(mt, kept);
	retire_flush(mt);
	mas_arrive_changed(mas);
	return entry;
}

/* The state is at the range that was erased, or at the gap that was there. */
static void *erase(struct ma_state *mas)
{
	void *entry = quick_take(mas->tree, mas->index, &mas->index, &mas->last);

	if (!entry)
		return erase_slowly(mas);
	mas_arrive_changed(mas);
	return entry;
}

void *mas_erase(struct ma_state *mas)
{
	const void *root = mas->tree->ma_root;
	void *entry = erase(mas);

	if (entry)
		settle_at_gap(mas, root);
	return entry;
}

bool mas_nomem(struct ma_state *mas, gfp_t gfp)
{
	/* As write_commit() left it. */
	const unsigned int need[NODE_SIZES] = {
		(unsigned int)mas->order, (unsigned int)mas->up_live, (unsigned int)mas->up_max
	};

	(void)gfp;
	if (mas->status != ma_error || xa_err(mas->node) != -ENOMEM) {
		reserve_free(mas);
		return false;
	}
	if (!reserve_fill(mas, need)) {
		reserve_free(mas);
		return false;
	}
	mas_reset(mas);
	return true;
}

void mas_destroy(struct ma_state *mas)
{
	reserve_free(mas);
}

/* Full leaves one after another, each rewritten once while it is filled, and the inner nodes above. */
int mas_expected_entries(struct ma_state *mas, unsigned long nr_entries)
{
	unsigned long leaves = 2 * (nr_entries / WIDE_CAP) + 4;
	unsigned int need[NODE_SIZES] = {
		[SIZE_LEAF] = (unsigned int)leaves,
		[SIZE_INNER] = 2 * (unsigned int)(leaves / INNER_CAP) + 8,
	};

	if (reserve_fill(mas, need))
		return 0;
	reserve_free(mas);
	mas_reset(mas);
	return -ENOMEM;
}

/* The normal interface ---------------------------------------------------- */

static void *visible(void *entry)
{
	return xa_is_zero(entry) ? NULL : entry;
}

void *mtree_load(struct maple_tree *mt, unsigned long index)
{
	void *entry;

	pf_rcu_read_lock();
	entry = tree_lookup(mt, index);
	pf_rcu_read_unlock();
	return visible(entry);
}

/* Not inlined: what it needs of the stack is not made ready for the others. */
static __attribute__((noinline)) int store_range(struct maple_tree *mt, unsigned long index,
						 unsigned long last, void *entry)
{
	MA_STATE(mas, mt, index, last);

	store_slowly(&mas, entry);
	/* Of memory for two ends of a hole, some may have been there. */
	reserve_free(&mas);
	return mas_is_err(&mas) ? xa_err(mas.node) : 0;
}

int mtree_store_range(struct maple_tree *mt, unsigned long index, unsigned long last, void *entry, gfp_t gfp)
{
	void *old;
	int err = 0;

	(void)gfp;
	if (entry_is_reserved(entry) || index > last)
		return -EINVAL;
	mtree_lock(mt);
	if (!entry || !quick_put(mt, index, last, entry, &old))
		err = store_range(mt, index, last, entry);
	pf_assert_full(mt_is_valid(mt));
	mtree_unlock(mt);
	return err;
}

int mtree_store(struct maple_tree *mt, unsigned long index, void *entry, gfp_t gfp)
{
	return mtree_store_range(mt, index, index, entry, gfp);
}

static __attribute__((noinline)) int insert_range(struct maple_tree *mt, unsigned long first,
						  unsigned long last, void *entry)
{
	MA_STATE(mas, mt, first, last);

	mas_insert(&mas, entry);
	reserve_free(&mas);
	return mas_is_err(&mas) ? xa_err(mas.node) : 0;
}

int mtree_insert_range(struct maple_tree *mt, unsigned long first, unsigned long last, void *entry, gfp_t gfp)
{
	int err = 0;

	(void)gfp;
	if (entry_is_reserved(entry) || first > last)
		return -EINVAL;
	mtree_lock(mt);
	if (!entry || !quick_put(mt, first, last, entry, NULL))
		err = insert_range(mt, first, last, entry);
	pf_assert_full(mt_is_valid(mt));
	mtree_unlock(mt);
	return err;
}

int mtree_insert(struct maple_tree *mt, unsigned long index, void *entry, gfp_t gfp)
{
	return mtree_insert_range(mt, index, index, entry, gfp);
}

static __attribute__((noinline)) void *erase_at(struct maple_tree *mt, unsigned long index)
{
	MA_STATE(mas, mt, index, index);

	return erase_slowly(&mas);
}

void *mtree_erase(struct maple_tree *mt, unsigned long index)
{
	unsigned long start, last;
	void *entry;

	mtree_lock(mt);
	entry = quick_take(mt, index, &start, &last);
	if (!entry)
		entry = erase_at(mt, index);
	pf_assert_full(mt_is_valid(mt));
	mtree_unlock(mt);
	return entry;
}

/* Without a state --------------------------------------------------------- */

/* In a tree without nodes, and where the leaf is a wide one. */
static __attribute__((noinline)) void near_slowly(struct maple_tree *mt, unsigned long index,
						  struct mt_near *near)
{
	MA_STATE(mas, mt, index, index);

	near->at = mas_walk(&mas);
	near->before = mas_prev(&mas, 0);
	near->before_last = mas.last;
	mas_set(&mas, index);
	near->after = mas_next(&mas, ULONG_MAX);
	near->after_first = mas.index;
}

void mt_near(struct maple_tree *mt, unsigned long index, struct mt_near *near)
{
	if (!quick_near(mt, index, near))
		near_slowly(mt, index, near);
}

int mt_put(struct maple_tree *mt, unsigned long index, unsigned long last, void *entry)
{
	int err = 0;
	void *old;

	pf_assert(entry && !entry_is_reserved(entry) && index <= last);
	if (!quick_put(mt, index, last, entry, &old))
		err = mt_cut(mt, &(struct mt_cut){ index, last, entry, NULL }, last);
	pf_assert_full(mt_is_valid(mt));
	return err;
}

int mt_cut(struct maple_tree *mt, const struct mt_cut *cut, unsigned long high_last)
{
	void *old;
	int err = quick_patch(mt, NULL, cut, &old);

	if (err)
		goto out;
	err = store_range(mt, cut->index, cut->last, cut->entry);
	/* What is above is a range by itself now. */
	if (!err && cut->high)
		err = mt_put(mt, cut->last + 1, high_last, cut->high);
out:
	if (err < 0)
		nodes_settle(mt);
	pf_assert_full(mt_is_valid(mt));
	return err < 0 ? err : 0;
}

void *mt_take(struct maple_tree *mt, unsigned long index)
{
	unsigned long start, last;
	void *entry = quick_take(mt, index, &start, &last);

	if (!entry)
		entry = erase_at(mt, index);
	pf_assert_full(mt_is_valid(mt));
	return entry;
}

/* Finding ----------------------------------------------------------------- */

void *mt_find(struct maple_tree *mt, unsigned long *index, unsigned long max)
{
	MA_STATE(mas, mt, *index, *index);
	void *entry;

	if (*index > max)
		return NULL;
	pf_rcu_read_lock();
	do {
		entry = mas_find(&mas, max);
	} while (entry && xa_is_zero(entry));
	pf_rcu_read_unlock();
	if (entry)
		*index = mas.last + 1;
	return entry;
}

void *mt_find_after(struct maple_tree *mt, unsigned long *index, unsigned long max)
{
	if (!*index)
		return NULL;
	return mt_find(mt, index, max);
}

void *mt_next(struct maple_tree *mt, unsigned long index, unsigned long max)
{
	MA_STATE(mas, mt, index, index);
	void *entry;

	pf_rcu_read_lock();
	entry = mas_next(&mas, max);
	pf_rcu_read_unlock();
	return entry;
}

void *mt_prev(struct maple_tree *mt, unsigned long index, unsigned long min)
{
	MA_STATE(mas, mt, index, index);
	void *entry;

	pf_rcu_read_lock();
	entry = mas_prev(&mas, min);
	pf_rcu_read_unlock();
	return entry;
}
