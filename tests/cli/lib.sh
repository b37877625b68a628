# SPDX-License-Identifier: MIT
# For scripts in tests/cli: counts checks, prints TAP, cleans up.
#
#	#!/bin/bash
#	. "$SAMARA_SRC/tests/cli/lib.sh"
#	run "$SAMARA" maps 1	sets $status, $out and $err (files $TMP/out and $TMP/err too)
#	check 'NAME' test "$status" -eq 0
#	skip 'NAME' 'REASON'
#
# $TMP is a fresh folder, removed at the end. The plan is printed at exit, and the exit status is 1
# when a check failed.
# shellcheck shell=bash

: "${SAMARA_SRC:?the top of the source tree}"
TMP=$(mktemp -d)
tests_=0
failures_=0

finish_() {
	local status=$?

	rm -rf "$TMP"
	echo "1..$tests_"
	[ "$failures_" -eq 0 ] || status=1
	exit "$status"
}
trap finish_ EXIT

ok() { # NAME
	tests_=$((tests_ + 1))
	echo "ok $tests_ - $1"
}

not_ok() { # NAME [EXPLANATION]
	tests_=$((tests_ + 1))
	failures_=$((failures_ + 1))
	[ -z "${2:-}" ] || printf '%s\n' "$2" | sed 's/^/# /'
	echo "not ok $tests_ - $1"
}

skip() { # NAME REASON
	tests_=$((tests_ + 1))
	echo "ok $tests_ - $1 # SKIP $2"
}

note() { # TEXT that the summary of all tests repeats
	echo "# note: $*"
}

# Run a command and keep what it said. Standard input is empty.
run() { # COMMAND ARGS...
	last_=$*
	"$@" >"$TMP/out" 2>"$TMP/err" </dev/null
	status=$?
	out=$(cat "$TMP/out")
	err=$(cat "$TMP/err")
}

# ok if the command succeeds; else what it and the last run said is shown.
check() { # NAME COMMAND ARGS...
	local name=$1 said

	shift
	if said=$("$@" 2>&1); then
		ok "$name"
		return
	fi
	not_ok "$name" "failed: $*
$said
last run: ${last_:-none}, exit status ${status:-none}
stdout: $(head -c 1500 "$TMP/out" 2>/dev/null)
stderr: $(head -c 3000 "$TMP/err" 2>/dev/null)"
}

# ok if two texts are equal; else their difference is shown.
same() { # NAME EXPECTED GOT
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1" "$(diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") | head -60)"
	fi
}
