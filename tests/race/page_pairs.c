/* SPDX-License-Identifier: MIT */
/*
 * Promise 5, with pages. Two or three that meet at the same pages, and nobody else: what is written is there,
 * or is gone as the other one says; never another page's, never half of it.
 *
 *   faults     truncate | page-out, swapoff, fork | MADV_DONTNEED, page-out | mremap, fork | reaper
 *   mm_pin     fork, page-out
 *
 * A page is written in one step, all words alike; the word says for which page it was meant.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "mm/mm.h"
#include "mmu/mmu.h"
#include "mmu/pageout.h"
#include "support/seed.h"

#define AT(page) (0x200000000UL + (unsigned long)(page) * PAGE_SIZE)
#define WORDS (PAGE_SIZE / sizeof(uint64_t))
#define RW (PROT_READ | PROT_WRITE)

/* The pages that are meant, and where they may be moved to. */
enum { PAGES = 8, ELSEWHERE = 700, MOST = 6, SLOTS = 256 };
/* How long each test runs, and how often each role is played at least. */
#define SECONDS 0.4
#define ROUNDS 20

struct scene {
	struct mm_context *ctx;
	struct mm_struct *mm;
	struct vm_file *file;
	atomic_bool stop;
	atomic_ulong wrong;
	atomic_ulong rounds[MOST];
};

struct role {
	struct scene *scene;
	void (*round)(struct role *role);
	atomic_ulong *rounds;
	unsigned int who;		/* a page of one's own, where it is owned */
	uint64_t random, written;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned long draw(struct role *role, unsigned long below)
{
	role->random ^= role->random >> 12;
	role->random ^= role->random << 25;
	role->random ^= role->random >> 27;
	return (unsigned long)((role->random * 2685821657736338717ull) >> 33) % below;
}

static void expect(struct scene *scene, bool good)
{
	if (!good)
		atomic_fetch_add(&scene->wrong, 1);
}

static uint64_t word_for(struct role *role, unsigned long page)
{
	return (uint64_t)(page + 1) << 48 | (uint64_t)role->who << 40 | ++role->written;
}

static enum mm_fault write_at(struct mm_struct *mm, unsigned long addr, uint64_t word)
{
	uint64_t buf[WORDS];

	for (unsigned long i = 0; i < WORDS; i++)
		buf[i] = word;
	return mm_write(mm, addr, buf, PAGE_SIZE, NULL);
}

static enum mm_fault read_at(struct scene *scene, struct mm_struct *mm, unsigned long addr, uint64_t *word)
{
	uint64_t buf[WORDS];
	enum mm_fault fault = mm_read(mm, addr, buf, PAGE_SIZE, NULL);

	for (unsigned long i = 1; fault == MM_FAULT_OK && i < WORDS; i++)
		expect(scene, buf[i] == buf[0]);
	*word = buf[0];
	return fault;
}

/* The roles ------------------------------------------------------------------------ */

/* Nobody else writes to this page: what was written is read. */
static void owns(struct role *role)
{
	struct scene *scene = role->scene;
	uint64_t word = word_for(role, role->who), found = 0;

	expect(scene, write_at(scene->mm, AT(role->who), word) == MM_FAULT_OK);
	expect(scene, read_at(scene, scene->mm, AT(role->who), &found) == MM_FAULT_OK && found == word);
}

/* As a device writes: a fork that copies the page meanwhile is no business of the sanitizer's. */
__attribute__((no_sanitize("thread"))) static void write_frame(volatile uint64_t *bytes, uint64_t word)
{
	for (unsigned long i = 0; i < WORDS; i++)
		bytes[i] = word;
}

/* The same past the page tables: the address shows the frame for as long as it is pinned. */
static void pins(struct role *role)
{
	struct scene *scene = role->scene;
	uint64_t word = word_for(role, role->who), found = 0;
	unsigned long frame;

	if (mm_pin(scene->mm, AT(role->who), MM_WRITE, &frame)) {
		expect(scene, false);
		return;
	}
	write_frame(mm_frame_bytes(scene->ctx, frame), word);
	sched_yield();
	expect(scene, read_at(scene, scene->mm, AT(role->who), &found) == MM_FAULT_OK && found == word);
	mm_unpin(scene->ctx, frame, true);
	expect(scene, read_at(scene, scene->mm, AT(role->who), &found) == MM_FAULT_OK && found == word);
}

/* Anybody's page, here or there: it is what was meant for it, or nothing. */
static void touch(struct role *role, unsigned long at)
{
	struct scene *scene = role->scene;
	unsigned long page = draw(role, PAGES);
	uint64_t word = 0;
	enum mm_fault fault;

	fault = draw(role, 2) ? write_at(scene->mm, AT(at + page), word_for(role, page))
			      : read_at(scene, scene->mm, AT(at + page), &word);
	/* Beyond the end of a file; or not mapped, where it is moved. */
	expect(scene, fault == MM_FAULT_OK || fault == (scene->file ? MM_FAULT_BUS : MM_FAULT_MAPERR));
	expect(scene, fault != MM_FAULT_OK || !word || word >> 48 == page + 1);
}

static void touches(struct role *role)
{
	touch(role, 0);
}

static void touches_both(struct role *role)
{
	touch(role, draw(role, 2) ? ELSEWHERE : 0);
}

/* What a child has does not change under it. */
static void forks(struct role *role)
{
	struct scene *scene = role->scene;
	uint64_t first[PAGES], again = 0;
	struct mm_struct *child;
	enum mm_fault fault;

	if (mm_fork(scene->mm, &child)) {
		expect(scene, false);
		return;
	}
	for (unsigned long i = 0; i < PAGES; i++) {
		first[i] = 0;
		fault = mm_read(child, AT(i), &first[i], sizeof(first[i]), NULL);
		expect(scene, fault == MM_FAULT_OK || fault == MM_FAULT_MAPERR);
		expect(scene, !first[i] || first[i] >> 48 == i + 1);
	}
	sched_yield();
	for (unsigned long i = 0; i < PAGES; i++) {
		fault = mm_read(child, AT(i), &again, sizeof(again), NULL);
		expect(scene, fault != MM_FAULT_OK || again == first[i]);
	}
	mmput(child);
}

static void pages_out(struct role *role)
{
	reclaim_frames(role->scene->ctx, 4);
	sched_yield();
}

static void swaps_off(struct role *role)
{
	expect(role->scene, !mm_swapoff(role->scene->ctx, NULL));
	expect(role->scene, !mm_swapon(role->scene->ctx, SLOTS));
	usleep(200);
}

static void discards(struct role *role)
{
	unsigned long page = draw(role, PAGES);

	expect(role->scene, !mm_madvise(role->scene->mm, AT(page), (1 + draw(role, PAGES - page)) * PAGE_SIZE,
					MADV_DONTNEED));
}

static void truncates(struct role *role)
{
	expect(role->scene, !vm_file_truncate(role->scene->file, draw(role, PAGES) * PAGE_SIZE));
	sched_yield();
	expect(role->scene, !vm_file_truncate(role->scene->file, PAGES * PAGE_SIZE));
	sched_yield();
}

static void moves(struct role *role)
{
	struct mm_mremap_args args = { .addr = AT(0), .old_len = PAGES * PAGE_SIZE,
				       .new_len = PAGES * PAGE_SIZE, .new_addr = AT(ELSEWHERE),
				       .flags = MREMAP_MAYMOVE | MREMAP_FIXED };
	unsigned long out;

	expect(role->scene, !mm_mremap(role->scene->mm, &args, &out));
	sched_yield();
	args.addr = AT(ELSEWHERE);
	args.new_addr = AT(0);
	expect(role->scene, !mm_mremap(role->scene->mm, &args, &out));
	sched_yield();
}

/* All of it ----------------------------------------------------------------------- */

static void map(struct scene *scene, struct vm_file *file, unsigned long flags)
{
	struct mm_mmap_args args = { .addr = AT(0), .len = PAGES * PAGE_SIZE, .prot = RW,
				     .flags = flags | MAP_FIXED, .file = file };
	unsigned long at;

	assert_int_equal(mm_mmap(scene->mm, &args, &at), 0);
}

static void begin(struct scene *scene)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 1024 };

	*scene = (struct scene){ .ctx = NULL };
	assert_int_equal(mm_context_create(&opt, &scene->ctx), 0);
	assert_int_equal(mm_swapon(scene->ctx, SLOTS), 0);
	assert_int_equal(mm_create(scene->ctx, NULL, &scene->mm), 0);
}

static void end(struct scene *scene)
{
	struct platform_stats stats;

	assert_int_equal(mmu_validate_frames(scene->ctx, &scene->mm, 1), 0);
	assert_int_equal(mm_validate(scene->mm), 0);
	mmput(scene->mm);
	vm_file_put(scene->file);
	platform_read_stats(scene->ctx->pf, &stats);
	assert_int_equal(stats.frames + stats.tables + stats.swap_slots + stats.vmas + stats.mms, 0);
	mm_context_destroy(scene->ctx);
}

static void *plays(void *arg)
{
	struct role *role = arg;

	for (unsigned long i = 1; !atomic_load(&role->scene->stop); i++) {
		role->round(role);
		atomic_fetch_add_explicit(role->rounds, 1, memory_order_relaxed);
		/* The quick ones leave the others some time. */
		if (i % 64 == 0)
			usleep(50);
	}
	return NULL;
}

static bool all_had_turns(struct scene *scene, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (atomic_load(&scene->rounds[i]) < ROUNDS)
			return false;
	return true;
}

static void meet(struct scene *scene, const char *what, unsigned int nr,
		 void (*const rounds[])(struct role *))
{
	uint64_t seed = seed_fresh();
	pthread_t thread[MOST];
	struct role role[MOST];
	double begun = now();

	print_message("# SAMARA_SEED=%llu\n", (unsigned long long)seed);
	for (unsigned int i = 0; i < nr; i++) {
		role[i] = (struct role){ .scene = scene, .round = rounds[i], .rounds = &scene->rounds[i],
					 .who = i, .random = (seed * (i + 1)) | 1 };
		assert_int_equal(pthread_create(&thread[i], NULL, plays, &role[i]), 0);
	}
	while (now() < begun + SECONDS || !all_had_turns(scene, nr))
		usleep(5000);
	atomic_store(&scene->stop, true);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(thread[i], NULL);
	print_message("# note: %s: rounds", what);
	for (unsigned int i = 0; i < nr; i++)
		print_message(" %lu", atomic_load(&scene->rounds[i]));
	print_message("\n");
	assert_int_equal(atomic_load(&scene->wrong), 0);
}

#define MEET(scene, what, ...)                                                                       \
	meet(scene, what, sizeof((void (*[])(struct role *)){ __VA_ARGS__ }) / sizeof(void *),       \
	     (void (*const[])(struct role *)){ __VA_ARGS__ })

static void faults_and_truncate(void **state)
{
	struct vm_file_info info = { .size = sizeof(info), .readable = true, .writable = true, .sized = true,
				     .bytes = PAGES * PAGE_SIZE };
	struct scene scene;

	for (unsigned int shared = 0; shared < 2; shared++) {
		begin(&scene);
		assert_int_equal(vm_file_create(scene.ctx, &info, &scene.file), 0);
		map(&scene, scene.file, shared ? MAP_SHARED : MAP_PRIVATE);
		MEET(&scene, shared ? "faults, truncate" : "faults, truncate, private", touches, touches,
		     truncates);
		end(&scene);
	}
}

static void faults_page_out_and_fork(void **state)
{
	struct scene scene;

	begin(&scene);
	map(&scene, NULL, MAP_PRIVATE | MAP_ANONYMOUS);
	MEET(&scene, "writers, page-out, swapoff, fork", owns, owns, pages_out, swaps_off, forks);
	end(&scene);
}

static void pins_fork_and_page_out(void **state)
{
	struct scene scene;

	begin(&scene);
	map(&scene, NULL, MAP_PRIVATE | MAP_ANONYMOUS);
	MEET(&scene, "pins, page-out, fork", pins, pins, pages_out, forks);
	end(&scene);
}

static void faults_and_dontneed(void **state)
{
	struct scene scene;

	begin(&scene);
	map(&scene, NULL, MAP_PRIVATE | MAP_ANONYMOUS);
	MEET(&scene, "faults, MADV_DONTNEED, page-out", touches, touches, discards, pages_out);
	end(&scene);
}

static void faults_mremap_and_fork(void **state)
{
	struct scene scene;

	begin(&scene);
	map(&scene, NULL, MAP_PRIVATE | MAP_ANONYMOUS);
	MEET(&scene, "faults, mremap, fork", touches_both, touches_both, moves, forks);
	end(&scene);
}

/* G2, G4. A child is reaped while it is read: what it reads is what was there, or a bus error. */
static void reads_victim(struct role *role)
{
	struct scene *scene = role->scene;
	struct mm_struct *mm = NULL;
	enum mm_fault fault;
	uint64_t word = 0;
	unsigned long page;

	while ((mm = mm_context_next(scene->ctx, mm)) != NULL) {
		page = draw(role, PAGES);
		fault = mm_read(mm, AT(page), &word, sizeof(word), NULL);
		/* What was read while the mark came is not to be believed. */
		if (fault == MM_FAULT_OK && !mm_flag_is_set(mm, MMF_UNSTABLE))
			expect(scene, word >> 48 == page + 1);
		else
			expect(scene, fault == MM_FAULT_OK || fault == MM_FAULT_BUS);
	}
}

static void forks_a_victim(struct role *role)
{
	struct mm_struct *child;

	if (mm_fork(role->scene->mm, &child)) {
		expect(role->scene, false);
		return;
	}
	sched_yield();
	expect(role->scene, mm_oom_reap(child) != -EINVAL);
	sched_yield();
	mmput(child);
}

static void faults_and_reaper(void **state)
{
	struct role builder = { .who = 9 };
	struct scene scene;

	begin(&scene);
	map(&scene, NULL, MAP_PRIVATE | MAP_ANONYMOUS);
	for (unsigned long i = 0; i < PAGES; i++)
		assert_int_equal(write_at(scene.mm, AT(i), word_for(&builder, i)), MM_FAULT_OK);
	MEET(&scene, "reads, reaper", reads_victim, reads_victim, forks_a_victim, pages_out);
	end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_and_truncate), cmocka_unit_test(faults_page_out_and_fork),
		cmocka_unit_test(pins_fork_and_page_out), cmocka_unit_test(faults_and_dontneed),
		cmocka_unit_test(faults_mremap_and_fork), cmocka_unit_test(faults_and_reaper),
	};

	return cmocka_run_group_tests_name("page_pairs", tests, NULL, NULL);
}
