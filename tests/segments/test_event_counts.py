"""How often each event came is kept while it comes, and told to whoever writes a rule."""

from datetime import UTC, datetime, timedelta

import pytest

from audience.models import Advertiser
from segments import event_counts
from segments.models import EventDay, EventDelta
from tests.audience.messages import NOON, Sender, record_all
from tests.callers import make_caller
from tests.factories import make_advertiser
from tests.segments.asked import text_of

pytestmark = pytest.mark.django_db

LATER = NOON + timedelta(days=1)


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser()


def test_events_are_counted_as_they_come_merged_or_not(advertiser: Advertiser) -> None:
    sender = Sender(advertiser)
    record_all([sender.message("browser:1", event="view") for _ in range(3)])
    sender.send("browser:1", event="buy")
    sender.send("browser:1", kind="identify", traits={"plan": "gold"})
    assert event_counts.event_counts(advertiser.pk, LATER) == {"view": 3, "buy": 1}
    assert event_counts.merge_deltas() == 2
    sender.send("browser:2", event="buy")
    assert event_counts.event_counts(advertiser.pk, LATER) == {"view": 3, "buy": 2}
    event_counts.merge_deltas()
    assert not EventDelta.all_advertisers.exists()
    assert event_counts.event_counts(advertiser.pk, LATER) == {"view": 3, "buy": 2}


def test_a_message_that_comes_again_counts_once(advertiser: Advertiser) -> None:
    sender = Sender(advertiser)
    for _ in range(2):
        sender.send("browser:1", event="view", number=700_001)
    assert event_counts.event_counts(advertiser.pk, LATER) == {"view": 1}


def test_after_90_days_an_event_is_one_that_never_came(advertiser: Advertiser) -> None:
    Sender(advertiser).send("browser:1", event="view")
    event_counts.merge_deltas()
    last = NOON + timedelta(days=event_counts.DAYS - 1)
    assert event_counts.event_counts(advertiser.pk, last) == {"view": 1}
    event_counts.forget(last)
    assert EventDay.all_advertisers.exists()
    gone = NOON + timedelta(days=event_counts.DAYS)
    assert event_counts.event_counts(advertiser.pk, gone) == {}
    event_counts.forget(gone)
    assert not EventDay.all_advertisers.exists()


def test_an_author_is_told_of_an_event_that_never_came(advertiser: Advertiser) -> None:
    today = datetime.now(UTC).date()
    EventDay.all_advertisers.create(advertiser=advertiser, name="purchase", day=today, came=12_331)
    EventDay.all_advertisers.create(advertiser=make_advertiser(), name="Purchase", day=today, came=5)
    asked = {"rule": text_of({"event": "Purchase"})}
    (note,) = make_caller(advertiser).post("/rules/validate", asked).json()["notes"]
    assert note["message"] == (
        "No event 'Purchase' in the last 90 days; 'purchase' came 12,331 times. Names heed case."
    )
