"""How pixels are doing: when they fired, how it ended, and whether somebody should look after them."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from django.db import connection

from pixels.models import Pixel
from pixels.reasons import Outcome

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
# A pixel that fired on so many of the last 7 days and then not for 24 hours has probably lost its tag.
DAYS_OF_A_HABIT = 3
REFUSED_SHARE = 0.10
FIRES_TO_JUDGE = 50

# Needs `pixels_fire_pkey`, one descent per pixel and partition.
_LAST = """
    SELECT p.id, f.received_at FROM unnest(%(ids)s::bigint[]) AS p(id)
    CROSS JOIN LATERAL (
        SELECT received_at FROM pixels_fire WHERE pixel_id = p.id ORDER BY received_at DESC LIMIT 1
    ) f
"""
_COUNTS = """
    SELECT pixel_id, hour, outcome, sum(fires)::bigint FROM (
        SELECT pixel_id, hour, outcome, fires FROM pixels_firehour
        WHERE pixel_id = ANY(%(ids)s) AND hour >= %(since)s
        UNION ALL
        SELECT pixel_id, hour, outcome, fires FROM pixels_firedelta
        WHERE pixel_id = ANY(%(ids)s) AND hour >= %(since)s
    ) counts GROUP BY pixel_id, hour, outcome
"""
_EVER = """
    SELECT p.id, h.hour FROM unnest(%(ids)s::bigint[]) AS p(id)
    CROSS JOIN LATERAL (SELECT hour FROM pixels_firehour WHERE pixel_id = p.id ORDER BY hour {order} LIMIT 1) h
"""


class State(Enum):
    """What a marketer is told of a pixel at a glance."""

    NEVER_FIRED = "never fired", "No fire has come yet. Place its tag on a page, or press Test."
    FIRING = "firing", "Fires arrive."
    SILENT = "silent", "It used to fire, and nothing has come for 24 hours. Is the tag still on the page?"
    REFUSING = "refusing", "Many of its fires are refused. The live view says why."
    PAUSED = "paused", "Its fires change nothing. Set it to active to go on."

    def __init__(self, label: str, sentence: str) -> None:
        self.label = label
        self.sentence = sentence


@dataclass
class Health:
    """One pixel's state, with the numbers behind it."""

    state: State
    first_at: datetime | None = None
    last_at: datetime | None = None
    today: dict[str, int] = field(default_factory=dict)
    # It fired regularly and has stopped: worth a warning on the dashboard.
    has_lost_its_habit: bool = False

    @property
    def fires_today(self) -> int:
        return sum(self.today.values())


Hours = dict[datetime, dict[str, int]]


def healths(pixels: Collection[Pixel], now: datetime, midnight: datetime) -> dict[int, Health]:
    """Return how each pixel is doing. `midnight` is when the advertiser's day began."""
    ids = [pixel.pk for pixel in pixels]
    counts = _counts(ids, min(now - WEEK, midnight))
    last = _read(_EVER.format(order="DESC"), ids) | _read(_LAST, ids)
    first = _read(_EVER.format(order="ASC"), ids)
    result = {}
    for pixel in pixels:
        hours = counts[pixel.pk]
        last_at = last.get(pixel.pk) or max(hours, default=None)
        first_at = first.get(pixel.pk) or min(hours, default=None)
        health = Health(_state(pixel, hours, last_at, now), first_at, last_at)
        health.today = _sum(hours, midnight)
        health.has_lost_its_habit = health.state is State.SILENT and _days(hours, now) >= DAYS_OF_A_HABIT
        result[pixel.pk] = health
    return result


def outcomes_by_hour(pixels: Collection[Pixel], now: datetime, hours: int) -> list[tuple[datetime, dict[str, int]]]:
    """Return one entry for each of the last hours: how many fires of these pixels ended how."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    first = this_hour - timedelta(hours=hours - 1)
    totals: Hours = defaultdict(lambda: defaultdict(int))
    for by_hour in _counts([pixel.pk for pixel in pixels], first).values():
        for hour, outcomes in by_hour.items():
            for outcome, fires in outcomes.items():
                totals[hour][outcome] += fires
    steps = (first + timedelta(hours=step) for step in range(hours))
    return [(hour, dict(totals.get(hour, {}))) for hour in steps]


def _state(pixel: Pixel, hours: Hours, last_at: datetime | None, now: datetime) -> State:
    if pixel.state == Pixel.State.PAUSED:
        return State.PAUSED
    if last_at is None:
        return State.NEVER_FIRED
    if last_at < now - DAY:
        return State.SILENT
    return State.REFUSING if _refuses(hours, now) else State.FIRING


def _refuses(hours: Hours, now: datetime) -> bool:
    """Say whether over 10 % of at least 50 fires of the last hour, or all of the last day's, were refused."""
    hour = _sum(hours, now - timedelta(hours=2))
    fires = sum(hour.values())
    if fires >= FIRES_TO_JUDGE:
        return hour.get(Outcome.REJECTED, 0) > REFUSED_SHARE * fires
    day = _sum(hours, now - DAY)
    return day.get(Outcome.REJECTED, 0) > 0 and not day.get(Outcome.APPLIED, 0)


def _days(hours: Hours, now: datetime) -> int:
    return len({hour.date() for hour in hours if hour >= now - WEEK})


def _sum(hours: Hours, since: datetime) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for hour, outcomes in hours.items():
        if hour >= since:
            for outcome, fires in outcomes.items():
                total[outcome] += fires
    return dict(total)


def _counts(ids: list[int], since: datetime) -> dict[int, Hours]:
    found: dict[int, Hours] = defaultdict(lambda: defaultdict(dict))
    since = since.replace(minute=0, second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, {"ids": ids, "since": since})
        for pixel_id, hour, outcome, fires in cursor.fetchall():
            found[pixel_id][hour][outcome] = fires
    return found


def _read(statement: str, ids: list[int]) -> dict[int, datetime]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"ids": ids})
        return dict(cursor.fetchall())
