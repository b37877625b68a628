#!/bin/bash
# SPDX-License-Identifier: MIT
# samara diff: what it says of itself, bad usage, machines it cannot run on, children that die.
. "$SAMARA_SRC/tests/cli/lib.sh"

cd "$TMP" || exit 1

said() {
	[ "$status" -eq "$1" ] && [[ $err == *"$2"* ]]
}

json() { # KEY: its value, without quotes
	sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p" "$TMP/json"
}

# Promise 1.
run "$SAMARA" diff --seed 20261120 --calls 2000 --json json --keep keep
check '2,000 calls: status 0' test "$status" -eq 0
check 'the seed, and calls per second at the end' grep -q 'calls per second' "$TMP/err"
check 'standard output is left alone' test -z "$out"
same 'JSON: seed, calls, divergences' '20261120 2000 0' "$(json seed) $(json calls) $(json divergences)"
check 'JSON: kernel and reference' test "$(json kernel)" = "$(uname -r)" -a -n "$(json reference)"
check 'JSON: compared, refused, rate' test "$(json compared)" -gt 1000 -a "$(json refused)" -gt 0 -a \
	-n "$(json calls_per_second)"
check 'nothing to keep, nothing kept' test -z "$(ls -A keep)"
cp json first
run "$SAMARA" diff --seed 20261120 --calls 2000 --json json
same 'the same seed makes the same calls' "$(grep -v second first)" "$(grep -v second json)"
run "$SAMARA" diff --seed 20261120 --calls 2000 --json json --validate
check '--validate: status 0' test "$status" -eq 0
same '--validate: after each call' 2000 "$(json validated)"
check '--validate: mappings, tables, pages, frames' test "$(json validated_mms)" -ge 2005 -a \
	"$(json validated_mappings)" -gt 4000 -a "$(json validated_tables)" -gt 4000 -a "$(json validated_pages)" -gt 1000 -a \
	"$(json validated_frames)" -gt 20
check '--validate: said in the summary' grep -Eq '^  validated +2000$' "$TMP/err"
same '--validate: the calls are the same' "$(grep -v second first)" "$(grep -Ev 'second|validated' json)"
run "$SAMARA" diff --calls 800 --json -
check 'JSON to standard output, and nothing else' grep -q '^{' <(head -c 1 "$TMP/out")
run "$SAMARA" diff --time 0.5
check 'a time' test "$status" -eq 0
run "$SAMARA" diff --calls 800 --only mprotect,write --json json
check 'only some calls' test "$(json mremap)" -eq 0 -a "$(json mprotect)" -gt 100 -a "$(json write)" -gt 100
for only in munmap mseal setrlimit fork exit mlockall exec; do
	run "$SAMARA" diff --calls 400 --only "$only" --json json
	check "only $only" test "$status" -eq 0 -a "$(json "$only")" -gt 0
done
# This seed would have played with huge pages, which excludes forks.
run "$SAMARA" diff --calls 400 --only fork --seed 8370033502432827455 --json json
check 'only fork, where huge pages would be drawn' test "$status" -eq 0 -a "$(json fork)" -gt 0
run "$SAMARA" diff --calls 400 --only mlock,prctl --json json
check 'names that programs use' test "$status" -eq 0 -a "$(json mlock2)" -gt 0 -a "$(json name)" -gt 0

for bad in '--calls 0' '--calls -1' '--calls 1x' '--calls' '--seed x' '--seed 99999999999999999999999' '--time 0' \
	'--time -1' '--time nan' '--time x' '--only dance' '--only mmap,' '--only ,' '--keep /nowhere/deep' \
	'--keep /dev/null' 'extra' '--seed=1 -- extra' '--no-such' \
	'--map-count 199' '--map-count 1001' '--map-count x' '--map-count'; do
	# shellcheck disable=SC2086
	run "$SAMARA" diff $bad
	check "diff $bad: status 2, a sentence" said 2 'samara diff: '
done
run "$SAMARA" diff --calls 100 --json /nowhere/x
check 'JSON that cannot be written: status 2, said at once' said 2 "cannot write '/nowhere/x'"

if setarch --uname-2.6 true 2>/dev/null; then
	run setarch --uname-2.6 "$SAMARA" diff --calls 100
	check 'an old kernel: status 2, said' said 2 'this kernel is Linux 2.6'
else
	skip 'an old kernel: status 2, said' 'setarch cannot pretend here'
fi
if [ "${SAMARA_BUILD##*/}" = asan ]; then
	skip 'no smaps: status 2, said' 'LeakSanitizer looks for /proc itself'
elif unshare -m sh -c 'mount -t tmpfs none /proc' 2>/dev/null; then
	run unshare -m sh -c 'mount -t tmpfs none /proc && exec "$SAMARA" diff --calls 100'
	check 'no smaps: status 2, said' said 2 '/proc/PID/smaps'
else
	skip 'no smaps: status 2, said' 'takes root'
fi

# A child that somebody else ends, at any moment.
"$SAMARA" diff --time 20 --keep keep 2>"$TMP/err" &
pid=$!
child=
for _ in $(seq 200); do
	sleep 0.05
	# Another child waits to give the pool of huge pages back: it is not traced.
	for c in $(cat "/proc/$pid/task/$pid/children" 2>/dev/null); do
		grep -q "^TracerPid:.$pid\$" "/proc/$c/status" 2>/dev/null && child=$c
	done
	[ -n "$child" ] && kill -KILL "$child" 2>/dev/null && break
	child=
done
wait "$pid"
status=$?
err=$(cat "$TMP/err")
check 'a child that was killed: status 3, said' said 3 'has died'
