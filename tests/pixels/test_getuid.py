"""`/getuid` and its forms: who learns an advertiser's id of a browser, and who does not."""

import json
from urllib.parse import quote

import pytest

from pixels.cookie import stored_id
from tests.factories import make_partner
from tests.pixels.doors import Reply
from tests.pixels.shop import Shop

pytestmark = pytest.mark.spec("pixels.md 1.9")
PARTNER = "https://sync.partner.example/m?u=$UID"
ORIGIN = "https://shop.example"
GIF = "image/gif"


class Visitor:
    """A browser that the shop knows, at a door where `acme` is the shop's partner."""

    def __init__(self, door) -> None:
        self.door = door
        self.shop = Shop(door, page_origins=[ORIGIN])
        host = f"sync{self.shop.id}.partner.example"
        make_partner(self.shop.advertiser, hosts=[host, f"*.{host}"])
        door.catch_up()
        self.url = f"https://{host}/m?u=$UID"
        self.cookie = self.shop.seg("add={cart}").cookie
        (self.uid,) = self.shop.browsers()

    def get(self, target: str, **headers: str) -> Reply:
        return self.door.get(target, **{"cookie": self.cookie} | headers)

    def location(self, target: str, **headers: str) -> str | None:
        return self.get(target, **headers).header("location")


@pytest.fixture
def visitor(door):
    return Visitor(door)


def test_getuid_fills_every_uid_or_appends_it(visitor):
    base, uid = visitor.url.removesuffix("?u=$UID"), visitor.uid
    member = f"member={visitor.shop.id}"
    for query, expected in {
        visitor.url: f"{base}?u={uid}",
        quote(visitor.url, safe=""): f"{base}?u={uid}",
        f"{base}?u=": f"{base}?u={uid}",
        f"{base}?a=1%23top": f"{base}?a=1{uid}#top",
        f"{base}?u=$UID&again=$UID": f"{base}?u={uid}&again={uid}",
        f"{member}&url={quote(visitor.url, safe='')}": f"{base}?u={uid}",
        f"url={quote(visitor.url, safe='')}": f"{base}?u={uid}",
        f"{member}&gdpr=1&url={quote(base + '?u=$UID&g=${GDPR}&c=${GDPR_CONSENT_7}', safe='')}": (
            f"{base}?u={uid}&g=1&c="
        ),
        f"{base}?to=https%3A%2F%2Fx.example%2F&u=$UID": f"{base}?to=https://x.example/&u={uid}",
    }.items():
        reply = visitor.get(f"/getuid?{query}")
        assert (reply.status, reply.header("location"), reply.body) == (302, expected, b""), query
        assert reply.header("referrer-policy") == "strict-origin"
        assert reply.header("set-cookie") is None
    assert visitor.location(f"/getuidu?{base}?to=https%3A%2F%2Fx.example%2F&u=$UID") == (
        f"{base}?to=https%3A%2F%2Fx.example%2F&u={uid}"
    )


def test_the_id_is_the_advertisers_own(visitor):
    random = bytes.fromhex(visitor.cookie.split(".")[2])
    assert visitor.uid == stored_id(bytes(visitor.shop.advertiser.id_key), random)


def test_getuid_only_to_listed_hosts(door, visitor):
    other = Visitor(door)
    for query in (
        PARTNER.replace("sync.", "unlisted."),
        visitor.url.replace("https:", "http:"),
        visitor.url.replace(".example/", ".example:8443/"),
        visitor.url.replace("https://", "https://user@"),
        visitor.url.replace("https://", "https://evil.example\\@"),
        visitor.url.replace(".example/", ".example.evil.example/"),
        f"member={other.shop.id}&url={quote(visitor.url, safe='')}",
        f"member=999999999&url={quote(visitor.url, safe='')}",
        f"member={visitor.shop.id}",
        "",
        "javascript:alert(1)",
        "%68ttps://evil.example/",
    ):
        for form in ("getuid", "getuidnb", "getuidu"):
            reply = visitor.get(f"/{form}?{query}")
            assert (reply.status, reply.header("content-type"), reply.header("location")) == (200, GIF, None), query


def test_a_host_of_two_advertisers_needs_member(door, visitor):
    other = Shop(door)
    host = visitor.url.split("/")[2]
    make_partner(other.advertiser, hosts=[host])
    door.catch_up()
    assert visitor.location(f"/getuid?{visitor.url}") is None
    asked = f"/getuid?member={visitor.shop.id}&url={quote(visitor.url, safe='')}"
    assert (visitor.location(asked) or "").endswith(visitor.uid)


@pytest.mark.parametrize("name", ["__Host-mopt", "__Host-moptp"])
def test_getuid_zero_when_opted_out(visitor, name):
    base = visitor.url.removesuffix("$UID")
    out = {"cookie": f"{visitor.cookie}; {name}=1"}
    assert visitor.location(f"/getuid?{visitor.url}", **out) == f"{base}0"
    assert visitor.location(f"/getuidu?{visitor.url}", **out) == f"{base}0"
    assert visitor.location(f"/getuidnb?{visitor.url}", **out) is None
    assert json.loads(visitor.get(f"/getuidj?member={visitor.shop.id}", **out).body) == {"uid": "0"}
    alone = visitor.get(f"/getuid?{visitor.url}", cookie=f"{name}=1")
    assert (alone.header("location"), alone.header("set-cookie")) == (f"{base}0", None), "no id is made for a no"


def test_getuid_zero_where_a_request_says_no(visitor):
    base = visitor.url.removesuffix("$UID")
    assert visitor.location(f"/getuid?{visitor.url}", sec_gpc="1") == f"{base}0"
    told = f"/getuid?member={visitor.shop.id}&url={quote(visitor.url, safe='')}"
    assert visitor.location(f"{told}&consent=0") == f"{base}0"
    assert visitor.location(f"{told}&consent=1", sec_gpc="true") == f"{base}{visitor.uid}"


def test_a_browser_without_cookie_is_asked_once(visitor):
    base = visitor.url.removesuffix("$UID")
    first = visitor.door.get(f"/getuid?{visitor.url}")
    assert (first.status, first.header("location")) == (302, f"/getuid?{visitor.url}&mb=1")
    kept = visitor.door.get(first.header("location"), cookie=first.cookie)
    assert (kept.header("location") or "").startswith(base)
    assert not (kept.header("location") or "").endswith(("$UID", "=0", "mb=1"))
    blocked = visitor.door.get(first.header("location"))
    assert blocked.header("location") == f"{base}0"


def test_getuidnb_does_not_redirect_without_an_id(visitor):
    reply = visitor.door.get(f"/getuidnb?{visitor.url}")
    assert (reply.status, reply.header("content-type"), reply.header("location")) == (200, GIF, None)
    assert visitor.location(f"/getuidnb?{visitor.url}") == visitor.url.replace("$UID", visitor.uid)
    again = visitor.location(f"/getuidnb?{visitor.url}", cookie=reply.cookie)
    assert again is not None, "it got one for the next time"


def test_getuidj_is_read_by_listed_pages_alone(visitor):
    target = f"/getuidj?member={visitor.shop.id}"
    plain = visitor.get(target)
    assert (plain.status, plain.body) == (200, json.dumps({"uid": visitor.uid}, separators=(",", ":")).encode())
    assert plain.header("access-control-allow-origin") is None

    listed = visitor.get(target, origin=ORIGIN)
    assert listed.header("access-control-allow-origin") == ORIGIN
    assert listed.header("access-control-allow-credentials") == "true"
    checked = visitor.door.get(target, origin=ORIGIN)
    assert (checked.status, checked.header("access-control-allow-origin")) == (302, ORIGIN)

    for origin in ("https://copy.example", "null", "http://shop.example", "https://shop.example:8443"):
        refused = visitor.get(target, origin=origin)
        assert (refused.status, json.loads(refused.body)["code"]) == (403, "origin_not_allowed")
        assert refused.header("access-control-allow-origin") is None
    preflight = visitor.door.get(target, method="OPTIONS", origin=ORIGIN)
    assert (preflight.status, preflight.header("access-control-allow-origin")) == (204, ORIGIN)
    assert json.loads(visitor.get("/getuidj?member=999999999").body) == {"uid": "0"}


def test_getuidp_calls_a_function(visitor):
    target = f"/getuidp?member={visitor.shop.id}"
    reply = visitor.get(f"{target}&callback=a.b$_1", origin=ORIGIN)
    assert reply.body == b'/**/a.b$_1({"uid":"%b"})' % visitor.uid.encode()
    assert reply.header("content-type") == "application/javascript; charset=utf-8"
    assert reply.header("access-control-allow-origin") is None
    for callback in ("", "alert(1)", "f%0A", "%3Cscript%3E", "x" * 65, "%C3%A9"):
        assert visitor.get(f"{target}&callback={callback}").body == b"/* muster */\n"


def test_on_a_first_party_host_there_are_no_others(door, visitor):
    own = Shop(door, first_party_hosts=["px.own.example"])
    door.catch_up()
    reply = visitor.get(f"/getuid?{visitor.url}", host="px.own.example")
    assert reply.header("location") is None
    assert json.loads(visitor.get(f"/getuidj?member={visitor.shop.id}", host="px.own.example").body) == {"uid": "0"}
    assert own.fires() == 0


def test_other_methods_and_long_lines(visitor):
    assert visitor.door.get("/getuid", method="POST").status == 405
    assert visitor.door.get("/getuid", method="HEAD").status == 200
    assert visitor.door.get("/getuid?" + "x" * 16384).status == 414
