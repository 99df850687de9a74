"""Companies, and who belongs to them."""

from collections.abc import Sequence
from typing import NamedTuple

from audience.columns import bigints, instants, texts, uuids
from audience.identity import SEEN_PRECISION, identifier_id
from audience.instants import Instant
from audience.talk import Talk, reads, writes

LONGEST_KEY = 320


class Seen(NamedTuple):
    """An account that something was said of, at an instant."""

    advertiser_id: int
    key: str
    at: Instant

    @property
    def account_id(self) -> bytes:
        return account_id(self.advertiser_id, self.key)


class Belonging(NamedTuple):
    """A profile belongs to an account since an instant; what said so came at another."""

    advertiser_id: int
    key: str
    profile_id: bytes
    since: Instant
    received_at: Instant

    @property
    def account_id(self) -> bytes:
        return account_id(self.advertiser_id, self.key)


def account_id(advertiser_id: int, key: str) -> bytes:
    """Return the primary key of an account, the 16 bytes of a UUID."""
    return identifier_id(advertiser_id, "account", key)


# The rows are the locks of what belongs to accounts; taken after those of the profiles, in the order of the ids.
_MAKE = reads(
    """
    INSERT INTO audience_account (id, advertiser_id, key, first_seen_at, last_seen_at)
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::timestamptz[], %s::timestamptz[])
    ON CONFLICT (id) DO NOTHING RETURNING id
    """
)
_LOCK = reads(
    "SELECT id, last_seen_at FROM audience_account WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE"
)
_SEE = writes(
    """
    UPDATE audience_account a SET last_seen_at = s.at FROM unnest(%s::uuid[], %s::timestamptz[]) AS s(id, at)
    WHERE a.id = s.id
    """
)
_JOIN = writes(
    """
    INSERT INTO audience_accountmember AS m (advertiser_id, profile_id, account_id, since)
    SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[], %s::timestamptz[])
    ON CONFLICT (profile_id, account_id) DO UPDATE SET since = excluded.since WHERE m.since > excluded.since
    """
)
_PART = writes(
    "DELETE FROM audience_accountmember WHERE account_id = (%s::uuid[])[1] AND profile_id = ANY(%s::uuid[])"
)


def meet(seen: Sequence[Seen]) -> Talk[set[bytes]]:
    """Make the accounts where need be, and lock them; return which are new.

    Where profiles are meant, too, those are locked already.
    """
    if not seen:
        return set()
    accounts = {one.account_id: one for one in sorted(seen, key=lambda one: one.at)}
    ids = sorted(accounts)
    newest = [accounts[id_] for id_ in ids]
    times = instants([one.at for one in newest])
    owners = bigints([one.advertiser_id for one in newest])
    make = _MAKE(uuids(ids), owners, texts([one.key for one in newest]), times, times)
    made, rows = yield [make, _LOCK(uuids(ids))]
    unseen = [id_ for id_, seen_at in rows if seen_at < accounts[id_].at - SEEN_PRECISION]
    if unseen:
        yield [_SEE(uuids(unseen), instants([accounts[id_].at for id_ in unseen]))]
    return {id_ for (id_,) in made}


def join(belongings: Sequence[Belonging]) -> Talk[None]:
    """Let profiles belong to accounts, which are made where need be, and lock those. Profiles are locked already."""
    if not belongings:
        return
    yield from meet([Seen(one.advertiser_id, one.key, one.received_at) for one in belongings])
    since: dict[tuple[bytes, bytes], tuple[Instant, int]] = {}
    for one in belongings:
        key = one.profile_id, one.account_id
        told = one.since, one.advertiser_id
        since[key] = min(since.get(key, told), told)
    keys = sorted(since)
    profiles, companies = zip(*keys, strict=True)
    yield [
        _JOIN(
            bigints([since[key][1] for key in keys]),
            uuids(profiles),
            uuids(companies),
            instants([since[key][0] for key in keys]),
        )
    ]


def part(account: bytes, profiles: Sequence[bytes]) -> Talk[None]:
    """Let profiles belong to an account no longer. All of them are locked already."""
    if profiles:
        yield [_PART(uuids([account]), uuids(sorted(profiles)))]
