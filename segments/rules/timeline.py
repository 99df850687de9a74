"""A rule as one expression of SQL: all the times, from the moment of asking on, during which somebody is in.

Its value is a `tstzmultirange`, if nothing else happens. The expression stands in a SELECT over a relation `s` with
the column `profile_id`, or `account_id` in a rule about accounts: those of a batch, one, a range of the key.

    compiled = compile_rule(rule, Surroundings(zone="Europe/Berlin"))
    cursor.execute(f"SELECT s.profile_id, {compiled.sql} FROM unnest(%s::uuid[]) AS s(profile_id)",
                   [*compiled.values(as_of), profile_ids])

Promise: what a person typed is in the values, never in the text; and a rule with anything unknown in it raises
`Uncompilable`. It is never left out, which would let more people in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

from segments.rules.compiling.dates import ANNIVERSARY_HORIZON_DAYS
from segments.rules.compiling.events import event_timeline
from segments.rules.compiling.known import (
    attribute_timeline,
    bucket_timeline,
    consent_timeline,
    identity_timeline,
    items_timeline,
    person_timeline,
)
from segments.rules.compiling.others import account_timeline, people_timeline, segment_timeline
from segments.rules.compiling.scene import (
    Crowd,
    OtherSegment,
    RuledSegment,
    Scene,
    StoredSegment,
    Surroundings,
    Uncompilable,
)
from segments.rules.compiling.schedule import TIME_HORIZON_DAYS, time_timeline
from segments.rules.compiling.sequences import sequence_timeline
from segments.rules.compiling.situations import near_timeline, situation_timeline
from segments.rules.compiling.spans import MICROSECOND
from segments.rules.compiling.sql import (
    ALWAYS,
    AS_OF_SQL,
    AsOf,
    Bound,
    Shaped,
    Sql,
    Value,
    duration,
    join,
    opposite,
    shaped,
    sql,
)
from segments.rules.compiling.tallies import change_timeline, favourite_timeline
from segments.rules.touching import parts
from segments.rules.tree import (
    AccountCondition,
    AllOf,
    AnyOf,
    AttributeCondition,
    BucketCondition,
    ChangeCondition,
    ConsentCondition,
    EventCondition,
    FavouriteCondition,
    IdentityCondition,
    ItemsCondition,
    NearCondition,
    Node,
    Not,
    Of,
    Path,
    PeopleCondition,
    PersonCondition,
    Rule,
    SegmentCondition,
    SequenceCondition,
    SituationCondition,
    TimeCondition,
)
from segments.rules.windows import Anniversary

__all__ = [
    "Compiled",
    "OtherSegment",
    "RuledSegment",
    "StoredSegment",
    "Surroundings",
    "Uncompilable",
    "compile_node",
    "compile_rule",
    "scene_of",
]


class Crowded(NamedTuple):
    """An expression, and the joins behind the relation `s` that it needs; both have the bounds as values."""

    expression: Sql
    joins: Sql


@dataclass(frozen=True)
class Compiled:
    """The SQL of a rule, the same for every moment of asking; and that of each of its nodes by its place.

    Nodes across a crossing, to accounts or to people, have none of their own. `horizon` is how far ahead the timeline
    is written out, None for all time: its end is none. `crowded` says the same of a whole range of profiles, where
    that is another thing to ask.
    """

    of: Of
    expression: Sql
    nodes: Mapping[Path, Sql]
    horizon: timedelta | None = None
    crowded: Crowded | None = None

    @property
    def sql(self) -> str:
        return self.expression.text

    def values(self, as_of: datetime) -> list[Value]:
        return values_of(self.expression, as_of)

    @cached_property
    def shaped(self) -> Shaped:
        return shaped(self.expression)


def values_of(expression: Sql, as_of: datetime, *, first: str = "", last: str = "") -> list[Value]:
    """Return the values of an expression at a moment of asking, which is never before a fact that is stored; where it
    is about a crowd, with the bounds of its ids.
    """
    found: list[Value] = []
    for value in expression.values:
        if isinstance(value, AsOf):
            found.append(as_of.isoformat())
        elif isinstance(value, Bound):
            found.append(last if value.is_last else first)
        else:
            found.append(value)
    return found


def compile_rule(rule: Rule, surroundings: Surroundings) -> Compiled:
    """Compile a rule. Raises `Uncompilable`."""
    nodes: dict[Path, Sql] = {}

    def keep(node: Node, scene: Scene) -> Sql:
        compiled = compile_node(node, scene)
        if not scene.within and not scene.depth and scene.crowd is None:
            nodes[node.path] = compiled
        return compiled

    days = _horizon_days(rule, surroundings, frozenset())
    horizon = None if days is None else timedelta(days=days)
    scene = replace(scene_of(rule, surroundings), compile=keep)
    return Compiled(rule.of, _root(rule, scene, horizon), nodes, horizon, _crowded(rule, scene, horizon))


def scene_of(rule: Rule, surroundings: Surroundings) -> Scene:
    """Return where the conditions of a rule stand that are across no crossing."""
    return Scene(rule.of, f"s.{rule.of}_id", rule.zone, surroundings, compile_node)


def _root(rule: Rule, scene: Scene, horizon: timedelta | None) -> Sql:
    root = sql("({root} * {always})", root=scene.timeline(rule.root), always=ALWAYS)
    if horizon is None:
        return root
    ahead = sql(
        "tstzmultirange(tstzrange(NULL, {as_of} + {horizon}))",
        as_of=AS_OF_SQL,
        horizon=duration(horizon // MICROSECOND),
    )
    return sql("({root} * {ahead})", root=root, ahead=ahead)


def _crowded(rule: Rule, scene: Scene, horizon: timedelta | None) -> Crowded | None:
    crowd = Crowd()
    if rule.of != "profile":
        return None
    root = _root(rule, replace(scene, crowd=crowd), horizon)
    return Crowded(root, crowd.joins) if crowd.relations else None


def _horizon_days(rule: Rule, surroundings: Surroundings, seen: frozenset[str]) -> int | None:
    """Return how far ahead what repeats is written out, in the rule and in those of segments that it names."""
    found: set[int | None] = set()
    for part in parts(rule):
        if isinstance(part, TimeCondition):
            found.add(TIME_HORIZON_DAYS)
        elif isinstance(part, Anniversary):
            found.add(ANNIVERSARY_HORIZON_DAYS)
        elif isinstance(part, SegmentCondition):
            for key in set(part.segments) - seen:
                other = surroundings.segments.get(key)
                if isinstance(other, RuledSegment):
                    found.add(_horizon_days(other.rule, surroundings, seen | {*part.segments}))
    return min((days for days in found if days is not None), default=None)


def compile_node(node: Node, scene: Scene) -> Sql:
    """Return the timeline of a node where it stands; the `compile` of a scene."""
    try:
        compile_one = _NODES[type(node)]
    except KeyError:
        raise Uncompilable(f"“{type(node).__name__}” is no condition.") from None
    return compile_one(node, scene)


def _all_of(node: AllOf[Node], scene: Scene) -> Sql:
    return _group(node.children, " * ", scene)


def _any_of(node: AnyOf[Node], scene: Scene) -> Sql:
    return _group(node.children, " + ", scene)


def _group(children: tuple[Node, ...], sign: str, scene: Scene) -> Sql:
    if not children:
        raise Uncompilable("This group has no conditions. Add one or remove the group.")
    return sql("({all})", all=join(sign, [scene.timeline(child) for child in children]))


def _not(node: Not[Node], scene: Scene) -> Sql:
    return opposite(scene.timeline(node.child))


_NODES: dict[type[Any], Callable[[Any, Scene], Sql]] = {
    AllOf: _all_of,
    AnyOf: _any_of,
    Not: _not,
    EventCondition: event_timeline,
    SequenceCondition: sequence_timeline,
    ChangeCondition: change_timeline,
    FavouriteCondition: favourite_timeline,
    AttributeCondition: attribute_timeline,
    ItemsCondition: items_timeline,
    IdentityCondition: identity_timeline,
    PersonCondition: person_timeline,
    ConsentCondition: consent_timeline,
    SituationCondition: situation_timeline,
    NearCondition: near_timeline,
    TimeCondition: time_timeline,
    SegmentCondition: segment_timeline,
    BucketCondition: bucket_timeline,
    AccountCondition: account_timeline,
    PeopleCondition: people_timeline,
}
