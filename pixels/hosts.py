"""Lists of hosts, as a marketer writes them."""

from collections.abc import Iterable


class Hosts:
    """A list of hosts: `shop.example`, and `*.shop.example` for those below it."""

    __slots__ = ("_below", "_exact")

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        lower = [host.lower() for host in hosts]
        self._exact = frozenset(host for host in lower if not host.startswith("*."))
        self._below = tuple(host[1:] for host in lower if host.startswith("*."))

    def allow(self, host: str) -> bool:
        return host in self._exact or (host != "" and host.endswith(self._below))
