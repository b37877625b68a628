#!/bin/bash
# SPDX-License-Identifier: MIT
# samara run: real programs, with and without page faults; no divergence, and with faults nothing to explain.
. "$SAMARA_SRC/tests/cli/lib.sh"
. "$SAMARA_SRC/tests/cli/run_lib.sh"

printf '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n' >"$TMP/hello.c"
cat >"$TMP/regex.cc" <<'EOF'
#include <regex>
#include <string>
int main(int argc, char **argv) { return !std::regex_match(std::string(argv[argc - 1]), std::regex("a+b*|.*")); }
EOF
cat >"$TMP/threads.py" <<'EOF'
import json, mmap, ssl, threading

def work():
    for i in range(100):
        m = mmap.mmap(-1, 8192 * (1 + i % 7))
        m[0] = 1
        m.close()

threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
EOF
sql='create table t(a); with recursive c(x) as (select 1 union all select x + 1 from c where x < 20000)
insert into t select x from c; select count(*), sum(a) from t;'
repository=$SAMARA_SRC
git -C "$repository" log -1 >/dev/null 2>&1 || {
	repository=$TMP/repository
	git init -q "$repository" 2>/dev/null && git -C "$repository" -c user.name=n -c user.email=e commit -q \
		--allow-empty -m one
}

modes=(none)
! have_faults || modes=(auto none)

table() { # NAME MODE
	note "$(printf '%-10s %-5s calls %5d, peak VMAs %4d, comparisons %5d, explained %d, adopted %d, divergences %d' \
		"$1" "$2" "$(figure calls)" "$(figure 'mappings at peak')" "$(figure comparisons)" \
		"$(figure explained)" "$(figure adopted)" "$(figure divergences)")"
}

mirror() { # NAME PROGRAM ARGS...
	local name=$1 mode

	shift
	if ! command -v "$1" >/dev/null; then
		skip "$name" "$1 is not installed"
		return
	fi
	for mode in "${modes[@]}"; do
		run timeout 120 "$SAMARA" run --verify=each "--faults=$mode" -- "$@"
		check "$name, faults $mode: no divergence" clean 0
		[ "$mode" = none ] || check "$name, faults $mode: nothing is explained" test "$(figure explained)" = 0
		table "$name" "$mode"
	done
}

mirror ls ls -l /usr/bin
mirror pipeline bash -c 'ls / | cat | sort | head -3 | wc -l'
mirror gcc gcc -O2 -o "$TMP/hello" "$TMP/hello.c"
mirror g++ g++ -O0 -o "$TMP/regex" "$TMP/regex.cc"
mirror python python3 "$TMP/threads.py"
mirror perl perl -e 'my %h; $h{$_} = $_ x 10 for 1 .. 20000; print scalar keys %h'
mirror git git -C "$repository" log --oneline
mirror node node -e 'setTimeout(() => console.log([...Array(1e5).keys()].map(String).length), 50)'
mirror sqlite sqlite3 :memory: "$sql"
mirror openssl openssl speed -seconds 1 sha256
mirror own "$SAMARA_BUILD/tests/cli/memory_calls"
