/* SPDX-License-Identifier: MIT */
/* samara run: a program under trace, with the library's address spaces beside its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "commands.h"
#include "report.h"
#include "tracer.h"

static const char help[] =
"NAME\n"
"    samara run - run a program and mirror its address spaces, call by call\n"
"\n"
"SYNOPSIS\n"
"    samara run [--verify=each|exit|none] [--faults=auto|perf|none] [--json FILE]\n"
"               [--trace FILE] [--] PROGRAM ARGS...\n"
"\n"
"OPTIONS\n"
"    --verify=each   compare all mappings with the kernel's after every call (the default)\n"
"    --verify=exit   compare once, when a process calls exec or ends\n"
"    --verify=none   compare nothing\n"
"    --faults=auto   listen to page faults if there is something to compare, and the kernel\n"
"                    lets us, which takes root (the default)\n"
"    --faults=perf   listen to them, or exit with 2\n"
"    --faults=none   do not; what hangs on faults is taken from the kernel and counted as explained\n"
"    --json FILE     write the summary as JSON (-: to standard output)\n"
"    --trace FILE    write what the mirror was told, for samara replay\n"
"\n"
"    The program's input, output and exit status are its own. The summary goes to standard\n"
"    error when the program and all that it has started have ended. Exit status 3: at least\n"
"    one divergence; 2: bad input; 1: the machine failed.\n"
"\n"
"EXAMPLES\n"
"    samara run -- ls -l /usr/bin\n"
"    samara run --verify=exit --trace t -- gcc -c hello.c && samara replay --maps t\n";

struct run_options {
	struct tracer_options tracer;
	const char *verify;	/* as the user has said it */
	const char *json;
};

/* Options ----------------------------------------------------------------- */

static int bad_usage(void)
{
	fputs("Try: samara run --help\n", stderr);
	return EXIT_BAD_INPUT;
}

static int parse_verify(const char *word, struct run_options *opt)
{
	static const struct {
		const char *word;
		enum mirror_verify verify;
	} words[] = {
		{ "each", MIRROR_VERIFY_EACH },
		{ "exit", MIRROR_VERIFY_EXIT },
		{ "none", MIRROR_VERIFY_NONE },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(word, words[i].word)) {
			opt->verify = words[i].word;
			opt->tracer.verify = words[i].verify;
			return 0;
		}
	}
	complain("run", "--verify=%s: there are each, exit and none", word);
	return bad_usage();
}

static int parse_faults(const char *word, struct run_options *opt)
{
	if (strcmp(word, "auto") && strcmp(word, "perf") && strcmp(word, "none")) {
		complain("run", "--faults=%s: there are auto, perf and none", word);
		return bad_usage();
	}
	opt->tracer.faults_wanted = strcmp(word, "none") != 0;
	opt->tracer.faults_needed = !strcmp(word, "perf");
	return 0;
}

/* Return: -1 to go on, else the exit status. */
static int parse(int argc, char **argv, struct run_options *opt)
{
	static const struct option longs[] = {
		{ "verify", required_argument, NULL, 'v' }, { "faults", required_argument, NULL, 'f' },
		{ "json", required_argument, NULL, 'j' },   { "trace", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },	    { NULL, 0, NULL, 0 },
	};
	int c, status;

	*opt = (struct run_options){ .verify = "each" };
	opt->tracer.verify = MIRROR_VERIFY_EACH;
	opt->tracer.faults_wanted = true;
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:h", longs, NULL)) != -1) {
		status = 0;
		if (c == 'v')
			status = parse_verify(optarg, opt);
		else if (c == 'f')
			status = parse_faults(optarg, opt);
		else if (c == 'j')
			opt->json = optarg;
		else if (c == 't')
			opt->tracer.trace = optarg;
		else if (c == 'h')
			return print_help("run", help);
		else {
			complain("run", c == ':' ? "%s needs a value" : "unknown option %s",
				 argv[optind - 1]);
			status = bad_usage();
		}
		if (status)
			return status;
	}
	/* Faults decide which mappings merge: without comparisons, nobody asks. */
	if (opt->tracer.verify == MIRROR_VERIFY_NONE && !opt->tracer.faults_needed)
		opt->tracer.faults_wanted = false;
	opt->tracer.argv = argv + optind;
	if (opt->tracer.trace && !strcmp(opt->tracer.trace, "-")) {
		complain("run", "--trace needs a file: standard output is the program's");
		return bad_usage();
	}
	if (opt->tracer.argv[0]) {
		status = check_output("run", opt->json);
		return status ? status : -1;
	}
	complain("run", "which program? samara run [OPTIONS] -- PROGRAM ARGS...");
	return bad_usage();
}

/* The program ------------------------------------------------------------- */

/* Looks where execvp() will. Return: 0 and the path in @path, or -errno. */
static int find_program(const char *name, char *path, size_t len)
{
	const char *dirs = getenv("PATH"), *end;
	struct stat st;
	int err = -ENOENT;

	if (strchr(name, '/')) {
		snprintf(path, len, "%s", name);
		if (stat(path, &st))
			return -errno;
		return S_ISDIR(st.st_mode) ? -EISDIR : access(path, X_OK) ? -errno : 0;
	}
	if (!*name)
		return -ENOENT;
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; dirs; dirs = *end ? end + 1 : NULL) {
		end = strchrnul(dirs, ':');
		snprintf(path, len, "%.*s%s%s", (int)(end - dirs), dirs, end > dirs ? "/" : "", name);
		if (stat(path, &st) || !S_ISREG(st.st_mode))
			continue;
		if (!access(path, X_OK))
			return 0;
		err = -EACCES;
	}
	return err;
}

/* What the program's end was becomes samara's own, death by a signal included. */
static int end_as(int status)
{
	const struct rlimit no_core = { 0, 0 };
	sigset_t set;
	int sig;

	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	sig = WTERMSIG(status);
	fflush(NULL);
	setrlimit(RLIMIT_CORE, &no_core);
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
	return 128 + sig;
}

static int run_untraced(char **argv)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		complain("run", "cannot start a process: %s", strerror(errno));
		return EXIT_NO_MEMORY;
	}
	if (!pid) {
		execvp(argv[0], argv);
		complain("run", "cannot run '%s': %s", argv[0], strerror(errno));
		_exit(EXIT_BAD_INPUT);
	}
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return end_as(status);
}

/* The summary ------------------------------------------------------------- */

/* The command line, as far as it fits. */
static void make_title(char **argv, char *buf, size_t len)
{
	size_t at = 0;

	buf[0] = '\0';
	for (; *argv && at < len; argv++)
		at += snprintf(buf + at, len - at, "%s%s", at ? " " : "", *argv);
}

static int report(const struct run_options *opt, const struct tracer_result *result, double seconds)
{
	char title[256];
	struct report_info info = {
		.title = title,
		.verify = opt->verify,
		.faults = result->faults_known ? "perf" : "none",
		.seconds = seconds,
	};
	int err;

	make_title(opt->tracer.argv, title, sizeof(title));
	if (result->beside)
		complain("run", "calls that others had to overtake, because they had blocked: %lu; "
				"there the map was taken from the kernel", result->beside);
	report_summary(stderr, &result->stats, &info);
	if (!opt->json)
		return 0;
	err = report_json(opt->json, &result->stats, &info);
	if (!err)
		return 0;
	complain("run", "cannot write '%s': %s", opt->json, strerror(-err));
	return EXIT_NO_MEMORY;
}

static double seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int run_traced(const struct run_options *opt)
{
	struct tracer_result result;
	double began = seconds_now();
	int status = tracer_run(&opt->tracer, &result);

	if (status)
		return status;
	status = report(opt, &result, seconds_now() - began);
	if (result.stats.divergences)
		return EXIT_DIVERGED;
	return status ? status : end_as(result.status);
}

int command_run(int argc, char **argv)
{
	struct run_options opt;
	enum program_obstacle obstacle;
	int err, status = parse(argc, argv, &opt);
	char path[4096];
	const char *name;

	if (status >= 0)
		return status;
	name = opt.tracer.argv[0];
	err = find_program(name, path, sizeof(path));
	if (err) {
		complain("run", "cannot run '%s': %s%s%s", name, strerror(-err),
			 err == -ENOENT ? "; check the name" : "",
			 err == -ENOENT && !strchr(name, '/') ? " or the PATH" : "");
		return EXIT_BAD_INPUT;
	}
	obstacle = look_program(path, geteuid(), getegid());
	if (obstacle == PROGRAM_FINE)
		return run_traced(&opt);
	complain("run", "'%s' is a %s program, which samara cannot mirror: it runs untraced", path,
		 obstacle == PROGRAM_32_BIT ? "32-bit" : "set-user-ID, set-group-ID or privileged");
	return run_untraced(opt.tracer.argv);
}
