"""The interval rows: the predicate of every reader, and what an add or a remove makes of one.

A membership holds at t when `starts_at <= t < expires_at` and its version is the segment's active one. Nothing else
says who is in: not the sweeper, not a transition, not a count.
"""

from datetime import datetime
from typing import Literal, NamedTuple

from django.db.models import F, Q

from audience.instants import Instant
from segments.models import LARGEST_VALUE, Cause, Segment
from segments.ranges import FOREVER

# For SQL that names the table `m` and the segment's active version `s.active_version`; `%(at)s` is the instant.
HOLDS_SQL = "m.starts_at <= %(at)s AND %(at)s < m.expires_at"
HOLDS_OF_ACTIVE_VERSION_SQL = f"m.version = s.active_version AND {HOLDS_SQL}"
# When it is over, as people and files are told: NULL where it has no end. A horizon (rules.md 2.10) is none.
ENDS_AT_SQL = f"CASE WHEN m.expires_at < coalesce(m.known_until, '{FOREVER.isoformat()}') THEN m.expires_at END"


def holds(at: datetime) -> Q:
    """Return the filter for `Membership` rows that hold at an instant, in the segment's active version."""
    return Q(starts_at__lte=at, expires_at__gt=at, version=F("segment__active_version"))


class Change(NamedTuple):
    """What is asked for at an instant: put a profile into a segment for a lifetime (microseconds), or take it out."""

    do: Literal["add", "remove"]
    segment_id: int
    version: int
    cause: Cause = Cause.FACT
    lifetime: int = 0
    value: int | None = None
    refire: str = Segment.Refire.RESTART
    re_add: str = Segment.ReAdd.REPLACE


class Interval(NamedTuple):
    """A membership row's state: `[starts_at, expires_at)`, its value, and the facts that decided it.

    `last_added_at` is None in a marker: a row that only remembers a remove. `sweep_at` is not None while the end is
    still to be published by the sweeper.
    """

    starts_at: Instant
    expires_at: Instant
    value: int | None
    last_added_at: Instant | None
    decided_at: Instant
    sweep_at: Instant | None

    def holds_at(self, at: Instant) -> bool:
        return self.starts_at <= at < self.expires_at


class Step(NamedTuple):
    """A join or leave that a decision brings."""

    change: Literal["join", "leave"]
    at: Instant
    cause: Cause


class Decision(NamedTuple):
    """What a change made of a row: its new state, the steps to publish, and whether it was a load."""

    interval: Interval
    steps: tuple[Step, ...] = ()
    is_load: bool = False
    notes: tuple[str, ...] = ()


def decide(old: Interval | None, change: Change, at: Instant) -> Decision:
    """Return what one change makes of one row (pixels.md 2.1 to 2.3).

    Of facts that come out of order the later one decides end and value; the older is a load and nothing more.
    """
    if old is not None and at < old.decided_at:
        is_add = change.do == "add"
        return Decision(_begin_earlier(old, change, at), is_load=is_add, notes=("older_than_last",))
    return _add(old, change, at) if change.do == "add" else _remove(old, change, at)


def _add(old: Interval | None, change: Change, at: Instant) -> Decision:
    end = at + change.lifetime
    if old is None or not old.holds_at(at):
        steps = (*_overdue(old, at), Step("join", at, change.cause))
        return Decision(Interval(at, end, change.value, at, at, sweep_at=end), steps, is_load=True)
    if change.refire == Segment.Refire.KEEP:
        end = old.expires_at
    value, notes = _value(old.value, change)
    steps, sweep_at = _reopen(old, end, change)
    return Decision(Interval(old.starts_at, end, value, at, at, sweep_at), steps, is_load=True, notes=notes)


def _remove(old: Interval | None, change: Change, at: Instant) -> Decision:
    if old is None:
        # A marker: an add from before the remove that comes late finds that it was taken back.
        return Decision(Interval(at, at, None, None, at, None), notes=("not_a_member",))
    if not old.holds_at(at):
        return Decision(old._replace(decided_at=at), notes=("not_a_member",))
    interval = old._replace(expires_at=at, decided_at=at, sweep_at=None)
    # Without `sweep_at` the leave by time is published already: the remove comes late and only moves the end.
    steps = () if old.sweep_at is None else (Step("leave", at, change.cause),)
    return Decision(interval, steps)


def _reopen(old: Interval, end: Instant, change: Change) -> tuple[tuple[Step, ...], Instant | None]:
    """Return the steps and the `sweep_at` of a member whose end moves.

    A fact may come late (from a spool or a log), when the sweeper has published the old end already. Where it keeps
    the member in beyond that end, a join at that same instant takes the leave back.
    """
    if old.sweep_at is not None:
        return (), min(old.sweep_at, end)
    if end <= old.expires_at:
        return (), None
    return (Step("join", old.expires_at, change.cause),), end


def _overdue(old: Interval | None, at: Instant) -> tuple[Step, ...]:
    """The leave by time that the sweeper has not come to publish before the profile joins again."""
    if old is None or old.sweep_at is None or old.expires_at > at:
        return ()
    return (Step("leave", old.expires_at, Cause.TIME),)


def _begin_earlier(old: Interval, change: Change, at: Instant) -> Interval:
    """An add that comes late and reaches up to the present interval lets it begin earlier; its end stays."""
    is_earlier = change.do == "add" and at < old.starts_at <= at + change.lifetime
    if is_earlier and old.starts_at < old.expires_at:
        return old._replace(starts_at=at)
    return old


def _value(stored: int | None, change: Change) -> tuple[int | None, tuple[str, ...]]:
    if change.value is None or stored is None:
        return (stored if change.value is None else change.value), ()
    if change.re_add == Segment.ReAdd.HIGHEST:
        return max(stored, change.value), ()
    if change.re_add == Segment.ReAdd.SUM:
        total = stored + change.value
        return min(total, LARGEST_VALUE), ("value_capped",) if total > LARGEST_VALUE else ()
    return change.value, ()
