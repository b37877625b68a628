/* SPDX-License-Identifier: MIT */
/* The command: finds the sub-command and hands over. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "commands.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run", command_run },
	{ "replay", command_replay },
	{ "maps", command_maps },
	{ "diff", command_diff },
};

static const char help[] =
"NAME\n"
"    samara - mirror the address spaces of real programs, call by call\n"
"\n"
"SYNOPSIS\n"
"    samara run [--verify=each|exit|none] [--faults=auto|perf|none] [--json FILE] [--trace FILE]\n"
"               -- PROGRAM ARGS...\n"
"    samara replay [--initial MAPS] [--maps] [--json FILE] TRACE\n"
"    samara maps [--json FILE] PID|FILE\n"
"    samara diff [--seed S] [--calls N] [--time SECONDS] [--only CALL,...] [--geometry NAME] [--map-count N]\n"
"                [--validate] [--json FILE] [--keep DIR]\n"
"    samara COMMAND --help\n"
"\n"
"COMMANDS\n"
"    run     run a program and make each of its memory calls in the library too;\n"
"            compare the two address spaces mapping by mapping\n"
"    replay  the same from a file: the output of strace -f, or what run --trace wrote\n"
"    maps    read a maps file, check it, and print it through the library\n"
"    diff    make random memory calls on the running kernel and in the library, and compare\n"
"\n"
"OUTPUT\n"
"    Maps are printed to standard output in the format of /proc/PID/maps; summaries,\n"
"    divergences and messages go to standard error. --json FILE writes the summary as\n"
"    JSON (- for standard output).\n"
"\n"
"EXIT STATUS\n"
"    0  no divergence (run: the program's own status)\n"
"    1  the machine failed: no memory, a file that could not be written\n"
"    2  bad input: an unknown option, a file that is missing or damaged, a program that\n"
"       cannot be run\n"
"    3  at least one divergence between the library and the kernel\n"
"\n"
"EXAMPLES\n"
"    samara run --verify=each -- ls -l /usr/bin\n"
"    strace -f -e trace=%memory,%process -o t gcc -c hello.c && samara replay --maps t\n"
"    samara maps $$\n";

static int usage(const char *wrong)
{
	if (wrong)
		complain(NULL, "'%s' is not a command; there are run, replay, maps and diff", wrong);
	else
		complain(NULL, "which command? there are run, replay, maps and diff");
	fputs("Try: samara --help\n", stderr);
	return EXIT_BAD_INPUT;
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2)
		return usage(NULL);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		return print_help(NULL, help);
	}
	if (!strcmp(argv[1], "--version")) {
		return print_help(NULL, "samara " SAMARA_VERSION "\n");
	}
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return usage(argv[1]);
}
