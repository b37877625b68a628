#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lines and branches that the tests have run, from what a --coverage build left behind.

usage: scripts/coverage.py BUILD FOLDER...    FOLDER as src/vma; more than one is one table

gcov is asked for each object of the library in BUILD. What the same line gives in several objects (an inline
function) is added up. Assertions are compiled out of the build, so they have no branches; what pf_warn_on_once()
guards, a broken invariant, is left out by looking for the statement. Prints a table by file, then the lines
and the branches that nothing ran. Exit status 1 when lines are below 95 % or branches below 90 %.
"""
import collections
import json
import os
import re
import subprocess
import sys

LEAST_LINES, LEAST_BRANCHES = 95.0, 90.0


def fail(text):
    print("coverage.py: " + text, file=sys.stderr)
    sys.exit(2)


def objects(build):
    """The .gcda files of the library itself."""
    for folder, _, names in os.walk(build):
        if os.path.basename(folder).startswith("libsamara"):
            for name in names:
                if name.endswith(".gcda"):
                    yield os.path.join(folder, name)


def gcov(build, gcda):
    out = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities",
                          os.path.relpath(gcda, build)], cwd=build, capture_output=True, text=True)
    if out.returncode:
        fail("gcov of %s failed: %s" % (gcda, out.stderr.strip()))
    for line in out.stdout.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def warnings(path):
    """Numbers of the lines that belong to a pf_warn_on_once() statement."""
    found, inside, depth = set(), False, 0
    with open(path) as source:
        for number, line in enumerate(source, 1):
            at = line.find("pf_warn_on_once(")
            if at >= 0 and not inside:
                inside, depth = True, 0
                line = line[at:]
            if inside:
                found.add(number)
                depth += line.count("(") - line.count(")")
                inside = depth > 0
    return found


def collect(build, root, folders):
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    branches = collections.defaultdict(lambda: collections.defaultdict(list))
    gcdas = list(objects(build))
    if not gcdas:
        fail("no .gcda file under %s: was it built with --coverage, and did a test run?" % build)
    for gcda in gcdas:
        for report in gcov(build, gcda):
            for entry in report["files"]:
                path = os.path.relpath(os.path.join(build, entry["file"]), root)
                if not path.startswith(tuple(f.rstrip("/") + "/" for f in folders)):
                    continue
                for line in entry["lines"]:
                    number = line["line_number"]
                    lines[path][number] += line["count"]
                    counts = [b["count"] for b in line["branches"] if not b["throw"]]
                    have = branches[path][number]
                    if len(have) == len(counts):
                        branches[path][number] = [a + b for a, b in zip(have, counts)]
                    elif len(counts) > len(have):
                        branches[path][number] = counts
    for path in branches:
        for number in warnings(os.path.join(root, path)):
            branches[path].pop(number, None)
    return lines, branches


def percent(part, whole):
    return 100.0 * part / whole if whole else 100.0


def spans(numbers):
    """1,2,3,7 as 1-3, 7."""
    out, numbers = [], sorted(numbers)
    for n in numbers:
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ", ".join("%d" % a if a == b else "%d-%d" % (a, b) for a, b in out)


def main():
    if len(sys.argv) < 3:
        fail("usage: coverage.py BUILD FOLDER...")
    build, folders, root = os.path.abspath(sys.argv[1]), sys.argv[2:], os.getcwd()
    lines, branches = collect(build, root, folders)
    total = collections.Counter()
    print("%-28s %7s %8s %9s %8s" % ("file", "lines", "run", "branches", "taken"))
    for path in sorted(lines):
        ran = sum(1 for c in lines[path].values() if c)
        all_b = [c for counts in branches[path].values() for c in counts]
        taken = sum(1 for c in all_b if c)
        total.update(lines=len(lines[path]), ran=ran, branches=len(all_b), taken=taken)
        print("%-28s %7d %7.1f%% %9d %7.1f%%" % (path, len(lines[path]), percent(ran, len(lines[path])),
                                                len(all_b), percent(taken, len(all_b))))
    line_rate, branch_rate = percent(total["ran"], total["lines"]), percent(total["taken"], total["branches"])
    print("%-28s %7d %7.1f%% %9d %7.1f%%" % ("all", total["lines"], line_rate, total["branches"], branch_rate))
    print("\nlines that nothing ran")
    for path in sorted(lines):
        missed = [n for n, c in lines[path].items() if not c]
        if missed:
            print("%s: %s" % (path, spans(missed)))
    print("\nlines with a branch that was never taken")
    for path in sorted(branches):
        missed = [n for n, counts in branches[path].items() if any(counts) and not all(counts)]
        if missed:
            print("%s: %s" % (path, spans(missed)))
    ok = line_rate >= LEAST_LINES and branch_rate >= LEAST_BRANCHES
    print("\n%.1f %% of lines (at least %.0f), %.1f %% of branches (at least %.0f): %s" %
          (line_rate, LEAST_LINES, branch_rate, LEAST_BRANCHES, "met" if ok else "NOT MET"))
    sys.exit(0 if ok else 1)


main()
