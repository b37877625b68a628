/* SPDX-License-Identifier: MIT */
/*
 * Promises 2, 3 and 4; rows D6, E1 to E3, F1 to F8, H1. A fork of a parent with over 1,000 mappings of every
 * kind fails at every point at which it can: each allocation, each charge that may be refused, each mapping
 * before which a fatal signal may come. After each, the parent is compared whole, byte by byte and entry by
 * entry, its next writes must copy nothing, the child must have left no object behind, and in the end a fork
 * succeeds and the child is equal.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/mm.h"
#include "mmu/mmu.h"

#define PAGE 4096UL
#define MiB (1UL << 20)
#define GiB (1UL << 30)
#define GUARD_INSTALL 102
#define DROPPABLE 0x08
/* Huge pages lie apart. */
#define HUGE_AT(i) (8192 * GiB + (unsigned long)(i) * 4 * MiB)

/* What mapping i of the parent is, i % NR_KINDS. */
enum kind {
	PRIVATE, PRIVATE_TOO, ZEROES, SHARED, FILE_COPIED, FILE_SHARED, LOCKED, WIPED, LEFT_OUT, GUARDED, STACK,
	SEALED, SWAPPED, FILE_UNTOUCHED, DRIVER, USERFAULT, MAY_BE_LOST, PINNED, NR_KINDS
};

enum { MAPPINGS = 1040, HUGE_MAPPINGS = 12, MAX_PAGES = 8192, DEVICE_FRAMES = 4 };

/* One entry of the parent, but for the bits that a fork may change, and what it leads to. */
struct entry {
	unsigned long addr;
	uint64_t bits;
	unsigned char *bytes;	/* of a page that is counted, of 4 KiB or 2 MiB; NULL: none */
	unsigned long size;
	bool may_write;		/* private memory that the program may write to */
};

struct shot {
	struct entry *entry;
	unsigned long count;
	struct mm_vma_info *vma;
	unsigned long vmas;
	struct mm_counters counters;
	struct platform_stats stats;
	unsigned long committed;
	long open;		/* mappings of the device */
};

struct scene {
	struct mm_context *ctx;
	struct mm_struct *mm;
	struct vm_file *file[2], *device;
	unsigned long device_frame[DEVICE_FRAMES];
	long device_open;
	unsigned long pinned[MAPPINGS];	/* frames */
	unsigned long nr_pinned;
	long signal_after;
	struct shot shot;
	unsigned long seed;
};

/* Building ------------------------------------------------------------------ */

/* Mappings lie so that they share lowest tables, upper ones, or none. */
static unsigned long place(unsigned long i)
{
	return 4 * GiB + i * 16 * PAGE + (i / 100) * 3 * MiB + (i / 250) * 40 * GiB + (i / 500) * 1024 * GiB;
}

static int read_page(void *arg, uint64_t index, void *page)
{
	memset(page, (int)(index * 7 + (uintptr_t)arg), PAGE);
	return 0;
}

static void map(struct scene *s, unsigned long i, unsigned long prot, unsigned long flags, struct vm_file *file)
{
	struct mm_mmap_args args = {
		.addr = place(i), .len = 4 * PAGE, .prot = prot, .flags = flags | MAP_FIXED, .file = file,
		.offset = file ? i % 50 * PAGE : 0,
	};
	unsigned long at;

	assert_int_equal(mm_mmap(s->mm, &args, &at), 0);
}

static void write_page(struct scene *s, unsigned long addr, unsigned char with)
{
	unsigned char bytes[64];

	memset(bytes, with, sizeof(bytes));
	assert_int_equal(mm_write(s->mm, addr + s->seed++ % 4000, bytes, sizeof(bytes), NULL), MM_FAULT_OK);
}

static void read_page_at(struct scene *s, unsigned long addr)
{
	unsigned char byte;

	assert_int_equal(mm_read(s->mm, addr, &byte, 1, NULL), MM_FAULT_OK);
}

/* As another kernel reports it: what a userfaultfd listens to. */
static void map_userfault(struct scene *s, unsigned long i)
{
	struct mm_adopt_args args = {
		.start = place(i), .end = place(i) + 4 * PAGE,
		.flags = VM_READ | VM_WRITE | VM_MAY_ALL | (i / NR_KINDS % 2 ? VM_UFFD_WP : VM_UFFD_MISSING),
	};

	assert_int_equal(mm_adopt(s->mm, &args), 0);
}

/* What becomes of private memory that has been written to. */
static void change_one(struct scene *s, unsigned long i)
{
	unsigned long at = place(i);

	switch ((enum kind)(i % NR_KINDS)) {
	case WIPED:
		assert_int_equal(mm_madvise(s->mm, at, 4 * PAGE, MADV_WIPEONFORK), 0);
		break;
	case LEFT_OUT:
		assert_int_equal(mm_madvise(s->mm, at, 4 * PAGE, MADV_DONTFORK), 0);
		break;
	case GUARDED:
		assert_int_equal(mm_madvise(s->mm, at + PAGE, PAGE, GUARD_INSTALL), 0);
		break;
	case SWAPPED:
		assert_int_equal(mm_madvise(s->mm, at, PAGE, MADV_PAGEOUT), 0);
		break;
	case SEALED:
		assert_int_equal(mm_mseal(s->mm, at, 4 * PAGE, 0), 0);
		break;
	default:
		break;
	}
}

static void device_opens(void *arg, struct mm_struct *mm)
{
	((struct scene *)arg)->device_open++;
}

static void device_closes(void *arg, struct mm_struct *mm)
{
	((struct scene *)arg)->device_open--;
}

static enum vm_fault_answer device_answers(void *arg, struct vm_fault *fault)
{
	fault->frame = ((struct scene *)arg)->device_frame[fault->pgoff % DEVICE_FRAMES];
	return VM_FAULT_FRAME;
}

static const struct vm_operations device_ops = { .open = device_opens, .close = device_closes,
						 .fault = device_answers };

static int open_files(struct scene *s)
{
	struct vm_file_info info = { .size = sizeof(info), .ino = 5, .readable = true, .writable = true,
				     .read_page = read_page };
	struct vm_file_info device = { .size = sizeof(device), .kind = VM_FILE_DEVICE, .readable = true,
				       .writable = true, .ops = &device_ops, .ops_arg = s };

	for (long i = 0; i < 2; i++) {
		info.read_page_arg = (void *)(i + 1);
		if (vm_file_create(s->ctx, &info, &s->file[i]))
			return -1;
	}
	for (int i = 0; i < DEVICE_FRAMES; i++)
		if (mm_frame_alloc(s->ctx, &s->device_frame[i]))
			return -1;
	return vm_file_create(s->ctx, &device, &s->device);
}

static void map_one(struct scene *s, unsigned long i)
{
	const unsigned long rw = PROT_READ | PROT_WRITE, anon = MAP_PRIVATE | MAP_ANONYMOUS;
	unsigned long at = place(i);

	switch ((enum kind)(i % NR_KINDS)) {
	case ZEROES:
		map(s, i, rw, anon, NULL);
		read_page_at(s, at + PAGE);
		break;
	case SHARED:
		map(s, i, rw, MAP_SHARED | MAP_ANONYMOUS, NULL);
		write_page(s, at, (unsigned char)i);
		break;
	case FILE_COPIED:
		map(s, i, rw, MAP_PRIVATE, s->file[i % 2]);
		read_page_at(s, at);
		write_page(s, at + PAGE, (unsigned char)i);
		break;
	case FILE_SHARED:
		map(s, i, rw, MAP_SHARED, s->file[i % 2]);
		write_page(s, at + 3 * PAGE, (unsigned char)i);
		break;
	case LOCKED:
		map(s, i, rw, anon | MAP_LOCKED, NULL);
		break;
	case STACK:
		map(s, i, rw, anon | MAP_GROWSDOWN, NULL);
		write_page(s, at + 3 * PAGE, (unsigned char)i);
		break;
	case FILE_UNTOUCHED:
		map(s, i, PROT_READ, MAP_PRIVATE, s->file[i % 2]);
		break;
	case DRIVER:
		map(s, i, rw, i % 4 ? MAP_SHARED : MAP_PRIVATE, s->device);
		read_page_at(s, at);
		write_page(s, at + PAGE, (unsigned char)i);
		break;
	case USERFAULT:
		map_userfault(s, i);
		write_page(s, at, (unsigned char)i);
		break;
	case MAY_BE_LOST:
		map(s, i, rw, DROPPABLE | MAP_ANONYMOUS, NULL);
		write_page(s, at, (unsigned char)i);
		break;
	default:
		map(s, i, rw, anon, NULL);
		write_page(s, at, (unsigned char)i);
		write_page(s, at + PAGE, (unsigned char)i);
		change_one(s, i);
	}
}

static void map_huge(struct scene *s, unsigned long i)
{
	struct mm_mmap_args args = {
		.addr = HUGE_AT(i), .len = 2 * MiB, .prot = PROT_READ | PROT_WRITE,
		.flags = (i % 2 ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED,
	};
	unsigned long at;

	assert_int_equal(mm_mmap(s->mm, &args, &at), 0);
	/* The bytes of each are compared thousands of times: two have some, and a shared one in the end. */
	if (i == 0 || i == HUGE_MAPPINGS / 2)
		write_page(s, at + 5 * PAGE, (unsigned char)i);
}

static bool signal_comes(void *arg, struct mm_struct *mm)
{
	struct scene *s = arg;

	if (s->signal_after < 0 || s->signal_after-- > 0)
		return false;
	/* H1. The recovery that follows gets no memory at all. */
	platform_fail_nth(s->ctx->pf, -1);
	return true;
}

/* The one that stays is a grandchild: its pages hang on three generations of anon_vmas. */
static void next_generation(struct scene *s)
{
	struct mm_struct *child;

	assert_int_equal(mm_fork(s->mm, &child), 0);
	/* As in a shell: the parent stays until its child has written. */
	for (unsigned long i = 0; i < MAPPINGS / 2; i += 2 * NR_KINDS)
		assert_int_equal(mm_write(child, place(i), "younger", 7, NULL), MM_FAULT_OK);
	mmput(s->mm);
	s->mm = child;
}

/* What forks leave out, wipe, or do not hand down is there again, and pages are pinned. */
static void finish_parent(struct scene *s)
{
	for (unsigned long i = 0; i < MAPPINGS; i++)
		switch ((enum kind)(i % NR_KINDS)) {
		case LEFT_OUT:
		case LOCKED:
		case USERFAULT:
		case MAY_BE_LOST:
			map_one(s, i);
			break;
		case WIPED:
			write_page(s, place(i), (unsigned char)i);
			break;
		case PINNED:
			assert_int_equal(mm_pin(s->mm, place(i), MM_WRITE, &s->pinned[s->nr_pinned++]), 0);
			break;
		default:
			break;
		}
	write_page(s, HUGE_AT(1) + 300 * PAGE, 1);
}

static int setup(void **state)
{
	static struct scene s;
	struct mm_context_options opt = { .size = sizeof(opt), .frames = 65536, .huge_pages = 64 };
	struct mm_options mm_opt = { .size = sizeof(mm_opt), .fatal_signal_pending = signal_comes,
				     .signal_arg = &s, .limits_set = true };

	memset(&s, 0, sizeof(s));
	*state = &s;
	s.signal_after = -1;
	for (int i = 0; i < MM_NR_RLIMITS; i++)
		mm_opt.rlimit[i] = MM_RLIM_INFINITY;
	if (mm_context_create(&opt, &s.ctx) || mm_swapon(s.ctx, 4096) || mm_create(s.ctx, &mm_opt, &s.mm) ||
	    open_files(&s))
		return -1;
	for (unsigned long i = 0; i < HUGE_MAPPINGS / 2; i++)
		map_huge(&s, i);
	for (unsigned long i = 0; i < MAPPINGS / 2; i++)
		map_one(&s, i);
	next_generation(&s);
	for (unsigned long i = MAPPINGS / 2; i < MAPPINGS; i++)
		map_one(&s, i);
	for (unsigned long i = HUGE_MAPPINGS / 2; i < HUGE_MAPPINGS; i++)
		map_huge(&s, i);
	next_generation(&s);
	finish_parent(&s);
	return 0;
}

/* Comparing ------------------------------------------------------------------ */

static uint64_t kept_bits(enum pt_format f, pte_t pte)
{
	if (!pte_has_page(f, pte))
		return pte.v;
	return pte_clear_soft_dirty(f, pte_mkold(f, pte_mkclean(f, pte_wrprotect(f, pte)))).v;
}

/* Take down every entry; false ends it. */
static unsigned long each_entry(struct mm_struct *mm, bool (*fn)(void *arg, unsigned long addr, pte_t pte), void *arg)
{
	struct pt_cursor cursor;
	struct pt_range range;
	unsigned long count = 0, addr;
	bool goes_on = true;
	pte_t pte;

	mmap_read_lock(mm);
	pt_cursor_init(&cursor, mm->pt);
	pt_cursor_set(&cursor, 0, mm->opt.task_size);
	while (goes_on && pt_cursor_next(&cursor, &range)) {
		if (!pt_range_lock(mm->pt, &range))
			continue;
		for (addr = range.start; goes_on && addr < range.end; addr += range.level ? PMD_SIZE : PAGE) {
			pte = pte_load(range.ptep++);
			count += !pte_none(pte);
			goes_on = pte_none(pte) || fn(arg, addr, pte);
		}
		pt_range_unlock(&range);
	}
	mmap_read_unlock(mm);
	return count;
}

static bool is_counted(enum pt_format f, pte_t pte)
{
	return pte_has_page(f, pte) && !pte_special(f, pte);
}

static bool take_down(void *arg, unsigned long addr, pte_t pte)
{
	struct scene *s = arg;
	enum pt_format f = s->mm->pt->geo->format;
	struct vm_area_struct *vma = vma_lookup(s->mm, addr);
	struct entry *e = &s->shot.entry[s->shot.count];

	/* The lock is held: what is amiss is found out when the counts are compared. */
	if (!vma || s->shot.count++ == MAX_PAGES - 1)
		return false;
	*e = (struct entry){ .addr = addr, .bits = kept_bits(f, pte) };
	e->may_write = is_counted(f, pte) && vma->anon_vma && (vma->vm_flags & VM_WRITE) &&
		       page_has(pfn_to_page(s->ctx->frames, pte_pfn(f, pte)), PG_ANON);
	if (!is_counted(f, pte))
		return true;
	e->size = page_nr(pfn_to_page(s->ctx->frames, pte_pfn(f, pte))) * PAGE;
	e->bytes = malloc(e->size);
	if (!e->bytes)
		return false;
	memcpy(e->bytes, pfn_address(s->ctx->frames, pte_pfn(f, pte)), e->size);
	return true;
}

struct comparison {
	struct scene *s;
	unsigned long at, differences;
};

static bool compare_entry(void *arg, unsigned long addr, pte_t pte)
{
	struct comparison *c = arg;
	struct scene *s = c->s;
	enum pt_format f = s->mm->pt->geo->format;
	const struct entry *e = &s->shot.entry[c->at++];

	if (c->at > s->shot.count || e->addr != addr || e->bits != kept_bits(f, pte)) {
		print_message("# entry %lu: %lx %lx, now %lx %lx\n", c->at - 1, e->addr, (unsigned long)e->bits, addr,
			      (unsigned long)kept_bits(f, pte));
		c->differences++;
		return false;
	}
	if (e->bytes && memcmp(e->bytes, pfn_address(s->ctx->frames, pte_pfn(f, pte)), e->size)) {
		print_message("# the page at %lx is another\n", addr);
		c->differences++;
	}
	return true;
}

static int count_vma(void *arg, const struct mm_vma_info *vma)
{
	struct shot *shot = arg;

	shot->vma[shot->vmas++] = *vma;
	return 0;
}

static void take_shot(struct scene *s)
{
	struct shot *shot = &s->shot;
	unsigned long entries;

	shot->entry = calloc(MAX_PAGES, sizeof(*shot->entry));
	shot->vma = calloc(2 * MAPPINGS, sizeof(*shot->vma));
	assert_non_null(shot->entry);
	assert_non_null(shot->vma);
	mm_for_each_vma(s->mm, count_vma, shot);
	entries = each_entry(s->mm, take_down, s);
	assert_int_equal(entries, shot->count);
	assert_true(shot->count < MAX_PAGES - 1);
	mm_read_counters(s->mm, &shot->counters);
	platform_read_stats(s->ctx->pf, &shot->stats);
	shot->committed = mm_context_committed(s->ctx);
	shot->open = s->device_open;
}

static int compare_vma(void *arg, const struct mm_vma_info *vma)
{
	struct comparison *c = arg;
	const struct mm_vma_info *was = &c->s->shot.vma[c->at++];

	c->differences += memcmp(vma, was, sizeof(*vma)) != 0;
	return 0;
}

static unsigned long compare_numbers(struct scene *s)
{
	struct mm_counters counters;
	struct platform_stats stats;
	unsigned long differences = 0;

	mm_read_counters(s->mm, &counters);
	platform_read_stats(s->ctx->pf, &stats);
	stats.attempts = s->shot.stats.attempts;
	stats.failed = s->shot.stats.failed;
	differences += memcmp(&counters, &s->shot.counters, sizeof(counters)) != 0;
	differences += memcmp(&stats, &s->shot.stats, sizeof(stats)) != 0;
	differences += mm_context_committed(s->ctx) != s->shot.committed;
	differences += s->device_open != s->shot.open;
	if (differences)
		print_message("# frames %ld tables %ld vmas %ld nodes %ld chains %ld mms %ld; were %ld %ld %ld %ld %ld %ld\n",
			      stats.frames, stats.tables, stats.vmas, stats.nodes, stats.anon_chains, stats.mms,
			      s->shot.stats.frames, s->shot.stats.tables, s->shot.stats.vmas, s->shot.stats.nodes,
			      s->shot.stats.anon_chains, s->shot.stats.mms);
	return differences;
}

static unsigned long compare_parent(struct scene *s)
{
	struct comparison vmas = { .s = s }, entries = { .s = s };

	mm_for_each_vma(s->mm, compare_vma, &vmas);
	vmas.differences += vmas.at != s->shot.vmas;
	each_entry(s->mm, compare_entry, &entries);
	entries.differences += entries.at != s->shot.count;
	return vmas.differences + entries.differences + compare_numbers(s);
}

/* F4. What was shared for a while is the parent's alone again: writing what is there changes no frame. */
static void write_all(struct scene *s)
{
	for (unsigned long i = 0; i < s->shot.count; i++)
		if (s->shot.entry[i].may_write)
			assert_int_equal(mm_write(s->mm, s->shot.entry[i].addr, s->shot.entry[i].bytes, 1, NULL),
					 MM_FAULT_OK);
}

/* One point: the fork fails with @want, and nothing is other than it was. */
static void failed(struct scene *s, int err, int want, const struct mm_struct *child)
{
	assert_int_equal(err, want);
	assert_null(child);
	assert_int_equal(compare_parent(s), 0);
	write_all(s);
	assert_int_equal(compare_parent(s), 0);
}

/* The sweep ------------------------------------------------------------------ */

static unsigned long sweep_allocations(struct scene *s)
{
	struct mm_struct *child = NULL;
	long n;
	int err;

	for (n = 1;; n++) {
		platform_fail_nth(s->ctx->pf, n);
		err = mm_fork(s->mm, &child);
		platform_fail_nth(s->ctx->pf, 0);
		if (!err)
			break;
		failed(s, err, -ENOMEM, child);
	}
	mmput(child);
	return (unsigned long)n - 1;
}

/* The charge of each accounted mapping in turn is one page too much. */
static unsigned long sweep_charges(struct scene *s)
{
	struct mm_struct *child = NULL;
	unsigned long points = 0, before = 0;

	s->ctx->opt.overcommit = MM_OVERCOMMIT_NEVER;
	for (unsigned long i = 0; i < s->shot.vmas; i++) {
		const struct mm_vma_info *vma = &s->shot.vma[i];

		if (!(vma->flags & VM_ACCOUNT) || (vma->flags & VM_DONTCOPY))
			continue;
		before += (vma->end - vma->start) / PAGE;
		s->ctx->opt.commit_limit = s->shot.committed + before - 1;
		failed(s, mm_fork(s->mm, &child), -ENOMEM, child);
		points++;
	}
	s->ctx->opt.overcommit = MM_OVERCOMMIT_GUESS;
	return points;
}

static unsigned long sweep_signals(struct scene *s)
{
	struct mm_struct *child = NULL;
	unsigned long copied = 0;
	int err;

	for (unsigned long i = 0; i < s->shot.vmas; i++)
		copied += !(s->shot.vma[i].flags & VM_DONTCOPY);
	for (unsigned long k = 0; k < copied; k++) {
		s->signal_after = (long)k;
		err = mm_fork(s->mm, &child);
		platform_fail_nth(s->ctx->pf, 0);
		failed(s, err, -EINTR, child);
	}
	s->signal_after = -1;
	return copied;
}

/* What the program reads at @addr in both, without a fault that would change either. */
static unsigned long compare_child(struct scene *s, struct mm_struct *child)
{
	unsigned char *bytes = malloc(2 * MiB);
	unsigned long differences = 0, pages = 0;

	assert_non_null(bytes);
	for (unsigned long i = 0; i < s->shot.count; i++) {
		const struct entry *e = &s->shot.entry[i];
		const struct vm_area_struct *vma;

		if (!e->bytes)
			continue;
		mmap_read_lock(child);
		vma = vma_lookup(child, e->addr);
		mmap_read_unlock(child);
		if (!vma)
			continue;
		assert_int_equal(mm_read(child, e->addr, bytes, e->size, NULL), MM_FAULT_OK);
		if (vma->vm_flags & VM_WIPEONFORK)
			differences += bytes[0] != 0 || memcmp(bytes, bytes + 1, e->size - 1) != 0;
		else
			differences += memcmp(bytes, e->bytes, e->size) != 0;
		pages++;
	}
	free(bytes);
	assert_true(pages > 500);
	return differences;
}

static int check_child_vma(void *arg, const struct mm_vma_info *vma)
{
	struct comparison *c = arg;
	const struct mm_vma_info *was = &c->s->shot.vma[c->at++];

	while (was->flags & VM_DONTCOPY)
		was = &c->s->shot.vma[c->at++];
	c->differences += vma->start != was->start || vma->end != was->end || vma->file != was->file ||
			  vma->offset != was->offset || vma->flags != (was->flags & ~(VM_LOCKED_MASK | VM_UFFD_MASK));
	return 0;
}

/* None of the kinds has got lost on the way here. */
static void assert_every_kind(struct scene *s)
{
	static const vm_flags_t kinds[] = { VM_SHARED, VM_LOCKED, VM_WIPEONFORK, VM_DONTCOPY, VM_GROWSDOWN, VM_SEALED,
					    VM_UFFD_MISSING, VM_UFFD_WP, VM_DROPPABLE, VM_HUGETLB };
	enum pt_format f = s->mm->pt->geo->format;
	unsigned long swapped = 0, guards = 0, huge = 0;

	for (unsigned long k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		unsigned long count = 0;

		for (unsigned long i = 0; i < s->shot.vmas; i++)
			count += (s->shot.vma[i].flags & kinds[k]) != 0;
		assert_true(count >= 4);
	}
	for (unsigned long i = 0; i < s->shot.count; i++) {
		const struct entry *e = &s->shot.entry[i];

		swapped += pte_is_swap(f, (pte_t){ e->bits });
		guards += pte_is_guard(f, (pte_t){ e->bits });
		huge += e->size == 2 * MiB;
	}
	print_message("# %lu swapped out, %lu guards, %lu huge, %lu pinned, %ld of a driver\n", swapped, guards, huge,
		      s->nr_pinned, s->shot.open);
	assert_true(swapped >= 20 && guards >= 20 && huge == 3);
	assert_true(s->nr_pinned >= 50 && s->shot.open >= 50);
}

static void every_point(void **state)
{
	struct scene *s = *state;
	struct comparison vmas = { .s = s };
	unsigned long allocations, charges, signals;
	struct mm_struct *child;

	take_shot(s);
	write_all(s);
	assert_int_equal(compare_parent(s), 0);
	assert_true(s->shot.vmas >= 1000);
	assert_every_kind(s);
	signals = sweep_signals(s);
	charges = sweep_charges(s);
	allocations = sweep_allocations(s);
	print_message("# note: a fork of %lu mappings and %lu entries failed at %lu allocations, %lu charges, "
		      "%lu signals: 0 differences\n", s->shot.vmas, s->shot.count, allocations, charges, signals);

	assert_int_equal(mm_fork(s->mm, &child), 0);
	mm_for_each_vma(child, check_child_vma, &vmas);
	assert_int_equal(vmas.differences, 0);
	assert_int_equal(compare_child(s, child), 0);
	mmput(child);
	assert_true(allocations + charges + signals > 3000);
}

static int teardown(void **state)
{
	struct scene *s = *state;
	struct platform_stats before, after, stats;

	for (unsigned long i = 0; i < s->shot.count; i++)
		free(s->shot.entry[i].bytes);
	free(s->shot.entry);
	free(s->shot.vma);
	for (unsigned long i = 0; i < s->nr_pinned; i++)
		mm_unpin(s->ctx, s->pinned[i], false);
	/* H1, D6. Exit allocates nothing: it does not even try. */
	platform_read_stats(s->ctx->pf, &before);
	platform_fail_nth(s->ctx->pf, -1);
	mmput(s->mm);
	platform_read_stats(s->ctx->pf, &after);
	for (int i = 0; i < 2; i++)
		vm_file_put(s->file[i]);
	vm_file_put(s->device);
	platform_fail_nth(s->ctx->pf, 0);
	for (int i = 0; i < DEVICE_FRAMES; i++)
		mm_unpin(s->ctx, s->device_frame[i], false);
	platform_read_stats(s->ctx->pf, &stats);
	if (after.attempts != before.attempts || s->device_open) {
		print_message("# exit tried %lu allocations and left %ld mappings of the device\n",
			      after.attempts - before.attempts, s->device_open);
		return -1;
	}
	if (stats.frames || stats.tables || stats.vmas || stats.nodes || stats.anon_vmas || stats.anon_chains ||
	    stats.mms || stats.files || stats.swap_slots)
		return -1;
	mm_context_destroy(s->ctx);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(every_point, setup, teardown) };

	return cmocka_run_group_tests_name("fork_sweep", tests, NULL, NULL);
}
