# SPDX-License-Identifier: MIT
# A thin front for Meson. `make help` says what there is.

B      = build
PREFIX = /usr/local
# What `make install DESTDIR=...` puts before PREFIX.
DESTDIR =
# Seconds that `make fuzz` gives to each target.
FUZZ_SECONDS = 60

.PHONY: build demo check coverage bench asan tsan fuzz lint amalgamation install clean help
.DEFAULT_GOAL = build

help:
	@echo 'make           build the library and the command into $(B)/release'
	@echo 'make demo      mirror two real programs, checked against the kernel after every call'
	@echo 'make check     all tests; the last line is the count'
	@echo 'make coverage  lines and branches of src/vma and src/mm that the tests run'
	@echo 'make bench     benchmarks'
	@echo 'make asan      tests with AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make tsan      tests with ThreadSanitizer'
	@echo 'make fuzz      libFuzzer (clang), FUZZ_SECONDS=$(FUZZ_SECONDS) for each target'
	@echo 'make lint      cppcheck and the rules of the house'
	@echo 'make amalgamation  the tree alone: one header and one C file in $(B)/amalgamation'
	@echo 'make install   DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)'
	@echo 'make clean     remove $(B)'

build:
	@scripts/deps.sh build
	@scripts/setup.sh $(B)/release
	@ninja -C $(B)/release

demo: build
	@scripts/demo.sh $(B)/release

check:
	@scripts/deps.sh build check
	@scripts/check.sh $(B)/debug $(B)/release:cli

coverage:
	@scripts/deps.sh build check
	@scripts/coverage.sh $(B)/coverage

bench:
	@scripts/deps.sh build bench
	@scripts/setup.sh $(B)/bench
	@ninja -C $(B)/bench
	@for b in tree vma life mmu; do ln -sf bench/bench_$$b $(B)/bench/$$b; done
	@meson test -C $(B)/bench --benchmark --verbose

asan tsan:
	@scripts/deps.sh build check
	@scripts/check.sh $(B)/$@

fuzz:
	@scripts/deps.sh build clang
	@scripts/fuzz.sh $(B)/fuzz $(FUZZ_SECONDS)

lint:
	@scripts/deps.sh build lint
	@scripts/lint.sh $(B)/debug

amalgamation:
	@scripts/amalgamate.py $(B)/amalgamation

install: build
	@meson configure $(B)/release -Dprefix=$(PREFIX)
	@DESTDIR=$(DESTDIR) meson install -C $(B)/release
	@test -n "$(DESTDIR)" || test "$$(id -u)" -ne 0 || PATH="$$PATH:/usr/sbin:/sbin" ldconfig

clean:
	rm -rf $(B)
