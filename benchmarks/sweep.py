"""A million memberships that end at one instant: how long until every leave is published, and the fires meanwhile."""

import threading
import time
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from audience.tenancy import acting_for
from benchmarks import load, stack
from benchmarks.report import Figure, at_most
from benchmarks.shop import Shop
from segments import sweeper
from segments.models import Segment, Transition

MEMBERS = 1_000_000


def one_million(shop: Shop) -> list[Figure]:
    """Sweep 1,000,000 memberships while fires come at half of what the door can do."""
    segment_id, end = _fill(shop)
    target = f"/seg?add={shop.segment_id}"
    with stack.door() as url:
        most = load.fastest(url, target, shop.cookie_file, seconds=6)
        before = load.at_rate(url, target, shop.cookies, per_second=most / 2, seconds=6)
        alone = _sweep(end)
        _unsweep(segment_id)
        done = threading.Event()
        times: list[float] = []

        def fire() -> None:
            while not done.is_set():
                times.extend(load.at_rate(url, target, shop.cookies, per_second=most / 2, seconds=3))

        thread = threading.Thread(target=fire)
        thread.start()
        beside = _sweep(end)
        done.set()
        thread.join()
    published = Transition.all_advertisers.filter(segment_id=segment_id, change="leave").count()
    if published != MEMBERS:
        raise RuntimeError(f"{published} leaves were published.")
    times.sort()
    return [
        Figure("sweep_1m_s", [alone], "s", at_most(60)),
        Figure("sweep_1m_beside_fires_s", [beside], "s"),
        Figure("fires_p99_ms_before_sweep", [load.percentile(before, 99)], "ms"),
        Figure("fires_p99_ms_during_sweep", [load.percentile(times, 99)], "ms"),
    ]


def _fill(shop: Shop) -> tuple[int, object]:
    """Make a segment whose million members leave at one instant just past."""
    end = timezone.now() - timedelta(seconds=1)
    with acting_for(shop.advertiser_id):
        segment = Segment.objects.create(name="Wave", code="wave")
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH p AS (INSERT INTO audience_profile (id, advertiser_id, first_seen_at, last_seen_at)"
            " SELECT (lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000')::uuid, %(owner)s, %(end)s, %(end)s"
            " FROM generate_series(1, %(members)s) n RETURNING id)"
            " INSERT INTO segments_membership (advertiser_id, profile_id, segment_id, version, starts_at, expires_at,"
            " last_added_at, decided_at, sweep_at) SELECT %(owner)s, id, %(segment)s, 1, %(start)s, %(end)s,"
            " %(start)s, %(start)s, %(end)s FROM p",
            {
                "owner": shop.advertiser_id,
                "segment": segment.pk,
                "start": end - timedelta(days=30),
                "end": end,
                "members": MEMBERS,
            },
        )
        cursor.execute("VACUUM ANALYZE segments_membership")
    return segment.pk, end


def _sweep(end: object) -> float:
    started = time.perf_counter()
    swept = sweeper.sweep()
    if swept.leaves != MEMBERS:
        raise RuntimeError(f"{swept.leaves} leaves instead of {MEMBERS}.")
    return time.perf_counter() - started


def _unsweep(segment_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM segments_transition WHERE segment_id = %s", [segment_id])
        cursor.execute("UPDATE segments_membership SET sweep_at = expires_at WHERE segment_id = %s", [segment_id])
        cursor.execute("VACUUM ANALYZE segments_membership")
