/* SPDX-License-Identifier: MIT */
/* Results of the benchmarks beside the running kernel: see report.h. */
#define _GNU_SOURCE
#include "report.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void usage(const struct report *report, const char *why, const char *what)
{
	fprintf(stderr, "%s: %s '%s'\nusage: %s [--only ROW] [--core C] [--json FILE]\n", report->program, why, what,
		report->program);
	exit(2);
}

static void pin(const struct report *report, const char *core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(report->core, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		usage(report, "cannot run on core (see nproc)", core);
}

static bool known(const char *const *ops, const char *op)
{
	while (*ops && strcmp(*ops, op))
		ops++;
	return *ops;
}

static void check_only(const struct report *report, const char *const *ops)
{
	if (known(ops, report->only))
		return;
	fprintf(stderr, "%s: rows are", report->program);
	while (*ops)
		fprintf(stderr, " %s", *ops++);
	fputs("\n", stderr);
	usage(report, "no such row:", report->only);
}

void report_begin(struct report *report, int argc, char **argv, const char *program, const char *const *ops)
{
	const char *core = "0";
	char *end;

	*report = (struct report){ .program = program };
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			usage(report, "a value is missing after", argv[i]);
		if (!strcmp(argv[i], "--only"))
			report->only = argv[i + 1];
		else if (!strcmp(argv[i], "--json"))
			report->json = argv[i + 1];
		else if (!strcmp(argv[i], "--core"))
			core = argv[i + 1];
		else
			usage(report, "unknown option", argv[i]);
	}
	if (report->only)
		check_only(report, ops);
	report->core = (int)strtoul(core, &end, 10);
	if (*end || end == core || report->core < 0 || report->core >= CPU_SETSIZE)
		usage(report, "not a core:", core);
	pin(report, core);
	/* What the programs say before a process splits must not be said twice. */
	setvbuf(stdout, NULL, _IOLBF, 0);
}

bool report_wants(const struct report *report, const char *op)
{
	return !report->only || !strcmp(report->only, op);
}

void report_add(struct report *report, const struct report_row *row)
{
	if (report->nr == REPORT_ROWS) {
		fprintf(stderr, "%s: more than %d rows\n", report->program, REPORT_ROWS);
		exit(1);
	}
	report->row[report->nr++] = *row;
	printf("%-44s", row->name);
	if (row->n)
		printf(" %8lu", row->n);
	else
		printf(" %8s", "");
	printf(" %12.1f", row->ns);
	if (row->peer)
		printf(" %12.1f  %6.3f of %s", row->peer_ns, row->ns / row->peer_ns, row->peer);
	if (row->target > 0)
		printf("; target %.2f: %s", row->target, row->ns <= row->target * row->peer_ns ? "met" : "MISSED");
	if (row->at_most > 0)
		printf("; at most %.0f: %s", row->at_most, row->ns <= row->at_most ? "met" : "MISSED");
	putchar('\n');
}

static void write_row(FILE *out, const struct report_row *row, const char *comma)
{
	fprintf(out, "%s\n  {\"row\": \"%s\", \"n\": %lu, \"ns\": %.3f", comma, row->name, row->n, row->ns);
	if (row->peer)
		fprintf(out, ", \"peer\": \"%s\", \"peer_ns\": %.3f, \"ratio\": %.4f", row->peer, row->peer_ns,
			row->ns / row->peer_ns);
	if (row->target > 0)
		fprintf(out, ", \"target\": %.2f", row->target);
	if (row->at_most > 0)
		fprintf(out, ", \"at_most\": %.2f", row->at_most);
	fputs("}", out);
}

void report_end(struct report *report)
{
	FILE *out;

	if (!report->json)
		return;
	out = fopen(report->json, "w");
	if (!out) {
		fprintf(stderr, "%s: cannot write --json '%s'; name a file in a folder that exists\n", report->program,
			report->json);
		exit(2);
	}
	fputs("[", out);
	for (unsigned int i = 0; i < report->nr; i++)
		write_row(out, &report->row[i], i ? "," : "");
	fputs("\n]\n", out);
	if (fclose(out)) {
		fprintf(stderr, "%s: cannot write --json '%s': the disk may be full\n", report->program, report->json);
		exit(2);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double report_median(double ns[REPORT_RUNS])
{
	qsort(ns, REPORT_RUNS, sizeof(*ns), compare);
	return ns[REPORT_RUNS / 2];
}

/* The kernel's side ------------------------------------------------------ */

static _Noreturn void gone(const char *what)
{
	fprintf(stderr, "bench: the process that measures the kernel: %s\n", what);
	exit(1);
}

static _Noreturn void serve(int asked, int answer, void *(*setup)(unsigned long n), double (*run)(void *state),
			    unsigned long n)
{
	void *state = NULL;
	double ns;
	char c;

	while (read(asked, &c, 1) == 1) {
		if (!state)
			state = setup(n);
		ns = run(state);
		if (write(answer, &ns, sizeof(ns)) != sizeof(ns))
			break;
	}
	_exit(0);
}

void kernel_side_start(struct kernel_side *side, void *(*setup)(unsigned long n), double (*run)(void *state),
		       unsigned long n)
{
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		gone("no pipe");
	side->pid = fork();
	if (side->pid < 0)
		gone("no fork");
	if (!side->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(to[1]);
		close(from[0]);
		serve(to[0], from[1], setup, run, n);
	}
	close(to[0]);
	close(from[1]);
	side->ask = to[1];
	side->answer = from[0];
}

double kernel_side_run(const struct kernel_side *side)
{
	double ns;

	if (write(side->ask, "r", 1) != 1 || read(side->answer, &ns, sizeof(ns)) != sizeof(ns))
		gone("it has ended");
	return ns;
}

void kernel_side_stop(const struct kernel_side *side)
{
	close(side->ask);
	close(side->answer);
	/* Its siblings hold its pipe open too, so that it would wait for ever. */
	kill(side->pid, SIGKILL);
	waitpid(side->pid, NULL, 0);
}
