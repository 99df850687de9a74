"""Reads names, tests on values and on counts, and what is asked of many events or records (rules.md 1.2)."""

import re
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, get_args

from segments.rules.operators import COUNT_OPERATORS, OPERATORS, PLURALS, Operator, operators_of
from segments.rules.patterns import problem_of
from segments.rules.reading.forms import Form, Scope, number_of, open_form
from segments.rules.reading.windows import read_date_test
from segments.rules.refusals import closest
from segments.rules.tree import Path
from segments.rules.values import (
    AT_LEAST_ONCE,
    EACH,
    Aggregate,
    Amount,
    Count,
    CountTest,
    Distinct,
    Name,
    Operand,
    Pick,
    Reads,
    ValueTest,
)
from segments.rules.windows import (
    Anniversary,
    BetweenAgo,
    BetweenAhead,
    MoreThanAgo,
    MoreThanAhead,
    Within,
    WithinNext,
)

AGGREGATES = ("count", "sum", "avg", "min", "max", "distinct")
TEST_KEYS = (*OPERATORS, "case", "pick")

_STANDS_IN = ValueTest("known", True, "any")
_NEEDS: dict[Reads, str] = {
    "text": "a text",
    "language": "a text",
    "version": "a version such as '17.2.1'",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
}
_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)


class Subject(NamedTuple):
    """What is tested, for the messages, and the type of its values, None where each value has its own."""

    name: str
    kind: str
    reads: Reads | None = None


def read_name(form: Form, key: str, *, is_each_allowed: bool = True) -> Name:
    """Return a name in steps: "products[].category", or a list of steps where one has a dot in it."""
    return name_of(form.source.get(key), form.at(key), form.scope, is_each_allowed=is_each_allowed)


def name_of(value: Any, path: Path, scope: Scope, *, is_each_allowed: bool = True) -> Name:
    steps = _steps(value)
    limits = scope.limits
    is_name = 0 < len(steps) <= limits.name_steps and steps[0] != EACH and (is_each_allowed or EACH not in steps)
    if is_name and all(step.strip() and len(step) <= limits.name for step in steps):
        return steps
    scope.report.refuse(path, "bad_name", found=value)
    return ("name",)


def _steps(value: Any) -> Name:
    if isinstance(value, list) and all(isinstance(step, str) for step in value):
        return tuple(value)
    steps: list[str] = []
    for step in value.split(".") if isinstance(value, str) else []:
        key = step
        while key.endswith(EACH):
            key = key.removesuffix(EACH)
        steps += [key, *[EACH] * ((len(step) - len(key)) // len(EACH))]
    return tuple(steps)


def read_value_test(form: Form, subject: Subject) -> ValueTest:
    """Return the one test whose key stands in the condition itself."""
    keys = [key for key in form.source if key in OPERATORS]
    if len(keys) != 1:
        _refuse_tests(form, subject, keys)
        return _STANDS_IN
    key = keys[0]
    row, operand = OPERATORS[key], form.source[key]
    reads = _reads(row, operand, subject)
    if reads not in row.reads or not _is_of_type(operand, row, reads):
        _refuse_type(form, row, subject, reads)
        return _STANDS_IN
    pick: Pick = form.word("pick", get_args(Pick), "any")  # type: ignore[assignment]  # one of its words
    is_exact = form.word("case", ("ignore", "exact"), "ignore") == "exact"
    if "case" in form and reads not in ("text", "list", "language"):
        form.refuse("case", "unknown_key", hint=" It is for tests on text.")
    if "pick" in form and reads not in ("text", "number", "version", "language"):
        form.refuse("pick", "unknown_key", hint=" It is for tests on text and numbers.")
    return ValueTest(key, _operand(form, row, reads, subject), reads, is_exact, pick)


def _refuse_tests(form: Form, subject: Subject, keys: Sequence[str]) -> None:
    if keys:
        form.scope.report.refuse(form.path, "two_things")
        return
    if form.unknown:
        # The test itself is misspelt.
        key = form.unknown.pop(0)
        reads = subject.reads or _type_of(form.source[key])
        near = closest(key, [row.key for row in operators_of(reads)])
        form.refuse(key, "unknown_test", plural=PLURALS[reads], hint=f" Did you mean '{near}'?" if near else "")
        return
    tests = ", ".join(f"'{row.key}'" for row in operators_of(subject.reads or "text"))
    form.scope.report.refuse(form.path, "no_test", tests=tests)


def _reads(row: Operator, operand: Any, subject: Subject) -> Reads:
    """Return as what the value will be read."""
    if row.key == "known":
        return "any"
    if subject.reads is not None and subject.reads != "list":
        return subject.reads
    if len(row.reads) == 1 or row.shape == "window":
        return row.reads[0]
    return "text" if row.shape in ("text", "texts", "like", "pattern") else _type_of(operand)


def _type_of(operand: Any) -> Reads:
    first = operand[0] if isinstance(operand, list) and operand else operand
    if isinstance(first, bool):
        return "boolean"
    return "number" if isinstance(first, int | Decimal) else "text"


def _is_of_type(operand: Any, row: Operator, reads: Reads) -> bool:
    """Say whether an operand is of the type that its test reads; its form is looked at by `_operand`."""
    if row.shape not in ("one", "many", "pair") or reads == "list" or operand == []:
        return True
    found = _type_of(operand)
    return found == {"language": "text", "version": "text"}.get(reads, reads)


def _refuse_type(form: Form, row: Operator, subject: Subject, reads: Reads) -> None:
    said = f"'{subject.name}' is {PLURALS[subject.reads]}" if subject.reads is not None else ""
    if reads in row.reads or not said:
        wanted = reads if reads in row.reads else row.reads[0]
        form.refuse(row.key, "wrong_value", needs=f"{_NEEDS[wanted]}: {said}" if said else _NEEDS[wanted])
        return
    remedy = " or ".join(f"'{other.key}'" for other in operators_of(reads)[:1])
    needs = _NEEDS.get(row.reads[0], "a date")
    form.refuse(row.key, "wrong_type", what=said, needs=needs, remedy=remedy, kind=subject.kind)


def _operand(form: Form, row: Operator, reads: Reads, subject: Subject) -> Operand:
    """Return the operand of a test in the form that its row says."""
    value = form.source[row.key]
    if row.shape == "window":
        return _date_operand(form, row, reads, subject)
    if row.shape == "truth":
        return form.truth(row.key, default=True)
    if row.shape in ("many", "texts", "pair"):
        return _list_operand(form, row, reads)
    if reads == "boolean":
        return bool(value)
    if reads == "number":
        return _number(value, row.key, form.at(row.key), form.scope)
    return _text(value, row, reads, form.at(row.key), form.scope)


def _list_operand(form: Form, row: Operator, reads: Reads) -> tuple[str, ...] | tuple[Decimal, ...]:
    values, path, scope = form.children(row.key), form.at(row.key), form.scope
    if row.shape == "pair" and len(values) != 2:
        form.refuse(row.key, "wrong_value", needs="two, such as [1, 5]")
        return ()
    if not values and isinstance(form.source[row.key], list):
        scope.report.refuse(path, "empty_list")
    if len(values) > scope.limits.list_values:
        scope.report.refuse(path, "too_many", found=len(values), things="values", most=scope.limits.list_values)
        return ()
    if reads == "number" or (reads == "list" and _type_of(values) == "number"):
        numbers = tuple(_number(value, row.key, (*path, at), scope) for at, value in enumerate(values))
        if row.shape == "pair" and numbers[0] > numbers[1]:
            form.refuse(row.key, "bad_pair", first=numbers[1], second=numbers[0])
        return numbers
    texts = tuple(_text(value, row, reads, (*path, at), scope) for at, value in enumerate(values))
    if row.shape == "pair" and len(texts) == 2 and version_of(texts[0]) > version_of(texts[1]):
        form.refuse(row.key, "bad_pair", first=f"'{texts[1]}'", second=f"'{texts[0]}'")
    return texts


def _number(value: Any, key: str, path: Path, scope: Scope) -> Decimal:
    number = number_of(value, scope.limits)
    if number is None:
        scope.report.refuse(path, "wrong_value", key=key, needs=f"a number of up to {scope.limits.digits} digits")
    return number or Decimal(0)


def _text(value: Any, row: Operator, reads: Reads, path: Path, scope: Scope) -> str:
    if not isinstance(value, str):
        scope.report.refuse(
            path, "wrong_value", key=row.key, needs="texts or numbers" if reads == "list" else _NEEDS[reads]
        )
        return "-"
    if not value or (row.shape in ("one", "many") and not value.strip()):
        scope.report.refuse(path, "blank_text", key=row.key)
    if reads == "version" and not _VERSION.fullmatch(value):
        scope.report.refuse(path, "wrong_value", key=row.key, needs=_NEEDS["version"])
        return "0"
    most = scope.limits.pattern if row.shape == "pattern" else scope.limits.text
    if len(value) > most:
        scope.report.refuse(path, "too_many", found=len(value), things="characters", most=most)
    elif row.shape == "pattern" and (why := problem_of(value)):
        scope.report.refuse(path, "bad_pattern", found=value, why=why)
    return value


def version_of(text: str) -> tuple[int, ...]:
    """Return the parts of a version; 17.0 is 17."""
    parts = [int(part) for part in text.split(".") if part.isdecimal() and part.isascii()]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def _date_operand(form: Form, row: Operator, reads: Reads, subject: Subject) -> Operand:
    window = read_date_test(row.key, form.source[row.key], form.at(row.key), form.scope)
    if isinstance(window, Within | MoreThanAgo | WithinNext | MoreThanAhead):
        lengths = [window.length]
    elif isinstance(window, BetweenAgo | BetweenAhead):
        lengths = [window.nearest, window.farthest]
    else:
        lengths = []
    is_by_days = reads == "day" and not isinstance(window, Anniversary)
    if is_by_days and any(length.unit in ("min", "h") for length in lengths):
        form.refuse(row.key, "hours_on_days", name=subject.name)
    return window


def read_count_test(value: Any, path: Path, scope: Scope) -> CountTest:
    """Return a test on a count: an object with one key, such as {"at_least": 3}."""
    form = open_form(value, path, scope, keys=COUNT_OPERATORS)
    return _count_test(form)


def _count_test(form: Form) -> CountTest:
    keys = [key for key in form.source if key in COUNT_OPERATORS]
    if len(keys) == 1:
        form.refuse_unknown()
        return _count_of(form, keys[0])
    if keys:
        form.scope.report.refuse(form.path, "two_things")
    elif form.unknown:
        near = closest(form.unknown[0], COUNT_OPERATORS)
        hint = f" Did you mean '{near}'?" if near else ""
        form.refuse(form.unknown[0], "unknown_test", plural="numbers", hint=hint)
    else:
        tests = ", ".join(f"'{key}'" for key in COUNT_OPERATORS)
        form.scope.report.refuse(form.path, "no_test", tests=tests)
    return AT_LEAST_ONCE.test


def _count_of(form: Form, key: str) -> CountTest:
    value, most = form.source[key], form.scope.limits.count
    if key == "none":
        if value is not True:
            form.refuse(key, "wrong_value", needs="true")
        return CountTest("none", 0, 0)
    ends = value if key == "between" else [value, value]
    if not isinstance(ends, list) or len(ends) != 2 or not all(_is_count(end, most) for end in ends):
        needs = "two whole numbers" if key == "between" else "a whole number"
        form.refuse(key, "wrong_value", needs=f"{needs} from 0 to {most:,}")
        return AT_LEAST_ONCE.test
    if ends[0] > ends[1]:
        form.refuse(key, "bad_pair", first=ends[1], second=ends[0])
    low, high = (0 if key == "at_most" else ends[0]), (None if key == "at_least" else ends[1])
    return CountTest(key, low, high)  # type: ignore[arg-type]  # one of its keys


def _is_count(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def read_aggregate(form: Form, distinct_of: Collection[str] = ()) -> Aggregate:
    """Return what is asked of the events or records. `distinct_of` names what else than a property may differ."""
    keys = [key for key in AGGREGATES if key in form]
    if not keys:
        return AT_LEAST_ONCE
    if len(keys) > 1:
        form.scope.report.refuse(form.path, "two_things")
        return AT_LEAST_ONCE
    key, scope = keys[0], form.scope
    if key == "count":
        return Count(read_count_test(form.source[key], form.at(key), scope))
    inner = open_form(
        form.source[key], form.at(key), scope, keys=("of", *(COUNT_OPERATORS if key == "distinct" else TEST_KEYS))
    )
    if key == "distinct":
        return _read_distinct(inner, distinct_of)
    name = read_name(inner, "of")
    test = read_value_test(inner, Subject(".".join(name), "name", "number"))
    inner.refuse_unknown()
    return Amount(key, name, read_as_number(inner, test))  # type: ignore[arg-type]  # one of its kinds


def _read_distinct(form: Form, distinct_of: Collection[str]) -> Aggregate:
    of = form.source.get("of")
    name = (of,) if isinstance(of, str) and of in distinct_of else read_name(form, "of")
    rest = Form(
        {key: value for key, value in form.source.items() if key != "of"}, form.path, form.scope, COUNT_OPERATORS
    )
    return Distinct(name, _count_test(rest))


def read_as_number(form: Form, test: ValueTest) -> ValueTest:
    """Refuse tests that a computed number cannot have: it is neither looked up nor one of a list."""
    for key in ("known", "case", "pick"):
        if key in form:
            form.refuse(key, "unknown_key", hint=" This number is computed.")
    return test if test.reads == "number" else ValueTest("equals", Decimal(0), "number")
