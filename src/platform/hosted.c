/* SPDX-License-Identifier: MIT */
/* The hosted platform: libc, pthreads, liburcu. See platform.h for what each function promises. */
#include "platform/platform.h"

#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * Pieces that came back are kept for the next tree, a few of each power of two: the
 * host would take their pages away and clear new ones. 4 MiB at most in all.
 */
#define SHELVES 8	/* 4 KiB to 512 KiB */
#define SHELF_ROOM 4
#define SHELF_LOWEST 4096ul

struct shelf {
	void *piece[SHELF_ROOM];	/* atomic */
};

struct platform {
	struct shelf shelf[SHELVES];
	atomic_long live[PF_NR_KINDS];
	atomic_ulong attempts;
	atomic_ulong failed;
	atomic_long fail_countdown;	/* 0: never; n: the n-th from now; -1: always */
	pf_mutex tally_lock;
	struct pf_tally *tallies;	/* tally_lock */
	platform_log_fn log;
	void *log_arg;
	void (*resched)(void *arg);
	void *resched_arg;
};

/*
 * The one object with process lifetime: trees may be initialised statically
 * (MTREE_INIT) and then have nobody to name a platform for them.
 */
static struct platform default_platform = { .tally_lock = PTHREAD_MUTEX_INITIALIZER };

struct platform *platform_default(void)
{
	return &default_platform;
}

struct platform *platform_create(platform_log_fn log, void *log_arg)
{
	/* An attempt of the platform that all share: its own cannot be told to fail before it is there. */
	struct platform *pf = pf_attempts(&default_platform, 1) ? calloc(1, sizeof(*pf)) : NULL;

	if (!pf)
		return NULL;
	pf_mutex_init(&pf->tally_lock);
	pf->log = log;
	pf->log_arg = log_arg;
	return pf;
}

void platform_destroy(struct platform *pf)
{
	if (!pf)
		return;
	pf_assert(pf != &default_platform);
	pf_rcu_barrier();
	pf_assert(!pf->tallies);
	pf_mutex_destroy(&pf->tally_lock);
	for (int i = 0; i < SHELVES; i++)
		for (int k = 0; k < SHELF_ROOM; k++)
			free(pf->shelf[i].piece[k]);
	for (int kind = 0; kind < PF_NR_KINDS; kind++)
		pf_warn_on_once(pf, atomic_load(&pf->live[kind]) != 0, "platform destroyed with %ld live objects of kind %d",
				atomic_load(&pf->live[kind]), kind);
	free(pf);
}

void platform_fail_nth(struct platform *pf, long n)
{
	atomic_store(&pf->fail_countdown, n);
}

void platform_read_stats(struct platform *pf, struct platform_stats *out)
{
	pf_rcu_barrier();
	pf_read_stats_now(pf, out);
}

/* Requires the tally_lock. All counts: the platform's own, and those that users keep. */
static unsigned long add_tallies(struct platform *pf, long live[PF_NR_KINDS])
{
	unsigned long attempts = atomic_load(&pf->attempts);

	for (int kind = 0; kind < PF_NR_KINDS; kind++)
		live[kind] = atomic_load(&pf->live[kind]);
	for (struct pf_tally *tally = pf->tallies; tally; tally = tally->next) {
		live[tally->kind] += __atomic_load_n(&tally->live, __ATOMIC_RELAXED);
		attempts += __atomic_load_n(&tally->attempts, __ATOMIC_RELAXED);
	}
	return attempts;
}

void pf_read_stats_now(struct platform *pf, struct platform_stats *out)
{
	long live[PF_NR_KINDS];
	unsigned long attempts;

	pf_mutex_lock(&pf->tally_lock);
	attempts = add_tallies(pf, live);
	pf_mutex_unlock(&pf->tally_lock);
	*out = (struct platform_stats){
		.nodes = live[PF_NODE],
		.vmas = live[PF_VMA],
		.mms = live[PF_MM],
		.anon_vmas = live[PF_ANON_VMA],
		.anon_chains = live[PF_ANON_CHAIN],
		.files = live[PF_FILE],
		.inodes = live[PF_INODE],
		.swap_slots = live[PF_SWAP],
		.contexts = live[PF_CONTEXT],
		.frames = live[PF_FRAME],
		.tables = live[PF_TABLE],
		.others = live[PF_OTHER],
		.attempts = attempts,
		.failed = atomic_load(&pf->failed),
	};
}

void pf_tally_add(struct platform *pf, struct pf_tally *tally, enum pf_kind kind)
{
	*tally = (struct pf_tally){ .kind = kind, .link = &pf->tallies };
	pf_mutex_lock(&pf->tally_lock);
	tally->next = pf->tallies;
	if (tally->next)
		tally->next->link = &tally->next;
	pf->tallies = tally;
	pf_mutex_unlock(&pf->tally_lock);
}

void pf_tally_remove(struct platform *pf, struct pf_tally *tally)
{
	pf_mutex_lock(&pf->tally_lock);
	*tally->link = tally->next;
	if (tally->next)
		tally->next->link = tally->link;
	/* One may have given back what others took: only the sum of all is never negative. */
	atomic_fetch_add(&pf->live[tally->kind], tally->live);
	atomic_fetch_add(&pf->attempts, tally->attempts);
	pf_mutex_unlock(&pf->tally_lock);
}

/* Memory ------------------------------------------------------------------ */

/* Count one attempt; false when this is the one that has to fail. */
static bool attempt_passes(struct platform *pf)
{
	long left;

	atomic_fetch_add_explicit(&pf->attempts, 1, memory_order_relaxed);
	left = atomic_load_explicit(&pf->fail_countdown, memory_order_relaxed);
	if (__builtin_expect(left == 0, 1))
		return true;
	if (left > 0) {
		left = atomic_fetch_sub(&pf->fail_countdown, 1);
		if (left != 1)
			return true;
	}
	atomic_fetch_add(&pf->failed, 1);
	return false;
}

static void count_live(struct platform *pf, enum pf_kind kind, long by)
{
	long now = atomic_fetch_add_explicit(&pf->live[kind], by, memory_order_relaxed) + by;

	pf_assert(now >= 0);
}

void *pf_alloc(struct platform *pf, enum pf_kind kind, size_t size, size_t align)
{
	void *ptr;

	pf_assert(align && !(align & (align - 1)));
	if (!attempt_passes(pf))
		return NULL;
	if (align <= _Alignof(max_align_t))
		ptr = calloc(1, size);
	else
		ptr = aligned_alloc(align, (size + align - 1) & ~(align - 1));
	if (!ptr)
		return NULL;
	if (align > _Alignof(max_align_t))
		memset(ptr, 0, size);
	count_live(pf, kind, 1);
	return ptr;
}

void pf_free(struct platform *pf, enum pf_kind kind, void *ptr)
{
	if (!ptr)
		return;
	count_live(pf, kind, -1);
	free(ptr);
}

bool pf_attempts_may_fail(struct platform *pf)
{
	return atomic_load_explicit(&pf->fail_countdown, memory_order_relaxed) != 0;
}

void pf_attempts_made(struct platform *pf, unsigned long n)
{
	atomic_fetch_add_explicit(&pf->attempts, n, memory_order_relaxed);
}

unsigned long pf_attempts(struct platform *pf, unsigned long n)
{
	unsigned long passed = 0;

	while (passed < n && attempt_passes(pf))
		passed++;
	return passed;
}

void pf_count(struct platform *pf, enum pf_kind kind, long by)
{
	count_live(pf, kind, by);
}

/* A mapping of the host's own, cut to where a large page may lie. */
static void *piece_map(size_t size)
{
	size_t room = size + PF_PIECE_HUGE;
	unsigned char *all = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;

	if (all == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)all & (PF_PIECE_HUGE - 1);
	if (before)
		munmap(all, before);
	munmap(all + before + size, room - before - size);
	/* Only speed depends on whether the host does as it is advised. */
	madvise(all + before, size, MADV_HUGEPAGE);
	return all + before;
}

/* Where pieces of exactly @size are kept, or NULL. */
static struct shelf *shelf_for(struct platform *pf, size_t size)
{
	unsigned int number = (unsigned int)__builtin_ctzl(size / SHELF_LOWEST | 1ul << 63);

	return number < SHELVES && size == SHELF_LOWEST << number ? &pf->shelf[number] : NULL;
}

void *pf_piece_alloc(struct platform *pf, size_t size)
{
	struct shelf *shelf = shelf_for(pf, size);
	void *piece;

	if (size >= PF_PIECE_HUGE)
		return piece_map(size);
	for (int k = 0; shelf && k < SHELF_ROOM; k++) {
		if (!__atomic_load_n(&shelf->piece[k], __ATOMIC_RELAXED))
			continue;
		piece = __atomic_exchange_n(&shelf->piece[k], NULL, __ATOMIC_ACQUIRE);
		if (piece)
			return piece;
	}
	return malloc(size);
}

void pf_piece_free(struct platform *pf, void *piece, size_t size)
{
	struct shelf *shelf = shelf_for(pf, size);
	void *none;

	if (size >= PF_PIECE_HUGE) {
		munmap(piece, size);
		return;
	}
	for (int k = 0; shelf && k < SHELF_ROOM; k++) {
		none = NULL;
		if (!__atomic_load_n(&shelf->piece[k], __ATOMIC_RELAXED) &&
		    __atomic_compare_exchange_n(&shelf->piece[k], &none, piece, false, __ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			return;
	}
	free(piece);
}

/* Diagnostics ------------------------------------------------------------- */

bool pf_warn(struct platform *pf, atomic_bool *once, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (atomic_exchange(once, true))
		return true;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (pf && pf->log)
		pf->log(pf->log_arg, line);
	else
		fprintf(stderr, "samara: %s\n", line);
	if (SAMARA_DEBUG >= 1 && !(pf && pf->log))
		abort();
	return true;
}

void pf_assert_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "samara: %s:%d: assertion failed: %s\n", file, line, expr);
	abort();
}

/* Threads ----------------------------------------------------------------- */

__thread struct pf_thread pf_self;

#if defined(__x86_64__)
#define LOADS_STAY_BEFORE_STORES 1
#else
#define LOADS_STAY_BEFORE_STORES 0
#endif

/* ThreadSanitizer knows no fences; a step that both reads and writes is as strong here. */
#if PF_TSAN
#define full_fence() ((void)__atomic_fetch_add(&(unsigned int){ 0 }, 1, __ATOMIC_SEQ_CST))
#else
#define full_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/* A full barrier in every running thread of the process. False when the host cannot do that. */
static bool barrier_everywhere(void)
{
	if (!urcu_memb_has_sys_membarrier) {
		/* Then readers have barriers of their own. */
		full_fence();
		return true;
	}
	return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/* Locks ------------------------------------------------------------------- */

#define LOCK_STREAK 4	/* so often in a row, and a thread is the favourite */

static void futex_sleep(unsigned int *word, unsigned int while_it_is)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_it_is, NULL, NULL, 0);
}

static void futex_wake(unsigned int *word, int how_many)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, how_many, NULL, NULL, 0);
}

static void take_word(unsigned int *word)
{
	unsigned int free = 0;

	if (__atomic_compare_exchange_n(word, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE))
		futex_sleep(word, 2);
}

/* Take the favour away, and wait until the favourite is outside. Who holds word. */
static void disappoint(struct samara_lock *lock)
{
	__atomic_store_n(&lock->favourite, NULL, __ATOMIC_RELAXED);
	lock->shared = 1;
	/* It is there, as liburcu found out. If it does not work now, no store takes this long to be seen. */
	if (!barrier_everywhere())
		usleep(10000);
	while (__atomic_load_n(&lock->inside, __ATOMIC_ACQUIRE))
		futex_sleep(&lock->inside, 1);
}

/*
 * Only who takes it alone again and again is worth it. ThreadSanitizer would not understand. Who
 * comes after finds the favour once he has word, which its giver still holds.
 */
static void favour(struct samara_lock *lock)
{
	if (lock->last != &pf_self) {
		lock->last = &pf_self;
		lock->streak = 0;
	} else if (++lock->streak == LOCK_STREAK && urcu_memb_has_sys_membarrier) {
		__atomic_store_n(&lock->favourite, (void *)&pf_self, __ATOMIC_RELAXED);
	}
}

void pf_lock_word(struct samara_lock *lock)
{
	take_word(&lock->word);
	if (__builtin_expect(__atomic_load_n(&lock->favourite, __ATOMIC_RELAXED) != NULL, 0))
		disappoint(lock);
	else if (!lock->shared && !PF_TSAN)
		favour(lock);
	/* Not earlier: the favourite may have been inside. */
	lock->by_word = 1;
}

void pf_unlock_word(struct samara_lock *lock)
{
	lock->by_word = 0;
	if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2)
		futex_wake(&lock->word, 1);
}

/* Somebody waits until the favourite that was is outside. */
void pf_lock_tell(struct samara_lock *lock)
{
	futex_wake(&lock->inside, INT_MAX);
}

void pf_mutex_init(pf_mutex *lock)
{
	pthread_mutex_init(lock, NULL);
}

void pf_mutex_destroy(pf_mutex *lock)
{
	pthread_mutex_destroy(lock);
}

void pf_mutex_lock(pf_mutex *lock)
{
	pthread_mutex_lock(lock);
}

bool pf_mutex_trylock(pf_mutex *lock)
{
	return !pthread_mutex_trylock(lock);
}

void pf_mutex_unlock(pf_mutex *lock)
{
	pthread_mutex_unlock(lock);
}

void pf_spin_wait(pf_spinlock *lock)
{
	unsigned int rounds = 0;

	while (!pf_spin_trylock(lock))
		pf_relax(&rounds);
}

unsigned int pf_thread_number(void)
{
	static atomic_uint numbers;
	static __thread unsigned int number;

	if (!number)
		number = atomic_fetch_add(&numbers, 1) + 1;
	return number;
}

/*
 * The state of a semaphore. CONTENDED is set, under the guard, by whoever begins to wait, and cleared by the
 * last who ends; while it stands, nobody enters on the fast path, and who leaves wakes the
 * waiters up. A waiter sets it before it looks at the rest of the state, and both are changed in one atomic
 * step by who leaves: so either the waiter sees that the way is free, or is seen.
 */
#define RWSEM_WRITER 0x80000000u
#define RWSEM_CONTENDED 0x40000000u
#define RWSEM_READERS 0x3fffffffu

void pf_rwsem_init(struct pf_rwsem *sem)
{
	memset(sem, 0, sizeof(*sem));
	pthread_mutex_init(&sem->guard, NULL);
	pthread_cond_init(&sem->changed, NULL);
}

void pf_rwsem_destroy(struct pf_rwsem *sem)
{
	pf_assert(atomic_load(&sem->state) == 0);
	pthread_cond_destroy(&sem->changed);
	pthread_mutex_destroy(&sem->guard);
}

/* Requires the guard. */
static void wait_begin(struct pf_rwsem *sem)
{
	sem->waiting++;
	atomic_fetch_or_explicit(&sem->state, RWSEM_CONTENDED, memory_order_relaxed);
}

/* Requires the guard. Those that wait on need a call only when the way may be free for them. */
static void wait_end(struct pf_rwsem *sem)
{
	pf_assert(sem->waiting > 0);
	if (--sem->waiting == 0)
		atomic_fetch_and_explicit(&sem->state, ~RWSEM_CONTENDED, memory_order_relaxed);
}

static void wake_all(struct pf_rwsem *sem)
{
	pthread_mutex_lock(&sem->guard);
	pthread_cond_broadcast(&sem->changed);
	pthread_mutex_unlock(&sem->guard);
}

/* Enter with @add where none of @unless is set. */
static bool rwsem_try(struct pf_rwsem *sem, unsigned int unless, unsigned int add)
{
	unsigned int state = atomic_load_explicit(&sem->state, memory_order_relaxed);

	while (!(state & unless))
		if (atomic_compare_exchange_weak_explicit(&sem->state, &state, state + add, memory_order_acquire,
							  memory_order_relaxed))
			return true;
	return false;
}

static void down_read_slow(struct pf_rwsem *sem)
{
	pthread_mutex_lock(&sem->guard);
	wait_begin(sem);
	while (sem->writers_waiting || !rwsem_try(sem, RWSEM_WRITER, 1))
		pthread_cond_wait(&sem->changed, &sem->guard);
	wait_end(sem);
	pthread_mutex_unlock(&sem->guard);
}

bool pf_try_down_read(struct pf_rwsem *sem)
{
	return rwsem_try(sem, RWSEM_WRITER | RWSEM_CONTENDED, 1);
}

void pf_down_read(struct pf_rwsem *sem)
{
	if (__builtin_expect(!rwsem_try(sem, RWSEM_WRITER | RWSEM_CONTENDED, 1), 0))
		down_read_slow(sem);
}

void pf_up_read(struct pf_rwsem *sem)
{
	unsigned int before = atomic_fetch_sub_explicit(&sem->state, 1, memory_order_release);

	pf_assert(before & RWSEM_READERS);
	if (__builtin_expect((before & (RWSEM_READERS | RWSEM_CONTENDED)) == (RWSEM_CONTENDED | 1), 0))
		wake_all(sem);
}

static void down_write_slow(struct pf_rwsem *sem)
{
	pthread_mutex_lock(&sem->guard);
	wait_begin(sem);
	sem->writers_waiting++;
	while (!rwsem_try(sem, RWSEM_WRITER | RWSEM_READERS, RWSEM_WRITER))
		pthread_cond_wait(&sem->changed, &sem->guard);
	sem->writers_waiting--;
	wait_end(sem);
	pthread_mutex_unlock(&sem->guard);
}

void pf_down_write(struct pf_rwsem *sem)
{
	if (__builtin_expect(!rwsem_try(sem, ~0u, RWSEM_WRITER), 0))
		down_write_slow(sem);
	atomic_store_explicit(&sem->owner, (uintptr_t)pthread_self(), memory_order_relaxed);
}

void pf_up_write(struct pf_rwsem *sem)
{
	unsigned int before;

	pf_assert(pf_rwsem_write_held(sem));
	atomic_store_explicit(&sem->owner, 0, memory_order_relaxed);
	before = atomic_fetch_and_explicit(&sem->state, ~RWSEM_WRITER, memory_order_release);
	pf_assert(before & RWSEM_WRITER);
	if (__builtin_expect(before & RWSEM_CONTENDED, 0))
		wake_all(sem);
}

void pf_downgrade_write(struct pf_rwsem *sem)
{
	unsigned int before;

	pf_assert(pf_rwsem_write_held(sem));
	atomic_store_explicit(&sem->owner, 0, memory_order_relaxed);
	before = atomic_fetch_sub_explicit(&sem->state, RWSEM_WRITER - 1, memory_order_release);
	pf_assert(before & RWSEM_WRITER);
	if (__builtin_expect(before & RWSEM_CONTENDED, 0))
		wake_all(sem);
}

bool pf_rwsem_write_held(struct pf_rwsem *sem)
{
	return atomic_load_explicit(&sem->owner, memory_order_relaxed) == (uintptr_t)pthread_self();
}

bool pf_rwsem_held(struct pf_rwsem *sem)
{
	return (atomic_load_explicit(&sem->state, memory_order_relaxed) & RWSEM_READERS) || pf_rwsem_write_held(sem);
}

/* Waiting ----------------------------------------------------------------- */

void pf_cond_resched(struct platform *pf)
{
	pf_assert(!pf_rcu_read_lock_held());
	if (pf->resched)
		pf->resched(pf->resched_arg);
	sched_yield();
}

void pf_set_resched_hook(struct platform *pf, void (*hook)(void *arg), void *arg)
{
	pf->resched = hook;
	pf->resched_arg = arg;
}

#if defined(__x86_64__) || defined(__i386__)
#define cpu_relax() __builtin_ia32_pause()
#else
#define cpu_relax() atomic_signal_fence(memory_order_seq_cst)
#endif

#define RELAX_SPINS 64
#define RELAX_YIELDS 256

static atomic_bool membarrier_works;

static void prepare_membarrier(void)
{
	atomic_store(&membarrier_works,
		     !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
}

bool pf_heavy_barrier_prepare(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, prepare_membarrier);
	return atomic_load(&membarrier_works);
}

void pf_heavy_barrier(void)
{
	static atomic_uint full;

	/* A locked instruction: where it is all there is, both sides make one. */
	atomic_fetch_add(&full, 1);
	if (atomic_load(&membarrier_works))
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

void pf_relax(unsigned int *rounds)
{
	const struct timespec a_while = { .tv_nsec = 50000 };

	++*rounds;
	if (*rounds < RELAX_SPINS)
		cpu_relax();
	else if (*rounds < RELAX_YIELDS)
		sched_yield();
	else
		nanosleep(&a_while, NULL);
}

/* RCU --------------------------------------------------------------------- */

static pthread_key_t rcu_thread_key;
static pthread_once_t rcu_thread_once = PTHREAD_ONCE_INIT;

/* All threads that may be in a read-side section, so that a writer can look for itself. */
static pthread_mutex_t readers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pf_thread *readers;

static void reader_comes(void)
{
	pthread_mutex_lock(&readers_lock);
	pf_self.sections = &URCU_TLS(urcu_memb_reader).ctr;
	pf_self.next = readers;
	pf_self.link = &readers;
	if (readers)
		readers->link = &pf_self.next;
	readers = &pf_self;
	pf_self.is_reader = true;
	pthread_mutex_unlock(&readers_lock);
}

static void reader_goes(void)
{
	pthread_mutex_lock(&readers_lock);
	*pf_self.link = pf_self.next;
	if (pf_self.next)
		pf_self.next->link = pf_self.link;
	pf_self.is_reader = false;
	pthread_mutex_unlock(&readers_lock);
}

static void rcu_thread_ends(void *unused)
{
	(void)unused;
	if (pf_self.is_reader)
		reader_goes();
	if (URCU_TLS(urcu_memb_reader).registered)
		urcu_memb_unregister_thread();
}

static void rcu_make_key(void)
{
	pthread_key_create(&rcu_thread_key, rcu_thread_ends);
}

void pf_rcu_register_thread(void)
{
	pthread_once(&rcu_thread_once, rcu_make_key);
	if (!URCU_TLS(urcu_memb_reader).registered)
		urcu_memb_register_thread();
	reader_comes();
	pthread_setspecific(rcu_thread_key, &rcu_thread_key);
}

/* Whether no registered thread is in a section right now; @others: whether there is one beside ourselves. */
static bool all_outside(bool *others)
{
	*others = false;
	for (const struct pf_thread *t = readers; t; t = t->next) {
		if (__atomic_load_n(t->sections, __ATOMIC_ACQUIRE) & URCU_GP_CTR_NEST_MASK)
			return false;
		*others |= t != &pf_self;
	}
	return true;
}

/*
 * The first look is for nothing: it spares others the barrier when it is no use. The barrier
 * makes who enters from now on see all that was stored before the call; who is seen outside
 * afterwards has left for good, or has entered since.
 */
static bool all_have_left(void)
{
	bool others;

	if (!all_outside(&others))
		return false;
	if (!others)
		return true;
	if (!barrier_everywhere() || !all_outside(&others))
		return false;
	/* Where loads may be done after the store that ends a section, readers are made to finish them. */
	return LOADS_STAY_BEFORE_STORES || barrier_everywhere();
}

#if PF_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);

static char tsan_readers;	/* stands for "the readers that a grace period waited for" */
static char tsan_callbacks;	/* stands for "the callbacks that have run" */

void pf_tsan_reader_enters(void)
{
}

void pf_tsan_reader_leaves(void)
{
	__tsan_release(&tsan_readers);
}

static void tsan_grace_ended(void)
{
	__tsan_acquire(&tsan_readers);
}

static void tsan_callbacks_ended(void)
{
	__tsan_acquire(&tsan_callbacks);
}

/* @head may be gone when its function returns. */
static void tsan_run_callback(struct rcu_head *urcu)
{
	pf_rcu_head *head = (pf_rcu_head *)urcu;

	__tsan_acquire(head);
	tsan_grace_ended();
	head->func(head);
	__tsan_release(&tsan_callbacks);
}

void pf_call_rcu(pf_rcu_head *head, void (*func)(pf_rcu_head *head))
{
	head->func = func;
	__tsan_release(head);
	urcu_memb_call_rcu(&head->urcu, tsan_run_callback);
}
#else
static void tsan_grace_ended(void)
{
}

static void tsan_callbacks_ended(void)
{
}

void pf_call_rcu(pf_rcu_head *head, void (*func)(pf_rcu_head *head))
{
	urcu_memb_call_rcu(head, func);
}
#endif

void pf_synchronize_rcu(void)
{
	urcu_memb_synchronize_rcu();
	tsan_grace_ended();
}

bool pf_rcu_nobody_reads(void)
{
	bool passed;

	/* Somebody comes or goes: not now. */
	if (pthread_mutex_trylock(&readers_lock))
		return false;
	passed = all_have_left();
	pthread_mutex_unlock(&readers_lock);
	if (passed)
		tsan_grace_ended();
	return passed;
}

void pf_rcu_barrier(void)
{
	urcu_memb_barrier();
	tsan_grace_ended();
	tsan_callbacks_ended();
}

void samara_rcu_read_lock(void)
{
	pf_rcu_read_lock();
}

void samara_rcu_read_unlock(void)
{
	pf_rcu_read_unlock();
}

void samara_rcu_barrier(void)
{
	pf_rcu_barrier();
}
