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

# A user's compiler may be older, stricter or a C++ one than ours.
for header in include/samara/*.h; do
	echo "#include <samara/${header##*/}>" >"$TMP/one.c"
	check "<samara/${header##*/}> compiles alone as C11" \
		gcc -std=c11 -Wall -Wextra -pedantic -Werror -Wno-pedantic -Iinclude -fsyntax-only "$TMP/one.c"
done
