"""The joins and leaves of a segment by cursor: each once, and none is passed by because it commits late."""

import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audience.models import Advertiser, Profile, Role
from segments.models import Segment, Transition
from segments.positions import begin_era
from tests.callers import Caller, make_caller
from tests.factories import make_advertiser, make_profile, make_segment
from tests.segments.engine.scene import Shop, sweep_at
from tests.segments.rules.facts import at

pytestmark = pytest.mark.django_db(transaction=True)

V = ("05-01 10:00", "05-02 10:00", "05-03 10:00")
FANS = {"event": "view", "window": {"within": "7d"}, "count": {"at_least": 3}}
JOIN = """
    INSERT INTO segments_transition (advertiser_id, profile_id, segment_id, at, change, cause)
    VALUES (%s, %s, %s, %s, 'join', 'fact')
"""


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser()


@pytest.fixture
def caller(advertiser: Advertiser) -> Caller:
    return make_caller(advertiser)


@pytest.fixture
def segment(advertiser: Advertiser) -> Segment:
    return make_segment(advertiser, "cart")


class Reader:
    """Somebody who asks again and again with the cursor of the page before."""

    def __init__(self, caller: Caller, segment: Segment, **query: Any) -> None:
        self.caller, self.path, self.query = caller, f"/segments/{segment.pk}/transitions", query
        self.read: list[dict[str, Any]] = []

    def go_on(self) -> list[dict[str, Any]]:
        """Return what one more page has."""
        answer = self.caller.get(self.path, **self.query)
        assert answer.status_code == 200, answer.content
        page = answer.json()
        self.query = {**self.query, "cursor": page["next_cursor"]}
        self.read += page["results"]
        rows: list[dict[str, Any]] = page["results"]
        return rows


@contextmanager
def another_writer() -> Iterator[Callable[[Segment, Profile], None]]:
    """Somebody else's transaction, which commits at the end of the block; call it to let a profile join."""
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            yield lambda segment, profile: cursor.execute(
                JOIN, [segment.advertiser_id, profile.pk, segment.pk, timezone.now()]
            )
        other.commit()
    finally:
        other.close()


def put_in(caller: Caller, segment: Segment, name: str) -> None:
    body = {"add": [{"identifier": {"kind": "customer_id", "value": name}}]}
    assert caller.post(f"/segments/{segment.pk}/members", body).json()["applied"] == 1


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["identifiers"][0]["value"] for row in rows]


def test_a_join_is_told_with_its_cause(caller: Caller, segment: Segment) -> None:
    put_in(caller, segment, "C-1")
    (row,) = Reader(caller, segment).go_on()
    profile = caller.get("/profiles", kind="customer_id", value="C-1").json()["results"][0]["id"]
    assert row["type"] == "segment.joined"
    assert (row["segment"], row["version"], row["profile"]) == (segment.pk, None, profile)
    assert row["cause"] == {"kind": "api", "id": None, "name": None, "segment": None, "versions": None}
    assert row["seq"] == 1
    assert row["identifiers"] == [{"kind": "customer_id", "value": "C-1"}]
    assert row["at"] <= row["recorded_at"]


def test_without_the_right_to_see_people_there_is_the_profile_alone(advertiser: Advertiser, segment: Segment) -> None:
    put_in(make_caller(advertiser), segment, "C-1")
    (row,) = Reader(make_caller(advertiser, Role.VIEWER, people=False), segment).go_on()
    assert row["identifiers"] is None
    assert row["profile"]


def test_pages_go_on_where_the_one_before_ended_also_after_an_empty_one(caller: Caller, segment: Segment) -> None:
    reader = Reader(caller, segment, limit=2)
    assert reader.go_on() == []
    for name in ("C-1", "C-2", "C-3"):
        put_in(caller, segment, name)
    assert [names(reader.go_on()) for _ in range(3)] == [["C-1", "C-2"], ["C-3"], []]
    put_in(caller, segment, "C-4")
    assert names(reader.go_on()) == ["C-4"]


def test_what_commits_late_is_not_passed_by(caller: Caller, advertiser: Advertiser, segment: Segment) -> None:
    early, reader = make_profile(advertiser, customer_id="early"), Reader(caller, segment)
    with another_writer() as join:
        join(segment, early)
        put_in(caller, segment, "C-1")  # begun later, and there earlier
        assert reader.go_on() == []
    assert names(reader.go_on()) == ["early", "C-1"]
    assert reader.go_on() == []


def test_every_transition_is_read_once_whatever_order_its_writers_commit_in(
    caller: Caller, advertiser: Advertiser, segment: Segment
) -> None:
    profiles = [make_profile(advertiser, customer_id=f"C-{number}") for number in range(60)]
    waiting, course = list(profiles), random.Random(5)
    reader, writers = Reader(caller, segment, limit=7), [connection.copy() for _ in range(4)]
    for writer in writers:
        writer.set_autocommit(False)
    while waiting or any(writer.in_atomic_block for writer in writers):
        writer = course.choice(writers)
        if waiting and course.random() < 0.6:
            profile = waiting.pop()
            with writer.cursor() as cursor:
                cursor.execute(JOIN, [advertiser.pk, profile.pk, segment.pk, timezone.now()])
        else:
            writer.commit()
        if course.random() < 0.3:
            reader.go_on()
        if not waiting:
            break
    for writer in writers:
        writer.commit()
        writer.close()
    while reader.go_on():
        pass
    assert sorted(row["profile"] for row in reader.read) == sorted(str(profile.pk) for profile in profiles)


def test_the_version_is_the_one_that_served_and_time_is_told_to_the_instant() -> None:
    shop = Shop()
    segment = shop.segment("fans", FANS)
    shop.views("p", *V)
    shop.edit(segment, {**FANS, "count": {"at_least": 2}}, live="05-03 12:00")
    sweep_at("05-12")
    rows = Reader(make_caller(shop.advertiser), segment).go_on()
    assert [(row["type"], row["version"], row["cause"]["kind"]) for row in rows] == [
        ("segment.joined", 1, "fact"),
        ("segment.left", 2, "time"),
    ]
    assert rows[1]["at"] == at("05-09 10:00").isoformat().replace("+00:00", "Z")


def test_of_one_sweep_a_profile_leaves_and_joins_in_the_order_of_time() -> None:
    shop = Shop()
    mornings = {"all_of": [{"event": "view"}, {"time": {"from": "09:00", "to": "10:00"}}]}
    segment = shop.segment("mornings", mornings)
    shop.views("p", "05-01 12:00")
    sweep_at("05-06")
    rows = Reader(make_caller(shop.advertiser), segment).go_on()
    assert len(rows) == 2 * 4
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)


def test_since_leaves_out_what_became_true_before(caller: Caller, segment: Segment) -> None:
    put_in(caller, segment, "C-1")
    now = timezone.now()
    reader = Reader(caller, segment, since=now.isoformat().replace("+00:00", "Z"))
    assert reader.go_on() == []
    put_in(caller, segment, "C-2")
    assert names(reader.go_on()) == ["C-2"]
    assert names(Reader(caller, segment, since=(now - timedelta(days=1)).isoformat()).go_on()) == ["C-1", "C-2"]


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "\x00", ""])
def test_a_since_that_is_no_instant_is_refused(caller: Caller, segment: Segment, since: str) -> None:
    answer = caller.get(f"/segments/{segment.pk}/transitions", since=since)
    assert answer.status_code in (200, 400)
    assert (answer.status_code == 200) == (since == "")


def test_what_a_merge_moves_keeps_its_place() -> None:
    shop = Shop()
    segment = shop.segment("fans", {**FANS, "count": {"at_least": 1}})
    shop.views("p", V[0])
    shop.views("q", V[1])
    caller = make_caller(shop.advertiser)
    reader = Reader(caller, segment)
    first = reader.go_on()
    shop.send(shop.message("q", "", V[2], proven=["customer_id:C-1"]))
    shop.send(shop.message("p", "", V[2], proven=["customer_id:C-1"]))
    assert [(row["type"], row["cause"]["kind"]) for row in reader.go_on()] == [("segment.left", "merge")]
    anew = Reader(caller, segment).go_on()
    assert [row["id"] for row in anew[:2]] == [row["id"] for row in first]
    assert len({row["profile"] for row in anew}) == 1


def test_in_another_cluster_an_era_begins_above_all_that_was(caller: Caller, segment: Segment) -> None:
    assert not begin_era()
    put_in(caller, segment, "C-1")
    reader = Reader(caller, segment)
    reader.go_on()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_functiondef('segments_position()'::regprocedure),"
            " pg_get_functiondef('segments_settled()'::regprocedure),"
            " obj_description('segments_position()'::regprocedure)"
        )
        *functions, comment = cursor.fetchone()
        try:
            # As a dump of another cluster has it.
            cursor.execute("COMMENT ON FUNCTION segments_position() IS '0 1'")
            assert begin_era()
            assert not begin_era()
            put_in(caller, segment, "C-2")
            assert names(reader.go_on()) == ["C-2"]
            assert Transition.all_advertisers.latest("position").position > 2**48
        finally:
            cursor.execute(";".join(functions))
            cursor.execute(f"COMMENT ON FUNCTION segments_position() IS '{comment}'")


def test_a_cursor_of_another_segment_or_advertiser_leads_nowhere(caller: Caller, segment: Segment) -> None:
    cursor = caller.get(f"/segments/{segment.pk}/transitions").json()["next_cursor"]
    stranger = make_advertiser()
    theirs = make_segment(stranger, "cart")
    answer = make_caller(stranger).get(f"/segments/{theirs.pk}/transitions", cursor=cursor)
    assert answer.status_code == 400


def test_a_page_is_read_along_the_index_however_long_the_history_is(
    caller: Caller, advertiser: Advertiser, segment: Segment
) -> None:
    profile = make_profile(advertiser)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO segments_transition (advertiser_id, profile_id, segment_id, at, change, cause)"
            " SELECT %s, %s, %s, %s - n * interval '1 minute', 'join', 'fact' FROM generate_series(1, 20000) n",
            [advertiser.pk, profile.pk, segment.pk, timezone.now()],
        )
        cursor.execute("ANALYZE segments_transition")
    reader = Reader(caller, segment, limit=10)
    reader.go_on()
    with CaptureQueriesContext(connection) as asked:
        assert len(reader.go_on()) == 10
    (statement,) = [one["sql"] for one in asked if 'ORDER BY "segments_transition"' in one["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "position_number_idx" in plan or "transition_in_order" in plan
    assert not re.search(r"Seq Scan|Incremental Sort|-> +Sort", plan), plan
