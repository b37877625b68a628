#!/bin/bash
# SPDX-License-Identifier: MIT
# The demo: two real programs, each mirrored by the library and compared with the kernel after every
# call. Fails when a program failed or model and kernel differed.
# usage: scripts/demo.sh BUILD_DIR
set -u

dir=$1
samara=$dir/tools/samara/samara
out=$dir/demo
mkdir -p "$out"
status=0

show() { # COMMAND ARGS...: print it, run it, keep its status
	printf '\n$ %s\n' "$*"
	"$@" || status=$?
}

cat <<END

Samara mirrors a program's address space with its own library while the program runs, and after
each memory call compares every mapping with /proc/PID/maps. 0 divergences means: the same result,
the same address, the same mappings as Linux, each time.
END

show "$samara" run --verify=each -- \
	gcc -O2 -Iinclude examples/map_a_page.c -o "$out/map_a_page" -L"$dir" -lsamara -Wl,-rpath,"$PWD/$dir"
# The list goes to a file: it has some thousand lines.
show "$samara" run --verify=each --trace "$out/ls.trace" -- sh -c "exec ls -l /usr/bin >$out/ls.txt"

if [ "$status" -ne 0 ]; then
	printf '\nThe demo failed: exit status %d (3: model and kernel differed; see above).\n' "$status" >&2
	exit "$status"
fi
cat <<END

The first command compiled the example of the README. Try next:
    $out/map_a_page                                  run it
    $samara run -- PROGRAM ARGS...                   mirror a program of yours
    $samara replay --maps $out/ls.trace              the last map of ls, from its trace alone
    $samara maps self                                a map, read, checked and printed by the library
    make check                                       all tests
END
