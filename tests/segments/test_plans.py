"""The plans that hot statements need: the index is named here, so that a change that loses it fails."""

import json
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection

from audience import (
    accounts,
    activity,
    attribute_names,
    attributes,
    cart,
    consents,
    identity,
    merging,
    repeats,
    settling,
    timeline,
)
from audience.columns import batch_cursor, bigints, instants, integers, uuids
from audience.instants import instant
from audience.tenancy import acting_for
from audience.timeline import Mark
from pixels import batch
from pixels.commits import SESSION_OPTIONS
from pixels.messages import ownsegments
from segments import building, changes, counts, evaluation, outlook, renewals, sweeper
from segments import merging as membership_merging
from segments.membership import holds
from segments.models import Membership, Transition
from segments.rules.reading.rules import read as read_rule
from segments.rules.timeline import StoredSegment, Surroundings, compile_rule
from tests.emptying import forget_what_vacuum_saw
from tests.factories import NOON, make_advertiser, make_segment
from tests.segments.rules.asking import rule_text

pytestmark = pytest.mark.django_db(transaction=True)
PROFILES = 20_000
SOMEBODY = bytes(range(16))


@pytest.fixture
def segment():
    """A segment with 20,000 members, a few of whom are due."""
    forget_what_vacuum_saw()
    segment = make_segment(make_advertiser())
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audience_profile (id, advertiser_id, first_seen_at, last_seen_at)"
            " SELECT gen_random_uuid(), %s, %s, %s FROM generate_series(1, %s)",
            [segment.advertiser_id, NOON, NOON, PROFILES],
        )
        cursor.execute(
            "INSERT INTO audience_identifier"
            " SELECT gen_random_uuid(), 'browser', id::text, %s, %s, advertiser_id, id FROM audience_profile",
            [NOON, NOON],
        )
        cursor.execute(
            "INSERT INTO segments_membership (advertiser_id, profile_id, segment_id, version, starts_at, expires_at,"
            " last_added_at, decided_at, sweep_at) SELECT advertiser_id, id, %s, 1, %s, %s, %s, %s,"
            " %s + random() * interval '30 days' FROM audience_profile",
            [segment.pk, NOON, NOON + timedelta(days=30), NOON, NOON, NOON],
        )
        cursor.execute(
            "INSERT INTO audience_event (id, advertiser_id, profile_id, name, occurred_at, received_at, properties,"
            " context) SELECT gen_random_uuid(), advertiser_id, id, (ARRAY['page', 'purchase'])[1 + n %% 2],"
            " %s - n * interval '1 day', %s, '{}', '{}' FROM audience_profile, generate_series(0, 3) n",
            [NOON, NOON],
        )
        cursor.execute(
            "ANALYZE audience_profile; ANALYZE audience_identifier; ANALYZE segments_membership;"
            " ANALYZE audience_event"
        )
    return segment


def scans(statement, parameters, *, as_the_door=False):
    """Return the (table, index) pairs that PostgreSQL's plan reads; a table without index stands with None."""
    found = nodes(statement, parameters, as_the_door=as_the_door)
    return {(node["Relation Name"], node.get("Index Name")) for node in found if "Relation Name" in node}


def nodes(statement, parameters, *, as_the_door=False):
    """Return the nodes of PostgreSQL's plan."""
    with batch_cursor(connection.connection) as cursor:
        if as_the_door:
            for option in SESSION_OPTIONS.split("-c ")[1:]:
                cursor.execute(f"SET {option.strip().replace('=', ' = ')}")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
        (plan,) = cursor.fetchone()
        cursor.execute("RESET ALL")
    return list(_walk((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))


def _walk(node):
    yield node
    for child in node.get("Plans", []):
        yield from _walk(child)


def test_a_batch_reads_memberships_by_key(segment):
    keys = [uuids([SOMEBODY] * 3), bigints([segment.pk] * 3), integers([1] * 3)]
    ((table, index),) = scans(changes._READ.sql, keys, as_the_door=True)
    # Both hold the whole key; which of the two is taken makes no difference.
    assert table == "segments_membership"
    assert index in ("segments_membership_pkey", "membership_of_segment")


def test_a_batch_renews_memberships_by_key(segment):
    keys = [uuids([SOMEBODY] * 3), bigints([segment.pk] * 3), integers([1] * 3)]
    times, values = instants([instant(NOON)] * 3), integers([None] * 3)
    found = scans(renewals._RENEW.sql, [*keys, times, times, values, integers([0] * 3), 3], as_the_door=True)
    assert found <= {
        ("segments_membership", None),  # what is written
        ("segments_membership", "segments_membership_pkey"),
        ("segments_membership", "membership_of_segment"),
        ("audience_profile", "audience_profile_pkey"),
    }
    assert len(found) == 3


def test_a_batch_locks_the_rows_that_it_renews_by_key(segment):
    keys = [uuids([SOMEBODY] * 3), bigints([segment.pk] * 3), integers([1] * 3)]
    ((table, index),) = scans(renewals._LOCK.sql, keys, as_the_door=True)
    assert table == "segments_membership"
    assert index in ("segments_membership_pkey", "membership_of_segment")


def test_a_batch_finds_people_by_the_key_of_the_identifier(segment):
    found = scans(identity._LOCATE.sql, [uuids([SOMEBODY] * 3)], as_the_door=True)
    assert found == {("audience_identifier", "audience_identifier_pkey")}


def test_fires_that_may_be_stored_already_are_looked_up_by_key(segment):
    times = instants([instant(NOON)] * 3)
    found = scans(
        batch._STORED.sql,
        [bigints([1] * 3), times, uuids([SOMEBODY] * 3), times, uuids([SOMEBODY] * 3)],
        as_the_door=True,
    )
    # Each partition by its key; at run time all but one are left out.
    assert {table.rstrip("0123456789_") for table, _ in found} >= {"pixels_fire", "pixels_factid"}
    assert [table for table, index in found if index != f"{table}_pkey"] == []


def test_a_batch_locks_people_by_key(segment):
    found = scans(identity._LOCK.sql, [uuids([SOMEBODY] * 3)], as_the_door=True)
    assert found == {("audience_profile", "audience_profile_pkey")}


def test_answers_of_rules_find_their_rows_by_key(segment):
    keys = [
        uuids([SOMEBODY] * 3),
        bigints([segment.pk] * 3),
        integers([1] * 3),
        "{fact,fact,fact}",
        "{NULL,NULL,NULL}",
        "{NULL,NULL,NULL}",
        '{"{}","{}","{}"}',
        "{NULL,NULL,NULL}",
    ]
    found = scans(evaluation._BRING["profile"].sql, [NOON.isoformat(), *keys, NOON.isoformat()], as_the_door=True)
    read = {(table, index) for table, index in found if index is not None}
    assert {table for table, _ in read} >= {"segments_membership", "segments_ruleversion", "segments_segment"}
    assert ("segments_ruleversion", None) not in found
    assert ("segments_segment", None) not in found


def test_a_build_reads_people_in_the_order_of_their_key(segment):
    found = scans(building._CHUNK, [segment.advertiser_id, UUID(int=0), 2_000])
    assert found == {("audience_profile", "audience_profile_pkey")}


def test_the_sweeper_finds_what_is_due_by_its_index(segment):
    found = scans(sweeper._LOCK_DUE, {"at": NOON + timedelta(minutes=1), "most": 1000})
    assert ("segments_membership", "membership_due") in found
    assert ("segments_membership", None) not in found


def test_a_size_reads_what_is_overdue_and_never_the_members(segment):
    found = scans(counts._SIZES, {"ids": [segment.pk], "at": NOON + timedelta(minutes=1)})
    assert {index for table, index in found if table == "segments_membership"} == {"membership_due"}


def test_members_are_read_in_the_order_of_their_key(segment):
    with acting_for(segment.advertiser_id):
        rows = Membership.objects.filter(holds(NOON), segment=segment, version=1).order_by("profile_id")[:100]
        statement, parameters = rows.query.sql_with_params()
    assert ("segments_membership", None) not in scans(statement, parameters)


def test_pages_read_the_memberships_of_their_profiles_by_key(segment):
    at = (NOON + timedelta(minutes=1)).isoformat()
    found = scans(ownsegments.HELD, [uuids([SOMEBODY] * 3), [at] * 3, [""] * 3], as_the_door=True)
    assert ("audience_identifier", "audience_identifier_pkey") in found
    assert ("segments_membership", "segments_membership_pkey") in found
    assert None not in {index for _, index in found}


def test_a_refire_is_a_hot_update(segment):
    """Nothing that a re-fire changes stands in an index: `expires_at` in one made every re-fire non-HOT."""
    hot = {"value", "expires_at", "last_added_at", "decided_at", "starts_at"}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
            " AND a.attnum = ANY(i.indkey) WHERE i.indrelid = 'segments_membership'::regclass"
        )
        indexed = {name for (name,) in cursor.fetchall()}
    assert not hot & indexed


def test_a_rule_reads_a_profiles_newest_events_of_a_name_in_their_order(segment):
    """However long the history is: n entries of one index, newest first, and no sort."""
    newest = (
        "SELECT e.occurred_at FROM unnest(%s::uuid[]) AS k(profile_id) CROSS JOIN LATERAL ("
        " SELECT occurred_at FROM audience_event e WHERE e.profile_id = k.profile_id AND e.name = 'purchase'"
        " ORDER BY occurred_at DESC LIMIT 3) e"
    )
    found = nodes(newest, [uuids([SOMEBODY] * 3)], as_the_door=True)
    by = {node.get("Index Name") for node in found if node.get("Relation Name", "").startswith("audience_event")}
    assert by
    assert all(index and "profile_id_name_occurred_at" in index for index in by), by
    assert "Sort" not in {node["Node Type"] for node in found}


@pytest.mark.parametrize("before", [None, Mark(NOON - timedelta(days=1), UUID(int=7))])
def test_a_page_of_a_timeline_reads_the_primary_key_backwards(segment, before):
    """However long the history is: the key's range of one profile, no sort, and no partition after the mark."""
    with acting_for(segment.advertiser_id), timeline.in_key_order():
        newest = timeline.events_of(UUID(bytes=SOMEBODY), before)[: timeline.ENTRIES_OF_A_PAGE]
        statement, parameters = newest.query.sql_with_params()
        found = nodes(statement, parameters)
    reads = [node for node in found if node.get("Relation Name", "").startswith("audience_event")]
    assert reads
    for node in reads:
        assert (node["Node Type"], node["Scan Direction"]) == ("Index Scan", "Backward"), node
        assert node["Index Name"].endswith("_pkey")
        assert before is None or "ROW(profile_id, occurred_at, id) < ROW(" in node["Index Cond"]
    assert "Sort" not in {node["Node Type"] for node in found}


def test_pooled_activity_reads_a_range_of_the_key_for_each_person(segment):
    values = {"profiles": [UUID(bytes=SOMEBODY)] * 3, "advertiser": segment.advertiser_id, "events": 50}
    with timeline.in_key_order():
        found = nodes(activity._NEWEST, values)
    reads = [node for node in found if node.get("Relation Name", "").startswith("audience_event")]
    assert reads
    assert {(node["Node Type"], node.get("Scan Direction")) for node in reads} == {("Index Scan", "Backward")}


def test_the_transitions_of_a_timeline_are_read_by_the_primary_key(segment):
    with acting_for(segment.advertiser_id):
        rows = Transition.objects.filter(profile_id=UUID(bytes=SOMEBODY), at__lte=NOON).order_by("-at")[:51]
        found = nodes(*rows.query.sql_with_params())
    reads = [node for node in found if node.get("Relation Name", "").startswith("segments_transition")]
    assert [node for node in reads if node["Node Type"] == "Seq Scan"] == []


def test_what_comes_after_a_transition_is_read_by_key(segment):
    asked = [uuids([SOMEBODY] * 3), bigints([segment.pk] * 3), instants([instant(NOON)] * 3), ["join"] * 3]
    found = scans(outlook._AHEAD, asked, as_the_door=True)
    assert ("segments_membership", "segments_membership_pkey") in found
    assert None not in {index for _, index in found}


def test_who_has_left_another_segment_is_read_by_the_key_of_transitions(segment):
    around = Surroundings(segments={"cart": StoredSegment(segment.pk, 1)})
    node = {"segment": "cart", "left": {"within": "7d"}}
    compiled = compile_rule(read_rule(rule_text(node)).rule, around)
    statement = f"SELECT {compiled.sql} FROM unnest(%s::uuid[]) AS s(profile_id)"
    found = nodes(statement, [*compiled.values(NOON), uuids([SOMEBODY] * 3)], as_the_door=True)
    reads = [node for node in found if node.get("Relation Name", "").startswith("segments_")]
    assert reads
    assert [node for node in reads if node["Node Type"] == "Seq Scan"] == []


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        (repeats._REMEMBER, "utt"),
        (settling._LOCATE, "u"),
        (settling._LOCK, "u"),
        (settling._STANDINGS, "uu"),
        (settling._CHANGE_IDENTIFIERS, "uutt"),
        (settling._CHANGE_PROFILES, "uti"),
        (attributes.OF_PROFILES.read, "ux"),
        (attributes.OF_ACCOUNTS.read, "ux"),
        (attributes._ALL_OF_PROFILES, "u"),
        (cart._READ, "u"),
        (attribute_names._KNOWN, "bxx"),
        (accounts._LOCK, "u"),
        (merging._MOVE_IDENTIFIERS, "uu"),
        (merging._MOVE_EVENTS, "uu"),
        (merging._MOVE_ACCOUNTS, "uu"),
        (merging._MOVE_PROFILES, "uu"),
        (consents.MOVE, "uu"),
        (membership_merging._READ, "u"),
        (membership_merging._READ_TRANSITIONS, "u"),
        (membership_merging._MOVE_TRANSITIONS, "ubxtut"),
    ],
)
def test_a_batch_of_messages_reads_no_table_from_end_to_end(segment, template, columns):
    values = {
        "u": uuids([SOMEBODY] * 3),
        "t": instants([instant(NOON)] * 3),
        "i": integers([1] * 3),
        "b": bigints([1] * 3),
        "x": "{a,b,c}",
    }
    found = nodes(template.sql, [values[column] for column in columns], as_the_door=True)
    assert [node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"] == []
