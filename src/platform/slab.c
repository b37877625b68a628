/* SPDX-License-Identifier: MIT */
/*
 * Slabs: objects of one size, cut from pieces of memory that go back to the host with the slab.
 *
 *   piece    |head|object|object|object| not yet cut ...|
 *   free     object -> object -> object            through the word that the slab was told of
 *   stock    a few free objects at the hand of one user, who needs no lock for them
 *
 * A reader under RCU may look at an object that was freed beneath it, so nothing in a free object changes but
 * the word of the link, which readers leave alone.
 */
#include "platform/platform.h"

#include <string.h>

#define FIRST_PIECE 8192ul
#define STOCK_BATCH 16	/* so many objects go from slab to stock, or back, at once */

struct slab_piece {
	struct slab_piece *next;
	size_t size;
};

struct pf_slab {
	struct platform *pf;
	enum pf_kind kind;
	size_t size;		/* bytes from one object to the next */
	size_t align;
	size_t link;		/* where in an object */
	pf_mutex lock;
	/* lock: */
	struct slab_piece *pieces;
	unsigned char *cut, *cut_end;	/* what is left of the newest piece */
	size_t next_piece;		/* bytes */
	void *free;
	long live;			/* those at the hands of stocks too */
};

static void **link_of(const struct pf_slab *slab, void *object)
{
	return (void **)((unsigned char *)object + slab->link);
}

struct pf_slab *pf_slab_create(struct platform *pf, enum pf_kind kind, size_t size, size_t align, size_t link)
{
	struct pf_slab *slab;

	pf_assert(align >= sizeof(void *) && !(align & (align - 1)));
	pf_assert(link + sizeof(void *) <= size && !(link & (sizeof(void *) - 1)));
	slab = pf_alloc(pf, PF_OTHER, sizeof(*slab), _Alignof(struct pf_slab));
	if (!slab)
		return NULL;
	slab->pf = pf;
	slab->kind = kind;
	slab->align = align;
	slab->size = (size + align - 1) & ~(align - 1);
	slab->link = link;
	slab->next_piece = FIRST_PIECE;
	pf_mutex_init(&slab->lock);
	return slab;
}

void pf_slab_destroy(struct pf_slab *slab)
{
	struct slab_piece *piece, *next;

	if (!slab)
		return;
	pf_synchronize_rcu();
	pf_warn_on_once(slab->pf, slab->live != 0, "slab destroyed with %ld live objects", slab->live);
	for (piece = slab->pieces; piece; piece = next) {
		next = piece->next;
		pf_piece_free(slab->pf, piece, piece->size);
	}
	pf_mutex_destroy(&slab->lock);
	pf_free(slab->pf, PF_OTHER, slab);
}

size_t pf_slab_stride(const struct pf_slab *slab)
{
	return slab->size;
}

/* Requires the slab's lock. */
static bool slab_grow(struct pf_slab *slab)
{
	struct slab_piece *piece = pf_piece_alloc(slab->pf, slab->next_piece);
	uintptr_t first;

	if (!piece)
		return false;
	piece->next = slab->pieces;
	piece->size = slab->next_piece;
	slab->pieces = piece;
	first = ((uintptr_t)(piece + 1) + slab->align - 1) & ~(uintptr_t)(slab->align - 1);
	slab->cut = (unsigned char *)piece + (first - (uintptr_t)piece);
	slab->cut_end = (unsigned char *)piece + piece->size;
	if (slab->next_piece < PF_PIECE_HUGE)
		slab->next_piece *= 2;
	return true;
}

/* Requires the slab's lock. NULL when the host has no more. */
static void *slab_take(struct pf_slab *slab)
{
	void *object = slab->free;

	if (object) {
		slab->free = *link_of(slab, object);
	} else {
		if (slab->cut + slab->size > slab->cut_end && !slab_grow(slab))
			return NULL;
		object = slab->cut;
		slab->cut += slab->size;
		memset(object, 0, slab->size);
	}
	slab->live++;
	return object;
}

void *pf_slab_alloc(struct pf_slab *slab)
{
	void *object;

	if (!pf_attempts(slab->pf, 1))
		return NULL;
	pf_mutex_lock(&slab->lock);
	object = slab_take(slab);
	pf_mutex_unlock(&slab->lock);
	if (!object)
		return NULL;
	memset(object, 0, slab->size);
	pf_count(slab->pf, slab->kind, 1);
	return object;
}

void pf_slab_free(struct pf_slab *slab, void *ptr)
{
	if (!ptr)
		return;
	pf_mutex_lock(&slab->lock);
	*link_of(slab, ptr) = slab->free;
	slab->free = ptr;
	slab->live--;
	pf_mutex_unlock(&slab->lock);
	pf_count(slab->pf, slab->kind, -1);
}

/* Stocks ------------------------------------------------------------------ */

/* One user at a time: found out in debug builds. */
static void stock_enter(struct pf_stock *stock)
{
	pf_assert(!__atomic_exchange_n(&stock->busy, true, __ATOMIC_RELAXED));
}

static void stock_leave(struct pf_stock *stock)
{
	pf_assert(__atomic_exchange_n(&stock->busy, false, __ATOMIC_RELAXED));
}

void pf_stock_init(struct pf_stock *stock, struct pf_slab *slab)
{
	*stock = (struct pf_stock){ .slab = slab };
	pf_tally_add(slab->pf, &stock->tally, slab->kind);
}

/* The list that begins at @first, @count long, of which @last is the last, goes back to the slab. */
static void give_back(struct pf_slab *slab, void *first, void *last, unsigned long count)
{
	pf_mutex_lock(&slab->lock);
	*link_of(slab, last) = slab->free;
	slab->free = first;
	slab->live -= (long)count;
	pf_mutex_unlock(&slab->lock);
}

void pf_stock_destroy(struct pf_stock *stock)
{
	if (stock->count)
		give_back(stock->slab, stock->first, stock->last, stock->count);
	if (stock->full)
		give_back(stock->slab, stock->full, stock->full_last, STOCK_BATCH);
	pf_tally_remove(stock->slab->pf, &stock->tally);
}

/* Fill the empty list. False when the host has no more. */
static bool stock_fill(struct pf_stock *stock)
{
	struct pf_slab *slab = stock->slab;
	void *object;

	if (stock->full) {
		stock->first = stock->full;
		stock->last = stock->full_last;
		stock->count = STOCK_BATCH;
		stock->full = NULL;
		return true;
	}
	pf_mutex_lock(&slab->lock);
	while (stock->count < STOCK_BATCH && (object = slab_take(slab)) != NULL) {
		/* In order of address, as they were cut: the last one taken is the last one used. */
		if (stock->count++)
			*link_of(slab, stock->last) = object;
		else
			stock->first = object;
		stock->last = object;
	}
	pf_mutex_unlock(&slab->lock);
	return stock->count != 0;
}

void *pf_stock_alloc(struct pf_stock *stock)
{
	struct platform *pf = stock->slab->pf;
	void *object = NULL;

	stock_enter(stock);
	if (__builtin_expect(!pf_attempts_may_fail(pf), 1))
		pf_tally_attempt(&stock->tally);
	else if (!pf_attempts(pf, 1))
		goto out;
	if (!stock->count && !stock_fill(stock))
		goto out;
	object = stock->first;
	if (--stock->count)
		stock->first = *link_of(stock->slab, object);
	pf_tally_count(&stock->tally, 1);
out:
	stock_leave(stock);
	return object;
}

void pf_stock_free(struct pf_stock *stock, void *ptr)
{
	stock_enter(stock);
	if (stock->count == STOCK_BATCH) {
		if (stock->full)
			give_back(stock->slab, stock->full, stock->full_last, STOCK_BATCH);
		stock->full = stock->first;
		stock->full_last = stock->last;
		stock->count = 0;
	}
	if (stock->count++)
		*link_of(stock->slab, ptr) = stock->first;
	else
		stock->last = ptr;
	stock->first = ptr;
	pf_tally_count(&stock->tally, -1);
	stock_leave(stock);
}

void pf_stock_free_list(struct pf_stock *stock, void *first, void *last, unsigned long count)
{
	stock_enter(stock);
	pf_assert(count && (first == last) == (count == 1));
	give_back(stock->slab, first, last, count);
	pf_tally_count(&stock->tally, -(long)count);
	stock_leave(stock);
}
