"""Where an address is, and that the address goes nowhere else."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.context.place import LOOK_AGAIN_SECONDS, NOWHERE, Place, Places
from tests.audience.context.databases import CITIES, NETWORKS, SOMEWHERE, write

pytestmark = pytest.mark.spec("rules.md 1.5")

MUNICH = Place("DE", "DE-BY", "Munich", "80331", "Europe/Berlin", "", "Example Telecom", 48.14, 11.58)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Places:
    folder = tmp_path_factory.mktemp("places")
    return Places([write(folder / "city.mmdb", CITIES), write(folder / "network.mmdb", NETWORKS, version=4)])


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.7", MUNICH),
        ("::ffff:203.0.113.7", MUNICH),
        ("2001:db8::1", MUNICH._replace(network="")),
        ("203.0.113.200", Place("FR", network="Example Telecom")),
        ("198.51.100.1", Place("US", "US-TX", "Dallas", "", "America/Chicago", "623", "", 32.78, -96.81)),
        ("192.0.2.1", NOWHERE),
        ("127.0.0.1", NOWHERE),
        ("203.0.113.7:4711", NOWHERE),
        ("fe80::1%eth0", NOWHERE),
        ("unknown", NOWHERE),
        ("", NOWHERE),
    ],
)
def test_place(places, address, place):
    assert places.find(address) == place


def test_the_group_of_a_context_leaves_out_what_is_unknown(places):
    assert places.find("203.0.113.200").fields() == {"country": "FR", "network": "Example Telecom"}
    assert "time_zone" not in MUNICH.fields(), "a field of its own"


def test_without_a_file_nobody_is_anywhere():
    assert Places([]).find("203.0.113.7") == NOWHERE


def test_a_flat_file_of_countries(tmp_path):
    path = write(tmp_path / "countries.mmdb", {"203.0.113.0/24": {"country_code": "nl"}})
    assert Places([path]).find("203.0.113.7") == Place("NL")


@pytest.mark.spec("P21")
def test_a_file_that_is_missing_is_logged_without_the_address(tmp_path, capsys, caplog):
    assert Places([tmp_path / "none.mmdb"]).find("203.0.113.7") == NOWHERE
    said = caplog.text + capsys.readouterr().out
    assert "place_database_unreadable" in said
    assert "203.0.113" not in said


def test_a_file_that_is_replaced_is_taken_up(tmp_path):
    clock, path = Clock(), tmp_path / "city.mmdb"
    places = Places([path], clock=clock)
    assert places.find("203.0.113.7") == NOWHERE
    write(path, {"203.0.113.0/24": SOMEWHERE})
    assert places.find("203.0.113.7") == NOWHERE, (
        "a look at the disk for each address would cost more than the answer"
    )
    clock.now += LOOK_AGAIN_SECONDS
    assert places.find("203.0.113.7").country == "FR"
    write(path, CITIES)
    clock.now += LOOK_AGAIN_SECONDS
    assert places.find("203.0.113.7").city == "Munich"


def test_the_old_file_stays_while_the_new_one_cannot_be_read(tmp_path):
    clock = Clock()
    path = write(tmp_path / "city.mmdb", CITIES)
    places = Places([path], clock=clock)
    assert places.find("203.0.113.7").city == "Munich"
    (tmp_path / "half").write_bytes(path.read_bytes()[:200])
    (tmp_path / "half").rename(path)
    clock.now += LOOK_AGAIN_SECONDS
    assert places.find("203.0.113.7").city == "Munich"
    path.unlink()
    clock.now += LOOK_AGAIN_SECONDS
    assert places.find("203.0.113.7").city == "Munich"


ANYTHING = st.recursive(
    st.text() | st.integers(0, 2**31) | st.booleans() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["iso_code", "names", "en"]), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(["country", "city", "subdivisions", "postal", "location", "traits", "isp", "country_code"])


@given(st.dictionaries(FIELDS, ANYTHING))
def test_a_file_that_says_something_else_gives_a_place_all_the_same(tmp_path_factory, record):
    path = write(tmp_path_factory.mktemp("odd") / "odd.mmdb", {"203.0.113.0/24": record})
    for value in Places([path]).find("203.0.113.7").fields().values():
        assert isinstance(value, str | float)
        str(value).encode()


def test_a_place_is_found_in_microseconds(places):
    places.find("203.0.113.7")
    began = time.perf_counter()
    for _ in range(1000):
        places.find("203.0.113.7")
    assert time.perf_counter() - began < 1, "about 0.02"
