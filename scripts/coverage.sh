#!/bin/bash
# SPDX-License-Identifier: MIT
# Build with --coverage, run tests, and say what of floors 3 and 5 they have run.
# usage: scripts/coverage.sh DIR [MESON TEST ARGUMENT...]    the last name of DIR is coverage
set -eu

dir=$1
shift
[ $# -gt 0 ] || set -- --suite unit --suite model --suite kernel --suite fault --suite cli
scripts/setup.sh "$dir"
find "$dir" -name '*.gcda' -delete
ninja -C "$dir" all meson-test-prereq
# A test that fails has run lines too; that it fails is for `make check` to say.
meson test -C "$dir" --no-rebuild -t 4 "$@" || echo "coverage.sh: some tests failed; see above"
python3 scripts/coverage.py "$dir" src/vma src/mm
