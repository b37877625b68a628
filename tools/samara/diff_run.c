/* SPDX-License-Identifier: MIT */
/* Runs of random calls: episodes in fresh processes, and the shrinking of what differs. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "diff_parts.h"

#define EPISODE 400
#define EPISODE_AT_THE_LIMIT 4	/* times the limit of mappings: a third of that leads there */
#define SHRINK_SECONDS 120

static double seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Shrinking ----------------------------------------------------------------- */

/* Frames are checked at the end only: that looks at all that there may be. */
static bool ends_valid(struct diff *d)
{
	return !d->validate || diff_valid(d, true) <= 0;
}

/* Makes @n calls in a fresh process. The number of the one after which the sides differ, or -1. */
static long replay(struct diff *d, const struct diff_op *op, size_t n, bool drop_caps)
{
	size_t i;
	long at = -1;

	d->thorough = true;
	if (diff_begin(d, drop_caps))
		return -1;
	for (i = 0; i < n && at < 0; i++)
		if (!diff_step(d, &op[i]))
			at = (long)i;
	if (n && at < 0 && !ends_valid(d))
		at = (long)n - 1;
	diff_end(d);
	return at;
}

/* Whether the calls but those of [@from, @to) still end in a difference; if so they are cut out. */
static bool cut(struct diff *d, struct diff_episode *e, size_t from, size_t to)
{
	struct diff_op *fewer = malloc(e->count * sizeof(*fewer));
	size_t n = e->count - (to - from);
	long at = -1;

	if (!fewer)
		return false;
	memcpy(fewer, e->op, from * sizeof(*fewer));
	memcpy(fewer + from, e->op + to, (e->count - to) * sizeof(*fewer));
	at = replay(d, fewer, n, e->drop_caps);
	if (at >= 0) {
		memcpy(e->op, fewer, ((size_t)at + 1) * sizeof(*fewer));
		e->count = (size_t)at + 1;
	}
	free(fewer);
	return at >= 0;
}

/*
 * Take out ever smaller pieces, from the end to the beginning, while a difference remains. Where a hundred mappings
 * have to be there, each of hundreds of tries takes seconds: it ends after SHRINK_SECONDS, and returns false.
 */
static bool shrink(struct diff *d, struct diff_episode *e)
{
	double until = seconds_now() + SHRINK_SECONDS;
	size_t piece, at;
	bool any;

	for (piece = e->count / 2; piece > 0; piece = any && piece == 1 ? 1 : piece / 2) {
		any = false;
		for (at = e->count; at > 0; at = at > piece ? at - piece : 0) {
			size_t from = at > piece ? at - piece : 0;

			if (seconds_now() > until)
				return false;
			if (at <= e->count && cut(d, e, from, at))
				any = true;
		}
	}
	return true;
}

/* Findings ------------------------------------------------------------------ */

/*
 * Makes the calls once more, notes the results, and drops calls that were none. Returns whether they end in
 * a difference.
 */
static bool play_again(struct diff *d, struct diff_episode *e)
{
	size_t i, n = 0;
	bool same = true;

	d->thorough = true;
	if (diff_begin(d, e->drop_caps))
		return false;
	for (i = 0; i < e->count && same; i++) {
		unsigned long before = d->steps;

		same = diff_step(d, &e->op[i]);
		if (d->steps == before)
			continue;
		e->op[n] = e->op[i];
		e->result[n++] = d->kernel_result;
	}
	same = same && ends_valid(d);
	e->count = n;
	return !same;
}

static void print_calls(FILE *out, const struct diff *d, const struct diff_episode *e)
{
	struct utsname name;

	uname(&name);
	fprintf(out, "Linux %s and the model of Linux %s differ after %s%zu call%s, made %s the rights that lift limits:\n",
		name.release, DIFF_REFERENCE, e->count == 1 ? "" : "these ", e->count, e->count == 1 ? "" : "s",
		d->has_caps ? "with" : "without");
	for (size_t i = 0; i < e->count; i++)
		diff_print_op(out, &e->op[i]);
}

static void keep(FILE *out, const char *what, const char *path, int err)
{
	if (err)
		fprintf(out, "cannot write %s: %s\n", path, strerror(-err));
	else
		fprintf(out, "%s: %s\n", what, path);
}

static void write_files(FILE *out, const struct diff_options *opt, uint64_t seed, const struct diff *d,
			const struct diff_episode *e)
{
	char path[4096];

	if (!opt->keep)
		return;
	snprintf(path, sizeof(path), "%s/samara-diff-%llx.c", opt->keep, (unsigned long long)seed);
	keep(out, "the same calls without Samara, for gcc", path, diff_write_program(path, d, e));
	snprintf(path, sizeof(path), "%s/samara-diff-%llx.trace", opt->keep, (unsigned long long)seed);
	keep(out, "for samara replay", path, diff_write_trace(path, d, e));
}

/* The processes have ended; the calls of @e have led to a difference. */
static void tell_finding(FILE *out, const struct diff_options *opt, uint64_t seed, struct diff *d,
			 struct diff_episode *e)
{
	char why[sizeof(d->why)];
	bool again;

	memcpy(why, d->why, sizeof(why));
	fprintf(out, "%s\nlooking for the fewest calls that lead to it\n", why);
	fflush(out);
	if (!shrink(d, e))
		fprintf(out, "after %d s there may still be fewer than these:\n", SHRINK_SECONDS);
	again = play_again(d, e);
	print_calls(out, d, e);
	fprintf(out, "%s\n", again ? d->why : why);
	if (!again)
		fprintf(out, "But not when the same calls are made again; below is what they lead to then.\n");
	diff_print_maps(out, d);
	write_files(out, opt, seed, d, e);
	diff_end(d);
}

/* Episodes ------------------------------------------------------------------ */

/* Returns whether the sides agree throughout. The calls made are left in @e. */
static bool play(struct diff *d, struct diff_rng *rng, struct diff_episode *e, size_t n, struct diff_report *report)
{
	bool same = true;

	for (e->count = 0; same && e->count < n;) {
		struct diff_op *op = &e->op[e->count];
		unsigned long before = d->steps, used;

		diff_draw_op(rng, &e->taste, d, op);
		used = (unsigned long)d->proc[op->proc].map.count;
		same = diff_step(d, op);
		if (d->steps == before)
			continue;
		report->by_kind[op->kind]++;
		report->at_the_limit += e->taste.map_count && used + 3 >= e->taste.map_count;
		report->refused += diff_is_touch(op) ? d->kernel_result != 0 : d->kernel_result < 0;
		e->result[e->count++] = d->kernel_result;
	}
	same = same && diff_same_all(d);
	report->calls += e->count;
	report->compared += d->compared;
	report->mappings += d->mappings;
	report->pages += d->pages;
	if (e->drop_caps || geteuid())
		report->without_caps += e->count;
	return same;
}

/* What is broken at the end, or has been seen broken. 0 or 1, or a negative errno. */
static int validate_end(struct diff *d, bool same, struct diff_report *report)
{
	struct mm_validated *sum = &report->valid;
	int err = same && d->validate ? diff_valid(d, true) : 0;

	report->valid_calls += d->valid_calls;
	sum->mms += d->valid.mms;
	sum->vmas += d->valid.vmas;
	sum->tables += d->valid.tables;
	sum->pages += d->valid.pages;
	sum->frames += d->valid.frames;
	return err;
}

/* A process that dies while it is made ready is as much of a finding as one that dies in a call. */
static int no_start(FILE *out, int err, struct diff_report *report)
{
	if (err != -ESRCH)
		return err;
	fprintf(out, "a process has died before its first call\n");
	report->divergences++;
	return 1;
}

/* A run under way. */
struct run {
	FILE *out;
	const struct diff_options *opt;
	struct diff_report *report;
	struct diff diff;
	struct diff_episode episode;
};

/* 0 or 1 as diff_run(), and the same errors. */
static int run_episode(struct run *r, uint64_t seed, size_t n)
{
	struct diff_rng rng = { .state = seed };
	struct diff_episode *e = &r->episode;
	struct diff *d = &r->diff;
	long left;
	bool same;
	int err;

	e->drop_caps = diff_random(&rng) % 2;
	diff_draw_taste(&rng, r->opt->only, &e->taste);
	if (r->opt->map_count) {
		e->taste.map_count = r->opt->map_count;
		e->taste.lock = true;
		/* Limits of bytes would be met before that of mappings. */
		e->taste.limits = e->taste.plan.limits = false;
	}
	err = d->ctx ? diff_begin(d, e->drop_caps) : diff_open_huge(d, e->drop_caps);
	e->taste.huge = e->taste.huge && d->has_huge;
	e->taste.fork = e->taste.fork && !e->taste.huge;
	e->taste.plan.huge = e->taste.huge;
	r->report->huge_pages = d->has_huge;
	if (err)
		return no_start(r->out, err, r->report);
	same = play(d, &rng, e, n, r->report);
	err = validate_end(d, same, r->report);
	same = same && !err;
	left = diff_end(d);
	if (err < 0)
		return err;
	if (!same) {
		fprintf(r->out, "a difference after %zu calls (of the process with seed 0x%llx):\n",
			e->count, (unsigned long long)seed);
		tell_finding(r->out, r->opt, seed, d, e);
	} else if (left) {
		fprintf(r->out, "the process with seed 0x%llx left %ld objects or promised pages in the model\n",
			(unsigned long long)seed, left);
		same = false;
	}
	r->report->divergences += !same;
	return same ? 0 : 1;
}

static bool is_done(const struct diff_options *opt, const struct diff_report *report, double since)
{
	return (opt->calls && report->calls >= opt->calls) ||
	       (opt->seconds > 0 && seconds_now() - since >= opt->seconds);
}

static int run_all(struct run *r, size_t episode)
{
	const struct diff_options *opt = r->opt;
	struct diff_rng seeds = { .state = opt->seed };
	double start = seconds_now();
	size_t n;
	int err = 0;

	while (!err && !is_done(opt, r->report, start)) {
		n = opt->calls ? opt->calls - r->report->calls : episode;
		err = run_episode(r, diff_random(&seeds), n < episode ? n : episode);
		if (opt->tick && !err)
			opt->tick(opt->arg, r->report->calls);
	}
	r->report->seconds = seconds_now() - start;
	return err;
}

int diff_run(FILE *out, const struct diff_options *opt, struct diff_report *report)
{
	size_t usual = opt->map_count ? EPISODE_AT_THE_LIMIT * opt->map_count : EPISODE;
	size_t episode = opt->episode ? opt->episode : usual;
	struct run *r = calloc(1, sizeof(*r));
	int err = -ENOMEM;

	memset(report, 0, sizeof(*report));
	if (!r)
		return err;
	r->out = out;
	r->opt = opt;
	r->diff.geometry = opt->geometry;
	r->diff.validate = opt->validate;
	r->report = report;
	r->episode.op = calloc(episode, sizeof(*r->episode.op));
	r->episode.result = calloc(episode, sizeof(*r->episode.result));
	if (r->episode.op && r->episode.result)
		err = run_all(r, episode);
	if (r->diff.ctx)
		diff_close(&r->diff);
	free(r->episode.op);
	free(r->episode.result);
	free(r);
	return err;
}
