"""Crowds of people that nobody fires for: profiles with a membership each, made in one statement."""

from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from audience.tenancy import acting_for
from segments.models import Segment

TABLES = ("audience_profile", "audience_identifier", "segments_membership")


def add(advertiser_id: int, code: str, count: int, *, ends_at: datetime | None = None) -> Segment:
    """Make a segment with so many members, each with a customer id; they leave in 30 days, or at one instant."""
    now = timezone.now()
    end = ends_at or now + timedelta(days=30)
    with acting_for(advertiser_id):
        segment = Segment.objects.create(name=code.title(), code=code)
    parameters = {"owner": advertiser_id, "segment": segment.pk, "start": end - timedelta(days=31), "end": end}
    parameters |= {"members": count}
    with connection.cursor() as cursor:
        cursor.execute(_MAKE, parameters)
        for table in TABLES:
            cursor.execute(f"VACUUM ANALYZE {table}")
    return segment


_MAKE = """
    WITH people AS (
        SELECT (lpad(to_hex(n), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(%(segment)s), 12, '0'))::uuid AS id
        FROM generate_series(1, %(members)s) n
    ), profiles AS (
        INSERT INTO audience_profile (id, advertiser_id, first_seen_at, last_seen_at)
        SELECT id, %(owner)s, %(start)s, %(start)s FROM people
    ), identifiers AS (
        INSERT INTO audience_identifier (id, advertiser_id, kind, value, profile_id, first_seen_at, last_seen_at)
        SELECT md5(id::text)::uuid, %(owner)s, 'customer_id', 'C-' || left(id::text, 8) || '-' || %(segment)s, id,
            %(start)s, %(start)s FROM people
    )
    INSERT INTO segments_membership (advertiser_id, profile_id, segment_id, version, starts_at, expires_at, value,
        last_added_at, decided_at, sweep_at)
    SELECT %(owner)s, id, %(segment)s, 1, %(start)s, %(end)s, 65, %(start)s, %(start)s, %(end)s FROM people
"""
