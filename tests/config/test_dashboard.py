"""The first page: what it tells, to whom, and what it says when there is nothing yet."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audience.models import Advertiser, Role
from audience.tenancy import acting_for
from exports.models import Destination, Export, Run
from pixels.models import FireHour, Pixel
from segments.models import Segment, SegmentDay
from tests.admins import at_work
from tests.factories import make_advertiser, make_pixel, make_segment

pytestmark = pytest.mark.django_db


@pytest.fixture
def kettle() -> Advertiser:
    return make_advertiser(name="Kettle & Co")


@pytest.fixture
def browser(kettle: Advertiser) -> Client:
    return at_work(kettle)


@pytest.fixture
def cart(kettle: Advertiser) -> Segment:
    return make_segment(kettle, "cart")


def count(pixel: Pixel, outcome: str, fires: int, *, hours_ago: int = 0) -> None:
    hour = (timezone.now() - timedelta(hours=hours_ago)).replace(minute=0, second=0, microsecond=0)
    FireHour.objects.create(
        advertiser_id=pixel.advertiser_id, pixel=pixel, hour=hour, outcome=outcome, fires=fires, reason=""
    )


def test_an_empty_one_leads_to_the_first_segment_and_offers_the_demo(browser: Client) -> None:
    body = browser.get("/admin/").content.decode()
    assert 'href="/admin/segments/segment/add/"' in body
    assert "manage.py demo" in body


def test_without_domains_it_asks_those_for_them_who_may_list_them(kettle: Advertiser, browser: Client) -> None:
    link = f'href="/admin/audience/advertiser/{kettle.pk}/change/"'
    question = "On which domains do your pixels stand?"
    kettle.domains = []
    kettle.save()
    body = browser.get("/admin/").content.decode()
    assert question in body
    assert link in body
    assert question not in at_work(kettle, Role.MANAGER).get("/admin/").content.decode()
    kettle.domains = ["shop.example"]
    kettle.save()
    assert question not in browser.get("/admin/").content.decode()


def test_a_viewer_of_nothing_is_not_sent_where_the_role_may_not_go(kettle: Advertiser) -> None:
    body = at_work(kettle, Role.VIEWER).get("/admin/").content.decode()
    assert "/admin/segments/segment/add/" not in body


def test_fires_of_today_by_outcome(browser: Client, kettle: Advertiser, cart: Segment) -> None:
    pixel = make_pixel(kettle, cart)
    count(pixel, "applied", 1_200)
    count(pixel, "rejected", 34)
    count(pixel, "applied", 5_000, hours_ago=48)
    today = {outcome.value: fires for outcome, fires in browser.get("/admin/").context["fires_today"]}
    assert today == {"applied": 1_200, "duplicate": 0, "rejected": 34, "suppressed": 0, "pending": 0}


def test_segments_by_size(browser: Client, kettle: Advertiser, cart: Segment) -> None:
    larger = make_segment(kettle, "larger")
    for segment, joins in ((cart, 5), (larger, 1_234)):
        SegmentDay.all_advertisers.create(
            advertiser=kettle, segment=segment, day=timezone.now().date(), joins=joins, leaves=0
        )
    answer = browser.get("/admin/")
    assert [(line.segment, line.size) for line in answer.context["segments"]] == [(larger, 1_234), (cart, 5)]
    assert "1,234" in answer.content.decode()


def test_pixels_to_look_after(browser: Client, kettle: Advertiser, cart: Segment) -> None:
    lost, rare, fine, refusing = (
        make_pixel(kettle, cart, name=name) for name in ("Lost", "Rare", "Fine", "Refusing")
    )
    for day in (2, 3, 4):
        count(lost, "applied", 3, hours_ago=day * 24)
    count(rare, "applied", 3, hours_ago=48)
    count(fine, "applied", 3)
    count(refusing, "rejected", 3)
    assert {line.pixel for line in browser.get("/admin/").context["troubled"]} == {lost, refusing}


def test_exports_due_and_failed(browser: Client, kettle: Advertiser) -> None:
    now = timezone.now()
    with acting_for(kettle.pk):
        folder = Destination.objects.create(name="CRM inbox", kind="folder", root="exports")
        due = Export.objects.create(name="CRM nightly", destination=folder, next_due_at=now + timedelta(hours=3))
        off = {"is_active": False, "next_due_at": now}
        Export.objects.create(name="Off", destination=folder, **off)
        failed = Run.objects.create(
            export=due,
            destination=folder,
            cause="timetable",
            due_at=now,
            state=Run.State.FAILED,
            reason="login_refused",
        )
    make_segment(kettle)
    answer = browser.get("/admin/")
    assert [line.row for line in answer.context["exports_due"]] == [due]
    assert [line.row for line in answer.context["runs_failed"]] == [failed]
    assert "CRM nightly" in answer.content.decode()


def test_a_viewer_sees_no_pixels(kettle: Advertiser, cart: Segment) -> None:
    count(make_pixel(kettle, cart, name="Cart page"), "applied", 1_200)
    answer = at_work(kettle, Role.VIEWER).get("/admin/")
    assert "fires_today" not in answer.context
    assert "Cart page" not in answer.content.decode()


def test_a_thousand_rows_take_no_more_statements_than_one(
    browser: Client, kettle: Advertiser, django_assert_max_num_queries: Any
) -> None:
    segments = [make_segment(kettle, f"s{number}") for number in range(60)]
    for segment in segments:
        make_pixel(kettle, segment, name=segment.name)
    with django_assert_max_num_queries(25):
        assert browser.get("/admin/").status_code == 200


@pytest.mark.parametrize(
    ("role", "titles"),
    [
        (Role.VIEWER, ["Dashboard", "Segments"]),
        (Role.MANAGER, ["Dashboard", "Segments", "Pixels", "Audience", "Advertiser"]),
        (Role.OWNER, ["Dashboard", "Segments", "Pixels", "Audience", "Advertiser", "Team", "API tokens"]),
    ],
)
def test_the_menu_has_what_the_role_opens_in_the_order_of_the_work(
    kettle: Advertiser, role: Role, titles: list[str]
) -> None:
    groups = at_work(kettle, role).get("/admin/").context["sidebar_navigation"]
    shown = [item["title"] for group in groups for item in group["items"]]
    assert [
        title
        for title in shown
        if title in {"Dashboard", "Segments", "Pixels", "Audience", "Advertiser", "Team", "API tokens"}
    ] == titles
    order = ["Exports", "Reports", "Settings"]
    assert [group["title"] for group in groups if group["title"] in order] == [
        title for title in order if title in {group["title"] for group in groups}
    ]
