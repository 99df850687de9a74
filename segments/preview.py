"""How many a rule would find, before anybody saves it (rules.md 2.14).

The SQL of the rule itself is asked of a random part of the people. What each condition says of each of them is kept
as bits, and the numbers of groups, and of the rule without one condition, follow from these.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from operator import and_, or_
from time import monotonic
from typing import NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.utils import timezone

from segments.estimates import Estimate
from segments.rules import phrases
from segments.rules.compiling.sql import AS_OF_SQL, Sql, duration, join, opposite, sql
from segments.rules.compiling.unread import ReadAsNumber, unread
from segments.rules.nodes import children
from segments.rules.silence import may_hold_of_strangers
from segments.rules.timeline import Surroundings, compile_rule, scene_of, values_of
from segments.rules.tree import AllOf, AnyOf, IsMember, Node, Not, Of, Path, Rule, SegmentCondition
from segments.sample import Sample, sample_of
from segments.statements import TooSlow, reading_for

# The first statement shows whether the rule is quick; each one after asks as many times more.
FIRST_ASKED = 500
TIMES_MORE = 4
EXAMPLES = 10
STRANGERS_ASKED = 20
AHEAD = timedelta(hours=24)
ASKED_AT_ONCE = 2_000
KINDS = {"email": "have an email", "phone": "have a phone", "customer_id": "have a customer id"}
_ONE_AND_MORE: Mapping[Of, tuple[str, str]] = {"profile": ("person", "people"), "account": ("account", "accounts")}
_MICROSECOND = timedelta(microseconds=1)

TOO_SLOW = (
    "This rule takes too long to be counted. Give its conditions shorter windows, or name the events instead of '*'; "
    "it can be saved all the same."
)
TOO_MANY = "There are too many people to count each of them here. The number above is from a random part of them."

_KNOWN = """
    SELECT d.kind, count(DISTINCT d.profile_id) FROM unnest(%s::uuid[]) AS s(id)
    JOIN audience_identifier d ON d.profile_id = s.id AND d.advertiser_id = %s AND d.kind = ANY(%s) GROUP BY d.kind
"""
_CONSENTS = """
    SELECT c.purpose, count(*) FROM unnest(%s::uuid[]) AS s(id)
    JOIN audience_consent c ON c.profile_id = s.id AND c.advertiser_id = %s
    WHERE c.state = 'granted' AND c.since <= %s AND (c.until IS NULL OR c.until > %s)
    GROUP BY c.purpose ORDER BY count(*) DESC, c.purpose LIMIT 20
"""
_STRANGERS = "WITH s(profile_id) AS (SELECT unnest(%s::uuid[])) SELECT bool_or({rule} @> {as_of}) FROM s"
_OF = {
    "profile": "SELECT id FROM audience_profile WHERE advertiser_id = %s AND id > %s ORDER BY id LIMIT %s",
    "account": "SELECT id FROM audience_account WHERE advertiser_id = %s AND id > %s ORDER BY id LIMIT %s",
}


@dataclass(frozen=True)
class Part:
    """What a group or condition finds alone, and what the rule would find without it; None where nothing is left.

    `unread`: what a condition reads as numbers and how many have values there that are none (rules.md 2.6).
    """

    node: Node
    alone: Estimate
    without: Estimate | None
    unread: tuple["Unread", ...]


class Unread(NamedTuple):
    """How many have a value there that is known and cannot be read as a number, or not in the currency."""

    read: ReadAsNumber
    of: Of
    found: Estimate

    def __str__(self) -> str:
        one, more = _ONE_AND_MORE[self.of]
        who = f"{self.found} {one if self.found.is_one else more}"
        currency = f" (or not in {self.read.currency})" if self.read.currency else ""
        return f"For {who}, “{phrases.name(self.read.name)}” is no number{currency} and does not count."


@dataclass(frozen=True)
class Preview:
    """The numbers at `as_of`. `joins` and `leaves`: how many time alone brings in, and takes out, within 24 hours.

    `known` and `consents` are shares of those who were found, by kind of identifier and by purpose. `is_cut_short`:
    fewer were asked than would have been in time.
    """

    as_of: datetime
    found: Estimate
    joins: Estimate
    leaves: Estimate
    parts: tuple[Part, ...]
    known: Mapping[str, float]
    consents: Mapping[str, float]
    examples: tuple[UUID, ...]
    is_cut_short: bool

    @property
    def shares(self) -> list[tuple[str, int]]:
        """Return what to say of those who were found: ("have an email", 41) percent."""
        known = [(KINDS[kind], share) for kind, share in self.known.items()]
        granted = [(f"have granted {purpose}", share) for purpose, share in self.consents.items()]
        return [(said, round(100 * share)) for said, share in known + granted]


def preview(rule: Rule, surroundings: Surroundings, advertiser_id: int) -> Preview:
    """Return what a rule would find; raise `TooSlow` where not even the first few were asked in time."""
    deadline = monotonic() + settings.MUSTER_PREVIEW_SECONDS
    as_of = timezone.now()
    sample = sample_of(advertiser_id, rule.of, settings.MUSTER_PREVIEW_SECONDS)
    answers = _ask(rule, surroundings, sample, as_of, deadline, tells_unread=True)
    asked = len(answers.ids)

    def estimate(hits: int) -> Estimate:
        return Estimate(hits, asked, sample.everybody)

    found = answers.of(rule.root)
    ids = [id_ for place, id_ in enumerate(answers.ids) if found >> place & 1]
    known, consents = _shares(ids, rule, advertiser_id, as_of)
    return Preview(
        as_of,
        estimate(len(ids)),
        estimate(answers.joins),
        estimate(answers.leaves),
        tuple(
            Part(
                node,
                estimate(answers.of(node).bit_count()),
                None if (rest := answers.without(rule.root, node.path)) is None else estimate(rest.bit_count()),
                tuple(Unread(read, rule.of, estimate(hits)) for read, hits in answers.unread_by(node.path) if hits),
            )
            for node in _nodes(rule.root)
        ),
        known,
        consents,
        tuple(ids[:EXAMPLES]),
        asked < len(sample.ids),
    )


class Moves(NamedTuple):
    """What an edit would change at once: who would come in, stay and go (rules.md 2.13)."""

    joins: Estimate
    stays: Estimate
    leaves: Estimate


def preview_edit(rule: Rule, key: str, surroundings: Surroundings, advertiser_id: int) -> Moves:
    """Compare a rule with that of the segment `key`, which serves; raise `TooSlow` as `preview` does."""
    deadline = monotonic() + settings.MUSTER_PREVIEW_SECONDS
    serving = SegmentCondition(segments=(key,), asks=IsMember(True), path=("serving",))
    either = replace(rule, root=AnyOf((rule.root, serving)))
    sample = sample_of(advertiser_id, rule.of, settings.MUSTER_PREVIEW_SECONDS)
    answers = _ask(either, surroundings, sample, timezone.now(), deadline)
    new, old = answers.of(rule.root), answers.of(serving)
    hits = (new & ~old, new & old, old & ~new)
    return Moves(*(Estimate(some.bit_count(), len(answers.ids), sample.everybody) for some in hits))


def takes_in_strangers(rule: Rule, surroundings: Surroundings) -> bool:
    """Say whether somebody of whom nothing is known fits a rule now (rules.md 2.9); raise `TooSlow`.

    Some are asked: of a share that is drawn, one alone may be out.
    """
    if rule.of != "profile" or not may_hold_of_strangers(rule.root):
        return False
    as_of, strangers = timezone.now(), [uuid4() for _ in range(STRANGERS_ASKED)]
    statement = sql(_STRANGERS, rule=compile_rule(rule, surroundings).expression, as_of=AS_OF_SQL)
    with reading_for(settings.MUSTER_PREVIEW_SECONDS) as cursor:
        cursor.execute(statement.text, [strangers, *values_of(statement, as_of)])
        return bool(cursor.fetchone()[0])


class _Answers:
    """What the conditions of a rule say of everybody who was asked: for each a number with a bit for each of them."""

    def __init__(self, leaves: Iterable[Path], unread: Iterable[tuple[Path, ReadAsNumber]]) -> None:
        self.ids: list[UUID] = []
        self.joins = self.leaves = 0
        self._bits = dict.fromkeys(leaves, 0)
        self._unread = dict.fromkeys(unread, 0)

    def add(self, ids: list[UUID], bits: list[str], unread: list[int], joins: int, leaves: int) -> None:
        """Take the answers about more people; the bits are texts of 0 and 1 in the order of the ids."""
        for path, text in zip(self._bits, bits, strict=True):
            self._bits[path] |= int(text[::-1], 2) << len(self.ids)
        for read, hits in zip(self._unread, unread, strict=True):
            self._unread[read] += hits
        self.ids += ids
        self.joins += joins
        self.leaves += leaves

    def of(self, node: Node) -> int:
        """Return of whom a node holds."""
        match node:
            case AllOf(nodes):
                return reduce(and_, map(self.of, nodes))
            case AnyOf(nodes):
                return reduce(or_, map(self.of, nodes))
            case Not(child):
                return self._opposite(self.of(child))
        return self._bits[node.path]

    def without(self, node: Node, path: Path) -> int | None:
        """Return of whom a node would hold without the one at the path; None where nothing is left of it."""
        if node.path == path:
            return None
        if node.path != path[: len(node.path)]:
            return self.of(node)
        match node:
            case Not(child):
                rest = self.without(child, path)
                return None if rest is None else self._opposite(rest)
            case AllOf(nodes) | AnyOf(nodes):
                left = [rest for one in nodes if (rest := self.without(one, path)) is not None]
                return reduce(and_ if isinstance(node, AllOf) else or_, left) if left else None
        return self.of(node)

    def unread_by(self, condition: Path) -> list[tuple[ReadAsNumber, int]]:
        """Return what a condition reads as numbers, and how many have values there that are none."""
        return [(read, hits) for (path, read), hits in self._unread.items() if path == condition]

    def _opposite(self, bits: int) -> int:
        return bits ^ ((1 << len(self.ids)) - 1)


def _ask(
    rule: Rule,
    surroundings: Surroundings,
    sample: Sample,
    as_of: datetime,
    deadline: float,
    *,
    tells_unread: bool = False,
) -> _Answers:
    """Ask about ever more of the sample until all were asked or the time is over; a random part is an answer, too."""
    leaves = [node for node in _nodes(rule.root) if not isinstance(node, AllOf | AnyOf | Not)]
    timelines = compile_rule(rule, surroundings).nodes
    scene, of_numbers = scene_of(rule, surroundings), leaves if tells_unread else []
    no_numbers = {(leaf.path, read): claim for leaf in of_numbers for read, claim in unread(leaf, scene).items()}
    statement = _statement(rule, {leaf.path: timelines[leaf.path] for leaf in leaves}, list(no_numbers.values()))
    answers, most = _Answers((leaf.path for leaf in leaves), no_numbers), FIRST_ASKED
    while len(answers.ids) < len(sample.ids):
        ids = [str(id_) for id_ in sample.ids[len(answers.ids) : len(answers.ids) + most]]
        try:
            with reading_for(deadline - monotonic()) as cursor:
                cursor.execute(statement.text, [ids, *values_of(statement, as_of)])
                asked, joins, left, unreadable, *bits = cursor.fetchone()
        except TooSlow:
            if not answers.ids:
                raise
            return answers
        answers.add(asked, bits, unreadable, joins, left)
        most *= TIMES_MORE
    return answers


def _nodes(node: Node) -> Iterator[Node]:
    """Yield the nodes that have a number of their own: those across a crossing have none."""
    yield node
    if isinstance(node, AllOf | AnyOf | Not):
        for child in children(node):
            yield from _nodes(child)


def _statement(rule: Rule, leaves: Mapping[Path, Sql], no_numbers: list[Sql]) -> Sql:
    """Return the statement about an array of ids: each condition is asked once, the rule put together from them."""
    columns = {path: f"t{place}" for place, path in enumerate(leaves)}
    return sql(
        _ASKED,
        of=rule.of,
        bits=join(", ", [sql(_BIT, column=f"x.{name}", as_of=AS_OF_SQL) for name in columns.values()]),
        timelines=join(", ", [sql(f"{{one}} AS {columns[path]}", one=one) for path, one in leaves.items()]),
        no_numbers=join(", ", no_numbers) if no_numbers else Sql(""),
        as_of=AS_OF_SQL,
        ahead=duration(AHEAD // _MICROSECOND),
        root=_put_together(rule.root, columns),
    )


_ASKED = """
    WITH s({of}_id) AS (SELECT unnest(%s::uuid[])),
    x AS MATERIALIZED (SELECT s.{of}_id AS id, ARRAY[{no_numbers}]::boolean[] AS no_numbers, {timelines} FROM s)
    SELECT array_agg(x.id), count(*) FILTER (WHERE m.joins), count(*) FILTER (WHERE m.leaves),
        ARRAY(SELECT count(*) FILTER (WHERE n.is_one) FROM x CROSS JOIN LATERAL
            unnest(x.no_numbers) WITH ORDINALITY n(is_one, place) GROUP BY n.place ORDER BY n.place), {bits}
    FROM x
    CROSS JOIN LATERAL (
        SELECT bool_or(lower(r) > {as_of} AND lower(r) <= {as_of} + {ahead}) AS joins,
            bool_or(upper(r) > {as_of} AND upper(r) <= {as_of} + {ahead}) AS leaves
        FROM unnest({root}) r
    ) m
"""
_BIT = "string_agg(CASE WHEN {column} @> {as_of} THEN '1' ELSE '0' END, '')"


def _put_together(node: Node, columns: Mapping[Path, str]) -> Sql:
    match node:
        case AllOf(nodes):
            return sql("({all})", all=join(" * ", [_put_together(one, columns) for one in nodes]))
        case AnyOf(nodes):
            return sql("({any})", any=join(" + ", [_put_together(one, columns) for one in nodes]))
        case Not(child):
            return opposite(_put_together(child, columns))
    return Sql(f"x.{columns[node.path]}")


def _shares(
    ids: list[UUID], rule: Rule, advertiser_id: int, as_of: datetime
) -> tuple[dict[str, float], dict[str, float]]:
    """Return how many of those who were found have each kind of identifier, and have granted each purpose."""
    if not ids or rule.of != "profile":
        return {}, {}
    with reading_for(settings.MUSTER_PREVIEW_SECONDS) as cursor:
        cursor.execute(_KNOWN, [ids, advertiser_id, list(KINDS)])
        known = dict(cursor.fetchall())
        cursor.execute(_CONSENTS, [ids, advertiser_id, as_of, as_of])
        consents = dict(cursor.fetchall())
    return (
        {kind: known.get(kind, 0) / len(ids) for kind in KINDS},
        {purpose: granted / len(ids) for purpose, granted in consents.items()},
    )


@dataclass(frozen=True)
class Counted:
    """How far an exact count has come."""

    asked: int
    hits: int


def count_in_chunks(rule: Rule, surroundings: Surroundings, advertiser_id: int, as_of: datetime) -> Iterator[Counted]:
    """Ask a rule about everybody, along the key; yield the numbers so far after each chunk. Raise `TooSlow`."""
    compiled = compile_rule(rule, surroundings)
    statement = f"SELECT count(*) FILTER (WHERE {compiled.sql} @> %s::timestamptz)"
    statement += f" FROM unnest(%s::uuid[]) AS s({rule.of}_id)"
    after, asked, hits = UUID(int=0), 0, 0
    while True:
        with reading_for(settings.MUSTER_PREVIEW_SECONDS) as cursor:
            cursor.execute(_OF[rule.of], [advertiser_id, after, ASKED_AT_ONCE])
            ids = [id_ for (id_,) in cursor.fetchall()]
            if ids:
                cursor.execute(statement, [*compiled.values(as_of), as_of, ids])
                hits += cursor.fetchone()[0]
        asked += len(ids)
        yield Counted(asked, hits)
        if len(ids) < ASKED_AT_ONCE:
            return
        after = ids[-1]


def count_exactly(rule: Rule, surroundings: Surroundings, advertiser_id: int) -> int:
    """Return how many a rule finds now; raise `TooSlow` where they are too many to ask them all in time."""
    deadline = monotonic() + settings.MUSTER_EXACT_COUNT_SECONDS
    hits = 0
    for counted in count_in_chunks(rule, surroundings, advertiser_id, timezone.now()):
        if monotonic() > deadline:
            raise TooSlow
        hits = counted.hits
    return hits
