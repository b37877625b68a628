#!/bin/bash
# SPDX-License-Identifier: MIT
# samara run: threads, forks, exec from a thread, kills, stops, signals, blocked calls. See traced.c.
. "$SAMARA_SRC/tests/cli/lib.sh"
. "$SAMARA_SRC/tests/cli/run_lib.sh"

cases=(threads forks spawns exec-from-thread leader-exits shared-memory children-killed forkers-killed
	stops signals foreign blocked end-in-call run-written faults grows limits leaves-child)
modes=(none)
if have_faults; then
	modes=(auto none)
else
	skip 'with page faults' 'this kernel or user may not listen to them'
fi

unexplained() {
	[ "$(figure explained)" -eq 0 ]
}

for mode in "${modes[@]}"; do
	for name in "${cases[@]}"; do
		run timeout 60 "$SAMARA" run "--faults=$mode" -- "$TRACED" "$name"
		if [ "$status" -eq 77 ]; then
			skip "$name, faults $mode" 'not permitted here'
			continue
		fi
		check "$name, faults $mode: as without samara, no divergence" clean 0
		[ "$mode" = none ] || check "$name, faults $mode: nothing is explained" unexplained
	done
	run timeout 60 "$SAMARA" run "--faults=$mode" -- "$TRACED" killed
	check "killed, faults $mode: the status of SIGKILL, no divergence" clean 137
	for verify in exit none; do
		run timeout 60 "$SAMARA" run "--faults=$mode" "--verify=$verify" -- "$TRACED" forks
		check "forks, faults $mode, --verify=$verify: no divergence" \
			test "$status" -eq 0 -a "$(figure divergences)" -eq 0
	done
done

# More faults than a ring holds, at once and between two calls.
if have_faults; then
	run timeout 60 "$SAMARA" run -- "$TRACED" faults 1024
	check 'a gigabyte of faults' clean 0
	check 'a gigabyte of faults: most of them told, or said to be lost' \
		eval '[ "$(figure faults)" -gt 200000 ] || grep -q "some were lost" "$TMP/err"'
fi

run timeout 60 "$SAMARA" run -- "$TRACED" blocked
if [ "$status" -eq 77 ]; then
	skip 'a blocked call is overtaken, and that is said' 'no userfaultfd for this user'
else
	check 'a blocked call is overtaken, and that is said' grep -q 'calls that others had to overtake' "$TMP/err"
fi
run timeout 60 "$SAMARA" run -- "$TRACED" foreign
check 'memory of other calls is adopted' test "$(figure adopted)" -ge 2
