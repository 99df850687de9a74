"""What a User-Agent says, coarsely: a browser's name, a kind of device, and whether it declares itself a crawler.

For display only. It never links two browsers (pixels.md 1.3).
"""

import re
from functools import lru_cache
from typing import NamedTuple

from audience.context.device import LONGEST_AGENT, REMEMBERED_AGENTS, device_of

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


@lru_cache(REMEMBERED_AGENTS)
def _describe(agent: str) -> Agent:
    device = device_of(agent)
    return Agent(device.browser or "other", device.type, _CRAWLER.search(agent.lower()) is not None)


def describe(agent: str | None) -> Agent:
    """Return what the header says; without one, nothing is known."""
    return _describe(agent[:LONGEST_AGENT]) if agent else UNKNOWN


def is_only_prefetched(sec_purpose: str | None, purpose: str | None) -> bool:
    """Say whether a browser loads the page ahead without showing or running it. A prerendered page is a visit."""
    if not sec_purpose and not purpose:
        return False
    said = f"{sec_purpose or ''};{purpose or ''}".lower()
    return "prefetch" in said and "prerender" not in said
