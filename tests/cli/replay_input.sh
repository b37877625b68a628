#!/bin/bash
# SPDX-License-Identifier: MIT
# What samara replay takes, and what it says of what it cannot take.
. "$SAMARA_SRC/tests/cli/lib.sh"

# says EXPECTED-STATUS TEXT: the last run ended so and its standard error contains the text
said() {
	[ "$status" -eq "$1" ] && [[ $err == *"$2"* ]]
}

cat >"$TMP/initial" <<'E'
00400000-00401000 r--p 00000000 08:01 1234                               /bin/x
00401000-00402000 rw-p 00001000 08:01 1234                               /bin/x
7ffff7ff9000-7ffff7ffd000 r--p 00000000 00:00 0                          [vvar]
7ffff7ffd000-7ffff7fff000 r-xp 00000000 00:00 0                          [vdso]
7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
E
cat >"$TMP/good" <<'E'
7 execve("/bin/x", ["x"], 0x7ff /* 9 vars */) = 0
7 brk(NULL) = 0x405000
7 brk(0x407000) = 0x407000
7 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, 3</lib/y>, 0x3000) = 0x7ffff7ff7000
7 mprotect(0x7ffff7ff7000, 4096, PROT_NONE) = 0
7 munmap(0x400000, 4096) = 0
7 munmap(0x1, 4096) = -1 EINVAL (Invalid argument)
7 mmap(NULL, 0, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = -1 EINVAL (Invalid argument)
7 mprotect(0x7ffff7ff7000, 0xfffffffffffff000, PROT_NONE) = -1 ENOMEM (Cannot allocate memory)
7 exit_group(0) = ?
7 +++ exited with 0 +++
E
expected='00401000-00402000 rw-p 00001000 08:01 1234                               /bin/x
00405000-00407000 rw-p 00000000 00:00 0                                  [heap]
7ffff7ff7000-7ffff7ff8000 ---p 00003000 00:00 6                          /lib/y
7ffff7ff8000-7ffff7ff9000 r--p 00004000 00:00 6                          /lib/y
7ffff7ff9000-7ffff7ffd000 r--p 00000000 00:00 0                          [vvar]
7ffff7ffd000-7ffff7fff000 r-xp 00000000 00:00 0                          [vdso]
7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]'

run "$SAMARA" replay --initial "$TMP/initial" --maps "$TMP/good"
same 'one process: its map, and no header' "$(sed 's/00:00 [0-9]* /00:00 N /' <<<"$expected")" \
	"$(sed 's/00:00 [0-9]* /00:00 N /' <<<"$out")"
check 'no divergence: status 0' test "$status" -eq 0
check 'nothing else is said' test -z "$err"

run bash -c '"$SAMARA" replay --initial "$1" --maps - <"$2"' - "$TMP/initial" "$TMP/good"
check 'a trace from standard input' test "$status" -eq 0 -a -n "$out"

run "$SAMARA" replay --initial "$TMP/initial" "$TMP/good"
check 'without --maps: the summary, on standard error' said 0 divergences
check 'and nothing on standard output' test -z "$out"
check 'no hint when standard error is no terminal' test "${err/next:/}" = "$err"

run "$SAMARA" replay --initial "$TMP/initial" --json "$TMP/json" "$TMP/good"
check 'JSON' python3 -c 'import json, sys; assert json.load(open(sys.argv[1]))["divergences"] == 0' "$TMP/json"

# A range that wraps, and was moved all the same.
sed 's/munmap(0x400000, 4096) = 0/mremap(-1, 8192, 16384, MREMAP_MAYMOVE) = 0x7ffff7000000/' "$TMP/good" >"$TMP/wraps"
run "$SAMARA" replay --initial "$TMP/initial" "$TMP/wraps"
check 'a range that wraps: status 3, no crash' said 3 "$TMP/wraps:6: mremap("

# A result that no kernel gives: munmap of what is mapped, refused.
sed 's/munmap(0x400000, 4096) = 0/munmap(0x400000, 4096) = -1 EINVAL (Invalid argument)/' "$TMP/good" >"$TMP/odd"
run "$SAMARA" replay --initial "$TMP/initial" "$TMP/odd"
check 'another result than the library: status 3, with file and line' said 3 "$TMP/odd:6: munmap(0x400000, 4096)"

# A child has its parent's map; each process gets a header.
cat >"$TMP/fork" <<'E'
7 execve("/bin/x", ["x"], 0x7ff /* 9 vars */) = 0
7 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>
8 munmap(0x400000, 8192) = 0
7 <... clone resumed>) = 8
8 execve("/bin/y", ["y"], 0x7ff /* 9 vars */) = 0
8 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7ffff0000000
8 mprotect(0x555555554000, 4096, PROT_READ) = 0
8 munmap(0x555555600000, 4096) = 0
E
run "$SAMARA" replay --initial "$TMP/initial" --maps "$TMP/fork"
check 'a header for each process' test "$(grep '^# process' "$TMP/out" | tr '\n' ' ')" = '# process 7 # process 8 '
check 'the parent keeps its map' test "$(sed -n '/# process 8/q;p' "$TMP/out" | wc -l)" -eq 6
check 'after exec there is what the trace shows, and what its calls prove' \
	test "$(sed -n '/# process 8/,$p' "$TMP/out" | cut -d' ' -f1,2 | tr '\n' ' ')" = \
	'# process 555555554000-555555555000 r--p 7ffff0000000-7ffff0002000 r--p '
check 'that a layout is not known is said' said 0 "$TMP/fork:5: process 8 calls exec"
run "$SAMARA" replay --maps "$TMP/fork"
check 'without --initial too' said 0 "$TMP/fork:1: process 7 calls exec"

# Threads: the place that one gives back is taken by the other before strace sees the end of munmap.
cat >"$TMP/threads" <<'E'
7 execve("/bin/x", ["x"], 0x7ff /* 9 vars */) = 0
7 clone3({flags=CLONE_VM|CLONE_THREAD}, 88) = 8
7 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7ffff7ff7000
7 munmap(0x7ffff7ff7000, 8192 <unfinished ...>
8 mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7ffff7ff7000
7 <... munmap resumed>) = 0
E
run "$SAMARA" replay --initial "$TMP/initial" --maps "$TMP/threads"
check 'threads: the order that the addresses prove' test "$status" -eq 0
check 'threads: what was mapped last is there' grep -q '^7ffff7ff7000-7ffff7ff9000 ---p' "$TMP/out"

head -c -20 "$TMP/good" >"$TMP/cut"
run "$SAMARA" replay --initial "$TMP/initial" --maps "$TMP/cut"
check 'a cut trace: status 2, with file and line' said 2 "$TMP/cut:11: the trace is cut in the middle of this line"
check 'a cut trace: what is there is used' grep -q '^00405000-00407000 rw-p' "$TMP/out"

run "$SAMARA" replay "$SAMARA_SRC/README.md"
check 'a text that is no trace: status 2, with file and line' said 2 'README.md:1: this is not a line of strace'
run "$SAMARA" replay "$(command -v bash)"
check 'a binary file' said 2 ':1: '
echo '7 write(1, "x", 1) = 1' >"$TMP/other"
run "$SAMARA" replay "$TMP/other"
check 'a trace of other calls only' said 2 'no call on memory or processes'
: >"$TMP/empty"
run "$SAMARA" replay "$TMP/empty"
check 'an empty file' said 2 'empty'
run "$SAMARA" replay "$TMP/nothing"
check 'a file that is not there' said 2 "$TMP/nothing: No such file or directory"
run "$SAMARA" replay --initial "$TMP/nothing" "$TMP/good"
check 'a map that is not there' said 2 "$TMP/nothing: No such file or directory"
tac "$TMP/initial" >"$TMP/unsorted"
run "$SAMARA" replay --initial "$TMP/unsorted" "$TMP/good"
check 'a map that is not sorted: file and line' said 2 "$TMP/unsorted:3: "
run "$SAMARA" replay --initial "$TMP/good" "$TMP/good"
check 'a trace where a map should be' said 2 "$TMP/good:1: "
echo '7 mprotect(0x1000, 4096, PROT_LIGHT) = 0' >"$TMP/flag"
run "$SAMARA" replay "$TMP/flag"
check 'a flag that nobody knows' said 2 "$TMP/flag:1: argument 3 of mprotect, 'PROT_LIGHT', is not known"
echo '# samara trace 99' >"$TMP/version"
run "$SAMARA" replay "$TMP/version"
check 'a later version of our own format' said 2 "$TMP/version:1: another version"
printf '# samara trace 1\nexec 7 2 brk=0-0\nvma 1000-2000 r--p 0 0:0 0 0 0\n' >"$TMP/short"
run "$SAMARA" replay "$TMP/short"
check 'our own format, cut in a map' said 2 "$TMP/short:3: the trace ends in the middle of a map"
