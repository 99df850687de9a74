"""What is told of a join or a leave: its number, its version, and what brought it (rules.md 6)."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from segments.models import Transition
from segments.transitions import deciding, tell
from tests.factories import make_segment
from tests.segments.engine.scene import Shop, sweep_at
from tests.segments.engine.test_other_segments import Door
from tests.segments.rules.facts import at

pytestmark = pytest.mark.django_db(transaction=True)

VIEWS = {"event": "view", "window": {"within": "7d"}, "count": {"at_least": 3}}
BOUGHT = {"event": "buy", "window": {"within": "2d"}}
NO_BUY = {"event": "buy", "window": {"within": "30d"}, "count": {"none": True}}
V = ("05-01 10:00", "05-02 10:00", "05-03 10:00")
ROOT = ("rule",)


@pytest.fixture
def shop():
    return Shop()


def steps_of(segment):
    """Return a segment's transitions in their order, and what is told of each."""
    rows = list(Transition.all_advertisers.filter(segment=segment).order_by("at", "-change"))
    return list(zip(rows, tell(rows), strict=True))


def test_a_fact_is_named_and_so_is_the_condition_that_it_decides(shop):
    segment = shop.segment("fans", {"all_of": [VIEWS, NO_BUY]})
    shop.views("p", *V[:2])
    third, bought = shop.message("p", "view", V[2]), shop.message("p", "buy", "05-03 11:00", total=1)
    shop.send(third)
    (joined, told) = steps_of(segment)[0]
    assert (joined.cause, joined.fact_id, told.fact_name) == ("fact", UUID(bytes=third.id), "view")
    assert deciding(joined) == [(*ROOT, "all_of", 0)]

    shop.send(bought)
    (left, told) = steps_of(segment)[1]
    assert (left.fact_id, told.fact_name, told.seq) == (UUID(bytes=bought.id), "buy", 2)
    assert deciding(left) == [(*ROOT, "all_of", 1)]


def test_an_attribute_decides_by_its_condition(shop):
    segment = shop.segment("gold", {"any_of": [{"attribute": "plan", "equals": "gold"}, BOUGHT]})
    shop.track("p", "", "05-01", traits={"plan": "gold"})
    ((joined, told),) = steps_of(segment)
    assert joined.fact_id is not None
    assert told.fact_name is None
    assert deciding(joined) == [(*ROOT, "any_of", 0)]


def test_by_time_the_condition_that_flips_decides(shop):
    segment = shop.segment("fans", {"all_of": [VIEWS, BOUGHT]})
    shop.views("p", *V)
    shop.track("p", "buy", "05-03 12:00", total=60)
    sweep_at("05-09")
    (_, (left, told)) = steps_of(segment)
    assert (left.cause, left.fact_id, told.seq) == ("time", None, 2)
    assert left.at == at("05-05 12:00")
    assert timezone.now() - left.recorded_at < timedelta(minutes=1), "published later than it is true"
    assert deciding(left) == [(*ROOT, "all_of", 1)]


def test_where_two_flip_at_one_instant_both_decide_or_the_one_that_matters(shop):
    viewed = {"event": "view", "window": {"within": "7d"}}
    either = shop.segment("either", {"any_of": [viewed, {"not": {**viewed, "window": {"more_than_ago": "5d"}}}]})
    late = {"event": "view", "window": {"more_than_ago": "7d"}}
    matters = shop.segment("matters", {"all_of": [viewed, {"not": {"all_of": [late, BOUGHT]}}]})
    shop.track("p", "view", "05-01 10:00")
    sweep_at("05-09")
    assert deciding(steps_of(matters)[-1][0]) == [(*ROOT, "all_of", 0)], "the other flips at that instant in vain"
    assert deciding(steps_of(either)[-1][0]) == [(*ROOT, "any_of", 0)]


def test_an_edit_tells_both_versions_and_no_condition(shop):
    segment = shop.segment("fans", VIEWS)
    shop.views("p", *V[:2])
    shop.edit(segment, {**VIEWS, "count": {"at_least": 2}}, live="05-03 12:00")
    ((joined, told),) = steps_of(segment)
    assert (joined.cause, told.before, told.version) == ("edit", 1, 2)
    assert deciding(joined) == []


def test_another_segment_is_named_with_the_condition_about_it(shop):
    x = make_segment(shop.advertiser, code="x")
    segment = shop.segment("in", {"all_of": [{"segment": "x", "in": True}, NO_BUY]})
    door = Door(shop, x)
    door.fire("p", "05-01 10:00")
    ((joined, told),) = steps_of(segment)
    assert (joined.cause, joined.other_segment_id, told.segment) == ("segment", x.pk, "x")
    assert deciding(joined) == [(*ROOT, "all_of", 0)]


def test_a_fire_is_named_by_its_id_and_an_end_by_none(shop):
    x = make_segment(shop.advertiser, code="x")
    door = Door(shop, x)
    fire = door._fire("p", "05-01 10:00", "add", {})
    door.store(fire)
    sweep_at("06-15")
    assert [(row.change, row.fact_id) for row, _ in steps_of(x)] == [("join", UUID(bytes=fire.id)), ("leave", None)]
    assert [(told.version, told.before, told.seq) for _, told in steps_of(x)] == [(1, 1, 1), (1, 1, 2)]


def test_the_numbers_of_two_who_become_one_are_without_a_gap(shop):
    segment = shop.segment("viewed", {"event": "view", "window": {"within": "1d"}})
    shop.track("p", "view", "05-01 10:00", proven=["customer_id:c"])
    shop.track("q", "view", "05-02 10:00")
    sweep_at("05-04")
    shop.send(shop.message("q", "", "05-05 12:00", proven=["customer_id:c"]))
    shop.track("q", "view", "05-06 12:00")
    assert [told.seq for _, told in steps_of(segment)] == [1, 2, 3, 4, 5]
    assert len({row.profile_id for row, _ in steps_of(segment)}) == 1
