"""How planned fires travel: in order, each visitor with a cookie of its own, patient with a door that is away."""

import json
import re
import threading
from base64 import b64decode
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from config.demo import player
from config.demo.plan import PlannedFire, in_order
from config.demo.player import PlayStopped, Stage, play
from pixels.replay import Replay

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
REPLAY = Replay("replay-test-secret")


class Front(BaseHTTPRequestHandler):
    """A server in the door's place, which can be as awkward as a network is."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        request = (self.path, self.headers.get("Cookie"), self.headers.get("Muster-Replay"))
        with server.lock:
            server.requests.append(request)
            trouble = server.troubles.pop(0) if server.troubles else ""
        if trouble == "cut":
            self.close_connection = True
            return
        self.send_response(503 if trouble == "busy" else 200)
        self.send_header("Content-Length", "3")
        if not request[1] and not trouble and server.sets_cookies:
            self.send_header("Set-Cookie", f"muid={len(server.requests)}; Max-Age=5; Path=/")
        if trouble == "close":
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"GIF")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        with self.server.lock:
            self.server.told.append((self.path, key, self.headers["Cookie"], body["batch"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


class FrontServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 2 * player.CONNECTIONS


@pytest.fixture
def front():
    server = FrontServer(("127.0.0.1", 0), Front)
    server.lock, server.requests, server.troubles, server.sets_cookies = threading.Lock(), [], [], True
    server.told = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def stage(server):
    door = f"http://127.0.0.1:{server.server_address[1]}"
    keys = {"Cart": "a" * 16, "Order": "b" * 16}
    return Stage(door=door, page_host="www.shop.example", keys=keys, replay=REPLAY, server_key="ms_key")


def fires(visitors, each=3):
    planned = [
        PlannedFire(NOON + timedelta(seconds=number), visitor, "Cart", str(number))
        for number in range(each)
        for visitor in range(visitors)
    ]
    return in_order(planned)


def test_each_visitor_keeps_the_cookie_of_the_first_answer_and_the_order_of_time(front):
    played = []
    play(fires(300), stage(front), played.append)

    by_cookie = defaultdict(list)
    for target, cookie, _ in front.requests:
        by_cookie[cookie].append(int(re.search(r"value=(\d+)", target)[1]))
    assert by_cookie.pop(None) == [0] * 300
    assert len(by_cookie) == 300
    assert all(values == [1, 2] for values in by_cookie.values())
    assert len(played) == 900


def test_every_fire_brings_its_signed_time(front):
    (fire,) = fires(1, each=1)
    play([fire], stage(front), lambda _: None)

    ((target, _, header),) = front.requests
    assert target == f"/p/{'a' * 16}.gif?value=0"
    assert REPLAY.read(header, target, NOON + timedelta(days=1)) == fire.at


def test_the_events_of_a_visitor_are_told_at_the_end_with_their_times(front):
    second = timedelta(seconds=1)
    cart, order = PlannedFire(NOON, 1, "Cart", "65"), PlannedFire(NOON + second, 1, "Order", "65")
    lost = PlannedFire(NOON, 2, "Cart", "[TOTAL]")
    play([cart, lost, order], stage(front), lambda _: None)

    ((path, key, cookie, batch),) = front.told
    (cookie_of_the_order,) = {cookie for target, cookie, _ in front.requests if "b" * 16 in target}
    assert (path, key, cookie) == ("/v1/batch", "ms_key:", cookie_of_the_order)
    assert [(one["event"], one["properties"], one["timestamp"]) for one in batch] == [
        ("add_to_cart", {"total": 65}, NOON.isoformat()),
        ("cart_updated", {"total": 65}, NOON.isoformat()),
        ("purchase", {"total": 65}, (NOON + second).isoformat()),
    ]
    assert len({one["messageId"] for one in batch}) == 3


@pytest.mark.parametrize("trouble", ["busy", "cut"])
def test_a_fire_that_was_not_stored_is_sent_again(front, trouble, monkeypatch):
    monkeypatch.setattr(player, "PAUSE_SECONDS", 0.01)
    front.troubles = [trouble, trouble]
    played = []
    play(fires(1), stage(front), played.append)

    assert played == fires(1)
    targets = [target for target, *_ in front.requests]
    assert targets == sorted(targets)


def test_a_last_answer_on_a_connection_counts(front):
    """An answer with `Connection: close` is an answer: its fire is not sent twice."""
    play(fires(1, each=1), stage(front), lambda _: None)
    front.requests.clear()
    front.troubles = ["", "close", ""]
    play(fires(1), stage(front), lambda _: None)

    assert len(front.requests) == 3


@pytest.mark.parametrize(
    ("troubles", "sets_cookies", "sentence"),
    [
        (["busy"] * 1000, True, "answers 503"),
        (["cut"] * 1000, True, "does not answer"),
        ([], False, "does it use the same database?"),
    ],
)
def test_the_play_stops_with_a_sentence_when_the_door_stays_away(
    front, monkeypatch, troubles, sets_cookies, sentence
):
    monkeypatch.setattr(player, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(player, "PAUSE_SECONDS", 0.01)
    front.troubles, front.sets_cookies = troubles, sets_cookies

    with pytest.raises(PlayStopped, match=re.escape(sentence)):
        play(fires(3), stage(front), lambda _: None)


def test_the_tags_of_one_visitor_fire_one_after_the_other():
    same = [PlannedFire(NOON, 1, "Cart"), PlannedFire(NOON, 2, "Cart"), PlannedFire(NOON, 1, "Order")]

    assert [(fire.visitor, fire.pixel, (fire.at - NOON).microseconds) for fire in in_order(same)] == [
        (1, "Cart", 0),
        (2, "Cart", 0),
        (1, "Order", 1000),
    ]
