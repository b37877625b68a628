/* SPDX-License-Identifier: MIT */
/*
 * What all sub-commands share in talking to their user: exit statuses,
 * sentences about bad input, progress and hints for somebody at a terminal.
 * All of it goes to standard error; standard output is for results.
 */
#ifndef SAMARA_TOOLS_CLI_H
#define SAMARA_TOOLS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Exit statuses of samara; `samara run` passes the program's own through when it has nothing to say. */
enum exit_status {
	EXIT_OK = 0,
	EXIT_NO_MEMORY = 1,	/* or another failure of the machine, not of the input */
	EXIT_BAD_INPUT = 2,
	EXIT_DIVERGED = 3
};

/* "samara COMMAND: sentence\n". */
void complain(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "samara COMMAND: FILE:LINE: sentence\n"; without ":LINE" when @line is 0. */
void complain_at(const char *command, const char *file, unsigned long line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Print a command's help. Returns EXIT_OK, or EXIT_NO_MEMORY after a sentence. */
int print_help(const char *command, const char *text);
/*
 * Before long work: whether its results can be written to @path ("-": standard output; NULL: nowhere). An
 * empty file is made where there is none. Returns 0, or EXIT_BAD_INPUT after a sentence.
 */
int check_output(const char *command, const char *path);
/* "samara: no memory"; returns EXIT_NO_MEMORY. */
int complain_memory(void);

/* "next: ...", the command to type next; only when standard error is a terminal. */
void hint_next(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A line that is rewritten while long work goes on; silent when standard error is no terminal. */
struct progress {
	bool on;
	bool shown;
	unsigned long next_ms;	/* not before this time again */
};

void progress_start(struct progress *p);
/* "WHAT: DONE UNIT", at most ten times a second. */
void progress_show(struct progress *p, const char *what, unsigned long done, const char *unit);
/* Wipes the line, so that what follows starts at its left. */
void progress_end(struct progress *p);

/*
 * Read all of a file ("-": standard input) into memory of malloc(), with a NUL
 * behind it that @len does not count. Returns 0 or -errno.
 */
int read_whole_file(const char *path, char **text, size_t *len);

#endif
