#!/bin/bash
# SPDX-License-Identifier: MIT
# samara run: random calls and touches, in families of processes, compared with the kernel after each call.
# What page faults decide is known exactly with perf; without, it must come out as permitted.
# SAMARA_SEED=... repeats a run.
. "$SAMARA_SRC/tests/cli/lib.sh"
. "$SAMARA_SRC/tests/cli/run_lib.sh"

cd "$TMP" || exit 1
random_calls=$SAMARA_BUILD/tests/cli/random_calls
calls=2000

exact() {
	clean 0 && [ "$(figure explained)" -eq 0 ]
}

# All addresses that the kernel chose were foretold.
foretold() {
	[ "$(sed -n 's/^  addresses predicted *\([0-9]*\) of \([0-9]*\).*/\1 \2/p' "$TMP/err" |
		awk '{ print $1 == $2 }')" = 1 ]
}

fresh=${SAMARA_SEED:-$((RANDOM * 32768 + RANDOM))}
for seed in 7 28 93 "$fresh"; do
	note "run_random: SAMARA_SEED=$seed"
	if have_faults; then
		run timeout 60 "$SAMARA" run --trace "$TMP/trace" -- "$random_calls" "$seed" $calls
		check "seed $seed, faults known: no divergence, nothing explained" exact
		check "seed $seed: each address was foretold" foretold
		run timeout 60 "$SAMARA" replay "$TMP/trace"
		check "seed $seed: its trace replays without a divergence" test "$status" -eq 0
	else
		skip "seed $seed, faults known" 'this kernel or user may not listen to page faults'
	fi
	run timeout 60 "$SAMARA" run --faults=none -- "$random_calls" "$seed" $calls
	check "seed $seed, faults not known: no divergence" clean 0
done
