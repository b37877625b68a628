#!/bin/sh
# SPDX-License-Identifier: MIT
# See to what a build needs: name the Debian packages that are missing and install them.
# usage: scripts/deps.sh build|check|bench|lint|clang|probes...
# 'probes' is for the trace points that tracers from outside find in the library: a build does without.
# Exit status 0 when nothing is missing any more, 1 when the user must act.
set -u

# Packages, each with the question whether it is there. Only commands and pkg-config are asked, so
# that what was installed by other means than dpkg counts too.
missing=

lacks() {
	case " $missing " in
	*" $1 "*) ;;
	*) missing="$missing${missing:+ }$1" ;;
	esac
}

need_command() { # PACKAGE COMMAND
	command -v "$2" >/dev/null 2>&1 || lacks "$1"
}

need_module() { # PACKAGE MODULE
	command -v pkg-config >/dev/null 2>&1 && pkg-config --exists "$2" || lacks "$1"
}

need_header() { # PACKAGE HEADER
	echo "#include <$2>" | "${CC:-gcc}" -E - >/dev/null 2>&1 || lacks "$1"
}

need_c() {
	if command -v "${CC:-gcc}" >/dev/null 2>&1; then
		echo '#include <stdlib.h>' | "${CC:-gcc}" -E - >/dev/null 2>&1 || lacks libc6-dev
	else
		lacks gcc
		lacks libc6-dev
	fi
}

look() { # PURPOSE...
	missing=
	for purpose; do
		case $purpose in
		build)
			need_c
			need_command meson meson
			need_command ninja-build ninja
			need_command pkg-config pkg-config
			need_module liburcu-dev liburcu-memb
			need_module libseccomp-dev libseccomp
			need_module libjansson-dev jansson
			;;
		check)
			need_module libcmocka-dev cmocka
			need_command binutils nm
			need_command strace strace
			;;
		bench)
			need_command g++ g++
			;;
		lint)
			need_command cppcheck cppcheck
			need_command clang-format clang-format
			;;
		clang)
			need_command clang clang
			# The run time of the sanitizers and of libFuzzer is a package of its own.
			[ -e "$(clang -print-resource-dir 2>/dev/null)/lib/linux/libclang_rt.fuzzer-$(uname -m).a" ] ||
				lacks libclang-rt-14-dev
			;;
		probes)
			need_header systemtap-sdt-dev sys/sdt.h
			;;
		*)
			echo "deps.sh: unknown purpose '$purpose'; known: build check bench lint clang probes" >&2
			exit 1
			;;
		esac
	done
}

# What installs as this user, or nothing.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		echo env
	elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
		echo sudo -n
	fi
}

apt_install() { # PACKAGE...
	root=$(as_root)
	[ -n "$root" ] || return 1
	set -- -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
	# The lists of a fresh machine may be absent or old: fetch them when the first try fails.
	$root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" </dev/null >&2 && return 0
	$root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 update </dev/null >&2
	$root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" </dev/null >&2
}

give_up() {
	prefix='sudo '
	[ "$(id -u)" -eq 0 ] && prefix=
	if command -v apt-get >/dev/null 2>&1; then
		echo "samara: cannot install them here. Type this, then try again:" >&2
		echo "    ${prefix}apt-get update && ${prefix}apt-get install -y $missing" >&2
	else
		echo "samara: no apt-get here. These are Debian's names; install your system's packages" >&2
		echo "for them, then try again:" >&2
		echo "    $missing" >&2
	fi
	exit 1
}

look "$@"
[ -z "$missing" ] && exit 0

echo "samara: missing packages: $missing" >&2
command -v apt-get >/dev/null 2>&1 || give_up
# shellcheck disable=SC2086 # a list of words
apt_install $missing || give_up
look "$@"
[ -z "$missing" ] || give_up
