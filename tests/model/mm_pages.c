/* SPDX-License-Identifier: MIT */
/*
 * A5, promises 1 and 2. Random calls, and beside them the most naive of address
 * spaces: an array with an entry for each page. After each call the mappings, cut into
 * pages, are that array, and the counters are its sums; every fifth call runs out of memory
 * somewhere, and then nothing has changed.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <samara/mm.h>

#include "support/seed.h"

#define FIXED_SEED 20261120u
#define PAGE 4096UL
#define START 0x200000000UL
#define PAGES 96UL
#define CALLS 20000
#define WATCHED                                                                                              \
	(MM_VM_READ | MM_VM_WRITE | MM_VM_EXEC | MM_VM_DONTDUMP | MM_VM_DONTCOPY | MM_VM_LOCKED |            \
	 MM_VM_SHARED)

struct page {
	bool mapped;
	unsigned long flags;	/* WATCHED */
};

struct naive {
	struct page page[PAGES];
};

struct run {
	struct mm_context *ctx;
	struct mm_struct *mm;
	struct naive naive;
	uint64_t random;
	unsigned long refused;
};

static unsigned long draw(struct run *run, unsigned long below)
{
	run->random ^= run->random >> 12;
	run->random ^= run->random << 25;
	run->random ^= run->random >> 27;
	return ((run->random * 2685821657736338717ull) >> 16) % below;
}

static unsigned long flags_of(unsigned long prot)
{
	return (prot & PROT_READ ? MM_VM_READ : 0) | (prot & PROT_WRITE ? MM_VM_WRITE : 0) |
	       (prot & PROT_EXEC ? MM_VM_EXEC : 0);
}

/* The calls, each on the naive array as it is meant; all return what the library must. */

static int naive_map(struct naive *n, unsigned long at, unsigned long count, unsigned long flags)
{
	for (unsigned long i = at; i < at + count; i++)
		n->page[i] = (struct page){ true, flags };
	return 0;
}

static int naive_unmap(struct naive *n, unsigned long at, unsigned long count)
{
	for (unsigned long i = at; i < at + count; i++)
		n->page[i] = (struct page){ false, 0 };
	return 0;
}

/* Up to the first hole; @holes_too: the holes are passed over, and reported all the same. */
static int naive_change(struct naive *n, unsigned long at, unsigned long count, unsigned long clear,
			unsigned long set, bool holes_too)
{
	int err = 0;

	for (unsigned long i = at; i < at + count; i++) {
		if (n->page[i].mapped)
			n->page[i].flags = (n->page[i].flags & ~clear) | set;
		else
			err = -ENOMEM;
		if (err && !holes_too)
			break;
	}
	return err;
}

/* Several mappings move as they are, holes between them included: those are holes there only if they were. */
static int naive_move(struct naive *n, unsigned long from, unsigned long count, unsigned long to)
{
	struct naive before = *n;

	if (!n->page[from].mapped)
		return -EFAULT;
	for (unsigned long i = 0; i < count; i++) {
		if (!before.page[from + i].mapped)
			continue;
		n->page[to + i] = before.page[from + i];
		n->page[from + i] = (struct page){ false, 0 };
	}
	return 0;
}

static int library_map(struct run *run, unsigned long at, unsigned long count, unsigned long prot,
		       bool shared)
{
	struct mm_mmap_args args = {.addr = START + at * PAGE,
				    .len = count * PAGE,
				    .prot = prot,
				    .flags = MAP_ANONYMOUS | MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE)};
	unsigned long out;

	return mm_mmap(run->mm, &args, &out);
}

static int library_move(struct run *run, unsigned long from, unsigned long count, unsigned long to)
{
	struct mm_mremap_args args = {.addr = START + from * PAGE,
				      .old_len = count * PAGE,
				      .new_len = count * PAGE,
				      .flags = MREMAP_MAYMOVE | MREMAP_FIXED,
				      .new_addr = START + to * PAGE};
	unsigned long out;

	return mm_mremap(run->mm, &args, &out);
}

/* Comparing ---------------------------------------------------------------- */

static int spread(void *arg, const struct mm_vma_info *vma)
{
	struct naive *seen = arg;
	unsigned long at;

	for (at = (vma->start - START) / PAGE; at < (vma->end - START) / PAGE && at < PAGES; at++)
		seen->page[at] = (struct page){ true, vma->flags & WATCHED };
	return 0;
}

/* The first page that differs, or PAGES. */
static unsigned long first_difference(struct mm_struct *mm, const struct naive *wanted, struct naive *seen)
{
	unsigned long i;

	memset(seen, 0, sizeof(*seen));
	mm_for_each_vma(mm, spread, seen);
	for (i = 0; i < PAGES; i++)
		if (seen->page[i].mapped != wanted->page[i].mapped ||
		    seen->page[i].flags != wanted->page[i].flags)
			break;
	return i;
}

static bool same_pages(struct run *run)
{
	struct naive seen;
	unsigned long i = first_difference(run->mm, &run->naive, &seen);

	if (i < PAGES)
		printf("page %lu: mapped %d, flags %lx; wanted %d, %lx\n", i, seen.page[i].mapped,
		       seen.page[i].flags, run->naive.page[i].mapped, run->naive.page[i].flags);
	return i == PAGES;
}

static bool same_sums(struct run *run)
{
	struct mm_counters c;
	unsigned long total = 0, data = 0, exec = 0, locked = 0, i;

	for (i = 0; i < PAGES; i++) {
		unsigned long f = run->naive.page[i].flags;

		total += run->naive.page[i].mapped;
		data += (f & (MM_VM_WRITE | MM_VM_SHARED)) == MM_VM_WRITE;
		exec += (f & (MM_VM_EXEC | MM_VM_WRITE)) == MM_VM_EXEC;
		locked += (f & MM_VM_LOCKED) != 0;
	}
	mm_read_counters(run->mm, &c);
	if (c.total_vm == total && c.data_vm == data && c.exec_vm == exec && c.locked_vm == locked)
		return true;
	printf("total %lu, data %lu, exec %lu, locked %lu; wanted %lu, %lu, %lu, %lu\n", c.total_vm,
	       c.data_vm, c.exec_vm, c.locked_vm, total, data, exec, locked);
	return false;
}

/* One call ------------------------------------------------------------------ */

struct call {
	unsigned int kind;
	unsigned long at, count, to, prot;
	bool shared;
};

static int on_library(struct run *run, const struct call *c)
{
	unsigned long addr = START + c->at * PAGE, len = c->count * PAGE;

	switch (c->kind) {
	case 0:
		return library_map(run, c->at, c->count, c->prot, c->shared);
	case 1:
		return mm_munmap(run->mm, addr, len);
	case 2:
		return mm_mprotect(run->mm, addr, len, c->prot);
	case 3:
		return mm_madvise(run->mm, addr, len, MADV_DONTDUMP);
	case 4:
		return mm_madvise(run->mm, addr, len, MADV_DODUMP);
	case 5:
		return mm_mlock(run->mm, addr, len, MLOCK_ONFAULT);
	case 6:
		return mm_munlock(run->mm, addr, len);
	case 7:
		return library_move(run, c->at, c->count, c->to);
	default:
		mm_fault(run->mm, addr, MM_WRITE);
		return 0;
	}
}

static int on_naive(struct naive *n, const struct call *c)
{
	const unsigned long access = MM_VM_READ | MM_VM_WRITE | MM_VM_EXEC;

	switch (c->kind) {
	case 0:
		return naive_map(n, c->at, c->count, flags_of(c->prot) | (c->shared ? MM_VM_SHARED : 0));
	case 1:
		return naive_unmap(n, c->at, c->count);
	case 2:
		return naive_change(n, c->at, c->count, access, flags_of(c->prot), false);
	case 3:
		return naive_change(n, c->at, c->count, 0, MM_VM_DONTDUMP, true);
	case 4:
		return naive_change(n, c->at, c->count, MM_VM_DONTDUMP, 0, true);
	case 5:
		return naive_change(n, c->at, c->count, 0, MM_VM_LOCKED, false);
	case 6:
		return naive_change(n, c->at, c->count, MM_VM_LOCKED, 0, false);
	case 7:
		return naive_move(n, c->at, c->count, c->to);
	default:
		return 0;
	}
}

static void draw_call(struct run *run, struct call *c)
{
	static const unsigned long prot[] = {PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE,
					     PROT_READ | PROT_EXEC};

	c->kind = (unsigned int)draw(run, 10);
	c->at = draw(run, PAGES - 16);
	c->count = 1 + draw(run, 12);
	c->prot = prot[draw(run, 4)];
	c->shared = draw(run, 6) == 0;
	/* Source and destination must not overlap. */
	do
		c->to = draw(run, PAGES - 16);
	while (c->to < c->at + c->count && c->at < c->to + c->count);
}

/* Want of memory is told from a hole by what the array says, and by whether an allocation failed. */
static void one_call(struct run *run, int number)
{
	struct platform *pf = mm_context_platform(run->ctx);
	struct naive wanted = run->naive, seen;
	struct call c;
	int err, want;

	draw_call(run, &c);
	if (draw(run, 5) == 0)
		platform_fail_nth(pf, (long)(1 + draw(run, 12)));
	err = on_library(run, &c);
	platform_fail_nth(pf, 0);
	want = on_naive(&wanted, &c);
	if (err == want && first_difference(run->mm, &wanted, &seen) == PAGES) {
		run->naive = wanted;
	} else {
		/* Memory ran out, perhaps before a hole would have been met. Advice may say EAGAIN. */
		assert_true(err == -ENOMEM || (err == -EAGAIN && (c.kind == 3 || c.kind == 4)));
		run->refused++;
	}
	if (!same_pages(run) || !same_sums(run) || mm_validate(run->mm)) {
		printf("call %d: kind %u at %lu, %lu pages, to %lu, protection %lx, result %d\n", number,
		       c.kind, c.at, c.count, c.to, c.prot, err);
		fail();
	}
}

static void run_seed(uint64_t seed)
{
	struct run run = { .random = seed * 2 + 1 };
	int i;

	printf("# seed %llu\n", (unsigned long long)seed);
	assert_int_equal(mm_context_create(NULL, &run.ctx), 0);
	assert_int_equal(mm_create(run.ctx, NULL, &run.mm), 0);
	for (i = 0; i < CALLS; i++)
		one_call(&run, i);
	printf("# %d calls, %lu without memory\n", CALLS, run.refused);
	assert_true(run.refused > 0);
	mm_put(run.mm);
	mm_context_destroy(run.ctx);
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
