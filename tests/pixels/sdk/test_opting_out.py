"""Opting out in a real browser: by muster.js from a page of another origin, and by the page that needs no script."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from audience.models import Event, Identifier
from audience.tenancy import acting_for
from pixels.models import Fire, Pixel
from pixels.sdk import SNIPPET
from segments.models import Membership, Transition
from tests.factories import make_pixel, make_segment
from tests.pixels.doors import free_port, listener_door
from tests.pixels.sdk.recorder import site
from tests.pixels.teller import Teller

pytestmark = [pytest.mark.browser, pytest.mark.spec("pixels.md 1.10")]

PAGE = (
    "<!doctype html><title>Shoes</title><script>{snippet};"
    'muster.init("{key}",{{autoPage:false}});</script><script async src="{door}/muster.js"></script>'
)
STORY = """async (pixel) => {
    const before = await muster.track("viewed");
    await muster.fire(pixel);
    const held = (await muster.segments()).length;
    const isOut = await muster.optOut();
    const after = await muster.track("viewed");
    return { before: before.outcome, held, isOut, after: after.outcome, kept: document.cookie };
}"""
AGAIN = """async (pixel) => {
    const isIn = await muster.optIn();
    const told = await muster.track("viewed");
    await muster.fire(pixel);
    return { isIn, told: told.outcome, held: (await muster.segments()).length };
}"""


@dataclass
class Visit:
    """A visitor at a shop's page; the door and the page have origins of their own."""

    context: BrowserContext
    page: Page
    teller: Teller
    pixel: Pixel
    door: str

    def do(self, story: str) -> Any:
        return self.page.evaluate(story, self.pixel.public_key)

    def fire(self) -> None:
        """Fire without the script, as a tag does."""
        self.page.evaluate(
            "src => new Promise(done => Object.assign(new Image(), { onload: done, onerror: done, src }))",
            f"{self.door}/p/{self.pixel.public_key}.gif?cb={secrets.token_hex(4)}",
        )


@contextmanager
def visited(shop_host: str, door_host: str, *, has_plain_cookies: bool) -> Iterator[Visit]:
    """Yield a visit. Browsers find every name under `localhost`, and trust it as they trust https elsewhere."""
    port = free_port()
    door_url = f"http://{door_host}:{port}"
    cookies = "on" if has_plain_cookies else "off"
    own = {"MUSTER_PIXEL_URL": f"http://localhost:{port}", "MUSTER_DEV_HTTP_COOKIE": cookies}
    with listener_door(port=port, **own) as door, site() as pages:
        origin = f"http://{shop_host}:{pages.port}"
        teller = Teller(door, origins=[origin])
        pixel = make_pixel(teller.advertiser, make_segment(teller.advertiser, is_readable_on_page=True))
        door.catch_up()
        pages.pages["/"] = PAGE.format(snippet=SNIPPET, key=teller.public, door=door_url)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            context = browser.new_context()
            page = context.new_page()
            page.goto(origin)
            yield Visit(context, page, teller, pixel, door_url)
            browser.close()


def names(context: BrowserContext) -> set[str]:
    return {cookie["name"] for cookie in context.cookies()}  # type: ignore[typeddict-item]


def test_a_page_of_another_origin_opts_its_visitor_out_and_in(open_database):
    with visited("localhost", "localhost", has_plain_cookies=True) as visit:
        assert visit.do(STORY) == {
            "before": "applied",
            "held": 1,
            "isOut": True,
            "after": "suppressed",
            "kept": "_muster=0",
        }
        assert names(visit.context) == {"_muster", "mopt"}
        visit.fire()
        out = names(visit.context)
        again = visit.do(AGAIN)
        back = names(visit.context)
        teller = visit.teller
    assert out == {"_muster", "mopt"}, "a fire sets no id"
    assert again == {"isIn": True, "told": "applied", "held": 1}
    assert back == {"_muster", "muid"}
    with acting_for(teller.advertiser.pk):
        assert [fire.outcome for fire in Fire.objects.order_by("received_at")] == ["applied", "suppressed", "applied"]
        causes = Transition.objects.order_by("at").values_list("change", "cause")
        assert list(causes) == [("join", "fact"), ("leave", "consent"), ("join", "fact")]
        assert Membership.objects.values("profile_id").distinct().count() == 2, "a new id is a new visitor"
        assert Event.objects.count() == 2


def test_a_page_of_another_site_opts_its_visitor_out(open_database):
    with visited("shop.localhost", "px.pixels.localhost", has_plain_cookies=False) as visit:
        visit.fire()
        before = names(visit.context)
        assert visit.page.evaluate("muster.optOut()") is True
        visit.fire()
        after = names(visit.context)
        teller = visit.teller
    assert before == {"__Host-muid"}
    assert after - {"__Host-mopt"} == {"__Host-moptp", "_muster"}, "the first one only where such cookies are allowed"
    with acting_for(teller.advertiser.pk):
        assert [fire.outcome for fire in Fire.objects.order_by("received_at")] == ["applied", "suppressed"]
        assert list(Transition.objects.values_list("change", "cause")) == [("join", "fact"), ("leave", "consent")]
        assert not Identifier.objects.exists()


def test_the_page_needs_one_press_and_no_script(open_database):
    with visited("localhost", "localhost", has_plain_cookies=True) as visit:
        visit.fire()
        page = visit.context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(f"{visit.door}/optout")
        page.get_by_role("button", name="Opt out", exact=True).click()
        expect(page.get_by_text("This browser has opted out.")).to_be_visible()
        out = names(visit.context)
        page.get_by_role("button", name="Opt in again").click()
        expect(page.get_by_text("This browser takes part.")).to_be_visible()
        assert (out, names(visit.context)) == ({"mopt"}, set())
        assert complaints == []

        visit.page.set_content(f'<iframe src="{visit.door}/optout"></iframe>')
        visit.page.wait_for_timeout(0)
        frame = visit.page.frames[-1]
        expect(frame.get_by_role("button")).to_have_count(0)
        teller = visit.teller
    with acting_for(teller.advertiser.pk):
        assert list(Transition.objects.values_list("change", "cause")) == [("join", "fact"), ("leave", "consent")]
