/* SPDX-License-Identifier: MIT */
/*
 * Random calls that aim where address spaces break: at the edges of mappings, at
 * neighbours that may merge, at holes of just the size, at limits nearly
 * reached, and at arguments that must be refused.
 *
 * Left out is what would hurt the machine or is decided at the kernel's leisure:
 * poisoning of pages, but for processes that may not, and anything that would
 * populate more than some megabytes.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "diff_parts.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define ROOM (16UL << 20)	/* no mapping is longer, unless it must be refused */
#define MANY_VMAS 40		/* beyond these, mappings are taken away */
#define SMALLEST_TASK (1UL << 38)	/* Sv39 */
#define WINDOW_END (DIFF_WINDOW + DIFF_WINDOW_PAGES * DIFF_PAGE)

/* splitmix64 */
uint64_t diff_random(struct diff_rng *rng)
{
	uint64_t z = (rng->state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static unsigned long below(struct diff_rng *rng, unsigned long n)
{
	return diff_random(rng) % n;
}

static bool chance(struct diff_rng *rng, unsigned int percent)
{
	return below(rng, 100) < percent;
}

/* One of @n values. */
static unsigned long one_of(struct diff_rng *rng, const unsigned long *value, size_t n)
{
	return value[below(rng, n)];
}
#define ONE_OF(rng, ...)                                                        \
	one_of(rng, (const unsigned long[]){ __VA_ARGS__ },                     \
	       sizeof((const unsigned long[]){ __VA_ARGS__ }) / sizeof(unsigned long))

/* What --only names is drawn in every episode. */
void diff_draw_taste(struct diff_rng *rng, uint32_t only, struct diff_taste *taste)
{
	const uint32_t locks = 1u << DIFF_MLOCK | 1u << DIFF_MUNLOCK | 1u << DIFF_MLOCKALL | 1u << DIFF_MUNLOCKALL;
	const uint32_t forks = 1u << DIFF_FORK | 1u << DIFF_EXIT;
	const uint32_t keys = 1u << DIFF_PKEY_MPROTECT | 1u << DIFF_PKEY_ALLOC | 1u << DIFF_PKEY_FREE;

	taste->window = chance(rng, 70);
	taste->fork = chance(rng, 40) || (only & forks);
	taste->seal = chance(rng, 15) || (only & 1u << DIFF_MSEAL);
	taste->keys = chance(rng, 30) || (only & keys);
	taste->limits = chance(rng, 20) || (only & 1u << DIFF_RLIMIT);
	taste->lock = chance(rng, taste->limits ? 70 : 40) || (only & locks);
	taste->huge = chance(rng, 12) && !(only & forks);
	taste->only = only;
	taste->map_count = 0;
	taste->plan.count = taste->plan.next = 0;
	taste->plan.limits = taste->limits;
	taste->plan.huge = false;
}

/* Addresses and lengths --------------------------------------------------- */

/* Any mapping but the process's own pages; NULL when there is none. */
static const struct diff_vma *some_vma(struct diff_rng *rng, const struct diff_map *map)
{
	const struct diff_vma *vma;

	if (map->count < 3)
		return NULL;
	vma = &map->vma[below(rng, (unsigned long)map->count)];
	return vma->start == TRACEE_CODE || vma->start == TRACEE_SCRATCH ? NULL : vma;
}

static unsigned long window_page(struct diff_rng *rng)
{
	return DIFF_WINDOW + below(rng, DIFF_WINDOW_PAGES) * DIFF_PAGE;
}

static unsigned long bad_address(struct diff_rng *rng)
{
	switch (below(rng, 6)) {
	case 0:
		return window_page(rng) + 1 + below(rng, DIFF_PAGE - 1);
	case 1:
		return TRACEE_TASK_SIZE - below(rng, 3) * DIFF_PAGE;
	case 2:
		return -DIFF_PAGE * (1 + below(rng, 3));
	case 3:
		return ~0UL - below(rng, 3);
	case 4:
		return below(rng, 20) * DIFF_PAGE;
	default:
		return 1UL << below(rng, 64);
	}
}

/* An address worth a call: mostly an edge of a mapping, or a page beside it. */
static unsigned long draw_addr(struct diff_rng *rng, const struct diff_map *map)
{
	const struct diff_vma *vma = some_vma(rng, map);
	unsigned long at;

	if (chance(rng, 3))
		return bad_address(rng);
	if (!vma || chance(rng, 15))
		return window_page(rng);
	switch (below(rng, 4)) {
	case 0:
		at = vma->start;
		break;
	case 1:
		at = vma->end;
		break;
	case 2:
		at = chance(rng, 50) ? vma->start : vma->end;
		return at + (below(rng, 5) - 2) * DIFF_PAGE;
	default:
		at = vma->start + below(rng, (vma->end - vma->start) / DIFF_PAGE) * DIFF_PAGE;
	}
	return at;
}

/* The distance from @addr to an edge above it: of the mapping there, of the hole, or of one further up. */
static unsigned long to_an_edge(struct diff_rng *rng, const struct diff_map *map, unsigned long addr)
{
	unsigned int skip = (unsigned int)below(rng, 3);
	int i;

	for (i = 0; i < map->count; i++) {
		if (map->vma[i].start > addr && skip-- == 0)
			return map->vma[i].start - addr;
		if (map->vma[i].end > addr && skip-- == 0)
			return map->vma[i].end - addr;
	}
	return DIFF_PAGE;
}

static unsigned long bad_length(struct diff_rng *rng)
{
	switch (below(rng, 5)) {
	case 0:
		return 0;
	case 1:
		return ~0UL - below(rng, 3) * 4095;
	case 2:
		return TRACEE_TASK_SIZE + (below(rng, 3) - 1) * DIFF_PAGE;
	case 3:
		return 1UL << (47 + below(rng, 17));
	default:
		return -DIFF_WINDOW + below(rng, 3) * DIFF_PAGE;
	}
}

static unsigned long draw_len(struct diff_rng *rng, const struct diff_map *map, unsigned long addr)
{
	unsigned long len;

	if (chance(rng, 3))
		return bad_length(rng);
	if (chance(rng, 35)) {
		len = to_an_edge(rng, map, addr);
		if (len <= ROOM)
			return len;
	}
	len = (1 + below(rng, chance(rng, 80) ? 4 : 24)) * DIFF_PAGE;
	return chance(rng, 10) ? len - below(rng, DIFF_PAGE) : len;
}

/* Lengths for the kernel's choice of address: multiples of 2 MiB are padded there. */
static unsigned long draw_free_len(struct diff_rng *rng)
{
	if (chance(rng, 30))
		return (1 + below(rng, 3)) << 21;
	if (chance(rng, 20))
		return ((1 + below(rng, 2)) << 21) + (below(rng, 3) - 1) * DIFF_PAGE;
	return (1 + below(rng, 8)) * DIFF_PAGE;
}

/* Calls ------------------------------------------------------------------- */

static unsigned long draw_prot(struct diff_rng *rng)
{
	if (chance(rng, 2))
		return ONE_OF(rng, 8, 16, 0x40, 0x01000000, 0x02000000, 0x03000000, 1UL << 32, 1UL << 31);
	return ONE_OF(rng, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ,
		      PROT_NONE, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC, PROT_WRITE, PROT_EXEC);
}

static unsigned long draw_map_flags(struct diff_rng *rng, const struct diff_taste *taste)
{
	unsigned long flags = ONE_OF(rng, MAP_PRIVATE, MAP_PRIVATE, MAP_PRIVATE, MAP_PRIVATE, MAP_SHARED,
				     MAP_SHARED_VALIDATE);

	if (chance(rng, 4))
		flags = ONE_OF(rng, 0, 4, 5, 6, 7, 8, 8, 8, 8, 9);
	if (chance(rng, 8))
		flags |= ONE_OF(rng, MAP_GROWSDOWN, MAP_STACK, MAP_STACK | MAP_GROWSDOWN);
	if (chance(rng, 8))
		flags |= MAP_NORESERVE;
	if (chance(rng, 6))
		flags |= ONE_OF(rng, MAP_POPULATE, MAP_POPULATE | MAP_NONBLOCK);
	if (taste->lock && chance(rng, 8))
		flags |= MAP_LOCKED;
	if (chance(rng, 3))
		flags |= ONE_OF(rng, MAP_DENYWRITE, MAP_EXECUTABLE, MAP_SYNC, 0x200, 0x4000000, 1UL << 40);
	if (chance(rng, 4))
		flags |= MAP_32BIT;
	return flags;
}

/* Mostly near the beginning of a file, and offsets that continue; now and then around its end, or beyond. */
static void draw_backing(struct diff_rng *rng, const struct diff_map *map, struct diff_op *op)
{
	const struct diff_vma *vma;
	int i;

	op->file = DIFF_NO_FILE;
	op->arg[4] = 0;
	if (chance(rng, 65)) {
		op->arg[3] |= MAP_ANONYMOUS;
		if (chance(rng, 10))
			op->arg[4] = below(rng, 8) * DIFF_PAGE;
		return;
	}
	op->file = (uint8_t)(1 + below(rng, DIFF_ZERO));
	op->arg[4] = below(rng, 16) * DIFF_PAGE;
	if (chance(rng, 8))
		op->arg[4] = DIFF_FILE_BYTES - below(rng, 6) * DIFF_PAGE;
	for (i = 0; i < map->count; i++) {
		vma = &map->vma[i];
		if (vma->ino && chance(rng, 60)) {
			if (vma->end == op->arg[0])
				op->arg[4] = vma->offset + vma->end - vma->start;
			else if (vma->start == op->arg[0] + op->arg[1] && vma->offset >= op->arg[1])
				op->arg[4] = vma->offset - op->arg[1];
		}
	}
	if (chance(rng, 2))
		op->arg[4] = ONE_OF(rng, 1, 100, -DIFF_PAGE, 1UL << 63, ~0UL, -(DIFF_PAGE * 4));
	if (chance(rng, 1))
		op->file = DIFF_NO_FILE;
}

/* Of huge pages, mostly whole ones at places where they can be. */
static void draw_huge_mmap(struct diff_rng *rng, const struct diff_taste *taste, struct diff_op *op)
{
	op->arg[0] = chance(rng, 30) ? 0 : DIFF_HUGE_WINDOW + below(rng, 12) * DIFF_HUGE_PAGE;
	op->arg[1] = (chance(rng, 3) ? 17 + below(rng, 4) : 1 + below(rng, 3)) * DIFF_HUGE_PAGE;
	if (op->arg[0] && chance(rng, 5))
		op->arg[0] += DIFF_PAGE * (1 + below(rng, 3));
	if (chance(rng, 10))
		op->arg[1] -= below(rng, DIFF_HUGE_PAGE);
	op->arg[2] = draw_prot(rng);
	op->arg[3] = draw_map_flags(rng, taste) | MAP_HUGETLB;
	if (op->arg[0] && chance(rng, 85))
		op->arg[3] |= chance(rng, 75) ? MAP_FIXED : MAP_FIXED_NOREPLACE;
	op->arg[4] = chance(rng, 60) ? 0 : below(rng, 3) * DIFF_HUGE_PAGE;
	if (chance(rng, 3))
		op->arg[4] += DIFF_PAGE;
	if (chance(rng, 25)) {
		op->file = DIFF_HUGE;
		op->arg[3] &= ~(unsigned long)(chance(rng, 50) ? MAP_HUGETLB : 0);
	} else {
		op->arg[3] |= MAP_ANONYMOUS | (chance(rng, 10) ? ONE_OF(rng, 21UL << 26, 20UL << 26, 1UL << 26) : 0);
	}
}

static void draw_mmap(struct diff_rng *rng, const struct diff_taste *taste, const struct diff_map *map,
		      struct diff_op *op)
{
	bool anywhere = chance(rng, taste->window ? 5 : 60);

	op->arg[0] = anywhere ? 0 : draw_addr(rng, map);
	op->arg[1] = anywhere && !chance(rng, 2) ? draw_free_len(rng) : draw_len(rng, map, op->arg[0]);
	op->arg[2] = draw_prot(rng);
	op->arg[3] = draw_map_flags(rng, taste);
	if (!anywhere && chance(rng, 85))
		op->arg[3] |= chance(rng, 75) ? MAP_FIXED : MAP_FIXED_NOREPLACE;
	draw_backing(rng, map, op);
}

static void draw_mremap(struct diff_rng *rng, const struct diff_map *map, struct diff_op *op)
{
	const struct diff_vma *vma = some_vma(rng, map);

	op->arg[0] = vma && chance(rng, 60) ? vma->start : draw_addr(rng, map);
	op->arg[1] = vma && chance(rng, 40) ? vma->end - op->arg[0] : draw_len(rng, map, op->arg[0]);
	op->arg[2] = chance(rng, 40) ? op->arg[1] : draw_len(rng, map, op->arg[0]);
	if (chance(rng, 5))
		op->arg[1] = 0;
	op->arg[3] = ONE_OF(rng, 0, MREMAP_MAYMOVE, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED,
			    MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED,
			    MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
			    MREMAP_MAYMOVE | MREMAP_DONTUNMAP | MREMAP_FIXED);
	if (chance(rng, 3))
		op->arg[3] = below(rng, 16);
	op->arg[4] = draw_addr(rng, map);
}

static void draw_brk(struct diff_rng *rng, const struct diff *d, struct diff_op *op)
{
	op->arg[0] = d->layout.start_brk + below(rng, 12) * DIFF_PAGE;
	if (chance(rng, 30))
		op->arg[0] += below(rng, DIFF_PAGE);
	if (chance(rng, 5))
		op->arg[0] = ONE_OF(rng, 0, ~0UL, d->layout.start_brk - 1, TRACEE_TASK_SIZE);
}

static void draw_madvise(struct diff_rng *rng, const struct diff *d, struct diff_op *op)
{
	op->arg[2] = ONE_OF(rng, MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED,
			    MADV_FREE, MADV_DONTFORK, MADV_DOFORK, MADV_DONTDUMP, MADV_DODUMP,
			    MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
			    MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ,
			    MADV_POPULATE_WRITE, MADV_REMOVE, 24 /* DONTNEED_LOCKED */);
	if (chance(rng, 3))
		op->arg[2] = MADV_COLLAPSE;
	/* Where it may take effect it would: pages would be lost to the machine. */
	if (!d->has_caps && chance(rng, 2))
		op->arg[2] = ONE_OF(rng, MADV_HWPOISON, MADV_SOFT_OFFLINE);
	if (chance(rng, 3))
		op->arg[2] = ONE_OF(rng, 5, 6, 7, 26, 99, 104, 0x7fffffff, 0xffffffff);
}

/* Two pieces, the second one often empty or beside the first; mostly advice that is allowed. */
static void draw_process_madvise(struct diff_rng *rng, const struct diff *d, const struct diff_map *map,
				 struct diff_op *op)
{
	draw_madvise(rng, d, op);
	op->arg[3] = chance(rng, 30) ? op->arg[0] + op->arg[1] : draw_addr(rng, map);
	op->arg[4] = chance(rng, 20) ? 0 : draw_len(rng, map, op->arg[3]);
	op->arg[5] = chance(rng, 3) ? ONE_OF(rng, 1, 2, 1UL << 31) : 0;
}

/* Limits close to what is used, and now and then lifted again. */
static void draw_rlimit(struct diff_rng *rng, const struct diff_map *map, struct diff_op *op)
{
	unsigned long used = 0;
	int i;

	for (i = 0; i < map->count; i++)
		used += map->vma[i].end - map->vma[i].start;
	op->arg[0] = below(rng, MM_NR_RLIMITS);
	if (chance(rng, 40))
		op->arg[1] = MM_RLIM_INFINITY;
	else if (op->arg[0] == MM_RLIMIT_AS)
		op->arg[1] = used + below(rng, 12) * DIFF_PAGE + below(rng, 2);
	else
		op->arg[1] = below(rng, 24) * DIFF_PAGE + below(rng, 2);
}

static void draw_pkey(struct diff_rng *rng, struct diff_op *op)
{
	if (op->kind == DIFF_PKEY_MPROTECT) {
		op->arg[2] = draw_prot(rng);
		op->arg[3] = chance(rng, 10) ? ONE_OF(rng, 15, 16, 17, -2UL, 1UL << 31) : below(rng, 5) - 1;
	} else if (op->kind == DIFF_PKEY_ALLOC) {
		op->arg[0] = chance(rng, 3);
		op->arg[1] = chance(rng, 5) ? 4 + below(rng, 4) : below(rng, 4);
	} else {
		op->arg[0] = chance(rng, 5) ? ONE_OF(rng, 0, 15, 16, -1UL) : 1 + below(rng, 4);
	}
}

/* Mostly a whole shared mapping, or a part of it. */
static void draw_remap_file(struct diff_rng *rng, const struct diff_map *map, struct diff_op *op)
{
	int i, at = (int)below(rng, (unsigned long)map->count + 1);

	for (i = 0; i < map->count; i++) {
		const struct diff_vma *v = &map->vma[(at + i) % map->count];

		if (!(v->flags & MM_VM_SHARED) || chance(rng, 10))
			continue;
		op->arg[0] = v->start + below(rng, (v->end - v->start) / DIFF_PAGE) * DIFF_PAGE;
		op->arg[1] = chance(rng, 70) ? v->end - op->arg[0] : draw_len(rng, map, op->arg[0]);
		break;
	}
	op->arg[2] = chance(rng, 3);
	op->arg[3] = chance(rng, 3) ? ONE_OF(rng, ~0UL, 1UL << 51, 1UL << 52, 1UL << 60) : below(rng, 16);
	op->arg[4] = chance(rng, 20) ? ONE_OF(rng, MAP_NONBLOCK, MAP_PRIVATE, ~0UL, MAP_POPULATE) : 0;
	if (chance(rng, 10))
		op->arg[0] += below(rng, DIFF_PAGE);
	if (chance(rng, 10))
		op->arg[1] += below(rng, DIFF_PAGE);
}

/* The first bytes of a page stay zeroes: they may be executed. */
static void draw_write(struct diff_rng *rng, struct diff_op *op)
{
	op->arg[0] += below(rng, DIFF_PAGE);
	op->arg[1] = op->arg[0] % DIFF_PAGE < 16 ? 0 : below(rng, 256);
}

static void draw_arguments(struct diff_rng *rng, const struct diff_taste *taste, const struct diff *d,
			   struct diff_op *op)
{
	const struct diff_map *map = &d->proc[op->proc].map;

	op->arg[0] = draw_addr(rng, map);
	op->arg[1] = draw_len(rng, map, op->arg[0]);
	switch (op->kind) {
	case DIFF_MMAP:
		if (taste->huge && chance(rng, 50))
			draw_huge_mmap(rng, taste, op);
		else
			draw_mmap(rng, taste, map, op);
		break;
	case DIFF_PKEY_MPROTECT:
	case DIFF_PKEY_ALLOC:
	case DIFF_PKEY_FREE:
		draw_pkey(rng, op);
		break;
	case DIFF_MSYNC:
		op->arg[2] = chance(rng, 10) ? below(rng, 16) : ONE_OF(rng, 0, 1, 2, 3, 4, 6);
		break;
	case DIFF_REMAP_FILE:
		draw_remap_file(rng, map, op);
		break;
	case DIFF_NAME:
		op->arg[2] = below(rng, TRACEE_NR_NAMES);
		break;
	case DIFF_MPROTECT:
		op->arg[2] = draw_prot(rng);
		break;
	case DIFF_MREMAP:
		draw_mremap(rng, map, op);
		break;
	case DIFF_BRK:
		draw_brk(rng, d, op);
		break;
	case DIFF_MADVISE:
		draw_madvise(rng, d, op);
		break;
	case DIFF_PROCESS_MADVISE:
		draw_process_madvise(rng, d, map, op);
		break;
	case DIFF_MLOCK:
		op->arg[2] = chance(rng, 3) ? 2 : ONE_OF(rng, 0, 0, 1);
		break;
	case DIFF_MLOCKALL:
		op->arg[0] = chance(rng, 10) ? below(rng, 16) : ONE_OF(rng, 1, 2, 3, 5, 6, 7);
		break;
	case DIFF_MSEAL:
		op->arg[2] = chance(rng, 3);
		if (chance(rng, 8))
			op->arg[0] += below(rng, DIFF_PAGE);
		break;
	case DIFF_READ:
		op->arg[0] += below(rng, DIFF_PAGE);
		break;
	case DIFF_WRITE:
		draw_write(rng, op);
		break;
	case DIFF_RLIMIT:
		draw_rlimit(rng, map, op);
		break;
	default:
		break;
	}
}

/* Which call ---------------------------------------------------------------- */

static unsigned int weight(const struct diff_taste *taste, unsigned int kind, bool crowded)
{
	static const uint8_t usual[DIFF_NR_KINDS] = {
		[DIFF_MMAP] = 20, [DIFF_MUNMAP] = 8, [DIFF_MPROTECT] = 16, [DIFF_MREMAP] = 10, [DIFF_BRK] = 2,
		[DIFF_MADVISE] = 12, [DIFF_MLOCK] = 4, [DIFF_MUNLOCK] = 3, [DIFF_MLOCKALL] = 1,
		[DIFF_MUNLOCKALL] = 1, [DIFF_MSEAL] = 2, [DIFF_READ] = 3, [DIFF_WRITE] = 14, [DIFF_EXEC] = 1,
		[DIFF_FORK] = 5, [DIFF_EXIT] = 2, [DIFF_RLIMIT] = 4,
		[DIFF_PKEY_MPROTECT] = 8, [DIFF_PKEY_ALLOC] = 4, [DIFF_PKEY_FREE] = 3, [DIFF_MSYNC] = 2,
		[DIFF_MINCORE] = 2, [DIFF_REMAP_FILE] = 2, [DIFF_NAME] = 1,
		[DIFF_PROCESS_MADVISE] = 3,
	};
	bool lock = kind == DIFF_MLOCK || kind == DIFF_MUNLOCK || kind == DIFF_MLOCKALL ||
		    kind == DIFF_MUNLOCKALL;

	bool keys = kind == DIFF_PKEY_MPROTECT || kind == DIFF_PKEY_ALLOC || kind == DIFF_PKEY_FREE;

	if (taste->only && !(taste->only >> kind & 1))
		return 0;
	if ((kind == DIFF_FORK || kind == DIFF_EXIT) && !taste->fork)
		return 0;
	if (keys && !taste->keys)
		return 0;
	if ((kind == DIFF_MSEAL && !taste->seal) || (lock && !taste->lock) ||
	    (kind == DIFF_RLIMIT && !taste->limits))
		return 0;
	return kind == DIFF_MUNMAP && crowded ? 60 : usual[kind];
}

static uint8_t draw_kind(struct diff_rng *rng, const struct diff_taste *taste, bool crowded)
{
	unsigned int kind, sum = 0, at;

	for (kind = 0; kind < DIFF_NR_KINDS; kind++)
		sum += weight(taste, kind, crowded);
	at = (unsigned int)below(rng, sum ? sum : 1);
	for (kind = 0; kind < DIFF_NR_KINDS; kind++) {
		if (at < weight(taste, kind, crowded))
			return (uint8_t)kind;
		at -= weight(taste, kind, crowded);
	}
	return DIFF_MMAP;
}

/* What may be given to the kernel ------------------------------------------- */

static bool meets_code(unsigned long addr, unsigned long len)
{
	unsigned long start = addr & ~(DIFF_PAGE - 1);
	unsigned long end = addr + len;

	if (end < addr)
		end = ~0UL;
	return start < TRACEE_END + DIFF_PAGE && end + DIFF_PAGE > TRACEE_CODE;
}

/*
 * Beyond the user range a length is refused; between ROOM and that it might really be mapped, and
 * populated.
 */
static bool harmless_length(unsigned long len)
{
	return len <= ROOM || len > TRACEE_TASK_SIZE - 4 * DIFF_PAGE;
}

/*
 * Observed: when a part of a private mapping of huge pages moves, pages of the pool stay promised for good,
 * to nobody, and the machine has them less.
 */
static bool moves_huge_pages(const struct diff_map *map, const unsigned long *a)
{
	unsigned long end = a[1] > ROOM ? ~0UL : a[0] + a[1] + DIFF_HUGE_PAGE;
	int i;

	if (!(a[3] & (MREMAP_FIXED | MREMAP_DONTUNMAP)))
		return false;
	for (i = 0; i < map->count; i++)
		if ((map->vma[i].flags & MM_VM_HUGETLB) && map->vma[i].start < end &&
		    map->vma[i].end > a[0])
			return true;
	return false;
}

/* Observed: a shrinking mremap to a fixed place charges its old length, and never gives it back. */
static bool charges_for_good(const unsigned long *a)
{
	return a[1] > ROOM / 64 && a[1] > a[2] && (a[3] & MREMAP_FIXED);
}

static bool is_of_huge_pages(const struct diff_op *op)
{
	return op->kind == DIFF_MMAP && (op->file == DIFF_HUGE || (op->arg[3] & MAP_HUGETLB));
}

/*
 * The pool must not run empty at a touch, which is not modelled: all that is mapped, with a promise or
 * without, and the file, fit into it, or the whole pool is not enough and what is asked for is refused.
 */
static bool fits_pool(const struct diff_map *map, const struct diff_op *op)
{
	unsigned long pages = (op->arg[1] + DIFF_HUGE_PAGE - 1) / DIFF_HUGE_PAGE, used = DIFF_HUGE_FILE;
	int i;

	if (pages > DIFF_POOL_PAGES)
		return pages < 2 * DIFF_POOL_PAGES && !(op->arg[3] & MAP_NORESERVE);
	if (op->file == DIFF_HUGE && op->arg[4] / DIFF_HUGE_PAGE + pages > DIFF_HUGE_FILE)
		return false;
	for (i = 0; i < map->count; i++)
		if (map->vma[i].flags & MM_VM_HUGETLB)
			used += (map->vma[i].end - map->vma[i].start) / DIFF_HUGE_PAGE;
	return used + pages <= DIFF_POOL_PAGES;
}

/*
 * An address space of 256 GiB gives other answers than one of 128 TiB where a call leaves to the kernel where
 * something goes, or reaches beyond.
 */
static bool fits_smallest(const struct diff_op *op)
{
	const unsigned long *a = op->arg, top = SMALLEST_TASK - ROOM;

	if (op->kind == DIFF_MLOCKALL || op->kind == DIFF_MUNLOCKALL || op->kind == DIFF_FORK ||
	    op->kind == DIFF_EXIT || op->kind == DIFF_RLIMIT || op->kind == DIFF_PKEY_ALLOC || op->kind == DIFF_PKEY_FREE)
		return true;
	if (op->kind == DIFF_BRK || a[0] >= top || (!diff_is_touch(op) && a[1] >= top))
		return false;
	if (op->kind == DIFF_PROCESS_MADVISE)
		return a[3] < top && a[4] < top;
	if (op->kind == DIFF_MMAP)
		return a[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	if (op->kind == DIFF_MREMAP)
		return a[2] < top && a[4] < top && (!(a[3] & MREMAP_MAYMOVE) || (a[3] & MREMAP_FIXED));
	return true;
}

/*
 * What of a file is paged out, and when, is the kernel's affair, as is all where there is something to swap
 * to.
 */
static bool pages_out_at_leisure(const struct diff *d, const struct diff_op *op, unsigned long start, unsigned long len)
{
	const struct diff_map *map = &d->proc[op->proc].map;
	unsigned long end = start + len;
	int i;

	if (op->arg[2] != MADV_PAGEOUT || d->no_pages)
		return false;
	for (i = 0; i < map->count; i++)
		if (map->vma[i].ino && map->vma[i].start < end && start < map->vma[i].end)
			return true;
	return d->has_swap;
}

static bool is_harmless(const struct diff *d, const struct diff_op *op)
{
	const unsigned long *a = op->arg;

	if (d->geometry == MM_RISCV64_SV39 && !fits_smallest(op))
		return false;
	switch (op->kind) {
	case DIFF_MMAP:
		/* Where the search for MAP_32BIT begins is random, but without ASLR. */
		if ((a[3] & MAP_32BIT) && !d->no_aslr && !d->model_only)
			return false;
		if (is_of_huge_pages(op) && !fits_pool(&d->proc[op->proc].map, op))
			return false;
		return (harmless_length(a[1]) || is_of_huge_pages(op)) &&
		       !((a[0] || (a[3] & MAP_FIXED)) && meets_code(a[0], a[1]));
	case DIFF_MREMAP:
		if (moves_huge_pages(&d->proc[op->proc].map, a))
			return false;
		return harmless_length(a[2]) && !charges_for_good(a) && !meets_code(a[0], a[1]) &&
		       !meets_code(a[4], a[2]) && !meets_code(a[0], a[2]);
	case DIFF_BRK:
		return a[0] < d->layout.start_brk + ROOM || a[0] >= TRACEE_TASK_SIZE;
	case DIFF_READ:
	case DIFF_WRITE:
	case DIFF_EXEC:
		/* What is not canonical gives another signal, and is no business of the address space. */
		return !meets_code(a[0], 1) && a[0] < TRACEE_TASK_SIZE;
	case DIFF_MADVISE:
		return !meets_code(a[0], a[1]) && !pages_out_at_leisure(d, op, a[0], a[1]);
	case DIFF_PROCESS_MADVISE:
		return d->has_process_madvise && !meets_code(a[0], a[1]) && !meets_code(a[3], a[4]) &&
		       !pages_out_at_leisure(d, op, a[0], a[1]) && !pages_out_at_leisure(d, op, a[3], a[4]);
	case DIFF_MINCORE:
		/* The vector has a page. */
		return harmless_length(a[1]);
	case DIFF_REMAP_FILE:
		return harmless_length(a[1]) && !meets_code(a[0], a[1]);
	case DIFF_MSYNC:
	case DIFF_PKEY_ALLOC:
	case DIFF_PKEY_FREE:
	case DIFF_MLOCKALL:
	case DIFF_MUNLOCKALL:
	case DIFF_FORK:
	case DIFF_EXIT:
	case DIFF_RLIMIT:
		return true;
	default:
		return !meets_code(a[0], a[1]);
	}
}

/* Calls on what lies in huge pages are refused if they do not meet whole ones. */
static void round_to_huge(struct diff_op *op)
{
	unsigned long *a = op->arg;

	if (a[0] < DIFF_HUGE_WINDOW - ROOM || op->kind == DIFF_MMAP || op->kind == DIFF_BRK || op->kind == DIFF_RLIMIT)
		return;
	a[0] &= -DIFF_HUGE_PAGE;
	a[1] = (a[1] + DIFF_HUGE_PAGE - 1) & -DIFF_HUGE_PAGE;
	if (op->kind == DIFF_MREMAP) {
		a[2] = (a[2] + DIFF_HUGE_PAGE - 1) & -DIFF_HUGE_PAGE;
		a[4] &= -DIFF_HUGE_PAGE;
	}
}

static uint8_t draw_proc(struct diff_rng *rng, const struct diff *d)
{
	uint8_t alive[DIFF_MAX_PROCS] = { 0 };
	uint8_t i, count = 0;

	for (i = 0; i < DIFF_MAX_PROCS; i++)
		if (d->proc[i].alive)
			alive[count++] = i;
	return count ? alive[below(rng, count)] : 0;
}

static bool is_far_from_the_limit(const struct diff_taste *taste, const struct diff *d, uint8_t proc)
{
	return (unsigned long)d->proc[proc].map.count + 6 < taste->map_count;
}

/* A child of a process that has reached the limit has reached it too: so nobody forks before. */
static bool forks_too_early(const struct diff_taste *taste, const struct diff *d, const struct diff_op *op)
{
	return op->kind == DIFF_FORK && is_far_from_the_limit(taste, d, op->proc);
}

/* The limit is far: nearly each call leads there. It is close, or reached: other calls meet it. */
static bool wants_ballast(struct diff_rng *rng, const struct diff_taste *taste, const struct diff *d, uint8_t proc)
{
	if (!taste->map_count || (unsigned long)d->proc[proc].map.count >= taste->map_count)
		return false;
	return chance(rng, is_far_from_the_limit(taste, d, proc) ? 90 : 30);
}

/* One page, mostly between holes; neighbours differ two times of three. */
static void draw_ballast(struct diff_rng *rng, const struct diff_taste *taste, struct diff_op *op)
{
	op->kind = DIFF_MMAP;
	op->arg[0] = DIFF_BALLAST + below(rng, 4 * taste->map_count) * DIFF_PAGE;
	op->arg[1] = DIFF_PAGE;
	op->arg[2] = ONE_OF(rng, PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE);
	op->arg[3] = MAP_ANONYMOUS | MAP_FIXED | (chance(rng, 10) ? MAP_SHARED : MAP_PRIVATE);
}

/* The next call of the plan under way that the taste allows. */
static bool take_planned(struct diff_taste *taste, const struct diff *d, struct diff_op *op)
{
	struct diff_plan *plan = &taste->plan;

	while (plan->next < plan->count) {
		*op = plan->op[plan->next++];
		if (weight(taste, op->kind, false) && d->proc[op->proc].alive && is_harmless(d, op) &&
		    !forks_too_early(taste, d, op))
			return true;
	}
	return false;
}

static void draw_free_op(struct diff_rng *rng, const struct diff_taste *taste, const struct diff *d,
			 struct diff_op *op)
{
	memset(op, 0, sizeof(*op));
	op->proc = draw_proc(rng, d);
	if (wants_ballast(rng, taste, d, op->proc)) {
		draw_ballast(rng, taste, op);
		return;
	}
	op->kind = draw_kind(rng, taste, !taste->map_count && d->proc[op->proc].map.count > MANY_VMAS);
	if (op->kind == DIFF_EXIT && op->proc == 0)
		op->kind = DIFF_READ;
	if (op->kind == DIFF_FORK || op->kind == DIFF_EXIT || op->kind == DIFF_MUNLOCKALL)
		return;
	draw_arguments(rng, taste, d, op);
	if (taste->huge && chance(rng, 40))
		round_to_huge(op);
	if (op->kind == DIFF_EXEC)
		op->arg[0] &= ~(DIFF_PAGE - 1);
}

void diff_draw_op(struct diff_rng *rng, struct diff_taste *taste, const struct diff *d, struct diff_op *op)
{
	if (take_planned(taste, d, op))
		return;
	if (chance(rng, 5)) {
		taste->plan.proc = draw_proc(rng, d);
		diff_draw_plan(rng, d, &taste->plan);
		if (take_planned(taste, d, op))
			return;
	}
	do {
		draw_free_op(rng, taste, d, op);
	} while (!is_harmless(d, op) || forks_too_early(taste, d, op));
}
