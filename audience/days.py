"""The day of an instant by an advertiser's clock."""

from collections.abc import Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo


class LocalDays:
    """Call it with an advertiser and an instant. A zone that nobody told is UTC."""

    def __init__(self, zones: Mapping[int, str]) -> None:
        """Take the names of time zones by advertiser id."""
        self._zones = {advertiser_id: ZoneInfo(name) for advertiser_id, name in zones.items()}
        self._utc = ZoneInfo("UTC")

    def __call__(self, advertiser_id: int, at: datetime) -> date:
        return at.astimezone(self._zones.get(advertiser_id, self._utc)).date()
