"""A million memberships that end at one instant: how long until every leave is published, and the fires meanwhile."""

import threading
import time
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from benchmarks import fires, load, members, stack
from benchmarks.report import Figure, at_least, at_most
from benchmarks.shop import Shop
from segments import sweeper
from segments.models import Transition

MEMBERS = 1_000_000


def one_million(shop: Shop) -> list[Figure]:
    """Sweep 1,000,000 memberships while fires come at half of what the door can do."""
    end = timezone.now() - timedelta(seconds=1)
    segment_id = members.add(shop.advertiser_id, "wave", MEMBERS, ends_at=end).pk
    target = f"/seg?add={shop.segment_id}"
    with stack.door() as url:
        fires.warm_up(url, shop)
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
        _unsweep(segment_id)
        with load.beside(url, target, shop.cookie_file, seconds=3) as busy:
            _sweep(end)
    published = Transition.all_advertisers.filter(segment_id=segment_id, change="leave").count()
    if published != MEMBERS:
        raise RuntimeError(f"{published} leaves were published.")
    times.sort()
    return [
        Figure("sweep_1m_s", [alone], "s", at_most(60)),
        Figure("fires_during_sweep", [one / most for one in busy], "", at_least(0.5)),
        Figure("sweep_1m_beside_fires_s", [beside], "s"),
        Figure("fires_p99_ms_before_sweep", [load.percentile(before, 99)], "ms"),
        Figure("fires_p99_ms_during_sweep", [load.percentile(times, 99)], "ms"),
    ]


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
