"""Hours and pages are merged from what batches wrote."""

from datetime import timedelta

import pytest
from django.db import connection

from audience.columns import batch_cursor
from audience.ids import uuid7
from audience.instants import MINUTE, instant
from audience.talk import speak
from audience.tenancy import acting_for
from pixels import counts
from pixels.facts import Fire
from pixels.models import FireDelta, FireHour, SeenPage
from pixels.reasons import Outcome, Reason
from pixels.stored import Stored
from pixels.writing import put_count
from tests.factories import NOON, make_advertiser, make_pixel

pytestmark = pytest.mark.django_db


def count(pixel, *, minutes=0, outcome=Outcome.APPLIED, reason=None, path="/cart", host="shop.example"):
    at = instant(NOON) + minutes * MINUTE
    put(
        Stored(
            Fire(uuid7().bytes, at, pixel.advertiser_id, pixel.pk, None, page_host=host, page_path=path),
            outcome,
            reason,
        )
    )


def put(entry):
    connection.ensure_connection()
    with batch_cursor(connection.connection) as cursor:
        speak(cursor, put_count(entry))


def test_deltas_become_hours_and_pages_and_nothing_is_counted_twice():
    pixel = make_pixel(make_advertiser())
    for minutes in (0, 1, 61):
        count(pixel, minutes=minutes)
    count(pixel, minutes=2, outcome=Outcome.REJECTED, reason=Reason.BAD_VALUE)
    count(pixel, minutes=3, path="/", host="")

    assert counts.merge_deltas(most=2) == 5
    count(pixel, minutes=4)
    counts.merge_deltas()

    assert not FireDelta.objects.exists()
    hours = FireHour.objects.order_by("hour", "outcome").values_list("outcome", "reason", "fires")
    assert list(hours) == [("applied", "", 4), ("rejected", "bad_value", 1), ("applied", "", 1)]
    with acting_for(pixel.advertiser_id):
        page = SeenPage.objects.get()
        assert (page.host, page.path, page.fires, page.refused) == ("shop.example", "/cart", 5, 1)
        assert (page.first_at, page.last_at) == (NOON, NOON + timedelta(minutes=61))


def test_fires_that_lead_to_no_pixel_are_counted_for_the_installation():
    for _ in range(3):
        fire = Fire(uuid7().bytes, instant(NOON), None, None, None, page_host="copy.example")
        put(Stored(fire, Outcome.REJECTED, Reason.UNKNOWN_PIXEL))
    counts.merge_deltas()
    assert FireHour.objects.values_list("advertiser", "pixel", "fires").get() == (None, None, 3)


def test_a_pixel_remembers_the_pages_it_was_seen_on_last(monkeypatch):
    monkeypatch.setattr(counts, "MOST_PAGES", 3)
    busy, quiet = make_pixel(make_advertiser()), make_pixel(make_advertiser())
    for minutes in range(5):
        count(busy, minutes=minutes, path=f"/{minutes}")
    count(quiet)
    counts.merge_deltas()

    assert counts.forget_pages() == 2
    with acting_for(busy.advertiser_id):
        assert set(SeenPage.objects.values_list("path", flat=True)) == {"/2", "/3", "/4"}
