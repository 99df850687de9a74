"""An advertiser with a pixel and a crowd of visitors for the benchmarks."""

import time
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection

from audience.models import Advertiser, WriteKey
from audience.tenancy import acting_for
from audience.writekeys import issue_write_key
from benchmarks import stack
from pixels import cookie
from pixels.models import Pixel, PixelAction
from segments.models import Segment


@dataclass(frozen=True)
class Shop:
    """What fires go to, and the cookies of those who fire."""

    advertiser_id: int
    segment_id: int
    pixel_key: str
    public_key: str
    server_key: str
    cookies: list[str]
    cookie_file: Path


def make_shop() -> Shop:
    advertiser = Advertiser.objects.create(
        name="Benchmark", domains=["shop.example"], page_origins=["https://shop.example"]
    )
    with acting_for(advertiser.pk):
        _, public_key = issue_write_key(advertiser, name="Page", kind=WriteKey.Kind.PUBLIC)
        _, server_key = issue_write_key(advertiser, name="Server", kind=WriteKey.Kind.SERVER)
        segment = Segment.objects.create(name="Cart", code="cart", is_readable_on_page=True)
        pixel = Pixel.objects.create(name="Cart page")
        PixelAction.objects.create(pixel=pixel, segment=segment)
    signer = cookie.Signer(settings.MUSTER_COOKIE_KEYS)
    today = int(time.time()) // cookie.SECONDS_OF_A_DAY
    name = cookie.PLAIN_HTTP.name
    cookies = [f"{name}={signer.sign(signer.mint(today))}" for _ in range(stack.VISITORS)]
    file = stack.FOLDER / "cookies.txt"
    file.write_text("\n".join(cookies) + "\n")
    return Shop(advertiser.pk, segment.pk, pixel.public_key, public_key, server_key, cookies, file)


def count_outcomes(outcome: str) -> int:
    """Return how many fires ended so, merged or not."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT coalesce(sum(fires), 0) FROM pixels_firehour WHERE outcome = %(outcome)s)"
            " + (SELECT coalesce(sum(fires), 0) FROM pixels_firedelta WHERE outcome = %(outcome)s)",
            {"outcome": outcome},
        )
        return int(cursor.fetchone()[0])
