"""The page to read the API, in a browser, under our content policy."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.callers import make_caller
from tests.factories import make_advertiser, make_segment

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def token() -> str:
    advertiser = make_advertiser()
    make_segment(advertiser, name="Cart of the page")
    return make_caller(advertiser).token


@pytest.fixture
def page(token: str) -> Iterator[Page]:
    """A browser's page; rows are made before it, since playwright's loop keeps Django from the database."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


@pytest.mark.spec("T26")
def test_the_page_is_read_and_tried_without_a_breach_of_the_policy(page: Page, token: str, live_server: Any) -> None:
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))

    page.goto(f"{live_server.url}/api/v1/docs/")
    page.get_by_role("button", name="Authorize").click()
    page.locator("#auth-bearer-value").fill(token)
    page.get_by_label("Apply credentials").click()
    page.get_by_role("button", name="Close").click()
    page.get_by_text("List segments").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()

    expect(page.get_by_text("Cart of the page").first).to_be_visible()
    assert complaints == []
    assert [url for url in asked if not url.startswith((live_server.url, "data:"))] == []
    assert page.evaluate("Object.keys(localStorage).length") == 0
