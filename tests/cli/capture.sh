# SPDX-License-Identifier: MIT
# For scripts that compare a replay of strace's output with the kernel. shellcheck shell=bash
#
# capture OUT PROGRAM ARGS...	runs the program under strace; makes OUT.trace, OUT.initial (the map right after
#				exec), OUT.final (the map when it calls exit_group) and OUT.pid
#
# strace itself can hold a program up: its first brk, which the loader calls before anything else, and its
# exit_group begin late enough to read /proc/PID/maps meanwhile. The program is not changed by it.

# The options of strace that say what is recorded; a script may set others.
STRACE_OPTIONS=(-f -e 'trace=%memory,%process')
HOLD=${HOLD:-200000}	# microseconds

# Wait until process $1 is held in system call $2 (or has gone), then save its map in $3.
save_map_() {
	local number rest

	for _ in $(seq 6000); do
		read -r number rest <"/proc/$1/syscall" || return 1
		if [ "$number" = "$2" ]; then
			cat "/proc/$1/maps" >"$3"
			return
		fi
		sleep 0.005
	done 2>/dev/null
	return 1
}

capture() { # OUT PROGRAM ARGS...
	local out=$1 strace pid=

	shift
	rm -f "$out".*
	strace -o "$out.trace" "${STRACE_OPTIONS[@]}" -e inject=brk:delay_enter="$HOLD":when=1 \
		-e inject=exit_group:delay_enter="$HOLD":when=1 "$@" >"$out.stdout" 2>"$out.stderr" </dev/null &
	strace=$!
	while [ -z "$pid" ] && kill -0 "$strace" 2>/dev/null; do
		sleep 0.005
		{ read -r pid _ <"$out.trace"; } 2>/dev/null
	done
	echo "$pid" >"$out.pid"
	save_map_ "$pid" 12 "$out.initial" && save_map_ "$pid" 231 "$out.final"
	wait "$strace"
	[ -s "$out.initial" ] && [ -s "$out.final" ]
}
