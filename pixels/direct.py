"""The built-in pixel *Direct calls*: fires of `/seg` without a known `pid` are filed under it."""

from collections.abc import Iterable

from pixels.models import Pixel

NAME = "Direct calls"


def make_direct_pixels(advertiser_ids: Iterable[int]) -> None:
    """Make the built-in pixel of each advertiser that has none. Safe to call twice, and twice at once."""
    Pixel.all_advertisers.bulk_create(
        [Pixel(advertiser_id=advertiser_id, name=NAME, is_direct=True) for advertiser_id in advertiser_ids],
        ignore_conflicts=True,
    )
