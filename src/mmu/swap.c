/* SPDX-License-Identifier: MIT */
/*
 * Slots of the swap area.
 *
 *   slot     0     1     2     3     4   ...
 *   refs  |never|  2  |  0  |  1  |  0  |        entries of page tables, and of indexes of shared memory
 *                        ^ next: where the search for a free one goes on
 */
#include "mmu/swap.h"

struct swap_area {
	struct platform *pf;
	struct pf_store *store;
	unsigned long slots;
	pf_mutex lock;
	/* lock, for a slot that leaves or enters the free ones: */
	unsigned long next;
	bool closed;
	atomic_ulong used;
	atomic_uint refs[];
};

struct swap_area *swap_area_create(struct platform *pf, unsigned long slots)
{
	struct swap_area *area;

	area = pf_alloc(pf, PF_OTHER, sizeof(*area) + (slots + 1) * sizeof(atomic_uint),
			_Alignof(struct swap_area));
	if (!area)
		return NULL;
	area->pf = pf;
	area->slots = slots + 1;
	area->next = 1;
	area->store = pf_store_create(pf, area->slots);
	if (!area->store) {
		pf_free(pf, PF_OTHER, area);
		return NULL;
	}
	pf_mutex_init(&area->lock);
	return area;
}

void swap_area_destroy(struct swap_area *area)
{
	if (!area)
		return;
	pf_warn_on_once(area->pf, atomic_load(&area->used) != 0, "swap area ends with %lu slots in use",
			atomic_load(&area->used));
	pf_store_destroy(area->store);
	pf_mutex_destroy(&area->lock);
	pf_free(area->pf, PF_OTHER, area);
}

/* Requires the lock. */
static unsigned long find_free(const struct swap_area *area)
{
	for (unsigned long n = 0; n < area->slots - 1; n++) {
		unsigned long slot = area->next + n;

		if (slot >= area->slots)
			slot -= area->slots - 1;
		if (!atomic_load(&area->refs[slot]))
			return slot;
	}
	return 0;
}

unsigned long swap_slot_alloc(struct swap_area *area)
{
	unsigned long slot = 0;

	if (!pf_attempts(area->pf, 1))
		return 0;
	pf_mutex_lock(&area->lock);
	if (!area->closed && atomic_load(&area->used) < area->slots - 1)
		slot = find_free(area);
	if (slot) {
		atomic_store(&area->refs[slot], 1);
		atomic_fetch_add(&area->used, 1);
		area->next = slot + 1 < area->slots ? slot + 1 : 1;
		pf_count(area->pf, PF_SWAP, 1);
	}
	pf_mutex_unlock(&area->lock);
	return slot;
}

void swap_slot_dup(struct swap_area *area, unsigned long slot)
{
	unsigned int before;

	pf_assert(slot && slot < area->slots);
	before = atomic_fetch_add(&area->refs[slot], 1);
	pf_assert(before > 0);
	(void)before;
}

bool swap_slot_try_dup(struct swap_area *area, unsigned long slot)
{
	unsigned int refs;

	pf_assert(slot && slot < area->slots);
	refs = atomic_load(&area->refs[slot]);
	while (refs)
		if (atomic_compare_exchange_weak(&area->refs[slot], &refs, refs + 1))
			return true;
	return false;
}

void swap_slot_free(struct swap_area *area, unsigned long slot)
{
	unsigned int refs;

	pf_assert(slot && slot < area->slots);
	refs = atomic_load(&area->refs[slot]);
	while (refs > 1)
		if (atomic_compare_exchange_weak(&area->refs[slot], &refs, refs - 1))
			return;
	/*
	 * The last reference goes under the lock: a slot that is found free there has been forgotten, and who
	 * takes it anew waits. A reader may still come and take a reference just before.
	 */
	pf_mutex_lock(&area->lock);
	if (atomic_fetch_sub(&area->refs[slot], 1) == 1) {
		pf_store_discard(area->store, slot);
		atomic_fetch_sub(&area->used, 1);
		pf_count(area->pf, PF_SWAP, -1);
	}
	pf_mutex_unlock(&area->lock);
}

unsigned long swap_slot_count(const struct swap_area *area, unsigned long slot)
{
	pf_assert(slot < area->slots);
	return atomic_load(&area->refs[slot]);
}

int swap_slot_write(struct swap_area *area, unsigned long slot, const void *page)
{
	pf_assert(swap_slot_count(area, slot) > 0);
	return pf_store_write(area->store, slot, page);
}

int swap_slot_read(struct swap_area *area, unsigned long slot, void *page)
{
	pf_assert(swap_slot_count(area, slot) > 0);
	return pf_store_read(area->store, slot, page);
}

bool swap_area_close(struct swap_area *area, bool closed)
{
	bool changed;

	pf_mutex_lock(&area->lock);
	changed = area->closed != closed;
	area->closed = closed;
	pf_mutex_unlock(&area->lock);
	return changed;
}

bool swap_area_is_empty(struct swap_area *area)
{
	bool empty;

	pf_mutex_lock(&area->lock);
	empty = atomic_load(&area->used) == 0;
	pf_mutex_unlock(&area->lock);
	return empty;
}

unsigned long swap_area_used(const struct swap_area *area)
{
	return atomic_load(&area->used);
}

unsigned long swap_area_size(const struct swap_area *area)
{
	return area->slots - 1;
}
