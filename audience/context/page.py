"""What is kept of the address of a page: host and path, and of its query the keys that the advertiser lists (P22).

User names, passwords, ports and what stands behind `#` are dropped with the rest. A path or value that names a person
is not kept.
"""

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_plus, urlencode

from audience.context.texts import text_of
from audience.personal import names_a_person

LONGEST_PATH = 1024
LONGEST_URL = 2048
LONGEST_QUERY = 4096
MOST_PARAMETERS = 100
# Visitors come to the same pages from the same ones.
REMEMBERED, LONGEST_REMEMBERED = 4_096, 512

_ADDRESS = re.compile(
    r"https?://(?:[^/?#@]*@)?([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{0,5})?(/[^?#]*)?(?:[?#]|\Z)",
    re.IGNORECASE,
)


class Page(NamedTuple):
    """Where a tag stood. `host` is empty where the browser did not say, or not in a form that can be read."""

    host: str
    path: str


NO_PAGE = Page("", "")


def read_address(address: str) -> Page:
    """Return host and path of an http(s) address, both empty for anything else."""
    return _read(address) if len(address) <= LONGEST_REMEMBERED else _read.__wrapped__(address)


@lru_cache(REMEMBERED)
def _read(address: str) -> Page:
    match = _ADDRESS.match(address) if address else None
    if match is None:
        return NO_PAGE
    return Page(match[1].lower().rstrip("."), match[2] or "/")


def kept_path(path: str) -> str:
    """Return what is stored of a path: cut, and nothing of one that names a person."""
    return "" if names_a_person(path) else path[:LONGEST_PATH]


def parameters(address: str) -> Iterator[tuple[str, str]]:
    """Yield the parameters of an address in their order, decoded; what is no UTF-8 becomes U+FFFD."""
    query = address.partition("#")[0].partition("?")[2]
    if len(query) > LONGEST_QUERY:
        query = query[:LONGEST_QUERY].rpartition("&")[0]  # not half a value
    for part in query.split("&", MOST_PARAMETERS)[:MOST_PARAMETERS]:
        name, _, value = part.partition("=")
        if name and value:
            yield unquote_plus(name), unquote_plus(value)


def page_fields(address: str, query_keys: Collection[str] = ()) -> dict[str, str | dict[str, str]]:
    """Return `url`, `host`, `path` and `query` of a page's address, without what is not kept; {} for no address."""
    host, path = read_address(address)
    if not host:
        return {}
    path = text_of(kept_path(path), LONGEST_PATH)
    query: dict[str, str] = {}
    for name, value in parameters(address):
        if name in query_keys and name not in query and (text := text_of(value)):
            query[name] = text
    scheme = address.partition(":")[0].lower()
    url = f"{scheme}://{host}{path}"
    whole = f"{url}?{urlencode(query)}" if query else url
    fields: dict[str, str | dict[str, str]] = {"url": whole if len(whole) <= LONGEST_URL else url, "host": host}
    if path:
        fields["path"] = path
    return fields | ({"query": query} if query else {})
