"""The worked cases of rules.md 7 as rows: a rule, what happened, and the timeline.

The slow reference and the compiler are both held against them. Where a case says more than a timeline (who was told
what, an edit, a merge), `engine` says what; its timelines are here all the same.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any

from segments.rules.reading.rules import read
from segments.rules.tree import Of, Rule
from tests.segments.rules.facts import Company, Event, Person, World, at

_RANGE = re.compile(r"\[([^,]+), ([^)]+)\)")


@dataclass(frozen=True)
class Case:
    """One row. `expected` is in the words of rules.md: ranges joined by +, `{}`, "holds", or "ends 05-01 22:00".

    `as_of` is the last fact unless it is given.
    """

    name: str
    rule: Mapping[str, Any]
    subject: Person | Company
    expected: str
    as_of: str | None = None
    of: Of = "profile"
    zone: str = "advertiser"
    world: World = field(default_factory=World)
    engine: str = ""

    @property
    def number(self) -> int:
        return int(re.match(r"\d+", self.name)[0])

    def text(self) -> str:
        """Return the rule as JSON text."""
        envelope = {"muster_rule": 1, "of": self.of, "zone": self.zone, "rule": self.rule}
        return json.dumps(envelope, ensure_ascii=False)

    def read(self) -> Rule:
        return read(self.text()).rule

    def instant(self) -> datetime:
        """Return `as_of`."""
        return at(self.as_of) if self.as_of else max(_applied(self.subject))

    def timeline(self) -> list[tuple[datetime, datetime | None]]:
        """Return the expected ranges; None is without end."""
        if self.expected == "holds":
            return [(self.instant(), None)]
        if self.expected.startswith("ends "):
            return [(self.instant(), at(self.expected.removeprefix("ends ")))]
        found = _RANGE.findall(self.expected)
        assert found or self.expected == "{}", self.expected
        return [(at(start), None if end == "∞" else at(end)) for start, end in found]


def _applied(value: Any) -> list[datetime]:
    """Return when facts were applied: as they happened, or when they came late."""
    if isinstance(value, Event):
        return [value.received_at or value.occurred_at]
    if isinstance(value, datetime):
        return [value]
    if is_dataclass(value):
        return [one for part in fields(value) for one in _applied(getattr(value, part.name))]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [one for part in parts for one in _applied(part)]
