"""Pieces of SQL, with what a person typed apart from the text: it travels in parameters, names included."""

import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from string import Formatter
from sys import intern
from typing import Literal, NamedTuple, TypeAlias

_LIST = re.compile(r"::\w+\[\]")
NEVER_TEXT = "'{}'::tstzmultirange"


class AsOf(NamedTuple):
    """The place of the moment of asking among the values of a statement."""


class Bound(NamedTuple):
    """The place of the first or the last id of a range that is asked about as a whole."""

    is_last: bool


AS_OF = AsOf()
Value: TypeAlias = str | int
Slot: TypeAlias = Value | AsOf | Bound


class Sql(NamedTuple):
    """A piece of SQL; each `%s` in the text stands for the next of the values. No other percent sign is in it."""

    text: str
    values: tuple[Slot, ...] = ()


class Shape(NamedTuple):
    """The text of a piece in which rules share what they differ in: their values are columns `asked.v1`, …

    A list stays a value, of which one is enough for everybody; so does the moment of asking, by which PostgreSQL
    leaves out partitions before it begins. `slots` are these, in their order.
    """

    text: str
    width: int
    slots: tuple[Literal["as_of", "list"], ...]


class Shaped(NamedTuple):
    """A piece by its shape, and the values that go with it: of the columns, and the lists."""

    shape: Shape
    columns: tuple[str, ...]
    lists: tuple[str, ...]


def shaped(piece: Sql) -> Shaped:
    """Return a piece by its shape."""
    first, *rest = piece.text.split("%s")
    texts, columns, lists = [first], [], []
    slots: list[Literal["as_of", "list"]] = []
    for value, text in zip(piece.values, rest, strict=True):
        if isinstance(value, AsOf):
            slots.append("as_of")
            texts.append("%s")
        elif _LIST.match(text):
            slots.append("list")
            lists.append(str(value))
            texts.append("%s")
        else:
            columns.append(str(value))
            texts.append(f"asked.v{len(columns)}")
        texts.append(text)
    return Shaped(Shape(intern("".join(texts)), len(columns), tuple(slots)), tuple(columns), tuple(lists))


def sql(template: str, **parts: Sql | str) -> Sql:
    """Return the template with `{name}` replaced by the piece of that name.

    A part that is a plain string is text of ours: a column, an alias.
    """
    texts: list[str] = []
    values: list[Slot] = []
    for literal, name, _, _ in Formatter().parse(template):
        texts.append(literal)
        if name is None:
            continue
        part = parts[name]
        if isinstance(part, str):
            texts.append(part)
        else:
            texts.append(part.text)
            values += part.values
    return Sql("".join(texts), tuple(values))


def join(separator: str, pieces: Iterable[Sql]) -> Sql:
    """Return the pieces one after the other; at least one."""
    pieces = list(pieces)
    return Sql(separator.join(piece.text for piece in pieces), tuple(v for piece in pieces for v in piece.values))


def text(value: str) -> Sql:
    """Return a text. PostgreSQL's cannot hold NUL, so no value of a profile has one: U+FFFD takes its place."""
    return Sql("%s::text", (value.replace("\0", "\ufffd"),))


def texts(values: Iterable[str]) -> Sql:
    """Return an array of texts; each is quoted, so that none can end its element."""
    quoted = (
        '"{}"'.format(value.replace("\0", "\ufffd").replace("\\", "\\\\").replace('"', '\\"')) for value in values
    )
    return Sql("%s::text[]", (f"{{{','.join(quoted)}}}",))


def number(value: Decimal | int) -> Sql:
    return Sql("%s::numeric", (format(value, "f"),))


def numbers(values: Iterable[Decimal]) -> Sql:
    return Sql("%s::numeric[]", ("{" + ",".join(format(value, "f") for value in values) + "}",))


def bigint(value: int) -> Sql:
    return Sql("%s::bigint", (value,))


def duration(microseconds: int) -> Sql:
    """Return a length of time. A day is 24 hours: the interval holds microseconds alone, no days."""
    return Sql("%s::interval", (f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06} seconds",))


def instant(at: datetime) -> Sql:
    return Sql("%s::timestamptz", (at.isoformat(),))


def day(value: object) -> Sql:
    return Sql("%s::date", (str(value),))


AS_OF_SQL = Sql("%s::timestamptz", (AS_OF,))
FIRST, LAST = Sql("%s::uuid", (Bound(is_last=False),)), Sql("%s::uuid", (Bound(is_last=True),))
NEVER = Sql(NEVER_TEXT)
# All time from the moment of asking on.
ALWAYS = sql("tstzmultirange(tstzrange({as_of}, NULL))", as_of=AS_OF_SQL)
TRUE, FALSE = Sql("TRUE"), Sql("FALSE")


def opposite(timeline: Sql) -> Sql:
    return sql("({always} - {timeline})", always=ALWAYS, timeline=timeline)


def where_true(claim: Sql) -> Sql:
    """Return always where a claim is true, never where it is false or unknown."""
    return sql("(CASE WHEN {claim} THEN {always} ELSE {never} END)", claim=claim, always=ALWAYS, never=NEVER)
