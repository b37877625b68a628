/* SPDX-License-Identifier: MIT */
/*
 * The maple tree: non-overlapping ranges of unsigned long, both ends
 * inclusive, each with a pointer. Readers run under RCU beside one writer.
 *
 * Names and meaning are those of the kernel's public API, so that a program
 * written for it compiles with this header. There are two interfaces: the
 * normal one (mtree_*, mt_*) takes the locks itself; the advanced one
 * (mas_*) works on a struct ma_state and leaves locking to its caller.
 *
 * Glossary
 *   range     [index, last], both ends inclusive
 *   entry     the pointer stored for a range; NULL means that nothing is there
 *   gap       a largest range without entries
 *   state     struct ma_state: a place in a tree
 *   limit     a bound that a search does not pass, inclusive
 *
 * Reserved values: an entry whose low two bits are 10 and which is below 4096
 * cannot be stored (-EINVAL), XA_ZERO_ENTRY apart. xa_mk_value() makes any
 * integer up to LONG_MAX storable.
 *
 * Locks: what writes needs the tree's lock, or the external lock of a tree with
 * MT_FLAGS_LOCK_EXTERN. What only reads needs that lock or, on a tree with
 * MT_FLAGS_USE_RCU, an RCU section (samara_rcu_read_lock()). A state may be kept
 * only as long as the lock or section is held: mas_pause() it before letting go.
 */
#ifndef SAMARA_MAPLE_TREE_H
#define SAMARA_MAPLE_TREE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <samara/platform.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* What the kernel's callers pass along; the library does not look at it. */
typedef unsigned int gfp_t;
#ifndef GFP_KERNEL
#define GFP_KERNEL ((gfp_t)0)
#endif
#ifndef GFP_ATOMIC
#define GFP_ATOMIC ((gfp_t)0)
#endif
#ifndef GFP_NOWAIT
#define GFP_NOWAIT ((gfp_t)0)
#endif
#ifndef GFP_NOFS
#define GFP_NOFS ((gfp_t)0)
#endif

/* Values as entries ------------------------------------------------------- */

/** xa_mk_value - an entry that carries the integer @v, at most LONG_MAX */
static inline void *xa_mk_value(unsigned long v)
{
	return (void *)(uintptr_t)((v << 1) | 1);
}

/** xa_to_value - the integer that xa_mk_value() put into @entry */
static inline unsigned long xa_to_value(const void *entry)
{
	return (unsigned long)((uintptr_t)entry >> 1);
}

/** xa_is_value - whether @entry was made by xa_mk_value() */
static inline bool xa_is_value(const void *entry)
{
	return ((uintptr_t)entry & 1) != 0;
}

/** xa_mk_internal - a value of the reserved class, low bits 10 */
static inline void *xa_mk_internal(unsigned long v)
{
	return (void *)(uintptr_t)((v << 2) | 2);
}

/** xa_is_internal - whether @entry is of the reserved class */
static inline bool xa_is_internal(const void *entry)
{
	return ((uintptr_t)entry & 3) == 2;
}

/** Reserves a range: the normal interface shows it as NULL, the advanced one as itself. */
#define XA_ZERO_ENTRY (xa_mk_internal(257))

/** xa_is_zero - whether @entry is XA_ZERO_ENTRY */
static inline bool xa_is_zero(const void *entry)
{
	return entry == XA_ZERO_ENTRY;
}

/** xa_is_err - whether @entry carries an errno, as ma_state.node does after an error */
static inline bool xa_is_err(const void *entry)
{
	return xa_is_internal(entry) && (uintptr_t)entry >= (uintptr_t)-4095 * 4 + 2;
}

/** xa_err - the negative errno that @entry carries, or 0 */
static inline int xa_err(const void *entry)
{
	return xa_is_err(entry) ? (int)((intptr_t)entry >> 2) : 0;
}

/* The tree ---------------------------------------------------------------- */

#define MT_FLAGS_ALLOC_RANGE	0x01	/* track gaps: the allocating calls need it */
#define MT_FLAGS_USE_RCU	0x02	/* readers run beside the writer */
#define MT_FLAGS_HEIGHT_OFFSET	0x02
#define MT_FLAGS_HEIGHT_MASK	0x7C
#define MT_FLAGS_LOCK_MASK	0x300
#define MT_FLAGS_LOCK_IRQ	0x100
#define MT_FLAGS_LOCK_BH	0x200
#define MT_FLAGS_LOCK_EXTERN	0x300	/* the user has a lock of his own */
#define MT_FLAGS_ALLOC_WRAPPED	0x0800	/* a cyclic allocation ran over ULONG_MAX */

#define MAPLE_RESERVED_RANGE	4096

struct mt_pool;
struct mas_reserve;

/** A tree. All fields are private; MTREE_INIT or mt_init() sets them. */
struct maple_tree {
	/* What readers load. Kept apart from what a writer dirties. */
	void *ma_root;			/* NULL, the entry of [0, 0] alone, or a node */
	unsigned int ma_flags;
	struct platform *ma_platform;	/* NULL: platform_default() */
	char ma_apart[64];
	/* The tree's lock: */
	struct samara_lock ma_lock;
	void *ma_external_lock;		/* whose address is all that is kept */
	struct mt_pool *ma_pool;	/* nodes waiting for their grace period */
	unsigned long ma_seq;		/* counts changes, so that states know when to walk again */
};

/** MTREE_INIT_EXT - initialiser of tree @name, guarded by @lock of the user */
#define MTREE_INIT_EXT(name, flags, lock)                                      \
	{                                                                      \
		NULL, (flags), NULL, { 0 }, { 0, 0, NULL, NULL, 0, 0, 0 },     \
		(void *)&(lock), NULL, 0                                       \
	}

/** MTREE_INIT - initialiser of tree @name, guarded by its own lock */
#define MTREE_INIT(name, flags)                                                \
	{                                                                      \
		NULL, (flags), NULL, { 0 }, { 0, 0, NULL, NULL, 0, 0, 0 },     \
		NULL, NULL, 0                                                  \
	}

/** DEFINE_MTREE - define an empty tree without flags */
#define DEFINE_MTREE(name) struct maple_tree name = MTREE_INIT(name, 0)

/**
 * mt_init_flags - make an empty tree
 * @mt:    memory for it; nothing is allocated
 * @flags: MT_FLAGS_*
 */
void mt_init_flags(struct maple_tree *mt, unsigned int flags);

/** mt_init - make an empty tree without flags */
static inline void mt_init(struct maple_tree *mt)
{
	mt_init_flags(mt, 0);
}

/**
 * mt_set_platform - where the nodes of an empty tree come from
 * @mt: tree, empty
 * @pf: platform; NULL is platform_default()
 */
void mt_set_platform(struct maple_tree *mt, struct platform *pf);

/** mt_set_external_lock - note which lock guards a tree with MT_FLAGS_LOCK_EXTERN */
#define mt_set_external_lock(mt, lock) ((void)((mt)->ma_external_lock = (void *)(lock)))

/** mt_on_stack - forget the user's lock: nobody else can reach tree @mt, which is a local variable */
#define mt_on_stack(mt) mt_set_external_lock(&(mt), NULL)

/** mt_external_lock - whether the user's lock guards the tree */
static inline bool mt_external_lock(const struct maple_tree *mt)
{
	return (mt->ma_flags & MT_FLAGS_LOCK_MASK) == MT_FLAGS_LOCK_EXTERN;
}

/** mtree_lock - take the tree's own lock */
void mtree_lock(struct maple_tree *mt);

/** mtree_unlock - release it */
void mtree_unlock(struct maple_tree *mt);

#define mtree_lock_nested(mt, subclass) mtree_lock(mt)
#define mas_lock(mas) mtree_lock((mas)->tree)
#define mas_unlock(mas) mtree_unlock((mas)->tree)
#define mas_lock_nested(mas, subclass) mas_lock(mas)

/**
 * mt_set_in_rcu - from now on readers may run beside the writer
 *
 * Locking: write lock.
 */
void mt_set_in_rcu(struct maple_tree *mt);

/**
 * mt_clear_in_rcu - nodes may be reused at once again
 *
 * Locking: write lock, and no reader may be left that holds the RCU lock only.
 */
void mt_clear_in_rcu(struct maple_tree *mt);

/** mt_in_rcu - whether readers may run beside the writer */
static inline bool mt_in_rcu(const struct maple_tree *mt)
{
	return (mt->ma_flags & MT_FLAGS_USE_RCU) != 0;
}

/** mt_height - levels of nodes: 0 when empty or when [0, 0] is the only range. Lock or RCU. */
unsigned int mt_height(const struct maple_tree *mt);

/** mtree_empty - whether no index has an entry. No lock. */
static inline bool mtree_empty(const struct maple_tree *mt)
{
	return __atomic_load_n(&mt->ma_root, __ATOMIC_RELAXED) == NULL;
}

/* The normal interface: takes the tree's lock or the RCU lock itself ------- */

/** mtree_load - the entry at @index, or NULL; XA_ZERO_ENTRY reads as NULL */
void *mtree_load(struct maple_tree *mt, unsigned long index);

/**
 * mtree_store_range - store an entry over a range, whatever was there
 * @mt:    tree
 * @index: first index
 * @last:  last index, inclusive
 * @entry: what to store; NULL erases
 * @gfp:   ignored
 *
 * Ranges that reach over an end are trimmed; one that contains the range is
 * split. Storing NULL over whole entries needs no memory.
 *
 * Return: 0; -EINVAL (@index > @last, reserved @entry), -ENOMEM. On error the
 * tree is as before.
 */
int mtree_store_range(struct maple_tree *mt, unsigned long index, unsigned long last, void *entry, gfp_t gfp);

/** mtree_store - mtree_store_range() with one index */
int mtree_store(struct maple_tree *mt, unsigned long index, void *entry, gfp_t gfp);

/**
 * mtree_insert_range - store an entry where nothing is
 * @mt:    tree
 * @first: first index
 * @last:  last index, inclusive
 * @entry: what to store
 * @gfp:   ignored
 *
 * Return: 0; -EEXIST (some index has an entry), -EINVAL, -ENOMEM. On error the
 * tree is as before.
 */
int mtree_insert_range(struct maple_tree *mt, unsigned long first, unsigned long last, void *entry, gfp_t gfp);

/** mtree_insert - mtree_insert_range() with one index */
int mtree_insert(struct maple_tree *mt, unsigned long index, void *entry, gfp_t gfp);

/**
 * mtree_erase - erase the whole range that contains an index
 *
 * Needs no memory and cannot fail.
 *
 * Return: the entry that was there, XA_ZERO_ENTRY as itself; or NULL.
 */
void *mtree_erase(struct maple_tree *mt, unsigned long index);

/**
 * mtree_alloc_range - store an entry in the lowest gap that is large enough
 * @mt:     tree with MT_FLAGS_ALLOC_RANGE
 * @startp: gets the first index
 * @entry:  what to store
 * @size:   number of indexes, at least 1
 * @min:    lowest index allowed
 * @max:    highest index allowed, for the last one stored, inclusive
 * @gfp:    ignored
 *
 * Return: 0; -EBUSY (no such gap), -EINVAL (reserved @entry, XA_ZERO_ENTRY too; @min > @max, @size 0
 * or larger than the span; a tree that does not track gaps), -ENOMEM. On error the tree is as before,
 * and @startp untouched.
 */
int mtree_alloc_range(struct maple_tree *mt, unsigned long *startp, void *entry, unsigned long size,
		      unsigned long min, unsigned long max, gfp_t gfp);

/** mtree_alloc_rrange - as mtree_alloc_range(), the highest gap and the highest place in it */
int mtree_alloc_rrange(struct maple_tree *mt, unsigned long *startp, void *entry, unsigned long size,
		       unsigned long min, unsigned long max, gfp_t gfp);

/**
 * mtree_alloc_cyclic - store an entry at the next free index
 * @mt:       tree with MT_FLAGS_ALLOC_RANGE
 * @startp:   gets the index
 * @entry:    what to store
 * @range_lo: lowest index allowed
 * @range_hi: highest index allowed, inclusive
 * @next:     where to begin; gets the place to begin next time
 * @gfp:      ignored
 *
 * Return: 0; 1 when the search began again at @range_lo; -EBUSY (no free
 * index), -EINVAL, -ENOMEM. On error the tree is as before.
 */
int mtree_alloc_cyclic(struct maple_tree *mt, unsigned long *startp, void *entry, unsigned long range_lo,
		       unsigned long range_hi, unsigned long *next, gfp_t gfp);

/**
 * mtree_dup - make a copy of a tree
 * @mt:  tree
 * @new: initialised, empty, with the same flags
 * @gfp: ignored
 *
 * Takes both trees' locks. The copy has the same ranges and entries.
 *
 * Return: 0; -EINVAL (@new not empty, or flags differ), -ENOMEM. On error @new
 * is empty.
 */
int mtree_dup(struct maple_tree *mt, struct maple_tree *new_tree, gfp_t gfp);

/** __mt_dup - mtree_dup() for a caller who holds both locks */
int __mt_dup(struct maple_tree *mt, struct maple_tree *new_tree, gfp_t gfp);

/** mtree_destroy - erase everything and give the nodes back. Needs no memory. The tree is empty then. */
void mtree_destroy(struct maple_tree *mt);

/** __mt_destroy - mtree_destroy() for a caller who holds the lock */
void __mt_destroy(struct maple_tree *mt);

/**
 * mt_find - find the first entry at or after an index
 * @mt:    tree
 * @index: where to begin; gets the index after the range that was found
 * @max:   highest index to look at, inclusive
 *
 * XA_ZERO_ENTRY is passed over. Takes the RCU lock.
 *
 * Return: the entry, or NULL; then @index is untouched.
 */
void *mt_find(struct maple_tree *mt, unsigned long *index, unsigned long max);

/** mt_find_after - mt_find() for a loop: ends when the last find wrapped @index to 0 */
void *mt_find_after(struct maple_tree *mt, unsigned long *index, unsigned long max);

/** mt_next - the first entry after the range that contains @index, up to @max, or NULL. Takes the RCU lock. */
void *mt_next(struct maple_tree *mt, unsigned long index, unsigned long max);

/** mt_prev - the last entry before the range that contains @index, down to @min, or NULL. Takes the RCU lock. */
void *mt_prev(struct maple_tree *mt, unsigned long index, unsigned long min);

/**
 * mt_for_each - each entry from @index up to @max
 *
 * @index is moved along, to one past the entry. Takes the RCU lock for each
 * step only, so an entry may go while the body runs.
 */
#define mt_for_each(mt, entry, index, max)                                     \
	for (entry = mt_find(mt, &(index), max); entry;                        \
	     entry = mt_find_after(mt, &(index), max))

/* The advanced interface -------------------------------------------------- */

struct maple_enode;

enum maple_status {
	ma_active,	/* at a range of the tree */
	ma_start,	/* not walked yet; the next walk begins at index */
	ma_root,	/* at [0, 0], the only entry, which the root holds itself */
	ma_none,	/* walked, and nothing was there */
	ma_pause,	/* the lock may have been dropped */
	ma_overflow,	/* at the upper limit of a search */
	ma_underflow,	/* at the lower limit of a search */
	ma_error	/* node carries an errno */
};

/*
 * 13 words: compilers write no more than these without a loop, and states are made for each search.
 */
/** A place in a tree. index, last and status may be read; the others are private. */
struct ma_state {
	struct maple_tree *tree;
	unsigned long index;		/* first index of the range, or where to begin */
	unsigned long last;		/* last index of the range, inclusive */
	struct maple_enode *node;	/* the leaf, or an errno: xa_err() reads it */
	unsigned long min;		/* the leaf's bounds, inclusive */
	unsigned long max;
	enum maple_status status;
	unsigned char offset;		/* place in the leaf, gaps counted */
	unsigned char depth;
	unsigned char mas_flags;
	unsigned char end;		/* which child of its parent the leaf is */
	unsigned long order;		/* the leaf's order word when it was walked */
	unsigned long seq;		/* the tree's ma_seq when it was walked */
	void *up;			/* the leaf's parent, its live word, and the highest index below it */
	unsigned long up_live;
	unsigned long up_max;
	struct mas_reserve *alloc;	/* nodes set aside, or NULL */
};

/*
 * Of the fields that no walk has set yet some are not 0: where few are, GCC clears all of the state first, by a string
 * instruction that takes longer than all the rest.
 */
/** MA_STATE - define a state for [@first, @end] in tree @mt */
#define MA_STATE(name, mt, first, end)                                         \
	struct ma_state name = {                                               \
		(mt), (first), (end), NULL, 0, ULONG_MAX, ma_start,            \
		0, 0, 0, 0, 0, ULONG_MAX, NULL, 0, ULONG_MAX, NULL             \
	}

/** MA_ERROR - an errno as ma_state.node carries it */
#define MA_ERROR(err) ((struct maple_enode *)xa_mk_internal((unsigned long)(err)))

/**
 * mas_init - begin with a state
 * @mas:  memory for it; what it held is forgotten
 * @tree: tree
 * @addr: index and last
 */
static inline void mas_init(struct ma_state *mas, struct maple_tree *tree, unsigned long addr)
{
	MA_STATE(fresh, tree, addr, addr);

	*mas = fresh;
}

static inline bool mas_is_active(const struct ma_state *mas)
{
	return mas->status == ma_active;
}

static inline bool mas_is_err(const struct ma_state *mas)
{
	return mas->status == ma_error;
}

static inline bool mas_is_none(const struct ma_state *mas)
{
	return mas->status == ma_none;
}

static inline bool mas_is_ptr(const struct ma_state *mas)
{
	return mas->status == ma_root;
}

static inline bool mas_is_start(const struct ma_state *mas)
{
	return mas->status == ma_start;
}

static inline bool mas_is_paused(const struct ma_state *mas)
{
	return mas->status == ma_pause;
}

static inline bool mas_is_overflow(const struct ma_state *mas)
{
	return mas->status == ma_overflow;
}

static inline bool mas_is_underflow(const struct ma_state *mas)
{
	return mas->status == ma_underflow;
}

/** mas_reset - forget the place; the next walk begins at index */
static inline void mas_reset(struct ma_state *mas)
{
	mas->status = ma_start;
	mas->node = NULL;
}

/** __mas_set_range - set [@start, @last] without forgetting the place */
static inline void __mas_set_range(struct ma_state *mas, unsigned long start, unsigned long last)
{
	mas->index = start;
	mas->last = last;
}

/** mas_set_range - begin anew at [@start, @last] */
static inline void mas_set_range(struct ma_state *mas, unsigned long start, unsigned long last)
{
	mas_reset(mas);
	__mas_set_range(mas, start, last);
}

/** mas_set - begin anew at @index */
static inline void mas_set(struct ma_state *mas, unsigned long index)
{
	mas_set_range(mas, index, index);
}

/*
 * What steps and stores take most often, inlined; the rest is a call. All of it is private. Readers run the steps beside a
 * writer, by the guarantees that src/tree/walk.c numbers: ma_seq is looked at first (W1), and then what the order word
 * kept in the state names (W2).
 */

/* A definition for inlining only: the library has the function too, for who takes its address. */
#define SAMARA_INLINE extern inline __attribute__((gnu_inline))
#define SAMARA_INLINE_ALWAYS extern inline __attribute__((gnu_inline, always_inline))

/*
 * The state's status, its offset and the bytes beside that as one word, of which the offset counts MAS_PLACE_OFFSET and
 * the number of the child MAS_PLACE_END; ma_active is 0. They are compared and written at once: what was written in parts
 * is waited for when it is read as a whole.
 */
SAMARA_INLINE_ALWAYS unsigned long mas_place(const struct ma_state *mas)
{
	unsigned long place;

	__builtin_memcpy(&place, (const char *)mas + offsetof(struct ma_state, status), sizeof(place));
	return place;
}

SAMARA_INLINE_ALWAYS void mas_set_place(struct ma_state *mas, unsigned long place)
{
	__builtin_memcpy((char *)mas + offsetof(struct ma_state, status), &place, sizeof(place));
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MAS_PLACE_OFFSET (1ul << 32)
#define MAS_PLACE_END (1ul << 56)
#define MAS_PLACE_STATUS 0xfffffffful
#else
#define MAS_PLACE_OFFSET (1ul << 24)
#define MAS_PLACE_END 1ul
#define MAS_PLACE_STATUS (0xfffffffful << 32)
#endif

/* The commoner kind of leaf; src/tree/node.h has the other, and says what may be relied on. */
struct mt_narrow {
	uint64_t order;			/* | used | count | slot at place 13 | ... | slot at place 0 | */
	uint64_t base;
	void *link;
	uint64_t other;
	uint32_t start[14];
	uint32_t last[14];
	void *slot[14];
};

/*
 * Whether the state with @place stands at a range, of an active one, in a leaf of this kind, and nothing has changed since:
 * then it is in mas_narrow().
 */
SAMARA_INLINE_ALWAYS bool mas_at_narrow(const struct ma_state *mas, unsigned long place)
{
	return (place & (MAS_PLACE_STATUS | MAS_PLACE_OFFSET)) == MAS_PLACE_OFFSET &&
	       !(((uintptr_t)mas->node - 2) & 31) &&
	       mas->seq == __atomic_load_n(&mas->tree->ma_seq, __ATOMIC_ACQUIRE);
}

SAMARA_INLINE_ALWAYS struct mt_narrow *mas_narrow(const struct ma_state *mas)
{
	return (struct mt_narrow *)((uintptr_t)mas->node - 2);
}

/* The next range, if the leaf has it, and it begins at or below @max; else NULL, and nothing has changed. */
SAMARA_INLINE_ALWAYS void *mas_step(struct ma_state *mas, unsigned long max)
{
	const struct mt_narrow *leaf = mas_narrow(mas);
	unsigned long place = mas_place(mas), base, start;
	unsigned int next = (unsigned int)(place / MAS_PLACE_OFFSET & 0xff) / 2 + 1, slot;

	if (__builtin_expect(!mas_at_narrow(mas, place) || mas->last >= max || next >= (mas->order >> 56 & 15), 0))
		return NULL;
	slot = mas->order >> (4 * next) & 15;
	base = leaf->base;
	start = base + __atomic_load_n(&leaf->start[slot], __ATOMIC_RELAXED);
	if (__builtin_expect(start > max, 0))
		return NULL;
	mas_set_place(mas, place + 2 * MAS_PLACE_OFFSET);
	mas->index = start;
	mas->last = base + __atomic_load_n(&leaf->last[slot], __ATOMIC_RELAXED);
	return __atomic_load_n(&leaf->slot[slot], __ATOMIC_ACQUIRE);
}

/* Whether the state stands at exactly [index, last], and the *@slot of that. */
SAMARA_INLINE_ALWAYS bool mas_at_slot(const struct ma_state *mas, void ***slot)
{
	struct mt_narrow *leaf = mas_narrow(mas);
	unsigned long place = mas_place(mas), base;
	unsigned int nr;

	if (__builtin_expect(!mas_at_narrow(mas, place), 0))
		return false;
	/* The offset is odd: twice as much, less two, are the bits below its slot. */
	nr = mas->order >> ((place / (MAS_PLACE_OFFSET / 2) - 2) & 63) & 15;
	base = leaf->base;
	if (__builtin_expect(base + leaf->start[nr] != mas->index || base + leaf->last[nr] != mas->last, 0))
		return false;
	*slot = &leaf->slot[nr];
	return true;
}

/** mas_find_far - mas_find() without its inlined part; private */
void *mas_find_far(struct ma_state *mas, unsigned long max);

/** mas_next_far - mas_next() without its inlined part; private */
void *mas_next_far(struct ma_state *mas, unsigned long max);

/** mas_store_far - mas_store() without its inlined part; private */
void *mas_store_far(struct ma_state *mas, void *entry);

/**
 * mas_walk - find the range that contains mas->index
 * @mas: state; index and last become the range's, of a gap too
 *
 * Locking: write lock or RCU.
 * Return: the entry, or NULL for a gap.
 */
void *mas_walk(struct ma_state *mas);

/**
 * mas_store - store over [index, last]
 * @mas:   state
 * @entry: what to store; NULL erases
 *
 * Nodes that were set aside are used first. After NULL, index and last are those of
 * the gap that the range is part of then.
 * Where [0, 0] is the only entry then, the state begins anew (ma_start).
 *
 * Locking: write lock.
 * Return: the entry that was at index. When memory runs out the state is in
 * error (-ENOMEM) and the tree is as before; mas_nomem() may help.
 */
void *mas_store(struct ma_state *mas, void *entry);

SAMARA_INLINE void *mas_store(struct ma_state *mas, void *entry)
{
	void **slot, *old;

	if (__builtin_expect(!entry || !mas_at_slot(mas, &slot), 0))
		return mas_store_far(mas, entry);
	old = *slot;
	__atomic_store_n(slot, entry, __ATOMIC_RELEASE);
	return old;
}

/**
 * mas_store_gfp - store over [index, last]
 *
 * Locking: write lock.
 * Return: 0; -ENOMEM, -EINVAL (index > last), with the tree as before.
 */
int mas_store_gfp(struct ma_state *mas, void *entry, gfp_t gfp);

/**
 * mas_preallocate - set nodes aside for one store; the state stays at [index, last]
 * @mas:   state; [index, last] is what will be stored
 * @entry: what will be stored; for NULL, index and last become those of the gap that there will be
 * @gfp:   ignored
 *
 * The next mas_store_prealloc() of the same range cannot fail, provided that
 * the tree does not change in between. mas_destroy() gives the nodes back when
 * the store is not made.
 *
 * Locking: write lock.
 * Return: 0; -ENOMEM, and then nothing is set aside.
 */
int mas_preallocate(struct ma_state *mas, void *entry, gfp_t gfp);

/** mas_store_prealloc - the store after mas_preallocate(); gives back what it does not use. Write lock. */
void mas_store_prealloc(struct ma_state *mas, void *entry);

/**
 * mas_insert - store over [index, last] where nothing is
 *
 * Locking: write lock.
 * Return: NULL; or the entry that is in the way, with the state in error
 * (-EEXIST), the tree as before, and the state at that entry. -ENOMEM as mas_store().
 */
void *mas_insert(struct ma_state *mas, void *entry);

/**
 * mas_erase - erase the whole range that contains mas->index
 *
 * Needs no memory and cannot fail. index and last become those of the gap that the
 * range is part of then. When nothing is left, the state begins anew (ma_start).
 *
 * Locking: write lock.
 * Return: the entry that was there, or NULL.
 */
void *mas_erase(struct ma_state *mas);

/**
 * mas_find - the first entry at or after index, then the ones that follow
 * @mas: state; index and last become the range's
 * @max: highest index to look at, inclusive
 *
 * The first call looks at index itself; so does one after a next or prev that ended at
 * its limit (ma_overflow, ma_underflow). The others look behind the present range.
 *
 * Locking: write lock or RCU.
 * Return: the entry, or NULL; then the state is at the range that reaches to the limit
 * or beyond, and may go on with another limit.
 */
void *mas_find(struct ma_state *mas, unsigned long max);

SAMARA_INLINE void *mas_find(struct ma_state *mas, unsigned long max)
{
	void *entry = mas_step(mas, max);

	return __builtin_expect(entry != NULL, 1) ? entry : mas_find_far(mas, max);
}

/** mas_find_range - as mas_find(), but a gap counts as a range and gives NULL; ma_overflow at the end */
void *mas_find_range(struct ma_state *mas, unsigned long max);

/** mas_find_rev - the first entry at or below index, down to @min, then the ones before (ma_underflow at the end) */
void *mas_find_rev(struct ma_state *mas, unsigned long min);

/** mas_find_range_rev - as mas_find_rev(), but a gap counts as a range and gives NULL */
void *mas_find_range_rev(struct ma_state *mas, unsigned long min);

/** mas_next - the first entry after the present range, up to @max, or NULL and ma_overflow. Lock or RCU. */
void *mas_next(struct ma_state *mas, unsigned long max);

SAMARA_INLINE void *mas_next(struct ma_state *mas, unsigned long max)
{
	void *entry = mas_step(mas, max);

	return __builtin_expect(entry != NULL, 1) ? entry : mas_next_far(mas, max);
}

/** mas_next_range - the range after the present one, its entry or NULL for a gap. Lock or RCU. */
void *mas_next_range(struct ma_state *mas, unsigned long max);

/** mas_prev - the first entry before the present range, down to @min, or NULL and ma_underflow. Lock or RCU. */
void *mas_prev(struct ma_state *mas, unsigned long min);

/** mas_prev_range - the range before the present one, its entry or NULL for a gap. Lock or RCU. */
void *mas_prev_range(struct ma_state *mas, unsigned long min);

/* A narrow leaf with its order word, read since the state's last walk. */
struct mt_leaf {
	struct maple_enode *node;	/* or NULL */
	unsigned long order;
};

/** mas_leaf_ahead - the leaf behind the state's, if it is narrow and has the same parent; private */
struct mt_leaf mas_leaf_ahead(const struct ma_state *mas);

/**
 * mas_leaf_enter - go from the end of a leaf to the first range of @next, if it follows; private
 *
 * Return: the leaf behind @next. The state is in @next, or has not changed.
 */
struct mt_leaf mas_leaf_enter(struct ma_state *mas, struct mt_leaf next, unsigned long max);

/*
 * Where a loop is, in registers: what of the leaf comes after the present range, and the leaf behind it, which
 * is read long before it is gone to. It counts only as long as the state still is where the loop left it, and nothing
 * has changed.
 */
struct mas_run {
	struct maple_enode *node;
	unsigned long rest;	/* slots to come, four bits each, the next one lowest; 15 ends them */
	unsigned long place;	/* see mas_place() */
	unsigned long seq;
	struct mt_leaf ahead;
};

#define MAS_NOWHERE ((struct maple_enode *)1)	/* no state is there */

/* The slots behind @place. */
SAMARA_INLINE_ALWAYS unsigned long mas_run_rest(unsigned long order, unsigned int place)
{
	unsigned int after = (order >> 56 & 15) - place;

	return (order >> 4 * place & ((1ul << 4 * after) - 1)) | 15ul << 4 * after;
}

SAMARA_INLINE_ALWAYS void mas_run_begin(struct mas_run *run, const struct ma_state *mas)
{
	run->node = MAS_NOWHERE;
	if (mas->status != ma_active || ((uintptr_t)mas->node & 31) != 2 || !(mas->offset & 1))
		return;
	run->node = mas->node;
	run->rest = mas_run_rest(mas->order, (mas->offset + 1u) / 2);
	run->seq = mas->seq;
	run->place = mas_place(mas);
	run->ahead = mas_leaf_ahead(mas);
}

SAMARA_INLINE_ALWAYS bool mas_run_goes_on(const struct mas_run *run, const struct ma_state *mas, unsigned long max)
{
	return mas->node == run->node && mas_place(mas) == run->place && mas->last < max &&
	       run->seq == __atomic_load_n(&mas->tree->ma_seq, __ATOMIC_ACQUIRE);
}

/* The leaf has no more: go to the one behind it. */
SAMARA_INLINE_ALWAYS bool mas_run_enter(struct mas_run *run, struct ma_state *mas, unsigned long max)
{
	const struct mt_leaf next = run->ahead;

	if (!next.node)
		return false;
	run->ahead = mas_leaf_enter(mas, next, max);
	if (mas->node != next.node)
		return false;
	run->node = next.node;
	run->rest = mas_run_rest(next.order, 0);
	run->place = mas_place(mas) - 2 * MAS_PLACE_OFFSET;
	return true;
}

/* mas_find() */
SAMARA_INLINE_ALWAYS void *mas_run_find(struct mas_run *run, struct ma_state *mas, unsigned long max)
{
	const struct mt_narrow *leaf;
	unsigned long start, base;
	unsigned int slot;
	void *entry;

	if (__builtin_expect(mas_run_goes_on(run, mas, max) && (run->rest > 15 || mas_run_enter(run, mas, max)), 1)) {
		leaf = (const struct mt_narrow *)((uintptr_t)run->node - 2);
		slot = run->rest & 15;
		base = leaf->base;
		start = base + __atomic_load_n(&leaf->start[slot], __ATOMIC_RELAXED);
		if (__builtin_expect(start <= max, 1)) {
			run->rest >>= 4;
			run->place += 2 * MAS_PLACE_OFFSET;
			mas_set_place(mas, run->place);
			mas->index = start;
			mas->last = base + __atomic_load_n(&leaf->last[slot], __ATOMIC_RELAXED);
			entry = __atomic_load_n(&leaf->slot[slot], __ATOMIC_ACQUIRE);
			if (!entry)
				__builtin_unreachable();
			return entry;
		}
	}
	entry = mas_find_far(mas, max);
	if (entry)
		mas_run_begin(run, mas);
	return entry;
}

#define SAMARA_PASTE_(a, b) a##b
#define SAMARA_PASTE(a, b) SAMARA_PASTE_(a, b)
#define SAMARA_FOR_EACH(run, mas, entry, max)                                         \
	for (struct mas_run run = { MAS_NOWHERE, 0, 0, 0, { NULL, 0 } };           \
	     ((entry) = mas_run_find(&run, (mas), (max))) != NULL;)

/** mas_for_each - each entry from mas->index up to @max */
#define mas_for_each(mas, entry, max) SAMARA_FOR_EACH(SAMARA_PASTE(mas_run_, __COUNTER__), mas, entry, max)

/** mas_for_each_rev - each entry from mas->index down to @min */
#define mas_for_each_rev(mas, entry, min) while (((entry) = mas_find_rev((mas), (min))) != NULL)

/**
 * mas_empty_area - the lowest place for @size indexes
 * @mas:  state; index and last become the place: exactly @size indexes
 * @min:  lowest index allowed
 * @max:  highest index allowed, inclusive
 * @size: number of indexes, at least 1
 *
 * Locking: write lock.
 * Return: 0; -EBUSY (no such place: the state is in error, index and last are @min and @max),
 * -EINVAL (@min > @max, @size 0 or larger than the span: the state is as it was).
 */
int mas_empty_area(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size);

/** mas_empty_area_rev - the highest place for @size indexes; else as mas_empty_area() */
int mas_empty_area_rev(struct ma_state *mas, unsigned long min, unsigned long max, unsigned long size);

/** mas_alloc_cyclic - mtree_alloc_cyclic() for a caller who holds the write lock */
int mas_alloc_cyclic(struct ma_state *mas, unsigned long *startp, void *entry, unsigned long range_lo,
		     unsigned long range_hi, unsigned long *next, gfp_t gfp);

/**
 * mas_nomem - after a store ran out of memory, get what it wanted
 *
 * Return: true when the store should be tried again; false when it did not run
 * out of memory, or there is none to be had.
 */
bool mas_nomem(struct ma_state *mas, gfp_t gfp);

/** mas_pause - keep the place while the lock is dropped; the next step goes on after it */
void mas_pause(struct ma_state *mas);

/** mas_destroy - give back the nodes that were set aside; the state stays where it is */
void mas_destroy(struct ma_state *mas);

/**
 * mas_expected_entries - set nodes aside for many stores in rising order
 * @mas:        state
 * @nr_entries: how many will be stored
 *
 * Return: 0; -ENOMEM, and then nothing is set aside.
 */
int mas_expected_entries(struct ma_state *mas, unsigned long nr_entries);

/* Looking inside ---------------------------------------------------------- */

enum mt_dump_format { mt_dump_dec, mt_dump_hex };

/**
 * mt_validate - check every invariant of the tree
 *
 * What is broken is told to the platform's log; debug builds abort. Write lock.
 */
void mt_validate(struct maple_tree *mt);

/** mt_is_valid - as mt_validate(), without a word. Return: whether all invariants hold. Write lock. */
bool mt_is_valid(struct maple_tree *mt);

/** mt_dump - print the tree, node by node, to standard output. Lock or RCU. */
void mt_dump(const struct maple_tree *mt, enum mt_dump_format format);

/** mas_dump - print a state to standard output */
void mas_dump(const struct ma_state *mas);

/**
 * mt_report - say on standard error that a condition holds which must not
 * @mt:   its tree is printed; or NULL
 * @mas:  printed too; or NULL
 * @what: the condition, and where it stands
 * @die:  end the program
 *
 * What the macros below call.
 */
void mt_report(const struct maple_tree *mt, const struct ma_state *mas, const char *what, bool die);

#define MT_TEXT_(x) #x
#define MT_TEXT(x) MT_TEXT_(x)
#define MT_CHECK_(mt, mas, cond, what, die)                                    \
	((cond) ? (mt_report((mt), (mas), what ": " __FILE__ ":" MT_TEXT(__LINE__), (die)), true) : false)

/** MT_BUG_ON, MAS_BUG_ON - print the tree (and the state) and end the program if @cond holds */
#define MT_BUG_ON(mt, cond) ((void)MT_CHECK_((mt), NULL, (cond), "BUG, " #cond, true))
#define MAS_BUG_ON(mas, cond) ((void)MT_CHECK_((mas)->tree, (mas), (cond), "BUG, " #cond, true))

/** MT_WARN_ON, MAS_WARN_ON - the same without an end; whether @cond holds */
#define MT_WARN_ON(mt, cond) MT_CHECK_((mt), NULL, (cond), "warning, " #cond, false)
#define MAS_WARN_ON(mas, cond) MT_CHECK_((mas)->tree, (mas), (cond), "warning, " #cond, false)

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
