"""With what somebody came: kind of device, brand and model, browser and system, from a User-Agent.

Names and versions are those of the ua-parser project's expressions, without the word for the kind of device: "Chrome
Mobile" is Chrome, and `type` says mobile. None of it ever links two browsers (safety.md P19).
"""

import re
from functools import cache, lru_cache
from typing import NamedTuple

from ua_parser import Parser
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

from audience.context.texts import known

# The agents of browsers inside of apps are the longest.
LONGEST_AGENT = 512
LONGEST_NAME = 40
REMEMBERED_AGENTS = 4096

# The first row with a sign that occurs says the kind; the signs heed case.
TYPES = (
    (("Xbox", "PlayStation", "Nintendo"), "other"),
    (("SmartTV", "SMART-TV", "Smart-TV", "AppleTV", "BRAVIA", "Web0S", "GoogleTV", "Android TV", "; AFT"), "tv"),
    (("HbbTV", "CrKey", "Roku/", "NetCast"), "tv"),
    (("iPad", "Tablet", "Silk/", "Kindle"), "tablet"),
    (("iPhone", "iPod", "Mobile", "Windows Phone", "Opera Mini", "BlackBerry", "Dalvik/"), "mobile"),
    (("Android",), "tablet"),  # a phone's says Mobile, too
    (("Windows", "Macintosh", "X11", "CrOS", "Linux"), "desktop"),
)
BROWSERS = {
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": "Chrome",
    "HeadlessChrome": "Chrome",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "Safari",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Edge Mobile": "Edge",
    "Opera Mobile": "Opera",
    "IE": "Internet Explorer",
    "IE Mobile": "Internet Explorer",
    "Yandex Browser": "Yandex",
    "DuckDuckGo Mobile": "DuckDuckGo",
}
SYSTEMS = {"Mac OS X": "macOS", "Web0S": "webOS"}
# What the expressions say where the agent does not: since Chrome 110 every Android phone calls itself "K".
_NO_BRAND = re.compile(r"Generic|Spider")
_NO_MODEL = {"K", "Smartphone", "Tablet", "Feature Phone"}
# A name may be cut out of the agent, and anybody can write one.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .,_+/&()'-]*")


class Device(NamedTuple):
    """What an agent says; what it does not say is empty, `type` is `other`."""

    type: str = "other"
    brand: str = ""
    model: str = ""
    browser: str = ""
    browser_version: str = ""
    os: str = ""
    os_version: str = ""

    def fields(self) -> dict[str, dict[str, str | int | float]]:
        """Return it as the groups of a context."""
        groups = {
            "device": known(type=self.type, brand=self.brand, model=self.model),
            "browser": known(name=self.browser, version=self.browser_version),
            "os": known(name=self.os, version=self.os_version),
        }
        return {name: group for name, group in groups.items() if group}


@cache
def expressions() -> Parser:
    """Return the compiled expressions: 0.1 s once, and 35 MB for a process."""
    return Parser(Resolver(load_lazy_builtins()))


def device_of(agent: str) -> Device:
    """Return what an agent says, all but `type` unknown where it is none; it is read up to `LONGEST_AGENT`."""
    return _device(agent[:LONGEST_AGENT])


@lru_cache(REMEMBERED_AGENTS)
def _device(agent: str) -> Device:
    # The expressions know ASCII alone, and Rust takes no half of a surrogate pair.
    agent = agent.encode("ascii", "replace").decode()
    found = expressions().parse(agent)
    browser, system, device = found.user_agent, found.os, found.device
    has_brand = device is not None and not _NO_BRAND.match(device.brand or "")
    return Device(
        type=next((kind for signs, kind in TYPES if any(sign in agent for sign in signs)), "other"),
        brand=_name(device.brand) if device and has_brand else "",
        model=_name(device.model) if device and has_brand and device.model not in _NO_MODEL else "",
        browser=BROWSERS.get(name := _name(browser.family), name) if browser else "",
        browser_version=_version(browser.major, browser.minor, browser.patch) if browser else "",
        os=SYSTEMS.get(name := _name(system.family), name) if system else "",
        os_version=_version(system.major, system.minor, system.patch) if system else "",
    )


def _name(found: str | None) -> str:
    return found[:LONGEST_NAME].strip() if found and _NAME.fullmatch(found) else ""


def _version(*parts: str | None) -> str:
    """Return the parts up to the first that is missing, such as 17.2.1; systems have names among theirs (XP)."""
    said: list[str] = []
    for part in parts:
        if not part or not part.isascii() or not part.isalnum() or len(part) > 10:
            break
        said.append(part)
    return ".".join(said)
