/* SPDX-License-Identifier: MIT */
/* Maps files: what is read, what is refused and how, what is printed. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mirror.h"

#define GATE "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"

/* Standard error while it is caught. */
struct caught {
	int saved;
	FILE *file;
	char text[4096];
};

static void catch_stderr(struct caught *c)
{
	fflush(stderr);
	c->file = tmpfile();
	assert_non_null(c->file);
	c->saved = dup(STDERR_FILENO);
	dup2(fileno(c->file), STDERR_FILENO);
}

static void release_stderr(struct caught *c)
{
	size_t n;

	fflush(stderr);
	dup2(c->saved, STDERR_FILENO);
	close(c->saved);
	rewind(c->file);
	n = fread(c->text, 1, sizeof(c->text) - 1, c->file);
	c->text[n] = 0;
	fclose(c->file);
}

/* Parse @text; what is said goes to @c. */
static int parse(struct map *map, const char *text, struct caught *c)
{
	int err;

	catch_stderr(c);
	err = map_parse(map, text, strlen(text), "some-file");
	release_stderr(c);
	return err;
}

static void expect_refused(const char *text, const char *where, const char *why)
{
	struct map map = { 0 };
	struct caught c;
	int err = parse(&map, text, &c);

	if (err != -EINVAL || !strstr(c.text, where) || !strstr(c.text, why))
		fail_msg("%s\ngave %d and said: %s\nexpected: %s ... %s", text, err, c.text, where, why);
	map_free(&map);
}

static void fields_are_read(void **state)
{
	static const char text[] = "00400000-00401000 r-xp 00002000 fe:1a 1234567                            "
				   "/usr/bin/a b (deleted)\n"
				   "7f0000000000-7f0000003000 rw-s 00000000 00:01 12                         "
				   "/dev/zero (deleted)\n"
				   "7f0000003000-7f0000004000 ---p 00000000 00:00 0 \n";
	struct map map = { 0 };
	struct caught c;

	assert_int_equal(parse(&map, text, &c), 0);
	assert_string_equal(c.text, "");
	assert_int_equal(map.nr, 3);
	assert_int_equal(map.lines[0].start, 0x400000);
	assert_int_equal(map.lines[0].end, 0x401000);
	assert_string_equal(map.lines[0].perms, "r-xp");
	assert_int_equal(map.lines[0].offset, 0x2000);
	assert_int_equal(map.lines[0].dev_major, 0xfe);
	assert_int_equal(map.lines[0].dev_minor, 0x1a);
	assert_int_equal(map.lines[0].ino, 1234567);
	assert_string_equal(map.lines[0].name, "/usr/bin/a b (deleted)");
	assert_string_equal(map.lines[1].perms, "rw-s");
	assert_string_equal(map.lines[2].name, "");
	assert_int_equal(map.lines[2].vm_flags, 0);
	map_free(&map);
}

/* A9. The gate area is no mapping, though it lies above the user range. */
static void the_gate_area_is_left_out(void **state)
{
	struct map map = { 0 };
	struct caught c;

	assert_int_equal(parse(&map, "1000-2000 r--p 00000000 00:00 0 \n" GATE, &c), 0);
	assert_int_equal(map.nr, 1);
	assert_int_equal(parse(&map, GATE "VmFlags: ex\n", &c), 0);
	assert_int_equal(map.nr, 0);
	map_free(&map);
}

static void an_empty_file_has_no_mappings(void **state)
{
	struct map map = { 0 };
	struct caught c;

	assert_int_equal(parse(&map, "", &c), 0);
	assert_int_equal(map.nr, 0);
	map_free(&map);
}

static void details_of_smaps_are_read(void **state)
{
	static const char text[] =
		"1000-2000 rw-p 00000000 00:00 0                          [heap]\n"
		"Anonymous:             8 kB\nSwap:                  0 kB\n"
		"VmFlags: rd wr mr mw me gd dc ac nr zz \n"
		"3000-4000 rw-p 00000000 00:00 0 \n"
		"Anonymous:             0 kB\nSwap:                  4 kB\nVmFlags: rd wr mr mw me ac lf sl\n"
		"5000-6000 r--s 00000000 00:00 0 \nAnonymous: 0 kB\nTHPeligible:           0\nVmFlags: rd mr "
		"me ms\n";
	struct map map = { 0 };
	struct caught c;

	assert_int_equal(parse(&map, text, &c), 0);
	assert_int_equal(map.nr, 3);
	assert_true(map.lines[0].has_anonymous);
	assert_int_equal(map.lines[0].vm_flags,
			 MM_VM_READ | MM_VM_WRITE | MM_VM_MAYREAD | MM_VM_MAYWRITE | MM_VM_MAYEXEC |
				 MM_VM_GROWSDOWN | MM_VM_DONTCOPY | MM_VM_ACCOUNT | MM_VM_NORESERVE);
	assert_true(map.lines[1].has_anonymous);
	assert_true(map.lines[1].vm_flags & MM_VM_LOCKONFAULT);
	assert_true(map.lines[1].vm_flags & MM_VM_SEALED);
	assert_false(map.lines[2].has_anonymous);
	assert_int_equal(map.lines[2].vm_flags, MM_VM_READ | MM_VM_MAYREAD | MM_VM_MAYEXEC | MM_VM_MAYSHARE);
	map_free(&map);
}

static void what_is_no_map_is_refused(void **state)
{
	expect_refused("hello\n", "some-file:1:", "addresses");
	expect_refused("1000 2000 r--p 00000000 00:00 0 \n", "some-file:1:", "addresses");
	expect_refused("1000-2000 r--p 00000000 00:00 0 \n\n", "some-file:2:", "addresses");
	expect_refused("11112222333344445-2000 r--p 00000000 00:00 0 \n", "some-file:1:", "addresses");
	expect_refused("1000-2000 r-?p 00000000 00:00 0 \n", "some-file:1:", "permissions");
	expect_refused("1000-2000 r--\n", "some-file:1:", "permissions");
	expect_refused("1000-2000 r--p x 00:00 0 \n", "some-file:1:", "offset");
	expect_refused("1000-2000 r--p 0 0000 0 \n", "some-file:1:", "device");
	expect_refused("1000-2000 r--p 0 12345:0 0 \n", "some-file:1:", "device");
	expect_refused("1000-2000 r--p 0 00:00 x\n", "some-file:1:", "inode");
	expect_refused("1000-2000 r--p 0 00:00 99999999999999999999\n", "some-file:1:", "inode");
	expect_refused("Size: 4 kB\n", "some-file:1:", "not a mapping");
	expect_refused("1000-2000 r--p 0 00:00 0 \nSize 4 kB\n", "some-file:2:", "neither");
	expect_refused("1000-2000 r--p 0 00:00 0 \nAnonymous: x kB\n", "some-file:2:", "amount");
	expect_refused("1000-2000 r--p 0 00:00 0 \nVmFlags: rd wrx\n", "some-file:2:", "two letters");
}

static void impossible_ranges_are_refused(void **state)
{
	expect_refused("2000-2000 r--p 0 00:00 0 \n", "some-file:1:", "empty");
	expect_refused("3000-2000 r--p 0 00:00 0 \n", "some-file:1:", "empty");
	expect_refused("1000-2001 r--p 0 00:00 0 \n", "some-file:1:", "page boundaries");
	expect_refused("1000-2000 r--p 1 fe:00 5 \n", "some-file:1:", "page boundaries");
	expect_refused("7ffffffff000-800000000000 r--p 0 00:00 0 \n", "some-file:1:", "user range");
	expect_refused("ffffffffff600000-ffffffffff601000 --xp 0 00:00 0 [other]\n",
		       "some-file:1:", "user range");
	expect_refused("1000-3000 r--p 0 00:00 0 \n2000-4000 r--p 0 00:00 0 \n", "some-file:2:", "overlaps");
	expect_refused("5000-6000 r--p 0 00:00 0 \n2000-4000 r--p 0 00:00 0 \n", "some-file:2:", "sorted");
}

/* Numbers that lost their end are still numbers: only the newline says that a line is whole. */
static void a_cut_line_is_refused(void **state)
{
	expect_refused("1000-2000 r--p 00000000 fe:00 1234", "some-file:1:", "cut short");
	expect_refused("1000-2000 r--p 00000000 00:00 0 \n3000-40", "some-file:2:", "cut short");
}

/* Wherever a file ends, it is read or refused with a sentence. */
static void every_prefix_is_read_or_refused(void **state)
{
	static const char text[] = "1000-2000 r-xp 00000000 fe:00 77     /bin/x\nAnonymous:   4 kB\n"
				   "VmFlags: rd ex\n3000-4000 rw-p 00000000 00:00 0 \n" GATE;
	struct map map = { 0 };

	for (size_t n = 0; n < sizeof(text); n++) {
		struct caught c;
		char *copy = malloc(n + 1);
		int err;

		assert_non_null(copy);
		memcpy(copy, text, n);
		copy[n] = 0;
		err = parse(&map, copy, &c);
		if (n == 0 || text[n - 1] == '\n')
			assert_int_equal(err, 0);
		else
			assert_int_equal(err, -EINVAL);
		assert_int_equal(err != 0, c.text[0] != 0);
		free(copy);
	}
	map_free(&map);
}

static void a_nul_byte_is_refused(void **state)
{
	static const char text[] = "1000-2000 r--p 00000000 00:00 0 a\0b\n";
	struct map map = { 0 };
	struct caught c;
	int err;

	catch_stderr(&c);
	err = map_parse(&map, text, sizeof(text) - 1, "some-file");
	release_stderr(&c);
	assert_int_equal(err, -EINVAL);
	assert_non_null(strstr(c.text, "NUL"));
	map_free(&map);
}

/* Of this very process --------------------------------------------------- */

static size_t line_length(const char *text)
{
	const char *end = strchr(text, '\n');

	assert_non_null(end);
	return (size_t)(end - text) + 1;
}

static char *print_line(const struct map_line *line)
{
	struct mm_vma_info vma = { line->start, line->end, 0, line->offset, line->dev_major, line->dev_minor,
				   line->ino, NULL, line->name, false, 0 };
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	vma.flags = (line->perms[0] == 'r' ? MM_VM_READ : 0) | (line->perms[1] == 'w' ? MM_VM_WRITE : 0) |
		    (line->perms[2] == 'x' ? MM_VM_EXEC : 0) | (line->perms[3] == 's' ? MM_VM_MAYSHARE : 0);
	map_print_line(out, &vma);
	fclose(out);
	return text;
}

/* What the kernel prints, read and printed again, is the same byte for byte. */
static void own_maps_are_printed_as_they_were(void **state)
{
	static char text[1 << 18];
	int fd = open("/proc/self/maps", O_RDONLY);
	struct map map = { 0 };
	const char *at = text;
	size_t len = 0;
	ssize_t n;

	assert_true(fd >= 0);
	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	text[len] = 0;
	assert_int_equal(map_parse(&map, text, len, "self"), 0);
	assert_true(map.nr > 10);
	for (size_t i = 0; i < map.nr; i++) {
		char *printed = print_line(&map.lines[i]);
		size_t want = line_length(at);

		if (strlen(printed) != want || memcmp(printed, at, want))
			fail_msg("printed %s but it was %.*s", printed, (int)want, at);
		at += want;
		free(printed);
	}
	map_free(&map);
}

static void own_smaps_agree_with_own_permissions(void **state)
{
	struct map map = { 0 };
	bool stack = false;

	assert_int_equal(map_read_pid(&map, getpid(), true), 0);
	for (size_t i = 0; i < map.nr; i++) {
		const struct map_line *line = &map.lines[i];

		assert_int_equal(line->perms[0] == 'r', (line->vm_flags & MM_VM_READ) != 0);
		assert_int_equal(line->perms[1] == 'w', (line->vm_flags & MM_VM_WRITE) != 0);
		assert_int_equal(line->perms[2] == 'x', (line->vm_flags & MM_VM_EXEC) != 0);
		assert_int_equal(line->perms[3] == 's', (line->vm_flags & MM_VM_MAYSHARE) != 0);
		if (strcmp(line->name, "[stack]"))
			continue;
		stack = true;
		assert_true(line->vm_flags & MM_VM_GROWSDOWN);
		assert_true(line->has_anonymous);
	}
	assert_true(stack);
	map_free(&map);
}

static void a_file_held_open_is_read_again(void **state)
{
	int fd = open("/proc/self/maps", O_RDONLY);
	struct map map = { 0 };
	size_t first;

	assert_true(fd >= 0);
	assert_int_equal(map_read_fd(&map, fd, "self"), 0);
	first = map.nr;
	assert_int_equal(map_read_fd(&map, fd, "self"), 0);
	/* The heap may have come into being in between. */
	assert_in_range(map.nr, first, first + 2);
	close(fd);
	map_free(&map);
}

static void a_process_that_is_not_there_is_said(void **state)
{
	struct map map = { 0 };

	assert_int_equal(map_read_pid(&map, 0x7ffffff0, false), -ESRCH);
	map_free(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_read),
		cmocka_unit_test(the_gate_area_is_left_out),
		cmocka_unit_test(an_empty_file_has_no_mappings),
		cmocka_unit_test(details_of_smaps_are_read),
		cmocka_unit_test(what_is_no_map_is_refused),
		cmocka_unit_test(impossible_ranges_are_refused),
		cmocka_unit_test(a_cut_line_is_refused),
		cmocka_unit_test(every_prefix_is_read_or_refused),
		cmocka_unit_test(a_nul_byte_is_refused),
		cmocka_unit_test(own_maps_are_printed_as_they_were),
		cmocka_unit_test(own_smaps_agree_with_own_permissions),
		cmocka_unit_test(a_file_held_open_is_read_again),
		cmocka_unit_test(a_process_that_is_not_there_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
