"""Which facts can change the answer of a rule: a fact wakes those rules alone that can feel it (rules.md 2.16)."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

from segments.rules import tree
from segments.rules.compiling.scene import VISITOR, OtherSegment, RuledSegment
from segments.rules.tree import (
    ANY_EVENT,
    VISIT,
    AccountCondition,
    AttributeCondition,
    ConsentCondition,
    Events,
    IdentityCondition,
    ItemsCondition,
    NearCondition,
    PeopleCondition,
    PersonCondition,
    Rule,
    SegmentCondition,
    SequenceCondition,
    SituationCondition,
)
from segments.rules.values import Distinct, Name
from segments.rules.windows import ThisVisit

EVERY_EVENT = ANY_EVENT[0]
PERSON_KINDS = ("customer_id", "email", "phone")
TIME_ZONE = "time_zone"


@dataclass(frozen=True)
class Touched:
    """Names of facts. `*` among the events is every event; an event with one of the `fields` in its context counts,
    whatever its name. `accounts`: who belongs to which. Attributes of a name are those of profiles and of accounts.
    """

    events: frozenset[str] = frozenset()
    fields: frozenset[Name] = frozenset()
    attributes: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    accounts: bool = False

    def __or__(self, other: "Touched") -> "Touched":
        return Touched(*(getattr(self, one.name) | getattr(other, one.name) for one in dataclasses.fields(self)))


def touched_by(rule: Rule, segments: Mapping[str, OtherSegment] | None = None) -> Touched:
    """Return which facts can touch a rule, those included that touch the rules of segments it names."""
    return _touched(rule, segments or {}, frozenset())


def _touched(rule: Rule, segments: Mapping[str, OtherSegment], seen: frozenset[str]) -> Touched:
    found = Touched()
    for part in parts(rule):
        found |= _of_part(part)
        if getattr(part, "zone", None) == VISITOR:
            found |= Touched(attributes=frozenset({TIME_ZONE}), fields=frozenset({(TIME_ZONE,)}))
    for key in found.segments - seen:
        other = segments.get(key)
        if isinstance(other, RuledSegment):
            found |= _touched(other.rule, segments, seen | found.segments)
    return found


def felt_by_others(rule: Rule, segments: Mapping[str, OtherSegment] | None = None) -> Touched:
    """Return which facts about one person can touch a rule about another one of the same account, or the account."""
    return touched_by(rule, segments) if rule.of == "account" else _across(rule, segments or {}, frozenset())


def _across(rule: Rule, segments: Mapping[str, OtherSegment], seen: frozenset[str]) -> Touched:
    found = Touched()
    for part in parts(rule):
        if isinstance(part, AccountCondition):
            found |= _touched(Rule("account", part.account, rule.zone), segments, seen)
        elif isinstance(part, SegmentCondition):
            for key in {*part.segments} - seen:
                other = segments.get(key)
                if isinstance(other, RuledSegment) and other.rule.of == "profile":
                    found |= _across(other.rule, segments, seen | {key})
    return found


def parts(whole: Any) -> Iterator[Any]:
    """Yield a rule and all that it is made of: nodes, tests, windows."""
    if is_dataclass(whole) and not isinstance(whole, type):
        yield whole
        for one in dataclasses.fields(whole):
            yield from parts(getattr(whole, one.name))
    elif isinstance(whole, tuple):
        for part in whole:
            yield from parts(part)


def _of_part(part: Any) -> Touched:
    match part:
        case Events(names=names):
            return Touched(events=frozenset(EVERY_EVENT if name == VISIT else name for name in names))
        case ThisVisit() | SequenceCondition(is_same_visit=True) | Distinct(of=(tree.VISIT,)):
            return Touched(events=frozenset({EVERY_EVENT}))
        case SituationCondition() | NearCondition():
            fields = {part.field} if isinstance(part, SituationCondition) else {("place", "lat"), ("place", "lon")}
            # Every event may begin another visit.
            visits = {EVERY_EVENT} if part.seen == "this_visit" else set()
            return Touched(fields=frozenset(fields), events=frozenset(visits))
        case AttributeCondition(attribute=name) | ItemsCondition(items=name):
            return Touched(attributes=frozenset({name[0]}))
        case IdentityCondition(kind=kind):
            return Touched(kinds=frozenset({kind}))
        case PersonCondition():
            return Touched(kinds=frozenset(PERSON_KINDS))
        case ConsentCondition(purpose=purpose):
            return Touched(purposes=frozenset({purpose}))
        case SegmentCondition(segments=keys):
            return Touched(segments=frozenset(keys))
        case AccountCondition() | PeopleCondition():
            return Touched(accounts=True)
        case Rule(of="account"):
            return Touched(accounts=True)
    return Touched()
