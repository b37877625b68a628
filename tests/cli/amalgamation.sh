#!/bin/bash
# SPDX-License-Identifier: MIT
# What `make amalgamation` writes is a header and a C file that need nothing else of the project, compile
# without a warning, and work.
. "$SAMARA_SRC/tests/cli/lib.sh"

run "$SAMARA_SRC/scripts/amalgamate.py" "$TMP/one"
check 'it is written' test "$status" -eq 0
same 'two files' "$(printf 'samara_maple_tree.c\nsamara_maple_tree.h')" "$(ls "$TMP/one")"
cd "$TMP/one" || exit 1

sed 's,<samara/maple_tree.h>,"samara_maple_tree.h",' "$SAMARA_SRC/examples/ip_ranges.c" >program.c
cp "$SAMARA_SRC/tests/unit/tree_tour.c" tour.c
for cc in gcc clang; do
	if ! command -v "$cc" >/dev/null; then
		skip "with $cc" "no $cc here"
		continue
	fi
	# By default, and as a user of the tree might want it: with its assertions, in a shared library of his.
	for options in '-O2' '-std=gnu17 -O1 -fPIC -DSAMARA_DEBUG=2'; do
		# shellcheck disable=SC2086 # words
		run "$cc" $options -Wall -Wextra -Werror -c samara_maple_tree.c
		check "$cc $options compiles it alone, without a warning" test "$status" -eq 0
		# shellcheck disable=SC2086
		run "$cc" $options -Wall -Wextra -Werror program.c samara_maple_tree.o -o program -lurcu-memb -lpthread
		check "a program compiles with $cc $options" test "$status" -eq 0
		run ./program
		same "the example works, by $cc $options" "$(cat "$SAMARA_SRC/examples/ip_ranges.out")" "$out"
		# shellcheck disable=SC2086
		run "$cc" $options -Wall -Wextra -Werror tour.c samara_maple_tree.o -o tour -lurcu-memb -lpthread
		check "a program that uses all of it compiles with $cc $options" test "$status" -eq 0
		check "and works" ./tour
	done
	same "no name in $cc's object but the header's and those with a prefix" "$(
		"$SAMARA_SRC/scripts/symbols.sh" | while read -r name; do
			grep -qE "\b$name\(" samara_maple_tree.h && echo "$name"
		done
	)" "$(nm --extern-only --defined-only samara_maple_tree.o | awk '{ print $3 }' | grep -v '^samara_internal_' |
		LC_ALL=C sort)"
done

echo '#include "samara_maple_tree.h"' >one.cc
if command -v g++ >/dev/null; then
	check 'the header compiles as C++' g++ -Wall -Wextra -Wpedantic -Werror -fsyntax-only one.cc
else
	skip 'the header compiles as C++' 'no g++ here'
fi
