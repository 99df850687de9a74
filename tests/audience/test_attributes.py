"""The newest told value of an attribute counts, in whatever order it was told; since when is never too early."""

from hypothesis import given
from hypothesis import strategies as st

from audience.attributes import Told, combine, write_value

# Several at one instant, too: then the fact id decides.
tellings = st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab")), min_size=1, max_size=8).map(
    lambda told: [
        Told(value, at, at, number.to_bytes(16), None, None, "identify") for number, (at, value) in enumerate(told)
    ]
)


def told_in(order):
    state = None
    for telling in order:
        state = combine(state, telling)
    return state


def truth(told):
    """The newest value, and since when it was told with no other one in between."""
    *others, newest = sorted(told, key=lambda one: (one.seen_at, one.fact_id))
    since = newest.seen_at
    for one in reversed(others):
        if one.value != newest.value:
            # One told at that instant, too, is no telling after it.
            return newest, max(since, min([t.seen_at for t in told if t.seen_at > one.seen_at], default=since))
        since = one.seen_at
    return newest, since


@given(tellings, st.randoms(use_true_random=False))
def test_the_newest_value_counts_in_any_order(told, order):
    shuffled = [*order.sample(told, len(told)), *order.choices(told, k=2)]
    newest, since = truth(told)
    state = told_in(shuffled)
    assert (state.value, state.seen_at, state.fact_id) == (newest.value, newest.seen_at, newest.fact_id)
    assert since <= state.since <= state.seen_at
    assert state.since in {one.seen_at for one in told if one.value == newest.value}


@given(tellings)
def test_told_in_order_it_is_known_since_when(told):
    in_order = sorted(told, key=lambda one: (one.seen_at, one.fact_id))
    assert told_in(in_order).since == truth(told)[1]


@given(tellings, tellings)
def test_two_states_combine_the_same_either_way(some, others):
    one, other = told_in(some), told_in(others)
    if (one.seen_at, one.fact_id) != (other.seen_at, other.fact_id):
        assert combine(one, other) == combine(other, one)


def test_equal_values_are_equal_texts():
    assert write_value(10.0) == write_value(10) == "10"
    assert write_value({"b": 1, "a": "ü"}) == write_value({"a": "ü", "b": 1}) == '{"a":"ü","b":1}'
    assert write_value(True) != write_value(1)
