/* SPDX-License-Identifier: MIT */
/*
 * Entries of page tables: the bits against the layouts of the architecture manuals (Intel SDM volume 3,
 * 4.5; Arm ARM D8.3; RISC-V privileged 12.3), written out as numbers here; and that what is put in comes out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mmu/pte.h"

#define R VM_READ
#define W VM_WRITE
#define X VM_EXEC

/* Frame 0x12345 is at byte 0x12345000, which x86-64 and arm64 have in place, and riscv64 shifted right by 2. */
#define FRAME 0x12345

static void x86_leaf(void **state)
{
	/* P, US; XD unless executable; RW */
	assert_int_equal(pte_mk(PT_X86, 0, FRAME, R).v, 0x8000000012345005);
	assert_int_equal(pte_mk(PT_X86, 0, FRAME, R | W).v, 0x8000000012345007);
	assert_int_equal(pte_mk(PT_X86, 0, FRAME, R | X).v, 0x0000000012345005);
	assert_int_equal(pte_mk(PT_X86, 0, FRAME, R | W | X).v, 0x0000000012345007);
	/* PS for 2 MiB */
	assert_int_equal(pte_mk(PT_X86, 1, 0x12200, R | W).v, 0x8000000012200087);
	/* A, D, and the two of bits 9 to 11 that we take */
	assert_int_equal(pte_mkyoung(PT_X86, (pte_t){ 0 }).v, 0x20);
	assert_int_equal(pte_mkdirty(PT_X86, (pte_t){ 0 }).v, 0x40);
	assert_int_equal(pte_mkspecial(PT_X86, (pte_t){ 0 }).v, 0x200);
	assert_int_equal(pte_mksoft_dirty(PT_X86, (pte_t){ 1 }).v, 0x401);
	/* A table: P, RW, US; the leaves decide */
	assert_int_equal(pte_mk_table(PT_X86, FRAME).v, 0x12345007);
	assert_int_equal(pte_mk(PT_X86, 0, UINT32_MAX, R).v, 0x80000ffffffff005);
}

static void arm64_leaf(void **state)
{
	/* page 0b11, AP 0b11 (user, read-only), SH inner, nG, PXN, UXN; AF comes with mkyoung */
	assert_int_equal(pte_mk(PT_ARM64, 0, FRAME, R).v, 0x0060000012345bc3);
	/* writable and clean: DBM, still read-only */
	assert_int_equal(pte_mk(PT_ARM64, 0, FRAME, R | W).v, 0x0068000012345bc3);
	assert_int_equal(pte_mk(PT_ARM64, 0, FRAME, R | X).v, 0x0020000012345bc3);
	/* a block has bit 1 clear */
	assert_int_equal(pte_mk(PT_ARM64, 1, 0x12200, R | W).v, 0x0068000012200bc1);
	assert_int_equal(pte_mkyoung(PT_ARM64, (pte_t){ 0 }).v, 0x400);
	/* the first write clears AP[2] */
	assert_int_equal(pte_mkdirty(PT_ARM64, pte_mk(PT_ARM64, 0, FRAME, R | W)).v, 0x0068000012345b43);
	/* dirty without write access: software's bit 55 */
	assert_int_equal(pte_mkdirty(PT_ARM64, pte_mk(PT_ARM64, 0, FRAME, R)).v, 0x00e0000012345bc3);
	assert_int_equal(pte_mkspecial(PT_ARM64, (pte_t){ 0 }).v, 1ULL << 56);
	assert_int_equal(pte_mksoft_dirty(PT_ARM64, (pte_t){ 1 }).v, (1ULL << 57) + 1);
	assert_int_equal(pte_mk_table(PT_ARM64, FRAME).v, 0x12345003);
}

static void riscv_leaf(void **state)
{
	/* V, R, U; PPN from bit 10 */
	assert_int_equal(pte_mk(PT_RISCV, 0, FRAME, R).v, 0x48d1413);
	assert_int_equal(pte_mk(PT_RISCV, 0, FRAME, R | W).v, 0x48d1417);
	assert_int_equal(pte_mk(PT_RISCV, 0, FRAME, R | X).v, 0x48d141b);
	/* W without R is reserved */
	assert_int_equal(pte_mk(PT_RISCV, 0, FRAME, W).v, 0x48d1417);
	assert_int_equal(pte_mkwrite(PT_RISCV, (pte_t){ 1 }).v, 0x7);
	assert_int_equal(pte_mk(PT_RISCV, 1, 0x12200, R | W).v, 0x4880017);
	assert_int_equal(pte_mkyoung(PT_RISCV, (pte_t){ 0 }).v, 0x40);
	assert_int_equal(pte_mkdirty(PT_RISCV, (pte_t){ 0 }).v, 0x80);
	assert_int_equal(pte_mkspecial(PT_RISCV, (pte_t){ 0 }).v, 0x100);
	assert_int_equal(pte_mksoft_dirty(PT_RISCV, (pte_t){ 1 }).v, 0x201);
	/* a table: V alone */
	assert_int_equal(pte_mk_table(PT_RISCV, FRAME).v, 0x48d1401);
}

static const enum pt_format formats[] = { PT_X86, PT_ARM64, PT_RISCV };
#define for_each_format(f) for (unsigned int i_ = 0; i_ < 3 && ((f) = formats[i_], true); i_++)

/* An entry is of one kind only, in every format. */
static void is_of_one_kind(enum pt_format f, pte_t pte, const char *kind)
{
	bool table = pte_is_table(f, pte) && !strcmp(kind, "table");

	assert_int_equal(pte_none(pte), !strcmp(kind, "none"));
	assert_int_equal(pte_present(pte), !strcmp(kind, "leaf") || table);
	assert_int_equal(pte_protnone(f, pte), !strcmp(kind, "protnone"));
	assert_int_equal(pte_is_swap(f, pte), !strcmp(kind, "swap"));
	assert_int_equal(pte_is_guard(f, pte), !strcmp(kind, "guard"));
}

static void kinds(void **state)
{
	enum pt_format f;

	for_each_format(f) {
		is_of_one_kind(f, (pte_t){ 0 }, "none");
		is_of_one_kind(f, pte_mk_table(f, FRAME), "table");
		assert_true(pte_is_table(f, pte_mk_table(f, FRAME)));
		for (vm_flags_t prot = 0; prot < 8; prot++) {
			is_of_one_kind(f, pte_mk(f, 0, FRAME, prot), prot ? "leaf" : "protnone");
			is_of_one_kind(f, pte_mk(f, 1, 0x12200, prot), prot ? "leaf" : "protnone");
			assert_false(pte_is_table(f, pte_mk(f, 1, 0x12200, prot)));
		}
		is_of_one_kind(f, pte_mk_guard(), "guard");
		for (unsigned int bit = 0; bit < PTE_SLOT_BITS; bit++) {
			is_of_one_kind(f, pte_mk_swap(1UL << bit), "swap");
			assert_int_equal(pte_swap_slot(pte_mk_swap(1UL << bit)), 1UL << bit);
			assert_int_equal(pte_swap_slot(pte_mksoft_dirty(f, pte_mk_swap(1UL << bit))), 1UL << bit);
		}
		is_of_one_kind(f, pte_mk_swap(0), "swap");
	}
}

struct attributes {
	bool write, exec, young, dirty, special, soft_dirty;
};

static pte_t with(enum pt_format f, unsigned int level, pfn_t pfn, vm_flags_t prot, struct attributes a)
{
	pte_t pte = pte_mk(f, level, pfn, prot);

	pte = a.young ? pte_mkyoung(f, pte) : pte_mkold(f, pte);
	pte = a.dirty ? pte_mkdirty(f, pte) : pte_mkclean(f, pte);
	if (a.special)
		pte = pte_mkspecial(f, pte);
	return a.soft_dirty ? pte_mksoft_dirty(f, pte) : pte_clear_soft_dirty(f, pte);
}

static void has(enum pt_format f, pte_t pte, pfn_t pfn, struct attributes a)
{
	assert_int_equal(pte_pfn(f, pte), pfn);
	assert_int_equal(pte_write(f, pte), a.write);
	assert_int_equal(pte_exec(f, pte), a.exec);
	assert_int_equal(pte_young(f, pte), a.young);
	assert_int_equal(pte_dirty(f, pte), a.dirty);
	assert_int_equal(pte_special(f, pte), a.special);
	assert_int_equal(pte_soft_dirty(f, pte), a.soft_dirty);
}

static void changes_of(enum pt_format f, unsigned int level, pfn_t pfn, vm_flags_t prot, struct attributes a)
{
	pte_t pte = with(f, level, pfn, prot, a);
	struct attributes b = a;

	has(f, pte, pfn, a);
	b.write = false;
	has(f, pte_wrprotect(f, pte), pfn, b);
	has(f, pte_mkwrite(f, pte_wrprotect(f, pte)), pfn, (struct attributes){ .write = true, .exec = a.exec,
	    .young = a.young, .dirty = a.dirty, .special = a.special, .soft_dirty = a.soft_dirty });
	if (a.write)
		assert_int_equal(pte_mkwrite(f, pte_wrprotect(f, pte)).v, pte.v);
	b = a;
	b.dirty = false;
	has(f, pte_mkclean(f, pte), pfn, b);
	b.dirty = true;
	has(f, pte_mkdirty(f, pte_mkclean(f, pte)), pfn, b);
	for (vm_flags_t to = 0; to < 8; to++) {
		b = a;
		b.write = to & W;
		b.exec = to & X;
		has(f, pte_modify(f, level, pte, to), pfn, b);
		assert_int_equal(pte_protnone(f, pte_modify(f, level, pte, to)), to == 0);
		assert_int_equal(pte_modify(f, level, pte_modify(f, level, pte, to), prot).v, pte.v);
	}
}

/* Each attribute alone and with all others, through every change, at both levels. */
static void round_trips(void **state)
{
	static const pfn_t small[] = { 1, FRAME, UINT32_MAX }, huge[] = { 512, 0x12200, UINT32_MAX & ~511u };
	enum pt_format f;

	for_each_format(f)
		for (unsigned int n = 0; n < 128 * 2 * 3; n++) {
			unsigned int level = n / 128 % 2;
			pfn_t pfn = (level ? huge : small)[n / 256];
			vm_flags_t prot = n & 7;
			struct attributes a = { .write = prot & W, .exec = prot & X, .young = n & 8, .dirty = n & 16,
						.special = n & 32, .soft_dirty = n & 64 };

			changes_of(f, level, pfn, prot, a);
		}
}

/* A frame's bits touch no other bit, at any width that the pool can have. */
static void frames_fit(void **state)
{
	enum pt_format f;

	for_each_format(f)
		for (unsigned int bit = 0; bit < 32; bit++) {
			assert_int_equal(pte_pfn(f, pte_mk(f, 0, 1u << bit, 7)), 1u << bit);
			assert_int_equal(pte_pfn(f, pte_mk_table(f, 1u << bit)), 1u << bit);
			assert_int_equal(pte_mk(f, 0, 1u << bit, 7).v & ~pte_mk(f, 0, 0, 7).v & ~pte_frame_mask(f), 0);
		}
}

/* What is stored is loaded; an exchange gives what hardware has set meanwhile. */
static void in_memory(void **state)
{
	pte_t cell = { 0 }, old = pte_mk(PT_X86, 0, FRAME, R), seen;

	pte_store(&cell, old);
	assert_int_equal(pte_load(&cell).v, old.v);
	cell = pte_mkdirty(PT_X86, cell);
	seen = old;
	assert_false(pte_cmpxchg(&cell, &seen, (pte_t){ 0 }));
	assert_true(pte_dirty(PT_X86, seen));
	assert_int_equal(pte_xchg(&cell, (pte_t){ 0 }).v, seen.v);
	assert_true(pte_none(cell));
	assert_true(pte_cmpxchg(&cell, &(pte_t){ 0 }, old));
	assert_int_equal(cell.v, old.v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(x86_leaf),
		cmocka_unit_test(arm64_leaf),
		cmocka_unit_test(riscv_leaf),
		cmocka_unit_test(kinds),
		cmocka_unit_test(round_trips),
		cmocka_unit_test(frames_fit),
		cmocka_unit_test(in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
