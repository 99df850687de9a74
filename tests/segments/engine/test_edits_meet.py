"""What happens to a segment while a version of it is being built: other edits, a pause, a deletion, a merge."""

import threading
from typing import Any

import pytest
from django.db import connection, connections, transaction

from audience.models import Identifier
from segments import rulebook
from segments.building import build
from segments.deletion import delete_segment
from segments.evaluation import switch_lock
from segments.models import Membership, RuleVersion, Segment
from segments.versions import pause, resume
from tests.running import until
from tests.segments.engine.scene import Shop, steps, sweep_at
from tests.segments.engine.test_edits import V, build_chunks, state_of, views
from tests.segments.rules.facts import at

pytestmark = pytest.mark.django_db(transaction=True)

IN_FANS = {"segment": "fans", "in": True}


@pytest.fixture
def shop():
    return Shop()


def active_rule(segment: Segment) -> str:
    return RuleVersion.all_advertisers.get(segment=segment, state="active").rule


def test_a_second_build_at_once_finds_the_first_and_leaves(shop):
    segment = shop.segment("fans", views())
    shop.views("p", *V)
    shop.edit(segment, views(2))
    others: list[Any] = []

    def beside(_):
        def second():
            try:
                others.append(build(now=at("05-03 12:00")))
            finally:
                connections.close_all()

        thread = threading.Thread(target=second)
        thread.start()
        thread.join(60)

    build(now=at("05-03 12:00"), progress=beside)
    assert others == [None]
    assert state_of(segment) == [(1, "superseded"), (2, "active")]


def test_an_edit_of_what_uses_a_segment_outlives_the_edit_of_that_segment(shop):
    """Both are saved one after the other; when the first serves, the second is not thrown away."""
    fans = shop.segment("fans", views())
    users = shop.segment("users", IN_FANS)
    shop.views("p", *V[:2])
    shop.edit(fans, views(2))
    own = shop.edit(users, {"any_of": [IN_FANS, {"event": "buy"}]})
    for when in ("05-03 12:00", "05-03 13:00"):
        shop.build(when)
    assert active_rule(users) == own.rule
    assert shop.members(fans, "05-03 14:00") == shop.members(users, "05-03 14:00") == 1


@pytest.mark.parametrize("edited", ["fans", "users"])
def test_an_edit_in_the_middle_of_the_build_of_a_group(shop, edited):
    fans = shop.segment("fans", views(5))
    users = shop.segment("users", IN_FANS)
    shop.views("p", *V)
    build_chunks(shop, fans, views(4))
    last = (
        shop.edit(fans, views(3)) if edited == "fans" else shop.edit(users, {"all_of": [IN_FANS, {"event": "view"}]})
    )
    for when in ("05-03 12:00", "05-03 13:00"):
        shop.build(when)
    assert active_rule(last.segment) == last.rule
    number = 1 if edited == "fans" else 0
    assert [shop.members(one, "05-03 14:00") for one in (fans, users)] == [number, number]
    assert not RuleVersion.all_advertisers.filter(state="building").exists()


def test_a_deletion_in_the_middle_of_a_build_ends_it(shop):
    segment = shop.segment("fans", views())
    shop.views("p", *V[:2])
    build_chunks(shop, segment, views(2))
    delete_segment(segment)
    rulebook.refresh()
    shop.build("05-03 12:00")
    assert state_of(segment)[1] == (2, "superseded")
    assert shop.steps(segment) == []


def test_a_pause_in_the_middle_of_a_build_ends_it_and_those_that_use_it_go_on(shop):
    fans = shop.segment("fans", views())
    users = shop.segment("users", IN_FANS)
    shop.views("p", *V)
    build_chunks(shop, fans, views(9))
    fans.refresh_from_db()
    pause(fans, at=at("05-03 12:00"))
    rulebook.refresh()
    for when in ("05-03 12:00", "05-03 13:00"):
        shop.build(when)
    assert shop.members(users, "05-03 13:00") == shop.members(fans, "05-03 13:00") == 1
    assert not RuleVersion.all_advertisers.filter(state="building").exists()

    resume(fans, at=at("05-03 14:00"))
    for when in ("05-03 14:00", "05-03 15:00"):
        shop.build(when)
    sweep_at("05-12")
    left_by_the_edit = steps("join 05-03 10:00 fact, leave 05-03 14:00 edit")
    assert shop.steps(fans) == shop.steps(users) == left_by_the_edit


@pytest.mark.parametrize("first", ["p", "q"])
def test_two_of_whom_one_is_built_become_one(shop, first, monkeypatch):
    """Whoever stays has what both have done, whether the build has come by already or is still to come."""
    monkeypatch.setattr("segments.building.CHUNK_PROFILES", 1)
    segment = shop.segment("fans", views(9))
    for who in (first, *{"p", "q"} - {first}):
        shop.track(who, "view", V[0], proven=["customer_id:c"] if who == "p" else [])
    shop.views("q", V[1], V[2])
    shop.edit(segment, views(4))
    build(now=at("05-03 11:00"), progress=Merge(shop))
    rulebook.refresh()
    assert shop.members(segment, "05-03 12:00") == 1
    assert shop.steps(segment) == steps("join 05-03 11:00 edit")


class Merge:
    """After the first chunk two people prove to be one."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.is_done = shop, False

    def __call__(self, _: RuleVersion) -> None:
        if not self.is_done:
            self.is_done = True
            self.shop.track("q", "", "05-03 10:30", proven=["customer_id:c"])


def test_a_merge_waits_for_a_switch_before_it_takes_any_row_that_is_switched(shop):
    """The switch holds the lock and comes to the rows last: whoever had them would wait for it, and it for them."""
    segment = shop.segment("fans", views(1))
    shop.views("p", V[0])
    shop.track("p", "", V[0], proven=["customer_id:c"])
    shop.views("q", V[0])

    def merge() -> None:
        try:
            shop.track("q", "", V[1], proven=["customer_id:c"])
        finally:
            connections.close_all()

    thread = threading.Thread(target=merge)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [switch_lock(shop.advertiser.pk)])
        thread.start()
        until(lambda: _waits(cursor), "the merge waits for the switch")
        rows = Membership.all_advertisers.select_for_update(nowait=True).filter(segment=segment)
        assert len(rows) == 2
    thread.join(60)
    assert Identifier.all_advertisers.values("profile_id").distinct().count() == 1
    assert shop.members(segment, V[1]) == 1


def test_a_switch_waits_for_a_batch_and_knows_what_it_brings(shop):
    segment = shop.segment("fans", views(9))
    shop.views("p", V[0])
    build_chunks(shop, segment, views(2))

    def switch() -> None:
        try:
            build(now=at("05-03 12:00"))
        finally:
            connections.close_all()

    thread = threading.Thread(target=switch)
    with transaction.atomic(), connection.cursor() as cursor:
        shop.track("p", "view", V[1])
        thread.start()
        until(lambda: _waits(cursor), "the switch waits for the batch")
        assert state_of(segment) == [(1, "active"), (2, "building")]
    thread.join(60)
    assert state_of(segment) == [(1, "superseded"), (2, "active")]
    assert shop.steps(segment) == steps("join 05-03 12:00 edit")


def _waits(cursor: Any) -> bool:
    cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    return bool(cursor.fetchone()[0])


def test_whoever_has_read_a_segment_before_a_switch_does_not_take_it_back(shop):
    segment = shop.segment("fans", views())
    read_before = Segment.all_advertisers.get(pk=segment.pk)
    shop.views("p", *V[:2])
    shop.edit(segment, views(2), live="05-03 12:00")
    read_before.name = "Fans of ours"
    read_before.save()
    shop.edit(read_before, views(9))
    assert shop.members(segment, "05-03 12:00") == 1
    segment.refresh_from_db()
    assert (segment.name, segment.active_version) == ("Fans of ours", 2)
