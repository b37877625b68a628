#!/bin/sh
# SPDX-License-Identifier: MIT
# A text as lines of a C string, on standard output.
# usage: scripts/c_string.sh FILE
set -eu
exec sed -e 's/[\\"]/\\&/g' -e 's/.*/"&\\n"/' "$1"
