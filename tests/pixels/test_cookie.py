"""The browser id and its cookie, against the specification's vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixels import cookie
from pixels.cookie import BrowserId, Signer

SECRET = "cookie-test-secret"
RANDOM = bytes(range(16))
DAY = 20779
VALUE = "1.k1.000102030405060708090a0b0c0d0e0f.20779.6cEnH6AEZ5rSdABMf0FOCA"
signer = Signer([("k1", SECRET)])


@pytest.mark.spec("pixels.md 1.3")
def test_cookie_vector():
    browser = BrowserId(RANDOM, DAY, "k1")
    assert signer.sign(browser) == VALUE
    assert len(VALUE) == 66
    assert signer.verify(VALUE) == browser
    assert cookie.stored_id(b"advertiser-10-test-secret", RANDOM) == "17c310350571072714b50b704d0910c3"


@pytest.mark.spec("pixels.md 1.3")
def test_cookie_attributes():
    assert cookie.PARTITIONED.header(VALUE, DAY, DAY) == (
        f"__Host-muid={VALUE}; Max-Age=34128000; Path=/; Secure; HttpOnly; SameSite=None; Partitioned"
    )
    assert cookie.UNPARTITIONED.header(VALUE, DAY, DAY) == (
        f"__Host-muid={VALUE}; Max-Age=34128000; Path=/; Secure; HttpOnly; SameSite=None"
    )
    assert cookie.FIRST_PARTY.header(VALUE, DAY, DAY) == (
        f"__Host-muid={VALUE}; Max-Age=34128000; Path=/; Secure; HttpOnly; SameSite=Lax"
    )
    assert cookie.PLAIN_HTTP.header(VALUE, DAY, DAY) == (
        f"muid={VALUE}; Max-Age=34128000; Path=/; HttpOnly; SameSite=Lax"
    )


def test_a_minted_id_verifies_and_two_differ():
    one, other = signer.mint(DAY), signer.mint(DAY)
    assert one.random != other.random
    assert len(one.random) == 16
    assert signer.verify(signer.sign(one)) == one


@pytest.mark.parametrize(
    "value",
    [
        "",
        VALUE[:-1],
        VALUE + "=",
        VALUE + " ",
        VALUE.replace("k1", "k2"),
        VALUE.replace("1.k1", "2.k1"),
        VALUE.replace("0001", "0002", 1),
        VALUE.replace("20779", "20780"),
        VALUE.replace("0a0b", "0A0B"),
        VALUE.replace(".20779.", ".020779."),
        VALUE.replace(".20779.", ".٢٠٧٧٩."),
        VALUE.replace("0f.", "0f .", 1),
        "1.k1.zz0102030405060708090a0b0c0d0e0f.20779.6cEnH6AEZ5rSdABMf0FOCA",
        "....",
        "é.é.é.é.é",
        "x" * 10_000,
    ],
)
def test_what_was_tampered_with_does_not_verify(value):
    assert signer.verify(value) is None


@given(st.text())
def test_any_text_can_be_verified(value):
    assert Signer([("k1", SECRET)]).verify(value) is None


def test_an_old_key_verifies_and_the_new_one_signs():
    rotated = Signer([("k2", "new secret"), ("k1", SECRET)])
    old = rotated.verify(VALUE)
    assert old is not None
    renewed = rotated.sign(rotated.renew(old))
    assert renewed.startswith("1.k2.000102030405060708090a0b0c0d0e0f.20779.")
    assert rotated.verify(renewed) is not None
    assert signer.verify(renewed) is None


def test_an_id_is_over_395_days_after_it_was_minted_whenever_it_was_last_seen():
    browser = BrowserId(RANDOM, DAY, "k1")
    assert not browser.is_over(DAY + 394)
    assert browser.is_over(DAY + 395)
    assert "Max-Age=86400;" in cookie.PARTITIONED.header(VALUE, DAY, DAY + 394)


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("__Host-muid=a", ["a"]),
        ("x=1; __Host-muid=a; y=2", ["a"]),
        ("x=1;__Host-muid=a", ["a"]),
        ("__Host-muid=a; __Host-muid=b", ["a", "b"]),
        ("__Host-muid=; __Host-muid", []),
        ("not__Host-muid=a", []),
        ("", []),
    ],
)
def test_the_cookie_is_found_among_others(header, values):
    assert cookie.values_of(header, "__Host-muid") == values
