"""Find out whose messages are, and let that be so: identifiers, profiles and merges, written under locks.

First all is looked up and decided without a lock (`audience.resolution`); then what is new is inserted, the profiles
are locked, and all is looked up again. Only where nothing has changed is the rest written.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import structlog
from django.conf import settings

from audience import metrics
from audience.columns import bigints, instants, integers, texts, uuids
from audience.identity import SEEN_PRECISION, Key, ProfileGone
from audience.instants import Instant
from audience.merging import Pair, merge
from audience.messages import Message
from audience.resolution import SHARED, Place, Resolver, Standing
from audience.talk import Rows, Statement, Talk, reads, writes

log = structlog.get_logger(__name__)

Notes = tuple[str, ...]

_LOCATE = reads(
    """
    SELECT i.id, i.profile_id, i.last_seen_at, i.proved_at, p.losses
    FROM audience_identifier i JOIN audience_profile p ON p.id = i.profile_id WHERE i.id = ANY(%s::uuid[])
    """
)
# Needs the index on `profile_id`. Without those that this batch has just made.
_STANDINGS = reads(
    """
    SELECT profile_id, count(*)::int, (count(*) FILTER (WHERE kind = 'customer_id'))::int FROM audience_identifier
    WHERE profile_id = ANY(%s::uuid[]) AND NOT id = ANY(%s::uuid[]) GROUP BY profile_id
    """
)
_LOCK = reads(
    "SELECT id, advertiser_id, last_seen_at, losses FROM audience_profile WHERE id = ANY(%s::uuid[])"
    " ORDER BY id FOR NO KEY UPDATE"
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
_CHANGE_IDENTIFIERS = writes(
    """
    UPDATE audience_identifier i SET profile_id = s.profile_id, last_seen_at = greatest(i.last_seen_at, s.seen_at),
        proved_at = s.proved_at
    FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[], %s::timestamptz[])
        AS s(id, profile_id, seen_at, proved_at)
    WHERE i.id = s.id
    """
)
_CHANGE_PROFILES = writes(
    """
    UPDATE audience_profile p SET last_seen_at = greatest(p.last_seen_at, s.seen_at), losses = p.losses + s.losses
    FROM unnest(%s::uuid[], %s::timestamptz[], %s::int[]) AS s(id, seen_at, losses) WHERE p.id = s.id
    """
)


class Located(NamedTuple):
    """What is known of an identifier: a row of `_LOCATE`."""

    profile_id: bytes
    seen_at: Instant
    proved_at: Instant | None
    losses: int


class Found(NamedTuple):
    """What is known of the identifiers of messages.

    `judged` are those of messages that give, prove or unite: what these do depends on more than on where each leads,
    and `standings` are of their profiles.
    """

    keys: Mapping[bytes, Key]
    judged: Sequence[bytes]
    rows: Mapping[bytes, Located]
    standings: Mapping[bytes, Standing] = {}

    @property
    def places(self) -> dict[Key, Place]:
        return {self.keys[id_]: Place(row.profile_id, row.proved_at) for id_, row in self.rows.items()}

    @property
    def profiles(self) -> list[bytes]:
        return sorted({row.profile_id for row in self.rows.values()})

    @property
    def judged_profiles(self) -> list[bytes]:
        return sorted({self.rows[id_].profile_id for id_ in self.judged if id_ in self.rows})


class Settled(NamedTuple):
    """Whose messages are: the profile of each, locked, and what is to be noted of it.

    Beside that what has become of profiles: which are new, into which another one went, by its advertiser, and which
    kinds of identifiers each (by advertiser and id) has got or lost.
    """

    profiles: list[bytes]
    notes: list[Notes]
    made: frozenset[bytes]
    merged: Mapping[bytes, int]
    identified: Mapping[tuple[int, bytes], frozenset[str]]


def locate(messages: Sequence[Message]) -> Statement:
    """Return the statement that looks the identifiers of messages up, for `settle`. It locks nothing."""
    return _LOCATE(uuids(list({key.id: None for message in messages for key in _keys_of(message)})))


def settle(messages: Sequence[Message], located: Rows) -> Talk[Settled]:
    """Find out whose messages are; `located` are the rows of `locate`, of these messages at least.

    Raises `ProfileGone` where somebody else changes meanwhile whose they are.
    """
    now = max(message.received_at for message in messages)
    found = yield from _find(messages, located)
    resolver = Resolver(found.places, found.standings, most_identifiers=settings.MUSTER_IDENTIFIERS_PER_PROFILE)
    whose, notes = zip(*[resolver.resolve(message) for message in messages], strict=True)
    yield from _write(resolver, found, now)
    profiles = [resolver.find(profile) for profile in whose]
    _alarm([profile for profile, noted in zip(profiles, notes, strict=True) if SHARED in noted])
    merged = set(resolver.merges().values())
    return Settled(
        profiles,
        list(notes),
        frozenset(resolver.find(profile) for profile in resolver.new_profiles),
        {
            profile: message.advertiser_id
            for profile, message in zip(profiles, messages, strict=True)
            if profile in merged
        },
        _identified(resolver),
    )


def _identified(resolver: Resolver) -> dict[tuple[int, bytes], frozenset[str]]:
    """Return which kinds of identifiers profiles have got or lost, by merges aside."""
    kinds: dict[tuple[int, bytes], set[str]] = defaultdict(set)
    for key in {*resolver.new_keys, *resolver.moved}:
        kinds[key.advertiser_id, resolver.find(resolver.places[key].profile_id)].add(key.kind)
    for key, whence in resolver.moved.items():
        kinds[key.advertiser_id, resolver.find(whence)].add(key.kind)
    return {profile: frozenset(some) for profile, some in kinds.items()}


def _alarm(crowded: Sequence[bytes]) -> None:
    """Say that identifiers were refused because so many share one."""
    for profile in {*crowded}:
        log.warning("shared_identifier", profile=str(UUID(bytes=profile)))
    if crowded:
        metrics.count_shared_identifiers(len(crowded))


def _find(messages: Sequence[Message], located: Rows) -> Talk[Found]:
    """Sort out what is known, and look up how profiles stand. Nothing is locked."""
    keys: dict[bytes, Key] = {}
    judged: set[bytes] = set()
    for message in messages:
        some = {key.id: key for key in _keys_of(message)}
        keys |= some
        if message.linked or message.proven or message.previous is not None:
            judged |= some.keys()
    rows = {row[0]: Located._make(row[1:]) for row in located if row[0] in keys}
    found = Found(keys, sorted(judged), rows)
    if not (profiles := found.judged_profiles):
        return found
    (standings,) = yield [_STANDINGS(uuids(profiles), uuids([]))]
    return found._replace(standings=_standings(standings))


def _keys_of(message: Message) -> list[Key]:
    alone = [key for key in (message.own, message.previous) if key is not None]
    return [*alone, *message.linked, *message.proven]


def _standings(rows: Rows) -> dict[bytes, Standing]:
    return {profile: Standing(identifiers, customers) for profile, identifiers, customers in rows}


def _write(resolver: Resolver, found: Found, now: Instant) -> Talk[None]:
    """Lock everybody, and write what was resolved: identifiers, profiles, merges."""
    owners = {resolver.find(place.profile_id): key.advertiser_id for key, place in resolver.places.items()}
    made = sorted(resolver.new_keys, key=lambda key: key.id)
    makes = [_make_identifiers(made, resolver, now)] if made else []
    judged = []
    if found.judged:
        new = uuids([key.id for key in made])
        judged = [_LOCATE(uuids(found.judged)), _STANDINGS(uuids(found.judged_profiles), new)]
    answers = yield [*makes, _LOCK(uuids(found.profiles)), *judged]
    if not made:
        answers = [[], *answers]
    seen = _check(found, resolver, *answers)
    fresh = sorted({*resolver.new_profiles} & {*owners})
    if fresh:
        times = instants([resolver.new_profiles[profile] for profile in fresh])
        nows = instants([now] * len(fresh))
        yield [_MAKE_PROFILES(uuids(fresh), bigints([owners[profile] for profile in fresh]), times, nows)]
    merges = resolver.merges()
    yield from merge([Pair(owners[into], gone, into) for gone, into in merges.items()], now)
    yield _changes(resolver, found, seen, now)


def _make_identifiers(made: Sequence[Key], resolver: Resolver, now: Instant) -> Statement:
    times = instants([now] * len(made))
    return _MAKE_IDENTIFIERS(
        uuids([key.id for key in made]),
        bigints([key.advertiser_id for key in made]),
        texts([key.kind for key in made]),
        texts([key.value for key in made]),
        uuids([resolver.find(resolver.places[key].profile_id) for key in made]),
        times,
        times,
    )


def _check(
    found: Found,
    resolver: Resolver,
    made: Rows,
    locked: Rows,
    located: Rows | None = None,
    standings: Rows | None = None,
) -> dict[bytes, Instant]:
    """Return when the profiles were seen last; raise `ProfileGone` where the locks find other facts than before.

    An identifier leads where it did as long as its profile is there and has lost none since.
    """
    new = {key.id for key in resolver.new_keys}
    owners = {profile: (advertiser, losses) for profile, advertiser, _, losses in locked}
    are_there = all(
        owners.get(row.profile_id) == (found.keys[id_].advertiser_id, row.losses) for id_, row in found.rows.items()
    )
    proved = {id_: proved_at for id_, _, _, proved_at, _ in located or () if id_ not in new}
    then_proved = {id_: found.rows[id_].proved_at for id_ in found.judged if id_ in found.rows}
    is_same = len(made) == len(new) and proved == then_proved and _standings(standings or []) == found.standings
    if not is_same or not are_there:
        raise ProfileGone(list(found.keys.values()))
    return {profile: seen_at for profile, _, seen_at, _ in locked}


def _changes(resolver: Resolver, found: Found, seen: Mapping[bytes, Instant], now: Instant) -> list[Statement]:
    """Return the statements that change identifiers and profiles which were there before, or were proved."""
    since = now - SEEN_PRECISION
    changed = {*resolver.proved, *(key for key in resolver.moved if key.id in found.rows)}
    changed |= {found.keys[id_] for id_, row in found.rows.items() if row.seen_at < since}
    statements = []
    if changed:
        keys = sorted(changed, key=lambda key: key.id)
        places = [resolver.places[key] for key in keys]
        statements.append(
            _CHANGE_IDENTIFIERS(
                uuids([key.id for key in keys]),
                uuids([resolver.find(place.profile_id) for place in places]),
                instants([now] * len(keys)),
                instants([place.proved_at for place in places]),
            )
        )
    losers = [resolver.find(whence) for key, whence in resolver.moved.items() if key.id in found.rows]
    unseen = {resolver.find(profile) for profile, seen_at in seen.items() if seen_at < since}
    touched = sorted((unseen | {*losers}) - {*resolver.new_profiles})
    if touched:
        losses = integers([losers.count(profile) for profile in touched])
        statements.append(_CHANGE_PROFILES(uuids(touched), instants([now] * len(touched)), losses))
    return statements
