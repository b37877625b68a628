#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Count what the tests printed.

usage: tally.py LABEL=BUILD_DIR...

Reads BUILD_DIR/meson-logs/testlog.json, which `meson test` leaves behind, and the TAP lines in it.
A program that prints none counts as one test by its exit status (77: skipped). A test that was
planned and gave no result has failed; a program that ended badly without naming a failed test has
one failure of its own. Lines that begin with "# note: " are repeated. The last line is the sum;
exit status 1 when anything failed or nothing passed.
"""
import json
import os
import re
import sys

RESULT = re.compile(r"^(not ok|ok)\b(?:\s+(\d+))?\s*(?:- )?(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)\s*(?:# SKIP\s*(.*))?$")


class Program:
    """The results of one test program."""

    def __init__(self, label, entry):
        self.suite, _, self.name = entry["name"].split(" / ")[-1].rpartition("/")
        self.label = label
        self.passed, self.failed, self.skipped, self.notes = [], [], [], []
        self.output = (entry.get("stdout") or "") + (entry.get("stderr") or "")
        self.planned = 0
        self.read_tap()
        self.judge(entry.get("result"), entry.get("returncode"), entry.get("duration") or 0)

    def read_tap(self):
        said = ""
        for line in self.output.splitlines():
            plan = PLAN.match(line)
            result = RESULT.match(line)
            if plan:
                self.planned += int(plan.group(1))
                if plan.group(2):
                    self.skipped.append((self.name, plan.group(2)))
            elif result:
                self.one_result(result, said)
                said = ""
            elif line.startswith("# note: "):
                self.notes.append(line[8:])
            elif line.strip() and not line.startswith("#"):
                said = line.strip()

    def one_result(self, result, said):
        name, _, directive = result.group(3).partition("# ")
        words = directive.split(None, 1)
        if words and words[0].upper() == "SKIP":
            # cmocka writes "# SKIP name" and has no word for the reason, so the test prints it before.
            rest = words[1] if len(words) > 1 else ""
            if name.strip():
                self.skipped.append((name.strip(), rest or said or "no reason given"))
            else:
                self.skipped.append((rest, said or "no reason given"))
        elif result.group(1) == "ok":
            self.passed.append(result.group(3).strip())
        else:
            self.failed.append(result.group(3).strip())

    def judge(self, verdict, status, seconds):
        seen = len(self.passed) + len(self.failed) + len(self.skipped)
        if self.planned == 0 and seen == 0:
            if verdict == "OK":
                self.passed.append(self.name)
            elif verdict == "SKIP" or status == 77:
                self.skipped.append((self.name, (self.output.strip().splitlines() or ["no reason given"])[-1]))
            else:
                self.failed.append("%s (%s, exit status %s)" % (self.name, verdict, status))
            return
        for _ in range(self.planned - seen):
            self.failed.append("a test that gave no result (%s after %.0f s)" % (verdict, seconds))
        if verdict not in ("OK", "SKIP") and not self.failed:
            self.failed.append("the program ended badly after its tests (%s, exit status %s)" % (verdict, status))


def read(label, build):
    """The programs in the log, and what check.sh expected there and is not. Tests are named KIND/NAME."""
    logs = os.path.join(build, "meson-logs")
    with open(os.path.join(logs, "testlog.json"), encoding="utf-8", errors="replace") as log:
        programs = [Program(label, json.loads(line)) for line in log if line.strip()]
    expected = os.path.join(logs, "expected.txt")
    if not os.path.exists(expected):
        return programs, []
    with open(expected, encoding="utf-8") as names:
        missing = {name.strip().split(" / ")[-1] for name in names if "/" in name}
    missing -= {"%s/%s" % (p.suite, p.name) for p in programs}
    return programs, ["%s %s: did not run" % (label, name) for name in sorted(missing)]


def table(programs):
    rows = {}
    for program in programs:
        row = rows.setdefault((program.label, program.suite), [0, 0, 0, 0])
        for i, n in enumerate((1, len(program.passed), len(program.failed), len(program.skipped))):
            row[i] += n
    print("%-12s %-8s %9s %9s %9s %9s" % ("build", "kind", "programs", "passed", "failed", "skipped"))
    for (label, suite), row in rows.items():
        print("%-12s %-8s %9d %9d %9d %9d" % (label, suite, *row))


def main():
    if len(sys.argv) < 2 or any("=" not in arg for arg in sys.argv[1:]):
        sys.exit("usage: tally.py LABEL=BUILD_DIR...")
    programs, lost = [], []
    for arg in sys.argv[1:]:
        label, build = arg.split("=", 1)
        try:
            ran, missing = read(label, build)
            programs += ran
            lost += missing
        except OSError as error:
            lost.append("%s: no test results: %s" % (label, error))

    for program in programs:
        where = "%s %s/%s" % (program.label, program.suite, program.name)
        if program.failed:
            print("\n---- %s ----\n%s" % (where, program.output.rstrip()[-6000:]))
        for name in program.failed:
            print("FAILED   %s: %s" % (where, name))
    for text in lost:
        print("FAILED   " + text)
    for program in programs:
        where = "%s %s/%s" % (program.label, program.suite, program.name)
        for name, reason in program.skipped:
            print("SKIPPED  %s: %s: %s" % (where, name, reason))
        for note in program.notes:
            print("note     %s: %s" % (where, note))
    print()
    table(programs)

    passed = sum(len(p.passed) for p in programs)
    failed = sum(len(p.failed) for p in programs) + len(lost)
    skipped = sum(len(p.skipped) for p in programs)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
