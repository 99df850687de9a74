"""Group commit: what is answered is stored, and a bad fire never spoils its neighbours."""

import threading
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from audience.days import LocalDays
from audience.identity import Key
from audience.ids import uuid7
from audience.instants import HOUR, MINUTE, instant
from audience.models import Identifier, Profile
from audience.tenancy import acting_for
from pixels.background import Background
from pixels.committer import QUEUE_FACTS, Committer
from pixels.facts import Fire
from pixels.models import Fire as FireRow
from pixels.models import FireDelta
from pixels.reasons import Outcome, Reason
from segments.membership import Change
from segments.models import Membership, SegmentDelta, Transition
from tests.factories import NOON, make_advertiser, make_pixel, make_segment

pytestmark = pytest.mark.django_db(transaction=True)


DAY = 24 * HOUR
START = instant(NOON)


def conninfo() -> str:
    parameters = connection.get_connection_params()
    return psycopg.conninfo.make_conninfo(
        **{name: parameters[name] for name in ("host", "port", "user", "password", "dbname") if name in parameters}
    )


class Desk:
    """A committer and the answers that came from it."""

    def __init__(self, conninfo: str, folder: Path) -> None:
        self.committer = Committer(
            conninfo=conninfo,
            day_of=LocalDays({}),
            answer=self._hear,
            spool_root=folder / "spool",
            spool_bytes=1 << 20,
        )
        self._background = Background("desk")
        self._background.start(self.committer.run())

    def _hear(self, answers) -> None:
        for (number, waiting), stored in answers:
            waiting.answers[number] = stored
            if len(waiting.answers) == waiting.most:
                waiting.full.set()

    def commit(self, *fires):
        """Submit fires as one batch and wait for their answers, in order."""
        waiting = Waiting(len(fires))
        self._background.call(self._submit, fires, waiting)
        assert waiting.full.wait(20)
        return [waiting.answers[number] for number in range(len(fires))]

    def _submit(self, fires, waiting) -> None:
        for number, fire in enumerate(fires):
            assert self.committer.submit(fire, (number, waiting))

    def stop(self) -> None:
        self._background.call(self.committer.end)
        self._background.join(20)


class Waiting:
    """Who waits for the answers of some fires."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.answers = {}
        self.full = threading.Event()


@pytest.fixture
def desk(tmp_path):
    desk = Desk(conninfo(), tmp_path)
    yield desk
    desk.stop()


@pytest.fixture
def shop():
    advertiser = make_advertiser(name="Shop")
    segment = make_segment(advertiser)
    return advertiser, segment, make_pixel(advertiser, segment)


def fire(shop, browser="a" * 32, minutes=0, **fields):
    advertiser, segment, pixel = shop
    change = Change("add", segment.pk, 1, lifetime=30 * DAY)
    defaults = {"advertiser_id": advertiser.pk, "pixel_id": pixel.pk, "changes": (change,)}
    defaults["browser"] = Key(advertiser.pk, "browser", browser)
    return Fire(**{"id": uuid7().bytes, "received_at": START + minutes * MINUTE} | defaults | fields)


@pytest.mark.spec("R12")
def test_a_full_queue_takes_no_more(tmp_path):
    spool = {"spool_root": tmp_path, "spool_bytes": 1 << 20}
    committer = Committer(conninfo="", day_of=LocalDays({}), answer=lambda _: None, **spool)  # and nobody runs it
    one = Fire(uuid7().bytes, START, None, None, None)

    assert all(committer.submit(one, None) for _ in range(QUEUE_FACTS))
    assert not committer.submit(one, None)


def test_a_fire_becomes_a_member_with_its_join_load_and_count(shop, desk):
    advertiser, segment, pixel = shop
    (stored,) = desk.commit(fire(shop, page_host="shop.example", page_path="/cart", actions='[{"do": "add"}]'))

    assert stored.outcome == Outcome.APPLIED
    with acting_for(advertiser.pk):
        identifier = Identifier.objects.get(kind="browser", value="a" * 32)
        membership = Membership.objects.get(profile=identifier.profile_id, segment=segment)
        assert membership.starts_at == NOON
        assert membership.expires_at == NOON + timedelta(days=30)
        assert Transition.objects.get().change == "join"
        assert (
            SegmentDelta.objects.values_list("joins", "loads", "daily_uniques", "monthly_uniques").get() == (1,) * 4
        )
        row = FireRow.objects.get()
        assert (row.pixel_id, row.profile_id, row.page_host) == (pixel.pk, identifier.profile_id, "shop.example")
        assert row.actions == [{"do": "add"}]
    assert FireDelta.objects.values_list("outcome", "fires").get() == ("applied", 1)


def test_one_browser_many_times_in_one_batch_is_one_member_with_many_loads(shop, desk):
    desk.commit(*(fire(shop, minutes=minute) for minute in range(50)))

    with acting_for(shop[0].pk):
        assert Membership.objects.get().expires_at == NOON + timedelta(days=30, minutes=49)
        assert Transition.objects.count() == 1
        assert SegmentDelta.objects.values_list("joins", "loads", "daily_uniques").get() == (1, 50, 1)


def test_a_rejected_fire_makes_no_profile_and_is_shown_and_counted(shop, desk):
    (stored,) = desk.commit(fire(shop, changes=(), reason=Reason.VALUE_OVERFLOW))

    assert (stored.outcome, stored.reason) == (Outcome.REJECTED, Reason.VALUE_OVERFLOW)
    assert not Profile.all_advertisers.exists()
    with acting_for(shop[0].pk):
        assert FireRow.objects.get().reason == "value_overflow"
    assert FireDelta.objects.get().reason == "value_overflow"


def test_a_fire_that_leads_to_no_advertiser_is_only_counted(desk):
    nobody = Fire(uuid7().bytes, START, None, None, None, reason=Reason.UNKNOWN_PIXEL)
    (stored,) = desk.commit(nobody)

    assert stored.outcome == Outcome.REJECTED
    assert not FireRow.all_advertisers.exists()
    assert FireDelta.objects.values_list("advertiser", "reason").get() == (None, "unknown_pixel")


def test_the_same_event_id_within_a_day_is_a_duplicate_for_this_browser_only(shop, desk):
    first, other = desk.commit(fire(shop, eid="order-1"), fire(shop, browser="b" * 32, eid="order-1"))
    again, next_day = desk.commit(fire(shop, minutes=1, eid="order-1"), fire(shop, minutes=25 * 60, eid="order-1"))

    assert [one.outcome for one in (first, other, again, next_day)] == ["applied", "applied", "duplicate", "applied"]
    (within_batch,) = {one.outcome for one in desk.commit(*(fire(shop, eid="x") for _ in range(2)))[1:]}
    assert within_batch == "duplicate"


def test_a_poison_fire_is_rejected_alone(shop, desk):
    good = [fire(shop, browser=f"{number:032x}") for number in range(20)]
    poison = fire(shop, browser="f" * 32, other="NUL \0 is no text for PostgreSQL")
    stored = desk.commit(*good[:13], poison, *good[13:])

    assert [one.outcome for one in stored].count("applied") == 20
    assert stored[13].outcome == Outcome.REJECTED
    with acting_for(shop[0].pk):
        assert Membership.objects.count() == 20


@pytest.mark.parametrize("fields", [{"pixel_id": 999_999}, {"page_host": "a.example", "page_path": "/\0"}])
def test_a_fire_that_cannot_even_be_counted_for_its_pixel_is_counted_for_the_installation(shop, desk, fields):
    poison, neighbour = desk.commit(fire(shop, **fields), fire(shop, browser="b" * 32))

    assert (poison.outcome, neighbour.outcome) == (Outcome.REJECTED, Outcome.APPLIED)
    assert FireDelta.objects.filter(advertiser=None, outcome="rejected").get().fires == 1


def test_a_segment_of_another_advertiser_cannot_be_written_even_by_the_committer(shop, desk):
    foreign = make_segment(make_advertiser(), "foreign")
    crossed = fire(shop, changes=(Change("add", foreign.pk, 1, lifetime=DAY),))
    stored, neighbour = desk.commit(crossed, fire(shop, browser="b" * 32))

    assert stored.outcome == Outcome.REJECTED, "the composite key of the schema refuses it at COMMIT"
    assert neighbour.outcome == Outcome.APPLIED
    assert not Membership.all_advertisers.filter(segment=foreign).exists()


def test_a_broken_connection_is_opened_again(shop, desk):
    desk.commit(fire(shop))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'muster-door'"
        )
    assert desk.commit(fire(shop, minutes=1))[0].outcome == Outcome.APPLIED


def test_who_was_erased_or_merged_meanwhile_is_looked_up_again(shop, desk):
    """The committer remembers whose profile a browser has; the locks tell it what is no longer so."""
    desk.commit(fire(shop))
    with connection.cursor() as cursor:
        for table in ("segments_membership", "segments_transition", "audience_identifier", "audience_profile"):
            cursor.execute(f"DELETE FROM {table}")
    (again, other) = desk.commit(fire(shop, minutes=1), fire(shop, browser="b" * 32))

    assert (again.outcome, other.outcome) == (Outcome.APPLIED, Outcome.APPLIED)
    assert Profile.all_advertisers.count() == Membership.all_advertisers.count() == 2


def test_two_committers_with_the_same_people_in_reversed_order_do_not_deadlock(shop, desk, tmp_path):
    other = Desk(conninfo(), tmp_path)
    try:
        people = [f"{number:032x}" for number in range(200)]
        threads = [
            threading.Thread(target=one.commit, args=[fire(shop, browser=person, minutes=round_) for person in order])
            for round_ in range(5)
            for one, order in ((desk, people), (other, people[::-1]))
        ]
        for pair in zip(threads[::2], threads[1::2], strict=True):
            for thread in pair:
                thread.start()
            for thread in pair:
                thread.join(30)
        with acting_for(shop[0].pk):
            assert Membership.objects.count() == Transition.objects.count() == Profile.objects.count() == 200
            assert sum(SegmentDelta.objects.values_list("loads", flat=True)) == 2000
    finally:
        other.stop()
