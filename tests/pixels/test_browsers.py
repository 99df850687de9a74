"""The browser id on its way through the doors: minted, kept, replaced, checked."""

import time

import pytest

from pixels.cookie import Signer, stored_id
from pixels.intake import cookies_of_installation
from pixels.reasons import Note
from tests.pixels.shop import Shop, counted

TODAY = int(time.time()) // 86400
NAME = "__Host-muid"


@pytest.fixture
def shop(door):
    return Shop(door)


def signer() -> Signer:
    return cookies_of_installation().signer


def cookie_of(days_old: int) -> str:
    return f"{NAME}={signer().sign(signer().mint(TODAY - days_old))}"


@pytest.mark.spec("pixels.md 1.3")
def test_a_cookieless_browser_gets_an_id_and_is_a_member_at_once(shop):
    reply = shop.p()
    line = reply.header("set-cookie") or ""
    assert line.startswith(f"{NAME}=1.k1.")
    assert line.endswith("; Max-Age=34128000; Path=/; Secure; HttpOnly; SameSite=None; Partitioned")
    assert len((reply.cookie or "").partition("=")[2]) == 66
    assert shop.values() == {"cart": None}
    assert shop.fire().notes == []


@pytest.mark.spec("pixels.md 1.3")
def test_a_known_browser_keeps_its_id_and_gets_no_cookie(shop):
    cookie = shop.p().cookie
    assert shop.p(cookie=cookie).header("set-cookie") is None
    assert shop.p(cookie=f"_ga=GA1.1.1; {cookie}; x=y").header("set-cookie") is None
    assert shop.profiles() == 1


@pytest.mark.spec("pixels.md 1.3")
def test_the_end_is_not_put_off(shop):
    assert shop.p(cookie=cookie_of(days_old=394)).header("set-cookie") is None
    assert Note.ID_REMINTED not in shop.fire().notes
    assert shop.p(cookie=cookie_of(days_old=395)).header("set-cookie") is not None
    assert shop.fire().notes == [Note.ID_REMINTED]


@pytest.mark.spec("pixels.md 1.3")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value[:-1] + ("A" if value[-1] != "A" else "B"),
        lambda value: value.replace(".k1.", ".k9."),
        lambda value: value[:6] + ("0" if value[6] != "0" else "1") + value[7:],
        lambda value: "x",
    ],
)
def test_tampered_cookie_gets_new_id(shop, spoil):
    name, _, value = (shop.p().cookie or "").partition("=")
    reply = shop.p(cookie=f"{name}={spoil(value)}")
    assert reply.cookie is not None
    assert reply.cookie != f"{name}={value}"
    assert shop.fire().notes == [Note.ID_REMINTED]
    assert shop.outcome() == "applied"
    assert shop.profiles() == 2


def test_of_two_cookies_of_one_name_the_good_one_counts(shop):
    cookie = shop.p().cookie
    assert shop.p(cookie=f"{NAME}=bad; {cookie}").header("set-cookie") is None
    assert shop.profiles() == 1


@pytest.mark.spec("pixels.md 1.3")
def test_two_advertisers_see_different_ids(door, shop):
    other = Shop(door)
    cookie = shop.p().cookie or ""
    other.p(cookie=cookie)
    browser = signer().verify(cookie.partition("=")[2])
    assert browser is not None
    assert shop.browsers() == {stored_id(bytes(shop.advertiser.id_key), browser.random)}
    assert other.browsers() == {stored_id(bytes(other.advertiser.id_key), browser.random)}
    assert shop.browsers() != other.browsers()
    assert browser.random.hex() not in shop.browsers() | other.browsers()


@pytest.mark.spec("pixels.md §0")
def test_a_refused_fire_gets_a_cookie_and_makes_no_profile(shop):
    assert shop.seg("add={cart}:-1").cookie
    assert shop.seg("add={cart}", user_agent="Googlebot/2.1").cookie
    assert shop.profiles() == 0


# --- The cookie check -----------------------------------------------------------------------------


@pytest.mark.spec("pixels.md 1.3")
@pytest.mark.parametrize(
    ("query", "again"), [("add={cart}&cb=1", "add={cart}&cb=1&mb=1"), ("add={cart}&other=%C3%A9", None)]
)
def test_cookie_check_sends_a_cookieless_browser_round_once(door, query, again):
    shop = Shop(door, is_cookie_check_on=True)
    first = shop.seg(query)
    location = first.header("location") or ""
    assert (first.status, first.body) == (302, b"")
    assert location == "/seg?" + (again or query + "&mb=1").replace("{cart}", str(shop.cart.pk))
    assert first.header("cache-control") == "no-store, private"
    assert counted() == 0, "it is no fire yet"

    second = door.get(location, cookie=first.cookie)
    assert second.status == 200
    assert second.header("set-cookie") is None
    assert shop.outcome() == "applied"

    without = door.get(location)
    assert without.status == 200
    assert shop.outcome() == "rejected no_cookie"


def test_cookie_check_of_a_pixel_without_a_query(door):
    shop = Shop(door, is_cookie_check_on=True)
    first = shop.p()
    assert first.header("location") == f"/p/{shop.pixel.public_key}.gif?mb=1"
    assert door.get(first.header("location"), cookie=first.cookie).status == 200
    assert shop.outcome() == "applied"
    assert shop.p(cookie=first.cookie).status == 200, "whoever keeps the cookie is not asked again"


def test_cookie_check_does_not_ask_crawlers(door):
    shop = Shop(door, is_cookie_check_on=True)
    assert shop.p(user_agent="Googlebot/2.1").status == 200
    assert shop.outcome() == "rejected bot"


# --- First-party hosts ----------------------------------------------------------------------------


@pytest.mark.spec("pixels.md §0")
def test_a_first_party_host_knows_its_advertiser_alone(door):
    shop = Shop(door, first_party_hosts=["px.shop.example"])
    other = Shop(door)
    host = {"host": "PX.Shop.Example:8443"}

    reply = shop.p(**host)
    line = reply.header("set-cookie") or ""
    assert line.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")
    assert line.startswith(f"{NAME}=")
    assert shop.outcome() == "applied"

    assert other.p(**host).header("set-cookie") is None
    assert counted(advertiser=None, reason="unknown_pixel") == 1
    other.seg("add={cart}&member={id}", **host)
    assert counted(advertiser=None, reason="unknown_member") == 1
    other.seg("add={cart}", **host)
    assert shop.outcome() == "rejected unknown_segment", "whoever has the host sees the tag that is wrong there"
    assert other.fires() == 0

    other.p()
    assert other.outcome() == "applied", "on the common host it exists"


# --- Settings of an installation ------------------------------------------------------------------


def test_unpartitioned_if_set_so(restarted):
    shop = Shop(restarted(MUSTER_COOKIE_PARTITIONED=False))
    assert (shop.p().header("set-cookie") or "").endswith("; Path=/; Secure; HttpOnly; SameSite=None")


def test_plain_http_if_set_so(restarted):
    shop = Shop(restarted(MUSTER_DEV_HTTP_COOKIE=True))
    reply = shop.p()
    line = reply.header("set-cookie") or ""
    assert line.startswith("muid=1.k1.")
    assert line.endswith("; Max-Age=34128000; Path=/; HttpOnly; SameSite=Lax")
    shop.p(cookie=reply.cookie)
    assert shop.profiles() == 1


@pytest.mark.spec("pixels.md 1.3")
def test_after_a_key_rotation_the_same_id_comes_back_with_the_new_key(restarted, settings):
    old = cookie_of(days_old=100)
    shop = Shop(restarted(MUSTER_COOKIE_KEYS=[("k2", "new secret"), *settings.MUSTER_COOKIE_KEYS]))
    reply = shop.p(cookie=old)
    line = reply.header("set-cookie") or ""
    assert line.startswith(f"{NAME}=1.k2." + old.partition("=1.k1.")[2][:38])
    assert f"Max-Age={295 * 86400};" in line
    shop.p(cookie=reply.cookie)
    assert shop.profiles() == 1
    assert shop.fire().notes == []
