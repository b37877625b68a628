#!/bin/bash
# SPDX-License-Identifier: MIT
# samara maps: what goes in comes out; what is wrong is named by file and line.
. "$SAMARA_SRC/tests/cli/lib.sh"

said() {
	[ "$status" -eq "$1" ] && [[ $err == *"$2"* ]]
}

# A process that does not change while it is looked at.
sleep 60 &
sleeper=$!
trap 'kill $sleeper 2>/dev/null; finish_' EXIT
sleep 0.2

run "$SAMARA" maps "$sleeper"
same 'a process: byte for byte' "$(cat "/proc/$sleeper/maps")" "$out"
cat "/proc/$sleeper/maps" >"$TMP/saved"
run "$SAMARA" maps "$TMP/saved"
check 'a file: byte for byte' cmp "$TMP/saved" "$TMP/out"
cat "/proc/$sleeper/smaps" >"$TMP/smaps"
run "$SAMARA" maps "$TMP/smaps"
check 'a smaps file: its mappings' cmp "$TMP/saved" "$TMP/out"
run bash -c '"$SAMARA" maps - <"$1"' - "$TMP/saved"
check 'standard input' cmp "$TMP/saved" "$TMP/out"
run "$SAMARA" maps --json - "$sleeper"
check 'JSON has all mappings' python3 -c '
import json, sys
maps = json.load(open(sys.argv[1]))["mappings"]
lines = [l for l in open(sys.argv[2]) if "[vsyscall]" not in l]
assert len(maps) == len(lines)
for m, l in zip(maps, lines):
    assert "%x-%x %s" % (m["start"], m["end"], m["permissions"]) == " ".join(l.split()[:2]), (m, l)
    assert m["inode"] == int(l.split()[4]) and m.get("name", "") == l.rstrip("\n")[73:], (m, l)
' "$TMP/out" "$TMP/saved"

# Names may hold anything but a newline.
printf '00400000-00401000 r--p 00000000 08:01 12                                 /a b (deleted) \\012\n' >"$TMP/name"
run "$SAMARA" maps "$TMP/name"
check 'a strange name' cmp "$TMP/name" "$TMP/out"

run "$SAMARA" maps 999999999
check 'a process that is not there' said 2 'there is no process 999999999'
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null && setpriv --reuid 65534 --clear-groups test -x "$SAMARA"; then
	run setpriv --reuid 65534 --clear-groups --inh-caps=-all --bounding-set=-all "$SAMARA" maps 1
	check 'a process that is not ours' said 2 'process 1 is not ours'
else
	skip 'a process that is not ours' 'needs root, setpriv, and a build that others may read'
fi
run "$SAMARA" maps "$TMP/nothing"
check 'a file that is not there' said 2 "$TMP/nothing: No such file or directory"

bad() { # NAME LINE-NUMBER TEXT...
	local name=$1 line=$2

	shift 2
	printf '%s\n' "$@" >"$TMP/bad"
	run "$SAMARA" maps "$TMP/bad"
	check "$name: file and line" said 2 "$TMP/bad:$line: "
	check "$name: nothing is printed" test -z "$out"
	check "$name: one sentence" test "$(wc -l <"$TMP/err")" -eq 1
}

good='00400000-00402000 r--p 00000000 08:01 12 /x'
bad 'overlapping' 2 "$good" '00401000-00403000 r--p 00000000 00:00 0 '
bad 'not sorted' 2 "$good" '00300000-00301000 r--p 00000000 00:00 0 '
bad 'not aligned' 1 '00400001-00402000 r--p 00000000 00:00 0 '
bad 'empty' 1 '00400000-00400000 r--p 00000000 00:00 0 '
bad 'backwards' 1 '00402000-00400000 r--p 00000000 00:00 0 '
bad 'beyond the user range' 2 "$good" 'ffff800000000000-ffff800000001000 r--p 00000000 00:00 0 '
bad 'permissions' 1 '00400000-00402000 rq-p 00000000 00:00 0 '
bad 'a line cut in the middle' 2 "$good" '00500000-0050'
bad 'too large a number' 1 '11112222333344445000-11112222333344446000 r--p 00000000 00:00 0 '
bad 'text' 1 'hello'

printf '%s' "$good" >"$TMP/cut"
run "$SAMARA" maps "$TMP/cut"
check 'no newline at the end: the line may be cut' said 2 "$TMP/cut:1: "
