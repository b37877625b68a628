/* SPDX-License-Identifier: MIT */
/*
 * The limit of mappings, lowered for a run to what a process reaches in some hundred calls. It is
 * the whole machine's: a process of its own puts it back when the run has ended, however it did.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diff_parts.h"

static const char setting[] = "/proc/sys/vm/max_map_count";

static unsigned long read_limit(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = 0;
	return strtoul(text, NULL, 10);
}

static int write_limit(int fd, unsigned long limit)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%lu", limit);

	return pwrite(fd, text, (size_t)n, 0) == n ? 0 : -errno;
}

unsigned long diff_limit_read(void)
{
	int fd = open(setting, O_RDONLY | O_CLOEXEC);
	unsigned long limit = fd < 0 ? 0 : read_limit(fd);

	if (fd >= 0)
		close(fd);
	return limit;
}

/*
 * In a process of its own, which no signal to the others ends: a byte, or the end of the pipe when all have
 * ended, says that it is time. What somebody else has set meanwhile stays.
 */
static void put_back_at_the_end(int end, int fd, unsigned long ours, unsigned long before)
{
	char byte;

	setsid();
	(void)!read(end, &byte, 1);
	if (read_limit(fd) == ours)
		write_limit(fd, before);
	_exit(0);
}

static int start_guardian(struct diff_limit *limit, unsigned long ours, unsigned long before)
{
	sigset_t all, old;
	int ends[2], err;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	/* It is never without its defence, and keeps it. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	limit->guardian = fork();
	err = limit->guardian < 0 ? -errno : 0;
	if (limit->guardian == 0) {
		close(ends[1]);
		put_back_at_the_end(ends[0], limit->fd, ours, before);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(ends[0]);
	if (err)
		close(ends[1]);
	else
		limit->end = ends[1];
	return err;
}

int diff_limit_lower(struct diff_limit *limit, unsigned long to)
{
	unsigned long before;
	int err;

	*limit = (struct diff_limit){ .fd = open(setting, O_RDWR | O_CLOEXEC), .end = -1 };
	if (limit->fd < 0)
		return -errno;
	before = read_limit(limit->fd);
	if (flock(limit->fd, LOCK_EX | LOCK_NB))
		err = -errno;
	else if (before < to)
		err = -ERANGE;
	else
		err = start_guardian(limit, to, before);
	if (!err)
		err = write_limit(limit->fd, to);
	if (err)
		diff_limit_restore(limit);
	return err;
}

void diff_limit_restore(struct diff_limit *limit)
{
	if (limit->end >= 0) {
		(void)!write(limit->end, "", 1);
		close(limit->end);
		while (waitpid(limit->guardian, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (limit->fd >= 0)
		close(limit->fd);
	*limit = (struct diff_limit){ .fd = -1, .end = -1 };
}
