"""The weather where people are: which cells are in use, and what was last observed there.

A batch notes the cells of its events and takes what is known of them; a task asks a provider about the cells in use.
An observation is valid for three hours (rules.md 1.5): while the provider is away the weather becomes unknown, and
never stays an old one.

What leaves the installation are cells: no address, no profile, not how many are there.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from django.conf import settings
from django.db import connection
from django.utils import timezone

from audience.columns import Column, instants, integers
from audience.context.cells import Cell, Sky, cell_of
from audience.context.open_meteo import OpenMeteo
from audience.instants import HOUR, Instant, moment
from audience.messages import Message
from audience.talk import Talk, reads, writes
from audience.values import dump

IN_USE = timedelta(days=1)
KEPT = timedelta(days=30)
# Services observe every quarter of an hour, and what they say is valid for three hours: two tries may fail.
OLD = timedelta(hours=1)
CELLS_IN_A_QUESTION = 50
MOST_CELLS = 2_000

_NOTE = writes(
    """
    INSERT INTO audience_weather AS w (lat_tenths, lon_tenths, wanted_at, condition)
    SELECT lat, lon, at, '' FROM unnest(%s::int[], %s::int[], %s::timestamptz[]) AS c(lat, lon, at)
    ORDER BY lat, lon
    ON CONFLICT (lat_tenths, lon_tenths) DO UPDATE SET wanted_at = excluded.wanted_at
        WHERE w.wanted_at < excluded.wanted_at
    """
)
# Without a lock, so that a note is written once an hour: to find a row noted already would lock it as well.
_LOOK_UP = reads(
    """
    SELECT w.lat_tenths, w.lon_tenths, w.wanted_at, w.condition, w.temperature, w.observed_at
    FROM unnest(%s::int[], %s::int[]) AS c(lat, lon)
    JOIN audience_weather w ON w.lat_tenths = c.lat AND w.lon_tenths = c.lon
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


def add_to(messages: Sequence[Message]) -> Talk[list[Message]]:
    """Return the messages, events with the weather where and when they happened, as far as it was observed."""
    cells = {number: cell for number, one in enumerate(messages) if one.event and (cell := _cell_of(one))}
    if not cells:
        return list(messages)
    skies = yield from watch(cells.values(), max(messages[number].received_at for number in cells))
    told = list(messages)
    for number, cell in cells.items():
        sky, message = skies.get(cell), messages[number]
        if sky is not None and sky.holds_at(moment(message.occurred_at).timestamp()):
            context = {**json.loads(message.context), "weather": sky.fields()}
            told[number] = message._replace(context=dump(context))
    return told


def watch(cells: Collection[Cell], at: Instant) -> Talk[dict[Cell, Sky]]:
    """Return what was observed last in these cells, and note, to the hour, that people are there."""
    cells, hour = sorted({*cells}), at - at % HOUR
    (rows,) = yield [_LOOK_UP(*_columns(cells))]
    noted = {Cell(lat, lon) for lat, lon, wanted_at, *_ in rows if wanted_at >= hour}
    if unnoted := [cell for cell in cells if cell not in noted]:
        yield [_NOTE(*_columns(unnoted), instants([hour] * len(unnoted)))]
    return {
        Cell(lat, lon): Sky(condition, temperature, moment(observed_at).timestamp())
        for lat, lon, _, condition, temperature, observed_at in rows
        if observed_at is not None
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


def _cell_of(message: Message) -> Cell | None:
    """Return in which cell a message happened, where its place is known so far."""
    if '"lat"' not in message.context:
        return None
    place = json.loads(message.context).get("place", {})
    return cell_of(place["lat"], place["lon"]) if "lat" in place and "lon" in place else None


def _columns(cells: Sequence[Cell]) -> tuple[Column, Column]:
    lats, lons = zip(*cells, strict=True)
    return integers(lats), integers(lons)
