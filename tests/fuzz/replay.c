/* SPDX-License-Identifier: MIT */
/*
 * The whole way of a replay, with anything for a trace: reader, mirror, library. It
 * ends with one of its exit statuses, and the library's own checks hold.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli.h"
#include "commands.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* What is said of bad input is not looked at. */
static void silence(void)
{
	static bool done;
	int fd;

	if (done || getenv("SAMARA_FUZZ_VERBOSE"))
		return;
	done = true;
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	require(fd >= 0);
	stderr = fdopen(fd, "w");
	require(stderr != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], command[] = "replay", option[] = "--json", null[] = "/dev/null";
	char *argv[] = { command, option, null, path, NULL };
	int fd = memfd_create("input", MFD_CLOEXEC), status;

	silence();
	require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	status = command_replay(4, argv);
	require(status == EXIT_OK || status == EXIT_BAD_INPUT || status == EXIT_DIVERGED);
	close(fd);
	return 0;
}
