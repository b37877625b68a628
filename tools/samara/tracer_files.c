/* SPDX-License-Identifier: MIT */
/*
 * Which open file description a mapping is of. Mappings merge only within one,
 * and no number tells two of the same file apart; so a duplicate of each that
 * is mapped is held here, and the kernel asked whether a new one is the same.
 *
 * A duplicate keeps a description open. The mapping does so too; when it has
 * gone the duplicate must go at once, or a program could not be run because we
 * still had it open for writing, and a lock would outlive its owner.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tracer.h"

#define FILES_BUCKETS 256

/* Its statistics are at hand only in the kernel's own sources. */
#define MAGIC_EXT4 0xef53

struct held {
	int fd;			/* our duplicate */
	unsigned int pins;	/* calls under way that may map it */
	uint64_t description;
	dev_t dev;
	ino_t ino;
	struct call_file file;
	struct held *next;	/* in its bucket */
};

struct files {
	struct held *bucket[FILES_BUCKETS];
	uint64_t last;		/* description number given */
	unsigned long nr;
	pid_t self;
};

int files_create(struct files **out)
{
	struct files *files = calloc(1, sizeof(*files));

	if (!files)
		return -ENOMEM;
	files->self = getpid();
	*out = files;
	return 0;
}

static void held_free(struct held *held)
{
	close(held->fd);
	free(held);
}

void files_destroy(struct files *files)
{
	struct held *held;

	if (!files)
		return;
	for (int i = 0; i < FILES_BUCKETS; i++) {
		while ((held = files->bucket[i])) {
			files->bucket[i] = held->next;
			held_free(held);
		}
	}
	free(files);
}

static unsigned int bucket_of(const struct stat *st)
{
	return (unsigned int)(st->st_ino ^ st->st_dev) % FILES_BUCKETS;
}

static struct held *find_held(struct files *files, int fd, const struct stat *st)
{
	struct held *held;

	for (held = files->bucket[bucket_of(st)]; held; held = held->next)
		if (held->ino == st->st_ino && held->dev == st->st_dev &&
		    syscall(SYS_kcmp, files->self, files->self, KCMP_FILE, fd, held->fd) == 0)
			return held;
	return NULL;
}

/* What the library must know of a regular file: by the file system that it is on. */
static void describe_regular(int fd, struct call_file *out)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return;
	out->info.noexec = fs.f_flags & ST_NOEXEC;
	switch ((unsigned long)fs.f_type) {
	case TMPFS_MAGIC:
		out->info.kind = VM_FILE_SHMEM;
		break;
	case MAGIC_EXT4:
		out->info.hugepage_aligned = true;
		break;
	case HUGETLBFS_MAGIC:
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
		out->info.kind = VM_FILE_DEVICE;
		out->anonymous_inode = true;
		break;
	default:
		break;
	}
}

static void describe_kind(int fd, const struct stat *st, struct call_file *out)
{
	out->info.kind = VM_FILE_REGULAR;
	if (S_ISREG(st->st_mode)) {
		describe_regular(fd, out);
	} else if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 5)) {
		out->info.kind = VM_FILE_ZERO;
	} else {
		out->info.kind = VM_FILE_DEVICE;
		out->anonymous_inode = true;
	}
}

/* Device and inode are what the map shows, except on btrfs and overlayfs, which have others for stat(). */
static void describe(int fd, const struct stat *st, int flags, struct call_file *out)
{
	char link[32];
	ssize_t n;

	out->known = true;
	out->info.size = sizeof(out->info);
	out->info.ino = st->st_ino;
	out->info.dev_major = major(st->st_dev);
	out->info.dev_minor = minor(st->st_dev);
	out->info.readable = (flags & O_ACCMODE) != O_WRONLY;
	out->info.writable = (flags & O_ACCMODE) != O_RDONLY;
	describe_kind(fd, st, out);

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out->name, sizeof(out->name) - 1);
	out->name[n > 0 ? n : 0] = '\0';
}

static struct held *hold(struct files *files, int fd, const struct stat *st, int flags)
{
	struct held *held = calloc(1, sizeof(*held));
	unsigned int b = bucket_of(st);

	if (!held)
		return NULL;
	describe(fd, st, flags, &held->file);
	held->fd = fd;
	held->dev = st->st_dev;
	held->ino = st->st_ino;
	held->description = ++files->last;
	held->file.description = held->description;
	held->next = files->bucket[b];
	files->bucket[b] = held;
	files->nr++;
	return held;
}

/* A memory file that was sealed while open gives shared mappings that can never be written. */
static bool is_sealed(const struct held *held)
{
	int seals = held->file.info.kind == VM_FILE_SHMEM ? fcntl(held->fd, F_GET_SEALS) : 0;

	return seals > 0 && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
}

void files_identify(struct files *files, int pidfd, int fd, struct call_file *out)
{
	int flags, dup = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	struct held *held;
	struct stat st;

	out->known = false;
	if (dup < 0)
		return;
	if (fstat(dup, &st)) {
		close(dup);
		return;
	}
	held = find_held(files, dup, &st);
	if (held) {
		close(dup);
	} else {
		flags = fcntl(dup, F_GETFL);
		/* A mere path cannot be mapped: as if it were no descriptor. */
		if (flags < 0 || (flags & O_PATH) || !(held = hold(files, dup, &st, flags))) {
			close(dup);
			return;
		}
	}
	held->pins++;
	*out = held->file;
	out->info.writable = out->info.writable && !is_sealed(held);
	out->info.name = out->name[0] ? out->name : NULL;
}

void files_done(struct files *files, const struct call_file *file)
{
	const struct stat st = {
		.st_ino = file->info.ino,
		.st_dev = makedev(file->info.dev_major, file->info.dev_minor),
	};
	struct held *held;

	for (held = file->known ? files->bucket[bucket_of(&st)] : NULL; held; held = held->next)
		if (held->description == file->description)
			held->pins--;
}

void files_release(struct files *files, struct mirror *m)
{
	struct held **p, *held;

	if (!files->nr)
		return;
	for (int i = 0; i < FILES_BUCKETS; i++) {
		for (p = &files->bucket[i]; (held = *p);) {
			if (held->pins || mirror_description_mapped(m, held->description)) {
				p = &held->next;
				continue;
			}
			*p = held->next;
			held_free(held);
			files->nr--;
		}
	}
}
