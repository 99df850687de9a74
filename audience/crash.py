"""The points at which a test may kill the process, to show that the work ends without a person's help.

`CRASH_AT=sweep.before_commit` in the environment kills the process with SIGKILL when it gets there. Production
settings refuse to start with the variable set.
"""

import os
import signal
from typing import Literal, get_args

CrashPoint = Literal[
    "spool.written",
    "spool.synced",
    "batch.before_commit",
    "batch.after_commit",
    "replay.after_commit",
    "count.merged",
    "profile.merged",
    "sweep.before_commit",
    "sweep.after_commit",
    "rule.chunk",
    "export.claimed",
    "export.copying",
    "export.written",
    "export.part",
    "export.uploaded",
    "export.renamed",
    "export.manifest",
    "export.sentinel",
    "export.waiting",
    "export.confirmed",
    "retention.dropped",
]
CRASH_POINTS: tuple[CrashPoint, ...] = get_args(CrashPoint)
_CRASH_AT = os.environ.get("CRASH_AT", "")

if _CRASH_AT and _CRASH_AT not in CRASH_POINTS:
    raise RuntimeError(f"CRASH_AT={_CRASH_AT} is no crash point. There are: {', '.join(CRASH_POINTS)}.")


def crash_point(name: CrashPoint) -> None:
    """Die here if the environment asks for it."""
    if name == _CRASH_AT:
        os.kill(os.getpid(), signal.SIGKILL)
