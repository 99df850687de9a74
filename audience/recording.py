"""Record messages: whose they are, what they tell, once each. One talk, in the caller's transaction.

    look which are new, and whose they are -> merge -> weather -> append events -> touches -> accounts -> attributes
    -> carts -> what rooms above do with the news

Locks are taken in one order by every batch: message ids, names of attributes, identifiers, profiles, cells, accounts,
each sorted. What is decided before the profiles are locked is looked at again under the locks.
"""

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

from django.conf import settings

from audience import accounts, attribute_names, attributes, cart, events, touches
from audience.accounts import Belonging, account_id
from audience.attribute_changes import changes_of
from audience.attribute_names import Name
from audience.attributes import OF_ACCOUNTS, OF_PROFILES, Telling, Told, read_traits
from audience.context import weather
from audience.events import Fact
from audience.instants import Instant
from audience.messages import Message
from audience.news import NO_MOVES, Changed, Happened, Moves, tell
from audience.repeats import are_new, remember
from audience.settling import Notes, Settled, locate, settle
from audience.talk import Rows, Statement, Talk


class Recorded(NamedTuple):
    """How a message ended. A rejected one has a reason of pixels.md 4.4; a note is for the marketer."""

    outcome: Literal["applied", "duplicate", "rejected"]
    reason: str = ""
    profile_id: bytes | None = None
    notes: tuple[str, ...] = ()
    moves: Moves = NO_MOVES


def questions(messages: Sequence[Message]) -> list[Statement]:
    """Return the statements with which `record` begins, for a caller who has something to ask beside them."""
    named = _named(messages)
    return [*([remember(named)] if named else []), locate(messages)]


def record(messages: Sequence[Message], answers: Sequence[Rows] | None = None) -> Talk[list[Recorded]]:
    """Record messages; return how each ended, in their order.

    `answers` are those to the `questions` of these messages, and maybe of others. Raises `ProfileGone` where somebody
    else has changed meanwhile whose they are: roll back, and record them again.
    """
    if not messages:
        return []
    *remembered, located = answers or (yield questions(messages))
    are_first = iter(are_new(_named(messages), *remembered))
    ended: list[Recorded | None] = [
        Recorded("duplicate") if message.is_named and not next(are_first) else None for message in messages
    ]
    yield from _drop_overfull(messages, ended)
    kept = [number for number, end in enumerate(ended) if end is None]
    if kept:
        profiles, notes, moves = yield from _put([messages[number] for number in kept], located)
        for number, profile, noted in zip(kept, profiles, notes, strict=True):
            moved = moves.get(profile, NO_MOVES)
            ended[number] = Recorded("applied", profile_id=profile, notes=noted, moves=moved)
    return [end for end in ended if end is not None]


def _named(messages: Sequence[Message]) -> list[tuple[bytes, Instant]]:
    """Return those that may come again under the same id. To remember others would take a tenth of their time."""
    return [(message.id, message.received_at) for message in messages if message.is_named]


def _drop_overfull(messages: Sequence[Message], ended: list[Recorded | None]) -> Talk[None]:
    """Reject what has no sender, or an attribute for which the advertiser has no room."""
    names: dict[int, list[Name]] = {}
    for number, message in enumerate(messages):
        if ended[number] is None and message.own is None and not message.proven:
            ended[number] = Recorded("rejected", "no_id")
        elif ended[number] is None and message.traits != "{}":
            of = OF_ACCOUNTS.of if message.account else OF_PROFILES.of
            names[number] = [(message.advertiser_id, of, name) for name in read_traits(message.traits)]
    wanted = {name for some in names.values() for name in some}
    refused = yield from attribute_names.refuse(
        wanted, max(message.received_at for message in messages), most=settings.MUSTER_ATTRIBUTES_PER_ADVERTISER
    )
    for number, some in names.items():
        if not refused.isdisjoint(some):
            ended[number] = Recorded("rejected", "too_many_properties")


def _put(messages: Sequence[Message], located: Rows) -> Talk[tuple[list[bytes], list[Notes], dict[bytes, Moves]]]:
    """Put new messages where they belong; return the profile of each, its notes, and who has moved."""
    settled = yield from settle(messages, located)
    if settings.MUSTER_WEATHER_URL:
        messages = yield from weather.add_to(messages)
    facts = [Fact(profile, message) for profile, message in zip(settled.profiles, messages, strict=True)]
    seen = [fact for fact in facts if fact.message.event]
    yield from events.append(seen)
    yield from touches.put(seen)
    yield from _put_traits(facts)
    yield from cart.keep({**cart.touched(seen), **settled.merged})
    at = max(message.received_at for message in messages)
    moves = yield from tell(Happened(at, facts, _changed(settled), settled.merged))
    return settled.profiles, settled.notes, moves


def _changed(settled: Settled) -> list[Changed]:
    """Return who is new, and who has got or lost identifiers, perhaps to somebody else and told nothing himself."""
    return [
        Changed(advertiser_id, profile, kinds=kinds, is_new=profile in settled.made)
        for (advertiser_id, profile), kinds in settled.identified.items()
    ]


def _put_traits(facts: Collection[Fact]) -> Talk[None]:
    """Keep what messages tell of accounts and profiles, and what has changed of the latter as events.

    Accounts are locked first, where there are any.
    """
    of_account = [fact for fact in facts if fact.message.account]
    yield from accounts.join([_belonging(fact) for fact in of_account])
    yield from attributes.put([telling for fact in of_account for telling in _tellings(fact)], OF_ACCOUNTS)
    of_profile = [fact for fact in facts if not fact.message.account]
    tellings = [telling for fact in of_profile for telling in _tellings(fact)]
    replaced = yield from attributes.put(tellings, OF_PROFILES)
    yield from events.append(changes_of(replaced, of_profile))


def _belonging(fact: Fact) -> Belonging:
    message = fact.message
    return Belonging(
        message.advertiser_id, message.account, fact.profile_id, message.occurred_at, message.received_at
    )


def _tellings(fact: Fact) -> list[Telling]:
    message = fact.message
    if message.traits == "{}":
        return []
    owner = account_id(message.advertiser_id, message.account) if message.account else fact.profile_id
    at = message.occurred_at
    return [
        Telling(
            message.advertiser_id,
            (owner, name),
            Told(value, at, at, message.id, None, message.source_id, message.kind),
        )
        for name, value in read_traits(message.traits).items()
    ]
