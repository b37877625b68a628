#!/bin/bash
# SPDX-License-Identifier: MIT
# Build and run tests; the last line is the count, the exit status 1 when anything failed.
# usage: scripts/check.sh DIR[:SUITE,...]...    the last name of DIR as in setup.sh; every suite by default
set -u

tally=()
for arg; do
	dir=${arg%%:*}
	label=${dir##*/}
	suites=()
	[ "$arg" = "$dir" ] || for s in ${arg#*:}; do suites+=(--suite "$s"); done
	options=()
	case $label in
	# Sanitized programs are slower; what looks at the files of the project need not run again.
	asan) options+=(-t 4 --no-suite house) ;;
	# The rest is one thread.
	tsan) options+=(-t 6 --suite unit --suite race) ;;
	esac
	# ThreadSanitizer of gcc 12 cannot live with more than 28 random bits in addresses.
	prefix=()
	[ "$label" = tsan ] && prefix=(setarch -R)

	rm -f "$dir/meson-logs/testlog.json" "$dir/meson-logs/expected.txt"
	scripts/setup.sh "$dir" &&
		ninja -C "$dir" all meson-test-prereq &&
		meson test -C "$dir" --no-rebuild "${options[@]}" "${suites[@]}" --list \
			>"$dir/meson-logs/expected.txt" 2>/dev/null &&
		"${prefix[@]}" meson test -C "$dir" --no-rebuild "${options[@]}" "${suites[@]}"
	# What failed, the build included, is seen by the tally: from the results, or their absence.
	tally+=("$label=$dir")
done
python3 scripts/tally.py "${tally[@]}"
