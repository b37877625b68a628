#!/bin/bash
# SPDX-License-Identifier: MIT
# What samara run --trace wrote, replayed: the same calls, faults, splits and merges, and no divergence. The final
# map is the one that the program saw last, VMA by VMA.
. "$SAMARA_SRC/tests/cli/lib.sh"

# A summary's lines that must be the same in both. A replay compares nothing with the kernel; what was explained by
# asking it, it adopts.
figures() {
	grep -E '^  ( *[a-z_0-9]+|address spaces|calls( that failed)?|mappings at peak|splits|merges|stack growths|addresses.*) ' \
		"$1" | grep -vE 'verify|time|comparisons|explained|adopted'
}

replays() { # NAME FAULTS PROGRAM ARGS...
	local name=$1 faults=$2

	shift 2
	run "$SAMARA" run --verify=each --faults="$faults" --trace "$TMP/trace" -- "$@"
	if [ "$status" -ne 0 ]; then
		not_ok "$name: recorded" "status $status: $err"
		return
	fi
	figures "$TMP/err" >"$TMP/run.figures"
	run "$SAMARA" replay "$TMP/trace"
	check "$name: no divergence" test "$status" -eq 0
	same "$name: the same figures" "$(cat "$TMP/run.figures")" "$(figures "$TMP/err")"
}

for faults in auto none; do
	replays "faults=$faults, every call" $faults "$SAMARA_BUILD/tests/cli/memory_calls"
	replays "faults=$faults, ls" $faults ls -l /usr/bin
	replays "faults=$faults, processes" $faults bash -c 'ls /usr | sort | head -3; true'
	replays "faults=$faults, threads" $faults "$SAMARA_BUILD/tests/cli/racing_threads"
done

# A shell prints its own map as its last act but one; the program that prints it shares nothing with it.
run "$SAMARA" run --verify=each --trace "$TMP/trace" -- bash -c 'echo $$; while read -r l; do echo "$l"; done </proc/$$/maps'
pid=$(head -1 "$TMP/out")
grep -v '^[0-9]*$' "$TMP/out" | grep -v vsyscall >"$TMP/seen"
run "$SAMARA" replay --maps "$TMP/trace"
check 'the map that the program saw of itself: every VMA' \
	test "$(cut -d' ' -f1-5 "$TMP/seen")" = "$(grep -v '^#' "$TMP/out" | cut -d' ' -f1-5)"
[ -n "$pid" ] || not_ok 'the program printed its id'
