"""A rule that is built for everybody, beside SQL that somebody writes for this one question; and long histories."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import datetime

import psycopg
from django.db import connection
from django.utils import timezone

from audience.columns import batch_cursor
from audience.ids import uuid7_bytes
from audience.instants import instant
from audience.talk import speak
from benchmarks import fires, histories, rules
from benchmarks.report import Figure, at_least, at_most
from benchmarks.shop import Shop
from pixels.commits import SESSION_OPTIONS
from segments import asking
from segments.building import build
from segments.membership import holds
from segments.models import Membership, RuleVersion, Segment
from segments.rulebook import entry_of

# To try something, set it lower.
PROFILES = int(os.environ.get("MUSTER_BENCH_PROFILES", "1000000"))
EVENTS_OF_EACH = 10
ROUNDS = 3
HISTORIES = {"long": 100_000, "short": 10}
CALLS = 500
VIEWED = {"event": "view", "window": {"within": "14d"}, "count": {"at_least": 3}}
LAPSED = {"event": "buy", "window": {"within": "30d"}, "count": {"none": True}}


def against_sql(shop: Shop) -> list[Figure]:
    """Build a rule of two conditions for everybody, and store its members by SQL written for it, in turn."""
    owner = histories.make_advertiser("Backfill").pk
    histories.add(owner, profiles=PROFILES, events=EVENTS_OF_EACH * PROFILES, until=timezone.now())
    built, written, selected = [], [], []
    for number in range(ROUNDS):
        by_hand = rules.make_segment(owner, f"by-hand-{number}")
        by_rule = rules.save(owner, f"by-rule-{number}", {"all_of": [VIEWED, LAPSED]})
        now = timezone.now()
        keys = {"owner": owner, "segment": by_hand.pk, "at": now}
        built.append(_seconds(lambda now=now: build(now=now)))
        written.append(_seconds(lambda keys=keys: _execute(_STORE, keys)))
        selected.append(_seconds(lambda keys=keys: _execute(_COUNT, keys)))
        print(
            f"  {built[-1]:.1f} s, stored by SQL {written[-1]:.1f} s, only counted {selected[-1]:.1f} s", flush=True
        )
        _check_and_forget(by_rule, by_hand, now)
    return [
        Figure("backfill_profiles_per_s", [PROFILES / one for one in built], "/s", at_least(50_000)),
        Figure("backfill_vs_sql", [b / w for b, w in zip(built, written, strict=True)], "times", at_most(2)),
        Figure("backfill_vs_sql_count", [b / s for b, s in zip(built, selected, strict=True)], "times"),
    ]


def of_long_histories(shop: Shop) -> list[Figure]:
    """Ask a count rule about somebody with 100,000 events and about somebody with 10, in turn, as a batch does."""
    owner, now = histories.make_advertiser("Histories").pk, timezone.now()
    segment = rules.save(owner, "viewed", VIEWED)
    version = RuleVersion.all_advertisers.get(segment=segment)
    compiled = entry_of(version).ruled.compiled
    questions = {}
    for name, events in HISTORIES.items():
        profile = uuid7_bytes(0)
        histories.add_events(owner, profile, events=events, name="view", until=now)
        questions[name] = asking.Question(segment.pk, version.number, compiled, [profile])
    times: dict[str, list[float]] = {name: [] for name in HISTORIES}
    with psycopg.connect(fires.settings_url(), options=SESSION_OPTIONS) as client, batch_cursor(client) as cursor:
        for _ in range(CALLS):
            for name, question in questions.items():
                ask = asking.ask([question], instant(now))
                times[name].append(_seconds(lambda ask=ask: speak(cursor, ask)))
    ratio = statistics.median(times["long"]) / statistics.median(times["short"])
    return [
        Figure("long_history_vs_short", [ratio], "times", at_most(1.2)),
        Figure("long_history_ms", [1000 * statistics.median(times["long"])], "ms"),
    ]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _execute(statement: str, keys: Mapping[str, object]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, keys)


def _check_and_forget(by_rule: Segment, by_hand: Segment, now: datetime) -> None:
    """Stop where the two have not the same number of members; then leave the tables as they were."""
    counts = [Membership.all_advertisers.filter(holds(now), segment=one).count() for one in (by_rule, by_hand)]
    if counts[0] != counts[1] or not counts[0]:
        raise RuntimeError(f"{counts[0]} members by the rule, {counts[1]} by SQL.")
    RuleVersion.all_advertisers.filter(segment=by_rule).update(state=RuleVersion.State.SUPERSEDED)
    with connection.cursor() as cursor:
        for table in ("segments_membership", "segments_transition"):
            cursor.execute(f"DELETE FROM {table} WHERE segment_id IN (%s, %s)", [by_rule.pk, by_hand.pk])
            cursor.execute(f"VACUUM ANALYZE {table}")


# Who has viewed three times in 14 days and not bought in 30. From the two indexes alone; that they are this
# advertiser's is looked at last.
_WHO = """
    SELECT v.profile_id, v.third FROM (
        SELECT profile_id, (array_agg(occurred_at ORDER BY occurred_at DESC))[3] AS third FROM audience_event
        WHERE name = 'view' AND occurred_at > %(at)s::timestamptz - interval '14 days'
        GROUP BY profile_id HAVING count(*) >= 3
    ) v
    JOIN audience_profile p ON p.id = v.profile_id AND p.advertiser_id = %(owner)s
    WHERE NOT EXISTS (
        SELECT FROM audience_event b WHERE b.profile_id = v.profile_id AND b.name = 'buy'
            AND b.occurred_at > %(at)s::timestamptz - interval '30 days'
    )
"""
_COUNT = f"SELECT count(*) FROM ({_WHO}) who"
# What the build leaves behind: members with their ends, their joins, and how many these are.
_STORE = f"""
    WITH who AS MATERIALIZED ({_WHO}), members AS (
        INSERT INTO segments_membership (advertiser_id, profile_id, segment_id, version, starts_at, expires_at,
            last_added_at, decided_at, sweep_at)
        SELECT %(owner)s, profile_id, %(segment)s, 1, %(at)s, third + interval '14 days', %(at)s, %(at)s,
            third + interval '14 days' FROM who
    ), joins AS (
        INSERT INTO segments_transition (advertiser_id, profile_id, segment_id, at, change, cause)
        SELECT %(owner)s, profile_id, %(segment)s, %(at)s, 'join', 'edit' FROM who
    )
    INSERT INTO segments_segmentdelta (advertiser_id, segment_id, day, joins, leaves, loads, daily_uniques,
        monthly_uniques)
    SELECT %(owner)s, %(segment)s, %(at)s::timestamptz::date, count(*), 0, 0, 0, 0 FROM who
"""
