"""Find or make the profile behind an identifier.

Law: whoever changes what belongs to a profile holds that profile's row lock (`FOR NO KEY UPDATE`), taken in the order
of profile ids. So two workers never decide about one person from each other's half-seen facts, and sorted locks
cannot deadlock. One exception: a membership that is still what it was when the door last wrote it may be renewed
without (`segments.renewals`), so whoever reads memberships to change them locks those rows, too.

Ids are 16 bytes and instants are numbers here and in the batch (`audience.columns`).
"""

import hashlib
import unicodedata
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import phonenumbers

from audience.columns import bigints, instants, texts, uuids
from audience.ids import uuid7_bytes
from audience.instants import HOUR, Instant, unix_milliseconds
from audience.talk import Rows, Statement, Talk, reads, writes

KINDS = ("browser", "customer_id", "email", "phone", "device")
LONGEST_VALUE = 320
SEEN_PRECISION = HOUR
ATTEMPTS = 3


class BadIdentifier(ValueError):
    """The identifier cannot be one; the message says what to write instead."""


class Key(NamedTuple):
    """An identifier as it is looked up: its value is normalised."""

    advertiser_id: int
    kind: str
    value: str

    @property
    def id(self) -> bytes:
        return identifier_id(*self)


class Known(NamedTuple):
    """What is known of an identifier: its profile, and when it was last noted as seen.

    `losses` is the profile's number of identifiers that went over to others when this one was seen there under the
    profile's lock; None as long as it was not.
    """

    profile_id: bytes
    seen_at: Instant
    losses: int | None = None


People = Mapping[Key, Known]


class ProfileGone(Exception):
    """Identifiers lead to other profiles than was known, by a merge, a move or an erasure: look them up again."""

    def __init__(self, keys: Collection[Key]) -> None:
        super().__init__(f"The profiles of {len(keys)} identifiers are others by now.")
        self.keys = keys


def identifier_id(advertiser_id: int, kind: str, value: str) -> bytes:
    """Return the primary key of an identifier, the 16 bytes of a UUID: the first of SHA-256 over its three parts."""
    return hashlib.sha256(f"{advertiser_id}\0{kind}\0{value}".encode()).digest()[:16]


def normalise(kind: str, value: str, *, country: str = "") -> str:
    """Return the form in which a value is stored and compared.

    Trimmed, NFC, e-mails in lower case, telephone numbers as E.164; `country` (ISO 3166-1, empty: none) is that of
    numbers without a country code. Raises `BadIdentifier` for an unknown kind, an empty or overlong value, or one
    with control characters.
    """
    if kind not in KINDS and not kind.startswith("partner:"):
        raise BadIdentifier(f"“{kind}” is no kind of identifier. Use one of {', '.join(KINDS)} or partner:NAME.")
    text = unicodedata.normalize("NFC", value).strip()
    if not text or len(text) > LONGEST_VALUE:
        raise BadIdentifier(f"An identifier has 1 to {LONGEST_VALUE} characters.")
    if not text.isprintable() and any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise BadIdentifier("An identifier holds no control characters.")
    if kind == "email":
        return _email(text)
    if kind == "phone":
        return _phone(text, country)
    return text


def _email(text: str) -> str:
    name, at, domain = text.partition("@")
    if not name or not at or "." not in domain or "@" in domain or " " in text:
        raise BadIdentifier(f"“{text}” is no e-mail address. Write one such as jo@example.com.")
    return text.lower()


def _phone(text: str, country: str) -> str:
    try:
        number = phonenumbers.parse(text, country or None)
    except phonenumbers.NumberParseException:
        number = None
    # Possible, not valid: which ranges are in use changes every month.
    if number is None or not phonenumbers.is_possible_number(number):
        raise BadIdentifier("Write a phone number with + and the country code, such as +49 89 123456.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


_LOCATE = reads("SELECT id, profile_id, last_seen_at FROM audience_identifier WHERE id = ANY(%s::uuid[])")
_LOCK = reads(
    "SELECT id, advertiser_id, losses FROM audience_profile WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE"
)
_MAKE_IDENTIFIERS = reads(
    """
    INSERT INTO audience_identifier (id, advertiser_id, kind, value, profile_id, first_seen_at, last_seen_at)
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::uuid[], %s::timestamptz[],
        %s::timestamptz[])
    ON CONFLICT (id) DO NOTHING RETURNING id
    """
)
_MAKE_PROFILES = writes(
    """
    INSERT INTO audience_profile (id, advertiser_id, first_seen_at, last_seen_at)
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
    """
)
_SEE = writes(
    """
    WITH seen AS (
        SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[]) AS s(identifier_id, profile_id, at)
    ), identifiers AS (
        UPDATE audience_identifier i SET last_seen_at = greatest(i.last_seen_at, s.at)
        FROM seen s WHERE i.id = s.identifier_id
    )
    UPDATE audience_profile p SET last_seen_at = greatest(p.last_seen_at, s.at)
    FROM (SELECT profile_id, max(at) AS at FROM seen GROUP BY profile_id) s WHERE p.id = s.profile_id
    """
)


def find_or_make(
    keys: Collection[Key], at: Instant, *, makes: Callable[[Key], bool] = lambda _: True
) -> Talk[dict[Key, bytes]]:
    """Return the profiles of the identifiers, all locked for this transaction.

    What is not known is made where `makes` says so, and otherwise left out.
    """
    for attempt in range(ATTEMPTS):
        people = yield from locate(keys)
        people |= yield from make([key for key in keys if key not in people and makes(key)], at)
        answers = yield lock(people)
        try:
            people |= check_locked(people, *answers)
        except ProfileGone:
            if attempt == ATTEMPTS - 1:
                raise
        else:
            yield from see(people, at)
            return {key: known.profile_id for key, known in people.items()}
    raise AssertionError("unreachable")


def locate(keys: Collection[Key]) -> Talk[dict[Key, Known]]:
    """Return what is known of the identifiers. Nothing is locked: the profile may be another's by now."""
    if not keys:
        return {}
    by_id = {key.id: key for key in keys}
    (rows,) = yield [_LOCATE(uuids(list(by_id)))]
    return {by_id[identifier]: Known(profile, seen) for identifier, profile, seen in rows}


def make(keys: Collection[Key], at: Instant) -> Talk[dict[Key, Known]]:
    """Make the identifiers, each with a profile of its own. What another worker has made meanwhile is found."""
    if not keys:
        return {}
    profiles = {key: uuid7_bytes(unix_milliseconds(at)) for key in keys}
    made = yield from give(profiles, at)
    if made:
        now = instants([at] * len(made))
        owners = bigints([key.advertiser_id for key in made])
        yield [_MAKE_PROFILES(uuids([profiles[key] for key in made]), owners, now, now)]
    people = {key: Known(profiles[key], at, losses=0) for key in made}
    return people | (yield from locate([key for key in keys if key not in people]))


def give(profiles: Mapping[Key, bytes], at: Instant) -> Talk[list[Key]]:
    """Make identifiers that lead to these profiles; return them without those that somebody has already."""
    by_id = {key.id: key for key in profiles}
    ids = sorted(by_id)
    ours = [by_id[identifier] for identifier in ids]
    now = instants([at] * len(ids))
    kinds, values = texts([key.kind for key in ours]), texts([key.value for key in ours])
    owners, whose = bigints([key.advertiser_id for key in ours]), uuids([profiles[key] for key in ours])
    (rows,) = yield [_MAKE_IDENTIFIERS(uuids(ids), owners, kinds, values, whose, now, now)]
    return [by_id[identifier] for (identifier,) in rows]


def lock(people: People) -> list[Statement]:
    """Return the statements that lock the profiles; `check_locked` looks at their rows.

    Who was not seen under a lock before is looked up again by a second one, when the first one has the locks.
    """
    unsure = [key.id for key, known in people.items() if known.losses is None]
    locks = _LOCK(uuids(sorted({known.profile_id for known in people.values()})))
    return [locks, _LOCATE(uuids(unsure))] if unsure else [locks]


def check_locked(people: People, locked: Rows, located: Rows | None = None) -> dict[Key, Known]:
    """Return the people who have been seen under a lock now for the first time.

    Raises `ProfileGone` where a profile is not there any more, or an identifier has gone over to another one.
    """
    profiles = {profile: (owner, losses) for profile, owner, losses in locked}
    whither = {identifier: profile for identifier, profile, _ in located or ()}
    seen, gone = {}, []
    for key, known in people.items():
        owner, losses = profiles.get(known.profile_id, (None, None))
        if owner != key.advertiser_id:
            gone.append(key)
        elif known.losses is None:
            if whither.get(key.id) == known.profile_id:
                seen[key] = known._replace(losses=losses)
            else:
                gone.append(key)
        elif known.losses != losses:
            gone.append(key)
    if gone:
        raise ProfileGone(gone)
    return seen


def is_to_be_seen(known: Known, at: Instant) -> bool:
    """Say whether the note of when somebody was seen is too old."""
    return known.seen_at < at - SEEN_PRECISION


def see(people: People, at: Instant) -> Talk[dict[Key, Known]]:
    """Note when the people were seen, to the hour; return those whose note is new."""
    unseen = {key: known._replace(seen_at=at) for key, known in people.items() if is_to_be_seen(known, at)}
    if unseen:
        rows = sorted((key.id, known.profile_id) for key, known in unseen.items())
        identifiers, profiles = zip(*rows, strict=True)
        yield [_SEE(uuids(identifiers), uuids(profiles), instants([at] * len(rows)))]
    return unseen
