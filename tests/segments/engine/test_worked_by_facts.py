"""The worked cases of rules.md 7 that say who was told what, by the ways that facts take."""

import pytest

from segments.starting_points import starting_point
from tests.segments.engine.scene import Shop, steps, sweep_at
from tests.segments.rules.facts import at

pytestmark = pytest.mark.django_db(transaction=True)

VIEWS = {"event": "view", "window": {"within": "7d"}, "count": {"at_least": 3}}
VIEWED = {"event": "view", "window": {"within": "7d"}}
NO_BUY = {"event": "buy", "window": {"within": "30d"}, "count": {"none": True}}
V = ("05-01 10:00", "05-02 10:00", "05-03 10:00")


@pytest.fixture
def shop():
    return Shop()


def test_1_and_2_the_third_view_brings_in_and_time_takes_out(shop):
    segment = shop.segment("fans", VIEWS)
    shop.views("p", *V[:2])
    assert shop.track("p", "view", V[2]).moves == ((segment.pk,), ())

    assert shop.members(segment, "05-03 09:59:59.999999") == 0
    assert shop.members(segment, "05-08 09:59:59.999999") == 1
    assert shop.members(segment, "05-08 10:00") == 0
    assert shop.steps(segment) == steps("join 05-03 10:00 fact")

    sweep_at("05-09")
    assert shop.steps(segment) == steps("join 05-03 10:00 fact, leave 05-08 10:00 time")


def test_3_a_member_who_stays_keeps_the_start(shop):
    segment = shop.segment("fans", VIEWS)
    shop.views("p", *V, "05-06 09:00")
    sweep_at("05-10")
    assert shop.steps(segment) == steps("join 05-03 10:00 fact, leave 05-09 10:00 time")


def test_11_what_comes_late_joins_when_it_comes(shop):
    segment = shop.segment("fans", VIEWS)
    shop.views("p", *V[1:])
    shop.track("p", "view", V[0], arrives="05-04 12:00")
    sweep_at("05-10")
    assert shop.steps(segment) == steps("join 05-04 12:00 fact, leave 05-08 10:00 time")


def test_12_what_comes_too_late_changes_nothing(shop):
    segment = shop.segment("viewed", VIEWED)
    shop.track("p", "view", "04-20 10:00", arrives="05-04 12:00")
    sweep_at("05-10")
    assert shop.steps(segment) == []


@pytest.mark.parametrize("is_swept", [True, False])
def test_13_a_late_view_brings_back_who_has_left(shop, is_swept):
    segment = shop.segment("viewed", VIEWED)
    shop.track("p", "view", "05-01 10:00")
    if is_swept:
        sweep_at("05-08 12:00")
    shop.track("p", "view", "05-03 10:00", arrives="05-09 08:00")
    sweep_at("05-11")
    assert shop.steps(segment) == steps(
        "join 05-01 10:00 fact, leave 05-08 10:00 time, join 05-09 08:00 fact, leave 05-10 10:00 time"
    )


def test_14_nothing_happens_in_the_future(shop):
    segment = shop.segment("viewed", {"event": "view", "window": {"within": "1h"}})
    shop.track("p", "view", "05-05 10:10", arrives="05-05 10:00")
    sweep_at("05-06")
    assert shop.steps(segment) == steps("join 05-05 10:00 fact, leave 05-05 11:00 time")


def test_15_a_late_purchase_takes_out_until_it_is_old(shop):
    segment = shop.segment("lapsed", NO_BUY)
    shop.track("p", "view", "05-01")
    shop.track("p", "buy", "05-01 12:00", arrives="05-10 12:00")
    assert shop.members(segment, "05-31 11:59") == 0
    assert shop.members(segment, "05-31 12:00") == 1, "a join by time needs no sweeper to be read"
    sweep_at("06-01")
    assert shop.steps(segment) == steps("join 05-01 fact, leave 05-10 12:00 fact, join 05-31 12:00 time")


def test_18_each_of_two_ranges_is_brought_up(shop):
    segment = shop.segment("back", {"event": "view", "window": {"between_ago": ["7d", "30d"]}})
    shop.views("p", "05-01 10:00")
    shop.views("p", "05-31 10:00")
    sweep_at("07-01")
    assert shop.steps(segment) == steps(
        "join 05-08 10:00 time, leave 05-31 10:00 time, join 06-07 10:00 time, leave 06-30 10:00 time"
    )


def test_22_a_refund_takes_out_in_its_own_answer(shop):
    enough = {"event": "buy", "window": {"within": "7d"}, "sum": {"of": "total", "at_least": 100}}
    segment = shop.segment("big", enough)
    shop.track("p", "buy", "05-01 10:00", total=60)
    assert shop.track("p", "buy", "05-02 10:00", total=50).moves.joined == (segment.pk,)
    assert shop.track("p", "buy", "05-03 10:00", total=-30).moves.left == (segment.pk,)
    sweep_at("06-01")
    assert shop.steps(segment) == steps("join 05-02 10:00 fact, leave 05-03 10:00 fact")


def test_76_what_begins_and_ends_within_a_batch_is_no_transition(shop):
    segment = shop.segment("no-buy", {"all_of": [VIEWED, NO_BUY]})
    shop.send(shop.message("p", "view", "05-01 10:00"), shop.message("p", "buy", "05-01 10:01", total=1))
    assert shop.steps(segment) == []
    assert shop.members(segment, "05-01 11:00") == 0


def test_56_a_segment_comes_before_those_that_use_it(shop):
    a = shop.segment("a", {"event": "view", "window": {"within": "7d"}, "count": {"none": True}})
    b = shop.segment("b", {"all_of": [{"segment": "a", "in": True}, {"event": "buy", "window": {"within": "30d"}}]})
    shop.send(shop.message("p", "view", "05-01 10:00"), shop.message("p", "buy", "05-01 10:00", total=60))
    sweep_at("06-15")
    assert shop.steps(a) == steps("join 05-08 10:00 time")
    assert shop.steps(b) == steps("join 05-08 10:00 time, leave 05-31 10:00 time")


def test_70_a_merge_adds_up_what_two_have_done(shop):
    segment = shop.segment("fans", VIEWS)
    shop.track("p", "view", V[0], proven=["customer_id:c"])
    shop.track("p", "view", V[1])
    shop.track("q", "view", V[2])
    shop.send(shop.message("q", "", "05-04 12:00", proven=["customer_id:c"]))
    sweep_at("05-10")
    assert shop.steps(segment) == steps("join 05-04 12:00 merge, leave 05-08 10:00 time")


def test_what_is_told_of_a_company_concerns_all_who_belong_to_it(shop):
    segment = shop.segment("retail", {"account": {"attribute": "industry", "equals": "retail"}})
    shop.track("p", "", "05-01", account="acme", traits={"industry": "steel"})
    shop.track("q", "", "05-02", account="acme", traits={"industry": "retail"})
    assert shop.members(segment, "05-02") == 2
    shop.track("p", "", "05-03", account="acme", traits={"industry": "steel"})
    assert shop.members(segment, "05-03") == 0


def test_a_batch_of_two_advertisers_keeps_their_companies_apart(shop):
    other = Shop()
    rule = {"account": {"attribute": "industry", "equals": "retail"}}
    segments = shop.segment("retail", rule), other.segment("retail", rule)
    other._numbers = iter(range(5_000, 6_000))
    told = {"account": "acme", "traits": {"industry": "retail"}}
    shop.send(shop.message("p", "", "05-01", **told), other.message("q", "", "05-01", **told))
    assert [shop.members(segments[0], "05-01"), other.members(segments[1], "05-01")] == [1, 1]


def test_who_loses_a_device_to_another_customer_leaves_by_that(shop):
    segment = shop.segment("devices", {"identity": "device", "known": True})
    shop.track("device:d", "view", "05-01", proven=["customer_id:a"])
    shop.track("customer_id:b", "view", "05-02", proven=["customer_id:b"])
    shop.track("device:d", "view", "05-03", proven=["customer_id:b"])
    assert shop.members(segment, "05-03") == 1
    assert shop.steps(segment) == steps("join 05-01 fact, leave 05-03 fact, join 05-03 fact")


def test_an_event_that_no_rule_names_wakes_none(shop):
    shop.segment("fans", VIEWS)
    shop.track("p", "login", "05-01")
    assert shop.track("p", "login", "05-01 10:00").moves == ((), ())


def test_a_stranger_is_taken_in_by_a_rule_about_silence(shop):
    segment = shop.segment("quiet", NO_BUY)
    assert shop.track("p", "login", "05-01").moves.joined == (segment.pk,)
    assert shop.members(segment, at("05-02")) == 1


def test_63_a_cart_under_100_comes_and_goes_with_each_fact_of_it(shop):
    segment = shop.segment("under-100", starting_point("cart-under-100").node)
    joins, leaves = ((segment.pk,), ()), ((), (segment.pk,))
    for clock, total, moves in [
        ("10:00", 80, joins),
        ("10:05", 120, leaves),
        ("10:07", "99.99", joins),
        ("10:08", 100, leaves),
        ("10:09", 90, joins),
    ]:
        products = [{"product_id": "1", "price": total}]
        assert shop.track("p", "cart_updated", f"05-01 {clock}", products=products).moves == moves
    assert shop.track("p", "cart_updated", "05-01 10:10", products=[]).moves == leaves
    assert [step[1:] for step in shop.steps(segment)][-1:] == [(at("05-01 10:10"), "fact")]


def test_63_of_a_cart_that_is_filled_and_emptied_piece_by_piece(shop):
    segment = shop.segment("under-100", starting_point("cart-under-100").node)
    lamp, mug = {"product_id": "lamp", "price": 79}, {"product_id": "mug", "price": 12}
    shop.track("p", "add_to_cart", "05-01 10:00", **lamp)
    shop.track("p", "add_to_cart", "05-01 10:01", **mug, quantity=2)
    shop.track("p", "remove_from_cart", "05-01 10:02", **mug, quantity=1)
    shop.track("p", "purchase", "05-01 10:04", total=91)
    shop.track("p", "view", "05-01 10:05")
    shop.track("p", "add_to_cart", "05-01 10:03", arrives="05-01 10:06", **mug)
    assert shop.steps(segment) == steps(
        "join 05-01 10:00 fact, leave 05-01 10:01 fact, join 05-01 10:02 fact, leave 05-01 10:04 fact"
    )


def test_a_step_of_a_life_is_a_change_of_an_attribute(shop):
    where = [{"property": name, "equals": value} for name, value in (("attribute", "plan"), ("to", "gold"))]
    upgraded = shop.segment("upgraded", {"event": "$attribute_changed", "where": where, "window": {"within": "7d"}})
    active = shop.segment("active", {"event": "*", "window": {"within": "7d"}})
    for when, plan in (("05-01", "free"), ("05-02", "gold"), ("05-03", "gold")):
        shop.track("p", "", when, traits={"plan": plan, "age": 30})
    sweep_at("05-10")
    assert shop.steps(upgraded) == steps("join 05-02 fact, leave 05-09 time")
    assert shop.steps(active) == [], "it is derived, and no event of its own"


def test_a_rule_sees_the_changes_of_before_it_was_made(shop):
    for when, plan in (("05-01", "free"), ("05-02", "gold")):
        shop.track("p", "", when, traits={"plan": plan})
    where = [{"property": "from", "equals": "free"}]
    segment = shop.segment("left-free", {"event": "$attribute_changed", "where": where}, live="05-03")
    assert shop.members(segment, "05-03") == 1
