"""Whence a visitor came: the order of what decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.context.referrers import HOSTS, known_app, known_host
from audience.context.source import CLICKS, Source, source_of

PAGE = "https://shop.example/shoes"


def short(source: Source) -> tuple[str, str]:
    return source.medium, source.name


@pytest.mark.spec("rules.md 1.5")
def test_every_field():
    tags = (
        "utm_source=News&utm_medium=Email&utm_campaign=Spring%202026&utm_term=red+shoes&utm_content=top&gclid=Cj0-x_1"
    )
    assert source_of(f"{PAGE}?{tags}", "https://www.partner.example/blog?user=1") == Source(
        medium="email",
        name="News",
        campaign="Spring 2026",
        term="red shoes",
        content="top",
        referrer="www.partner.example/blog",
        referrer_domain="partner.example",
        click_id="Cj0-x_1",
    )


@pytest.mark.spec("rules.md 1.5")
@pytest.mark.parametrize(
    ("query", "referrer", "expected"),
    [
        ("utm_source=news&utm_medium=email&gclid=1", "https://www.google.com/", ("email", "news")),
        ("mtm_source=news&mtm_medium=email", "", ("email", "news")),
        ("pk_source=news&pk_medium=email", "", ("email", "news")),
        ("utm_source=news", "https://www.google.com/", ("", "news")),  # a name does not borrow another's medium
        ("utm_source=news&gclid=1", "https://www.google.com/", ("cpc", "news")),
        ("utm_campaign=spring", "https://www.google.com/", ("organic", "google")),
        ("utm_campaign=spring&gclid=1", "https://www.google.com/", ("cpc", "google")),
        ("utm_campaign=spring&utm_medium=print", "", ("print", "direct")),
        ("gclid=1", "https://www.google.com/", ("cpc", "google")),
        ("msclkid=1", "", ("cpc", "bing")),
        ("fbclid=1", "https://l.facebook.com/", ("social", "facebook")),
        ("gclid=not%20an%20id!", "https://www.google.com/", ("organic", "google")),
        ("", "https://shop.example/cart", ("internal", "shop.example")),
        ("", "https://www.shop.example/cart", ("internal", "shop.example")),
        ("", "https://blog.shop.example/", ("internal", "blog.shop.example")),
        ("utm_source=banner", "https://shop.example/", ("", "banner")),
        ("", "https://www.google.co.uk/search?q=shoes", ("organic", "google")),
        ("", "https://mail.google.com/", ("email", "gmail")),
        ("", "https://t.co/abc", ("social", "x")),
        ("", "android-app://com.google.android.gm/", ("email", "gmail")),
        ("", "android-app://com.example.reader", ("referral", "com.example.reader")),
        ("", "https://www.partner.example/blog", ("referral", "partner.example")),
        ("", "https://notshop.example/", ("referral", "notshop.example")),
        ("", "", ("direct", "direct")),
        ("", "no address", ("direct", "direct")),
        ("utm_source=jo@example.com", "", ("direct", "direct")),
    ],
)
def test_the_first_that_speaks_decides(query, referrer, expected):
    assert short(source_of(f"{PAGE}?{query}", referrer)) == expected


def test_hosts_of_the_advertiser_are_internal():
    own = {"shop.example", "shop.test"}
    assert short(source_of(PAGE, "https://shop.test/", is_own=own.__contains__)) == ("internal", "shop.test")


def test_what_an_sdk_read_out_of_the_tags_counts_before_them():
    campaign = {"name": "spring", "source": "news", "medium": "EMAIL", "term": 7, "content": ["x"]}
    source = source_of(f"{PAGE}?utm_source=other&utm_term=red", "", campaign=campaign)
    assert (*short(source), source.campaign, source.term, source.content) == ("email", "news", "spring", "red", "")


@pytest.mark.parametrize(("parameter", "expected"), CLICKS.items())
def test_each_click_id(parameter, expected):
    source = source_of(f"{PAGE}?{parameter}=Ab-1_2.3")
    assert (source.name, source.medium, source.click_id) == (*expected, "Ab-1_2.3")


@pytest.mark.parametrize("host", [host for host in HOSTS if "*" not in host])
def test_each_row_is_found(host):
    assert (known_app if host.startswith(("com.", "org.")) else known_host)(host) == HOSTS[host]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("www.google.de", "google"),
        ("google.com.au", "google"),
        ("google.evil.example", None),
        ("notgoogle.com", None),
        ("facebook.com.evil.example", None),
        ("m.facebook.com", "facebook"),
        ("fr.search.yahoo.com", "yahoo"),
        ("de.pinterest.com", "pinterest"),
        ("", None),
    ],
)
def test_hosts_below_a_row_and_hosts_that_only_look_like_one(host, name):
    found = known_host(host)
    assert (found.name if found else None) == name


@given(st.text(), st.text())
def test_any_text_gives_a_source_that_fits(query, referrer):
    for address in (query, f"{PAGE}?utm_source={query}&gclid={query}"):
        for from_where in (referrer, f"https://x.example/{referrer}", f"android-app://{referrer}"):
            for value in source_of(address, from_where):
                assert len(value) <= 1024
                value.encode()
