"""The main job, as a marketer and a visitor live it: from a name in a form to a file at the receiver.

The admin, the pixel host, the shop and the SFTP server are four origins; every process is a real one.
"""

import csv
import gzip
import io
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.exports.servers import Sshd, free_port
from tests.running import LiveMuster, own_folder, until

pytestmark = [pytest.mark.browser, pytest.mark.sshd]
LIFETIME = timedelta(minutes=1)


class Shop:
    """A web site with one page, on an origin of its own."""

    def __init__(self) -> None:
        shop = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(f"<!doctype html><title>Cart</title>{shop.tag}".encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.tag = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        # The pixel host is `localhost` too: over plain http the cookie needs the same site.
        self.url = f"http://localhost:{self._server.server_port}/cart"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "sshd", port=free_port()) as server:
        yield server


@pytest.fixture
def muster(receiver: Sshd) -> Iterator[LiveMuster]:
    environment = {"DELIVERY_ALLOWED_NETWORKS": "127.0.0.0/8", "DELIVERY_ALLOWED_PORTS": str(receiver.port)}
    muster = LiveMuster(own_folder("story"), environment=environment)
    try:
        yield muster.start()
    finally:
        muster.close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


def test_from_a_name_in_a_form_to_a_file_at_the_receiver(
    muster: LiveMuster, shop: Shop, receiver: Sshd, browser: Browser
) -> None:
    page = browser.new_context(viewport={"width": 1300, "height": 1000}).new_page()
    page.set_default_timeout(15_000)
    complaints = watch(page)
    sign_in(page, muster)
    make_advertiser(page, muster)

    shop.tag, live_view = make_segment_and_get_tag(page, muster)
    make_destination(page, muster, receiver)
    export = make_export(page, muster)

    page.goto(live_view)
    expect(page.get_by_text("fires appear within a second")).to_be_visible()
    fired_at = visit(browser, shop)
    applied = page.get_by_role("row").filter(has_text="applied")
    expect(applied).to_have_count(1)
    expect(applied).to_contain_text("localhost/cart")
    assert datetime.now(UTC) - fired_at < timedelta(seconds=3), "one second, and what a busy machine takes to look"
    expect_members(page, muster, 1)

    deliver(page, export)
    check_file(receiver, muster)
    leave_on_time(page, muster, fired_at + LIFETIME)
    assert complaints == []


def watch(page: Page) -> list[str]:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


def sign_in(page: Page, muster: LiveMuster) -> None:
    page.goto(f"{muster.admin_url}/admin/")
    page.get_by_label("Username").fill("operator")
    page.get_by_label("Password").fill(muster.operator_password)
    page.get_by_role("button", name="Log in").click()


def make_advertiser(page: Page, muster: LiveMuster) -> None:
    page.get_by_role("link", name="Add the first advertiser").click()
    page.get_by_label("Name").fill("Kettle & Co")
    page.get_by_label("Domains").fill("localhost")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Kettle & Co").first).to_be_visible()


def make_segment_and_get_tag(page: Page, muster: LiveMuster) -> tuple[str, str]:
    """Make a segment whose members stay for a minute, with its pixel; return the tag and the live view's address."""
    page.goto(f"{muster.admin_url}/admin/")
    page.get_by_role("link", name="Make your first segment").click()
    page.get_by_label("Name").fill("Cart")
    page.get_by_label("How many").first.fill("1")
    page.get_by_label("Unit").first.select_option(label="minutes")
    page.get_by_role("button", name="Save and get tag").click()
    tag = page.locator("#tag-html")
    expect(tag).to_contain_text("<script async src=")
    assert muster.pixel_url in tag.inner_text()
    live_view = page.get_by_role("link", name="Live view").get_attribute("href")
    return tag.inner_text(), f"{muster.admin_url}{live_view}"


def visit(browser: Browser, shop: Shop) -> datetime:
    """Open the shop in a visitor's browser; return the instant of the fire's answer."""
    page = browser.new_context().new_page()
    with page.expect_response(re.compile(r"/p/\w{16}\.js")) as answer:
        page.goto(shop.url)
    assert answer.value.status == 200
    assert "muid" in (answer.value.header_value("set-cookie") or "")
    return datetime.now(UTC)


def expect_members(page: Page, muster: LiveMuster, count: int) -> None:
    page.goto(f"{muster.admin_url}/admin/segments/segment/")
    page.locator("a[href$='/overview/']", has_text="Cart").first.click()
    expect(page.get_by_text("Members now").locator("..")).to_contain_text(re.compile(rf"Members now\s*{count}\b"))


def make_destination(page: Page, muster: LiveMuster, receiver: Sshd) -> None:
    """Make the SFTP destination: key log-in, the host key confirmed by the fingerprint that the receiver sent."""
    page.goto(f"{muster.admin_url}/admin/exports/destination/add/")
    page.get_by_label("Name").fill("CRM inbox")
    page.locator("[name=kind]").select_option("sftp")
    page.locator("[name=receiver]").select_option("own")
    page.locator("[name=host]").fill("127.0.0.1")
    page.locator("[name=port]").fill(str(receiver.port))
    page.locator("[name=username]").fill(receiver.username)
    page.locator("[name=login]").select_option("key")
    page.locator("[name=private_key]").fill(receiver.private_key)
    page.get_by_role("button", name="Fetch key").click()
    fingerprint = page.locator("[data-fingerprint]")
    expect(fingerprint).to_contain_text("SHA256:")
    page.locator("[name=fingerprint]").fill(fingerprint.inner_text())
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator(".m-state", has_text="Ready").first).to_be_visible(timeout=30_000)


def make_export(page: Page, muster: LiveMuster) -> str:
    """Make a nightly export of the browser ids in the segment; return the address of its page."""
    page.goto(f"{muster.admin_url}/admin/exports/export/add/")
    page.locator("#id_name").fill("CRM nightly")
    page.locator("[name=destination]").select_option(label="CRM inbox")
    page.locator("#id_export_segments-0-segment + .select2-container").click()
    page.get_by_role("option", name="Cart").click()
    page.locator("[name$=-what]:visible").first.select_option("identifier:browser")
    page.locator("[name=schedule]").select_option("nightly")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("button", name="Run now")).to_be_visible()
    return page.url


def deliver(page: Page, export: str) -> None:
    page.goto(export)
    page.get_by_role("button", name="Run now").click()
    expect(page.locator("[data-state=delivered]")).to_be_visible(timeout=30_000)


def check_file(receiver: Sshd, muster: LiveMuster) -> None:
    """Read the delivered file as the receiver would, and compare it with the database."""
    (path,) = receiver.files.rglob("*.csv.gz")
    header, *rows = csv.reader(io.StringIO(gzip.decompress(path.read_bytes()).decode()))
    with muster.connect() as database:
        stored = database.execute("SELECT value FROM audience_identifier WHERE kind = 'browser'").fetchall()
    assert [row[header.index("browser")] for row in rows] == [value for (value,) in stored]


def leave_on_time(page: Page, muster: LiveMuster, end: datetime) -> None:
    """The member is in until the end of the minute, and out at that instant; then the leave is published."""
    with muster.connect() as database:
        ((expires_at,),) = database.execute("SELECT expires_at FROM segments_membership").fetchall()
        assert abs(expires_at - end) < timedelta(seconds=2)
        until(lambda: datetime.now(UTC) >= expires_at, "the end of the minute", timeout_seconds=70)
        expect_members(page, muster, 0)

        def published() -> bool:
            return bool(
                database.execute(
                    "SELECT 1 FROM segments_transition WHERE change = 'leave' AND at = %s", [expires_at]
                ).fetchall()
            )

        until(published, "the leave in the transitions", timeout_seconds=15)
