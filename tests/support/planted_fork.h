/* SPDX-License-Identifier: MIT */
/*
 * mm_fork() as it must not be: the library's own source, compiled once more, with one thing done at the wrong
 * time. For tests that show what they would find.
 *
 *   rmap    each mapping of the child enters the reverse maps as soon as it is stored, before its pages are there
 *   list    the child is on the context's list as soon as its tree is a copy of the parent's
 *   marker  a fork that fails leaves what it has made in the reverse maps, a marker behind it and the parent's
 *           entries behind that, and drops its locks; the pieces are taken away some time later
 */
#ifndef SAMARA_TESTS_PLANTED_FORK_H
#define SAMARA_TESTS_PLANTED_FORK_H

#include <samara/mm.h>

enum plant { PLANT_NOTHING, PLANT_EARLY_RMAP, PLANT_EARLY_LIST, PLANT_MARKER, NR_PLANTS };

/* As mm_fork(), but for what is planted. */
int planted_fork(enum plant plant, struct mm_struct *parent, struct mm_struct **out);

#endif
