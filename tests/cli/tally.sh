#!/bin/bash
# SPDX-License-Identifier: MIT
# scripts/tally.py, which the closing line of `make check` comes from: it must not call anything a pass
# that is none.
. "$SAMARA_SRC/tests/cli/lib.sh"

# One program's entry in meson's log; its output is read from standard input.
entry() { # KIND/NAME RESULT STATUS
	python3 -c '
import json, sys
name, result, status = sys.argv[1:]
print(json.dumps({"name": "samara:x / " + name, "stdout": sys.stdin.read(), "result": result,
	"returncode": int(status), "duration": 0.1}))' "$@" >>"$TMP/b/meson-logs/testlog.json"
}

begin() {
	rm -rf "$TMP/b"
	mkdir -p "$TMP/b/meson-logs"
}

tally() { # NAME CLOSING_LINE STATUS
	run python3 "$SAMARA_SRC/scripts/tally.py" b="$TMP/b"
	same "$1" "$2" "$(tail -1 "$TMP/out")"
	check "$1: exit status $3" test "$status" -eq "$3"
}

begin
printf '1..2\nok 1 - a\nok 2 - b\n' | entry unit/good OK 0
printf 'all is well\n' | entry cli/plain OK 0
tally 'tests are counted one by one' '3 passed, 0 failed, 0 skipped' 0

begin
printf '1..2\nok 1 - a\nnot ok 2 - b\n' | entry unit/bad FAIL 1
tally 'a failed test' '1 passed, 1 failed, 0 skipped' 1
check 'a failed test is named' grep -q 'FAILED   b unit/bad: b' "$TMP/out"

begin
printf '1..2\nok 1 - a\nnot ok 2 - b\n' | entry unit/bad OK 0
tally 'a failed test in a program that claims success' '1 passed, 1 failed, 0 skipped' 1

begin
printf '1..3\nok 1 - a\n' | entry unit/crash FAIL -11
tally 'a crash fails all that was planned' '1 passed, 2 failed, 0 skipped' 1

begin
printf '1..1\nok 1 - a\n' | entry unit/leak FAIL 23
tally 'a bad end after good tests' '1 passed, 1 failed, 0 skipped' 1

begin
printf '1..2\nok 1 - a\nno perf here\nnot ok 2 # SKIP b\n' | entry unit/skips OK 0
printf '1..1\nok 1 - c # SKIP no strace here\n' | entry cli/skips OK 0
tally 'what is skipped is no pass' '1 passed, 0 failed, 2 skipped' 0
check 'the reason that a C test printed' grep -q 'SKIPPED  b unit/skips: b: no perf here' "$TMP/out"
check 'the reason of a script' grep -q 'SKIPPED  b cli/skips: c: no strace here' "$TMP/out"

begin
printf 'needs a terminal\n' | entry unit/all SKIP 77
tally 'only skipped is not good' '0 passed, 0 failed, 1 skipped' 1

begin
printf '' | entry unit/slow TIMEOUT -15
tally 'a timeout' '0 passed, 1 failed, 0 skipped' 1

begin
printf '1..1\nok 1 - a\n' | entry unit/ran OK 0
printf 'samara:unit / unit/ran\nsamara:unit / unit/never\n' >"$TMP/b/meson-logs/expected.txt"
tally 'a program that did not run' '1 passed, 1 failed, 0 skipped' 1

begin
rm -r "$TMP/b"
tally 'no results at all' '0 passed, 1 failed, 0 skipped' 1
