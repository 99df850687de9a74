"""The rules that serve or are being built, compiled, and by which facts they are woken: an immutable book.

Every process has one. A door's is read anew whenever its catalogue hears of an edit (`keeping`); everybody else
reads what has changed whenever rules are to be asked (`present`).
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import psycopg
import structlog
from django.db import connection

from audience.talk import Rows, Talk, reads
from segments.evaluation import Ruled
from segments.models import RuleVersion
from segments.rules.nodes import segments_named
from segments.rules.refusals import RuleRefused
from segments.rules.silence import may_hold_of_strangers
from segments.rules.timeline import RuledSegment, Surroundings, Uncompilable, compile_rule
from segments.rules.touching import EVERY_EVENT, Touched, felt_by_others, touched_by
from segments.rules.tree import Rule
from segments.rules.values import Name
from segments.surroundings import rule_of, surroundings_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True, eq=False)
class Entry:
    """A version of a rule in the book.

    `felt_by_others`: which facts about one person can touch its answer about a colleague, or about an account.
    """

    ruled: Ruled
    touched: Touched
    is_for_strangers: bool
    felt_by_others: Touched
    place: int = 0  # a segment comes before those that use it


class Wakes(NamedTuple):
    """What has been told of a profile or account: names of facts, as `Touched` has them. `is_stranger`: it is new."""

    events: Collection[str] = ()
    fields: Collection[Name] = ()
    attributes: Collection[str] = ()
    kinds: Collection[str] = ()
    purposes: Collection[str] = ()
    segments: Collection[str] = ()
    accounts: bool = False
    is_stranger: bool = False


@dataclass(frozen=True, eq=False)
class Rules:
    """One advertiser's rules. `codes` are those of the segments, by id, that wake a rule as a fact does."""

    entries: tuple[Entry, ...]
    codes: Mapping[int, str] = field(default_factory=dict)
    fields: frozenset[Name] = frozenset()
    by_name: "Index" = field(default_factory=dict)
    by_name_of_others: "Index" = field(default_factory=dict)

    def woken_by(self, told: Wakes) -> set[Entry]:
        """Return the rules about profiles that feel any of it."""
        return _found(self.by_name, told)

    def woken_across(self, told: Wakes) -> set[Entry]:
        """Return the rules that feel it of somebody of the same account: about accounts, and about colleagues."""
        return _found(self.by_name_of_others, told) if self.by_name_of_others else set()


Index = Mapping[tuple[str, object], Sequence[Entry]]
_KINDS = ("events", "fields", "attributes", "kinds", "purposes", "segments")


def _found(index: Index, told: Wakes) -> set[Entry]:
    names: list[tuple[str, object]] = [(kind, name) for kind in _KINDS for name in getattr(told, kind)]
    if told.events:
        names.append(("events", EVERY_EVENT))
    if told.accounts:
        names.append(("accounts", True))
    if told.is_stranger:
        names.append(("strangers", True))
    return {entry for name in names for entry in index.get(name, ())}


Book = Mapping[int, Rules]  # by advertiser

_ROWS = """
    SELECT g.advertiser_id, g.id, g.code, g.is_active, g.active_version, a.time_zone, a.currency, v.id, v.number,
        v.state, v.lead_id, v.zone, v.currency, md5(v.rule)
    FROM segments_segment g JOIN audience_advertiser a ON a.id = g.advertiser_id
    LEFT JOIN segments_ruleversion v ON v.segment_id = g.id AND v.state IN ('active', 'building')
    WHERE g.deleted_at IS NULL AND g.advertiser_id IN (
        SELECT advertiser_id FROM segments_ruleversion WHERE state IN ('active', 'building')
    )
    ORDER BY g.advertiser_id, g.id, v.number
"""


_READ = reads(_ROWS)
Reader = psycopg.Connection[tuple[Any, ...]]


class _Shelf:
    """Where the process keeps its book, what it was made of, and whether somebody reads it anew by himself."""

    book: Book = {}
    made_of: Mapping[int, object] = {}
    is_kept = False
    is_lost = False  # whoever keeps it has no connection, or none yet


class BookBehind(Exception):
    """The rules have changed, and cannot be read in an event loop, where others would wait. Try again soon."""


def current() -> Book:
    """Return the book as this process read it last."""
    return _Shelf.book


def is_lost() -> bool:
    """Say whether the book may be an old one, although somebody keeps it in this process."""
    return _Shelf.is_lost


def present() -> Talk[Book]:
    """Return the book as it is now, in the caller's transaction. Raises `BookBehind`."""
    if _Shelf.is_kept:
        return _Shelf.book
    (rows,) = yield [_READ()]
    return _take(rows)


@contextmanager
def keeping(reader: Reader) -> Iterator[Callable[[], None]]:
    """Give a function that reads the book anew, for whoever calls it whenever an edit is heard of.

    From the first call to the end of the block the process relies on it. Where an error ends the block, the book is
    lost until somebody keeps it again.
    """

    def read() -> None:
        refresh(reader)
        _Shelf.is_kept, _Shelf.is_lost = True, False

    _Shelf.is_lost = True
    try:
        yield read
    except BaseException:
        _Shelf.is_kept, _Shelf.is_lost = False, True
        raise
    _Shelf.is_kept = _Shelf.is_lost = False


def refresh(reader: Reader | None = None) -> Book:
    """Read what has changed since the last time, and return the book. Only what has changed is compiled."""
    if reader is not None:
        return _take(reader.execute(_ROWS).fetchall())
    with connection.cursor() as cursor:
        cursor.execute(_ROWS)
        return _take(cursor.fetchall())


def _take(rows: Rows) -> Book:
    found: dict[int, list[object]] = defaultdict(list)
    for advertiser_id, *row in rows:
        found[advertiser_id].append(tuple(row))
    made_of = {advertiser_id: tuple(its) for advertiser_id, its in found.items()}
    if made_of != _Shelf.made_of and _is_in_event_loop():
        raise BookBehind
    book = {
        advertiser_id: _Shelf.book[advertiser_id]
        if advertiser_id in _Shelf.book and _Shelf.made_of.get(advertiser_id) == its
        else rules_of(advertiser_id)
        for advertiser_id, its in made_of.items()
    }
    _Shelf.book, _Shelf.made_of = book, made_of
    return book


def _is_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def rules_of(advertiser_id: int) -> Rules:
    """Return the rules of an advertiser, compiled. One that cannot be is left out: it takes nobody in."""
    states = [RuleVersion.State.ACTIVE, RuleVersion.State.BUILDING]
    versions = RuleVersion.all_advertisers.filter(advertiser_id=advertiser_id, state__in=states)
    versions = versions.filter(segment__deleted_at=None).select_related("segment").order_by("id")
    entries = []
    around = surroundings_of(advertiser_id)
    for version in versions:
        if version.state == RuleVersion.State.ACTIVE and not version.segment.is_active:
            continue
        try:
            entries.append(entry_of(version, None if version.state == RuleVersion.State.BUILDING else around))
        except (RuleRefused, Uncompilable) as error:
            log.warning("rule_left_out", segment=version.segment_id, version=version.number, error=str(error))
    return _bound(sorted(entries, key=lambda entry: entry.place), around)


def entry_of(version: RuleVersion, around: Surroundings | None = None) -> Entry:
    """Compile a version, by default beside what else is built with it; many are given what is around all of them.

    Raises where it cannot be compiled.
    """
    around = around or surroundings_of(version.advertiser_id, _built_with(version))
    around = replace(around, key=version.segment.code, zone=version.zone or around.zone, currency=version.currency)
    rule = rule_of(version.rule)
    ruled = Ruled(version.advertiser_id, version.segment_id, version.number, compile_rule(rule, around), of=rule.of)
    return Entry(
        ruled,
        touched_by(rule, around.segments),
        may_hold_of_strangers(rule.root),
        felt_by_others(rule, around.segments),
        _depth(rule, around),
    )


def _built_with(version: RuleVersion) -> Mapping[int, str]:
    if version.state != RuleVersion.State.BUILDING:
        return {}
    lead = version.lead_id or version.pk
    group = RuleVersion.all_advertisers.filter(advertiser_id=version.advertiser_id, state=RuleVersion.State.BUILDING)
    return {one.segment_id: one.rule for one in group if lead in (one.pk, one.lead_id)}


def _depth(rule: Rule, around: Surroundings) -> int:
    """Return how many segments by rules lie below a rule, one used by the other."""
    others = [around.segments.get(key) for key in segments_named(rule)]
    return max((1 + _depth(other.rule, around) for other in others if isinstance(other, RuledSegment)), default=0)


def _bound(entries: Iterable[Entry], around: Surroundings) -> Rules:
    entries = tuple(entries)
    by_name = _index((entry, entry.touched) for entry in entries if entry.ruled.of == "profile")
    strangers = [entry for entry in entries if entry.ruled.of == "profile" and entry.is_for_strangers]
    named = {key for entry in entries for key in entry.touched.segments}
    return Rules(
        entries,
        {other.id: key for key, other in around.segments.items() if key in named},
        frozenset(field for entry in entries for field in entry.touched.fields),
        by_name | {("strangers", True): strangers},
        _index((entry, entry.felt_by_others) for entry in entries),
    )


def _index(feeling: Iterable[tuple[Entry, Touched]]) -> dict[tuple[str, object], list[Entry]]:
    by_name: dict[tuple[str, object], list[Entry]] = defaultdict(list)
    for entry, touched in feeling:
        for kind in _KINDS:
            for name in getattr(touched, kind):
                by_name[kind, name].append(entry)
        if touched.accounts:
            by_name["accounts", True].append(entry)
    return dict(by_name)


def forget() -> None:
    """Forget what was read, as a new process has nothing."""
    _Shelf.book, _Shelf.made_of, _Shelf.is_kept, _Shelf.is_lost = {}, {}, False, False
