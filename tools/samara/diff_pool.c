/* SPDX-License-Identifier: MIT */
/*
 * A pool of huge pages for the comparison: the machine has none, the process may
 * make one, and gives it back. So that it is given back whatever becomes of the process, another
 * one waits for its end.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diff_parts.h"

static long read_size(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return -1;
	text[n] = 0;
	return strtol(text, NULL, 10);
}

static void write_size(int fd, long pages)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld", pages);

	(void)!pwrite(fd, text, (size_t)n, 0);
}

/* In a process of its own: the end of the pipe comes when all who may use the pool have ended. */
static void give_back_at_the_end(int end, int size)
{
	char byte;

	setsid();
	while (read(end, &byte, 1) > 0)
		;
	write_size(size, 0);
	_exit(0);
}

static bool start_guardian(struct diff_pool *pool, int size)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return false;
	pool->guardian = fork();
	if (pool->guardian == 0) {
		close(ends[1]);
		give_back_at_the_end(ends[0], size);
	}
	close(ends[0]);
	if (pool->guardian < 0)
		close(ends[1]);
	else
		pool->end = ends[1];
	return pool->guardian > 0;
}

static long of_meminfo(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtol(at + strlen(key), NULL, 10) : 0;
}

/* In use or promised. */
static long claimed(void)
{
	char text[8192];
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	long n = fd < 0 ? -1 : tracee_read(fd, text, sizeof(text));

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return -1;
	return of_meminfo(text, "HugePages_Total:") - of_meminfo(text, "HugePages_Free:") +
	       of_meminfo(text, "HugePages_Rsvd:");
}

long diff_pool_promised(const struct diff_pool *pool)
{
	return claimed() - pool->before;
}

bool diff_pool_open(struct diff_pool *pool)
{
	int size = open("/proc/sys/vm/nr_hugepages", O_RDWR | O_CLOEXEC);

	*pool = (struct diff_pool){ .size = size, .end = -1 };
	if (size < 0)
		return false;
	/* One at a time, and no pool that is somebody's. */
	if (!flock(size, LOCK_EX | LOCK_NB) && read_size(size) == 0 && start_guardian(pool, size)) {
		pool->before = claimed();
		write_size(size, DIFF_POOL_PAGES + pool->before);
		if (read_size(size) == DIFF_POOL_PAGES + pool->before)
			return true;
	}
	diff_pool_close(pool);
	return false;
}

void diff_pool_close(struct diff_pool *pool)
{
	if (pool->end >= 0) {
		close(pool->end);
		waitpid(pool->guardian, NULL, 0);
	}
	if (pool->size >= 0)
		close(pool->size);
	*pool = (struct diff_pool){ .size = -1, .end = -1 };
}
