"""What follows from facts, worked out a second time and without the product's code; and what its tables hold."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from tests.running import LiveMuster

Values = Callable[[Sequence[int]], int]


@dataclass(frozen=True)
class Rule:
    """What is known of a segment: how long a stay lasts, whether adding prolongs it, what becomes of its values."""

    lifetime: timedelta
    value: Values | None = None
    is_prolonged: bool = True


@dataclass(frozen=True)
class Fact:
    """Somebody was added or removed."""

    at: datetime
    who: Hashable
    segment: str
    is_add: bool = True
    value: int | None = None


@dataclass
class Stay:
    """Somebody was in from `start` up to `end`."""

    start: datetime
    end: datetime
    values: list[int] = field(default_factory=list)


@dataclass
class Story:
    """All stays that follow from facts, by segment and person."""

    rules: Mapping[str, Rule]
    stays: dict[str, dict[Hashable, list[Stay]]]

    @classmethod
    def of(cls, rules: Mapping[str, Rule], facts: Iterable[Fact]) -> "Story":
        """`facts` are in the order of time."""
        stays: dict[str, dict[Hashable, list[Stay]]] = {code: defaultdict(list) for code in rules}
        for fact in facts:
            _apply(rules[fact.segment], stays[fact.segment][fact.who], fact)
        return cls(rules, stays)

    def members(self, at: datetime) -> Counter[Hashable]:
        """Return, for each person who is in something, what: {(segment, start, end, value), …}."""
        found: dict[Hashable, set[Hashable]] = defaultdict(set)
        for code, people in self.stays.items():
            for who, stays in people.items():
                if stays and stays[-1].start <= at < stays[-1].end:
                    value, last = self.rules[code].value, stays[-1]
                    found[who].add((code, last.start, last.end, value(last.values) if value else None))
        return Counter(frozenset(one) for one in found.values())

    def steps(self, until: datetime) -> Counter[Hashable]:
        """Return every join and leave up to an instant as (segment, join or leave, when)."""
        return Counter(
            (code, change, when)
            for code, people in self.stays.items()
            for stays in people.values()
            for stay in stays
            for change, when in (("join", stay.start), ("leave", stay.end))
            if when <= until
        )


def _apply(rule: Rule, stays: list[Stay], fact: Fact) -> None:
    last = stays[-1] if stays else None
    is_in = last is not None and last.start <= fact.at < last.end
    if not fact.is_add:
        if last is not None and is_in:
            last.end = fact.at
        return
    if last is None or not is_in:
        last = Stay(fact.at, fact.at + rule.lifetime)
        stays.append(last)
    elif rule.is_prolonged:
        last.end = fact.at + rule.lifetime
    if fact.value is not None:
        last.values.append(fact.value)


class Stored:
    """What the database holds of an advertiser; members, joins and leaves are those of segments with pixels.

    `unit` cuts times to a whole minute or microsecond.
    """

    def __init__(self, connection: psycopg.Connection[Any], advertiser_id: int, unit: str) -> None:
        self._connection = connection
        self._words = {"advertiser": advertiser_id, "unit": unit}

    def ask(self, statement: str, **words: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, self._words | words).fetchall()

    def members(self, at: datetime) -> Counter[Hashable]:
        found: dict[Hashable, set[Hashable]] = defaultdict(set)
        for profile, *membership in self.ask(
            "SELECT profile_id, s.code, date_trunc(%(unit)s, starts_at), date_trunc(%(unit)s, expires_at), value "
            "FROM segments_membership m JOIN segments_segment s ON s.id = m.segment_id "
            "WHERE m.advertiser_id = %(advertiser)s AND starts_at <= %(at)s AND expires_at > %(at)s "
            "AND s.kind = 'pixel'",
            at=at,
        ):
            found[profile].add(tuple(membership))
        return Counter(frozenset(one) for one in found.values())

    def steps(self, until: datetime) -> Counter[Hashable]:
        return Counter(
            self.ask(
                "SELECT s.code, change, date_trunc(%(unit)s, at) "
                "FROM segments_transition t JOIN segments_segment s ON s.id = t.segment_id "
                "WHERE t.advertiser_id = %(advertiser)s AND date_trunc(%(unit)s, at) <= %(until)s "
                "AND s.kind = 'pixel'",
                until=until,
            )
        )

    def sizes_by_rules(self, at: datetime) -> dict[str, int]:
        """Return how many are in each segment that has a rule."""
        counted = self.ask(
            "SELECT s.code, count(m.profile_id) FROM segments_segment s LEFT JOIN segments_membership m "
            "ON m.segment_id = s.id AND m.version = s.active_version AND starts_at <= %(at)s AND expires_at > %(at)s "
            "WHERE s.advertiser_id = %(advertiser)s AND s.kind = 'rule' GROUP BY 1",
            at=at,
        )
        return dict(counted)

    def outcomes(self) -> dict[tuple[str, str], int]:
        """Return how many fires were counted as (outcome, reason)."""
        counted = self.ask(
            "SELECT outcome, reason, sum(fires)::int FROM (SELECT advertiser_id, outcome, reason, fires "
            "FROM pixels_firehour UNION ALL SELECT advertiser_id, outcome, reason, fires FROM pixels_firedelta) f "
            "WHERE advertiser_id = %(advertiser)s GROUP BY 1, 2"
        )
        return {(outcome, reason): fires for outcome, reason, fires in counted}


def by_day(steps: Counter[Hashable], zone: str) -> dict[tuple[str, date], tuple[int, int]]:
    """Return (joins, leaves) of each segment and local day on which something happened."""
    days: dict[tuple[str, date], list[int]] = defaultdict(lambda: [0, 0])
    for (code, change, when), count in steps.items():  # type: ignore[misc]
        days[code, when.astimezone(ZoneInfo(zone)).date()][change == "leave"] += count
    return {key: (joins, leaves) for key, (joins, leaves) in days.items()}


class Played:
    """One demo on a running Muster: what the command printed, and what the database holds of it."""

    def __init__(self, muster: LiveMuster, unit: str, *words: str) -> None:
        """Play it beside whatever demos there are; `unit` is the one of `Stored`."""
        self.printed = muster.manage("demo", "--again", *words)
        name = self.printed.partition(":")[0]
        query = "SELECT id, created_at FROM audience_advertiser WHERE name = %s"
        database = muster.connect()
        self.advertiser_id, self.began_at = database.execute(query, [name]).fetchall()[0]
        self.stored = Stored(database, self.advertiser_id, unit)

    def files(self) -> list[tuple[int, Path]]:
        """Return the delivered files that the command named, with their rows."""
        found = re.findall(r"([0-9,]+)  rows in (\S+)", self.printed)
        return [(int(rows.replace(",", "")), Path(path)) for rows, path in found]
