#!/bin/bash
# SPDX-License-Identifier: MIT
# Puts each fault of tests/planted/faults into a copy of the sources, and lets samara diff look for it.
# Prints after how many calls it was found, or "not found". Not part of make check: it takes half an hour.
# usage: scripts/planted.sh [--calls N] [--seed S] [PATTERN]    (faults whose line matches; default: all)
set -u

calls=100000 seed=1
while [ $# -gt 1 ]; do
	case $1 in
	--calls) calls=$2 ;;
	--seed) seed=$2 ;;
	*) break ;;
	esac
	shift 2
done
pattern=${1:-.}
top=$(git rev-parse --show-toplevel) || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -r "$top/src" "$top/include" "$top/tools" "$top/scripts" "$top"/meson* "$top/libsamara.map" "$work/"
# The command alone: neither tests nor what else the project has.
sed -i "/subdir('examples')/d; /subdir('bench')/d; /subdir('tests')/d" "$work/meson.build"
cd "$work" || exit 2
meson setup build -Dwerror=false >setup.log 2>&1 || { cat setup.log >&2; exit 2; }
ninja -C build tools/samara/samara >build.log 2>&1 || { cat build.log >&2; exit 2; }

missed=0 total=0
printf '%-70s %s\n' fault 'calls until found'
while IFS=$'\t' read -r name file change; do
	[[ $name == \#* || -z $file ]] && continue
	grep -q -e "$pattern" <<<"$name" || continue
	total=$((total + 1))
	cp "$file" saved.c
	sed -i "$change" "$file"
	if cmp -s saved.c "$file"; then
		found='the fault does not fit the sources any more'
		missed=$((missed + 1))
	elif ! ninja -C build tools/samara/samara >build.log 2>&1; then
		found='does not compile'
		missed=$((missed + 1))
	else
		mkdir -p keep
		timeout 1800 build/tools/samara/samara diff --seed "$seed" --calls "$calls" --keep keep --json json 2>said
		status=$?
		found=$(sed -n 's/^  "calls": \([0-9]*\).*/\1/p' json 2>/dev/null)
		case $status in
		3) ;;
		0) found="not found in $found" missed=$((missed + 1)) ;;
		124) found='not found in half an hour' missed=$((missed + 1)) ;;
		*) found="the model crashed (status $status)" ;;
		esac
		rm -f json
	fi
	printf '%-70s %s\n' "$name" "$found"
	cp saved.c "$file"
done <"$top/tests/planted/faults"
echo "$((total - missed)) of $total found, seed $seed, at most $calls calls each"
[ "$missed" -eq 0 ]
