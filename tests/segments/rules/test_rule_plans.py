"""What a condition reads: n entries of one index for each profile, in the partitions of its window alone.

Of each of those partitions the first entry is looked at, to see which is the newest; for each name.
"""

import json
from datetime import timedelta

import pytest
from django.db import connection, transaction

from audience.columns import batch_cursor, uuids
from audience.instants import instant
from audience.models import Event
from audience.partitions import make_partitions
from pixels.commits import SESSION_OPTIONS
from segments.evaluation import AskedOfCrowd, evaluate
from segments.models import Cause, RuleVersion
from segments.rulebook import entry_of
from segments.rules.reading.rules import read
from segments.rules.timeline import Surroundings, compile_rule
from tests.factories import NOON, make_advertiser, make_profile
from tests.segments.ruled import make_ruled

pytestmark = pytest.mark.django_db(transaction=True)
EVENTS = 3_000  # of one profile, one each hour
OTHERS = 500


@pytest.fixture
def somebody():
    """A profile with a long history, among others with a short one."""
    advertiser = make_advertiser()
    profile = make_profile(advertiser)
    insert = (
        "INSERT INTO audience_event (id, advertiser_id, profile_id, name, occurred_at, received_at, properties,"
        " context) SELECT gen_random_uuid(), %s, {profile}, (ARRAY['view', 'buy'])[1 + n %% 2],"
        " %s::timestamptz - n * interval '1 hour', %s, '{{\"total\": 5}}', '{{}}' FROM {series}"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            insert.format(profile=f"'{profile.pk}'::uuid", series=f"generate_series(1, {EVENTS}) n"),
            [advertiser.pk, NOON, NOON],
        )
        cursor.execute(
            insert.format(
                profile="o.id",
                series=f"(SELECT gen_random_uuid() AS id FROM generate_series(1, {OTHERS})) o,"
                " generate_series(1, 6) n",
            ),
            [advertiser.pk, NOON, NOON],
        )
    make_partitions(NOON)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE audience_event")
    return profile


def plan_of(node, profile):
    """Return the nodes of the plan as it was run for one profile, with the settings of the door."""
    compiled = compile_rule(read(json.dumps({"muster_rule": 1, "of": "profile", "rule": node})).rule, Surroundings())
    with batch_cursor(connection.connection) as cursor:
        for option in SESSION_OPTIONS.split("-c ")[1:]:
            cursor.execute(f"SET {option.strip().replace('=', ' = ')}")
        cursor.execute("SET enable_bitmapscan = off")
        cursor.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) SELECT s.profile_id, {compiled.sql}"
            " FROM unnest(%s::uuid[]) AS s(profile_id)",
            [*compiled.values(NOON), f"{{{profile.pk}}}"],
        )
        (plan,) = cursor.fetchone()
        cursor.execute("RESET ALL")
    return list(_walk((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))


def plan_of_crowd(node, advertiser):
    """Return the nodes of the plan as it was run for everybody, with the settings of a build."""
    segment = make_ruled(advertiser, node=node)
    ruled = entry_of(RuleVersion.all_advertisers.get(segment=segment)).ruled
    everybody = sorted(id_.bytes for id_ in Event.all_advertisers.values_list("profile_id", flat=True).distinct())
    talk = evaluate([AskedOfCrowd(ruled, uuids(everybody), Cause.EDIT)], instant(NOON))
    next(talk)  # the lock
    with transaction.atomic(), batch_cursor(connection.connection) as cursor:
        for template, values in talk.send([]):
            cursor.execute(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {template.sql}" if template.does_read else template.sql, values
            )
            if template.does_read:
                (plan,) = cursor.fetchone()
        transaction.set_rollback(True)  # these people have no profiles
    return list(_walk((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))


def _walk(node):
    yield node
    for child in node.get("Plans", []):
        yield from _walk(child)


def reads(nodes):
    """Return the scans of events that were begun, and how many rows they read."""
    scans = [node for node in nodes if node.get("Relation Name", "").startswith("audience_event")]
    begun = [node for node in scans if node["Actual Loops"]]
    return begun, sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in begun
    )


@pytest.mark.parametrize(
    ("node", "most"),
    [
        ({"event": "view"}, 1),
        ({"event": "view", "window": {"within": "60d"}, "count": {"at_least": 3}}, 3),
        ({"event": "view", "window": {"within": "60d"}, "count": {"at_most": 3}}, 4),
        ({"event": "view", "window": {"within": "60d"}, "count": {"between": [2, 5]}}, 2 + 6),
        ({"event": "view", "window": {"more_than_ago": "30d"}, "count": {"at_least": 3}}, 3),
        ({"event": "view", "which": "last", "window": {"more_than_ago": "30d"}}, 1),
        ({"event": "view", "which": "first", "window": {"within": "30d"}}, 1),
        ({"event": ["view", "buy"], "window": {"within": "60d"}, "count": {"at_least": 3}}, 2 * 3),
        ({"event": "view", "where": [{"property": "total", "at_least": 5}], "count": {"at_least": 3}}, 3),
        ({"event": "view", "window": {"within": "2d"}, "sum": {"of": "total", "at_least": 5}}, 24),
        ({"event": "view", "window": {"calendar": "today"}, "distinct": {"of": "total", "at_least": 1}}, 24),
    ],
    ids=str,
)
def test_so_many_entries_are_read(node, most, somebody):
    begun, rows = reads(plan_of(node, somebody))
    assert begun
    assert rows <= most + sum(scan["Actual Loops"] for scan in begun), begun
    assert {scan["Node Type"] for scan in begun} <= {"Index Scan", "Index Only Scan"}
    assert all("profile_id_name_occurred_at" in scan["Index Name"] for scan in begun)


def test_a_crowd_is_read_in_one_walk_along_the_index(somebody):
    """And what was made ahead, or lies before the window, is not begun."""
    nodes = plan_of_crowd(
        {"event": "view", "window": {"within": "20d"}, "count": {"at_least": 3}}, somebody.advertiser
    )
    begun, _ = reads(nodes)
    assert {scan["Node Type"] for scan in begun} <= {"Index Scan", "Index Only Scan"}
    assert {scan["Actual Loops"] for scan in begun} == {1}
    assert {scan["Relation Name"] for scan in begun} <= {
        f"audience_event_{NOON:%Y%m}01",
        f"audience_event_{NOON - timedelta(days=20):%Y%m}01",
    }


def test_partitions_before_the_window_are_left_out(somebody):
    total = {"event": "view", "sum": {"of": "total", "at_least": 5}}
    begun, _ = reads(plan_of({**total, "window": {"within": "2d"}}, somebody))
    oldest = f"{NOON - timedelta(days=2):%Y%m}01"
    assert all(node["Relation Name"] >= f"audience_event_{oldest}" for node in begun)
    everything, _ = reads(plan_of(total, somebody))
    assert len(everything) > len(begun)
