/* SPDX-License-Identifier: MIT */
/*
 * Promises 4 and 6. Threads of one program and their memory: all map, unmap, protect, discard, write and read in
 * one address space, one forks, one goes through a software TLB, and every byte is checked.
 *
 *   page    |0 0 0 0|1 1 1 1|2 2 2 2|3 3 3 3|0 0 0 0| ...  |? ? ? ? ? ? ?|
 *            owner's: exact contents                         anybody's: what was once written there, whole
 *
 * Owners lie interleaved, so that they meet in mappings, anon_vmas and tables. A page is written in one
 * step, all words alike; the word says which page it was meant for.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <samara/mm.h>

#include "support/seed.h"

#define FIXED_SEED 20261125u
#define PAGE 4096UL
#define WORDS (PAGE / sizeof(uint64_t))
/* Around the end of a lowest table. */
#define START (0x200000000000UL + 440 * PAGE)
#define FRAMES 4096UL

enum { WORKERS = 3, FORKER = WORKERS, READER, OWNERS };
enum { BLOCK = 4, BLOCKS = 5, OWN = BLOCK * BLOCKS, OWNED = OWNERS * OWN, COMMON = 24, ROUNDS = 1500 };

struct scene {
	struct mm_context *ctx;
	struct mm_struct *mm;
	uint64_t seed;
	atomic_bool stop;
	atomic_ulong forks, reads, translations;
};

/* What a thread knows of its pages. */
struct owner {
	struct scene *scene;
	unsigned int who;
	uint64_t random, written;
	bool mapped[OWN], writable[OWN];
	uint64_t holds[OWN];
};

static unsigned long draw(struct owner *owner, unsigned long below)
{
	owner->random ^= owner->random >> 12;
	owner->random ^= owner->random << 25;
	owner->random ^= owner->random >> 27;
	return (unsigned long)((owner->random * 2685821657736338717ull) >> 33) % below;
}

/* The number of an owner's page among all. */
static unsigned long page_of(unsigned int who, unsigned long own)
{
	return (own / BLOCK * OWNERS + who) * BLOCK + own % BLOCK;
}

static unsigned long address(unsigned long page)
{
	return START + page * PAGE;
}

static uint64_t new_word(struct owner *owner, unsigned long page)
{
	return (uint64_t)(page + 1) << 48 | (uint64_t)owner->who << 40 | ++owner->written;
}

/* Ends the program: what threads assert cannot be passed on to cmocka. */
static void expect(bool good, const char *what, unsigned long page, uint64_t found, uint64_t expected)
{
	if (good)
		return;
	fprintf(stderr, "%s: page %lu: found %#llx, expected %#llx\n", what, page, (unsigned long long)found,
		(unsigned long long)expected);
	abort();
}

static enum mm_fault write_page(struct mm_struct *mm, unsigned long page, uint64_t word)
{
	uint64_t buf[WORDS];

	for (unsigned long i = 0; i < WORDS; i++)
		buf[i] = word;
	return mm_write(mm, address(page), buf, PAGE, NULL);
}

static enum mm_fault read_page(struct mm_struct *mm, unsigned long page, uint64_t *word)
{
	uint64_t buf[WORDS];
	enum mm_fault fault = mm_read(mm, address(page), buf, PAGE, NULL);

	if (fault != MM_FAULT_OK)
		return fault;
	for (unsigned long i = 1; i < WORDS; i++)
		expect(buf[i] == buf[0], "a page of two writes", page, buf[i], buf[0]);
	*word = buf[0];
	return MM_FAULT_OK;
}

static void map_page(struct mm_struct *mm, unsigned long page)
{
	struct mm_mmap_args args = { .addr = address(page), .len = PAGE, .prot = PROT_READ | PROT_WRITE,
				     .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED };
	unsigned long out;
	int err = mm_mmap(mm, &args, &out);

	expect(!err, "mmap", page, (uint64_t)err, 0);
}

static void must(int err, const char *what, unsigned long page)
{
	expect(!err, what, page, (uint64_t)err, 0);
}

/* One's own pages -------------------------------------------------------- */

static void check_own(struct owner *owner, struct mm_struct *mm, unsigned long own)
{
	unsigned long page = page_of(owner->who, own);
	uint64_t word = 0;
	enum mm_fault fault = read_page(mm, page, &word);

	expect(fault == (owner->mapped[own] ? MM_FAULT_OK : MM_FAULT_MAPERR), "a read's result", page, fault,
	       owner->mapped[own]);
	if (fault == MM_FAULT_OK)
		expect(word == owner->holds[own], "what an owner reads", page, word, owner->holds[own]);
	atomic_fetch_add_explicit(&owner->scene->reads, 1, memory_order_relaxed);
}

static void write_own(struct owner *owner, unsigned long own)
{
	unsigned long page = page_of(owner->who, own);
	enum mm_fault expected = !owner->mapped[own] ? MM_FAULT_MAPERR : owner->writable[own] ? MM_FAULT_OK : MM_FAULT_ACCERR;
	uint64_t word = new_word(owner, page);
	enum mm_fault fault = write_page(owner->scene->mm, page, word);

	expect(fault == expected, "a write's result", page, fault, expected);
	if (fault == MM_FAULT_OK)
		owner->holds[own] = word;
}

static void change_own(struct owner *owner, unsigned long own)
{
	unsigned long page = page_of(owner->who, own);
	struct mm_struct *mm = owner->scene->mm;
	bool write = draw(owner, 2);

	switch (draw(owner, 4)) {
	case 0:
		map_page(mm, page);
		owner->mapped[own] = owner->writable[own] = true;
		owner->holds[own] = 0;
		return;
	case 1:
		must(mm_munmap(mm, address(page), PAGE), "munmap", page);
		owner->mapped[own] = false;
		return;
	case 2:
		if (!owner->mapped[own])
			return;
		must(mm_mprotect(mm, address(page), PAGE, PROT_READ | (write ? PROT_WRITE : 0)), "mprotect", page);
		owner->writable[own] = write;
		return;
	default:
		if (!owner->mapped[own])
			return;
		must(mm_madvise(mm, address(page), PAGE, MADV_DONTNEED), "madvise", page);
		owner->holds[own] = 0;
	}
}

/* Anybody's pages ---------------------------------------------------------- */

static void check_common(struct mm_struct *mm, unsigned long page)
{
	uint64_t word = 0;
	enum mm_fault fault = read_page(mm, page, &word);

	expect(fault == MM_FAULT_OK || fault == MM_FAULT_MAPERR, "a read of anybody's page", page, fault, 0);
	expect(!word || word >> 48 == page + 1, "what was meant for another page", page, word, page + 1);
}

static void use_common(struct owner *owner)
{
	unsigned long page = OWNED + draw(owner, COMMON);
	struct mm_struct *mm = owner->scene->mm;
	enum mm_fault fault;

	switch (draw(owner, 8)) {
	case 0:
		map_page(mm, page);
		break;
	case 1:
		must(mm_munmap(mm, address(page), PAGE), "munmap", page);
		break;
	case 2:
		mm_mprotect(mm, address(page), PAGE, draw(owner, 2) ? PROT_READ : PROT_READ | PROT_WRITE);
		break;
	case 3:
		mm_madvise(mm, address(page), PAGE, MADV_DONTNEED);
		break;
	case 4:
	case 5:
		fault = write_page(mm, page, new_word(owner, page));
		expect(fault == MM_FAULT_OK || fault == MM_FAULT_MAPERR || fault == MM_FAULT_ACCERR,
		       "a write to anybody's page", page, fault, 0);
		break;
	default:
		check_common(mm, page);
	}
}

/* The threads --------------------------------------------------------------- */

static void owner_begin(struct owner *owner, struct scene *scene, unsigned int who)
{
	*owner = (struct owner){ .scene = scene, .who = who, .random = (scene->seed * (who + 1)) | 1 };
}

static void work(struct owner *owner)
{
	unsigned long own = draw(owner, OWN);

	switch (draw(owner, 6)) {
	case 0:
	case 1:
		change_own(owner, own);
		break;
	case 2:
	case 3:
		write_own(owner, own);
		break;
	case 4:
		check_own(owner, owner->scene->mm, own);
		break;
	default:
		use_common(owner);
	}
}

struct start {
	struct scene *scene;
	unsigned int who;
};

static void *works(void *arg)
{
	const struct start *start = arg;
	struct owner owner;

	owner_begin(&owner, start->scene, start->who);
	for (int i = 0; i < ROUNDS; i++)
		work(&owner);
	for (unsigned long own = 0; own < OWN; own++)
		check_own(&owner, owner.scene->mm, own);
	return NULL;
}

/* A child has the parent's bytes of the moment, and what it writes is its own. */
static void look_at_child(struct owner *owner, struct mm_struct *child)
{
	struct owner before = *owner;

	for (unsigned long own = 0; own < OWN; own++)
		check_own(owner, child, own);
	for (unsigned long page = 0; page < OWNED + COMMON; page++)
		check_common(child, page);
	for (int i = 0; i < 8; i++) {
		unsigned long own = draw(owner, OWN);

		if (owner->mapped[own] && owner->writable[own])
			expect(write_page(child, page_of(owner->who, own), new_word(owner, page_of(owner->who, own))) ==
			       MM_FAULT_OK, "a child's write", own, 1, 0);
	}
	for (unsigned long own = 0; own < OWN; own++)
		check_own(&before, owner->scene->mm, own);
}

static void *forks(void *arg)
{
	const struct start *start = arg;
	struct mm_struct *child;
	struct owner owner;

	owner_begin(&owner, start->scene, start->who);
	while (!atomic_load(&owner.scene->stop)) {
		for (int i = 0; i < 20; i++)
			work(&owner);
		must(mm_fork(owner.scene->mm, &child), "fork", 0);
		look_at_child(&owner, child);
		must(mm_validate(child), "a child's validation", 0);
		mm_put(child);
		atomic_fetch_add(&owner.scene->forks, 1);
	}
	return NULL;
}

/* Through the TLB: the pointer is good until the section ends, whatever others do meanwhile. */
static void translate_own(struct owner *owner, struct mm_tlb *tlb, unsigned long own)
{
	bool write = owner->mapped[own] && owner->writable[own] && draw(owner, 2);
	unsigned long page = page_of(owner->who, own);
	uint64_t word = new_word(owner, page);
	enum mm_fault fault;
	uint64_t *bytes;
	void *at;

	mm_tlb_begin(tlb);
	fault = mm_translate(tlb, address(page), write ? MM_WRITE : MM_READ, &at);
	expect(fault == (owner->mapped[own] ? MM_FAULT_OK : MM_FAULT_MAPERR), "a translation", page, fault, 0);
	if (fault == MM_FAULT_OK) {
		bytes = at;
		expect(bytes[0] == owner->holds[own], "through the TLB", page, bytes[0], owner->holds[own]);
		expect(bytes[WORDS - 1] == bytes[0], "through the TLB", page, bytes[WORDS - 1], bytes[0]);
		for (unsigned long i = 0; write && i < WORDS; i++)
			bytes[i] = word;
		if (write)
			owner->holds[own] = word;
	}
	mm_tlb_end(tlb);
	atomic_fetch_add_explicit(&owner->scene->translations, 1, memory_order_relaxed);
}

static void *translates(void *arg)
{
	const struct start *start = arg;
	struct mm_tlb *tlb;
	struct owner owner;

	owner_begin(&owner, start->scene, start->who);
	must(mm_tlb_create(owner.scene->mm, &tlb), "a TLB", 0);
	while (!atomic_load(&owner.scene->stop)) {
		if (!draw(&owner, 16))
			change_own(&owner, draw(&owner, OWN));
		translate_own(&owner, tlb, draw(&owner, OWN));
	}
	mm_tlb_destroy(tlb);
	return NULL;
}

static void run_threads(struct scene *scene)
{
	struct start start[OWNERS];
	pthread_t thread[OWNERS];

	for (unsigned int i = 0; i < OWNERS; i++) {
		start[i] = (struct start){ scene, i };
		assert_int_equal(pthread_create(&thread[i], NULL, i < WORKERS ? works : i == FORKER ? forks : translates,
						&start[i]), 0);
	}
	for (unsigned int i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	atomic_store(&scene->stop, true);
	for (unsigned int i = WORKERS; i < OWNERS; i++)
		pthread_join(thread[i], NULL);
}

static void run_seed(uint64_t seed)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = FRAMES };
	struct scene scene = { .seed = seed };
	struct platform_stats stats;

	printf("# seed %llu\n", (unsigned long long)seed);
	assert_int_equal(mm_context_create(&opt, &scene.ctx), 0);
	assert_int_equal(mm_create(scene.ctx, NULL, &scene.mm), 0);
	run_threads(&scene);
	print_message("# note: pages under threads: %lu reads, %lu translations, %lu forks, all contents right\n",
		      atomic_load(&scene.reads), atomic_load(&scene.translations), atomic_load(&scene.forks));
	assert_true(atomic_load(&scene.forks) > 0 && atomic_load(&scene.translations) > 0);
	assert_int_equal(mm_validate(scene.mm), 0);
	mm_put(scene.mm);
	platform_read_stats(mm_context_platform(scene.ctx), &stats);
	assert_int_equal(stats.vmas + stats.anon_vmas + stats.anon_chains + stats.mms + stats.nodes, 0);
	assert_int_equal(stats.frames + stats.tables, 0);
	mm_context_destroy(scene.ctx);
}

static void fixed_seed(void **state)
{
	run_seed(FIXED_SEED);
}

static void fresh_seed(void **state)
{
	run_seed(seed_fresh());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_seed),
		cmocka_unit_test(fresh_seed),
	};

	return cmocka_run_group_tests_name("mm_pages", tests, NULL, NULL);
}
