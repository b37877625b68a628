/* SPDX-License-Identifier: MIT */
/* samara replay: the mirror fed from a file. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "commands.h"
#include "report.h"
#include "strace.h"
#include "trace.h"

static const char help[] =
"NAME\n"
"    samara replay - make the calls of a trace in the library\n"
"\n"
"SYNOPSIS\n"
"    samara replay [--initial MAPS] [--maps] [--json FILE] TRACE\n"
"\n"
"    TRACE is the output of strace -f (of all calls, or -e trace=%memory,%process), or what\n"
"    samara run --trace wrote; - is standard input.\n"
"\n"
"OPTIONS\n"
"    --initial MAPS  a saved /proc/PID/maps or smaps of the first process, from the moment right\n"
"                    after its exec: strace does not show it. Given again, it is for the next\n"
"                    exec that the trace shows, whichever process calls it\n"
"    --maps          print the final mappings of each process, as /proc/PID/maps has them,\n"
"                    instead of the summary\n"
"    --json FILE     write the summary as JSON (-: to standard output)\n"
"\n"
"    Exit status: 0; 3 when the library's result of a call is another than the trace's; 2 for\n"
"    bad input (a trace that is cut is used up to there); 1: the machine failed.\n"
"\n"
"EXAMPLES\n"
"    strace -f -e trace=%memory,%process -o t gcc -c hello.c; samara replay --maps t\n"
"    samara run --trace t -- gcc -c hello.c; samara replay --maps t\n";

struct replay_options {
	const char **initial;		/* nr_initial paths */
	size_t nr_initial;
	const char *json;
	const char *trace;
	bool maps;
};

#define NR_BUCKETS 256

/* What is known of a process beside its mappings. */
struct origin {
	struct origin *next;
	pid_t pid;
	bool layout_known;	/* the model began with its whole map */
	bool exec_told;		/* that its layout after exec is not known */
};

struct replay {
	const struct replay_options *opt;
	const char *name;		/* of the trace, for messages */
	struct trace_reader *trace;	/* one of the two */
	struct strace_reader *strace;
	struct mirror *mirror;
	struct map *initial;		/* as many as the options have */
	size_t next_initial;		/* the first that no process has begun with yet */
	bool faults_known;
	struct origin *origins[NR_BUCKETS];
	struct progress progress;
	unsigned long records;
	unsigned long assumed;		/* mappings that must have been there: a call on them succeeded */
	unsigned long skipped;		/* failed calls that hung on what the trace does not show */
	uint64_t shared_memory;		/* shared anonymous mappings that were given a number */
	char text[2048];		/* of the call, with file and line */
};

/* Origins ------------------------------------------------------------------- */

/* Found or made. NULL: no memory. */
static struct origin *origin_of(struct replay *r, pid_t pid)
{
	struct origin **bucket = &r->origins[(unsigned int)pid % NR_BUCKETS], *o;

	for (o = *bucket; o; o = o->next)
		if (o->pid == pid)
			return o;
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->pid = pid;
	o->next = *bucket;
	*bucket = o;
	return o;
}

static void origins_free(struct replay *r)
{
	struct origin *o, *next;
	size_t i;

	for (i = 0; i < NR_BUCKETS; i++) {
		for (o = r->origins[i]; o; o = next) {
			next = o->next;
			free(o);
		}
	}
}

/* Processes ----------------------------------------------------------------- */

static int begin(struct replay *r, pid_t pid, const struct map *map, const struct mirror_exec_info *info,
		 bool layout_known)
{
	struct origin *o = origin_of(r, pid);

	if (!o)
		return -ENOMEM;
	o->layout_known = layout_known;
	return mirror_exec(r->mirror, pid, map, info);
}

/*
 * strace does not show limits: with none, all that succeeded succeeds here, and errors are looked at one
 * by one.
 */
static const struct mirror_exec_info no_limits = {
	.limits_known = true,
	.rlimit = { MM_RLIM_INFINITY, MM_RLIM_INFINITY, MM_RLIM_INFINITY, MM_RLIM_INFINITY },
	.cap_ipc_lock = true,
};

static bool has_initial(const struct replay *r)
{
	return r->next_initial < r->opt->nr_initial;
}

/* A process begins with the next map that the user gave. */
static int begin_initial(struct replay *r, pid_t pid)
{
	size_t i = r->next_initial++;
	int err = begin(r, pid, &r->initial[i], &no_limits, true);

	if (err == -EINVAL)
		complain_at("replay", r->opt->initial[i], 0, "the library refuses this map");
	return err;
}

/* A process of which no map is known. */
static int begin_empty(struct replay *r, pid_t pid)
{
	static const struct map empty;

	return begin(r, pid, &empty, &no_limits, false);
}

/* strace does not show the layout that exec makes; said once for each process. */
static int exec_unknown(struct replay *r, const struct trace_record *record)
{
	struct origin *o = origin_of(r, record->pid);

	if (!o)
		return -ENOMEM;
	if (!o->exec_told)
		complain_at("replay", r->name, record->line,
			    "process %d calls exec, and its layout is not in the trace: "
			    "from here on the model has what it maps",
			    (int)record->pid);
	o->exec_told = true;
	return begin_empty(r, record->pid);
}

static int replay_exec(struct replay *r, const struct trace_record *record)
{
	int err;

	if (r->strace)
		return has_initial(r) ? begin_initial(r, record->pid) : exec_unknown(r, record);
	err = begin(r, record->pid, record->map, &record->info, true);
	if (err == -EINVAL)
		complain_at("replay", r->name, record->line, "the library refuses this map");
	return err;
}

/* A call of a process that the mirror has not met: the trace began in its middle. */
static int meet(struct replay *r, const struct call *call)
{
	if (mirror_mm(r->mirror, call->pid) || call->kind == CALL_EXIT || r->trace)
		return 0;
	/* Only the first process can have one; others are born in the trace, or their maps are not known. */
	if (r->next_initial == 0 && has_initial(r))
		return begin_initial(r, call->pid);
	return begin_empty(r, call->pid);
}

/* What the trace does not show --------------------------------------------- */

static unsigned long page_up(unsigned long len)
{
	return (len + 4095) & ~4095UL;
}

/* The range that the call works on, and must therefore be mapped; false for calls that need none. */
static bool needs_mapped(const struct call *call, unsigned long *start, unsigned long *end)
{
	unsigned long len;

	switch (call->kind) {
	case CALL_MPROTECT:
	case CALL_PKEY_MPROTECT:
	case CALL_MREMAP:
	case CALL_MADVISE:
	case CALL_MLOCK:
	case CALL_MLOCK2:
	case CALL_MUNLOCK:
	case CALL_MSEAL:
	case CALL_REMAP_FILE_PAGES:
		break;
	default:
		return false;
	}
	*start = call->args[0] & ~4095UL;
	len = page_up(call->args[1] + (call->args[0] - *start));
	return !__builtin_add_overflow(*start, len, end) && len;
}

static int assume(struct replay *r, struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct mm_adopt_args args = {
		.start = start,
		.end = end,
		.flags = MM_VM_READ | MM_VM_WRITE | MM_VM_MAYREAD | MM_VM_MAYWRITE | MM_VM_MAYEXEC |
			 MM_VM_ACCOUNT,
	};
	int err = mm_adopt(mm, &args);

	if (!err)
		r->assumed++;
	/* Beyond the user range: the call's own result will tell. */
	return err == -ENOMEM ? err : 0;
}

/* A call on a range succeeded, so the range is mapped: where the model has a hole, memory is put. */
static int assume_mapped(struct replay *r, const struct call *call)
{
	struct mm_struct *mm = mirror_mm(r->mirror, call->pid);
	unsigned long start, end;
	struct mm_vma_info vma;
	int err = 0;

	if (!mm || !needs_mapped(call, &start, &end))
		return 0;
	while (!err && start < end) {
		if (mm_next_vma(mm, start, &vma) || vma.start >= end)
			return assume(r, mm, start, end);
		if (vma.start > start)
			err = assume(r, mm, start, vma.start);
		start = vma.end;
	}
	return err;
}

static bool has_hole(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct mm_vma_info vma;

	for (; start < end; start = vma.end)
		if (mm_next_vma(mm, start, &vma) || vma.start > start)
			return true;
	return false;
}

static bool is_error(const struct call *call)
{
	return call->ret < 0 && call->ret >= -4095;
}

/* Whether a limit that strace does not show may be why the call failed; the model has none. */
static bool may_be_a_limit(struct replay *r, const struct call *call)
{
	struct mm_struct *mm = mirror_mm(r->mirror, call->pid);
	unsigned long start, end;

	if (call->kind == CALL_BRK)
		return call->args[0] && (unsigned long)call->ret != call->args[0] &&
		       call->args[0] < 0x800000000000;
	if (call->ret != -ENOMEM && call->ret != -EAGAIN && call->ret != -EPERM)
		return false;
	switch (call->kind) {
	case CALL_MMAP:
		/* One that is larger than all addresses fails everywhere. */
		return call->ret != -EPERM && call->args[1] && call->args[1] < 0x800000000000;
	case CALL_MREMAP:
		return call->ret != -EPERM && call->args[2] < 0x800000000000;
	case CALL_MLOCKALL:
		return true;
	case CALL_MLOCK:
	case CALL_MLOCK2:
		return call->ret != -ENOMEM ||
		       (mm && needs_mapped(call, &start, &end) && !has_hole(mm, start, end));
	case CALL_MPROTECT:
	case CALL_PKEY_MPROTECT:
		return call->ret == -ENOMEM && mm && needs_mapped(call, &start, &end) &&
		       !has_hole(mm, start, end);
	default:
		return false;
	}
}

/* It may have failed for a reason that the trace does not show: it cannot be judged, and changed nothing. */
static bool cannot_be_judged(struct replay *r, const struct trace_record *record, bool layout_known)
{
	const struct call *call = &record->call;

	if (r->trace)
		return false;
	if (is_error(call) && (!layout_known || record->uncertain) && call->kind != CALL_BRK)
		return true;
	return layout_known && may_be_a_limit(r, call);
}

/*
 * Each shared anonymous mapping is a file of its own, whose number only the kernel knows: they
 * are told apart by numbers of our own.
 */
static void number_shared_memory(struct replay *r, const struct call *call)
{
	struct mm_struct *mm = mirror_mm(r->mirror, call->pid);
	struct mm_vma_info vma;

	if (call->kind != CALL_MMAP || is_error(call) || !mm || mm_next_vma(mm, call->ret, &vma))
		return;
	if (vma.file && vma.start == (unsigned long)call->ret && !vma.ino && vma.dev_minor == 1)
		vm_file_set_identity(vma.file, vma.dev_major, vma.dev_minor, ++r->shared_memory);
}

/* Records ------------------------------------------------------------------- */

static int begin_child(struct replay *r, const struct call *call, bool layout_known)
{
	struct origin *child;

	if (call->kind != CALL_FORK && call->kind != CALL_VFORK && call->kind != CALL_CLONE_VM)
		return 0;
	child = origin_of(r, call->ret);
	if (!child)
		return -ENOMEM;
	child->layout_known = layout_known;
	child->exec_told = false;
	return 0;
}

static int replay_call(struct replay *r, struct trace_record *record)
{
	struct call *call = &record->call;
	struct origin *o;
	int err = meet(r, call);

	if (err)
		return err;
	o = origin_of(r, call->pid);
	if (!o)
		return -ENOMEM;
	if (cannot_be_judged(r, record, o->layout_known)) {
		r->skipped++;
		return 0;
	}
	err = o->layout_known || is_error(call) ? 0 : assume_mapped(r, call);
	if (!err)
		err = begin_child(r, call, o->layout_known);
	if (err)
		return err;
	err = mirror_call(r->mirror, call);
	number_shared_memory(r, call);
	return err;
}

static void set_text(struct replay *r, struct trace_record *record)
{
	char buf[1200];
	const char *text = record->text;

	if (!text)
		text = call_format(&record->call, buf, sizeof(buf));
	snprintf(r->text, sizeof(r->text), "%s:%lu: %s", r->name, record->line, text);
	record->call.text = r->text;
}

static int create_mirror(struct replay *r)
{
	struct mirror_options opt = {
		.verify = MIRROR_VERIFY_NONE,
		.faults_known = r->faults_known,
		.replay = true,
		.report = stderr,
	};

	return mirror_create(&opt, &r->mirror);
}

/* 0, 1 after a divergence, or -errno. */
static int replay_record(struct replay *r, struct trace_record *record)
{
	int err;

	if (record->kind == TRACE_FAULTS_KNOWN || record->kind == TRACE_FAULTS_UNKNOWN) {
		r->faults_known = record->kind == TRACE_FAULTS_KNOWN;
		return 0;
	}
	if (!r->mirror) {
		err = create_mirror(r);
		if (err)
			return err;
	}
	switch (record->kind) {
	case TRACE_CALL:
		set_text(r, record);
		return replay_call(r, record);
	case TRACE_EXEC:
		return replay_exec(r, record);
	case TRACE_MAP:
		return mirror_adopt_map(r->mirror, record->pid, record->map);
	case TRACE_FAULT:
		return mirror_fault(r->mirror, record->pid, record->addr, record->access);
	case TRACE_FAULTS_LOST:
		mirror_faults_lost(r->mirror);
		return 0;
	case TRACE_FORGET:
		mirror_forget(r->mirror, record->pid);
		return 0;
	default:
		return 0;
	}
}

static int next_record(struct replay *r, struct trace_record *record)
{
	return r->trace ? trace_read(r->trace, record) : strace_read(r->strace, record);
}

/* To the end, or to the first bad line, which has been explained then. Returns 0 or -errno. */
static int replay_all(struct replay *r)
{
	struct trace_record *record = malloc(sizeof(*record));
	int got;

	if (!record)
		return -ENOMEM;
	progress_start(&r->progress);
	while ((got = next_record(r, record)) > 0) {
		r->records++;
		got = replay_record(r, record);
		if (got < 0)
			break;
		progress_show(&r->progress, r->name, record->line, "lines");
	}
	progress_end(&r->progress);
	free(record);
	return got < 0 ? got : 0;
}

/* Input --------------------------------------------------------------------- */

static int read_map_file(const char *path, struct map *map)
{
	size_t len;
	char *text;
	int err;

	err = read_whole_file(path, &text, &len);
	if (err) {
		complain("replay", "%s: %s", path, strerror(-err));
		return err;
	}
	err = map_parse(map, text, len, path);
	free(text);
	if (!err && !map->nr) {
		complain("replay", "%s holds no mapping: save /proc/PID/maps right after the program's exec",
			 path);
		err = -EINVAL;
	}
	return err;
}

static int read_initial(struct replay *r)
{
	size_t i, nr = r->opt->nr_initial;
	int err = 0;

	if (!nr)
		return 0;
	r->initial = calloc(nr, sizeof(*r->initial));
	if (!r->initial)
		return -ENOMEM;
	for (i = 0; i < nr && !err; i++)
		err = read_map_file(r->opt->initial[i], &r->initial[i]);
	return err;
}

static void free_initial(struct replay *r)
{
	size_t i;

	for (i = 0; r->initial && i < r->opt->nr_initial; i++)
		map_free(&r->initial[i]);
	free(r->initial);
	free(r->opt->initial);
}

/* The files of a map are known by device and inode. */
static int know_files(struct replay *r, const struct map *map)
{
	size_t i;
	int err = 0;

	for (i = 0; i < map->nr && !err; i++)
		err = strace_reader_know_file(r->strace, &map->lines[i]);
	return err;
}

/* Which of the formats it is. */
static int open_reader(struct replay *r, char *text, size_t len)
{
	size_t i;
	int err;

	if (!len) {
		complain("replay", "%s is empty", r->name);
		return -EINVAL;
	}
	if (trace_recognize(text, len))
		return trace_reader_create(text, len, r->name, &r->trace);
	err = strace_reader_create(text, len, r->name, &r->strace);
	for (i = 0; !err && i < r->opt->nr_initial; i++)
		err = know_files(r, &r->initial[i]);
	return err;
}

/* Output -------------------------------------------------------------------- */

static int print_maps(struct replay *r)
{
	size_t i, nr = r->mirror ? mirror_nr_processes(r->mirror) : 0;

	for (i = 0; i < nr; i++) {
		if (nr > 1)
			printf("# process %d\n", (int)mirror_process_pid(r->mirror, i));
		mirror_print_maps(r->mirror, i, stdout);
	}
	return fflush(stdout) ? -errno : 0;
}

static int print_summary(struct replay *r, const struct mirror_stats *stats)
{
	struct report_info info = {
		.title = r->name,
		.faults = r->trace ? (r->faults_known ? "perf" : "none") : NULL,
	};
	int err = 0;

	if (!r->opt->maps)
		report_summary(stderr, stats, &info);
	if (r->assumed)
		fprintf(stderr,
			"mappings from before the trace, assumed since calls on them succeeded: %lu\n",
			r->assumed);
	if (r->skipped)
		fprintf(stderr,
			"failed calls passed over, since the trace does not show why they failed: %lu\n",
			r->skipped);
	if (r->opt->json)
		err = report_json(r->opt->json, stats, &info);
	if (err)
		complain("replay", "%s: %s", r->opt->json, strerror(-err));
	return err;
}

/* @err: how reading ended. Returns the exit status. */
static int finish(struct replay *r, int err)
{
	struct mirror_stats stats = { 0 };
	int failed = 0;

	if (err == -ENOMEM)
		return complain_memory();
	if (!err && !r->records)
		complain_at("replay", r->name, 0, "no call on memory or processes; record with "
			    "strace -f -e trace=%%memory,%%process");
	if (!r->records)
		return EXIT_BAD_INPUT;
	if (r->mirror)
		mirror_read_stats(r->mirror, &stats);
	if (r->opt->maps)
		failed = print_maps(r);
	if (failed)
		complain("replay", "standard output: %s", strerror(-failed));
	if (print_summary(r, &stats) || failed)
		return EXIT_NO_MEMORY;
	if (err)
		return EXIT_BAD_INPUT;
	if (!r->opt->maps)
		hint_next("samara replay --maps %s", r->name);
	return stats.divergences ? EXIT_DIVERGED : EXIT_OK;
}

static int replay_text(struct replay *r, char *text, size_t len)
{
	int err = open_reader(r, text, len);

	if (!err)
		err = replay_all(r);
	err = finish(r, err);
	mirror_destroy(r->mirror);
	trace_reader_destroy(r->trace);
	strace_reader_destroy(r->strace);
	origins_free(r);
	return err;
}

/* 0: go on; else the exit status + 1. */
static int parse_options(int argc, char **argv, struct replay_options *opt)
{
	static const struct option longs[] = {
		{ "initial", required_argument, NULL, 'i' },
		{ "json", required_argument, NULL, 'j' },
		{ "maps", no_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:h", longs, NULL)) != -1) {
		switch (c) {
		case 'i':
			opt->initial[opt->nr_initial++] = optarg;
			break;
		case 'j':
			opt->json = optarg;
			break;
		case 'm':
			opt->maps = true;
			break;
		case 'h':
			return print_help("replay", help) + 1;
		default:
			complain("replay", c == ':' ? "'%s' needs a file" :
				 "'%s' is not an option; try samara replay --help", argv[optind - 1]);
			return EXIT_BAD_INPUT + 1;
		}
	}
	if (optind != argc - 1) {
		complain("replay", "give one trace; try samara replay --help");
		return EXIT_BAD_INPUT + 1;
	}
	opt->trace = argv[optind];
	return 0;
}

/* With the options read. Returns the exit status. */
static int replay(struct replay *r)
{
	const char *trace = r->opt->trace;
	size_t len;
	char *text;
	int err;

	r->name = strcmp(trace, "-") ? trace : "standard input";
	err = read_initial(r);
	if (!err) {
		err = read_whole_file(trace, &text, &len);
		if (err)
			complain("replay", "%s: %s", trace, strerror(-err));
	}
	if (err)
		return err == -ENOMEM ? EXIT_NO_MEMORY : EXIT_BAD_INPUT;
	err = replay_text(r, text, len);
	free(text);
	return err;
}

int command_replay(int argc, char **argv)
{
	/* No more maps than words. */
	struct replay_options opt = { .initial = malloc(argc * sizeof(*opt.initial)) };
	struct replay r = { .opt = &opt };
	int status;

	if (!opt.initial)
		return complain_memory();
	status = parse_options(argc, argv, &opt);
	status = status ? status - 1 : replay(&r);
	free_initial(&r);
	return status;
}
