"""Take identifiers from their profiles: what nobody may keep any more leads nowhere from now on.

The profile stays, with whatever else leads to it.
"""

from collections.abc import Collection

from audience.columns import uuids
from audience.identity import Key, find_or_make
from audience.instants import Instant
from audience.talk import Talk, writes

# A door that remembers the identifier finds by `losses` that it has gone.
_UNLINK = writes(
    """
    WITH gone AS (
        DELETE FROM audience_identifier WHERE id = ANY(%s::uuid[]) RETURNING profile_id
    )
    UPDATE audience_profile p SET losses = p.losses + g.identifiers
    FROM (SELECT profile_id, count(*)::int AS identifiers FROM gone GROUP BY profile_id) g WHERE p.id = g.profile_id
    """
)


def unlink(keys: Collection[Key], at: Instant) -> Talk[dict[Key, bytes]]:
    """Delete identifiers; return the profiles that they led to, locked. What is not known is left out."""
    profiles = yield from find_or_make(keys, at, makes=lambda _: False)
    if profiles:
        yield [_UNLINK(uuids(sorted(key.id for key in profiles)))]
    return profiles
