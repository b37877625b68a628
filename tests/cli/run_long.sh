#!/bin/bash
# SPDX-License-Identifier: MIT
# samara run --verify=each of programs that run for longer: a parallel build in C++, half a gigabyte in node, Python's own
# tests. No divergence (promise 1). SAMARA_LONG=1 makes each of them larger, and follows page faults too.
. "$SAMARA_SRC/tests/cli/lib.sh"
. "$SAMARA_SRC/tests/cli/run_lib.sh"

long=${SAMARA_LONG:-0}
modes=(none)
[ "$long" = 0 ] || ! have_faults || modes=(none auto)

# $1 files that use templates, and a program of them.
project() {
	local i

	mkdir -p "$TMP/project"
	for ((i = 0; i < $1; i++)); do
		printf '#include <map>\n#include <string>\nint part%d(int n)\n{\n\tstd::map<std::string, int> m;\n' "$i"
		printf '\twhile (n)\n\t\tm[std::to_string(n)] = n, n--;\n\treturn (int)m.size();\n}\n'
	done | awk -v dir="$TMP/project" '/^#include <map>/ { file = dir "/part" n++ ".cc" } { print > file }'
	{
		for ((i = 0; i < $1; i++)); do printf 'int part%d(int n);\n' "$i"; done
		printf 'int main()\n{\n\treturn 0'
		for ((i = 0; i < $1; i++)); do printf ' + part%d(3)' "$i"; done
		printf ' != %d;\n}\n' $((3 * $1))
	} >"$TMP/project/main.cc"
	printf 'program: $(patsubst %%.cc,%%.o,$(wildcard *.cc))\n\tg++ -o $@ $^\n%%.o: %%.cc\n\tg++ -O1 -c -o $@ $<\n' \
		>"$TMP/project/Makefile"
}

mirror_long() { # NAME NEEDED COMMAND...
	local name=$1 needed=$2 mode

	shift 2
	if ! eval "$needed" >/dev/null 2>&1; then
		skip "$name" "what it needs is not installed: $needed"
		return
	fi
	for mode in "${modes[@]}"; do
		[ "$name" != build ] || rm -f "$TMP"/project/*.o "$TMP/project/program"
		run timeout 3000 "$SAMARA" run --verify=each "--faults=$mode" -- "$@"
		check "$name, faults $mode: no divergence" clean 0
		note "$(printf '%-6s %-4s calls %6d, address spaces %3d, peak VMAs %4d, comparisons %6d, divergences %d' "$name" \
			"$mode" "$(figure calls)" "$(figure 'address spaces')" "$(figure 'mappings at peak')" \
			"$(figure comparisons)" "$(figure divergences)")"
	done
}

if [ "$long" = 0 ]; then
	project 2
	modules=(test_bisect)
else
	project 12
	modules=(test_json test_mmap test_threading test_subprocess)
fi
mirror_long build 'command -v g++ && command -v make' make -C "$TMP/project" -j2
! [ -x "$TMP/project/program" ] || check "the program that was built works" "$TMP/project/program"
mirror_long node 'command -v node' node -e \
	'const all = []; while (all.length < 50) all.push(Buffer.alloc(10 << 20, 1)); console.log(all.length)'
mirror_long python 'python3 -m test -h' python3 -m test "${modules[@]}"
