"""Write keys and identity secrets in the admin: made, shown once, switched off, and what a key brought."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audience.models import Advertiser, IdentitySecret, Role, WriteKey
from audience.proofs import live_secrets
from audience.tenancy import acting_for
from audience.writekeys import issue_write_key
from pixels.models import MessageDelta, MessageHour
from segments.models import Segment
from tests.admins import at_work, form_of
from tests.factories import make_advertiser, make_segment

pytestmark = pytest.mark.django_db
KEYS = "/admin/audience/writekey/"


@pytest.fixture
def kettle() -> Advertiser:
    return make_advertiser(name="Kettle & Co")


@pytest.fixture
def browser(kettle: Advertiser) -> Client:
    return at_work(kettle)


def new_key(client: Client, **said: Any) -> str:
    form = form_of(client.get(f"{KEYS}add/").content.decode(), having="name")
    page = client.post(f"{KEYS}add/", {**form, "name": "Shop", **said}).content.decode()
    found = re.search(r"m[ws]_[\w-]{16,43}", page)
    assert found, page
    return found[0]


def test_a_server_key_is_shown_once_and_stored_nowhere(browser: Client, kettle: Advertiser) -> None:
    plain = new_key(browser, kind="server")
    row = WriteKey.all_advertisers.get()
    assert (row.advertiser, row.name, row.kind) == (kettle, "Shop", "server")
    assert plain not in str(WriteKey.all_advertisers.values_list())
    for link in ("", f"{row.pk}/change/", f"{row.pk}/history/"):
        page = browser.get(f"{KEYS}{link}").content.decode()
        assert plain not in page
        assert "muster.init" not in page, "it has no place in a page"


def test_a_public_key_can_be_read_again_and_its_pages_enforced(browser: Client) -> None:
    plain = new_key(browser, kind="public", is_origin_enforced="on")
    row = WriteKey.all_advertisers.get()
    assert row.is_origin_enforced
    assert plain in browser.get(KEYS).content.decode()
    page = unescape(browser.get(f"{KEYS}{row.pk}/change/").content.decode())
    assert f'muster.init("{plain}",{{autoPage:true}});</script><script async src="' in page
    form = form_of(browser.get(f"{KEYS}{row.pk}/change/").content.decode(), having="name")
    del form["is_origin_enforced"]
    assert browser.post(f"{KEYS}{row.pk}/change/", {**form, "name": "Pages"}).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.is_origin_enforced, row.public_key) == ("Pages", False, plain)


def test_a_revoked_key_is_refused_and_keeps_its_row(browser: Client) -> None:
    new_key(browser, kind="server")
    row = WriteKey.all_advertisers.get()
    browser.post(f"{KEYS}{row.pk}/delete/", {"post": "yes"})
    row.refresh_from_db()
    assert row.revoked_at is not None
    assert "revoked" in browser.get(KEYS).content.decode()
    assert browser.get(f"{KEYS}{row.pk}/change/").status_code == 200


def test_the_page_shows_what_a_key_brought(browser: Client, kettle: Advertiser) -> None:
    row, _ = issue_write_key(kettle, name="CRM", kind=WriteKey.Kind.SERVER)
    with acting_for(kettle.pk):
        hour = timezone.now().replace(minute=0, second=0, microsecond=0)
        for model, outcome, error, messages in (
            (MessageHour, "applied", "", 1_200),
            (MessageDelta, "applied", "", 34),
            (MessageDelta, "rejected", "no_event_name", 5),
        ):
            model.objects.create(source_id=row.pk, hour=hour, outcome=outcome, error=error, messages=messages)
    assert "1,234 kept, 5 refused" in browser.get(KEYS).content.decode()
    page = browser.get(f"{KEYS}{row.pk}/change/").content.decode()
    assert "A track call needs an event name." in page
    assert "1,234" in page


def test_a_secret_is_shown_once_and_two_are_live(browser: Client, kettle: Advertiser) -> None:
    shown = []
    for _ in range(3):
        page = browser.post("/admin/audience/identitysecret/add/", {}).content.decode()
        found = re.search(r'id="secret"[^>]*>([\w-]{43})<', page)
        assert found, page
        shown.append(found[1])
    assert live_secrets()[kettle.pk] == shown[:0:-1]
    assert not any(one in browser.get("/admin/audience/identitysecret/").content.decode() for one in shown)
    assert IdentitySecret.all_advertisers.filter(advertiser=kettle).count() == 2


def test_a_manager_sees_keys_and_makes_none(kettle: Advertiser) -> None:
    manager = at_work(kettle, Role.MANAGER)
    assert manager.get(KEYS).status_code == 200
    assert manager.get(f"{KEYS}add/").status_code == 403
    assert manager.get("/admin/audience/identitysecret/").status_code == 403


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("https://shop.example/cart?x=1\nShop.example", ["https://shop.example"]),
        ("https://shop.example:443 https://shop.example:8443", ["https://shop.example", "https://shop.example:8443"]),
        ("http://localhost:3000", ["http://localhost:3000"]),
        ("*.shop.example", None),
        ("https://[x", None),
        ("javascript://shop.example", None),
    ],
)
def test_page_origins_are_typed_as_people_do(
    browser: Client, kettle: Advertiser, typed: str, kept: list[str]
) -> None:
    link = f"/admin/audience/advertiser/{kettle.pk}/change/"
    form = form_of(browser.get(link).content.decode(), having="time_zone")
    answer = browser.post(link, {**form, "page_origins": typed})
    kettle.refresh_from_db()
    assert answer.status_code == (200 if kept is None else 302)
    assert kettle.page_origins == (kept or [])


def test_a_segment_is_made_readable_on_the_page(browser: Client, kettle: Advertiser) -> None:
    cart = make_segment(kettle)
    link = f"/admin/segments/segment/{cart.pk}/change/"
    form = form_of(browser.get(link).content.decode(), having="code")
    assert browser.post(link, {**form, "is_readable_on_page": "on"}).status_code == 302
    assert Segment.all_advertisers.get(pk=cart.pk).is_readable_on_page
