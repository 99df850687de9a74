"""The demo advertiser: its rows, from the tables of `config.demo.tags`, and its exports."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from audience.models import Advertiser
from audience.tenancy import acting_for
from config.demo import tags
from exports.models import Export
from pixels.models import Pixel, PixelAction
from segments.models import Segment


def made_as(name: str) -> list[Advertiser]:
    """Return the demo advertisers made under a name, the latest last: "Demo shop", "Demo shop 2"."""
    made = Advertiser.objects.filter(name__regex=rf"^{name}( \d+)?$")
    return sorted(made, key=lambda advertiser: _number(advertiser, name))


def free_name(name: str) -> str:
    """Return the name, with the next number behind it where it is taken."""
    made = made_as(name)
    return f"{name} {_number(made[-1], name) + 1}" if made else name


def _number(advertiser: Advertiser, name: str) -> int:
    return int(advertiser.name.removeprefix(name) or 1)


def is_played(advertiser: Advertiser) -> bool:
    """Say whether its demo came to its end: its exports are made last."""
    with acting_for(advertiser.pk):
        return Export.objects.exists()


def make_advertiser(
    name: str, *, time_zone: str, currency: str, host: str, pixels: Collection[str], since: datetime
) -> Advertiser:
    """Make an advertiser with these pixels and the segments that they add to, all at once, as if made then."""
    with transaction.atomic():
        advertiser = Advertiser.objects.create(
            name=name, time_zone=time_zone, currency=currency, domains=_domains(host)
        )
        with acting_for(advertiser.pk):
            known = [pixel for pixel in tags.PIXELS if pixel.name in pixels]
            codes = {code for pixel in known for code in pixel.adds}
            segments = {one.code: _make_segment(one, since) for one in tags.SEGMENTS if one.code in codes}
            for pixel in known:
                _make_pixel(pixel, segments, since)
    return advertiser


def _domains(host: str) -> list[str]:
    site = host.removeprefix("www.")
    return [site, f"*.{site}"]


def _make_segment(one: tags.DemoSegment, since: datetime) -> Segment:
    segment = Segment(
        name=one.name,
        code=one.code,
        description=one.description,
        lifetime_minutes=one.lifetime_minutes,
        re_add=one.re_add,
        refire=one.refire,
        is_readable_on_page=one.is_readable_on_page,
        are_domains_enforced=True,
        created_at=since,
    )
    segment.full_clean()
    segment.save()
    return segment


def _make_pixel(one: tags.DemoPixel, segments: dict[str, Segment], since: datetime) -> None:
    source = Pixel.ValueSource.PAGE if one.takes_value else Pixel.ValueSource.NONE
    pixel = Pixel.objects.create(name=one.name, value_source=source, created_at=since)
    for do, codes in ((PixelAction.Do.ADD, one.adds), (PixelAction.Do.REMOVE, one.removes)):
        for code in codes:
            if code in segments:
                PixelAction.objects.create(pixel=pixel, segment=segments[code], do=do)
