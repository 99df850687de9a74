"""Whose word counts about the client's address, the scheme and the host (safety.md T23)."""

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from config.environment import networks
from config.proxies import TrustedProxyMiddleware, client_address

TRUSTED = networks(["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # a stranger's claim
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),  # the left one was sent by the client
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("", "198.51.100.1", ""),
        ("10.0.0.1", "not an address", "not an address"),
    ],
)
def test_the_client_is_the_first_untrusted_hop_from_the_right(peer, forwarded_for, client):
    assert client_address(peer, forwarded_for, TRUSTED) == client


@pytest.mark.parametrize(("peer", "believed"), [("10.0.0.1", True), ("203.0.113.9", False)])
def test_forwarded_headers_count_from_trusted_proxies_alone(settings, peer, believed):
    settings.MUSTER_TRUSTED_PROXIES = TRUSTED
    settings.USE_X_FORWARDED_HOST = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.ALLOWED_HOSTS = ["muster.example.com", "testserver"]
    request = RequestFactory().get(
        "/",
        REMOTE_ADDR=peer,
        HTTP_X_FORWARDED_FOR="198.51.100.1",
        HTTP_X_FORWARDED_PROTO="https",
        HTTP_X_FORWARDED_HOST="muster.example.com",
    )
    seen: list[HttpRequest] = []
    TrustedProxyMiddleware(lambda request: seen.append(request) or HttpResponse())(request)
    assert seen[0].is_secure() is believed
    assert (seen[0].get_host() == "muster.example.com") is believed
    assert (seen[0].META["REMOTE_ADDR"] == "198.51.100.1") is believed
