"""Find or make the profile behind an identifier.

Law: whoever changes what belongs to a profile holds that profile's row lock (`FOR NO KEY UPDATE`), taken in the order
of profile ids. So two workers never decide about one person from each other's half-seen facts, and sorted locks
cannot deadlock.

Ids travel as text here and in the batch: to hash, sort and print UUID objects costs more than to parse a fire.
"""

import hashlib
import unicodedata
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

import psycopg

from audience.arrays import instants, plain, texts
from audience.ids import uuid7, uuid_text

KINDS = ("browser", "customer_id", "email", "phone", "device")
LONGEST_VALUE = 320
SEEN_PRECISION = timedelta(hours=1)


class BadIdentifier(ValueError):
    """The identifier cannot be one; the message says what to write instead."""


class Key(NamedTuple):
    """An identifier as it is looked up: its value is normalised."""

    advertiser_id: int
    kind: str
    value: str

    @property
    def id(self) -> str:
        return identifier_id(*self)


def identifier_id(advertiser_id: int, kind: str, value: str) -> str:
    """Return the primary key of an identifier, a UUID as text: 128 bits of SHA-256 over its three parts."""
    return uuid_text(hashlib.sha256(f"{advertiser_id}\0{kind}\0{value}".encode()).hexdigest())


def normalise(kind: str, value: str) -> str:
    """Return the form in which a value is stored and compared: trimmed, NFC, e-mails in lower case.

    Raises `BadIdentifier` for an unknown kind, an empty or overlong value, or one with control characters.
    """
    if kind not in KINDS and not kind.startswith("partner:"):
        raise BadIdentifier(f"“{kind}” is no kind of identifier. Use one of {', '.join(KINDS)} or partner:NAME.")
    text = unicodedata.normalize("NFC", value).strip()
    if not text or len(text) > LONGEST_VALUE:
        raise BadIdentifier(f"An identifier has 1 to {LONGEST_VALUE} characters.")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise BadIdentifier("An identifier holds no control characters.")
    if kind == "email":
        return _email(text)
    if kind == "phone":
        return _phone(text)
    return text


def _email(text: str) -> str:
    name, at, domain = text.partition("@")
    if not name or not at or "." not in domain or "@" in domain or " " in text:
        raise BadIdentifier(f"“{text}” is no e-mail address. Write one such as jo@example.com.")
    return text.lower()


def _phone(text: str) -> str:
    digits = "".join(letter for letter in text if letter in "0123456789")
    if not text.startswith("+") or not 7 <= len(digits) <= 15:
        raise BadIdentifier("Write a phone number with + and the country code, such as +49 89 123456.")
    return f"+{digits}"


_FIND = """
    SELECT i.id::text, p.id::text, p.last_seen_at
    FROM audience_identifier i
    JOIN audience_profile p ON p.id = i.profile_id AND p.advertiser_id = i.advertiser_id
    WHERE i.id = ANY(%s::uuid[])
    ORDER BY p.id FOR NO KEY UPDATE OF p
"""
_MAKE_IDENTIFIERS = """
    INSERT INTO audience_identifier (id, advertiser_id, kind, value, profile_id, first_seen_at, last_seen_at)
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::uuid[], %s::timestamptz[],
        %s::timestamptz[])
    ON CONFLICT (id) DO NOTHING RETURNING id::text
"""
_MAKE_PROFILES = """
    INSERT INTO audience_profile (id, advertiser_id, first_seen_at, last_seen_at)
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
"""
_SEE = """
    WITH seen AS (
        SELECT * FROM unnest(%(identifiers)s::uuid[], %(profiles)s::uuid[], %(at)s::timestamptz[])
            AS s(identifier_id, profile_id, at)
    ), identifiers AS (
        UPDATE audience_identifier i SET last_seen_at = greatest(i.last_seen_at, s.at)
        FROM seen s WHERE i.id = s.identifier_id
    )
    UPDATE audience_profile p SET last_seen_at = greatest(p.last_seen_at, s.at)
    FROM (SELECT profile_id, max(at) AS at FROM seen GROUP BY profile_id) s WHERE p.id = s.profile_id
"""


def find(cursor: psycopg.Cursor[tuple[object, ...]], keys: Collection[Key], at: datetime) -> dict[Key, str]:
    """Return the profiles of the identifiers that are known, and lock them for this transaction."""
    return _find(cursor, {key.id: key for key in keys}, at)


def find_or_make(cursor: psycopg.Cursor[tuple[object, ...]], keys: Collection[Key], at: datetime) -> dict[Key, str]:
    """Return the profile of every identifier, making those that are missing; all are locked."""
    by_id = {key.id: key for key in keys}
    found = _find(cursor, by_id, at)
    missing = {identifier: key for identifier, key in by_id.items() if key not in found}
    if missing:
        found |= _make(cursor, missing, at)
    return found


def _find(cursor: psycopg.Cursor[tuple[object, ...]], by_id: dict[str, Key], at: datetime) -> dict[Key, str]:
    cursor.execute(_FIND, [plain(by_id)])
    found: dict[Key, str] = {}
    unseen: list[tuple[str, str]] = []
    seen_since = at - SEEN_PRECISION
    for identifier, profile, last_seen_at in cursor.fetchall():
        found[by_id[identifier]] = profile  # type: ignore[index, assignment]
        if last_seen_at < seen_since:  # type: ignore[operator]
            unseen.append((identifier, profile))  # type: ignore[arg-type]
    if unseen:
        identifiers, profiles = zip(*sorted(unseen), strict=True)
        instant = instants([at] * len(unseen))
        cursor.execute(_SEE, {"identifiers": plain(identifiers), "profiles": plain(profiles), "at": instant})
    return found


def _make(cursor: psycopg.Cursor[tuple[object, ...]], missing: dict[str, Key], at: datetime) -> dict[Key, str]:
    ids = sorted(missing)
    keys = [missing[identifier] for identifier in ids]
    profiles = {identifier: str(uuid7()) for identifier in ids}
    owners = plain(key.advertiser_id for key in keys)
    now = instants([at] * len(ids))
    kinds, values = texts(key.kind for key in keys), texts(key.value for key in keys)
    cursor.execute(_MAKE_IDENTIFIERS, [plain(ids), owners, kinds, values, plain(profiles.values()), now, now])
    made = [identifier for (identifier,) in cursor.fetchall()]
    new = [profiles[identifier] for identifier in made]  # type: ignore[index]
    now = instants([at] * len(made))
    owners = plain(missing[identifier].advertiser_id for identifier in made)  # type: ignore[index]
    cursor.execute(_MAKE_PROFILES, [plain(new), owners, now, now])
    result = {missing[identifier]: profiles[identifier] for identifier in made}  # type: ignore[index]
    # Another worker was first with these: its profile counts, and ours was never written.
    taken = {identifier: missing[identifier] for identifier in ids if missing[identifier] not in result}
    return result | (_find(cursor, taken, at) if taken else {})
