"""Page views: on load, on each route of an application with one page, and never for a page that nobody sees."""

from contextlib import suppress

import pytest

from tests.pixels.doors import until

pytestmark = [pytest.mark.browser, pytest.mark.spec("pixels.md 4.1")]

GRANTED = "{consent: 'granted'}"


def check(shop, *paths: str) -> None:
    """See that the page views were of these paths, in this order, and of no others."""

    def came() -> list[str]:
        return [event["context"]["page"]["path"] for event in shop.host.events if event["type"] == "page"]

    shop.settle()
    with suppress(AssertionError):
        until(lambda: len(came()) >= len(paths))
    assert came() == [*paths]


def test_sdk_spa_routes(shop):
    shop.open(GRANTED)
    shop.do("history.pushState({}, '', '/shoes?size=42'); document.title = 'Sandals'")
    check(shop, "/", "/shoes")
    shop.do("history.replaceState({}, '', '/boots')")
    check(shop, "/", "/shoes", "/boots")
    shop.do("history.back()")
    check(shop, "/", "/shoes", "/boots", "/")

    views = [event["context"]["page"] for event in shop.host.events if event["type"] == "page"]
    assert [view["title"] for view in views] == ["Shoes", "Sandals", "Sandals", "Sandals"], "that of its own route"
    assert [view["referrer"] for view in views] == [
        "",
        f"{shop.origin}/",
        f"{shop.origin}/shoes?size=42",
        f"{shop.origin}/boots",
    ]


@pytest.mark.parametrize(
    "code",
    [
        "history.pushState({}, '', '?page=2')",
        "history.pushState({}, '', '#top')",
        "history.replaceState({scroll: 7}, '')",
        "history.pushState({}, ''); history.pushState({}, '')",
        "location.hash = 'top'",
        "history.pushState({}, '', '/passing'); history.replaceState({}, '', '/')",
    ],
)
def test_no_route_has_changed(shop, code):
    shop.open(GRANTED)
    shop.do(f"void ({code.replace(';', ',')})")
    check(shop, "/")


def test_hash_routes_where_they_are_asked_for(shop):
    shop.open("{consent: 'granted', hash: true}", path="/#/shoes")
    shop.do("location.hash = '/boots'")
    shop.host.wait_for("page", "page")
    shop.do("history.pushState({}, '', '#/socks')")
    shop.host.wait_for("page", "page", "page")
    urls = [event["context"]["page"]["url"] for event in shop.host.events if event["type"] == "page"]
    assert urls == [f"{shop.origin}/#/{route}" for route in ("shoes", "boots", "socks")]


def test_the_applications_own_history_goes_on_as_before(shop):
    wrapper = "function (...given) { muster.own = given.length; return push.apply(this, given) }"
    shop.open(GRANTED, before=f"const push = history.pushState; history.pushState = {wrapper}")
    found = shop.do("(history.pushState({n: 1}, '', '/a'), [history.state.n, muster.own, history.length])")
    assert found == [1, 3, 3]
    with pytest.raises(Exception, match="SecurityError"):
        shop.do("history.pushState({}, '', 'https://evil.example/')")
    check(shop, "/", "/a")


def test_by_hand_where_it_is_switched_off(shop):
    shop.open("{consent: 'granted', autoPage: false}")
    shop.do("history.pushState({}, '', '/shoes')")
    check(shop)
    shop.do("muster.page('List', {page_type: 'list'})")
    check(shop, "/shoes")
