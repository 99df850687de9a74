import json

from hypothesis import example, given
from hypothesis import strategies as st

from audience.values import DEPTH, LONGEST_NAME, BadValue, clean_dump, clean_object, dump

texts = st.text(max_size=12) | st.sampled_from(["\0", "\ud800", "null", "\\u0000", "ä" * 200, "x" * 300])
numbers = st.integers() | st.floats(allow_nan=False) | st.sampled_from([2**63, 2**64, 10**400, -(10**400)])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda one: st.lists(one, max_size=4) | st.dictionaries(texts, one, max_size=4),
    max_leaves=12,
)


def outcome(write, value):
    try:
        return json.loads(write(value))
    except BadValue as bad:
        return bad.reason


@given(st.dictionaries(texts, values, max_size=5) | values)
@example({"a": "x" * (LONGEST_NAME - 8)})
@example({"x" * (LONGEST_NAME + 1): 1})
@example({"a": [[[[1]]]]})
@example({"a": [[[[[1]]]]]})
@example({"a": "[" * DEPTH})
@example({"a": float("inf")})
def test_the_short_way_is_the_long_one(value):
    assert outcome(clean_dump, value) == outcome(lambda one: dump(clean_object(one)), value)
