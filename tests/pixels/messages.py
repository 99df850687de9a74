"""Messages of the HTTP API without a door: who sends them, and what is read of them."""

import json
from datetime import UTC, datetime
from typing import Any

from audience.identity import Key
from audience.instants import instant
from audience.messages import Kind, Message
from pixels.messages import bodies
from pixels.messages.reading import Read, read_request
from pixels.messages.sender import KnownWriteKey, Sender

ADVERTISER = 10
NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
SECRET = "identity-test-secret"
COOKIE = Key(ADVERTISER, "browser", "17c310350571072714b50b704d0910c3")


def sender(*, is_server: bool = False, browser: Key | None = None, secrets: tuple[str, ...] = (SECRET,)) -> Sender:
    """Return a sender with a public key, or with a server key."""
    return Sender(KnownWriteKey(5, ADVERTISER, is_server=is_server), instant(NOW), browser, secrets)


def read(body: object, kind: Kind | None = "track", by: Sender | None = None) -> list[Read]:
    """Return what is read of a body that is sent as JSON."""
    sent = json.dumps(body).encode()
    return read_request(bodies.read(sent), kind, by or sender(), size=len(sent))


def read_one(kind: Kind = "track", by: Sender | None = None, **fields: Any) -> Message:
    """Return the message that these fields make."""
    if kind == "track":
        fields.setdefault("event", "viewed")
    (one,) = read(fields, kind, by)
    assert one.error is None, one.error
    assert one.message is not None
    return one.message


def error_of(kind: Kind = "track", by: Sender | None = None, **fields: Any) -> str:
    """Return the code with which these fields are refused."""
    (one,) = read(fields, kind, by)
    assert one.message is None
    return str(one.error)


def utc(text: str) -> datetime:
    """Return an instant that is written without its zone."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
