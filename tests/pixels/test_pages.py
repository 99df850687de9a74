"""On which page a fire was."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixels import pages
from pixels.personal import holds_personal_data


@pytest.mark.parametrize(
    ("origin", "referer", "told_path", "page"),
    [
        (None, None, "", ("", "")),
        (None, "https://shop.example/cart?user=1#top", "", ("shop.example", "/cart")),
        (None, "https://shop.example", "", ("shop.example", "/")),
        (None, "https://shop.example?x", "", ("shop.example", "/")),
        (None, "http://SHOP.Example.:8080/Cart", "", ("shop.example", "/Cart")),
        (None, "http://[2001:db8::1]:8080/", "", ("[2001:db8::1]", "/")),
        (None, "https://user:word@shop.example/", "", ("shop.example", "/")),
        (None, "https://shop.example\\.copy.example/", "", ("", "")),
        (None, "https://shop.example@copy.example/", "", ("copy.example", "/")),
        (None, "android-app://com.example/", "", ("", "")),
        (None, "about:blank", "", ("", "")),
        (None, "https:///cart", "", ("", "")),
        (None, "https://" + "a" * 254 + "/", "", ("", "")),
        ("https://shop.example", None, "", ("shop.example", "")),
        ("https://copy.example", "https://shop.example/cart", "", ("copy.example", "/cart")),
        ("null", "https://shop.example/cart", "", ("shop.example", "/cart")),
        (None, "https://shop.example/", "/cart", ("shop.example", "/cart")),
        (None, "https://shop.example/", "/cart?x=1#y", ("shop.example", "/cart")),
        (None, None, "/cart", ("", "/cart")),
        (None, "https://shop.example/u/jo@example.com/cart", "", ("shop.example", "")),
        (None, "https://shop.example/u/jo%40example.com/cart", "", ("shop.example", "")),
        (None, "https://shop.example/caf%C3%A9", "", ("shop.example", "/caf%C3%A9")),
        (None, "https://shop.example/" + "x" * 2000, "", ("shop.example", "/" + "x" * 1023)),
    ],
)
def test_page(origin, referer, told_path, page):
    assert pages.page_of(origin, referer, told_path) == page


@given(st.text(), st.text(), st.text())
def test_any_text_gives_a_page_that_fits(origin, referer, told_path):
    page = pages.page_of(origin, "https://" + referer, told_path)
    assert len(page.host) <= 253
    assert len(page.path) <= 1024


@pytest.mark.parametrize(
    "values",
    [
        {"other": "jo@example.com"},
        {"other": "mailto:Jo.Doe+x@mail.shop.example.com!"},
        {"cid": "jo@example.com"},
        {"email": "jo%40example.com"},
        {"other": "jo@bücher.example"},
        {"other": "+49 170 1234567"},
        {"other": "%2B491701234567"},
        {"other": "0170 1234567"},
        {"other": "01701234567"},
        {"other": "0044 20 7946 0958"},
        {"other": "(030) 901820-00"},
        {"other": "202-555-0123"},
        {"other": "call (202) 555-0123"},
        {"pg": "/call/+491701234567"},
    ],
)
def test_personal_data_is_seen(values):
    query = "&".join(f"{name}={value}" for name, value in values.items())
    decoded = {name: value.replace("%2B", "+").replace("%40", "@") for name, value in values.items()}
    assert holds_personal_data(query, decoded)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"add": "4915112345678,01701234567"},
        {"add": "12:2025550123", "value": "1701234567"},
        {"eid": "1795000000000"},
        {"eid": "01701234567"},
        {"order_id": "0170-1234567"},
        {"cb": "01701234567"},
        {"other": "2026-11-22 10:15:30"},
        {"other": "1795000000000"},
        {"other": "550e8400-e29b-41d4-a716-446655440000"},
        {"other": "000000012345"},
        {"other": "192.168.100.200"},
        {"other": "0.123456789012"},
        {"other": "302-1234567-7654321"},
        {"other": "A-1001"},
        {"other": "jo@home"},
        {"other": "@handle"},
        {"pg": "/product/01701234567"},
        {"pg": "/@jo.doe/post"},
        {"redir": "https://cdn.example/pkg@1.2.3/x"},
    ],
)
def test_numbers_and_handles_are_no_personal_data(values):
    assert not holds_personal_data("&".join(f"{name}={value}" for name, value in values.items()), values)


@pytest.mark.parametrize("text", ["a" * 8000 + "@", "@a." * 2700, "+" + "1-" * 4000, "0 " * 4000, "a@" + "a-" * 4000])
def test_no_text_takes_long(text):
    began = time.perf_counter()
    holds_personal_data("other=" + text, {"other": text, "pg": text})
    assert time.perf_counter() - began < 2, "a pattern that tries everything would take minutes"
