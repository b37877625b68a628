/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "strace_files.h"

#define NR_BUCKETS 1024

struct file_name {
	struct file_name *next;
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	char name[];
};

struct strace_files {
	struct file_name *buckets[NR_BUCKETS];
	uint64_t last_ino;		/* of those made up */
	uint64_t last_description;
};

int strace_files_create(struct strace_files **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void strace_files_destroy(struct strace_files *files)
{
	struct file_name *name, *next;
	size_t i;

	if (!files)
		return;
	for (i = 0; i < NR_BUCKETS; i++) {
		for (name = files->buckets[i]; name; name = next) {
			next = name->next;
			free(name);
		}
	}
	free(files);
}

static struct file_name **bucket_of(struct strace_files *files, const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return &files->buckets[hash % NR_BUCKETS];
}

/* Found or made, with a made-up inode. NULL: no memory. */
static struct file_name *intern(struct strace_files *files, const char *name)
{
	struct file_name **bucket = bucket_of(files, name), *entry;
	size_t len = strlen(name) + 1;

	for (entry = *bucket; entry; entry = entry->next)
		if (!strcmp(entry->name, name))
			return entry;
	entry = calloc(1, sizeof(*entry) + len);
	if (!entry)
		return NULL;
	memcpy(entry->name, name, len);
	entry->ino = ++files->last_ino;
	entry->next = *bucket;
	*bucket = entry;
	return entry;
}

int strace_files_know(struct strace_files *files, const char *name, uint32_t dev_major, uint32_t dev_minor,
		      uint64_t ino)
{
	struct file_name *entry = intern(files, name);

	if (!entry)
		return -ENOMEM;
	entry->dev_major = dev_major;
	entry->dev_minor = dev_minor;
	entry->ino = ino;
	return 0;
}

/* The first entry at or above @fd. */
static size_t fd_position(const struct fd_table *table, int fd)
{
	size_t low = 0, high = table->nr;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (table->fds[middle].fd < fd)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct fd_entry *fd_find(const struct fd_table *table, int fd)
{
	size_t i = fd_position(table, fd);

	return i < table->nr && table->fds[i].fd == fd ? &table->fds[i] : NULL;
}

/* The entry of @fd, cleared. NULL: no memory. */
static struct fd_entry *fd_reset(struct fd_table *table, int fd)
{
	size_t i = fd_position(table, fd);
	struct fd_entry *entry;

	if (i == table->nr || table->fds[i].fd != fd) {
		if (table->nr == table->room) {
			size_t room = table->room ? table->room * 2 : 16;

			entry = realloc(table->fds, room * sizeof(*entry));
			if (!entry)
				return NULL;
			table->fds = entry;
			table->room = room;
		}
		memmove(&table->fds[i + 1], &table->fds[i], (table->nr - i) * sizeof(*entry));
		table->nr++;
	}
	entry = &table->fds[i];
	memset(entry, 0, sizeof(*entry));
	entry->fd = fd;
	return entry;
}

int fd_open(struct strace_files *files, struct fd_table *table, int fd, const char *name, bool readable,
	    bool writable)
{
	const struct file_name *interned = NULL;
	struct fd_entry *entry;

	if (name) {
		interned = intern(files, name);
		if (!interned)
			return -ENOMEM;
	}
	entry = fd_reset(table, fd);
	if (!entry)
		return -ENOMEM;
	entry->description = ++files->last_description;
	entry->name = interned;
	entry->ino = interned ? 0 : ++files->last_ino;
	entry->readable = readable;
	entry->writable = writable;
	return 0;
}

int fd_dup(struct fd_table *table, int from, int to)
{
	struct fd_entry *source = fd_find(table, from), *entry, copy;

	if (from == to)
		return 0;
	if (!source) {
		fd_close(table, to, to);
		return 0;
	}
	copy = *source;
	entry = fd_reset(table, to);
	if (!entry)
		return -ENOMEM;
	*entry = copy;
	entry->fd = to;
	return 0;
}

void fd_close(struct fd_table *table, int first, int last)
{
	size_t from = fd_position(table, first), to = from;

	while (to < table->nr && table->fds[to].fd <= last)
		to++;
	if (from == to)
		return;
	memmove(&table->fds[from], &table->fds[to], (table->nr - to) * sizeof(table->fds[0]));
	table->nr -= to - from;
}

int fd_table_copy(struct fd_table *to, const struct fd_table *from)
{
	memset(to, 0, sizeof(*to));
	if (!from->nr)
		return 0;
	to->fds = malloc(from->nr * sizeof(to->fds[0]));
	if (!to->fds)
		return -ENOMEM;
	memcpy(to->fds, from->fds, from->nr * sizeof(to->fds[0]));
	to->nr = from->nr;
	to->room = from->nr;
	return 0;
}

void fd_table_free(struct fd_table *table)
{
	free(table->fds);
	memset(table, 0, sizeof(*table));
}

static bool starts_with(const char *text, const char *word)
{
	return !strncmp(text, word, strlen(word));
}

static void set_kind(struct call_file *file, const char *name)
{
	file->info.kind = VM_FILE_REGULAR;
	if (!strcmp(name, "/dev/zero"))
		file->info.kind = VM_FILE_ZERO;
	else if (starts_with(name, "/memfd:") || starts_with(name, "/dev/shm/"))
		file->info.kind = VM_FILE_SHMEM;
	else if (starts_with(name, "/dev/") || *name != '/')
		file->info.kind = VM_FILE_DEVICE;
	/* "anon_inode:[perf_event]", "socket:[1234]": a driver decides what the mapping is. */
	file->anonymous_inode = starts_with(name, "anon_inode:") || starts_with(name, "socket:");
}

static bool same_file(const struct fd_entry *entry, const char *name)
{
	return !name || !entry->name || !strcmp(entry->name->name, name);
}

static void fill(const struct fd_entry *entry, struct call_file *out)
{
	const struct file_name *name = entry->name;

	memset(out, 0, sizeof(*out));
	out->known = true;
	out->description = entry->description;
	out->info.size = sizeof(out->info);
	out->info.readable = entry->readable;
	out->info.writable = entry->writable;
	out->info.ino = name ? name->ino : entry->ino;
	if (!name)
		return;
	out->info.dev_major = name->dev_major;
	out->info.dev_minor = name->dev_minor;
	strncpy(out->name, name->name, sizeof(out->name) - 1);
	out->info.name = out->name;
	set_kind(out, out->name);
}

int fd_describe(struct strace_files *files, struct fd_table *table, const struct fd_use *use,
		struct call_file *out, bool *guessed)
{
	struct fd_entry *entry = fd_find(table, use->fd);

	if (!entry || !same_file(entry, use->name) || (entry->guessed && !use->follows)) {
		/* How it was opened is not known: for reading and writing gets in nobody's way. */
		if (fd_open(files, table, use->fd, use->name, true, true))
			return -ENOMEM;
		entry = fd_find(table, use->fd);
		entry->guessed = true;
	}
	fill(entry, out);
	*guessed = entry->guessed;
	return 0;
}
