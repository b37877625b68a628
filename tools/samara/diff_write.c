/* SPDX-License-Identifier: MIT */
/* A finding as files: a C program that makes its calls without Samara, and a trace of them. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "diff_parts.h"
#include "trace.h"

#define FIRST_PID 1000

/* The program --------------------------------------------------------------- */

static const char includes[] =
"#define _GNU_SOURCE\n"
"#include <errno.h>\n"
"#include <fcntl.h>\n"
"#include <linux/capability.h>\n"
"#include <signal.h>\n"
"#include <stdio.h>\n"
"#include <stdlib.h>\n"
"#include <string.h>\n"
"#include <sys/mman.h>\n"
"#include <sys/personality.h>\n"
"#include <sys/prctl.h>\n"
"#include <sys/ptrace.h>\n"
"#include <sys/resource.h>\n"
"#include <sys/syscall.h>\n"
"#include <sys/user.h>\n"
"#include <sys/wait.h>\n"
"#include <unistd.h>\n"
"\n"
"struct step {\n"
"	char what;		/* c call, r read, w write, x execute, f fork, e exit, l limit */\n"
"	int proc;		/* whose: 0 is the first, a fork takes the lowest number that is free */\n"
"	long nr;		/* of the system call */\n"
"	unsigned long arg[6];\n"
"	unsigned long piece[4];	/* of process_madvise: address, length, twice */\n"
"	int file;		/* 1, 2 memfd; 3 a file, 4 read only, 5 write only; 6 /dev/zero; 7 memfd of huge pages */\n"
"	int is_addr;		/* the result is an address */\n"
"	long expected;		/* result */\n"
"	const char *text;\n"
"};\n"
"\n";

static char step_letter(const struct diff_op *op)
{
	switch (op->kind) {
	case DIFF_READ:
		return 'r';
	case DIFF_WRITE:
		return 'w';
	case DIFF_EXEC:
		return 'x';
	case DIFF_FORK:
		return 'f';
	case DIFF_EXIT:
		return 'e';
	case DIFF_RLIMIT:
		return 'l';
	default:
		return 'c';
	}
}

static void write_step(FILE *out, const struct diff_op *op, long expected)
{
	bool is_addr = expected >= 0 && (op->kind == DIFF_MMAP || op->kind == DIFF_MREMAP || op->kind == DIFF_BRK);
	struct call call = { 0 };
	char text[512];
	int i;

	if (op->kind == DIFF_MMAP || op->kind == DIFF_RLIMIT)
		diff_fill_call(op, &call);
	else
		diff_kernel_args(op, call.args);
	fprintf(out, "\t{ '%c', %d, %ld, { ", step_letter(op), op->proc, diff_syscall(op->kind));
	for (i = 0; i < 6; i++)
		fprintf(out, "%s0x%lx", i ? ", " : "", call.args[i]);
	fputs(" }, { 0", out);
	if (op->kind == DIFF_PROCESS_MADVISE)
		fprintf(out, "x%lx, 0x%lx, 0x%lx, 0x%lx", op->arg[0], op->arg[1], op->arg[3], op->arg[4]);
	fprintf(out, is_addr ? " }, %d, %d, 0x%lx,\n" : " }, %d, %d, %ld,\n", op->file, is_addr, expected);
	fprintf(out, "\t  \"%s\" },\n", diff_format_op(op, text, sizeof(text)));
}

/* The results that the model gave are the kernel's, but for the last call's. */
static void write_steps(FILE *out, const struct diff *d, const struct diff_episode *e)
{
	size_t i;

	fputs("static const struct step steps[] = {\n", out);
	for (i = 0; i < e->count; i++)
		write_step(out, &e->op[i], i + 1 == e->count ? d->model_result : e->result[i]);
	fputs("};\n\n", out);
}

static void write_expected_map(FILE *out, const struct diff_map *map)
{
	int i;

	fputs("static const char *const expected_map[] = {\n", out);
	for (i = 0; i < map->count; i++) {
		const struct diff_vma *v = &map->vma[i];

		fprintf(out, "\t\"%lx-%lx %s %08" PRIx64, v->start, v->end, v->perms, v->offset);
		map_print_flags(out, v->flags);
		fputs("\",\n", out);
	}
	fputs("\tNULL\n};\n\n", out);
}

static void write_expected(FILE *out, const struct diff *d)
{
	int i;

	write_expected_map(out, &d->model_map);
	fputs("static const char compared_flags[] = \"", out);
	map_print_flags(out, ~0UL);
	fputs(" \";\n\n", out);
	fputs("static const char *const counter_keys[] = { \"VmSize:\", \"VmLck:\", \"VmData:\", \"VmStk:\", \"VmExe:\", "
	      "\"VmLib:\" };\n", out);
	fputs("/* Pages; of executable ones all together. */\n", out);
	fputs("static const unsigned long expected_counters[] = {", out);
	for (i = 0; i < DIFF_NR_COUNTERS; i++)
		fprintf(out, "%s %lu", i ? "," : "", d->model_counters.value[i]);
	fputs(" };\n\n", out);
}

static void write_head(FILE *out, const struct diff *d, const struct diff_episode *e)
{
	struct utsname name;

	uname(&name);
	fprintf(out, "/*\n * Linux %s and the reference, Linux %s, differ after the last of these calls:\n", name.release,
		DIFF_REFERENCE);
	fprintf(out, " * %s.\n *\n", d->why);
	if (e->taste.map_count)
		fprintf(out, " * The limit of mappings was lowered: sysctl vm.max_map_count=%lu\n", e->taste.map_count);
	fprintf(out, " * gcc -o repro THIS_FILE && ./repro\n *\n");
	fprintf(out, " * Made %s. Exit status: 1 where the kernel differs from what is expected, else 0.\n */\n",
		d->has_caps ? "as root: run it as root" : "without the rights that lift limits");
	fputs(includes, out);
	fprintf(out, "#define REFERENCE \"%s\"\n", DIFF_REFERENCE);
	fprintf(out, "#define WITHOUT_RIGHTS %d\n", e->drop_caps);
	fprintf(out, "#define SHOWN %d\t\t/* the process whose mappings are compared */\n", d->shown);
	fprintf(out, "#define BAD_BYTE 0x%lxUL\t/* in it; 0: no page differs */\n", d->bad_byte);
	fprintf(out, "#define EXPECTED_PAGE \"%s\"\n", d->bad_page);
	fprintf(out, "#define HEAP_THEN 0x%lxUL\n", d->layout.start_brk);
	fprintf(out, "#define BASE_THEN 0x%lxUL\n\n", d->layout.mmap_base);
}

static int close_written(FILE *out)
{
	int err = ferror(out) ? -EIO : 0;

	errno = 0;
	if (fclose(out) && !err)
		err = errno ? -errno : -EIO;
	return err;
}

int diff_write_program(const char *path, const struct diff *d, const struct diff_episode *e)
{
	FILE *out = fopen(path, "we");

	if (!out)
		return -errno;
	write_head(out, d, e);
	write_steps(out, d, e);
	write_expected(out, d);
	fputs(diff_driver_text, out);
	return close_written(out);
}

/* The trace ----------------------------------------------------------------- */

/* Process ids, which are not used again, of processes whose places are. */
struct places {
	pid_t pid[DIFF_MAX_PROCS];
	pid_t next;
};

static int free_place(const struct places *p)
{
	int i;

	for (i = 0; i < DIFF_MAX_PROCS && p->pid[i]; i++)
		;
	return i;
}

/*
 * The map at the beginning. Above the process's own pages stands one page that ends where
 * the search for addresses begins, which a replay learns from it; it is unmapped at once.
 */
static int trace_beginning(struct trace *t, const struct diff *d)
{
	char none[] = "";
	const unsigned long may = MM_VM_MAYREAD | MM_VM_MAYWRITE | MM_VM_MAYEXEC;
	struct map_line lines[3] = {
		{ .start = TRACEE_CODE, .end = TRACEE_SCRATCH, .perms = "r-xp", .name = none,
		  .vm_flags = MM_VM_READ | MM_VM_EXEC | may | MM_VM_ACCOUNT, .has_anonymous = true },
		{ .start = TRACEE_SCRATCH, .end = TRACEE_END, .perms = "rw-p", .name = none,
		  .vm_flags = MM_VM_READ | MM_VM_WRITE | may | MM_VM_ACCOUNT, .has_anonymous = true },
		{ .start = d->layout.mmap_base - DIFF_PAGE, .end = d->layout.mmap_base, .perms = "---p", .name = none,
		  .vm_flags = may },
	};
	struct map map = { .lines = lines, .nr = 3 };
	struct mirror_exec_info info = { .brk_known = true, .start_brk = d->layout.start_brk,
					 .brk = d->layout.start_brk, .limits_known = true,
					 .cap_ipc_lock = d->has_caps };
	struct call unmap = { .kind = CALL_MUNMAP, .pid = FIRST_PID, .tid = FIRST_PID, .returned = true,
			      .args = { d->layout.mmap_base - DIFF_PAGE, DIFF_PAGE } };
	int err;

	memcpy(info.rlimit, d->rlimit, sizeof(info.rlimit));
	err = trace_faults(t, true);
	if (!err)
		err = trace_exec(t, FIRST_PID, &map, &info);
	return err ? err : trace_call(t, &unmap);
}

static int trace_touch(struct trace *t, pid_t pid, const struct diff_op *op, long result)
{
	static const enum mm_access how[DIFF_NR_KINDS] = { [DIFF_READ] = MM_READ, [DIFF_WRITE] = MM_WRITE,
							   [DIFF_EXEC] = MM_EXEC };

	return result == MM_FAULT_OK ? trace_fault(t, pid, op->arg[0], how[op->kind]) : 0;
}

static int trace_op(struct trace *t, struct places *p, const struct diff *d, const struct diff_op *op, long result)
{
	struct call call;
	int place;

	if (diff_is_touch(op))
		return trace_touch(t, p->pid[op->proc], op, result);
	diff_fill_call(op, &call);
	call.pid = call.tid = p->pid[op->proc];
	call.ret = result;
	if (op->kind == DIFF_MMAP && op->file) {
		call.file.known = true;
		call.file.description = op->file;
		call.file.info = d->file_info[op->file];
	}
	if (op->kind == DIFF_EXIT)
		p->pid[op->proc] = 0;
	if (op->kind == DIFF_FORK && !result) {
		place = free_place(p);
		call.ret = p->next;
		p->pid[place] = p->next++;
	}
	return trace_call(t, &call);
}

/* A replay makes the calls; what both sides had then stands below them as remarks. */
static int append_maps(const char *path, const struct diff *d)
{
	FILE *out = fopen(path, "ae");
	int i;

	if (!out)
		return -errno;
	fprintf(out, "# %s\n# the kernel's mappings of process %d; samara replay --maps prints the model's:\n", d->why,
		FIRST_PID + d->shown);
	for (i = 0; i < d->kernel_map.count; i++) {
		const struct diff_vma *v = &d->kernel_map.vma[i];

		fprintf(out, "# %lx-%lx %s %08" PRIx64 " %02x:%02x %" PRIu64 "\n", v->start, v->end, v->perms, v->offset,
			v->dev_major, v->dev_minor, v->ino);
	}
	return close_written(out);
}

int diff_write_trace(const char *path, const struct diff *d, const struct diff_episode *e)
{
	struct places places = { { FIRST_PID }, FIRST_PID + 1 };
	struct trace *t;
	size_t i;
	int err, closed;

	err = trace_open(path, &t);
	if (err)
		return err;
	err = trace_beginning(t, d);
	for (i = 0; i < e->count && !err; i++)
		err = trace_op(t, &places, d, &e->op[i], e->result[i]);
	closed = trace_close(t);
	if (!err)
		err = closed;
	return err ? err : append_maps(path, d);
}
