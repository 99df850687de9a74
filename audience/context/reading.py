"""The context of a fact: what is kept of what a request shows and of what its sender says around it (rules.md 1.5).

What comes out is small, fit for JSON in PostgreSQL, and has the names that rules ask by: `{"device": {"type": …},
"page": {"url": …}, "language": …}`. Everything that is not known, not kept or not in its form is left out; nothing
that anybody sends raises. Weather is no part of it: it is looked up where the place is (`audience.context.weather`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple
from zoneinfo import available_timezones

import orjson

from audience.context.device import Device, device_of
from audience.context.page import LONGEST_PATH, kept_path, page_fields
from audience.context.place import Places
from audience.context.source import INTERNAL, source_of
from audience.context.texts import known, text_of

Context = dict[str, Any]
Told = Mapping[str, Any]

LONGEST_ADDRESS = 8192
MOST_PIXELS = 100_000
REMEMBERED, LONGEST_REMEMBERED = 4_096, 2_048
# What is read of a `context` object, beside address and time zone.
_READ = ("userAgent", "device", "os", "screen", "locale", "channel", "app", "page", "campaign", "referrer", "landing")

CHANNELS = {"web": "web", "browser": "web", "app": "app", "mobile": "app", "server": "server"}
# What apps call their systems, and what kind of device that means.
APP_SYSTEMS = {
    "ios": ("iOS", "mobile"),
    "iphone os": ("iOS", "mobile"),
    "ipados": ("iPadOS", "tablet"),
    "android": ("Android", "mobile"),
    "tvos": ("tvOS", "tv"),
    "macos": ("macOS", "desktop"),
    "mac os x": ("macOS", "desktop"),
    "windows": ("Windows", "desktop"),
    "linux": ("Linux", "desktop"),
}
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|[0-9]{3}))?(?![A-Za-z0-9])")


class Seen(NamedTuple):
    """What a request itself shows of the browser it comes from. From a server it shows that server: leave it empty.

    `page` is the Referer header (the page where the tag stands), `language` Accept-Language.
    """

    agent: str = ""
    address: str = ""
    page: str = ""
    language: str = ""
    channel: str = ""


class Keeping(NamedTuple):
    """What an advertiser wants: the query keys that are kept (P22), and which hosts are its own."""

    query_keys: frozenset[str] = frozenset()
    is_own: Callable[[str], bool] = lambda host: False


NOTHING_SEEN = Seen()
NOTHING_LISTED = Keeping()


def context_of(
    told: object, seen: Seen = NOTHING_SEEN, keeping: Keeping = NOTHING_LISTED, *, places: Places
) -> Context:
    """Return the context by a `context` object in the Segment form and by the request; the first counts before it.

    The groups in it are not to be changed: others have them, too.
    """
    said: Told = told if isinstance(told, dict) else {}
    return {**_place(said, seen, places), **_surroundings(said, seen, keeping)}


def _surroundings(said: Told, seen: Seen, keeping: Keeping) -> Context:
    """Return all but the place. What happens on one page of one browser has the same; no address is remembered."""
    nowhere = Seen(page=seen.page, agent=seen.agent, language=seen.language, channel=seen.channel)
    read = [said.get(name) for name in _READ]
    try:
        written = orjson.dumps(read)
    except orjson.JSONEncodeError:  # half a surrogate pair, or too deep
        return _read_out(read, nowhere, keeping)
    is_long = len(written) + len(seen.page) > LONGEST_REMEMBERED
    return _read_out(read, nowhere, keeping) if is_long else _remembered(written, nowhere, keeping)


@lru_cache(REMEMBERED)
def _remembered(written: bytes, seen: Seen, keeping: Keeping) -> Context:
    return _read_out(orjson.loads(written), seen, keeping)


def _read_out(read: Sequence[Any], seen: Seen, keeping: Keeping) -> Context:
    said = dict(zip(_READ, read, strict=True))
    context = {
        **_device(said, seen),
        "screen": _screen(_group(said, "screen")),
        "language": _language(said.get("locale")) or _language(seen.language),
        "channel": _channel(said, seen),
        **_pages(said, seen, keeping),
    }
    return {name: value for name, value in context.items() if value}


def _place(said: Told, seen: Seen, places: Places) -> Context:
    zone = said.get("timezone")
    address = _text(said.get("ip")) or seen.address
    if not address and not zone:
        return {}
    place = places.find(address)
    is_zone = isinstance(zone, str) and zone in _time_zones()
    context: Context = {"place": place.fields(), "time_zone": zone if is_zone else place.time_zone}
    return {name: value for name, value in context.items() if value}


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _device(said: Told, seen: Seen) -> Context:
    """Return what the agent says, and over it what an app says of the device that it runs on."""
    agent = _text(said.get("userAgent")) or seen.agent
    context: Context = dict(device_of(agent).fields()) if agent else {}
    device, system = _group(said, "device"), _group(said, "os")
    if not device and not system:
        return context
    name = text_of(system.get("name"), 40)
    name, kind = APP_SYSTEMS.get(name.lower(), (name, ""))
    model = text_of(device.get("model"), 40)
    is_tablet = "ipad" in model.lower() or "tablet" in model.lower()
    app = Device(
        type="tablet" if is_tablet else kind,
        brand=text_of(device.get("manufacturer"), 40),
        model=model,
        os=name,
        os_version=text_of(system.get("version"), 40),
    )
    for group, fields in app.fields().items():
        context[group] = {**context.get(group, {}), **fields}
    return context


def _screen(told: Told) -> dict[str, str | int | float]:
    return known(width=_pixels(told.get("width")), height=_pixels(told.get("height")))


def _pixels(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= MOST_PIXELS:
        return None
    return int(value)


def _language(told: object) -> str:
    """Return the first language of a locale or of Accept-Language, such as de-AT."""
    match = _LANGUAGE.match(told.lstrip()) if isinstance(told, str) else None
    if match is None:
        return ""
    language, script, region = match.groups()
    return "-".join([language.lower(), *([script.title()] if script else []), *([region.upper()] if region else [])])


def _channel(said: Told, seen: Seen) -> str:
    """Return what the sender says, else what it shows by itself, else what the door knows of its key."""
    told = said.get("channel")
    if isinstance(told, str) and told in CHANNELS:
        return CHANNELS[told]
    if _group(said, "app") or _group(said, "device"):
        return "app"
    return "web" if _group(said, "page") else seen.channel


def _pages(said: Told, seen: Seen, keeping: Keeping) -> Context:
    """Return page, landing and source. Where nobody speaks of a page there is no visit that could be direct."""
    page, campaign = _group(said, "page"), _group(said, "campaign")
    address = _address(page) or _text(seen.page)
    referrer = _text(page.get("referrer")) or _text(_group(said, "referrer").get("url"))
    fields: Context = dict(page_fields(address, keeping.query_keys))
    if not fields and (path := _path(page)):
        fields = {"path": path}
    fields |= known(title=text_of(page.get("title")), type=text_of(page.get("type")))
    if not address and not referrer and not campaign:
        return {"page": fields, "landing": _landing(said, fields, keeping, is_first=False)}
    source = source_of(address, referrer, campaign=campaign, is_own=keeping.is_own)
    return {
        "page": fields,
        "landing": _landing(said, fields, keeping, is_first=source.medium != INTERNAL),
        "source": source.fields(),
    }


def _address(page: Told) -> str:
    """Return a page's address with its query: what SDKs give as `url` is often the canonical one, without."""
    url, search = _text(page.get("url")), _text(page.get("search"))
    return f"{url.partition('#')[0]}{search}" if url and search.startswith("?") and "?" not in url else url


def _landing(said: Told, page: Context, keeping: Keeping, *, is_first: bool) -> Context:
    """Return the page where the visit began: as told, else this one where it was entered from outside."""
    told = page_fields(_text(_group(said, "landing").get("url")), keeping.query_keys)
    landing = told or (page if is_first else {})
    return {name: landing[name] for name in ("url", "path") if name in landing}


def _path(page: Told) -> str:
    path = _text(page.get("path")).partition("?")[0].partition("#")[0]
    return text_of(kept_path(path), LONGEST_PATH) if path.startswith("/") else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= LONGEST_ADDRESS else ""


def _group(said: Told, name: str) -> Told:
    group = said.get(name)
    return group if isinstance(group, dict) else {}
