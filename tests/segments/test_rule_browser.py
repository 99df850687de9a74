"""A marketer and a rule in a real browser, before a whole Muster: from a starting point to why somebody is in."""

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from django.contrib.auth.hashers import ScryptPasswordHasher
from playwright.sync_api import Page, expect, sync_playwright

from audience.models import Role, WriteKey
from audience.tenancy import acting_for
from audience.writekeys import issue_write_key
from pixels.direct import make_direct_pixels
from tests.admins import make_user
from tests.factories import make_advertiser, make_profile
from tests.running import LiveMuster

pytestmark = pytest.mark.browser

PASSWORD = "a long password of a test"


class Shop(NamedTuple):
    """An advertiser at a running Muster: who signs in, and with what its server sends events."""

    muster: LiveMuster
    username: str
    write_key: str

    def purchase(self, customer_id: str) -> None:
        """Track a purchase at the real door."""
        body = {"writeKey": self.write_key, "userId": customer_id, "event": "purchase", "properties": {"total": 40}}
        request = urllib.request.Request(f"{self.muster.pixel_url}/v1/track", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request, timeout=20).close()


@pytest.fixture
def shop(live_muster: LiveMuster, live_models: None) -> Shop:
    """Rows are made before there is a browser, since playwright's loop keeps Django off."""
    advertiser = make_advertiser()
    make_direct_pixels([advertiser.pk])
    for number in range(3):
        make_profile(advertiser, customer_id=f"C-{number}")
    # The hasher of these tests is not one of a real Muster.
    password = ScryptPasswordHasher().encode(PASSWORD, "salt")
    user = make_user(advertiser, Role.OWNER, username=f"marketer{advertiser.pk}", password=password)
    with acting_for(advertiser.pk):
        _, key = issue_write_key(advertiser, name="Shop", kind=WriteKey.Kind.SERVER)
    return Shop(live_muster, user.username, key)


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def page(shop: Shop, complaints: list[str]) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1300, "height": 900}).new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{shop.muster.admin_url}/admin/")
        page.get_by_label("Username").fill(shop.username)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("link", name="Try a rule").first).to_be_visible()
        yield page
        browser.close()


def look(page: Page, name: str) -> None:
    """Keep a picture where somebody wants to see one."""
    if folder := os.environ.get("TEST_PICTURES"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_from_a_starting_point_to_why_somebody_is_in(page: Page, shop: Shop, complaints: list[str]) -> None:
    page.goto(f"{shop.muster.admin_url}/admin/segments/segment/add/")
    look(page, "add")
    page.get_by_role("link", name="People who fit a rule").click()
    look(page, "rule-empty")
    page.get_by_label("Name").fill("First buyers")
    page.get_by_role("button", name="First-time buyers").click()
    expect(page.locator("[data-rulechecks]")).to_contain_text("urchased")
    expect(page.locator("[data-rulenumbers]")).to_contain_text("of 3")
    expect(page.get_by_label("Name")).to_have_value("First buyers")
    look(page, "rule-filled")
    # Enter in a line saves, as in every form.
    page.get_by_label("Name").press("Enter")

    expect(page.get_by_text("Version 1 is being built")).to_be_visible()
    look(page, "building")
    expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Nobody has joined yet.")).to_be_visible()
    look(page, "live-empty")

    shop.purchase("C-1")
    page.reload()
    expect(page.locator("[data-region=numbers]")).to_contain_text("Members now1")
    look(page, "live-one")
    page.get_by_label("Why is somebody in or out?").fill("C-1")
    page.get_by_role("button", name="Why").click()
    expect(page.get_by_role("heading", name="In. Leaves on")).to_be_visible()
    expect(page.get_by_text("once, newest")).to_be_visible()
    look(page, "why-in")
    page.get_by_label("Why is somebody in or out?").fill("C-2")
    page.get_by_role("button", name="Why").click()
    expect(page.get_by_role("heading", name="Not in, and time alone does not change that.")).to_be_visible()
    look(page, "why-out")

    page.get_by_role("link", name="Settings").click()
    page.get_by_label("As JSON").fill('{"muster_rule": 1, "of": "profile", "rule": {"event": "purchase"}}')
    expect(page.locator("[data-rulechecks]")).to_contain_text("Purchased in the last")
    expect(page.locator("[data-rulenumbers]")).to_contain_text("Saved now, 0 would join, 0 would leave and 1 stay.")
    look(page, "edit")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Version 2, complete since")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name="Versions").click()
    expect(page.locator("#version-2")).to_contain_text("Serves")
    page.locator("#version-2 summary").first.click()
    look(page, "versions")
    assert complaints == []


def test_every_page_holds_on_a_narrow_screen(page: Page, shop: Shop, complaints: list[str]) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(f"{shop.muster.admin_url}/admin/segments/segment/add/by-rule/")
    page.get_by_label("Name").fill("Brand lovers whose segment has a name that is long")
    page.get_by_role("button", name="Brand enthusiasts").click()
    expect(page.locator("[data-rulenumbers]")).to_contain_text("People now")
    narrow(page, "narrow-form")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=60_000)
    narrow(page, "narrow-overview")
    for link in ("Versions", "Settings", "Overview"):
        page.get_by_role("link", name=link, exact=True).click()
        narrow(page, f"narrow-{link.lower()}")
    page.get_by_role("link", name="Pause").click()
    narrow(page, "narrow-pause")
    page.get_by_role("button", name="Yes, pause it").click()
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    page.get_by_label("Why is somebody in or out?").fill("C-2")
    page.get_by_role("button", name="Why").click()
    narrow(page, "narrow-why")
    assert complaints == []


def narrow(page: Page, name: str) -> None:
    look(page, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400, name
