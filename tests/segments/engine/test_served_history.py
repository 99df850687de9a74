"""Rules about who has joined or left another segment ask what was served: every time, whatever became of the row."""

import pytest

from segments.models import Transition
from tests.factories import make_segment
from tests.segments.engine.door import Door
from tests.segments.engine.scene import Shop, steps, sweep_at
from tests.segments.engine.test_edits import V, build_chunks, views
from tests.segments.rules.facts import at

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.spec("rules.md 2.11")]

FIVE = ("02-01", "02-11", "03-01", "03-20", "04-10")
VIEWED = {"event": "view", "window": {"within": "7d"}}
BEFORE = "01-15"


def left(**window):
    return {"segment": "x", "left": window}


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
def x(shop):
    return make_segment(shop.advertiser, code="x")


def add_five_times(shop, x, who="p"):
    """Let somebody be in for a day, five times: two are ended by a remove, three by time."""
    door = Door(shop, x)
    for number, day in enumerate(FIVE):
        sweep_at(day)
        door.fire(who, f"{day} 10:00", days=1)
        if number in (1, 3):
            door.fire(who, f"{day} 20:00", do="remove")


def test_each_of_five_leaves_counts_in_its_own_time(shop, x):
    segment = shop.segment("back", left(between_ago=["30d", "33d"]), live=BEFORE)
    add_five_times(shop, x)
    sweep_at("06-01")
    assert shop.steps(segment) == steps(
        "join 03-04 10:00 time, leave 03-07 10:00 time, join 03-13 20:00 time, leave 03-16 20:00 time, "
        "join 04-01 10:00 time, leave 04-04 10:00 time, join 04-19 20:00 time, leave 04-22 20:00 time, "
        "join 05-11 10:00 time, leave 05-14 10:00 time"
    )


def test_a_rule_that_is_saved_later_knows_all_of_them(shop, x):
    add_five_times(shop, x)
    sweep_at("04-15")
    on_a_day = shop.segment("day", left(on="2026-02-11"), live="04-15")
    lately = shop.segment("lately", {"segment": "x", "was_in": {"within": "40d"}}, live="04-15")
    ever = shop.segment("ever", {"segment": "x", "was_in": {"ever": True}}, live="04-15")
    joined = shop.segment("joined", {"segment": "x", "joined": {"within": "7d"}}, live="04-15")
    assert [shop.members(one, "04-15") for one in (on_a_day, lately, ever, joined)] == [1, 1, 1, 0]
    sweep_at("06-01")
    assert shop.steps(lately) == steps("join 04-15 edit, leave 05-21 10:00 time")
    assert shop.steps(ever) == shop.steps(on_a_day) == steps("join 04-15 edit")


def test_who_was_two_has_left_when_neither_is_in(shop, x):
    segment = shop.segment("back", left(between_ago=["30d", "33d"]), live=BEFORE)
    shop.track("browser:p", "view", "01-20", proven=["customer_id:c"])
    for who, day, days in (("p", "02-01", 4), ("q", "02-03", 7)):
        Door(shop, x).fire(who, f"{day} 10:00", days=days)
    sweep_at("02-12")
    shop.track("browser:q", "view", "02-20", proven=["customer_id:c"])
    assert len({row.profile_id for row in Transition.all_advertisers.filter(segment=x)}) == 1
    sweep_at("05-01")
    assert shop.steps(segment) == steps("join 03-12 10:00 time, leave 03-15 10:00 time")


def test_a_leave_is_known_when_its_join_is_forgotten(shop, x):
    add_five_times(shop, x)
    sweep_at("04-15")
    Transition.all_advertisers.filter(at__lt=at("03-01 12:00")).delete()  # as old partitions are dropped
    kept = shop.segment("kept", left(on="2026-03-02"), live="04-15")
    gone = shop.segment("gone", left(on="2026-02-11"), live="04-15")
    ever = shop.segment("ever", {"segment": "x", "was_in": {"ever": True}}, live="04-15")
    assert [shop.members(one, "04-15") for one in (kept, gone, ever)] == [1, 0, 1]


def test_the_range_before_the_coming_one_is_not_forgotten(shop):
    """The row of a rule's member that has left holds the next range already."""
    shop.segment("back", {"event": "view", "window": {"between_ago": ["1d", "2d"]}}, live=BEFORE)
    lately = shop.segment("lately", {"segment": "back", "was_in": {"within": "12h"}}, live=BEFORE)
    shop.views("p", "02-01 10:00")
    sweep_at("02-03 12:00")
    shop.views("p", "02-03 15:00")
    sweep_at("02-10")
    assert shop.steps(lately) == steps(
        "join 02-02 10:00 time, leave 02-03 22:00 time, join 02-04 15:00 time, leave 02-06 03:00 time"
    )


def test_an_edit_keeps_since_when_members_are_in_for_those_who_ask(shop):
    fans = shop.segment("fans", {**VIEWED, "window": {"within": "60d"}}, live=BEFORE)
    old = shop.segment("old", {"segment": "fans", "in": True, "for_at_least": "14d"}, live=BEFORE)
    new = shop.segment("new", {"segment": "fans", "joined": {"within": "14d"}}, live=BEFORE)
    shop.views("p", "02-01 10:00")
    sweep_at("02-20")
    shop.edit(fans, {**VIEWED, "window": {"within": "50d"}}, live="02-20 12:00")
    assert shop.steps(old) == steps("join 02-15 10:00 time")
    assert shop.steps(new) == steps("join 02-01 10:00 fact, leave 02-15 10:00 time")
    assert shop.members(old, "02-20 12:00") == 1
    assert shop.members(new, "02-20 12:00") == 0


def test_who_joins_by_an_edit_has_joined_when_it_serves(shop):
    """Everybody is asked before the switch, when nobody knows yet when that will be."""
    fans = shop.segment("fans", views(3), live=BEFORE)
    new = shop.segment("new", {"segment": "fans", "joined": {"within": "7d"}}, live=BEFORE)
    shop.views("p", V[0], V[1])
    build_chunks(shop, fans, views(2, within="30d"))
    shop.build("05-03 12:00")
    sweep_at("05-12")
    assert shop.steps(fans) == steps("join 05-03 12:00 edit")
    assert shop.steps(new) == steps("join 05-03 12:00 edit, leave 05-10 12:00 time")


def test_who_leaves_by_an_edit_has_left(shop):
    fans = shop.segment("fans", {**VIEWED, "window": {"within": "60d"}}, live=BEFORE)
    gone = shop.segment("gone", {"segment": "fans", "left": {"within": "7d"}}, live=BEFORE)
    shop.views("p", "02-01 10:00")
    shop.edit(fans, {**VIEWED, "window": {"within": "5d"}}, live="02-20 12:00")
    assert shop.steps(fans) == steps("join 02-01 10:00 fact, leave 02-20 12:00 edit")
    sweep_at("03-01")
    assert shop.steps(gone) == steps("join 02-20 12:00 edit, leave 02-27 12:00 time")
