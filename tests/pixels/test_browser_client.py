"""The browser library of Segment, unchanged, from npm: a page in Chromium tells the real door."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from audience.models import Attribute, Event
from audience.tenancy import acting_for
from tests.pixels.doors import free_port, listener_door, until
from tests.pixels.teller import Teller

PACKAGE = "@segment/analytics-next"
STORY = """async ([writeKey, cdnURL]) => {
    const [analytics] = await AnalyticsNext.AnalyticsBrowser.load({ writeKey, cdnURL });
    await analytics.page("Cart");
    await analytics.identify("C-1001", { plan: "gold" });
    await analytics.track("cart_updated", { total: 65 });
    return analytics.user().anonymousId();
}"""


@pytest.fixture
def library(tmp_path: Path) -> str:
    """The library's own script, as a page loads it."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed (apt-get install npm)")
    command = ["npm", "install", "--prefix", str(tmp_path), "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{PACKAGE} cannot be had from npm: {done.stderr[-300:]}")
    return (tmp_path / "node_modules" / PACKAGE / "dist/umd/index.js").read_text()


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>Shop</title>")


@pytest.fixture
def shop() -> Iterator[str]:
    """A site of empty pages; its address."""
    with ThreadingHTTPServer(("localhost", 0), _EmptyPage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.mark.browser
@pytest.mark.spec("pixels.md 4.2")
def test_existing_browser_client(open_database, library, shop):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with listener_door(port=port, MUSTER_PIXEL_URL=url) as door:
        teller = Teller(door)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(f"{shop}/cart?mail=jo@example.com")
            page.add_script_tag(content=library)
            anonymous_id = page.evaluate(STORY, [teller.public, url])
            browser.close()
        until(lambda: teller.counts() == {"applied": 3})
        with acting_for(teller.advertiser.pk):
            events = {event.name: event for event in Event.objects.all()}
            assert set(events) == {"page", "cart_updated"}
            assert events["cart_updated"].properties == {"total": 65}
            assert events["page"].properties["url"] == "http://localhost/cart"
            assert "jo@example.com" not in str(list(Event.objects.values_list("properties", "context")))
            traits = dict(Attribute.objects.values_list("name", "value"))
            cart = [{"price": 65, "quantity": 1}]
            assert traits == {"plan": "gold", "claimed_customer_id": "C-1001", "cart": cart}
            assert len({event.profile_id for event in events.values()}) == 1
        assert anonymous_id
