#!/bin/bash
# SPDX-License-Identifier: MIT
# Run each libFuzzer target; a crash leaves its input in DIR/NAME.
# usage: scripts/fuzz.sh BUILD_DIR SECONDS
set -u

dir=$1
seconds=$2
scripts/setup.sh "$dir" && ninja -C "$dir" || exit 1

passed=0
failed=0
for target in "$dir"/tests/fuzz_*; do
	[ -f "$target" ] && [ -x "$target" ] || continue
	name=${target##*/fuzz_}
	found=$dir/found/$name
	mkdir -p "$found"
	corpus=()
	[ -d "tests/fuzz/corpus/$name" ] && corpus+=("tests/fuzz/corpus/$name")
	echo "---- $name, $seconds s ----"
	if "$target" -max_total_time="$seconds" -print_final_stats=1 -verbosity=1 \
		-artifact_prefix="$dir/$name-" "$found" "${corpus[@]}" >"$dir/$name.log" 2>&1; then
		grep -E 'number_of_executed_units|^Done' "$dir/$name.log"
		passed=$((passed + 1))
	else
		tail -60 "$dir/$name.log"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
