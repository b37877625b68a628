#!/bin/bash
# SPDX-License-Identifier: MIT
# The command's front: help, versions, and what it says when it is used wrongly.
. "$SAMARA_SRC/tests/cli/lib.sh"

said() {
	[ "$status" -eq "$1" ] && [[ $err == *"$2"* ]]
}

run "$SAMARA" --help
check '--help: status 0' test "$status" -eq 0 -a -z "$err"
for word in NAME SYNOPSIS COMMANDS 'EXIT STATUS' EXAMPLES 'samara run' 'samara replay' 'samara maps' --verify --initial; do
	check "--help tells of $word" grep -q -e "$word" "$TMP/out"
done
check '--help: lines fit a terminal of 110 columns' awk 'length > 110 { exit 1 }' "$TMP/out"
run "$SAMARA" --version
check '--version' grep -qE '^samara [0-9]+\.[0-9]+\.[0-9]+$' "$TMP/out"

for command in run replay maps; do
	run "$SAMARA" "$command" --help
	check "$command --help: status 0" test "$status" -eq 0 -a -z "$err"
	check "$command --help: what it does" grep -q "^    samara $command - " "$TMP/out"
	check "$command --help: how to call it" grep -q "^    samara $command \[--" "$TMP/out"
	run "$SAMARA" "$command"
	check "$command alone: status 2" said 2 "samara $command: "
	run "$SAMARA" "$command" --no-such-option x
	check "$command with an unknown option: status 2, named" said 2 --no-such-option
	check "$command with an unknown option: nothing on standard output" test -z "$out"
done

run "$SAMARA" diff --help
check 'diff --help: status 0' test "$status" -eq 0 -a -z "$err"
for word in NAME SYNOPSIS OPTIONS 'Exit status' EXAMPLES --seed --calls --time --only --json --keep; do
	check "diff --help tells of $word" grep -q -e "$word" "$TMP/out"
done
check 'diff --help: lines fit a terminal of 110 columns' awk 'length > 110 { exit 1 }' "$TMP/out"

run "$SAMARA"
check 'no command: status 2' said 2 'which command?'
run "$SAMARA" dance
check 'an unknown command: status 2, named' said 2 "'dance' is not a command"
run "$SAMARA" replay --initial
check 'an option without its value' said 2 "'--initial' needs a file"
run "$SAMARA" replay a b
check 'too many arguments' said 2 'one trace'
run "$SAMARA" maps a b
check 'too many arguments of maps' said 2 'one process id or one file'
run bash -c '"$SAMARA" maps $$ >/dev/full'
check 'standard output that is full: status 1, said' said 1 'No space left on device'
for command in '' run replay maps diff; do
	run bash -c '"$SAMARA" $1 --help >/dev/full' - "$command"
	check "help, and nowhere to print it, of '$command'" said 1 'No space left on device'
done
run "$SAMARA" maps --json /nowhere/x $$
check 'JSON that cannot be written: status 1, said' said 1 '/nowhere/x: No such file'
