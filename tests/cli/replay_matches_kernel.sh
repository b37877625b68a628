#!/bin/bash
# SPDX-License-Identifier: MIT
# Promise 1, after the fact: what strace saw of a program, replayed on the maps that its processes had right after exec,
# gives the maps that the kernel had when they ended. Without page faults, which strace does not show, neighbours may
# be joined in one and not in the other: both sides are merged first.
. "$SAMARA_SRC/tests/cli/lib.sh"

CLI=$SAMARA_SRC/tests/cli

# Into $TMP/c. On a busy machine a moment may be missed: then processes are held longer.
capture() { # PROGRAM ARGS...
	python3 "$CLI/capture.py" "$TMP/c" 200000 "${STRACE_OPTIONS[@]}" -- "$@" >"$TMP/captured" ||
		python3 "$CLI/capture.py" "$TMP/c" 2000000 "${STRACE_OPTIONS[@]}" -- "$@" >"$TMP/captured"
}

# Of each process, the final map; the verdicts on standard output.
same_finals() {
	local pid verdict status=0

	while read -r pid; do
		verdict=$(python3 "$CLI/same_maps.py" "$TMP/c/$pid.final" "$TMP/out" "$pid") || status=1
		echo "$verdict"
	done <"$TMP/c/finals"
	return $status
}

# "N processes, ..."
in_short() {
	awk '/VMAs in the kernel/ { n++; k += $1; h += $6; e += $8 }
	     END { printf "processes: %d, VMAs in the kernel: %d, here: %d, exactly equal: %d", n, k, h, e }'
}

# The result of each call like the kernel's; then the maps.
matches() { # NAME PROGRAM ARGS...
	local name=$1 verdict maps=()

	shift
	if ! command -v "$1" >/dev/null; then
		skip "$name" "there is no $1"
		return
	fi
	if ! capture "$@"; then
		not_ok "$name" "$(cat "$TMP/captured"; tail -3 "$TMP/c/stderr")"
		return
	fi
	while read -r map; do maps+=(--initial "$TMP/c/$map"); done <"$TMP/c/initials"
	run "$SAMARA" replay "${maps[@]}" --maps "$TMP/c/trace"
	check "$name: every result as the kernel's" test "$status" -eq 0
	if verdict=$(same_finals); then
		ok "$name: the final maps ($(in_short <<<"$verdict"))"
	else
		not_ok "$name: the final maps" "$verdict"
	fi
}

if ! strace -o /dev/null true 2>/dev/null; then
	skip 'replay of strace' 'strace is not there, or may not trace'
	exit
fi

echo 'int f(int x) { return x * 2; }' >"$TMP/f.c"
printf '#include <regex>\nbool f(const char *s) { return std::regex_match(s, std::regex("a+b")); }\n' >"$TMP/f.cc"
threads='
import json, ssl, threading, mmap
def work():
    for i in range(50):
        m = mmap.mmap(-1, 8192)
        m[0] = 1
        m.close()
all = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in all]
[t.join() for t in all]'

STRACE_OPTIONS=(-f -e 'trace=%memory,%process')
matches 'every call' "$SAMARA_BUILD/tests/cli/memory_calls"
matches 'ls' ls -l /usr/bin
matches 'a pipeline' bash -c 'ls /usr | sort | head -3 | tr a b | wc -l'
matches 'perl' perl -e 'my @a = map { "x" x $_ } 1..2000; print scalar @a'
matches 'a compiler' gcc -O1 -c "$TMP/f.c" -o "$TMP/f.o"
matches 'a C++ compiler' g++ -c "$TMP/f.cc" -o "$TMP/f.o"
matches 'sqlite3' sqlite3 :memory: 'create table t(a); insert into t values (1); select count(*) from t;'
matches 'openssl' openssl speed -seconds 1 md5
matches 'node' node -e 'console.log([1, 2, 3].map(x => x * 2))'
# Not a wrapper that calls exec again.
matches 'eight threads' "$(command -v /usr/bin/python3 || echo python3)" -c "$threads"

# The order in which strace prints is not the kernel's here; the addresses tell.
matches 'threads that race' "$SAMARA_BUILD/tests/cli/racing_threads"

STRACE_OPTIONS=(-f)
matches 'every call, among all others' "$SAMARA_BUILD/tests/cli/memory_calls"
STRACE_OPTIONS=(-f -y -tt -T)
matches 'ls, with paths and times' ls -l /usr/bin
STRACE_OPTIONS=(-f -yy -ttt -r -i -e 'trace=%memory,%process')
matches 'git, with addresses and devices' git -C "$SAMARA_SRC" log --oneline -5
STRACE_OPTIONS=(-f -X raw)
matches 'perl, in numbers' perl -e 'my @a = map { "x" x $_ } 1..2000; print scalar @a'
