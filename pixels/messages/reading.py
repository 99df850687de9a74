"""From JSON values to messages: each is read for itself, so that a bad one holds back no other."""

import hashlib
from typing import Any, NamedTuple, get_args

from audience.context.page import read_address
from audience.context.reading import context_of
from audience.context.texts import text_of
from audience.ids import uuid7_bytes
from audience.instants import unix_milliseconds
from audience.messages import Kind, Message
from audience.values import (
    LARGEST_BYTES,
    LONGEST_NAME,
    BadValue,
    Object,
    check_size,
    clean_dump,
    clean_object,
    clean_text,
    dump,
)
from pixels.messages import identities
from pixels.messages.bodies import EVENTS
from pixels.messages.errors import Bad, MessageError, Refused, RequestError
from pixels.messages.sender import Sender
from pixels.messages.surroundings import cut_addresses
from pixels.messages.times import occurred_at

LONGEST_MESSAGE_ID = 100
KINDS: tuple[Kind, ...] = get_args(Kind)
# The name of the event where the message itself says it by its kind.
_VIEWS = ("page", "screen")


class Look(NamedTuple):
    """What a live view shows of a message, good or refused, as far as it can be read. Nothing of it names anybody."""

    kind: str = ""
    event: str = ""  # of a page or screen its name
    page_host: str = ""


class Read(NamedTuple):
    """One message of a request: good, or refused with an error. `name` is its messageId as far as it can be read."""

    name: str
    look: Look
    message: Message | None = None
    error: MessageError | None = None


class Envelope(NamedTuple):
    """What a batch says for all its messages."""

    context: Object
    sent_at: object = None
    is_small: bool = False  # so small that no message in it can be too large


def read_request(body: Object, kind: Kind | None, sender: Sender, *, size: int) -> list[Read]:
    """Return the messages of a body, in order: one of this kind, or without a kind those of a batch.

    `size` is the body's in bytes, unpacked. Raises `Refused`.
    """
    envelope = Envelope(_context(body), body.get("sentAt"), is_small=size <= LARGEST_BYTES)
    return [_read(one, kind, sender, envelope) for one in messages_of(body, kind)]


def messages_of(body: Object, kind: Kind | None) -> list[Any]:
    """Return what a body holds: itself where it is one message, or without a kind its batch. Raises `Refused`."""
    if kind is not None:
        return [body]
    batch = body.get("batch")
    if not isinstance(batch, list):
        raise Refused(RequestError.INVALID_JSON)
    if not batch:
        raise Refused(RequestError.EMPTY_BATCH)
    if len(batch) > EVENTS:
        raise Refused(RequestError.PAYLOAD_TOO_LARGE)
    return batch


def fact_id(advertiser_id: int, name: str) -> bytes:
    """Return the id of a message with a messageId: the same one is the same fact, for one advertiser only."""
    return hashlib.sha256(f"message\0{advertiser_id}\0{name}".encode()).digest()[:16]


def _read(raw: Any, kind: Kind | None, sender: Sender, envelope: Envelope) -> Read:
    name, look = "", Look()
    try:
        if not isinstance(raw, dict):
            raise Bad(MessageError.BAD_TYPE)
        look = _look(raw, kind or raw.get("type"), sender, envelope)
        name = name_of(raw.get("messageId"))
        return Read(name, look, _message(raw, kind or _kind(raw.get("type")), name, sender, envelope))
    except Bad as bad:
        return Read(name, look, error=bad.error)
    except BadValue as bad:
        return Read(name, look, error=MessageError(bad.reason))


def _look(raw: Object, kind: object, sender: Sender, envelope: Envelope) -> Look:
    """Return what is shown of a message. It may be as bad as it likes."""
    page = {**envelope.context, **_context(raw)}.get("page")
    address = page.get("url") if isinstance(page, dict) else None
    event = raw.get("event") if kind == "track" else raw.get("name") if kind in _VIEWS else ""
    return Look(
        kind if isinstance(kind, str) and kind in KINDS else "",
        text_of(event),
        read_address(address if isinstance(address, str) else sender.seen.page).host,
    )


def _message(raw: Object, kind: Kind, name: str, sender: Sender, envelope: Envelope) -> Message:
    if not envelope.is_small:
        check_size(raw)
    received_at = sender.received_at
    happened_at = occurred_at(
        raw.get("timestamp") or raw.get("originalTimestamp"), raw.get("sentAt") or envelope.sent_at, received_at
    )
    if happened_at < sender.oldest:
        raise Bad(MessageError.TOO_OLD)
    context = {**envelope.context, **_context(raw)}
    who = identities.decide(kind, identities.read(raw, context), _traits(raw, kind, context), sender)
    event, properties = _event(raw, kind)
    return Message(
        id=fact_id(sender.key.advertiser_id, name) if name else uuid7_bytes(unix_milliseconds(received_at)),
        kind=kind,
        advertiser_id=sender.key.advertiser_id,
        received_at=received_at,
        occurred_at=happened_at,
        own=who.own,
        linked=who.linked,
        proven=who.proven,
        event=event,
        properties=properties,
        context=dump(context_of(context, sender.seen, sender.keeping, places=sender.places)),
        traits=dump(who.traits),
        account=who.account,
        previous=who.previous,
        source_id=sender.key.id,
        is_named=name != "",
    )


def _event(raw: Object, kind: Kind) -> tuple[str, str]:
    """Return the event that a message is, and the JSON of its properties; nothing for those that are none."""
    if kind == "track":
        return _event_name(raw.get("event")), clean_dump(raw.get("properties"))
    if kind not in _VIEWS:
        return "", "{}"
    properties = cut_addresses(clean_object(raw.get("properties")))
    for field in ("name", "category"):
        said = clean_text(raw.get(field), LONGEST_NAME)
        if said:
            properties.setdefault(field, said)
    return kind, dump(properties)


def _event_name(value: object) -> str:
    if not isinstance(value, str | None):
        raise Bad(MessageError.NO_EVENT_NAME)
    name = clean_text(value, LONGEST_NAME).strip()
    if not name:
        raise Bad(MessageError.NO_EVENT_NAME)
    return name


def _traits(raw: Object, kind: Kind, context: Object) -> Object:
    """Return the traits of an identify or group call. Some clients write those of an identify into its context."""
    if kind not in ("identify", "group"):
        return {}
    told = context.get("traits") if kind == "identify" and not raw.get("traits") else raw.get("traits")
    return clean_object(told)


def _context(raw: Object) -> Object:
    """Return a context; what is none is as good as nothing, because nobody is refused for how a page looks."""
    context = raw.get("context")
    return context if isinstance(context, dict) else {}


def name_of(value: object) -> str:
    """Return the id that a client gave, empty where it gave none. Raises `Bad`."""
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_MESSAGE_ID:
        raise Bad(MessageError.BAD_MESSAGE_ID)
    return clean_text(value, LONGEST_MESSAGE_ID)


def _kind(value: object) -> Kind:
    for kind in KINDS:
        if value == kind:
            return kind
    raise Bad(MessageError.BAD_TYPE)
