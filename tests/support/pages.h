/* SPDX-License-Identifier: MIT */
/*
 * Address spaces whose pages a test puts in by hand, below the calls: what floor 4 takes away, copies and moves is
 * drawn up here entry by entry.
 */
#ifndef SAMARA_TESTS_PAGES_H
#define SAMARA_TESTS_PAGES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mmu/mmu.h"

struct pages {
	struct mm_context *ctx;
	struct mm_struct *mm;
	struct frame_pool *pool;
	unsigned long complaints;	/* lines of the log */
	unsigned long flushes;		/* calls of the flush operation, by the test's own */
};

#define PAGES_FRAMES 8192

/* An address space of that kind of hardware, whose flush operation counts. */
void pages_begin(struct pages *p, enum mm_geometry geometry);
/* Asserts that nothing is left, and that nothing was complained about. */
void pages_end(struct pages *p);

#define PAGES_RW 3UL
/* A private anonymous mapping of @nr pages at @addr, tied to an anon_vma, as if it had been written to. */
struct vm_area_struct *pages_map(struct pages *p, unsigned long addr, unsigned long nr);
/* A fresh page at @addr, whose first word is its address. */
struct page *pages_put(struct pages *p, struct vm_area_struct *vma, unsigned long addr);
/* Any entry, at level 0. */
void pages_set(struct pages *p, unsigned long addr, pte_t pte);
/* The entry for @addr, or none. */
pte_t pages_entry(struct pages *p, unsigned long addr);
enum pt_format pages_format(const struct pages *p);
/* Work done since the last call. */
struct mmu_work pages_work(struct pages *p);
/* Its pages and tables go, the VMAs stay. */
void pages_unmap_all(struct pages *p);
/* The whole of what was mapped goes, VMAs too. */
void pages_clear(struct pages *p);
/* Tables of one address space, the root left out. */
unsigned long pages_tables(const struct pages *p);

/* The page that the entry for @addr names, or NULL. */
struct page *pages_at(struct pages *p, unsigned long addr);
/* Validators of mappings, entries and frames. */
void pages_validate(struct pages *p);
/* Run @test on each kind of hardware. */
void pages_on_each(void (*test)(struct pages *p));
/* Each kind of hardware. */
extern const enum mm_geometry pages_geometries[5];

#endif
