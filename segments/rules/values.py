"""Tests: what may be asked of one value, of a count, and by which names values are found (rules.md 1.2).

A test says by `reads` as what it reads the value: a text test reads the number 10.0 as "10", a number test reads the
text "10" as 10 (2.6). What reads as nothing is unknown and passes no test but `known: false`.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from segments.rules.windows import Window

# Where values come from: the steps from an object inwards. EACH stands for every element of the list so far:
# "products[].category" is ("products", "[]", "category"), the name "a.b" of one key is ("a.b",).
Name: TypeAlias = tuple[str, ...]
EACH = "[]"

# `date` is an instant or a day, as the value says; `day` is known to be a day. `language` is text where "de" equals
# "de-AT", too; `version` compares "17.2.1" part by part; `any` asks only whether a value is known.
Reads = Literal["text", "number", "boolean", "date", "day", "list", "version", "language", "any"]
Pick = Literal["any", "all", "first", "last", "none"]
Operand: TypeAlias = str | Decimal | bool | tuple[str, ...] | tuple[Decimal, ...] | Window


@dataclass(frozen=True)
class ValueTest:
    """One test on one value. `operator` is a key of `operators.OPERATORS`.

    The operand is in the form that the operator's row says: one text or number, a tuple of them (`one_of`,
    `between`, `includes_any`), a truth (`equals` on true/false, `known`, `empty`), or the window of a date test.
    `pick` matters where the value turns out to be a list.
    """

    operator: str
    operand: Operand
    reads: Reads
    is_exact_case: bool = False
    pick: Pick = "any"


@dataclass(frozen=True)
class CountTest:
    """`low <= count <= high`, without an upper end where `high` is None; `operator` is how its author wrote it."""

    operator: Literal["exactly", "at_least", "at_most", "between", "none"]
    low: int
    high: int | None


@dataclass(frozen=True)
class Count:
    """How many there are."""

    test: CountTest


# The aggregate of a condition that names none.
AT_LEAST_ONCE = Count(CountTest("at_least", 1, None))


@dataclass(frozen=True)
class Amount:
    """The sum, average, least or greatest of a number. Over nothing a sum is 0 and the others are unknown.

    An average is tested as `sum >= n * count`, so that nothing is rounded.
    """

    kind: Literal["sum", "avg", "min", "max"]
    of: Name
    test: ValueTest


@dataclass(frozen=True)
class Distinct:
    """How many different known values there are; of events also ("$day",) and ("$visit",)."""

    of: Name
    test: CountTest


Aggregate: TypeAlias = Count | Amount | Distinct
