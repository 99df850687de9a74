"""When two profiles become one, memberships are as if one person had been in all the time; the books stay true."""

import random
from datetime import timedelta

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from audience.columns import batch_cursor
from audience.identity import Key, locate
from audience.instants import MINUTE, instant
from audience.merging import Pair, merge
from audience.models import Profile
from audience.talk import speak
from audience.tenancy import acting_for
from segments.counts import days, size
from segments.members import Ask, change_members
from segments.membership import Interval, holds
from segments.merging import unite
from segments.models import Membership, Segment, SegmentDelta, Transition
from segments.recount import differences
from segments.sweeper import sweep
from tests.factories import NOON, make_advertiser, make_segment

pytestmark = pytest.mark.django_db(transaction=True)
START = instant(NOON)
LIFETIME = timedelta(minutes=30)
DEVICES = ("desk", "phone", "tablet")


def minutes(number):
    return NOON + timedelta(minutes=number)


def interval(start, end, *, decided=None, value=None, swept=False):
    """A membership row, its times in minutes after noon."""
    at = START + MINUTE * (start if decided is None else decided)
    end = START + MINUTE * end
    return Interval(START + MINUTE * start, end, value, at if end > at else None, at, None if swept else end)


@pytest.mark.parametrize(
    ("one", "other", "expected", "leaves"),
    [
        pytest.param((0, 30), (10, 40), (0, 40), [("merge", 20)], id="both in: one leaves"),
        pytest.param((0, 10), (15, 45), (15, 45), [("time", 10)], id="one was over: it does not begin earlier"),
        pytest.param((0, 10), (5, 15), (0, 15), [("time", 10), ("time", 15)], id="both are over"),
        pytest.param((0, 15), (5, 15), (0, 15), [("time", 15), ("time", 15)], id="both are over at one instant"),
        pytest.param((0, 50), (0, 10, 10), (0, 10), [("merge", 20)], id="a later remove ends the other's, too"),
        pytest.param((0, 10, 10), (12, 42), (12, 42), [], id="an earlier remove does not"),
        pytest.param((0, 50), (18, 18, 18), (0, 18), [("merge", 20)], id="a remove that met no member"),
    ],
)
def test_two_intervals_become_one(one, other, expected, leaves):
    def row(times):
        *times, decided = times if len(times) == 3 else (*times, None)
        return interval(*times, decided=decided, swept=decided is not None)

    for pair in ((one, other), (other, one)):
        merged, steps = unite([row(times) for times in pair], Segment.ReAdd.REPLACE, START + 20 * MINUTE)
        assert tuple((at - START) // MINUTE for at in merged[:2]) == expected
        found = [(str(step.cause), round((step.at - START) / MINUTE)) for step in steps if step.change == "leave"]
        assert sorted(found) == sorted(leaves)
        assert (merged.sweep_at is None) == (merged.expires_at <= START + 20 * MINUTE)
        assert len({step.at for step in steps}) == len(steps)


@pytest.mark.parametrize(
    ("re_add", "values", "expected"),
    [
        ("replace", (5, 7), 7),
        ("replace", (5, None), 5),
        ("highest", (9, 7), 9),
        ("sum", (5, 7), 12),
        ("sum", (2_147_483_647, 7), 2_147_483_647),
        ("sum", (None, 7), 7),
    ],
)
def test_the_value_is_as_a_re_add_makes_it(re_add, values, expected):
    rows = [interval(start, 40, value=value) for start, value in zip((0, 10), values, strict=True)]
    assert unite(rows, re_add, START + 20 * MINUTE)[0].value == expected


def profile_of(segment, device):
    key = Key(segment.advertiser_id, "device", device)
    with transaction.atomic(), batch_cursor(connection.connection) as cursor:
        found = speak(cursor, locate([key]))
    return found[key].profile_id if key in found else None


def merge_devices(segment, into, *gone, at):
    pairs = [Pair(segment.advertiser_id, profile_of(segment, one), profile_of(segment, into)) for one in gone]
    with transaction.atomic(), batch_cursor(connection.connection) as cursor:
        speak(cursor, merge(pairs, instant(at)))


def tell(segment, *facts):
    """Tell facts `(minute, "add" or "remove", device, value)` in their order."""
    with acting_for(segment.advertiser_id):
        for minute, do, device, value in facts:
            asked = Ask(do, "device", device, value if do == "add" else None, LIFETIME if do == "add" else None)
            change_members(segment, [asked], at=minutes(minute))


def check_books(segment, at):
    """What is counted is what is there, and each profile's transitions tell whether it is in."""
    for _ in ("before the sweep", "after it"):
        # Those of other examples have been swept at other times.
        assert [one for one in differences(at) if f"segment {segment.pk} " in one.what] == []
        sweep(at)
    with acting_for(segment.advertiser_id):
        balance = {}
        for step in Transition.objects.filter(segment=segment):
            balance[step.profile_id] = balance.get(step.profile_id, 0) + (1 if step.change == "join" else -1)
        members = set(Membership.objects.filter(holds(at), segment=segment).values_list("profile_id", flat=True))
    assert {profile for profile, number in balance.items() if number == 1} == members
    assert set(balance.values()) <= {0, 1}


def test_whoever_was_in_twice_is_in_once_and_the_books_know_why():
    segment = make_segment(make_advertiser())
    tell(segment, (0, "add", "phone", 5), (10, "add", "desk", 7), (12, "add", "tablet", 8))
    merge_devices(segment, "desk", "phone", "tablet", at=minutes(20))

    with acting_for(segment.advertiser_id):
        row = Membership.objects.get()
        assert (row.starts_at, row.expires_at, row.value) == (NOON, minutes(42), 8)
        leaves = Transition.objects.filter(change="leave")
        assert {(step.cause, step.profile_id) for step in leaves} == {("merge", row.profile_id)}
        assert leaves.count() == 2
        assert Transition.objects.filter(change="join").count() == 3
    (day,) = days(segment, NOON.date(), NOON.date(), at=minutes(20))
    assert (day.joins, day.leaves, day.size, day.loads) == (3, 2, 1, 3)
    assert size(segment, minutes(41)) == 1
    assert size(segment, minutes(42)) == 0
    check_books(segment, minutes(50))


def test_joins_of_one_instant_stay_as_many_whenever_their_people_become_one():
    segment = make_segment(make_advertiser())
    tell(segment, *((0, "add", device, None) for device in DEVICES))
    merge_devices(segment, "desk", "phone", at=minutes(1))
    merge_devices(segment, "desk", "tablet", at=minutes(2))

    with acting_for(segment.advertiser_id):
        joins = Transition.objects.filter(change="join").order_by("at").values_list("at", flat=True)
        assert list(joins) == [NOON + timedelta(microseconds=number) for number in range(3)]
    check_books(segment, minutes(3))


def test_who_was_in_alone_goes_over_without_a_join_or_a_leave():
    segment = make_segment(make_advertiser())
    tell(segment, (0, "add", "phone", 5))
    tell(make_segment(segment.advertiser, "other"), (1, "add", "desk", None))
    merge_devices(segment, "desk", "phone", at=minutes(20))

    with acting_for(segment.advertiser_id):
        row = Membership.objects.get(segment=segment)
        assert row.profile_id == Profile.objects.get().pk
        step = Transition.objects.get(segment=segment)
        assert (step.profile_id, step.change, step.at) == (row.profile_id, "join", NOON)
        assert SegmentDelta.objects.filter(segment=segment).count() == 1
    check_books(segment, minutes(21))


facts = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "remove"]),
        st.sampled_from(DEVICES),
        st.integers(0, 9),  # always told: a row does not say when its value was
        st.integers(1, 25),  # minutes since the one before
    ),
    min_size=2,
    max_size=7,
)


@pytest.mark.spec("R5")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([("add", "desk", 0, 1), ("add", "phone", 0, 16), ("remove", "desk", 0, 14)], 2, False)
@given(facts, st.integers(0, 7), st.booleans())
def test_merged_early_or_late_the_members_are_the_same(told, merged_after, is_swept):
    """One advertiser's facts come from three devices that become one at some time, the other's from one device."""
    random.seed()  # our ids come from there, and Hypothesis lets each example begin with the same ones
    many, one = (make_segment(make_advertiser()) for _ in range(2))
    for segment in (many, one):  # a remove makes nobody
        everybody = [(0, "add", device, None) for device in DEVICES]
        tell(make_segment(segment.advertiser, "known"), *everybody)
    at = 0
    for number, (do, device, value, pause) in enumerate(told):
        at += pause
        if number == merged_after:
            merge_all(many, minutes(at), is_swept)
        tell(many, (at, do, device, value))
        tell(one, (at, do, "desk", value))
    if merged_after >= len(told):
        merge_all(many, minutes(at), is_swept)

    for later in range(at, at + 40, 7):
        assert size(many, minutes(later)) == size(one, minutes(later))
        rows = [Membership.all_advertisers.filter(holds(minutes(later)), segment=segment) for segment in (many, one)]
        assert [(row.expires_at, row.value) for row in rows[0]] == [(row.expires_at, row.value) for row in rows[1]]
    check_books(many, minutes(at + 60))


def merge_all(segment, at, is_swept):
    """Let all devices become one."""
    if is_swept:
        sweep(at)
    merge_devices(segment, *DEVICES, at=at)
