"""Whatever comes in a body or a query: it is taken or refused, never a failure of ours."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.audience.test_api_tenancy import Operation, Rows, make_rows, operations, read_schema, undone
from tests.factories import make_advertiser

pytestmark = pytest.mark.django_db

ODD_TEXTS = st.sampled_from(
    ["", " ", "\x00", "\ud800", "﷽" * 200, "1e400", "' OR 1=1 --", "%00", "../../x", "{0.__class__}", "🏴" * 300]
)
ODD_NUMBERS = st.sampled_from([-1, 0, 2**31, 2**63, 2**64, 10**400, 1.5, 1e308, -0.0])
SCALARS = st.none() | st.booleans() | ODD_NUMBERS | ODD_TEXTS | st.text(max_size=20) | st.integers()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@st.composite
def mutated(draw: Any, example: Any) -> Any:
    """Draw the example with one or several places put wrong."""
    if isinstance(example, dict) and example and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(example)))
        wrong = {name: value for name, value in example.items() if name != key}
        return wrong if draw(st.integers(0, 9)) == 0 else wrong | {key: draw(mutated(example[key]))}
    if isinstance(example, list) and example and draw(st.booleans()):
        return [*example[1:], draw(mutated(example[0]))]
    return draw(VALUES)


@pytest.fixture
def rows() -> Rows:
    return make_rows(make_advertiser(), "own")


def ask(rows: Rows, operation: Operation, body: Any, query: dict[str, str]) -> Any:
    path = operation.with_id(rows.ids[operation.resource])
    if operation.method == "get":
        return rows.caller.get(path, **query)
    return rows.caller.call(operation.method, path, body)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_request_brings_a_failure(rows: Rows, data: st.DataObject) -> None:
    asked = [one for one in operations(read_schema()) if one.body or one.query]
    operation = data.draw(st.sampled_from(asked), label="operation")
    body = json.dumps(data.draw(mutated(operation.body), label="body")) if operation.body else None
    texts = ODD_TEXTS.filter(lambda text: "\ud800" not in text) | st.text(st.characters(codec="utf-8"), max_size=20)
    words = st.fixed_dictionaries({}, optional=dict.fromkeys(operation.query, texts))
    query = data.draw(words, label="query")
    answer = undone(ask, rows, operation, body, query)
    assert answer.status_code < 500, answer.content
    assert answer.status_code == 204 or answer["Content-Type"] == "application/json"
