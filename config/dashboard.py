"""What the first page of the admin tells: how the pixels, segments and exports of an advertiser are doing."""

from typing import Any

from audience.teams import Seat


def content(seat: Seat) -> dict[str, Any]:
    """Return what the dashboard's template shows to this seat."""
    return {"advertiser": seat.advertiser}
