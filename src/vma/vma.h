/* SPDX-License-Identifier: MIT */
/*
 * Floor 3: the set of VMAs of an address space, without page tables.
 *
 * Glossary
 *   VMA          one mapping: a range with one protection, one backing
 *   anon_vma     the identity of the private pages of related VMAs; VMAs with
 *                two different ones never merge
 *   chain        the anon_vmas that a VMA's pages may hang on, its own and
 *                its ancestors', newest first
 *   reserve      memory taken in advance, so that a call of several steps
 *                cannot fail between them
 *   detached     out of the tree, and about to be freed
 *
 * Prototypes are grouped by the file that owns them.
 */
#ifndef SAMARA_VMA_VMA_H
#define SAMARA_VMA_VMA_H

#include <errno.h>
#include <limits.h>
#include <string.h>

#include <samara/maple_tree.h>
#include <samara/mm.h>

#include "platform/platform.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define PAGE_ALIGN(x) (((x) + PAGE_SIZE - 1) & PAGE_MASK)
#define PMD_SIZE (1UL << 21)
/* Pages of 4 KiB in a huge one, as a power of two. */
#define HPAGE_ORDER 9

typedef unsigned long vm_flags_t;
typedef unsigned long pgoff_t;

/* The names are Linux's; the values are those of the public header. */
#define VM_READ MM_VM_READ
#define VM_WRITE MM_VM_WRITE
#define VM_EXEC MM_VM_EXEC
#define VM_SHARED MM_VM_SHARED
#define VM_MAYREAD MM_VM_MAYREAD
#define VM_MAYWRITE MM_VM_MAYWRITE
#define VM_MAYEXEC MM_VM_MAYEXEC
#define VM_MAYSHARE MM_VM_MAYSHARE
#define VM_GROWSDOWN MM_VM_GROWSDOWN
#define VM_PFNMAP MM_VM_PFNMAP
#define VM_UFFD_MISSING MM_VM_UFFD_MISSING
#define VM_UFFD_WP MM_VM_UFFD_WP
#define VM_LOCKED MM_VM_LOCKED
#define VM_IO MM_VM_IO
#define VM_SEQ_READ MM_VM_SEQ_READ
#define VM_RAND_READ MM_VM_RAND_READ
#define VM_DONTCOPY MM_VM_DONTCOPY
#define VM_DONTEXPAND MM_VM_DONTEXPAND
#define VM_LOCKONFAULT MM_VM_LOCKONFAULT
#define VM_ACCOUNT MM_VM_ACCOUNT
#define VM_NORESERVE MM_VM_NORESERVE
#define VM_HUGETLB MM_VM_HUGETLB
#define VM_SYNC MM_VM_SYNC
#define VM_WIPEONFORK MM_VM_WIPEONFORK
#define VM_DONTDUMP MM_VM_DONTDUMP
#define VM_MIXEDMAP MM_VM_MIXEDMAP
#define VM_HUGEPAGE MM_VM_HUGEPAGE
#define VM_NOHUGEPAGE MM_VM_NOHUGEPAGE
#define VM_MERGEABLE MM_VM_MERGEABLE
#define VM_DROPPABLE MM_VM_DROPPABLE
#define VM_SEALED MM_VM_SEALED
#define VM_PKEY MM_VM_PKEY
/* Ours alone, never shown: a mapping that the kernel or a driver made, as mm_adopt() was told. */
#define VM_ADOPTED_SPECIAL (1UL << 63)
/* The same: a private mapping of huge pages that its pages are promised to. */
#define VM_HUGE_OWNER (1UL << 62)
#define VM_NEVER_SHOWN (VM_ADOPTED_SPECIAL | VM_HUGE_OWNER)

#define VM_ACCESS_FLAGS (VM_READ | VM_WRITE | VM_EXEC)
#define VM_LOCKED_MASK (VM_LOCKED | VM_LOCKONFAULT)
#define VM_UFFD_MASK (VM_UFFD_MISSING | VM_UFFD_WP)
#define VM_SPECIAL (VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP | VM_ADOPTED_SPECIAL)
#define VM_MAY_ALL (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC)

/* Types ------------------------------------------------------------------- */

/* How far a fork has come, for who watches it. Both mmap_locks are held. */
enum fork_step {
	FORK_TREE_COPIED,	/* every entry is the parent's still */
	FORK_VMA_STORED,	/* one has been replaced */
	FORK_PAGES_COPIED,	/* and its pages are there */
	FORK_FAILED,		/* recovery begins */
	FORK_UNMAPPED,		/* pages and tables have gone */
	FORK_TORN_DOWN,		/* and VMAs */
	FORK_UNDONE,		/* and the tree */
	FORK_WHOLE,		/* publication begins */
	FORK_TREE_PUBLIC,
	FORK_RMAP_PUBLIC,
	FORK_PUBLIC		/* it is on the list; the caller has not got it yet */
};

struct vm_area_struct;

struct mm_context {
	struct platform *pf;
	struct pf_slab *vmas;
	struct mm_context_options opt;
	atomic_long committed;		/* pages promised */
	atomic_long huge_promised;	/* huge pages promised */
	atomic_ulong next_id;		/* of anon_vmas */
	atomic_long users;		/* address spaces and files */
	const struct address_space_operations *a_ops; /* NULL: there are no pages */
	pf_mutex mm_list_lock;		/* the list of whole address spaces that have users */
	struct mm_struct *mm_list, *mm_list_last;
	struct frame_pool *frames;	/* NULL: address spaces have no page tables */
	struct swap_area *swap;		/* NULL: pages stay in memory; swap_area_of() */
	struct pf_rwsem daemon_lock;	/* held for reading while they are told */
	struct mm_daemon *daemons;	/* in the order in which they came */
	pf_mutex shmem_lock;		/* the list of inodes whose pages may be swapped out */
	struct address_space *shmem_list;
	/* Broken invariants of an address space's page tables, told to the log; or NULL. mmap_lock. */
	int (*validate_tables)(struct mm_struct *mm);
	struct pf_rwsem fork_gate;	/* fork_gate_enter() */
	pf_mutex anon_lock;		/* every anon_vma of the context, and the links of chains */
	/* For tests, which hold a fork up at each step; @vma: the one replaced last, or NULL. Or NULL. */
	void (*fork_step)(void *arg, struct mm_struct *child, enum fork_step step, struct vm_area_struct *vma);
	void *fork_step_arg;
};

struct address_space;

/* What floor 4 does with the pages of an inode. */
struct address_space_operations {
	/* Nobody holds @mapping any more: give its pages back. Allocates nothing. */
	void (*evict)(struct address_space *mapping);
};

/* A place in a reverse map: an interval of page offsets, those of the VMA that it is part of. */
struct rmap_node {
	struct rmap_node *left, *right;
	pgoff_t end;			/* one past the last offset in this subtree; 0: in no tree */
};

/*
 * The contents of an inode: its pages, its length, and who maps it.
 *
 *   i_pages   |p0|p1|  |p3|v4|        struct page of floor 4, or a value entry
 *   i_size    --------------->.       bytes; pages from there on do not exist
 *
 * A page enters i_pages only below i_size, and leaves before it is given back; who finds one
 * under RCU takes a reference and looks again whether it is still there.
 */
struct address_space {
	struct mm_context *ctx;
	atomic_ulong refs;		/* open files */
	atomic_ullong i_size;		/* bytes; I_SIZE_ENDLESS. Written under i_lock */
	struct maple_tree i_pages;	/* by index; its own lock for writing, RCU for reading */
	atomic_ulong nr_pages;		/* struct pages in it */
	pf_mutex i_mmap_lock;
	struct rmap_node *i_mmap;	/* i_mmap_lock: VMAs of whole address spaces that map it */
	struct maple_tree i_promised;	/* of huge pages: which are; empty else */
	pf_mutex i_change_lock;		/* truncations and invalidations, whole, one at a time; after mmap_lock */
	pf_mutex i_lock;		/* the length, and what goes with it */
	/* i_lock: */
	unsigned long promised;		/* huge pages */
	unsigned long changes;		/* truncations and invalidations so far */
	/* fixed at creation: */
	bool shmem;			/* memory: pages live nowhere else, and may be swapped out */
	bool cached;
	vm_read_page_fn read_page;	/* or NULL */
	void *read_page_arg;
	vm_write_page_fn write_page;	/* or NULL */
	/* ctx->shmem_lock: */
	struct address_space *shmem_next, **shmem_link;
};

#define I_SIZE_ENDLESS UINT64_MAX

struct vm_file {
	struct mm_context *ctx;
	struct address_space *mapping;	/* counted reference */
	atomic_ulong refs;
	struct vm_file_info info;	/* name points behind the struct */
	unsigned long charged;		/* pages, for shared memory that a mapping made */
	bool anonymous;			/* such memory */
};

/* A name that several VMAs share: of mappings that are the kernel's own, or of anonymous memory. */
struct vma_name {
	atomic_ulong refs;
	char text[];
};

/* ctx->anon_lock guards all fields. */
struct anon_vma {
	struct anon_vma *parent;	/* of the process that forked; itself for a root */
	unsigned long id;
	unsigned long nr_links;		/* chain links to it */
	unsigned long nr_children;	/* anon_vmas whose parent it is; a root counts itself */
	unsigned long nr_active;	/* VMAs whose own anon_vma it is */
	struct rmap_node *rb_root;	/* links to it of VMAs of whole address spaces */
};

struct anon_vma_chain {
	struct anon_vma *anon_vma;
	struct anon_vma_chain *older;	/* in the same VMA */
	struct vm_area_struct *vma;
	struct rmap_node node;
};

/*
 * An object takes two cache lines. All that a lookup or a fault reads lies in the first: what is added for them
 * belongs there (a word of it is left), and everything else in the second (five are left). tests/unit/layout.c.
 */
#define VMA_ALIGN 64

struct vm_area_struct {
	/*
	 * What a fault reads: one cache line. Written with this VMA locked for writing (vma_start_write()) or
	 * detached. The lock itself is lock.c's alone, and outlives the VMA: never cleared, never copied.
	 */
	atomic_uint vm_refcnt;
	atomic_uint vm_lock_seq;
	unsigned long vm_start;		/* first byte */
	unsigned long vm_end;		/* one past the last byte */
	vm_flags_t vm_flags;
	struct mm_struct *vm_mm;	/* of a free one, what it was last, or NULL */
	/* The first write makes it, with mmap_lock held, under the context's anon_lock: vma_anon_vma(). */
	struct anon_vma *anon_vma;
	struct vm_file *vm_file;	/* counted reference, or NULL */
	pgoff_t vm_pgoff;		/* pages; for anonymous memory the address it was born at */

	/* The second line. mmap_lock; the chain also under the context's anon_lock: */
	struct anon_vma_chain *chain __attribute__((aligned(VMA_ALIGN)));	/* newest first */
	struct vma_name *name;		/* counted reference, or NULL */
	struct vm_area_struct *set_next; /* in a side set, or free; never while it is in the tree */
	struct rmap_node file_node;	/* the file's i_mmap_lock */
	bool had_guards;		/* a guard was installed in it, ever: a child gets all of its entries */
};

/* VMAs that an unmap has taken out of the tree, in order of address. */
struct vma_set {
	struct vm_area_struct *first;
	struct vm_area_struct *last;
	unsigned long count;
};

/* Taken in advance; see vma_reserve(). */
struct vma_spares {
	struct vm_area_struct *vmas;	/* through set_next */
	struct anon_vma_chain *links;	/* through older */
	struct anon_vma *anon_vmas;	/* through parent */
	bool active;
};

/* Bits of mm_struct.flags. */
enum mm_flag {
	MMF_OOM_SKIP,		/* the reaper keeps off: its memory goes already */
	MMF_UNSTABLE,		/* pages may be missing that were there: what is read cannot be trusted */
};

struct mm_struct {
	struct mm_context *ctx;
	struct mm_pgtables *pt;		/* floor 4's; NULL: none */
	struct pf_rwsem mmap_lock;
	atomic_uint mm_lock_seq;	/* of the section that holds mmap_lock for writing, or of the next; never 0 */
	atomic_ulong mm_users;		/* hold it together once */
	atomic_ulong mm_count;		/* holders: the memory lives while there is one */
	atomic_ulong flags;		/* bit per enum mm_flag */

	/* ctx->mm_list_lock: */
	struct mm_struct *list_next, *list_prev;

	/* mmap_lock: */
	struct maple_tree mm_mt;
	unsigned long map_count;
	unsigned long total_vm, data_vm, exec_vm, stack_vm, locked_vm;	/* pages */
	unsigned long accounted;	/* pages charged to the context for VMAs */
	unsigned long hiwater_vm;	/* pages */
	unsigned long splits, merges;
	unsigned long locked_lost;	/* pages of locked_vm that no VMA accounts for any more */
	vm_flags_t def_flags;		/* of new mappings: MCL_FUTURE */
	unsigned int pkeys;		/* bit per protection key in use */
	int exec_only_pkey;		/* kept for pages that may be executed alone; -1: none yet */
	atomic_bool keyed;		/* a key other than 0 was ever taken; no lock */
	unsigned long start_brk, brk;
	struct vma_spares spares;
	struct pf_stock vma_stock;	/* for writing, or after a downgrade from it */

	atomic_uint pkru;		/* the calling thread's register; no lock */

	/* fixed at creation, but for the limits: */
	struct mm_options opt;
};

/*
 * Walks the VMAs of a tree, or of a side set, in order of address (of index 0,
 * 1, 2, ... in a set). Survives changes made through it.
 */
struct vma_iterator {
	struct ma_state mas;
	const struct vma_set *set;	/* NULL: the tree */
	struct vm_area_struct *at;	/* in a set: the last one found, or NULL at the beginning */
	unsigned long index;		/* in a set: of the next */
};

static inline bool mm_flag_is_set(const struct mm_struct *mm, enum mm_flag flag)
{
	return atomic_load_explicit(&mm->flags, memory_order_acquire) & (1UL << flag);
}

static inline void mm_set_flag(struct mm_struct *mm, enum mm_flag flag)
{
	atomic_fetch_or(&mm->flags, 1UL << flag);
}

static inline unsigned long vma_pages(const struct vm_area_struct *vma)
{
	return (vma->vm_end - vma->vm_start) >> PAGE_SHIFT;
}

static inline bool vma_is_accessible(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_ACCESS_FLAGS;
}

/* Private memory without a file of its own; /dev/zero mapped privately is that too. */
static inline bool vma_is_anonymous(const struct vm_area_struct *vma)
{
	if (vma->vm_flags & VM_SPECIAL)
		return false;
	return !vma->vm_file || (vma->vm_file->info.kind == VM_FILE_ZERO && !(vma->vm_flags & VM_MAYSHARE));
}

/* NULL: it is no driver's, or that has no hooks. */
static inline const struct vm_operations *driver_of(const struct vm_area_struct *vma)
{
	return vma->vm_file && vma->vm_file->info.kind == VM_FILE_DEVICE ? vma->vm_file->info.ops : NULL;
}

/* The page offset of @addr in @vma, which need not contain it. */
static inline pgoff_t vma_pgoff_at(const struct vm_area_struct *vma, unsigned long addr)
{
	return vma->vm_pgoff + (addr >> PAGE_SHIFT) - (vma->vm_start >> PAGE_SHIFT);
}

/* vma.c: objects, lookups, iterators -------------------------------------- */

void mmap_read_lock(struct mm_struct *mm);
void mmap_read_unlock(struct mm_struct *mm);
void mmap_write_lock(struct mm_struct *mm);
void mmap_write_unlock(struct mm_struct *mm);	/* validates in debug builds */
/* From writing to reading, with no writer between; unlocks all VMAs. */
void mmap_write_downgrade(struct mm_struct *mm);
void mmap_assert_locked(struct mm_struct *mm);	/* or inside an RCU section */
void mmap_assert_write_locked(struct mm_struct *mm);

/* A detached VMA of @mm with nothing else set, or NULL. */
struct vm_area_struct *vma_alloc(struct mm_struct *mm);
/* A copy of @from for @mm with references of its own, and no chain; not in the tree. NULL: no memory. */
struct vm_area_struct *vma_copy(struct mm_struct *mm, const struct vm_area_struct *from);
/* The same with @vma's chain. */
struct vm_area_struct *vma_dup(struct mm_struct *mm, struct vm_area_struct *vma);
/* Give back a VMA that is not in the tree: chain, file and name too. Allocates nothing. */
void vma_free(struct mm_struct *mm, struct vm_area_struct *vma);
/*
 * The same for a set of VMAs that have neither file, name nor chain, and that no page table knows: their memory
 * goes back as they hang together, without a look at them.
 */
void vma_free_plain(struct mm_struct *mm, const struct vma_set *set);
/* Move an edge of @vma; the page offset follows. The tree is the caller's. */
void vma_set_start(struct vm_area_struct *vma, unsigned long start);
void vma_set_file(struct vm_area_struct *vma, struct vm_file *file);
struct vma_name *vma_name_create(struct mm_context *ctx, const char *text);
void vma_name_get(struct vma_name *name);
bool vma_name_same(const struct vma_name *a, const struct vma_name *b);
void vma_set_name(struct vm_area_struct *vma, struct vma_name *name);
void vma_name_put(struct mm_context *ctx, struct vma_name *name);

/* All four: mmap_lock or an RCU section. Ends are exclusive; an end of 0 means "to the top". */
struct vm_area_struct *find_vma(struct mm_struct *mm, unsigned long addr);
struct vm_area_struct *find_vma_intersection(struct mm_struct *mm, unsigned long start, unsigned long end);
struct vm_area_struct *find_vma_prev(struct mm_struct *mm, unsigned long addr, struct vm_area_struct **prev);
struct vm_area_struct *vma_lookup(struct mm_struct *mm, unsigned long addr);

/* What lies at an address, and around it. */
struct vma_around {
	struct vm_area_struct *prev;	/* the last one that ends at or below it, or NULL */
	struct vm_area_struct *vma;	/* that contains it, or NULL */
	struct vm_area_struct *next;	/* the first one that begins above it, or NULL */
	unsigned long prev_end;		/* as the tree has them: no VMA is looked at; 0 if there is none */
	unsigned long next_start;
};

/* For a change that follows: it finds its way by this one's. mmap_lock for writing. */
void vma_around(struct mm_struct *mm, unsigned long addr, struct vma_around *around);

void vma_iter_init(struct vma_iterator *vmi, struct mm_struct *mm, unsigned long addr);
void vma_iter_init_set(struct vma_iterator *vmi, const struct vma_set *set);
/*
 * The next VMA that begins or lies below @end (exclusive; 0: the top), from where the iterator stands. In a
 * side set @end is an index.
 */
struct vm_area_struct *vma_find(struct vma_iterator *vmi, unsigned long end);
struct vm_area_struct *vma_next(struct vma_iterator *vmi);
struct vm_area_struct *vma_prev(struct vma_iterator *vmi);
void vma_iter_set(struct vma_iterator *vmi, unsigned long addr);	/* in a set: an index */

#define for_each_vma(vmi, vma) while (((vma) = vma_next(&(vmi))) != NULL)
#define for_each_vma_range(vmi, vma, end) while (((vma) = vma_find(&(vmi), (end))) != NULL)

/*
 * One change of the tree: @vma (or nothing, if NULL) over [start, end). Prepared,
 * it cannot fail; if it is not committed after all it is cancelled.
 */
struct vma_store {
	struct ma_state mas;
	struct vm_area_struct *vma;
	bool prepared;
};

int vma_store_prepare(struct vma_store *store, struct mm_struct *mm, unsigned long start, unsigned long end,
		      struct vm_area_struct *vma);
void vma_store_commit(struct vma_store *store);
/* The whole of it, where it is the first step of a change: nothing that it takes need be known before. */
int vma_store_now(struct mm_struct *mm, unsigned long start, unsigned long end, struct vm_area_struct *vma);
/* As vma_store_now(), where the range begins in a VMA: that comes to the same, sooner. */
int vma_store_over(struct mm_struct *mm, unsigned long start, unsigned long end, struct vm_area_struct *vma);
/*
 * @vma gives @middle a part of its range, and @high, which may be NULL, what is above that: one change, the first
 * step as well. 0 or -ENOMEM.
 */
int vma_store_cut(struct vm_area_struct *vma, struct vm_area_struct *middle, struct vm_area_struct *high);
void vma_store_cancel(struct vma_store *store);
/* Put @vma over an entry of exactly its range: one release store, no memory. */
void vma_store_replace(struct mm_struct *mm, struct vm_area_struct *vma);
/* Empty [start, end), whose edges are edges of entries: no memory. */
void vma_store_clear(struct mm_struct *mm, unsigned long start, unsigned long end);
/* The same for the entry of a single VMA. */
void vma_store_erase(struct mm_struct *mm, struct vm_area_struct *vma);

/* What a call of several steps may need at most. */
struct vma_needs {
	unsigned long vmas;
	unsigned long links;		/* of chains */
	unsigned long anon_vmas;
	unsigned long stores;		/* changes of the tree */
};

/*
 * Take that in advance. Until vma_unreserve(), which may be called without a reserve too, allocations
 * draw on it. mmap_lock for writing. 0 or -ENOMEM, with nothing taken.
 */
int vma_reserve(struct mm_struct *mm, const struct vma_needs *needs);
void vma_unreserve(struct mm_struct *mm);
/* Longest chain of the VMAs that overlap [start, end) and of the two around. Adds to *@count how many overlap. */
unsigned long vma_longest_chain(struct mm_struct *mm, unsigned long start, unsigned long end,
				unsigned long *count);
/*
 * Reserve for changing the VMAs that overlap [start, end) one after the other, and for giving them an anon_vma
 * too if @populate. Nothing for a single change of a single VMA, which undoes itself.
 */
int vma_reserve_for_range(struct mm_struct *mm, unsigned long start, unsigned long end, bool populate);

/* lock.c: a VMA's own lock ------------------------------------------------- */

/* Lock @vma, found under RCU, for reading. False: it is locked for writing, detached, or another address space's. */
bool vma_start_read(struct mm_struct *mm, struct vm_area_struct *vma);
void vma_end_read(struct vm_area_struct *vma);
/* The VMA that contains @addr, locked for reading. NULL: there is none, or the mmap_lock has to be asked. */
struct vm_area_struct *lock_vma_under_rcu(struct mm_struct *mm, unsigned long addr);
/*
 * Keep faults off @vma, which is in the tree, until mmap_lock is given up or downgraded. Before any of its fields
 * changes. Waits for those who have it. mmap_lock for writing.
 */
void vma_start_write(struct vm_area_struct *vma);
/* It enters the tree, locked for writing. Before it is stored; mmap_lock for writing. */
void vma_mark_attached(struct vm_area_struct *vma);
/* It has left the tree: waits for those who have it locked. mmap_lock for writing. */
void vma_mark_detached(struct vm_area_struct *vma);
void vma_end_write_all(struct mm_struct *mm);	/* mmap_lock for writing */
void vma_assert_write_locked(struct vm_area_struct *vma);	/* or detached */
void vma_assert_locked(struct vm_area_struct *vma);

static inline bool vma_is_detached(const struct vm_area_struct *vma)
{
	return !atomic_load_explicit(&vma->vm_refcnt, memory_order_acquire);
}

/* For who holds the VMA's lock alone, beside a first write. */
static inline struct anon_vma *vma_anon_vma(const struct vm_area_struct *vma)
{
	return __atomic_load_n(&vma->anon_vma, __ATOMIC_ACQUIRE);
}

/* anon_vma.c -------------------------------------------------------------- */

unsigned long anon_vma_chain_length(const struct vm_area_struct *vma);
/* Tie @vma, which is written to, to an anon_vma: its neighbour's, or a new one. mmap_lock. 0 or -ENOMEM. */
int anon_vma_prepare(struct mm_struct *mm, struct vm_area_struct *vma);
/* @count chain links, or NULL with none taken (also when @count is 0). */
struct anon_vma_chain *anon_links_alloc(struct mm_struct *mm, unsigned long count);
void anon_links_free(struct mm_struct *mm, struct anon_vma_chain *links);
struct anon_vma *anon_vma_alloc(struct mm_struct *mm);
/*
 * Link @dst, which has no chain, to all of @src's anon_vmas; @links are as many as its chain is long. The reverse maps
 * are entered when @dst is.
 */
void anon_vma_clone(struct vm_area_struct *dst, struct vm_area_struct *src, struct anon_vma_chain *links);
/* The same with the anon_lock held. */
void anon_vma_clone_locked(struct vm_area_struct *dst, struct vm_area_struct *src, struct anon_vma_chain *links);
/* For a child of fork: the parent's chain, and an anon_vma of its own. 0 or -ENOMEM with nothing linked. */
int anon_vma_fork(struct vm_area_struct *child, struct vm_area_struct *parent);
void unlink_anon_vmas(struct mm_struct *mm, struct vm_area_struct *vma);

/* rmap.c ------------------------------------------------------------------ */

/*
 * Bounds of a VMA in reverse maps change between rmap_leave_locked() and rmap_enter_locked(), under the locks of
 * its file and of anon_vmas: so do those of the others in a split or a merge, which have the same file.
 */
void rmap_lock(struct vm_area_struct *vma);
void rmap_unlock(struct vm_area_struct *vma);
void rmap_enter_locked(struct vm_area_struct *vma);
void rmap_leave_locked(struct vm_area_struct *vma);	/* if it is in any */
/* A new one of a whole address space. mmap_lock for writing. */
void rmap_enter(struct vm_area_struct *vma);
/*
 * A fork is within the gate from before it copies the first page until its child is published. Who closes it
 * waits for all of them, and keeps new ones out: then reverse maps lead to every entry that there is. Taken
 * inside of mmap_lock and outside of the file's locks; reclaim does not take it.
 */
void fork_gate_enter(struct mm_context *ctx);
void fork_gate_leave(struct mm_context *ctx);
void fork_gate_close(struct mm_context *ctx);
void fork_gate_open(struct mm_context *ctx);
/* A child that is whole is published. mmap_lock for writing. */
void rmap_enter_all(struct mm_struct *mm);
/* One link, under the anon_lock. */
void rmap_enter_link(struct anon_vma_chain *link);
void rmap_leave_link(struct anon_vma_chain *link);
/* Nobody comes to @vma from a page any more; its chain is gone. It is detached, or locked for writing. */
void vma_unlink(struct mm_struct *mm, struct vm_area_struct *vma);
bool vma_in_reverse_map(const struct vm_area_struct *vma);

/*
 * The same for many, in order: a file's lock is taken once for several of its VMAs in a row. All of them are
 * locked before it is, since who holds one for reading may wait for the file's.
 */
#define UNLINK_BATCH 8

struct unlink_batch {
	struct mm_struct *mm;
	struct address_space *mapping;	/* of all in it */
	unsigned int nr;
	struct vm_area_struct *vmas[UNLINK_BATCH];
	unsigned long rounds;		/* a file's lock was taken */
};

void unlink_batch_init(struct unlink_batch *batch, struct mm_struct *mm);
/* As vma_unlink(), but that of files follows when the batch is full, or a VMA of another file comes. */
void unlink_batch_add(struct unlink_batch *batch, struct vm_area_struct *vma);
void unlink_batch_final(struct unlink_batch *batch);

/* Which VMAs map any of the pages @first to @last, inclusive? */
struct rmap_walk {
	pgoff_t first, last;
	bool (*visit)(void *arg, struct vm_area_struct *vma);	/* false ends it */
	void *arg;
};

/* In order of offset, under the i_mmap_lock, or the anon_lock, which the caller holds. False: a visit ended it. */
bool i_mmap_walk(struct address_space *mapping, const struct rmap_walk *walked);
/* The same without waiting for the lock. False: somebody has it, and nothing was visited. */
bool i_mmap_try_walk(struct address_space *mapping, const struct rmap_walk *walked);
bool anon_vma_walk_locked(struct anon_vma *anon_vma, const struct rmap_walk *walked);

/* Numbers of broken invariants: of a VMA in the tree, which its reverse maps must lead to, and of one of these. */
unsigned long rmap_check(struct vm_area_struct *vma);
unsigned long i_mmap_check(struct address_space *mapping);
unsigned long anon_vma_check(struct mm_context *ctx, const struct anon_vma *anon_vma);

/* merge.c ----------------------------------------------------------------- */

/* The first thing that keeps two neighbours apart, in the order in which it is asked. */
enum vma_difference {
	VMA_SAME,
	VMA_DIFFERS_SPECIAL,
	VMA_DIFFERS_FLAGS,
	VMA_DIFFERS_FILE,
	VMA_DIFFERS_OFFSET,
	VMA_DIFFERS_NAME,
	VMA_DIFFERS_ANON_VMA,	/* two different ones */
	VMA_DIFFERS_INHERITED,	/* one has an anon_vma whose pages an ancestor shares */
};

/*
 * A range that wants to be part of a neighbour: new, or cut out of an existing
 * VMA (@middle). mmap_lock for writing.
 */
struct vma_merge {
	struct mm_struct *mm;
	struct vm_area_struct *prev;	/* the VMA below @start, adjacent or not; or NULL */
	struct vm_area_struct *middle;	/* that the range is part of, or NULL for a new range */
	struct vm_area_struct *next;	/* above @end; or NULL */
	unsigned long start, end;
	pgoff_t pgoff;
	vm_flags_t flags;
	struct vm_file *file;
	const struct vma_name *name;
	struct vm_area_struct *pages_of; /* whose anon_vma the range brings: @middle, where it is moved from, or NULL */
	unsigned long prev_end;		/* where prev will end and next begin when the change is made */
	unsigned long next_start;
	bool just_expand;		/* downwards only */
	bool grows;			/* the range is the growth of @pages_of, which is @prev */

	/* The plan: */
	struct vm_area_struct *target;	/* NULL: no merge */
	struct vm_area_struct *removed[2];
	struct vm_area_struct *trimmed;	/* loses the range to @target */
	struct vm_area_struct *anon_from; /* whose chain @target takes over, or NULL */
	unsigned long new_start, new_end;
	pgoff_t new_pgoff;
	struct anon_vma_chain *links;
	struct vma_store store;
};

enum vma_difference vma_difference_left(const struct vma_merge *vmg);
enum vma_difference vma_difference_right(const struct vma_merge *vmg);
/* Plan: sets target or leaves it NULL. Then 0, or -ENOMEM with nothing taken. */
int vma_merge_prepare(struct vma_merge *vmg);
/* Cannot fail. Returns the target. */
struct vm_area_struct *vma_merge_commit(struct vma_merge *vmg);
/* Plan, and do it if there is a target: the store into the tree, the first step, is the last that can fail. */
int vma_merge_now(struct vma_merge *vmg);
/* Join two that meet and differ in their anon_vma at most; a lower one's is kept. 0, -EINVAL, -ENOMEM. */
int vma_merge_force(struct vm_area_struct *lower, struct vm_area_struct *upper);

/*
 * Give [start, end) of @vma, which contains it, other flags: merge with a neighbour, or split, or
 * neither. On success *@out is the VMA that holds the range. -ENOMEM, or as vma_may_split(): nothing has
 * changed, but where the map count or the driver allows for one split of two, that one is made, as Linux does.
 */
int vma_modify_flags(struct vm_area_struct *vma, unsigned long start, unsigned long end, vm_flags_t flags,
		     struct vm_area_struct **out);
/* The same with another name, which may be NULL; a reference is taken. */
int vma_modify_name(struct vm_area_struct *vma, unsigned long start, unsigned long end, struct vma_name *name,
		    struct vm_area_struct **out);
/*
 * Cut @vma in two at @addr; *@upper is new and above. The limit of mappings is the caller's to look at: Linux's munmap
 * cuts the VMA that it begins in beyond the limit, too. 0; -ENOMEM, nothing has changed.
 */
int vma_split(struct vm_area_struct *vma, unsigned long addr, struct vm_area_struct **upper);

/* unmap.c ----------------------------------------------------------------- */

/* Taking VMAs away: what is to go, what stays at the ends, and the sums over it. */
struct vma_munmap_struct {
	struct mm_struct *mm;
	unsigned long start, end;
	struct vm_area_struct *prev;	/* stays below: may be the first one itself, cut */
	struct vm_area_struct *next;	/* stays above */
	unsigned long prev_end, next_start; /* of these, once the range has gone; 0 if there is none */
	struct vm_area_struct *first, *last; /* that overlap the range; NULL: nothing to unmap */
	struct vm_area_struct *head;	/* new: the part of first that goes, when its lower part stays */
	struct vm_area_struct *tail;	/* new: the part of last that goes, when its upper part stays */
	struct vm_area_struct *high;	/* new: the upper part of first that stays, when a hole is punched */
	struct vma_set detached;
	/*
	 * Takes the pages of the detached VMAs away, at most once: when they are isolated, before the tree changes
	 * hands, if it is set by then; else later, before they are freed. NULL: done, or there are none.
	 */
	void (*clear)(struct vma_munmap_struct *vms);
	unsigned long vma_count;	/* overlapping */
	unsigned long nr_pages, locked_vm, accounted, exec_vm, stack_vm, data_vm; /* pages that go */
	unsigned long huge_owned;	/* of these, in huge pages that are promised */
	bool plain;			/* of all that are detached, nothing but memory is to be given back */
	unsigned long kept;		/* of those accounted: the promise goes over to what takes their place */
};

/*
 * Plan and allocate: nothing is changed. 0; -ENOMEM (map count, memory); -EPERM (sealed; then the
 * split before a sealed VMA has been made, as on Linux); as vma_may_split() (if it refuses the end, a split
 * at the start has been made, as on Linux). mmap_lock for writing.
 */
int vms_gather_vmas(struct vma_munmap_struct *vms, struct mm_struct *mm, unsigned long start,
		    unsigned long end);
void vms_abort(struct vma_munmap_struct *vms);
/* Abort for a reason other than want of memory: the splits at the ends are made, as Linux has made them by then. */
void vms_abort_split(struct vma_munmap_struct *vms);
/* Whether the edges of the range are edges of VMAs, so that taking it away needs no memory. */
bool vms_is_whole(const struct vma_munmap_struct *vms);
/* Commit, before and after the one change of the tree that replaces [start, end). Cannot fail. */
void vms_detach(struct vma_munmap_struct *vms);
void vms_attach_high(struct vma_munmap_struct *vms);
/* Change the tree for an unmap that nothing replaces. 0; -ENOMEM: nothing has changed, and @vms is aborted. */
int vms_remove(struct vma_munmap_struct *vms);
/* Statistics. mmap_lock for writing. */
void vms_account(struct vma_munmap_struct *vms);
/* The rest: promises, reverse maps, references, memory. Pages have gone. mmap_lock, also after a downgrade. */
void vms_release(struct vma_munmap_struct *vms);
/* Both. */
void vms_complete(struct vma_munmap_struct *vms);
/*
 * Give back @vma, which @vmi has just found, and what comes after it below @end (exclusive; 0: all). The entries of
 * the tree stay: it is destroyed next. Allocates nothing and yields on long lists. Returns the accounted
 * pages, which the caller gives back. A number that is not mm->map_count is warned of. mmap_lock for writing.
 */
unsigned long tear_down_vmas(struct mm_struct *mm, struct vma_iterator *vmi, struct vm_area_struct *vma,
			     unsigned long end);

/* driver.c ---------------------------------------------------------------- */

/* One VMA more of a file, or one less: its driver is told. */
void vma_open(const struct vm_area_struct *vma);
void vma_close(const struct vm_area_struct *vma);
/* @vma as its driver is shown it. */
struct vm_mapping vma_as_mapping(const struct vm_area_struct *vma);
/* Whether @vma, which reaches to @addr at least, can be cut there. 0; -EINVAL (a huge page); what its driver says. */
int vma_may_split(const struct vm_area_struct *vma, unsigned long addr);
/* Whether the driver lets what is at @from move to @to, which stands and has no pages yet. 0 or what it says. */
int vma_may_move(const struct vm_area_struct *to, unsigned long from);

/* insert.c ---------------------------------------------------------------- */

/* A new mapping. */
struct vma_new {
	unsigned long start, end;
	pgoff_t pgoff;
	vm_flags_t flags;
	struct vm_file *file;		/* a reference is taken */
	struct vma_name *name;		/* a reference is taken */
	struct vm_area_struct *moved_from; /* whose pages and chain it takes over, or NULL */
	bool no_merge;
	bool just_expand;
	bool charged;			/* the accounted pages have been charged by the caller */
};

/*
 * Make it, in place of what @vms has gathered (NULL: the range is free): one change
 * of the tree. Charges nothing. Statistics are brought up to date; @vms is completed. -ENOMEM: nothing
 * has changed and @vms is the caller's to abort.
 */
int vma_insert(struct mm_struct *mm, const struct vma_new *new, struct vma_munmap_struct *vms,
	       struct vm_area_struct **out);

/* gap.c ------------------------------------------------------------------- */

struct vm_unmapped_area {
	unsigned long addr;	/* hint */
	unsigned long len;	/* bytes, page aligned */
	unsigned long flags;	/* MAP_* */
	struct vm_file *file;
	uint64_t offset;	/* bytes */
};

/* Where a mapping may go. 0; -ENOMEM, -EINVAL, -EPERM. mmap_lock. */
int get_unmapped_area(struct mm_struct *mm, const struct vm_unmapped_area *want, unsigned long *out);
/* Start of the room that has to stay free below @vma, which is more than its start for a stack. */
unsigned long vm_start_gap(const struct vm_area_struct *vma);

/* account.c --------------------------------------------------------------- */

bool is_exec_mapping(vm_flags_t flags);
bool is_stack_mapping(vm_flags_t flags);
bool is_data_mapping(vm_flags_t flags);
void vm_stat_account(struct mm_struct *mm, vm_flags_t flags, long pages);
bool may_expand_vm(struct mm_struct *mm, vm_flags_t flags, unsigned long pages);
bool mlock_future_ok(struct mm_struct *mm, vm_flags_t flags, unsigned long bytes);
bool can_do_mlock(struct mm_struct *mm);
/* Promise @pages more. 0 or -ENOMEM. */
int vm_enough_memory(struct mm_context *ctx, unsigned long pages);
void vm_unacct_memory(struct mm_context *ctx, unsigned long pages);
/* Whether a private writable mapping of this kind is charged. */
bool accountable_mapping(const struct vm_file *file, vm_flags_t flags);

/* hugetlb.c --------------------------------------------------------------- */


/* A promise of huge pages in the making. With shared ones, i_lock is held from prepare to commit or cancel. */
struct huge_promise {
	struct address_space *mapping;	/* NULL: there is none */
	unsigned long pages;		/* huge ones */
	bool shared;
	struct ma_state mas;
};

/*
 * @pages from @pgoff on, where @replaced are given back; all in pages of 4 KiB and multiples of a huge one.
 * 0; -ENOSPC (the pool), -ENOMEM.
 */
int huge_promise_prepare(struct huge_promise *promise, struct vm_file *file, pgoff_t pgoff, unsigned long pages,
			 bool shared, unsigned long replaced);
/* Neither can fail; both may be called on a promise of nothing. */
void huge_promise_commit(struct huge_promise *promise);
void huge_promise_cancel(struct huge_promise *promise);
/*
 * The huge page @index of the file, in huge pages, is about to be made: promised now unless it is already. Does not wait
 * for who promises at the same time: then it goes without. 0; -ENOSPC (the pool), -ENOMEM.
 */
int huge_promise_page(struct address_space *mapping, pgoff_t index);
/* It has gone, and its promise with it, or with the file if there is no memory to cut the range in two. */
void huge_promise_drop(struct address_space *mapping, pgoff_t index);
/* Private promises end: @pages huge ones. */
void huge_give_back(struct mm_context *ctx, unsigned long pages);
/* A mapping of @pages huge ones moves: its promise is there twice, until the old place is unmapped. */
void huge_move(struct mm_context *ctx, unsigned long pages);
/* What MAP_HUGETLB without a file is backed by. */
int vm_file_create_huge(struct mm_context *ctx, uint64_t bytes, struct vm_file **out);

/* file.c ------------------------------------------------------------------ */

int vm_file_create_shared_anon(struct mm_context *ctx, unsigned long pages, bool noreserve,
			       struct vm_file **out);

/* inode.c ----------------------------------------------------------------- */

/* One open file holds it. NULL when there is no memory. */
struct address_space *address_space_create(struct mm_context *ctx, const struct vm_file_info *info);
void address_space_get(struct address_space *mapping);
/* The last reference gives pages and memory back. */
void address_space_put(struct address_space *mapping);
/*
 * Walk the inodes of shared memory: the next one that has a holder, with a reference; that of @prev is given back.
 * NULL begins, and ends.
 */
struct address_space *shmem_list_next(struct mm_context *ctx, struct address_space *prev);
/* Pages that the file reaches into; indexes from there on are beyond its end. */
pgoff_t i_size_pages(const struct address_space *mapping);
/* Requires i_lock. */
void i_size_write(struct address_space *mapping, uint64_t bytes);

/* The entry at @index, or NULL. RCU section. */
void *i_pages_load(struct address_space *mapping, pgoff_t index);
/* The first entry at *@index or above, up to @last inclusive; moves *@index to it. NULL: none. RCU section. */
void *i_pages_find(struct address_space *mapping, pgoff_t *index, pgoff_t last);
/* Enter @entry where nothing is. 0; -EEXIST, -ENOMEM. */
int i_pages_insert(struct address_space *mapping, pgoff_t index, void *entry);
/* Put @entry, which may be NULL, in place of @old. False: something else is there. Allocates nothing. */
bool i_pages_replace(struct address_space *mapping, pgoff_t index, void *old, void *entry);

/* validate.c -------------------------------------------------------------- */

/* Number of broken invariants, each told to the log. mmap_lock. */
int validate_mm(struct mm_struct *mm);

#endif
