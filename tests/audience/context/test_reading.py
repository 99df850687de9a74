"""The context of a fact, from what a request shows and what its sender says around it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.context.place import Places
from audience.context.reading import Keeping, Seen, context_of
from tests.audience.context.databases import CITIES, write

pytestmark = pytest.mark.spec("rules.md 1.5")

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
NO_PLACES = Places([])
MUNICH = {
    "country": "DE",
    "region": "DE-BY",
    "city": "Munich",
    "postcode": "80331",
    "lat": 48.14,
    "lon": 11.58,
}
WINDOWS = {
    "device": {"type": "desktop"},
    "browser": {"name": "Chrome", "version": "142.0.0"},
    "os": {"name": "Windows", "version": "10"},
}


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Places:
    return Places([write(tmp_path_factory.mktemp("places") / "city.mmdb", CITIES)])


def test_everything_a_browser_says(places):
    told = {
        "ip": "203.0.113.7",
        "userAgent": CHROME,
        "locale": "de_at",
        "timezone": "Europe/Vienna",
        "screen": {"width": 1920, "height": 1080.0, "density": 2},
        "page": {
            "url": "https://shop.example/shoes",
            "path": "/shoes",
            "search": "?utm_campaign=spring&gclid=abc&q=red&token=s3cret",
            "title": "Red \n shoes",
            "type": "category",
            "referrer": "https://www.google.com/search?q=secret",
        },
        "library": {"name": "analytics.js", "version": "2.0"},
    }
    assert context_of(told, keeping=Keeping(frozenset({"q"})), places=places) == {
        "place": MUNICH,
        "time_zone": "Europe/Vienna",
        **WINDOWS,
        "screen": {"width": 1920, "height": 1080},
        "language": "de-AT",
        "channel": "web",
        "page": {
            "url": "https://shop.example/shoes?q=red",
            "host": "shop.example",
            "path": "/shoes",
            "query": {"q": "red"},
            "title": "Red shoes",
            "type": "category",
        },
        "landing": {"url": "https://shop.example/shoes?q=red", "path": "/shoes"},
        "source": {
            "medium": "cpc",
            "name": "google",
            "campaign": "spring",
            "referrer": "www.google.com/search",
            "referrer_domain": "google.com",
            "click_id": "abc",
        },
    }


def test_what_the_request_shows_where_nobody_says_anything(places):
    seen = Seen(CHROME, "203.0.113.7", "https://shop.example/cart?user=1", "de-AT,de;q=0.9", "web")
    assert context_of(None, seen, places=places) == {
        "place": MUNICH,
        "time_zone": "Europe/Berlin",
        **WINDOWS,
        "language": "de-AT",
        "channel": "web",
        "page": {"url": "https://shop.example/cart", "host": "shop.example", "path": "/cart"},
        "landing": {"url": "https://shop.example/cart", "path": "/cart"},
        "source": {"medium": "direct", "name": "direct"},
    }


@pytest.mark.spec("P21")
def test_the_address_gives_the_place_and_is_gone(places):
    said = json.dumps(context_of({"ip": "203.0.113.7", "page": {}}, Seen(address="198.51.100.1"), places=places))
    assert "Munich" in said
    assert "203.0.113" not in said
    assert "198.51.100" not in said


def test_a_server_that_says_nothing_was_nowhere():
    assert context_of({}, Seen(channel="server"), places=NO_PLACES) == {"channel": "server"}


def test_an_app_says_more_of_its_device_than_its_agent():
    told = {
        "app": {"name": "Shop", "version": "3"},
        "device": {
            "id": "B5372DB0",
            "manufacturer": "Apple",
            "model": "iPhone15,3",
            "name": "Jo's phone",
            "type": "ios",
        },
        "os": {"name": "iPhone OS", "version": "18.1"},
        "userAgent": "Shop/3 CFNetwork/1410 Darwin/22.6.0",
    }
    context = context_of(told, places=NO_PLACES)
    assert context["device"] == {"type": "mobile", "brand": "Apple", "model": "iPhone15,3"}
    assert context["os"] == {"name": "iOS", "version": "18.1"}
    assert context["channel"] == "app"
    assert "B5372DB0" not in json.dumps(context)
    assert "Jo" not in json.dumps(context)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"page": {"url": "https://shop.example/a", "referrer": "https://shop.example/b"}}, {}),
        ({"page": {"url": "https://shop.example/a"}}, {"url": "https://shop.example/a", "path": "/a"}),
        (
            {
                "page": {"url": "https://shop.example/a", "referrer": "https://shop.example/b"},
                "landing": {"url": "https://shop.example/start?x=1"},
            },
            {"url": "https://shop.example/start", "path": "/start"},
        ),
    ],
)
def test_a_visit_lands_where_it_comes_from_outside(told, expected):
    assert context_of(told, places=NO_PLACES).get("landing", {}) == expected


def test_hosts_of_the_advertiser_are_no_source():
    told = {"page": {"url": "https://shop.example/", "referrer": "https://shop.test/"}}
    keeping = Keeping(is_own={"shop.test"}.__contains__)
    assert context_of(told, keeping=keeping, places=NO_PLACES)["source"]["medium"] == "internal"


@pytest.mark.parametrize(
    ("told", "language"),
    [
        ("de", "de"),
        ("DE_at", "de-AT"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("en-US,en;q=0.9", "en-US"),
        ("english", None),
        ("*", None),
        ("", None),
        (["de"], None),
    ],
)
def test_language(told, language):
    assert context_of({"locale": told}, places=NO_PLACES).get("language") == language


@pytest.mark.parametrize(
    "told",
    [
        {"ip": {"v4": 1}, "userAgent": 7, "locale": None, "timezone": "Mars/Olympus", "channel": ["web"]},
        {"screen": {"width": True, "height": float("nan")}},
        {"screen": {"width": 10**30, "height": -1}},
        {"screen": [1920, 1080], "page": "https://shop.example/", "device": "phone", "os": 4, "campaign": "spring"},
        {"page": {"url": "ftp://shop.example/", "title": "a\0b", "path": "cart"}},
        {"page": {"title": "Order of jo@example.com", "url": "https://shop.example/" * 1000}},
        {"page": {"title": "\ud800"}, "os": {"name": "\u202eSOi"}},
        [],
        "context",
        None,
    ],
)
def test_what_is_not_in_its_form_is_left_out(told):
    context = context_of(told, places=NO_PLACES)
    assert context in ({}, {"channel": "web"}, {"channel": "web", "source": {"medium": "direct", "name": "direct"}})


FIELDS = """
    ip userAgent locale timezone screen page referrer campaign device os app channel landing url path search title
    type width height name source medium term content manufacturer model version
"""
NAMES = st.sampled_from(FIELDS.split())
TEXTS = st.text() | st.sampled_from([CHROME, "203.0.113.7", "de", "web", "https://shop.example/?q=1&utm_source=x"])
JSON = st.recursive(
    TEXTS | st.integers() | st.floats() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(), inner, max_size=8),
    max_leaves=40,
)


def leaves(value: object) -> list[object]:
    return [leaf for inner in value.values() for leaf in leaves(inner)] if isinstance(value, dict) else [value]


@given(JSON, st.builds(Seen, *[TEXTS] * 4, st.sampled_from(["", "web", "server"])))
def test_anything_gives_a_context_that_fits_a_row(places, told, seen):
    context = context_of(told, seen, Keeping(frozenset({"q"})), places=places)
    assert len(json.dumps(context, allow_nan=False, ensure_ascii=False).encode()) < 32_000
    assert not any(isinstance(leaf, str) and "\0" in leaf for leaf in leaves(context))


def test_long_texts_are_cut():
    texts = dict.fromkeys(FIELDS.split(), "é " * 4000) | {"url": "https://shop.example/" + "é" * 8000}
    told = {"page": texts, "device": texts, "os": texts, "campaign": texts, "userAgent": "é" * 8000}
    assert len(json.dumps(context_of(told, places=NO_PLACES), ensure_ascii=False).encode()) < 16_000


def test_the_place_is_looked_up_for_each_address(places):
    """Beside that, the same page of the same browser has the same context."""
    told, page = {"page": {"title": "Cart"}}, "https://shop.test/cart"
    known, unknown = (
        context_of(told, Seen(address=address, page=page), places=places) for address in ("203.0.113.7", "192.0.2.1")
    )
    assert known.pop("place") == MUNICH
    del known["time_zone"]
    assert known == unknown
    assert known["page"]["title"] == "Cart"


def test_own_hosts_make_another_context(places):
    told = {"page": {"url": "https://shop.test/cart", "referrer": "https://pay.test/"}}
    mediums = [
        context_of(told, keeping=Keeping(is_own=hosts.__contains__), places=places)["source"]["medium"]
        for hosts in ({"pay.test"}, {"bank.test"})
    ]
    assert mediums == ["internal", "referral"]


def test_what_cannot_be_remembered_is_read_all_the_same(places):
    long, half = "https://shop.test/" + "a" * 3_000, "Cart \ud800"
    assert context_of({"page": {"url": long}}, places=places)["page"]["host"] == "shop.test"
    assert (
        context_of({"page": {"url": "https://shop.test/", "title": half}}, places=places)["page"]["host"]
        == "shop.test"
    )
