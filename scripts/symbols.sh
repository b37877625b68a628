#!/bin/bash
# SPDX-License-Identifier: MIT
# The functions that the public headers declare, one a line, sorted.
# usage: scripts/symbols.sh [--map | --write]
#   --map    print them as a version script
#   --write  write libsamara.map
set -eu

cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# gcc tells every prototype and the file it stands in, so that no text need be parsed as C. What is defined
# there (F, not C) is inlined: the library has it if it is declared too.
names() {
	local header

	for header in include/samara/*.h; do
		echo "#include <samara/${header##*/}>"
	done >"$tmp/all.c"
	gcc -std=gnu11 -D_GNU_SOURCE -aux-info "$tmp/info" -fsyntax-only -Iinclude "$tmp/all.c" >&2
	sed -n 's,^/\* include/samara/[^ ]*:[0-9]*:[A-Z]*C \*/ extern [^(]*[ *]\([A-Za-z0-9_]*\) (.*,\1,p' "$tmp/info" |
		LC_ALL=C sort -u
}

as_map() {
	echo 'SAMARA_0.1 {'
	echo 'global:'
	names | sed 's/.*/\t&;/'
	printf 'local:\n\t*;\n};\n'
}

case ${1:-} in
'') names ;;
--map) as_map ;;
--write)
	as_map >"$tmp/map"
	cp "$tmp/map" libsamara.map
	;;
*)
	sed -n '/^# usage/,/^set/p' "$0" | sed '$d' >&2
	exit 1
	;;
esac
