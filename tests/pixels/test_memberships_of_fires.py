"""What a fire does to memberships: lifetimes, values, write modes (pixels.md 2)."""

from datetime import timedelta

import pytest

from audience.tenancy import acting_for
from pixels.reasons import Note
from segments.models import Segment
from tests.pixels.shop import Shop

DAY = 24 * 60
LISTED = {"referer": "https://shop.example/cart"}


@pytest.fixture
def shop(door):
    return Shop(door)


@pytest.mark.spec("pixels.md 2.2")
@pytest.mark.parametrize(
    ("segment", "tag", "minutes"),
    [
        ({}, "add={cart}", 30 * DAY),
        ({"lifetime_minutes": 90}, "add={cart}", 90),
        ({}, "add={cart}&keep=90", 90),
        ({}, "add={cart}&keep=90m", 90),
        ({}, "add={cart}&keep=36h", 36 * 60),
        ({}, "add={cart}::7d&keep=36h", 7 * DAY),
        ({}, "add={cart}:65:1", 1),
        ({}, "add={cart}::30d", 30 * DAY),
        ({}, "add={cart}::43201", "shortened to 43200"),
        ({"longest_lifetime_minutes": 60 * DAY}, "add={cart}::60d", 60 * DAY),
        ({"longest_lifetime_minutes": 180 * DAY}, "add={cart}::999999999999999d", "shortened to 259200"),
        ({}, "add={cart}::0", "bad_lifetime"),
        ({}, "add={cart}::-1", "bad_lifetime"),
        ({}, "add={cart}::long", "bad_lifetime"),
        ({}, "add={cart}&keep=0d", "bad_lifetime"),
        ({}, "add={cart}&keep=[KEEP]", "bad_lifetime"),
    ],
)
def test_lifetime_limits(shop, segment, tag, minutes):
    shop.change(shop.cart, **segment)
    shop.seg(tag)
    if minutes == "bad_lifetime":
        assert shop.outcome() == "rejected bad_lifetime"
        return
    is_shortened = isinstance(minutes, str)
    assert shop.minutes("cart") == (int(minutes.split()[-1]) if is_shortened else minutes)
    assert (Note.LIFETIME_SHORTENED in shop.fire().notes) is is_shortened


def test_a_lifetime_does_not_matter_to_a_remove(shop):
    cookie = shop.seg("add={cart}").cookie
    shop.seg("remove={cart}&keep=0", cookie=cookie)
    assert shop.outcome() == "applied"
    assert shop.values() == {}


@pytest.mark.spec("pixels.md 2.1")
def test_each_fire_starts_the_time_afresh_even_if_it_ends_sooner(shop):
    cookie = shop.seg("add={cart}:5&keep=2d").cookie
    began = shop.memberships()["cart"]
    shop.seg("add={cart}&keep=1h", cookie=cookie)
    now = shop.memberships()["cart"]
    assert now.starts_at == began.starts_at
    assert now.expires_at - now.last_added_at == timedelta(hours=1)
    assert now.value == 5, "absent is not 0"


@pytest.mark.spec("pixels.md 2.1")
def test_or_leaves_the_end_as_it_is(shop):
    shop.change(shop.cart, refire=Segment.Refire.KEEP)
    cookie = shop.seg("add={cart}&keep=1h").cookie
    began = shop.memberships()["cart"]
    shop.seg("add={cart}&keep=2d", cookie=cookie)
    assert shop.memberships()["cart"].expires_at == began.expires_at


@pytest.mark.spec("pixels.md 2.3")
@pytest.mark.parametrize(
    ("segment", "tags", "value"),
    [
        ({}, ["add={cart}:65"], 65),
        ({}, ["add={cart}:0"], 0),
        ({}, ["add={cart}"], None),
        ({}, ["add={cart}:"], None),
        ({}, ["add={cart}:2147483647"], 2147483647),
        ({}, ["add={cart}:65&value=7"], 65),
        ({}, ["add={cart}&value=7"], 7),
        ({}, ["add={cart}:1", "add={cart}"], 1),
        ({}, ["add={cart}:5", "add={cart}:3"], 3),
        ({"re_add": "highest"}, ["add={cart}:5", "add={cart}:3"], 5),
        ({"re_add": "sum"}, ["add={cart}:5", "add={cart}:3"], 8),
        ({"re_add": "sum"}, ["add={cart}:2147483647", "add={cart}:1"], 2147483647),
        ({"value_from": 10, "value_to": 20}, ["add={cart}:10"], 10),
        ({"value_from": 10, "value_to": 20}, ["add={cart}:20"], 20),
        ({"value_from": 10}, ["add={cart}"], None),
    ],
)
def test_value_rules(shop, segment, tags, value):
    shop.change(shop.cart, **segment)
    cookie = shop.seg(tags[0]).cookie
    for tag in tags[1:]:
        shop.seg(tag, cookie=cookie)
    assert shop.outcome() == "applied"
    assert shop.values() == {"cart": value}


@pytest.mark.spec("pixels.md 2.3")
@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("add={cart}:-1", "bad_value"),
        ("add={cart}:%2B1", "bad_value"),
        ("add={cart}:+1", "bad_value"),
        ("add={cart}:1.5", "bad_value"),
        ("add={cart}&value=x", "bad_value"),
        ("add={cart}:[VALUE]", "placeholder_left"),
        ("add={cart}:%7B%7BCart%20value%7D%7D", "placeholder_left"),
        ("add={cart}&value=${x}", "placeholder_left"),
        ("add={cart}:9", "value_out_of_range"),
        ("add={cart}:21", "value_out_of_range"),
        ("add={cart}:2147483648", "value_overflow"),
    ],
)
def test_bad_values_are_refused(shop, tag, reason):
    shop.change(shop.cart, value_from=10, value_to=20)
    shop.seg(tag)
    assert shop.outcome() == f"rejected {reason}"
    assert shop.profiles() == 0


@pytest.mark.spec("pixels.md 2.3")
def test_value_overflow_refused(shop):
    reply = shop.seg("add={cart}:2147483648,{vip}:2147483647")
    assert reply.status == 200
    assert shop.values() == {"vip": 2147483647}, "never cut, never wrapped"
    assert [one["reason"] for one in shop.fire().actions if one.get("reason")] == ["value_overflow"]


def test_a_segment_that_is_off_refuses_and_keeps_its_members(shop):
    cookie = shop.seg("add={cart}").cookie
    shop.change(shop.cart, is_active=False)
    shop.seg("add={cart}", cookie=cookie)
    assert shop.outcome() == "rejected inactive_segment"
    shop.seg("remove={cart}", cookie=cookie)
    assert shop.outcome() == "rejected inactive_segment"
    assert "cart" in shop.memberships()


def test_a_rule_segment_cannot_be_fired_at(shop):
    shop.change(shop.cart, kind=Segment.Kind.RULE)
    shop.seg("add={cart}")
    assert shop.outcome() == "rejected wrong_kind"
    shop.seg("remove={cart}")
    assert shop.outcome() == "rejected wrong_kind"


# --- Write modes ----------------------------------------------------------------------------------

GOOD, BAD, MISSING = "https://shop.example/cart", "https://copy.example/cart", None
NOTED = "applied, would be refused"


@pytest.mark.spec("pixels.md 2.4")
@pytest.mark.parametrize("do", ["add", "remove"])
@pytest.mark.parametrize(
    ("segment", "referer", "outcome"),
    [
        ({"write_mode": "open"}, GOOD, "applied"),
        ({"write_mode": "open"}, BAD, "applied"),
        ({"write_mode": "open"}, MISSING, "applied"),
        ({"write_mode": "domains"}, GOOD, "applied"),
        ({"write_mode": "domains"}, BAD, NOTED),
        ({"write_mode": "domains"}, MISSING, NOTED),
        ({"write_mode": "domains", "are_domains_enforced": True}, GOOD, "applied"),
        ({"write_mode": "domains", "are_domains_enforced": True}, BAD, "rejected domain_not_allowed"),
        ({"write_mode": "domains", "are_domains_enforced": True}, MISSING, "rejected domain_missing"),
        ({"write_mode": "server_only"}, GOOD, "rejected server_only"),
        ({"write_mode": "server_only"}, BAD, "rejected server_only"),
        ({"write_mode": "server_only"}, MISSING, "rejected server_only"),
    ],
)
def test_write_mode_matrix(door, do, segment, referer, outcome):
    shop = Shop(door, domains=["shop.example"])
    shop.change(shop.cart, **segment)
    shop.seg(f"{do}={{cart}}", **({"referer": referer} if referer else {}))
    is_noted = Note.WOULD_BE_REFUSED in shop.fire().notes
    assert shop.outcome() + (", would be refused" if is_noted else "") == outcome


@pytest.mark.spec("pixels.md 2.4")
def test_removing_may_need_a_server(shop):
    shop.change(shop.cart, removing=Segment.Removing.SERVER_ONLY)
    cookie = shop.seg("add={cart}").cookie
    shop.seg("remove={cart}", cookie=cookie)
    assert shop.outcome() == "rejected server_only"
    shop.seg("add={cart}:3&remove={cart}", cookie=cookie)
    assert shop.values() == {"cart": 3}, "a remove that is refused wins nothing"


@pytest.mark.spec("pixels.md 2.4")
@pytest.mark.parametrize(
    ("headers", "is_allowed"),
    [
        ({"referer": "https://shop.example/"}, True),
        ({"referer": "https://SHOP.example:8443/x?y"}, True),
        ({"referer": "http://shop.example"}, True),
        ({"referer": "https://www.shop.example/"}, False),
        ({"referer": "https://a.mall.example/"}, True),
        ({"referer": "https://b.a.mall.example/"}, True),
        ({"referer": "https://mall.example/"}, False),
        ({"referer": "https://notmall.example/"}, False),
        ({"referer": "https://own.example/"}, True),
        ({"referer": "https://shop.example.copy.example/"}, False),
        ({"referer": "https://shop.example@copy.example/"}, False),
        ({"referer": "https://copy.example/?https://shop.example/"}, False),
        ({"origin": "https://shop.example"}, True),
        ({"origin": "https://copy.example", "referer": "https://shop.example/"}, False),
        ({"origin": "https://shop.example", "referer": "https://copy.example/"}, True),
        ({"origin": "null", "referer": "https://shop.example/"}, True),
        ({"referer": "about:client"}, False),
    ],
)
def test_listed_domains(door, headers, is_allowed):
    shop = Shop(door, domains=["shop.example", "*.mall.example"])
    shop.change(shop.cart, write_mode="domains", are_domains_enforced=True, domains=["own.example"])
    shop.seg("add={cart}&pg=/shop.example", **headers)
    assert (shop.outcome() == "applied") is is_allowed


def test_an_edit_of_the_advertisers_domains_counts_for_all_its_segments(door):
    shop = Shop(door)
    shop.change(shop.cart, write_mode="domains", are_domains_enforced=True)
    shop.seg("add={cart}", **LISTED)
    assert shop.outcome() == "rejected domain_not_allowed"
    shop.advertiser.domains = ["Shop.example"]
    with acting_for(shop.id):
        shop.advertiser.save()
    shop.door.catch_up()
    shop.seg("add={cart}", **LISTED)
    assert shop.outcome() == "applied"
