/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static void print_who(const char *command)
{
	fputs("samara", stderr);
	if (command)
		fprintf(stderr, " %s", command);
	fputs(": ", stderr);
}

void complain(const char *command, const char *fmt, ...)
{
	va_list ap;

	print_who(command);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int check_output(const char *command, const char *path)
{
	int fd;

	if (!path || !strcmp(path, "-"))
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0) {
		complain(command, "cannot write '%s': %s; name a file in a folder that exists", path, strerror(errno));
		return EXIT_BAD_INPUT;
	}
	close(fd);
	return 0;
}

void complain_at(const char *command, const char *file, unsigned long line, const char *fmt, ...)
{
	va_list ap;

	print_who(command);
	fprintf(stderr, "%s:", file);
	if (line)
		fprintf(stderr, "%lu:", line);
	fputc(' ', stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int print_help(const char *command, const char *text)
{
	if (fputs(text, stdout) >= 0 && !fflush(stdout))
		return EXIT_OK;
	complain(command, "standard output: %s", strerror(errno));
	return EXIT_NO_MEMORY;
}

int complain_memory(void)
{
	complain(NULL, "no memory");
	return EXIT_NO_MEMORY;
}

void hint_next(const char *fmt, ...)
{
	va_list ap;

	if (!isatty(STDERR_FILENO))
		return;
	fputs("next: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static unsigned long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000UL + ts.tv_nsec / 1000000;
}

void progress_start(struct progress *p)
{
	p->on = isatty(STDERR_FILENO);
	p->shown = false;
	/* Work that is over in an instant shows nothing. */
	p->next_ms = p->on ? now_ms() + 300 : 0;
}

void progress_show(struct progress *p, const char *what, unsigned long done, const char *unit)
{
	unsigned long now;

	if (!p->on)
		return;
	now = now_ms();
	if (now < p->next_ms)
		return;
	p->next_ms = now + 100;
	p->shown = true;
	/* The cursor goes back, so that a message in between starts at the left. */
	fprintf(stderr, "\033[K%s: %lu %s\r", what, done, unit);
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\033[K", stderr);
	p->shown = false;
}

/* Append what @fd has. On failure the text is still the caller's. */
static int read_to_end(int fd, char **text, size_t *len, size_t *room)
{
	for (;;) {
		ssize_t n;

		if (*room - *len < 4097) {
			size_t more = *room ? *room * 2 : 65536;
			char *bigger = realloc(*text, more);

			if (!bigger)
				return -ENOMEM;
			*text = bigger;
			*room = more;
		}
		n = read(fd, *text + *len, *room - *len - 1);
		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		*len += n;
	}
	(*text)[*len] = '\0';
	return 0;
}

int read_whole_file(const char *path, char **text, size_t *len)
{
	bool is_stdin = !strcmp(path, "-");
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	char *buf = NULL;
	size_t n = 0, room = 0;
	int err;

	if (fd < 0)
		return -errno;
	err = read_to_end(fd, &buf, &n, &room);
	if (!is_stdin)
		close(fd);
	if (err) {
		free(buf);
		return err;
	}
	*text = buf;
	*len = n;
	return 0;
}
