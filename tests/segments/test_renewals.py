"""Renewals: the same as reading first, whatever other processes have made of a row."""

from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from django.db import connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from audience.columns import batch_cursor
from audience.days import LocalDays
from audience.instants import HOUR, MINUTE, instant
from audience.models import Profile
from audience.talk import speak
from segments import sweeper
from segments.changes import Asked, count_loads, fold, read, rows_of, write
from segments.membership import Change, Interval
from segments.models import Segment
from segments.renewals import Renewals, RowsChanged, lock, renew
from tests.emptying import empty_tables
from tests.factories import NOON, make_advertiser, make_profile, make_segment

pytestmark = pytest.mark.django_db(transaction=True)
DAY = 24 * HOUR
START = instant(NOON)
DAYS = LocalDays({})
ROWS = (
    "SELECT profile_id, starts_at, expires_at, value, last_added_at, decided_at FROM segments_membership ORDER BY 1"
)
STEPS = "SELECT profile_id, at, change, cause FROM segments_transition ORDER BY 1, 2, 3"
NUMBERS = (
    "SELECT day, sum(joins), sum(leaves), sum(loads), sum(daily_uniques), sum(monthly_uniques)"
    " FROM segments_segmentdelta GROUP BY day ORDER BY day"
)


class Desk:
    """A process that changes memberships: it renews where it may, and otherwise reads first."""

    def __init__(self, segment: Segment, most: int = 100) -> None:
        self.segment, self.renewed, self.seconds = segment, 0, 0.0
        self.renewals = Renewals(most, clock=lambda: self.seconds)

    def ask(self, profile: bytes, at: int, do: str = "add", **terms) -> Asked:
        terms = {"lifetime": DAY, **terms} if do == "add" else {}
        return Asked.of(self.segment.advertiser_id, profile, Change(do, self.segment.pk, 1, **terms), START + at)

    def change(self, *asked: Asked) -> None:
        """Apply changes in one transaction, as a batch of the door does."""
        losses = {one.key[0]: 0 for one in asked}
        renewed = self.renewals.of(asked, losses, DAYS)
        with transaction.atomic(), batch_cursor(connection.connection) as cursor:
            rows = speak(cursor, _change(asked, renewed, losses))
        self.renewals.keep(rows)
        self.renewed += len(renewed)

    def insist(self, *asked: Asked) -> None:
        """Do the same; read everything first where another process has changed a row too much."""
        try:
            self.change(*asked)
        except RowsChanged:
            self.renewals.doubt({one.key for one in asked})
            self.change(*asked)


def _change(asked, renewed, losses):
    again = [one for one in asked if one.key in renewed]
    left = [one for one in asked if one.key not in renewed]
    found = []
    if left:
        (found,) = yield [lock(asked), read(left)]
    outcome = fold(rows_of(found), left, DAYS)
    if again:
        count_loads(outcome.tallies, again, DAYS)
        yield [renew(again, losses)]
    yield write(outcome)
    return outcome.rows | renewed


def stored(one: Asked) -> Interval | None:
    with batch_cursor(connection.connection) as cursor:
        cursor.execute(
            "SELECT starts_at, expires_at, value, last_added_at, decided_at, sweep_at FROM segments_membership"
            " WHERE profile_id = %s::uuid AND segment_id = %s",
            [one.key[0].hex(), one.key[1]],
        )
        row = cursor.fetchone()
    return row and Interval._make(row)


def table(query: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def everything() -> list[list[tuple]]:
    return [table(query) for query in (ROWS, STEPS, NUMBERS)]


@pytest.fixture
def advertiser():
    return make_advertiser()


@pytest.fixture
def desk(advertiser):
    return Desk(make_segment(advertiser))


@pytest.fixture
def jo(advertiser):
    return make_profile(advertiser).pk.bytes


@pytest.fixture
def ann(advertiser):
    return make_profile(advertiser).pk.bytes


def test_an_add_to_a_known_member_is_a_renewal(desk, jo, ann):
    desk.change(desk.ask(jo, 0, value=5))
    desk.change(desk.ask(jo, HOUR), desk.ask(ann, HOUR))
    assert desk.renewed == 1
    row = stored(desk.ask(jo, 0))
    assert (row.starts_at, row.expires_at, row.value) == (START, START + HOUR + DAY, 5)


@pytest.mark.parametrize("do", ["add", "remove"])
def test_what_may_be_a_join_or_a_leave_is_none(desk, jo, do):
    desk.change(desk.ask(jo, 0, lifetime=HOUR))
    desk.change(desk.ask(jo, 2 * HOUR if do == "add" else MINUTE, do))
    assert desk.renewed == 0


def test_all_of_a_person_or_nothing(desk, jo):
    """Where one row of a person needs the lock, the others are changed under it."""
    desk.change(desk.ask(jo, 0))
    other = Desk(make_segment(desk.segment.advertiser, "other"))
    asked = [desk.ask(jo, HOUR), other.ask(jo, HOUR)]
    assert desk.renewals.of(asked, {jo: 0}, DAYS) == {}
    assert list(desk.renewals.of(asked[:1], {jo: 0}, DAYS)) == [asked[0].key]
    assert desk.renewals.of(asked[:1], {}, DAYS) == {}, "nobody has seen under a lock who it is"


def test_what_depends_on_the_row_is_none(desk, jo):
    """The first add of a day counts a person, and a sum needs its other part."""
    desk.change(desk.ask(jo, 0, value=5))
    desk.change(desk.ask(jo, HOUR, value=7, re_add=Segment.ReAdd.SUM))
    desk.change(desk.ask(jo, 14 * HOUR))
    assert desk.renewed == 0
    assert stored(desk.ask(jo, 0)).value == 12
    desk.change(desk.ask(jo, 15 * HOUR, refire=Segment.Refire.KEEP))
    assert desk.renewed == 1
    assert stored(desk.ask(jo, 0)).expires_at == START + 14 * HOUR + DAY


def test_whoever_is_added_twice_at_once_is_none(desk, jo):
    desk.change(desk.ask(jo, 0))
    desk.change(desk.ask(jo, HOUR, value=7), desk.ask(jo, HOUR + 1))
    assert desk.renewed == 0
    assert stored(desk.ask(jo, 0)).value == 7


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(lambda other, jo: other.ask(jo, MINUTE), id="added"),
        pytest.param(lambda other, jo: other.ask(jo, MINUTE, lifetime=DAY - MINUTE), id="added, with the same end"),
        pytest.param(lambda other, jo: other.ask(jo, 0, value=7), id="added at the same instant, with a value"),
        pytest.param(lambda other, jo: other.ask(jo, -MINUTE), id="a late add: it begins earlier"),
        pytest.param(lambda other, jo: other.ask(jo, 2 * HOUR, value=7), id="added later"),
        pytest.param(lambda other, jo: other.ask(jo, 2 * HOUR, lifetime=HOUR), id="added later, with a shorter end"),
    ],
)
def test_it_does_not_matter_what_other_processes_have_added(desk, jo, ann, elsewhere):
    def at_two_desks(*desks):
        people = make_profile(desk.segment.advertiser).pk.bytes, make_profile(desk.segment.advertiser).pk.bytes
        desks[0].change(*(desks[0].ask(one, 0, value=3) for one in people))
        desks[1].change(elsewhere(desks[1], people[0]))
        desks[0].change(*(desks[0].ask(one, HOUR) for one in people))
        return [stored(desk.ask(one, 0)) for one in people]

    assert at_two_desks(desk, Desk(desk.segment)) == at_two_desks(*[Desk(desk.segment, most=0)] * 2)
    assert desk.renewed == 2


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(lambda other, jo: other.ask(jo, MINUTE, "remove"), id="removed"),
        pytest.param(lambda other, jo: other.ask(jo, MINUTE, lifetime=MINUTE), id="added, for a shorter time"),
    ],
)
def test_who_is_out_by_another_process_is_not_renewed(desk, jo, ann, elsewhere):
    desk.change(desk.ask(jo, 0), desk.ask(ann, 0))
    other = Desk(desk.segment)
    other.change(elsewhere(other, jo))
    before = everything()
    with pytest.raises(RowsChanged):
        desk.change(desk.ask(ann, HOUR), desk.ask(jo, HOUR))
    assert everything() == before, "nothing of the batch is kept"


def test_who_has_lost_an_identifier_is_not_renewed(desk, jo):
    desk.change(desk.ask(jo, 0))
    Profile.all_advertisers.filter(pk=UUID(bytes=jo)).update(losses=1)
    with pytest.raises(RowsChanged):
        desk.change(desk.ask(jo, HOUR))


def test_a_row_that_is_gone_is_not_renewed(desk, jo):
    desk.change(desk.ask(jo, 0))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM segments_membership")
    with pytest.raises(RowsChanged):
        desk.change(desk.ask(jo, HOUR))


def test_rows_that_are_doubted_are_read_once(desk, jo, ann):
    asked = desk.ask(jo, 0)
    desk.change(asked, desk.ask(ann, 0))
    desk.renewals.doubt({asked.key})
    desk.change(desk.ask(jo, HOUR), desk.ask(ann, HOUR))
    assert desk.renewed == 1
    desk.change(desk.ask(jo, 2 * HOUR))
    assert desk.renewed == 2


def test_after_doubts_in_a_row_everything_is_read_for_a_while(desk, jo):
    desk.change(desk.ask(jo, 0))
    for desk.seconds in (1.0, 1.05):
        desk.renewals.doubt([])
    desk.seconds = 11
    desk.change(desk.ask(jo, HOUR))
    assert desk.renewed == 0
    desk.seconds = 12
    desk.change(desk.ask(jo, 2 * HOUR))
    assert desk.renewed == 1


def test_the_sweeper_may_come_between(desk, jo):
    """It gives a member who is still in the new end to look at; that is not taken back, which would cost HOT."""
    desk.change(desk.ask(jo, 0, lifetime=HOUR))
    desk.change(desk.ask(jo, MINUTE))
    assert sweeper.sweep(NOON + timedelta(hours=2)) == sweeper.Swept(leaves=0, moved=1)
    desk.change(desk.ask(jo, 3 * HOUR))
    assert desk.renewed == 2
    assert stored(desk.ask(jo, 0)).sweep_at == START + MINUTE + DAY
    assert sweeper.sweep(NOON + timedelta(days=1, hours=3)).leaves == 1


def test_a_renewal_that_ends_sooner_is_swept_sooner(desk, jo):
    desk.change(desk.ask(jo, 0))
    desk.change(desk.ask(jo, MINUTE, lifetime=HOUR))
    assert desk.renewed == 1
    assert sweeper.sweep(NOON + timedelta(hours=2)).leaves == 1


def test_the_sweeper_waits_for_nobody(desk, jo, ann):
    desk.change(desk.ask(jo, 0, lifetime=HOUR), desk.ask(ann, 0, lifetime=HOUR))
    later = NOON + timedelta(hours=2)
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM segments_membership WHERE profile_id = %s FOR UPDATE", [UUID(bytes=jo)])
        assert sweeper.sweep(later).leaves == 1
        cursor.execute("ROLLBACK")
    other.close()
    assert sweeper.sweep(later).leaves == 1


facts = st.lists(
    st.tuples(
        st.integers(1, 3),  # who
        st.integers(0, 50).map(lambda tens: tens * 10 * MINUTE),  # when
        st.sampled_from(["add", "add", "add", "remove"]),
        st.fixed_dictionaries(
            {
                "lifetime": st.integers(1, 40).map(lambda tens: tens * 10 * MINUTE),
                "value": st.none() | st.integers(0, 9),
                "refire": st.sampled_from(list(Segment.Refire.values)),
                "re_add": st.sampled_from(list(Segment.ReAdd.values)),
            }
        ),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.spec("R5")
@given(
    told=facts,
    cuts=st.lists(st.integers(1, 11), max_size=4),
    is_swept=st.booleans(),
    turns=st.lists(st.integers(0, 1), min_size=5, max_size=5),
)
@settings(max_examples=40, deadline=None)
def test_the_same_as_reading_first(told, cuts, is_swept, turns):
    """Batches of any facts at one or two processes, with and without a sweep between them."""
    found = []
    for most in (100, 0):
        advertiser = make_advertiser()
        segment = make_segment(advertiser)
        desks = [Desk(segment, most), Desk(segment, most)]
        people = {who: make_profile(advertiser).pk for who in (1, 2, 3)}
        ends = sorted({end for end in cuts if end < len(told)} | {0, len(told)})
        for turn, (start, end) in zip(turns, pairwise(ends), strict=False):
            desk = desks[turn]
            batch = [desk.ask(people[who].bytes, at, do, **terms) for who, at, do, terms in told[start:end]]
            desk.insist(*batch)
            if is_swept:
                sweeper.sweep(NOON + timedelta(microseconds=max(one.at for one in batch) - START))
        names = {profile: who for who, profile in people.items()}
        found.append(
            [sorted(str([names.get(value, value) for value in row]) for row in rows) for rows in everything()]
        )
        empty_tables()
    assert found[0] == found[1]
