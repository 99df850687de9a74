"""The admin in a real browser: its content policy, hostile texts, and what a marketer does first."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, expect, sync_playwright

from audience.models import Role
from pixels.direct import make_direct_pixels
from tests.admins import make_user, sign_in
from tests.canary import Flock
from tests.factories import make_advertiser

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}${7*7}'
LEAVES = ("/admin/logout/", "/admin/jsi18n/")


class Watch:
    """Writes down whatever a browser complains of."""

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        self.asked: list[str] = []
        context.on("console", lambda message: self._note(_where(message)) if message.type == "error" else None)
        context.on("weberror", lambda error: self._note(str(error.error)))
        context.on("dialog", lambda dialog: (self._note(f"dialog {dialog.message}"), dialog.dismiss()))
        context.on("request", lambda request: self.asked.append(request.url))
        # Inline styles are allowed to the theme; what is refused is reported here, with its place.
        context.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective + ' '"
            " + e.blockedURI + ' ' + e.sourceFile))"
        )

    def _note(self, text: str) -> None:
        self.complaints.append(text)


def _where(message: Any) -> str:
    return f"{message.text} (on {message.page.url if message.page else 'no page'})"


@pytest.fixture
def context(cookie: str) -> Iterator[BrowserContext]:
    """A browser of a signed-in owner; rows are made before it, since playwright's loop keeps Django off."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        opened = browser.new_context(viewport={"width": 1300, "height": 900})
        opened.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "domain": "localhost", "path": "/"}]
        )
        yield opened
        browser.close()


@pytest.fixture
def cookie(request: pytest.FixtureRequest) -> str:
    """The session of an owner, of an advertiser that is named by the test."""
    return str(request.getfixturevalue(request.param if hasattr(request, "param") else "new_owner"))


@pytest.fixture
def new_owner() -> str:
    advertiser = make_advertiser(name="Kettle & Co")
    make_direct_pixels([advertiser.pk])
    return _session(make_user(advertiser, Role.OWNER))


@pytest.fixture
def hostile_owner() -> str:
    """The owner of an advertiser whose every text tries to break out of its page."""
    return _session(make_user(Flock(HOSTILE).advertiser, Role.OWNER))


def _session(user: Any) -> str:
    return sign_in(user).cookies[settings.SESSION_COOKIE_NAME].value


@pytest.mark.spec("T26")
@pytest.mark.spec("T4")
@pytest.mark.parametrize("cookie", ["hostile_owner"], indirect=True)
def test_no_page_breaks_the_policy_or_runs_a_stored_text(context: BrowserContext, live_server: Any) -> None:
    watch, page = Watch(context), context.new_page()
    waiting, seen = ["/admin/"], {"/admin/"}
    while waiting:
        link = waiting.pop()
        answer = page.goto(urljoin(live_server.url, link))
        assert answer is not None
        if "attachment" in answer.headers.get("content-disposition", ""):
            continue
        page.wait_for_function("!document.documentElement.hasAttribute('x-cloak')")  # the theme has begun
        for found in page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)"):
            parts = urlsplit(found)
            is_ours = parts.path.startswith("/admin/") and not parts.path.startswith(LEAVES)
            if is_ours and "as=" not in parts.query and parts.path not in seen:
                seen.add(parts.path)
                waiting.append(f"{parts.path}?{parts.query}")
    assert len(seen) > 25
    assert watch.complaints == []
    assert [url for url in watch.asked if not url.startswith((live_server.url, "data:"))] == []


def test_marketer_creates_segment_and_gets_tag(context: BrowserContext, live_server: Any) -> None:
    """One name and two clicks from the empty dashboard to the tag on the screen."""
    watch, page = Watch(context), context.new_page()
    page.goto(f"{live_server.url}/admin/")
    page.get_by_role("link", name="Make your first segment").click()
    page.get_by_label("Name").press_sequentially("Cart of today")
    expect(page.get_by_label("Code")).to_have_value("cart-of-today")
    page.get_by_role("button", name="Save and get tag").click()

    tag = page.locator("#tag-html")
    expect(tag).to_contain_text("<script async src=")
    expect(tag).to_contain_text('Muster pixel "Cart of today" (adds: cart-of-today)')
    page.get_by_label("Format").select_option("image")
    expect(tag).to_contain_text("<img src=")
    page.get_by_label("Address").select_option("code")
    expect(tag).to_contain_text("add_code=cart-of-today")
    with page.expect_download() as download:
        page.get_by_role("link", name=".txt").click()
    assert "add_code=cart-of-today" in download.value.path().read_text()
    assert watch.complaints == []


def test_a_lifetime_is_written_in_days_and_kept_in_minutes(context: BrowserContext, live_server: Any) -> None:
    page = context.new_page()
    page.goto(f"{live_server.url}/admin/segments/segment/add/")
    page.get_by_label("Name").fill("Cart")
    page.get_by_label("How many").first.fill("36")
    page.get_by_label("Unit").first.select_option(label="hours")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("36 hours")).to_be_visible()


def test_an_error_stands_at_its_field(context: BrowserContext, live_server: Any) -> None:
    page = context.new_page()
    for _ in range(2):
        page.goto(f"{live_server.url}/admin/segments/segment/add/")
        page.get_by_label("Name").fill("Cart")
        page.get_by_label("Code").fill("cart")
        page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("You have a segment with this code already.")).to_be_visible()


def test_a_narrow_window_shows_everything(context: BrowserContext, live_server: Any) -> None:
    """At 400 px nothing is wider than the window, and the menu opens."""
    page = context.new_page()
    page.set_viewport_size({"width": 400, "height": 800})
    for link in ("", "segments/segment/", "segments/segment/add/", "pixels/pixel/", "pixels/pixel/add/"):
        page.goto(f"{live_server.url}/admin/{link}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, link
    page.get_by_role("button", name="Open the menu").click()
    expect(page.get_by_role("link", name="Dashboard")).to_be_visible()
