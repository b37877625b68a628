#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare two maps files: the kernel's and ours.

usage: same_maps.py KERNEL OURS [PID]

Equal means: the same ranges, permissions and offsets, once equal neighbours are merged on both sides
(which VMAs have been joined can hang on page faults, and strace shows none). The stack's start is left out: it
grows by faults. OURS may hold several processes, each below "# process PID"; PID is the one to compare. Prints how many VMAs there are and
how many are the same without merging; the exit status is 1 when the merged ones differ.
"""
import sys


def read(path, pid=None):
    vmas, here = [], True
    for line in open(path, errors='surrogateescape'):
        if line.startswith('# process '):
            here = line.split()[2] == pid
            continue
        if not here or '[vsyscall]' in line:
            continue
        span, perms, offset, dev, ino = line.split()[:5]
        start, end = (int(x, 16) for x in span.split('-'))
        name = line.rstrip('\n')[73:]
        if name == '[stack]':
            start = 0
        # Which file it is, is not compared: strace shows numbers of descriptors, and no inodes.
        file = ino != '0'
        vmas.append((start, end, perms, int(offset, 16), file, name if name.startswith('[v') else ''))
    return vmas


def merge(vmas):
    out = []
    for v in vmas:
        if out:
            start, end, perms, offset, file, name = out[-1]
            follows = end == v[0] and (perms, file, name) == (v[2], v[4], v[5])
            if follows and (not file or offset + end - start == v[3]):
                out[-1] = (start, v[1], perms, offset, file, name)
                continue
        out.append(v)
    return out


def shape(vmas):
    return [v[:5] for v in vmas]


def show(vma):
    return '%012x-%012x %s %08x %s' % (*vma[:4], 'file' if vma[4] else 'anonymous')


def main():
    kernel, ours = read(sys.argv[1]), read(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
    exact = len(set(shape(kernel)) & set(shape(ours)))
    print('%d VMAs in the kernel, %d here, %d exactly equal' % (len(kernel), len(ours), exact))
    a, b = shape(merge(kernel)), shape(merge(ours))
    for vma in sorted(set(a) ^ set(b))[:20]:
        print(('+ kernel ' if vma in a else '- ours   ') + show(vma))
    if not a or a != b:
        sys.exit(1)


main()
