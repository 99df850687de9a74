"""A million memberships that end at one instant: how long until every leave is published, and the fires meanwhile.

By pixels and by a rule; and how late leaves are published that come one after the other.
"""

import threading
import time
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from benchmarks import fires, histories, load, members, rules, stack
from benchmarks.report import Figure, at_least, at_most
from benchmarks.shop import Shop
from config import clockwork
from segments import sweeper
from segments.building import build
from segments.models import Segment, Transition

MEMBERS = 1_000_000
# Of the leaves that come one after the other.
PER_SECOND = 1_000
LASTING_SECONDS = 20


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


def one_million_by_rule(shop: Shop) -> list[Figure]:
    """Sweep 1,000,000 members of a rule whose time is over at one instant, alone and beside fires."""
    owner, end = histories.make_advertiser("Wave").pk, timezone.now()
    _make_members(owner, MEMBERS, leaving_at=end, every=timedelta(0))
    segment = Segment.all_advertisers.get(advertiser_id=owner)
    target = f"/seg?add={shop.segment_id}"
    with stack.door() as url:
        fires.warm_up(url, shop)
        alone = _sweep(end)
        _unsweep(segment.pk)
        most = load.fastest(url, target, shop.cookie_file, seconds=6)
        with load.beside(url, target, shop.cookie_file, seconds=3) as busy:
            beside = _sweep(end)
    return [
        Figure("leaves_1m_s", [alone], "s", at_most(60)),
        Figure("leaves_1m_beside_fires_s", [beside], "s"),
        Figure("fires_during_leaves", [one / most for one in busy], "", at_least(0.5)),
    ]


def one_after_the_other(shop: Shop) -> list[Figure]:
    """Publish leaves by a rule, 1,000 of them each second, as often as the worker's clock does."""
    owner, begin = histories.make_advertiser("Leaving").pk, timezone.now() + timedelta(seconds=10)
    step = timedelta(seconds=1) / PER_SECOND
    _make_members(owner, PER_SECOND * LASTING_SECONDS, leaving_at=begin, every=step)
    late: list[float] = []
    published, interval = begin - timedelta(days=1), clockwork.CLOCKWORK["segments.tasks.sweep"]
    while len(late) < PER_SECOND * LASTING_SECONDS:
        time.sleep(interval)
        sweeper.sweep()
        now = timezone.now()
        leaves = Transition.all_advertisers.filter(advertiser_id=owner, change="leave", at__gt=published)
        times = sorted(leaves.values_list("at", flat=True))
        late += [(now - at).total_seconds() for at in times]
        published = max(times, default=published)
    late.sort()
    return [Figure("leave_published_p99_s", [load.percentile(late, 99)], "s", at_most(5))]


def _make_members(owner: int, count: int, *, leaving_at: datetime, every: timedelta) -> None:
    """Make members of a rule by what they did an hour before they leave."""
    did = leaving_at - timedelta(hours=1)
    histories.add_one_event_each(owner, profiles=count, name="called", at=did, every=every)
    begin = did + every * (count + 1)
    rules.save(owner, "callers", {"event": "called", "window": {"within": "1h"}}, at=begin)
    build(now=begin)


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
