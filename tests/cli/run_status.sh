#!/bin/bash
# SPDX-License-Identifier: MIT
# samara run: what it says about bad input, and that the program's input, output and end are its own.
. "$SAMARA_SRC/tests/cli/lib.sh"
. "$SAMARA_SRC/tests/cli/run_lib.sh"

said() { # STATUS WORDS
	[ "$status" -eq "$1" ] && [[ $err == *"$2"* ]] && [ "$(wc -l <"$TMP/err")" -le 2 ]
}

# Bad input ---------------------------------------------------------------

run "$SAMARA" run -- no-such-program
check 'a program that is not in the PATH' said 2 \
	"samara run: cannot run 'no-such-program': No such file or directory; check the name or the PATH"
run "$SAMARA" run -- /no/such/program
check 'a path that does not exist' said 2 "cannot run '/no/such/program': No such file or directory"
run "$SAMARA" run -- /etc
check 'a folder' said 2 "cannot run '/etc': Is a directory"
run "$SAMARA" run -- ''
check 'an empty name' said 2 "cannot run ''"
: >"$TMP/plain"
run "$SAMARA" run -- "$TMP/plain"
check 'a file that may not be executed' said 2 "cannot run '$TMP/plain': Permission denied"
check 'its name is not what is wrong' test "${err/check the name/}" = "$err"
chmod +x "$TMP/plain"
run "$SAMARA" run --verify=sometimes -- true
check 'an unknown verify' said 2 '--verify=sometimes: there are each, exit and none'
run "$SAMARA" run --faults=all -- true
check 'an unknown faults' said 2 '--faults=all: there are auto, perf and none'
run "$SAMARA" run --verify
check 'an option without its value' said 2 '--verify needs a value'
run "$SAMARA" run --trace /no/such/folder/t -- true
check 'a trace that cannot be written' said 2 "cannot write the trace '/no/such/folder/t'"
run "$SAMARA" run --json /no/such/folder/j -- true
check 'a summary that cannot be written is said before the program runs' said 2 "cannot write '/no/such/folder/j'"
run "$SAMARA" run --trace - -- true
check 'a trace to standard output' said 2 '--trace needs a file'
printf '\177ELF\002\001\001broken' >"$TMP/broken"
chmod +x "$TMP/broken"
run "$SAMARA" run -- "$TMP/broken"
check 'a program that the kernel refuses' test "$status" -ne 0 -a -n "$err"

# The program's own end ---------------------------------------------------

run "$SAMARA" run -- sh -c 'echo out; echo err >&2; exit 7'
check 'exit status' clean 7
same 'standard output is the program'"'"'s alone' out "$out"
check 'standard error is shared' grep -qx err "$TMP/err"
same 'standard input' '3' "$(printf '1\n2\n3\n' | "$SAMARA" run --verify=none -- wc -l 2>/dev/null)"
run "$SAMARA" run -- sh -c 'exit 3'
check "a status of 3 that is the program's" clean 3
for signal in SEGV:139 TERM:143 KILL:137 ABRT:134; do
	run bash -c "'$SAMARA' run -- sh -c 'kill -${signal%:*} \$\$'"
	check "death by SIG${signal%:*}" clean "${signal#*:}"
done
printf 'exit 4\n' >"$TMP/script"
chmod +x "$TMP/script"
run "$SAMARA" run -- "$TMP/script"
check 'a script without an interpreter line' clean 4
run env PATH="$TMP:$PATH" "$SAMARA" run -- script
check 'found in the PATH' clean 4
run "$SAMARA" run --json - -- true
check 'the summary as JSON on standard output' grep -q '"divergences": 0' "$TMP/out"
for verify in each exit none; do
	run "$SAMARA" run "--verify=$verify" -- sh -c 'ls / | cat >/dev/null; exit 5'
	check "--verify=$verify: the status" test "$status" -eq 5 -a "$(figure divergences)" = 0
done
check '--verify=none compares nothing' test "$(figure comparisons)" -eq 0
run "$SAMARA" run --verify=exit -- true
check '--verify=exit compares once' test "$(figure comparisons)" -eq 1

# Programs that are not mirrored ------------------------------------------

# A 32-bit program that exits with 7: it lies in its header's page.
{
	printf '\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\3\0\1\0\0\0\124\200\4\10\64\0\0\0\0\0\0\0\0\0\0\0'
	printf '\64\0\40\0\1\0\0\0\0\0\0\0'
	printf '\1\0\0\0\0\0\0\0\0\200\4\10\0\200\4\10\140\0\0\0\140\0\0\0\5\0\0\0\0\20\0\0'
	printf '\270\1\0\0\0\273\7\0\0\0\315\200'
} >"$TMP/small"
chmod +x "$TMP/small"
if "$TMP/small" 2>/dev/null; [ $? -eq 7 ]; then
	run "$SAMARA" run -- "$TMP/small"
	check 'a 32-bit program: said, and run' said 7 'is a 32-bit program, which samara cannot mirror: it runs untraced'
	run "$SAMARA" run -- sh -c "'$TMP/small'; exit \$((\$? + 1))"
	check 'a 32-bit child: said, and run' clean 8
	check 'a 32-bit child is named' grep -q "now runs '$TMP/small', which is a 32-bit program" "$TMP/err"
else
	skip 'a 32-bit program' 'this kernel runs none'
fi

if [ "$(id -u)" -eq 0 ] && chmod 755 "$TMP" && cp /bin/sh "$TMP/other" && chown 12345 "$TMP/other" &&
	chmod u+s "$TMP/other" && [ "$("$TMP/other" -pc 'id -u')" = 12345 ]; then
	run "$SAMARA" run -- "$TMP/other" -pc 'id -u; exit 6'
	check 'a set-user-ID program: said, and run' said 6 'set-user-ID'
	same 'a set-user-ID program has its user' 12345 "$out"
	run "$SAMARA" run -- sh -c "'$TMP/other' -pc 'exit 6'"
	check 'a set-user-ID child: said, and run' clean 6
	check 'a set-user-ID child is named' grep -q "now runs '$TMP/other'" "$TMP/err"
	run "$SAMARA" run -- sh -c "'$TMP/other' -pc 'exec ls /'; true"
	check 'what a set-user-ID child runs is mirrored again' test "$(figure 'address spaces')" -eq 2
else
	skip 'a set-user-ID program' 'takes root, and a file system that honours the bit'
fi

# Another user, who may listen to no faults -------------------------------

if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null &&
	[ "$(cat /proc/sys/kernel/perf_event_paranoid)" -ge 2 ]; then
	cp "$SAMARA" "$TMP/samara"
	other=(setpriv --reuid 12345 --regid 12345 --clear-groups)
	if "${other[@]}" "$TMP/samara" --version >/dev/null 2>&1; then
		run "${other[@]}" "$TMP/samara" run -- sh -c 'ls / | cat >/dev/null; exit 5'
		check 'without privilege: no divergence' clean 5
		check 'without privilege: faults are not listened to' grep -q '^  faults from  *none$' "$TMP/err"
		run "${other[@]}" "$TMP/samara" run --faults=perf -- true
		check 'without privilege: --faults=perf is refused' said 2 'run it as root, or use --faults=none'
	else
		skip 'without privilege' 'another user cannot reach the program'
	fi
else
	skip 'without privilege' 'takes root and setpriv'
fi
