#!/bin/bash
# SPDX-License-Identifier: MIT
# samara run --verify=each on what forks a lot: one program, a shell with a test suite, and a program whose
# forks are refused.
# usage: run_forks.sh [--long]	ten times the forks, the suite in each shell that there is
. "$SAMARA_SRC/tests/cli/lib.sh"
. "$SAMARA_SRC/tests/cli/run_lib.sh"

times=1
shells=(dash)
if [ "${1:-}" = --long ]; then
	times=10
	shells=(dash bash busybox zsh ksh)
fi

# Forks and vforks that the last run was told of.
forked() {
	awk '$1 == "fork" || $1 == "vfork" { n += $2 } END { print n + 0 }' "$TMP/err"
}

table() { # NAME
	note "$(printf '%-13s forks %4d, calls %5d, peak VMAs %2d, ' \
		"$1" "$(forked)" "$(figure calls)" "$(figure 'mappings at peak')"
	printf 'comparisons %5d, explained %d, adopted %d, divergences %d' \
		"$(figure comparisons)" "$(figure explained)" "$(figure adopted)" "$(figure divergences)")"
}

run timeout 250 "$SAMARA" run --verify=each -- "$TRACED" many-forks $((200 * times))
check "$((200 * times)) forks: no divergence" clean 0
check 'each was met' test "$(forked)" -eq $((200 * times))
table many-forks

for shell in "${shells[@]}"; do
	if ! command -v "$shell" >/dev/null; then
		skip "a test suite in $shell" "$shell is not installed"
		continue
	fi
	command=("$shell")
	[ "$shell" != busybox ] || command=(busybox sh)
	mkdir "${TMP:?}/$shell"
	command+=("$SAMARA_SRC/tests/cli/shell_checks" "$TMP/$shell")
	run timeout 250 "$SAMARA" run --verify=each -- "${command[@]}"
	check "a test suite in $shell: all pass, no divergence" clean 0
	check "$shell: that was over 200 checks" test "$(sed -n 's/ passed, 0 failed$//p' "$TMP/out")" -gt 200
	table "$shell"
done

# RLIMIT_NPROC is not asked of root, so the program runs as nobody.
as_nobody=()
if [ "$(id -u)" -eq 0 ]; then
	as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	cp "$TRACED" "$TMP/traced"
	chmod 755 "$TMP" "$TMP/traced"
fi
if [ "$(id -u)" -eq 0 ] && ! "${as_nobody[@]}" "$TMP/traced" refused-forks 1; then
	skip 'forks that are refused' 'nobody cannot be had here, or is refused nothing'
else
	program=$TRACED
	[ ! -e "$TMP/traced" ] || program=$TMP/traced
	command=("${as_nobody[@]}" "$program" refused-forks $((10 * times)))
	run timeout 250 "$SAMARA" run --verify=each -- "${command[@]}"
	check 'forks that are refused: as without samara, no divergence' clean 0
	table refused-forks
fi
