/* SPDX-License-Identifier: MIT */
/*
 * Short sequences of calls that random ones seldom make by themselves: what a rule needs
 * to be seen is set up first, and what would break it comes last. Sizes, order and
 * the last step vary.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "diff_parts.h"
#include "platform/platform.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#define GUARD_PAGES 256UL	/* below a stack */
#define PG(n) ((unsigned long)(n) * DIFF_PAGE)

static unsigned long below(struct diff_rng *rng, unsigned long n)
{
	return diff_random(rng) % n;
}

static struct diff_op *add(struct diff_plan *plan, uint8_t kind, unsigned long a, unsigned long b, unsigned long c)
{
	struct diff_op *op;

	pf_assert(plan->count < DIFF_PLAN_MAX);
	op = &plan->op[plan->count++];
	memset(op, 0, sizeof(*op));
	op->kind = kind;
	op->proc = plan->proc;
	op->arg[0] = a;
	op->arg[1] = b;
	op->arg[2] = c;
	return op;
}

/* Anonymous, private, at a fixed place. */
static struct diff_op *add_map(struct diff_plan *plan, unsigned long addr, unsigned long len, unsigned long prot,
			       unsigned long flags)
{
	struct diff_op *op = add(plan, DIFF_MMAP, addr, len, prot);

	op->arg[3] = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags;
	return op;
}

static void add_touch(struct diff_rng *rng, struct diff_plan *plan, unsigned long addr)
{
	if (below(rng, 8))
		add(plan, DIFF_WRITE, addr + 16 + below(rng, 64), below(rng, 256), 0);
	else
		add(plan, DIFF_READ, addr, 0, 0);
}

/* A place in the window with room for @pages. */
static unsigned long place(struct diff_rng *rng, unsigned long pages)
{
	return DIFF_WINDOW + PG(below(rng, DIFF_WINDOW_PAGES - pages));
}

/*
 *   |LLL|   |RRR|   both written to, or one, in either order; then the middle is filled, or made equal
 */
static void fill_the_middle(struct diff_rng *rng, struct diff_plan *plan)
{
	unsigned long left = 1 + below(rng, 3), middle = 1 + below(rng, 3), right = 1 + below(rng, 3);
	unsigned long at = place(rng, 10), rw = PROT_READ | PROT_WRITE, flags = below(rng, 4) ? 0 : MAP_NORESERVE;
	unsigned long hole = at + PG(left), upper = hole + PG(middle);
	bool by_protection = below(rng, 2), upper_first = below(rng, 2);

	if (below(rng, 2)) {
		add_map(plan, at, PG(left + middle + right), rw, flags);
		if (by_protection)
			add(plan, DIFF_MPROTECT, hole, PG(middle), PROT_READ);
		else
			add(plan, DIFF_MUNMAP, hole, PG(middle), 0);
	} else {
		add_map(plan, at, PG(left), rw, flags);
		add_map(plan, upper, PG(right), rw, flags);
		if (by_protection)
			add_map(plan, hole, PG(middle), below(rng, 2) ? PROT_READ : PROT_NONE, flags);
	}
	if (below(rng, 6))
		add_touch(rng, plan, upper_first ? upper : at);
	if (below(rng, 6))
		add_touch(rng, plan, upper_first ? at : upper);
	if (by_protection)
		add(plan, DIFF_MPROTECT, hole, PG(middle), rw);
	else
		add_map(plan, hole, PG(middle), rw, flags);
	if (below(rng, 3) == 0)
		add(plan, DIFF_FORK, 0, 0, 0);
}

/* A stack, something below it at a distance that counts, and touches between. */
static void grow_a_stack(struct diff_rng *rng, struct diff_plan *plan)
{
	unsigned long at = DIFF_WINDOW + PG(8 + below(rng, DIFF_WINDOW_PAGES - 10));
	unsigned long depth = 1 + below(rng, 8), gap, size = 1 + below(rng, 2);
	unsigned long prots[] = { PROT_NONE, PROT_READ | PROT_WRITE, PROT_READ, PROT_READ | PROT_WRITE };
	struct diff_op *op;

	gap = below(rng, 2) ? depth + below(rng, 3) : depth + GUARD_PAGES + below(rng, 3) - 1;
	/* What was there would be in between. */
	add(plan, DIFF_MUNMAP, at - PG(gap + 1), PG(gap + 1), 0);
	add_map(plan, at, PG(size), PROT_READ | PROT_WRITE, MAP_GROWSDOWN | (below(rng, 4) ? 0 : MAP_NORESERVE));
	if (below(rng, 8))
		add_map(plan, at - PG(gap) - PG(1), PG(1), prots[below(rng, 4)], below(rng, 4) ? 0 : MAP_GROWSDOWN);
	if (below(rng, 4) == 0) {
		op = add(plan, DIFF_RLIMIT, MM_RLIMIT_STACK, PG(size + depth) + below(rng, 3) * DIFF_PAGE - DIFF_PAGE, 0);
		op->arg[1] += below(rng, 2);
	}
	if (below(rng, 4) == 0)
		add(plan, DIFF_MLOCK, at, PG(size), below(rng, 2));
	add_touch(rng, plan, at - PG(depth) + below(rng, DIFF_PAGE));
	add_touch(rng, plan, at - PG(below(rng, depth + 2)));
	if (below(rng, 4) == 0)
		add(plan, DIFF_RLIMIT, MM_RLIMIT_STACK, 8UL << 20, 0);
}

/* The heap, and what lies just below and above it. */
static void around_the_heap(struct diff_rng *rng, const struct diff *d, struct diff_plan *plan)
{
	unsigned long start = d->layout.start_brk, base = (start + DIFF_PAGE - 1) & -DIFF_PAGE;
	unsigned long pages = 1 + below(rng, 6), rw = PROT_READ | PROT_WRITE;

	if (below(rng, 4) == 0)
		add(plan, DIFF_BRK, start, 0, 0);
	if (below(rng, 2))
		add_map(plan, base - PG(2), PG(2), rw, 0);
	if (below(rng, 2))
		add_map(plan, base + PG(pages + below(rng, 4)), PG(1), rw, below(rng, 3) ? 0 : MAP_GROWSDOWN);
	add(plan, DIFF_BRK, base + PG(below(rng, pages + 1)), 0, 0);
	if (below(rng, 2))
		add_touch(rng, plan, base);
	add(plan, DIFF_BRK, base + PG(pages), 0, 0);
	if (below(rng, 3) == 0)
		add(plan, DIFF_MUNMAP, base + PG(below(rng, pages)), PG(1 + below(rng, 2)), 0);
	if (below(rng, 2))
		add(plan, DIFF_BRK, base + PG(below(rng, pages + 3)), 0, 0);
	/* The way is free again for others. */
	if (below(rng, 2))
		add(plan, DIFF_MUNMAP, base + PG(pages), PG(8), 0);
}

/* Just below, at, and beyond what a limit allows. */
static void reach_a_limit(struct diff_rng *rng, const struct diff *d, struct diff_plan *plan)
{
	const struct diff_map *map = &d->proc[plan->proc].map;
	unsigned long used[MM_NR_RLIMITS] = { 0 }, at = place(rng, 12), room = 1 + below(rng, 4), which, pages;
	int i;

	for (i = 0; i < map->count; i++) {
		const struct diff_vma *v = &map->vma[i];

		pages = (v->end - v->start) / DIFF_PAGE;
		used[MM_RLIMIT_AS] += pages;
		used[MM_RLIMIT_MEMLOCK] += v->flags & MM_VM_LOCKED ? pages : 0;
		if ((v->flags & (MM_VM_WRITE | MM_VM_SHARED | MM_VM_GROWSDOWN)) == MM_VM_WRITE)
			used[MM_RLIMIT_DATA] += pages;
	}
	which = (unsigned long[]){ MM_RLIMIT_AS, MM_RLIMIT_DATA, MM_RLIMIT_MEMLOCK }[below(rng, 3)];
	add(plan, DIFF_MUNMAP, at, PG(8), 0);
	add(plan, DIFF_RLIMIT, which, PG(used[which] + room) + below(rng, 2), 0);
	pages = room + below(rng, 3) - 1;
	if (which == MM_RLIMIT_MEMLOCK) {
		add_map(plan, at, PG(8), PROT_READ | PROT_WRITE, 0);
		add(plan, DIFF_MLOCK, at, PG(pages), below(rng, 2));
	} else if (below(rng, 2)) {
		add_map(plan, at, PG(pages), PROT_READ | PROT_WRITE, 0);
	} else {
		add_map(plan, at, PG(pages), PROT_READ, 0);
		add(plan, DIFF_MPROTECT, at, PG(pages), PROT_READ | PROT_WRITE);
	}
	add(plan, DIFF_RLIMIT, which, MM_RLIM_INFINITY, 0);
}

/* Locks at exactly what is allowed, where a part is locked already, or all is asked for. */
static void lock_at_the_limit(struct diff_rng *rng, const struct diff *d, struct diff_plan *plan)
{
	const struct diff_map *map = &d->proc[plan->proc].map;
	unsigned long used = 0, locked = 0, at = place(rng, 12), part = 1 + below(rng, 4);
	int i;

	for (i = 0; i < map->count; i++) {
		used += (map->vma[i].end - map->vma[i].start) / DIFF_PAGE;
		locked += map->vma[i].flags & MM_VM_LOCKED ? (map->vma[i].end - map->vma[i].start) / DIFF_PAGE : 0;
	}
	if (below(rng, 3) == 0) {
		add(plan, DIFF_MUNMAP, at, PG(12), 0);
		add_map(plan, at, PG(part), PROT_READ, 0);
		add(plan, DIFF_MLOCK, at, PG(part), below(rng, 2));
		add(plan, DIFF_RLIMIT, MM_RLIMIT_MEMLOCK, PG(locked + part + 2), 0);
		/* In place or elsewhere: the limit is the same. */
		add(plan, DIFF_MREMAP, at, PG(part), PG(part + 1 + below(rng, 3)))->arg[3] = below(rng, 2);
	} else if (below(rng, 2)) {
		add(plan, DIFF_RLIMIT, MM_RLIMIT_MEMLOCK, PG(used + below(rng, 3)) - DIFF_PAGE, 0);
		add(plan, DIFF_MLOCKALL, 1 + 4 * below(rng, 2), 0, 0);
		add(plan, DIFF_MUNLOCKALL, 0, 0, 0);
	} else {
		add(plan, DIFF_MUNMAP, at, PG(8), 0);
		add_map(plan, at, PG(8), PROT_READ | PROT_WRITE, 0);
		add(plan, DIFF_MLOCK, at + PG(below(rng, 3)), PG(part), 1);
		add(plan, DIFF_RLIMIT, MM_RLIMIT_MEMLOCK, PG(locked + 6 + below(rng, 3)) - DIFF_PAGE, 0);
		add(plan, DIFF_MLOCK, at, PG(6), below(rng, 2));
	}
	add(plan, DIFF_RLIMIT, MM_RLIMIT_MEMLOCK, 8UL << 20, 0);
}

/* What is locked as it is mapped, in each of the ways there are, up to exactly what is allowed. */
static void map_locked_at_the_limit(struct diff_rng *rng, const struct diff *d, struct diff_plan *plan)
{
	const struct diff_map *map = &d->proc[plan->proc].map;
	unsigned long at = place(rng, 8), locked = 0, room = 2 + below(rng, 3), pages = room + below(rng, 3) - 1;
	bool future = below(rng, 2);
	int i;

	for (i = 0; i < map->count; i++)
		if ((map->vma[i].flags & MM_VM_LOCKED) &&
		    (map->vma[i].end <= at || map->vma[i].start >= at + PG(8)))
			locked += (map->vma[i].end - map->vma[i].start) / DIFF_PAGE;
	add(plan, DIFF_MUNMAP, at, PG(8), 0);
	add(plan, DIFF_RLIMIT, MM_RLIMIT_MEMLOCK, PG(locked + room), 0);
	if (future)
		add(plan, DIFF_MLOCKALL, 2, 0, 0);
	if (below(rng, 3)) {
		add_map(plan, at, PG(pages), PROT_READ | PROT_WRITE, future ? 0 : MAP_LOCKED);
	} else {
		add_map(plan, at, PG(1), PROT_READ | PROT_WRITE, MAP_LOCKED);
		add(plan, DIFF_MREMAP, at, PG(1), PG(pages));
	}
	add(plan, DIFF_MUNLOCKALL, 0, 0, 0);
	add(plan, DIFF_RLIMIT, MM_RLIMIT_MEMLOCK, 8UL << 20, 0);
}

/* The heap, and the data of the program that counts with it, up to exactly what is allowed. */
static void heap_at_the_limit(struct diff_rng *rng, const struct diff *d, struct diff_plan *plan)
{
	unsigned long start = d->layout.start_brk, bytes = PG(1 + below(rng, 6)) - below(rng, 2) * 100;

	add(plan, DIFF_MUNMAP, (start + DIFF_PAGE - 1) & -DIFF_PAGE, PG(8), 0);
	add(plan, DIFF_BRK, start, 0, 0);
	add(plan, DIFF_RLIMIT, MM_RLIMIT_DATA, bytes + d->layout.data_size + below(rng, 3) - 1, 0);
	add(plan, DIFF_BRK, start + bytes, 0, 0);
	add(plan, DIFF_RLIMIT, MM_RLIMIT_DATA, MM_RLIM_INFINITY, 0);
}

/*
 * Holes in huge pages of a file: whole ones, and parts of them, seen through the mapping and through a
 * second one.
 */
static void punch_huge_pages(struct diff_rng *rng, struct diff_plan *plan)
{
	unsigned long at = DIFF_HUGE_WINDOW, from = PG(below(rng, 2) ? 0 : below(rng, 512)), i;
	unsigned long len = below(rng, 2) ? DIFF_HUGE_PAGE + PG(below(rng, 512)) : PG(1 + below(rng, 600));

	for (i = 0; i < 2; i++) {
		struct diff_op *op = add(plan, DIFF_MMAP, at + i * 4 * DIFF_HUGE_PAGE, 2 * DIFF_HUGE_PAGE,
					 PROT_READ | PROT_WRITE);

		op->arg[3] = MAP_FIXED | MAP_SHARED;
		op->file = DIFF_HUGE;
	}
	for (i = 0; i < 4; i++)
		add_touch(rng, plan, at + PG(below(rng, 1024)));
	add(plan, DIFF_READ, at + 4 * DIFF_HUGE_PAGE + PG(below(rng, 1024)), 0, 0);
	add(plan, DIFF_MADVISE, at + from, len, MADV_REMOVE);
	add(plan, DIFF_READ, at + from, 0, 0);
	add(plan, DIFF_READ, at + 4 * DIFF_HUGE_PAGE + from + len, 0, 0);
}

/* A file's last pages, and what is mapped beyond them. */
static void past_the_end(struct diff_rng *rng, struct diff_plan *plan)
{
	static const uint8_t touches[] = { DIFF_READ, DIFF_WRITE, DIFF_EXEC };
	static const uint8_t files[] = { DIFF_MEMFD, DIFF_MEMFD_2, DIFF_DISK };
	const unsigned long prots[] = { PROT_READ | PROT_WRITE, PROT_READ, PROT_READ | PROT_WRITE | PROT_EXEC };
	unsigned long at = place(rng, 8), within = below(rng, 3), i, page;
	struct diff_op *op = add(plan, DIFF_MMAP, at, PG(within + 3), prots[below(rng, 3)]);

	op->arg[3] = MAP_FIXED | (below(rng, 2) ? MAP_PRIVATE : MAP_SHARED);
	op->arg[4] = DIFF_FILE_BYTES - PG(within);
	op->file = files[below(rng, 3)];
	for (i = 0; i < 3; i++) {
		page = at + PG(within + below(rng, 3)) - (within ? DIFF_PAGE : 0);
		op = add(plan, touches[below(rng, 3)], page, 0, 0);
		if (op->kind == DIFF_WRITE)
			op->arg[0] += 16 + below(rng, 64);
	}
	if (below(rng, 2))
		add(plan, DIFF_MINCORE, at, PG(within + 3), 0);
}

/* Sealed memory that cannot be written to, for its protection or its key, is discarded or not. */
static void discard_what_is_sealed(struct diff_rng *rng, struct diff_plan *plan)
{
	unsigned long at = place(rng, 8);
	const unsigned long advice[] = { MADV_DONTNEED, MADV_FREE, MADV_DONTFORK, MADV_WIPEONFORK };

	add_map(plan, at, PG(4), below(rng, 4) ? PROT_READ | PROT_WRITE : PROT_READ, 0);
	add(plan, DIFF_PKEY_ALLOC, 0, below(rng, 4), 0);
	/* The key is one of the lowest that are in use. */
	add(plan, DIFF_PKEY_MPROTECT, at, PG(2), PROT_READ | PROT_WRITE)->arg[3] = 1 + below(rng, 2);
	add(plan, DIFF_MSEAL, at, PG(4), 0);
	add(plan, DIFF_MADVISE, at, PG(1 + below(rng, 4)), advice[below(rng, 4)]);
	add(plan, DIFF_MADVISE, at + PG(below(rng, 4)), PG(1), advice[below(rng, 4)]);
}

/* A mapping, written to or not, moves to where it could join another. */
static void move_beside(struct diff_rng *rng, struct diff_plan *plan)
{
	unsigned long a = place(rng, 12), b = place(rng, 12), pages = 1 + below(rng, 3), rw = PROT_READ | PROT_WRITE;
	struct diff_op *op;

	add_map(plan, a, PG(pages), rw, 0);
	add_map(plan, b, PG(2), rw, 0);
	if (below(rng, 2))
		add_touch(rng, plan, a);
	if (below(rng, 2))
		add_touch(rng, plan, b);
	op = add(plan, DIFF_MREMAP, a, PG(pages), PG(pages));
	op->arg[3] = 3 /* MAYMOVE, FIXED */ | (below(rng, 4) ? 0 : 4 /* DONTUNMAP */);
	op->arg[4] = below(rng, 2) ? b + PG(2) : b - PG(pages);
	if (below(rng, 2))
		add_touch(rng, plan, op->arg[4]);
	if (below(rng, 3) == 0)
		add(plan, DIFF_MUNMAP, op->arg[4], PG(1), 0);
}

/*
 * What a child inherits, and what it joins there: halves that were apart at the fork, new neighbours, wiped
 * memory.
 */
static void on_either_side(struct diff_rng *rng, const struct diff *d, struct diff_plan *plan)
{
	unsigned long at = place(rng, 8), rw = PROT_READ | PROT_WRITE;
	bool apart = below(rng, 2), wipe = below(rng, 3) == 0, grow = below(rng, 3) == 0;
	uint8_t child = 0;

	while (child < DIFF_MAX_PROCS && d->proc[child].alive)
		child++;
	if (child == DIFF_MAX_PROCS)
		return;
	add_map(plan, at, PG(4), rw, 0);
	if (below(rng, 4))
		add_touch(rng, plan, at);
	if (apart)
		add(plan, DIFF_MPROTECT, at + PG(2), PG(2), PROT_READ);
	if (wipe)
		add(plan, DIFF_MADVISE, at, PG(4), MADV_WIPEONFORK);
	if (grow) {
		add(plan, DIFF_MUNMAP, at + PG(4), PG(2), 0);
		add_map(plan, at + PG(6), PG(1), rw, 0);
	}
	add(plan, DIFF_FORK, 0, 0, 0);
	if (below(rng, 4))
		plan->proc = child;
	/* It grows until it reaches what was never written to. */
	if (grow) {
		add(plan, DIFF_MREMAP, at, PG(4), PG(6));
		return;
	}
	if (apart)
		add(plan, DIFF_MPROTECT, at + PG(2), PG(2), rw);
	add_map(plan, at + PG(4), PG(2), rw, 0);
	if (wipe)
		add(plan, DIFF_MADVISE, at + PG(4), PG(2), MADV_WIPEONFORK);
	if (below(rng, 2))
		add_touch(rng, plan, at + PG(below(rng, 6)));
	if (below(rng, 2)) {
		plan->proc = child;
		add(plan, DIFF_EXIT, 0, 0, 0);
	}
}

/* What is mapped while all is to be locked, beside what was mapped so. */
static void lock_what_comes(struct diff_rng *rng, struct diff_plan *plan)
{
	unsigned long at = place(rng, 8), prot = below(rng, 4) ? PROT_READ | PROT_WRITE : PROT_READ;
	unsigned long droppable = below(rng, 2) ? 0 : MAP_PRIVATE | 8;

	/* MCL_FUTURE, and MCL_ONFAULT */
	add(plan, DIFF_MLOCKALL, below(rng, 2) ? 2 : 6, 0, 0);
	add_map(plan, at, PG(2), prot, 0)->arg[3] ^= droppable;
	add_map(plan, at + PG(2), PG(2), prot, 0)->arg[3] ^= droppable;
	if (below(rng, 2))
		add(plan, DIFF_MUNLOCKALL, 0, 0, 0);
	add_map(plan, at + PG(4), PG(2), prot, 0)->arg[3] ^= droppable;
	add(plan, DIFF_MUNLOCKALL, 0, 0, 0);
}

/* What may happen to guards while they are there. */
static void meet_guards(struct diff_rng *rng, struct diff_plan *plan, unsigned long at, unsigned long pages)
{
	static const int advice[] = { MADV_DONTNEED, MADV_DONTNEED, MADV_FREE, MADV_COLD, MADV_POPULATE_READ,
				      MADV_POPULATE_WRITE, MADV_REMOVE };
	unsigned long i;

	for (i = 0; i < 3; i++) {
		unsigned long page = at + PG(below(rng, pages));

		switch (below(rng, 4)) {
		case 0:
			add(plan, DIFF_MADVISE, page, PG(pages), (unsigned long)advice[below(rng, 7)]);
			break;
		case 1:
			add(plan, DIFF_MPROTECT, page, PG(1), PROT_READ | PROT_WRITE);
			break;
		default:
			add_touch(rng, plan, page);
		}
	}
}

/* Pages that nobody wants any more, unless they are written to again, and that are then taken. */
static void give_up_pages(struct diff_rng *rng, struct diff_plan *plan)
{
	unsigned long at = place(rng, 8), pages = 1 + below(rng, 4), i;

	add_map(plan, at, PG(pages), PROT_READ | PROT_WRITE, 0);
	for (i = 0; i < 2; i++)
		add_touch(rng, plan, at + PG(below(rng, pages)));
	if (below(rng, 4) == 0)
		add(plan, DIFF_FORK, 0, 0, 0);
	add(plan, DIFF_MADVISE, at, PG(pages), MADV_FREE);
	if (below(rng, 3))
		add_touch(rng, plan, at + PG(below(rng, pages)));
	add(plan, DIFF_MADVISE, at, PG(pages), MADV_PAGEOUT);
	add(plan, DIFF_READ, at + PG(below(rng, pages)), 0, 0);
}

/* Guard pages come and go. A mapping without pages does not know them: there they are taken away at once. */
static void guard_a_range(struct diff_rng *rng, const struct diff *d, struct diff_plan *plan)
{
	const struct diff_map *map = &d->proc[plan->proc].map;
	const struct diff_vma *v = &map->vma[below(rng, (unsigned long)map->count)];
	unsigned long at = v->start, pages = 1 + below(rng, 6);

	if (below(rng, 3) == 0 || v->start < TRACEE_END)
		at = place(rng, 8);
	if (below(rng, 4) == 0)
		at += PG(below(rng, 3));
	if (below(rng, 3) == 0)
		add(plan, DIFF_MLOCK, at, PG(1), 1);
	add(plan, DIFF_MADVISE, at, PG(pages), 102 /* MADV_GUARD_INSTALL */);
	if (!d->no_pages && below(rng, 3))
		meet_guards(rng, plan, at, pages);
	if (!d->no_pages && below(rng, 3) == 0)
		return;
	add(plan, DIFF_MADVISE, at, PG(pages), 103 /* MADV_GUARD_REMOVE */);
}

static void draw_limits(struct diff_rng *rng, const struct diff *d, struct diff_plan *plan)
{
	switch (below(rng, 4)) {
	case 0:
		map_locked_at_the_limit(rng, d, plan);
		break;
	case 1:
		heap_at_the_limit(rng, d, plan);
		break;
	case 2:
		lock_at_the_limit(rng, d, plan);
		break;
	default:
		reach_a_limit(rng, d, plan);
	}
}

void diff_draw_plan(struct diff_rng *rng, const struct diff *d, struct diff_plan *plan)
{
	plan->count = plan->next = 0;
	if (plan->limits && below(rng, 2)) {
		draw_limits(rng, d, plan);
		return;
	}
	if (plan->huge && below(rng, 5) == 0) {
		punch_huge_pages(rng, plan);
		return;
	}
	switch (below(rng, 14)) {
	case 13:
		give_up_pages(rng, plan);
		break;
	case 12:
		past_the_end(rng, plan);
		break;
	case 0:
	case 1:
		fill_the_middle(rng, plan);
		break;
	case 2:
		grow_a_stack(rng, plan);
		break;
	case 3:
		around_the_heap(rng, d, plan);
		break;
	case 4:
		reach_a_limit(rng, d, plan);
		break;
	case 5:
		on_either_side(rng, d, plan);
		break;
	case 8:
		lock_at_the_limit(rng, d, plan);
		break;
	case 9:
		discard_what_is_sealed(rng, plan);
		break;
	case 7:
		guard_a_range(rng, d, plan);
		break;
	case 6:
		lock_what_comes(rng, plan);
		break;
	default:
		move_beside(rng, plan);
	}
}
