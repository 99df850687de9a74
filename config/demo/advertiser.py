"""The demo advertiser: its rows, from the tables of `config.demo.tags`, and its exports."""

from collections.abc import Collection

from django.db import transaction

from audience.models import Advertiser
from audience.tenancy import acting_for
from config.demo import tags
from pixels.models import Pixel, PixelAction
from segments.models import Segment


def taken_names(name: str) -> list[str]:
    """Return the names of the demo advertisers made under a name: "Demo shop", "Demo shop 2"."""
    names = Advertiser.objects.filter(name__startswith=name).order_by("pk").values_list("name", flat=True)
    return [taken for taken in names if taken.removeprefix(name).strip().isdigit() or taken == name]


def free_name(name: str) -> str:
    """Return the name, with the next number behind it where it is taken."""
    numbers = [int(taken.removeprefix(name).strip() or 1) for taken in taken_names(name)]
    return f"{name} {max(numbers) + 1}" if numbers else name


def make_advertiser(name: str, *, time_zone: str, host: str, pixels: Collection[str]) -> Advertiser:
    """Make an advertiser with these pixels and the segments that they add to, all at once."""
    with transaction.atomic():
        advertiser = Advertiser.objects.create(name=name, time_zone=time_zone, domains=_domains(host))
        with acting_for(advertiser.pk):
            known = [pixel for pixel in tags.PIXELS if pixel.name in pixels]
            codes = {code for pixel in known for code in pixel.adds}
            segments = {one.code: _make_segment(one) for one in tags.SEGMENTS if one.code in codes}
            for pixel in known:
                _make_pixel(pixel, segments)
    return advertiser


def _domains(host: str) -> list[str]:
    site = host.removeprefix("www.")
    return [site, f"*.{site}"]


def _make_segment(one: tags.DemoSegment) -> Segment:
    segment = Segment(
        name=one.name,
        code=one.code,
        description=one.description,
        lifetime_minutes=one.lifetime_minutes,
        re_add=one.re_add,
        refire=one.refire,
        are_domains_enforced=True,
    )
    segment.full_clean()
    segment.save()
    return segment


def _make_pixel(one: tags.DemoPixel, segments: dict[str, Segment]) -> None:
    source = Pixel.ValueSource.PAGE if one.takes_value else Pixel.ValueSource.NONE
    pixel = Pixel.objects.create(name=one.name, value_source=source)
    for do, codes in ((PixelAction.Do.ADD, one.adds), (PixelAction.Do.REMOVE, one.removes)):
        for code in codes:
            if code in segments:
                PixelAction.objects.create(pixel=pixel, segment=segments[code], do=do)
