/* SPDX-License-Identifier: MIT */
/*
 * Address spaces with page tables, for tests: a context with frames, one address space on one kind of
 * hardware, and the pages of a window by number. page_test(f) runs f on each kind.
 */
#ifndef SAMARA_TESTS_WORLD_H
#define SAMARA_TESTS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

#include "mm/mm.h"
#include "mmu/mmu.h"

#define WINDOW 0x200000000UL
#define AT(page) (WINDOW + (unsigned long)(page) * PAGE_SIZE)
#define RW (PROT_READ | PROT_WRITE)
#define FRAMES 4096UL

struct world {
	struct mm_context *ctx;
	struct mm_struct *mm;
	enum mm_geometry geometry;
	unsigned long complaints;	/* lines of the log */
};

int world_setup(void **state);
int world_teardown(void **state);	/* asserts that every frame, table, slot and object has come back */

extern const enum mm_geometry world_geometries[5];

#define page_test_on(f, n)                                                                           \
	{ .name = #f "/" #n, .test_func = f, .setup_func = world_setup, .teardown_func = world_teardown, \
	  .initial_state = (void *)&world_geometries[n] }
#define page_test(f) \
	page_test_on(f, 0), page_test_on(f, 1), page_test_on(f, 2), page_test_on(f, 3), page_test_on(f, 4)

static inline struct world *world_of(void **state)
{
	return *state;
}

/** Map @count pages at page @at: private memory, or of @file from its page @index on. */
void map_anon(struct mm_struct *mm, unsigned long at, unsigned long count, unsigned long prot);
void map_file(struct mm_struct *mm, unsigned long at, unsigned long count, unsigned long prot, unsigned long flags,
	      struct vm_file *file, unsigned long index);

/** An open file; page n of it is filled with bytes of 'a' + n % 16, unless @info says otherwise. */
struct vm_file *world_file(struct mm_context *ctx, const struct vm_file_info *extra);

/** Touch the first byte of a page; put and get one byte of it. The latter two must succeed. */
enum mm_fault touch(struct mm_struct *mm, unsigned long page, enum mm_access access);
void put_byte(struct mm_struct *mm, unsigned long page, unsigned char value);
unsigned char get_byte(struct mm_struct *mm, unsigned long page);

struct mm_page_info info_of(struct mm_struct *mm, unsigned long page);

/** One letter a page: . nothing  0 the zero page  a private  A private and writable  f of a file  F the same, writable
 *  s swapped  g guard */
const char *draw_pages(struct mm_struct *mm, unsigned long at, unsigned long count);
#define pages_are(mm, at, drawing) assert_string_equal(draw_pages(mm, at, strlen(drawing)), drawing)

/** All tables, counters and frames of @mms (up to a NULL) are as they must be. */
#define valid(ctx, ...) assert_valid(ctx, (struct mm_struct *[]){ __VA_ARGS__, NULL }, __FILE__, __LINE__)
void assert_valid(struct mm_context *ctx, struct mm_struct **mms, const char *file, int line);

#endif
