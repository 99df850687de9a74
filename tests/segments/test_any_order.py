"""Facts that come in any order end in the same memberships: the latest decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.instants import MINUTE, instant
from segments.membership import Change, Interval, decide
from tests.factories import NOON

START = instant(NOON)

changes = st.builds(
    Change,
    do=st.sampled_from(["add", "add", "remove"]),
    segment_id=st.just(7),
    version=st.just(1),
    lifetime=st.integers(1, 30).map(lambda minutes: minutes * MINUTE),
    value=st.none() | st.integers(0, 9),
)
facts = st.dictionaries(st.integers(0, 40), changes, min_size=1, max_size=8).map(
    lambda by_minute: [(START + minute * MINUTE, change) for minute, change in sorted(by_minute.items())]
)


def after(told) -> Interval:
    interval = None
    for at, change in told:
        interval = decide(interval, change, at).interval
    return interval


@pytest.mark.spec("R5")
@given(facts, st.randoms(use_true_random=False))
def test_any_order(in_order, random):
    told = [*in_order, *random.choices(in_order, k=2)]
    random.shuffle(told)
    one, other = after(in_order), after(told)

    for at in range(START, START + 80 * MINUTE, MINUTE):
        if at >= in_order[-1][0]:
            assert one.holds_at(at) == other.holds_at(at)
    assert one.decided_at == other.decided_at == in_order[-1][0]
    if one.holds_at(in_order[-1][0]):
        assert one.expires_at == other.expires_at
        if in_order[-1][1].value is not None:
            assert one.value == other.value
