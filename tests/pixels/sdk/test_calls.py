"""What a page can call, and what it gets, in a real browser and across origins."""

import re

import pytest

from pixels import sdk
from pixels.sdk import SNIPPET
from tests.pixels.sdk.conftest import KEY
from tests.pixels.sdk.recorder import FIRST_ID, good

pytestmark = pytest.mark.browser

QUIET = "{autoPage: false, consent: 'granted'}"


@pytest.mark.spec("pixels.md 4.1")
def test_sdk_queue_before_load(shop):
    """Calls that a page makes before the script is there come in their order, and the oldest go beyond 100."""
    shop.open(
        QUIET,
        before="muster.identify('C-1001')",
        after="""
            muster.replies = [];
            for (let n = 1; n < 105; n++) muster.track('e' + n).then(reply => muster.replies.push(reply));
        """,
    )
    shop.host.wait_for(*(f"e{n}" for n in range(5, 105)))
    shop.page.wait_for_function("muster.replies.length === 104")
    outcomes = shop.do("muster.replies.map(reply => reply.outcome)")
    assert outcomes == ["rejected"] * 4 + ["applied"] * 100
    assert shop.complaints == []


@pytest.mark.spec("pixels.md 4.1")
def test_a_hundred_calls_before_load_all_come(shop):
    shop.open(QUIET, before="muster.identify('C-1001')", after="for (let n = 0; n < 99; n++) muster.track('e' + n)")
    shop.host.wait_for("identify", *(f"e{n}" for n in range(99)))


@pytest.mark.spec("pixels.md 4.1")
def test_the_page_knows_in_the_same_answer(shop):
    cart = {"code": "cart", "id": 12, "value": 65, "since": "2026-11-20T08:00:00Z", "until": None}
    shop.host.answer = lambda request: good(joined=["cart"], left=["visitor"], segments=[cart])
    shop.open(QUIET)
    reply = shop.do("muster.track('cart_updated', {total: 65})")
    (event,) = shop.host.wait_for("cart_updated")
    assert reply == {
        "messageId": event["messageId"],
        "outcome": "applied",
        "joined": ["cart"],
        "left": ["visitor"],
        "segments": [cart],
    }
    (request,) = shop.host.asked
    assert (request.method, request.path, request.query) == ("POST", "/v1/t", {"segments": "1"})


@pytest.mark.spec("pixels.md 4.2")
def test_a_message_in_the_segment_form_and_without_a_preflight(shop):
    shop.open(QUIET, path="/shoes?utm_source=mail")
    shop.do("muster.track('product_view', {id: 7, tags: ['a', null]})")
    (request,) = shop.host.asked
    event = request.body
    assert request.headers["content-type"].startswith("text/plain")
    assert "authorization" not in request.headers
    assert (event["writeKey"], event["type"], event["event"]) == (KEY, "track", "product_view")
    assert event["properties"] == {"id": 7, "tags": ["a", None]}
    assert event["timestamp"].endswith("Z")
    assert event["timestamp"] <= event["sentAt"]
    assert len(event["messageId"]) == 32
    assert event["context"]["page"] == {
        "url": f"{shop.origin}/shoes?utm_source=mail",
        "path": "/shoes",
        "search": "?utm_source=mail",
        "title": "Shoes",
        "referrer": "",
    }
    assert event["context"]["library"] == {"name": "muster.js", "version": "1"}
    assert {"anonymousId", "userId"}.isdisjoint(event), "it makes no id of its own"


@pytest.mark.spec("pixels.md 4.3")
def test_identify_and_group_with_their_proofs(shop):
    shop.open(QUIET)
    shop.do("muster.identify('C-1001', {plan: 'gold'}, {userHash: 'aa'})")
    shop.do("muster.identify({plan: 'silver'})")
    shop.do("muster.group('acme', {seats: 5}, {groupHash: 'bb'})")
    shop.do("muster.page('Shoes', {page_type: 'list'})")
    person, traits, account, page = shop.host.wait_for("identify", "identify", "group", "page")
    assert (person["userId"], person["traits"], person["context"]["userHash"]) == ("C-1001", {"plan": "gold"}, "aa")
    assert "userId" not in traits
    assert traits["traits"] == {"plan": "silver"}
    assert (account["groupId"], account["traits"], account["context"]["groupHash"]) == ("acme", {"seats": 5}, "bb")
    assert (page["name"], page["properties"]) == ("Shoes", {"page_type": "list"})
    assert [request.path for request in shop.host.asked] == ["/v1/i", "/v1/i", "/v1/g", "/v1/p"]


def test_what_is_sent_is_what_was_said_at_the_time_of_the_call(shop):
    shop.open("{autoPage: false, consent: 'required'}")
    shop.do(
        "(() => { const cart = {total: 65}; muster.track('a', cart); cart.total = 1; document.title = 'Other' })()"
    )
    shop.do("muster.consent(true)")
    (event,) = shop.host.wait_for("a")
    assert event["properties"] == {"total": 65}
    assert event["context"]["page"]["title"] == "Shoes"


@pytest.mark.spec("pixels.md 1.11")
def test_segments_of_the_visitor(shop):
    found = [{"code": "cart", "id": 12, "value": 65}]
    shop.host.answer = lambda request: (200, {"segments": found}) if request.method == "GET" else good()
    shop.open(QUIET)
    assert shop.do("muster.segments(['cart', 'vip'])") == found
    assert "muster-id" not in shop.host.asked[-1].headers
    shop.do("muster.track('a')")
    assert shop.do("muster.segments()") == found
    first, last = shop.host.requests("/v1/me/segments")
    assert (first.query, last.query) == ({"key": KEY, "codes": "cart,vip"}, {"key": KEY})
    assert last.headers["muster-id"] == FIRST_ID


@pytest.mark.spec("pixels.md 4.1")
@pytest.mark.parametrize(
    "answer",
    [(403, {"code": "origin_not_allowed"}), (500, ""), (200, "<html>"), (200, None), (200, {"segments": "all"})],
)
def test_segments_that_cannot_be_read_are_an_empty_list(shop, answer):
    shop.host.answer = lambda request: answer
    shop.open(QUIET)
    assert shop.do("muster.segments()") == []
    assert shop.complaints == []


@pytest.mark.spec("pixels.md 1.7")
def test_fire(shop):
    shop.open(QUIET, path="/cart?user=7")
    assert shop.do("muster.fire('7kQ2mB9xV4tL0aZs', {value: 0, keep: '7d', eid: 'order 1&2', other: undefined})")
    assert shop.do("muster.fire('7kQ2mB9xV4tL0aZs')")
    first, again = shop.host.requests("/p/7kQ2mB9xV4tL0aZs.gif")
    turn = first.query.pop("cb")
    assert first.query == {"pg": "/cart", "value": "0", "keep": "7d", "eid": "order 1&2"}
    assert again.query["cb"] != turn, "no browser takes it for the image that it has"
    assert first.headers["referer"] == f"{shop.origin}/cart?user=7", "so that the door can tell the page"


def test_a_fire_that_does_not_arrive_says_so(shop):
    shop.open(QUIET)
    shop.host.is_reachable = False
    assert shop.do("muster.fire('7kQ2mB9xV4tL0aZs')") is False


@pytest.mark.spec("pixels.md 4.1")
def test_ready_and_calls_that_a_page_has_put_aside(shop):
    shop.open(QUIET, after="const track = muster.track; muster.ready(() => { muster.loaded = muster.v })")
    assert shop.do("muster.loaded") == 1
    shop.do("track('aside')")
    shop.host.wait_for("aside")


@pytest.mark.spec("pixels.md 4.1")
def test_a_throwing_callback_breaks_nothing(shop):
    shop.open(
        QUIET,
        before="muster.ready(() => { throw new Error('mine') })",
        after="""
            muster.track({get a() { throw new Error('mine') }}, {toJSON() { throw new Error('mine') }});
            muster.ready('no function');
            muster.track('after');
        """,
    )
    shop.host.wait_for("after")
    shop.do("window.round = {}, window.round.round = window.round, 0")
    assert shop.do("muster.track('round', round)")["outcome"] == "rejected"
    assert shop.do("muster.init()") is None
    assert shop.complaints == []


@pytest.mark.spec("pixels.md 4.1")
@pytest.mark.parametrize("answer", ["", "<html>", "null", "[]", "7", '"text"', "{}", '{"success": "yes"}'])
def test_a_broken_answer_breaks_nothing(shop, answer):
    shop.host.answer = lambda request: (200, answer)
    shop.open(QUIET)
    reply = shop.do("muster.track('a')")
    assert {name: reply[name] for name in ("outcome", "joined", "segments")} == {
        "outcome": "pending",
        "joined": [],
        "segments": [],
    }
    assert shop.complaints == []


def test_an_answer_with_parts_of_other_kinds(shop):
    shop.host.answer = lambda request: good(joined="cart", left=None, segments={"a": 1}, id=["x"], outcome=None)
    shop.open(QUIET)
    reply = shop.do("muster.track('a')")
    assert [reply[name] for name in ("outcome", "joined", "left", "segments")] == ["applied", [], [], []]
    assert shop.stored == []


def test_what_the_server_refuses_is_told_and_not_sent_again(shop):
    shop.host.answer = lambda request: (401, {"code": "unknown_write_key", "message": "This write key is not known."})
    shop.open(QUIET)
    with shop.page.expect_console_message(lambda message: "This write key is not known." in message.text):
        assert shop.do("muster.track('a')")["outcome"] == "rejected"
    assert shop.stored == []


def test_the_script_twice_is_the_script_once(shop):
    shop.open("{consent: 'granted'}", after=f"document.write('<script async src=\"{shop.script}\"><\\/script>')")
    shop.page.wait_for_load_state("load")
    shop.do("muster.track('a')")
    shop.host.wait_for("page", "a")


def test_without_the_snippet_it_is_called_once_it_is_there(shop):
    shop.site.pages["/"] = f"<!doctype html><script src='{shop.script}'></script>"
    shop.page.goto(shop.origin)
    shop.do("void muster.track('early')")
    shop.do(f"void muster.init('{KEY}', {QUIET})")
    shop.host.wait_for("early")


@pytest.mark.parametrize("form", ["{origin}", "{origin}/", "{name}"])
def test_another_host_than_that_of_the_script(shop, form):
    host = form.format(origin=shop.pixel_origin, name=shop.pixel_origin.removeprefix("http://"))
    shop.site.pages["/own.js"] = shop.host.script.decode()
    shop.site.pages["/"] = "<!doctype html><script src='/own.js'></script>"
    shop.page.goto(shop.origin)
    with shop.page.expect_request(lambda request: "/v1/t" in request.url) as sent:
        shop.do(f"(muster.init('{KEY}', {{autoPage: false, host: '{host}'}}), void muster.track('a'))")
    assert sent.value.url.startswith(("http://" if "://" in host else "https://") + "px.pixels.localhost")


def test_the_page_of_documentation_prints_the_snippet_and_tells_of_every_call(shop):
    printed = (sdk.SOURCE.parents[2] / "docs/muster-js.md").read_text()
    tag = re.search(r"<script>.*?</script><script.*?</script>", printed, re.DOTALL)[0].replace("\n    ", "\n")
    assert SNIPPET in tag
    shop.site.pages["/"] = tag.replace("https://px.example.com", shop.pixel_origin)
    shop.page.goto(shop.origin)
    shop.host.wait_for("page")
    assert shop.host.events[0]["writeKey"] == KEY

    called = set(re.findall(r"`(\w+)\(", printed.partition("## Calls")[2].partition("## Consent")[0]))
    assert called | {"init"} == {name for name in shop.do("Object.keys(muster)") if name not in "qv"}
    read = set(re.findall(r"\boptions\.(\w+)", sdk.SOURCE.read_text()))
    assert set(re.findall(r"^\| `(\w+)` \|", printed.partition("## Calls")[0], re.MULTILINE)) == read
