#!/bin/bash
# SPDX-License-Identifier: MIT
# What `make install DESTDIR=...` leaves is enough to build and run a program.
. "$SAMARA_SRC/tests/cli/lib.sh"

top=$TMP/top
run env DESTDIR="$top" meson install -C "$SAMARA_BUILD" --no-rebuild
check 'installs into DESTDIR' test "$status" -eq 0

pc=$(find "$top" -name samara.pc)
lib=$(dirname "$(find "$top" -name libsamara.so)")
check 'a pkg-config file is installed' test -f "$pc"
PKG_CONFIG_PATH=${pc%/*}
export PKG_CONFIG_PATH

same 'every public header is installed, and no other' "$(ls "$SAMARA_SRC/include/samara")" \
	"$(ls "$(pkg-config --variable=includedir samara)/samara")"
same 'the version' 0.1.0 "$(pkg-config --modversion samara)"
same 'the soname' libsamara.so.0 "$(objdump -p "$lib/libsamara.so" | awk '$1 == "SONAME" { print $2 }')"

for source in "$SAMARA_SRC"/examples/*.c; do
	name=$(basename "$source" .c)
	# shellcheck disable=SC2046 # words
	run gcc "$source" -o "$TMP/$name" $(pkg-config --cflags --libs samara)
	check "$name compiles against the installed library" test "$status" -eq 0
	run env LD_LIBRARY_PATH="$lib" "$TMP/$name"
	same "$name runs on it" "$(cat "${source%.c}.out")" "$out"
	# shellcheck disable=SC2046
	run gcc "$source" -o "$TMP/$name.static" $(pkg-config --cflags samara) "$lib/libsamara.a" \
		$(pkg-config --static --libs-only-l samara | sed 's/-lsamara//')
	check "$name links with the static library" test "$status" -eq 0
done

# The tour of the tree, with the installed header and static library, as one would type it.
# shellcheck disable=SC2046
run gcc -Wall -Wextra -Wpedantic -Werror "$SAMARA_SRC/tests/unit/tree_tour.c" -o "$TMP/tour" \
	$(pkg-config --cflags samara) "$lib/libsamara.a" -lurcu-memb -lpthread
check 'the tour of the tree compiles against what is installed' test "$status" -eq 0
run "$TMP/tour"
check 'and works' test "$status" -eq 0

# A program may have functions of its own that are called as ours are.
same 'names in the static library are the headers'\'' or have a prefix' "$("$SAMARA_SRC/scripts/symbols.sh")" \
	"$(nm --defined-only --extern-only "$lib/libsamara.a" 2>/dev/null | awk 'NF == 3 { print $3 }' |
		grep -v '^samara_internal_' | LC_ALL=C sort)"

run env LD_LIBRARY_PATH="$lib" "$(find "$top" -name samara -type f)" --version
same 'the installed command tells its version' 'samara 0.1.0' "$out"
