#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the tree and the seam below it as one header and one C file.

usage: scripts/amalgamate.py [DIR]      (default: build/amalgamation)

Makes DIR/samara_maple_tree.h and DIR/samara_maple_tree.c. Who uses them compiles the C file with his own
and links liburcu-memb and pthreads:

    cc -O2 program.c samara_maple_tree.c -lurcu-memb -lpthread

Headers are put in where they are first included. Functions and variables that files share but the headers do
not show get a prefix, so that they meet nothing in the program around; functions of one file that have the name
of another file's get its name as prefix.
"""
import collections
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PUBLIC = ["include/samara/platform.h", "include/samara/maple_tree.h"]
PREFIX = "samara_internal_"
NAME = "samara_maple_tree"


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def sources():
    found = ["src/platform/hosted.c"]
    found += ["src/tree/" + name for name in re.findall(r"'([a-z_]+\.c)'", read("src/tree/meson.build"))]
    return found


def functions(text, static):
    """Names of the functions that the text defines in the first column."""
    head = re.compile(r"^(static )?[a-z_][\w \*]*?\b(\w+)\([^;{]*?\)\n\{", re.M)
    return {m[2] for m in head.finditer(text) if bool(m[1]) == static}


def tags(text):
    return set(re.findall(r"^(?:struct|enum) (\w+) \{", text, re.M))


class Writer:
    def __init__(self, hidden):
        self.seen = set(PUBLIC)
        # What other libraries declare is not hidden.
        self.around = ["#pragma GCC visibility push(default)", "#pragma GCC visibility pop"] if hidden else []

    def file(self, path):
        """The text of a file with its includes put in."""
        out = []
        for line in read(path).splitlines():
            m = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
            if not m:
                out.append(line)
                continue
            kind, target = m.groups()
            if kind == "<" and not target.startswith("samara/"):
                out += self.around[:1] + [line] + self.around[1:]
                continue
            inner = "include/" + target if target.startswith("samara/") else "src/" + target
            guarded = re.search(r"^#ifndef \w+_H$", read(inner), re.M)
            if guarded and inner in self.seen:
                continue
            self.seen.add(inner)
            out += ["", "/* ---- %s */" % inner, ""]
            out += self.file(inner).splitlines()
            out += ["", "/* ---- %s goes on */" % path, ""]
        return "\n".join(out)


def banner(what):
    licence = "\n".join((" * " + line).rstrip() for line in read("LICENSE").splitlines())
    return ("/* SPDX-License-Identifier: MIT */\n/*\n * %s\n *\n * Made by scripts/amalgamate.py of Samara: "
            "change the files that it is made of.\n *\n%s\n */\n" % (what, licence))


def header():
    writer = Writer(hidden=False)
    parts = [banner("The maple tree: ranges of unsigned long, read under RCU. Implementation: %s.c" % NAME),
             "#ifndef SAMARA_MAPLE_TREE_ONE_H", "#define SAMARA_MAPLE_TREE_ONE_H", ""]
    for path in PUBLIC:
        parts += ["/* ---- %s */" % path, "", writer.file(path), ""]
    parts += ["#endif", ""]
    return "\n".join(parts)


def implementation():
    files = sources()
    public = "".join(read(path) for path in PUBLIC)
    shared, owners = set(), collections.defaultdict(set)
    for path in files:
        text = read(path)
        shared |= {name for name in functions(text, False) if not re.search(r"\b%s\(" % name, public)}
        shared |= set(re.findall(r"^__thread [\w \*]+?(\w+);", text, re.M))
        for name in functions(text, True) | tags(text):
            owners[name].add(path)
    twice = {name for name, paths in owners.items() if len(paths) > 1}

    writer = Writer(hidden=True)
    parts = [banner("The maple tree and the platform seam below it, in one file. Header: %s.h" % NAME),
             "#ifndef _GNU_SOURCE", "#define _GNU_SOURCE", "#endif",
             '#include "%s.h"' % NAME, "",
             "#pragma GCC visibility push(hidden)", "",
             "/* Of the inline functions in what were headers, not all have a caller here. */",
             "#if defined(__clang__)", '#pragma clang diagnostic ignored "-Wunused-function"', "#endif", ""]
    parts += ["#define %s %s%s" % (name, PREFIX, name) for name in sorted(shared)]
    for path in files:
        clash = sorted(name for name in twice if path in owners[name])
        stem = os.path.basename(path)[:-2]
        parts += ["", "/* ---- %s */" % path, ""]
        parts += ["#define %s %s_%s" % (name, stem, name) for name in clash]
        parts.append(writer.file(path))
        parts += ["#undef %s" % name for name in clash]
    parts += ["", "#pragma GCC visibility pop", ""]
    return "\n".join(parts)


def main():
    if len(sys.argv) > 2 or (len(sys.argv) == 2 and sys.argv[1].startswith("-")):
        sys.exit(__doc__)
    out = sys.argv[1] if len(sys.argv) == 2 else os.path.join(TOP, "build", "amalgamation")
    os.makedirs(out, exist_ok=True)
    for suffix, text in ((".h", header()), (".c", implementation())):
        path = os.path.join(out, NAME + suffix)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        print("%s, %d lines" % (path, text.count("\n")))


main()
