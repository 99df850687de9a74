"""muster.js and the door as they are: a page in Chromium tells, and learns in the same answer what it may know."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from audience.models import Attribute, Event, Identifier, Profile
from audience.tenancy import acting_for
from pixels.sdk import SNIPPET
from tests.factories import make_pixel, make_segment
from tests.pixels.doors import free_port, listener_door
from tests.pixels.sdk.recorder import site
from tests.pixels.teller import Teller

pytestmark = [pytest.mark.browser, pytest.mark.spec("pixels.md 4.1")]

PAGE = (
    "<!doctype html><title>Shoes</title><script>{snippet};"
    'muster.init("{key}",{{autoPage:false}});</script><script async src="{door}/muster.js"></script>'
)
STORY = """async (pixel) => {
    const first = await muster.track("viewed", { total: 65 });
    await muster.fire(pixel);
    const second = await muster.track("viewed", { total: 70 });
    await muster.identify("C-1001", { plan: "gold" });
    return [first, second, await muster.segments(), document.cookie];
}"""


@contextmanager
def visited(*, is_listed: bool) -> Iterator[Any]:
    """A visitor has been at a page whose origin the advertiser has listed or not; what the page was told."""
    port = free_port()
    url = f"http://localhost:{port}"
    with listener_door(port=port, MUSTER_PIXEL_URL=url, MUSTER_DEV_HTTP_COOKIE="on") as door, site() as pages:
        origin = f"http://localhost:{pages.port}"
        teller = Teller(door, origins=[origin] if is_listed else [])
        pixel = make_pixel(teller.advertiser, make_segment(teller.advertiser, is_readable_on_page=True))
        door.catch_up()
        pages.pages["/"] = PAGE.format(snippet=SNIPPET, key=teller.public, door=url)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(origin)
            told = page.evaluate(STORY, pixel.public_key)
            browser.close()
        with acting_for(teller.advertiser.pk):
            yield told


def test_a_page_and_the_door_understand_each_other(open_database):
    with visited(is_listed=True) as (first, second, segments, cookie):
        assert (first["outcome"], first["segments"], second["outcome"]) == ("applied", [], "applied")
        assert [one["code"] for one in second["segments"]] == [one["code"] for one in segments] == ["cart"]
        assert "_muster=1.k1." in cookie
        assert [event.properties["total"] for event in Event.objects.order_by("received_at")] == [65, 70]
        profile = Profile.objects.get()
        traits = dict(Attribute.objects.filter(profile_id=profile.pk).values_list("name", "value"))
        assert traits == {"plan": "gold", "claimed_customer_id": "C-1001"}
        assert Identifier.objects.get().kind == "browser"


def test_a_page_that_is_not_listed_tells_and_reads_nothing(open_database):
    with visited(is_listed=False) as (first, second, segments, cookie):
        # The library asks with cookies first, and may not read the answer to that.
        assert (first["outcome"], second["outcome"]) == ("duplicate", "applied")
        assert first["segments"] == second["segments"] == segments == []
        assert "_muster=1.k1." in cookie
        assert [event.properties["total"] for event in Event.objects.order_by("received_at")] == [65, 70]
