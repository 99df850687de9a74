"""A program on a leash: it ends when the process that started it ends, however that one ends.

Run as a script (by its path, without the project's environment) it drops root if told to, puts
itself on the leash and becomes the program:

    python -I -S config/leash.py PARENT_PID SIGNAL UID:GID|- PROGRAM [ARGUMENT...]

Linux only; elsewhere the leash is not there, and a `kill -9` of the parent leaves the program running.
The processes that such a program starts in turn (granian's workers, Celery's) watch for it themselves.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
PARENT_IS_GONE = 113
SUPERVISED = "MUSTER_SUPERVISED"  # set by `manage.py up` for everything it starts


def die_with_parent(parent_pid: int, with_signal: int = signal.SIGKILL) -> None:
    """Ask the kernel to send `with_signal` to this process when its parent ends.

    A change of user clears the request, so this comes after it. A parent that was dead before the
    request is answered never ends again, hence the look at who the parent is now.
    """
    if not sys.platform.startswith("linux"):
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != parent_pid:
        os._exit(PARENT_IS_GONE)


def leashed(
    command: Sequence[str], *, with_signal: int = signal.SIGKILL, owner: tuple[int, int] | None = None
) -> list[str]:
    """Return the command line that runs `command` on a leash held by this process, as `owner` (uid, gid).

    The kernel's "parent" is the thread that starts the program: start it from one that stays.
    """
    who = f"{owner[0]}:{owner[1]}" if owner else "-"
    script = str(Path(__file__).resolve())
    return [sys.executable, "-I", "-S", script, str(os.getpid()), str(int(with_signal)), who, *command]


def end_with_starter(starter_pid: int | None) -> None:
    """Under `manage.py up`, end this process within a second of the process that forked it.

    A thread looks, because the kernel's request would bind us to the thread that forked, and pools
    fork from threads that come and go. Elsewhere (under systemd, gunicorn) nothing happens.
    """
    if starter_pid is None or not os.environ.get(SUPERVISED):
        return

    def watch() -> None:
        while os.getppid() == starter_pid:
            time.sleep(0.5)
        os._exit(PARENT_IS_GONE)

    threading.Thread(target=watch, name="end-with-starter", daemon=True).start()


def become(parent_pid: int, with_signal: int, who: str, command: Sequence[str]) -> None:
    """Drop root, take the leash and become `command`; does not return."""
    if who != "-":
        uid, gid = (int(part) for part in who.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    die_with_parent(parent_pid, with_signal)
    os.execv(command[0], list(command))  # noqa: S606 (there is no shell, and none is wanted)


if __name__ == "__main__":
    become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
