"""Where a fire came from: its country, from the installation's place database; the address is kept nowhere."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from audience.context.place import places_of_installation
from pixels.live import Wanted, look
from pixels.models import Fire, Pixel
from tests.audience.context.databases import CITIES, write
from tests.factories import make_advertiser, make_pixel, make_segment
from tests.pixels.doors import DjangoDoor, DoorUnderTest

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.fixture
def pixel(open_database: None) -> Pixel:
    advertiser = make_advertiser()
    return make_pixel(advertiser, make_segment(advertiser))


def shown(pixel: Pixel) -> list[dict[str, Any]]:
    """Return the fires of a pixel as its live view shows them, oldest first."""
    after = (timezone.now() - timedelta(minutes=5)).isoformat()
    return look([pixel], after, Wanted(), timezone.now()).rows[::-1]


def everything() -> str:
    """Return all rows of all tables as text."""
    rows = []
    with connection.cursor() as cursor:
        for model in apps.get_models():
            cursor.execute(f"SELECT t::text FROM {model._meta.db_table} t")
            rows += [row for (row,) in cursor.fetchall()]
    return json.dumps(rows)


@pytest.fixture
def placed(restarted: Callable[..., DjangoDoor], tmp_path: Path) -> Iterator[DjangoDoor]:
    """A door of an installation that has a place database."""
    places = write(tmp_path / "city.mmdb", CITIES)
    door = restarted(MUSTER_PLACE_DATABASE=[places], MUSTER_TRUSTED_PROXIES=[ip_network("127.0.0.1/32")])
    places_of_installation.cache_clear()  # of the door before
    yield door
    places_of_installation.cache_clear()


@pytest.mark.spec("P21")
def test_a_fire_has_the_country_of_its_address_which_is_dropped(pixel: Pixel, placed: DjangoDoor) -> None:
    for address in ("203.0.113.9", "198.51.100.77", "192.0.2.5", "2001:db8::17"):
        fire(placed, pixel, address)
    assert [one["country"] for one in shown(pixel)] == ["DE", "US", "", "DE"]
    for address in ("203.0.113", "198.51.100", "192.0.2.5", "2001:db8"):
        assert address not in everything()


def test_without_a_place_database_no_fire_has_a_country(pixel: Pixel, door: DoorUnderTest) -> None:
    door.catch_up()
    fire(door, pixel, "203.0.113.9")
    assert [one["country"] for one in shown(pixel)] == [""]
    assert Fire.all_advertisers.get(pixel=pixel).outcome == "applied"


def fire(door: DoorUnderTest, pixel: Pixel, address: str) -> None:
    assert door.get(f"/p/{pixel.public_key}.gif", user_agent=BROWSER, x_forwarded_for=address).status == 200
