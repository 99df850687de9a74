"""The day of an instant by an advertiser's clock."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from audience.instants import Instant, instant, moment


class LocalDays:
    """Call it with an advertiser and an instant. A zone that nobody told is UTC."""

    def __init__(self, zones: Mapping[int, ZoneInfo]) -> None:
        """Take the time zones by advertiser id."""
        self._zones = zones
        self._utc = ZoneInfo("UTC")
        # The day that was asked for last, with its bounds: in a batch it is nearly always the same.
        self._last: dict[int, tuple[Instant, Instant, date]] = {}

    def __call__(self, advertiser_id: int, at: Instant) -> date:
        last = self._last.get(advertiser_id)
        if last is not None and last[0] <= at < last[1]:
            return last[2]
        zone = self._zones.get(advertiser_id, self._utc)
        day = moment(at).astimezone(zone).date()
        self._last[advertiser_id] = (_midnight(day, zone), _midnight(day + timedelta(days=1), zone), day)
        return day


def _midnight(day: date, zone: ZoneInfo) -> Instant:
    """The first instant of a day; where the clock skips midnight, the one at which it goes on."""
    return instant(datetime.combine(day, time.min, zone))
