#!/bin/bash
# SPDX-License-Identifier: MIT
# In an installed static library, give a prefix to each name that the public headers do not declare: a program
# may have a function of that name. Meson runs it when it has installed the library.
# usage: scripts/prefix_hidden.sh LIBRARY    (below $MESON_INSTALL_DESTDIR_PREFIX unless it is absolute)
set -eu

lib=$1
[ "${lib#/}" != "$lib" ] || lib=$MESON_INSTALL_DESTDIR_PREFIX/$lib
top=$(cd "$(dirname "$0")/.." && pwd)
names=$(mktemp)
trap 'rm -f "$names"' EXIT

nm --defined-only --extern-only "$lib" 2>/dev/null | awk 'NF == 3 { print $3 }' | LC_ALL=C sort -u |
	LC_ALL=C comm -23 - <(sed -n 's/^\t\([A-Za-z_0-9]*\);$/\1/p' "$top/libsamara.map" | LC_ALL=C sort) |
	sed '/^samara_internal_/d; s/.*/& samara_internal_&/' >"$names"
objcopy --redefine-syms="$names" "$lib"
