"""The marketer's way from nothing to a delivered file, in a real browser, with a real server and a real worker."""

import csv
import gzip
import json
import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Page, expect, sync_playwright
from pytest_django import DjangoDbBlocker

from audience.models import Role
from tests.admins import make_user, sign_in
from tests.exports.servers import Sshd
from tests.factories import make_advertiser, make_member, make_profile, make_segment
from tests.running import LiveMuster, own_folder

pytestmark = [pytest.mark.browser, pytest.mark.sshd]

PATIENCE_MS = 60_000
PEOPLE = 25


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "sshd") as sshd:
        yield sshd


@pytest.fixture
def muster(server: Sshd) -> Iterator[LiveMuster]:
    """A Muster that may connect to the server of this test."""
    allowed = {"DELIVERY_ALLOWED_NETWORKS": "127.0.0.0/8", "DELIVERY_ALLOWED_PORTS": str(server.port)}
    # With our key it takes the session that is made here.
    muster = LiveMuster(own_folder("admin"), {**allowed, "SECRET_KEY": settings.SECRET_KEY})
    try:
        yield muster.start()
    finally:
        muster.close()


@pytest.fixture
def session(muster: LiveMuster, django_db_blocker: DjangoDbBlocker) -> str:
    """The session of an owner whose segment has members; rows are made before playwright's loop begins."""
    with django_db_blocker.unblock(), muster.orm():
        kettle = make_advertiser(name="Kettle & Co", time_zone="Europe/Berlin")
        segment = make_segment(kettle, "cart", name="Cart abandoners")
        for number in range(PEOPLE):
            profile = make_profile(kettle, email=f"cart{number}@example.com", customer_id=f"C-{number:02}")
            make_member(segment, profile, starts_at=timezone.now() - timedelta(hours=1))
        user = make_user(kettle, Role.OWNER, first_name="Ana", last_name="Lopez")
        return str(sign_in(user).cookies[settings.SESSION_COOKIE_NAME].value)


@pytest.fixture
def page(session: str, muster: LiveMuster) -> Iterator[Page]:
    """A browser that fails the test for whatever it complains of."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1300, "height": 900}, base_url=muster.admin_url)
        cookie: Any = {"name": settings.SESSION_COOKIE_NAME, "value": session, "domain": "127.0.0.1", "path": "/"}
        context.add_cookies([cookie])
        context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        yield context.new_page()
        browser.close()
    assert complaints == []


@pytest.mark.spec("E9")
@pytest.mark.spec("E2")
def test_from_a_new_destination_to_the_downloaded_file(page: Page, server: Sshd) -> None:
    make_destination(page, server)
    make_export(page)
    page.get_by_role("button", name="Run now").click()
    expect(page.locator("[data-state=delivered]")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_role("cell", name="Its size was read back").first).to_be_visible()

    (manifest,) = server.files.glob("*.manifest.json")
    name = json.loads(manifest.read_text())["files"][0]["name"]
    delivered = rows_of((server.files / name).read_bytes())
    assert len(delivered) == PEOPLE + 1
    assert delivered[:2] == [["Mail", "id", "note"], ["cart0@example.com", "C-00", "=1+1"]]

    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == name
    downloaded = rows_of(Path(download.value.path()).read_bytes())
    assert downloaded[1] == ["cart0@example.com", "C-00", "'=1+1"]
    check_narrow(page)


def rows_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(gzip.decompress(content).decode().splitlines()))


def make_destination(page: Page, server: Sshd) -> None:
    """Fill the form, fetch and confirm the key, test, save."""
    page.goto("/admin/exports/destination/")
    page.get_by_role("link", name="Add destination").first.click()
    page.locator("#id_name").fill("CRM inbox")
    page.locator("#id_receiver").select_option("own")
    expect(page.locator("#id_root")).to_be_hidden()
    page.locator("#id_host").fill("127.0.0.1")
    page.locator("#id_port").fill(str(server.port))
    page.locator("#id_username").fill(server.username)
    page.locator("#id_login").select_option("key")
    expect(page.locator("#id_password")).to_be_hidden()
    page.get_by_label("Or paste a private key").fill(server.private_key)

    page.get_by_role("button", name="Test connection").click()
    expect(page.locator(".m-teststep--failed")).to_contain_text("The host key is the confirmed one")
    page.get_by_role("button", name="Fetch key").click()
    page.get_by_label("Fingerprint from the receiver").fill("SHA256:" + "A" * 43)
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator("[data-testend]")).to_contain_text("not the one that the server shows")
    told = subprocess.run(
        ["ssh-keygen", "-lf", server.folder / "host.pub"], capture_output=True, text=True, check=True
    )
    page.get_by_label("Fingerprint from the receiver").fill(told.stdout)
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator("[data-testend]")).to_contain_text("Every step has passed", timeout=PATIENCE_MS)
    expect(page.locator(".m-teststep")).to_have_count(15)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("is saved and ready")).to_be_visible()
    expect(page.get_by_text(re.compile(r"set on .* by Ana Lopez"))).to_be_visible()


def make_export(page: Page) -> None:
    """A nightly export with three columns, the second dragged above the first."""
    page.goto("/admin/exports/export/")
    page.get_by_role("link", name="Add export").first.click()
    page.locator("#id_name").fill("CRM nightly")
    page.locator("#id_destination").select_option(label="CRM inbox")
    page.locator(".field-segment .select2").first.click()
    page.locator(".select2-search__field").fill("cart")
    page.get_by_role("option", name="Cart abandoners").click()
    page.locator("#id_columns-0-header").fill("id")
    page.locator("#id_columns-1-what").select_option("identifier:email")
    page.locator("#id_columns-1-header").fill("Mail")
    page.get_by_text("Add another Column").click()
    page.locator("#id_columns-2-what").select_option("constant")
    page.locator("#id_columns-2-detail").fill("=1+1")
    page.locator("#id_columns-2-header").fill("note")
    expect(page.locator("#id_columns-2-values")).to_be_hidden()
    drag_second_column_up(page)

    page.locator("#id_file_name").fill("{nope}.csv")
    expect(page.locator("[data-nameerrors]")).to_contain_text("There is no field {nope}")
    page.locator("#id_file_name").fill("crm_{segment_code}_{date}_{run}.csv")
    expect(page.locator("[data-names]")).to_contain_text("crm_cart_20")
    page.locator("#id_at_time").fill("05:30")
    expect(page.locator("[data-times] tbody tr")).to_have_count(5)
    expect(page.locator("[data-times]")).to_contain_text("05:30")
    page.get_by_role("button", name="Preview 20 rows").click()
    expect(page.locator("[data-rowsbox] tbody tr")).to_have_count(20)
    expect(page.locator("[data-rowsbox] th").first).to_have_text("Mail")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("The export “CRM nightly” is saved.")).to_be_visible()


def drag_second_column_up(page: Page) -> None:
    lines = page.locator("#columns-data tbody.form-group:not(.empty-form)")
    lines.nth(1).locator(".m-handle").drag_to(lines.nth(0), target_position={"x": 200, "y": 4})
    expect(lines.nth(0).locator("[name$=-header]")).to_have_value("Mail")
    lines.nth(0).locator(".m-handle").press("ArrowDown")
    expect(lines.nth(0).locator("[name$=-header]")).to_have_value("id")
    lines.nth(1).locator(".m-handle").press("ArrowUp")
    expect(lines.nth(0).locator("[name$=-position]")).to_have_value("0")


def check_narrow(page: Page) -> None:
    """At 400 px nothing is wider than the window."""
    page.set_viewport_size({"width": 400, "height": 800})
    for link in ("destination/", "destination/add/", "export/", "export/add/", "run/", "run/1/overview/"):
        page.goto(f"/admin/exports/{link}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, link
