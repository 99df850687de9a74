"""News wakes the rules that can feel them, and each is asked once about all whom they concern.

Everything that can change an answer comes by `wake`: messages and what else is told of people and companies
(`audience.news`), and changes of memberships that rules name.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from audience import cart
from audience.attributes import read_traits
from audience.events import Fact
from audience.instants import Instant
from audience.news import Changed, Happened, Moves
from audience.talk import Talk
from segments.crossing import Across, Asking, reach
from segments.evaluation import Asked, Because, Moved, evaluate
from segments.models import Cause
from segments.rulebook import Book, Entry, Rules, Wakes, current, is_lost, present
from segments.rules.tree import ATTRIBUTE_CHANGED
from segments.rules.values import Name

# Memberships that have changed: whose they are, the profile, the segment.
Memberships = Sequence[tuple[int, bytes, int]]


def wakes_any(changed: Iterable[tuple[int, int]]) -> bool:
    """Say whether a rule names any of these segments (advertiser, segment) of which memberships are to change.

    Where that is not known for sure, it may.
    """
    book = current()
    return is_lost() or (
        bool(book)
        and any(
            (rules := book.get(advertiser_id)) is not None and segment_id in rules.codes
            for advertiser_id, segment_id in changed
        )
    )


def wake(happened: Happened, memberships: Memberships = (), *, are_out: bool = False) -> Talk[Mapping[bytes, Moves]]:
    """Ask the rules that news or changed memberships can touch; return which profiles have moved.

    `are_out`: the memberships have ended whatever a rule says, and those rules are not asked.

    Once in a transaction, which holds the locks of the profiles, or those of the accounts: rules are asked about
    accounts under their locks, and whoever took some twice could wait for somebody who waits for him.
    """
    book = yield from present()
    if not book:
        return {}
    woken = _Woken(book)
    # What comes later says why: a fact tells more than that somebody is new.
    for changed in happened.changed:
        woken.by_change(changed)
    for advertiser_id, profile, segment_id in memberships:
        woken.by_membership(advertiser_id, profile, segment_id)
    for fact in happened.facts:
        woken.by_fact(fact)
    for profile, advertiser_id in happened.merged.items():
        woken.by_merge(advertiser_id, profile)
    if not woken.rules and not woken.across:
        return {}
    yield from reach(woken.rules, woken.across, happened)
    if are_out:
        woken.leave_out({(profile, segment_id) for _, profile, segment_id in memberships})
    return _moves_of((yield from ask(woken.rules, happened.at)))


def ask(rules: Mapping[Entry, Mapping[bytes, Because]], at: Instant) -> Talk[list[Moved]]:
    """Ask each of the rules about its members; a segment comes before those that use it."""
    asked = [Asked(entry.ruled, some, entry.place) for entry, some in rules.items() if some]
    return (yield from evaluate(asked, at))


class _Woken:
    """`rules`: which are to be asked about whom, and why. `across`: which feel it of whom as of one of an account."""

    def __init__(self, book: Book) -> None:
        self.rules: Asking = defaultdict(dict)
        self.across = Across(defaultdict(dict), defaultdict(dict))
        self._book = book

    def by_fact(self, fact: Fact) -> None:
        if (rules := self._book.get(fact.message.advertiser_id)) is not None:
            self._feel(rules, _told(fact, rules), fact.profile_id, Because(Cause.FACT, fact.message.id))

    def by_change(self, changed: Changed) -> None:
        rules = self._book.get(changed.advertiser_id)
        if rules is None:
            return
        told = Wakes(
            attributes=changed.attributes,
            kinds=changed.kinds,
            purposes=changed.purposes,
            accounts=changed.belongs or (changed.of == "account" and changed.is_new),
            is_stranger=changed.is_new,
        )
        because = Because(Cause.CONSENT if changed.purposes else Cause.FACT)
        if changed.of == "profile":
            self._feel(rules, told, changed.id, because)
        else:
            for entry in rules.woken_across(told):
                self.across.of_accounts[entry][changed.id] = because

    def by_merge(self, advertiser_id: int, profile: bytes) -> None:
        if (rules := self._book.get(advertiser_id)) is not None:
            for entry in rules.entries:
                if entry.ruled.of == "profile":
                    self.rules[entry][profile] = Because(Cause.MERGE)
            for entry in rules.woken_across(Wakes(accounts=True)):
                self.across.of_people[entry][profile] = Because(Cause.MERGE)

    def by_membership(self, advertiser_id: int, profile: bytes, segment_id: int) -> None:
        rules = self._book.get(advertiser_id)
        if rules is not None and segment_id in rules.codes:
            because = Because(Cause.SEGMENT, segment_id=segment_id)
            self._feel(rules, Wakes(segments=[rules.codes[segment_id]]), profile, because)

    def leave_out(self, decided: Collection[tuple[bytes, int]]) -> None:
        for entry, some in self.rules.items():
            left = {id_: because for id_, because in some.items() if (id_, entry.ruled.segment_id) not in decided}
            self.rules[entry] = left

    def _feel(self, rules: Rules, told: Wakes, profile: bytes, because: Because) -> None:
        for entry in rules.woken_by(told):
            self.rules[entry][profile] = because
        for entry in rules.woken_across(told):
            self.across.of_people[entry][profile] = because


def _moves_of(moved: Iterable[Moved]) -> dict[bytes, Moves]:
    joined: dict[bytes, list[int]] = defaultdict(list)
    left: dict[bytes, list[int]] = defaultdict(list)
    for member, segment_id, has_joined in moved:
        (joined if has_joined else left)[member].append(segment_id)
    return {member: Moves(tuple(joined[member]), tuple(left[member])) for member in joined.keys() | left.keys()}


def _told(fact: Fact, rules: Rules) -> Wakes:
    """Return what a message tells, as far as any rule asks for it."""
    message = fact.message
    traits = () if message.traits == "{}" else tuple(read_traits(message.traits))
    events = [message.event] if message.event else []
    return Wakes(
        events=[*events, ATTRIBUTE_CHANGED] if traits else events,
        fields=rules.fields.intersection(_fields(json.loads(message.context))) if rules.fields else (),
        attributes=(*traits, cart.NAME) if message.event in cart.EVENTS else traits,
        accounts=bool(message.account),
    )


def _fields(context: Mapping[str, Any], above: Name = ()) -> Iterator[Name]:
    """Yield the name of each field of a context, and of the groups that they stand in."""
    for key, value in context.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _fields(value, (*above, key))
