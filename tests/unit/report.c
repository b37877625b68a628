/* SPDX-License-Identifier: MIT */
/* The summary: every figure is there, in text and in JSON, under the same words. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "report.h"

static const struct mirror_stats stats = {
	.processes = 3,
	.calls = { [CALL_MMAP] = 40, [CALL_BRK] = 2, [CALL_FORK] = 1 },
	.failed_calls = 5,
	.vmas_now = 60,
	.vmas_peak = 61,
	.splits = 62,
	.merges = 63,
	.comparisons = 64,
	.explained = 65,
	.adopted = 66,
	.divergences = 67,
	.searched = 80,
	.predicted = 78,
	.faults = 68,
	.stack_growths = 69,
};

static char *summary(const struct mirror_stats *s, const struct report_info *info)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	report_summary(out, s, info);
	fclose(out);
	return text;
}

static void expect_line(const char *text, const char *label, unsigned long value)
{
	char line[128];

	snprintf(line, sizeof(line), "  %-22s %12lu\n", label, value);
	if (!strstr(text, line))
		fail_msg("no line \"%s\" in:\n%s", line, text);
}

static void the_summary_has_every_figure(void **state)
{
	const struct report_info info = { .title = "ls -l", .verify = "each", .faults = "perf", .seconds = 1.5 };
	char *text = summary(&stats, &info);

	assert_non_null(strstr(text, "samara: ls -l\n"));
	expect_line(text, "address spaces", 3);
	expect_line(text, "calls", 43);
	expect_line(text, "  mmap", 40);
	expect_line(text, "calls that failed", 5);
	expect_line(text, "mappings now", 60);
	expect_line(text, "mappings at peak", 61);
	expect_line(text, "splits", 62);
	expect_line(text, "merges", 63);
	expect_line(text, "comparisons", 64);
	expect_line(text, "explained", 65);
	expect_line(text, "adopted", 66);
	expect_line(text, "divergences", 67);
	expect_line(text, "faults", 68);
	expect_line(text, "stack growths", 69);
	assert_non_null(strstr(text, "78 of 80 (97.5 %)\n"));
	assert_non_null(strstr(text, "1.500 s\n"));
	free(text);
}

/* Kinds that did not occur, and what was not measured, take no lines. */
static void the_summary_leaves_out_what_was_not(void **state)
{
	const struct report_info info = { .title = NULL };
	const struct mirror_stats nothing = { 0 };
	char *text = summary(&nothing, &info);

	assert_null(strstr(text, "mmap"));
	assert_null(strstr(text, "verify"));
	assert_null(strstr(text, "time"));
	assert_non_null(strstr(text, "0 of 0\n"));
	free(text);
}

static json_t *written(const struct report_info *info)
{
	char path[] = "/tmp/samara-report.XXXXXX";
	int fd = mkstemp(path);
	json_t *json;

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(report_json(path, &stats, info), 0);
	json = json_load_file(path, 0, NULL);
	unlink(path);
	assert_non_null(json);
	return json;
}

static json_int_t number(json_t *json, const char *key)
{
	json_t *value = json_object_get(json, key);

	if (!json_is_integer(value))
		fail_msg("no number '%s'", key);
	return json_integer_value(value);
}

static void the_json_has_every_figure(void **state)
{
	const struct report_info info = { .title = "ls -l", .verify = "each", .faults = "perf", .seconds = 1.5 };
	json_t *json = written(&info), *calls = json_object_get(json, "calls");

	assert_string_equal(json_string_value(json_object_get(json, "title")), "ls -l");
	assert_string_equal(json_string_value(json_object_get(json, "verify")), "each");
	assert_string_equal(json_string_value(json_object_get(json, "faults_from")), "perf");
	assert_int_equal(number(json, "address_spaces"), 3);
	assert_int_equal(json_object_size(calls), 3);
	assert_int_equal(number(calls, "mmap"), 40);
	assert_int_equal(number(calls, "brk"), 2);
	assert_int_equal(number(calls, "fork"), 1);
	assert_int_equal(number(json, "failed_calls"), 5);
	assert_int_equal(number(json, "mappings_now"), 60);
	assert_int_equal(number(json, "mappings_peak"), 61);
	assert_int_equal(number(json, "splits"), 62);
	assert_int_equal(number(json, "merges"), 63);
	assert_int_equal(number(json, "comparisons"), 64);
	assert_int_equal(number(json, "explained"), 65);
	assert_int_equal(number(json, "adopted"), 66);
	assert_int_equal(number(json, "divergences"), 67);
	assert_int_equal(number(json, "faults"), 68);
	assert_int_equal(number(json, "stack_growths"), 69);
	assert_int_equal(number(json, "searched"), 80);
	assert_int_equal(number(json, "predicted"), 78);
	json_decref(json);
}

/* Arguments may be any bytes; JSON may not. */
static void a_title_that_is_no_text_is_made_one(void **state)
{
	const struct report_info info = { .title = "cat \xff\xfe.txt" };
	json_t *json = written(&info);

	assert_string_equal(json_string_value(json_object_get(json, "title")), "cat ?\?.txt");
	json_decref(json);
}

static void a_file_that_cannot_be_written_is_said(void **state)
{
	const struct report_info info = { .title = "ls" };

	assert_int_equal(report_json("/nonexistent/folder/file", &stats, &info), -ENOENT);
	assert_int_equal(report_json("/dev/full", &stats, &info), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_summary_has_every_figure),
		cmocka_unit_test(the_summary_leaves_out_what_was_not),
		cmocka_unit_test(the_json_has_every_figure),
		cmocka_unit_test(a_title_that_is_no_text_is_made_one),
		cmocka_unit_test(a_file_that_cannot_be_written_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
