"""How messages leave the page: with an answer, by beacon, and once more after a failure."""

import pytest

from pixels.sdk import SNIPPET
from tests.pixels.doors import until
from tests.pixels.sdk.conftest import KEY
from tests.pixels.sdk.recorder import FIRST_ID, SECOND_ID, good

pytestmark = pytest.mark.browser

QUIET = "{autoPage: false, consent: 'granted'}"
LEAVE = "location.href = '/other'"


def kept(shop) -> list[str]:
    """The events that this browser keeps to send again."""
    return shop.do("(JSON.parse(localStorage.getItem('_muster')) || []).map(event => event.event || event.type)")


# --- With an answer, or by beacon -----------------------------------------------------------------


@pytest.mark.spec("pixels.md 4.1")
def test_sdk_beacon_and_fallback(shop):
    shop.open("{consent: 'granted'}")
    shop.host.wait_for("page")
    assert not shop.host.asked[0].is_beacon, "the first answer brings the id"
    shop.wait_for_id()

    shop.open("{consent: 'granted'}", path="/second")
    shop.do("muster.track('a')")
    until(lambda: len(shop.host.names) == 3)
    (_, beacon), (call,) = shop.host.requests("/v1/p"), shop.host.requests("/v1/t")
    assert beacon.is_beacon, "nobody waits for this one's answer"
    assert beacon.headers["content-type"].startswith("text/plain")
    assert not call.is_beacon

    for refusal in ("() => false", "() => { throw new Error('mine') }", "undefined"):
        shop.context.add_init_script(f"navigator.sendBeacon = {refusal}")
        shop.open("{consent: 'granted'}", path="/third")
        shop.do("muster.track('b')")
        assert not [request.is_beacon for request in shop.host.asked[3:] if request.is_beacon]
        assert shop.host.names[-2:] == ["page", "b"]
    assert shop.complaints == []


@pytest.mark.spec("pixels.md 4.1")
@pytest.mark.parametrize("refusal", [None, "() => false"])
def test_what_waits_leaves_with_the_page(shop, refusal):
    if refusal:
        shop.context.add_init_script(f"navigator.sendBeacon = {refusal}")
    shop.site.pages["/other"] = "<title>Other</title>"
    shop.host.may_answer.clear()
    shop.open(QUIET)
    for name in ("first", "second", "third"):
        shop.do(f"void muster.track('{name}')")
    shop.do("void muster.fire('7kQ2mB9xV4tL0aZs')")
    shop.page.goto(f"{shop.origin}/other")
    shop.host.wait_for("first", "second", "third")
    batch = shop.host.requests("/v1/batch")[0]
    assert batch.is_beacon is (refusal is None)
    assert (batch.body["writeKey"], [event["type"] for event in batch.events]) == (KEY, ["track", "track"])


@pytest.mark.spec("pixels.md 4.1")
def test_a_beacon_stays_under_60_kb(shop):
    shop.site.pages["/other"] = "<title>Other</title>"
    shop.host.may_answer.clear()
    shop.open(QUIET)
    shop.do("void muster.track('first')")
    shop.do("for (let n = 0; n < 10; n++) muster.track('e' + n, {text: 'ü'.repeat(6000)}); 0")
    shop.page.goto(f"{shop.origin}/other")
    until(lambda: shop.host.requests("/v1/batch"))
    shop.host.may_answer.set()
    # A browser takes 64 kB at a time of a page that goes: the rest comes with the next page.
    shop.open(QUIET)
    until(lambda: {f"e{n}" for n in range(10)} <= set(shop.host.names))
    beacons = [request for request in shop.host.asked if request.is_beacon]
    assert beacons
    assert all(len(request.text.encode()) < 60_000 for request in beacons)


def test_a_message_too_large_for_a_beacon_is_sent_all_the_same(shop):
    shop.open(QUIET)
    assert shop.do("muster.track('large', {text: 'x'.repeat(70000)}).then(reply => reply.outcome)") == "applied"


# --- Once more after a failure --------------------------------------------------------------------


@pytest.mark.spec("pixels.md 4.1")
@pytest.mark.parametrize("failure", [429, 500, 503, "away", "broken"])
def test_after_a_failure_the_same_message_comes_again(shop, failure):
    shop.open(QUIET)
    shop.host.answer = lambda request: (200, "<html>") if failure == "broken" else (failure, {"code": "busy"})
    shop.host.is_reachable = failure != "away"
    reply = shop.do("muster.track('a')")
    assert (reply["outcome"], reply["joined"]) == ("pending", [])
    assert kept(shop) == ["a"]

    shop.host.answer, shop.host.is_reachable = lambda request: good(), True
    shop.host.seen.clear()
    shop.open(QUIET, path="/second")
    (event,) = shop.host.wait_for("a")
    assert event["messageId"] == reply["messageId"]
    assert event["timestamp"] < shop.host.asked[0].body["sentAt"]
    assert event["context"]["page"]["path"] == "/", "where it was said"
    shop.page.wait_for_function("localStorage.getItem('_muster') === null")


def test_it_tries_again_by_itself(shop):
    shop.page.clock.install()
    shop.open(QUIET)
    shop.host.answer = lambda request: (503, {})
    shop.do("Promise.all(['a', 'b'].map(name => muster.track(name)))")
    with shop.page.expect_request_finished(lambda request: "/v1/batch" in request.url):
        shop.page.clock.run_for(5_100)
    shop.host.wait_for("a", "b", "a", "b")
    shop.settle()
    shop.page.clock.run_for(9_000)
    assert len(shop.host.asked) == 3, "the second pause is twice as long"
    shop.host.answer = lambda request: good()
    shop.page.clock.run_for(1_500)
    shop.host.wait_for("a", "b", "a", "b", "a", "b")
    until(lambda: kept(shop) == [])


def test_it_tries_again_when_the_network_is_back(shop):
    shop.open(QUIET)
    shop.context.set_offline(True)
    assert shop.do("muster.track('a').then(reply => reply.outcome)") == "pending"
    shop.context.set_offline(False)
    shop.host.wait_for("a")


def test_what_the_server_refuses_is_not_sent_a_third_time(shop):
    shop.open(QUIET)
    shop.host.answer = lambda request: (503, {})
    shop.do("muster.track('a')")
    shop.host.answer = lambda request: (400, {"code": "too_old"})
    shop.open(QUIET)
    shop.host.wait_for("a", "a")
    shop.page.wait_for_function("localStorage.getItem('_muster') === null")


@pytest.mark.spec("pixels.md 4.1")
@pytest.mark.parametrize(("size", "count"), [(1, 50), (6_000, 10)])
def test_fifty_events_or_64_kb_are_kept(shop, size, count):
    shop.open(QUIET)
    shop.host.answer = lambda request: (503, {})
    shop.do(f"Promise.all(Array.from({{length: 60}}, (_, n) => muster.track('e' + n, {{text: 'x'.repeat({size})}})))")
    assert kept(shop) == [f"e{n}" for n in range(60 - count, 60)]
    assert shop.do("new Blob([localStorage.getItem('_muster')]).size") <= 65536


@pytest.mark.parametrize("stored", ["", "{", "null", "7", '{"a": 1}'])
def test_a_store_that_holds_something_else_is_an_empty_one(shop, stored):
    shop.context.add_init_script(f"[localStorage, sessionStorage].map(one => one.setItem('_muster', {stored!r}))")
    shop.open(QUIET)
    assert shop.do("muster.track('a').then(reply => reply.outcome)") == "applied"
    assert shop.complaints == []


def test_an_answer_that_never_comes_holds_nothing_up_for_ever(shop):
    shop.page.clock.install()
    shop.open(QUIET)
    shop.host.may_answer.clear()
    shop.do("void (window.replies = ['a', 'b'].map(name => muster.track(name)))")
    shop.host.wait_for("a")
    shop.page.clock.run_for(10_100)
    assert shop.do("replies[0].then(reply => reply.outcome)") == "pending"
    shop.host.wait_for("a", "b")


@pytest.mark.parametrize("call", ["segments()", "fire('7kQ2mB9xV4tL0aZs')"])
def test_neither_does_a_reading_or_a_fire(shop, call):
    shop.page.clock.install()
    shop.open(QUIET)
    shop.host.may_answer.clear()
    shop.do(f"void (window.reply = muster.{call}, muster.track('a'))")
    until(lambda: shop.host.asked)
    shop.page.clock.run_for(10_100)
    assert shop.do("reply") in ([], False)
    shop.host.wait_for("a")


def test_what_is_sent_again_does_not_overtake_the_first_answer(shop):
    """Two requests at once without an id would be two visitors."""
    shop.page.clock.install()
    shop.open(QUIET)
    shop.host.answer = lambda request: (503, {})
    shop.do("muster.track('a')")
    shop.host.answer = lambda request: good()
    shop.host.may_answer.clear()
    shop.do("void muster.track('b')")
    shop.host.wait_for("a", "b")
    shop.page.clock.run_for(5_100)
    shop.do("dispatchEvent(new Event('online'))")
    assert shop.host.names == ["a", "b"]
    shop.host.may_answer.set()
    *_, last = shop.host.wait_for("a", "b", "a")
    assert last["context"]["musterId"] == FIRST_ID


# --- The browser's id -----------------------------------------------------------------------------


@pytest.mark.spec("pixels.md 4.1")
def test_the_first_party_id_is_the_one_that_the_server_gave(shop):
    shop.open(QUIET)
    assert shop.stored == [], "it makes none itself"
    shop.do("Promise.all([muster.track('a'), muster.track('b')])")
    first, second = shop.host.wait_for("a", "b")
    assert "musterId" not in first["context"]
    assert second["context"]["musterId"] == FIRST_ID, "two without it would be two visitors"

    cookie = shop.cookie
    assert (cookie["value"], cookie["domain"], cookie["path"]) == (FIRST_ID, ".shop.localhost", "/")
    assert (cookie["sameSite"], cookie["secure"]) == ("Lax", False)
    days = (cookie["expires"] - shop.do("Date.now()") / 1000) / 86400
    assert 394.9 < days <= 395.1


def test_the_id_is_kept_from_page_to_page_and_over_the_sites_hosts(shop):
    shop.open(QUIET)
    shop.do("muster.track('a')")
    expires = shop.cookie["expires"]
    shop.site.pages["/"] = shop.html(QUIET, after="muster.track('b')")
    shop.page.goto(f"http://www.shop.localhost:{shop.site.port}/")
    _, event = shop.host.wait_for("a", "b")
    assert event["context"]["musterId"] == FIRST_ID
    assert shop.cookie["expires"] == expires, "the same id is not prolonged"


def test_a_new_id_of_the_server_replaces_the_old_one(shop):
    shop.open(QUIET)
    shop.do("muster.track('a')")
    shop.host.answer = lambda request: good(id=SECOND_ID)
    shop.do("muster.track('b')")
    shop.do("muster.track('c')")
    ids = [event["context"].get("musterId") for event in shop.host.events]
    assert ids == [None, FIRST_ID, SECOND_ID]
    assert [cookie["value"] for cookie in shop.context.cookies()] == [SECOND_ID]


@pytest.mark.parametrize("given", [None, "", "0", "x; domain=evil.example", "a b" * 20, "x" * 500, 7, {"a": 1}])
def test_what_cannot_be_an_id_is_not_stored(shop, given):
    shop.host.answer = lambda request: good(id=given)
    shop.open(QUIET)
    assert shop.do("muster.track('a').then(reply => reply.outcome)") == "applied"
    assert shop.stored == []


@pytest.mark.spec("pixels.md 4.2")
def test_an_origin_that_is_not_listed_gets_its_answers_without_cookies(shop):
    shop.host.is_listed = False
    shop.open(QUIET)
    assert shop.do("muster.track('a').then(reply => reply.outcome)") == "applied"
    shop.open(QUIET, path="/second")
    shop.do("muster.track('b')")
    first, again, last = shop.host.wait_for("a", "a", "b")
    assert first["messageId"] == again["messageId"]
    assert last["context"]["musterId"] == FIRST_ID
    assert shop.do("muster.segments()") == []


# --- Pages that allow little ----------------------------------------------------------------------


@pytest.mark.spec("pixels.md 4.1")
def test_under_a_strict_content_policy(shop):
    pixels = shop.pixel_origin
    shop.site.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' {pixels}; connect-src {pixels}; img-src {pixels};"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    )
    shop.site.pages["/site.js"] = f"{SNIPPET} muster.init('{KEY}', {{consent: 'granted'}}); muster.track('a')"
    shop.site.pages["/"] = (
        f"<!doctype html><script src='/site.js'></script><script async src='{shop.script}'></script>"
    )
    shop.context.add_init_script(
        "refused = []; addEventListener('securitypolicyviolation', event => refused.push(event.violatedDirective))"
    )
    shop.page.goto(shop.origin)
    shop.host.wait_for("page", "a")
    assert shop.do("muster.fire('7kQ2mB9xV4tL0aZs')") is True
    shop.do("history.pushState({}, '', '/next')")
    shop.host.wait_for("page", "a", "page")
    assert shop.do("refused") == []


@pytest.mark.spec("pixels.md 4.1")
def test_where_storage_is_blocked(shop):
    """In a sandbox every touch of cookies and stores throws."""
    shop.site.headers["Content-Security-Policy"] = "sandbox allow-scripts"
    shop.open("{consent: 'granted'}")
    with pytest.raises(Exception, match="SecurityError"):
        shop.do("localStorage.length")
    shop.do("muster.track('a')")
    page, event = shop.host.wait_for("page", "a")
    assert (page["context"].get("musterId"), event["context"]["musterId"]) == (None, FIRST_ID), "for this page alone"

    shop.host.answer = lambda request: (503, {})
    reply = shop.do("muster.track('b')")
    shop.host.answer = lambda request: good()
    shop.do("dispatchEvent(new Event('online'))")
    events = shop.host.wait_for("page", "a", "b", "b")
    assert {event["messageId"] for event in events[2:]} == {reply["messageId"]}
    shop.do("muster.consent(false)")
    assert shop.do("muster.optOut()") is True
    assert shop.complaints == []


def test_where_the_store_is_full(shop):
    shop.open(QUIET)
    shop.do("Storage.prototype.setItem = () => { throw new Error('QuotaExceededError') }; 0")
    shop.host.answer = lambda request: (503, {})
    shop.do("muster.track('a')")
    shop.host.answer = lambda request: good()
    shop.do("dispatchEvent(new Event('online'))")
    shop.host.wait_for("a", "a")
