"""Passers-by: browsers that came once, are in no segment, and need not be remembered."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from audience.crash import crash_point

PASSER_BY_AGE = timedelta(days=30)
BATCH_PROFILES = 5_000

# Read by the primary key, batch after batch. Whoever was seen within one hour only, has no identifier but a browser
# id, and whose memberships are over and published.
_PASSERS_BY = """
    SELECT p.id FROM audience_profile p
    WHERE p.id > %(after)s AND p.last_seen_at < %(before)s
        AND p.last_seen_at - p.first_seen_at < interval '1 hour'
        AND NOT EXISTS (SELECT FROM audience_identifier i WHERE i.profile_id = p.id AND i.kind <> 'browser')
        AND NOT EXISTS (
            SELECT FROM segments_membership m
            WHERE m.profile_id = p.id AND (m.expires_at > %(now)s OR m.sweep_at IS NOT NULL)
        )
    ORDER BY p.id LIMIT %(most)s FOR UPDATE SKIP LOCKED
"""
_FORGET = (
    "DELETE FROM segments_membership WHERE profile_id = ANY(%s::uuid[])",
    "DELETE FROM segments_transition WHERE profile_id = ANY(%s::uuid[])",
    "DELETE FROM audience_event WHERE profile_id = ANY(%s::uuid[])",
    "DELETE FROM audience_attribute WHERE profile_id = ANY(%s::uuid[])",
    "DELETE FROM audience_consent WHERE profile_id = ANY(%s::uuid[])",
    "DELETE FROM audience_touch WHERE profile_id = ANY(%s::uuid[])",
    """
    WITH parted AS (DELETE FROM audience_accountmember WHERE profile_id = ANY(%s::uuid[]) RETURNING *)
    INSERT INTO segments_waitingaccount (advertiser_id, account_id, cause)
    SELECT DISTINCT advertiser_id, account_id, 'fact' FROM parted
    """,
    "DELETE FROM audience_merge WHERE into_id = ANY(%s::uuid[])",
    "DELETE FROM audience_identifier WHERE profile_id = ANY(%s::uuid[])",
    "DELETE FROM audience_profile WHERE id = ANY(%s::uuid[])",
)


def forget_passers_by(now: datetime | None = None) -> int:
    """Remove the passers-by of more than 30 days ago; return how many. Counts of segments stay as they were."""
    now = now or timezone.now()
    forgotten, after = 0, UUID(int=0)
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            bounds: dict[str, Any] = {
                "after": after,
                "before": now - PASSER_BY_AGE,
                "now": now,
                "most": BATCH_PROFILES,
            }
            cursor.execute(_PASSERS_BY, bounds)
            profiles = [profile for (profile,) in cursor.fetchall()]
            for statement in _FORGET if profiles else ():
                cursor.execute(statement, [profiles])
            crash_point("retention.dropped")
        forgotten += len(profiles)
        if len(profiles) < BATCH_PROFILES:
            return forgotten
        after = profiles[-1]
