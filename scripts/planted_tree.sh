#!/bin/bash
# SPDX-License-Identifier: MIT
# Puts each fault of tests/planted/tree_faults into a copy of the tree, and runs the tree's tests until one fails.
# Prints a row of the table in docs/tree.md for each: the fault, and the test that found it, or "not found". The test
# that the page names goes first. Not part of make check: all together take about ten minutes.
# usage: scripts/planted_tree.sh [--check] [--from N] [PATTERN]    (faults whose line matches; default: all)
#   --check: only look whether each fault still fits the sources
#   --from: go on with the N-th of them
set -u

check=0 from=1
[ "${1:-}" != --check ] || { check=1; shift; }
[ "${1:-}" != --from ] || { from=$2; shift 2; }
pattern=${1:-.}
top=$(git rev-parse --show-toplevel) || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$top/src" "$top/include" "$top/tests" "$work/"
cd "$work" || exit 2

# The quick ones first. The last is built for ThreadSanitizer, which alone sees a missing barrier on this processor.
tests=(unit/tree_states unit/tree_tour unit/tree_api unit/tree_batches model/tree_millions fault/tree_nth
	race/tree_threads model/tree_random race/tree_step model/tree_exhaustive)
export TREE_CALLS=600 SAMARA_SEED=1
export TSAN_OPTIONS="halt_on_error=1:suppressions=$work/tests/tsan.supp"

# What of a change has to be compiled again, make finds out.
cat >Makefile <<'END'
CC = gcc -std=gnu11 -D_GNU_SOURCE -O1 -w -Iinclude -Isrc -Itests -pthread -MMD
LIB := $(patsubst %.c,%.o,$(wildcard src/platform/*.c src/tree/*.c))
LIBS := -pthread -lcmocka -lurcu-memb -lurcu-common
debug/%.o: %.c
	@mkdir -p $(@D)
	$(CC) -DSAMARA_DEBUG=2 -c $< -o $@
tsan/%.o: %.c
	@mkdir -p $(@D)
	$(CC) -DSAMARA_DEBUG=1 -fsanitize=thread -c $< -o $@
debug/%: debug/tests/%.o $(addprefix debug/,$(LIB))
	@mkdir -p $(@D)
	gcc $^ -o $@ $(LIBS)
tsan/%: tsan/tests/%.o $(addprefix tsan/,$(LIB))
	@mkdir -p $(@D)
	gcc -fsanitize=thread $^ -o $@ $(LIBS)
.SECONDARY:
-include $(shell find . -name '*.d')
END

# What a test that fails has to say: its name, and that of the function.
verdict() { # TEST STATUS
	local name how=

	name=$(sed -n 's/^\[  FAILED  \] \([a-z_0-9]*\)$/\1/p; s/^not ok [0-9]* - //p' said | head -1)
	[ -n "$name" ] || name=$(sed -n 's/^\[ RUN      \] //p' said | tail -1)
	[ "$2" -ne 124 ] || how=', does not end'
	! grep -q 'assertion.*failed\|Assertion' said || how=', by an assertion'
	! grep -q 'ThreadSanitizer' said || how=', by ThreadSanitizer'
	echo "\`tests/$1.c${name:+:$name}\`$how"
}

# Whether @test fails; then it says so.
finds() { # BUILD TEST
	local status

	make -s "$1/$2" >build.log 2>&1 || { cat build.log >&2; echo 'does not compile'; return 0; }
	if [ "$1" = tsan ]; then
		setarch -R timeout 300 "tsan/$2" >said 2>&1
	else
		timeout 300 "debug/$2" >said 2>&1
	fi
	status=$?
	[ "$status" -ne 0 ] && verdict "$2" "$status"
}

hunt() { # FAULT
	local test first build=debug

	first=$(grep -F "| $1 |" "$top/docs/tree.md" | sed -n 's/.*`tests\/\([a-z_/]*\)\.c.*/\1/p' | head -1)
	[ -z "$first" ] || ! grep -F "| $1 |" "$top/docs/tree.md" | grep -q ThreadSanitizer || build=tsan
	if [ -n "$first" ] && finds "$build" "$first"; then
		return 0
	fi
	for test in "${tests[@]}"; do
		[ "$test" = "$first" ] && [ "$build" = debug ] || ! finds debug "$test" || return 0
	done
	[ "$build" = tsan ] || ! finds tsan race/tree_threads || return 0
	echo 'not found'
	return 1
}

faults() { # each that is asked for, a line
	grep -v '^#' "$top/tests/planted/tree_faults" | grep -e '	' | grep -e "$pattern" | tail -n "+$from"
}

# Sources move on: a fault that does not fit any more proves nothing, and is an error before anything else is.
plant() { # FILE CHANGE
	cp "$1" saved
	sed -i "$2" "$1"
	! cmp -s saved "$1"
}

unfit=0
while IFS=$'\t' read -r name file change; do
	plant "$file" "$change" || { echo "does not fit the sources any more: $name" >&2; unfit=$((unfit + 1)); }
	cp saved "$file"
done < <(faults)
[ "$check" = 0 ] && [ "$unfit" = 0 ] || exit $((unfit > 0))

missed=0 total=0
make -s -j2 $(printf 'debug/%s ' "${tests[@]}") tsan/race/tree_threads || exit 2
if [ "$pattern" = . ] && [ "$from" = 1 ]; then
	found=$(hunt 'no fault')
	[ "$found" = 'not found' ] || { echo "without a fault, this fails: $found" >&2; exit 2; }
fi
while IFS=$'\t' read -r name file change; do
	total=$((total + 1))
	plant "$file" "$change"
	found=$(hunt "$name") || missed=$((missed + 1))
	case $found in 'does not compile'*) missed=$((missed + 1)) ;; esac
	echo "| $name | $found |"
	cp saved "$file"
done < <(faults)
echo "$((total - missed)) of $total found"
[ "$missed" -eq 0 ]
