#!/bin/bash
# SPDX-License-Identifier: MIT
# The library has its trace points for tracers from outside, if it was built where their header is.
. "$SAMARA_SRC/tests/cli/lib.sh"

if grep -q SAMARA_HAVE_SDT "$SAMARA_BUILD/compile_commands.json"; then
	found=$(readelf -n "$SAMARA_BUILD/libsamara.so" |
		awk '$1 == "Provider:" { from = $2 } $1 == "Name:" { print from ":" $2 }' | sort -u | tr '\n' ' ')
	same 'each call that is traced has a probe' 'samara:exit samara:fault samara:fork samara:mmap samara:munmap ' "$found"
	same 'a probe has address space, address, length and result' 4 \
		"$(readelf -n "$SAMARA_BUILD/libsamara.so" | awk '/Name: fork/ { fork = 1 } fork && /Arguments:/ { print NF - 1; exit }')"
else
	skip 'each call that is traced has a probe' 'built without <sys/sdt.h>: scripts/deps.sh probes'
fi
