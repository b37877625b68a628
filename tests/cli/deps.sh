#!/bin/bash
# SPDX-License-Identifier: MIT
# scripts/deps.sh on a machine that lacks what a build needs: a PATH with little in it, and an
# apt-get, sudo and id of our own.
. "$SAMARA_SRC/tests/cli/lib.sh"
cd "$SAMARA_SRC" || exit 1

bin=$TMP/bin
log=$TMP/log
real=$(command -v pkg-config)

fresh_machine() { # USER_ID
	rm -rf "$bin"
	mkdir "$bin"
	: >"$log"
	for name in sh env gcc uname nm cat; do
		ln -s "$(command -v "$name")" "$bin/$name"
	done
	printf '#!/bin/sh\necho %s\n' "$1" >"$bin/id"
	chmod +x "$bin/id"
}

# What fake programs do is written down in $log.
fake() { # NAME BODY
	printf '#!/bin/sh\necho "%s $*" >>%s\n%s\n' "$1" "$log" "$2" >"$bin/$1"
	chmod +x "$bin/$1"
}

installing="for p; do case \$p in
meson | strace) echo >$bin/\$p; /bin/chmod +x $bin/\$p ;;
ninja-build) echo >$bin/ninja; /bin/chmod +x $bin/ninja ;;
pkg-config) /bin/ln -sf $real $bin/pkg-config ;;
esac; done"

said() { # TEXT: on standard error of the last run
	case $err in *"$1"*) return 0 ;; esac
	return 1
}

fresh_machine 0
fake apt-get "$installing"
run env PATH="$bin" scripts/deps.sh build
check 'as root it succeeds' test "$status" -eq 0
check 'as root it names what is missing' said 'missing packages: meson ninja-build pkg-config'
check 'as root it installs them, and asks nothing' \
	grep -qE '^apt-get .*install -y --no-install-recommends meson ninja-build pkg-config' "$log"
run env PATH="$bin" scripts/deps.sh build
check 'the second time it is silent' test "$status:$out$err" = 0:

fresh_machine 0
fake apt-get "[ -e $TMP/updated ] || case \"\$*\" in *update*) echo >$TMP/updated ;; *) exit 100 ;; esac
$installing"
run env PATH="$bin" scripts/deps.sh build
check 'without package lists it fetches them and tries again' test "$status" -eq 0

fresh_machine 1000
fake apt-get "$installing"
fake sudo 'shift; [ "$1" = true ] || exec "$@"'
run env PATH="$bin:/nowhere" scripts/deps.sh build
check 'as a user with sudo it succeeds' test "$status" -eq 0
check 'as a user it installs through sudo -n' grep -q '^sudo -n env DEBIAN_FRONTEND=noninteractive apt-get' "$log"

fresh_machine 1000
fake apt-get "$installing"
fake sudo 'exit 1'
run env PATH="$bin" scripts/deps.sh build
check 'as a user who may not, exit status 1' test "$status" -eq 1
check 'as a user who may not, it prints what to type' \
	said '    sudo apt-get update && sudo apt-get install -y meson ninja-build pkg-config'
check 'as a user who may not, nothing was installed' test ! -e "$bin/meson"

fresh_machine 0
fake apt-get 'exit 100'
run env PATH="$bin" scripts/deps.sh build
check 'when apt-get fails, exit status 1' test "$status" -eq 1
check 'when apt-get fails, it prints what to type' said '    apt-get update && apt-get install -y meson'

fresh_machine 0
run env PATH="$bin" scripts/deps.sh build
check 'without apt-get, exit status 1' test "$status" -eq 1
check 'without apt-get, it prints the names' said '    meson ninja-build pkg-config liburcu-dev'
