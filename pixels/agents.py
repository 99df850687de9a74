"""What a User-Agent says, coarsely: a browser's name, a kind of device, and whether it declares itself a crawler.

For display only. It never links two browsers (pixels.md 1.3).
"""

import re
from functools import lru_cache
from typing import NamedTuple

_LONGEST_AGENT = 400

# The first that occurs names the browser: each also calls itself what stands below it.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Opera", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex"),
    ("UCBrowser/", "UC Browser"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
    ("AppleWebKit/", "Safari"),
    ("Trident/", "Internet Explorer"),
    ("MSIE ", "Internet Explorer"),
)
DEVICES = (
    (("SmartTV", "SMART-TV", "Smart-TV", "AppleTV", "BRAVIA", "Web0S", "GoogleTV", "Android TV", "AFT"), "tv"),
    (("iPad", "Tablet", "Silk/"), "tablet"),
    (("iPhone", "iPod", "Mobile", "Windows Phone"), "mobile"),
    (("Android",), "tablet"),  # a phone's says Mobile, too
    (("Windows", "Macintosh", "X11", "CrOS", "Linux"), "desktop"),
)
# A crawler that declares itself says so in one of these ways; many give an address of theirs behind a plus sign.
_CRAWLER = re.compile(
    r"(?<!cu)bot(?:\b|_)|crawl|spider|slurp|\+https?:|mediapartners|facebookexternalhit|ia_archiver"
    r"|google-(?:read-aloud|inspectiontool|extended|safety)|googleother|apis-google|feedfetcher|bingpreview"
    r"|google web preview|google favicon|chrome-lighthouse|pingdom|uptimerobot|statuscake|whatsapp/|embedly"
)


class Agent(NamedTuple):
    """The words that are stored, and whether the sender is a declared crawler."""

    browser: str
    device: str
    is_crawler: bool


UNKNOWN = Agent("", "", False)


@lru_cache(4096)
def _describe(agent: str) -> Agent:
    browser = next((name for sign, name in BROWSERS if sign in agent), "other")
    device = next((name for signs, name in DEVICES if any(sign in agent for sign in signs)), "other")
    return Agent(browser, device, _CRAWLER.search(agent.lower()) is not None)


def describe(agent: str | None) -> Agent:
    """Return what the header says; without one, nothing is known."""
    return _describe(agent[:_LONGEST_AGENT]) if agent else UNKNOWN


def is_only_prefetched(sec_purpose: str | None, purpose: str | None) -> bool:
    """Say whether a browser loads the page ahead without showing or running it. A prerendered page is a visit."""
    if not sec_purpose and not purpose:
        return False
    said = f"{sec_purpose or ''};{purpose or ''}".lower()
    return "prefetch" in said and "prerender" not in said
