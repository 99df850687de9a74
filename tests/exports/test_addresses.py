"""Where Muster may connect."""

from ipaddress import ip_address, ip_network

import pytest
from pytest_django.fixtures import Settings

from exports import addresses
from exports.reasons import DeliveryError
from tests.exports.servers import listener

# After the table of smokescreen's `TestClassifyAddr` and the ranges that exports.md names, in our own words.
REFUSED = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "198.51.100.7",
    "203.0.113.9",
    "198.18.0.1",
    "198.19.255.255",
    "192.88.99.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "5f00::1",
    "4000::1",
]
ALLOWED = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "2606:4700::1111",
    "2a00::1",
]


@pytest.mark.parametrize("text", REFUSED)
@pytest.mark.spec("X33")
@pytest.mark.spec("O11")
def test_an_address_that_is_refused(text: str) -> None:
    assert addresses.is_refused(ip_address(text))


@pytest.mark.parametrize("text", ALLOWED)
def test_an_address_that_is_allowed(text: str) -> None:
    assert not addresses.is_refused(ip_address(text))


def test_an_installation_may_open_its_networks_and_no_others(settings: Settings) -> None:
    settings.DELIVERY_ALLOWED_NETWORKS = [ip_network("10.1.0.0/16")]
    assert not addresses.is_refused(ip_address("10.1.2.3"))
    assert addresses.is_refused(ip_address("10.2.0.1"))
    assert addresses.is_refused(ip_address("::ffff:10.1.2.3"))


def test_our_own_addresses_are_known() -> None:
    assert addresses.is_own(ip_address("127.0.0.1"))
    assert not addresses.is_own(ip_address("8.8.8.8"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "localhost", "[::1]", "[::]"])
@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.spec("X33")
@pytest.mark.spec("T10")
def test_no_spelling_of_loopback_is_connected_to(host: str, is_open: bool, settings: Settings) -> None:
    with listener() as (port, connections):
        settings.DELIVERY_ALLOWED_PORTS = [port if is_open else port + 1]
        with pytest.raises(DeliveryError) as caught:
            addresses.places(host, port if is_open else port + 1)
        assert str(caught.value) == f"{host} leads to an internal address. Ask your administrator to allow it."
        assert connections == []


@pytest.mark.spec("X33")
def test_a_name_is_resolved_once_and_the_checked_address_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: an answer that changes a moment later leads nowhere."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    monkeypatch.setattr(addresses, "look_up", lambda host, port: next(answers))
    (place,) = addresses.places("rebind.example", 22)
    assert str(place.address) == "93.184.216.34"


@pytest.mark.spec("X33")
def test_one_internal_address_among_several_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "look_up", lambda host, port: ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(DeliveryError, match="internal address"):
        addresses.places("mixed.example", 22)


@pytest.mark.parametrize(
    "host", ["a b", "user@host", "host/path", "host:22", "ftp://x", "", "-", "a" * 254, "exa mple", "é.fr"]
)
def test_what_cannot_be_a_host(host: str) -> None:
    assert addresses.is_host(host) is (host == "-")


@pytest.mark.parametrize("port", [23, 80, 443, 3306, 8022])
def test_other_ports_are_refused(port: int) -> None:
    with pytest.raises(DeliveryError, match="not allowed"):
        addresses.places("8.8.8.8", port)
