#!/bin/bash
# SPDX-License-Identifier: MIT
# samara diff --map-count: the machine's limit of mappings is lowered, reached, and put back however the run ends.
. "$SAMARA_SRC/tests/cli/lib.sh"

cd "$TMP" || exit 1
setting=/proc/sys/vm/max_map_count
before=$(cat "$setting")

is_back() {
	for _ in $(seq 100); do
		[ "$(cat "$setting")" = "$before" ] && return 0
		sleep 0.05
	done
	return 1
}

lowered() { # starts a run and waits until it has lowered the limit; $pid
	"$SAMARA" diff --map-count 600 --time 30 2>"$TMP/other" &
	pid=$!
	for _ in $(seq 100); do
		[ "$(cat "$setting")" = 600 ] && return 0
		sleep 0.05
	done
	return 1
}

if unshare -m sh -c 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys' 2>/dev/null; then
	run unshare -m sh -c 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys &&
		exec "$SAMARA" diff --map-count 600 --calls 10'
	check 'a limit that cannot be written: status 2, a sentence' test "$status" -eq 2 -a -n "$err"
	check 'it says which' grep -q 'vm.max_map_count cannot be lowered' "$TMP/err"
elif [ "$(id -u)" -ne 0 ]; then
	run "$SAMARA" diff --map-count 600 --calls 10
	check 'a limit that cannot be written: status 2, a sentence' test "$status" -eq 2 -a -n "$err"
	skip 'it says which' 'takes root'
else
	skip 'a limit that cannot be written: status 2, a sentence' 'takes a mount namespace'
	skip 'it says which' 'takes a mount namespace'
fi

checks=('the limit is reached: status 0' 'calls were made at the limit' 'it is put back'
	'a second run: status 2, said' 'and the limit stays as the first run has it'
	'put back after SIGTERM' 'put back after SIGKILL' 'put back after SIGINT')
if ! [ -w "$setting" ] || ! (echo "$before" >"$setting") 2>/dev/null || [ "$before" -lt 1000 ]; then
	for name in "${checks[@]}"; do
		skip "$name" 'vm.max_map_count cannot be lowered here'
	done
	exit
fi

# Promise 1.
run "$SAMARA" diff --map-count 400 --seed 3 --calls 900 --json json
check "${checks[0]}" test "$status" -eq 0
check "${checks[1]}" test "$(sed -n 's/^ *"at_the_limit": \([0-9]*\).*/\1/p' json)" -gt 100
check "${checks[2]}" is_back

lowered
run "$SAMARA" diff --map-count 500 --calls 10
check "${checks[3]}" test "$status" -eq 2 -a "$(grep -c 'another samara diff' "$TMP/err")" -eq 1
check "${checks[4]}" test "$(cat "$setting")" -eq 600
kill -TERM "$pid"
check "${checks[5]}" is_back
wait "$pid"
lowered && kill -KILL "$pid"
check "${checks[6]}" is_back
wait "$pid"
run timeout -s INT 1 "$SAMARA" diff --map-count 600 --time 30
check "${checks[7]}" is_back
