/* SPDX-License-Identifier: MIT */
/* The kinds of hardware: how many levels, which format, how far a user's addresses reach. */
#include "mmu/mmu.h"

/*
 * A user has the lower half, less the last page where the hardware wants it so (x86-64). On all of them the root
 * is the user's as far as its addresses reach, so tables may be freed from the lowest address up to the top.
 */
static const struct pt_geometry geometries[] = {
	[MM_X86_64] = { "x86-64", PT_X86, 4, 0x7ffffffff000UL, 0, 0 },
	[MM_X86_64_LA57] = { "x86-64, 5 levels", PT_X86, 5, 0xfffffffffff000UL, 0, 0 },
	[MM_ARM64] = { "arm64", PT_ARM64, 4, 1UL << 48, 0, 0 },
	[MM_RISCV64_SV39] = { "riscv64 Sv39", PT_RISCV, 3, 1UL << 38, 0, 0 },
	[MM_RISCV64_SV48] = { "riscv64 Sv48", PT_RISCV, 4, 1UL << 47, 0, 0 },
};

const struct pt_geometry *pt_geometry(enum mm_geometry which)
{
	return (unsigned int)which < sizeof(geometries) / sizeof(geometries[0]) ? &geometries[which] : NULL;
}
