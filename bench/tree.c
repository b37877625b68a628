/* SPDX-License-Identifier: MIT */
/*
 * The maple tree beside its peers.
 *
 * usage: tree [--n N]... [--core C] [--json FILE] [--peer "PROGRAM ARGS"]... [--only ROW]
 *
 * The first table is measured on one core: our tree in RCU mode with gap
 * tracking, ours with neither, and the maps that were built in. A --peer is any
 * program that prints lines `name,N,operation,median,min,max`.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contest.h"

#define MAX_COLUMNS 32
#define MAX_SIZES 8
#define MAX_PROGRAMS 8
#define NO_TARGET 0.0

/* A target is a ratio; two columns of it: small trees (N = 100), and the others. */
struct target {
	double of_linux, of_absl;
};

static const struct row {
	const char *name, *op;	/* as we print it; as programs do */
	struct target small, large;
	double at_most;		/* bytes */
} rows[NR_OPS] = {
	[OP_LOOKUP] = { "lookup, independent", "load_indep", { 1, 1.3 }, { 0.7, 0.7 }, 0 },
	[OP_LOOKUP_DEP] = { "lookup, each depends on the last", "load_dep", { 1, 1.3 }, { 0.7, 0.7 }, 0 },
	[OP_ITERATE] = { "iterate, per entry", "iterate", { 1, 1.3 }, { 1, 1 }, 0 },
	[OP_INSERT_RANDOM] = { "insert, random order, from empty", "insert_rand", { 1, 1.3 }, { 0.5, 1 }, 0 },
	[OP_INSERT_ORDER] = { "insert, in order", "insert_seq", { 1, 1.3 }, { 1, 1 }, 0 },
	[OP_ERASE_RANDOM] = { "erase, random", "erase_rand", { 1, 1.3 }, { 0.5, 1 }, 0 },
	[OP_PUT_BACK] = { "erase one and put it back", "churn_pair", { 1, 1.3 }, { 0.5, 1 }, 0 },
	[OP_GAP_HIGHEST] = { "highest free gap, full span", "gap_rev_full", { 1, NO_TARGET }, { 1, NO_TARGET }, 0 },
	[OP_GAP_LOWEST] = { "lowest free gap, full span", "gap_fwd_full", { 1, NO_TARGET }, { 1, NO_TARGET }, 0 },
	[OP_GAP_BELOW] = { "highest free gap below a random top", "gap_rev_hint", { 1, 1.3 }, { 0.5, 1 }, 0 },
	[OP_ALLOC_FREE] = { "allocate a gap and free it", "gap_alloc_free_pair", { 1, 1.3 }, { 1, 1 }, 0 },
	[OP_DUP] = { "duplicate the tree, per entry", "dup_per_entry", { 1, 1.3 }, { 0.5, 1 }, 0 },
	[OP_REPLACE] = { "replace every entry, per entry", "dup_replace_per_entry", { 1, 1.3 }, { 1, 1 }, 0 },
	[OP_DESTROY] = { "destroy, per entry", "destroy_per_entry", { 1, 1.3 }, { 1, 1 }, 0 },
	[OP_BYTES_RANDOM] = { "bytes per entry, random build", "bytes_rand", { 1, 1.3 }, { 1, 1 }, 30 },
	[OP_BYTES_ORDER] = { "bytes per entry, built in order", "bytes_seq", { 1, 1.3 }, { 1, 1 }, 20 },
	[OP_LINES] = { "cache lines per lookup", "lines", { 0, 0 }, { 0, 0 }, 0 },
};

struct cell {
	double median, min, max;
	bool known;
};

struct column {
	char name[48];
	struct cell cell[MAX_SIZES][NR_OPS];
};

/* All that was measured. The first column is ours. */
struct sheet {
	unsigned long size[MAX_SIZES];
	unsigned int nr_sizes;
	struct column column[MAX_COLUMNS];
	unsigned int nr_columns;
	const char *program[MAX_PROGRAMS];
	unsigned int nr_programs;
	const char *json;
	int only;		/* a row, or -1 */
	int core;
};

static struct column *column_of(struct sheet *sheet, const char *name)
{
	struct column *column;

	for (unsigned int c = 0; c < sheet->nr_columns; c++)
		if (!strcmp(sheet->column[c].name, name))
			return &sheet->column[c];
	if (sheet->nr_columns == MAX_COLUMNS) {
		fprintf(stderr, "tree: more than %d peers; give fewer --peer\n", MAX_COLUMNS);
		exit(2);
	}
	column = &sheet->column[sheet->nr_columns++];
	snprintf(column->name, sizeof(column->name), "%s", name);
	return column;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Measuring --------------------------------------------------------------- */

static unsigned int runs_of(enum op op)
{
	return op >= OP_BYTES_RANDOM ? 1 : WORK_RUNS;
}

/* One row for one size: each contestant takes its turn in each run. */
static void measure_row(struct sheet *sheet, unsigned int size, struct work *work, enum op op,
			const struct contestant *const *who, void *const *filled)
{
	double ns[MAX_COLUMNS][WORK_RUNS];
	unsigned int runs = runs_of(op);

	for (unsigned int r = 0; r < runs; r++) {
		work_shuffle(work);
		for (unsigned int c = 0; who[c]; c++)
			ns[c][r] = who[c]->run(filled[c], work, op);
	}
	for (unsigned int c = 0; who[c]; c++) {
		struct cell *cell = &column_of(sheet, who[c]->name)->cell[size][op];

		qsort(ns[c], runs, sizeof(ns[c][0]), compare);
		*cell = (struct cell){ ns[c][runs / 2], ns[c][0], ns[c][runs - 1], ns[c][0] >= 0 };
	}
}

static void measure(struct sheet *sheet, const struct contestant *const *who)
{
	void *filled[MAX_COLUMNS];

	for (unsigned int s = 0; s < sheet->nr_sizes; s++) {
		struct work work;

		work_make(&work, sheet->size[s]);
		for (unsigned int c = 0; who[c]; c++)
			filled[c] = who[c]->make(who[c], &work);
		/* Last rows first: what is counted is counted before the trees are worn. */
		for (int op = NR_OPS - 1; op >= 0; op--)
			if (op >= OP_BYTES_RANDOM && (sheet->only < 0 || sheet->only == op))
				measure_row(sheet, s, &work, (enum op)op, who, filled);
		for (int op = 0; op < OP_BYTES_RANDOM; op++)
			if (sheet->only < 0 || sheet->only == op)
				measure_row(sheet, s, &work, (enum op)op, who, filled);
		for (unsigned int c = 0; who[c]; c++)
			who[c]->drop(filled[c]);
		work_free(&work);
	}
}

/* A line `name,N,operation,median,min,max`; others are passed over. */
static bool take_line(struct sheet *sheet, const char *line)
{
	char name[48], op[48];
	unsigned long n;
	struct cell cell = { .known = true };

	if (sscanf(line, "%47[^,],%lu,%47[^,],%lf,%lf,%lf", name, &n, op, &cell.median, &cell.min, &cell.max) != 6)
		return false;
	for (unsigned int s = 0; s < sheet->nr_sizes; s++)
		for (int row = 0; row < NR_OPS; row++)
			if (sheet->size[s] == n && !strcmp(rows[row].op, op))
				column_of(sheet, name)->cell[s][row] = cell;
	return true;
}

static void run_program(struct sheet *sheet, const char *command)
{
	unsigned int taken = 0;
	char line[256];
	FILE *out = popen(command, "r");
	int status;

	if (!out) {
		fprintf(stderr, "tree: cannot start a shell for --peer '%s'\n", command);
		exit(2);
	}
	while (fgets(line, sizeof(line), out))
		taken += take_line(sheet, line);
	status = pclose(out);
	if (status || !taken) {
		fprintf(stderr, "tree: --peer '%s' ended with status %d and gave %u lines; "
			"expected are lines name,N,operation,median,min,max\n",
			command, WIFEXITED(status) ? WEXITSTATUS(status) : status, taken);
		exit(2);
	}
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
	const struct target *target = sheet->size[size] <= 100 ? &rows[row].small : &rows[row].large;

	return begins(name, "linux") ? target->of_linux : begins(name, "absl") ? target->of_absl : NO_TARGET;
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
	printf("%-36s", rows[row].name);
	for (unsigned int c = 0; c < sheet->nr_columns; c++)
		show_cell(&sheet->column[c].cell[size][row]);
	if (best)
		printf("  %5.2f of %s", ours->median / best->cell[size][row].median, best->name);
	if (v.target > 0)
		printf("; target %.2f of %s: %.2f, %s", v.target, v.peer->name, v.ratio,
		       ours->median <= v.limit ? "met" : "MISSED");
	if (rows[row].at_most > 0)
		printf("; at most %.0f: %s", rows[row].at_most,
		       ours->median <= rows[row].at_most ? "met" : "MISSED");
	putchar('\n');
}

static void show(const struct sheet *sheet)
{
	for (unsigned int s = 0; s < sheet->nr_sizes; s++) {
		printf("\nN = %lu, nanoseconds each, median of %d\n%-36s", sheet->size[s], WORK_RUNS, "");
		for (unsigned int c = 0; c < sheet->nr_columns; c++)
			printf(" %15.15s", sheet->column[c].name);
		putchar('\n');
		for (int row = 0; row < NR_OPS; row++)
			show_row(sheet, s, row);
	}
	fflush(stdout);
}

static void write_json(const struct sheet *sheet)
{
	FILE *out = fopen(sheet->json, "w");
	const char *comma = "";

	if (!out) {
		fprintf(stderr, "tree: cannot write --json '%s'; name a file in a folder that exists\n", sheet->json);
		exit(2);
	}
	fputs("[", out);
	for (unsigned int s = 0; s < sheet->nr_sizes; s++) {
		for (int row = 0; row < NR_OPS; row++) {
			const struct cell *ours = &sheet->column[0].cell[s][row];
			struct verdict v = judge(sheet, s, row);

			if (!ours->known)
				continue;
			fprintf(out, "%s\n  {\"row\": \"%s\", \"n\": %lu, \"ns\": %.3f", comma, rows[row].name,
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
		fprintf(stderr, "tree: cannot write --json '%s': the disk may be full\n", sheet->json);
		exit(2);
	}
}

/* Beginning --------------------------------------------------------------- */

static void usage(const char *why, const char *what)
{
	fprintf(stderr,
		"tree: %s '%s'\n"
		"usage: tree [--n N]... [--core C] [--json FILE] [--peer \"PROGRAM ARGS\"]... [--only ROW]\n",
		why, what);
	exit(2);
}

static unsigned long number(const char *option, const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || end == text || *text == '-')
		usage("not a number:", text);
	if (!strcmp(option, "--n") && (n == 0 || n > 100000000))
		usage("--n must be 1 to 100000000, not", text);
	return n;
}

static int row_named(const char *op)
{
	for (int row = 0; row < NR_OPS; row++)
		if (!strcmp(rows[row].op, op))
			return row;
	usage("--only knows the operations' short names (load_indep, ...), not", op);
	return -1;
}

static void take_option(struct sheet *sheet, const char *option, const char *value)
{
	if (!value)
		usage("a value is missing after", option);
	if (!strcmp(option, "--n") && sheet->nr_sizes < MAX_SIZES)
		sheet->size[sheet->nr_sizes++] = number(option, value);
	else if (!strcmp(option, "--core"))
		sheet->core = (int)number(option, value);
	else if (!strcmp(option, "--json"))
		sheet->json = value;
	else if (!strcmp(option, "--only"))
		sheet->only = row_named(value);
	else if (!strcmp(option, "--peer") && sheet->nr_programs < MAX_PROGRAMS)
		sheet->program[sheet->nr_programs++] = value;
	else
		usage("unknown option, or one too often:", option);
}

/* Programs of others choose their core by the environment; ours is inherited too. */
static void pin(int core)
{
	cpu_set_t set;
	char text[16];

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		fprintf(stderr, "tree: cannot run on --core %d; see nproc for how many there are\n", core);
		exit(2);
	}
	snprintf(text, sizeof(text), "%d", core);
	setenv("CPU", text, 1);
}

static unsigned int gather_contestants(const struct contestant **who)
{
	const struct contestant *const *peer = contest_peers();
	unsigned int nr = 0;

	who[nr++] = &contest_ours_rcu;
	who[nr++] = &contest_ours_plain;
	while (*peer)
		who[nr++] = *peer++;
	who[nr] = NULL;
	return nr;
}

static void show_threads(const struct sheet *sheet)
{
	printf("\n%-44s %10s %12s %12s %11s %12s\n", "one reader, one writer, a core each", "N", "writer idle",
	       "writer busy", "lost", "writes/us");
	for (unsigned int s = 0; s < sheet->nr_sizes; s++) {
		struct work work;

		work_make(&work, sheet->size[s]);
		threads_table(&work, sheet->core);
		work_free(&work);
	}
}

int main(int argc, char **argv)
{
	static const unsigned long usual[] = { 100, 10000, 1000000 };
	static struct sheet sheet = { .only = -1 };
	const struct contestant *who[MAX_COLUMNS];

	for (int i = 1; i < argc; i += 2)
		take_option(&sheet, argv[i], argv[i + 1]);
	if (!sheet.nr_sizes) {
		sheet.nr_sizes = 3;
		memcpy(sheet.size, usual, sizeof(usual));
	}
	contest_warm_up();
	pin(sheet.core);
	gather_contestants(who);
	measure(&sheet, who);
	for (unsigned int i = 0; i < sheet.nr_programs; i++)
		run_program(&sheet, sheet.program[i]);
	show(&sheet);
	if (sheet.only < 0)
		show_threads(&sheet);
	if (sheet.json)
		write_json(&sheet);
	return 0;
}
