"""What the demo shop's pages are told: of which advertiser, and what while there is none."""

import re
from wsgiref.util import setup_testing_defaults

import pytest
from django.db import OperationalError

from audience.models import WriteKey
from config.demo import storefront
from config.demo.storefront import Storefront
from tests.factories import make_advertiser


def asked(front: Storefront) -> tuple[str, bytes]:
    """Return status and body of `/config.js`."""
    environ: dict[str, object] = {"PATH_INFO": "/config.js"}
    setup_testing_defaults(environ)
    said = []
    body = b"".join(front(environ, lambda status, headers: said.append(status)))
    return said[0], body


def advertiser_key(advertiser):
    return WriteKey.all_advertisers.get(advertiser=advertiser).public_key


@pytest.mark.django_db
def test_the_pages_learn_of_a_shop_within_a_second():
    now = 1000.0
    front = Storefront(clock=lambda: now)
    assert asked(front) == ("503 Service Unavailable", b"")

    storefront.open_shop(make_advertiser(name="Demo shop"))
    assert asked(front)[0] == "503 Service Unavailable", "for a second the database is not asked again"
    now += storefront.CONFIG_SECONDS
    status, script = asked(front)
    assert status == "200 OK"
    assert re.search(rb'"key": "mw_[0-9a-f]{16}"', script)


@pytest.mark.django_db
def test_a_shop_made_later_takes_the_place_of_the_first():
    for name in ("Demo shop", "Demo shop 2"):
        advertiser = make_advertiser(name=name)
        storefront.open_shop(advertiser)
    assert (storefront.find_config() or {})["key"] == advertiser_key(advertiser)


@pytest.mark.django_db
def test_an_advertiser_of_that_name_without_a_shops_key_has_no_shop():
    make_advertiser(name="Demo shop")
    assert storefront.find_config() is None


def test_without_a_database_the_shop_says_so(monkeypatch):
    def fail() -> None:
        raise OperationalError

    monkeypatch.setattr(storefront, "find_config", fail)
    assert asked(Storefront())[0] == "503 Service Unavailable"
