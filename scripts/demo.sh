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

# Print a command and run it; keep its status. Its own output goes to FILE if that is not "-".
show() { # FILE COMMAND ARGS...
	local file=$1

	shift
	if [ "$file" = - ]; then
		printf '\n$ %s\n' "$*"
		"$@" || status=$?
	else
		printf '\n$ %s >%s\n' "$*" "$file"
		"$@" >"$file" || status=$?
	fi
}

cat <<END

Samara mirrors a program's address space with its own library while the program runs, and after
each memory call compares every mapping with /proc/PID/maps. 0 divergences means: the same result,
the same address, the same mappings as Linux, each time.
END

show - "$samara" run --verify=each -- \
	gcc -O2 -Iinclude examples/map_a_page.c -o "$out/map_a_page" -L"$dir" -lsamara -Wl,-rpath,"$PWD/$dir"
show "$out/ls.txt" "$samara" run --verify=each --trace "$out/ls.trace" -- ls -l /usr/bin
if [ "$status" -ne 0 ]; then
	printf '\nThe demo failed: exit status %d (3: model and kernel differed; see above).\n' "$status" >&2
	exit "$status"
fi
cat <<END

The first program compiled the example of the README. Try next:

    $out/map_a_page
        run that example
    $samara run -- PROGRAM ARGS...
        mirror a program of yours
    $samara replay --maps $out/ls.trace
        the mappings that ls had at its end, from the trace of its calls alone
    $samara diff --time 10
        random memory calls on the running kernel and in the library, compared after each
    $samara maps \$\$
        the map of your shell, read, checked and printed by the library
    make check
        all tests
END
