"""Where Muster may connect: the table of networks that no destination may lead to.

Promise: a host name is resolved once, every address of it must pass, and the connection goes to a checked address,
so an answer that changes a moment later leads nowhere. Python's `is_private` and `is_global` are not asked: they
know neither NAT64 nor 6to4 as ways back inside.
"""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings

from exports.reasons import DeliveryError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# (network, what it is), after the registries of special addresses of IANA (RFC 6890 and its updates).
REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), what)
    for network, what in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "benchmarks"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved, broadcast"),
        # Of IPv6 only 2000::/3 is handed out: what lies below and above it is refused whole. That takes in the
        # unspecified address, loopback, IPv4-compatible and -mapped ones, NAT64, discard, unique local, link-local,
        # site-local and multicast addresses.
        ("::/3", "unspecified, loopback, IPv4-mapped, NAT64"),
        ("4000::/2", "not handed out"),
        ("8000::/1", "not handed out, unique local, link-local, site-local, multicast"),
        ("2001::/23", "Teredo, benchmarks, ORCHID"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
    )
)
_HOST_NAME = re.compile(r"(?=.{1,253}\.?$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_-]{1,63}\.?")


@dataclass(frozen=True)
class Place:
    """An address that has passed, and the name that led to it."""

    host: str
    port: int
    address: Address


def is_host(text: str) -> bool:
    """Say whether a text can be a host: a name of letters, digits, dots and dashes, or an IP address."""
    return _literal(text) is not None or _HOST_NAME.fullmatch(text) is not None


def check_port(port: int) -> None:
    """Refuse a port that deliveries may not use."""
    if port not in settings.DELIVERY_ALLOWED_PORTS:
        raise DeliveryError("port_refused")


def places(host: str, port: int) -> list[Place]:
    """Resolve a host once and return its addresses, all of them checked.

    Raises `DeliveryError`: port_refused, name_unknown, or address_refused where any one address may not be used.
    """
    check_port(port)
    return check(host, port, resolve(host, port))


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host; raises `DeliveryError` name_unknown."""
    literal = _literal(host)
    if literal is not None:
        return [literal]
    if not is_host(host):
        raise DeliveryError("name_unknown", host=host)
    try:
        answers = look_up(host, port)
    except (OSError, UnicodeError) as error:
        raise DeliveryError("name_unknown", host=host) from error
    return list(dict.fromkeys(ip_address(answer.partition("%")[0]) for answer in answers))


def check(host: str, port: int, addresses: Sequence[Address]) -> list[Place]:
    """Return the addresses as places; raises `DeliveryError` address_refused if one of them may not be used."""
    if not addresses or any(is_refused(address) for address in addresses):
        raise DeliveryError("address_refused", host=host)
    return [Place(host, port, address) for address in addresses]


def is_refused(address: Address) -> bool:
    """Say whether Muster may not connect to an address; networks that the installation allows are open."""
    if any(
        address in network for network in settings.DELIVERY_ALLOWED_NETWORKS if network.version == address.version
    ):
        return False
    if any(address in network for network, _ in REFUSED if network.version == address.version):
        return True
    return is_own(address)


def is_own(address: Address) -> bool:
    """Say whether an address is one of this machine: then the kernel would send from that very address."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), 9))  # UDP: nothing is sent
        except OSError:
            return False
        own = probe.getsockname()[0]
    return ip_address(own.partition("%")[0]) == address


def look_up(host: str, port: int) -> list[str]:
    """Ask the system's resolver, once."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in answers]


def _literal(text: str) -> Address | None:
    try:
        return ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
