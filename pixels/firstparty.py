"""Whose host a request asks: an advertiser's own, or the installation's."""

from pixels.catalogue import KnownAdvertiser, Picture
from pixels.steps import Request


def owner_of_host(request: Request, picture: Picture) -> KnownAdvertiser | None:
    """Return the advertiser of a first-party host; another advertiser's rows do not exist there."""
    host = request.headers.get("host") or ""
    return picture.first_party_hosts.get(host.partition(":")[0].lower().rstrip("."))
