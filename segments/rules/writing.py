"""A tree as its saved form (rules.md 1.1): keys in the order of the tables, defaults left out, one condition on a
line, so that one changed condition is a diff of one line."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import singledispatch
from typing import Any

from segments.rules import windows
from segments.rules.tree import (
    VERSION,
    WEEKDAYS,
    AccountCondition,
    AllOf,
    AnyOf,
    AttributeCondition,
    BucketCondition,
    ChangeCondition,
    ConsentCondition,
    ContextFilter,
    EventCondition,
    Events,
    FavouriteCondition,
    IdentityCondition,
    IsMember,
    ItemsCondition,
    Joined,
    Left,
    NearCondition,
    Not,
    PeopleCondition,
    PersonCondition,
    PropertyFilter,
    Rule,
    SegmentCondition,
    SequenceCondition,
    SituationCondition,
    Step,
    TimeCondition,
    WasIn,
)
from segments.rules.values import AT_LEAST_ONCE, EACH, Aggregate, Amount, Count, CountTest, Name, ValueTest
from segments.rules.windows import EVER, Duration, Window

_Object = dict[str, Any]
_NEVER_ONE_LINE = ("all_of", "any_of")


def write(rule: Rule) -> str:
    """Return the saved form of a rule, which reads as an equal rule."""
    envelope: _Object = {"muster_rule": VERSION, "of": rule.of}
    if rule.zone != "advertiser":
        envelope["zone"] = rule.zone
    lines = [f"  {_one_line(key)}: {_one_line(said)}" for key, said in envelope.items()]
    lines.append(f'  "rule": {_laid_out(as_json(rule.root), "  ")}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _laid_out(said: _Object, indent: str) -> str:
    """Return a node: a group over several lines, a condition on one."""
    key = next((key for key in _NEVER_ONE_LINE if key in said), None)
    if key is None and not _holds_group(said):
        return _one_line(said)
    inner = f"{indent}  "
    parts = []
    for name, part in said.items():
        if name in _NEVER_ONE_LINE:
            children = ",\n".join(f"{inner}  {_laid_out(child, inner + '  ')}" for child in part)
            parts.append(f"{_one_line(name)}: [\n{children}\n{inner}]")
        else:
            parts.append(
                f"{_one_line(name)}: {_laid_out(part, inner) if isinstance(part, dict) else _one_line(part)}"
            )
    return "{\n" + ",\n".join(f"{inner}{part}" for part in parts) + f"\n{indent}}}"


def _holds_group(said: _Object) -> bool:
    """Say whether a group stands in a `not`, or beyond a crossing to companies or people."""
    below = (said.get(key) for key in ("not", "account", "who"))
    return any(isinstance(node, dict) and ({"all_of", "any_of"} & set(node) or _holds_group(node)) for node in below)


def _one_line(said: Any) -> str:
    """Return a JSON value on one line; `json` cannot write decimals as they are."""
    if isinstance(said, Decimal):
        plain = f"{said:f}"
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    if isinstance(said, Mapping):
        return "{" + ", ".join(f"{_one_line(key)}: {_one_line(value)}" for key, value in said.items()) + "}"
    if isinstance(said, Sequence) and not isinstance(said, str):
        return "[" + ", ".join(map(_one_line, said)) + "]"
    return json.dumps(said, ensure_ascii=False)


def _clean(said: _Object, node: Any) -> _Object:
    """Return an object without what has no value, and with what every condition may have."""
    common = {"zone": getattr(node, "zone", None), "label": getattr(node, "label", ""), "note": node.note}
    return {key: value for key, value in {**said, **common}.items() if value not in (None, "", (), [])}


@singledispatch
def as_json(node: Any) -> _Object:
    """Return a node, or a part of one, as the object that JSON says."""
    raise TypeError(node)


@as_json.register
def _(node: AllOf) -> _Object:  # type: ignore[type-arg]  # of conditions or of filters
    return _clean({"all_of": [as_json(child) for child in node.children]}, node)


@as_json.register
def _(node: AnyOf) -> _Object:  # type: ignore[type-arg]
    return _clean({"any_of": [as_json(child) for child in node.children]}, node)


@as_json.register
def _(node: Not) -> _Object:  # type: ignore[type-arg]
    return _clean({"not": as_json(node.child)}, node)


@as_json.register
def _(node: PropertyFilter) -> _Object:
    return _clean({"property": _name(node.property), **_test(node.test)}, node)


@as_json.register
def _(node: ContextFilter) -> _Object:
    return _clean({"context": _name(node.field), **_test(node.test)}, node)


@as_json.register
def _(node: EventCondition) -> _Object:
    said = {
        **_events(node.events),
        "which": node.which if node.which != "any" else None,
        "window": _window(node.window),
        **_aggregate(node.aggregate),
    }
    return _clean(said, node)


@as_json.register
def _(node: SequenceCondition) -> _Object:
    said = {
        "sequence": [_step(step) for step in node.steps],
        "same": [_name(name) for name in node.same],
        "same_visit": node.is_same_visit or None,
        "within": _duration(node.within),
        "window": _window(node.window),
    }
    return _clean(said, node)


def _step(step: Step) -> _Object:
    said = {
        **_events(step.events),
        "which": "last" if step.is_newest else None,
        "within": _duration(step.within),
        "without": _events(step.without) if step.without else None,
        "absent": step.is_absent or None,
    }
    return {key: value for key, value in said.items() if value is not None}


@as_json.register
def _(node: ChangeCondition) -> _Object:
    measure = {"count": True} if node.sum is None else {"sum": _name(node.sum)}
    said = {
        **_events(node.events, "change"),
        **measure,
        "from": _said_window(node.before),
        "to": _said_window(node.to),
        **_test(node.test),
    }
    return _clean(said, node)


@as_json.register
def _(node: FavouriteCondition) -> _Object:
    said = {
        "favourite": _name(node.property),
        **_events(node.events),
        "by": {"sum": _name(node.sum)} if node.sum is not None else None,
        "window": _window(node.window),
        **_test(node.test),
    }
    return _clean(said, node)


@as_json.register
def _(node: AttributeCondition) -> _Object:
    said = {"attribute": _name(node.attribute), **_test(node.test), "for_at_least": _duration(node.for_at_least)}
    return _clean(said, node)


@as_json.register
def _(node: ItemsCondition) -> _Object:
    where = [as_json(one) for one in node.where]
    return _clean({"items": _name(node.items), "where": where, **_aggregate(node.aggregate)}, node)


@as_json.register
def _(node: IdentityCondition) -> _Object:
    test = {"count": _count(node.test)} if isinstance(node.test, CountTest) else _test(node.test)
    return _clean({"identity": node.kind, **test}, node)


@as_json.register
def _(node: PersonCondition) -> _Object:
    return _clean({"person": node.state}, node)


@as_json.register
def _(node: ConsentCondition) -> _Object:
    return _clean({"consent": node.purpose, **_test(node.test)}, node)


@as_json.register
def _(node: SituationCondition) -> _Object:
    said = {"situation": _name(node.field), **_test(node.test), **_seen(node)}
    return _clean(said, node)


@as_json.register
def _(node: NearCondition) -> _Object:
    return _clean({"near": {"lat": node.lat, "lon": node.lon, "km": node.km}, **_seen(node)}, node)


def _seen(node: SituationCondition | NearCondition) -> _Object:
    return {"seen": node.seen if node.seen != "last" else None, "window": _window(node.window)}


@as_json.register
def _(node: TimeCondition) -> _Object:
    clock: _Object = {}
    if node.start:
        clock["from"] = clock_time(node.start)
    if node.end != 1440:
        clock["to"] = clock_time(node.end)
    if node.days != WEEKDAYS:
        clock["days"] = list(node.days)
    return _clean({"time": clock}, node)


def clock_time(minutes: int) -> str:
    """Return minutes of a day as "09:00"."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


@as_json.register
def _(node: SegmentCondition) -> _Object:
    return _clean({"segment": _one_or_list(node.segments), **_asks(node.asks)}, node)


def _asks(asks: IsMember | Joined | Left | WasIn) -> _Object:
    if isinstance(asks, IsMember):
        return {
            "in": asks.is_in,
            "for_at_least": _duration(asks.for_at_least),
            "last_added": _said_window(asks.last_added) if asks.last_added else None,
            "value": _test(asks.value) if asks.value else None,
        }
    keys = {Joined: "joined", Left: "left", WasIn: "was_in"}
    return {keys[type(asks)]: _said_window(asks.window)}


@as_json.register
def _(node: BucketCondition) -> _Object:
    ends = [Decimal(node.lower) / 100, Decimal(node.upper) / 100]
    return _clean({"bucket": ends, "salt": node.salt}, node)


@as_json.register
def _(node: AccountCondition) -> _Object:
    return _clean({"account": as_json(node.account)}, node)


@as_json.register
def _(node: PeopleCondition) -> _Object:
    people = _count(node.people) if isinstance(node.people, CountTest) else node.people
    return _clean({"people": people, "who": as_json(node.who) if node.who is not None else None}, node)


def _events(events: Events, key: str = "event") -> _Object:
    where = [as_json(one) for one in events.where]
    return {key: _one_or_list(events.names), **({"where": where} if where else {})}


def _one_or_list(words: tuple[str, ...]) -> str | list[str]:
    return words[0] if len(words) == 1 else list(words)


def _name(steps: Name) -> str | list[str]:
    """Return a name with dots, or as a list where one of its steps would be read as something else."""
    if any(step != EACH and ("." in step or step.endswith(EACH)) for step in steps):
        return list(steps)
    return ".".join(steps).replace(f".{EACH}", EACH)


def _test(test: ValueTest) -> _Object:
    operand: Any = test.operand
    if isinstance(operand, tuple):
        operand = list(operand)
    elif isinstance(operand, Window):
        operand = _said_window(operand)[test.operator]
    case = {"case": "exact"} if test.is_exact_case else {}
    pick = {"pick": test.pick} if test.pick != "any" else {}
    return {test.operator: operand, **case, **pick}


def _count(test: CountTest) -> _Object:
    if test.operator == "none":
        return {"none": True}
    if test.operator == "between":
        return {"between": [test.low, test.high]}
    return {test.operator: test.high if test.operator == "at_most" else test.low}


def _aggregate(aggregate: Aggregate) -> _Object:
    if aggregate == AT_LEAST_ONCE:
        return {}
    if isinstance(aggregate, Count):
        return {"count": _count(aggregate.test)}
    if isinstance(aggregate, Amount):
        return {aggregate.kind: {"of": _name(aggregate.of), **_test(aggregate.test)}}
    return {"distinct": {"of": _name(aggregate.of), **_count(aggregate.test)}}


def _duration(length: Duration | None) -> str | None:
    return None if length is None else str(length)


def _window(window: Window) -> _Object | None:
    return None if window == EVER else _said_window(window)


def _said_window(window: Window) -> _Object:
    """Return a window as its one key and what that holds."""
    match window:
        case windows.Within(length):
            return {"within": str(length)}
        case windows.BetweenAgo(nearest, farthest):
            return {"between_ago": [str(nearest), str(farthest)]}
        case windows.MoreThanAgo(length):
            return {"more_than_ago": str(length)}
        case windows.OnDay(test, day):
            return {test: day.isoformat()}
        case windows.BetweenDates(first, last):
            return {"between_dates": [first.isoformat(), last.isoformat()]}
        case windows.BetweenTimes(start, end):
            return {"between_times": [f"{at.replace(tzinfo=None).isoformat()}Z" for at in (start, end)]}
        case windows.Calendar():
            return {"calendar": window.word}
        case windows.LastPeriods(count, period):
            return {"calendar": {"last": count, "unit": period}}
        case windows.ThisVisit():
            return {"this_visit": True}
        case windows.WithinNext(length):
            return {"within_next": str(length)}
        case windows.MoreThanAhead(length):
            return {"more_than_ahead": str(length)}
        case windows.BetweenAhead(nearest, farthest):
            return {"between_ahead": [str(nearest), str(farthest)]}
        case windows.Anniversary(test, length):
            return {"anniversary": test if length is None else {test: str(length)}}
        case _:
            return {"ever": True}
