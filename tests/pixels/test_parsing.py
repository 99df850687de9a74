"""What a query string says, as a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixels import parsing
from pixels.parsing import Item
from pixels.reasons import Reason


@pytest.mark.parametrize(
    ("query", "values", "fault"),
    [
        ("", {}, None),
        ("add=12", {"add": "12"}, None),
        ("add=12&cb=91827&_=1&ord=3&foo", {"add": "12"}, None),
        ("add=&value=", {}, None),
        ("Add=12&ADD=13", {}, None),
        ("add=12&add=13&remove=14", {"add": "12,13", "remove": "14"}, None),
        ("add=12&add=", {"add": "12"}, None),
        ("add=12%3A65%2C13", {"add": "12:65,13"}, None),
        ("%61dd=12", {"add": "12"}, None),
        ("other=%2541", {"other": "%41"}, None),
        ("other=a+b", {"other": "a+b"}, None),
        ("other=100%", {"other": "100%"}, None),
        ("other=%zz", {"other": "%zz"}, None),
        ("other=caf%C3%A9", {"other": "café"}, None),
        ("other=café", {"other": "café"}, None),
        ("a=b=c&other=x=y", {"other": "x=y"}, None),
        ("value=1&value=2", {"value": "1"}, Reason.REPEATED_PARAMETER),
        ("value=1&value=1", {"value": "1"}, Reason.REPEATED_PARAMETER),
        ("value=1&value=", {"value": "1"}, None),
        ("cb=1&cb=2&add=12", {"add": "12"}, None),
        ("add=12&other=%FF", {"add": "12"}, Reason.BAD_ENCODING),
        ("add=12&cb=%FF", {"add": "12"}, Reason.BAD_ENCODING),
        ("add=12&other=%00", {"add": "12"}, Reason.BAD_ENCODING),
        ("add=12&other=a%0Ab", {"add": "12"}, Reason.BAD_ENCODING),
        ("add=12&other=%C2%85", {"add": "12"}, Reason.BAD_ENCODING),
        ("add=12&other=%ED%A0%80", {"add": "12"}, Reason.BAD_ENCODING),
        ("add=12&other=a\x7fb", {"add": "12", "other": "a\x7fb"}, Reason.BAD_ENCODING),
        ("add=12&other=\udcff", {"add": "12", "other": "\udcff"}, Reason.BAD_ENCODING),
        ("value=1&value=2&other=%FF", {"value": "1"}, Reason.BAD_ENCODING),
    ],
)
def test_read(query, values, fault):
    assert parsing.read(query) == (values, fault)


@pytest.mark.parametrize(
    ("values", "items"),
    [
        ({}, []),
        ({"add": "12,13"}, [Item("add", "12"), Item("add", "13")]),
        ({"add": ",12,,"}, [Item("add", "12")]),
        ({"add": "12:65,13", "value": "7"}, [Item("add", "12", value="65"), Item("add", "13", value="7")]),
        ({"add": "12:65:7d"}, [Item("add", "12", value="65", lifetime="7d")]),
        ({"add": "12::7d", "value": "3"}, [Item("add", "12", value="3", lifetime="7d")]),
        ({"add": "12::7d:x"}, [Item("add", "12", lifetime="7d:x")]),
        (
            {"add": "12,13::1h", "keep": "2d"},
            [Item("add", "12", lifetime="2d"), Item("add", "13", lifetime="1h")],
        ),
        ({"add_code": "cart:1"}, [Item("add", "cart", is_code=True, value="1")]),
        ({"remove": "14:5", "value": "7", "keep": "2d"}, [Item("remove", "14:5")]),
        (
            {"remove_code": "vip", "add": "1", "remove": "2"},
            [Item("add", "1"), Item("remove", "2"), Item("remove", "vip", is_code=True)],
        ),
    ],
)
def test_items(values, items):
    assert parsing.read_items(values) == items


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("65", 65),
        ("0065", 65),
        ("2147483647", 2147483647),
        ("2147483648", Reason.VALUE_OVERFLOW),
        ("99999999999999999999999999", Reason.VALUE_OVERFLOW),
        ("9" * 8000, Reason.VALUE_OVERFLOW),
        ("-1", Reason.BAD_VALUE),
        ("+1", Reason.BAD_VALUE),
        ("1.5", Reason.BAD_VALUE),
        ("1e3", Reason.BAD_VALUE),
        ("0x10", Reason.BAD_VALUE),
        (" 1", Reason.BAD_VALUE),
        ("٣", Reason.BAD_VALUE),
        ("²", Reason.BAD_VALUE),
        ("many", Reason.BAD_VALUE),
        ("[VALUE]", Reason.PLACEHOLDER_LEFT),
        ("{{x}}", Reason.PLACEHOLDER_LEFT),
        ("{{Cart value}}", Reason.PLACEHOLDER_LEFT),
        ("${x}", Reason.PLACEHOLDER_LEFT),
    ],
)
def test_value_as_written(text, value):
    assert parsing.read_value(text) == value


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90),
        ("90m", 90),
        ("36h", 2160),
        ("7d", 10080),
        ("007d", 10080),
        ("1", 1),
        ("0", Reason.BAD_LIFETIME),
        ("0d", Reason.BAD_LIFETIME),
        ("-1", Reason.BAD_LIFETIME),
        ("+1", Reason.BAD_LIFETIME),
        ("1.5d", Reason.BAD_LIFETIME),
        ("7 d", Reason.BAD_LIFETIME),
        ("7D", Reason.BAD_LIFETIME),
        ("7w", Reason.BAD_LIFETIME),
        ("d", Reason.BAD_LIFETIME),
        ("", Reason.BAD_LIFETIME),
        ("[KEEP]", Reason.BAD_LIFETIME),
        ("٣d", Reason.BAD_LIFETIME),
    ],
)
def test_lifetime_as_written(text, minutes):
    assert parsing.read_lifetime(text) == minutes


def test_a_lifetime_of_any_length_is_read_as_very_long():
    assert parsing.read_lifetime("9" * 8000 + "d") > 395 * 24 * 60


@pytest.mark.parametrize(
    ("text", "number"),
    [("12", 12), ("0012", 12), ("0", None), ("-1", None), ("1.0", None), ("x", None), ("", None), ("٣", None)],
)
def test_number(text, number):
    assert parsing.read_number(text) == number


def test_a_number_longer_than_any_id_is_a_number_that_nobody_has():
    assert parsing.read_number("9" * 8000) == 10**18


@pytest.mark.parametrize("text", ["cart", "A-1_b", "-", "_", "x" * 50, "0"])
def test_good_codes(text):
    assert parsing.is_code(text)


@pytest.mark.parametrize("text", ["", "x" * 51, "a b", "a.b", "é", "a:b", "a\n"])
def test_bad_codes(text):
    assert not parsing.is_code(text)


@given(st.text())
def test_any_text_is_read(query):
    values, _ = parsing.read(query)
    for item in parsing.read_items(values):
        parsing.read_number(item.name)
        parsing.read_value(item.value)
        parsing.read_lifetime(item.lifetime)
