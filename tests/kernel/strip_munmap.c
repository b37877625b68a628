/* SPDX-License-Identifier: MIT */
/* The drawings of tests/unit/munmap.c, each call made on the running kernel too and compared. */
#define STRIP_KERNEL
#include "unit/munmap.c"
