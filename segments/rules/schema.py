"""The grammar as a JSON Schema (draft 2020-12), for editors and for programs that write rules.

It says which keys and values there are, from the same tables that reading uses. What depends on an advertiser, or on
two values at once, only reading knows: what passes here may still be refused there.
"""

from collections.abc import Collection, Mapping
from typing import Any, get_args

from segments.rules.limits import Limits
from segments.rules.operators import COUNT_OPERATORS, OPERATORS, Operator, operators_of
from segments.rules.reading.conditions import IDENTITY_KINDS
from segments.rules.reading.windows import WINDOWS
from segments.rules.tree import VERSION, WEEKDAYS
from segments.rules.values import Pick
from segments.rules.windows import CALENDAR_WORDS, MICROSECONDS, Period

Schema = dict[str, Any]

_TRUE: Schema = {"const": True}
_TRUTH: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}


def schema(limits: Limits | None = None) -> Schema:
    """Return the schema of a whole rule."""
    limits = limits or Limits()
    envelope = _object(
        {
            "muster_rule": {"const": VERSION},
            "of": {"enum": ["profile", "account"]},
            "zone": _text(64),
            "rule": _ref("node"),
        },
        required=("muster_rule", "of", "rule"),
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A rule of Muster",
        **envelope,
        "$defs": {**_words(limits), **_windows(), **_tests(limits), **_filters(limits), **_nodes(limits)},
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _text(most: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": most}


def _list(of: Schema, *, least: int = 1, most: int | None = None) -> Schema:
    return {"type": "array", "items": of, "minItems": least, **({"maxItems": most} if most else {})}


def _pair(of: Schema) -> Schema:
    return _list(of, least=2, most=2)


def _object(properties: Mapping[str, Schema], *, required: Collection[str] = ()) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _one_key(properties: Mapping[str, Schema]) -> Schema:
    """Return the schema of an object with exactly one of these keys."""
    return {**_object(properties), "minProperties": 1, "maxProperties": 1}


def _exactly_one(keys: Collection[str]) -> Schema:
    return {"oneOf": [{"required": [key]} for key in keys]}


def _words(limits: Limits) -> Schema:
    names = _list(_text(limits.name), most=limits.list_values)
    steps = _list(_text(limits.name), most=limits.name_steps)
    return {
        "duration": {"type": "string", "pattern": f"^[0-9]{{1,9}}({'|'.join(MICROSECONDS)})$"},
        "day": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
        "instant": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T.*(Z|[+-][0-9]{2}:[0-9]{2})$"},
        "clock": {"type": "string", "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"},
        "name": {"anyOf": [{"type": "string", "minLength": 1}, steps]},
        "events": {"anyOf": [_text(limits.name), names]},
    }


def _windows() -> Schema:
    period = {"enum": list(get_args(Period))}
    last_periods = _object({"last": {"type": "integer", "minimum": 1}, "unit": period}, required=("last", "unit"))
    near = _one_key({"within_next": _ref("duration"), "within": _ref("duration")})
    values: dict[str, Schema] = {
        "ever": _TRUE,
        "this_visit": _TRUE,
        "between_ago": _pair(_ref("duration")),
        "between_ahead": _pair(_ref("duration")),
        "between_dates": _pair(_ref("day")),
        "between_times": _pair(_ref("instant")),
        "calendar": {"anyOf": [{"enum": list(CALENDAR_WORDS)}, last_periods]},
        "anniversary": {"anyOf": [{"const": "today"}, near]},
    }
    for key in ("within", "more_than_ago", "within_next", "more_than_ahead"):
        values[key] = _ref("duration")
    for key in ("on", "before", "after", "on_or_before", "on_or_after"):
        values[key] = _ref("day")
    of_dates = {f"test_{key}": values[key] for key, row in WINDOWS.items() if row.of_dates}
    return {"window": _one_key({key: values[key] for key, row in WINDOWS.items() if row.of_events}), **of_dates}


def _tests(limits: Limits) -> Schema:
    shapes = {
        "one": {"type": ["string", "number", "boolean"], "maxLength": limits.text},
        "many": _list({"type": ["string", "number"], "maxLength": limits.text}, most=limits.list_values),
        "pair": _pair({"type": ["string", "number"]}),
        "text": _text(limits.text),
        "texts": _list(_text(limits.text), most=limits.list_values),
        "like": _text(limits.text),
        "pattern": _text(limits.pattern),
        "truth": _TRUTH,
    }
    count = {"type": "integer", "minimum": 0, "maximum": limits.count}
    counts = {key: _TRUE if key == "none" else _pair(count) if key == "between" else count for key in COUNT_OPERATORS}
    return {
        **{f"test_{key}": shapes[row.shape] for key, row in OPERATORS.items() if row.shape != "window"},
        "case": {"enum": ["ignore", "exact"]},
        "pick": {"enum": list(get_args(Pick))},
        "count": _one_key(counts),
        "computed": _with_test({}, _computed_rows()),
        "amount": _with_test({"of": _ref("name")}, _computed_rows(), required=("of",)),
        "distinct": {**_object({"of": _ref("name"), **counts}, required=("of",)), **_exactly_one(counts)},
    }


def _computed_rows() -> list[Operator]:
    """Return the tests on a number that is always known, or is none."""
    return [row for row in operators_of("number") if row.key != "known"]


def _with_test(
    properties: Mapping[str, Schema],
    rows: Collection[Operator],
    *,
    required: Collection[str] = (),
    more: Collection[str] = (),
    others: Collection[str] = (),
) -> Schema:
    """Return an object with exactly one test beside its own keys; `others` may stand in the test's place."""
    tests = {row.key: _ref(f"test_{row.key}") for row in rows}
    beside = {key: _ref(key) for key in more}
    both = _object({**properties, **tests, **beside}, required=required)
    return {**both, **_exactly_one([*tests, *others])}


def _filters(limits: Limits) -> Schema:
    more = ("case", "pick")
    rows = list(OPERATORS.values())
    note = {"note": _text(limits.note)}
    filters = _list(_ref("filter"))
    return {
        "filter": {
            "oneOf": [
                _with_test({"property": _ref("name"), **note}, rows, required=("property",), more=more),
                _with_test({"context": _ref("name"), **note}, rows, required=("context",), more=more),
                _object({"all_of": filters, **note}, required=("all_of",)),
                _object({"any_of": filters, **note}, required=("any_of",)),
                _object({"not": _ref("filter"), **note}, required=("not",)),
            ]
        },
        "where": _list(_ref("filter"), most=limits.filters),
        "pattern": _object({"event": _ref("events"), "where": _ref("where")}, required=("event",)),
    }


def _nodes(limits: Limits) -> Schema:
    groups = {
        "all_of": _group("all_of", _list(_ref("node"), most=limits.nodes), limits),
        "any_of": _group("any_of", _list(_ref("node"), most=limits.nodes), limits),
        "not": _group("not", _ref("node"), limits),
    }
    conditions = {**_of_events(limits), **_of_what_is_known(limits), **_of_the_rest(limits)}
    common = {"note": _text(limits.note), "label": _text(limits.label), "zone": _text(64)}
    for condition in conditions.values():
        condition["properties"] |= common
    nodes = {**groups, **conditions}
    return {
        **{f"node_{kind}": node for kind, node in nodes.items()},
        "node": {"oneOf": [_ref(f"node_{kind}") for kind in nodes]},
    }


def _group(key: str, value: Schema, limits: Limits) -> Schema:
    return _object({key: value, "note": _text(limits.note)}, required=(key,))


def _aggregates() -> Schema:
    amounts = {kind: _ref("amount") for kind in ("sum", "avg", "min", "max")}
    return {"count": _ref("count"), **amounts, "distinct": _ref("distinct")}


def _of_events(limits: Limits) -> dict[str, Schema]:
    step = {"event": _ref("events"), "where": _ref("where"), "within": _ref("duration"), "without": _ref("pattern")}
    steps = _object({**step, "absent": _TRUTH, "which": {"enum": ["any", "last"]}}, required=("event",))
    event = {
        "event": _ref("events"),
        "where": _ref("where"),
        "which": {"enum": ["any", "first", "last"]},
        "window": _ref("window"),
        **_aggregates(),
    }
    sequence = {
        "sequence": _list(steps, least=2, most=limits.steps),
        "same": _list(_ref("name"), most=limits.same),
        "same_visit": _TRUTH,
        "within": _ref("duration"),
        "window": _ref("window"),
    }
    change = {
        "change": _ref("events"),
        "where": _ref("where"),
        "sum": _ref("name"),
        "count": _TRUE,
        "from": _ref("window"),
        "to": _ref("window"),
    }
    favourite = {
        "favourite": _ref("name"),
        "event": _ref("events"),
        "by": {"anyOf": [{"const": "count"}, _object({"sum": _ref("name")}, required=("sum",))]},
        "window": _ref("window"),
    }
    texts = [row for row in operators_of("text") if row.key != "known"]
    return {
        "event": _object(event, required=("event",)),
        "sequence": _object(sequence, required=("sequence",)),
        "change": _with_test(change, _computed_rows(), required=("change", "from", "to")),
        "favourite": _with_test(favourite, texts, required=("favourite", "event"), more=("case",)),
    }


def _of_what_is_known(limits: Limits) -> dict[str, Schema]:
    more = ("case", "pick")
    rows = list(OPERATORS.values())
    attribute = {"attribute": _ref("name"), "for_at_least": _ref("duration")}
    items = {"items": _ref("name"), "where": _ref("where"), **_aggregates()}
    kinds: Schema = {"anyOf": [{"enum": list(IDENTITY_KINDS)}, {"type": "string", "pattern": "^partner:."}]}
    consent = {"consent": _text(limits.name), "equals": {"enum": ["granted", "denied"]}, "known": _TRUTH}
    seen = {"seen": {"enum": ["last", "first", "this_visit"]}, "window": _ref("window")}
    circle = _object({"lat": _NUMBER, "lon": _NUMBER, "km": _NUMBER}, required=("lat", "lon", "km"))
    identity = {"identity": kinds, "count": _ref("count")}
    return {
        "attribute": _with_test(attribute, rows, required=("attribute",), more=more),
        "items": _object(items, required=("items",)),
        "identity": _with_test(
            identity, operators_of("text"), required=("identity",), more=("case",), others=("count",)
        ),
        "person": _object({"person": {"enum": ["known", "anonymous"]}}, required=("person",)),
        "consent": {**_object(consent, required=("consent",)), **_exactly_one(("equals", "known"))},
        "situation": _with_test({"situation": _ref("name"), **seen}, rows, required=("situation",), more=more),
        "near": _object({"near": circle, **seen}, required=("near",)),
    }


def _of_the_rest(limits: Limits) -> dict[str, Schema]:
    clock = _object({"from": _ref("clock"), "to": _ref("clock"), "days": _list({"enum": list(WEEKDAYS)})})
    keys = {"anyOf": [_text(limits.name), _list(_text(limits.name), most=limits.segments)]}
    asks = {"in": _TRUTH, "joined": _ref("window"), "left": _ref("window"), "was_in": _ref("window")}
    beside = {"for_at_least": _ref("duration"), "last_added": _ref("window"), "value": _ref("computed")}
    percent = {"type": "number", "minimum": 0, "maximum": 100}
    people = {"anyOf": [{"enum": ["any", "all", "none"]}, _ref("count")]}
    return {
        "time": _object({"time": clock}, required=("time",)),
        "segment": {**_object({"segment": keys, **asks, **beside}, required=("segment",)), **_exactly_one(asks)},
        "bucket": _object({"bucket": _pair(percent), "salt": _text(limits.name)}, required=("bucket",)),
        "account": _object({"account": _ref("node")}, required=("account",)),
        "people": _object({"people": people, "who": _ref("node")}, required=("people",)),
    }
