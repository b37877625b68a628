/* SPDX-License-Identifier: MIT */
/* The figures of samara diff: for people, and as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>

#include <jansson.h>

#include "diff.h"
#include "report.h"

static double rate(const struct diff_report *r)
{
	return r->seconds > 0 ? (double)r->compared / r->seconds : 0;
}

/* By enum mm_geometry. */
static const char *const geometries[] = { "x86-64", "x86-64-la57", "arm64", "sv39", "sv48" };

const char *diff_geometry_name(enum mm_geometry geometry)
{
	return geometry < sizeof(geometries) / sizeof(geometries[0]) ? geometries[geometry] : NULL;
}

/* Text -------------------------------------------------------------------- */

static void line(FILE *out, const char *label, unsigned long value)
{
	fprintf(out, "  %-22s %12lu\n", label, value);
}

static void print_valid(FILE *out, const struct diff_report *r)
{
	line(out, "validated", r->valid_calls);
	line(out, "  address spaces", r->valid.mms);
	line(out, "  mappings", r->valid.vmas);
	line(out, "  page tables", r->valid.tables);
	line(out, "  pages", r->valid.pages);
	line(out, "  frames", r->valid.frames);
}

void diff_print_report(FILE *out, const struct diff_options *opt, const struct diff_report *r)
{
	struct utsname name;
	unsigned int i;

	uname(&name);
	fprintf(out, "samara: random calls, seed %" PRIu64 "\n", opt->seed);
	fprintf(out, "  %-22s %12s\n", "kernel", name.release);
	fprintf(out, "  %-22s %12s\n", "model of Linux", DIFF_REFERENCE);
	if (!r->huge_pages)
		fprintf(out, "  %-22s %12s\n", "huge pages", "not compared: no pool could be made");
	fprintf(out, "  %-22s %12s\n", "page tables", diff_geometry_name(opt->geometry));
	if (opt->map_count)
		line(out, "limit of mappings", opt->map_count);
	line(out, "calls", r->calls);
	for (i = 0; i < DIFF_NR_KINDS; i++)
		if (r->by_kind[i])
			fprintf(out, "    %-20s %12lu\n", diff_kind_name(i), r->by_kind[i]);
	line(out, "without capabilities", r->without_caps);
	if (opt->map_count)
		line(out, "made at the limit", r->at_the_limit);
	line(out, "refused by both", r->refused);
	line(out, "calls compared", r->compared);
	line(out, "mappings compared", r->mappings);
	line(out, "pages compared", r->pages);
	if (opt->validate)
		print_valid(out, r);
	line(out, "divergences", r->divergences);
	fprintf(out, "  %-22s %12.3f s\n", "time", r->seconds);
	fprintf(out, "  %-22s %12.0f compared\n", "calls per second", rate(r));
}

/* JSON -------------------------------------------------------------------- */

static int fill_calls(json_t *json, const struct diff_report *r)
{
	json_t *kinds = json_object();
	unsigned int i;
	int bad = 0;

	for (i = 0; i < DIFF_NR_KINDS; i++)
		bad |= json_object_set_new(kinds, diff_kind_name(i), json_integer((json_int_t)r->by_kind[i]));
	/* Takes over the object, which is NULL when there was no memory for it. */
	return json_object_set_new(json, "calls_per_kind", kinds) | bad;
}

static int fill_valid(json_t *json, const struct diff_report *r)
{
	int bad = json_object_set_new(json, "validated", json_integer((json_int_t)r->valid_calls));

	bad |= json_object_set_new(json, "validated_mms", json_integer((json_int_t)r->valid.mms));
	bad |= json_object_set_new(json, "validated_mappings", json_integer((json_int_t)r->valid.vmas));
	bad |= json_object_set_new(json, "validated_tables", json_integer((json_int_t)r->valid.tables));
	bad |= json_object_set_new(json, "validated_pages", json_integer((json_int_t)r->valid.pages));
	return json_object_set_new(json, "validated_frames", json_integer((json_int_t)r->valid.frames)) | bad;
}

static int fill(json_t *json, const struct diff_options *opt, const struct diff_report *r)
{
	struct utsname name;
	char seed[32];
	int bad;

	uname(&name);
	/* A seed has 64 bits, and readers of JSON keep 53 of a number: text. */
	snprintf(seed, sizeof(seed), "%" PRIu64, opt->seed);
	bad = json_object_set_new(json, "seed", json_string(seed));
	bad |= json_object_set_new(json, "kernel", json_string(name.release));
	bad |= json_object_set_new(json, "reference", json_string(DIFF_REFERENCE));
	bad |= json_object_set_new(json, "huge_pages", json_boolean(r->huge_pages));
	bad |= json_object_set_new(json, "calls", json_integer((json_int_t)r->calls));
	bad |= json_object_set_new(json, "compared", json_integer((json_int_t)r->compared));
	bad |= json_object_set_new(json, "refused", json_integer((json_int_t)r->refused));
	bad |= json_object_set_new(json, "without_capabilities", json_integer((json_int_t)r->without_caps));
	bad |= json_object_set_new(json, "mappings_compared", json_integer((json_int_t)r->mappings));
	bad |= json_object_set_new(json, "pages_compared", json_integer((json_int_t)r->pages));
	if (opt->map_count) {
		bad |= json_object_set_new(json, "map_count", json_integer((json_int_t)opt->map_count));
		bad |= json_object_set_new(json, "at_the_limit", json_integer((json_int_t)r->at_the_limit));
	}
	bad |= json_object_set_new(json, "geometry", json_string(diff_geometry_name(opt->geometry)));
	bad |= json_object_set_new(json, "divergences", json_integer((json_int_t)r->divergences));
	if (opt->validate)
		bad |= fill_valid(json, r);
	bad |= fill_calls(json, r);
	bad |= json_object_set_new(json, "seconds", json_real(r->seconds));
	bad |= json_object_set_new(json, "calls_per_second", json_real(rate(r)));
	return bad ? -ENOMEM : 0;
}

int diff_write_json(const char *path, const struct diff_options *opt, const struct diff_report *report)
{
	json_t *json = json_object();
	int err = json ? fill(json, opt, report) : -ENOMEM;

	if (!err)
		err = report_write_json(path, json);
	json_decref(json);
	return err;
}
