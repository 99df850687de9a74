"""The weather where people are, from a service of the test's own."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from django.db import connection

from audience import tasks
from audience.columns import batch_cursor
from audience.context.cells import Cell, Sky, cell_of
from audience.context.open_meteo import CONDITIONS, OpenMeteo, WeatherUnavailable
from audience.context.weather import CELLS_IN_A_QUESTION, fetch, watch
from audience.instants import instant
from audience.models import Event, Weather
from audience.talk import speak
from tests.audience.messages import Sender, record_all
from tests.factories import make_advertiser

pytestmark = [pytest.mark.spec("rules.md 1.5"), pytest.mark.django_db]

MUNICH, OSLO, NOWHERE = Cell(481, 116), Cell(599, 107), Cell(-900, 0)
NOW = datetime(2026, 11, 28, 12, 10, tzinfo=UTC)
QUARTER = datetime(2026, 11, 28, 12, tzinfo=UTC)


class Service(ThreadingHTTPServer):
    """A service in the form of Open-Meteo. `sky` is what it tells of a cell; `body` says it word for word."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[dict[str, list[str]]] = []
        self.sky: dict[tuple[str, str], dict] = {}
        self.status, self.body = 200, None
        self.fails_from = 10**9

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/forecast?apikey=canary-key"

    def tell(self, cell: Cell, code: int, temperature: float, at: datetime = QUARTER) -> None:
        current = {"time": int(at.timestamp()), "interval": 900, "temperature_2m": temperature, "weather_code": code}
        self.sky[f"{cell.lat_tenths / 10}", f"{cell.lon_tenths / 10}"] = {"current": current}


class _Answer(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        service, asked = self.server, parse_qs(urlsplit(self.path).query)
        service.asked.append(asked)
        cells = zip(asked["latitude"][0].split(","), asked["longitude"][0].split(","), strict=True)
        told = [service.sky.get(cell, {}) for cell in cells]
        body = service.body if service.body is not None else json.dumps(told if len(told) > 1 else told[0]).encode()
        self.send_response(503 if len(service.asked) >= service.fails_from else service.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def say(talk):
    connection.ensure_connection()
    return speak(batch_cursor(connection.connection), talk)


def want(*cells: Cell, at: datetime = NOW) -> None:
    say(watch(cells, instant(at)))


# --- Cells ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "cell"),
    [
        ((48.14, 11.58), (481, 116)),
        ((48.15, 11.55), (482, 116)),
        ((-33.87, 151.21), (-339, 1512)),
        ((-0.05, 0.04), (-1, 0)),
        ((90.0, -180.0), (900, -1800)),
    ],
)
def test_a_place_lies_in_the_cell_that_postgresql_computes(place, cell):
    assert cell_of(*place) == cell
    with connection.cursor() as cursor:
        cursor.execute("SELECT round(%s::numeric * 10), round(%s::numeric * 10)", [str(degrees) for degrees in place])
        assert cursor.fetchone() == cell


def test_a_cell_is_noted_once_an_hour_and_no_batch_waits_for_another_in_between():
    want(MUNICH)
    want(OSLO, MUNICH)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audience_weather WHERE xmax::text = '0'")  # nobody has locked it
        assert cursor.fetchone() == (2,)
    want(OSLO, MUNICH, at=NOW + timedelta(hours=1))
    assert {row.wanted_at for row in Weather.objects.all()} == {QUARTER + timedelta(hours=1)}


def test_a_note_of_an_earlier_hour_changes_nothing():
    want(MUNICH)
    want(MUNICH, at=NOW - timedelta(hours=5))
    want(MUNICH, at=NOW + timedelta(minutes=20))
    assert Weather.objects.get().wanted_at == QUARTER


# --- Asking ---------------------------------------------------------------------------------------


def test_the_service_learns_cells_and_nothing_else(service):
    service.tell(MUNICH, 61, 3.44)
    service.tell(OSLO, 71, -2)
    assert OpenMeteo(service.url).observe([MUNICH, OSLO]) == {
        MUNICH: Sky("rain", 3.4, QUARTER.timestamp()),
        OSLO: Sky("snow", -2.0, QUARTER.timestamp()),
    }
    (asked,) = service.asked
    assert asked == {
        "apikey": ["canary-key"],
        "latitude": ["48.1,59.9"],
        "longitude": ["11.6,10.7"],
        "current": ["temperature_2m,weather_code"],
        "timeformat": ["unixtime"],
    }


def test_one_cell_is_answered_without_a_list(service):
    service.tell(MUNICH, 0, 20)
    assert OpenMeteo(service.url).observe([MUNICH])[MUNICH].condition == "clear"


@pytest.mark.parametrize(("code", "condition"), CONDITIONS.items())
def test_each_code(service, code, condition):
    service.tell(MUNICH, code, 5)
    assert OpenMeteo(service.url).observe([MUNICH])[MUNICH].condition == condition


@pytest.mark.parametrize(
    "current",
    [
        None,
        {},
        {"time": "2026-11-28T12:00", "temperature_2m": 5, "weather_code": 0},
        {"time": 10**300, "temperature_2m": 5, "weather_code": 0},
        {"time": 1795867200, "temperature_2m": None, "weather_code": None},
        {"time": 1795867200, "temperature_2m": "5", "weather_code": 17},
        {"time": 1795867200, "temperature_2m": 1e300, "weather_code": True},
    ],
)
def test_what_is_no_weather_is_unknown(service, current):
    service.body = json.dumps({"current": current}).encode()
    assert OpenMeteo(service.url).observe([MUNICH]) == {}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"error": true}'),
        (302, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"[" * 100_000),
        (200, b" " * 2**21),
    ],
)
def test_what_is_no_answer_is_said_without_address_and_key(service, status, body):
    service.status, service.body = status, body
    with pytest.raises(WeatherUnavailable) as caught:
        OpenMeteo(service.url).observe([MUNICH])
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_service_that_is_away_is_said(service):
    service.shutdown()
    service.server_close()
    with pytest.raises(WeatherUnavailable, match="ConnectionRefusedError"):
        OpenMeteo(service.url).observe([MUNICH])


# --- What is known --------------------------------------------------------------------------------


@pytest.fixture
def shop(settings, service):
    settings.MUSTER_WEATHER_URL = service.url
    return Sender(make_advertiser())


def weather_of(shop, at, *, received=None, lat=48.14, lon=11.58):
    """Return the weather of an event that comes in from there."""
    context = {"place": {"city": "Munich", "lat": lat, "lon": lon}, "channel": "web"}
    message = shop.message("browser:1", event="page", context=context)
    message = message._replace(occurred_at=instant(at), received_at=instant(received or at))
    assert record_all([message])[0].outcome == "applied"
    event = Event.all_advertisers.get(id=UUID(bytes=message.id))
    assert event.context.items() >= context.items()
    return event.context.get("weather")


def test_an_event_gets_the_weather_that_was_observed_up_to_three_hours_before(shop, service):
    assert weather_of(shop, NOW) is None  # and the cell is noted
    service.tell(MUNICH, 95, 12.5)
    assert fetch(OpenMeteo(service.url), NOW) == 1
    storm = {"condition": "storm", "temperature": 12.5}
    assert weather_of(shop, QUARTER) == storm
    assert weather_of(shop, QUARTER + timedelta(hours=3, microseconds=-1)) == storm
    assert weather_of(shop, QUARTER + timedelta(hours=3)) is None
    assert weather_of(shop, QUARTER - timedelta(microseconds=1)) is None
    assert weather_of(shop, QUARTER - timedelta(days=1), received=NOW) is None  # it comes late
    assert weather_of(shop, NOW, lat=59.9, lon=10.7) is None
    assert len(service.asked) == 1  # the door asks nobody


def test_who_has_no_place_has_no_weather(shop):
    shop.send("browser:1", event="page", context={"place": {"country": "DE"}})
    shop.send("browser:1", event="page", context={"page": {"title": 'a "lat" in it'}})
    shop.send("browser:1", kind="identify", context={"place": {"lat": 48.14, "lon": 11.58}})
    assert Weather.objects.count() == 0


def test_without_a_service_no_cell_is_noted(shop, settings):
    settings.MUSTER_WEATHER_URL = ""
    assert weather_of(shop, NOW) is None
    assert Weather.objects.count() == 0


def test_without_cells_nobody_is_asked(service):
    assert fetch(OpenMeteo(service.url), NOW) == 0
    assert service.asked == []


def test_what_was_observed_within_the_hour_is_not_asked_again(service):
    service.tell(MUNICH, 0, 5)
    want(MUNICH)
    fetch(OpenMeteo(service.url), NOW)
    fetch(OpenMeteo(service.url), NOW + timedelta(minutes=49))
    assert len(service.asked) == 1
    service.tell(MUNICH, 3, 6, QUARTER + timedelta(hours=1))
    assert fetch(OpenMeteo(service.url), NOW + timedelta(minutes=51)) == 1
    assert Weather.objects.get().condition == "cloud"


def test_where_nobody_is_any_more_nobody_asks_and_later_the_cell_is_forgotten(service):
    want(MUNICH)
    fetch(OpenMeteo(service.url), NOW + timedelta(hours=25))
    assert (service.asked, Weather.objects.count()) == ([], 1)
    fetch(OpenMeteo(service.url), NOW + timedelta(days=31))
    assert Weather.objects.count() == 0


def test_a_service_whose_clock_is_ahead_is_believed_until_now(service):
    service.tell(MUNICH, 0, 5, NOW + timedelta(days=1))
    want(MUNICH)
    fetch(OpenMeteo(service.url), NOW)
    assert Weather.objects.get().observed_at == NOW


def test_an_older_word_does_not_replace_a_newer_one(service):
    service.tell(MUNICH, 0, 5)
    want(MUNICH)
    fetch(OpenMeteo(service.url), NOW)
    service.tell(MUNICH, 3, 6, QUARTER - timedelta(hours=1))
    assert fetch(OpenMeteo(service.url), NOW + timedelta(hours=2)) == 0
    assert Weather.objects.get().condition == "clear"


def test_what_was_told_before_a_question_failed_is_kept(service):
    cells = [Cell(0, lon) for lon in range(CELLS_IN_A_QUESTION + 1)]
    for cell in cells:
        service.tell(cell, 0, 5)
    want(*cells)
    service.fails_from = 2
    with pytest.raises(WeatherUnavailable, match="503"):
        fetch(OpenMeteo(service.url), NOW)
    assert Weather.objects.exclude(observed_at=None).count() == CELLS_IN_A_QUESTION


def test_the_task_asks_the_service_that_is_set_and_nobody_without_one(service, settings):
    now = datetime.now(UTC)
    service.tell(MUNICH, 0, 5, now)
    want(MUNICH, at=now)
    tasks.fetch_weather()
    assert service.asked == []
    settings.MUSTER_WEATHER_URL = service.url
    tasks.fetch_weather()
    assert Weather.objects.get().condition == "clear"
