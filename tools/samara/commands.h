/* SPDX-License-Identifier: MIT */
/*
 * The sub-commands. Each gets its own arguments, argv[0] being its name, and
 * returns the exit status of samara.
 */
#ifndef SAMARA_TOOLS_COMMANDS_H
#define SAMARA_TOOLS_COMMANDS_H

int command_run(int argc, char **argv);
int command_replay(int argc, char **argv);
int command_diff(int argc, char **argv);
int command_maps(int argc, char **argv);

#endif
