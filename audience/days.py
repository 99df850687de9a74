"""The day of an instant by an advertiser's clock."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from audience.instants import Instant, instant, moment


class Day(NamedTuple):
    """A local day: from its first instant to that of the next."""

    starts_at: Instant
    ends_at: Instant
    date: date


class LocalDays:
    """Call it with an advertiser and an instant. A zone that nobody told is UTC."""

    def __init__(self, zones: Mapping[int, ZoneInfo]) -> None:
        """Take the time zones by advertiser id."""
        self._zones = zones
        self._utc = ZoneInfo("UTC")
        # The day that was asked for last: in a batch it is nearly always the same.
        self._last: dict[int, Day] = {}

    def __call__(self, advertiser_id: int, at: Instant) -> Day:
        last = self._last.get(advertiser_id)
        if last is not None and last.starts_at <= at < last.ends_at:
            return last
        zone = self._zones.get(advertiser_id, self._utc)
        day = moment(at).astimezone(zone).date()
        found = Day(_midnight(day, zone), _midnight(day + timedelta(days=1), zone), day)
        self._last[advertiser_id] = found
        return found


def _midnight(day: date, zone: ZoneInfo) -> Instant:
    """The first instant of a day; where the clock skips midnight, the one at which it goes on."""
    return instant(datetime.combine(day, time.min, zone))
