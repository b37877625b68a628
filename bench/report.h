/* SPDX-License-Identifier: MIT */
/*
 * What the benchmarks beside the running kernel share: the options, the sheet of
 * results, and a process that measures the kernel when it is told to.
 *
 * usage of all of them: NAME [--only ROW] [--core C] [--json FILE]
 *
 * Each figure is the median of seven runs, in which ours and the kernel take turns.
 */
#ifndef SAMARA_REPORT_H
#define SAMARA_REPORT_H

#include <stdbool.h>
#include <sys/types.h>

#define REPORT_RUNS 7
#define REPORT_ROWS 64

struct report_row {
	const char *name;	/* as it is printed */
	const char *op;		/* its short name, for --only */
	unsigned long n;	/* how many there are of what is measured; 0: no matter */
	const char *peer;	/* who peer_ns is of; NULL: nobody */
	double ns, peer_ns;	/* each */
	double target;		/* of the ratio, at most; 0: none */
	double at_most;		/* nanoseconds; 0: no such target */
};

struct report {
	const char *program, *json, *only;
	int core;
	unsigned int nr;
	struct report_row row[REPORT_ROWS];
};

/* Takes the options and pins the process; ends the program when they are wrong. @ops: the rows, NULL behind the last. */
void report_begin(struct report *report, int argc, char **argv, const char *program, const char *const *ops);
/* Whether the row is asked for. */
bool report_wants(const struct report *report, const char *op);
/* Prints the row, and keeps it for the file. */
void report_add(struct report *report, const struct report_row *row);
/* Writes the file, if one was asked for. */
void report_end(struct report *report);

double report_median(double ns[REPORT_RUNS]);

/*
 * The kernel's side of a row. It is a process of its own, made before this one has mapped
 * anything to speak of: a fork or an exit costs by what the process has.
 */
struct kernel_side {
	pid_t pid;
	int ask, answer;
};

/*
 * Make the process. It calls @setup(@n) when it is asked first, and @run() with what that returned each time;
 * @run returns nanoseconds each. Start all before the library is used.
 */
void kernel_side_start(struct kernel_side *side, void *(*setup)(unsigned long n), double (*run)(void *state),
		       unsigned long n);
double kernel_side_run(const struct kernel_side *side);
void kernel_side_stop(const struct kernel_side *side);

#endif
