"""A fire of the past keeps its time, if whoever sends it holds the installation's replay key."""

from datetime import UTC, datetime, timedelta

import pytest

from pixels.replay import Replay

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
