#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run a program under strace and save what the kernel showed of each process.

usage: capture.py FOLDER HOLD STRACE-OPTIONS... -- PROGRAM ARGS...

Makes in FOLDER: trace; N.initial for the N-th exec of the trace (from 0), the map right after it; PID.final for
each process, its map when it called exit_group; initials and finals, which list them in order. The exit status is 1 when
one is missing.

strace itself holds processes up, HOLD microseconds long, so that their maps can be read: at the end of exec, at the
beginning of exit_group, and the first process at its first brk, which the loader calls before anything else
(strace is not yet there at the end of the first exec). The programs are not changed by it.
"""
import os
import re
import subprocess
import sys
import time

BRK, EXIT_GROUP = '12', '231'


class Capture:
    def __init__(self, folder):
        self.folder, self.execs, self.pids, self.finals, self.missing = folder, 0, [], [], []
        self.seen = 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def save(self, pid, name):
        try:
            with open('/proc/%s/maps' % pid) as maps, open(self.path(name), 'w') as out:
                text = maps.read()
                out.write(text)
            return bool(text)
        except OSError:
            return False

    def system_call(self, pid):
        try:
            with open('/proc/%s/syscall' % pid) as f:
                return f.read().split()[0]
        except (OSError, IndexError):
            return None

    def first(self, pid):
        """Its exec is over when it is first heard of."""
        if self.system_call(pid) != BRK:
            return False
        self.execs = 1
        if not self.save(pid, '0.initial'):
            self.missing.append('0.initial')
        return True

    def new_lines(self):
        try:
            with open(self.path('trace'), errors='surrogateescape') as f:
                f.seek(self.seen)
                text = f.read()
        except OSError:
            return []
        whole = text.rfind('\n') + 1
        self.seen += len(text[:whole].encode(errors='surrogateescape'))
        return text[:whole].splitlines()

    def line(self, line):
        pid = line.split()[0]
        if pid not in self.pids:
            self.pids.append(pid)
        # execve alone is delayed at its end.
        if re.search(r'execve.*= 0 \(DELAYED\)', line):
            if not self.save(pid, '%d.initial' % self.execs):
                self.missing.append('%d.initial' % self.execs)
            self.execs += 1

    def step(self):
        for line in self.new_lines():
            self.line(line)
        if self.pids and not self.execs:
            self.first(self.pids[0])
        for pid in self.pids:
            if pid not in self.finals and self.system_call(pid) == EXIT_GROUP and self.save(pid, pid + '.final'):
                self.finals.append(pid)

    def run(self, hold, options, program):
        strace = ['strace', '-o', self.path('trace'), *options,
                  '-e', 'inject=execve:delay_exit=%s' % hold,
                  '-e', 'inject=brk:delay_enter=%s:when=1' % hold,
                  '-e', 'inject=exit_group:delay_enter=%s:when=1' % hold, *program]
        with subprocess.Popen(strace, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=open(self.path('stderr'), 'w')) as process:
            while process.poll() is None:
                self.step()
                time.sleep(0.002)
        ended = set(re.findall(r'^(\d+).* exit_group\(', open(self.path('trace'), errors='replace').read(), re.M))
        self.missing += [pid + '.final' for pid in ended - set(self.finals)]
        with open(self.path('initials'), 'w') as f:
            f.writelines('%d.initial\n' % i for i in range(self.execs))
        with open(self.path('finals'), 'w') as f:
            f.writelines('%s\n' % pid for pid in self.finals)
        if self.missing or not self.execs or not self.finals:
            print('not captured:', *self.missing)
            return 1
        return 0


def main():
    split = sys.argv.index('--')
    os.makedirs(sys.argv[1], exist_ok=True)
    for name in os.listdir(sys.argv[1]):
        os.unlink(os.path.join(sys.argv[1], name))
    sys.exit(Capture(sys.argv[1]).run(sys.argv[2], sys.argv[3:split], sys.argv[split + 1:]))


main()
