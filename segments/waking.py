"""A batch's facts wake the rules that can feel them, and each is asked once about all whom they concern."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from audience.attributes import read_traits
from audience.columns import uuids
from audience.events import Fact
from audience.instants import Instant
from audience.recording import Happened, Moves
from audience.talk import Talk, reads
from segments.evaluation import Asked, Because, Moved, evaluate
from segments.models import Cause
from segments.rulebook import Entry, Rules, Wakes, current
from segments.rules.tree import ATTRIBUTE_CHANGED
from segments.rules.values import Name

# Who belongs to a company of one of these: what one does, or what is told of the company, may concern them all.
_COLLEAGUES = reads(
    """
    SELECT p.advertiser_id, p.id FROM audience_profile p
    WHERE p.id IN (
        SELECT o.profile_id FROM audience_accountmember m JOIN audience_accountmember o ON o.account_id = m.account_id
        WHERE m.profile_id = ANY(%s::uuid[])
    )
    ORDER BY p.id FOR NO KEY UPDATE
    """
)

Woken = dict[Entry, dict[bytes, Because]]  # the rules, and about whom each is asked and why


def wake_by_messages(happened: Happened) -> Talk[Mapping[bytes, Moves]]:
    """Ask the rules that recorded messages can touch; return who has moved."""
    book = current()
    woken: Woken = defaultdict(dict)
    for fact in happened.facts if book else ():
        rules = book.get(fact.message.advertiser_id)
        if rules is not None:
            _wake(
                woken,
                rules.woken_by(_told(fact, rules, happened)),
                fact.profile_id,
                Because(Cause.FACT, fact.message.id),
            )
    # Somebody may have lost an identifier to another one, and told nothing.
    for (advertiser_id, profile), kinds in happened.identified.items() if book else ():
        rules = book.get(advertiser_id)
        if rules is not None:
            for entry in rules.woken_by(Wakes(kinds=kinds)):
                woken[entry].setdefault(profile, Because(Cause.FACT))
    for profile, advertiser_id in happened.merged.items():
        rules = book.get(advertiser_id)
        if rules is not None:
            for entry in rules.entries:
                woken[entry][profile] = Because(Cause.MERGE)
    return moves_of((yield from ask(woken, happened.at)))


def wakes_any(changed: Iterable[tuple[int, int]]) -> bool:
    """Say whether a rule names any of these segments (advertiser, segment) of which memberships are to change."""
    book = current()
    return bool(book) and any(
        (rules := book.get(advertiser_id)) is not None and segment_id in rules.codes
        for advertiser_id, segment_id in changed
    )


def wake_by_changes(
    changed: Iterable[tuple[int, bytes, int]], strangers: Iterable[tuple[int, bytes]], at: Instant
) -> Talk[list[Moved]]:
    """Ask the rules that name segments of which memberships (advertiser, profile, segment) have changed, and those
    that may take in people who are new. The caller holds the locks of the profiles.
    """
    book = current()
    woken: Woken = defaultdict(dict)
    for advertiser_id, profile in strangers:
        rules = book.get(advertiser_id)
        if rules is not None:
            _wake(woken, rules.woken_by(Wakes(is_stranger=True)), profile, Because(Cause.FACT))
    for advertiser_id, profile, segment_id in changed:
        rules = book.get(advertiser_id)
        if rules is not None and segment_id in rules.codes:
            because = Because(Cause.SEGMENT, segment_id=segment_id)
            _wake(woken, rules.woken_by(Wakes(segments=[rules.codes[segment_id]])), profile, because)
    return (yield from ask(woken, at))


def ask(woken: Woken, at: Instant) -> Talk[list[Moved]]:
    """Ask each of the rules about its profiles; a segment comes before those that use it."""
    if not woken:
        return []
    of_companies = {profile for entry, some in woken.items() if entry.touched.accounts for profile in some}
    if of_companies:
        (rows,) = yield [_COLLEAGUES(uuids(sorted(of_companies)))]
        for entry in [entry for entry in woken if entry.touched.accounts]:
            because = next(iter(woken[entry].values()))
            theirs = {profile: because for owner, profile in rows if owner == entry.ruled.advertiser_id}
            woken[entry] = theirs | woken[entry]
    return (yield from evaluate([Asked(entry.ruled, some, entry.place) for entry, some in woken.items()], at))


def moves_of(moved: Iterable[Moved]) -> dict[bytes, Moves]:
    joined: dict[bytes, list[int]] = defaultdict(list)
    left: dict[bytes, list[int]] = defaultdict(list)
    for profile, segment_id, has_joined in moved:
        (joined if has_joined else left)[profile].append(segment_id)
    return {profile: Moves(tuple(joined[profile]), tuple(left[profile])) for profile in joined.keys() | left.keys()}


def _wake(woken: Woken, entries: Iterable[Entry], profile: bytes, because: Because) -> None:
    for entry in entries:
        woken[entry][profile] = because


def _told(fact: Fact, rules: Rules, happened: Happened) -> Wakes:
    """Return what a message tells, as far as any rule asks for it."""
    profile, message = fact
    traits = () if message.traits == "{}" else tuple(read_traits(message.traits))
    events = [message.event] if message.event else []
    return Wakes(
        events=[*events, ATTRIBUTE_CHANGED] if traits else events,
        fields=rules.fields.intersection(_fields(json.loads(message.context))) if rules.fields else (),
        attributes=traits,
        accounts=bool(message.account),
        is_stranger=profile in happened.made,
    )


def _fields(context: Mapping[str, Any], above: Name = ()) -> Iterator[Name]:
    """Yield the name of each field of a context, and of the groups that they stand in."""
    for key, value in context.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _fields(value, (*above, key))
