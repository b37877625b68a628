#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A terminal and a shell's part in job control: starts a command as the foreground job, types Ctrl-Z when it has
printed "waiting", continues it, and types Ctrl-C. Prints what the shell sees of it; ends with 1 if that never comes."""
import os
import pty
import signal
import sys
import termios
import time


def state(pid, flags):
    for _ in range(100):
        got, status = os.waitpid(pid, flags | os.WNOHANG)
        if got:
            return status
        time.sleep(0.1)
    print("nothing happens")
    sys.stdout.flush()
    os.killpg(pid, signal.SIGKILL)
    os._exit(1)


def shell(argv):
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    mode = termios.tcgetattr(0)
    mode[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSANOW, mode)
    saved = os.dup(1)
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        for sig in (signal.SIGTTOU, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
            signal.signal(sig, signal.SIG_DFL)
        os.execvp(argv[0], argv)
    os.write(saved, b"started\n")
    if os.WIFSTOPPED(state(pid, os.WUNTRACED)):
        os.write(saved, b"stopped\n")
    time.sleep(0.3)
    os.tcsetpgrp(0, pid)
    os.killpg(pid, signal.SIGCONT)
    time.sleep(0.5)
    os.write(saved, b"continued\n")
    status = state(pid, 0)
    os.write(saved, b"ended by %d\n" % (os.WTERMSIG(status) if os.WIFSIGNALED(status) else -1))
    os._exit(0)


pid, master = pty.fork()
if not pid:
    shell(sys.argv[1:])
seen = b""
for word, key in ((b"waiting", b"\x1a"), (b"continued", b"\x03"), (b"ended by", b"")):
    while word not in seen:
        try:
            data = os.read(master, 4096)
        except OSError:
            data = b""
        if not data:
            break
        seen += data
    os.write(master, key)
for line in seen.replace(b"\r", b"").decode(errors="replace").split("\n"):
    if line.split(" ")[0] in ("stopped", "continued", "ended", "nothing"):
        print(line)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
