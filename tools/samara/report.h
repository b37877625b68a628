/* SPDX-License-Identifier: MIT */
/* The summary at the end of run and replay: for people, and as JSON. */
#ifndef SAMARA_TOOLS_REPORT_H
#define SAMARA_TOOLS_REPORT_H

#include <stdio.h>

#include <jansson.h>

#include "mirror.h"

/* What the mirror's figures are about. Strings may be NULL: then the line or key is left out. */
struct report_info {
	const char *title;	/* the program and its arguments, or the trace file */
	const char *verify;	/* "each", "exit", "none" */
	const char *faults;	/* "perf", "none": where page faults were known from */
	double seconds;		/* wall time; 0: not measured */
};

/* Plain aligned text, without colour. */
void report_summary(FILE *out, const struct mirror_stats *stats, const struct report_info *info);

/* Any object, written to @path; "-" is standard output. Returns 0 or -errno of the write. */
int report_write_json(const char *path, const json_t *json);

/*
 * One object, written to @path; "-" is standard output. Returns 0, -ENOMEM, or
 * -errno of the write.
 */
int report_json(const char *path, const struct mirror_stats *stats, const struct report_info *info);

#endif
