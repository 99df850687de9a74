"""What rules cost: a batch of events of which each wakes 3 rules, and a rule that is built for everybody."""

import asyncio
import json
import random
import statistics
import time
from collections.abc import Sequence

import psycopg
from django.db import connection
from django.utils import timezone

from audience.identity import Key
from audience.ids import uuid7_bytes
from audience.instants import instant, unix_milliseconds
from audience.messages import Message
from audience.pipeline import Pipeline
from audience.recording import record
from audience.tenancy import acting_for
from benchmarks.report import Figure, at_least
from benchmarks.shop import Shop
from config.environment import conninfo as conninfo_of
from pixels.commits import SESSION_OPTIONS
from segments import rulebook
from segments.building import build
from segments.models import Segment
from segments.versions import save_rule

EVENTS_OF_A_BATCH = 100
BATCHES = 100
PEOPLE = 5_000
WAKES = 3
EVERYBODY = 50_000
EVENTS_OF_EACH = 10


def against_none(shop: Shop) -> list[Figure]:
    """Record batches of events of which each wakes 3 rules, out of 10 and of 100, beside batches without rules."""
    figures = {}
    made = 0
    for wanted in (0, 10, 100):
        _make_rules(shop, made, wanted)
        made = wanted
        names = [f"did-{number}" for number in range(100 // WAKES if wanted != 10 else 10 // WAKES)]
        figures[wanted] = asyncio.run(_record(shop, names))
        print(f"  {wanted} rules: {statistics.median(figures[wanted]) * 1000:,.1f} ms a batch", flush=True)
    return [
        *[Figure(f"rules_{rules}_batch_ms", [1000 * one for one in times], "ms") for rules, times in figures.items()],
        Figure(
            "rules_100_vs_none", [statistics.median(figures[0]) / statistics.median(figures[100])], "", at_least(0.5)
        ),
    ]


def for_everybody(shop: Shop) -> list[Figure]:
    """Build a rule of two conditions for people who have ten events each."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audience_profile (id, advertiser_id, first_seen_at, last_seen_at)"
            " SELECT gen_random_uuid(), %s, now(), now() FROM generate_series(1, %s)",
            [shop.advertiser_id, EVERYBODY],
        )
        cursor.execute(
            "INSERT INTO audience_event (id, advertiser_id, profile_id, name, occurred_at, received_at, properties,"
            " context) SELECT gen_random_uuid(), advertiser_id, id, (ARRAY['view', 'view', 'buy'])[1 + n %% 3],"
            " now() - random() * interval '20 days', now(), '{}', '{}'"
            " FROM audience_profile, generate_series(1, %s) n WHERE advertiser_id = %s",
            [EVENTS_OF_EACH, shop.advertiser_id],
        )
        cursor.execute("ANALYZE audience_profile; ANALYZE audience_event")
        cursor.execute("SELECT count(*) FROM audience_profile WHERE advertiser_id = %s", [shop.advertiser_id])
        (people,) = cursor.fetchone()
    viewed = {"event": "view", "window": {"within": "7d"}, "count": {"at_least": 3}}
    lapsed = {"event": "buy", "window": {"within": "10d"}, "count": {"none": True}}
    _save(shop, "two-leaf", {"all_of": [viewed, lapsed]})
    started = time.perf_counter()
    build(now=timezone.now())
    return [Figure("backfill_profiles_per_s", [people / (time.perf_counter() - started)], "/s", at_least(50_000))]


def _make_rules(shop: Shop, made: int, wanted: int) -> None:
    for number in range(made, wanted):
        count = {"at_least": 2 + number % WAKES}
        _save(shop, f"rule-{number}", {"event": f"did-{number // WAKES}", "window": {"within": "7d"}, "count": count})
    build(now=timezone.now())
    rulebook.refresh()


def _save(shop: Shop, code: str, node: object) -> None:
    with acting_for(shop.advertiser_id):
        segment = Segment.objects.create(name=code, code=code, kind=Segment.Kind.RULE)
    save_rule(segment, json.dumps({"muster_rule": 1, "of": "profile", "rule": node}))


async def _record(shop: Shop, names: Sequence[str]) -> list[float]:
    conninfo = psycopg.conninfo.make_conninfo(conninfo_of(connection.settings_dict), options=SESSION_OPTIONS)
    pipeline = await Pipeline.connect(conninfo)
    times = []
    for _ in range(BATCHES):
        batch = [_event(shop, random.choice(names)) for _ in range(EVENTS_OF_A_BATCH)]
        started = time.perf_counter()
        await pipeline.transact(record(batch))
        times.append(time.perf_counter() - started)
    pipeline.close()
    return times[BATCHES // 5 :]


def _event(shop: Shop, name: str) -> Message:
    at = instant(timezone.now())
    who = random.randrange(PEOPLE)
    return Message(
        id=uuid7_bytes(unix_milliseconds(at)),
        kind="track",
        advertiser_id=shop.advertiser_id,
        received_at=at,
        occurred_at=at,
        own=Key(shop.advertiser_id, "device", f"a:{who}"),
        event=name,
    )
