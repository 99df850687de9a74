"""Fires a minute."""

import pytest

from pixels.limits import Rate, network_of


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_so_many_in_the_minute_that_begins_with_the_first(clock):
    rate = Rate(3, clock=clock)
    assert [rate.allows("a") for _ in range(4)] == [True, True, True, False]
    clock.now += 59.9
    assert not rate.allows("a")
    clock.now += 0.1
    assert rate.allows("a")


def test_the_window_survives_the_turn_of_a_generation(clock):
    rate = Rate(3, clock=clock)
    clock.now += 50
    assert all(rate.allows("a") for _ in range(3))
    clock.now += 20
    assert rate.allows("b")
    assert not rate.allows("a"), "its minute began 20 seconds ago"


def test_keys_do_not_disturb_each_other(clock):
    rate = Rate(1, clock=clock)
    assert rate.allows("a")
    assert rate.allows("b")
    assert not rate.allows("a")


def test_zero_is_no_limit(clock):
    rate = Rate(0, clock=clock)
    assert all(rate.allows("a") for _ in range(1000))


def test_memory_is_bounded(clock):
    rate = Rate(1, most_keys=10, clock=clock)
    for number in range(1000):
        rate.allows(number)
    assert len(rate._now) + len(rate._before) <= 20


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"),
        ("2001:db8::1", "2001:db8:0:0"),
        ("::1", "0:0:0:0"),
        ("2001:db8:1:2::", "2001:db8:1:2"),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.7"),
        ("", ""),
        ("nonsense", "nonsense"),
    ],
)
def test_a_subscriber_of_ipv6_holds_64_bits(address, network):
    assert network_of(address) == network
