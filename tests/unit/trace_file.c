/* SPDX-License-Identifier: MIT */
/*
 * The trace format: what is written is read back, field by field; what is wrong is
 * named by its line; a disk that is full is told at the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli.h"
#include "trace.h"

/* A trace being written to a file without a name, then read. */
struct fixture {
	char path[64];
	FILE *file;
	struct trace *trace;
	char *text;
	struct trace_reader *reader;
	struct trace_record record;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->file = tmpfile();
	assert_non_null(f->file);
	snprintf(f->path, sizeof(f->path), "/proc/self/fd/%d", fileno(f->file));
	assert_int_equal(trace_open(f->path, &f->trace), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	trace_close(f->trace);
	trace_reader_destroy(f->reader);
	fclose(f->file);
	free(f->text);
	free(f);
	return 0;
}

/* Ends the writing; the records can be read from now on. */
static void turn(struct fixture *f)
{
	size_t len;

	assert_int_equal(trace_close(f->trace), 0);
	f->trace = NULL;
	assert_int_equal(read_whole_file(f->path, &f->text, &len), 0);
	assert_true(trace_recognize(f->text, len));
	assert_int_equal(trace_reader_create(f->text, len, "t", &f->reader), 0);
}

static struct trace_record *next(struct fixture *f, enum trace_record_kind kind)
{
	assert_int_equal(trace_read(f->reader, &f->record), 1);
	assert_int_equal(f->record.kind, kind);
	return &f->record;
}

static void at_end(struct fixture *f)
{
	assert_int_equal(trace_read(f->reader, &f->record), 0);
}

static void lines_equal(const struct map *map, const struct map_line *lines, size_t nr)
{
	size_t i;

	assert_int_equal(map->nr, nr);
	for (i = 0; i < nr; i++) {
		const struct map_line *a = &map->lines[i], *b = &lines[i];

		assert_int_equal(a->start, b->start);
		assert_int_equal(a->end, b->end);
		assert_string_equal(a->perms, b->perms);
		assert_int_equal(a->offset, b->offset);
		assert_int_equal(a->dev_major, b->dev_major);
		assert_int_equal(a->dev_minor, b->dev_minor);
		assert_int_equal(a->ino, b->ino);
		assert_string_equal(a->name, b->name);
		assert_int_equal(a->vm_flags, b->vm_flags);
		assert_int_equal(a->has_anonymous, b->has_anonymous);
	}
}

static char name_spaces[] = "/a b (deleted)", name_none[] = "", name_stack[] = "[stack]";

static struct map_line some_lines[] = {
	{ 0x400000, 0x402000, "r-xp", 0x3000, 8, 0xfe, ~0ULL, name_spaces, 0x75, false },
	{ 0x402000, 0x403000, "---s", 0, 0, 1, 5, name_none, 0, true },
	{ 0x7ffffffde000, 0x7ffffffff000, "rw-p", 0, 0, 0, 0, name_stack, 0x100173, true },
};

static struct map some_map = { some_lines, 3, 3, NULL, 0 };

static void exec_with_all(void **state)
{
	struct fixture *f = *state;
	struct mirror_exec_info info = {
		.brk_known = true,
		.start_brk = 0x1000,
		.brk = 0x1234,
		.limits_known = true,
		.rlimit = { 1, ~0UL, 0x800000, 0 },
		.cap_ipc_lock = true,
		.personality = 0x0400000,
		.static_binary = true,
	};
	struct trace_record *r;

	trace_exec(f->trace, 77, &some_map, &info);
	turn(f);
	r = next(f, TRACE_EXEC);
	assert_int_equal(r->pid, 77);
	assert_int_equal(r->line, 2);
	assert_true(r->info.brk_known && r->info.limits_known);
	assert_int_equal(r->info.start_brk, info.start_brk);
	assert_int_equal(r->info.brk, info.brk);
	assert_memory_equal(r->info.rlimit, info.rlimit, sizeof(info.rlimit));
	assert_true(r->info.cap_ipc_lock && r->info.static_binary);
	assert_int_equal(r->info.personality, info.personality);
	lines_equal(r->map, some_lines, 3);
	at_end(f);
}

static void exec_with_nothing_known(void **state)
{
	struct fixture *f = *state;
	struct mirror_exec_info nothing = { 0 };
	struct map empty = { 0 };
	struct trace_record *r;

	trace_exec(f->trace, 77, &empty, &nothing);
	turn(f);
	r = next(f, TRACE_EXEC);
	assert_false(r->info.brk_known || r->info.limits_known || r->info.cap_ipc_lock ||
		     r->info.static_binary);
	assert_int_equal(r->map->nr, 0);
	at_end(f);
}

static void map_replaces_map(void **state)
{
	struct fixture *f = *state;
	struct map small = { some_lines + 1, 1, 1, NULL, 0 };

	trace_map(f->trace, 7, &some_map);
	trace_map(f->trace, 8, &small);
	turn(f);
	lines_equal(next(f, TRACE_MAP)->map, some_lines, 3);
	assert_int_equal(f->record.pid, 7);
	lines_equal(next(f, TRACE_MAP)->map, some_lines + 1, 1);
	assert_int_equal(f->record.pid, 8);
	at_end(f);
}

/* Each kind by the format's own word, each result: a value, an address, an error, none. */
static void calls_of_all_kinds(void **state)
{
	static const long results[] = { 0, 0x7ffff7ff7000, -12, -4095 };
	struct fixture *f = *state;
	struct trace_record *r;
	int kind;

	for (kind = 0; kind < CALL_NR_KINDS; kind++) {
		struct call call = {
			.kind = kind,
			.pid = 5,
			.tid = 6,
			.args = { 1, ~0UL, 3, 4, 5, kind },
			.ret = results[kind % 4],
			.returned = kind != CALL_MREMAP,
		};

		assert_int_equal(trace_call(f->trace, &call), 0);
	}
	turn(f);
	for (kind = 0; kind < CALL_NR_KINDS; kind++) {
		r = next(f, TRACE_CALL);
		assert_int_equal(r->call.kind, kind);
		assert_int_equal(r->call.pid, 5);
		assert_int_equal(r->call.tid, 6);
		assert_int_equal(r->call.args[1], ~0UL);
		assert_int_equal(r->call.args[5], kind);
		assert_int_equal(r->call.returned, kind != CALL_MREMAP);
		if (r->call.returned)
			assert_int_equal(r->call.ret, results[kind % 4]);
		assert_false(r->call.file.known);
		assert_int_equal(r->line, kind + 2);
	}
	at_end(f);
}

static void file_of_a_call(void **state)
{
	struct fixture *f = *state;
	struct call call = { .kind = CALL_MMAP, .pid = 5, .tid = 5, .returned = true };
	struct call_file *file = &call.file, *read;
	int kind;

	for (kind = VM_FILE_REGULAR; kind <= VM_FILE_DEVICE; kind++) {
		file->known = true;
		file->anonymous_inode = kind == VM_FILE_DEVICE;
		file->description = ~0ULL - kind;
		file->info = (struct vm_file_info){
			.size = sizeof(file->info),
			.ino = 1000 + kind,
			.dev_major = 0xfe,
			.dev_minor = 0x1234,
			.kind = kind,
			.readable = kind & 1,
			.writable = !(kind & 1),
			.noexec = kind == VM_FILE_ZERO,
			.hugepage_aligned = kind == VM_FILE_REGULAR,
			.name = kind ? file->name : NULL,
		};
		strcpy(file->name, "/a b\\012 = 5 file");
		trace_call(f->trace, &call);
	}
	turn(f);
	for (kind = VM_FILE_REGULAR; kind <= VM_FILE_DEVICE; kind++) {
		read = &next(f, TRACE_CALL)->call.file;
		assert_true(read->known);
		assert_int_equal(read->anonymous_inode, kind == VM_FILE_DEVICE);
		assert_int_equal(read->description, ~0ULL - kind);
		assert_int_equal(read->info.ino, 1000 + kind);
		assert_int_equal(read->info.dev_major, 0xfe);
		assert_int_equal(read->info.dev_minor, 0x1234);
		assert_int_equal(read->info.kind, kind);
		assert_int_equal(read->info.readable, kind & 1);
		assert_int_equal(read->info.writable, !(kind & 1));
		assert_int_equal(read->info.noexec, kind == VM_FILE_ZERO);
		assert_int_equal(read->info.hugepage_aligned, kind == VM_FILE_REGULAR);
		if (kind)
			assert_string_equal(read->info.name, "/a b\\012 = 5 file");
		else
			assert_null(read->info.name);
	}
	at_end(f);
}

/* A newline in a name would end the record: it is written as the kernel's map writes it. */
static void newline_in_a_name(void **state)
{
	struct fixture *f = *state;
	struct call call = { .kind = CALL_MMAP, .pid = 5, .tid = 5, .returned = true };

	call.file.known = true;
	strcpy(call.file.name, "/a\nb");
	call.file.info.name = call.file.name;
	trace_call(f->trace, &call);
	turn(f);
	assert_string_equal(next(f, TRACE_CALL)->call.file.info.name, "/a\\012b");
	at_end(f);
}

static void faults_and_others(void **state)
{
	struct fixture *f = *state;
	struct trace_record *r;

	trace_faults(f->trace, true);
	trace_faults(f->trace, false);
	trace_fault(f->trace, 9, 0xfffffffffffff123, MM_WRITE);
	trace_fault(f->trace, 9, 0, MM_READ);
	trace_fault(f->trace, 9, 1, MM_EXEC);
	trace_faults_lost(f->trace);
	trace_forget(f->trace, 10);
	turn(f);
	next(f, TRACE_FAULTS_KNOWN);
	next(f, TRACE_FAULTS_UNKNOWN);
	r = next(f, TRACE_FAULT);
	assert_int_equal(r->pid, 9);
	assert_int_equal(r->addr, 0xfffffffffffff123);
	assert_int_equal(r->access, MM_WRITE);
	assert_int_equal(next(f, TRACE_FAULT)->access, MM_READ);
	assert_int_equal(next(f, TRACE_FAULT)->access, MM_EXEC);
	next(f, TRACE_FAULTS_LOST);
	assert_int_equal(next(f, TRACE_FORGET)->pid, 10);
	at_end(f);
}

/* Nothing is lost quietly. */
static void full_disk(void **state)
{
	struct trace *t;
	int i, err = 0;

	assert_int_equal(trace_open("/dev/full", &t), 0);
	for (i = 0; i < 10000 && !err; i++)
		err = trace_fault(t, 9, i, MM_READ);
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(trace_forget(t, 9), -ENOSPC);
	assert_int_equal(trace_close(t), -ENOSPC);

	assert_int_equal(trace_open("/dev/full", &t), 0);
	assert_int_equal(trace_fault(t, 9, 1, MM_READ), 0);
	assert_int_equal(trace_close(t), -ENOSPC);
	assert_int_equal(trace_open("/nowhere/t", &t), -ENOENT);
	assert_int_equal(trace_close(NULL), 0);
}

/* Bad lines ------------------------------------------------------------------- */

/* The status, with what is said kept from the terminal, and the line that it names. */
static int read_bad(const char *text, unsigned long *line)
{
	struct trace_record *record = malloc(sizeof(*record));
	struct trace_reader *reader = NULL;
	char *copy = strdup(text), said[512];
	int saved = dup(STDERR_FILENO), got;
	FILE *file = tmpfile();

	assert_true(record && copy && file);
	dup2(fileno(file), STDERR_FILENO);
	got = trace_reader_create(copy, strlen(copy), "t", &reader);
	if (!got)
		while ((got = trace_read(reader, record)) > 0)
			;
	trace_reader_destroy(reader);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	*line = 0;
	if (fgets(said, sizeof(said), file))
		sscanf(said, "samara replay: t:%lu: ", line);
	fclose(file);
	free(copy);
	free(record);
	return got;
}

static void bad_lines(void **state)
{
	static const char *const bad[] = {
		"dance 7\n",
		"call 7 7 dance 0 0 0 0 0 0 = 0\n",
		"call 7 7 munmap 0 0 0 0 0 = 0\n",
		"call 7 7 munmap 0 0 0 0 0 0\n",
		"call 7 7 munmap 0 0 0 0 0 0 = -4096\n",
		"call 7 7 munmap 0 0 0 0 0 0 = 0x5\n",
		"call 7 7 munmap 0 0 0 0 0 11112222333344445 = 0\n",
		"call 0 7 munmap 0 0 0 0 0 0 = 0\n",
		"call 7 99999999999 munmap 0 0 0 0 0 0 = 0\n",
		"call 7 7 munmap 0 0 0 0 0 0 = 0 fill\n",
		"call 7 7 mmap 0 0 0 0 0 0 = 0 file 1 0:0 0 regular rw--\n",
		"call 7 7 mmap 0 0 0 0 0 0 = 0 file 1 0:0 0 socket rw---\n",
		"fault 7 1000\n",
		"fault 7 1000 q\n",
		"faults maybe\n",
		"forget\n",
		"forget seven\n",
		"map 7 0 x\n",
		"exec 7 0 colour=5\n",
		"exec 7 0 brk=5\n",
		"exec 7 0 rlimit=1,2,3\n",
		"exec 7 0 rlimit=1,2,3,4,5\n",
		"forget 7",
	};
	char text[256];
	unsigned long line;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "%s\n# a remark\n\n%s", TRACE_HEADER, bad[i]);
		if (read_bad(text, &line) != -EINVAL || line != 4)
			fail_msg("line %lu for: %s", line, bad[i]);
	}
}

static void bad_maps(void **state)
{
	static const char *const bad[] = {
		"vma 2000-1000 r--p 0 0:0 0 0 0\n",
		"vma 1000-1000 r--p 0 0:0 0 0 0\n",
		"vma 1001-2000 r--p 0 0:0 0 0 0\n",
		"vma 1000-2000 r--p 1 0:0 0 0 0\n",
		"vma 1000-2000 r-p 0 0:0 0 0 0\n",
		"vma 1000-2000 r--q 0 0:0 0 0 0\n",
		"vma 1000-2000 r--p 0 0:0 0 0 2\n",
		"vma 1000-2000 r--p 0 0 0 0 0\n",
		"vma 1000 r--p 0 0:0 0 0 0\n",
		"forget 7\n",
		"vma 0-1000 r--p 0 0:0 0 0 0\n",
	};
	char text[256];
	unsigned long line;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "%s\nmap 7 2\nvma 0-1000 r--p 0 0:0 0 0 0 x\n%s", TRACE_HEADER,
			 bad[i]);
		if (read_bad(text, &line) != -EINVAL || line != 4)
			fail_msg("line %lu for: %s", line, bad[i]);
	}
}

static void other_versions(void **state)
{
	unsigned long line;

	assert_true(trace_recognize("# samara trace 2\n", 17));
	assert_false(trace_recognize("# samara", 8));
	assert_int_equal(read_bad("# samara trace 2\n", &line), -EINVAL);
	assert_int_equal(line, 1);
	assert_int_equal(read_bad("# samara trace 1", &line), -EINVAL);
	assert_int_equal(line, 1);
	assert_int_equal(read_bad(TRACE_HEADER "\n", &line), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(exec_with_all, setup, teardown),
		cmocka_unit_test_setup_teardown(exec_with_nothing_known, setup, teardown),
		cmocka_unit_test_setup_teardown(map_replaces_map, setup, teardown),
		cmocka_unit_test_setup_teardown(calls_of_all_kinds, setup, teardown),
		cmocka_unit_test_setup_teardown(file_of_a_call, setup, teardown),
		cmocka_unit_test_setup_teardown(newline_in_a_name, setup, teardown),
		cmocka_unit_test_setup_teardown(faults_and_others, setup, teardown),
		cmocka_unit_test(full_disk),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(bad_maps),
		cmocka_unit_test(other_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
