/* SPDX-License-Identifier: MIT */
/*
 * The strace reader, case by case: what is printed by strace on the left of each
 * test, the records that come of it on the right. Records are shown as
 *
 *	PID[/TID] NAME(ARGS) = RESULT [#DESCRIPTION PATH]
 *
 * with numbers in hexadecimal (but process ids and errors), and one per line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "strace.h"
#include "strace_line.h"

static const unsigned int nr_args[CALL_NR_KINDS] = {
	[CALL_MMAP] = 6, [CALL_MUNMAP] = 2, [CALL_MPROTECT] = 3, [CALL_PKEY_MPROTECT] = 4, [CALL_MREMAP] = 5,
	[CALL_BRK] = 1, [CALL_MADVISE] = 3, [CALL_MLOCK] = 2, [CALL_MLOCK2] = 3, [CALL_MUNLOCK] = 2,
	[CALL_MLOCKALL] = 1, [CALL_MSEAL] = 3, [CALL_MSYNC] = 3, [CALL_MINCORE] = 2, [CALL_SETRLIMIT] = 2,
};

static void show_call(FILE *out, const struct trace_record *record)
{
	const struct call *call = &record->call;
	unsigned int i;

	fprintf(out, "%s(", call_name(call->kind));
	for (i = 0; i < nr_args[call->kind]; i++)
		fprintf(out, "%s%lx", i ? "," : "", call->args[i]);
	if (call->ret < 0 || call->kind >= CALL_FORK)
		fprintf(out, ") = %ld", call->ret);
	else
		fprintf(out, ") = %lx", call->ret);
	if (call->file.known)
		fprintf(out, " #%lu%s %s", (unsigned long)call->file.description,
			record->uncertain ? "?" : "", call->file.info.name ? call->file.info.name : "-");
	fputc('\n', out);
}

/* All records of @text, and the status that ended them when it was no end. */
static char *read_all(const char *text)
{
	struct trace_record *record = malloc(sizeof(*record));
	char *copy = strdup(text), *shown;
	struct strace_reader *r;
	size_t len;
	FILE *out = open_memstream(&shown, &len);
	int got;

	assert_non_null(record);
	assert_int_equal(strace_reader_create(copy, strlen(copy), "t", &r), 0);
	while ((got = strace_read(r, record)) > 0) {
		fprintf(out, "%d", record->pid);
		if (record->call.tid != record->pid)
			fprintf(out, "/%d", record->call.tid);
		fputc(' ', out);
		if (record->kind == TRACE_EXEC)
			fputs("EXEC\n", out);
		else
			show_call(out, record);
	}
	if (got)
		fprintf(out, "error %d\n", got);
	fclose(out);
	strace_reader_destroy(r);
	free(record);
	free(copy);
	return shown;
}

static void says(const char *text, const char *expected)
{
	char *shown = read_all(text);

	assert_string_equal(shown, expected);
	free(shown);
}

/* The same, and exactly one sentence on standard error, which starts with @sentence. */
static void complains(const char *text, const char *expected, const char *sentence)
{
	char said[1024], *shown;
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	size_t n;

	assert_non_null(file);
	dup2(fileno(file), STDERR_FILENO);
	shown = read_all(text);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	n = fread(said, 1, sizeof(said) - 1, file);
	said[n] = '\0';
	fclose(file);
	assert_string_equal(shown, expected);
	free(shown);
	if (strncmp(said, sentence, strlen(sentence)))
		assert_string_equal(said, sentence);
	assert_ptr_equal(strchr(said, '\n'), said + n - 1);
}

/* Prefixes ------------------------------------------------------------------ */

static void pid_in_front(void **state)
{
	says("1234  munmap(0x1000, 4096)     = 0\n", "1234 munmap(1000,1000) = 0\n");
}

static void pid_in_brackets(void **state)
{
	says("[pid  1234] munmap(0x1000, 4096) = 0\n", "1234 munmap(1000,1000) = 0\n");
}

static void pid_with_command(void **state)
{
	says("1234<a b> munmap(0x1000, 4096) = 0\n[pid 1234<x>] fork() = 7<x>\n",
	     "1234 munmap(1000,1000) = 0\n1234 fork() = 7\n");
}

static void no_pid(void **state)
{
	says("munmap(0x1000, 4096) = 0\n", "1 munmap(1000,1000) = 0\n");
}

static void times_of_all_kinds(void **state)
{
	says("7 11:28:17 munlock(0x1000, 1) = 0\n"
	     "7 11:28:17.600535 munlock(0x2000, 1) = 0 <0.000061>\n"
	     "7 1700000000.600535 munlock(0x3000, 1) = 0\n"
	     "7      0.000123 munlock(0x4000, 1) = 0\n"
	     "7 11:28:17 (+     0.000123) munlock(0x5000, 1) = 0\n",
	     "7 munlock(1000,1) = 0\n7 munlock(2000,1) = 0\n7 munlock(3000,1) = 0\n7 munlock(4000,1) = 0\n"
	     "7 munlock(5000,1) = 0\n");
}

/* A time in seconds is no process id. */
static void time_without_pid(void **state)
{
	says("1700000000 munlock(0x1000, 1) = 0\n     0.000123 munlock(0x2000, 1) = 0\n",
	     "1 munlock(1000,1) = 0\n1 munlock(2000,1) = 0\n");
}

static void instruction_pointer_and_number(void **state)
{
	says("7 [ 150] [00007ffff7fe5a3a] munlock(0x1000, 1) = 0\n", "7 munlock(1000,1) = 0\n");
}

/* Values -------------------------------------------------------------------- */

static void flags_by_name(void **state)
{
	says("7 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000001000\n",
	     "7 mmap(0,2000,3,22,ffffffffffffffff,0) = 7f0000001000\n");
}

static void flags_that_strace_does_not_know(void **state)
{
	says("7 mmap(NULL, 0x2000, PROT_READ|0x40, MAP_PRIVATE|MAP_ANONYMOUS|0x800000, -1, 0) = "
	     "-1 EINVAL (Invalid argument)\n"
	     "7 madvise(0x1000, 4096, 0x309 /* MADV_??? */) = -1 EINVAL (Invalid argument)\n"
	     "7 mprotect(0x1000, 4096, 0x8 /* PROT_??? */) = 0\n",
	     "7 mmap(0,2000,41,800022,ffffffffffffffff,0) = -22\n7 madvise(1000,1000,309) = -22\n"
	     "7 mprotect(1000,1000,8) = 0\n");
}

static void size_of_huge_pages(void **state)
{
	says("7 mmap(NULL, 2097152, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB|21<<MAP_HUGE_SHIFT, "
	     "-1, 0) = -1 ENOMEM (Cannot allocate memory)\n",
	     "7 mmap(0,200000,1,54040022,ffffffffffffffff,0) = -12\n");
}

static void raw_numbers(void **state)
{
	says("7 mmap(0, 8192, 0x3, 0x22, -1, 0) = 0x7f0000001000\n",
	     "7 mmap(0,2000,3,22,ffffffffffffffff,0) = 7f0000001000\n");
}

static void mremap_with_and_without_new_address(void **state)
{
	says("7 mremap(0x1000, 4096, 8192, MREMAP_MAYMOVE) = 0x5000\n"
	     "7 mremap(0x1000, 4096, 8192, MREMAP_MAYMOVE|MREMAP_FIXED, 0x9000) = 0x9000\n",
	     "7 mremap(1000,1000,2000,1,0) = 5000\n7 mremap(1000,1000,2000,3,9000) = 9000\n");
}

/* strace 6.1 is older than mseal. */
static void mseal_by_name_and_number(void **state)
{
	says("7 mseal(0x1000, 4096, 0) = 0\n"
	     "7 syscall_0x1ce(0x1000, 0x1000, 0, 0, 0, 0) = -1 ENOMEM (Cannot allocate memory)\n",
	     "7 mseal(1000,1000,0) = 0\n7 mseal(1000,1000,0) = -12\n");
}

static void limits(void **state)
{
	says("7 prlimit64(0, RLIMIT_STACK, {rlim_cur=8192*1024, rlim_max=RLIM64_INFINITY}, NULL) = 0\n"
	     "7 prlimit64(0, RLIMIT_STACK, NULL, {rlim_cur=8192*1024, rlim_max=RLIM64_INFINITY}) = 0\n"
	     "7 prlimit64(99, RLIMIT_AS, {rlim_cur=1, rlim_max=1}, NULL) = 0\n"
	     "7 setrlimit(RLIMIT_MEMLOCK, {rlim_cur=RLIM_INFINITY, rlim_max=RLIM_INFINITY}) = 0\n",
	     "7 setrlimit(3,800000) = 0\n7 setrlimit(8,ffffffffffffffff) = 0\n");
}

/* Results ------------------------------------------------------------------- */

/* Nothing is known of a call that was killed, will be made again, or was never made. */
static void results_without_effect(void **state)
{
	says("7 munlock(0x1000, 1) = ?\n"
	     "7 munlock(0x1000, 1) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)\n"
	     "7 munlock(0x1000, 1) = 0 (INJECTED)\n"
	     "7 brk(NULL) = 0x55e0466b1000 (DELAYED)\n",
	     "7 brk(0) = 55e0466b1000\n");
}

/* strace's own lines, signals, and calls about other things. */
static void other_lines(void **state)
{
	says("strace: Process 8 attached\n"
	     "7 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=8} ---\n"
	     "7 write(1, \"a) = 0\\n\\\", {[(\", 9) = 9\n"
	     "7 write(1, \"long\"..., 832) = 832\n"
	     "7 readlink(\"/x(y\", 0x7ff, 4095) = -1 EINVAL (Invalid argument)\n"
	     "7 poll([{fd=3</x, (y>, events=POLLIN}], 1, 0) = 1 ([{fd=3, revents=POLLIN}])\n"
	     "7 restart_syscall(<... resuming interrupted read ...>) = 0\n"
	     " > /lib/x86_64-linux-gnu/libc.so.6(mmap+0x1) [0x123]\n"
	     "7 exit_group(0) = ?\n",
	     "");
}

static void table_of_counts(void **state)
{
	says("7 munlock(0x1000, 1) = 0\n"
	     "% time     seconds  usecs/call     calls    errors syscall\n"
	     "------ -----\n",
	     "7 munlock(1000,1) = 0\n");
}

/* Two halves ---------------------------------------------------------------- */

/* A call counts when it ends. */
static void halves_are_joined(void **state)
{
	says("7 mprotect(0x1000, 4096, PROT_READ <unfinished ...>\n"
	     "8 munlock(0x5000, 1) = 0\n"
	     "7 <... mprotect resumed>) = 0\n"
	     "7 mincore(0x1000, 8192,  <unfinished ...>\n"
	     "7 <... mincore resumed>[1, 0]) = 0\n",
	     "7/8 munlock(5000,1) = 0\n7 mprotect(1000,1000,1) = 0\n7 mincore(1000,2000) = 0\n");
}

static void second_half_alone(void **state)
{
	says("7 <... munmap resumed>) = 0\n", "");
}

/*
 * Thread 9 gets the place that 8 is giving back, and 7 one that belongs to nobody: 8's call comes
 * first, once.
 */
static void place_given_back_first(void **state)
{
	says("7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_THREAD) = 8\n"
	     "7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_THREAD) = 9\n"
	     "8 munmap(0x10000, 8192 <unfinished ...>\n"
	     "9 mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0 <unfinished ...>\n"
	     "7 mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x12000\n"
	     "9 <... mmap resumed>) = 0x11000\n8 <... munmap resumed>) = 0\n8 munmap(0x20000, 4096) = 0\n",
	     "7 clone() = 8\n"
	     "7 clone() = 9\n"
	     "7 mmap(0,1000,0,22,ffffffffffffffff,0) = 12000\n"
	     "7/8 munmap(10000,2000) = 0\n"
	     "7/9 mmap(0,1000,0,22,ffffffffffffffff,0) = 11000\n7/8 munmap(20000,1000) = 0\n");
}

/*
 * A place that is freed by a move can be known only from the move's end, further down. With other threads
 * about, that it moved is given, as MREMAP_FIXED.
 */
static void place_moved_from_first(void **state)
{
	says("7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_THREAD) = 8\n"
	     "8 mremap(0x10000, 8192, 16384, MREMAP_MAYMOVE <unfinished ...>\n"
	     "7 mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x11000\n"
	     "8 <... mremap resumed>) = 0x20000\n",
	     "7 clone() = 8\n"
	     "7/8 mremap(10000,2000,4000,3,20000) = 20000\n"
	     "7 mmap(0,1000,0,22,ffffffffffffffff,0) = 11000\n");
}

/* Processes ----------------------------------------------------------------- */

static void child_after_return(void **state)
{
	says("7 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f) = 8\n"
	     "8 munlock(0x1000, 1) = 0\n8 +++ exited with 0 +++\n7 +++ killed by SIGKILL +++\n",
	     "7 fork() = 8\n8 munlock(1000,1) = 0\n8 exit() = 0\n7 exit() = 0\n");
}

/* It exists from its first line on, and is not told twice. */
static void child_before_return(void **state)
{
	says("7 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD <unfinished ...>\n"
	     "8 munlock(0x1000, 1) = 0\n"
	     "7 <... clone resumed>, child_tidptr=0x7f) = 8\n"
	     "7 munlock(0x2000, 1) = 0\n",
	     "7 fork() = 8\n8 munlock(1000,1) = 0\n7 munlock(2000,1) = 0\n");
}

/* Two are being born; the lines further down tell whose is whose. */
static void two_births_at_once(void **state)
{
	says("7 fork() = 8\n"
	     "7 fork( <unfinished ...>\n8 vfork( <unfinished ...>\n"
	     "10 munlock(0x1000, 1) = 0\n9 munlock(0x2000, 1) = 0\n"
	     "7 <... fork resumed>) = 9\n8 <... vfork resumed>) = 10\n",
	     "7 fork() = 8\n8 vfork() = 10\n10 munlock(1000,1) = 0\n7 fork() = 9\n9 munlock(2000,1) = 0\n");
}

/* The parent was killed in vfork, so no line says whose the child is. */
static void birth_without_return(void **state)
{
	says("7 vfork( <unfinished ...>\n8 munlock(0x1000, 1) = 0\n7 <... vfork resumed>) = ?\n",
	     "7 vfork() = 8\n8 munlock(1000,1) = 0\n");
}

static void vfork_by_clone(void **state)
{
	says("7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_VFORK|SIGCHLD) = 8\n"
	     "7 clone3({flags=CLONE_VM|CLONE_VFORK|CLONE_CLEAR_SIGHAND, exit_signal=SIGCHLD}, 88) = 9\n",
	     "7 vfork() = 8\n7 vfork() = 9\n");
}

/* A thread's calls are its process's; the process ends with its last thread. */
static void threads(void **state)
{
	says("7 clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD, child_tid=0x7f} "
	     "=> {parent_tid=[8]}, 88) = 8\n"
	     "8 munlock(0x1000, 1) = 0\n7 +++ exited with 0 +++\n8 +++ exited with 0 +++\n",
	     "7 clone() = 8\n7/8 munlock(1000,1) = 0\n7/8 exit() = 0\n");
}

static void clone_flags_as_number(void **state)
{
	says("7 clone(child_stack=NULL, flags=0x1200011, child_tidptr=0x7f) = 8\n"
	     "7 clone3({flags=0x3d0f00, child_tid=0x7f}, 88) = 9\n",
	     "7 fork() = 8\n7 clone() = 9\n");
}

/* To a terminal, strace puts a note into the middle of the line that made the child. */
static void note_in_mid_line(void **state)
{
	says("clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLDstrace: Process 8 attached\n"
	     ", child_tidptr=0x7f) = 8\n"
	     "[pid     8] munlock(0x1000, 1) = 0\n[pid     7] munlock(0x2000, 1) = 0\n"
	     "[pid     8] +++ exited with 0 +++\nmunlock(0x3000, 1) = 0\n",
	     "7 fork() = 8\n"
	     "8 munlock(1000,1) = 0\n"
	     "7 munlock(2000,1) = 0\n"
	     "8 exit() = 0\n"
	     "7 munlock(3000,1) = 0\n");
}

/* strace -p: nobody sees them begin. After an exec, though, each birth would be seen. */
static void threads_from_before(void **state)
{
	says("7 munlock(0x1000, 1) = 0\n"
	     "8 munlock(0x2000, 1) = 0\n"
	     "7 +++ exited with 0 +++\n"
	     "8 +++ exited with 0 +++\n",
	     "7 munlock(1000,1) = 0\n7/8 munlock(2000,1) = 0\n7/8 exit() = 0\n");
	says("7 execve(\"/a\", [], 0x7ff) = 0\n"
	     "8 munlock(0x2000, 1) = 0\n", "7 EXEC\n8 munlock(2000,1) = 0\n");
}

static void exec_ends_threads(void **state)
{
	says("7 clone3({flags=CLONE_VM|CLONE_THREAD}, 88) = 8\n"
	     "7 execve(\"/bin/true\", [\"true\"], 0x7ff /* 3 vars */) = 0\n"
	     "7 munlock(0x1000, 1) = 0\n7 +++ exited with 0 +++\n",
	     "7 clone() = 8\n7 EXEC\n7 munlock(1000,1) = 0\n7 exit() = 0\n");
}

/* A thread that calls exec goes on under its process's id. */
static void exec_by_thread(void **state)
{
	says("7 clone3({flags=CLONE_VM|CLONE_THREAD}, 88) = 8\n"
	     "7 pause( <unfinished ...>\n"
	     "8 execve(\"/bin/true\", [\"true\"], 0x7ff /* 3 vars */ <unfinished ...>\n"
	     "7 <... pause resumed>) = ?\n7 +++ superseded by execve in pid 8 +++\n"
	     "7 <... execve resumed>) = 0\n7 +++ exited with 0 +++\n",
	     "7 clone() = 8\n7 EXEC\n7 exit() = 0\n");
	says("7 clone3({flags=CLONE_VM|CLONE_THREAD}, 88) = 8\n"
	     "8 execve(\"/bin/true\", [\"true\"], 0x7ff <pid changed to 7 ...>\n"
	     "7 +++ superseded by execve in pid 8 +++\n"
	     "7 <... execve resumed>) = 0\n"
	     "7 +++ exited with 0 +++\n",
	     "7 clone() = 8\n7 EXEC\n7 exit() = 0\n");
}

static void exec_that_fails(void **state)
{
	says("7 execve(\"/nothing\", [\"x\"], 0x7ff) = -1 ENOENT (No such file or directory)\n", "");
}

/* Files --------------------------------------------------------------------- */

#define MAP_START(fd) "7 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, " fd ", 0) = 0x10000\n"
#define MAP_NEXT(fd) "7 mmap(0x11000, 4096, PROT_READ, MAP_PRIVATE|MAP_FIXED, " fd ", 0x1000) = 0x11000\n"
#define START_IS(what) "7 mmap(0,2000,1,2,3,0) = 10000 " what "\n"
#define NEXT_IS(what) "7 mmap(11000,1000,1,12,3,1000) = 11000 " what "\n"

/* The loader opens each library under the number of the one before. */
static void number_used_again(void **state)
{
	says(MAP_START("3") MAP_NEXT("3") MAP_START("3") MAP_NEXT("3"),
	     START_IS("#1? -") NEXT_IS("#1? -") START_IS("#2? -") NEXT_IS("#2? -"));
}

static void path_of_number(void **state)
{
	says(MAP_START("3</lib/a\\74\\\\b>") MAP_NEXT("3</lib/a\\74\\\\b>")
	     MAP_NEXT("3</lib/c (d, e>") MAP_START("3</tmp/f>(deleted)"),
	     START_IS("#1? /lib/a<\\b") NEXT_IS("#1? /lib/a<\\b")
	     NEXT_IS("#2? /lib/c (d, e") START_IS("#3? /tmp/f (deleted)"));
}

static void number_followed_from_open(void **state)
{
	says("7 openat(AT_FDCWD, \"/lib/a\", O_RDONLY|O_CLOEXEC) = 3\n" MAP_START("3") MAP_START("3")
	     "7 close(3) = 0\n7 openat(AT_FDCWD</root>, \"b\", O_RDWR) = 3</root/b>\n" MAP_NEXT("3"),
	     START_IS("#1 /lib/a") START_IS("#1 /lib/a") NEXT_IS("#2 /root/b"));
}

/* All numbers of one open() are one description. */
static void duplicates(void **state)
{
	says("7 open(\"/a\", O_RDONLY) = 9\n7 dup2(9, 3) = 3\n" MAP_START("3")
	     "7 dup(9) = 4\n7 fcntl(4, F_DUPFD_CLOEXEC, 3) = 3\n7 close(9) = 0\n" MAP_START("3")
	     "7 close_range(3, 4294967295, 0) = 0\n" MAP_START("3"),
	     START_IS("#1 /a") START_IS("#1 /a") START_IS("#2? -"));
}

static void descriptors_are_inherited(void **state)
{
	says("7 open(\"/a\", O_RDONLY) = 3\n7 fork() = 8\n7 close(3) = 0\n"
	     "8 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, 3, 0) = 0x10000\n",
	     "7 fork() = 8\n8 mmap(0,2000,1,2,3,0) = 10000 #1 /a\n");
}

static void memfd(void **state)
{
	says("7 memfd_create(\"x\", MFD_CLOEXEC) = 3\n" MAP_START("3"), START_IS("#1 /memfd:x (deleted)"));
}

/* Bad input ------------------------------------------------------------------ */

static void cut_in_mid_line(void **state)
{
	complains("7 munlock(0x1000, 1) = 0\n7 munlock(0x2000, 1) = ", "7 munlock(1000,1) = 0\nerror -22\n",
		  "samara replay: t:2: the trace is cut in the middle of this line\n");
}

/* The number may go on. */
static void cut_at_line_end(void **state)
{
	complains("7 munlock(0x1000, 1) = 0", "error -22\n",
		  "samara replay: t:1: the trace is cut in the middle of this line\n");
}

static void no_strace_at_all(void **state)
{
	complains("Dear reader,\n", "error -22\n", "samara replay: t:1: this is not a line of strace; ");
	complains("7 munlock(0x1000, 1) = 0\nhello\n", "7 munlock(1000,1) = 0\nerror -22\n",
		  "samara replay: t:2: this is not a line of strace; ");
}

static void call_without_end(void **state)
{
	complains("7 munlock(0x1000, 1\n",
	          "error -22\n", "samara replay: t:1: this line is cut: the call has no end\n");
	complains("7 munlock(0x1000, 1)\n", "error -22\n",
		  "samara replay: t:1: this line is cut: behind the call stands '= RESULT'\n");
}

static void argument_not_known(void **state)
{
	complains("7 mprotect(0x1000, 4096, PROT_RAED) = 0\n", "error -22\n",
		  "samara replay: t:1: argument 3 of mprotect, 'PROT_RAED', is not known\n");
	complains("7 munmap(0x11112222333344445, 1) = 0\n", "error -22\n",
		  "samara replay: t:1: argument 1 of munmap, '0x11112222333344445', is not known\n");
}

static void too_few_arguments(void **state)
{
	complains("7 munmap(0x1000) = 0\n",
	          "error -22\n", "samara replay: t:1: the call has too few arguments\n");
}

/* Lines are counted across a note that strace put into one. */
static void line_numbers_with_notes(void **state)
{
	complains("clone(child_stack=NULL, flags=SIGCHLDstrace: Process 8 attached\n) = 8\nhello\n",
		  "1 fork() = 8\nerror -22\n", "samara replay: t:3: this is not a line of strace; ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pid_in_front),
		cmocka_unit_test(pid_in_brackets),
		cmocka_unit_test(pid_with_command),
		cmocka_unit_test(no_pid),
		cmocka_unit_test(times_of_all_kinds),
		cmocka_unit_test(time_without_pid),
		cmocka_unit_test(instruction_pointer_and_number),
		cmocka_unit_test(flags_by_name),
		cmocka_unit_test(flags_that_strace_does_not_know),
		cmocka_unit_test(size_of_huge_pages),
		cmocka_unit_test(raw_numbers),
		cmocka_unit_test(mremap_with_and_without_new_address),
		cmocka_unit_test(mseal_by_name_and_number),
		cmocka_unit_test(limits),
		cmocka_unit_test(results_without_effect),
		cmocka_unit_test(other_lines),
		cmocka_unit_test(table_of_counts),
		cmocka_unit_test(halves_are_joined),
		cmocka_unit_test(second_half_alone),
		cmocka_unit_test(place_given_back_first),
		cmocka_unit_test(place_moved_from_first),
		cmocka_unit_test(child_after_return),
		cmocka_unit_test(child_before_return),
		cmocka_unit_test(two_births_at_once),
		cmocka_unit_test(birth_without_return),
		cmocka_unit_test(vfork_by_clone),
		cmocka_unit_test(threads),
		cmocka_unit_test(clone_flags_as_number),
		cmocka_unit_test(note_in_mid_line),
		cmocka_unit_test(threads_from_before),
		cmocka_unit_test(exec_ends_threads),
		cmocka_unit_test(exec_by_thread),
		cmocka_unit_test(exec_that_fails),
		cmocka_unit_test(number_used_again),
		cmocka_unit_test(path_of_number),
		cmocka_unit_test(number_followed_from_open),
		cmocka_unit_test(duplicates),
		cmocka_unit_test(descriptors_are_inherited),
		cmocka_unit_test(memfd),
		cmocka_unit_test(cut_in_mid_line),
		cmocka_unit_test(cut_at_line_end),
		cmocka_unit_test(no_strace_at_all),
		cmocka_unit_test(call_without_end),
		cmocka_unit_test(argument_not_known),
		cmocka_unit_test(too_few_arguments),
		cmocka_unit_test(line_numbers_with_notes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
