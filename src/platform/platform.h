/* SPDX-License-Identifier: MIT */
/*
 * The platform seam (floor 1): everything that the library needs of its host.
 *
 * This header is the whole boundary. hosted.c implements it for Linux with
 * libc, pthreads and liburcu; a kernel or unikernel replaces hosted.c and the
 * inline part at the end of this file, and nothing else. docs/platform.md
 * lists what such an embedder must provide.
 *
 * Glossary
 *   platform   one set of memory, counters and log; each context owns one
 *   kind       what an allocation is for; live objects are counted per kind
 *   attempt    one call that could have failed for want of memory
 *   slab       type-stable memory: an object may become another of its type
 *              at once, and nothing else before a grace period
 */
#ifndef SAMARA_PLATFORM_PLATFORM_H
#define SAMARA_PLATFORM_PLATFORM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <samara/platform.h>

/* Memory ------------------------------------------------------------------ */

enum pf_kind {
	PF_NODE,	/* maple tree nodes */
	PF_VMA,
	PF_MM,
	PF_ANON_VMA,
	PF_ANON_CHAIN,	/* links between a VMA and an anon_vma */
	PF_FILE,
	PF_INODE,	/* address_space: what several open files of one inode share */
	PF_SWAP,	/* slots in use */
	PF_CONTEXT,
	PF_FRAME,	/* 4 KiB of memory that address spaces map; see pf_frames */
	PF_TABLE,	/* page tables */
	PF_OTHER,
	PF_NR_KINDS
};

/*
 * Zeroed memory of @size bytes aligned to @align (a power of two), or NULL.
 * Each call is one attempt. Any context; takes no lock that a caller can hold.
 */
void *pf_alloc(struct platform *pf, enum pf_kind kind, size_t size, size_t align);

/* Give back what pf_alloc returned; NULL is allowed. The memory is reused at once. */
void pf_free(struct platform *pf, enum pf_kind kind, void *ptr);

/*
 * For who cuts his objects from larger pieces himself: attempts, live objects and
 * memory are counted and got apart. pf_attempts() makes up to @n attempts and
 * says how many of them, the first ones, did not fail. Pieces hold anything at first.
 * One of PF_PIECE_HUGE bytes lies so that the host can use one large page for it.
 */
#define PF_PIECE_HUGE (2ul << 20)

unsigned long pf_attempts(struct platform *pf, unsigned long n);
/* While no attempt has to fail, they may be made without asking and told afterwards. */
bool pf_attempts_may_fail(struct platform *pf);
void pf_attempts_made(struct platform *pf, unsigned long n);
void pf_count(struct platform *pf, enum pf_kind kind, long by);
void *pf_piece_alloc(struct platform *pf, size_t size);	/* aligned for any type; NULL when there is none */
void pf_piece_free(struct platform *pf, void *piece, size_t size);

/*
 * Counts that one user at a time keeps without an atomic step; who reads the platform's counts
 * finds them added. Removed, they have gone over to the platform.
 */
struct pf_tally {
	/* Written by the user, read by anybody: */
	long live;
	unsigned long attempts;
	/* The platform's: */
	enum pf_kind kind;
	struct pf_tally *next, **link;
};

void pf_tally_add(struct platform *pf, struct pf_tally *tally, enum pf_kind kind);
void pf_tally_remove(struct platform *pf, struct pf_tally *tally);

static inline void pf_tally_count(struct pf_tally *tally, long by)
{
	__atomic_store_n(&tally->live, tally->live + by, __ATOMIC_RELAXED);
}

/* Allowed while pf_attempts_may_fail() is false. */
static inline void pf_tally_attempt(struct pf_tally *tally)
{
	__atomic_store_n(&tally->attempts, tally->attempts + 1, __ATOMIC_RELAXED);
}

/*
 * A slab hands out objects of one size and kind. Memory goes back to the host
 * only when the slab is destroyed, so that a reader under RCU may look at an
 * object that was freed beneath it, and must recheck whose it is.
 * A free object's contents stay as they are, but for the pointer-sized word at @link, which
 * is the slab's as long as the object is free; a new one holds zeroes.
 */
struct pf_slab;

struct pf_slab *pf_slab_create(struct platform *pf, enum pf_kind kind, size_t size, size_t align, size_t link);
void pf_slab_destroy(struct pf_slab *slab);	/* waits for a grace period; no object may be live */
size_t pf_slab_stride(const struct pf_slab *slab);	/* bytes that an object takes */
void *pf_slab_alloc(struct pf_slab *slab);	/* zeroed; one attempt; NULL when there is no memory */
void pf_slab_free(struct pf_slab *slab, void *ptr);

/*
 * A few objects of a slab at hand, for who makes sure that they are used by one thread at a time: no lock, no
 * atomic step. What it holds counts as free. An object of one stock may be given back to
 * another, but not to the slab itself.
 */
struct pf_stock {
	struct pf_slab *slab;
	void *first, *last;		/* of the list in use; the newest first */
	unsigned int count;
	bool busy;
	void *full, *full_last;		/* a list of a whole batch, or NULL */
	struct pf_tally tally;
};

void pf_stock_init(struct pf_stock *stock, struct pf_slab *slab);
void pf_stock_destroy(struct pf_stock *stock);	/* gives back what is free */
void *pf_stock_alloc(struct pf_stock *stock);	/* holds what it held; one attempt; NULL when there is no memory */
void pf_stock_free(struct pf_stock *stock, void *ptr);
/* @count objects that hang together by their links, to the slab. */
void pf_stock_free_list(struct pf_stock *stock, void *first, void *last, unsigned long count);

/* As platform_read_stats(), but what waits for a grace period still counts as live. */
void pf_read_stats_now(struct platform *pf, struct platform_stats *out);

/*
 * A store keeps pages outside of memory, by slot number from 0: what swap writes to. Sparse; a
 * slot that was never written, or was discarded, reads as zeroes. Slots may be used by several threads at once.
 */
#define PF_STORE_PAGE 4096ul

struct pf_store;

struct pf_store *pf_store_create(struct platform *pf, unsigned long slots);	/* NULL when there is no room */
void pf_store_destroy(struct pf_store *store);	/* NULL is allowed */
int pf_store_write(struct pf_store *store, unsigned long slot, const void *page);	/* 0 or a negative errno */
int pf_store_read(struct pf_store *store, unsigned long slot, void *page);		/* the same */
void pf_store_discard(struct pf_store *store, unsigned long slot);

/*
 * Frames: @nr times 4 KiB that read as zero at first, and cost the host nothing until they are touched. Mapped
 * once, at pf_frames_base(); frame n is at offset n * 4096 of pf_frames_fd(), for who maps them elsewhere.
 */
struct pf_frames;

struct pf_frames *pf_frames_create(struct platform *pf, unsigned long nr);	/* NULL: no memory */
void pf_frames_destroy(struct pf_frames *frames);
void *pf_frames_base(const struct pf_frames *frames);
int pf_frames_fd(const struct pf_frames *frames);
/* They read as zero again; their memory may go back to the host. */
void pf_frames_clear(struct pf_frames *frames, unsigned long first, unsigned long nr);
/* Zero @nr times 4 KiB that are in no cache, and need not come into one. */
void pf_clear_cold(void *const *pages, unsigned int nr);

/* Zeroed memory for a large array that is touched here and there. NULL: none. Not counted, not an attempt. */
void *pf_sparse_alloc(size_t size);
void pf_sparse_free(void *ptr, size_t size);

/* Diagnostics ------------------------------------------------------------- */

/*
 * Tell the log hook that an invariant is broken, once for each @once flag, and
 * abort in debug builds. Returns true so that a caller can back out.
 */
bool pf_warn(struct platform *pf, atomic_bool *once, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* WARN_ON_ONCE: evaluates to the truth of @cond; the message names what was found. */
#define pf_warn_on_once(pf, cond, ...)                              \
	({                                                          \
		static atomic_bool warned_;                         \
		bool cond_ = !!(cond);                              \
		if (__builtin_expect(cond_, 0))                     \
			pf_warn((pf), &warned_, __VA_ARGS__);       \
		cond_;                                              \
	})

_Noreturn void pf_assert_failed(const char *expr, const char *file, int line);

/*
 * Three levels: pf_assert (cheap, in debug builds), pf_assert_full (validators of
 * whole objects, debug builds with SAMARA_DEBUG >= 2). A disabled one still type-checks.
 */
#ifndef SAMARA_DEBUG
#define SAMARA_DEBUG 0
#endif
#define pf_assert_at(level, expr)                                                \
	do {                                                                     \
		if (SAMARA_DEBUG >= (level) && __builtin_expect(!(expr), 0))     \
			pf_assert_failed(#expr, __FILE__, __LINE__);             \
	} while (0)
#define pf_assert(expr) pf_assert_at(1, expr)
#define pf_assert_full(expr) pf_assert_at(2, expr)

/* Locks ------------------------------------------------------------------- */

/* What the seam knows of the calling thread; its address is the thread's name. */
struct pf_thread {
	struct pf_thread *next, **link;	/* the registry of readers */
	unsigned long *sections;	/* liburcu's count of its open read-side sections */
	bool is_reader;			/* registered */
};

extern __thread struct pf_thread pf_self __attribute__((tls_model("initial-exec")));

/*
 * A lock that sleeps, not recursive, zero when free. A thread that has taken it
 * often and alone becomes its favourite, and takes it without an atomic operation:
 * it says that it is inside, and looks whether it is still the favourite. Who comes
 * after takes that away first, makes all threads see it (membarrier), and waits until the
 * favourite is outside. From then on it is a lock like any other.
 */
void pf_lock_word(struct samara_lock *lock);
void pf_unlock_word(struct samara_lock *lock);
void pf_lock_tell(struct samara_lock *lock);

static inline bool pf_lock_favours_us(struct samara_lock *lock)
{
	/* The compiler may not move it; the processors are made to agree by who takes the favour away. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&lock->favourite, __ATOMIC_RELAXED) == (void *)&pf_self;
}

static inline void pf_lock_go_outside(struct samara_lock *lock)
{
	__atomic_store_n(&lock->inside, 0, __ATOMIC_RELEASE);
	if (__builtin_expect(!pf_lock_favours_us(lock), 0))
		pf_lock_tell(lock);
}

static inline void pf_lock(struct samara_lock *lock)
{
	if (__builtin_expect(pf_lock_favours_us(lock), 1)) {
		__atomic_store_n(&lock->inside, 1, __ATOMIC_RELAXED);
		if (__builtin_expect(pf_lock_favours_us(lock), 1)) {
			__atomic_signal_fence(__ATOMIC_SEQ_CST);
			return;
		}
		pf_lock_go_outside(lock);
	}
	pf_lock_word(lock);
}

static inline void pf_unlock(struct samara_lock *lock)
{
	if (__builtin_expect(lock->by_word, 0))
		pf_unlock_word(lock);
	else
		pf_lock_go_outside(lock);
}

typedef pthread_mutex_t pf_mutex;

void pf_mutex_init(pf_mutex *lock);
void pf_mutex_destroy(pf_mutex *lock);
void pf_mutex_lock(pf_mutex *lock);
bool pf_mutex_trylock(pf_mutex *lock);	/* without waiting */
void pf_mutex_unlock(pf_mutex *lock);

/*
 * For sections of a few instructions, in which nothing is called that waits. All zeroes is unlocked.
 */
typedef struct {
	_Atomic uint32_t taken;
} pf_spinlock;

void pf_spin_wait(pf_spinlock *lock);	/* the slow part of pf_spin_lock() */

static inline bool pf_spin_trylock(pf_spinlock *lock)
{
	return !atomic_load_explicit(&lock->taken, memory_order_relaxed) &&
	       !atomic_exchange_explicit(&lock->taken, 1, memory_order_acquire);
}

static inline void pf_spin_lock(pf_spinlock *lock)
{
	if (__builtin_expect(!pf_spin_trylock(lock), 0))
		pf_spin_wait(lock);
}

static inline void pf_spin_unlock(pf_spinlock *lock)
{
	pf_assert(atomic_load_explicit(&lock->taken, memory_order_relaxed));
	atomic_store_explicit(&lock->taken, 0, memory_order_release);
}

static inline bool pf_spin_is_locked(const pf_spinlock *lock)	/* by anyone; for assertions */
{
	return atomic_load_explicit(&lock->taken, memory_order_relaxed);
}

/* A small number of the calling thread, to spread threads over what is split among them; never 0. */
unsigned int pf_thread_number(void);

/*
 * A read-write semaphore with downgrade, writers preferred. Nobody who contends: one atomic
 * step each way. The fields are private. Who destroys one knows that every
 * pf_up_*() and downgrade has returned, as the holder of the last reference does.
 */
struct pf_rwsem {
	atomic_uint state;	/* readers, or a writer, and whether somebody waits */
	atomic_uintptr_t owner;	/* the writer's thread; 0 while there is none */
	/* The slow path; guard: */
	pthread_mutex_t guard;
	pthread_cond_t changed;
	unsigned int waiting, writers_waiting;
};

void pf_rwsem_init(struct pf_rwsem *sem);
void pf_rwsem_destroy(struct pf_rwsem *sem);
void pf_down_read(struct pf_rwsem *sem);
bool pf_try_down_read(struct pf_rwsem *sem);	/* without waiting, nor before one who waits */
void pf_up_read(struct pf_rwsem *sem);
void pf_down_write(struct pf_rwsem *sem);
void pf_up_write(struct pf_rwsem *sem);
void pf_downgrade_write(struct pf_rwsem *sem);	/* from writing to reading, with no writer between */
bool pf_rwsem_write_held(struct pf_rwsem *sem);	/* by the calling thread */
bool pf_rwsem_held(struct pf_rwsem *sem);	/* by anyone for reading, or the caller for writing */

/* Waiting ----------------------------------------------------------------- */

/* Offer the processor to others, within long work. Outside RCU sections and spinlocks. Tests may hook in. */
void pf_cond_resched(struct platform *pf);
void pf_set_resched_hook(struct platform *pf, void (*hook)(void *arg), void *arg);

/* One round of a wait for something that another thread is about to do; *@rounds begins at 0. */
void pf_relax(unsigned int *rounds);

/*
 * A pair of barriers for a side that runs often and one that runs rarely: after the heavy one, every thread's stores
 * from before its light one are seen, or that thread sees, after its light one, the stores from before the
 * heavy one. pf_heavy_barrier_prepare() comes before the first light one, and says what that has to be given.
 */
bool pf_heavy_barrier_prepare(void);
void pf_heavy_barrier(void);

static inline void pf_light_barrier(bool prepared)
{
	atomic_signal_fence(memory_order_seq_cst);
	if (__builtin_expect(!prepared, 0))
		pf_heavy_barrier();
}

/* RCU --------------------------------------------------------------------- */

/*
 * Hosted: liburcu's memb flavour, its read side inlined. A thread is
 * registered by its first read-side section and unregistered when it ends; one that
 * registers with liburcu itself stays registered for as long as it uses the library.
 * ThreadSanitizer cannot see liburcu's barriers, so the seam tells it:
 * what a reader did before it unlocked happens before what a callback, or a
 * return from pf_synchronize_rcu, does; what a callback did, before the return of
 * pf_rcu_barrier.
 */
#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>

#if defined(__SANITIZE_THREAD__)
#define PF_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PF_TSAN 1
#endif
#endif
#ifndef PF_TSAN
#define PF_TSAN 0
#endif

/* What a callback finds of the object it was queued for; embedded in it. */
#if PF_TSAN
typedef struct pf_rcu_head {
	struct rcu_head urcu;
	void (*func)(struct pf_rcu_head *head);
} pf_rcu_head;
#else
typedef struct rcu_head pf_rcu_head;
#endif

void pf_rcu_register_thread(void);
void pf_call_rcu(pf_rcu_head *head, void (*func)(pf_rcu_head *head));
void pf_synchronize_rcu(void);	/* outside read-side sections */
void pf_rcu_barrier(void);	/* until all callbacks queued so far have run */

/*
 * Whether a grace period has passed since the call began: nobody is in a section. It
 * neither waits nor tries hard, and false says nothing.
 */
bool pf_rcu_nobody_reads(void);

#if PF_TSAN
/* Inlined, liburcu's own plain accesses would be seen and reported; its library is not instrumented. */
#undef urcu_memb_read_lock
#undef urcu_memb_read_unlock
void urcu_memb_read_lock(void);
void urcu_memb_read_unlock(void);

void pf_tsan_reader_enters(void);
void pf_tsan_reader_leaves(void);
#else
static inline void pf_tsan_reader_enters(void)
{
}
static inline void pf_tsan_reader_leaves(void)
{
}
#endif

static inline void pf_rcu_read_lock(void)
{
	if (__builtin_expect(!pf_self.is_reader, 0))
		pf_rcu_register_thread();
	urcu_memb_read_lock();
	pf_tsan_reader_enters();
}

static inline void pf_rcu_read_unlock(void)
{
	pf_tsan_reader_leaves();
	urcu_memb_read_unlock();
}

/* Whether the calling thread is inside a read-side section. */
static inline bool pf_rcu_read_lock_held(void)
{
	return URCU_TLS(urcu_memb_reader).registered && urcu_memb_read_ongoing();
}

/* Publish and follow a pointer. A release pairs with the acquire of pf_rcu_dereference. */
#define pf_rcu_assign_pointer(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)
#define pf_rcu_dereference(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)

#endif
