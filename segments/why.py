"""Why somebody is in a segment or out of it: a tree shaped like its rule (rules.md 2.15)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from segments.actual import fact_of, say
from segments.checking import english_of
from segments.rules.compiling.sql import Sql, join, sql
from segments.rules.english import English
from segments.rules.nodes import children
from segments.rules.timeline import Compiled, Surroundings, compile_rule, scene_of, values_of
from segments.rules.tree import AllOf, AnyOf, EventCondition, Node, Not, Path, Rule
from segments.rules.values import Count
from segments.rules.windows import Within
from segments.statements import reading_for
from segments.telling import Actual, CountedEvent, Teller

RANGES_SHOWN = 10
_TABLES = {"profile": "audience_profile", "account": "audience_account"}
# Conditions in one statement: planning hundreds costs more than it saves.
_ASKED_AT_ONCE = 200


class NotThere(Exception):
    """The advertiser has no such profile or account."""


class Interval(NamedTuple):
    """`[starts_at, ends_at)`; None is no end."""

    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True)
class Answer:
    """What one group or condition says of somebody. `changes_at` is when that changes if nothing else happens."""

    node: Node
    says: str
    holds: bool
    actual: str
    events: tuple[CountedEvent, ...]
    changes_at: datetime | None
    children: tuple["Answer", ...] = ()

    @property
    def changes_to(self) -> bool | None:
        return None if self.changes_at is None else not self.holds


@dataclass(frozen=True)
class Why:
    """The whole answer. `ranges` are the next times during which they are in, if nothing else happens."""

    sentence: str
    as_of: datetime
    is_in: bool
    until: datetime | None
    ranges: tuple[Interval, ...]
    root: Answer


def explain(
    rule: Rule,
    surroundings: Surroundings,
    advertiser_id: int,
    subject: UUID,
    *,
    as_of: datetime | None = None,
) -> Why:
    """Return why a profile, or an account, is in or out; raise `NotThere` or `TooSlow`."""
    as_of = as_of or timezone.now()
    compiled = compile_rule(rule, surroundings)
    asking = _Asking(rule, surroundings, advertiser_id, subject, as_of)
    nodes = list(_nodes(rule.root))
    whole, *each = asking.ask([compiled.expression, *(compiled.nodes[node.path] for node in nodes)])
    timelines = {node.path: _intervals(found, as_of) for node, found in zip(nodes, each, strict=True)}
    actual = asking.actual([node for node in nodes if not _below(node)])
    english = english_of(surroundings)
    end = as_of + compiled.horizon if compiled.horizon else None
    root = _answer(rule.root, timelines, actual, english, as_of, end)
    ranges = _intervals(whole, as_of)
    is_in, until = _now(ranges, as_of, end)
    teller = Teller(surroundings.zone, as_of)
    return Why(
        _sentence(is_in, until, root, english, teller, compiled),
        as_of,
        is_in,
        until if is_in else None,
        tuple(Interval(low, _before(high, end)) for low, high in ranges[:RANGES_SHOWN]),
        root,
    )


class _Asking(NamedTuple):
    rule: Rule
    surroundings: Surroundings
    advertiser_id: int
    subject: UUID
    as_of: datetime

    def ask(self, expressions: Sequence[Sql]) -> list[Any]:
        """Return the values of expressions about the subject; raise `NotThere`."""
        found: list[Any] = []
        for start in range(0, len(expressions), _ASKED_AT_ONCE):
            chosen = join(", ", expressions[start : start + _ASKED_AT_ONCE])
            statement = sql(_ONE, chosen=chosen, of=self.rule.of, table=_TABLES[self.rule.of])
            with reading_for(settings.MUSTER_PREVIEW_SECONDS) as cursor:
                cursor.execute(statement.text, [*values_of(statement, self.as_of), self.subject, self.advertiser_id])
                row = cursor.fetchone()
            if row is None:
                raise NotThere
            found += row
        return found

    def actual(self, leaves: Sequence[Node]) -> dict[Path, Actual]:
        """Return what is the case for each condition that has something to tell."""
        scene = scene_of(self.rule, self.surroundings)
        facts = [(node, fact) for node in leaves if (fact := fact_of(node, scene)) is not None]
        told = self.ask([fact for _, fact in facts]) if facts else []
        teller = Teller(self.surroundings.zone, self.as_of)
        return {node.path: say(node, fact, teller) for (node, _), fact in zip(facts, told, strict=True)}


_ONE = "SELECT {chosen} FROM (SELECT t.id AS {of}_id FROM {table} t WHERE t.id = %s AND t.advertiser_id = %s) s"


def _nodes(node: Node) -> Iterator[Node]:
    """Yield the nodes that are about the subject itself: what is across a crossing is about others."""
    yield node
    for child in _below(node):
        yield from _nodes(child)


def _below(node: Node) -> tuple[Node, ...]:
    return children(node) if isinstance(node, AllOf | AnyOf | Not) else ()


def _answer(
    node: Node,
    timelines: dict[Path, list[Interval]],
    actual: dict[Path, Actual],
    english: English,
    as_of: datetime,
    end: datetime | None,
) -> Answer:
    holds, changes_at = _now(timelines[node.path], as_of, end)
    told = actual.get(node.path, Actual(""))
    below = tuple(_answer(child, timelines, actual, english, as_of, end) for child in _below(node))
    return Answer(node, english.sentence(node), holds, told.says, told.events, changes_at, below)


def _intervals(found: Any, as_of: datetime) -> list[Interval]:
    """Return a timeline from the moment of asking on; that of a node may begin long before, or without a start."""
    return [
        Interval(as_of if one.lower is None else max(one.lower, as_of), one.upper)
        for one in found
        if one.upper is None or one.upper > as_of
    ]


def _now(ranges: Sequence[Interval], as_of: datetime, end: datetime | None) -> tuple[bool, datetime | None]:
    """Say whether a timeline holds now, and when that changes. The horizon up to which it is known is no end."""
    for low, high in ranges:
        if low > as_of:
            return False, _before(low, end)
        if high is None or high > as_of:
            return True, _before(high, end)
    return False, None


def _before(at: datetime | None, end: datetime | None) -> datetime | None:
    return at if at is not None and (end is None or at < end) else None


def _sentence(
    is_in: bool, changes_at: datetime | None, root: Answer, english: English, teller: Teller, compiled: Compiled
) -> str:
    """Return the answer in one sentence: "In. Leaves on 8 May at 12:00 unless they view a product again."."""
    said = "In" if is_in else "Not in"
    if changes_at is None:
        horizon = f" within {compiled.horizon // timedelta(days=1)} days" if compiled.horizon else ""
        return f"{said}, and time alone does not change that{horizon}."
    when = teller.instant(changes_at, " at ")
    if not is_in:
        return f"{said}. Joins on {when} if nothing else happens."
    deciding = [leaf for leaf in _leaves(root) if leaf.changes_at == changes_at]
    again = _kept_by_another(deciding[0]) if len(deciding) == 1 else None
    if again is not None:
        return f"{said}. Leaves on {when} unless they {english.again(again)}."
    return f"{said}. Leaves on {when} if nothing else happens."


def _leaves(answer: Answer) -> Iterator[Answer]:
    if not answer.children:
        yield answer
    for child in answer.children:
        yield from _leaves(child)


def _kept_by_another(leaf: Answer) -> EventCondition | None:
    """Return the condition if one more event keeps it true: it holds of the newest ones, without an upper limit."""
    match leaf.node:
        case EventCondition(which="any" | "last", window=Within(), aggregate=Count(test)) as condition:
            return condition if leaf.holds and test.high is None else None
    return None
