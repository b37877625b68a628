/* SPDX-License-Identifier: MIT */
/*
 * The pool: who has which frame.
 *
 *   0     1     2          fresh                    fresh_end        nr_frames
 *   | none|zeros| used and free frames  | never used    | 2 MiB frames   |
 *
 * Small frames are taken from below, large ones from above, until they meet; then free large ones are broken
 * up. Frames that were freed last are handed out first, from shelves that threads share by number, so that a
 * fault takes one lock that few others want. What lies on other shelves is fetched before "no memory" is
 * said.
 */
#include "mmu/mmu.h"

#define FRAMES_LEAST 16UL
#define SHELF_REFILL 32u

#if !PF_TSAN
_Static_assert(sizeof(struct page) <= 64, "the state of a frame is one cache line");
#endif

/* The pool ---------------------------------------------------------------- */

static void reserve_frame(struct frame_pool *pool, pfn_t pfn)
{
	struct page *page = pfn_to_page(pool, pfn);

	atomic_store(&page->flags, PG_RESERVED);
	atomic_store(&page->refcount, 1);
}

int frame_pool_create(struct platform *pf, unsigned long nr, struct frame_pool **out)
{
	struct frame_pool *pool;

	if (nr < FRAMES_LEAST || nr > UINT32_MAX)
		return -EINVAL;
	pool = pf_alloc(pf, PF_OTHER, sizeof(*pool), 64);
	if (!pool)
		return -ENOMEM;
	pool->pf = pf;
	pool->nr_frames = nr;
	pool->pages = pf_sparse_alloc(nr * sizeof(struct page));
	if (!pool->pages)
		goto free_pool;
	pool->memory = pf_frames_create(pf, nr);
	if (!pool->memory)
		goto free_pages;
	pool->base = pf_frames_base(pool->memory);
	reserve_frame(pool, 0);
	pool->zero_pfn = 1;
	reserve_frame(pool, pool->zero_pfn);
	pool->fresh = 2;
	pool->fresh_end = (pfn_t)nr;
	*out = pool;
	return 0;

free_pages:
	pf_sparse_free(pool->pages, nr * sizeof(struct page));
free_pool:
	pf_free(pf, PF_OTHER, pool);
	return -ENOMEM;
}

void frame_pool_destroy(struct frame_pool *pool)
{
	if (!pool)
		return;
	pf_warn_on_once(pool->pf, frame_pool_used(pool) != 0, "frame pool destroyed with %lu frames in use",
			frame_pool_used(pool));
	pf_frames_destroy(pool->memory);
	pf_sparse_free(pool->pages, pool->nr_frames * sizeof(struct page));
	pf_free(pool->pf, PF_OTHER, pool);
}

unsigned long frame_pool_used(const struct frame_pool *pool)
{
	return __atomic_load_n(&pool->nr_used, __ATOMIC_RELAXED);
}

void mmu_trip(struct frame_pool *pool, enum mmu_trip what, unsigned long where)
{
	static const char *const names[MMU_NR_TRIPS] = {
		[MMU_TRIP_FRAME_UNFLUSHED] = "a frame was freed before the flush of its translation",
		[MMU_TRIP_TABLE_UNFLUSHED] = "a page table was freed before its flush",
		[MMU_TRIP_TABLE_LINKED] = "a page table was freed while its mapping was in a reverse map",
		[MMU_TRIP_YIELD_UNFLUSHED] = "something yielded between a zap and its flush",
	};

	__atomic_add_fetch(&pool->trips[what], 1, __ATOMIC_RELAXED);
	/* Planted, it is what a test waits for. */
	pf_warn_on_once(pool->pf, !pool->plants, "%s (%lx)", names[what], where);
}

/* Free frames ------------------------------------------------------------- */

static void list_push(struct frame_pool *pool, pfn_t pfn)
{
	pf_assert(pf_spin_is_locked(&pool->lock));
	pfn_to_page(pool, pfn)->next_free = pool->free;
	pool->free = pfn;
	pool->nr_free++;
}

static pfn_t list_pop(struct frame_pool *pool)
{
	pfn_t pfn = pool->free;

	if (pfn) {
		pool->free = pfn_to_page(pool, pfn)->next_free;
		pool->nr_free--;
	}
	return pfn;
}

/* Frames that were never used read as zero. */
static void mark_fresh(struct frame_pool *pool, pfn_t pfn)
{
	atomic_store_explicit(&pfn_to_page(pool, pfn)->flags, PG_FREE | PG_ZEROED, memory_order_relaxed);
}

/* A free large frame becomes 512 small ones. Requires the pool's lock. */
static bool break_up_huge(struct frame_pool *pool)
{
	pfn_t pfn = pool->free_huge;

	pf_assert(pf_spin_is_locked(&pool->lock));
	if (!pfn)
		return false;
	pool->free_huge = pfn_to_page(pool, pfn)->next_free;
	for (pfn_t i = PT_ENTRIES; i-- > 0;)
		list_push(pool, pfn + i);
	return true;
}

/* Put some frames on a shelf that is empty. Both locks are held. False: there are none. */
static bool refill_from_pool(struct frame_pool *pool, struct frame_shelf *shelf)
{
	pfn_t pfn;

	if (!pool->free && pool->fresh >= pool->fresh_end && !break_up_huge(pool))
		return false;
	while (shelf->nr < SHELF_REFILL) {
		pfn = list_pop(pool);
		if (!pfn) {
			if (pool->fresh >= pool->fresh_end)
				break;
			pfn = pool->fresh++;
			mark_fresh(pool, pfn);
		}
		shelf->frame[shelf->nr++] = pfn;
	}
	/* The first that was found is handed out first. */
	for (uint32_t i = 0, k = shelf->nr - 1; i < k; i++, k--) {
		pfn = shelf->frame[i];
		shelf->frame[i] = shelf->frame[k];
		shelf->frame[k] = pfn;
	}
	return true;
}

/* Empty all shelves but @mine into the pool. The lock of none is held. */
static void fetch_from_shelves(struct frame_pool *pool)
{
	for (int i = 0; i < FRAME_SHELVES; i++) {
		struct frame_shelf *shelf = &pool->shelf[i];

		pf_spin_lock(&shelf->lock);
		pf_spin_lock(&pool->lock);
		while (shelf->nr)
			list_push(pool, shelf->frame[--shelf->nr]);
		pf_spin_unlock(&pool->lock);
		pf_spin_unlock(&shelf->lock);
	}
}

static struct frame_shelf *my_shelf(struct frame_pool *pool)
{
	return &pool->shelf[pf_thread_number() % FRAME_SHELVES];
}

/*
 * What comes from the pool has not been used for a while: it is zeroed at once, if that is what it is wanted
 * for.
 */
static void clear_refilled(struct frame_pool *pool, struct frame_shelf *shelf)
{
	void *cold[SHELF_REFILL];
	struct page *page;
	unsigned int nr = 0;

	for (uint32_t i = 0; i < shelf->nr; i++) {
		page = pfn_to_page(pool, shelf->frame[i]);
		if (atomic_load_explicit(&page->flags, memory_order_relaxed) & PG_ZEROED)
			continue;
		cold[nr++] = page_address(pool, page);
		atomic_store_explicit(&page->flags, PG_FREE | PG_ZEROED, memory_order_relaxed);
	}
	if (nr)
		pf_clear_cold(cold, nr);
}

static pfn_t shelf_take(struct frame_pool *pool, struct frame_shelf *shelf, bool zeroed)
{
	pfn_t pfn = 0;

	pf_spin_lock(&shelf->lock);
	if (!shelf->nr) {
		pf_spin_lock(&pool->lock);
		refill_from_pool(pool, shelf);
		pf_spin_unlock(&pool->lock);
		if (zeroed)
			clear_refilled(pool, shelf);
	}
	if (shelf->nr)
		pfn = shelf->frame[--shelf->nr];
	pf_spin_unlock(&shelf->lock);
	return pfn;
}

/* A frame off the free lists, uncounted; NULL: none. */
static struct page *take_frame(struct frame_pool *pool, bool zeroed)
{
	struct frame_shelf *shelf = my_shelf(pool);
	pfn_t pfn = shelf_take(pool, shelf, zeroed);

	if (!pfn) {
		fetch_from_shelves(pool);
		pfn = shelf_take(pool, shelf, zeroed);
	}
	return pfn ? pfn_to_page(pool, pfn) : NULL;
}

/* Back on the free lists, with one lock for many. */
static void free_frames(struct frame_pool *pool, struct page **pages, unsigned int nr)
{
	struct frame_shelf *shelf = my_shelf(pool);
	unsigned int done = 0;

	pf_spin_lock(&shelf->lock);
	while (done < nr && shelf->nr < FRAME_SHELF_ROOM)
		shelf->frame[shelf->nr++] = page_to_pfn(pool, pages[done++]);
	if (done < nr) {
		pf_spin_lock(&pool->lock);
		while (done < nr)
			list_push(pool, page_to_pfn(pool, pages[done++]));
		pf_spin_unlock(&pool->lock);
	}
	pf_spin_unlock(&shelf->lock);
}

static void count_used(struct frame_pool *pool, enum pf_kind kind, long by)
{
	__atomic_add_fetch(&pool->nr_used, (unsigned long)by, __ATOMIC_RELAXED);
	pf_count(pool->pf, kind, by);
}

/* Taking and giving back --------------------------------------------------- */

static void clear_frame(struct frame_pool *pool, struct page *page, uint32_t was)
{
	if (!(was & PG_ZEROED))
		memset(page_address(pool, page), 0, PAGE_SIZE);
}

bool frame_pool_relieve(struct frame_pool *pool, unsigned long since)
{
	/* Others wait for sections like this one. */
	if (!pool->relieve || pf_rcu_read_lock_held())
		return false;
	if (frame_pool_short(pool) == since)
		return false;
	return pool->relieve(pool->relieve_arg);
}

/* A frame off the lists, if need be one that somebody gives up for it. */
static struct page *take_or_relieve(struct frame_pool *pool, bool zeroed, bool relieve)
{
	unsigned long since = frame_pool_short(pool);
	struct page *page;

	while (!(page = take_frame(pool, zeroed))) {
		__atomic_add_fetch(&pool->nr_short, 1, __ATOMIC_RELAXED);
		if (!relieve || !frame_pool_relieve(pool, since))
			return NULL;
	}
	return page;
}

/* Off the lists and made anew; what the flags were while it was free comes back in *@was. */
static struct page *take_page(struct frame_pool *pool, bool zeroed, bool relieve, uint32_t *was)
{
	struct page *page;

	if (!pf_attempts(pool->pf, 1))
		return NULL;
	page = take_or_relieve(pool, zeroed, relieve);
	if (!page)
		return NULL;
	*was = atomic_load_explicit(&page->flags, memory_order_relaxed);
	pf_assert(*was & PG_FREE);
	pf_assert(page_refcount(page) == 0 && page_mapcount(page) == 0);
	return page;
}

static struct page *make_page(struct frame_pool *pool, bool zeroed, bool relieve)
{
	struct page *page;
	uint32_t was;

	page = take_page(pool, zeroed, relieve, &was);
	if (!page)
		return NULL;
	page->mapping = NULL;
	page->index = 0;
	page->private = 0;
	page->next = page->prev = NULL;
	if (zeroed)
		clear_frame(pool, page, was);
	atomic_store_explicit(&page->flags, 0, memory_order_relaxed);
	/* Who finds it without a lock looks at the count first. */
	atomic_store_explicit(&page->refcount, 1, memory_order_release);
	count_used(pool, PF_FRAME, 1);
	return page;
}

struct page *alloc_page(struct frame_pool *pool, bool zeroed)
{
	return make_page(pool, zeroed, true);
}

struct page *alloc_page_nowait(struct frame_pool *pool, bool zeroed)
{
	return make_page(pool, zeroed, false);
}

/* 512 aligned frames, free or never used. Requires the pool's lock. */
static pfn_t take_huge(struct frame_pool *pool)
{
	pfn_t pfn = pool->free_huge, first;

	pf_assert(pf_spin_is_locked(&pool->lock));
	if (pfn) {
		pool->free_huge = pfn_to_page(pool, pfn)->next_free;
		return pfn;
	}
	first = pool->fresh_end & ~(pfn_t)(PT_ENTRIES - 1);
	if (first < pool->fresh + PT_ENTRIES)
		return 0;
	/* The end of the pool need not be aligned. */
	while (pool->fresh_end > first) {
		mark_fresh(pool, --pool->fresh_end);
		list_push(pool, pool->fresh_end);
	}
	pool->fresh_end -= PT_ENTRIES;
	for (pfn_t i = 0; i < PT_ENTRIES; i++)
		mark_fresh(pool, pool->fresh_end + i);
	return pool->fresh_end;
}

struct page *alloc_huge_page(struct frame_pool *pool)
{
	struct page *page, *head;
	pfn_t pfn;

	if (!pf_attempts(pool->pf, 1))
		return NULL;
	pf_spin_lock(&pool->lock);
	pfn = take_huge(pool);
	pf_spin_unlock(&pool->lock);
	if (!pfn)
		return NULL;
	head = pfn_to_page(pool, pfn);
	for (page = head; page < head + PT_ENTRIES; page++) {
		clear_frame(pool, page, atomic_load_explicit(&page->flags, memory_order_relaxed));
		page->mapping = NULL;
		page->index = 0;
		page->private = 0;
		page->next = page->prev = NULL;
		atomic_store(&page->flags, page == head ? PG_HEAD : PG_TAIL);
	}
	atomic_store_explicit(&head->refcount, 1, memory_order_release);
	count_used(pool, PF_FRAME, PT_ENTRIES);
	return head;
}

static void free_huge_page(struct frame_pool *pool, struct page *head)
{
	for (struct page *page = head; page < head + PT_ENTRIES; page++)
		atomic_store_explicit(&page->flags, PG_FREE, memory_order_relaxed);
	pf_spin_lock(&pool->lock);
	head->next_free = pool->free_huge;
	pool->free_huge = page_to_pfn(pool, head);
	pf_spin_unlock(&pool->lock);
	count_used(pool, PF_FRAME, -(long)PT_ENTRIES);
}

bool try_get_page(struct page *page)
{
	int32_t seen = atomic_load_explicit(&page->refcount, memory_order_relaxed);

	while (seen > 0)
		if (atomic_compare_exchange_weak_explicit(&page->refcount, &seen, seen + 1,
							  memory_order_acquire, memory_order_relaxed))
			return true;
	return false;
}

/* One reference less. True: it was the last of a small frame, which is on no list yet. */
static bool put_one(struct frame_pool *pool, struct page *page)
{
	int32_t before = atomic_fetch_sub_explicit(&page->refcount, 1, memory_order_acq_rel);
	uint32_t flags;

	pf_assert(before > 0);
	if (before != 1)
		return false;
	flags = atomic_load_explicit(&page->flags, memory_order_relaxed);
	pf_assert(!(flags & (PG_RESERVED | PG_TAIL | PG_TABLE | PG_FREE)));
	pf_assert(page_mapcount(page) == 0 && atomic_load(&page->pincount) == 0);
	if (SAMARA_DEBUG && (flags & PG_UNFLUSHED))
		mmu_trip(pool, MMU_TRIP_FRAME_UNFLUSHED, page_to_pfn(pool, page));
	if (flags & PG_HEAD) {
		free_huge_page(pool, page);
		return false;
	}
	atomic_store_explicit(&page->flags, PG_FREE, memory_order_relaxed);
	return true;
}

void put_pages(struct frame_pool *pool, struct page **pages, unsigned int nr)
{
	unsigned int freed = 0;

	for (unsigned int i = 0; i < nr; i++)
		if (put_one(pool, pages[i]))
			pages[freed++] = pages[i];
	if (!freed)
		return;
	free_frames(pool, pages, freed);
	count_used(pool, PF_FRAME, -(long)freed);
}

void put_page(struct frame_pool *pool, struct page *page)
{
	put_pages(pool, &page, 1);
}

/* Tables ------------------------------------------------------------------ */

struct page *alloc_table_page(struct frame_pool *pool, unsigned int level, unsigned long start)
{
	struct page *table;
	uint32_t was;

	table = take_page(pool, true, true, &was);
	if (!table)
		return NULL;
	clear_frame(pool, table, was);
	table->ptl = (pf_spinlock){ 0 };
	atomic_store_explicit(&table->used, 0, memory_order_relaxed);
	table->level = level;
	table->start = start;
	table->next_table = 0;
	table->pool = pool;
	atomic_store_explicit(&table->flags, PG_TABLE, memory_order_relaxed);
	count_used(pool, PF_TABLE, 1);
	return table;
}

static bool is_all_zero(const struct frame_pool *pool, const struct page *page)
{
	const uint64_t *word = page_address(pool, page);

	for (unsigned int i = 0; i < PT_ENTRIES; i++)
		if (word[i])
			return false;
	return true;
}

void free_table_page(struct frame_pool *pool, struct page *table)
{
	pf_assert(page_has(table, PG_TABLE));
	pf_assert(!pf_spin_is_locked(&table->ptl));
	pf_assert(atomic_load(&table->used) == 0);
	pf_assert_full(is_all_zero(pool, table));
	if (SAMARA_DEBUG && page_has(table, PG_UNFLUSHED))
		mmu_trip(pool, MMU_TRIP_TABLE_UNFLUSHED, table->start);
	atomic_store_explicit(&table->flags, PG_FREE | PG_ZEROED, memory_order_relaxed);
	free_frames(pool, &table, 1);
	count_used(pool, PF_TABLE, -1);
}

/* A page's lock ------------------------------------------------------------ */

bool trylock_page(struct page *page)
{
	return !(atomic_fetch_or_explicit(&page->flags, PG_LOCKED, memory_order_acquire) & PG_LOCKED);
}

void lock_page(struct page *page)
{
	unsigned int rounds = 0;

	while (!trylock_page(page))
		pf_relax(&rounds);
}

void unlock_page(struct page *page)
{
	uint32_t before = atomic_fetch_and_explicit(&page->flags, ~PG_LOCKED, memory_order_release);

	pf_assert(before & PG_LOCKED);
	(void)before;
}

/* Entries that map it ------------------------------------------------------- */

void page_add_new_anon_rmap(struct page *page, struct vm_area_struct *vma, unsigned long addr)
{
	pf_assert(vma->anon_vma && page_mapcount(page) == 0);
	page->mapping = vma->anon_vma;
	page->index = vma_pgoff_at(vma, addr);
	page_set(page, PG_ANON);
	atomic_store_explicit(&page->mapcount, 1, memory_order_release);
}

void page_add_anon_rmap(struct page *page, struct vm_area_struct *vma, unsigned long addr)
{
	pf_assert(vma->anon_vma);
	if (!page_has(page, PG_ANON)) {
		page_add_new_anon_rmap(page, vma, addr);
		return;
	}
	atomic_fetch_add_explicit(&page->mapcount, 1, memory_order_acq_rel);
}

void page_add_file_rmap(struct page *page)
{
	pf_assert(!page_has(page, PG_ANON | PG_RESERVED));
	atomic_fetch_add_explicit(&page->mapcount, 1, memory_order_acq_rel);
}

void page_dup_rmap(struct page *page)
{
	pf_assert(page_mapcount(page) > 0);
	atomic_fetch_add_explicit(&page->mapcount, 1, memory_order_acq_rel);
}

void page_remove_rmap(struct page *page)
{
	int32_t before = atomic_fetch_sub_explicit(&page->mapcount, 1, memory_order_acq_rel);

	pf_assert(before > 0);
	(void)before;
}
