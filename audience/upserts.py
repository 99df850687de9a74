"""What other systems tell of people and companies: attributes, and who belongs where. Recorded as the door does it.

A call is one transaction. What is refused holds back nothing else; each answer is a reason, or None for what is done.
"""

import itertools
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVar

from django.conf import settings
from django.db import connection, models, transaction

from audience import accounts, attribute_names, attributes
from audience.accounts import Belonging, account_id
from audience.attributes import OF_ACCOUNTS, Telling, Told, read_traits
from audience.columns import batch_cursor
from audience.identity import ATTEMPTS, Key, ProfileGone, locate
from audience.ids import uuid7_bytes
from audience.instants import Instant, instant, unix_milliseconds
from audience.messages import API, Message
from audience.models import Account, Advertiser
from audience.named import Named, Nobody, find_named, key_of, unknown
from audience.news import Changed, Happened, tell
from audience.recording import record
from audience.talk import Talk, speak
from audience.values import BadValue, Object, check_size, clean_object, dump

T = TypeVar("T")


class Refused(models.TextChoices):
    """Why one item of a call is refused."""

    BAD_IDENTIFIER = Nobody.BAD_IDENTIFIER.value, Nobody.BAD_IDENTIFIER.label
    UNKNOWN_IDENTIFIER = Nobody.UNKNOWN_IDENTIFIER.value, Nobody.UNKNOWN_IDENTIFIER.label
    UNKNOWN_BROWSER = Nobody.UNKNOWN_BROWSER.value, Nobody.UNKNOWN_BROWSER.label
    TOO_LARGE = (
        "too_large",
        "The attributes are larger than 32 kB, or a name, a text or a number in them is too large.",
    )
    TOO_DEEP = "too_deep", "Attributes may be nested five deep."
    TOO_MANY_PROPERTIES = (
        "too_many_properties",
        "A call may tell 255 attributes of one, and an advertiser has room for a limited number of names.",
    )


class OfPerson(NamedTuple):
    """Attributes of the person whom an identifier means."""

    kind: str
    value: str
    attributes: Object


class OfAccount(NamedTuple):
    """Attributes of an account, by the key that it is known by: 1 to 320 characters."""

    key: str
    attributes: Object


class Link(NamedTuple):
    """Somebody to put among the people of an account, or to take out."""

    do: Literal["add", "remove"]
    kind: str
    value: str


def tell_of_people(advertiser: Advertiser, told: Sequence[OfPerson], *, at: datetime) -> list[Refused | None]:
    """Keep attributes of people. An identifier that nobody has yet makes a profile, except for browser ids."""
    return _transact(lambda: _tell_of_people(advertiser, told, instant(at)))


def tell_of_accounts(advertiser: Advertiser, told: Sequence[OfAccount], *, at: datetime) -> list[Refused | None]:
    """Keep attributes of accounts; one that is not known yet is made."""
    return _transact(lambda: _tell_of_accounts(advertiser, told, instant(at)))


def change_people(account: Account, links: Sequence[Link], *, at: datetime) -> list[Refused | None]:
    """Let people belong to an account, or no longer; who is named in both ways does not.

    To put in makes a profile for an identifier that is not known yet, except for browser ids; to take out makes none.
    """
    return _transact(lambda: _change_people(account, links, instant(at)))


def _transact(talk: Callable[[], Talk[T]]) -> T:
    """Hold a talk in a transaction, again where somebody else has changed meanwhile whose identifiers are."""
    for attempt in itertools.count(1):
        try:
            with transaction.atomic(), batch_cursor(connection.connection) as cursor:
                return speak(cursor, talk())
        except ProfileGone:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _tell_of_people(advertiser: Advertiser, told: Sequence[OfPerson], at: Instant) -> Talk[list[Refused | None]]:
    keys = [key_of(advertiser, one.kind, one.value) for one in told]
    browsers = yield from locate({key for key in keys if isinstance(key, Key) and key.kind == "browser"})
    answers: list[Refused | None] = []
    messages: dict[int, Message] = {}
    for number, (one, key) in enumerate(zip(told, keys, strict=True)):
        traits, reason = _read(one.attributes)
        if isinstance(key, Nobody):
            reason = Refused(key.value)
        elif key.kind == "browser" and key not in browsers:
            reason = Refused(unknown(key).value)
        elif reason is None:
            messages[number] = _message(key, traits, at + number)
        answers.append(reason)
    ends = yield from record(list(messages.values()))
    for number, end in zip(messages, ends, strict=True):
        answers[number] = Refused(end.reason) if end.reason else None
    return answers


def _message(key: Key, traits: str, at: Instant) -> Message:
    """Return what the door would record. Each item of a call has an instant of its own: of two the later counts."""
    id_ = uuid7_bytes(unix_milliseconds(at))
    return Message(id_, API, key.advertiser_id, at, at, own=key, proven=(key,), traits=traits)


def _tell_of_accounts(advertiser: Advertiser, told: Sequence[OfAccount], at: Instant) -> Talk[list[Refused | None]]:
    answers: list[Refused | None] = []
    good: dict[int, dict[str, str]] = {}
    for number, one in enumerate(told):
        traits, reason = _read(one.attributes)
        answers.append(reason)
        if reason is None:
            good[number] = read_traits(traits)
    names = {(advertiser.pk, OF_ACCOUNTS.of, name) for values in good.values() for name in values}
    refused = yield from attribute_names.refuse(names, at, most=settings.MUSTER_ATTRIBUTES_PER_ADVERTISER)
    tellings: list[Telling] = []
    seen: list[accounts.Seen] = []
    for number, values in good.items():
        key = told[number].key
        if any((advertiser.pk, OF_ACCOUNTS.of, name) in refused for name in values):
            answers[number] = Refused.TOO_MANY_PROPERTIES
            continue
        seen.append(accounts.Seen(advertiser.pk, key, at))
        tellings += [_telling(advertiser.pk, key, name, value, at + number) for name, value in values.items()]
    new = yield from accounts.meet(seen)
    yield from attributes.put(tellings, OF_ACCOUNTS)
    yield from tell(Happened(at + len(told), changed=_changed(advertiser.pk, new, tellings)))
    return answers


def _changed(advertiser_id: int, new: Collection[bytes], tellings: Sequence[Telling]) -> list[Changed]:
    names: dict[bytes, set[str]] = {account: set() for account in new}
    for telling in tellings:
        account, name = telling.key
        names.setdefault(account, set()).add(name)
    return [
        Changed(advertiser_id, account, "account", attributes=some, is_new=account in new)
        for account, some in names.items()
    ]


def _telling(advertiser_id: int, key: str, name: str, value: str, at: Instant) -> Telling:
    told = Told(value, at, at, uuid7_bytes(unix_milliseconds(at)), None, None, API)
    return Telling(advertiser_id, (account_id(advertiser_id, key), name), told)


def _change_people(account: Account, links: Sequence[Link], at: Instant) -> Talk[list[Refused | None]]:
    named = [Named(link.kind, link.value, link.do == "add") for link in links]
    found = yield from find_named(account.advertiser, named, at)
    wanted = dict[str, set[bytes]](add=set(), remove=set())
    for link, who in zip(links, found, strict=True):
        if isinstance(who, bytes):
            wanted[link.do].add(who)
    owner, key = account.advertiser_id, account.key
    joining = wanted["add"] - wanted["remove"]
    yield from accounts.join([Belonging(owner, key, profile, at, at) for profile in sorted(joining)])
    yield from accounts.part(account.pk.bytes, sorted(wanted["remove"]))
    # Who was put in may be new; nobody is the worse for being asked about.
    kinds = {link.kind for link in links}
    people = [
        Changed(owner, profile, kinds=kinds if profile in joining else (), is_new=profile in joining, belongs=True)
        for profile in sorted(joining | wanted["remove"])
    ]
    yield from tell(Happened(at, changed=[*people, Changed(owner, account.pk.bytes, "account", belongs=True)]))
    return [Refused(who.value) if isinstance(who, Nobody) else None for who in found]


def _read(told: Any) -> tuple[str, Refused | None]:
    """Return attributes as JSON text, and why they are refused where they are."""
    try:
        check_size(told)
        return dump(clean_object(told)), None
    except BadValue as bad:
        return "", Refused(bad.reason)
