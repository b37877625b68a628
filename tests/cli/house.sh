#!/bin/bash
# SPDX-License-Identifier: MIT
# The rules of the house that a script can check. Each prints what breaks it.
. "$SAMARA_SRC/tests/cli/lib.sh"
cd "$SAMARA_SRC" || exit 1

shopt -s nullglob globstar
code=(src/**/*.[ch] tools/**/*.[ch] include/**/*.h)
c_files=("${code[@]}" tests/**/*.[ch] bench/**/*.[ch] examples/*.c)
all_files=("${c_files[@]}" scripts/* tests/**/*.sh .ci/run Makefile meson.build meson_options.txt **/meson.build)

# A file includes from its own floor and the floors below. Public headers stand on the floor whose
# functions they declare; mm.h is on the third, because floor 3 has its flags and types.
floors() {
	awk '
	BEGIN {
		split("platform tree vma mmu mm", name)
		for (i in name) { rank["src/" name[i]] = i; rank[name[i]] = i }
		public["platform.h"] = 1; public["maple_tree.h"] = 2; public["mm.h"] = 3
	}
	FNR == 1 {
		folder = FILENAME; sub("/[^/]*$", "", folder)
		own = folder == "include/samara" ? public[substr(FILENAME, 16)] : folder ~ "^tools" ? 6 : rank[folder]
		if (!own) print FILENAME ": on no floor"
	}
	/^[ \t]*#[ \t]*include/ {
		target = $2; if (target == "") { target = $1; sub(/.*include/, "", target) }
		gsub(/["<>]/, "", target)
		is_public = target ~ "^samara/"
		top = target; sub("/.*", "", top)
		floor = is_public ? public[substr(target, 8)] : target ~ "/" ? rank[top] : own
		if (is_public && !floor) print FILENAME ":" FNR ": " target " is no public header of a known floor"
		if ($2 ~ /^"/ && target ~ "\\.\\.") print FILENAME ":" FNR ": " target ": include from the top of src"
		if ($2 ~ /^"/ && folder == "include/samara") print FILENAME ":" FNR ": a public header includes " target
		if (floor > own) print FILENAME ":" FNR ": floor " own " includes " target " of floor " floor
	}' "$@"
}

# A function body is what stands between a brace in the first column and the next.
bodies() { # AWK RULES, with `inside` true in a body, whose first line is number `first`
	awk '
	FNR == 1 { inside = 0 }
	/^\{/ { inside = 1; first = FNR }
	'"$1"'
	/^\}/ { inside = 0 }' "${c_files[@]}"
}

same 'includes go down only' '' "$(floors "${code[@]}")"
same 'no file has more than 1,500 lines' '' \
	"$(wc -l "${all_files[@]}" | awk '$2 != "total" && $1 > 1500 { print $2 ": " $1 " lines" }')"
same 'every file carries its licence' '' \
	"$(for f in "${all_files[@]}"; do head -3 "$f" | grep -q 'SPDX-License-Identifier: MIT' || echo "$f"; done)"
same 'no function has more than 100 lines' '' \
	"$(bodies '/^\}/ && inside && FNR - first + 1 > 100 { print FILENAME ":" first ": " FNR - first + 1 " lines" }')"
same 'no #if inside a function' '' "$(bodies '/^[ \t]*#[ \t]*(if|else|endif)/ && inside { print FILENAME ":" FNR ": " $0 }')"

# A1. VMAs hang in the tree alone: no links from one to the next, no cached neighbour.
same 'no links between VMAs' '' \
	"$(grep -nE 'vm_next|vm_prev|list_head.*vma|mmap_cache|highest_vm_end' -r src include)"

# Two contexts in one process never meet: nothing outside floor 1 may be written but the flags of warnings
# that are given once.
same 'no mutable globals outside the platform' '' "$(
	objdump -t "$SAMARA_BUILD/libsamara.a" | awk '
	/file format/ { object = $1 }
	object ~ /src_platform_/ || $NF ~ /^warned_/ { next }
	/ O (\.data|\.bss|\.tdata|\.tbss|\*COM\*)/ && !/ \.data\.rel\.ro/ { print object, $NF }'
)"

# docs/rows.md: `FILE:FUNCTION` proves a row. Every row has a line; what it names exists.
rows=$(for r in A:9 B:12 C:8 D:7 E:5 F:8 G:5 H:4; do seq -f "${r%:*}%g" "${r#*:}"; done)
same 'docs/rows.md has every row once' "$rows" "$(sed -n 's/^| \([A-H][0-9]*\) .*/\1/p' docs/rows.md)"
same 'the pages name tests that exist' '' "$(
	grep -oh '`tests/[^`]*`' docs/*.md README.md CONTRIBUTING.md | tr -d '`' | while IFS=: read -r file name; do
		[ -e "$file" ] || echo "$file does not exist"
		[ ! -e "$file" ] || [ -z "$name" ] || grep -qwF -- "$name" "$file" || echo "no $name in $file"
	done
)"

# What an embedder must provide: each function of the seam, but for assertions and what serves the sanitizer.
same 'docs/platform.md tells every function of the seam' '' "$(
	grep -oE '\bpf_[a-z_]+\(' src/platform/platform.h | tr -d '(' | sort -u |
		grep -vE '^pf_(assert|assert_at|assert_full|warn_on_once|tsan_.*|mutex_.*|rwsem_init|rwsem_destroy)$' |
		while read -r name; do grep -qw "$name" docs/platform.md || echo "$name"; done
)"

# The other way round: a test that names a row in the comment above it, in a row that is said to have none.
same 'no row is denied the test that it has' '' "$(
	for row in $(sed -n 's/^| \([A-H][0-9]*\) .*| not yet |$/\1/p' docs/rows.md); do
		grep -lE "^(# |/\*| \*) ([A-H][0-9]+, )*$row[.,]" -r tests --include=*.c --include=*.sh | sed "s/^/$row: /"
	done
)"

same 'every test is registered' '' "$(
	for f in tests/{unit,model,kernel,fault,race,fuzz}/*.c tests/cli/*.sh; do
		name=$(basename "$f")
		case $name in lib.sh | *_lib.sh | driver.c) continue ;; esac
		grep -qF "'${name%.*}'" "$(dirname "$f")/meson.build" || echo "$f"
	done
)"

# A function that its file never calls is a test that never runs.
same 'every test function is run' '' "$(
	for f in tests/{unit,model,kernel,fault,race}/*.c; do
		sed -n 's/^static void \([a-z0-9_]*\)(void \*\*[a-z_]*)$/\1/p' "$f" | while read -r name; do
			[ "$(grep -cw "$name" "$f")" -gt 1 ] || echo "$f: $name"
		done
	done
)"

same 'links between pages lead somewhere' '' "$(
	for page in README.md CONTRIBUTING.md docs/*.md; do
		grep -oE '\]\([^)#:]+' "$page" | cut -c3- | while read -r link; do
			[ -e "$(dirname "$page")/$link" ] || echo "$page: $link does not exist"
		done
	done
)"

same 'the README leads to every page' '' "$(
	for page in CONTRIBUTING.md docs/*.md; do grep -qF "($page)" README.md || echo "$page"; done
)"

# Block quotes of files: the line before the block is <!-- FILE -->.
same 'what the pages quote is what the files say' '' "$(
	for page in README.md CONTRIBUTING.md docs/*.md; do
		awk -v page="$page" '
		/^<!-- [a-z].*[^ ] -->$/ { file = $2; next }
		/^```/ && file && !inside { inside = 1; text = ""; next }
		/^```/ && inside {
			want = ""
			while ((getline line < file) > 0) want = want line "\n"
			if (text != want) print page ": the block is not what " file " says"
			inside = 0; file = ""
		}
		inside { text = text $0 "\n" }' "$page"
	done
)"

# Else they would be planted no more, and nobody would know that the tests find them.
same 'each planted fault fits the sources' '' "$(
	cat tests/planted/faults tests/planted/tree_faults | while IFS=$'\t' read -r name file change; do
		[[ $name == \#* || -z $file ]] && continue
		sed "$change" "$file" | cmp -s - "$file" && echo "$name: does not fit $file"
	done
)"

note "$(grep -hoE '\b(pf_assert|pf_assert_full|pf_warn_on_once|[a-z]+_assert_[a-z_]+)\(' -r src | wc -l) assertions in" \
	"$(cat src/**/*.[ch] | wc -l) lines of src"
