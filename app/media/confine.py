"""Limits itself, then becomes another program. Run as a script: `confine.py CPU MEMORY FILE PARENT PROGRAM ARGS...`.

It imports nothing of ours and little of Python's, because it starts before every measuring and converting.
CPU in seconds, MEMORY (address space) and FILE (one written file) in bytes, PARENT a process id.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h


def limit(kind: int, amount: int) -> None:
    try:
        resource.setrlimit(kind, (amount, amount))
    except (OSError, ValueError):
        return  # a lower hard limit is already there


def without_network() -> bool:
    """Leave the network, where the kernel lets us: as root at once, else inside a user namespace."""
    libc = ctypes.CDLL(None)
    return any(libc.unshare(flags) == 0 for flags in (CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNET))


def die_with_parent(parent: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    cpu, memory, file, parent = map(int, sys.argv[1:5])
    if sys.platform == "linux":
        without_network()
        die_with_parent(parent)
    limit(resource.RLIMIT_CPU, cpu)
    limit(resource.RLIMIT_FSIZE, file)
    limit(resource.RLIMIT_NOFILE, 64)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_AS, memory)
    try:
        os.execv(sys.argv[5], sys.argv[5:])  # noqa: S606 - the program is named by app/media/child.py
    except OSError:
        sys.exit(127)  # what shells answer for a command that cannot be run


main()
