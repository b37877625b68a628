/* SPDX-License-Identifier: MIT */
/*
 * What a user may ask of the platform: memory that fails on request, live
 * object counts, the log, and RCU read-side sections.
 */
#ifndef SAMARA_PLATFORM_H
#define SAMARA_PLATFORM_H

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/** One set of memory, counters and log hook. A context owns one; trees without a context share the default one. */
struct platform;

/** Counts of live objects and of attempts to allocate, as platform_stats() reads them. */
struct platform_stats {
	long nodes;		/* maple tree nodes */
	long vmas;
	long mms;
	long anon_vmas;
	long anon_chains;	/* links between a VMA and an anon_vma */
	long files;
	long inodes;		/* contents that files share */
	long swap_slots;	/* in use */
	long contexts;
	long frames;		/* 4 KiB each */
	long tables;		/* page tables */
	long others;
	unsigned long attempts;	/* allocations asked for so far, the failed ones included */
	unsigned long failed;
};

/** Called with a line without a newline when an invariant is broken. Must not call the library. */
typedef void (*platform_log_fn)(void *arg, const char *line);

/**
 * platform_default - the platform of trees that belong to no context
 *
 * Return: never NULL; lives as long as the process.
 */
struct platform *platform_default(void);

/**
 * platform_create - a platform of one's own
 * @log:     hook for broken invariants, or NULL for standard error
 * @log_arg: passed to @log
 *
 * Return: the platform, or NULL when there is no memory. It is one attempt of platform_default().
 */
struct platform *platform_create(platform_log_fn log, void *log_arg);

/**
 * platform_destroy - give a platform back
 * @pf: nothing allocated from it may be live; NULL is allowed
 *
 * Waits for a grace period. Not inside an RCU section.
 */
void platform_destroy(struct platform *pf);

/**
 * platform_fail_nth - make an allocation fail
 * @pf: platform
 * @n:  1 fails the next attempt, 2 the one after, ...; 0 fails none;
 *      -1 fails all from now on
 *
 * Once the n-th has failed, the following ones succeed again.
 */
void platform_fail_nth(struct platform *pf, long n);

/** platform_read_stats - copy the counters; waits for pending deferred frees first. Not inside an RCU section. */
void platform_read_stats(struct platform *pf, struct platform_stats *out);

/**
 * A lock that costs next to nothing for a thread that has it to itself. All zeroes: free.
 * It is here because users embed trees, and have to know their size; the fields are private.
 */
struct samara_lock {
	unsigned int word;	/* 0: free, 1: held, 2: held, and somebody waits */
	unsigned int inside;	/* the favourite holds it */
	void *favourite;	/* the thread that need not take word */
	void *last;		/* who took word last, and how often in a row */
	unsigned int streak;
	unsigned char by_word;	/* its holder has taken word */
	unsigned char shared;	/* a favourite has been disappointed: there will be no other */
};

/** samara_rcu_read_lock - begin a section in which what was found by lookup stays valid memory. Nests. */
void samara_rcu_read_lock(void);

/** samara_rcu_read_unlock - end the innermost section. */
void samara_rcu_read_unlock(void);

/** samara_rcu_barrier - wait until all deferred frees queued so far are done. Not inside an RCU section. */
void samara_rcu_barrier(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
