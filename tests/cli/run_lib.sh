# SPDX-License-Identifier: MIT
# For the tests of `samara run`: figures of a summary, and the cases of traced.c.
# shellcheck shell=bash

TRACED=$SAMARA_BUILD/tests/cli/traced

# A figure of the summary that the last run printed.
figure() { # LABEL
	sed -n "s/^  $1  *\([0-9][0-9]*\).*/\1/p" "$TMP/err" | head -1
}

# Page faults can be listened to here.
have_faults() {
	"$SAMARA" run --faults=perf --verify=none -- true >/dev/null 2>&1
}

# The last run ended with a status, and the mirror had nothing to complain about.
clean() { # STATUS
	local divergences comparisons

	divergences=$(figure divergences)
	comparisons=$(figure comparisons)
	[ "$status" -eq "$1" ] && [ "$divergences" = 0 ] && [ "${comparisons:-0}" -gt 0 ] && return
	# check() shows the summary itself, but not all of a long one.
	echo "exit status $status, not $1; divergences: ${divergences:-not said}; comparisons: ${comparisons:-not said}"
	return 1
}

# Processes that run a program, by its path.
running() { # PATH
	local exe

	for exe in /proc/[0-9]*/exe; do
		[ "$(readlink "$exe" 2>/dev/null)" = "$1" ] && basename "$(dirname "$exe")"
	done
	true
}

none_running() { # PATH, for at most five seconds
	local i

	for ((i = 0; i < 50; i++)); do
		[ -z "$(running "$1")" ] && return
		sleep 0.1
	done
	return 1
}

# Wait until a file has a line.
await() { # FILE WORD
	local i

	for ((i = 0; i < 100; i++)); do
		grep -q -- "$2" "$1" 2>/dev/null && return
		sleep 0.1
	done
	return 1
}
