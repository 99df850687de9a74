"""Partners, redirect hosts and piggybacks in the admin: what a marketer writes, and what is refused and why."""

from typing import Any

import pytest
from django.test import Client

from audience.models import Advertiser, Role
from audience.tenancy import acting_for
from pixels.models import Partner, Piggyback
from segments.models import Segment
from tests.admins import at_work, form_of
from tests.factories import make_advertiser, make_partner, make_piggyback, make_segment

pytestmark = [pytest.mark.django_db, pytest.mark.spec("pixels.md 3.6")]

PARTNERS = "/admin/pixels/partner/"
SYNC = "https://sync.partner.example/m?u=${MUSTER_ID}"


@pytest.fixture
def kettle() -> Advertiser:
    return make_advertiser(redirect_hosts=["ad.partner.example"])


@pytest.fixture
def browser(kettle: Advertiser) -> Client:
    return at_work(kettle)


def send(browser: Client, page: str, having: str = "name", **changes: str) -> str:
    """Fill in the form of a page and send it; return what the page then says, nothing where it is saved."""
    answer = browser.post(page, form_of(browser.get(page).content.decode(), having) | changes)
    return "" if answer.status_code == 302 else answer.content.decode()


# --- Redirect hosts and partners ------------------------------------------------------------------


def test_redirect_hosts_are_a_list_of_names(browser: Client, kettle: Advertiser) -> None:
    page = f"/admin/audience/advertiser/{kettle.pk}/change/"
    assert not send(browser, page, "time_zone", redirect_hosts="https://AD.partner.example/p?x\n*.cdn.example")
    kettle.refresh_from_db()
    assert kettle.redirect_hosts == ["ad.partner.example", "*.cdn.example"]
    assert "Write the name of a host, not its address." in send(browser, page, "time_zone", redirect_hosts="10.0.0.1")
    assert "Write a host name such as" in send(browser, page, "time_zone", redirect_hosts="ad_partner")


def test_a_partner_is_made_and_shown(browser: Client) -> None:
    assert "asks who they are for you" in browser.get(PARTNERS).content.decode()
    assert not send(browser, f"{PARTNERS}add/", name="acme", hosts="sync.partner.example", sync_url=SYNC)
    partner = Partner.all_advertisers.get()
    assert (partner.name, partner.hosts, partner.sync_url) == ("acme", ["sync.partner.example"], SYNC)
    shown = browser.get(PARTNERS).content.decode()
    assert "sync.partner.example" in shown
    assert not send(browser, f"{PARTNERS}{partner.pk}/change/", sync_url="")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "own"}, "“own” are your own ids"),
        ({"name": "Acme Ads"}, "Use small letters, digits, - and _"),
        ({"name": "taken"}, "You have a partner of this name already."),
        ({"hosts": "127.0.0.1"}, "Write the name of a host"),
        ({"sync_url": "http://sync.partner.example/m?u=${MUSTER_ID}"}, "Write an address that begins with https://"),
        ({"sync_url": "https://other.example/m?u=${MUSTER_ID}"}, "other.example is not among the hosts above"),
        ({"sync_url": "https://sync.partner.example/m"}, "Write ${MUSTER_ID} where the partner expects"),
        ({"hosts": ""}, "sync.partner.example is not among the hosts above"),
    ],
)
def test_a_partner_that_cannot_work_is_refused(
    browser: Client, kettle: Advertiser, changes: dict[str, str], words: str
) -> None:
    make_partner(kettle, "taken")
    good = {"name": "acme", "hosts": "sync.partner.example", "sync_url": SYNC}
    assert words in send(browser, f"{PARTNERS}add/", **good | changes)
    assert Partner.all_advertisers.count() == 1


def test_an_analyst_makes_no_partners(kettle: Advertiser) -> None:
    assert at_work(kettle, Role.ANALYST).get(PARTNERS).status_code == 403


# --- Piggybacks of a segment ----------------------------------------------------------------------


def change(segment: Segment) -> str:
    return f"/admin/segments/segment/{segment.pk}/change/"


def piggyback(number: int, url: str, kind: str = "image", **more: Any) -> dict[str, str]:
    row = {"url": url, "kind": kind, **more}
    total = {"piggybacks-TOTAL_FORMS": str(number + 1)}
    return total | {f"piggybacks-{number}-{name}": value for name, value in row.items()}


def saved(segment: Segment) -> list[tuple[str, str]]:
    with acting_for(segment.advertiser_id):
        return list(Piggyback.objects.order_by("pk").values_list("kind", "url"))


def test_piggybacks_stand_in_the_segments_form(browser: Client, kettle: Advertiser) -> None:
    segment = make_segment(kettle)
    url = "https://ad.partner.example/p?g=${GDPR}"
    assert not send(browser, change(segment), **piggyback(0, url), id_syncs_per_fire="3")
    assert saved(segment) == [("image", url)]
    segment.refresh_from_db()
    assert segment.id_syncs_per_fire == 3
    assert "Fires" in browser.get(change(segment)).content.decode()
    gone = form_of(browser.get(change(segment)).content.decode(), having="name") | {"piggybacks-0-DELETE": "on"}
    assert browser.post(change(segment), gone).status_code == 302
    assert saved(segment) == []


def test_a_new_segment_takes_them_at_once(browser: Client) -> None:
    assert not send(
        browser, "/admin/segments/segment/add/", name="Cart", **piggyback(0, "https://ad.partner.example/p", "script")
    )
    assert saved(Segment.all_advertisers.get()) == [("script", "https://ad.partner.example/p")]


@pytest.mark.parametrize(
    ("url", "segment_fields", "words"),
    [
        ("http://ad.partner.example/p", {}, "Write an address that begins with https://"),
        ("https://evil.example/p", {}, "The host evil.example is not among your redirect hosts. Add it there first."),
        ("https://ad.partner.example:8443/p", {}, "without a user, a port"),
        ("https://user@ad.partner.example/", {}, "without a user"),
        ("https://ad.partner.example/a b", {}, "a blank"),
        ("https://ad.partner.example/" + "x" * 2048, {}, "2048"),
        ("https://ad.partner.example/p", {"write_mode": "server_only"}, "It would never fire"),
    ],
)
def test_the_form_refuses_what_cannot_fire_and_says_why(
    browser: Client, kettle: Advertiser, url: str, segment_fields: dict[str, str], words: str
) -> None:
    segment = make_segment(kettle, **segment_fields)
    assert words in send(browser, change(segment), **piggyback(0, url))
    assert saved(segment) == []


def test_a_segment_that_no_browser_fires_takes_no_id_syncs(browser: Client, kettle: Advertiser) -> None:
    segment = make_segment(kettle)
    page = change(segment)
    assert "It would never fire" in send(browser, page, id_syncs_per_fire="1", write_mode="server_only")
    assert "at most 10" in send(browser, page, id_syncs_per_fire="11")


def test_at_most_ten(browser: Client, kettle: Advertiser) -> None:
    segment = make_segment(kettle)
    for number in range(10):
        make_piggyback(segment, f"https://ad.partner.example/{number}")
    words = send(browser, change(segment), **piggyback(10, "https://ad.partner.example/11"))
    assert "A segment takes at most 10 piggyback pixels." in words
    assert len(saved(segment)) == 10


def test_one_whose_host_is_taken_off_the_list_says_so(browser: Client, kettle: Advertiser) -> None:
    segment = make_segment(kettle)
    make_piggyback(segment, "https://ad.partner.example/p")
    kettle.redirect_hosts = []
    kettle.save()
    shown = browser.get(change(segment)).content.decode()
    assert "Does not fire. The host ad.partner.example is not among your redirect hosts." in shown


def test_an_analyst_neither_sees_nor_changes_them(kettle: Advertiser) -> None:
    segment = make_segment(kettle)
    make_piggyback(segment, "https://ad.partner.example/p")
    analyst = at_work(kettle, Role.ANALYST)
    assert "ad.partner.example" not in analyst.get(change(segment)).content.decode()
    assert not send(analyst, change(segment), name="Other", **piggyback(0, "https://ad.partner.example/new"))
    assert saved(segment) == [("image", "https://ad.partner.example/p")]
