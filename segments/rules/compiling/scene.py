"""What a rule is compiled for: whose facts, which clock, which other segments."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Literal, NamedTuple, TypeAlias
from zoneinfo import available_timezones

from segments.rules.compiling.clock import Clock
from segments.rules.compiling.sql import Sql, join, sql, text, texts
from segments.rules.tree import Node, Of, Rule

VISITOR, ADVERTISER = "visitor", "advertiser"


class Uncompilable(Exception):
    """A rule that has no timeline. Whoever meets it gives the segment no members; the text is for people."""


class StoredSegment(NamedTuple):
    """A segment whose members are rows: one of pixels, or a rule that is paused."""

    id: int
    version: int
    of: Of = "profile"


class RuledSegment(NamedTuple):
    """A segment by a rule. `key` is the default salt of its buckets.

    The row of the version that serves tells since when a member is in.
    """

    id: int
    rule: Rule
    key: str


OtherSegment: TypeAlias = StoredSegment | RuledSegment


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


@dataclass(frozen=True)
class Surroundings:
    """What a rule's meaning depends on outside itself.

    `zone` and `currency` are the advertiser's; `zones` are the names that the database knows, of which a visitor's
    has to be one. Events are kept for `retention`, None for all time. `segments` are those that the rule may name, by
    key; `key` is that of its own segment.
    """

    zone: str = "UTC"
    currency: str = "EUR"
    week_starts_on: Literal["mon", "sun"] = "mon"
    retention: timedelta | None = None
    visit_gap: timedelta = timedelta(minutes=30)
    segments: Mapping[str, OtherSegment] = field(default_factory=dict)
    key: str = ""
    zones: Collection[str] = field(default_factory=_zones)


class Crowd:
    """What is read once for all who are asked about: relations of `owner` and `t`, each joined under a name."""

    def __init__(self) -> None:
        self.relations: list[Sql] = []

    def column(self, relation: Sql) -> Sql:
        """Join a relation; return its column `t`, which is NULL for whom it has no row."""
        self.relations.append(relation)
        return Sql(f"crowd{len(self.relations)}.t")

    @property
    def joins(self) -> Sql:
        """Return the joins behind the relation `s` of those who are asked about."""
        numbered = enumerate(self.relations, 1)
        joins = [
            sql(f" LEFT JOIN ({{one}}) crowd{number} ON crowd{number}.owner = s.profile_id", one=one)
            for number, one in numbered
        ]
        return join("", joins)


@dataclass(frozen=True)
class Scene:
    """Where a node stands: whose facts it asks about, by the column with their id, and by whose clock.

    `compile` is `timeline.compile_node`, or what calls it, for nodes that hold others. `crowd` is there where
    everybody of a range of ids is asked about.
    """

    of: Of
    id: str
    zone: str
    surroundings: Surroundings
    compile: Callable[[Node, "Scene"], Sql]
    depth: int = 0
    # The segments that are being compiled in place, for the one who calls itself.
    within: tuple[str, ...] = ()
    crowd: Crowd | None = None

    def timeline(self, node: Node) -> Sql:
        return self.compile(node, self)

    def clock(self, zone: str | None) -> Clock:
        """Return the clock of a condition with this zone of its own, None for the rule's."""
        return Clock(self.zone_of(zone), self.surroundings.week_starts_on)

    def zone_of(self, named: str | None) -> Sql:
        """Return the time zone of a condition: its own, else the rule's."""
        zone = named or self.zone
        if zone == ADVERTISER:
            return text(self.surroundings.zone)
        return self._visitor_zone() if zone == VISITOR else text(zone)

    def _visitor_zone(self) -> Sql:
        """Return what the profile says, else what its last place says, else the advertiser's; so for accounts.

        A name that the database does not know would stop the statement.
        """
        if self.of != "profile":
            return text(self.surroundings.zone)
        return sql(
            """coalesce(
                (SELECT a.value #>> '{{}}' FROM audience_attribute a WHERE a.profile_id = {id}
                    AND a.name = 'time_zone' AND a.value #>> '{{}}' = ANY({zones})),
                (SELECT e.context ->> 'time_zone' FROM audience_event e WHERE e.profile_id = {id}
                    AND e.context ->> 'time_zone' = ANY({zones}) ORDER BY e.occurred_at DESC LIMIT 1),
                {zone})""",
            id=self.id,
            zones=texts(sorted(self.surroundings.zones)),
            zone=text(self.surroundings.zone),
        )

    def of_other(self, of: Of, id_: str) -> "Scene":
        """Return the scene on the other side of a crossing between profiles and accounts."""
        return replace(self, of=of, id=id_, depth=self.depth + 1, crowd=None)
