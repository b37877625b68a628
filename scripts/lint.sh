#!/bin/bash
# SPDX-License-Identifier: MIT
# cppcheck over the sources, and the rules of the house. Long lines and what
# clang-format would change are told only.
# usage: scripts/lint.sh BUILD_DIR
set -u

dir=$1
status=0
# What is generated is looked at too.
scripts/setup.sh "$dir" && ninja -C "$dir" tools/samara/diff_driver.inc libsamara.a || exit 1

cppcheck --quiet --std=c11 --language=c --error-exitcode=1 --inline-suppr -j "$(nproc)" \
	--enable=warning,portability,performance \
	--suppress=missingIncludeSystem --suppress=unknownMacro --suppress=normalCheckLevelMaxBranches \
	-Iinclude -Isrc -I"$dir/tools/samara" -DSAMARA_DEBUG=2 -D__x86_64__ \
	src tools examples || status=1

SAMARA_SRC=$PWD SAMARA_BUILD=$PWD/$dir tests/cli/house.sh || status=1

git ls-files '*.c' '*.h' | while read -r f; do
	expand "$f" | awk -v f="$f" 'length > 110 { print f ":" FNR ": " length " columns, more than 110" }'
done

if command -v clang-format >/dev/null; then
	n=$(git ls-files '*.c' '*.h' | xargs clang-format --output-replacements-xml | grep -c '<replacement ')
	echo "clang-format would change $n places (told, not required)"
fi
exit $status
