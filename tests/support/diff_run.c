/* SPDX-License-Identifier: MIT */
/* Runs of random calls: episodes in fresh processes, and the shrinking of what differs. */
#define _GNU_SOURCE
#include "support/diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct episode {
	struct diff_op *op;
	size_t count;
	bool drop_caps;
	struct diff_taste taste;
};

static double seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

long diff_replay(struct diff *d, const struct diff_op *op, size_t n, bool drop_caps)
{
	size_t i;

	if (diff_open(d, drop_caps))
		return -1;
	d->flags_every = 1;
	for (i = 0; i < n; i++)
		if (!diff_step(d, &op[i]))
			return (long)i;
	return -1;
}

/* Whether the calls but those of [@from, @to) still end in a difference; if so they are cut out. */
static bool cut(struct diff *d, struct episode *e, size_t from, size_t to)
{
	struct diff_op *fewer = malloc(e->count * sizeof(*fewer));
	size_t n = e->count - (to - from);
	long at = -1;

	if (!fewer)
		return false;
	memcpy(fewer, e->op, from * sizeof(*fewer));
	memcpy(fewer + from, e->op + to, (e->count - to) * sizeof(*fewer));
	at = diff_replay(d, fewer, n, e->drop_caps);
	diff_close(d);
	if (at >= 0) {
		memcpy(e->op, fewer, ((size_t)at + 1) * sizeof(*fewer));
		e->count = (size_t)at + 1;
	}
	free(fewer);
	return at >= 0;
}

/* Take out ever smaller pieces, from the end to the beginning, while a difference remains. */
static void shrink(struct diff *d, struct episode *e)
{
	size_t piece, at;
	bool any;

	for (piece = e->count / 2; piece > 0; piece = any && piece == 1 ? 1 : piece / 2) {
		any = false;
		for (at = e->count; at > 0; at = at > piece ? at - piece : 0) {
			size_t from = at > piece ? at - piece : 0;

			if (at <= e->count && cut(d, e, from, at))
				any = true;
		}
	}
}

static void print_finding(FILE *out, struct diff *d, struct episode *e)
{
	size_t i;
	long at;

	shrink(d, e);
	at = diff_replay(d, e->op, e->count, e->drop_caps);
	fprintf(out, "# the kernel and the model differ after these %zu calls%s:\n", e->count,
		e->drop_caps ? ", made without capabilities" : "");
	for (i = 0; i < e->count; i++)
		diff_print_op(out, &e->op[i]);
	if (at < 0)
		fprintf(out, "# (but not when they are made again)\n");
	else
		fprintf(out, "# %s\n", d->why);
	diff_print_maps(out, d);
	diff_close(d);
}

/* Returns whether the sides agree throughout. The calls made are left in @e. */
static bool play(struct diff *d, struct diff_rng *rng, struct episode *e, size_t n, struct diff_report *report)
{
	bool same = true;

	for (e->count = 0; same && e->count < n; e->count++) {
		struct diff_op *op = &e->op[e->count];

		diff_draw_op(rng, &e->taste, d, op);
		same = diff_step(d, op);
		report->by_kind[op->kind]++;
		report->failed += d->kernel_result < 0;
	}
	report->calls += e->count;
	report->compared += d->compared;
	return same;
}

static int run_episode(FILE *out, const struct diff_options *opt, uint64_t seed, size_t n,
		       struct episode *e, struct diff_report *report)
{
	struct diff_rng rng = { .state = seed };
	struct diff *d = malloc(sizeof(*d));
	long left;
	bool same;
	int err;

	if (!d)
		return -ENOMEM;
	e->drop_caps = diff_random(&rng) % 2;
	diff_draw_taste(&rng, &e->taste);
	e->taste.only = opt->only;
	err = diff_open(d, e->drop_caps);
	if (err) {
		free(d);
		return err;
	}
	same = play(d, &rng, e, n, report);
	if (!same)
		fprintf(out, "# %s\n", d->why);
	left = diff_close(d);
	if (!same) {
		fprintf(out, "# episode seed 0x%llx: a difference after %zu calls; shrinking\n",
			(unsigned long long)seed, e->count);
		print_finding(out, d, e);
	} else if (left) {
		fprintf(out, "# episode seed 0x%llx: %ld objects or pages are left\n", (unsigned long long)seed, left);
		same = false;
	}
	free(d);
	return same ? 0 : 1;
}

int diff_run(FILE *out, const struct diff_options *opt, struct diff_report *report)
{
	struct diff_rng seeds = { .state = opt->seed };
	size_t episode = opt->episode ? opt->episode : 400;
	struct episode e = { .op = calloc(episode, sizeof(struct diff_op)) };
	double start = seconds_now();
	int err = e.op ? 0 : -ENOMEM;

	memset(report, 0, sizeof(*report));
	while (!err && report->calls < opt->calls) {
		size_t left = opt->calls - report->calls;

		err = run_episode(out, opt, diff_random(&seeds), left < episode ? left : episode, &e, report);
	}
	report->seconds = seconds_now() - start;
	free(e.op);
	return err;
}
