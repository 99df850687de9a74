"""Segments in the admin: the form in a marketer's words, the overview, and what deleting does."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audience.models import Advertiser, Role
from audience.tenancy import acting_for
from pixels.models import Pixel, PixelAction
from segments.admin.trends import trends
from segments.models import Segment, SegmentDay, SegmentDelta, Transition
from tests.admins import at_work, form_of
from tests.factories import make_advertiser, make_member, make_pixel, make_profile, make_segment

pytestmark = pytest.mark.django_db

ADD = "/admin/segments/segment/add/"
LIST = "/admin/segments/segment/"


@pytest.fixture
def kettle() -> Advertiser:
    return make_advertiser(name="Kettle & Co", time_zone="Europe/Berlin")


@pytest.fixture
def browser(kettle: Advertiser) -> Client:
    return at_work(kettle)


def new_form(browser: Client, **changes: str) -> dict[str, Any]:
    return form_of(browser.get(ADD).content.decode(), having="name") | changes


def only_segment() -> Segment:
    return Segment.all_advertisers.get()


def test_a_name_is_enough(browser: Client) -> None:
    answer = browser.post(ADD, new_form(browser, name="Cart Buyers!"))
    segment = only_segment()
    assert (segment.name, segment.code, segment.lifetime_minutes) == ("Cart Buyers!", "cart-buyers", 30 * 24 * 60)
    assert answer["Location"] == f"/admin/segments/segment/{segment.pk}/overview/"


def test_a_code_from_the_name_is_free(browser: Client, kettle: Advertiser) -> None:
    make_segment(kettle, "cart")
    browser.post(ADD, new_form(browser, name="Cart"))
    assert set(Segment.all_advertisers.values_list("code", flat=True)) == {"cart", "cart-2"}


@pytest.mark.parametrize(
    ("number", "unit", "minutes"),
    [("90", "1", 90), ("36", "60", 2160), ("7", "1440", 10_080), ("180", "1440", 259_200)],
)
def test_a_lifetime_has_a_unit(browser: Client, number: str, unit: str, minutes: int) -> None:
    browser.post(ADD, new_form(browser, name="Cart", lifetime_minutes_0=number, lifetime_minutes_1=unit))
    assert only_segment().lifetime_minutes == minutes


@pytest.mark.parametrize(
    ("number", "unit"), [("0", "1440"), ("-1", "60"), ("181", "1440"), ("1.5", "60"), ("", "1"), ("9", "7")]
)
def test_a_lifetime_beyond_the_limits_is_refused_at_its_field(browser: Client, number: str, unit: str) -> None:
    form = new_form(browser, name="Cart", lifetime_minutes_0=number, lifetime_minutes_1=unit)
    answer = browser.post(ADD, form)
    assert answer.status_code == 200
    assert "lifetime_minutes" in answer.context["adminform"].form.errors
    assert not Segment.all_advertisers.exists()


def test_domains_are_written_one_a_line_and_addresses_are_cut(browser: Client) -> None:
    browser.post(
        ADD,
        new_form(browser, name="Cart", domains="Shop.Example\nhttps://jo@cart.example:8443/a?b=1\n\n*.shop.example"),
    )
    assert only_segment().domains == ["shop.example", "cart.example", "*.shop.example"]


def test_a_bad_domain_is_named(browser: Client) -> None:
    answer = browser.post(ADD, new_form(browser, name="Cart", domains="shop.example\nno_host!"))
    assert "“no_host!”" in str(answer.context["adminform"].form.errors["domains"])


def test_save_and_get_tag_makes_a_pixel_and_leads_to_its_tag(browser: Client, kettle: Advertiser) -> None:
    answer = browser.post(ADD, new_form(browser, name="Cart", _tag="1"))
    pixel = Pixel.all_advertisers.get(is_direct=False)
    assert (pixel.name, pixel.advertiser_id) == ("Cart", kettle.pk)
    assert PixelAction.all_advertisers.get().segment == only_segment()
    assert answer["Location"] == f"/admin/pixels/pixel/{pixel.pk}/tag/"


def test_without_the_tick_there_is_no_pixel(browser: Client) -> None:
    form = new_form(browser, name="Cart")
    form.pop("is_pixel_wanted")
    browser.post(ADD, form)
    assert not Pixel.all_advertisers.filter(is_direct=False).exists()


def test_an_analyst_makes_segments_and_no_pixels(kettle: Advertiser) -> None:
    analyst = at_work(kettle, Role.ANALYST)
    form = new_form(analyst, name="Cart", is_pixel_wanted="on", _tag="1")
    assert "Save and get tag" not in analyst.get(ADD).content.decode()
    analyst.post(ADD, form)
    assert only_segment().name == "Cart"
    assert not Pixel.all_advertisers.filter(is_direct=False).exists()


def test_the_list_shows_size_and_trend_without_counting_members(
    browser: Client, kettle: Advertiser, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        segment = make_segment(kettle, f"s{number}")
        SegmentDay.all_advertisers.create(advertiser=kettle, segment=segment, day=date.today(), joins=1200, leaves=34)
    with django_assert_max_num_queries(25) as captured:
        body = browser.get(LIST).content.decode()
    assert body.count("1,166") == 30
    assert not [
        query for query in captured.captured_queries if 'count(*) from "segments_membership"' in query["sql"].lower()
    ]


def test_a_trend_is_drawn_backwards_from_the_size(kettle: Advertiser) -> None:
    segment, today = make_segment(kettle), date(2026, 11, 22)
    for day, joins, leaves in ((2, 10, 0), (1, 5, 8), (0, 4, 1)):
        SegmentDay.all_advertisers.create(
            advertiser=kettle, segment=segment, day=today - timedelta(days=day), joins=joins, leaves=leaves
        )
    SegmentDelta.all_advertisers.create(advertiser=kettle, segment=segment, day=today, joins=2, leaves=0)
    with acting_for(kettle.pk):
        assert trends([segment], {segment.pk: 62}, today, 4) == {segment.pk: [50, 60, 57, 62]}


def test_the_overview_tells_who_uses_the_segment(browser: Client, kettle: Advertiser) -> None:
    segment = make_segment(kettle)
    make_pixel(kettle, segment, name="Cart page")
    body = browser.get(f"{LIST}{segment.pk}/overview/").content.decode()
    assert "Cart page" in body
    assert "adds to it" in body


def test_a_viewer_sees_no_pixels_and_no_people(kettle: Advertiser) -> None:
    segment = make_segment(kettle)
    make_pixel(kettle, segment, name="Cart page")
    profile = make_profile(kettle)
    make_member(segment, profile, starts_at=timezone.now() - timedelta(hours=1))
    Transition.all_advertisers.create(
        advertiser=kettle, profile=profile, segment=segment, at=timezone.now(), change="join", cause="fact"
    )
    link = f"{LIST}{segment.pk}/overview/"
    seen = at_work(kettle, Role.VIEWER, people=False).get(link).content.decode()
    assert "something they did" in seen
    assert "Cart page" not in seen
    assert str(profile.pk)[:8] not in seen
    assert str(profile.pk)[:8] in at_work(kettle, Role.ANALYST, people=True).get(link).content.decode()


def test_a_member_whose_time_is_over_is_shown_as_gone(browser: Client, kettle: Advertiser) -> None:
    segment, profile, now = make_segment(kettle), make_profile(kettle), timezone.now()
    make_member(segment, profile, starts_at=now - timedelta(hours=2), lifetime=timedelta(hours=1))
    Transition.all_advertisers.create(
        advertiser=kettle, profile=profile, segment=segment, at=now - timedelta(hours=2), change="join", cause="fact"
    )
    assert "has left" in browser.get(f"{LIST}{segment.pk}/overview/").content.decode()


def test_deleting_asks_says_what_depends_and_keeps_the_row(browser: Client, kettle: Advertiser) -> None:
    segment = make_segment(kettle)
    make_pixel(kettle, segment, name="Cart page")
    link = f"{LIST}{segment.pk}/delete/"
    asked = browser.get(link).content.decode()
    assert "Cart page" in asked
    segment.refresh_from_db()
    assert segment.deleted_at is None
    browser.post(link, {"post": "yes"}, follow=True)
    segment.refresh_from_db()
    assert segment.deleted_at is not None
    assert browser.get(f"{LIST}{segment.pk}/overview/").status_code == 404
    assert "Cart" not in browser.get(LIST).content.decode()


def test_the_code_of_a_deleted_segment_is_free_again(browser: Client, kettle: Advertiser) -> None:
    segment = make_segment(kettle)
    browser.post(f"{LIST}{segment.pk}/delete/", {"post": "yes"})
    assert browser.post(ADD, new_form(browser, name="Cart", code="cart")).status_code == 302


def test_times_are_shown_by_the_advertisers_clock(browser: Client, kettle: Advertiser) -> None:
    segment = make_segment(kettle, created_at="2026-06-30T23:30:00Z")
    assert "1 Jul 2026" in browser.get(f"{LIST}{segment.pk}/overview/").content.decode()
