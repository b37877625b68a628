/* SPDX-License-Identifier: MIT */
/* The drawings of tests/unit/merge.c, each call made on the running kernel too and compared. */
#define STRIP_KERNEL
#include "unit/merge.c"
