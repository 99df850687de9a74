"""Whom a message is about, and what its sender may say of them (pixels.md 4.3).

Promise: with a public key, which stands in every page, nobody claims or takes over a person. What such a key says of
identity without a valid hash becomes an attribute of the sender's own profile and nothing else.

    |                   | public key                       | with valid hash               | server key         |
    | userId            | attribute `claimed_customer_id`  | proven                        | proven             |
    | email, phone      | attributes                       | linked where free; attributes | proven; attributes |
    | groupId           | attribute `claimed_account_id`   | account                       | account            |
    | alias             | `needs_server_key`               | `needs_server_key`            | previous           |
"""

from typing import Any, NamedTuple

from audience.identity import BadIdentifier, Key, normalise
from audience.messages import Kind
from audience.proofs import What, is_proven
from audience.values import LONGEST_TEXT, BadValue, clean_text
from pixels.messages.errors import Bad, MessageError
from pixels.messages.sender import Sender

LONGEST_ID = 300
# An id that a client made can never equal one that we minted.
CLIENT_MADE = "a:"
CONTACTS = ("email", "phone")

Keys = tuple[Key, ...]


class Said(NamedTuple):
    """What a message says of identity, as texts; empty where it says nothing."""

    user: str
    anonymous: str
    group: str
    previous: str
    user_hash: str
    group_hash: str


class Identities(NamedTuple):
    """The fields of `audience.messages.Message` that follow from it."""

    own: Key
    linked: Keys
    proven: Keys
    traits: dict[str, Any]
    account: str
    previous: Key | None


def read(message: dict[str, Any], context: dict[str, Any]) -> Said:
    """Return what a message says; the hashes may stand in its context. Raises `Bad`."""
    return Said(
        _id(message.get("userId")),
        _id(message.get("anonymousId")),
        _id(message.get("groupId")),
        _id(message.get("previousId")),
        clean_text(message.get("userHash") or context.get("userHash"), LONGEST_TEXT),
        clean_text(message.get("groupHash") or context.get("groupHash"), LONGEST_TEXT),
    )


def decide(kind: Kind, said: Said, traits: dict[str, Any], sender: Sender) -> Identities:
    """Return whom a message is about. `traits` are those that it brings. Raises `Bad`."""
    is_server, advertiser_id = sender.key.is_server, sender.key.advertiser_id
    if kind == "alias" and not is_server:
        raise Bad(MessageError.NEEDS_SERVER_KEY)
    is_user_proven = is_server or _has_proof("user", said.user, said.user_hash, sender)
    is_group_proven = is_server or _has_proof("group", said.group, said.group_hash, sender)

    user = _key(advertiser_id, "customer_id", said.user) if said.user else None
    contacts = _contacts(sender, traits) if kind == "identify" else ()
    own, linked, proven = _people(said, user, contacts, sender, is_user_proven=is_user_proven)
    claims = {} if user is None or is_user_proven else {"claimed_customer_id": user.value}
    if kind == "group":
        if not said.group:
            raise Bad(MessageError.NO_ID)
        if is_group_proven:
            # The traits are the account's own: a claim of the profile has no place among them.
            return Identities(own, linked, proven, traits, said.group, None)
        return Identities(own, linked, proven, {**claims, "claimed_account_id": said.group}, "", None)
    previous = _previous(said, advertiser_id) if kind == "alias" else None
    if kind == "alias" and (user is None or previous is None):
        raise Bad(MessageError.NO_ID)
    return Identities(own, linked, proven, {**traits, **claims}, "", previous)


def _people(
    said: Said, user: Key | None, contacts: Keys, sender: Sender, *, is_user_proven: bool
) -> tuple[Key, Keys, Keys]:
    """Return the sender's own identifier, those that are linked where they are free, and those that are proven."""
    device = _key(sender.key.advertiser_id, "device", CLIENT_MADE + said.anonymous) if said.anonymous else None
    own = sender.browser or device
    linked: Keys = (device,) if device is not None and device != own else ()
    proven: Keys = (user,) if user is not None and is_user_proven else ()
    if sender.key.is_server:
        proven += contacts
    elif proven:
        linked += contacts
    if own is None and not proven:
        raise Bad(MessageError.UNPROVEN_USER if said.user else MessageError.NO_ID)
    return own or proven[0], linked, proven


def _has_proof(what: What, name: str, sent_hash: str, sender: Sender) -> bool:
    """Say whether a hash came and fits. One that does not fit refuses the message."""
    if not name or not sent_hash:
        return False
    if not is_proven(sender.secrets, what, name, sent_hash):
        raise Bad(MessageError.BAD_HASH)
    return True


def _contacts(sender: Sender, traits: dict[str, Any]) -> Keys:
    """Return the identifiers that stand in traits; what can be none stays an attribute."""
    found = []
    for kind in CONTACTS:
        value = traits.get(kind)
        if isinstance(value, str) and value:
            try:
                normalised = normalise(kind, value, country=sender.phone_country)
                found.append(Key(sender.key.advertiser_id, kind, normalised))
            except BadIdentifier:
                continue
    return tuple(found)


def _previous(said: Said, advertiser_id: int) -> Key | None:
    """Return the identifier that becomes another's: the message's own anonymousId, otherwise an earlier userId."""
    if not said.previous:
        return None
    if said.previous == said.anonymous:
        return _key(advertiser_id, "device", CLIENT_MADE + said.previous)
    return _key(advertiser_id, "customer_id", said.previous)


def _id(value: object) -> str:
    try:
        return clean_text(value, LONGEST_ID).strip()
    except BadValue as bad:
        raise Bad(MessageError.NO_ID if bad.reason == "too_large" else MessageError(bad.reason)) from None


def _key(advertiser_id: int, kind: str, value: str) -> Key:
    try:
        return Key(advertiser_id, kind, normalise(kind, value))
    except BadIdentifier:
        raise Bad(MessageError.NO_ID) from None
