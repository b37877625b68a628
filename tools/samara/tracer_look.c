/* SPDX-License-Identifier: MIT */
/* What the tracer reads of a process in /proc, and of programs before they run. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tracer.h"
#include "tracer_numbers.h"

/* Maps -------------------------------------------------------------------- */

/* A process whose first thread has ended has no map under its own id, but under those of the others. */
static int open_map(struct process *process, const char *name)
{
	struct task *task = process_live_task(process);
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", task ? task->tid : process->pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int look_read_map(struct tracer *t, pid_t pid, bool smaps, struct map *map)
{
	struct process *process = process_find(t, pid);
	struct aspace *as = process ? process->aspace : NULL;
	char origin[64];
	int fd, err;

	if (!process)
		return -ESRCH;
	snprintf(origin, sizeof(origin), "/proc/%d/%s", pid, smaps ? "smaps" : "maps");
	if (smaps) {
		fd = open_map(process, "smaps");
		if (fd < 0)
			return fd;
		err = map_read_fd(map, fd, origin);
		close(fd);
		return err;
	}
	/* The open file keeps to the address space, whichever of its processes opened it. */
	if (as->maps_fd < 0)
		as->maps_fd = open_map(process, "maps");
	if (as->maps_fd < 0)
		return as->maps_fd;
	return map_read_fd(map, as->maps_fd, origin);
}

bool look_is_own_page(struct process *process, unsigned long addr)
{
	struct aspace *as = process->aspace;
	struct nr_page_region region = { 0, 0, 0 };
	struct nr_pm_scan scan = {
		.size = sizeof(scan), .start = addr & -4096UL, .end = (addr & -4096UL) + 4096,
		.vec = (uintptr_t)&region, .vec_len = 1,
		.category_anyof_mask = NR_PAGE_IS_PRESENT | NR_PAGE_IS_SWAPPED,
		.return_mask = NR_PAGE_IS_FILE | NR_PAGE_IS_PFNZERO,
	};

	if (as->pagemap_fd < 0)
		as->pagemap_fd = open_map(process, "pagemap");
	if (as->pagemap_fd < 0)
		return false;
	return ioctl(as->pagemap_fd, NR_PAGEMAP_SCAN, &scan) == 1 &&
	       !(region.categories & (NR_PAGE_IS_FILE | NR_PAGE_IS_PFNZERO));
}

/* Exec -------------------------------------------------------------------- */

/* A small file of /proc as text; "" when it cannot be read. */
static void read_small(pid_t pid, const char *name, char *buf, size_t len)
{
	char path[64];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, buf, len - 1);
		close(fd);
	}
	buf[n > 0 ? n : 0] = '\0';
}

/* Field 47 of stat; counted from behind the name, which may hold anything, and is field 2. */
static unsigned long start_brk_of(pid_t pid)
{
	char text[1024], *at;
	int field;

	read_small(pid, "stat", text, sizeof(text));
	at = strrchr(text, ')');
	for (field = 2; at && field < 47; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoul(at, NULL, 10) : 0;
}

static bool has_ipc_lock(pid_t pid)
{
	char text[4096], *at;

	read_small(pid, "status", text, sizeof(text));
	at = strstr(text, "\nCapEff:");
	return at && (strtoull(at + 8, NULL, 16) >> CAP_IPC_LOCK & 1);
}

pid_t look_status_id(pid_t tid, const char *field)
{
	char text[4096], *at;

	read_small(tid, "status", text, sizeof(text));
	at = strstr(text, field);
	return at ? (pid_t)strtol(at + strlen(field), NULL, 10) : -1;
}

void look_exec_info(pid_t pid, struct mirror_exec_info *info)
{
	static const int resource[MM_NR_RLIMITS] = {
		[MM_RLIMIT_AS] = RLIMIT_AS,
		[MM_RLIMIT_DATA] = RLIMIT_DATA,
		[MM_RLIMIT_STACK] = RLIMIT_STACK,
		[MM_RLIMIT_MEMLOCK] = RLIMIT_MEMLOCK,
	};
	struct rlimit limit;
	char text[64];

	memset(info, 0, sizeof(*info));
	info->start_brk = start_brk_of(pid);
	info->brk = info->start_brk;
	info->brk_known = info->start_brk != 0;
	info->limits_known = true;
	for (int i = 0; i < MM_NR_RLIMITS; i++) {
		if (prlimit(pid, resource[i], NULL, &limit))
			info->limits_known = false;
		else
			info->rlimit[i] = limit.rlim_cur;
	}
	info->cap_ipc_lock = has_ipc_lock(pid);
	read_small(pid, "personality", text, sizeof(text));
	info->personality = strtoul(text, NULL, 16);
}

/* Programs ---------------------------------------------------------------- */

static enum program_obstacle look_fd(int fd, uid_t uid, gid_t gid)
{
	unsigned char ident[EI_NIDENT];
	struct stat st;

	if (pread(fd, ident, sizeof(ident), 0) == sizeof(ident) && !memcmp(ident, ELFMAG, SELFMAG) &&
	    ident[EI_CLASS] == ELFCLASS32)
		return PROGRAM_32_BIT;
	if (fstat(fd, &st))
		return PROGRAM_FINE;
	if (((st.st_mode & S_ISUID) && st.st_uid != uid) ||
	    ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != gid))
		return PROGRAM_SETID;
	/* File capabilities are the same thing in smaller coin; root has them all. */
	if (uid && fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return PROGRAM_SETID;
	return PROGRAM_FINE;
}

enum program_obstacle look_program(const char *path, uid_t uid, gid_t gid)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	enum program_obstacle found;

	if (fd < 0) {
		struct stat st;

		/* Executable, but not readable: its mode can still be seen. */
		if (stat(path, &st) || !(st.st_mode & S_ISUID) || st.st_uid == uid)
			return PROGRAM_FINE;
		return PROGRAM_SETID;
	}
	found = look_fd(fd, uid, gid);
	close(fd);
	return found;
}

enum program_obstacle look_process(pid_t pid)
{
	char path[64];
	struct stat st;

	/* The owner of the folder is the effective user; the real one is asked for only if it matters. */
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (stat(path, &st))
		return PROGRAM_FINE;
	if (st.st_mode & (S_ISUID | S_ISGID)) {
		char text[4096];
		unsigned int uid = 0, gid = 0;
		char *at;

		read_small(pid, "status", text, sizeof(text));
		at = strstr(text, "\nUid:");
		if (at)
			sscanf(at, "\nUid: %u", &uid);
		at = strstr(text, "\nGid:");
		if (at)
			sscanf(at, "\nGid: %u", &gid);
		return look_program(path, uid, gid);
	}
	return look_program(path, 0, st.st_gid);
}
