"""What is kept of the address of a page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.context.page import page_fields

KEYS = {"variant", "q"}


@pytest.mark.spec("P22")
@pytest.mark.parametrize(
    ("address", "fields"),
    [
        ("https://Shop.example/Cart", {"url": "https://shop.example/Cart", "host": "shop.example", "path": "/Cart"}),
        ("http://shop.example:8080", {"url": "http://shop.example/", "host": "shop.example", "path": "/"}),
        (
            "https://shop.example/cart?token=s3cret&variant=b&sid=1#access_token=x",
            {
                "url": "https://shop.example/cart?variant=b",
                "host": "shop.example",
                "path": "/cart",
                "query": {"variant": "b"},
            },
        ),
        (
            "https://shop.example/?q=red+shoes%20%C3%A9&q=second&variant=jo%40example.com&Variant=c",
            {
                "url": "https://shop.example/?q=red+shoes+%C3%A9",
                "host": "shop.example",
                "path": "/",
                "query": {"q": "red shoes é"},
            },
        ),
        ("https://shop.example/#?q=1", {"url": "https://shop.example/", "host": "shop.example", "path": "/"}),
        ("https://jo:word@shop.example/", {"url": "https://shop.example/", "host": "shop.example", "path": "/"}),
        ("https://shop.example/u/jo@example.com", {"url": "https://shop.example", "host": "shop.example"}),
        ("https://shop.example/call/+491701234567", {"url": "https://shop.example", "host": "shop.example"}),
        ("javascript:alert(1)", {}),
        ("/cart", {}),
        ("", {}),
    ],
)
def test_of_a_page_host_path_and_listed_keys_are_kept(address, fields):
    assert page_fields(address, KEYS) == fields


@pytest.mark.spec("P22")
def test_no_key_is_kept_that_nobody_listed():
    assert "query" not in page_fields("https://shop.example/?q=1")


@pytest.mark.spec("P22")
def test_half_an_address_of_a_person_is_not_kept_either():
    for padding in range(4040, 4096):
        assert "jo@" not in str(
            page_fields(
                "https://shop.example/?q=" + "x" * 100 + "&" + "y" * (padding - 110) + "&q=jo@example.com", KEYS
            )
        )
        assert "jo@" not in str(page_fields(f"https://shop.example/?q={'x ' * (padding - 3900)}jo@example.com", KEYS))


def test_an_address_that_grows_too_long_is_told_without_its_query():
    fields = page_fields("https://shop.example/?q=" + "é" * 200 + "&variant=" + "é" * 200, KEYS)
    assert fields["url"] == "https://shop.example/"
    assert fields["query"] == {"q": "é" * 200, "variant": "é" * 200}


@given(st.text(), st.sets(st.text(), max_size=3))
def test_any_address_gives_fields_that_fit(rest, keys):
    fields = page_fields("https://shop.example/" + rest, keys | KEYS)
    assert len(fields["url"]) <= 2048
    assert len(fields.get("path", "")) <= 1024
    str(fields).encode()
