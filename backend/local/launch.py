"""Becomes a supervised child: drops privileges, asks to die with its parent, then executes it.

Run as a script by `processes.spawn` with `-I -S`, so it costs 10 ms and imports nothing of the
project. It stands between fork and exec because `preexec_fn` is unsafe beside threads, and because
the kernel forgets the parent-death signal when the user changes: the order below is the only one
that works.

Arguments: parent pid, death signal, uid and gid (-1: keep), then the command.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process by the command in `arguments[4:]`."""
    parent, signal_number, uid, gid = (int(word) for word in arguments[:4])
    command = arguments[4:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:
        # The parent died before the request above: no signal will ever come.
        sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"cannot run {command[0]}: {error}", file=sys.stderr, flush=True)
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
