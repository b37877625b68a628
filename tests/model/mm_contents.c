/* SPDX-License-Identifier: MIT */
/*
 * Promises 1 and 2, B9, B10. Random calls on a few address spaces that fork from each other, and beside them the
 * most naive memory: a byte for each page. After each call every page that is there holds that byte, and what is
 * not there is zero; every fourth call runs out of memory somewhere, and then nothing has changed.
 */
#define _GNU_SOURCE
#include "support/world.h"
#include "support/seed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mmu/pageout.h"

#define FIXED_SEED 20261125u
#define NR_PAGES 48UL
#define NR_PROCS 3
#define NR_CELLS 4096
#define CALLS 4000
/* For 144 pages and those that are shared, when four address spaces have their tables. */
#define PRESSED_FRAMES(geometry) (2 + 4 * pt_geometry(geometry)->levels + 12)

struct page_model {
	bool mapped, readable, writable, locked;
	unsigned int cell;	/* of shared memory; 0: private */
	unsigned char value;	/* of private memory */
};

struct proc_model {
	struct page_model page[NR_PAGES];
};

struct model {
	struct proc_model proc[NR_PROCS];
	unsigned char cell[NR_CELLS];
};

struct run {
	struct mm_context *ctx;
	struct mm_struct *mm[NR_PROCS];
	struct model model;
	unsigned int cells;
	uint64_t random;
	unsigned long refused, kinds[16];
	bool pressed;		/* fewer frames than what they touch */
};

static unsigned long draw(struct run *run, unsigned long below)
{
	run->random ^= run->random >> 12;
	run->random ^= run->random << 25;
	run->random ^= run->random >> 27;
	return ((run->random * 2685821657736338717ull) >> 16) % below;
}

enum kind { MAP, UNMAP, PROTECT, WRITE, READ, DONTNEED, PAGEOUT, MOVE, FORK, RECLAIM, LOCK, UNLOCK, NR_KINDS };

struct call {
	enum kind kind;
	unsigned int proc, other;
	unsigned long at, count, to, prot;
	bool shared;
	unsigned char value;
};

/* The naive side: what becomes of memory, and what is returned ---------------------- */

static void naive_map(struct run *run, struct page_model *page, const struct call *c)
{
	for (unsigned long i = c->at; i < c->at + c->count; i++)
		page[i] = (struct page_model){ .mapped = true, .readable = c->prot != PROT_NONE,
					       .writable = c->prot & PROT_WRITE,
					       .cell = c->shared ? run->cells + (unsigned int)(i - c->at) : 0 };
}

static int naive_protect(struct page_model *page, const struct call *c)
{
	for (unsigned long i = c->at; i < c->at + c->count; i++) {
		if (!page[i].mapped)
			return -ENOMEM;
		page[i].readable = c->prot != PROT_NONE;
		page[i].writable = c->prot & PROT_WRITE;
	}
	return 0;
}

static int naive_touch(struct model *m, struct page_model *page, const struct call *c)
{
	if (!page->mapped)
		return MM_FAULT_MAPERR;
	if (c->kind == READ ? !page->readable : !page->writable)
		return MM_FAULT_ACCERR;
	if (c->kind == WRITE)
		*(page->cell ? &m->cell[page->cell] : &page->value) = c->value;
	return MM_FAULT_OK;
}

/* Up to the first page that is locked; holes are passed over, and reported. */
static int naive_discard(struct page_model *page, const struct call *c)
{
	int hole = 0;

	for (unsigned long i = c->at; i < c->at + c->count; i++) {
		if (!page[i].mapped)
			hole = -ENOMEM;
		else if (page[i].locked)
			return -EINVAL;
		else if (c->kind == DONTNEED)
			page[i].value = 0;
	}
	return hole;
}

static int naive_lock(struct page_model *page, const struct call *c)
{
	for (unsigned long i = c->at; i < c->at + c->count; i++) {
		if (!page[i].mapped)
			return -ENOMEM;
		page[i].locked = c->kind == LOCK;
	}
	return 0;
}

static int naive_move(struct page_model *page, const struct call *c)
{
	struct page_model before[NR_PAGES];

	memcpy(before, page, sizeof(before));
	if (!page[c->at].mapped)
		return -EFAULT;
	for (unsigned long i = 0; i < c->count; i++) {
		if (!before[c->at + i].mapped)
			continue;
		page[c->to + i] = before[c->at + i];
		page[c->at + i] = (struct page_model){ 0 };
	}
	return 0;
}

static int on_naive(struct run *run, struct model *m, const struct call *c)
{
	struct page_model *page = m->proc[c->proc].page;

	switch (c->kind) {
	case MAP:
		naive_map(run, page, c);
		return 0;
	case UNMAP:
		memset(&page[c->at], 0, c->count * sizeof(*page));
		return 0;
	case PROTECT:
		return naive_protect(page, c);
	case WRITE:
	case READ:
		return naive_touch(m, &page[c->at], c);
	case DONTNEED:
	case PAGEOUT:
		return naive_discard(page, c);
	case MOVE:
		return naive_move(page, c);
	case LOCK:
	case UNLOCK:
		return naive_lock(page, c);
	case FORK:
		m->proc[c->other] = m->proc[c->proc];
		for (unsigned long i = 0; i < NR_PAGES; i++)
			m->proc[c->other].page[i].locked = false;
		return 0;
	default:
		return 0;
	}
}

/* The library's ---------------------------------------------------------------------- */

static int library_map(struct mm_struct *mm, const struct call *c)
{
	struct mm_mmap_args args = { .addr = AT(c->at), .len = c->count * PAGE_SIZE, .prot = c->prot,
				     .flags = MAP_ANONYMOUS | MAP_FIXED | (c->shared ? MAP_SHARED : MAP_PRIVATE) };
	unsigned long out;

	return mm_mmap(mm, &args, &out);
}

static int library_touch(struct mm_struct *mm, const struct call *c, unsigned char *value)
{
	*value = c->value;
	if (c->kind == WRITE)
		return (int)mm_write(mm, AT(c->at) + 5, value, 1, NULL);
	return (int)mm_read(mm, AT(c->at) + 5, value, 1, NULL);
}

static int library_move(struct mm_struct *mm, const struct call *c)
{
	struct mm_mremap_args args = { .addr = AT(c->at), .old_len = c->count * PAGE_SIZE,
				       .new_len = c->count * PAGE_SIZE,
				       .flags = MREMAP_MAYMOVE | MREMAP_FIXED, .new_addr = AT(c->to) };
	unsigned long out;

	return mm_mremap(mm, &args, &out);
}

static int on_library(struct run *run, const struct call *c, unsigned char *value)
{
	struct mm_struct *mm = run->mm[c->proc], *child;
	unsigned long addr = AT(c->at), len = c->count * PAGE_SIZE;
	int err;

	switch (c->kind) {
	case MAP:
		return library_map(mm, c);
	case UNMAP:
		return mm_munmap(mm, addr, len);
	case PROTECT:
		return mm_mprotect(mm, addr, len, c->prot);
	case WRITE:
	case READ:
		return library_touch(mm, c, value);
	case DONTNEED:
		return mm_madvise(mm, addr, len, MADV_DONTNEED);
	case PAGEOUT:
		return mm_madvise(mm, addr, len, MADV_PAGEOUT);
	case MOVE:
		return library_move(mm, c);
	case LOCK:
		return mm_mlock(mm, addr, len, MLOCK_ONFAULT);
	case UNLOCK:
		return mm_munlock(mm, addr, len);
	case FORK:
		err = mm_fork(mm, &child);
		if (err)
			return err;
		mmput(run->mm[c->other]);
		run->mm[c->other] = child;
		return 0;
	default:
		mm_reclaim(run->ctx, c->count);
		return 0;
	}
}

/* Comparing -------------------------------------------------------------------------- */

static unsigned char value_of(const struct model *m, const struct page_model *page)
{
	return page->cell ? m->cell[page->cell] : page->value;
}

static bool same_page(struct run *run, const struct model *m, unsigned int proc, unsigned long i, bool tell)
{
	const struct page_model *page = &m->proc[proc].page[i];
	struct mm_page_info info = info_of(run->mm[proc], i);
	unsigned char value = 0;
	bool same = true;

	if (info.present) {
		assert_int_equal(mm_peek(run->mm[proc], AT(i) + 5, &value, 1), 0);
		same = page->mapped && value == value_of(m, page);
	} else if (info.swapped) {
		same = page->mapped && !page->cell;
	} else {
		same = page->cell || page->value == 0;
	}
	same = same && (!page->writable ? !info.writable : true);
	if (!same && tell)
		printf("process %u, page %lu: present %d, swapped %d, writable %d, byte %d; mapped %d, byte %d, cell %u, "
		       "writable %d\n", proc, i, info.present, info.swapped, info.writable, value, page->mapped,
		       value_of(m, page), page->cell, page->writable);
	return same;
}

static bool same_memory(struct run *run, const struct model *m, bool tell)
{
	for (unsigned int proc = 0; proc < NR_PROCS; proc++)
		for (unsigned long i = 0; run->mm[proc] && i < NR_PAGES; i++)
			if (!same_page(run, m, proc, i, tell))
				return false;
	return true;
}

static bool mapped_as(struct run *run, const struct model *m, const struct call *c)
{
	struct vm_area_struct *vma;
	bool same = true;

	mmap_read_lock(run->mm[c->proc]);
	for (unsigned long i = 0; i < NR_PAGES && same; i++) {
		const struct page_model *page = &m->proc[c->proc].page[i];

		vma = vma_lookup(run->mm[c->proc], AT(i));
		same = !vma ? !page->mapped :
			      page->mapped && page->writable == !!(vma->vm_flags & VM_WRITE) &&
			      page->readable == !!(vma->vm_flags & VM_READ) &&
			      page->locked == !!(vma->vm_flags & VM_LOCKED);
	}
	mmap_read_unlock(run->mm[c->proc]);
	return same;
}

static void draw_call(struct run *run, struct call *c)
{
	static const unsigned long prot[] = { RW, RW, PROT_READ, PROT_NONE };
	static const enum kind kinds[] = { MAP, MAP, UNMAP, PROTECT, PROTECT, WRITE, WRITE, WRITE, WRITE, WRITE, READ,
					   READ, DONTNEED, PAGEOUT, MOVE, MOVE, FORK, RECLAIM, LOCK, UNLOCK };

	c->kind = kinds[draw(run, sizeof(kinds) / sizeof(kinds[0]))];
	do
		c->proc = (unsigned int)draw(run, NR_PROCS);
	while (!run->mm[c->proc]);
	c->other = (c->proc + 1 + (unsigned int)draw(run, NR_PROCS - 1)) % NR_PROCS;
	c->at = draw(run, NR_PAGES - 12);
	c->count = 1 + draw(run, 10);
	c->prot = prot[draw(run, 4)];
	c->shared = draw(run, 4) == 0;
	c->value = (unsigned char)(1 + draw(run, 255));
	do
		c->to = draw(run, NR_PAGES - 12);
	while (c->to < c->at + c->count && c->at < c->to + c->count);
}

/* Nothing is locked, since that stays; nobody asks for room, and more is touched than taken away. */
static void press(struct run *run, struct call *c)
{
	if (c->kind == LOCK)
		c->kind = UNLOCK;
	if (c->kind == PAGEOUT || c->kind == RECLAIM || ((c->kind == MAP || c->kind == UNMAP) && draw(run, 4)))
		c->kind = WRITE;
}

static bool is_want_of_memory(const struct call *c, int result)
{
	return c->kind == WRITE || c->kind == READ ? result == MM_FAULT_OOM : result == -ENOMEM;
}

static void one_call(struct run *run, int number)
{
	static struct model wanted;
	struct platform *pf = mm_context_platform(run->ctx);
	unsigned char value = 0;
	bool starved = draw(run, 4) == 0, taken;
	struct call c;
	int result, want;

	draw_call(run, &c);
	if (run->pressed)
		press(run, &c);
	run->kinds[c.kind]++;
	if (run->cells + 16 >= NR_CELLS)
		c.shared = false;
	wanted = run->model;
	want = on_naive(run, &wanted, &c);
	if (starved)
		platform_fail_nth(pf, (long)(1 + draw(run, 24)));
	result = on_library(run, &c, &value);
	platform_fail_nth(pf, 0);
	taken = result == want && mapped_as(run, &wanted, &c) && same_memory(run, &wanted, false);
	if (taken && c.kind == READ && !result)
		assert_int_equal(value, value_of(&wanted, &wanted.proc[c.proc].page[c.at]));
	if (taken) {
		run->model = wanted;
		run->cells += c.kind == MAP && c.shared ? (unsigned int)c.count : 0;
	} else if (!starved || !is_want_of_memory(&c, result) || !same_memory(run, &run->model, true) ||
		   !mapped_as(run, &run->model, &c)) {
		same_memory(run, &wanted, true);
		printf("call %d: kind %d of process %u at %lu, %lu pages, to %lu, protection %lx, shared %d, other %u: "
		       "%d, wanted %d, starved %d\n", number, c.kind, c.proc, c.at, c.count, c.to, c.prot, c.shared,
		       c.other, result, want, starved);
		fail();
	} else {
		run->refused++;
	}
	if (number % 16 == 0)
		valid(run->ctx, run->mm[0], run->mm[1], run->mm[2]);
}

/* All that may be read, wherever it is: the pages that are away come back for it. */
static void read_all(struct run *run)
{
	unsigned char value;

	for (unsigned int proc = 0; proc < NR_PROCS; proc++)
		for (unsigned long i = 0; i < NR_PAGES; i++) {
			const struct page_model *page = &run->model.proc[proc].page[i];

			if (!page->readable)
				continue;
			assert_int_equal(mm_read(run->mm[proc], AT(i) + 5, &value, 1, NULL), MM_FAULT_OK);
			assert_int_equal(value, value_of(&run->model, page));
		}
}

/* @frames: 1024 are enough for all that can be touched; with less, pages make room for each other. */
static void run_seed(uint64_t seed, enum mm_geometry geometry, unsigned long frames)
{
	struct mm_context_options opt = { .size = sizeof(opt), .frames = frames,
					  .pressure = frames < 1024 ? MM_PRESSURE_RECLAIM : MM_PRESSURE_FAIL };
	struct mm_options mm_opt = { .size = sizeof(mm_opt), .geometry = geometry, .task_size = 1UL << 38,
				     .cap_ipc_lock = true };
	struct run *run = calloc(1, sizeof(*run));
	struct mm_struct *first;
	int i;

	printf("# seed %llu\n", (unsigned long long)seed);
	run->random = seed * 2 + 1;
	run->cells = 1;
	run->pressed = frames < 1024;
	assert_int_equal(mm_context_create(&opt, &run->ctx), 0);
	assert_int_equal(mm_swapon(run->ctx, run->pressed ? 1000 : 100), 0);
	assert_int_equal(mm_create(run->ctx, &mm_opt, &first), 0);
	run->mm[0] = first;
	assert_int_equal(mm_fork(first, &run->mm[1]), 0);
	assert_int_equal(mm_fork(first, &run->mm[2]), 0);
	for (i = 0; i < CALLS; i++) {
		one_call(run, i);
		if (run->pressed && i % 64 == 0)
			read_all(run);
	}
	printf("# %d calls, %lu without memory, %lu forks, %lu page-outs\n", CALLS, run->refused, run->kinds[FORK],
	       run->kinds[PAGEOUT] + run->kinds[RECLAIM]);
	assert_true(run->refused > 0);
	if (run->pressed)
		printf("# %lu times there was no frame\n", frame_pool_short(run->ctx->frames));
	assert_int_equal(run->pressed, frame_pool_short(run->ctx->frames) > 0);
	for (i = 0; i < NR_PROCS; i++)
		mmput(run->mm[i]);
	pf_rcu_barrier();
	assert_int_equal(frame_pool_used(run->ctx->frames), 0);
	assert_int_equal(swap_area_used(run->ctx->swap), 0);
	mm_context_destroy(run->ctx);
	free(run);
}

static void fixed_seed(void **state)
{
	(void)state;
	run_seed(FIXED_SEED, MM_X86_64, 1024);
}

static void fresh_seed(void **state)
{
	uint64_t seed = seed_fresh();

	(void)state;
	for (int i = 0; i < 5; i++)
		run_seed(seed + (uint64_t)i, world_geometries[i], 1024);
}

/* Programs run to their end with a fraction of the frames that they touch, on each kind of hardware. */
static void pressed(void **state)
{
	uint64_t seed = seed_fresh();

	(void)state;
	run_seed(FIXED_SEED, MM_X86_64, PRESSED_FRAMES(MM_X86_64));
	for (int i = 0; i < 5; i++)
		run_seed(seed + (uint64_t)i, world_geometries[i], PRESSED_FRAMES(world_geometries[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_seed),
		cmocka_unit_test(fresh_seed),
		cmocka_unit_test(pressed),
	};

	return cmocka_run_group_tests_name("mm_contents", tests, NULL, NULL);
}
