/* SPDX-License-Identifier: MIT */
/* The validator, and printing a tree. */
#include "tree/tree.h"

#include <stdio.h>
#include <stdlib.h>

/* A walk over all nodes: the path is that of the node in hand, its bounds included. */
struct tour {
	const struct maple_tree *mt;
	struct path path;
	uint64_t left[MAX_HEIGHT];	/* children not visited yet */
	unsigned int leaf_depth;	/* of the first leaf; all are there */
	bool leaf_seen;
	const char *fault;
};

static bool fault_if(struct tour *t, bool broken, const char *what)
{
	if (broken && !t->fault)
		t->fault = what;
	return broken;
}

static void check_order(struct tour *t, const struct maple_enode *leaf, uint64_t order)
{
	unsigned int count = order_count(order), seen = 0;

	fault_if(t, !count, "an empty leaf");
	fault_if(t, order_used(order) > leaf_cap(leaf), "a leaf with more slots in use than it has");
	for (unsigned int k = 0; k < count; k++) {
		unsigned int slot = order_slot(order, k);

		fault_if(t, slot >= order_used(order), "a slot in use that was never written");
		fault_if(t, seen >> slot & 1, "a slot in two places");
		seen |= 1u << slot;
	}
}

static void check_leaf(struct tour *t, const struct maple_enode *leaf)
{
	const struct path *path = &t->path;
	uint64_t order = enode_node(leaf)->word;
	unsigned long before = 0;

	check_order(t, leaf, order);
	fault_if(t, t->leaf_seen && t->leaf_depth != path->height, "leaves at different depths");
	t->leaf_seen = true;
	t->leaf_depth = path->height;
	for (unsigned int k = 0; k < order_count(order) && !t->fault; k++) {
		unsigned long start = leaf_start(leaf, order, k), last = leaf_last(leaf, order, k);

		fault_if(t, start > last, "a range that ends before it begins");
		fault_if(t, k && start <= before, "ranges that overlap or are out of order");
		fault_if(t, start < path->min || last > path->max, "a range outside of its leaf's bounds");
		fault_if(t, !k && path->min && start != path->min, "a leaf whose separator is not its first range");
		fault_if(t, !leaf_entry(leaf, order, k), "a range without an entry");
		before = last;
	}
}

/* Of the live children; what is kept for the others must not count. */
static gap_code longest_live_gap(const struct inner *node)
{
	gap_code longest = 0;

	for (uint64_t live = node->head.word; live; live &= live - 1) {
		gap_code gap = *child_gap(node, lowest_bit(live));

		longest = gap > longest ? gap : longest;
	}
	return longest;
}

static void check_gap(struct tour *t, const struct maple_enode *e)
{
	const struct path *path = &t->path;
	const struct path_step *up;
	gap_code gap;

	if (!tree_tracks_gaps(t->mt) || !path->height || t->fault)
		return;
	up = &path->step[path->height - 1];
	gap = enode_is_leaf(e) ? leaf_longest_gap(e, enode_node(e)->word, path->min, path->max)
			       : longest_live_gap(enode_inner(e));
	fault_if(t, *child_gap(up->node, up->child) != gap, "a wrong longest gap");
}

static void check_keys(struct tour *t, const struct inner *node)
{
	unsigned int lowest = lowest_bit(node->head.word | 1ull << 63);

	for (unsigned int i = 1; i < node->head.cap; i++) {
		unsigned long start = *child_start(node, i);
		bool above = i > 1 + lowest, used = i < node->head.used;

		fault_if(t, above && start < *child_start(node, i - 1), "starts that do not rise");
		fault_if(t, above && node->key[i] < node->key[i - 1], "keys that do not rise");
		fault_if(t, node->key[i] != (used ? key_of(node, start) : KEY_HIGHEST), "a wrong key");
	}
}

static void check_inner(struct tour *t, const struct inner *node)
{
	uint64_t live = node->head.word;
	unsigned long before = t->path.min;

	fault_if(t, !live, "an inner node without children");
	fault_if(t, node->head.used > node->head.cap || live >> node->head.used, "a child beyond those in use");
	fault_if(t, !t->path.height && !(live & (live - 1)), "a root with one child");
	check_keys(t, node);
	if (live)
		live &= live - 1;
	for (; live; live &= live - 1) {
		unsigned long start = *child_start(node, lowest_bit(live));

		fault_if(t, start <= before, "separators out of order");
		fault_if(t, start > t->path.max, "a separator beyond its node");
		before = start;
	}
}

static void enter(struct tour *t, struct maple_enode *e)
{
	struct path *path = &t->path;
	struct path_step *step = &path->step[path->height];

	fault_if(t, enode_node(e)->info & NODE_DEAD, "a dead node in the tree");
	check_gap(t, e);
	if (enode_is_leaf(e)) {
		check_leaf(t, e);
		return;
	}
	check_inner(t, enode_inner(e));
	if (fault_if(t, path->height + 1 >= MAX_HEIGHT, "too many levels") || t->fault)
		return;
	step->node = enode_inner(e);
	step->min = path->min;
	step->max = path->max;
	t->left[path->height++] = step->node->head.word;
}

/* Move to the next node in depth-first order. */
static struct maple_enode *tour_next(struct tour *t)
{
	struct path *path = &t->path;

	while (path->height) {
		struct path_step *step = &path->step[path->height - 1];
		uint64_t *left = &t->left[path->height - 1];

		if (*left) {
			step->child = lowest_bit(*left);
			*left &= *left - 1;
			path->min = step->min;
			path->max = step->max;
			inner_bounds(step->node, step->node->head.word, step->child, &path->min, &path->max);
			return *child_slot(step->node, step->child);
		}
		path->height--;
	}
	return NULL;
}

/* The first broken invariant, or NULL; @where gets the lowest index of the node. */
const char *tree_find_fault(const struct maple_tree *mt, unsigned long *where)
{
	struct tour t = { .mt = mt, .path = { .max = ULONG_MAX } };
	struct maple_enode *e = mt->ma_root;

	if (!root_is_node(e))
		return NULL;
	for (; e && !t.fault; e = tour_next(&t))
		enter(&t, e);
	*where = t.path.min;
	return t.fault;
}

bool mt_is_valid(struct maple_tree *mt)
{
	unsigned long where;

	return !tree_find_fault(mt, &where);
}

void mt_validate(struct maple_tree *mt)
{
	unsigned long where = 0;
	const char *fault = tree_find_fault(mt, &where);

	pf_warn_on_once(tree_platform(mt), fault != NULL, "maple tree: %s, in the node at %#lx", fault, where);
}

/* Printing ---------------------------------------------------------------- */

static void print_range(enum mt_dump_format format, unsigned long first, unsigned long last)
{
	printf(format == mt_dump_hex ? "[%#lx, %#lx]" : "[%lu, %lu]", first, last);
}

static void dump_leaf(const struct maple_enode *leaf, unsigned int depth, enum mt_dump_format format)
{
	uint64_t order = RD_ACQ(enode_node(leaf)->word);

	for (unsigned int k = 0; k < order_count(order); k++) {
		printf("%*s", 2 * (int)depth + 2, "");
		print_range(format, leaf_start(leaf, order, k), leaf_last(leaf, order, k));
		printf(" %p\n", leaf_entry(leaf, order, k));
	}
}

static void dump_node(const struct tour *t, const struct maple_enode *e, enum mt_dump_format format)
{
	static const char *const type_name[] = { "narrow leaf", "wide leaf", "inner node", "unknown" };
	const struct path *path = &t->path;

	printf("%*s%s %p ", 2 * (int)path->height, "", type_name[enode_type(e)], (void *)enode_node(e));
	print_range(format, path->min, path->max);
	if (tree_tracks_gaps(t->mt) && path->height) {
		const struct path_step *up = &path->step[path->height - 1];

		printf(" longest gap, as coded, %u", *child_gap(up->node, up->child));
	}
	putchar('\n');
	if (enode_is_leaf(e))
		dump_leaf(e, path->height, format);
}

void mt_dump(const struct maple_tree *mt, enum mt_dump_format format)
{
	struct tour t = { .mt = mt, .path = { .max = ULONG_MAX } };
	struct maple_enode *e = RD_ACQ(mt->ma_root);

	printf("maple tree %p, flags %#x, height %u\n", (const void *)mt, mt->ma_flags, mt_height(mt));
	if (!root_is_node(e)) {
		if (e)
			printf("  [0, 0] %p\n", (void *)e);
		return;
	}
	for (; e; e = tour_next(&t)) {
		dump_node(&t, e, format);
		if (!enode_is_leaf(e)) {
			struct path_step *step = &t.path.step[t.path.height];

			*step = (struct path_step){ enode_inner(e), 0, t.path.min, t.path.max };
			t.left[t.path.height++] = RD_ACQ(enode_inner(e)->head.word);
		}
	}
}

void mas_dump(const struct ma_state *mas)
{
	static const char *const status_name[] = { "active", "start", "root", "none",
						   "pause", "overflow", "underflow", "error" };

	printf("maple state %p: tree %p, [%#lx, %#lx], %s", (const void *)mas, (void *)mas->tree, mas->index,
	       mas->last, status_name[mas->status]);
	if (mas_is_err(mas))
		printf(" %d\n", xa_err(mas->node));
	else
		printf(", leaf %p [%#lx, %#lx], offset %u\n", (void *)mas->node, mas->min, mas->max, mas->offset);
}

void mt_report(const struct maple_tree *mt, const struct ma_state *mas, const char *what, bool die)
{
	fprintf(stderr, "samara: %s\n", what);
	if (mas)
		mas_dump(mas);
	if (mt)
		mt_dump(mt, mt_dump_hex);
	fflush(stdout);
	if (die)
		abort();
}
