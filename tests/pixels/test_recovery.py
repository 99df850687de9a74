"""What a spool holds goes into the database, each fact once; what cannot be read of it is counted and kept aside."""

import asyncio
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import Sum

from audience.days import LocalDays
from audience.identity import Key
from audience.ids import uuid7
from audience.instants import HOUR, MINUTE, instant
from config.environment import conninfo
from pixels.commits import Commits
from pixels.facts import Fire
from pixels.models import FireDelta
from pixels.recovery import Recovery
from pixels.spool import Spool
from segments.membership import Change
from segments.models import SegmentDelta
from tests.factories import NOON, make_advertiser, make_pixel, make_segment

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return a file of a spool that holds three fires of one browser."""
    advertiser = make_advertiser()
    segment = make_segment(advertiser)
    pixel = make_pixel(advertiser, segment)
    change = Change("add", segment.pk, 1, lifetime=24 * HOUR)
    browser = Key(advertiser.pk, "browser", "ab" * 16)
    fires = [
        Fire(uuid7().bytes, instant(NOON) + number * MINUTE, advertiser.pk, pixel.pk, browser, (change,))
        for number in range(3)
    ]
    spool = Spool(tmp_path, most_bytes=1 << 20)
    spool.append(fires)
    path = spool.oldest()
    assert path is not None
    return path


def bring(path: Path) -> None:
    asyncio.run(_bring(path))


async def _bring(path: Path) -> None:
    recovery = Recovery(Commits(conninfo(connection.settings_dict), LocalDays({}), name="test"), path.parent.parent)
    try:
        await recovery.bring(path)
    finally:
        recovery.close()


def counts() -> dict[str, int]:
    rows = FireDelta.objects.values_list("outcome", "reason").annotate(Sum("fires"))
    return {f"{outcome} {reason}".strip(): fires for outcome, reason, fires in rows}


@pytest.mark.spec("R5")
def test_a_file_that_is_brought_again_is_done_once(kept):
    bring(kept)
    bring(kept)

    assert counts() == {"applied": 3}
    assert SegmentDelta.all_advertisers.aggregate(Sum("loads"), Sum("joins")) == {"loads__sum": 3, "joins__sum": 1}


@pytest.mark.spec("R2")
def test_a_record_that_cannot_be_read_is_counted_once_and_kept_aside(kept):
    first, second, third, _ = kept.read_bytes().split(b"\n")
    spoilt = second.replace(b'"browser"', b'"br0wser"')
    kept.write_bytes(b"\n".join([first, spoilt, third, b""]))

    bring(kept)
    bring(kept)

    assert counts() == {"applied": 2, "rejected spool_damaged": 1}
    (aside,) = (kept.parent.parent / "damaged").iterdir()
    assert aside.read_bytes() == spoilt + b"\n"
