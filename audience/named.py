"""Whom another system means by an identifier: one after the other is found, made or refused."""

from collections.abc import Sequence
from typing import NamedTuple

from django.db import models

from audience.identity import BadIdentifier, Key, find_or_make, normalise
from audience.instants import Instant
from audience.models import Advertiser
from audience.talk import Talk


class Nobody(models.TextChoices):
    """Why an identifier means nobody."""

    BAD_IDENTIFIER = "bad_identifier", "This can be no identifier."
    UNKNOWN_IDENTIFIER = "unknown_identifier", "Nobody is known by this identifier."
    UNKNOWN_BROWSER = "unknown_browser", "No browser has this id. Only our cookie makes browser ids."


class Named(NamedTuple):
    """Somebody by an identifier, as it was written. Who may be new is made where need be; a browser never is."""

    kind: str
    value: str
    may_be_new: bool = True


def key_of(advertiser: Advertiser, kind: str, value: str) -> Key | Nobody:
    """Return the identifier that is meant."""
    try:
        return Key(advertiser.pk, kind, normalise(kind, value, country=advertiser.phone_country))
    except BadIdentifier:
        return Nobody.BAD_IDENTIFIER


def find_named(advertiser: Advertiser, named: Sequence[Named], at: Instant) -> Talk[list[bytes | Nobody]]:
    """Return the profile of each, all locked for this transaction."""
    keys = [key_of(advertiser, one.kind, one.value) for one in named]
    makers = {key for one, key in zip(named, keys, strict=True) if one.may_be_new and one.kind != "browser"}
    known = {key for key in keys if isinstance(key, Key)}
    profiles = yield from find_or_make(known, at, makes=makers.__contains__)
    return [profiles.get(key) or unknown(key) if isinstance(key, Key) else key for key in keys]


def unknown(key: Key) -> Nobody:
    """Return why an identifier that nobody has means nobody."""
    return Nobody.UNKNOWN_BROWSER if key.kind == "browser" else Nobody.UNKNOWN_IDENTIFIER
