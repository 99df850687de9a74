"""The weather where people are: which cells are in use, and what was last observed there.

The store notes the cells of its batch and looks their weather up; a task asks a provider about the cells in use. An
observation is valid for three hours (rules.md 1.5): while the provider is away the weather becomes unknown, and never
stays an old one.

What leaves the installation are cells: no address, no profile, not how many are there.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from django.conf import settings
from django.db import connection
from django.utils import timezone

from audience.columns import Column, instants, integers
from audience.context.cells import VALID_HOURS, Cell, Sky
from audience.context.open_meteo import OpenMeteo
from audience.instants import HOUR, Instant, moment
from audience.talk import Talk, reads, writes

IN_USE = timedelta(days=1)
KEPT = timedelta(days=30)
# Services observe every quarter of an hour, and what they say is valid for three hours: two tries may fail.
OLD = timedelta(hours=1)
CELLS_IN_A_QUESTION = 50
MOST_CELLS = 2_000
MOST_NOTED = 100_000

_NOTE = writes(
    """
    INSERT INTO audience_weather AS w (lat_tenths, lon_tenths, wanted_at, condition)
    SELECT lat, lon, at, '' FROM unnest(%s::int[], %s::int[], %s::timestamptz[]) AS c(lat, lon, at)
    ORDER BY lat, lon
    ON CONFLICT (lat_tenths, lon_tenths) DO UPDATE SET wanted_at = excluded.wanted_at
        WHERE w.wanted_at < excluded.wanted_at
    """
)
_LOOK_UP = reads(
    """
    SELECT w.lat_tenths, w.lon_tenths, w.condition, w.temperature, w.observed_at
    FROM unnest(%s::int[], %s::int[], %s::timestamptz[]) AS c(lat, lon, at)
    JOIN audience_weather w ON w.lat_tenths = c.lat AND w.lon_tenths = c.lon
    WHERE w.observed_at <= c.at AND c.at < w.observed_at + make_interval(hours => %s::int)
    """
)
_DUE = """
    SELECT lat_tenths, lon_tenths FROM audience_weather
    WHERE wanted_at > %s AND (observed_at IS NULL OR observed_at < %s)
    ORDER BY observed_at NULLS FIRST, lat_tenths, lon_tenths LIMIT %s
"""
_OBSERVED = """
    UPDATE audience_weather SET condition = %s, temperature = %s, observed_at = %s
    WHERE lat_tenths = %s AND lon_tenths = %s AND (observed_at IS NULL OR observed_at < %s)
"""


class Provider(Protocol):
    """A source of observations. It leaves out the cells that it does not know."""

    def observe(self, cells: Sequence[Cell]) -> Mapping[Cell, Sky]: ...


class Noted:
    """The cells that a process has noted within this hour, so that it need not note them with each batch.

    Only what is committed may be kept.
    """

    def __init__(self) -> None:
        self._hour = 0
        self._cells: set[Cell] = set()

    def new(self, cells: Collection[Cell], at: Instant) -> list[Cell]:
        """Return the cells that are still to be noted in the hour of `at`, sorted."""
        if at // HOUR != self._hour or len(self._cells) > MOST_NOTED:
            self._hour, self._cells = at // HOUR, set()
        return sorted(set(cells) - self._cells)

    def keep(self, cells: Collection[Cell]) -> None:
        self._cells.update(cells)


def note(cells: Sequence[Cell], at: Instant) -> Talk[None]:
    """Note that people are in these cells, given once each and sorted."""
    if cells:
        yield [_NOTE(*_columns(cells, at - at % HOUR))]


def look_up(cells: Collection[Cell], at: Instant) -> Talk[dict[Cell, Sky]]:
    """Return the weather of those cells in which it is known at an instant."""
    if not cells:
        return {}
    (rows,) = yield [_LOOK_UP(*_columns(sorted(cells), at), VALID_HOURS)]
    return {
        Cell(lat, lon): Sky(condition, temperature, moment(observed_at).timestamp())
        for lat, lon, condition, temperature, observed_at in rows
    }


def fetch_for_installation() -> int:
    """Fetch the weather where a service is set; return of how many cells."""
    return fetch(OpenMeteo(settings.MUSTER_WEATHER_URL)) if settings.MUSTER_WEATHER_URL else 0


def fetch(provider: Provider, now: datetime | None = None) -> int:
    """Ask about the cells in use that were not observed for an hour, and forget those that nobody needs.

    Return of how many cells something new is known. What was told before a question failed is kept.
    """
    now = now or timezone.now()
    told = 0
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audience_weather WHERE wanted_at < %s", [now - KEPT])
        cursor.execute(_DUE, [now - IN_USE, now - OLD, MOST_CELLS])
        due = [Cell(lat, lon) for lat, lon in cursor.fetchall()]
        for first in range(0, len(due), CELLS_IN_A_QUESTION):
            observed = provider.observe(due[first : first + CELLS_IN_A_QUESTION])
            for cell, sky in sorted(observed.items()):
                # A service whose clock is ahead does not make its word last longer.
                at = min(datetime.fromtimestamp(sky.observed_at, UTC), now)
                cursor.execute(_OBSERVED, [sky.condition, sky.temperature, at, *cell, at])
                told += cursor.rowcount
    return told


def _columns(cells: Sequence[Cell], at: Instant) -> tuple[Column, ...]:
    lats, lons = zip(*cells, strict=True)
    return integers(lats), integers(lons), instants([at] * len(cells))
