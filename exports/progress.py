"""How far a run is: the same numbers for the admin's page, the API and the command line."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from exports.lease import lease_seconds
from exports.models import Run
from exports.reasons import WAITS_SECONDS

# A rate over less than this says nothing about the time left.
NOT_KNOWN_FOR = timedelta(seconds=3)
MOST_TRIES = len(WAITS_SECONDS) + 1


@dataclass(frozen=True)
class Shown:
    """What people see of a run; `seconds_left` None: not known yet, or nothing is under way."""

    state: str
    label: str
    sentence: str
    is_open: bool
    is_stalled: bool
    rows_written: int
    rows_expected: int | None
    bytes_packed: int
    bytes_sent: int
    rows_per_second: float
    bytes_per_second: float
    share: float | None
    seconds_left: int | None
    tries: int
    most_tries: int
    next_try_at: datetime | None
    can_be_cancelled: bool


def progress_of(run: Run) -> Shown:
    """Return what is shown of a run as its row stands."""
    done, total, _ = _under_way(run)
    return Shown(
        state=run.state,
        label=run.get_state_display(),
        sentence=run.error,
        is_open=run.is_open,
        is_stalled=_is_stalled(run),
        rows_written=run.rows_written,
        rows_expected=run.rows_expected,
        bytes_packed=run.bytes_packed,
        bytes_sent=run.bytes_sent,
        rows_per_second=round(run.rows_per_second, 1) if run.is_open else 0.0,
        bytes_per_second=round(run.bytes_per_second, 1) if run.is_open else 0.0,
        share=min(1.0, done / total) if total else None,
        seconds_left=seconds_left(run, timezone.now()),
        tries=run.tries,
        most_tries=MOST_TRIES,
        next_try_at=run.next_try_at,
        can_be_cancelled=run.is_open and run.visible_at is None and run.cancel_asked_at is None,
    )


def seconds_left(run: Run, now: datetime) -> int | None:
    """Return how long the step under way still takes; None while that is not known."""
    done, total, rate = _under_way(run)
    began = run.written_at or run.started_at
    if not total or rate <= 0 or began is None or now - began < NOT_KNOWN_FOR:
        return None
    return max(0, round((total - done) / rate))


def _under_way(run: Run) -> tuple[int, int, float]:
    """Return done, total and rate of what is being done now: rows while writing, bytes while sending."""
    if run.state == Run.State.WRITING:
        return run.rows_written, run.rows_expected or 0, run.rows_per_second
    if run.state == Run.State.SENDING:
        return run.bytes_sent, run.bytes_packed, run.bytes_per_second
    return 0, 0, 0.0


def _is_stalled(run: Run) -> bool:
    """A worker that has gone silent: another one takes the run over once its lease has ended."""
    under_way = run.state in (Run.State.WRITING, Run.State.SENDING)
    return bool(under_way and run.lease_ends_at and run.lease_ends_at < timezone.now() + _half_a_lease())


def _half_a_lease() -> timedelta:
    return timedelta(seconds=lease_seconds() / 2)
