"""The SDK in browsers as they are, with nobody at the wheel: the pages drive themselves, and the pixel host tells."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pixels.sdk import SNIPPET
from tests.pixels.doors import until
from tests.pixels.sdk.conftest import KEY
from tests.pixels.sdk.recorder import FIRST_ID, PixelHost, Site, pixel_host, site
from tests.pixels.shop import Shop

pytestmark = [pytest.mark.browser, pytest.mark.spec("pixels.md 4.1")]

# Debian's package webkit2gtk-driver has it, in a folder that is named for the machine. It needs a screen.
MINIBROWSER = next((str(path) for path in Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser")), "MiniBrowser")
CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--no-first-run", "--disable-gpu", "--user-data-dir={folder}"]
FIREFOX = ["firefox-esr", "--headless", "--no-remote", "--profile", "{folder}"]
WEBKIT = ["xvfb-run", "--auto-servernum", MINIBROWSER, "--private"]
# A first start of Firefox would ask its maker for this and that. Names under localhost are this machine.
FIREFOX_SETTINGS = """
user_pref("app.normandy.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.dns.native-is-localhost", true);
user_pref("toolkit.telemetry.enabled", false);
"""


@contextmanager
def browsing(words: list[str], folder: Path, url: str) -> Iterator[None]:
    """Let a browser open a page, in a profile of its own."""
    for program in (words[0], MINIBROWSER if words is WEBKIT else words[0]):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    (folder / "user.js").write_text(FIREFOX_SETTINGS)
    command = [word.format(folder=folder) for word in words]
    homes = {name: str(folder) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    browser = subprocess.Popen([*command, url], env={**os.environ, **homes}, start_new_session=True, **quiet)
    try:
        yield
    finally:
        os.killpg(browser.pid, signal.SIGTERM)  # the screen too
        browser.wait(20)


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as pages:
        yield pages
        pages.may_go.set()


@pytest.fixture
def host() -> Iterator[PixelHost]:
    with pixel_host() as host:
        yield host
        host.may_answer.set()


def address(pages: Site) -> str:
    return f"http://shop.localhost:{pages.port}"


def html(host: PixelHost, code: str) -> str:
    script = f"http://px.pixels.localhost:{host.port}/muster.js"
    return (
        f"<!doctype html><title>Shoes</title><script>{SNIPPET} muster.init('{KEY}', {{consent: 'granted'}}); {code}"
        f"</script><script async src='{script}'></script>"
    )


@pytest.mark.parametrize("browser", [CHROMIUM, FIREFOX, WEBKIT], ids=["chromium", "firefox", "webkit"])
def test_a_visit_from_the_first_call_to_the_last_beacon(browser, pages, host, tmp_path):
    pages.pages["/"] = html(
        host,
        """
        muster.track('first').then(async reply => {
            await muster.track('knows', reply);
            history.pushState({}, '', '/shoes');
            await muster.fire('7kQ2mB9xV4tL0aZs', {value: 65});
            await muster.segments();
            await fetch('/go');
            muster.track('under way');
            muster.track('waits');
            muster.identify('C-1001');
            location.href = '/other';
        });
        """,
    )
    pages.pages["/go"] = ""
    pages.pages["/other"] = html(host, "muster.track('last')")
    with browsing(browser, tmp_path, address(pages)):
        until(lambda: host.requests("/v1/me/segments"), 40)
        until(lambda: "/go" in [path for path, _ in pages.opened])
        host.wait_for("page", "first", "knows", "page")
        host.may_answer.clear()
        pages.may_go.set()
        until(lambda: "/other" in [path for path, _ in pages.opened])
        until(lambda: {"under way", "waits", "identify"} <= set(host.names))
        host.may_answer.set()
        until(lambda: "last" in host.names)
    assert host.events[2]["properties"]["outcome"] == "applied"
    (batch,) = [request for request in host.asked if request.path == "/v1/batch" and request.is_beacon]
    assert [event.get("event") for event in batch.events] == ["waits", None]
    assert {event["context"].get("musterId") for event in host.events[1:]} == {FIRST_ID}
    (fired,) = host.requests("/p/7kQ2mB9xV4tL0aZs.gif")
    assert (fired.query["value"], fired.query["pg"]) == ("65", "/shoes")
    assert host.requests("/v1/me/segments")[0].headers["muster-id"] == FIRST_ID


def test_a_page_that_is_only_prerendered_sends_nothing(pages, host, tmp_path):
    """Chromium loads the next page ahead; it counts from the moment at which it is shown."""
    rules = '{"prerender": [{"urls": ["/next"], "eagerness": "immediate"}]}'
    pages.pages["/"] = (
        f'<!doctype html><script type="speculationrules">{rules}</script>'
        "<script>fetch('/go').then(() => { location.href = '/next' })</script>"
    )
    pages.pages["/next"] = html(host, "muster.track(document.prerendering ? 'ahead' : 'shown'); fetch('/loaded')")
    with browsing(CHROMIUM, tmp_path, address(pages)):
        until(lambda: host.seen and "/loaded" in [path for path, _ in pages.opened])
        assert dict(pages.opened)["/next"]["sec-purpose"] == "prefetch;prerender"
        assert [request.path for request in host.seen] == ["/muster.js"]
        pages.may_go.set()
        until(lambda: len(host.names) == 2)
    assert host.names == ["page", "ahead"], "it was shown as it was loaded ahead"


def test_a_fire_by_the_script_that_the_door_serves(listener, pages, tmp_path):
    shop = Shop(listener)
    origin = f"http://px.pixels.localhost:{listener.port}"
    pages.pages["/cart"] = (
        f"<!doctype html><script>{SNIPPET} muster.init('{KEY}', {{consent: 'granted', autoPage: false}});"
        f"muster.fire('{shop.pixel.public_key}', {{eid: 'order-1'}})</script><script async src='{origin}/muster.js'>"
        "</script>"
    )
    with browsing(CHROMIUM, tmp_path, address(pages) + "/cart"):
        until(shop.fires)
    assert shop.outcome() == "applied"
    assert (shop.fire().page_host, shop.fire().page_path) == ("shop.localhost", "/cart")
    assert shop.values() == {"cart": None}
