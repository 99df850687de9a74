"""The tests on values: one row each, for reading, sentences, the form, the JSON Schema and SQL (rules.md 1.2).

A row knows one comparison, on a value that was read as what the test reads. Case, lists and the unknown are known
elsewhere and are alike for all rows: an unknown value passes none but `known: false`, and on a list a negative test
fails if one element fails it.
"""

from typing import Literal, NamedTuple

from segments.rules.values import Reads

# one: a text, number or truth, as the value is read. many: a list of them. pair: [a, b] with a <= b. text, pattern
# and truth are what their names say. window: a window on dates.
Shape = Literal["one", "many", "pair", "text", "texts", "like", "pattern", "truth", "window"]


class Operator(NamedTuple):
    """One test. `sentence` follows the name of what is tested, with `{}` for the operand.

    `negates` names the row of which this one is the opposite, on a known value. `sql` has `{value}` and `{operand}`,
    both in the form of what the test reads; it is empty where `negates` or a window says it.
    """

    key: str
    label: str
    sentence: str
    reads: tuple[Reads, ...]
    shape: Shape
    sql: str = ""
    negates: str = ""


_TEXTS: tuple[Reads, ...] = ("text", "language")
_NUMBERS: tuple[Reads, ...] = ("number", "version")
_SCALARS: tuple[Reads, ...] = ("text", "number", "version", "language")
_DATES: tuple[Reads, ...] = ("date", "day")
_ALL: tuple[Reads, ...] = ("text", "number", "boolean", "date", "day", "list", "version", "language", "any")

_ROWS = (
    Operator("equals", "is", "is {}", (*_SCALARS, "boolean"), "one", "{value} = {operand}"),
    Operator("not_equals", "is not", "is known and is not {}", _SCALARS, "one", negates="equals"),
    Operator("one_of", "is one of", "is {}", _SCALARS, "many", "{value} = ANY({operand})"),
    Operator("none_of", "is none of", "is known and is not {}", _SCALARS, "many", negates="one_of"),
    Operator("contains", "contains", "contains {}", _TEXTS, "text", "strpos({value}, {operand}) > 0"),
    Operator(
        "not_contains", "does not contain", "is known and does not contain {}", _TEXTS, "text", negates="contains"
    ),
    Operator("contains_any", "contains any of", "contains {}", _TEXTS, "texts", "{value} LIKE ANY({operand})"),
    Operator("starts_with", "begins with", "begins with {}", _TEXTS, "text", "starts_with({value}, {operand})"),
    Operator("ends_with", "ends with", "ends with {}", _TEXTS, "text", "{value} LIKE {operand}"),
    Operator("like", "is like", "is like {}", _TEXTS, "like", "{value} LIKE {operand}"),
    Operator("not_like", "is not like", "is known and is not like {}", _TEXTS, "like", negates="like"),
    Operator("matches", "matches", "matches {}", _TEXTS, "pattern", "{value} ~ {operand}"),
    Operator("not_matches", "does not match", "is known and does not match {}", _TEXTS, "pattern", negates="matches"),
    Operator("less_than", "is less than", "is less than {}", _NUMBERS, "one", "{value} < {operand}"),
    Operator("at_most", "is at most", "is at most {}", _NUMBERS, "one", "{value} <= {operand}"),
    Operator("more_than", "is more than", "is more than {}", _NUMBERS, "one", "{value} > {operand}"),
    Operator("at_least", "is at least", "is at least {}", _NUMBERS, "one", "{value} >= {operand}"),
    Operator("between", "is between", "is between {}", _NUMBERS, "pair", "{value} BETWEEN {operand}"),
    Operator("includes_any", "includes any of", "includes {}", ("list",), "many", "{value} && {operand}"),
    Operator("includes_all", "includes all of", "includes all of {}", ("list",), "many", "{value} @> {operand}"),
    Operator(
        "includes_none",
        "includes none of",
        "is known and includes none of {}",
        ("list",),
        "many",
        negates="includes_any",
    ),
    Operator("empty", "is empty", "is {}empty", ("list",), "truth", "(cardinality({value}) = 0) = {operand}"),
    Operator("known", "is known", "is {}known", _ALL, "truth", "({value} IS NOT NULL) = {operand}"),
    Operator("within", "in the last", "was {}", _DATES, "window"),
    Operator("between_ago", "ago, between", "was {}", _DATES, "window"),
    Operator("more_than_ago", "ago, more than", "was {}", _DATES, "window"),
    Operator("on", "on", "is {}", _DATES, "window"),
    Operator("before", "before", "is {}", _DATES, "window"),
    Operator("after", "after", "is {}", _DATES, "window"),
    Operator("on_or_before", "on or before", "is {}", _DATES, "window"),
    Operator("on_or_after", "on or after", "is {}", _DATES, "window"),
    Operator("between_dates", "between days", "is {}", _DATES, "window"),
    Operator("between_times", "between times", "is {}", ("date",), "window"),
    Operator("calendar", "calendar", "is {}", _DATES, "window"),
    Operator("within_next", "in the next", "is {}", _DATES, "window"),
    Operator("more_than_ahead", "ahead, more than", "is {}", _DATES, "window"),
    Operator("between_ahead", "ahead, between", "is {}", _DATES, "window"),
    Operator("anniversary", "anniversary", "has its anniversary {}", _DATES, "window"),
)
OPERATORS = {row.key: row for row in _ROWS}

# What people call the values that a test reads.
PLURALS: dict[Reads, str] = {
    "text": "text",
    "number": "numbers",
    "boolean": "true or false",
    "date": "dates",
    "day": "days",
    "list": "lists",
    "version": "versions",
    "language": "languages",
    "any": "values",
}


class CountOperator(NamedTuple):
    """A test on a whole number from 0. `sentence` comes after the verb."""

    key: str
    label: str
    sentence: str


COUNT_OPERATORS = {
    row.key: row
    for row in (
        CountOperator("exactly", "exactly", "exactly {}"),
        CountOperator("at_least", "at least", "at least {}"),
        CountOperator("at_most", "at most", "at most {}"),
        CountOperator("between", "between", "between {}"),
        CountOperator("none", "never", "never"),
    )
}


def operators_of(reads: Reads) -> tuple[Operator, ...]:
    """Return the tests on values of one type, in the order of the form."""
    return tuple(row for row in _ROWS if reads in row.reads)
