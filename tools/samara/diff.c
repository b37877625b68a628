/* SPDX-License-Identifier: MIT */
/* samara diff: random calls on the running kernel and on the model. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli.h"
#include "commands.h"
#include "diff.h"

#define DEFAULT_CALLS 100000

static const char help[] =
"NAME\n"
"    samara diff - make random memory calls on the running kernel and on the model, and compare\n"
"\n"
"SYNOPSIS\n"
"    samara diff [--seed S] [--calls N] [--time SECONDS] [--only CALL,...] [--geometry NAME]\n"
"                [--map-count N] [--validate] [--json FILE] [--keep DIR]\n"
"\n"
"    A child process with an empty address space makes each call, and the model makes it too. After\n"
"    each one the results, all mappings with their VmFlags, the counters VmSize, VmLck, VmData, VmStk\n"
"    and VmExe, and all pages, which are present and what they contain, are compared. A call that\n"
"    differs ends the run: the calls before it are cut to the fewest that lead there, both sides are\n"
"    printed, and what reproduces them is written to DIR: a C program that needs no Samara, and a trace\n"
"    for samara replay.\n"
"\n"
"OPTIONS\n"
"    --seed S        begin with this number: the same seed makes the same calls (a fresh one)\n"
"    --calls N       make N calls (100000, but with --time no limit)\n"
"    --time SECONDS  stop after this time\n"
"    --only CALL,... of these calls only, and mmap, without which there is nothing to call them on:\n"
"                    mmap, munmap, mprotect, mremap, brk, madvise, mlock2 (or mlock), munlock, mlockall,\n"
"                    munlockall, mseal, fork, exit, setrlimit, pkey_mprotect, pkey_alloc, pkey_free, msync,\n"
"                    mincore, remap_file_pages, name (or prctl), process_madvise; and touches of memory:\n"
"                    read, write, exec\n"
"    --geometry NAME page tables of the model: x86-64 (what is there without the option), x86-64-la57,\n"
"                    arm64, sv39, sv48; with sv39 all calls are within its 256 GiB\n"
"    --map-count N   reach the limit of mappings: vm.max_map_count, which is the whole machine's, is\n"
"                    lowered to N (200 to 1000) while this runs, and put back however it ends; any\n"
"                    program that has more mappings gets no new ones meanwhile; root only\n"
"    --validate      check the model by itself as well: after each call the tree, mappings, counters and\n"
"                    page tables of all processes, and at the end of each process all frames; what is\n"
"                    broken counts as a difference\n"
"    --json FILE     write the figures as JSON (-: to standard output)\n"
"    --keep DIR      where to write what reproduces a difference (the current folder)\n"
"\n"
"    Every 400 calls a new process is taken. Half of these, drawn by the seed, have dropped the\n"
"    capabilities that lift limits; without root all of them have none. In three of ten the kernel\n"
"    chooses most addresses, going down from its own mmap base; in the others calls crowd into a window\n"
"    of 64 pages.\n"
"\n"
"    Messages, findings and the summary go to standard error. Exit status: 0; 3 when kernel and model\n"
"    differ, or a child dies or hangs; 2 for bad input, or a kernel older than 6.1 or without\n"
"    /proc/PID/smaps; 1: the machine failed.\n"
"\n"
"EXAMPLES\n"
"    samara diff --time 60\n"
"    samara diff --seed 7 --calls 20000 --only mprotect,mremap,write --keep /tmp\n";

struct diff_command {
	struct diff_options run;
	const char *json;
	bool seed_given;
	bool calls_given;
	struct progress progress;
	struct diff_limit limit;
};

/* Options ----------------------------------------------------------------- */

static int bad_usage(void)
{
	fputs("Try: samara diff --help\n", stderr);
	return EXIT_BAD_INPUT;
}

/* A whole number, decimal or with 0x, from @min. */
static int parse_number(const char *option, const char *word, unsigned long min, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(word, &end, 0);
	if (word[0] >= '0' && word[0] <= '9' && !*end && !errno && *out >= min)
		return 0;
	complain("diff", "--%s %s: not a whole number from %lu", option, word, min);
	return bad_usage();
}

static int parse_seconds(const char *word, double *out)
{
	char *end;

	errno = 0;
	*out = strtod(word, &end);
	/* Not so, also for "nan". */
	if (word[0] && !*end && !errno && *out > 0 && *out < 1e9)
		return 0;
	complain("diff", "--time %s: not a number of seconds above 0", word);
	return bad_usage();
}

static bool is_word(const char *word, const char *name, size_t len)
{
	return strlen(word) == len && !strncmp(word, name, len);
}

static int kind_by_name(const char *name, size_t len)
{
	/* The system calls that are drawn under another name. */
	if (is_word("mlock", name, len))
		return DIFF_MLOCK;
	if (is_word("prctl", name, len))
		return DIFF_NAME;
	for (unsigned int i = 0; i < DIFF_NR_KINDS; i++)
		if (is_word(diff_kind_name(i), name, len))
			return (int)i;
	return -1;
}

static int parse_only(const char *names, uint32_t *only)
{
	for (;;) {
		size_t len = strcspn(names, ",");
		int kind = kind_by_name(names, len);

		if (kind < 0) {
			complain("diff", "--only: no call is named '%.*s'; there are", (int)len, names);
			for (unsigned int i = 0; i < DIFF_NR_KINDS; i++)
				fprintf(stderr, "%s %s", i ? "," : "", diff_kind_name(i));
			fputc('\n', stderr);
			return bad_usage();
		}
		*only |= 1u << kind | 1u << DIFF_MMAP;
		/* Only a child can be ended: the first process goes on. */
		if (kind == DIFF_EXIT)
			*only |= 1u << DIFF_FORK;
		if (!names[len])
			return 0;
		names += len + 1;
	}
}

static int parse_geometry(const char *name, enum mm_geometry *out)
{
	for (unsigned int i = 0; diff_geometry_name((enum mm_geometry)i); i++) {
		if (!strcmp(diff_geometry_name((enum mm_geometry)i), name)) {
			*out = (enum mm_geometry)i;
			return 0;
		}
	}
	complain("diff", "--geometry %s: there are x86-64, x86-64-la57, arm64, sv39, sv48", name);
	return bad_usage();
}

static int parse_map_count(const char *word, unsigned long *out)
{
	uint64_t n = 0;
	int status = parse_number("map-count", word, DIFF_MAP_COUNT_MIN, &n);

	if (status)
		return status;
	if (n > DIFF_MAP_COUNT_MAX) {
		complain("diff", "--map-count %s: at most %lu can be reached", word, DIFF_MAP_COUNT_MAX);
		return bad_usage();
	}
	*out = n;
	return 0;
}

static int parse_option(int c, struct diff_command *cmd)
{
	uint64_t n = 0;
	int status;

	switch (c) {
	case 's':
		cmd->seed_given = true;
		return parse_number("seed", optarg, 0, &cmd->run.seed);
	case 'c':
		status = parse_number("calls", optarg, 1, &n);
		cmd->calls_given = true;
		cmd->run.calls = n;
		return status;
	case 't':
		return parse_seconds(optarg, &cmd->run.seconds);
	case 'o':
		return parse_only(optarg, &cmd->run.only);
	case 'm':
		return parse_map_count(optarg, &cmd->run.map_count);
	case 'g':
		return parse_geometry(optarg, &cmd->run.geometry);
	case 'v':
		cmd->run.validate = true;
		return 0;
	case 'j':
		cmd->json = optarg;
		return 0;
	default:
		cmd->run.keep = optarg;
		return 0;
	}
}

static int parse_rest(int argc, char **argv, struct diff_command *cmd)
{
	struct stat st;

	if (optind < argc) {
		complain("diff", "'%s': there are options only", argv[optind]);
		return bad_usage();
	}
	if (!cmd->calls_given)
		cmd->run.calls = cmd->run.seconds > 0 ? 0 : DEFAULT_CALLS;
	if (cmd->run.keep && stat(cmd->run.keep, &st) && mkdir(cmd->run.keep, 0777)) {
		complain("diff", "--keep %s: %s", cmd->run.keep, strerror(errno));
		return EXIT_BAD_INPUT;
	}
	if (cmd->run.keep && (stat(cmd->run.keep, &st) || !S_ISDIR(st.st_mode) || access(cmd->run.keep, W_OK))) {
		complain("diff", "--keep %s: not a folder that can be written to", cmd->run.keep);
		return EXIT_BAD_INPUT;
	}
	if (!cmd->run.keep)
		cmd->run.keep = ".";
	return -1;
}

/* Return: -1 to go on, else the exit status. */
static int parse(int argc, char **argv, struct diff_command *cmd)
{
	static const struct option longs[] = {
		{ "seed", required_argument, NULL, 's' }, { "calls", required_argument, NULL, 'c' },
		{ "time", required_argument, NULL, 't' }, { "only", required_argument, NULL, 'o' },
		{ "json", required_argument, NULL, 'j' }, { "keep", required_argument, NULL, 'k' },
		{ "geometry", required_argument, NULL, 'g' }, { "map-count", required_argument, NULL, 'm' },
		{ "validate", no_argument, NULL, 'v' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c, status = 0;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		if (c == 'h')
			return print_help("diff", help);
		if (c == ':' || c == '?') {
			complain("diff", c == ':' ? "%s needs a value" : "unknown option %s", argv[optind - 1]);
			return bad_usage();
		}
		status = parse_option(c, cmd);
		if (status)
			return status;
	}
	return parse_rest(argc, argv, cmd);
}

/* The machine ------------------------------------------------------------- */

/* Return: 0, or the exit status when there is nothing to compare with. */
static int check_kernel(void)
{
	unsigned int version, patch;
	struct utsname name;

	if (uname(&name) || sscanf(name.release, "%u.%u", &version, &patch) != 2) {
		complain("diff", "this kernel does not tell its version");
		return EXIT_BAD_INPUT;
	}
	if (version < DIFF_OLDEST_MAJOR || (version == DIFF_OLDEST_MAJOR && patch < DIFF_OLDEST_MINOR)) {
		complain("diff", "this kernel is Linux %s, and what the model implements can be compared from %d.%d on",
			 name.release, DIFF_OLDEST_MAJOR, DIFF_OLDEST_MINOR);
		return EXIT_BAD_INPUT;
	}
	if (access("/proc/self/smaps", R_OK)) {
		complain("diff", "there is no /proc/PID/smaps to compare with (is /proc mounted, and has the kernel "
			 "CONFIG_PROC_PAGE_MONITOR?)");
		return EXIT_BAD_INPUT;
	}
	return 0;
}

/* Once more, where addresses do not change from run to run. */
static void restart_without_aslr(int argc, char **argv)
{
	char **again = calloc((size_t)argc + 2, sizeof(*again));
	char name[] = "samara";

	if (!again)
		return;
	again[0] = name;
	memcpy(again + 1, argv, (size_t)argc * sizeof(*argv));
	diff_same_place(again);
	free(again);
}

/* Return: 0, or the exit status when the limit stays as it is. */
static int lower_map_count(struct diff_command *cmd)
{
	const char *why;
	int err;

	if (!cmd->run.map_count)
		return 0;
	err = diff_limit_lower(&cmd->limit, cmd->run.map_count);
	if (!err)
		return 0;
	why = err == -EWOULDBLOCK ? "another samara diff has lowered it" :
	      err == -ERANGE ? "it is lower already" : strerror(-err);
	complain("diff", "--map-count %lu: vm.max_map_count cannot be lowered: %s", cmd->run.map_count, why);
	return EXIT_BAD_INPUT;
}

/* The run ----------------------------------------------------------------- */

static void show_progress(void *arg, unsigned long calls)
{
	progress_show(arg, "diff", calls, "calls");
}

static int cannot_run(int err)
{
	if (err == -ENOMEM)
		return complain_memory();
	if (err == -EPERM) {
		complain("diff", "child processes cannot be traced here: ptrace is forbidden");
		return EXIT_BAD_INPUT;
	}
	complain("diff", "cannot start a child process: %s", strerror(-err));
	return EXIT_NO_MEMORY;
}

static int run(struct diff_command *cmd)
{
	struct diff_report report;
	int err, written = 0;

	fprintf(stderr, "samara diff: seed %" PRIu64 "\n", cmd->run.seed);
	tracee_watch();
	progress_start(&cmd->progress);
	cmd->run.tick = show_progress;
	cmd->run.arg = &cmd->progress;
	err = diff_run(stderr, &cmd->run, &report);
	progress_end(&cmd->progress);
	if (err < 0)
		return cannot_run(err);
	diff_print_report(stderr, &cmd->run, &report);
	if (cmd->json)
		written = diff_write_json(cmd->json, &cmd->run, &report);
	if (written)
		complain("diff", "%s: %s", cmd->json, strerror(-written));
	if (err)
		return EXIT_DIVERGED;
	return written ? EXIT_NO_MEMORY : EXIT_OK;
}

int command_diff(int argc, char **argv)
{
	struct diff_command cmd = { .limit = { .fd = -1, .end = -1 } };
	int status = parse(argc, argv, &cmd);

	if (status >= 0)
		return status;
	status = check_output("diff", cmd.json);
	if (!status)
		status = check_kernel();
	if (status)
		return status;
	restart_without_aslr(argc, argv);
	if (!cmd.seed_given && getrandom(&cmd.run.seed, sizeof(cmd.run.seed), 0) != sizeof(cmd.run.seed))
		cmd.run.seed = (uint64_t)getpid();
	status = lower_map_count(&cmd);
	if (status)
		return status;
	status = run(&cmd);
	diff_limit_restore(&cmd.limit);
	return status;
}
