/* SPDX-License-Identifier: MIT */
/*
 * What benchmarks share that compare contestants: the sheet of figures, outside
 * programs that fill columns of it, targets, the table, the JSON, the options.
 */
#ifndef SAMARA_BENCH_SHEET_H
#define SAMARA_BENCH_SHEET_H

#include <stdbool.h>

#define MAX_COLUMNS 32
#define MAX_SIZES 8
#define MAX_ROWS 32
#define MAX_PROGRAMS 8
#define MAX_RIVALS 2
#define NO_TARGET 0.0

struct sheet_row {
	const char *name, *op;	/* as we print it; as programs do */
	/* Ratios to each rival at most, by the size: 100 and less, and above. */
	double small[MAX_RIVALS], large[MAX_RIVALS];
	double at_most;		/* in the row's unit; 0: nothing is asked */
};

struct cell {
	double median, min, max;
	bool known;
};

struct column {
	char name[48];
	struct cell cell[MAX_SIZES][MAX_ROWS];
};

/* All that was measured. The first column is ours. */
struct sheet {
	/* What it is about: */
	const char *program;			/* for messages */
	const char *rivals[MAX_RIVALS];		/* a column whose name begins so has the row's target */
	const struct sheet_row *row;
	int nr_rows;

	/* What was asked for: */
	unsigned long size[MAX_SIZES];
	unsigned int nr_sizes;
	const char *peer[MAX_PROGRAMS];
	unsigned int nr_peers;
	const char *json;
	int only;		/* a row, or -1 */
	int core;

	/* What came out: */
	struct column column[MAX_COLUMNS];
	unsigned int nr_columns;
};

/* Take --n, --core, --json, --peer and --only; the sizes are the @nr_usual ones when none was given. */
void sheet_options(struct sheet *sheet, int argc, char **argv, const unsigned long *usual, unsigned int nr_usual);
/* Stay on the core from now on; programs that are started too. */
void sheet_pin(const struct sheet *sheet);
struct column *sheet_column(struct sheet *sheet, const char *name);
bool sheet_wants(const struct sheet *sheet, int row);
/* Sort @runs figures and enter their median; negative ones say that there is none. */
void sheet_enter(struct sheet *sheet, const char *name, unsigned int size, int row, double *figure,
		 unsigned int runs);
/* Run the outside programs, then show the table, then write the JSON if it was asked for. */
void sheet_run_peers(struct sheet *sheet);
void sheet_show(const struct sheet *sheet);
void sheet_write_json(const struct sheet *sheet);

#endif
