#!/bin/bash
# SPDX-License-Identifier: MIT
# Puts each fault of tests/planted/tree_faults into a copy of the tree, and runs the tree's tests until one fails.
# Prints which; or "not found". Not part of make check: it takes a quarter of an hour.
# usage: scripts/planted_tree.sh [PATTERN]    (faults whose line matches; default: all)
set -u

pattern=${1:-.}
top=$(git rev-parse --show-toplevel) || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$top/src" "$top/include" "$top/tests" "$work/"
cd "$work" || exit 2

# The quick ones first. The last is built for ThreadSanitizer, which alone sees a missing barrier on this processor.
tests=(unit/tree_api unit/tree_states unit/tree_tour model/tree_millions model/tree_exhaustive model/tree_random
	fault/tree_nth race/tree_step race/tree_threads)
export TREE_CALLS=600 SAMARA_SEED=1
flags=(-std=gnu11 -D_GNU_SOURCE -O1 -w -Iinclude -Isrc -Itests -pthread)
libs=(-lcmocka -lurcu-memb -lurcu-common)

compile() { # BUILD FLAGS... < names of files
	local build=$1

	shift
	mkdir -p "$build"
	xargs -P 2 -I{} sh -c 'gcc "$@" -c "$0" -o "'"$build"'/$(echo "$0" | tr / _ | sed "s/c$/o/")"' {} "${flags[@]}" "$@"
}

link_test() { # BUILD TEST FLAGS...
	local build=$1 test=$2

	shift 2
	gcc "$@" "$build"/src_*.o "$build/tests_${test/\//_}.o" -o "$build/${test#*/}" -pthread "${libs[@]}"
}

# What a test that fails has to say: its name, and that of the function.
verdict() { # STATUS
	local name

	name=$(sed -n 's/^\[  FAILED  \] \([a-z_0-9]*\)$/\1/p; s/^not ok [0-9]* - //p' said | head -1)
	[ -n "$name" ] || name=$(sed -n 's/^\[ RUN      \] //p' said | tail -1)
	printf '%s' "${name:+:$name}"
	[ "$1" -eq 124 ] && printf ', does not end'
	grep -q 'assertion.*failed\|Assertion' said && printf ', an assertion'
	echo
}

hunt() {
	local test status

	for test in "${tests[@]}"; do
		link_test debug "$test" >build.log 2>&1 || { cat build.log >&2; echo 'does not link'; return 1; }
		timeout 900 "debug/${test#*/}" >said 2>&1
		status=$?
		[ "$status" -eq 0 ] || { echo "tests/$test.c$(verdict "$status")"; return 0; }
	done
	compile tsan -fsanitize=thread -DSAMARA_DEBUG=1 <<<"$files
tests/race/tree_threads.c" >build.log 2>&1 && link_test tsan race/tree_threads -fsanitize=thread >build.log 2>&1 ||
		{ echo 'does not compile for ThreadSanitizer'; return 1; }
	TSAN_OPTIONS="halt_on_error=1:suppressions=$work/tests/tsan.supp" setarch -R timeout 900 tsan/tree_threads >said 2>&1 ||
		{ echo 'tests/race/tree_threads.c, by ThreadSanitizer'; return 0; }
	echo 'not found'
	return 1
}

files=$(ls src/platform/*.c src/tree/*.c)
compile debug -DSAMARA_DEBUG=2 <<<"$files
$(printf 'tests/%s.c\n' "${tests[@]}")"
missed=0 total=0
found=$(hunt)
[ "$found" = 'not found' ] || { echo "without a fault, this fails: $found" >&2; exit 2; }

while IFS=$'\t' read -r name file change; do
	[[ $name == \#* || -z $file ]] && continue
	grep -q -e "$pattern" <<<"$name" || continue
	total=$((total + 1))
	cp "$file" saved
	sed -i "$change" "$file"
	changed=$file
	[ "${file%.h}" = "$file" ] || changed="$files
$(printf 'tests/%s.c\n' "${tests[@]}")"
	if cmp -s saved "$file"; then
		found='the fault does not fit the sources any more'
		missed=$((missed + 1))
	elif ! compile debug -DSAMARA_DEBUG=2 <<<"$changed" >build.log 2>&1; then
		found='does not compile'
		missed=$((missed + 1))
	else
		found=$(hunt) || missed=$((missed + 1))
	fi
	printf '%-72s %s\n' "$name" "$found"
	cp saved "$file"
	compile debug -DSAMARA_DEBUG=2 <<<"$changed"
done <"$top/tests/planted/tree_faults"
echo "$((total - missed)) of $total found"
[ "$missed" -eq 0 ]
