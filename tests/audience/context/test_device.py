"""With what somebody came, by the User-Agent."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.context.device import LONGEST_NAME, TYPES, Device, device_of

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.spec("rules.md 1.5")
@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36",
            ("desktop", "", "", "Chrome", "142.0.0", "Windows", "10"),
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/17.2.1 Safari/605.1.15",
            ("desktop", "Apple", "Mac", "Safari", "17.2.1", "macOS", "10.15.7"),
        ),
        (
            f"{IPHONE} Version/26.0 Mobile/15E148 Safari/604.1",
            ("mobile", "Apple", "iPhone", "Safari", "26.0", "iOS", "18.6"),
        ),
        (
            f"{IPHONE} CriOS/142.0.1 Mobile/15E148 Safari/604.1",
            ("mobile", "Apple", "iPhone", "Chrome", "142.0.1", "iOS", "18.6"),
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/16.6 Mobile/15E148 Safari/604.1",
            ("tablet", "Apple", "iPad", "Safari", "16.6", "iOS", "16.6"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 14; SM-S921B) {WEBKIT} Chrome/142.0.0.0 Mobile Safari/537.36",
            ("mobile", "Samsung", "SM-S921B", "Chrome", "142.0.0", "Android", "14"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/142.0.0.0 Mobile Safari/537.36",
            ("mobile", "", "", "Chrome", "142.0.0", "Android", "10"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-X710) {WEBKIT} SamsungBrowser/23.0 Chrome/115.0.0.0 "
            "Safari/537.36",
            ("tablet", "Samsung", "SM-X710", "Samsung Internet", "23.0", "Android", "14"),
        ),
        (
            f"Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0) {WEBKIT} 76.0/6.0 TV Safari/537.36",
            ("tv", "Samsung", "SMART-TV", "Safari", "", "Tizen", "6.0"),
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
            ("desktop", "", "", "Internet Explorer", "11.0", "Windows", "10"),
        ),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; Xbox; Xbox One) {WEBKIT} Chrome/120.0 Safari/537.36 Edg/120.0",
            ("other", "", "", "Edge", "120.0", "Windows", "10"),
        ),
        ("curl/8.5.0", ("other", "", "", "curl", "8.5.0", "", "")),
        ("nothing that is known", ("other", "", "", "", "", "", "")),
        ("", ("other", "", "", "", "", "", "")),
    ],
)
def test_device(agent, device):
    assert device_of(agent) == device


def test_unknown_fields_are_left_out_of_the_groups():
    assert Device("mobile", os="iOS").fields() == {"device": {"type": "mobile"}, "os": {"name": "iOS"}}


SIGNS = [sign for signs, _ in TYPES for sign in signs]


@given(st.lists(st.sampled_from([*SIGNS, "; ", "Build/", "Chrome/1.", "\0", "\ud800", "é", "@", "<b>"]) | st.text()))
def test_any_text_gives_a_device_that_fits(parts):
    device = device_of("".join(parts))
    assert device.type in {"desktop", "mobile", "tablet", "tv", "other"}
    for text in device:
        assert len(text) <= LONGEST_NAME
        assert text.isascii()
        assert text.isprintable()
        assert not set('<>@"\\') & set(text)


@pytest.mark.parametrize(
    "agent", ["Android " * 60, "Build/" * 80, "(" * 500, "Chrome/1 " * 50, "Mozilla/5.0 (;" * 36]
)
def test_no_agent_takes_long(agent):
    device_of("")
    began = time.perf_counter()
    device_of(agent)
    assert time.perf_counter() - began < 0.5
