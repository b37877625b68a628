/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "report.h"

/* Text -------------------------------------------------------------------- */

static void line(FILE *out, const char *label, unsigned long value)
{
	fprintf(out, "  %-22s %12lu\n", label, value);
}

static void text_line(FILE *out, const char *label, const char *value)
{
	if (value)
		fprintf(out, "  %-22s %12s\n", label, value);
}

static unsigned long all_calls(const struct mirror_stats *stats)
{
	unsigned long sum = 0;

	for (int i = 0; i < CALL_NR_KINDS; i++)
		sum += stats->calls[i];
	return sum;
}

static void print_calls(FILE *out, const struct mirror_stats *stats)
{
	line(out, "calls", all_calls(stats));
	for (int i = 0; i < CALL_NR_KINDS; i++)
		if (stats->calls[i])
			fprintf(out, "    %-20s %12lu\n", call_name((enum call_kind)i), stats->calls[i]);
	line(out, "calls that failed", stats->failed_calls);
}

static void print_predicted(FILE *out, const struct mirror_stats *stats)
{
	fprintf(out, "  %-22s %12lu of %lu", "addresses predicted", stats->predicted, stats->searched);
	if (stats->searched)
		fprintf(out, " (%.1f %%)", 100.0 * (double)stats->predicted / (double)stats->searched);
	fputc('\n', out);
}

void report_summary(FILE *out, const struct mirror_stats *stats, const struct report_info *info)
{
	fprintf(out, "samara: %s\n", info->title ? info->title : "summary");
	text_line(out, "verify", info->verify);
	text_line(out, "faults from", info->faults);
	line(out, "address spaces", stats->processes);
	print_calls(out, stats);
	line(out, "mappings now", stats->vmas_now);
	line(out, "mappings at peak", stats->vmas_peak);
	line(out, "splits", stats->splits);
	line(out, "merges", stats->merges);
	line(out, "faults", stats->faults);
	line(out, "stack growths", stats->stack_growths);
	print_predicted(out, stats);
	line(out, "comparisons", stats->comparisons);
	line(out, "explained", stats->explained);
	line(out, "adopted", stats->adopted);
	line(out, "divergences", stats->divergences);
	if (info->seconds > 0)
		fprintf(out, "  %-22s %12.3f s\n", "time", info->seconds);
}

/* JSON -------------------------------------------------------------------- */

/* Each setter remembers that one failed; the object is then not written. */
struct object {
	json_t *json;
	bool failed;
};

static void set(struct object *o, const char *key, json_t *value)
{
	/* Takes over @value, which is NULL when there was no memory for it. */
	if (json_object_set_new(o->json, key, value))
		o->failed = true;
}

static void set_number(struct object *o, const char *key, unsigned long value)
{
	set(o, key, json_integer((json_int_t)value));
}

/* A program's arguments may be any bytes; JSON holds text only. */
static void set_text(struct object *o, const char *key, const char *value)
{
	json_t *text;

	if (!value)
		return;
	text = json_string(value);
	if (!text) {
		char clean[1024];
		size_t i;

		for (i = 0; i < sizeof(clean) - 1 && value[i]; i++)
			clean[i] = (value[i] & 0x80) ? '?' : value[i];
		clean[i] = 0;
		text = json_string(clean);
	}
	set(o, key, text);
}

static void set_calls(struct object *o, const struct mirror_stats *stats)
{
	struct object calls = { .json = json_object() };

	for (int i = 0; i < CALL_NR_KINDS; i++)
		if (stats->calls[i])
			set_number(&calls, call_name((enum call_kind)i), stats->calls[i]);
	if (calls.failed)
		o->failed = true;
	set(o, "calls", calls.json);
}

static void set_figures(struct object *o, const struct mirror_stats *stats)
{
	set_number(o, "address_spaces", stats->processes);
	set_calls(o, stats);
	set_number(o, "failed_calls", stats->failed_calls);
	set_number(o, "mappings_now", stats->vmas_now);
	set_number(o, "mappings_peak", stats->vmas_peak);
	set_number(o, "splits", stats->splits);
	set_number(o, "merges", stats->merges);
	set_number(o, "faults", stats->faults);
	set_number(o, "stack_growths", stats->stack_growths);
	set_number(o, "searched", stats->searched);
	set_number(o, "predicted", stats->predicted);
	set_number(o, "comparisons", stats->comparisons);
	set_number(o, "explained", stats->explained);
	set_number(o, "adopted", stats->adopted);
	set_number(o, "divergences", stats->divergences);
}

int report_write_json(const char *path, const json_t *json)
{
	bool standard = !strcmp(path, "-");
	FILE *out = standard ? stdout : fopen(path, "we");
	int err = 0;

	if (!out)
		return -errno;
	errno = 0;
	if (json_dumpf(json, out, JSON_INDENT(2) | JSON_PRESERVE_ORDER) || fputc('\n', out) == EOF)
		err = errno ? -errno : -EIO;
	if (standard ? fflush(out) : fclose(out))
		err = err ? err : -errno;
	return err;
}

int report_json(const char *path, const struct mirror_stats *stats, const struct report_info *info)
{
	struct object o = { .json = json_object() };
	int err;

	set_text(&o, "title", info->title);
	set_text(&o, "verify", info->verify);
	set_text(&o, "faults_from", info->faults);
	set_figures(&o, stats);
	if (info->seconds > 0)
		set(&o, "seconds", json_real(info->seconds));
	err = o.failed ? -ENOMEM : report_write_json(path, o.json);
	json_decref(o.json);
	return err;
}
