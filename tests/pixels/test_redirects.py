"""`redir`: a browser is sent on to listed hosts by https, and nowhere else, whoever reads the address."""

import string
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, quote_from_bytes, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright

from pixels.answers import Answer
from pixels.hosts import Hosts
from pixels.reasons import Note
from pixels.redirects import LONGEST_LOCATION, read_target, why_not_target
from pixels.steps import Request
from tests.factories import make_partner, make_piggyback
from tests.pixels.doors import ListenerDoor
from tests.pixels.pictures import ENDPOINT, Sent
from tests.pixels.shop import Shop

pytestmark = pytest.mark.spec("pixels.md 1.13")
LISTED = ["ad.partner.example", "*.cdn.example"]
HOSTS = Hosts(LISTED)
GOOD = "https://ad.partner.example/pixel?id=7"
PAYLOADS = [
    line
    for line in Path(__file__).with_name("open_redirects.txt").read_text().splitlines()
    if not line.startswith("# ")
]


@pytest.fixture
def shop(door):
    return Shop(door, redirect_hosts=LISTED)


def sent_to(shop: Shop, redir: str, more: str = "") -> str | None:
    """Return where a fire with this `redir` is sent on to."""
    reply = shop.seg(f"add={{cart}}&redir={redir}{more}")
    assert reply.status == (302 if reply.header("location") else 200)
    return reply.header("location")


# --- What a fire does with it ---------------------------------------------------------------------


def test_a_permitted_redirect_is_followed_after_the_commit(shop):
    reply = shop.seg(f"add={{cart}}&redir={quote(GOOD, safe='')}")
    assert (reply.status, reply.header("location"), reply.body) == (302, GOOD, b"")
    assert reply.header("referrer-policy") == "strict-origin"
    assert reply.header("cache-control") == "no-store, private"
    assert reply.header("content-type") in (None, "text/html; charset=utf-8")
    assert reply.header("muster-fire")
    assert reply.cookie
    assert (shop.outcome(), shop.values()) == ("applied", {"cart": None})

    friendly = shop.p(f"redir={quote(GOOD, safe='')}", form="js", cookie=reply.cookie)
    assert friendly.header("location") == GOOD, "a script is sent on, too"


def test_a_refused_redirect_is_noted_and_the_actions_are_done(shop):
    reply = shop.seg("add={cart}&redir=https%3A%2F%2Fevil.example%2F&t=1")
    assert (reply.status, reply.body) == (200, b"/* muster */\n")
    assert shop.outcome() == "applied"
    assert Note.REDIRECT_NOT_ALLOWED in shop.fire().notes


def test_a_rejected_fire_is_sent_on_and_one_that_leads_to_nobody_is_not(door, shop):
    good = quote(GOOD, safe="")
    for query in ("add={cart}:-1", "add={cart}&value=1&value=2", "add={cart}&other=jo@example.com"):
        assert shop.seg(f"{query}&redir={good}").header("location") == GOOD
    assert shop.seg(f"add={{cart}}&redir={good}", user_agent="Googlebot/2.1").header("location") == GOOD
    assert door.get(f"/seg?add=999999999&redir={good}").header("location") is None
    other = Shop(door)
    assert other.seg(f"add={{cart}}&redir={good}").header("location") is None, "each has a list of its own"


def test_an_edit_of_the_list_counts_at_once(shop):
    shop.change(shop.advertiser, redirect_hosts=[])
    assert sent_to(shop, quote(GOOD, safe="")) is None
    shop.change(shop.advertiser, redirect_hosts=["AD.partner.example".lower()])
    assert sent_to(shop, quote(GOOD, safe="")) == GOOD


def test_the_cookie_check_comes_first_and_keeps_it(door):
    shop = Shop(door, redirect_hosts=LISTED, is_cookie_check_on=True)
    first = shop.seg(f"add={{cart}}&redir={quote(GOOD, safe='')}")
    assert (first.header("location") or "").startswith("/seg?add=")
    assert door.get(first.header("location") or "", cookie=first.cookie).header("location") == GOOD


@pytest.mark.parametrize(
    ("redir", "location"),
    [
        ("https://ad.partner.example", "https://ad.partner.example/"),
        ("HTTPS://AD.Partner.Example:443/A?b", "https://ad.partner.example/A?b"),
        ("https://x.cdn.example?q", "https://x.cdn.example/?q"),
        ("https://ad.partner.example/ü?q=é{}<>\"'#t", "https://ad.partner.example/%C3%BC?q=%C3%A9%7B%7D%3C%3E%22'#t"),
        ("https://ad.partner.example/%2F..//a?b=%C3%A9&c=d+e", "https://ad.partner.example/%2F..//a?b=%C3%A9&c=d+e"),
        ("https://ad.partner.example/" + "x" * 4069, "https://ad.partner.example/" + "x" * 4069),
        ("https://ad.partner.example/" + "x" * 4070, None),
    ],
)
def test_an_address_is_written_anew_from_its_parts(redir, location):
    target = read_target(redir, HOSTS)
    assert (target and target.location({})) == location


def test_redirect_macros(shop):
    macros = (
        "g=${GDPR}&c=${GDPR_CONSENT_32}&p=${GPP_STRING_32}&s=${GPP_SID}&u=${US_PRIVACY}&m=${MUSTER_ID}&x=${OTHER}"
    )
    redir = quote(f"https://ad.partner.example/p?{macros}", safe="")
    consent = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA.YAAAAAAAAAAA"
    told = f"&gdpr=0&gdpr_consent={consent}&gpp=DBABMA~CPXx&gpp_sid=2%2C6&us_privacy=1YNN"
    rest = "x=$%7BOTHER%7D"
    assert sent_to(shop, redir, told) == (
        f"https://ad.partner.example/p?g=0&c={consent}&p=DBABMA~CPXx&s=2,6&u=1YNN&m=0&{rest}"
    )
    assert sent_to(shop, redir) == f"https://ad.partner.example/p?g=&c=&p=&s=&u=&m=0&{rest}"
    left = "&gdpr=[GDPR]&gdpr_consent=${GDPR_CONSENT_32}&us_privacy={{usp}}"
    assert sent_to(shop, redir, left) == f"https://ad.partner.example/p?g=&c=&p=&s=&u=&m=0&{rest}"
    hostile = "&gdpr=%26a%3D1%23%2F%3F%40%5C%20%C3%A9"
    assert sent_to(shop, quote("https://ad.partner.example/${GDPR}", safe=""), hostile) == (
        "https://ad.partner.example/%26a%3D1%23%2F%3F%40%5C%20%C3%A9"
    )


def test_only_a_partner_is_told_the_id(shop):
    make_partner(shop.advertiser, hosts=["ad.partner.example"])
    shop.door.catch_up()
    for host, is_partner in (("ad.partner.example", True), ("x.cdn.example", False)):
        location = sent_to(shop, quote(f"https://{host}/?m=${{MUSTER_ID}}", safe="")) or ""
        told = location.rpartition("=")[2]
        assert (told in shop.browsers()) == is_partner
        assert (told == "0") != is_partner


def test_macros_cannot_make_an_address_grow_without_end(shop):
    redir = quote("https://ad.partner.example/?" + "${GDPR_CONSENT_1}" * 9, safe="")
    assert sent_to(shop, redir, "&gdpr_consent=" + "x" * 2000) is None
    assert Note.REDIRECT_NOT_ALLOWED in shop.fire().notes


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://ad.partner.example/", "begins with https://"),
        ("https://ad.partner.example:8443/", "without a user, a port"),
        ("https://evil.example/", "The host evil.example is not among your redirect hosts"),
        ("https://10.0.0.1/", "“10.0.0.1” is no host name"),
        ("https://ad.partner.example/a b", "a blank"),
        (GOOD, ""),
    ],
)
def test_a_person_is_told_why(address, words):
    assert words in why_not_target(address, HOSTS, "your redirect hosts")


# --- Where nobody is ever sent --------------------------------------------------------------------


def leads_to_listed(location: str) -> bool:
    parts = urlsplit(location)
    is_plain = parts.port is None and parts.username is None and parts.password is None and location.isascii()
    return parts.scheme == "https" and is_plain and HOSTS.allow(parts.hostname or "")


def as_browser_reads(locations: Sequence[str]) -> list[list[str] | None]:
    """Return scheme, host, port and user of each as Chromium reads it; None for what is no address to it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        read = browser.new_page().evaluate(
            """all => all.map(one => { try {
                const url = new URL(one, "http://px.example/");
                return [url.protocol, url.hostname, url.port, url.username + url.password];
            } catch { return null } })""",
            list(locations),
        )
        browser.close()
    return read  # type: ignore[no-any-return]


SCHEMES = ["https://", "https:", "//", "/", "\\", "@", ":", ":443", ".", "?", "#", "%", "%0d", "%2F", "${GDPR}"]
NAMES = ["ad.partner.example", "x.cdn.example", ".cdn.example", "evil.example", "127.0.0.1", "0x7f", "[::1]"]
pieces = st.sampled_from([*SCHEMES, *NAMES, "${MUSTER_ID}", " ", "\t", "\r\n"])
tails = st.lists(pieces | st.text(max_size=3), max_size=8).map("".join)
shown = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=20)
texts = (
    tails
    | tails.map(lambda tail: "https://ad.partner.example" + tail)
    | tails.map(lambda tail: "https://" + tail)
    | shown.map(lambda tail: "https://x.cdn.example/" + tail)
    | st.text()
    | st.text(string.printable)
    | st.binary().map(lambda some: some.decode(errors="surrogateescape"))
)


@settings(max_examples=1_000, deadline=None)
@given(text=texts, values=st.dictionaries(st.sampled_from(["gdpr", "gpp_sid"]), st.text()), uid=st.text())
@example("https://ad.partner.example/\u2028", {}, "0")
def test_whatever_comes_leads_to_a_listed_host_or_nowhere(text, values, uid):
    target = read_target(text, HOSTS)
    if target is not None and all(sign < "\ud800" or sign > "\udfff" for sign in uid + "".join(values.values())):
        location = target.location(values, uid)
        assert location is None or (len(location) <= LONGEST_LOCATION and leads_to_listed(location)), location


@pytest.mark.browser
def test_chromium_reads_them_alike():
    found: list[str] = []

    @settings(max_examples=3_000, deadline=None, database=None)
    @given(texts)
    def collect(text):
        target = read_target(text, HOSTS)
        if target is not None and (location := target.location({"gdpr": text[:50]}, text[-50:])):
            found.append(location)

    collect()
    assert len(found) > 100
    for location, read in zip(found, as_browser_reads(found), strict=True):
        if read is not None:
            scheme, host, port, user = read
            assert (scheme, port, user) == ("https:", "", ""), location
            assert HOSTS.allow(host), location


def test_no_open_redirect(shop):
    for payload in PAYLOADS:
        for redir in (quote(payload, safe="%/\\:@?=;,.*[](){}$!_-~"), quote(payload, safe="")):
            location = sent_to(shop, redir)
            assert location is None or leads_to_listed(location), payload


@pytest.mark.browser
def test_no_open_redirect_in_a_browser(listener: ListenerDoor):
    """Chromium follows what the door says; no other host is found from here, and all that it asks for is noted."""
    shop = Shop(listener, redirect_hosts=LISTED)
    make_piggyback(shop.vip, GOOD)
    listener.catch_up()
    door = f"http://127.0.0.1:{listener.port}"
    queries = [f"add={shop.cart.pk}&redir={payload}" for payload in PAYLOADS]
    queries += [f"add={shop.cart.pk}&redir={quote(payload, safe='')}" for payload in PAYLOADS]
    asked: list[str] = []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{door}/health/live")
        load = """all => Promise.all(all.map(one => new Promise(done => {
            const image = new Image(); image.onload = image.onerror = done; image.src = one })))"""
        page.evaluate(load, [f"{door}/seg?{query}" for query in queries])
        elsewhere = [url for url in asked if not url.startswith(f"{door}/")]
        assert all(leads_to_listed(url) for url in elsewhere), elsewhere

        asked.clear()
        page = browser.new_page()  # another browser: the first one has fired too often by now
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{door}/health/live")
        page.evaluate(load, [f"{door}/seg?add={shop.cart.pk}&redir={quote(GOOD, safe='')}"])
        page.evaluate(load, [f"{door}/seg?add={shop.vip.pk}"])
        assert [url for url in asked if not url.startswith(f"{door}/")] == [GOOD, GOOD]
        browser.close()


def test_no_open_redirect_by_getuid(shop):
    make_partner(shop.advertiser, hosts=LISTED)
    shop.door.catch_up()
    cookie = shop.seg("add={cart}").cookie or ""
    for payload in PAYLOADS:
        for target in (
            f"/getuid?{quote(payload, safe='')}",
            f"/getuidu?{quote(payload, safe='%/:@?=;,.*()$!_-~')}",
            f"/getuid?member={shop.id}&url={quote(payload, safe='')}",
        ):
            location = shop.door.get(target, cookie=cookie).header("location")
            assert location is None or leads_to_listed(location), target


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_getuid_never_500(sent):
    for form in ("getuid", "getuidnb", "getuidu", "getuidj", "getuidp"):
        for query in (quote_from_bytes(sent), sent.decode("latin-1"), sent.decode(errors="surrogateescape")):
            answer = ENDPOINT.receive(Request("GET", f"/{form}", query, Sent(), "203.0.113.7"))
            assert isinstance(answer, Answer)
            assert answer.status in (200, 302)
            location = dict(answer.headers).get("location", "/")
            assert location.startswith("/")
            assert location.isascii()
