#!/bin/bash
# SPDX-License-Identifier: MIT
# What it costs to run a program under samara, against strace with the same filter: medians of wall
# times, the two measured in turns.
#
#	bench/run_overhead.sh [SAMARA [REPEATS]]
set -u
SAMARA=${1:-${SAMARA:-build/release/tools/samara/samara}}
REPEATS=${2:-7}
command -v strace >/dev/null || { echo "strace is missing: apt-get install strace" >&2; exit 1; }
[ -x "$SAMARA" ] || { echo "$SAMARA is missing: make, or name it: $0 SAMARA" >&2; exit 1; }
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT

printf '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n' >"$TMP/hello.c"
cat >"$TMP/threads.py" <<'EOF'
import json, mmap, ssl, threading

def work():
    for i in range(200):
        m = mmap.mmap(-1, 8192 * (1 + i % 7))
        m[0] = 1
        m.close()

threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
EOF

# Milliseconds that a command took, to a file.
clock() { # FILE COMMAND...
	local file=$1 from to

	shift
	from=$(date +%s%N)
	"$@" >/dev/null 2>&1 </dev/null
	to=$(date +%s%N)
	echo $(((to - from) / 1000)) >>"$file"
}

median() { # FILE
	sort -n "$1" | awk '{ v[NR] = $1 } END { printf "%.1f", v[int((NR + 1) / 2)] / 1000 }'
}

compare() { # NAME PROGRAM ARGS...
	local name=$1 i

	shift
	command -v "$1" >/dev/null || return
	rm -f "$TMP"/time.*
	for ((i = 0; i < REPEATS; i++)); do
		clock "$TMP/time.alone" "$@"
		clock "$TMP/time.strace" strace -f --seccomp-bpf -e trace=%memory,%process -o /dev/null "$@"
		clock "$TMP/time.none" "$SAMARA" run --verify=none -- "$@"
		clock "$TMP/time.each" "$SAMARA" run --verify=each -- "$@"
	done
	printf '%-10s %9s %9s %9s %9s' "$name" "$(median "$TMP/time.alone")" "$(median "$TMP/time.strace")" \
		"$(median "$TMP/time.none")" "$(median "$TMP/time.each")"
	awk -v s="$(median "$TMP/time.strace")" -v n="$(median "$TMP/time.none")" 'BEGIN { printf " %9.2f\n", n / s }'
}

printf '%-10s %9s %9s %9s %9s %9s\n' 'ms' alone strace none each none/strace
compare ls ls -l /usr/bin
compare pipeline bash -c 'ls / | cat | sort | head -3 | wc -l'
compare gcc gcc -O2 -o "$TMP/hello" "$TMP/hello.c"
compare python python3 "$TMP/threads.py"
compare perl perl -e 'my %h; $h{$_} = $_ x 10 for 1 .. 20000; print scalar keys %h'
compare node node -e 'console.log(1)'
