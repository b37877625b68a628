/* SPDX-License-Identifier: MIT */
/* The drawings of tests/unit/huge_calls.c, each call made on the running kernel too and compared. */
#define STRIP_KERNEL
#include "unit/huge_calls.c"
