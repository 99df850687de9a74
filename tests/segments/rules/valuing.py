"""Tests on values, one value at a time, straight from rules.md 1.2, 2.5 and 2.6. None is the unknown."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from segments.rules.patterns import fold as fold_pattern
from segments.rules.values import EACH, CountTest, Name, ValueTest
from tests.segments.rules.spans import Clock, covers_day, covers_instant

NEGATIVES = {
    "not_equals": "equals",
    "none_of": "one_of",
    "not_contains": "contains",
    "not_like": "like",
    "not_matches": "matches",
}
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DECIMAL = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_VERSION = re.compile(r"\d+(\.\d+)*", re.ASCII)


def value_at(source: Any, name: Name) -> Any:
    """Return what a name leads to, None where nothing is known; "a[].b" leads to a list."""
    if not name:
        return None if isinstance(source, str) and not source.strip(" \t\n\r\f\v") else source
    step, rest = name[0], name[1:]
    if step == EACH:
        if not isinstance(source, list | tuple):
            return None
        found = [value_at(element, rest) for element in source]
        return [part for value in found for part in (value if EACH in rest and isinstance(value, list) else [value])]
    return value_at(source.get(step), rest) if isinstance(source, Mapping) else None


def scalars_at(source: Any, name: Name) -> list[Any]:
    """Return the values of a name that are known and no lists or objects."""
    value = value_at(source, name)
    values = value if EACH in name and isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str | int | float | Decimal)]


def text_of(value: Any) -> str | None:
    """Return a text, or a number in its shortest form, in NFC."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value) if value.strip(" \t\n\r\f\v") else None
    number = number_of(value)
    if number is None:
        return None
    plain = f"{number:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def fold(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


def key_of(value: Any) -> str | None:
    """Return by what values are told apart, where they are counted: text regardless of case, true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = text_of(value)
    return None if text is None else fold(text)


def number_of(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float | Decimal):
        return Decimal(str(value))
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    return None


def version_of(value: Any) -> tuple[int, ...] | None:
    text = text_of(value)
    if text is None or not _VERSION.fullmatch(text):
        return None
    parts = [int(part) for part in text.split(".")]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def passes(test: ValueTest, value: Any, t: datetime, clock: Clock) -> bool:
    """Say whether a value passes a test at an instant."""
    if test.operator == "known":
        return (value is not None) == test.operand
    if value is None:
        return False
    if test.reads == "list":
        return isinstance(value, list | tuple) and _passes_list(test, value)
    if not isinstance(value, list | tuple):
        return _passes_one(test, value, t, clock)
    passed = [_passes_one(test, element, t, clock) for element in value]
    if test.pick == "any":
        return all(passed) if test.operator in NEGATIVES else any(passed)
    return {
        "all": all(passed),
        "none": not any(passed),
        "first": passed[:1] == [True],
        "last": passed[-1:] == [True],
    }[test.pick]


def _passes_list(test: ValueTest, values: Any) -> bool:
    if test.operator == "empty":
        return (not values) == test.operand
    is_number = isinstance(test.operand[0], Decimal)
    wanted = {_list_key(one, test, is_number=is_number) for one in test.operand}
    found = {_list_key(one, test, is_number=is_number) for one in values} - {None}
    return {
        "includes_any": bool(wanted & found),
        "includes_all": wanted <= found,
        "includes_none": not wanted & found,
    }[test.operator]


def _list_key(value: Any, test: ValueTest, *, is_number: bool) -> Any:
    if is_number:
        return number_of(value)
    text = text_of(value)
    return text if text is None or test.is_exact_case else fold(text)


def _passes_one(test: ValueTest, value: Any, t: datetime, clock: Clock) -> bool:
    read = _read(test, value)
    if read is None:
        return False
    if test.reads in ("date", "day"):
        return _passes_date(test, read, t, clock)
    if test.operator in NEGATIVES:
        return not _compare(NEGATIVES[test.operator], read, test)
    return _compare(test.operator, read, test)


def _read(test: ValueTest, value: Any) -> Any:
    if test.reads in ("text", "language"):
        text = text_of(value)
        return text if text is None or test.is_exact_case else fold(text)
    if test.reads == "boolean":
        return value if isinstance(value, bool) else None
    if test.reads in ("date", "day"):
        return date_of(value)
    return version_of(value) if test.reads == "version" else number_of(value)


def date_of(value: Any) -> date | datetime | None:
    """Return the day or the instant that a text says."""
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value)
        if isinstance(value, str) and _INSTANT.fullmatch(value):
            return datetime.fromisoformat(value)
    except ValueError:
        pass
    return None


def _passes_date(test: ValueTest, value: date | datetime, t: datetime, clock: Clock) -> bool:
    if isinstance(value, datetime):
        return covers_instant(test.operand, value, t, clock, is_whole_period=True)
    return covers_day(test.operand, value, t, clock)


def _compare(operator: str, read: Any, test: ValueTest) -> bool:
    operand = _operand(test)
    match operator:
        case "equals" | "one_of":
            wanted = operand if operator == "one_of" else [operand]
            return any(read == one or (test.reads == "language" and read.startswith(f"{one}-")) for one in wanted)
        case "contains":
            return operand in read
        case "contains_any":
            return any(one in read for one in operand)
        case "starts_with":
            return read.startswith(operand)
        case "ends_with":
            return read.endswith(operand)
        case "like":
            pattern = "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in operand)
            return re.fullmatch(pattern, read, re.DOTALL) is not None
        case "matches":
            pattern = operand if test.is_exact_case else fold_pattern(unicodedata.normalize("NFC", test.operand))
            ended = re.sub(r"(?<!\\)((?:\\\\)*)\$", r"\1\\Z", pattern)
            return re.search(ended, read, re.ASCII | re.DOTALL) is not None
        case "less_than":
            return read < operand
        case "at_most":
            return read <= operand
        case "more_than":
            return read > operand
        case "at_least":
            return read >= operand
        case "between":
            return operand[0] <= read <= operand[1]
    raise AssertionError(operator)


def _operand(test: ValueTest) -> Any:
    def one(value: Any) -> Any:
        if test.reads == "version":
            return version_of(value)
        if not isinstance(value, str):
            return value
        return unicodedata.normalize("NFC", value) if test.is_exact_case else fold(value)

    return tuple(map(one, test.operand)) if isinstance(test.operand, tuple) else one(test.operand)


def passes_number(test: ValueTest, number: Fraction | None) -> bool:
    """Say whether a number that was computed passes; None is unknown."""
    if number is None:
        return False
    if test.operator in NEGATIVES:
        return not _compare(NEGATIVES[test.operator], number, test)
    return _compare(test.operator, number, test)


def passes_count(test: CountTest, count: int) -> bool:
    return test.low <= count and (test.high is None or count <= test.high)
