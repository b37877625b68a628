/* SPDX-License-Identifier: MIT */
/*
 * Row E5's page-out, promise 2. Threads that write, read, fork, unmap and truncate with a fraction of the
 * frames that they touch: each allocation may have to take pages from any of the others, and none waits for
 * another for ever.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/mm.h"
#include "mmu/mmu.h"
#include "support/seed.h"

#define FIXED_SEED 20261127u
#define AT(page) (0x200000000UL + (unsigned long)(page) * PAGE_SIZE)

enum { THREADS = 4, PAGES = 96, FRAMES = 160, ROUNDS = 60, TOLD = 16 };

struct scene {
	struct mm_context *ctx;
	struct vm_file *file;	/* everybody maps it, and has a byte of each page */
	uint64_t seed;
	atomic_ulong wrong, forks, starved, writes;
	atomic_uint number;
	char told[TOLD][160];	/* the first that were wrong */
};

/* One thread, and what it plays with. */
struct player {
	struct scene *scene;
	struct mm_struct *mm;
	unsigned int number;
	int round;
	uint64_t random;
	unsigned char wrote[PAGES];	/* to each page of its own, which nobody else changes */
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 2685821657736338717ull) >> 16;
}

/* It keeps nothing: what is written may change while it is. */
static int write_disk(void *arg, uint64_t index, const void *page)
{
	(void)index;
	(void)page;
	atomic_fetch_add(&((struct scene *)arg)->writes, 1);
	return 0;
}

__attribute__((format(printf, 2, 3))) static void wrong(struct player *player, const char *fmt, ...)
{
	struct scene *scene = player->scene;
	unsigned long nr = atomic_fetch_add(&scene->wrong, 1);
	va_list ap;
	int len;

	if (nr >= TOLD)
		return;
	len = snprintf(scene->told[nr], sizeof(scene->told[nr]), "thread %u, round %d: ", player->number,
		       player->round);
	va_start(ap, fmt);
	vsnprintf(scene->told[nr] + len, sizeof(scene->told[nr]) - (size_t)len, fmt, ap);
	va_end(ap);
}

/* For what can fail for nothing but memory, and may not even for that. */
static void succeeds(struct player *player, const char *call, int err)
{
	if (err)
		wrong(player, "%s gives %d", call, err);
}

static bool new_mm(struct player *player)
{
	struct mm_mmap_args args = { .addr = AT(0), .len = PAGES * PAGE_SIZE, .prot = PROT_READ | PROT_WRITE,
				     .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED };
	unsigned long at;

	if (mm_create(player->scene->ctx, NULL, &player->mm))
		return false;
	succeeds(player, "mmap of private memory", mm_mmap(player->mm, &args, &at));
	args.addr = AT(1000);
	args.flags = MAP_SHARED | MAP_FIXED;
	args.file = player->scene->file;
	succeeds(player, "mmap of the file", mm_mmap(player->mm, &args, &at));
	return true;
}

/* Whether there was no memory; anything else but success is wrong. */
static bool starves(struct player *player, enum mm_fault fault, const char *call, unsigned long page)
{
	if (fault == MM_FAULT_OOM)
		atomic_fetch_add(&player->scene->starved, 1);
	else if (fault != MM_FAULT_OK)
		wrong(player, "%s of page %lu ends with fault %d", call, page, (int)fault);
	return fault != MM_FAULT_OK;
}

/* Read one page of the player's own, here or in a child. */
static void look(struct player *player, struct mm_struct *mm, const char *call, unsigned long page)
{
	struct mm_page_info info = { 0 };
	unsigned char byte;

	if (starves(player, mm_read(mm, AT(page), &byte, 1, NULL), call, page) || byte == player->wrote[page])
		return;
	mm_page_info(mm, AT(page), &info);
	wrong(player, "%s of page %lu gives %u, not %u (frame %lu%s%s%s%s)", call, page, byte,
	      player->wrote[page], info.frame, info.zero ? ", zeroes" : "", info.writable ? ", writable" : "",
	      info.dirty ? ", dirty" : "", info.swapped ? ", gone again" : "");
}

static void touch(struct player *player)
{
	unsigned long i = next_random(&player->random) % PAGES;
	unsigned char byte = (unsigned char)(1 + next_random(&player->random) % 255);
	struct mm_struct *mm = player->mm;

	if (next_random(&player->random) % 2 == 0)
		look(player, mm, "read", i);
	else if (!starves(player, mm_write(mm, AT(i), &byte, 1, NULL), "write", i))
		player->wrote[i] = byte;
	starves(player, mm_write(mm, AT(1000 + i) + player->number, &byte, 1, NULL), "write to the file", i);
}

static void play(struct player *player)
{
	struct mm_struct *child;

	for (int k = 0; k < 40; k++)
		touch(player);
	if (next_random(&player->random) % 4 || mm_fork(player->mm, &child))
		return;
	atomic_fetch_add(&player->scene->forks, 1);
	for (unsigned long i = 0; i < PAGES; i++)
		look(player, child, "child's read", i);
	mmput(child);
}

/* Between rounds: it forgets half of its own, everybody's file goes, it saves what it sees of that. */
static void disturb(struct player *player)
{
	struct mm_struct *mm = player->mm;

	if (next_random(&player->random) % 8 == 0) {
		succeeds(player, "madvise", mm_madvise(mm, AT(0), PAGES / 2 * PAGE_SIZE, MADV_DONTNEED));
		memset(player->wrote, 0, PAGES / 2);
	}
	if (next_random(&player->random) % 8 == 0)
		succeeds(player, "invalidate",
			 vm_file_invalidate(player->scene->file, 0, PAGES / 2 * PAGE_SIZE));
	if (next_random(&player->random) % 8 == 0)
		succeeds(player, "msync", mm_msync(mm, AT(1000), PAGES * PAGE_SIZE, MS_SYNC));
}

static void *plays(void *arg)
{
	struct scene *scene = arg;
	struct player player = { .scene = scene, .number = atomic_fetch_add(&scene->number, 1) };

	player.random = (scene->seed ^ (player.number + 1) * 0x9e3779b97f4a7c15ul) | 1;
	if (!new_mm(&player))
		return NULL;
	for (player.round = 0; player.round < ROUNDS; player.round++) {
		play(&player);
		disturb(&player);
	}
	succeeds(&player, "validate", mm_validate(player.mm));
	mmput(player.mm);
	return NULL;
}

static void run(uint64_t seed)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = FRAMES, .pressure = MM_PRESSURE_RECLAIM };
	static struct scene scene;
	struct vm_file_info info = { .size = sizeof(info), .readable = true, .writable = true, .sized = true,
				     .bytes = PAGES * PAGE_SIZE, .read_page_arg = &scene, .write_page = write_disk };
	struct platform_stats stats;
	pthread_t thread[THREADS];

	scene = (struct scene){ .seed = seed };
	print_message("# SAMARA_SEED=%llu\n", (unsigned long long)seed);
	assert_int_equal(mm_context_create(&opt, &scene.ctx), 0);
	assert_int_equal(mm_swapon(scene.ctx, 2000), 0);
	assert_int_equal(vm_file_create(scene.ctx, &info, &scene.file), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, plays, &scene), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	print_message("# %lu forks, %lu times no frame, %lu times no memory, %lu pages written back\n",
		      scene.forks, frame_pool_short(scene.ctx->frames), scene.starved, scene.writes);
	for (unsigned long i = 0; i < scene.wrong && i < TOLD; i++)
		print_message("# %s\n", scene.told[i]);
	assert_int_equal(scene.wrong, 0);
	assert_true(frame_pool_short(scene.ctx->frames) > 0 && scene.forks > 0 && scene.writes > 0);
	vm_file_put(scene.file);
	platform_read_stats(scene.ctx->pf, &stats);
	assert_int_equal(stats.frames + stats.tables + stats.vmas + stats.mms + stats.anon_vmas + stats.swap_slots,
			 0);
	mm_context_destroy(scene.ctx);
}

static void fixed_seed(void **state)
{
	(void)state;
	run(FIXED_SEED);
}

static void fresh_seed(void **state)
{
	(void)state;
	run(seed_fresh());
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(fixed_seed), cmocka_unit_test(fresh_seed) };

	return cmocka_run_group_tests_name("pressure", tests, NULL, NULL);
}
