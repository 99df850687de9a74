"""The hold of a worker on a run: a claim number, a lease that is renewed, and progress that is shown.

Law: who works on a run holds its newest claim and a lease that has not ended; every write names the claim and looks
at the count. A worker that was asleep beyond its lease stops at its next block: its own clock tells it before any
question to the database.
"""

import os
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from exports.models import Run

# With each renewal the progress is stored too.
RENEWED_EVERY_SECONDS = 1
RATE_OVER_SECONDS = 10

log = structlog.get_logger(__name__)


class ClaimLost(Exception):
    """Another worker has the run now, or may have it: stop, and change nothing."""


class GivenBack(ClaimLost):
    """This process is about to end: another worker goes on with the run."""


class CancelAsked(Exception):
    """A person asked to cancel the run, and no file is visible yet.

    `left` names the `.part` files that could not be removed; None: nobody has tried.
    """

    left: list[str] | None = None


@dataclass
class Progress:
    """Counters of the work under way; written by the worker, read by the lease's thread."""

    rows_expected: int | None = None
    rows_written: int = 0
    bytes_plain: int = 0
    bytes_packed: int = 0
    bytes_sent: int = 0
    _samples: deque[tuple[float, int, int]] = field(default_factory=deque)

    def rates(self) -> tuple[float, float]:
        """Return rows and bytes per second over the last ten seconds."""
        now, rows, moved = time.monotonic(), self.rows_written, self.bytes_plain + self.bytes_sent
        self._samples.append((now, rows, moved))
        while now - self._samples[0][0] > RATE_OVER_SECONDS:
            self._samples.popleft()
        began, rows_then, moved_then = self._samples[0]
        seconds = now - began
        return ((rows - rows_then) / seconds, (moved - moved_then) / seconds) if seconds else (0.0, 0.0)

    def columns(self) -> dict[str, int | float | None]:
        rows_per_second, bytes_per_second = self.rates()
        return {
            "rows_expected": self.rows_expected,
            "rows_written": self.rows_written,
            "bytes_plain": self.bytes_plain,
            "bytes_packed": self.bytes_packed,
            "bytes_sent": self.bytes_sent,
            "rows_per_second": rows_per_second,
            "bytes_per_second": bytes_per_second,
        }


_is_ending = threading.Event()


def give_back_all() -> None:
    """Let every run of this process stop at its next block, and take no other. There is no way back."""
    _is_ending.set()


def lease_seconds() -> float:
    """Return how long a claim holds without being renewed."""
    return float(settings.EXPORT_LEASE_SECONDS)


def is_free() -> Q:
    """Return the filter for runs that no living worker holds."""
    return Q(lease_ends_at=None) | Q(lease_ends_at__lt=Now())


def take(run_id: int, may_be_taken: Q, **changes: Any) -> "Lease | None":
    """Claim a run in one statement; None where it may not be taken or somebody else was quicker."""
    if _is_ending.is_set():
        return None
    began = time.monotonic()
    taken = (
        Run.all_advertisers.filter(may_be_taken & is_free(), pk=run_id)
        .order_by()
        .update(
            claim=F("claim") + 1,
            lease_ends_at=Now() + timedelta(seconds=lease_seconds()),
            worker=worker_name(),
            started_at=Coalesce("started_at", Now()),
            **changes,
        )
    )
    if not taken:
        return None
    run = Run.all_advertisers.get(pk=run_id)
    # Between the two statements a claim could be lost to another only after a whole lease.
    return Lease(run, began)


def worker_name() -> str:
    """Return who works: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Lease:
    """A claim on one run, renewed by a thread of its own while the block lasts."""

    def __init__(self, run: Run, began: float) -> None:
        self.run_id, self.claim = run.pk, run.claim
        self.progress = Progress(run.rows_expected, run.rows_written, run.bytes_plain, run.bytes_packed)
        self._ends = began + lease_seconds()
        self._is_lost = False
        self._is_cancel_asked = run.cancel_asked_at is not None
        self._may_cancel = run.visible_at is None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease of run {run.pk}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Go on only with a living claim and no wish to cancel; asks nobody, so it may stand before every block."""
        if self._is_lost or time.monotonic() >= self._ends:
            raise ClaimLost
        if _is_ending.is_set():
            raise GivenBack
        if self._is_cancel_asked and self._may_cancel:
            raise CancelAsked

    def write(self, **changes: Any) -> None:
        """Change the run under this claim; raises `ClaimLost` where it is no longer ours."""
        if not self.rows().update(**changes):
            self._is_lost = True
            raise ClaimLost

    def give_back(self) -> None:
        """Let another worker take the run at once; after the block, when nothing renews the lease any more."""
        self.rows().update(lease_ends_at=None)

    def rows(self) -> Any:
        """Return the run as a query that finds it under this claim alone."""
        return Run.all_advertisers.filter(pk=self.run_id, claim=self.claim, state__in=Run.OPEN).order_by()

    def make_visible(self) -> None:
        """Take note that the receiver sees a file from here on: the run can no longer be cancelled.

        Claim, lease and the wish to cancel are read once more, in one statement with the note.
        """
        self.check()
        if not self._may_cancel:
            return self.write(lease_ends_at=self._new_end())
        changes = {"visible_at": Now(), "lease_ends_at": self._new_end()}
        if not self.rows().filter(lease_ends_at__gt=Now(), cancel_asked_at=None).update(**changes):
            if self.rows().exclude(cancel_asked_at=None).exists():
                raise CancelAsked
            raise ClaimLost
        self._may_cancel = False
        return None

    def _keep(self) -> None:
        try:
            while not self._stop.wait(RENEWED_EVERY_SECONDS):
                self._renew()
        finally:
            connection.close()

    def _renew(self) -> None:
        began = time.monotonic()
        try:
            if not self._store(lease_ends_at=self._new_end()):
                self._is_lost = True
                return
            asked = self.rows().values_list("cancel_asked_at", flat=True).first()
        except DatabaseError:
            # The lease runs on; if the database stays away it ends by itself.
            log.warning("A lease could not be renewed", run=self.run_id)
            connection.close()
            return
        self._ends = began + lease_seconds()
        self._is_cancel_asked = asked is not None

    def _store(self, **changes: Any) -> int:
        return int(self.rows().update(progress_at=Now(), **self.progress.columns(), **changes))

    def _new_end(self) -> Any:
        return Now() + timedelta(seconds=lease_seconds())
