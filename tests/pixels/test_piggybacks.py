"""Partners' pixels that follow a fire, and partners that are told who a browser is."""

import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone
from playwright.sync_api import sync_playwright

from pixels.answers import SCRIPT
from pixels.idsyncs import forget_id_syncs
from pixels.models import IdSync
from tests.factories import make_partner, make_piggyback
from tests.pixels.doors import DoorUnderTest, Reply, free_port, listener_door, until
from tests.pixels.sdk.recorder import site
from tests.pixels.shop import Shop

pytestmark = pytest.mark.spec("pixels.md 3.6")
IMAGE, OTHER = "https://ad.partner.example/p?x=1", "https://cdn.partner.example/q"
MACROS = "https://ad.partner.example/p?g=${GDPR}&c=${GDPR_CONSENT_7}&m=${MUSTER_ID}"
SYNC = "https://sync.partner.example/m?u=${MUSTER_ID}"


class Advertiser(Shop):
    """A shop that may send browsers to a partner's hosts."""

    def __init__(self, door: DoorUnderTest) -> None:
        super().__init__(door, redirect_hosts=["*.partner.example"])

    def follow(self, *urls: str, kind: str = "image") -> None:
        """Let these follow each fire that adds to `cart`."""
        for url in urls:
            make_piggyback(self.cart, url, kind)
        self.door.catch_up()


@pytest.fixture
def shop(door):
    return Advertiser(door)


def lists_of(reply: Reply) -> list[list[str]]:
    """Return the images and the scripts that an answer fires."""
    found = re.search(rb"^\}\)\((.*)\);$", reply.body, re.MULTILINE)
    assert found is not None, reply.body
    return json.loads(f"[{found[1].decode()}]")  # type: ignore[no-any-return]


def test_piggyback_image_and_script(shop):
    shop.follow(IMAGE)
    image = shop.seg("add={cart}&t=2")
    assert (image.status, image.header("location"), image.body) == (302, IMAGE, b"")
    assert image.header("referrer-policy") == "strict-origin"
    script = shop.seg("add={cart}&t=1", cookie=image.cookie)
    assert script.body.startswith(b"(function(u,s){")
    assert script.body.endswith(b'})(["https://ad.partner.example/p?x=1"]);')
    assert script.header("content-type") == "application/javascript; charset=utf-8"

    shop.follow(OTHER)
    shop.follow(OTHER, kind="script")
    assert shop.seg("add={cart}").header("location") == IMAGE, "an image takes one with it"
    assert lists_of(shop.p(form="js")) == [[IMAGE, OTHER], [OTHER]]


def test_of_several_segments_each_piggyback_once(shop):
    shop.follow(IMAGE)
    make_piggyback(shop.vip, OTHER)
    make_piggyback(shop.vip, IMAGE)
    shop.door.catch_up()
    assert lists_of(shop.seg("add={cart},{vip}&t=1")) == [[IMAGE, OTHER]]


def test_nothing_follows_a_fire_that_has_not_added(shop):
    shop.follow(IMAGE)
    cookie = shop.seg("add={cart}&eid=1").cookie
    plain = [
        shop.seg("add={cart}&eid=1", cookie=cookie),
        shop.seg("remove={cart}", cookie=cookie),
        shop.seg("add={vip}", cookie=cookie),
        shop.seg("add={cart}:-1"),
        shop.seg("add={cart}", user_agent="Googlebot/2.1"),
        shop.seg("add={cart}&remove={cart}"),
    ]
    assert [(reply.status, len(reply.body)) for reply in plain] == [(200, 43)] * len(plain)
    assert shop.seg("add={cart}&eid=1&t=1", cookie=cookie).body == SCRIPT


def test_redir_beats_a_piggyback(shop):
    shop.follow(IMAGE)
    assert shop.seg(f"add={{cart}}&redir={quote(OTHER, safe='')}").header("location") == OTHER
    assert shop.seg(f"add={{cart}}&t=1&redir={quote(OTHER, safe='')}").header("location") == OTHER
    assert shop.seg("add={cart}&redir=https%3A%2F%2Fevil.example").header("location") == IMAGE


def test_a_host_that_is_taken_off_the_list_fires_no_more(shop):
    shop.follow(IMAGE)
    shop.change(shop.advertiser, redirect_hosts=["cdn.partner.example"])
    assert shop.seg("add={cart}").status == 200
    assert shop.seg("add={cart}&t=1").body == SCRIPT


def test_macros_of_an_image(shop):
    shop.follow(MACROS)
    location = shop.seg("add={cart}&gdpr=0&gdpr_consent=CPXx.YAAA").header("location")
    assert location == "https://ad.partner.example/p?g=0&c=CPXx.YAAA&m=0"
    make_partner(shop.advertiser, hosts=["ad.partner.example"])
    shop.door.catch_up()
    reply = shop.seg("add={cart}")
    assert (reply.header("location") or "").rpartition("=")[2] in shop.browsers()


def test_js_body_independent_of_request(shop):
    shop.follow(MACROS, "https://ad.partner.example/<\u2028>'\"</script>?${GPP_SID}")
    bodies = {
        shop.seg(query, **headers).body
        for query, headers in (
            ("add={cart}&t=1", {}),
            ("add={cart}&t=1&gdpr=<script>&gpp=%22);alert(1)//&gpp_sid=2&other=</script>", {}),
            ("add={cart}:7&t=1&cb=xyz&us_privacy=1YNN&pg=/alert(1)", {"referer": "https://shop.example/alert(1)"}),
            ("add={cart}&t=1&redir=https%3A%2F%2Fevil.example%2Falert(1)", {"user_agent": "alert(1)"}),
        )
        if "<" not in query or shop.door.name == "django"
    }
    (body,) = bodies
    assert b"<" not in body
    assert body.isascii()
    assert b"m=0" in body


def test_a_script_tells_a_partner_the_id_by_way_of_getuid(shop):
    shop.follow(MACROS)
    make_partner(shop.advertiser, hosts=["ad.partner.example"])
    shop.door.catch_up()
    ((address,),) = lists_of(shop.seg("add={cart}&t=1"))
    assert address == f"/getuid?member={shop.id}&url={quote(MACROS, safe='')}"
    cookie = shop.seg("add={cart}").cookie or ""
    told = shop.door.get(f"{address}&gdpr=0&gdpr_consent=CPXx", cookie=cookie).header("location") or ""
    assert told.startswith("https://ad.partner.example/p?g=0&c=CPXx&m=")
    assert told.rpartition("=")[2] in shop.browsers()


# --- Id-syncs -------------------------------------------------------------------------------------


def synced(shop: Shop, query: str = "add={cart}&t=1", cookie: str | None = None) -> list[str]:
    """Return the partners that a fire tells who its browser is."""
    reply = shop.seg(query, **({"cookie": cookie} if cookie else {}))
    if reply.body == SCRIPT or reply.header("content-type") == "image/gif":
        return []
    return [re.sub(r".*%2F%2F(\w+)\.partner.*", r"\1", address) for address in lists_of(reply)[0]]


def partners(shop: Shop, *names: str, at_most: int = 1) -> str:
    """Give the shop partners that want to know, and return a browser's cookie."""
    for name in names:
        host = f"{name}.partner.example"
        make_partner(shop.advertiser, name, hosts=[host], sync_url=f"https://{host}/m?u=${{MUSTER_ID}}")
    make_partner(shop.advertiser, "silent")
    shop.change(shop.cart, id_syncs_per_fire=at_most)
    return shop.seg("add={vip}").cookie or ""


def test_each_partner_is_told_once_in_14_days(shop):
    cookie = partners(shop, "one", "two", "three", at_most=2)
    assert synced(shop, cookie=cookie) == ["one", "two"]
    assert synced(shop, cookie=cookie) == ["three"]
    assert synced(shop, cookie=cookie) == []
    assert synced(shop) == ["one", "two"], "another browser"

    IdSync.objects.update(synced_at=timezone.now() - timedelta(days=13, hours=23))
    assert synced(shop, cookie=cookie) == []
    IdSync.objects.update(synced_at=timezone.now() - timedelta(days=14, minutes=1))
    assert synced(shop, cookie=cookie) == ["one", "two"]
    assert forget_id_syncs() > 0
    assert synced(shop, cookie=cookie) == ["three"]


def test_of_several_segments_the_lowest_number_counts(shop):
    cookie = partners(shop, "one", "two", "three", at_most=2)
    assert synced(shop, "add={cart},{vip}&t=1", cookie) == [], "vip allows none"
    shop.change(shop.vip, id_syncs_per_fire=1)
    assert synced(shop, "add={cart},{vip}&t=1", cookie) == ["one"]


def test_an_image_tag_and_a_refused_fire_tell_nobody(shop):
    cookie = partners(shop, "one")
    assert synced(shop, "add={cart}&t=2", cookie) == []
    assert synced(shop, "add={cart}:-1&t=1", cookie) == []
    assert synced(shop, cookie=cookie) == ["one"]


def test_what_is_told_is_the_advertisers_own_id(shop):
    cookie = partners(shop, "one")
    ((address,),) = lists_of(shop.seg("add={cart}&t=1", cookie=cookie))
    told = shop.door.get(address, cookie=cookie)
    assert told.header("location") == f"https://one.partner.example/m?u={shop.browsers().pop()}"


# --- In a browser ---------------------------------------------------------------------------------


@pytest.mark.browser
def test_a_browser_fires_what_follows(open_database):
    """Chromium runs the script of a tag; what it asks partners for is answered here."""
    port = free_port()
    with listener_door(port=port, MUSTER_DEV_HTTP_COOKIE="on") as door, site() as pages:
        shop = Advertiser(door)
        cookie_url = f"http://localhost:{port}"
        shop.follow(MACROS, "https://cdn.partner.example/'\"${US_PRIVACY}")
        shop.follow("https://cdn.partner.example/tag.js?s=${GPP_SID}", kind="script")
        partners(shop, "one")
        consent = "gdpr=0&gdpr_consent=CPXx.YAAA&us_privacy=${USP}&gpp_sid=2%2C6"
        tag = f'<script async src="{cookie_url}/seg?add={shop.cart.pk}&t=1&{consent}"></script>'
        pages.pages["/"] = f"<!doctype html><title>Cart</title>{tag}"
        asked = visit(f"http://localhost:{pages.port}/", 5)
        (browser,) = {*shop.browsers()} & {url.rpartition("=")[2] for url in asked}
        assert asked == {
            "https://ad.partner.example/p?g=0&c=CPXx.YAAA&m=0",
            "https://cdn.partner.example/'%22",
            "https://cdn.partner.example/tag.js?s=2%2C6",
            "https://cdn.partner.example/ran",
            f"https://one.partner.example/m?u={browser}",
        }


def visit(page_url: str, most: int) -> set[str]:
    """Open a page, and return what was asked of partners once there are so many addresses."""
    asked: set[str] = set()

    def answer(route: Any) -> None:
        code = "new Image().src='https://cdn.partner.example/ran'" if "tag.js" in route.request.url else ""
        route.fulfill(status=200, content_type="text/javascript", body=code)

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP *.partner.example ~NOTFOUND"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        page = browser.new_page()
        page.on("request", lambda one: asked.add(one.url) if ".partner.example/" in one.url else None)
        page.route(lambda url: ".partner.example/" in url and "/getuid" not in url, answer)
        page.goto(page_url)
        until(lambda: page.evaluate("1") and len(asked) >= most)
        browser.close()
    return asked
