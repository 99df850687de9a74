"""A fire of the past keeps its time, if whoever sends it holds the installation's replay key."""

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from audience.tenancy import acting_for
from pixels.models import Fire
from pixels.replay import Replay
from tests.pixels.shop import Shop

KEY = "replay-test-secret"
TARGET = "/p/7kQ2mB9xV4tL0aZs.gif?value=65"
AT = datetime(2026, 11, 18, 11, 6, 40, 250_000, tzinfo=UTC)
NOW = AT + timedelta(days=4)
# Made with: printf 'muster-replay-1\n1795000000.250000\nTARGET' | openssl dgst -sha256 -hmac KEY -binary
SIGNED = "1795000000.250000.JJrBIp65rz7EkD0kiIZIMQ"


def test_the_vector():
    assert Replay(KEY).sign(AT, TARGET) == SIGNED
    assert Replay(KEY).read(SIGNED, TARGET, NOW) == AT


@pytest.mark.parametrize("microsecond", [0, 1, 499_999, 500_000, 999_999])
def test_a_time_keeps_its_last_microsecond(microsecond):
    at = AT.replace(microsecond=microsecond)

    assert Replay(KEY).read(Replay(KEY).sign(at, TARGET), TARGET, NOW) == at


def test_the_present_is_past_enough_and_a_time_to_come_is_not():
    assert Replay(KEY).read(SIGNED, TARGET, AT) == AT
    assert Replay(KEY).read(SIGNED, TARGET, AT - timedelta(microseconds=1)) is None


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "1795000000.250000",
        "1795000000.250000.",
        SIGNED[:-1],
        SIGNED + "A",
        SIGNED + "\n",
        SIGNED.replace("250000", "250001"),
        SIGNED.replace("250000", "25000"),
        SIGNED.replace("1795", "+795"),
        "0" + SIGNED,
        "1795000000.250000.JJrBIp65rz7EkD0kiIZIMé",
        "9" * 4000,
    ],
)
def test_any_other_text_is_no_time(header):
    assert Replay(KEY).read(SIGNED, TARGET, NOW) == AT
    assert Replay(KEY).read(header, TARGET, NOW) is None


def test_another_key_or_another_request_gives_no_time():
    assert Replay("another").read(SIGNED, TARGET, NOW) is None
    assert Replay(KEY).read(SIGNED, TARGET.replace("65", "66"), NOW) is None
    assert Replay(KEY).read(SIGNED, TARGET.partition("?")[0], NOW) is None


DAY = timedelta(days=1)


@pytest.fixture
def shop(door):
    return Shop(door)


def fire_at(shop, at, key=None, *, signed="", **headers):
    """Fire the shop's pixel with the header for an instant; `signed` is added to the target that is signed."""
    target = f"/p/{shop.pixel.public_key}.gif"
    header = Replay(key or settings.MUSTER_REPLAY_KEY).sign(at, target + signed)
    return shop.door.get(target, muster_replay=header, **headers)


def test_a_signed_fire_is_stored_at_its_own_time(shop):
    at = timezone.now() - 40 * DAY
    fire_at(shop, at + 20 * DAY)

    assert shop.fire().received_at == at + 20 * DAY
    member = shop.memberships()["cart"]
    assert (member.starts_at, member.expires_at) == (at + 20 * DAY, at + 50 * DAY)
    fire_at(shop, at)
    assert shop.profiles() == 2
    assert set(shop.memberships()) == {"cart"}, "the time of the other one is over"


def test_a_visitor_goes_on_with_the_cookie_of_his_first_fire(shop):
    at = timezone.now() - 9 * DAY
    first = fire_at(shop, at)
    again = fire_at(shop, at + DAY, cookie=first.cookie)

    assert again.cookie is None
    assert shop.profiles() == 1
    member = shop.memberships()["cart"]
    assert (member.starts_at, member.last_added_at) == (at, at + DAY)


def test_a_bad_header_is_ignored_and_the_answer_does_not_tell(shop):
    began = timezone.now()
    good = fire_at(shop, began - DAY)
    bad = [
        fire_at(shop, began - DAY, "another key"),
        fire_at(shop, began - DAY, signed="?value=1"),
        fire_at(shop, timezone.now() + DAY),
        shop.p(muster_replay="yesterday"),
    ]

    def shown(reply):
        return reply.status, sorted(name for name, _ in reply.headers), reply.body

    assert all(shown(reply) == shown(good) for reply in bad)
    with acting_for(shop.id):
        times = Fire.objects.order_by("received_at").values_list("received_at", flat=True)
        assert times[0] == began - DAY
        assert all(time > began for time in times[1:])
        assert len(times) == 5


def test_fires_that_are_sent_again_are_not_too_many(shop):
    at = timezone.now() - DAY
    cookie = fire_at(shop, at).cookie
    for second in range(1, 130):
        fire_at(shop, at + timedelta(seconds=second), cookie=cookie)

    with acting_for(shop.id):
        assert Fire.objects.filter(outcome="applied").count() == 130
