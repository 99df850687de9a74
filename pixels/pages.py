"""On which page a fire was: host and path, cut at the door (pixels.md 2.4, 3.4). No query string is kept."""

from functools import lru_cache

from audience.context.page import NO_PAGE, Page, kept_path, read_address

REMEMBERED_PAGES = 4_096
LONGEST_REMEMBERED = 512


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
    return Page(host, kept_path(path))
