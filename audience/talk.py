"""What is said to the database, apart from how it is sent.

A talk is a generator. It yields statements and is given the rows of those that read. So the same talk goes over an
ordinary cursor (`speak`) and through a pipeline (`audience.pipeline`), where statements that belong together travel
together and nobody waits for the answer of one that only writes.

    def rename(old: int, new: str) -> Talk[int]:
        (names,) = yield [_NAMES(old)]
        yield [_RENAME(old, new)]
        return len(names)
"""

import itertools
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from audience.columns import Column, Cursor

Rows = list[tuple[Any, ...]]
Value = Column | str | int
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Template:
    """A statement without its values, which stand in it as `%s`. No literal percent sign may stand in it."""

    sql: str
    does_read: bool
    numbered: bytes = field(init=False, repr=False)  # with $1, $2, … as PostgreSQL itself writes them

    def __post_init__(self) -> None:
        numbers = itertools.count(1)
        object.__setattr__(self, "numbered", re.sub("%s", lambda _: f"${next(numbers)}", self.sql).encode())

    def __call__(self, *values: Value) -> "Statement":
        return Statement(self, values)


class Statement(NamedTuple):
    template: Template
    values: Sequence[Value]


Talk = Generator[Sequence[Statement], list[Rows], T]


def reads(sql: str) -> Template:
    """Return the template of a statement whose rows the talk needs."""
    return Template(sql, does_read=True)


def writes(sql: str) -> Template:
    """Return the template of a statement that gives nothing back."""
    return Template(sql, does_read=False)


def speak(cursor: Cursor, talk: Talk[T]) -> T:
    """Hold a talk over a cursor of `audience.columns.batch_cursor`, one statement after the other."""
    try:
        statements = next(talk)
        while True:
            rows: list[Rows] = []
            for template, values in statements:
                cursor.execute(template.sql, values)
                if template.does_read:
                    rows.append(cursor.fetchall())
            statements = talk.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result
