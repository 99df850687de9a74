"""Crowds of people who have done things, made in the database: profiles, and their events in the order of time."""

from datetime import datetime, timedelta

from django.db import connection

from audience.models import Advertiser
from audience.partitions import make_partitions

DAYS = 60
# How many events of a hundred have which name.
NAMES = {"view": 60, "search": 20, "cart": 15, "buy": 5}


def make_advertiser(name: str) -> Advertiser:
    return Advertiser.objects.create(name=name, domains=["shop.example"], page_origins=["https://shop.example"])


def add(advertiser_id: int, *, profiles: int, events: int, until: datetime) -> None:
    """Make profiles who have so many events in all, over the last 60 days, with anybody's beside anybody else's.

    The indexes are made when the rows are there: that takes a third of the time.
    """
    names = [name for name, share in NAMES.items() for _ in range(share)]
    parameters = {"owner": advertiser_id, "profiles": profiles, "events": events, "names": names}
    parameters |= {"from": until - timedelta(days=DAYS), "step": timedelta(days=DAYS) / events}
    with connection.cursor() as cursor:
        cursor.execute(_MAKE_PROFILES, parameters)
        _make_partitions(advertiser_id, until)
        cursor.execute("ALTER TABLE audience_event DROP CONSTRAINT audience_event_pkey")
        cursor.execute("DROP INDEX event_of_profile")
        cursor.execute(_MAKE_EVENTS, parameters)
        cursor.execute("ALTER TABLE audience_event ADD PRIMARY KEY (profile_id, occurred_at, id)")
        cursor.execute("CREATE INDEX event_of_profile ON audience_event (profile_id, name, occurred_at DESC)")
    _look_at_tables()


def add_one_event_each(advertiser_id: int, *, profiles: int, name: str, at: datetime, every: timedelta) -> None:
    """Make profiles who have an event each, one so long after the other."""
    parameters = {"owner": advertiser_id, "profiles": profiles, "name": name, "from": at, "step": every}
    with connection.cursor() as cursor:
        cursor.execute(_MAKE_PROFILES, parameters)
        cursor.execute(_MAKE_ONE_EACH, parameters)
    _look_at_tables()


def add_events(advertiser_id: int, profile_id: bytes, *, events: int, name: str, until: datetime) -> None:
    """Give one profile so many events, over the last days."""
    parameters = {"owner": advertiser_id, "profile": profile_id.hex(), "events": events, "name": name, "until": until}
    with connection.cursor() as cursor:
        cursor.execute(_MAKE_MANY, parameters | {"step": timedelta(days=6) / events})
        cursor.execute("VACUUM ANALYZE audience_event")


def _look_at_tables() -> None:
    with connection.cursor() as cursor:
        for table in ("audience_profile", "audience_event"):
            cursor.execute(f"VACUUM ANALYZE {table}")


def _make_partitions(advertiser_id: int, until: datetime) -> None:
    """Let there be a partition for each month, as after a late event."""
    with connection.cursor() as cursor:
        for days in range(0, DAYS + 1, 15):
            cursor.execute(_MAKE_EVENT, {"owner": advertiser_id, "at": until - timedelta(days=days)})
    make_partitions(until)


_PROFILE = "(lpad(to_hex({n}), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(%(owner)s), 12, '0'))::uuid"
_INTO_EVENTS = """
    INSERT INTO audience_event (id, advertiser_id, profile_id, name, occurred_at, received_at, properties, context)
"""
_MAKE_PROFILES = f"""
    INSERT INTO audience_profile (id, advertiser_id, first_seen_at, last_seen_at)
    SELECT {_PROFILE.format(n="n")}, %(owner)s, %(from)s, %(from)s FROM generate_series(1, %(profiles)s) n
"""
_MAKE_EVENTS = f"""
    {_INTO_EVENTS} SELECT gen_random_uuid(), %(owner)s,
        {_PROFILE.format(n="1 + floor(random() * %(profiles)s)::int")},
        (%(names)s::text[])[1 + floor(random() * 100)::int], at, at, '{{"total": 65, "currency": "EUR"}}',
        '{{"page": {{"path": "/cart"}}}}'
    FROM generate_series(1, %(events)s) n CROSS JOIN LATERAL (SELECT %(from)s + n * %(step)s::interval AS at) a
"""
_MAKE_ONE_EACH = f"""
    {_INTO_EVENTS} SELECT gen_random_uuid(), %(owner)s, {_PROFILE.format(n="n")}, %(name)s, at, at, '{{}}', '{{}}'
    FROM generate_series(1, %(profiles)s) n CROSS JOIN LATERAL (SELECT %(from)s + n * %(step)s::interval AS at) a
"""
_MAKE_MANY = f"""
    {_INTO_EVENTS} SELECT gen_random_uuid(), %(owner)s, %(profile)s::uuid, %(name)s, at, at, '{{}}', '{{}}'
    FROM generate_series(1, %(events)s) n CROSS JOIN LATERAL (SELECT %(until)s - n * %(step)s::interval AS at) a
"""
_MAKE_EVENT = f"""
    {_INTO_EVENTS} VALUES (gen_random_uuid(), %(owner)s, gen_random_uuid(), 'first', %(at)s, %(at)s, '{{}}', '{{}}')
"""
