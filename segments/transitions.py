"""Joins and leaves as others are told of them: which number, by which version, and what decided (rules.md 6).

A transition stores what its moment alone knows: its instant, the kind of its cause, and the fact or segment behind
it. The rest is worked out here for whoever reads it, from rows that are kept anyway. Neither a fire nor the sweeper
pays for it: the condition that decided would cost each batch a second question about every rule that moved somebody.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from audience.models import AccountAttribute, Attribute
from segments.models import Cause, RuleVersion, Segment, Transition
from segments.outlook import Outlook, outlooks
from segments.rules.refusals import RuleRefused
from segments.rules.timeline import Surroundings, Uncompilable
from segments.rules.touching import EVERY_EVENT, touched_by
from segments.rules.tree import AllOf, AnyOf, Node, Of, Path, Rule
from segments.statements import TooSlow
from segments.surroundings import rule_of, surroundings_of
from segments.tables import AnyTransition, about
from segments.why import Answer, NotThere, explain

_MOMENT = timedelta(microseconds=1)

# At one instant a leave comes before a join. One range of the primary key for each row.
_SEQS = """
    SELECT (SELECT count(*) FROM segments_transition t WHERE t.profile_id = k.profile_id
        AND t.segment_id = k.segment_id AND (t.at < k.at OR t.at = k.at AND t.change >= k.change))
    FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[], %s::text[])
        WITH ORDINALITY AS k(profile_id, segment_id, at, change, place)
    ORDER BY k.place
"""
# Read backwards by the key from the transition on: the event that brought it is among the newest, unless it was late.
_NAMES = """
    SELECT DISTINCT k.fact_id, e.name
    FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[]) AS k(profile_id, fact_id, at)
    CROSS JOIN LATERAL (
        SELECT e.name FROM audience_event e WHERE e.profile_id = k.profile_id AND e.id = k.fact_id
            AND e.occurred_at <= k.at ORDER BY e.occurred_at DESC LIMIT 1
    ) e
"""
# An account has up to thousands of people: what they did long before is not looked through.
_NAMES_OF_PEOPLE = """
    SELECT DISTINCT k.fact_id, e.name
    FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[]) AS k(account_id, fact_id, at)
    JOIN audience_accountmember p ON p.account_id = k.account_id
    CROSS JOIN LATERAL (
        SELECT e.name FROM audience_event e WHERE e.profile_id = p.profile_id AND e.id = k.fact_id
            AND e.occurred_at BETWEEN k.at - interval '1 hour' AND k.at LIMIT 1
    ) e
"""


@dataclass(frozen=True)
class Told:
    """What is told of a transition beside its own columns.

    `seq` rises by one for each of a person in a segment, among those that are kept. `version` serves from that
    instant on, `before` did until then, 0 where none did: in an edit the two differ. `outlook` is what comes after
    it. `fact_name` is that of the event, `segment` the code of the other segment that brought it; None where there is
    none.
    """

    seq: int
    version: int
    before: int
    outlook: Outlook
    fact_name: str | None = None
    segment: str | None = None


def tell(rows: Sequence[AnyTransition], of: Of = "profile") -> list[Told]:
    """Return what is told of transitions of one advertiser, all of profiles or all of accounts, in their order."""
    seqs, names, codes, versions = _seqs(rows, of), _names(rows, of), _codes(rows), _versions(rows)
    return [
        Told(
            seq,
            _serving(versions, row),
            _serving(versions, row, is_before=True),
            outlook,
            names.get(row.fact_id) if row.fact_id else None,
            codes.get(row.other_segment_id) if row.other_segment_id else None,
        )
        for row, seq, outlook in zip(rows, seqs, outlooks(rows, of), strict=True)
    ]


def deciding(row: AnyTransition, of: Of = "profile") -> list[Path]:
    """Return the places of the conditions in the rule that decided a transition, best where it is young.

    By time they are those that flip at that very instant; by a fact or a segment those that ask about it; of these,
    the ones without which nobody would have moved. Empty where the rule as a whole decided (an edit, a merge), where
    a pixel did, or where what has come since hides it.
    """
    version = RuleVersion.all_advertisers.filter(
        segment_id=row.segment_id, number=_serving(_versions([row]), row)
    ).first()
    if version is None or row.cause not in (Cause.TIME, Cause.FACT, Cause.SEGMENT):
        return []
    try:
        rule, around = rule_of(version.rule), surroundings_of(row.advertiser_id)
        is_by_time = row.cause == Cause.TIME
        as_of = row.at - _MOMENT if is_by_time else row.at
        root = explain(rule, around, row.advertiser_id, _member(row), as_of=as_of).root
    except (RuleRefused, Uncompilable, NotThere, TooSlow):
        return []
    if is_by_time:
        flipped = [leaf.node.path for leaf in _leaves(root) if leaf.changes_at == row.at]
        return _without_which_none(root, flipped, since=set(flipped))
    felt = [leaf.node.path for leaf in _leaves(root) if _feels(leaf.node, rule, around, row, of)]
    return _without_which_none(root, felt, since=set())


def _without_which_none(root: Answer, paths: Sequence[Path], since: set[Path]) -> list[Path]:
    """Return those of the conditions that turn the answer; all of them where no single one does.

    `since` are the conditions that say the opposite by now of what the answer has.
    """
    after = _holds(root, since)
    return [path for path in paths if _holds(root, since ^ {path}) != after] or list(paths)


def _holds(answer: Answer, turned: Collection[Path]) -> bool:
    """Say whether a rule holds where some of its conditions say the opposite."""
    if not answer.children:
        return answer.holds != (answer.node.path in turned)
    below = [_holds(child, turned) for child in answer.children]
    if isinstance(answer.node, AllOf):
        return all(below)
    return any(below) if isinstance(answer.node, AnyOf) else not below[0]


def _leaves(answer: Answer) -> Iterator[Answer]:
    if not answer.children:
        yield answer
    for child in answer.children:
        yield from _leaves(child)


def _feels(node: Node, rule: Rule, around: Surroundings, row: AnyTransition, of: Of) -> bool:
    """Say whether a condition asks about what brought a transition."""
    touched = touched_by(Rule(rule.of, node, rule.zone), around.segments)
    if row.other_segment_id is not None:
        return not touched.segments.isdisjoint(_codes([row]).values())
    if row.fact_id is None:
        return False
    events, attributes = set(_names([row], of).values()), _attributes(row, row.fact_id)
    if not events and not attributes:  # it told who somebody is
        return bool(touched.kinds or touched.purposes)
    if events and (touched.fields or not touched.events.isdisjoint({*events, EVERY_EVENT})):
        return True
    return not touched.attributes.isdisjoint(attributes)


def _member(row: AnyTransition) -> UUID:
    return row.profile_id if isinstance(row, Transition) else row.account_id


def _attributes(row: AnyTransition, fact_id: UUID) -> set[str]:
    """Return the attributes that a fact has told of the member."""
    told: QuerySet[Attribute] | QuerySet[AccountAttribute]
    if isinstance(row, Transition):
        told = Attribute.all_advertisers.filter(profile_id=row.profile_id, fact_id=fact_id)
    else:
        told = AccountAttribute.all_advertisers.filter(account_id=row.account_id, fact_id=fact_id)
    return set(told.values_list("name", flat=True))


def _seqs(rows: Sequence[AnyTransition], of: Of) -> list[int]:
    columns = [[getattr(row, name) for row in rows] for name in (f"{of}_id", "segment_id", "at", "change")]
    with connection.cursor() as cursor:
        cursor.execute(about(of, _SEQS), columns)
        return [seq for (seq,) in cursor.fetchall()]


def _names(rows: Sequence[AnyTransition], of: Of) -> dict[UUID, str]:
    """Return the names of the events behind transitions, by the fact's id."""
    of_facts = [row for row in rows if row.fact_id]
    if not of_facts:
        return {}
    columns = [[getattr(row, name) for row in of_facts] for name in (f"{of}_id", "fact_id", "at")]
    with connection.cursor() as cursor:
        cursor.execute(_NAMES if of == "profile" else _NAMES_OF_PEOPLE, columns)
        return dict(cursor.fetchall())


def _codes(rows: Sequence[AnyTransition]) -> dict[int, str]:
    ids = {row.other_segment_id for row in rows if row.other_segment_id}
    return dict(Segment.all_advertisers.filter(pk__in=ids).values_list("pk", "code")) if ids else {}


_Versions = dict[int, list[RuleVersion]]


def _versions(rows: Sequence[AnyTransition]) -> _Versions:
    """Return the versions that served or have served, by segment, the newest first."""
    found: _Versions = {row.segment_id: [] for row in rows}
    served = RuleVersion.all_advertisers.filter(segment_id__in=found.keys(), complete_since__isnull=False)
    for version in served.order_by("-complete_since", "-number"):
        found[version.segment_id].append(version)
    return found


def _serving(versions: _Versions, row: AnyTransition, *, is_before: bool = False) -> int:
    """Return the number of the version at a transition's instant, or just before. Where there is no rule it is 1."""
    at = row.at - _MOMENT if is_before else row.at
    served = versions[row.segment_id]
    if not served:
        return 1
    return next((one.number for one in served if one.complete_since is not None and one.complete_since <= at), 0)
