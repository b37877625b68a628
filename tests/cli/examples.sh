#!/bin/bash
# SPDX-License-Identifier: MIT
# Each example prints what examples/NAME.out says, and the README tells the command's arguments as the
# command does. (That the README quotes example and output as they are is checked in house.sh.)
. "$SAMARA_SRC/tests/cli/lib.sh"

for source in "$SAMARA_SRC"/examples/*.c; do
	name=$(basename "$source" .c)
	run "$SAMARA_BUILD/examples/example_$name"
	check "$name succeeds" test "$status" -eq 0
	same "$name prints what is promised" "$(cat "${source%.c}.out")" "$out"
	check "$name has about 30 lines" test "$(wc -l <"$source")" -le 40
done

# Both without line breaks.
help=$("$SAMARA" --help | tr -s ' \n' ' ')
same 'the README tells each command with its arguments' "$(grep -cE '^    samara (run|replay|maps|diff) \[' "$SAMARA_SRC/README.md")" 4
while read -r line; do
	case $help in
	*"$line"*) ok "as the README has it: $line" ;;
	*) not_ok "as the README has it: $line" "samara --help: $help" ;;
	esac
done < <(sed -n 's/^    \(samara [a-z]* \[.*\)/\1/p' "$SAMARA_SRC/README.md")
