#!/bin/bash
# SPDX-License-Identifier: MIT
# Each example prints what examples/NAME.out says. (That the README quotes example and output as they
# are is checked in house.sh.)
. "$SAMARA_SRC/tests/cli/lib.sh"

for source in "$SAMARA_SRC"/examples/*.c; do
	name=$(basename "$source" .c)
	run "$SAMARA_BUILD/examples/example_$name"
	check "$name succeeds" test "$status" -eq 0
	same "$name prints what is promised" "$(cat "${source%.c}.out")" "$out"
	check "$name has about 30 lines" test "$(wc -l <"$source")" -le 40
done
