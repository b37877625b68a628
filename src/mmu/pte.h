/* SPDX-License-Identifier: MIT */
/*
 * Entries of page tables, in the bits that the hardware reads.
 *
 * Every function takes the format first, as a constant where speed matters: a walk is written once as an
 * inline body and compiled for each format (pt_dispatch()).
 *
 * An entry whose bit 0 is clear means nothing to any of the three:
 *
 *   none      all bits 0
 *   protnone  a leaf with bit 0 clear and one bit more set, everything else in place: a page that no
 *             access reaches, since its mapping allows none
 *   swap      63      58 57                        12 11      5    4     3   1  0
 *            |   0      |           slot             |   0    | soft | type=1 | 0 |     soft: soft-dirty
 *   guard     the same with type=2, no slot: a touch is SIGSEGV, MADV_DONTNEED leaves it
 *
 * x86-64, a page of 4 KiB (7 is PS in an entry one level up that maps 2 MiB):
 *   63 62    59 58  52 51             12 11  10   9  8  7   6 5  4   3   2  1 0
 *  |XD|  key   |  0   | frame           | 0 |sd|spc|G |PAT|D|A|PCD|PWT|US|RW|P|      protnone: P=0, G=1
 *
 * arm64, 4 KiB granule, stage 1, level 3 (a block of 2 MiB at level 2 has bit 1 clear):
 *   58 57  56  55  54  53 52  51  50 48 47           12 11 10  9 8 7 6 5 4  2 1 0
 *  |pn|sd|spc|swd|UXN|PXN|Co|DBM|  0   | frame          |nG|AF| SH | AP |NS|attr|1|1|
 *   AP[2] (bit 7) is read-only, AP[1] (bit 6) user. Where DBM is set, hardware clears AP[2] at the first
 *   write: so DBM says writable, and DBM without AP[2] dirty. swd keeps "dirty" when write access is taken.
 *
 * riscv64, Sv39 and Sv48:
 *   63 62 61 60 54 53            10  9   8   7 6 5 4 3 2 1 0
 *  |N | PBMT |  0  | frame          |sd|spc|D|A|G|U|X|W|R|V|                         protnone: V=0, G=1
 *   R, W and X all clear: the entry points to a table.
 *
 * Bits that hardware leaves to software: spc (special: no counted frame), sd (soft-dirty), swd, pn (protnone).
 */
#ifndef SAMARA_MMU_PTE_H
#define SAMARA_MMU_PTE_H

#include <stdbool.h>
#include <stdint.h>

#include "vma/vma.h"

enum pt_format { PT_X86, PT_ARM64, PT_RISCV };

#define PT_LEVEL_BITS 9
#define PT_ENTRIES (1UL << PT_LEVEL_BITS)
#define PT_MAX_LEVELS 5
/* Leaves lie at level 0 (4 KiB) and level 1 (2 MiB). */
#define PT_SHIFT(level) (PAGE_SHIFT + PT_LEVEL_BITS * (unsigned int)(level))
/* Bytes that an entry of that level covers. */
#define PT_SPAN(level) (1UL << PT_SHIFT(level))
#define PT_INDEX(addr, level) (((addr) >> PT_SHIFT(level)) & (PT_ENTRIES - 1))

typedef uint32_t pfn_t;		/* number of a frame of 4 KiB: its offset in the pool / 4096 */
typedef struct {
	uint64_t v;
} pte_t;

#define PTE_FN static inline __attribute__((always_inline))

/*
 * return BODY(format, ...), with the format a constant in each of three copies. BODY is always-inline.
 */
#define pt_dispatch(format, body, ...)                        \
	do {                                                  \
		switch (format) {                             \
		case PT_X86:                                  \
			return body(PT_X86, __VA_ARGS__);     \
		case PT_ARM64:                                \
			return body(PT_ARM64, __VA_ARGS__);   \
		default:                                      \
			return body(PT_RISCV, __VA_ARGS__);   \
		}                                             \
	} while (0)

/* Bits -------------------------------------------------------------------- */

#define PTE_BIT(n) (1ULL << (n))

#define PTE_PRESENT PTE_BIT(0)	/* P, valid, V: the same bit in all three */

#define X86_RW PTE_BIT(1)
#define X86_USER PTE_BIT(2)
#define X86_ACCESSED PTE_BIT(5)
#define X86_DIRTY PTE_BIT(6)
#define X86_PS PTE_BIT(7)
#define X86_GLOBAL PTE_BIT(8)
#define X86_SPECIAL PTE_BIT(9)
#define X86_SOFT_DIRTY PTE_BIT(10)
#define X86_XD PTE_BIT(63)
#define X86_FRAME 0x000ffffffffff000ULL

#define ARM64_TABLE PTE_BIT(1)	/* a table above level 3, a page in it; clear in a block */
#define ARM64_AP_USER PTE_BIT(6)
#define ARM64_AP_RDONLY PTE_BIT(7)
#define ARM64_SH_INNER (3ULL << 8)
#define ARM64_AF PTE_BIT(10)
#define ARM64_NG PTE_BIT(11)
#define ARM64_DBM PTE_BIT(51)
#define ARM64_PXN PTE_BIT(53)
#define ARM64_UXN PTE_BIT(54)
#define ARM64_SW_DIRTY PTE_BIT(55)
#define ARM64_SPECIAL PTE_BIT(56)
#define ARM64_SOFT_DIRTY PTE_BIT(57)
#define ARM64_PROTNONE PTE_BIT(58)
#define ARM64_FRAME 0x0000fffffffff000ULL
/* Attribute 0 of MAIR_EL1, which an embedder makes normal write-back memory. */
#define ARM64_USER_PAGE (ARM64_AP_USER | ARM64_SH_INNER | ARM64_NG | ARM64_PXN)

#define RISCV_R PTE_BIT(1)
#define RISCV_W PTE_BIT(2)
#define RISCV_X PTE_BIT(3)
#define RISCV_USER PTE_BIT(4)
#define RISCV_GLOBAL PTE_BIT(5)
#define RISCV_ACCESSED PTE_BIT(6)
#define RISCV_DIRTY PTE_BIT(7)
#define RISCV_SPECIAL PTE_BIT(8)
#define RISCV_SOFT_DIRTY PTE_BIT(9)
#define RISCV_FRAME 0x003ffffffffffc00ULL
#define RISCV_LEAF (RISCV_R | RISCV_W | RISCV_X)

/* Entries that are neither present nor a page that is held. */
#define PTE_TYPE_SHIFT 1
#define PTE_TYPE_MASK (7ULL << PTE_TYPE_SHIFT)
#define PTE_TYPE_SWAP (1ULL << PTE_TYPE_SHIFT)
#define PTE_TYPE_GUARD (2ULL << PTE_TYPE_SHIFT)
#define PTE_AWAY_SOFT_DIRTY PTE_BIT(4)
#define PTE_SLOT_SHIFT 12
#define PTE_SLOT_BITS 46

PTE_FN uint64_t pte_pick(enum pt_format f, uint64_t x86, uint64_t arm64, uint64_t riscv)
{
	return f == PT_X86 ? x86 : f == PT_ARM64 ? arm64 : riscv;
}

PTE_FN uint64_t pte_protnone_bit(enum pt_format f)
{
	return pte_pick(f, X86_GLOBAL, ARM64_PROTNONE, RISCV_GLOBAL);
}

PTE_FN uint64_t pte_special_bit(enum pt_format f)
{
	return pte_pick(f, X86_SPECIAL, ARM64_SPECIAL, RISCV_SPECIAL);
}

PTE_FN uint64_t pte_soft_dirty_bit(enum pt_format f)
{
	return pte_pick(f, X86_SOFT_DIRTY, ARM64_SOFT_DIRTY, RISCV_SOFT_DIRTY);
}

PTE_FN uint64_t pte_accessed_bit(enum pt_format f)
{
	return pte_pick(f, X86_ACCESSED, ARM64_AF, RISCV_ACCESSED);
}

PTE_FN uint64_t pte_frame_mask(enum pt_format f)
{
	return pte_pick(f, X86_FRAME, ARM64_FRAME, RISCV_FRAME);
}

PTE_FN unsigned int pte_frame_shift(enum pt_format f)
{
	return f == PT_RISCV ? 10 : PAGE_SHIFT;
}

/* Asking ------------------------------------------------------------------ */

PTE_FN bool pte_none(pte_t pte)
{
	return !pte.v;
}

/* Hardware may use it. */
PTE_FN bool pte_present(pte_t pte)
{
	return pte.v & PTE_PRESENT;
}

PTE_FN bool pte_protnone(enum pt_format f, pte_t pte)
{
	return !(pte.v & PTE_PRESENT) && (pte.v & pte_protnone_bit(f));
}

/* It names a frame: present or protnone. At a level above 0, a leaf if it is not a table. */
PTE_FN bool pte_has_page(enum pt_format f, pte_t pte)
{
	return pte_present(pte) || pte_protnone(f, pte);
}

PTE_FN bool pte_is_swap(enum pt_format f, pte_t pte)
{
	return !pte_has_page(f, pte) && (pte.v & PTE_TYPE_MASK) == PTE_TYPE_SWAP;
}

PTE_FN bool pte_is_guard(enum pt_format f, pte_t pte)
{
	return !pte_has_page(f, pte) && (pte.v & PTE_TYPE_MASK) == PTE_TYPE_GUARD;
}

PTE_FN unsigned long pte_swap_slot(pte_t pte)
{
	return (pte.v >> PTE_SLOT_SHIFT) & ((1UL << PTE_SLOT_BITS) - 1);
}

/* In a table above level 0: whether the entry points to the table below. */
PTE_FN bool pte_is_table(enum pt_format f, pte_t pte)
{
	if (f == PT_X86)
		return (pte.v & (PTE_PRESENT | X86_PS)) == PTE_PRESENT;
	if (f == PT_ARM64)
		return (pte.v & (PTE_PRESENT | ARM64_TABLE)) == (PTE_PRESENT | ARM64_TABLE);
	return (pte.v & (PTE_PRESENT | RISCV_LEAF)) == PTE_PRESENT;
}

/* Of an entry that names a frame or a table. */
PTE_FN pfn_t pte_pfn(enum pt_format f, pte_t pte)
{
	return (pfn_t)((pte.v & pte_frame_mask(f)) >> pte_frame_shift(f));
}

PTE_FN bool pte_write(enum pt_format f, pte_t pte)
{
	return pte.v & pte_pick(f, X86_RW, ARM64_DBM, RISCV_W);
}

PTE_FN bool pte_exec(enum pt_format f, pte_t pte)
{
	return f == PT_RISCV ? (pte.v & RISCV_X) != 0 : !(pte.v & (f == PT_X86 ? X86_XD : ARM64_UXN));
}

PTE_FN bool pte_young(enum pt_format f, pte_t pte)
{
	return pte.v & pte_accessed_bit(f);
}

PTE_FN bool pte_dirty(enum pt_format f, pte_t pte)
{
	if (f == PT_ARM64)
		return (pte.v & ARM64_SW_DIRTY) || (pte.v & (ARM64_DBM | ARM64_AP_RDONLY)) == ARM64_DBM;
	return pte.v & (f == PT_X86 ? X86_DIRTY : RISCV_DIRTY);
}

PTE_FN bool pte_special(enum pt_format f, pte_t pte)
{
	return pte_has_page(f, pte) && (pte.v & pte_special_bit(f));
}

/* Of any entry that is not none; a guard has never been written to. */
PTE_FN bool pte_soft_dirty(enum pt_format f, pte_t pte)
{
	return pte.v & (pte_has_page(f, pte) ? pte_soft_dirty_bit(f) : PTE_AWAY_SOFT_DIRTY);
}

/* Changing ---------------------------------------------------------------- */

PTE_FN pte_t pte_set_bits(pte_t pte, uint64_t bits)
{
	return (pte_t){ pte.v | bits };
}

PTE_FN pte_t pte_clear_bits(pte_t pte, uint64_t bits)
{
	return (pte_t){ pte.v & ~bits };
}

PTE_FN pte_t pte_mkyoung(enum pt_format f, pte_t pte)
{
	return pte_set_bits(pte, pte_accessed_bit(f));
}

PTE_FN pte_t pte_mkold(enum pt_format f, pte_t pte)
{
	return pte_clear_bits(pte, pte_accessed_bit(f));
}

PTE_FN pte_t pte_mkdirty(enum pt_format f, pte_t pte)
{
	if (f != PT_ARM64)
		return pte_set_bits(pte, f == PT_X86 ? X86_DIRTY : RISCV_DIRTY);
	return pte.v & ARM64_DBM ? pte_clear_bits(pte, ARM64_AP_RDONLY) : pte_set_bits(pte, ARM64_SW_DIRTY);
}

PTE_FN pte_t pte_mkclean(enum pt_format f, pte_t pte)
{
	if (f != PT_ARM64)
		return pte_clear_bits(pte, f == PT_X86 ? X86_DIRTY : RISCV_DIRTY);
	return pte_set_bits(pte_clear_bits(pte, ARM64_SW_DIRTY), ARM64_AP_RDONLY);
}

PTE_FN pte_t pte_mkwrite(enum pt_format f, pte_t pte)
{
	if (f != PT_ARM64)
		return pte_set_bits(pte, f == PT_X86 ? X86_RW : RISCV_W | RISCV_R);
	pte = pte_set_bits(pte, ARM64_DBM);
	if (pte.v & ARM64_SW_DIRTY)
		pte = pte_clear_bits(pte, ARM64_SW_DIRTY | ARM64_AP_RDONLY);
	return pte;
}

PTE_FN pte_t pte_wrprotect(enum pt_format f, pte_t pte)
{
	if (f != PT_ARM64)
		return pte_clear_bits(pte, f == PT_X86 ? X86_RW : RISCV_W);
	if (pte_dirty(f, pte))
		pte = pte_set_bits(pte, ARM64_SW_DIRTY);
	return pte_set_bits(pte_clear_bits(pte, ARM64_DBM), ARM64_AP_RDONLY);
}

/* No counted frame: the zero page, or a driver's own memory. */
PTE_FN pte_t pte_mkspecial(enum pt_format f, pte_t pte)
{
	return pte_set_bits(pte, pte_special_bit(f));
}

PTE_FN pte_t pte_mksoft_dirty(enum pt_format f, pte_t pte)
{
	return pte_set_bits(pte, pte_has_page(f, pte) ? pte_soft_dirty_bit(f) : PTE_AWAY_SOFT_DIRTY);
}

PTE_FN pte_t pte_clear_soft_dirty(enum pt_format f, pte_t pte)
{
	return pte_clear_bits(pte, pte_has_page(f, pte) ? pte_soft_dirty_bit(f) : PTE_AWAY_SOFT_DIRTY);
}

PTE_FN uint64_t pte_frame_bits(enum pt_format f, pfn_t pfn)
{
	return (uint64_t)pfn << pte_frame_shift(f);
}

/* What @prot, of VM_READ, VM_WRITE and VM_EXEC, allows: all but frame, accessed, dirty and software's bits. */
PTE_FN uint64_t pte_prot_bits(enum pt_format f, unsigned int level, vm_flags_t prot)
{
	uint64_t none = prot & VM_ACCESS_FLAGS ? PTE_PRESENT : pte_protnone_bit(f);

	if (f == PT_X86)
		return none | X86_USER | (prot & VM_WRITE ? X86_RW : 0) | (prot & VM_EXEC ? 0 : X86_XD) |
		       (level ? X86_PS : 0);
	if (f == PT_ARM64)
		return none | ARM64_USER_PAGE | ARM64_AP_RDONLY | (prot & VM_WRITE ? ARM64_DBM : 0) |
		       (prot & VM_EXEC ? 0 : ARM64_UXN) | (level ? 0 : ARM64_TABLE);
	return none | RISCV_USER | RISCV_R | (prot & VM_WRITE ? RISCV_W : 0) | (prot & VM_EXEC ? RISCV_X : 0);
}

/* A leaf at @level: old, clean, and protnone if @prot allows no access. Whatever is accessible is readable. */
PTE_FN pte_t pte_mk(enum pt_format f, unsigned int level, pfn_t pfn, vm_flags_t prot)
{
	return (pte_t){ pte_frame_bits(f, pfn) | pte_prot_bits(f, level, prot) };
}

/* The same page with @prot exactly: accessed, dirty, special and soft-dirty stay. */
PTE_FN pte_t pte_modify(enum pt_format f, unsigned int level, pte_t pte, vm_flags_t prot)
{
	uint64_t keep = pte_frame_mask(f) | pte_accessed_bit(f) | pte_special_bit(f) | pte_soft_dirty_bit(f);
	pte_t out = { (pte.v & keep) | pte_prot_bits(f, level, prot) };

	return pte_dirty(f, pte) ? pte_mkdirty(f, out) : out;
}

PTE_FN pte_t pte_mk_table(enum pt_format f, pfn_t pfn)
{
	return (pte_t){ pte_frame_bits(f, pfn) |
			pte_pick(f, PTE_PRESENT | X86_RW | X86_USER, PTE_PRESENT | ARM64_TABLE, PTE_PRESENT) };
}

PTE_FN pte_t pte_mk_swap(unsigned long slot)
{
	return (pte_t){ (uint64_t)slot << PTE_SLOT_SHIFT | PTE_TYPE_SWAP };
}

PTE_FN pte_t pte_mk_guard(void)
{
	return (pte_t){ PTE_TYPE_GUARD };
}

/* In memory --------------------------------------------------------------- */

/* A walker that holds no lock follows what it loads: pairs with the release of whoever stored it. */
PTE_FN pte_t pte_load(const pte_t *ptep)
{
	return (pte_t){ __atomic_load_n(&ptep->v, __ATOMIC_ACQUIRE) };
}

PTE_FN void pte_store(pte_t *ptep, pte_t pte)
{
	__atomic_store_n(&ptep->v, pte.v, __ATOMIC_RELEASE);
}

/* Hardware may set accessed and dirty at any time: what it set last comes back here. */
PTE_FN pte_t pte_xchg(pte_t *ptep, pte_t pte)
{
	return (pte_t){ __atomic_exchange_n(&ptep->v, pte.v, __ATOMIC_ACQ_REL) };
}

PTE_FN bool pte_cmpxchg(pte_t *ptep, pte_t *old, pte_t pte)
{
	return __atomic_compare_exchange_n(&ptep->v, &old->v, pte.v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

#endif
