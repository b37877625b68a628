/* SPDX-License-Identifier: MIT */
/* The drawings of tests/unit/pkey.c, each call made on the running kernel too and compared. */
#define STRIP_KERNEL
#include "unit/pkey.c"
