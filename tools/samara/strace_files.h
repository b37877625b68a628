/* SPDX-License-Identifier: MIT */
/*
 * Which open file a descriptor stands for, as far as a trace tells. Mappings
 * join only within one open file description, and a trace shows no more of it
 * than a number, which the next open() uses again.
 */
#ifndef SAMARA_TOOLS_STRACE_FILES_H
#define SAMARA_TOOLS_STRACE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mirror.h"

/* What all processes of a trace share: the names seen, and numbers given out. */
struct strace_files;

struct file_name;

/* One descriptor of a process. */
struct fd_entry {
	int fd;
	uint64_t description;
	const struct file_name *name;	/* NULL: never told */
	uint64_t ino;			/* made up, when there is no name */
	bool readable, writable;
	bool guessed;			/* no open() of it was seen: it may have been opened anew since */
};

/* The descriptors of a process, sorted. */
struct fd_table {
	struct fd_entry *fds;
	size_t nr;
	size_t room;
};

int strace_files_create(struct strace_files **out);
void strace_files_destroy(struct strace_files *files);

/*
 * A file's device and inode, when they are known from elsewhere. Files never told of get device 00:00,
 * which no file has, and inode numbers counted from 1. Return: 0, -ENOMEM.
 */
int strace_files_know(struct strace_files *files, const char *name, uint32_t dev_major, uint32_t dev_minor,
		      uint64_t ino);

/* @fd was opened. @name may be NULL. Return: 0, -ENOMEM. */
int fd_open(struct strace_files *files, struct fd_table *table, int fd, const char *name, bool readable,
	    bool writable);
/* @to is another number for @from; of a @from that is not known, only that @to is no longer what it was. */
int fd_dup(struct fd_table *table, int from, int to);
void fd_close(struct fd_table *table, int first, int last);
int fd_table_copy(struct fd_table *to, const struct fd_table *from);
void fd_table_free(struct fd_table *table);

struct fd_use {
	int fd;
	const char *name;	/* as this line tells it, or NULL */
	bool follows;		/* MAP_FIXED, or not from the start: most likely part of one before it */
};

/*
 * The file that a mapping uses. Where its open() was not seen, a use that does not follow another starts a
 * new description: the loader maps the start of each library first, wherever there is room, and its
 * other parts at fixed places, and opens the next one under the same number. Return: 0, -ENOMEM.
 */
int fd_describe(struct strace_files *files, struct fd_table *table, const struct fd_use *use,
		struct call_file *out, bool *guessed);

#endif
