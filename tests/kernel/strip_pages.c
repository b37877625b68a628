/* SPDX-License-Identifier: MIT */
/* The steps of tests/unit/pages.c, each made on the running kernel too, pages and their contents compared. */
#define STRIP_KERNEL
#include "unit/pages.c"
