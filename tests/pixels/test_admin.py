"""Pixels in the admin: the form, Get tag, mail, the live view's answers and how a pixel is doing."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.core import mail
from django.test import Client
from django.utils import timezone

from audience.models import Advertiser, Role
from audience.tenancy import acting_for
from pixels.admin.cures import CURES
from pixels.health import State, healths
from pixels.models import Fire, FireDelta, FireHour, Pixel, PixelAction
from pixels.reasons import Reason
from segments.models import Segment
from tests.admins import at_work, form_of
from tests.factories import make_advertiser, make_pixel, make_segment

pytestmark = pytest.mark.django_db

LIST = "/admin/pixels/pixel/"


@pytest.fixture
def kettle() -> Advertiser:
    return make_advertiser(name="Kettle & Co", domains=["shop.example"])


@pytest.fixture
def cart(kettle: Advertiser) -> Segment:
    return make_segment(kettle, "cart")


@pytest.fixture
def pixel(kettle: Advertiser, cart: Segment) -> Pixel:
    return make_pixel(kettle, cart, name="Cart")


@pytest.fixture
def browser(kettle: Advertiser) -> Client:
    return at_work(kettle)


def tag_of(browser: Client, pixel: Pixel, **options: str) -> dict[str, Any]:
    answer = browser.get(f"{LIST}{pixel.pk}/tag/", {"as": "json", **options})
    assert answer.status_code == 200
    return dict(answer.json())


def make_fire(pixel: Pixel, *, seconds_ago: float = 1, **fields: Any) -> Fire:
    defaults = {"id": uuid4(), "received_at": timezone.now() - timedelta(seconds=seconds_ago), "outcome": "applied"}
    return Fire.all_advertisers.create(advertiser_id=pixel.advertiser_id, pixel=pixel, **defaults | fields)


# --- The form


def test_a_pixel_adds_and_removes(browser: Client, kettle: Advertiser, cart: Segment) -> None:
    bought = make_segment(kettle, "bought")
    form = form_of(browser.get(f"{LIST}add/").content.decode(), having="name")
    actions = {
        "actions-TOTAL_FORMS": "2",
        **{"actions-0-do": "add", "actions-0-segment": bought.pk, "actions-0-value": "65"},
        **{"actions-0-lifetime_minutes_0": "7", "actions-0-lifetime_minutes_1": "1440"},
        **{"actions-1-do": "remove", "actions-1-segment": cart.pk, "actions-1-lifetime_minutes_1": "1440"},
    }
    answer = browser.post(f"{LIST}add/", {**form, "name": "Thank-you page", **actions})
    made = Pixel.all_advertisers.get(name="Thank-you page")
    assert answer["Location"] == f"{LIST}{made.pk}/tag/"
    rows = PixelAction.all_advertisers.filter(pixel=made).values_list("do", "segment", "value", "lifetime_minutes")
    assert set(rows) == {("add", bought.pk, 65, 10_080), ("remove", cart.pk, None, None)}
    assert made.advertiser_id == kettle.pk


def test_a_pixel_records_an_event(browser: Client, pixel: Pixel) -> None:
    link = f"{LIST}{pixel.pk}/change/"
    form = form_of(browser.get(link).content.decode(), having="name")
    assert "Records an event" in browser.get(link).content.decode()
    refused = browser.post(link, {**form, "event_name": "purchase", "value_source": "page"})
    assert "The value in the tag belongs to the event here." in refused.content.decode()

    browser.post(link, {**form, "event_name": " purchase ", "value_source": "fixed"})
    assert Pixel.all_advertisers.get(pk=pixel.pk).event_name == "purchase"
    assert "records “purchase”, adds to Cart" in browser.get(LIST).content.decode()
    assert "<code>purchase</code>" in browser.get(f"{LIST}{pixel.pk}/overview/").content.decode()
    assert "/px by number" in browser.get(f"{LIST}{pixel.pk}/tag/").content.decode()


def test_one_segment_stands_once_in_a_pixel(browser: Client, pixel: Pixel, cart: Segment) -> None:
    link = f"{LIST}{pixel.pk}/change/"
    form = form_of(browser.get(link).content.decode(), having="name")
    more = {"actions-TOTAL_FORMS": "2", "actions-1-do": "remove", "actions-1-segment": cart.pk}
    answer = browser.post(link, {**form, **more, "actions-1-lifetime_minutes_1": "1440"})
    assert answer.status_code == 200
    assert PixelAction.all_advertisers.count() == 1


def test_the_built_in_pixel_is_looked_at_only(browser: Client, kettle: Advertiser) -> None:
    direct = Pixel.all_advertisers.get(advertiser=kettle, is_direct=True)
    assert browser.get(f"{LIST}{direct.pk}/overview/").status_code == 200
    assert browser.get(f"{LIST}{direct.pk}/live/").status_code == 200
    assert browser.get(f"{LIST}{direct.pk}/tag/").status_code == 404
    assert browser.get(f"{LIST}{direct.pk}/test/").status_code == 404
    assert browser.post(f"{LIST}{direct.pk}/change/", {"name": "x"}).status_code == 403
    assert browser.post(f"{LIST}{direct.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_deleted_pixel_keeps_its_row(browser: Client, pixel: Pixel) -> None:
    asked = browser.get(f"{LIST}{pixel.pk}/delete/").content.decode()
    assert "it adds to this segment" in asked
    browser.post(f"{LIST}{pixel.pk}/delete/", {"post": "yes"}, follow=True)
    pixel.refresh_from_db()
    assert pixel.deleted_at is not None
    assert "Cart" not in browser.get(LIST).content.decode()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST])
def test_pixels_are_the_managers(kettle: Advertiser, pixel: Pixel, role: Role) -> None:
    client = at_work(kettle, role)
    for page in (
        "",
        "add/",
        *(f"{pixel.pk}/{name}/" for name in ("overview", "tag", "live", "live/fires", "test", "change")),
    ):
        assert client.get(f"{LIST}{page}").status_code == 403, page


# --- Get tag


def test_a_tag_in_each_form_and_address(browser: Client, pixel: Pixel, cart: Segment) -> None:
    host, key, member = settings.MUSTER_PIXEL_URL, pixel.public_key, pixel.advertiser_id
    assert tag_of(browser, pixel, form="script")["html"] == (
        f'<!-- Muster pixel "Cart" (adds: cart) --><script async src="{host}/p/{key}.js" '
        'referrerpolicy="no-referrer-when-downgrade"></script>'
    )
    assert tag_of(browser, pixel, form="image", address="number")["html"] == (
        f'<!-- Muster pixel "Cart" (adds: cart) --><img src="{host}/seg?add={cart.pk}&amp;t=2&amp;pid={key}" '
        'width="1" height="1" alt="" style="position:absolute" referrerpolicy="no-referrer-when-downgrade">'
    )
    url = f"{host}/seg?add_code=cart&member={member}&t=1&pid={key}"
    assert tag_of(browser, pixel, form="script", address="code")["url"] == url


def test_a_tag_carries_values_and_lifetimes(browser: Client, kettle: Advertiser, pixel: Pixel, cart: Segment) -> None:
    bought = make_segment(kettle, "bought")
    PixelAction.all_advertisers.update(value=65, lifetime_minutes=10_080)
    PixelAction.all_advertisers.create(advertiser=kettle, pixel=pixel, segment=bought, do="remove")
    url = tag_of(browser, pixel, address="number")["url"]
    assert f"/seg?add={cart.pk}:65:7d&remove={bought.pk}&" in url


def test_a_value_from_the_page_is_a_placeholder(browser: Client, pixel: Pixel) -> None:
    Pixel.all_advertisers.filter(pk=pixel.pk).update(value_source="page")
    assert tag_of(browser, pixel)["url"].endswith(f"/p/{pixel.public_key}.js?value=[VALUE]")
    tag = tag_of(browser, pixel, address="code")
    assert "add_code=cart:[VALUE]" in tag["url"]
    assert any("[VALUE]" in hint for hint in tag["hints"])


@pytest.mark.spec("test_tag_name_cannot_break_out")
@pytest.mark.parametrize("name", ["--><script>alert(1)</script>", "a--!>b", "---->", "x" * 300, "<!--", "\n--\n>"])
def test_tag_name_cannot_break_out(browser: Client, pixel: Pixel, name: str) -> None:
    Pixel.all_advertisers.filter(pk=pixel.pk).update(name=name[:255])
    html = tag_of(browser, pixel)["html"]
    comment, _, rest = html.removeprefix("<!--").partition("-->")
    assert "--" not in comment.strip()
    assert "<" not in comment
    assert rest.startswith("<script async src=")


def test_options_that_do_not_exist_are_the_defaults(browser: Client, pixel: Pixel) -> None:
    assert tag_of(browser, pixel, form="'><", address="nowhere", host="https://evil.example") == tag_of(
        browser, pixel
    )


REDIRECT = "https://ad.partner.example/pixel?a=1&gdpr=${GDPR}"
ENCODED = "https%3A%2F%2Fad.partner.example%2Fpixel%3Fa%3D1%26gdpr%3D%24%7BGDPR%7D"


@pytest.fixture
def redirecting(kettle: Advertiser) -> Advertiser:
    kettle.redirect_hosts = ["ad.partner.example"]
    kettle.save()
    return kettle


@pytest.mark.parametrize(("address", "before"), [("pixel", "?"), ("number", "&"), ("code", "&")])
def test_a_tag_sends_the_browser_on(
    browser: Client, redirecting: Advertiser, pixel: Pixel, address: str, before: str
) -> None:
    tag = tag_of(browser, pixel, form="image", address=address, redirect=REDIRECT)
    assert tag["url"].endswith(f"{before}redir={ENCODED}")
    assert f"redir={ENCODED}" in tag["html"]
    assert tag_of(browser, pixel, form="server", redirect=REDIRECT) == tag_of(browser, pixel, form="server")
    hints = tag_of(browser, pixel, form="script", redirect=REDIRECT)["hints"]
    assert any("for a script" in hint for hint in hints)


@pytest.mark.parametrize(
    ("redirect", "why"),
    [
        ("http://ad.partner.example/", "begins with https://"),
        ("https://evil.example/", "The host evil.example is not among your redirect hosts. Add it there first."),
        ("https://ad.partner.example@evil.example/", "without a user"),
        ("https://ad.partner.example/" + "x" * 2048, "at most 2048 characters"),
        ('"><script>alert(1)</script>', "begins with https://"),
    ],
)
def test_a_redirect_that_nobody_would_be_sent_to_is_left_out(
    browser: Client, redirecting: Advertiser, pixel: Pixel, redirect: str, why: str
) -> None:
    tag = tag_of(browser, pixel, form="image", redirect=redirect)
    plain = tag_of(browser, pixel, form="image")
    assert (tag["html"], tag["url"], tag["hints"][1:]) == (plain["html"], plain["url"], plain["hints"])
    assert tag["hints"][0].startswith("The redirect is left out. ")
    assert why in tag["hints"][0]
    page = browser.get(f"{LIST}{pixel.pk}/tag/", {"redirect": redirect}).content.decode()
    assert "<script>alert(1)" not in page


def test_a_download_and_a_mail_have_the_redirect(browser: Client, redirecting: Advertiser, pixel: Pixel) -> None:
    page = browser.get(f"{LIST}{pixel.pk}/tag/", {"form": "image", "redirect": REDIRECT}).content.decode()
    assert f"redirect={ENCODED}" in page
    file = browser.get(f"{LIST}{pixel.pk}/tag/", {"as": "txt", "form": "image", "redirect": REDIRECT})
    assert ENCODED in file.content.decode()
    body = {"form": "image", "redirect": REDIRECT, "addresses": "a@x.example", "note": ""}
    assert browser.post(f"{LIST}{pixel.pk}/tag/", body).status_code == 302
    assert ENCODED in mail.outbox[0].body


def test_a_first_party_host_can_be_chosen(browser: Client, kettle: Advertiser, pixel: Pixel) -> None:
    kettle.first_party_hosts = ["px.shop.example"]
    kettle.save()
    assert tag_of(browser, pixel, host="https://px.shop.example")["url"].startswith("https://px.shop.example/p/")


def test_ticked_segments_get_one_tag(browser: Client, kettle: Advertiser, cart: Segment) -> None:
    bought = make_segment(kettle, "bought")
    chosen = {"action": "get_tag", "_selected_action": [cart.pk, bought.pk], "index": "0"}
    answer = browser.post("/admin/segments/segment/", chosen, follow=True)
    assert answer.status_code == 200
    assert "2 segments" in answer.content.decode()
    assert answer.context["tag"].url.startswith(f"{settings.MUSTER_PIXEL_URL}/seg?add=")
    assert set(answer.context["tag"].url.partition("add=")[2].partition("&")[0].split(",")) == {
        str(cart.pk),
        str(bought.pk),
    }


@pytest.mark.parametrize(("ending", "kind"), [("txt", "text/plain"), ("html", "text/html")])
def test_a_tag_is_downloaded(browser: Client, pixel: Pixel, ending: str, kind: str) -> None:
    answer = browser.get(f"{LIST}{pixel.pk}/tag/", {"as": ending, "form": "image", "address": "pixel"})
    assert answer["Content-Disposition"] == f'attachment; filename="cart-tag.{ending}"'
    assert answer["Content-Type"].startswith(kind)
    assert f'<img src="{settings.MUSTER_PIXEL_URL}/p/{pixel.public_key}.gif"' in answer.content.decode()


@pytest.mark.spec("test_mail_limit_ten")
def test_a_tag_is_mailed_to_each_address_alone(browser: Client, pixel: Pixel) -> None:
    body = {
        "form": "image",
        "address": "code",
        "addresses": "a@x.example, b@x.example\nc@x.example",
        "note": "Please <b>",
    }
    assert browser.post(f"{LIST}{pixel.pk}/tag/", body).status_code == 302
    assert [message.to for message in mail.outbox] == [["a@x.example"], ["b@x.example"], ["c@x.example"]]
    text = mail.outbox[0].body
    assert "Please <b>" in text
    assert "add_code=cart&amp;member=" in text
    assert "How to place it" in text


@pytest.mark.spec("test_mail_limit_ten")
@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        (",".join(f"a{number}@x.example" for number in range(11)), "at most 10"),
        ("a@x.example, nonsense", "“nonsense” is no e-mail address. Nothing was sent."),
        ("a@x.example\r\nBcc: b@x.example", "“Bcc:” is no e-mail address"),
        ("", "This field is required."),
    ],
)
def test_a_bad_address_is_named_and_nothing_is_sent(
    browser: Client, pixel: Pixel, addresses: str, words: str
) -> None:
    answer = browser.post(f"{LIST}{pixel.pk}/tag/", {"addresses": addresses, "note": ""})
    assert words in str(answer.context["mail_form"].errors["addresses"])
    assert mail.outbox == []


def test_twenty_mails_an_hour(browser: Client, pixel: Pixel) -> None:
    for number in (0, 1):
        addresses = " ".join(f"a{number}{digit}@x.example" for digit in range(10))
        browser.post(f"{LIST}{pixel.pk}/tag/", {"addresses": addresses})
    answer = browser.post(f"{LIST}{pixel.pk}/tag/", {"addresses": "late@x.example"})
    assert "0 are left" in str(answer.context["mail_form"].errors["addresses"])
    assert len(mail.outbox) == 20


# --- The live view


def fires_of(browser: Client, link: str, **query: str) -> dict[str, Any]:
    answer = browser.get(link, query)
    assert answer.status_code == 200
    return dict(answer.json())


def test_fires_come_newest_first_and_then_only_new_ones(browser: Client, pixel: Pixel) -> None:
    link = f"{LIST}{pixel.pk}/live/fires/"
    first, second = make_fire(pixel, seconds_ago=60), make_fire(pixel, seconds_ago=30)
    glance = fires_of(browser, link)
    assert [fire["id"] for fire in glance["rows"]] == [str(second.id), str(first.id)]
    third = make_fire(pixel, seconds_ago=0)
    later = fires_of(browser, link, after=glance["cursor"])
    assert str(third.id) in [fire["id"] for fire in later["rows"]]
    assert str(first.id) not in [fire["id"] for fire in later["rows"]]


def test_a_fire_that_was_committed_late_is_still_seen(browser: Client, pixel: Pixel) -> None:
    """A batch commits after its fires were received: one may be older than what was shown already."""
    link = f"{LIST}{pixel.pk}/live/fires/"
    make_fire(pixel, seconds_ago=0)
    cursor = fires_of(browser, link)["cursor"]
    late = make_fire(pixel, seconds_ago=2)
    assert str(late.id) in [fire["id"] for fire in fires_of(browser, link, after=cursor)["rows"]]


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_shown_with_its_sentence_and_cure(browser: Client, pixel: Pixel, reason: Reason) -> None:
    make_fire(pixel, outcome="rejected", reason=reason.value)
    [fire] = fires_of(browser, f"{LIST}{pixel.pk}/live/fires/")["rows"]
    assert (fire["reason"], fire["why"]) == (reason.value, reason.label)
    assert CURES[reason].text


def test_the_cures_are_on_the_page(browser: Client, pixel: Pixel) -> None:
    body = browser.get(f"{LIST}{pixel.pk}/live/").content.decode()
    cures = json.loads(body.partition('<script id="cures" type="application/json">')[2].partition("</script>")[0])
    assert set(cures) == {reason.value for reason in Reason}
    assert cures["pixel_paused"]["link"] == f"{LIST}{pixel.pk}/change/"


def test_a_suppressed_fire_shows_reason_and_host_only(browser: Client, pixel: Pixel) -> None:
    secrets = {"page_path": "/secret", "browser": "Firefox", "device": "mobile", "same": "a41f", "other": "secret"}
    make_fire(
        pixel, outcome="suppressed", reason="gpc", page_host="shop.example", actions=[{"code": "secret"}], **secrets
    )
    answer = browser.get(f"{LIST}{pixel.pk}/live/fires/")
    [fire] = answer.json()["rows"]
    assert (fire["reason"], fire["page"], fire["host"]) == ("gpc", "shop.example", "shop.example")
    assert b"secret" not in answer.content
    assert fire["browser"] == fire["device"] == fire["same"] == ""


def test_fires_are_filtered(browser: Client, pixel: Pixel) -> None:
    link = f"{LIST}{pixel.pk}/live/fires/"
    make_fire(pixel, page_host="shop.example")
    make_fire(pixel, outcome="rejected", reason="bot", page_host="copy.example")
    assert [fire["outcome"] for fire in fires_of(browser, link, outcome="rejected")["rows"]] == ["rejected"]
    assert [fire["outcome"] for fire in fires_of(browser, link, reason="bot")["rows"]] == ["rejected"]
    assert [fire["outcome"] for fire in fires_of(browser, link, host="SHOP.example")["rows"]] == ["applied"]
    assert len(fires_of(browser, link, outcome="nonsense", host="")["rows"]) == 2


@pytest.mark.parametrize("after", ["", "x", "2026", "2026-11-22T10:00:00", "9999-12-31T23:59:59+00:00", "\x00"])
def test_an_unreadable_cursor_is_a_new_look(browser: Client, pixel: Pixel, after: str) -> None:
    assert browser.get(f"{LIST}{pixel.pk}/live/fires/", {"after": after}).status_code == 200


def test_too_many_fires_are_sampled_and_it_is_said(browser: Client, pixel: Pixel) -> None:
    now = timezone.now()
    Fire.all_advertisers.bulk_create(
        Fire(
            id=uuid4(),
            received_at=now - timedelta(milliseconds=number),
            outcome="applied",
            pixel=pixel,
            advertiser_id=pixel.advertiser_id,
        )
        for number in range(2_000)
    )
    glance = fires_of(browser, f"{LIST}{pixel.pk}/live/fires/", after=(now - timedelta(seconds=1)).isoformat())
    assert len(glance["rows"]) == 300
    assert glance["one_of"] > 3


def test_a_segments_live_view_shows_the_fires_that_name_it(
    browser: Client, kettle: Advertiser, pixel: Pixel, cart: Segment
) -> None:
    direct = Pixel.all_advertisers.get(advertiser=kettle, is_direct=True)
    named = make_fire(pixel, actions=[{"do": "add", "segment": cart.pk, "code": "cart", "value": 65}])
    refused = make_fire(
        direct, outcome="rejected", actions=[{"do": "add", "code": str(cart.pk), "reason": "bad_value"}]
    )
    make_fire(direct, actions=[{"do": "add", "segment": cart.pk + 1, "code": "other"}])
    fires = fires_of(browser, f"/admin/segments/segment/{cart.pk}/live/fires/")["rows"]
    assert {fire["id"] for fire in fires} == {str(named.id), str(refused.id)}
    assert {fire["pixel"] for fire in fires} == {"Cart", "Direct calls"}


def test_the_test_page_may_load_the_pixel_hosts_image_and_no_other_page(browser: Client, pixel: Pixel) -> None:
    policy = browser.get(f"{LIST}{pixel.pk}/test/")["Content-Security-Policy"]
    assert f"img-src 'self' data: {settings.MUSTER_PIXEL_URL}" in policy
    assert settings.MUSTER_PIXEL_URL not in browser.get(f"{LIST}{pixel.pk}/live/")["Content-Security-Policy"]


# --- How a pixel is doing


def state_of(pixel: Pixel) -> State:
    now = timezone.now()
    with acting_for(pixel.advertiser_id):
        return healths([pixel], now, now.replace(hour=0, minute=0))[pixel.pk].state


def count(pixel: Pixel, outcome: str, fires: int, hours_ago: int, model: Any = FireHour) -> None:
    hour = (timezone.now() - timedelta(hours=hours_ago)).replace(minute=0, second=0, microsecond=0)
    more = {"last_at": hour} if model is FireDelta else {}
    model.objects.create(
        advertiser_id=pixel.advertiser_id, pixel=pixel, hour=hour, outcome=outcome, fires=fires, **more
    )


def test_a_pixel_that_never_fired(pixel: Pixel) -> None:
    assert state_of(pixel) is State.NEVER_FIRED


@pytest.mark.parametrize("model", [FireHour, FireDelta])
def test_a_pixel_that_fires(pixel: Pixel, model: Any) -> None:
    count(pixel, "applied", 60, 0, model)
    count(pixel, "rejected", 4, 0, model)
    assert state_of(pixel) is State.FIRING


def test_a_pixel_that_refuses_more_than_a_tenth(pixel: Pixel) -> None:
    count(pixel, "applied", 60, 0)
    count(pixel, "rejected", 8, 0)
    assert state_of(pixel) is State.REFUSING


def test_a_pixel_with_few_fires_is_not_judged_by_one(pixel: Pixel) -> None:
    count(pixel, "applied", 5, 0)
    count(pixel, "rejected", 3, 0)
    assert state_of(pixel) is State.FIRING


def test_a_pixel_whose_every_fire_is_refused(pixel: Pixel) -> None:
    count(pixel, "rejected", 3, 5)
    assert state_of(pixel) is State.REFUSING


def test_a_paused_pixel(pixel: Pixel) -> None:
    count(pixel, "rejected", 3, 5)
    pixel.state = Pixel.State.PAUSED
    assert state_of(pixel) is State.PAUSED


@pytest.mark.parametrize(("days", "is_missed"), [([2, 3, 4], True), ([2, 3], False)])
def test_a_silent_pixel_is_missed_where_it_had_a_habit(pixel: Pixel, days: list[int], is_missed: bool) -> None:
    for day in days:
        count(pixel, "applied", 3, day * 24)
    now = timezone.now()
    with acting_for(pixel.advertiser_id):
        health = healths([pixel], now, now)[pixel.pk]
    assert (health.state, health.has_lost_its_habit) == (State.SILENT, is_missed)


def test_the_overview_shows_pages_and_outcomes(browser: Client, pixel: Pixel) -> None:
    count(pixel, "applied", 1_234, 0)
    body = browser.get(f"{LIST}{pixel.pk}/overview/").content.decode()
    assert "1,234" in body
    assert "firing" in body
