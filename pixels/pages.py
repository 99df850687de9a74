"""On which page a fire was: host and path, cut at the door (pixels.md 2.4, 3.4). No query string is kept."""

import re
from functools import lru_cache
from typing import NamedTuple

from audience.personal import names_a_person

LONGEST_PATH = 1024
REMEMBERED_PAGES = 4_096
LONGEST_REMEMBERED = 512

_ADDRESS = re.compile(
    r"https?://(?:[^/?#@]*@)?([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{0,5})?(/[^?#]*)?(?:[?#]|\Z)",
    re.IGNORECASE,
)


class Page(NamedTuple):
    """Where a tag stood. `host` is empty where the browser did not say, or not in a form that can be read."""

    host: str
    path: str


NO_PAGE = Page("", "")


def page_of(origin: str | None, referer: str | None, told_path: str) -> Page:
    """Return the page by the host of `Origin`, else of `Referer`.

    `told_path` is the tag's `pg`: better for display than a Referer that browsers shorten, and never trusted for
    the host.
    """
    is_short = len(origin or "") + len(referer or "") + len(told_path) <= LONGEST_REMEMBERED
    return (_page if is_short else _page.__wrapped__)(origin, referer, told_path)


@lru_cache(REMEMBERED_PAGES)
def _page(origin: str | None, referer: str | None, told_path: str) -> Page:
    page = read_address(referer) if referer else NO_PAGE
    host = page.host
    if origin and origin != "null":
        host = read_address(origin).host or host
    path = told_path.partition("?")[0].partition("#")[0] if told_path else page.path
    # A path that names a person is not kept.
    return Page(host, "" if names_a_person(path) else path[:LONGEST_PATH])


def read_address(address: str) -> Page:
    """Return host and path of an http(s) address, both empty for anything else."""
    match = _ADDRESS.match(address)
    if match is None:
        return NO_PAGE
    return Page(match[1].lower().rstrip("."), match[2] or "/")
