/* SPDX-License-Identifier: MIT */
/*
 * One line of strace's output: its parts, and the values of arguments. Nothing
 * here knows of other lines; strace.c joins what strace took apart.
 */
#ifndef SAMARA_TOOLS_STRACE_LINE_H
#define SAMARA_TOOLS_STRACE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A piece of the text. */
struct span {
	const char *at;
	size_t len;
};

enum strace_line_kind {
	STRACE_LINE_NOTE,	/* of strace itself, a stack frame, a signal, or nothing */
	STRACE_LINE_ATTACHED,	/* "strace: Process PID attached" */
	STRACE_LINE_CALL,	/* name(args) = result */
	STRACE_LINE_UNFINISHED,	/* name(args <unfinished ...> */
	STRACE_LINE_RESUMED,	/* <... name resumed>args) = result */
	STRACE_LINE_EXITED,	/* +++ exited with 0 +++, +++ killed by SIGKILL +++ */
	STRACE_LINE_SUPERSEDED,	/* +++ superseded by execve in pid OTHER +++ */
	STRACE_LINE_RENAMED,	/* name(args <pid changed to OTHER ...> */
	STRACE_LINE_DETACHED	/* name(args <detached ...> */
};

struct strace_line {
	enum strace_line_kind kind;
	pid_t pid;		/* 0: the line names none */
	bool bracketed;		/* [pid 1234], as strace writes to a terminal; else a bare number */
	pid_t other;		/* ATTACHED, SUPERSEDED, RENAMED */
	struct span name;	/* of the call */
	struct span rest;	/* behind "name(" or "resumed>", to the end of the line */
};

enum strace_result_kind {
	STRACE_RESULT_VALUE,	/* value */
	STRACE_RESULT_ERROR,	/* value is -errno */
	STRACE_RESULT_NONE	/* "?", no effect is known: killed, or to be restarted */
};

struct strace_result {
	enum strace_result_kind kind;
	long value;
	bool injected;		/* strace made it up: the kernel did not run the call */
	struct span path;	/* of the descriptor that was returned (-y), or empty */
};

/* Most that any call here has. */
#define STRACE_MAX_ARGS 8

struct strace_args {
	size_t nr;
	struct span arg[STRACE_MAX_ARGS];	/* trimmed; those beyond are dropped */
};

/* Take a line apart. Returns NULL, or what is wrong with it. */
const char *strace_parse_line(struct span text, struct strace_line *line);

/*
 * Take "args) = result" apart, the rest of a CALL line or the joined rests of
 * UNFINISHED and RESUMED. Returns NULL, or what is wrong.
 */
const char *strace_parse_call(struct span rest, struct strace_args *args, struct strace_result *result);

/*
 * The value of a number (decimal, 0x, octal; products; "1<<2"), of names joined
 * by "|", of NULL, of a descriptor with its path. Comments are skipped.
 * False when something in it is not known.
 */
bool strace_value(struct span text, unsigned long *out);

/* The value of "name=" inside a printed struct, without its closing braces; empty when it is not there. */
struct span strace_field(struct span text, const char *name);

/* Whether a flag stands among names joined by "|". */
bool strace_has_flag(struct span text, const char *flag);

/* The path behind a descriptor, "3</lib/x>", decoded as a maps file would show it. False: there is none. */
bool strace_fd_path(struct span text, char *buf, size_t len);

/* A string argument, decoded likewise. False when it is none, or was shortened. */
bool strace_string(struct span text, char *buf, size_t len);

bool span_is(struct span text, const char *word);
bool span_starts(struct span text, const char *word);

#endif
