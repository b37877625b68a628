#!/bin/bash
# SPDX-License-Identifier: MIT
# Promise 1, after the fact: what strace saw of a program, replayed on the map that it had right after exec, gives
# the map that the kernel had when the program ended. Without page faults, which strace does not show, neighbours
# may be joined in one and not in the other: both sides are merged first.
. "$SAMARA_SRC/tests/cli/lib.sh"
. "$SAMARA_SRC/tests/cli/capture.sh"

# The calls, the library's result of each like the kernel's; then the map.
matches() { # NAME PROGRAM ARGS...
	local name=$1 verdict

	shift
	if ! command -v "$1" >/dev/null; then
		skip "$name" "there is no $1"
		return
	fi
	# On a busy machine the moment may be missed: then it is held longer.
	if ! capture "$TMP/c" "$@" && ! HOLD=3000000 capture "$TMP/c" "$@"; then
		not_ok "$name" "its maps could not be read: $(tail -3 "$TMP/c.stderr")"
		return
	fi
	run "$SAMARA" replay --initial "$TMP/c.initial" --maps "$TMP/c.trace"
	check "$name: every result as the kernel's" test "$status" -eq 0
	if verdict=$(python3 "$SAMARA_SRC/tests/cli/same_maps.py" "$TMP/c.final" "$TMP/out" "$(cat "$TMP/c.pid")"); then
		ok "$name: the final map ($verdict)"
	else
		not_ok "$name: the final map" "$verdict"
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

STRACE_OPTIONS=(-f)
matches 'every call, among all others' "$SAMARA_BUILD/tests/cli/memory_calls"
STRACE_OPTIONS=(-f -y -tt -T)
matches 'ls, with paths and times' ls -l /usr/bin
STRACE_OPTIONS=(-f -yy -ttt -r -i -e 'trace=%memory,%process')
matches 'git, with addresses and devices' git -C "$SAMARA_SRC" log --oneline -5
STRACE_OPTIONS=(-f -X raw)
matches 'perl, in numbers' perl -e 'my @a = map { "x" x $_ } 1..2000; print scalar @a'
