/* SPDX-License-Identifier: MIT */
/* Numbers of the x86-64 kernel interface that the packaged headers are too old for. */
#ifndef SAMARA_TOOLS_TRACER_NUMBERS_H
#define SAMARA_TOOLS_TRACER_NUMBERS_H

#include <stdint.h>
#include <sys/ioctl.h>

#define NR_SET_MEMPOLICY_HOME_NODE 450
#define NR_MAP_SHADOW_STACK 453
#define NR_MSEAL 462

#define NR_PR_SET_MDWE 65

/* pidfd_open(): one thread, not its whole process. */
#define NR_PIDFD_THREAD 0200		/* the value of O_EXCL */

/* PAGEMAP_SCAN: which pages of a range are of some kind. */
struct nr_pm_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

struct nr_page_region {
	uint64_t start, end, categories;
};

#define NR_PAGEMAP_SCAN _IOWR('f', 16, struct nr_pm_scan)
#define NR_PAGE_IS_FILE (1 << 2)
#define NR_PAGE_IS_PRESENT (1 << 3)
#define NR_PAGE_IS_SWAPPED (1 << 4)
#define NR_PAGE_IS_PFNZERO (1 << 5)

#endif
