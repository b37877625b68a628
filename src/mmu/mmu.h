/* SPDX-License-Identifier: MIT */
/*
 * Floor 4: page tables, frames, and what takes pages away.
 *
 * Glossary
 *   frame        4 KiB of the context's pool; its number is its offset / 4096
 *   page         the state of one frame (struct page); "the page" of a 2 MiB frame is that of its first 4 KiB
 *   table        a frame that holds 512 entries; level 0 is the lowest, the root is the highest
 *   leaf         an entry that names a page: at level 0, or at level 1 for 2 MiB
 *   special      an entry whose frame is not counted: the zero page, a driver's memory
 *   ptl          the lock of one table: guards its entries and their number
 *   gather       pages and tables on their way out, until their translations are flushed
 *   floor, ceiling   between them, tables may be freed; ceiling 0 is the top of the addresses
 *
 * An address space has page tables if its context has a pool (mm_context_options.frames). Without,
 * mm->pt is NULL, and every function here that takes an mm or a VMA succeeds and does nothing.
 *
 * Locks, from the outside in: mmap_lock; the VMA's lock; a page's lock (PG_LOCKED); the file's; the context's
 * anon_lock; a level-1 table's ptl; a lowest table's ptl; swap; the pool. No lock but an RCU section is needed to
 * load entries. Tables above the lowest level stay while mmap_lock is held, or a VMA over them is held in a reverse
 * map. A lowest table may go beside that when MADV_DONTNEED has emptied it: it is locked, and its
 * parent's entry looked at again, under RCU.
 *
 * Prototypes are grouped by the file that owns them.
 */
#ifndef SAMARA_MMU_MMU_H
#define SAMARA_MMU_MMU_H

#include "mmu/pte.h"
#include "mmu/swap.h"
#include "vma/vma.h"

/* Types ------------------------------------------------------------------- */

/* page->flags */
#define PG_LOCKED 0x0001u	/* lock_page() */
#define PG_DIRTY 0x0002u	/* newer than the file or the swap slot */
#define PG_REFERENCED 0x0004u	/* touched, when an entry for it was last taken away */
#define PG_ANON 0x0008u		/* mapping is an anon_vma */
#define PG_SWAPCACHE 0x0010u	/* private is its swap slot */
#define PG_UPTODATE 0x0020u	/* of a file: contents are read */
#define PG_HEAD 0x0040u		/* first of 512 frames */
#define PG_TAIL 0x0080u		/* another of them */
#define PG_TABLE 0x0100u
#define PG_RESERVED 0x0200u	/* frame 0 and the zero page: never counted, never freed */
#define PG_FREE 0x0400u
#define PG_ZEROED 0x0800u	/* with PG_FREE: all bytes are 0 */
#define PG_UNFLUSHED 0x1000u	/* debug: a translation of it may still be cached */
#define PG_SHMEM 0x2000u	/* of a file that is memory with a name: counts as MM_SHMEMPAGES */
#define PG_HUGETLB 0x4000u	/* counts as MM_HUGEPAGES */

/*
 * State of one frame.
 *
 *    0        4          8          12         16                                64
 *   | flags  | refcount | mapcount | pincount | by use                            |
 *
 *   memory:  | mapping  | index    | private  | next     | prev    |
 *   table:   | ptl|used | level    | start    | next     | rcu     |
 *   free:    | next_free|
 *
 * refcount: one for each entry that maps it, one for its place in the page cache or the swap cache, one for
 * each other holder. mapcount: the entries alone. The frame is free when refcount gets to 0.
 */
struct page {
	_Atomic uint32_t flags;
	_Atomic int32_t refcount;
	_Atomic int32_t mapcount;
	_Atomic int32_t pincount;
	union {
		struct {
			void *mapping;		/* PG_ANON: struct anon_vma *; else struct address_space *, or NULL */
			pgoff_t index;		/* page offset in it */
			unsigned long private;	/* swap slot */
			struct page *next, *prev;	/* a list of its owner's choice */
		};
		struct {
			pf_spinlock ptl;
			_Atomic uint32_t used;	/* entries that are not none; of lowest tables, under ptl */
			uint32_t level;
			pfn_t next_table;	/* in a gather */
			unsigned long start;	/* first address it covers */
			struct frame_pool *pool;
			pf_rcu_head rcu;	/* of the first of a batch, on its way out */
		};
		pfn_t next_free;
	};
};

/* Plants: what a test breaks on purpose, to see that the instruments notice. Debug builds only. */
#define MMU_PLANT_NO_FLUSH 0x1u		/* a batch is freed without a flush */
#define MMU_PLANT_NO_BATCH 0x2u		/* a page is freed when its entry is zapped */
#define MMU_PLANT_NO_UNLINK 0x4u	/* tables are freed while their VMAs are in the reverse maps */
#define MMU_PLANT_EARLY_YIELD 0x8u	/* a yield with entries that are zapped and not flushed */
#define MMU_PLANT_EARLY_TABLE 0x10u	/* a table is freed when it is unhooked */
#define MMU_PLANT_LATE_UNLINK 0x20u	/* the last batch of file mappings leaves after their tables are freed */

/* What the instruments have noticed. Each is 0 but where something was planted. */
enum mmu_trip {
	MMU_TRIP_FRAME_UNFLUSHED,	/* a frame was freed before the flush of its last translation */
	MMU_TRIP_TABLE_UNFLUSHED,	/* a table was */
	MMU_TRIP_TABLE_LINKED,		/* a table was freed before its VMAs left the reverse maps */
	MMU_TRIP_YIELD_UNFLUSHED,	/* a yield, or an unlock, between a zap and its flush */
	MMU_NR_TRIPS
};

#define FRAME_SHELVES 8
#define FRAME_SHELF_ROOM 128

/* Frames at hand for the threads that share it. */
struct frame_shelf {
	pf_spinlock lock;
	uint32_t nr;
	pfn_t frame[FRAME_SHELF_ROOM];
} __attribute__((aligned(64)));

struct frame_pool {
	struct platform *pf;
	struct pf_frames *memory;
	unsigned char *base;		/* address of frame 0 */
	struct page *pages;		/* one for each frame */
	unsigned long nr_frames;
	pfn_t zero_pfn;
	pf_spinlock lock;
	/* lock: */
	pfn_t fresh;			/* frames from here to fresh_end have never been used */
	pfn_t fresh_end;
	pfn_t free, free_huge;		/* through next_free */
	unsigned long nr_free;		/* 4 KiB frames on the list */
	/* atomic: */
	unsigned long nr_used;		/* frames and tables */
	unsigned long nr_waiting;	/* tables that wait for a grace period */
	unsigned long hand;		/* of reclaim: frames looked at so far */
	unsigned long nr_short;		/* times that there was no frame */
	/* fixed: makes frames free, if it can, when there is none; or NULL. May only try for locks. */
	bool (*relieve)(void *arg);
	void *relieve_arg;
	unsigned int plants;
	unsigned long trips[MMU_NR_TRIPS];
	struct frame_shelf shelf[FRAME_SHELVES];
};

/* How a kind of hardware walks. */
struct pt_geometry {
	const char *name;
	enum pt_format format;
	unsigned int levels;
	unsigned long task_size_max;	/* one past the last address of a user */
	unsigned long first_user_addr;	/* below, tables are not the user's to free */
	unsigned long ceiling;		/* for freeing tables; 0: the top */
};

/* What resident pages are counted as. */
enum mm_counter { MM_FILEPAGES, MM_ANONPAGES, MM_SHMEMPAGES, MM_SWAPENTS, MM_HUGEPAGES, NR_MM_COUNTERS };

/* Work done, for the tests of promise 7. */
struct mmu_work {
	unsigned long vmas, tables, slots;	/* visited, entered, looked at, to take pages away */
	unsigned long unlinked;			/* VMAs that left the reverse maps for it */
	unsigned long unlink_rounds;		/* a file's lock was taken for that */
	unsigned long swept, swept_slots;	/* tables entered and slots looked at, to free tables */
	unsigned long flushes;
};

struct mm_pgtables {
	struct mm_struct *mm;
	struct frame_pool *pool;
	const struct pt_geometry *geo;
	pfn_t root;
	bool dead;			/* no user is left: nobody walks or translates any more */
	/* atomic: */
	long rss[NR_MM_COUNTERS];	/* pages of 4 KiB */
	unsigned long hiwater_rss;
	unsigned long table_bytes;
	unsigned long tlb_gen;		/* counts flushes */
	unsigned long changes;		/* debug: of entries, so that a validator knows that it was disturbed */
	unsigned long gathers;		/* debug: under way; what they have zapped is counted when they flush */
	struct mmu_work work;
	pf_mutex notifier_lock;
	/* notifier_lock, for writing; RCU: */
	struct mm_notifier *notifiers;
	/* mmap_lock for writing: */
	mm_flush_fn flush;
	void *flush_arg;
	/* RCU: the software TLBs that look into it; tlb.c */
	struct mm_tlb *tlbs;
};

/* Tables taken in advance, through next_table; all zeroes is none. */
struct pt_spares {
	pfn_t first;
	unsigned long nr;
};

/* One entry, found and its table locked. */
struct pt_slot {
	struct mm_pgtables *pt;
	pte_t *ptep;
	struct page *table;
	unsigned int level;
};

/* The part of one table that lies in a range: of a lowest one several entries, of a level-1 table one leaf. */
struct pt_range {
	unsigned long start, end;
	unsigned int level;
	pte_t *ptep;			/* of @start; for level 0 valid once locked */
	struct page *table;		/* that holds them; as above */
	pte_t *parent;			/* level 0: the entry for the table */
	struct page *upper;		/* the table that holds that */
};

/* Walks the populated tables of ranges, in order; keeps the path, so that a table is entered once. */
struct pt_cursor {
	struct mm_pgtables *pt;
	unsigned long addr, end;	/* what is left of the range; end - 1 is the last byte */
	bool done;
	unsigned int at;		/* lowest level of the path that is valid */
	struct page *path[PT_MAX_LEVELS];
	pfn_t lowest;			/* entered last */
	unsigned long tables, slots;
};

#define MMU_GATHER_PAGES 512

/* On the stack of whoever takes pages away. */
struct mmu_gather {
	struct mm_pgtables *pt;		/* NULL: nothing to do */
	bool everything;		/* the address space ends: flush all of it at once */
	bool active;			/* zapped since the last flush */
	unsigned long start, end;	/* joined range of what was zapped */
	unsigned int nr;
	pfn_t tables;			/* unhooked, through next_table; 0: none */
	unsigned long nr_tables;
	bool wait;			/* too many tables wait for a grace period: do so too, in the end */
	long rss[NR_MM_COUNTERS];	/* to be added */
	struct mmu_work work;
	struct pt_cursor cursor;
	struct page *pages[MMU_GATHER_PAGES];
};

/* What a zap spares. NULL: nothing. */
struct zap_details {
	bool keep_private;	/* invalidation: private copies stay, and swapped ones */
	bool keep_guards;	/* MADV_DONTNEED, holes and ends of files */
	bool free_tables;	/* a lowest table that gets empty goes */
};

/*
 * One unmap: which pages go, which tables may go, and how far the VMAs may be searched. The walk is over
 * the tree, or over a side set, whose positions are 0, 1, 2, ...
 *
 *   tree     |prev|     |first|  |BBB|    |next|          first: where the walk begins
 *   pages         .     ^vma_start   ^vma_end
 *   tables        ^pg_start               ^pg_end         up to the neighbours
 *   search                                ^tree_end       an address, or the number of VMAs in the set
 *   again                     ^tree_reset                 where the walk goes on after first
 */
struct unmap_desc {
	struct vma_iterator *mas;
	struct vm_area_struct *first;
	unsigned long pg_start;		/* floor of tables */
	unsigned long pg_end;		/* ceiling of tables; 0: the top */
	unsigned long vma_start;	/* lowest address that loses pages */
	unsigned long vma_end;		/* one past the highest */
	unsigned long tree_end;		/* exclusive; 0: the top */
	unsigned long tree_reset;
	bool mm_wr_locked;
	bool everything;		/* nobody else uses the address space: one flush for all of it */
	bool nothing;			/* there is no VMA to unmap; the other fields mean nothing */
};

/* The VMAs from @first to @last, and their neighbours in the tree (NULL: none). */
struct unmap_between {
	struct vm_area_struct *first, *last;
	struct vm_area_struct *prev, *next;
	bool mm_wr_locked;
};

/* Inline: looking at frames ------------------------------------------------ */

static inline struct page *pfn_to_page(const struct frame_pool *pool, pfn_t pfn)
{
	pf_assert(pfn < pool->nr_frames);
	return &pool->pages[pfn];
}

static inline pfn_t page_to_pfn(const struct frame_pool *pool, const struct page *page)
{
	return (pfn_t)(page - pool->pages);
}

static inline void *pfn_address(const struct frame_pool *pool, pfn_t pfn)
{
	return pool->base + ((unsigned long)pfn << PAGE_SHIFT);
}

static inline void *page_address(const struct frame_pool *pool, const struct page *page)
{
	return pfn_address(pool, page_to_pfn(pool, page));
}

static inline bool page_has(const struct page *page, uint32_t flags)
{
	return atomic_load_explicit(&page->flags, memory_order_acquire) & flags;
}

static inline void page_set(struct page *page, uint32_t flags)
{
	atomic_fetch_or_explicit(&page->flags, flags, memory_order_acq_rel);
}

static inline void page_clear(struct page *page, uint32_t flags)
{
	atomic_fetch_and_explicit(&page->flags, ~flags, memory_order_acq_rel);
}

static inline int page_refcount(const struct page *page)
{
	return atomic_load_explicit(&page->refcount, memory_order_acquire);
}

static inline int page_mapcount(const struct page *page)
{
	return atomic_load_explicit(&page->mapcount, memory_order_acquire);
}

static inline unsigned long page_nr(const struct page *page)
{
	return page_has(page, PG_HEAD) ? PT_ENTRIES : 1;
}

static inline enum mm_counter page_counter(const struct page *page)
{
	uint32_t flags = atomic_load_explicit(&page->flags, memory_order_relaxed);

	if (flags & PG_HUGETLB)
		return MM_HUGEPAGES;
	return flags & PG_ANON ? MM_ANONPAGES : flags & PG_SHMEM ? MM_SHMEMPAGES : MM_FILEPAGES;
}

static inline pte_t *pt_table(const struct frame_pool *pool, pfn_t pfn)
{
	return pfn_address(pool, pfn);
}

/* geometry.c -------------------------------------------------------------- */

/* NULL: there is no such geometry. */
const struct pt_geometry *pt_geometry(enum mm_geometry which);

/* frame.c ----------------------------------------------------------------- */

/* @nr frames of 4 KiB at most. 0; -ENOMEM, -EINVAL (too few to work with, or more than 2^32). */
int frame_pool_create(struct platform *pf, unsigned long nr, struct frame_pool **out);
/* NULL is allowed. All frames are free again, and no grace period is pending. */
void frame_pool_destroy(struct frame_pool *pool);
/* Frames and tables in use, pending grace periods included. */
unsigned long frame_pool_used(const struct frame_pool *pool);

/*
 * A frame with one reference, of zeroes if @zeroed, else of anything. One attempt; NULL: no memory. Takes locks of
 * the pool, and where there is no frame those of pool->relieve: no lock of a table may be held.
 */
struct page *alloc_page(struct frame_pool *pool, bool zeroed);
/* The same without that. */
struct page *alloc_page_nowait(struct frame_pool *pool, bool zeroed);
/*
 * For who failed inside of an RCU section, where nothing is given up: outside of it, after no frame was found since
 * frame_pool_short() was @since. True: try again.
 */
bool frame_pool_relieve(struct frame_pool *pool, unsigned long since);

static inline unsigned long frame_pool_short(const struct frame_pool *pool)
{
	return __atomic_load_n(&pool->nr_short, __ATOMIC_RELAXED);
}

/* 512 frames, aligned, zeroed; PG_HEAD on the first, PG_TAIL on the others. */
struct page *alloc_huge_page(struct frame_pool *pool);
static inline void get_page(struct page *page)
{
	pf_assert(page_refcount(page) > 0 && !page_has(page, PG_TAIL));
	atomic_fetch_add_explicit(&page->refcount, 1, memory_order_relaxed);
}
/* A reference unless the page is being freed: for who found it without holding anything but RCU. */
bool try_get_page(struct page *page);
/* The last one frees the frame. */
void put_page(struct frame_pool *pool, struct page *page);
/* One reference of each, in one go. */
void put_pages(struct frame_pool *pool, struct page **pages, unsigned int nr);

void lock_page(struct page *page);	/* spins, then yields: short sections only */
bool trylock_page(struct page *page);
void unlock_page(struct page *page);

/* Entries that map a page. The page's table is locked; the reference that goes with the entry is the caller's. */
void page_add_new_anon_rmap(struct page *page, struct vm_area_struct *vma, unsigned long addr);	/* the first entry */
void page_add_anon_rmap(struct page *page, struct vm_area_struct *vma, unsigned long addr);	/* swapped in */
void page_add_file_rmap(struct page *page);
void page_dup_rmap(struct page *page);			/* fork */
void page_remove_rmap(struct page *page);

/* Tables are frames too; for table.c and gather.c. Freed ones hold zeroes only. */
struct page *alloc_table_page(struct frame_pool *pool, unsigned int level, unsigned long start);
void free_table_page(struct frame_pool *pool, struct page *table);

/* table.c ----------------------------------------------------------------- */

/* Root and state for @mm. Nothing if the context has no pool. 0 or -ENOMEM. */
int pt_create(struct mm_struct *mm, const struct pt_geometry *geo);
/* All tables but the root are gone. */
void pt_destroy(struct mm_struct *mm);
/* Make the tables for @addr down to @level. 0 or -ENOMEM (tables made so far stay, empty). mmap_lock or the VMA's. */
int pt_alloc(struct mm_pgtables *pt, unsigned long addr, unsigned int level);
/*
 * One step of it: a table below @ptep, the empty entry for @addr in @parent, a table of @level. 0; -ENOMEM. *@out: what
 * hangs there now, or none where another was faster.
 */
int pt_alloc_at(struct mm_pgtables *pt, unsigned long addr, unsigned int level, pte_t *ptep, struct page *parent,
		pte_t *out);

/* @nr more. 0; -ENOMEM, with none added. */
int pt_spares_add(struct frame_pool *pool, struct pt_spares *spares, unsigned long nr);
void pt_spares_free(struct frame_pool *pool, struct pt_spares *spares);
/* As pt_alloc(), with @spares first. */
int pt_alloc_spared(struct mm_pgtables *pt, unsigned long addr, unsigned int level, struct pt_spares *spares);

void add_mm_counter(struct mm_pgtables *pt, enum mm_counter which, long pages);
static inline unsigned long get_mm_counter(const struct mm_pgtables *pt, enum mm_counter which)
{
	long pages = __atomic_load_n(&pt->rss[which], __ATOMIC_RELAXED);

	return pages < 0 ? 0 : (unsigned long)pages;
}
unsigned long get_mm_rss(const struct mm_pgtables *pt);	/* pages: file, anon and shmem */
/* Raise the high-water mark to what is resident: before anything goes. */
void update_hiwater_rss(struct mm_pgtables *pt);
unsigned long get_mm_hiwater_rss(const struct mm_pgtables *pt);

/* walk.c ------------------------------------------------------------------ */

/*
 * The entry for @addr, with its table locked until pte_unlock(): at level 0, or at level 1 when that holds a leaf or
 * another entry that is no table. False: there is no table for it. mmap_lock, the VMA's lock, or a reverse map's.
 */
bool pte_find_lock(struct mm_pgtables *pt, unsigned long addr, struct pt_slot *out);
/*
 * The same, with tables made down to @level. 0; -ENOMEM; -EEXIST: asked for level 0, @addr lies in a leaf at
 * level 1; or asked for level 1, there is a table of pages.
 */
int pte_alloc_lock(struct mm_pgtables *pt, unsigned long addr, unsigned int level, struct pt_slot *out);
void pte_unlock(struct pt_slot *slot);
/* The place of the entry for @addr at @level, not locked; false: there is no table. mmap_lock for writing. */
bool pte_find(struct mm_pgtables *pt, unsigned long addr, unsigned int level, struct pt_slot *out);
/* Change a locked entry, and the number of entries with it. pte_replace() gives the old one, as hardware left it. */
void set_pte(struct pt_slot *slot, pte_t pte);
pte_t pte_replace(struct pt_slot *slot, pte_t pte);
/* The entry for @addr without a lock; none if there is no table. *@level: where it was found. An RCU section. */
pte_t pt_peek(struct mm_pgtables *pt, unsigned long addr, unsigned int *level);

void pt_cursor_init(struct pt_cursor *cursor, struct mm_pgtables *pt);
/* Go on with [start, end); an end of 0 is the top. */
void pt_cursor_set(struct pt_cursor *cursor, unsigned long start, unsigned long end);
/* The next part of a populated table in the range; false: no more. Locks as for pte_find_lock(). */
bool pt_cursor_next(struct pt_cursor *cursor, struct pt_range *out);
/* Lock the table. False: it has gone meanwhile, and nothing is locked. */
bool pt_range_lock(struct mm_pgtables *pt, struct pt_range *range);
void pt_range_unlock(struct pt_range *range);

/* gather.c ---------------------------------------------------------------- */

/* Begin. @everything: the address space ends or its child failed, and nobody else uses it. Raises the high-water mark. */
void tlb_gather_mmu(struct mmu_gather *tlb, struct mm_struct *mm, bool everything);
/* The entry for @addr was zapped at @level: its range is flushed before anything is freed. */
void tlb_note(struct mmu_gather *tlb, unsigned long addr, unsigned int level);
/* Its reference goes after the flush. True: full, flush before the next. The table may be locked. */
bool tlb_remove_page(struct mmu_gather *tlb, struct page *page);
/* A table that was unhooked; freed after the flush, and a grace period unless nobody can walk. */
void tlb_remove_table(struct mmu_gather *tlb, struct page *table);
/* Flush alone, if anything was zapped: pages and tables stay gathered. */
void tlb_flush_only(struct mmu_gather *tlb);
/* Flush, then free. Needs no memory. */
void tlb_flush_mmu(struct mmu_gather *tlb);
/* Flush what is left, add counters and work up. */
void tlb_finish_mmu(struct mmu_gather *tlb);
/* Let others run; nothing may be unflushed. */
void tlb_cond_resched(struct mmu_gather *tlb);
/* For who changes entries in place and frees nothing: protection, fork, moving. [start, end), end 0: the top. */
void flush_tlb_range(struct mm_pgtables *pt, unsigned long start, unsigned long end);
/* Caches by virtual address, if there are such, are written back: before pages are shared, and before all go. */
void flush_cache_mm(struct mm_struct *mm);
/* Something has been noticed. */
void mmu_trip(struct frame_pool *pool, enum mmu_trip what, unsigned long where);

/* zap.c ------------------------------------------------------------------- */

/* The pages of [start, end), which lies in @vma. mmap_lock, or a reverse map's lock. */
void unmap_page_range(struct mmu_gather *tlb, struct vm_area_struct *vma, unsigned long start, unsigned long end,
		      const struct zap_details *details);
/* That with a gather and a notifier range of its own. */
void zap_page_range(struct vm_area_struct *vma, unsigned long start, unsigned long end,
		    const struct zap_details *details);

/* unmap.c ----------------------------------------------------------------- */

/*
 * What lies between two neighbours. Where @vmi walks a side set, the search is by number: it goes on at 1, and
 * ends at the count.
 */
void unmap_region_init(struct unmap_desc *unmap, struct vma_iterator *vmi, const struct unmap_between *between);
/* Everything, from @vma on (NULL: nothing). mmap_lock for reading will do. */
void unmap_all_init(struct unmap_desc *unmap, struct vma_iterator *vmi, struct vm_area_struct *vma);
/* The second pass over everything, for tables: from the lowest address of a user on, under the write lock. */
void unmap_pgtable_init(struct unmap_desc *unmap, struct vma_iterator *vmi);

/* Pages of the VMAs from unmap->first up to the tree end. */
void unmap_vmas(struct mmu_gather *tlb, struct unmap_desc *unmap);
/* Reverse maps, then the tables between floor and ceiling. */
void free_pgtables(struct mmu_gather *tlb, struct unmap_desc *unmap);
void free_pgd_range(struct mmu_gather *tlb, unsigned long floor, unsigned long ceiling);
/* Both, with one gather. Allocates nothing, cannot fail. */
void unmap_region(struct unmap_desc *unmap);

/* protect.c --------------------------------------------------------------- */

/*
 * Entries of [start, end) get what vma->vm_flags allow now. Private pages lose write access unless they are dirty and
 * ours alone. mmap_lock for writing, and the VMA's. Cannot fail.
 */
void change_protection(struct vm_area_struct *vma, unsigned long start, unsigned long end);

/* move.c ------------------------------------------------------------------ */

/* Entries of [from, from + len) to @to. */
struct pt_move {
	struct vm_area_struct *vma;	/* that maps @from; for moving */
	unsigned long from, to, len;
	bool replaces;			/* for preparing: what is mapped at @to will be unmapped before */
};

/*
 * Take the tables from the pool that the move may need; @spares is empty, or has those of other moves. 0; -ENOMEM
 * (nothing added). mmap_lock for writing; locks the VMAs there for writing.
 */
int move_page_tables_prepare(struct mm_struct *mm, const struct pt_move *move, struct pt_spares *spares);
/* Cannot fail. Both VMAs are in the tree. mmap_lock for writing. */
void move_page_tables(const struct pt_move *move, struct pt_spares *spares);

/* notifiers.c ------------------------------------------------------------- */

void mmu_notifier_invalidate_start(struct mm_struct *mm, unsigned long start, unsigned long end);
void mmu_notifier_invalidate_end(struct mm_struct *mm, unsigned long start, unsigned long end);
/* Once, when the last user goes. */
void mmu_notifier_release(struct mm_struct *mm);

/* validate.c -------------------------------------------------------------- */

/* Number of broken invariants of @mm's tables, each told to the log. mmap_lock. */
int mmu_validate(struct mm_struct *mm);
/*
 * The same for frames: counts against entries and holders found in @mms, which are all there are. Nobody runs beside.
 * -ENOMEM: no memory to count in.
 */
int mmu_validate_frames(struct mm_context *ctx, struct mm_struct **mms, unsigned int nr);

/* fault.c ----------------------------------------------------------------- */

/*
 * Make the page of @addr present for @access, which the VMA allows. The VMA's lock or mmap_lock, for reading;
 * vma->anon_vma is there if @access writes to private memory. MM_FAULT_OK, MM_FAULT_OOM, a bus error where
 * the file ends, or a wish to be called again under mmap_lock.
 */
enum mm_fault handle_mm_fault(struct vm_area_struct *vma, unsigned long addr, enum mm_access access);
/* Fault in all of [start, end). 0; -ENOMEM, -EFAULT. mmap_lock. */
int populate_vma_range(struct vm_area_struct *vma, unsigned long start, unsigned long end);
/* The same with @access, which the VMA allows; the one above writes to what is private and writable, and reads the rest. */
int populate_range_for(struct vm_area_struct *vma, unsigned long start, unsigned long end, enum mm_access access);

/* filemap.c --------------------------------------------------------------- */

/* A file's page at @index, read if need be, with a reference. NULL with *@err: -ENOMEM, -EIO, -ERANGE (beyond its end). */
struct page *filemap_get_page(struct address_space *mapping, pgoff_t index, int *err);
/* Write back those of [first, last] that are newer than the file. 0; -EIO: some could not be, the others are. */
int filemap_write_range(struct address_space *mapping, pgoff_t first, pgoff_t last);
/* Take pages of [first, last] out of the cache; their entries have gone. */
void filemap_remove(struct address_space *mapping, pgoff_t first, pgoff_t last);
/* Entries in every VMA that maps [first, last]. Truncation: @details NULL. Takes the file's lock. */
void unmap_mapping_range(struct address_space *mapping, pgoff_t first, pgoff_t last,
			 const struct zap_details *details);

/* copy.c ------------------------------------------------------------------ */

/* Fork of one VMA's pages. 0; -ENOMEM (then the child's VMA is torn down). Both mmap_locks for writing. */
int copy_page_range(struct vm_area_struct *dst, struct vm_area_struct *src);

/* guard.c ----------------------------------------------------------------- */

/* MADV_GUARD_INSTALL (0; -ENOMEM) and MADV_GUARD_REMOVE. mmap_lock. */
int guard_install(struct vm_area_struct *vma, unsigned long start, unsigned long end);
void guard_remove(struct vm_area_struct *vma, unsigned long start, unsigned long end);
/* Whether a touch of @addr meets a guard; false without page tables. */
bool guard_at(struct vm_area_struct *vma, unsigned long addr);

/* hugetlb.c --------------------------------------------------------------- */

/* Around the unmapping of a VMA; begin may widen the range. */
void hugetlb_zap_begin(struct vm_area_struct *vma, unsigned long *start, unsigned long *end);
void hugetlb_zap_end(struct vm_area_struct *vma);

/* tlb.c ------------------------------------------------------------------- */

/* When it returns, no reader of @pt uses a translation of [start, end). Pages are freed after it. */
void soft_tlb_flush(struct mm_pgtables *pt, unsigned long start, unsigned long end);

#endif
