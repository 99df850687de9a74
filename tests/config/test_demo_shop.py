"""The demo shop: a visitor's browser at the site that `manage.py up` serves, and what Muster made of the visit."""

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from tests.running import LiveMuster, alive, descendants, own_folder, until

pytestmark = [pytest.mark.browser, pytest.mark.spec("pixels.md 4.1")]

BANNER = "Free delivery from 100 €"
# What came by the shop's own pages, and not as the demo's past.
SEEN = """
    SELECT DISTINCT event.name, event.profile_id, identifier.kind FROM audience_event event
    JOIN audience_identifier identifier USING (profile_id)
    WHERE event.context ->> 'channel' IS DISTINCT FROM 'server' ORDER BY 1
"""


@pytest.fixture(scope="module")
def muster() -> Iterator[LiveMuster]:
    """A Muster that has a demo advertiser: it was made before this start, so its shop is open."""
    muster = LiveMuster(own_folder("shop"))
    try:
        muster.start()
        assert muster.shop_url not in muster.output
        muster.manage("demo", "--visitors=5")
        assert muster.stop() == 0
        yield muster.start()
    finally:
        muster.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[BrowserContext]:
    """Somebody who was never here; what the browser complains of fails the test."""
    complaints: list[str] = []
    context = chromium.new_context()
    context.set_default_timeout(15_000)
    context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield context
    context.close()
    assert complaints == []


def answered(page: Page, what: str) -> None:
    """Wait until the strip at the foot shows this answer."""
    expect(page.locator("#last")).to_have_text(what)


def fill_cart(page: Page, product: str) -> None:
    page.get_by_role("link", name=product).click()
    answered(page, "product_view: applied")
    page.get_by_role("button", name="Add to cart").click()


def test_up_says_where_the_shop_is(muster):
    assert re.search(rf"Shop +{muster.shop_url}", muster.output)


def segments_of(page: Page) -> set[str]:
    """Return the segments that the strip at the foot shows."""
    return set((page.locator("#segments").text_content() or "").split(", ")) - {"none"}


def test_the_banner_comes_with_the_cart_and_goes_with_the_order(muster, visitor):
    page = visitor.new_page()
    page.goto(muster.shop_url)
    page.get_by_role("button", name="Yes").click()
    answered(page, "page: applied")
    banner = page.get_by_text(BANNER)
    expect(banner).to_be_hidden()

    fill_cart(page, "Reading lamp")
    answered(page, "cart_updated: applied")
    expect(banner).to_be_visible()
    assert segments_of(page) == {"cart", "cart-under-100"}

    page.get_by_role("link", name="Cart (1)").click()
    answered(page, "page: applied")
    expect(banner).to_be_visible()
    expect(page.get_by_text("Total 79 €")).to_be_visible()

    page.get_by_role("button", name="Buy now").click()
    answered(page, "purchase: applied")
    expect(banner).to_be_hidden()
    assert segments_of(page) == set()

    with muster.connect() as database:
        seen = database.execute(SEEN).fetchall()
        totals = database.execute(
            "SELECT properties->>'total' FROM audience_event WHERE name IN ('cart_updated', 'purchase') "
            "AND profile_id = %s",
            [seen[0][1]],
        ).fetchall()
    assert {name for name, *_ in seen} == {"page", "product_view", "add_to_cart", "cart_updated", "purchase"}
    assert {kind for *_, kind in seen} == {"browser"}
    assert len({profile for _, profile, _ in seen}) == 1, "pixels and events know one visitor"
    assert totals == [("79",), ("79",)]


def test_the_banner_goes_in_the_answer_that_carries_the_cart_over_100_and_comes_back(muster, visitor):
    page = visitor.new_page()
    page.goto(muster.shop_url)
    page.get_by_role("button", name="Yes").click()
    answered(page, "page: applied")
    fill_cart(page, "Reading lamp")
    banner = page.get_by_text(BANNER)
    expect(banner).to_be_visible()
    page.goto(f"{muster.shop_url}/product.html?sku=kettle")
    answered(page, "product_view: applied")
    expect(banner).to_be_visible()

    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))
    with page.expect_response(lambda response: told(response.request) == "add_to_cart") as over:
        page.get_by_role("button", name="Add to cart").click()
    expect(banner).to_be_hidden()
    answer = over.value.json()
    assert (answer["joined"], answer["left"]) == ([], ["cart-under-100"])
    assert [one["code"] for one in answer["segments"]] == ["cart"]
    assert not [request.url for request in sent if "/v1/me/" in request.url], "nothing more was asked"

    page.get_by_role("link", name="Cart (2)").click()
    expect(page.get_by_text("Total 128 €")).to_be_visible()
    answered(page, "page: applied")
    expect(banner).to_be_hidden()
    with page.expect_response(lambda response: told(response.request) == "cart_updated") as under:
        page.get_by_role("listitem").filter(has_text="Reading lamp").get_by_role("button", name="Remove").click()
    expect(banner).to_be_visible()
    assert under.value.json()["joined"] == ["cart-under-100"]

    with page.expect_response(lambda response: told(response.request) == "cart_updated") as emptied:
        page.get_by_role("button", name="Remove").click()
    expect(banner).to_be_hidden()
    assert emptied.value.json()["left"] == ["cart-under-100"]


def told(request: Request) -> str:
    """Return the event that a request tells."""
    return json.loads(request.post_data)["event"] if "/v1/t?" in request.url and request.post_data else ""


def test_an_email_address_is_left(muster, visitor):
    page = visitor.new_page()
    page.goto(muster.shop_url)
    page.get_by_role("button", name="Yes").click()
    page.get_by_label("Our letter").fill("ada@shop.example")
    page.get_by_role("button", name="Leave your e-mail").click()
    answered(page, "identify: applied")

    with muster.connect() as database:
        stored = database.execute("SELECT value FROM audience_attribute WHERE name = 'email'").fetchall()
    assert stored == [("ada@shop.example",)]


def test_who_says_no_is_not_told_of(muster, visitor):
    page = visitor.new_page()
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.url.startswith(muster.pixel_url) else None)
    page.goto(muster.shop_url)
    page.get_by_role("button", name="No").click()
    answered(page, "page: suppressed")
    page.get_by_role("link", name="Stoneware mug").click()
    page.get_by_role("button", name="Add to cart").click()
    answered(page, "cart_updated: suppressed")
    expect(page.get_by_role("link", name="Cart (1)")).to_be_visible()

    assert {request.url for request in sent} == {f"{muster.pixel_url}/muster.js"}
    assert visitor.cookies() == []


def test_a_no_takes_back_what_the_page_knew(muster, visitor):
    page = visitor.new_page()
    page.goto(muster.shop_url)
    page.get_by_role("button", name="Yes").click()
    fill_cart(page, "Wooden train")
    expect(page.get_by_text(BANNER)).to_be_visible()
    page.get_by_role("button", name="No").click()

    expect(page.get_by_text(BANNER)).to_be_hidden()
    expect(page.locator("#segments")).to_have_text("none")
    assert "_muster" not in {cookie["name"] for cookie in visitor.cookies()}


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/config.js", 200), ("/shop.js", 200), ("/none", 404)])
def test_each_answer_says_what_the_pages_may_load(muster, path, status):
    try:
        answer = urllib.request.urlopen(muster.shop_url + path, timeout=10)
    except urllib.error.HTTPError as refusal:
        answer = refusal
    policy = answer.headers["Content-Security-Policy"]

    assert answer.status == status
    assert f"default-src 'none'; script-src 'self' {muster.pixel_url}; connect-src {muster.pixel_url};" in policy
    assert "unsafe" not in policy


def test_a_shop_that_dies_opens_again(muster):
    def shop() -> set[int]:
        return {pid for pid, line in descendants(muster.process.pid).items() if "config.shop" in line and alive(pid)}

    before = until(shop, "the shop is open")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: shop() and not shop() & before, "the shop starts again")
    until(lambda: is_open(muster), "it answers")


def is_open(muster: LiveMuster) -> bool:
    try:
        return urllib.request.urlopen(f"{muster.shop_url}/config.js", timeout=5).status == 200
    except OSError:
        return False
