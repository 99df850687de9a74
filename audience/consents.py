"""To what a profile has consented: of each purpose the state that was said for the newest time.

At one time a no counts before a yes, in whichever order they come.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from audience.columns import bigints, instants, texts, uuids
from audience.instants import Instant
from audience.news import Changed, Happened, tell
from audience.talk import Talk, writes


class Said(NamedTuple):
    """A consent to a purpose that was granted or denied, `until` an end or for good."""

    advertiser_id: int
    profile_id: bytes
    purpose: str
    state: Literal["granted", "denied"]
    since: Instant
    until: Instant | None = None


# Both lead to the same row from any order: "denied" comes before "granted".
_NEWEST = """
    ON CONFLICT (profile_id, purpose) DO UPDATE
    SET state = excluded.state, since = excluded.since, until = excluded.until
    WHERE c.since < excluded.since OR (c.since = excluded.since AND c.state > excluded.state)
"""
_PUT = writes(
    f"""
    INSERT INTO audience_consent AS c (advertiser_id, profile_id, purpose, state, since, until)
    SELECT DISTINCT ON (profile_id, purpose) advertiser_id, profile_id, purpose, state, since, until
    FROM unnest(%s::bigint[], %s::uuid[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
        AS s (advertiser_id, profile_id, purpose, state, since, until)
    ORDER BY profile_id, purpose, since DESC, state {_NEWEST}
    """  # noqa: S608 -- texts of ours
)
MOVE = writes(
    f"""
    WITH moved AS (
        DELETE FROM audience_consent c USING unnest(%s::uuid[], %s::uuid[]) AS k(gone, into_id)
        WHERE c.profile_id = k.gone
        RETURNING c.advertiser_id, k.into_id, c.purpose, c.state, c.since, c.until
    )
    INSERT INTO audience_consent AS c (advertiser_id, profile_id, purpose, state, since, until)
    SELECT DISTINCT ON (into_id, purpose) * FROM moved ORDER BY into_id, purpose, since DESC, state {_NEWEST}
    """  # noqa: S608 -- texts of ours
)


def put(said: Sequence[Said], at: Instant) -> Talk[None]:
    """Keep what was said by an instant. The caller holds the locks of the profiles."""
    if said:
        yield [
            _PUT(
                bigints([one.advertiser_id for one in said]),
                uuids([one.profile_id for one in said]),
                texts([one.purpose for one in said]),
                texts([one.state for one in said]),
                instants([one.since for one in said]),
                instants([one.until for one in said]),
            )
        ]
        changed = [Changed(one.advertiser_id, one.profile_id, purposes=[one.purpose]) for one in said]
        yield from tell(Happened(at, changed=changed))
