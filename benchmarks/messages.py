"""How fast the door takes messages: one a request beside fires, many a request beside a bare INSERT, and reads."""

import json
import time

import psycopg
from django.db import connection
from psycopg.types.json import Jsonb

from audience.ids import uuid7
from benchmarks import fires, load, members, stack
from benchmarks.report import Figure, at_least, at_most
from benchmarks.shop import Shop

ROUNDS = 5
SECONDS = 6
EVENTS_OF_A_BATCH = 500
PROPERTIES = {"total": 65, "currency": "EUR", "products": [{"id": "A-1", "category": "shoes", "price": 59.9}]}


def against_fires(shop: Shop) -> list[Figure]:
    """Measure track calls, one event a request, and fires, one after the other, several times."""
    body = stack.FOLDER / "track.json"
    body.write_text(json.dumps(_event() | {"writeKey": shop.public_key}))
    tracks, fired = [], []
    with stack.door() as url:
        fires.warm_up(url, shop)
        for _ in range(ROUNDS):
            fired.append(load.fastest(url, f"/seg?add={shop.segment_id}", shop.cookie_file, seconds=SECONDS))
            before = _count_events()
            tracks.append(load.fastest(url, "/v1/track", shop.cookie_file, seconds=SECONDS, body=body))
            _check(_count_events() - before, tracks[-1] * SECONDS)
            print(f"  track {tracks[-1]:,.0f}/s  fires {fired[-1]:,.0f}/s", flush=True)
    return [
        Figure("tracks_per_s", tracks, "/s"),
        Figure("track_vs_fires", [t / f for t, f in zip(tracks, fired, strict=True)], "", at_least(0.5)),
    ]


def in_batches(shop: Shop) -> list[Figure]:
    """Measure events that come in batches, and the same rows by a bare INSERT, one after the other, several times."""
    events = [_event() | {"type": "track", "anonymousId": f"v-{number % 50}"} for number in range(EVENTS_OF_A_BATCH)]
    body = stack.FOLDER / "batch.json"
    body.write_text(json.dumps({"batch": events, "writeKey": shop.server_key}))
    batches, bare = [], []
    with stack.door() as url:
        for number in range(ROUNDS + 1):
            before = _count_events()
            calls = load.fastest(url, "/v1/batch", shop.cookie_file, seconds=SECONDS, connections=8, body=body)
            _check(_count_events() - before, calls * SECONDS * EVENTS_OF_A_BATCH)
            if number:  # the first one makes the people
                batches.append(calls * EVENTS_OF_A_BATCH)
                bare.append(_insert(shop, SECONDS))
                print(f"  batch {batches[-1]:,.0f} events/s  INSERT {bare[-1]:,.0f} rows/s", flush=True)
    return [
        Figure("batch_events_per_s", batches, "/s", at_least(15_000)),
        Figure("batch_vs_insert", [b / i for b, i in zip(batches, bare, strict=True)], "", at_least(0.6)),
    ]


def own_segments(shop: Shop) -> list[Figure]:
    """Measure the time in which a page learns its visitor's segments, at half load, with 10,000,000 memberships."""
    target = f"/v1/me/segments?key={shop.public_key}"
    tails = []
    with stack.door() as url:
        fires.warm_up(url, shop)
        members.add(shop.advertiser_id, "crowd", fires.MANY)
        most = load.fastest(url, target, shop.cookie_file, seconds=SECONDS)
        for _ in range(3):
            times = load.at_rate(url, target, shop.cookies, per_second=most / 2, seconds=SECONDS)
            tails.append(load.percentile(times, 99))
            print(f"  at {most / 2:,.0f}/s: p99 {tails[-1]:.1f} ms", flush=True)
    return [Figure("me_segments_p99_ms", tails, "ms", at_most(10))]


def _event() -> dict[str, object]:
    return {"event": "product_view", "properties": PROPERTIES, "context": {"page": {"path": "/shoes"}}}


def _count_events() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audience_event")
        return int(cursor.fetchone()[0])


def _check(stored: int, answered: float) -> None:
    if stored < answered * 0.98:
        raise RuntimeError(f"{answered:.0f} events were answered, but {stored} stored.")


def _insert(shop: Shop, seconds: int) -> float:
    """Return the rows per second that one connection inserts, a transaction for each batch."""
    statement = (
        "INSERT INTO audience_event (id, advertiser_id, profile_id, name, occurred_at, received_at, properties,"
        " context) SELECT id, %s, profile, 'product_view', now(), now(), properties, context"
        " FROM unnest(%s::uuid[], %s::uuid[], %s::jsonb[], %s::jsonb[]) AS e(id, profile, properties, context)"
    )
    people = [uuid7() for _ in range(50)]
    properties = [Jsonb(PROPERTIES)] * EVENTS_OF_A_BATCH
    context = [Jsonb({"page": {"path": "/shoes"}, "channel": "server"})] * EVENTS_OF_A_BATCH
    rows, end = 0, time.monotonic() + seconds
    with psycopg.connect(fires.settings_url(), autocommit=True) as client:
        while time.monotonic() < end:
            ids = [uuid7() for _ in range(EVENTS_OF_A_BATCH)]
            profiles = [people[number % 50] for number in range(EVENTS_OF_A_BATCH)]
            client.execute(statement, [shop.advertiser_id, ids, profiles, properties, context])
            rows += EVENTS_OF_A_BATCH
    return rows / seconds
