"""One test on one value of JSON, as a claim or, where it is about a date, as a timeline (rules.md 1.2, 2.5, 2.6).

A claim is never NULL: an unknown value passes nothing but `known: false`.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import get_args

from segments.rules import patterns
from segments.rules.compiling.clock import Clock
from segments.rules.compiling.dates import date_timeline
from segments.rules.compiling.scene import Uncompilable
from segments.rules.compiling.sql import (
    ALWAYS,
    FALSE,
    NEVER,
    TRUE,
    Sql,
    join,
    number,
    numbers,
    opposite,
    sql,
    text,
    texts,
    where_true,
)
from segments.rules.operators import OPERATORS, Operator
from segments.rules.values import EACH, Name, Pick, Reads, ValueTest
from segments.rules.windows import Window

_WINDOWS = get_args(Window)
_LIKE_SIGNS = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})
_LIKE_WILD = str.maketrans({"*": "%", "?": "_"})


def value_at(record: Sql | str, name: Name, *, depth: int = 0) -> Sql:
    """Return the value of a name in a record; of a name with EACH the list of the values of all elements."""
    if EACH not in name:
        return _steps(record, name)
    at = name.index(EACH)
    whole, rest, element = _steps(record, name[:at]), name[at + 1 :], f"i{depth}"
    value = value_at(element, rest, depth=depth + 1)
    found = sql(f"jsonb_array_elements(w.v) {element}")
    if EACH in rest:
        # The lists of all elements are one.
        found = sql("{found} CROSS JOIN LATERAL {lists} f", found=found, lists=elements(value))
        value = Sql("f")
    return sql(
        "(SELECT CASE WHEN jsonb_typeof(w.v) = 'array'"
        " THEN (SELECT coalesce(jsonb_agg({value}), '[]') FROM {found}) END FROM (SELECT {whole} AS v OFFSET 0) w)",
        value=value,
        found=found,
        whole=whole,
    )


def elements(value: Sql | str) -> Sql:
    """Return the elements of a list, else the value itself, as a relation."""
    return sql(
        "jsonb_array_elements(CASE WHEN jsonb_typeof({value}) = 'array' THEN {value}"
        " ELSE jsonb_build_array({value}) END)",
        value=value,
    )


def _steps(record: Sql | str, steps: Sequence[str]) -> Sql:
    found = sql("{record}", record=record)
    for step in steps:
        found = sql("({found} -> {step})", found=found, step=text(step))
    return found


def is_dated(test: ValueTest) -> bool:
    """Return whether the answer depends on when it is asked."""
    return isinstance(test.operand, _WINDOWS)


def timeline(value: Sql, test: ValueTest, clock: Clock) -> Sql:
    """Return when a value passes a test."""
    if isinstance(test.operand, _WINDOWS):
        return _dated(value, test, test.operand, clock)
    return where_true(claim(value, test))


def _dated(value: Sql, test: ValueTest, window: Window, clock: Clock) -> Sql:
    _row(test)

    def when(element: str) -> Sql:
        read = sql(f"segments_text({element})")
        return date_timeline(read, window, clock, days_only=test.reads == "day")

    every = sql("SELECT {when} AS t FROM jsonb_array_elements(x.v) i", when=when("i"))
    any_ = sql("(SELECT coalesce(range_agg(t), {never}) FROM ({every}) i)", never=NEVER, every=every)
    of_list = {
        "any": any_,
        "all": sql(
            "(SELECT coalesce(range_intersect_agg(t), {always}) FROM ({every}) i)", always=ALWAYS, every=every
        ),
        "none": opposite(any_),
        "first": when("(x.v -> 0)"),
        "last": when("(x.v -> -1)"),
    }[test.pick]
    return _by_kind(value, of_list, when("x.v"))


def _by_kind(value: Sql, of_list: Sql, of_one: Sql) -> Sql:
    """Return one of two pieces over `x.v`, as the value is a list or not. OFFSET 0 has it looked up once."""
    return sql(
        "(SELECT CASE WHEN jsonb_typeof(x.v) = 'array' THEN {of_list} ELSE {of_one} END"
        " FROM (SELECT {value} AS v OFFSET 0) x)",
        of_list=of_list,
        of_one=of_one,
        value=value,
    )


def claim(value: Sql, test: ValueTest) -> Sql:
    """Return whether a value passes a test. Raises for one about dates, and for a test that is unknown."""
    row = _row(test)
    if test.operator == "known":
        known = sql("segments_is_known({value})", value=value)
        return known if test.operand else sql("(NOT {known})", known=known)
    if test.reads == "list":
        return _sure(_passes_as_list(value, row, test))
    return _sure(_by_kind(value, _picked(row, test), _passes("x.v", row, test)))


def _row(test: ValueTest) -> Operator:
    row = OPERATORS.get(test.operator)
    if row is None or test.reads not in row.reads or test.pick not in get_args(Pick):
        raise Uncompilable(f"“{test.operator}” is no test on values of the kind {test.reads}.")
    is_window = isinstance(test.operand, _WINDOWS)
    if (row.shape == "window") != is_window:
        raise Uncompilable(f"“{test.operator}” cannot be asked with {test.operand!r}.")
    return row


def _sure(claim: Sql) -> Sql:
    return sql("coalesce({claim}, FALSE)", claim=claim)


def _picked(row: Operator, test: ValueTest) -> Sql:
    """Return whether a list passes: on a list a negative test fails if one element fails it."""
    if test.pick in ("first", "last"):
        return _passes("(x.v -> 0)" if test.pick == "first" else "(x.v -> -1)", row, test)
    found = sql("SELECT FROM jsonb_array_elements(x.v) i WHERE {passes}", passes=_passes("i", row, test))
    failed = sql(
        "SELECT FROM jsonb_array_elements(x.v) i WHERE ({passes}) IS NOT TRUE", passes=_passes("i", row, test)
    )
    if test.pick == "none":
        return sql("NOT EXISTS ({found})", found=found)
    if test.pick == "all" or row.negates:
        return sql("NOT EXISTS ({failed})", failed=failed)
    return sql("EXISTS ({found})", found=found)


def _passes(element: str, row: Operator, test: ValueTest) -> Sql:
    """Return whether one value passes, NULL where it is unknown."""
    if row.negates:
        return sql("NOT ({passes})", passes=_passes(element, OPERATORS[row.negates], test))
    return compare(read(element, test), row, test)


def read(value: Sql | str, test: ValueTest) -> Sql:
    """Return a value as what the test reads, NULL where it is no such thing."""
    return _READERS[test.reads](sql("{value}", value=value), test.is_exact_case)


def folded(value: Sql, is_exact_case: bool) -> Sql:
    return value if is_exact_case else sql("lower({value})", value=value)


def _read_text(value: Sql, is_exact_case: bool) -> Sql:
    return folded(sql("segments_text({value})", value=value), is_exact_case)


_READERS: dict[Reads, Callable[[Sql, bool], Sql]] = {
    "text": _read_text,
    "language": _read_text,
    "number": lambda value, _: sql("segments_number({value})", value=value),
    "boolean": lambda value, _: sql("segments_boolean({value})", value=value),
    "version": lambda value, _: sql("segments_version(segments_text({value}))", value=value),
}


def compare(value: Sql, row: Operator, test: ValueTest, *, times: Sql | None = None) -> Sql:
    """Return whether a value, read as the test does, passes; `times` multiplies each number of the operand."""
    if test.reads in ("language", "version") and row.key in ("equals", "one_of"):
        operands = test.operand if isinstance(test.operand, tuple) else (test.operand,)
        same = _same_language if test.reads == "language" else _same
        return sql("({any})", any=join(" OR ", [same(value, _one(operand, test)) for operand in operands]))
    operand = _OPERANDS[row.shape](test, times)
    # In the collation "C" the sets of a regular expression are those of ASCII on every server.
    value = sql('({value} COLLATE "C")', value=value) if row.shape == "pattern" else value
    return sql(f"({row.sql})", value=value, operand=operand)


def _same(value: Sql, operand: Sql) -> Sql:
    return sql("{value} = {operand}", value=value, operand=operand)


def _same_language(value: Sql, operand: Sql) -> Sql:
    return sql("{value} = {operand} OR starts_with({value}, {operand} || '-')", value=value, operand=operand)


def _one(operand: object, test: ValueTest) -> Sql:
    if isinstance(operand, bool):
        return TRUE if operand else FALSE
    if isinstance(operand, Decimal):
        return number(operand)
    if not isinstance(operand, str):
        raise Uncompilable(f"{operand!r} cannot be compared.")
    if test.reads == "version":
        return sql("segments_version({operand})", operand=text(operand))
    return _text(operand, test)


def _text(operand: str, test: ValueTest) -> Sql:
    return folded(sql("normalize({operand})", operand=text(operand)), test.is_exact_case)


def _texts(operands: Sequence[str], test: ValueTest) -> Sql:
    each = folded(Sql("normalize(o)"), test.is_exact_case)
    return sql("ARRAY(SELECT {each} FROM unnest({operands}) o)", each=each, operands=texts(operands))


def _times(operand: Sql, times: Sql | None) -> Sql:
    return operand if times is None else sql("({operand} * {times})", operand=operand, times=times)


def _shape_one(test: ValueTest, times: Sql | None) -> Sql:
    return _times(_one(test.operand, test), times)


def _shape_many(test: ValueTest, times: Sql | None) -> Sql:
    operands = _tuple(test)
    decimals = [operand for operand in operands if isinstance(operand, Decimal)]
    if len(decimals) != len(operands):
        return _texts([str(operand) for operand in operands], test)
    if times is None:
        return numbers(decimals)
    return sql("ARRAY(SELECT {each} FROM unnest({all}) o)", each=_times(Sql("o"), times), all=numbers(decimals))


def _shape_pair(test: ValueTest, times: Sql | None) -> Sql:
    low, high = (_times(_one(operand, test), times) for operand in _tuple(test))
    return sql("{low} AND {high}", low=low, high=high)


def _tuple(test: ValueTest) -> tuple[object, ...]:
    if not isinstance(test.operand, tuple) or not test.operand:
        raise Uncompilable(f"“{test.operator}” needs a list of values.")
    return test.operand


def _string(test: ValueTest) -> str:
    if not isinstance(test.operand, str):
        raise Uncompilable(f"“{test.operator}” needs a text.")
    return test.operand


def _shape_text(test: ValueTest, times: Sql | None) -> Sql:
    operand = _string(test)
    return _text(f"%{operand.translate(_LIKE_SIGNS)}" if test.operator == "ends_with" else operand, test)


def _shape_texts(test: ValueTest, times: Sql | None) -> Sql:
    return _texts([f"%{str(operand).translate(_LIKE_SIGNS)}%" for operand in _tuple(test)], test)


def _shape_like(test: ValueTest, times: Sql | None) -> Sql:
    return _text(_string(test).translate(_LIKE_SIGNS).translate(_LIKE_WILD), test)


def _shape_pattern(test: ValueTest, times: Sql | None) -> Sql:
    pattern = _string(test)
    if problem := patterns.problem_of(pattern):
        raise Uncompilable(f"The regular expression {problem}.")
    return sql("normalize({pattern})", pattern=text(pattern if test.is_exact_case else patterns.fold(pattern)))


_OPERANDS: dict[str, Callable[[ValueTest, Sql | None], Sql]] = {
    "one": _shape_one,
    "many": _shape_many,
    "pair": _shape_pair,
    "text": _shape_text,
    "texts": _shape_texts,
    "like": _shape_like,
    "pattern": _shape_pattern,
    "truth": _shape_one,
}


def _passes_as_list(value: Sql, row: Operator, test: ValueTest) -> Sql:
    """Return whether a list passes as a whole; what is no list is unknown."""
    if row.negates:
        return sql("NOT ({passes})", passes=_passes_as_list(value, OPERATORS[row.negates], test))
    operand = _OPERANDS[row.shape](test, None)
    if row.key == "empty":
        each = Sql("i")
    elif isinstance(test.operand, tuple) and isinstance(test.operand[0], Decimal):
        each = Sql("segments_number(i)")
    else:
        each = _read_text(Sql("i"), test.is_exact_case)
    found = sql(
        "(SELECT CASE WHEN jsonb_typeof(x.v) = 'array' THEN ARRAY(SELECT t FROM ("
        "SELECT {each} AS t FROM jsonb_array_elements(x.v) i) i WHERE t IS NOT NULL) END"
        " FROM (SELECT {value} AS v OFFSET 0) x)",
        each=each,
        value=value,
    )
    return sql(f"({row.sql})", value=found, operand=operand)
