/* SPDX-License-Identifier: MIT */
/* The sheet of figures: see sheet.h. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contest.h"
#include "sheet.h"

struct column *sheet_column(struct sheet *sheet, const char *name)
{
	struct column *column;

	for (unsigned int c = 0; c < sheet->nr_columns; c++)
		if (!strcmp(sheet->column[c].name, name))
			return &sheet->column[c];
	if (sheet->nr_columns == MAX_COLUMNS) {
		fprintf(stderr, "%s: more than %d peers; give fewer --peer\n", sheet->program, MAX_COLUMNS);
		exit(2);
	}
	column = &sheet->column[sheet->nr_columns++];
	snprintf(column->name, sizeof(column->name), "%s", name);
	return column;
}

bool sheet_wants(const struct sheet *sheet, int row)
{
	return sheet->only < 0 || sheet->only == row;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

void sheet_enter(struct sheet *sheet, const char *name, unsigned int size, int row, double *figure,
		 unsigned int runs)
{
	struct cell *cell = &sheet_column(sheet, name)->cell[size][row];

	qsort(figure, runs, sizeof(figure[0]), compare);
	*cell = (struct cell){ figure[runs / 2], figure[0], figure[runs - 1], figure[0] >= 0 };
}

/* Outside programs -------------------------------------------------------- */

/* A line `name,N,operation,median,min,max`; others are passed over. */
static bool take_line(struct sheet *sheet, const char *line)
{
	char name[48], op[48];
	unsigned long n;
	struct cell cell = { .known = true };

	if (sscanf(line, "%47[^,],%lu,%47[^,],%lf,%lf,%lf", name, &n, op, &cell.median, &cell.min, &cell.max) != 6)
		return false;
	for (unsigned int s = 0; s < sheet->nr_sizes; s++)
		for (int row = 0; row < sheet->nr_rows; row++)
			if (sheet->size[s] == n && !strcmp(sheet->row[row].op, op))
				sheet_column(sheet, name)->cell[s][row] = cell;
	return true;
}

static void run_program(struct sheet *sheet, const char *command)
{
	unsigned int taken = 0;
	char line[256];
	FILE *out = popen(command, "r");
	int status;

	if (!out) {
		fprintf(stderr, "%s: cannot start a shell for --peer '%s'\n", sheet->program, command);
		exit(2);
	}
	while (fgets(line, sizeof(line), out))
		taken += take_line(sheet, line);
	status = pclose(out);
	if (status || !taken) {
		fprintf(stderr, "%s: --peer '%s' ended with status %d and gave %u lines; "
			"expected are lines name,N,operation,median,min,max\n", sheet->program,
			command, WIFEXITED(status) ? WEXITSTATUS(status) : status, taken);
		exit(2);
	}
}

void sheet_run_peers(struct sheet *sheet)
{
	for (unsigned int i = 0; i < sheet->nr_peers; i++)
		run_program(sheet, sheet->peer[i]);
}

/* Judging ----------------------------------------------------------------- */

struct verdict {
	const struct column *peer;	/* whom the figure is compared with; NULL: nobody */
	double peer_ns, ratio;
	double target;		/* of the ratio; NO_TARGET when there is none */
	double limit;		/* in the row's unit */
};

static bool begins(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

static double target_for(const struct sheet *sheet, unsigned int size, int row, const char *name)
{
	const double *target = sheet->size[size] <= 100 ? sheet->row[row].small : sheet->row[row].large;

	for (int i = 0; i < MAX_RIVALS; i++)
		if (sheet->rivals[i] && begins(name, sheet->rivals[i]))
			return target[i];
	return NO_TARGET;
}

static const struct column *best_peer(const struct sheet *sheet, unsigned int size, int row)
{
	const struct column *best = NULL;

	for (unsigned int c = 0; c < sheet->nr_columns; c++) {
		const struct column *peer = &sheet->column[c];

		if (begins(peer->name, "samara") || !peer->cell[size][row].known)
			continue;
		if (!best || peer->cell[size][row].median < best->cell[size][row].median)
			best = peer;
	}
	return best;
}

/* Of all targets of a row the one that asks most. */
static struct verdict judge(const struct sheet *sheet, unsigned int size, int row)
{
	double ours = sheet->column[0].cell[size][row].median;
	struct verdict v = { .limit = 1e300 };

	for (unsigned int c = 1; c < sheet->nr_columns; c++) {
		const struct column *peer = &sheet->column[c];
		double target = target_for(sheet, size, row, peer->name);
		double limit = target * peer->cell[size][row].median;

		if (target == NO_TARGET || !peer->cell[size][row].known || limit >= v.limit)
			continue;
		v.peer = peer;
		v.target = target;
		v.limit = limit;
	}
	if (!v.peer)
		v.peer = best_peer(sheet, size, row);
	if (v.peer) {
		v.peer_ns = v.peer->cell[size][row].median;
		v.ratio = ours / v.peer_ns;
	}
	return v;
}

/* Showing ----------------------------------------------------------------- */

static void show_cell(const struct cell *cell)
{
	if (cell->known)
		printf(" %15.2f", cell->median);
	else
		printf(" %15s", "-");
}

static void show_row(const struct sheet *sheet, unsigned int size, int row)
{
	const struct cell *ours = &sheet->column[0].cell[size][row];
	const struct column *best = best_peer(sheet, size, row);
	struct verdict v = judge(sheet, size, row);

	if (!ours->known)
		return;
	printf("%-36s", sheet->row[row].name);
	for (unsigned int c = 0; c < sheet->nr_columns; c++)
		show_cell(&sheet->column[c].cell[size][row]);
	if (best)
		printf("  %5.2f of %s", ours->median / best->cell[size][row].median, best->name);
	if (v.target > 0)
		printf("; target %.2f of %s: %.2f, %s", v.target, v.peer->name, v.ratio,
		       ours->median <= v.limit ? "met" : "MISSED");
	if (sheet->row[row].at_most > 0)
		printf("; at most %.0f: %s", sheet->row[row].at_most,
		       ours->median <= sheet->row[row].at_most ? "met" : "MISSED");
	putchar('\n');
}

void sheet_show(const struct sheet *sheet)
{
	for (unsigned int s = 0; s < sheet->nr_sizes; s++) {
		printf("\nN = %lu, nanoseconds each, median of %d\n%-36s", sheet->size[s], WORK_RUNS, "");
		for (unsigned int c = 0; c < sheet->nr_columns; c++)
			printf(" %15.15s", sheet->column[c].name);
		putchar('\n');
		for (int row = 0; row < sheet->nr_rows; row++)
			show_row(sheet, s, row);
	}
	fflush(stdout);
}

void sheet_write_json(const struct sheet *sheet)
{
	FILE *out = fopen(sheet->json, "w");
	const char *comma = "";

	if (!out) {
		fprintf(stderr, "%s: cannot write --json '%s'; name a file in a folder that exists\n", sheet->program,
			sheet->json);
		exit(2);
	}
	fputs("[", out);
	for (unsigned int s = 0; s < sheet->nr_sizes; s++) {
		for (int row = 0; row < sheet->nr_rows; row++) {
			const struct cell *ours = &sheet->column[0].cell[s][row];
			struct verdict v = judge(sheet, s, row);

			if (!ours->known)
				continue;
			fprintf(out, "%s\n  {\"row\": \"%s\", \"n\": %lu, \"ns\": %.3f", comma, sheet->row[row].name,
				sheet->size[s], ours->median);
			if (v.peer)
				fprintf(out, ", \"peer\": \"%s\", \"peer_ns\": %.3f, \"ratio\": %.3f", v.peer->name,
					v.peer_ns, v.ratio);
			if (v.target > 0)
				fprintf(out, ", \"target\": %.2f", v.target);
			fputs("}", out);
			comma = ",";
		}
	}
	fputs("\n]\n", out);
	if (fclose(out)) {
		fprintf(stderr, "%s: cannot write --json '%s': the disk may be full\n", sheet->program, sheet->json);
		exit(2);
	}
}

/* Options ----------------------------------------------------------------- */

static void usage(const struct sheet *sheet, const char *why, const char *what)
{
	fprintf(stderr,
		"%s: %s '%s'\n"
		"usage: %s [--n N]... [--core C] [--json FILE] [--peer \"PROGRAM ARGS\"]... [--only ROW]\n",
		sheet->program, why, what, sheet->program);
	exit(2);
}

static unsigned long number(const struct sheet *sheet, const char *option, const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || end == text || *text == '-')
		usage(sheet, "not a number:", text);
	if (!strcmp(option, "--n") && (n == 0 || n > 100000000))
		usage(sheet, "--n must be 1 to 100000000, not", text);
	return n;
}

static int row_named(const struct sheet *sheet, const char *op)
{
	for (int row = 0; row < sheet->nr_rows; row++)
		if (!strcmp(sheet->row[row].op, op))
			return row;
	usage(sheet, "--only knows the operations' short names (load_indep, ...), not", op);
	return -1;
}

static void take_option(struct sheet *sheet, const char *option, const char *value)
{
	if (!value)
		usage(sheet, "a value is missing after", option);
	if (!strcmp(option, "--n") && sheet->nr_sizes < MAX_SIZES)
		sheet->size[sheet->nr_sizes++] = number(sheet, option, value);
	else if (!strcmp(option, "--core"))
		sheet->core = (int)number(sheet, option, value);
	else if (!strcmp(option, "--json"))
		sheet->json = value;
	else if (!strcmp(option, "--only"))
		sheet->only = row_named(sheet, value);
	else if (!strcmp(option, "--peer") && sheet->nr_peers < MAX_PROGRAMS)
		sheet->peer[sheet->nr_peers++] = value;
	else
		usage(sheet, "unknown option, or one too often:", option);
}

void sheet_options(struct sheet *sheet, int argc, char **argv, const unsigned long *usual, unsigned int nr_usual)
{
	for (int i = 1; i < argc; i += 2)
		take_option(sheet, argv[i], argv[i + 1]);
	if (sheet->nr_sizes)
		return;
	sheet->nr_sizes = nr_usual;
	memcpy(sheet->size, usual, nr_usual * sizeof(*usual));
}

/* Programs of others choose their core by the environment; ours is inherited too. */
void sheet_pin(const struct sheet *sheet)
{
	int core = sheet->core;
	cpu_set_t set;
	char text[16];

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		fprintf(stderr, "%s: cannot run on --core %d; see nproc for how many there are\n", sheet->program, core);
		exit(2);
	}
	snprintf(text, sizeof(text), "%d", core);
	setenv("CPU", text, 1);
}

