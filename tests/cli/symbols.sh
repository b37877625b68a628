#!/bin/bash
# SPDX-License-Identifier: MIT
# The shared library exports the functions of the public headers: all of them and nothing else.
. "$SAMARA_SRC/tests/cli/lib.sh"
cd "$SAMARA_SRC" || exit 1

declared=$(scripts/symbols.sh)
exported=$(nm -D --defined-only "$SAMARA_BUILD/libsamara.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
	LC_ALL=C sort)

check 'the headers declare functions' test "$(wc -w <<<"$declared")" -gt 8
same 'exported are the declared functions' "$declared" "$exported"
same 'every exported symbol is a function of version SAMARA_0.1' '' \
	"$(nm -D --defined-only "$SAMARA_BUILD/libsamara.so" | grep -Ev ' T [a-z0-9_]+@@SAMARA_0.1$| A SAMARA_0.1$')"
same 'libsamara.map is what scripts/symbols.sh --write makes' "$(scripts/symbols.sh --map)" "$(cat libsamara.map)"

same 'every declared function is described' '' "$(
	for name in $declared; do
		grep -qE "^( \*|/\*\*) $name - " include/samara/*.h || echo "$name"
	done
)"

# tests/unit/tree_tour.c is a program by the documentation of the tree: nothing that can be called is left out.
same 'the tour of the tree calls every function, and uses every macro' '' "$(
	grep -oE '^(#define|static inline|void|int|unsigned int|bool) .*|^/\*\* [a-zA-Z_, ]* - ' include/samara/maple_tree.h |
		grep -oE '\b(mt|mtree|mas|__mt|__mas|xa)_[a-z_]+\(|\b(MTREE|MA|MT|MAS)_[A-Z]+[A-Z_]*\(|DEFINE_MTREE' | tr -d '(' | sort -u |
		grep -vE '^(MT_TEXT|MT_TEXT_|MT_CHECK_|xa_mk_internal|xa_is_internal|m(tree|as)_lock_nested|mas_[a-z]*_far|mas_is_[a-z]*)$' |
		while read -r name; do grep -qw -- "$name" tests/unit/tree_tour.c || echo "$name"; done
)"

# The macros of the tree where a program has them, in either language.
cat >"$TMP/macros.c" <<'END'
#include <samara/maple_tree.h>
static DEFINE_MTREE(plain);
static struct maple_tree gaps = MTREE_INIT(gaps, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
int use(void);
int use(void)
{
	int lock = 0;
	struct maple_tree ext = MTREE_INIT_EXT(ext, MT_FLAGS_LOCK_EXTERN, lock);
	MA_STATE(mas, &plain, 0, ULONG_MAX);
	unsigned long index = 0;
	void *entry;

	mt_set_external_lock(&ext, &lock);
	mt_for_each(&gaps, entry, index, ULONG_MAX)
		MT_BUG_ON(&gaps, !entry);
	mas_for_each(&mas, entry, ULONG_MAX)
		MAS_BUG_ON(&mas, mas_is_err(&mas));
	mas_for_each_rev(&mas, entry, 0)
		if (MAS_WARN_ON(&mas, xa_is_zero(entry)) || MT_WARN_ON(&ext, entry == XA_ZERO_ENTRY))
			return 1;
	mas_init(&mas, &gaps, 5);
	return mas.node == MA_ERROR(-12);
}
END
cp "$TMP/macros.c" "$TMP/macros.cc"
for compiler in gcc clang g++ clang++; do
	case $compiler in *++) file=macros.cc ;; *) file=macros.c ;; esac
	if command -v "$compiler" >/dev/null; then
		check "the tree's macros compile without a warning by $compiler" \
			"$compiler" -Wall -Wextra -Wpedantic -Wshadow -Werror -Iinclude -fsyntax-only "$TMP/$file"
	else
		skip "the tree's macros compile without a warning by $compiler" "no $compiler here"
	fi
done

# A user's language may be older, newer, or C++.
for header in include/samara/*.h; do
	echo "#include <samara/${header##*/}>" >"$TMP/one.c"
	for std in c99 c11 c2x gnu17; do
		check "<samara/${header##*/}> compiles alone as $std" \
			gcc -std=$std -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$TMP/one.c"
	done
	if command -v g++ >/dev/null; then
		check "<samara/${header##*/}> compiles alone as C++" \
			g++ -x c++ -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$TMP/one.c"
	else
		skip "<samara/${header##*/}> compiles alone as C++" 'no g++ here'
	fi
done
