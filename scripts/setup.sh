#!/bin/sh
# SPDX-License-Identifier: MIT
# Configure a build directory, once. Its last name says which build it is.
# usage: scripts/setup.sh [DIR/]release|debug|asan|tsan|coverage|bench|fuzz|gcc|clang
set -eu

dir=$1
[ -f "$dir/build.ninja" ] && exit 0

all='-Dsamara_tests=all -Doptimization=1 -Ddebug=true -Dsamara_debug=2'
case ${dir##*/} in
release) set -- -Dsamara_tests=cli ;;
debug) set -- $all ;;
# b_lundef would reject the shared library: the sanitizers' run time is in the program.
asan) set -- $all -Db_sanitize=address,undefined -Db_lundef=false ;;
# Validators look at whole trees after each change: too slow here, and one thread anyway.
tsan) set -- $all -Dsamara_debug=1 -Db_sanitize=thread -Db_lundef=false ;;
# Assertions are left out: their branches are not there to be taken.
coverage) set -- -Dsamara_tests=all -Doptimization=0 -Ddebug=true -Db_coverage=true -Db_lundef=false ;;
bench) set -- -Dsamara_tests=none -Dsamara_bench=true -Dsamara_native=true -Doptimization=3 ;;
fuzz)
	set -- -Dsamara_tests=none -Dsamara_fuzz=true -Dsamara_debug=2 -Doptimization=1 -Ddebug=true \
		-Db_sanitize=address,undefined -Db_lundef=false
	CC=clang
	export CC
	;;
gcc | clang)
	CC=${dir##*/}
	export CC
	set -- -Dsamara_tests=all -Dsamara_bench=true -Doptimization=2
	;;
*)
	echo "setup.sh: '$dir': the last name must be release, debug, asan, tsan, coverage, bench, fuzz, gcc or clang" >&2
	exit 1
	;;
esac

echo "configuring $dir"
mkdir -p "$dir"
# Meson's report matters when it fails only; it is kept in meson-logs too.
if ! meson setup "$dir" "$@" >"$dir/setup.log" 2>&1; then
	cat "$dir/setup.log" >&2
	rm -f "$dir/build.ninja"
	exit 1
fi
