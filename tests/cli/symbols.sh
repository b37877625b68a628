#!/bin/bash
# SPDX-License-Identifier: MIT
# The shared library exports the functions of the public headers: all of them and nothing else.
. "$SAMARA_SRC/tests/cli/lib.sh"
cd "$SAMARA_SRC" || exit 1

declared=$(scripts/symbols.sh)
exported=$(nm -D --defined-only "$SAMARA_BUILD/libsamara.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
	LC_ALL=C sort)

check 'the headers declare functions' test "$(wc -w <<<"$declared")" -gt 8
same 'exported are the declared functions' "$declared" "$exported"
same 'every exported symbol is a function of version SAMARA_0.1' '' \
	"$(nm -D --defined-only "$SAMARA_BUILD/libsamara.so" | grep -Ev ' T [a-z0-9_]+@@SAMARA_0.1$| A SAMARA_0.1$')"
same 'libsamara.map is what scripts/symbols.sh --write makes' "$(scripts/symbols.sh --map)" "$(cat libsamara.map)"

same 'every declared function is described' '' "$(
	for name in $declared; do
		grep -qE "^( \*|/\*\*) $name - " include/samara/*.h || echo "$name"
	done
)"

# A user's language may be older, newer, or C++.
for header in include/samara/*.h; do
	echo "#include <samara/${header##*/}>" >"$TMP/one.c"
	for std in c99 c11 c2x gnu17; do
		check "<samara/${header##*/}> compiles alone as $std" \
			gcc -std=$std -Wall -Wextra -Werror -Iinclude -fsyntax-only "$TMP/one.c"
	done
	if command -v g++ >/dev/null; then
		check "<samara/${header##*/}> compiles alone as C++" \
			g++ -x c++ -Wall -Wextra -Werror -Iinclude -fsyntax-only "$TMP/one.c"
	else
		skip "<samara/${header##*/}> compiles alone as C++" 'no g++ here'
	fi
done
