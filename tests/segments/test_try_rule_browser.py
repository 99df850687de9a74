"""The page to try a rule in a real browser: what is told while somebody types."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Page, Route, expect, sync_playwright

from audience.models import Role
from pixels.direct import make_direct_pixels
from tests.admins import make_user, sign_in
from tests.factories import make_advertiser, make_profile
from tests.segments.asked import text_of, viewed

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PAGE = "/admin/segments/segment/try-a-rule/"
VIEWED = {"event": "view", "window": {"within": "7d"}}


@pytest.fixture
def cookie() -> str:
    advertiser = make_advertiser(name="Kettle & Co")
    make_direct_pixels([advertiser.pk])
    viewed(make_profile(advertiser, email="jo@example.com"), timedelta(days=1))
    make_profile(advertiser)
    return sign_in(make_user(advertiser, Role.OWNER)).cookies[settings.SESSION_COOKIE_NAME].value


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def page(cookie: str, complaints: list[str]) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1300, "height": 900})
        context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "domain": "localhost", "path": "/"}]
        )
        context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        yield context.new_page()
        browser.close()


def look(page: Page, name: str) -> None:
    """Keep a picture where somebody wants to see one."""
    if folder := os.environ.get("TEST_PICTURES"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_what_is_typed_is_checked_and_counted_and_explained(
    page: Page, complaints: list[str], live_server: Any
) -> None:
    page.goto(live_server.url + PAGE)
    look(page, "empty")
    told, rule = page.locator("[data-rulechecks]"), page.locator("textarea[name=rule]")
    rule.fill(text_of({"event": "view", "count": {"at_leats": 3}}))
    expect(told).to_contain_text("Did you mean 'at_least'?")
    look(page, "error")
    rule.fill(text_of(VIEWED))
    expect(told).to_contain_text("Did `view` in the last 7 days.")
    expect(page.locator("[data-rulenumbers]")).to_contain_text("of 2")
    expect(page.locator("[data-rulewaits]")).to_be_hidden()
    look(page, "counted")
    page.get_by_label("Why is somebody in or out?").fill("jo@example.com")
    page.get_by_role("button", name="Why").click()
    expect(page.get_by_role("heading", name="In. Leaves on")).to_be_visible()
    look(page, "why")
    assert complaints == []


def test_an_older_answer_does_not_overwrite_a_newer_one(page: Page, live_server: Any) -> None:
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if not held:
            held.append(route)
        else:
            route.continue_()

    page.goto(live_server.url + PAGE)
    page.route("**/checks/", hold_the_first)
    rule, told = page.locator("textarea[name=rule]"), page.locator("[data-rulechecks]")
    with page.expect_request("**/checks/"):
        rule.fill(text_of({"event": "older"}))
    rule.fill(text_of({"event": "newer"}))
    expect(told).to_contain_text("newer")
    held[0].fulfill(body="<p>older</p>")
    expect(page.locator("[data-rulenumbers]")).to_contain_text("People now")
    expect(told).to_contain_text("newer")


def test_one_count_runs_at_a_time_and_that_of_the_newest_rule_is_shown(page: Page, live_server: Any) -> None:
    held: list[Route] = []
    counted: list[str] = []

    def hold_the_first(route: Route) -> None:
        counted.append(route.request.post_data or "")
        if not held:
            held.append(route)
        else:
            route.continue_()

    page.goto(live_server.url + PAGE)
    page.route("**/numbers/", hold_the_first)
    rule, told = page.locator("textarea[name=rule]"), page.locator("[data-rulechecks]")
    with page.expect_request("**/numbers/"):
        rule.fill(text_of({"event": "older"}))
    expect(page.locator("[data-rulewaits]")).to_have_text("Still counting…")
    for word in ("newer", "newest"):
        rule.fill(text_of({"event": word}))
        expect(told).to_contain_text(f"`{word}`")
    assert len(counted) == 1
    held[0].fulfill(body="<p>older number</p>")
    expect(page.locator("[data-rulenumbers]")).to_contain_text("`newest`")
    assert "newest" in counted[-1]
    assert len(counted) == 2


def test_a_thousand_conditions_and_a_narrow_screen_hold(page: Page, complaints: list[str], live_server: Any) -> None:
    many = {"any_of": [{"event": f"view_{n}"} for n in range(999)]}
    page.set_default_timeout(90_000)
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(live_server.url + PAGE)
    page.locator("textarea[name=rule]").fill(json.dumps(json.loads(text_of(many)), indent=2))
    expect(page.locator("[data-rulenumbers]")).to_contain_text("Condition by condition (1,000)", timeout=90_000)
    look(page, "narrow")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert complaints == []
