"""A shop's site and a pixel host, each under a name and an origin of its own, and a real browser that goes there.

Browsers find every name under `localhost` on this machine, and trust it as they trust https elsewhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from pixels.sdk import SNIPPET
from tests.pixels.doors import until
from tests.pixels.sdk.recorder import PixelHost, Site, pixel_host, site

KEY = "mw_4f9c2b7a"


@dataclass
class Shop:
    """One visitor at the shop; `complaints` is what the browser's console said of errors."""

    site: Site
    host: PixelHost
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"http://shop.localhost:{self.site.port}"

    @property
    def pixel_origin(self) -> str:
        return f"http://px.pixels.localhost:{self.host.port}"

    @property
    def script(self) -> str:
        return f"{self.pixel_origin}/muster.js"

    def html(self, options: str = "{}", *, before: str = "", after: str = "", snippet: str = SNIPPET) -> str:
        """Return a page with the snippet; `before` and `after` are code around `init`."""
        return (
            f"<!doctype html><title>Shoes</title><script>{snippet}{before};"
            f'muster.init("{KEY}",{options});{after}</script><script async src="{self.script}"></script>'
        )

    def open(self, options: str = "{}", *, path: str = "/", **code: str) -> None:
        """Visit a page that has the snippet, and wait until the SDK is there."""
        self.site.pages[path.partition("?")[0].partition("#")[0]] = self.html(options, **code)
        self.page.goto(self.origin + path)
        self.page.wait_for_function("window.muster.v === 1")

    def do(self, code: str) -> Any:
        """Run code in the page, and return what its promise gives."""
        return self.page.evaluate(code)

    def wait_for_id(self) -> None:
        """Return when the first answer has been read: a page that goes before sends its message once more."""
        until(lambda: self.cookie)

    def settle(self) -> None:
        """Return when all that the page has set going has left it: a request of its own comes after."""
        self.do(f"""new Promise(done => setTimeout(() => setTimeout(done)))
            .then(() => fetch('{self.script}', {{mode: 'no-cors'}})).then(() => 0)""")

    @property
    def stored(self) -> list[str]:
        """All that the browser holds of this site: cookies, and the names in its stores."""
        cookies = [cookie["name"] for cookie in self.context.cookies()]
        return cookies + self.do("[...Object.keys(localStorage), ...Object.keys(sessionStorage)]")

    @property
    def cookie(self) -> dict[str, Any] | None:
        return next((one for one in self.context.cookies() if one["name"] == "_muster"), None)  # type: ignore[misc]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a module. No longer: playwright's loop keeps Django off."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def shop(chromium: Browser) -> Iterator[Shop]:
    with site() as pages, pixel_host() as host:
        context = chromium.new_context()
        shop = Shop(pages, host, context, context.new_page())
        context.on("weberror", lambda error: shop.complaints.append(str(error.error)))
        yield shop
        host.may_answer.set()
        context.close()
