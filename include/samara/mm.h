/* SPDX-License-Identifier: MIT */
/*
 * Address spaces: a context, the address spaces in it, and the calls on them.
 *
 * Addresses and lengths are bytes; a page is 4096 bytes. Ranges are half open,
 * [start, end), and an end of 0 means "to the top". Each call has the name,
 * the arguments and the errno of the system call that it models; the values of
 * PROT_*, MAP_*, MREMAP_*, MADV_*, MLOCK_* and MCL_* are Linux's on x86-64.
 */
#ifndef SAMARA_MM_H
#define SAMARA_MM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <samara/platform.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/** What address spaces share: limits, commit accounting, memory, the log. Two contexts never meet. */
struct mm_context;
/** One address space. Its users are counted, mmget() and mmput(), and apart from them its holders, mmgrab() and mmdrop(). */
struct mm_struct;
/** One open file description, as far as mappings care. Counted: vm_file_get(), vm_file_put(). */
struct vm_file;

/* Contexts ---------------------------------------------------------------- */

/** How far the context lets memory be promised, as vm.overcommit_memory. */
enum mm_overcommit { MM_OVERCOMMIT_GUESS = 0, MM_OVERCOMMIT_ALWAYS = 1, MM_OVERCOMMIT_NEVER = 2 };

/** What happens when an allocation finds no frame. Each does what those before it do first. */
enum mm_pressure {
	MM_PRESSURE_FAIL,	/* it fails: MM_FAULT_OOM, or -ENOMEM */
	MM_PRESSURE_RECLAIM,	/* pages that were not used lately go: to the swap area, or back to their file */
	MM_PRESSURE_REAP	/* if none can, the largest address space loses its memory, as by mm_oom_reap() */
};

/** What a trace hook is told of. */
enum mm_trace_event { MM_TRACE_MMAP, MM_TRACE_MUNMAP, MM_TRACE_FAULT, MM_TRACE_FORK, MM_TRACE_EXIT };

struct mm_trace {
	enum mm_trace_event event;
	struct mm_struct *mm;	/* MM_TRACE_EXIT: already empty; valid until the hook returns */
	unsigned long addr;	/* byte; where the range begins, or that was touched */
	unsigned long len;	/* bytes */
	long result;		/* 0 or a negative errno; enum mm_fault of a fault; mappings that an exit found */
	struct mm_struct *child; /* MM_TRACE_FORK that succeeded, else NULL */
};

/**
 * Called when a call has done its work and holds no lock; an exit's is the last thing that happens to
 * an address space, and comes for empty ones and for children that failed too. May call the library, but not
 * with the address space of an exit.
 */
typedef void (*mm_trace_fn)(void *arg, const struct mm_trace *trace);

/**
 * Called where caches that are indexed by virtual address would have to be written back: before the pages of an address
 * space become its child's too (of the parent), and before all pages go, at its end and when a fork is undone.
 * mmap_lock is held, for writing but at the end; must not call the library.
 */
typedef void (*mm_cache_fn)(void *arg, struct mm_struct *mm);

/** Options of a context. Zero in a field (but size) means the default given. */
struct mm_context_options {
	size_t size;			/* sizeof(struct mm_context_options), so that it can grow */
	platform_log_fn log;		/* broken invariants; standard error */
	void *log_arg;
	struct platform *platform;	/* memory and log, and stays the caller's; one of the context's own, with log */
	unsigned long max_map_count;	/* VMAs of an address space; 65530 */
	unsigned long stack_guard_gap;	/* bytes kept free below a stack; 256 pages */
	unsigned long mmap_min_addr;	/* bytes; searches and hints stay above it; 65536 */
	enum mm_overcommit overcommit;	/* MM_OVERCOMMIT_GUESS */
	unsigned long commit_limit;	/* pages, for MM_OVERCOMMIT_NEVER; no limit */
	unsigned long total_ram;	/* pages, for MM_OVERCOMMIT_GUESS; no limit */
	unsigned long rawio_below;	/* bytes; a mapping below takes cap_sys_rawio; 4096 */
	mm_trace_fn trace;		/* told of each mmap, munmap, fault, fork and exit; none */
	void *trace_arg;
	unsigned long frames;		/* frames of 4 KiB that there may be; 0: no page tables, mappings only */
	unsigned int pkeys;		/* protection keys that the processor has, at most 16; none */
	bool anon_names;		/* anonymous memory can be named (CONFIG_ANON_VMA_NAME) */
	unsigned long huge_pages;	/* huge pages of 2 MiB in the pool that MAP_HUGETLB draws on; none */
	bool memory_failure;		/* pages can be given up as broken, by who may (CONFIG_MEMORY_FAILURE) */
	mm_cache_fn flush_cache;	/* the caches have to be written back; none does (none of the processors has such caches) */
	void *flush_cache_arg;
	enum mm_pressure pressure;	/* MM_PRESSURE_FAIL. For small frames and tables; huge pages come from their pool */
	unsigned long fault_around;	/* pages that a read of a file maps with its own, if at hand; a power of two; 16 */
};

/**
 * mm_context_create - make a context
 * @opt: options, or NULL for the defaults
 * @out: the context
 *
 * Return: 0; -EINVAL (size of @opt unknown, frames too few for anything or more than 2^32), -ENOMEM.
 */
int mm_context_create(const struct mm_context_options *opt, struct mm_context **out);

/**
 * mm_context_destroy - end a context
 * @ctx: no address space or file of it may be left; NULL is allowed
 *
 * Waits for a grace period. Not inside an RCU section.
 */
void mm_context_destroy(struct mm_context *ctx);

/**
 * mm_swapon - give a context a swap area
 * @ctx:   context with page tables
 * @slots: pages that it has room for
 *
 * Return: 0; -EINVAL (no page tables, no slots, 2^32 or more), -EBUSY (it has one), -ENOMEM.
 */
int mm_swapon(struct mm_context *ctx, unsigned long slots);

/**
 * mm_swapoff - take the swap area away
 * @ctx:    context
 * @caller: address space whose fatal signal ends it (mm_options.fatal_signal_pending), or NULL
 *
 * Brings back every page that is in it, of all address spaces and of shared memory, while others run, fork and exit.
 * An address space of which the reaper has taken pages is passed over: what it still has in the area goes with
 * its exit, which is waited for.
 *
 * Locking: takes mmap_lock of each address space for reading, and what mm_fault() takes. Waits for a grace period.
 * Return: 0: the area is gone. On error it is in use again, and some pages may be back: -EINVAL (there
 * is none, or it is being taken away), -ENOMEM (too few frames), -EINTR (a fatal signal), -EIO (it cannot be read).
 */
int mm_swapoff(struct mm_context *ctx, struct mm_struct *caller);

/**
 * mm_reclaim - take frames back that were not used lately
 * @ctx:    context
 * @frames: how many are wanted
 *
 * Private and shared memory goes to the swap area, pages of files are dropped, and written back before if they are
 * newer than their file and it has a write_page.
 *
 * Locking: takes the locks of reverse maps and page tables.
 * Return: how many became free.
 */
unsigned long mm_reclaim(struct mm_context *ctx, unsigned long frames);

/** mm_context_platform - the context's memory, for platform_fail_nth() and platform_read_stats(). */
struct platform *mm_context_platform(struct mm_context *ctx);

/** mm_context_huge_promised - huge pages of the pool that are promised, or in use. */
unsigned long mm_context_huge_promised(struct mm_context *ctx);

/** mm_context_committed - pages promised by all address spaces of the context. */
unsigned long mm_context_committed(struct mm_context *ctx);

/* Files ------------------------------------------------------------------- */

/** What a mapped file is. */
enum vm_file_kind {
	VM_FILE_REGULAR,
	VM_FILE_SHMEM,		/* memory that has a name: memfd, tmpfs, shared anonymous memory */
	VM_FILE_ZERO,		/* /dev/zero: a private mapping of it is anonymous, but keeps its file */
	VM_FILE_DEVICE,		/* a driver's mapping: special, never merged */
	VM_FILE_HUGETLB		/* memory in huge pages of 2 MiB: memfd_create(MFD_HUGETLB), hugetlbfs */
};

/**
 * vm_read_page_fn - read one page of a file into memory
 * @arg:   read_page_arg of the file
 * @index: which, in pages
 * @page:  4096 zeroed bytes to fill
 *
 * Called by faults, with locks held: must not call the library.
 * Return: 0; a negative errno makes the touch end in a bus error.
 */
typedef int (*vm_read_page_fn)(void *arg, uint64_t index, void *page);

/**
 * vm_write_page_fn - write one page of a file back
 * @arg:   read_page_arg of the file
 * @index: which, in pages
 * @page:  its 4096 bytes; what lies behind the end of the file is not the file's
 *
 * Called when frames are taken back, by MS_SYNC, and when the last holder of the file goes; with locks held: must
 * not call the library, nor wait for who may be waiting for it.
 * Return: 0; a negative errno: the page stays, and is newer than the file still.
 */
typedef int (*vm_write_page_fn)(void *arg, uint64_t index, const void *page);

/** How memory is touched. */
enum mm_access { MM_READ, MM_WRITE, MM_EXEC };

/** A mapping, as the hooks of its driver see it. It is there as long as the hook runs. */
struct vm_mapping {
	struct mm_struct *mm;
	unsigned long start, end;	/* addresses, page aligned; end is exclusive */
	uint64_t pgoff;			/* of @start in the file, in pages */
	unsigned long prot;		/* PROT_READ, PROT_WRITE, PROT_EXEC: what the program may do */
	bool shared;			/* what is written is the driver's; else it is a copy */
};

/** How a driver answers a fault. */
enum vm_fault_answer {
	VM_FAULT_FRAME,		/* map the frame that it has put into the request */
	VM_FAULT_MAPPED,	/* it has mapped the page itself, by mm_map_frames() */
	VM_FAULT_EMULATE,	/* no frame: each access is made by @access */
	VM_FAULT_BUS,		/* there is nothing there */
	VM_FAULT_NOMEM
};

/** A fault, for a driver. */
struct vm_fault {
	struct mm_struct *mm;
	unsigned long addr;	/* of the page */
	uint64_t pgoff;		/* of it in the file */
	enum mm_access access;
	bool private_copy;	/* a private mapping is written to: the frame is copied, not mapped */
	const struct vm_mapping *map;	/* that is touched */
	unsigned long frame;	/* the answer: one of mm_frame_alloc() */
};

/**
 * What a driver does for mappings of its file (VM_FILE_DEVICE). Any may be NULL. All are called with locks
 * held, and must not call the library, but for what is named here.
 *
 *   all            may call mm_frame_alloc(), mm_frame_bytes(), mm_unpin()
 *   mmap, fault    mm_map_frames() too
 *
 *   mmap_prepare, may_split, mremap, open    mmap_lock is held for writing
 *   mmap           mmap_lock and the mapping's lock, for writing
 *   fault          the mapping's lock or mmap_lock, for reading
 *   close, access  mmap_lock, for reading at least
 */
struct vm_operations {
	/**
	 * A mapping is to be made. 0, or a negative errno, which mm_mmap() returns, and all is as before. It
	 * says only whether: memory may still run out afterwards, so the hook itself must have no effect.
	 */
	int (*mmap_prepare)(void *arg, const struct vm_mapping *map);
	/**
	 * For who maps pages in advance: the mapping stands, nobody has touched it yet. A negative errno,
	 * which mm_mmap() returns: it goes again, and what was mapped with it. What had been there before,
	 * with MAP_FIXED, has gone too.
	 */
	int (*mmap)(void *arg, const struct vm_mapping *map);
	/** There is one mapping more: a new one, a part that was split off, a child's. Cannot refuse. */
	void (*open)(void *arg, struct mm_struct *mm);
	/** There is one less. As often as open. */
	void (*close)(void *arg, struct mm_struct *mm);
	/**
	 * @map is to be cut at @addr. 0, or a negative errno, which the call returns that needs the cut. As
	 * mmap_prepare it must have no effect: whether the cut is made is seen by open.
	 */
	int (*may_split)(void *arg, const struct vm_mapping *map, unsigned long addr);
	/**
	 * What was mapped at @from is about to move to @map, which has no pages yet; then the old place is
	 * unmapped. 0, or a negative errno, which mm_mremap() returns, and it has not moved.
	 */
	int (*mremap)(void *arg, const struct vm_mapping *map, unsigned long from);
	/**
	 * A page is touched that is not mapped, or that is shared, was mapped for reading by
	 * VM_FAULT_FRAME, and is written to. Another thread may ask for the same page at the same time.
	 */
	enum vm_fault_answer (*fault)(void *arg, struct vm_fault *fault);
	/** Read or write @len bytes at @offset of the file, within a page. 0; negative: a bus error. */
	int (*access)(void *arg, uint64_t offset, void *buf, size_t len, bool write);
};

/**
 * mm_map_frames - enter frames into a mapping, for its driver's hooks mmap and fault
 * @map:    as the hook was given it
 * @addr:   of the first page, within @map
 * @frames: of mm_frame_alloc(), one for each page
 * @nr:     how many
 *
 * They get the rights of the mapping at once; where that is private, what is written becomes a copy. They
 * are not counted: the driver keeps each frame as long as it is mapped anywhere, or takes it back by
 * vm_file_invalidate() before it lets it go.
 *
 * Locking: those of the hook; takes the locks of page tables.
 * Return: 0; -EINVAL (beyond @map, or no such frame), -EBUSY (another page is there), -ENOMEM, -EFAULT (the
 * address space is being taken down). Pages before the one that failed stay mapped.
 */
int mm_map_frames(const struct vm_mapping *map, unsigned long addr, const unsigned long *frames,
		  unsigned long nr);

struct vm_file_info {
	size_t size;		/* sizeof(struct vm_file_info) */
	uint64_t ino;
	uint32_t dev_major;
	uint32_t dev_minor;
	enum vm_file_kind kind;
	bool readable;		/* opened for reading */
	bool writable;		/* opened for writing */
	bool noexec;		/* on a file system that forbids execution */
	bool hugepage_aligned;	/* the file system asks for addresses aligned to 2 MiB, if long enough */
	const char *name;	/* as the map shows it, or NULL; copied */
	const struct vm_operations *ops; /* of VM_FILE_DEVICE: the driver's; NULL: it cannot be mapped */
	void *ops_arg;		/* passed to them */
	struct vm_file *same_inode_as; /* opened on the contents of this one, of the same kind; or NULL */
	/* What follows is the inode's, and is ignored with @same_inode_as: */
	bool sized;		/* it ends after @bytes; else it is endless, and no touch is beyond its end */
	uint64_t bytes;
	bool cached;		/* all of it counts as read already, so that a fault maps the pages around too */
	vm_read_page_fn read_page; /* where contents come from; NULL: zeroes */
	void *read_page_arg;
	vm_write_page_fn write_page; /* where they are written back to; NULL: what was written to stays in memory */
};

/**
 * vm_file_create - make a file description; mappings merge only within one
 * @ctx:  context
 * @info: what it is
 * @out:  the file, with one reference
 *
 * Return: 0; -EINVAL (size or kind unknown, an inode of another kind or context), -ENOMEM.
 */
int vm_file_create(struct mm_context *ctx, const struct vm_file_info *info, struct vm_file **out);

/** vm_file_get - take a reference. */
void vm_file_get(struct vm_file *file);

/** vm_file_put - give a reference back; the last one frees the file. NULL is allowed. */
void vm_file_put(struct vm_file *file);

/** vm_file_refs - references held now, the mappings' included. */
unsigned long vm_file_refs(const struct vm_file *file);

/**
 * vm_file_truncate - move the end of a file
 * @file:  file; one that was endless gets an end
 * @bytes: its length from now on
 *
 * Pages beyond the end leave every address space, private copies of them too, and their contents are gone. A touch
 * of what lies beyond the last page ends in a bus error.
 *
 * Locking: takes the file's locks, and those of page tables; no mmap_lock.
 * Return: 0; -EINVAL (more than INT64_MAX, or part of a huge page where the file has these).
 */
int vm_file_truncate(struct vm_file *file, uint64_t bytes);

/**
 * vm_file_invalidate - forget what was read of a file
 * @file:  file
 * @start: first byte, page aligned
 * @len:   bytes, whole pages
 *
 * The next touch reads the pages anew. Private copies stay. Of memory that has a name, contents are lost: that is
 * how a hole is punched.
 *
 * Locking: as for vm_file_truncate().
 * Return: 0; -EINVAL (unaligned, wrap).
 */
int vm_file_invalidate(struct vm_file *file, uint64_t start, uint64_t len);

/** vm_file_size - its length in bytes, or UINT64_MAX if it is endless. Locking: none. */
uint64_t vm_file_size(const struct vm_file *file);

/**
 * vm_file_set_identity - correct device and inode, for a file whose number only the kernel could choose
 *
 * Locking: none is taken; no other thread may look at a mapping of @file meanwhile.
 */
void vm_file_set_identity(struct vm_file *file, uint32_t dev_major, uint32_t dev_minor, uint64_t ino);

/* Address spaces ---------------------------------------------------------- */

/** Limits of one address space, as setrlimit() has them. */
enum mm_rlimit { MM_RLIMIT_AS, MM_RLIMIT_DATA, MM_RLIMIT_STACK, MM_RLIMIT_MEMLOCK, MM_NR_RLIMITS };
#define MM_RLIM_INFINITY (~0UL)

/** The hardware whose page tables an address space has: 4 KiB pages, the bits in the architecture's own format. */
enum mm_geometry {
	MM_X86_64,		/* 4 levels */
	MM_X86_64_LA57,		/* 5 levels */
	MM_ARM64,		/* 4 KiB granule, 48 bits: 4 levels */
	MM_RISCV64_SV39,	/* 3 levels */
	MM_RISCV64_SV48		/* 4 levels */
};

struct mm_options {
	size_t size;			/* sizeof(struct mm_options) */
	unsigned long task_size;	/* one past the last user byte; 0x7ffffffff000 */
	unsigned long mmap_base;	/* where the search begins; 0x7ffff7fff000, or task_size if that is lower */
	bool legacy_layout;		/* it goes up, not down, and mmap_base is task_size / 3 if not given */
	unsigned long start_brk;	/* where the heap begins; 0: there is none yet */
	bool limits_set;		/* take rlimit[] as given; else stack and locks are limited to 8 MiB each */
	unsigned long rlimit[MM_NR_RLIMITS];	/* bytes */
	bool cap_ipc_lock;		/* may lock beyond the limit */
	unsigned long data_size;	/* bytes of the program's own data, which MM_RLIMIT_DATA counts with the heap */
	bool cap_sys_rawio;		/* may map below rawio_below */
	bool read_implies_exec;		/* personality READ_IMPLIES_EXEC */
	bool no_gate_area;		/* as a kernel booted with vsyscall=none */
	int oom_score_adj;		/* -1000 (never) to 1000: thousandths of all frames, added to its size */
	/* Whether a fatal signal waits: asked between the mappings of a fork, which it ends; none waits if NULL. */
	bool (*fatal_signal_pending)(void *arg, struct mm_struct *mm);
	void *signal_arg;
	enum mm_geometry geometry;	/* of page tables; MM_X86_64. task_size must fit (256 GiB with Sv39) */
	bool no_huge_pages;		/* as after prctl(PR_SET_THP_DISABLE): MADV_COLLAPSE is refused */
};

/**
 * mm_create - make an empty address space
 * @ctx: context
 * @opt: options, or NULL for the defaults
 * @out: the address space, with one user
 *
 * Return: 0; -EINVAL (size unknown, unaligned addresses, a task_size that the page tables do not reach), -ENOMEM.
 */
int mm_create(struct mm_context *ctx, const struct mm_options *opt, struct mm_struct **out);

/** mmget - take a user reference; the caller must have one, or know of one. */
void mmget(struct mm_struct *mm);

/** mmget_not_zero - take a user reference, if there is a user still. The caller must hold @mm. Return: whether. */
bool mmget_not_zero(struct mm_struct *mm);

/**
 * mmput - give a user reference back
 * @mm: address space, or NULL
 *
 * The last one unmaps everything, once, and then gives back the hold that all users have
 * together. Allocates nothing and cannot fail. Locking: takes mmap_lock, for reading and for writing, when it is the last.
 */
void mmput(struct mm_struct *mm);

/**
 * mmgrab - hold the memory of an address space
 * @mm: address space
 *
 * A holder may look at @mm for as long as it likes, but is no user: when the last of
 * these goes, all mappings go, and the holder finds an empty address space.
 */
void mmgrab(struct mm_struct *mm);

/** mmdrop - give a hold back; the last one, after the last user, frees @mm. NULL is allowed. */
void mmdrop(struct mm_struct *mm);

/** mm_get - mmget() under another name. */
static inline void mm_get(struct mm_struct *mm)
{
	mmget(mm);
}

/** mm_put - mmput() under another name. */
static inline void mm_put(struct mm_struct *mm)
{
	mmput(mm);
}

/**
 * mm_context_next - walk the address spaces of a context
 * @ctx:  context
 * @prev: what the last call returned, whose user reference is given back; NULL to begin
 *
 * Meets each one that has a user, is whole, and was there throughout; those that come or go meanwhile may be met or
 * not. A walk that ends early gives the reference back itself. @prev may end by this call.
 *
 * Locking: takes the list's lock, and what mmput() takes.
 * Return: the next one, with a user reference; NULL when there is none.
 */
struct mm_struct *mm_context_next(struct mm_context *ctx, struct mm_struct *prev);

/**
 * mm_fork - copy an address space, as fork() does
 * @parent: address space
 * @out:    the child, with one user
 *
 * Mappings marked DONTFORK are left out; locks are not inherited.
 *
 * Locking: takes the parent's mmap_lock for writing.
 * Return: 0; -ENOMEM (no memory, or the commit limit), -EINTR (a fatal signal waits, or the reaper has taken
 * pages of the parent, which is to die then). On error the parent is as before and nobody has seen the child.
 */
int mm_fork(struct mm_struct *parent, struct mm_struct **out);

/**
 * mm_exec - replace an address space by an empty one, as execve() does
 * @mm:  address space, of which the caller gives its user reference back
 * @opt: options of the new one, or NULL: those of @mm as they are now, but for a heap, which there is none of
 * @out: the new one, with one user
 *
 * Nothing of @mm goes over: neither mappings nor locks, MCL_FUTURE, keys or notifiers. It ends if it has no other user.
 *
 * Locking: takes the mmap_lock of @mm for reading, and what mmput() takes.
 * Return: 0; as mm_create(): then nothing has changed, and the caller has its reference still.
 */
int mm_exec(struct mm_struct *mm, const struct mm_options *opt, struct mm_struct **out);

/**
 * One who does work on every address space of a context: merges equal pages, gathers pages into huge ones, handles
 * faults, counts events. Embedded in what he owns. Zero it first.
 */
struct mm_daemon {
	const struct mm_daemon_ops *ops;
	struct mm_daemon *next;		/* the library's */
};

/**
 * What he is told, with no lock of an address space held. NULL: nothing. Both may call the library on what they are
 * given, but not mm_fork(), mm_exec(), or what registers daemons, and must not give a last user back.
 */
struct mm_daemon_ops {
	/** @child is whole, everybody can find it, and its maker has not got it yet. Never for a fork that fails. */
	void (*fork)(struct mm_daemon *daemon, struct mm_struct *parent, struct mm_struct *child);
	/** The last user of @mm has gone; nothing has been unmapped. It cannot be got a user of any more. */
	void (*exit)(struct mm_daemon *daemon, struct mm_struct *mm);
};

/** mm_daemon_register - be told of children and ends from now on. Locking: waits for those being told. */
void mm_daemon_register(struct mm_context *ctx, struct mm_daemon *daemon);

/** mm_daemon_unregister - not to be called any more when this returns. Locking: as mm_daemon_register(). */
void mm_daemon_unregister(struct mm_context *ctx, struct mm_daemon *daemon);

/**
 * mm_oom_reap - take the private memory of an address space that is to die, without waiting for its end
 * @mm: address space, which the caller holds
 *
 * For when frames are short. From now on its memory cannot be relied on: its faults end in MM_FAULT_BUS. Locked
 * memory goes too; shared memory, huge pages of hugetlb and raw frames stay. Does not wait, and takes nothing from one
 * whose memory goes already.
 *
 * Locking: tries for mmap_lock, for reading.
 * Return: 0, also if there is nothing to do; -EAGAIN (the lock is not to be had now).
 */
int mm_oom_reap(struct mm_struct *mm);

/**
 * mm_oom_select - which address space of a context to end when frames are short
 * @ctx: context
 *
 * The one with the most frames, swap slots and tables, as its oom_score_adj has it; none of -1000, none that goes already.
 *
 * Locking: as mm_context_next().
 * Return: it, held (mmdrop()), or NULL.
 */
struct mm_struct *mm_oom_select(struct mm_context *ctx);

/** mm_set_rlimit - set one limit, in bytes. Return: 0; -EINVAL. */
int mm_set_rlimit(struct mm_struct *mm, enum mm_rlimit which, unsigned long bytes);

/* The calls --------------------------------------------------------------- */

struct mm_mmap_args {
	unsigned long addr;	/* hint, or the place with MAP_FIXED */
	size_t len;		/* bytes; rounded up to pages */
	unsigned long prot;
	unsigned long flags;
	struct vm_file *file;	/* NULL with MAP_ANONYMOUS */
	uint64_t offset;	/* bytes; page aligned */
};

/**
 * mm_mmap - map memory
 * @mm:   address space
 * @args: as for mmap(2); a reference to the file is taken for the mapping
 * @out:  the address
 *
 * MAP_FIXED replaces what is there in one step: no reader sees a hole.
 * MAP_HUGETLB, and files of huge pages: lengths are rounded up to 2 MiB, and addresses must be multiples
 * of that. The pages are promised now (-ENOMEM where the pool has no more; what was there is
 * unmapped by then, as on Linux), and other sizes than 2 MiB are -EINVAL. That a child of fork,
 * or a mapping with MAP_NORESERVE, may find the pool empty when it touches them is not modelled.
 *
 * Locking: takes mmap_lock for writing.
 * Return: 0; -EINVAL (length 0, unaligned address or offset, bad flags),
 * -ENOMEM (no gap, beyond a limit, map count, no memory), -EEXIST
 * (MAP_FIXED_NOREPLACE), -EACCES (file not open for it), -EPERM (noexec;
 * below mmap_min_addr; MAP_LOCKED without right), -EAGAIN (lock limit),
 * -EOVERFLOW (offset + length), -EBADF (no file of the context, and not anonymous),
 * -ENODEV (a device without operations), -EOPNOTSUPP (unknown flag with MAP_SHARED_VALIDATE). On error
 * nothing has changed.
 */
int mm_mmap(struct mm_struct *mm, const struct mm_mmap_args *args, unsigned long *out);

/**
 * mm_get_unmapped_area - where mm_mmap() would put a mapping
 *
 * Arguments as for mm_mmap(), of which those that do not bear on the place are not looked at; but nothing is mapped.
 *
 * Locking: takes mmap_lock for reading.
 * Return: 0; -EINVAL, -ENOMEM, -EEXIST, -EPERM, -EBADF and -ENODEV as mm_mmap() has them for the place.
 */
int mm_get_unmapped_area(struct mm_struct *mm, const struct mm_mmap_args *args, unsigned long *out);

/**
 * mm_munmap - remove every mapping in a range
 * @mm:   address space
 * @addr: first byte, page aligned
 * @len:  bytes, rounded up to whole pages; [@addr, @addr + @len) is removed
 *
 * Mappings that reach over an end of the range are split. Removing whole
 * mappings needs no memory and cannot fail; a split can.
 *
 * Locking: takes mmap_lock for writing.
 * Return: 0; -EINVAL (unaligned, empty, beyond the user range), -ENOMEM (no
 * memory for a split, or map count at its limit), -EPERM (sealed). On error
 * nothing has changed, but for a split before a sealed mapping.
 */
int mm_munmap(struct mm_struct *mm, unsigned long addr, size_t len);

/**
 * mm_mprotect - change the protection of a range
 * @mm:   address space
 * @addr: first byte, page aligned
 * @len:  bytes, rounded up to whole pages
 * @prot: PROT_READ, PROT_WRITE, PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP
 *
 * As Linux, what lies below a hole or a refused mapping is changed already
 * when the call fails there.
 *
 * Locking: takes mmap_lock for writing.
 * Return: 0; -EINVAL (unaligned, bad bits, GROWSDOWN where nothing grows),
 * -ENOMEM (hole, wrap, limits, no memory), -EACCES (the file forbids it),
 * -EPERM (sealed).
 */
int mm_mprotect(struct mm_struct *mm, unsigned long addr, size_t len, unsigned long prot);

/**
 * mm_pkey_mprotect - change the protection and the protection key of a range
 * @key: a key that is allocated, or -1: keep what there is, as mm_mprotect() does
 *
 * The other arguments, locking, partial effects and errors are those of
 * mm_mprotect(); besides, -EINVAL: @key is not allocated. Pages that may be
 * executed alone (PROT_EXEC) get, with a @key of -1, the key that is kept for
 * them: it lets nobody read them.
 */
int mm_pkey_mprotect(struct mm_struct *mm, unsigned long addr, size_t len, unsigned long prot, int key);

/** What a protection key forbids, as pkey_alloc() takes it. */
#define MM_PKEY_DISABLE_ACCESS 1UL
#define MM_PKEY_DISABLE_WRITE 2UL

/**
 * mm_pkey_alloc - take a protection key into use
 * @mm:     address space
 * @flags:  0
 * @rights: MM_PKEY_*: what it forbids at first; goes to the rights register, see mm_set_pkru()
 *
 * Locking: takes mmap_lock for writing.
 * Return: the key, the lowest that is free; -EINVAL (bad bits), -ENOSPC (all
 * are in use, or the processor has none).
 */
int mm_pkey_alloc(struct mm_struct *mm, unsigned long flags, unsigned long rights);

/**
 * mm_pkey_free - give a protection key back
 *
 * Mappings that have it keep it, and the rights register stays as it is.
 *
 * Locking: takes mmap_lock for writing.
 * Return: 0; -EINVAL (not allocated, or the one that is kept for execution alone).
 */
int mm_pkey_free(struct mm_struct *mm, int key);

/**
 * mm_pkru - the rights register, two bits a key: 1 forbids each access to memory, 2 writes
 *
 * It is a thread's. The model has one: who runs several sets it before each call. At first all
 * keys but 0 forbid all access.
 * Locking: none.
 */
uint32_t mm_pkru(const struct mm_struct *mm);

/** mm_set_pkru - set the rights register, as the instruction WRPKRU does. Locking: none. */
void mm_set_pkru(struct mm_struct *mm, uint32_t rights);

/**
 * mm_set_anon_name - name anonymous memory, as prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME) does
 * @mm:   address space
 * @addr: first byte, page aligned
 * @len:  bytes, rounded up to whole pages
 * @name: at most 79 bytes that can be printed, none of \ ` $ [ ]; NULL takes the name away
 *
 * Mappings merge only where their names are equal. Holes are passed over, and remembered.
 *
 * Locking: takes mmap_lock for writing.
 * Return: 0; -EINVAL (the context has no names; unaligned, bad name), -ENOMEM
 * (hole; or no memory, then nothing has changed), -EBADF (mapping of a file).
 * Mappings below the place of an error, and beyond a hole, have the name.
 */
int mm_set_anon_name(struct mm_struct *mm, unsigned long addr, size_t len, const char *name);

/**
 * mm_msync - write a range of mapped files back
 * @mm:    address space
 * @addr:  first byte, page aligned
 * @len:   bytes, rounded up to whole pages
 * @flags: MS_ASYNC or MS_SYNC, MS_INVALIDATE
 *
 * No mapping changes. MS_SYNC writes back the pages of shared mappings that are newer than their file, if that has a
 * write_page; up to a mapping that is refused.
 *
 * Locking: takes mmap_lock for reading, and locks of the file and of page tables.
 * Return: 0; -EINVAL (unaligned, flags), -ENOMEM (hole, wrap), -EBUSY
 * (MS_INVALIDATE of locked memory), -EIO (a page could not be written).
 */
int mm_msync(struct mm_struct *mm, unsigned long addr, size_t len, int flags);

/**
 * mm_mincore - which pages of a range are in memory
 * @mm:   address space
 * @addr: first byte, page aligned
 * @len:  bytes, rounded up to whole pages
 * @vec:  a byte for each page, 1 if it is in memory; NULL: the arguments and the range alone are checked
 *
 * Locking: takes mmap_lock for reading.
 * Return: 0; -EINVAL (unaligned), -ENOMEM (hole, beyond the user range),
 * -EOPNOTSUPP (@vec is given, and there are no page tables).
 */
int mm_mincore(struct mm_struct *mm, unsigned long addr, size_t len, unsigned char *vec);

/**
 * mm_remap_file_pages - let a range of a shared mapping show another part of its file
 * @mm:    address space
 * @addr:  first byte, rounded down to a page
 * @size:  bytes, rounded down to whole pages
 * @prot:  0
 * @pgoff: page of the file that @addr is to show
 * @flags: MAP_NONBLOCK counts, other bits are passed over
 *
 * The range is mapped anew, with the protection that its first mapping has. It may
 * reach over several mappings if they are of the same file, differ in nothing else and touch.
 *
 * Locking: takes mmap_lock for writing.
 * Return: 0; -EINVAL (protection, empty or wrapping range, not shared, not of
 * a file, a hole, or mappings that differ), and the errors of mm_mmap().
 */
int mm_remap_file_pages(struct mm_struct *mm, unsigned long addr, size_t size, unsigned long prot,
			unsigned long pgoff, unsigned long flags);

struct mm_mremap_args {
	unsigned long addr;	/* old address, page aligned */
	size_t old_len;		/* bytes; 0 duplicates a shared mapping */
	size_t new_len;		/* bytes */
	unsigned long flags;	/* MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP */
	unsigned long new_addr;	/* with MREMAP_FIXED (a hint with MREMAP_DONTUNMAP) */
};

/**
 * mm_mremap - grow, shrink or move a mapping
 * @mm:   address space
 * @args: as for mremap(2)
 * @out:  the new address
 *
 * Locking: takes mmap_lock for writing.
 * Return: 0; -EINVAL (bad flags, unaligned, overlap, length 0), -EFAULT (not
 * mapped, or more than one mapping where that is not allowed), -ENOMEM (no
 * room, limits, map count, no memory), -EAGAIN (lock limit), -EPERM (sealed).
 * With MREMAP_FIXED the destination may have been unmapped when a later step
 * fails, as on Linux; for want of memory, nothing has changed.
 */
int mm_mremap(struct mm_struct *mm, const struct mm_mremap_args *args, unsigned long *out);

/**
 * mm_brk - move the end of the heap
 * @mm:  address space
 * @brk: the new end, in bytes, any alignment
 *
 * Locking: takes mmap_lock for writing.
 * Return: the end of the heap after the call, which is @brk on success and
 * the old one when the call is refused, as the system call has it.
 */
unsigned long mm_brk(struct mm_struct *mm, unsigned long brk);

/**
 * mm_madvise - give advice about a range
 * @mm:     address space
 * @addr:   first byte, page aligned
 * @len:    bytes, rounded up to whole pages
 * @advice: MADV_*
 *
 * Advice on mapped parts takes effect also when a hole makes the call fail.
 * MADV_WILLNEED reads pages of files, and of shared memory from the swap area,
 * into the page cache (2,048 pages of a mapping at most), maps none of them,
 * and does not tell what could not be read.
 *
 * Locking: takes mmap_lock, for writing where mappings may change.
 * Return: 0; -EINVAL (unaligned, unknown advice, advice that the mapping
 * cannot take), -ENOMEM (hole, or no memory), -EAGAIN (no memory for a split),
 * -EPERM (sealed; MADV_HWPOISON and MADV_SOFT_OFFLINE, which nobody may here),
 * -EACCES, -EFAULT (populating beyond the end of a file).
 */
int mm_madvise(struct mm_struct *mm, unsigned long addr, size_t len, int advice);

/** A piece of an address space, as struct iovec has it. */
struct mm_advice_range {
	unsigned long addr;	/* first byte */
	size_t len;		/* bytes */
};

/**
 * mm_process_madvise - give advice about several ranges, as process_madvise(2) of the process itself
 * @mm:     address space
 * @piece:  the ranges, in order
 * @count:  how many; at most 1024
 * @advice: MADV_*, for each of them as for mm_madvise()
 * @flags:  0
 * @done:   bytes of the pieces before the first that was refused, as the pieces give them
 *
 * A piece of no bytes before the last byte has its address looked at. Of more than 2 GiB less a page, all together,
 * what is beyond is left alone.
 *
 * Locking: mm_madvise()'s, which is called once for each piece.
 * Return: 0 if anything was advised, even if a later piece was refused, or if
 * there was nothing to do. -EINVAL (@flags, @count, a length above INT64_MAX),
 * -EFAULT (a piece outside of the user range): nothing was advised. Else what
 * mm_madvise() says of the first piece, which may have taken effect in part as
 * it may there.
 */
int mm_process_madvise(struct mm_struct *mm, const struct mm_advice_range *piece, unsigned long count, int advice,
		       unsigned int flags, size_t *done);

/**
 * mm_mlock - lock a range, and populate it unless MLOCK_ONFAULT is in @flags
 * @mm:    address space
 * @addr:  first byte, any alignment
 * @len:   bytes
 * @flags: 0 or MLOCK_ONFAULT
 *
 * Locking: takes mmap_lock for writing.
 * Return: 0; -EINVAL (flags, wrap), -ENOMEM (hole, limit, inaccessible part,
 * no memory), -EPERM (limit is 0), -EAGAIN. Earlier mappings may stay locked, as on Linux.
 */
int mm_mlock(struct mm_struct *mm, unsigned long addr, size_t len, int flags);

/** mm_munlock - undo mm_mlock() for a range. Return: 0; -EINVAL, -ENOMEM (hole, or no memory for a split). */
int mm_munlock(struct mm_struct *mm, unsigned long addr, size_t len);

/**
 * mm_mlockall - lock all mappings
 * @mm:    address space
 * @flags: MCL_CURRENT (those there are), MCL_FUTURE (those to come), with MCL_ONFAULT (without populating)
 *
 * Locking: takes mmap_lock for writing.
 * Return: 0; -EINVAL (flags), -ENOMEM (limit, or no memory), -EPERM (limit is 0). On error nothing has changed.
 */
int mm_mlockall(struct mm_struct *mm, int flags);

/** mm_munlockall - undo mm_mlock() and mm_mlockall(). Return: 0; -ENOMEM (no memory; nothing has changed). */
int mm_munlockall(struct mm_struct *mm);

/**
 * mm_mseal - forbid that the mappings of a range are changed or removed
 * Return: 0; -EINVAL (flags, unaligned, wrap), -ENOMEM (hole; then nothing is sealed).
 */
int mm_mseal(struct mm_struct *mm, unsigned long addr, size_t len, unsigned long flags);

/** What became of a touch. */
enum mm_fault { MM_FAULT_OK, MM_FAULT_MAPERR, MM_FAULT_ACCERR, MM_FAULT_OOM, MM_FAULT_PKUERR, MM_FAULT_BUS, MM_FAULT_EMULATE };

/**
 * mm_fault - the program touches a byte
 * @mm:     address space
 * @addr:   byte
 * @access: how
 *
 * Grows a stack down where that is allowed, and ties a private mapping
 * that is written to an anon_vma.
 *
 * Locking: takes the one mapping's lock. mmap_lock is taken only where that is not enough: for reading at the
 * first write to private memory, where nothing is mapped, and beside a change of the mapping; for writing where
 * a stack grows.
 * Return: MM_FAULT_OK, or the signal's code: not mapped (MAPERR), not
 * permitted (ACCERR), no memory (OOM, with nothing changed but that an anon_vma may be there), forbidden by the
 * protection key (PKUERR), or beyond the end of the file (BUS, that is SIGBUS).
 * EMULATE: a driver makes each access there itself, so no page was mapped; mm_read() and mm_write() ask it.
 */
enum mm_fault mm_fault(struct mm_struct *mm, unsigned long addr, enum mm_access access);

/* Page tables seen from outside -------------------------------------------- */

/**
 * mm_flush_fn - forget translations
 * @arg:   as given to mm_set_flush()
 * @mm:    address space
 * @start: first byte whose translation has changed or gone
 * @end:   one past the last; 0 is the top, so that (0, 0) is everything
 *
 * Called with locks held, before a frame or a table is used for anything else: when it returns, nobody may translate
 * through what it was told to forget. Must not call the library.
 */
typedef void (*mm_flush_fn)(void *arg, struct mm_struct *mm, unsigned long start, unsigned long end);

/** One who wants to know when pages change hands; embedded in what he owns. Zero it first. */
struct mm_notifier {
	const struct mm_notifier_ops *ops;
	struct mm_notifier *next;	/* the library's */
};

/** What he is told. NULL: nothing. All are called with mmap_lock held, and must not call the library. */
struct mm_notifier_ops {
	/** The pages of [start, end) are about to change or go; an end of 0 is the top. Always followed by _end. */
	void (*invalidate_range_start)(struct mm_notifier *n, struct mm_struct *mm, unsigned long start,
				       unsigned long end);
	void (*invalidate_range_end)(struct mm_notifier *n, struct mm_struct *mm, unsigned long start,
				     unsigned long end);
	/** The last user has gone; nothing has been unmapped yet. Called once. */
	void (*release)(struct mm_notifier *n, struct mm_struct *mm);
};

/**
 * mm_set_flush - say who translates through the page tables
 * @mm:    address space with page tables (without, nothing happens)
 * @flush: called whenever translations have to be forgotten; NULL: nobody translates
 * @arg:   passed to it
 *
 * A child of a fork begins without one.
 *
 * Locking: takes mmap_lock for writing.
 */
void mm_set_flush(struct mm_struct *mm, mm_flush_fn flush, void *arg);

/**
 * mm_notifier_register - be told when pages of @mm change or go
 *
 * One that is registered while a range is being changed may see the end of it alone.
 *
 * Locking: takes a lock that is held while notifiers are called.
 * Return: 0; -EINVAL (no page tables, no ops), -EEXIST (it is registered already).
 */
int mm_notifier_register(struct mm_struct *mm, struct mm_notifier *notifier);

/** mm_notifier_unregister - not to be called any more when this returns. Locking: as mm_notifier_register(). */
void mm_notifier_unregister(struct mm_struct *mm, struct mm_notifier *notifier);

/* The memory itself --------------------------------------------------------- */

/*
 * These need page tables (mm_context_options.frames). Reading and writing touch memory as the program would: they
 * fault in, grow stacks, copy on write, and end at the byte where the program would get a signal.
 */

/**
 * mm_read - copy bytes out of an address space
 * @mm:   address space
 * @addr: first byte
 * @buf:  where to
 * @len:  bytes
 * @done: how many were copied, or NULL
 *
 * Each page's part is one step that no other call comes between.
 *
 * Locking: what mm_fault() takes, and locks of page tables.
 * Return: MM_FAULT_OK, or what the touch of the first byte that was not copied came to. MM_FAULT_BUS if
 * there are no page tables.
 */
enum mm_fault mm_read(struct mm_struct *mm, unsigned long addr, void *buf, size_t len, size_t *done);

/** mm_write - copy bytes into an address space; as mm_read() */
enum mm_fault mm_write(struct mm_struct *mm, unsigned long addr, const void *buf, size_t len, size_t *done);

/**
 * mm_peek - copy bytes of pages that are present, whatever their protection; touches and changes nothing
 *
 * Locking: locks of page tables.
 * Return: 0; -ENODATA (a page is not present; bytes before it may have been copied).
 */
int mm_peek(struct mm_struct *mm, unsigned long addr, void *buf, size_t len);

/** A software TLB: translations that one thread remembers, so that it need not ask the page tables each time. */
struct mm_tlb;

/**
 * mm_tlb_create - make a TLB for one thread
 * @mm:  address space; held (mmgrab()) until the TLB is destroyed
 * @out: the TLB
 *
 * When the last user of @mm has gone it finds nothing any more; mm_translate() beside that may be what ends @mm.
 *
 * Return: 0; -EINVAL (no page tables), -ENOMEM.
 */
int mm_tlb_create(struct mm_struct *mm, struct mm_tlb **out);

/** mm_tlb_destroy - the opposite; outside of a section. Waits for a grace period. NULL is allowed. */
void mm_tlb_destroy(struct mm_tlb *tlb);

/**
 * mm_tlb_begin - begin a section, in which what mm_translate() finds may be used
 *
 * Keep it short: whoever unmaps or protects pages waits for its end. No function of the library but
 * mm_translate() and mm_tlb_end() may be called inside, and sections do not nest.
 */
void mm_tlb_begin(struct mm_tlb *tlb);

/** mm_tlb_end - end the section; pointers from mm_translate() must not be used any more. */
void mm_tlb_end(struct mm_tlb *tlb);

/**
 * mm_translate - where a byte of the address space lies
 * @tlb:    TLB of the calling thread, inside a section
 * @addr:   byte
 * @access: what is going to be done with it and the rest of its page
 * @out:    its place in this process's memory
 *
 * If the TLB does not know it, the page tables are asked and the page is faulted in: then the section
 * ends and begins anew, and pointers from before must not be used any more. The frame lies there until the
 * end of the section.
 *
 * Locking: what mm_fault() takes, and mmput(), between two sections.
 * Return: as mm_read().
 */
enum mm_fault mm_translate(struct mm_tlb *tlb, unsigned long addr, enum mm_access access, void **out);

/**
 * mm_pin - hold the frame of an address
 * @mm:     address space
 * @addr:   byte
 * @access: MM_WRITE if it is to be written to
 * @frame:  its number: its offset in the pool / 4096
 *
 * Until it is unpinned, the address shows this frame, for as long as its mapping stays as it is: a fork
 * gives the child a copy at once, and the page is not swapped out. It lives even if it is unmapped. But pinned for
 * reading, the page of zeroes, or a file's that is mapped privately, is parted from the address by its next write.
 *
 * Locking: what mm_fault() takes.
 * Return: 0; -EFAULT (where the touch would give a signal, that of a protection key among them), -ENOMEM, -EINVAL (no page tables).
 */
int mm_pin(struct mm_struct *mm, unsigned long addr, enum mm_access access, unsigned long *frame);

/**
 * mm_frame_alloc - take a frame, of zeroes, that belongs to no address space
 * @ctx:   context
 * @frame: its number
 *
 * For drivers: it counts as pinned, and is given back by mm_unpin(); where it is mapped it lives on until it is
 * unmapped. No frame is taken back for it, whatever the context's pressure: a hook may hold locks that others need.
 *
 * Locking: none; may be called by a driver's hooks.
 * Return: 0; -ENOMEM, -EINVAL (no page tables).
 */
int mm_frame_alloc(struct mm_context *ctx, unsigned long *frame);

/** mm_unpin - let a pinned frame go, and not one that is not pinned; @written: it was written to. Locking: none. */
void mm_unpin(struct mm_context *ctx, unsigned long frame, bool written);

/** mm_frame_bytes - where a frame lies in this process's memory, or NULL if there is no such frame. */
void *mm_frame_bytes(struct mm_context *ctx, unsigned long frame);

/** What mm_page_info() tells; all 0 where there is nothing. */
struct mm_page_info {
	bool present;		/* an entry names a frame, whatever access it allows */
	bool swapped;
	bool guard;		/* MADV_GUARD_INSTALL */
	bool file_or_shared;	/* a page of a file or of shared memory, not a private one */
	bool exclusive;		/* no other entry maps it */
	bool soft_dirty;	/* written to since the last mm_dirty_collect() */
	bool writable;		/* by a write without a fault */
	bool young, dirty;	/* as hardware notes it */
	bool zero;		/* the shared page of zeroes */
	bool huge;		/* 2 MiB */
	bool pinned;
	unsigned long frame;	/* if present */
	unsigned long slot;	/* of the swap area, if swapped */
};

/**
 * mm_page_info - what is known of the page of an address, without touching it
 *
 * Locking: locks of page tables.
 * Return: 0; -EINVAL (beyond the user range).
 */
int mm_page_info(struct mm_struct *mm, unsigned long addr, struct mm_page_info *out);

/**
 * mm_next_page - the next page that mm_page_info() has something to tell of
 * @mm:   address space
 * @addr: where to begin, page aligned
 * @end:  where to end, page aligned and within the user range
 *
 * Tables that are not there are passed over without a look at their pages.
 *
 * Locking: takes mmap_lock for reading.
 * Return: its address; @end if there is none before.
 */
unsigned long mm_next_page(struct mm_struct *mm, unsigned long addr, unsigned long end);

/**
 * mm_dirty_collect - which pages were written to since the last time, and begin anew
 * @mm:     address space
 * @addr:   first byte, page aligned
 * @len:    bytes, whole pages
 * @bitmap: bit n of word n / 64 is set for the n-th page; (pages + 63) / 64 words
 *
 * A page that is written to after its bit was cleared is told by the next call; what was written before can be
 * read when this one returns. Pages that were discarded or unmapped are not told of: see mm_notifier_ops.
 *
 * Locking: takes mmap_lock for reading.
 * Return: how many bits are set; -EINVAL (unaligned, beyond the user range).
 */
long mm_dirty_collect(struct mm_struct *mm, unsigned long addr, size_t len, uint64_t *bitmap);

/* Looking ----------------------------------------------------------------- */

/** VMA flags, with the names that VmFlags of smaps abbreviates. */
#define MM_VM_READ 0x00000001UL
#define MM_VM_WRITE 0x00000002UL
#define MM_VM_EXEC 0x00000004UL
#define MM_VM_SHARED 0x00000008UL
#define MM_VM_MAYREAD 0x00000010UL
#define MM_VM_MAYWRITE 0x00000020UL
#define MM_VM_MAYEXEC 0x00000040UL
#define MM_VM_MAYSHARE 0x00000080UL
#define MM_VM_GROWSDOWN 0x00000100UL
#define MM_VM_UFFD_MISSING 0x00000200UL
#define MM_VM_PFNMAP 0x00000400UL
#define MM_VM_MAYBE_GUARD 0x00000800UL	/* guards were installed in it, once */
#define MM_VM_UFFD_WP 0x00001000UL
#define MM_VM_LOCKED 0x00002000UL
#define MM_VM_IO 0x00004000UL
#define MM_VM_SEQ_READ 0x00008000UL
#define MM_VM_RAND_READ 0x00010000UL
#define MM_VM_DONTCOPY 0x00020000UL
#define MM_VM_DONTEXPAND 0x00040000UL
#define MM_VM_LOCKONFAULT 0x00080000UL
#define MM_VM_ACCOUNT 0x00100000UL
#define MM_VM_NORESERVE 0x00200000UL
#define MM_VM_HUGETLB 0x00400000UL
#define MM_VM_SYNC 0x00800000UL
#define MM_VM_WIPEONFORK 0x02000000UL
#define MM_VM_DONTDUMP 0x04000000UL
#define MM_VM_MIXEDMAP 0x10000000UL
#define MM_VM_HUGEPAGE 0x20000000UL
#define MM_VM_NOHUGEPAGE 0x40000000UL
#define MM_VM_MERGEABLE 0x80000000UL
#define MM_VM_DROPPABLE 0x10000000000UL
#define MM_VM_SEALED 0x8000000000UL
/** The protection key of a mapping is (flags & MM_VM_PKEY) >> MM_VM_PKEY_SHIFT; 0 if it has no other. */
#define MM_VM_PKEY_SHIFT 32
#define MM_VM_PKEY (0xfUL << MM_VM_PKEY_SHIFT)

/** A copy of one mapping. */
struct mm_vma_info {
	unsigned long start;	/* first byte */
	unsigned long end;	/* one past the last */
	unsigned long flags;	/* MM_VM_* */
	uint64_t offset;	/* bytes into the file; 0 for anonymous memory */
	uint32_t dev_major;
	uint32_t dev_minor;
	uint64_t ino;
	struct vm_file *file;	/* not counted: valid until the next change of @mm; NULL for anonymous memory */
	const char *name;	/* of the file, or of a special mapping, or NULL; valid as @file is */
	bool has_anon_vma;
	unsigned long anon_vma_id;	/* equal for mappings that share one; 0 for none */
};

/**
 * mm_next_vma - the first mapping that ends above an address
 * @mm:   address space
 * @addr: byte; the mapping need not contain it
 * @out:  a copy
 *
 * Locking: takes mmap_lock for reading.
 * Return: 0; -ENOENT (none above).
 */
int mm_next_vma(struct mm_struct *mm, unsigned long addr, struct mm_vma_info *out);

/**
 * mm_for_each_vma - call a function for each mapping, in order of address
 * @mm:  address space
 * @fn:  gets a copy; must not call anything that takes the mmap_lock; non-zero ends the walk
 * @arg: passed to @fn
 *
 * Locking: holds mmap_lock for reading throughout.
 * Return: what @fn returned last, or 0 for an empty address space.
 */
int mm_for_each_vma(struct mm_struct *mm, int (*fn)(void *arg, const struct mm_vma_info *vma), void *arg);

/**
 * mm_gate_vma - the gate area, which every map shows last
 * @mm:   address space
 * @addr: byte
 * @out:  what a map shows of it
 *
 * [vsyscall] lies above the user range and belongs to no address space: it is no mapping, is
 * not counted, and is met neither by mm_next_vma() nor by mm_for_each_vma().
 *
 * Locking: none.
 * Return: 0; -ENOENT (@addr is not in it, or @mm has none).
 */
int mm_gate_vma(struct mm_struct *mm, unsigned long addr, struct mm_vma_info *out);

/** Counters; pages, but where said. */
struct mm_counters {
	unsigned long map_count;	/* mappings */
	unsigned long total_vm;
	unsigned long data_vm;		/* private, writable, not stack */
	unsigned long exec_vm;		/* executable, not writable */
	unsigned long stack_vm;		/* grows */
	unsigned long locked_vm;
	unsigned long accounted;	/* charged to the context */
	unsigned long hiwater_vm;	/* largest total_vm */
	unsigned long splits;		/* mappings cut in two, ever */
	unsigned long merges;		/* mappings joined to a neighbour, ever */
};

/** mm_read_counters - copy the counters. Locking: takes mmap_lock for reading. */
void mm_read_counters(struct mm_struct *mm, struct mm_counters *out);

/**
 * mm_validate - check every invariant of an address space
 *
 * Each broken one is reported through the log. Locking: takes mmap_lock for reading.
 * Return: the number of broken invariants.
 */
int mm_validate(struct mm_struct *mm);

/** What was found right, by mm_context_validate(). */
struct mm_validated {
	unsigned long mms;		/* address spaces */
	unsigned long vmas;
	unsigned long tables;		/* page tables, roots included */
	unsigned long pages;		/* of 4 KiB, resident or swapped out; neither zero pages nor huge ones */
	unsigned long frames;		/* in use, whose counts are what holds them */
};

/**
 * mm_context_validate - check all address spaces of a context, and what they have in common
 * @ctx:    context
 * @frames: check the frames as well: each one's counts against the entries and other holders that are found. Looks at
 *          every frame of the context; an address space that has ended, but is held by mmgrab(), may have none left
 * @seen:   what is right is added to it; unchanged on error
 *
 * Each broken invariant is reported through the log. Nobody else may use the context, nor a pin be under way.
 *
 * Locking: as mm_context_next(), and mmap_lock of each for reading. With @frames, waits for a grace period.
 * Return: the number of broken invariants; -ENOMEM (for the counts of frames).
 */
int mm_context_validate(struct mm_context *ctx, bool frames, struct mm_validated *seen);

/* Mirroring another address space ----------------------------------------- */

/** One mapping as another kernel reports it, for mm_adopt(). */
struct mm_adopt_args {
	unsigned long start;
	unsigned long end;
	unsigned long flags;	/* MM_VM_* */
	uint64_t offset;	/* bytes */
	struct vm_file *file;	/* NULL: anonymous or special */
	const char *name;	/* of a special mapping ([vdso], ...), or NULL; copied */
	bool special;		/* a driver's or the kernel's own; never merges */
};

/**
 * mm_adopt - enter a mapping as it is, without merging
 * @mm:   address space
 * @args: the mapping; what lay there is removed first
 *
 * Locking: takes mmap_lock for writing.
 * Return: 0; -EINVAL (empty, unaligned, beyond task_size, a file of another context; where there are page tables, shared
 * memory without a file that is not special, huge pages unaligned or not of a file of them), -ENOMEM, -EPERM (what lies there is sealed). On error
 * nothing has changed, but for a split before a sealed mapping, as with mm_munmap().
 */
int mm_adopt(struct mm_struct *mm, const struct mm_adopt_args *args);

/** mm_adopt_brk - set start and end of the heap as another kernel has them; -EINVAL if @end is below @start. */
int mm_adopt_brk(struct mm_struct *mm, unsigned long start, unsigned long end);

/**
 * mm_adopt_anon - the mapping at @addr has been written to, whatever its protection is now
 *
 * Locking: takes mmap_lock for writing.
 * Return: 0; -EINVAL (no private mapping there), -ENOMEM. On error nothing has changed.
 */
int mm_adopt_anon(struct mm_struct *mm, unsigned long addr);

/**
 * mm_adopt_split - cut the mapping that contains @addr in two there
 *
 * Locking: takes mmap_lock for writing.
 * Return: 0; -EINVAL (no mapping, its edge, unaligned, within a huge page), -ENOMEM (no memory, or map count at its
 * limit). On error nothing has changed.
 */
int mm_adopt_split(struct mm_struct *mm, unsigned long addr);

/**
 * mm_adopt_merge - join the two mappings that meet at @addr
 *
 * For a mirror that was not told of all faults: all that must be equal is
 * checked but the anon_vma; the joined mapping takes over that of either.
 * Return: 0; -EINVAL (they do not meet, or differ in more than the anon_vma), -ENOMEM.
 */
int mm_adopt_merge(struct mm_struct *mm, unsigned long addr);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
