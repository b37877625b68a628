/* SPDX-License-Identifier: MIT */
/*
 * Both readers of traces, with anything for input: they end, report at most one
 * error, and hand out only what the mirror may be given.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "strace.h"
#include "trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_map(const struct map *map)
{
	size_t i;

	for (i = 0; i < map->nr; i++) {
		require(map->lines[i].start < map->lines[i].end);
		require(!i || map->lines[i - 1].end <= map->lines[i].start);
		require(map->lines[i].name != NULL);
	}
}

static void check(const struct trace_record *record)
{
	const struct call *call = &record->call;

	require(record->line > 0);
	if (record->kind == TRACE_EXEC || record->kind == TRACE_MAP) {
		require(record->pid > 0);
		if (record->map)
			check_map(record->map);
	}
	if (record->kind != TRACE_CALL)
		return;
	require(call->pid > 0 && call->tid > 0);
	require(call->kind < CALL_NR_KINDS);
	require(!call->file.info.name || strlen(call->file.info.name) < sizeof(call->file.name));
}

/* What is said of bad input is not looked at, and would be most of the run's time on a terminal. */
static void silence(void)
{
	static bool done;
	int fd;

	if (done || getenv("SAMARA_FUZZ_VERBOSE"))
		return;
	done = true;
	fd = open("/dev/null", O_WRONLY);
	if (fd >= 0)
		stderr = fdopen(fd, "w");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace_record *record = malloc(sizeof(*record));
	struct trace_reader *trace = NULL;
	struct strace_reader *strace = NULL;
	char *text = malloc(size + 1);
	size_t lines = 2, records = 0, i;
	int got = 1;

	silence();
	require(record && text);
	memcpy(text, data, size);
	text[size] = '\0';
	for (i = 0; i < size; i++)
		lines += text[i] == '\n';

	if (trace_recognize(text, size))
		got = trace_reader_create(text, size, "input", &trace) ? 0 : 1;
	else
		require(!strace_reader_create(text, size, "input", &strace));
	while (got > 0) {
		got = trace ? trace_read(trace, record) : strace_read(strace, record);
		if (got <= 0)
			break;
		check(record);
		/* A line makes one record, and at most one birth before it. */
		require(++records <= 2 * lines);
	}
	trace_reader_destroy(trace);
	strace_reader_destroy(strace);
	free(record);
	free(text);
	return 0;
}
