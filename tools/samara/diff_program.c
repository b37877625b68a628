/* SPDX-License-Identifier: MIT */
/* The text of diff_driver.c.in, for the programs that diff_write.c writes. */
#include "diff_parts.h"

const char diff_driver_text[] =
#include "diff_driver.inc"
;
