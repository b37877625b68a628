/* SPDX-License-Identifier: MIT */
/*
 * Reads the output of strace -f into the records that a replay is made of.
 *
 * Calls that strace printed in two halves are given when they end. Processes
 * come into being at their first line or at their parent's return, whichever
 * is first. Layouts are not in such a trace: an exec has no map.
 */
#ifndef SAMARA_TOOLS_STRACE_H
#define SAMARA_TOOLS_STRACE_H

#include <stddef.h>

#include "trace.h"

struct strace_reader;

/**
 * strace_reader_create - read strace's output from memory
 * @text:   the file's text; outlives the reader, which writes into it
 * @len:    bytes; text[len] is NUL
 * @origin: the file's name for messages
 *
 * Return: 0, -ENOMEM.
 */
int strace_reader_create(char *text, size_t len, const char *origin, struct strace_reader **out);

/* A file's device and inode, known from elsewhere. Return: 0, -ENOMEM. */
int strace_reader_know_file(struct strace_reader *r, const struct map_line *line);

/* As trace_read(). */
int strace_read(struct strace_reader *r, struct trace_record *record);

void strace_reader_destroy(struct strace_reader *r);

#endif
