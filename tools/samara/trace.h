/* SPDX-License-Identifier: MIT */
/*
 * The file that `samara run --trace` writes and `samara replay` reads: text,
 * one record per line, described in docs/trace.md. It holds what the mirror was
 * told, in that order, so that a replay of it tells the mirror the same.
 */
#ifndef SAMARA_TOOLS_TRACE_H
#define SAMARA_TOOLS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "mirror.h"

/* The first line; the number is the version of the format. */
#define TRACE_HEADER "# samara trace 1"

/* Writing ----------------------------------------------------------------- */

struct trace;

/**
 * trace_open - start a trace
 * @path: file to write, made or emptied, close-on-exec
 * @out:  the trace
 *
 * Return: 0 or -errno. The writers below remember the first failure; it is
 * theirs to return (they write nothing after it) and trace_close()'s.
 */
int trace_open(const char *path, struct trace **out);

/* Whether mirror_fault() will be told of each first touch. At most once, before the first process. */
int trace_faults(struct trace *t, bool known);

/* As mirror_exec(). @map should be from smaps: flags and "is anonymous memory there" are kept. */
int trace_exec(struct trace *t, pid_t pid, const struct map *map, const struct mirror_exec_info *info);

/* As mirror_call(): calls and the end of processes (but CALL_EXEC). @call->text is not kept. */
int trace_call(struct trace *t, const struct call *call);

/* As mirror_fault(). */
int trace_fault(struct trace *t, pid_t pid, unsigned long addr, enum mm_access access);

/* As mirror_faults_lost(). */
int trace_faults_lost(struct trace *t);

/* As mirror_forget(). */
int trace_forget(struct trace *t, pid_t pid);

/*
 * The kernel's map of @pid at this point, where a replay cannot know it from the calls: after a call outside
 * the model, or one killed midway, or an outcome that hung on a fault not told. The replay takes it over.
 */
int trace_map(struct trace *t, pid_t pid, const struct map *map);

/* Write out and free. Return: 0, or the -errno of the first write that failed. NULL is allowed. */
int trace_close(struct trace *t);

/* Reading ----------------------------------------------------------------- */

enum trace_record_kind {
	TRACE_CALL,
	TRACE_EXEC,
	TRACE_MAP,
	TRACE_FAULT,
	TRACE_FAULTS_KNOWN,
	TRACE_FAULTS_UNKNOWN,
	TRACE_FAULTS_LOST,
	TRACE_FORGET
};

struct trace_record {
	enum trace_record_kind kind;
	unsigned long line;		/* where it starts in the file, from 1 */
	pid_t pid;			/* all but TRACE_FAULTS_* */
	const char *text;		/* the call as its source shows it, or NULL; until the next record */
	bool uncertain;			/* TRACE_CALL: its outcome depends on what the source does not show */
	struct call call;		/* TRACE_CALL; text is NULL */
	struct map *map;		/* TRACE_EXEC, TRACE_MAP: until the next record; NULL: unknown */
	struct mirror_exec_info info;	/* TRACE_EXEC */
	unsigned long addr;		/* TRACE_FAULT */
	enum mm_access access;
};

struct trace_reader;

/* The text starts with TRACE_HEADER, of any version. */
bool trace_recognize(const char *text, size_t len);

/**
 * trace_reader_create - read a trace from memory
 * @text:   the file's text; outlives the reader, which writes into it
 * @len:    bytes; text[len] is NUL
 * @origin: the file's name for messages
 *
 * Return: 0; -EINVAL (another version, explained on standard error), -ENOMEM.
 */
int trace_reader_create(char *text, size_t len, const char *origin, struct trace_reader **out);

/*
 * The next record. Return: 1; 0 at the end; -EINVAL after a bad line, explained
 * on standard error with file and line number (the records before it were good); -ENOMEM.
 */
int trace_read(struct trace_reader *r, struct trace_record *record);

void trace_reader_destroy(struct trace_reader *r);

#endif
