#!/bin/bash
# SPDX-License-Identifier: MIT
# samara run: signals from outside reach the program, and nothing is left behind.
. "$SAMARA_SRC/tests/cli/lib.sh"
. "$SAMARA_SRC/tests/cli/run_lib.sh"

# A program of our own path, so that it can be told from those of other tests.
cp "$TRACED" "$TMP/traced"
here=$TMP/traced

# Start samara as the leader of a process group, as a shell at a terminal does.
begin() { # CASE
	# The shell empties the files when the new process runs: until then they are the last one's.
	: >"$TMP/out"
	set -m
	"$SAMARA" run -- "$here" "$@" >"$TMP/out" 2>"$TMP/err" </dev/null &
	leader=$!
	set +m
	await "$TMP/out" waiting
}

finish() {
	wait "$leader" 2>/dev/null
	status=$?
}

begin waits
kill -INT -- "-$leader"
finish
check 'Ctrl-C ends the program' clean 130
check 'Ctrl-C: nothing is left' none_running "$here"

begin waits
kill -QUIT -- "-$leader"
finish
check 'Ctrl-\ ends the program' clean 131
check 'Ctrl-\: nothing is left' none_running "$here"

for signal in TERM:143 HUP:129; do
	begin waits
	kill "-${signal%:*}" "$leader"
	finish
	check "SIG${signal%:*} is passed on" clean "${signal#*:}"
	check "SIG${signal%:*}: nothing is left" none_running "$here"
done

begin waits
kill -KILL "$leader"
finish
check 'samara killed: its status' test "$status" -eq 137
check 'samara killed: the program goes too' none_running "$here"

begin waits
kill -KILL "$(running "$here")"
finish
check 'the program killed' clean 137

begin waits
pid=$(running "$here")
kill -STOP "$pid"
sleep 0.3
check 'stopped: the program stays' test "$(running "$here")" = "$pid"
state=$(sed 's/.*) //; s/ .*//' "/proc/$pid/stat")
check 'stopped: it is' test "$state" = t -o "$state" = T
kill -CONT "$pid"
kill -TERM "$pid"
finish
check 'stopped, continued, ended' clean 143

"$SAMARA" run -- "$here" leaves-child 1000 >"$TMP/out" 2>"$TMP/err" &
leader=$!
sleep 0.5
kill -TERM "$leader"
finish
check 'SIGTERM reaches what the program has left behind' clean 0
check 'SIGTERM: the child is gone' none_running "$here"

# The reader of the summary has gone: the program does not suffer.
run bash -c "{ '$SAMARA' run -- sh -c 'sleep 0.2; echo done >$TMP/done'; } 2>&1 | true; sleep 1"
check 'a closed standard error' grep -q 'done' "$TMP/done"

# Job control: the shell sees what it would see of the program alone.
if command -v python3 >/dev/null; then
	for program in "$here waits" "$SAMARA run -- $here waits" "$SAMARA run -- sh -c '$here waits | cat'"; do
		run timeout 60 bash -c "python3 '$SAMARA_SRC/tests/cli/terminal.py' $program"
		same "Ctrl-Z, fg, Ctrl-C: ${program/*samara/samara}" $'stopped\ncontinued\nended by 2' "$out"
	done
	check 'Ctrl-Z: nothing is left' none_running "$here"
else
	skip 'Ctrl-Z' 'takes python3'
fi
