"""The scene of the fault tests: one database for a file of tests, a proxy and a door for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests.factories import make_advertiser, make_pixel, make_segment
from tests.faults.database import Database
from tests.faults.door import RealDoor
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene
from tests.running import own_folder

WRITTEN = (
    "audience_identifier",
    "audience_profile",
    "pixels_eventid",
    "pixels_factid",
    "pixels_fire",
    "pixels_firedelta",
    "pixels_firehour",
    "segments_segmentday",
    "segments_segmentdelta",
)


@pytest.fixture(scope="module")
def place(django_db_blocker: DjangoDbBlocker) -> Iterator[tuple[Database, str]]:
    database = Database(own_folder("outage")).start()
    try:
        database.migrate()
        with django_db_blocker.unblock(), database.orm():
            advertiser = make_advertiser()
            pixel = make_pixel(advertiser, make_segment(advertiser))
        yield database, f"/p/{pixel.public_key}.gif"
    finally:
        database.stop()


@pytest.fixture
def scene(place: tuple[Database, str], tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Scene]:
    database, target = place
    if database.server.process is None:  # a test failed while it was away
        database.start()
    with database.connect() as connection:
        connection.execute(f"TRUNCATE {', '.join(WRITTEN)} CASCADE")
    with Proxy(database.socket) as proxy:
        door = RealDoor(database.url_by(proxy.port), tmp_path, workers=2)
        with door, django_db_blocker.unblock():
            yield Scene(database, proxy, door, target, tmp_path)
