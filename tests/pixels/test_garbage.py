"""Whatever comes, it is never a 500, and never a lost good fact beside it."""

import gzip
import json
import socket
import string
import time
from base64 import b64encode
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixels.answers import GIF, Answer
from pixels.endpoint import Pending
from pixels.messages.batch import kept_of
from pixels.messages.endpoint import CALLS, Posted
from pixels.parsing import KNOWN_PARAMETERS
from pixels.steps import Request
from tests.pixels.pictures import ENDPOINT, KEY, MESSAGES, SERVER_KEY, WRITE_KEY, Sent
from tests.pixels.shop import Shop

words = st.sampled_from(["12", "13:5", "12:65:7d", "cart", "vip:x", "0", "-1", "[VALUE]", "jo@example.com", "+", ","])
parameters = st.lists(
    st.tuples(st.sampled_from(sorted(KNOWN_PARAMETERS)), words | st.text() | st.binary().map(quote_from_bytes)),
    max_size=8,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))
queries = parameters | st.text() | st.binary().map(quote_from_bytes) | st.text(string.printable)
headers = st.dictionaries(
    st.sampled_from(["cookie", "user-agent", "referer", "origin", "host", "sec-purpose", "purpose", "muster-replay"]),
    st.text() | st.text().map(lambda text: "https://" + text) | st.text().map(lambda text: "__Host-muid=" + text),
)
paths = st.sampled_from(["/seg", f"/p/{KEY}.gif", f"/p/{KEY}.js", "/p/.gif"]) | st.text().map(
    lambda text: f"/p/{text}.gif"
)


@pytest.mark.spec("pixels.md 1.1")
@settings(max_examples=500, deadline=None)
@given(path=paths, query=queries, sent=headers, address=st.ip_addresses().map(str) | st.text())
def test_seg_never_500(path, query, sent, address):
    received = ENDPOINT.receive(Request("GET", path, query, Sent(sent), address))
    assert isinstance(received, Answer | Pending)
    answer = received.answer if isinstance(received, Pending) else received
    assert answer.status in (200, 414)
    for name, value in answer.headers:
        assert (name + value).isascii(), "or it could not stand in a header"
        assert "\n" not in value
        assert "\r" not in value
    if isinstance(received, Pending):
        fire = received.fire
        assert (fire.reason is None) or not fire.changes
        assert fire.advertiser_id is not None or fire.reason is not None
        assert len(fire.other) <= 64
        assert len(fire.page_host) <= 253
        assert len(fire.page_path) <= 1024
        assert "\0" not in fire.other + fire.page_host + fire.page_path
        assert "\\u0000" not in fire.actions, "or jsonb would refuse it"


@pytest.mark.spec("pixels.md 1.1")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.binary(max_size=200).map(quote_from_bytes) | parameters.filter(str.isascii))
def test_any_bytes_in_a_query_are_answered_like_good_ones(door, query):
    target = "/seg?" + "".join(sign if "!" <= sign <= "~" else quote_from_bytes(sign.encode()) for sign in query)
    reply = door.get(target.replace("#", "%23"))
    assert reply.status == 200
    assert reply.body == GIF or reply.body == b"/* muster */\n"


BODIES = st.sampled_from(
    [
        b'{"anonymousId":"x1","event":"viewed"}',
        b'{"batch":[{"type":"track","event":"a","anonymousId":"x"},null]}',
        b'{"writeKey":"mw_4f9c2b7a","userId":"C-1","traits":{"email":"jo@example.com"}}',
    ]
)
KEYS = st.sampled_from([WRITE_KEY, SERVER_KEY, "mw_0", "", "\ud800"])


@pytest.mark.spec("R4")
@settings(max_examples=500, deadline=None)
@given(
    method=st.sampled_from(["POST", "GET", "OPTIONS", "HEAD", "PUT"]),
    call=st.sampled_from([*CALLS, "me/segments", f"projects/{WRITE_KEY}/settings", "projects//settings"]) | st.text(),
    key=KEYS | st.text(),
    query=st.sampled_from(["segments=1", f"key={WRITE_KEY}&codes=cart", "key=%FF"]) | queries,
    body=BODIES | st.binary() | BODIES.map(gzip.compress),
    sent=headers | st.dictionaries(st.sampled_from(["authorization", "muster-id", "accept-language"]), st.text()),
    address=st.ip_addresses().map(str) | st.text(),
)
def test_calls_never_500(method, call, key, query, body, sent, address):
    credentials = b64encode(f"{key}:".encode(errors="replace")).decode()
    sent = Sent({"authorization": f"Basic {credentials}", "origin": "https://shop.example"} | sent)
    received = MESSAGES.receive(Request(method, f"/v1/{call}", query, sent, address), body)
    if isinstance(received, Posted):
        received = MESSAGES.reply(received, [kept_of(arrival) for arrival in received.arrivals])
    if isinstance(received, Answer):
        assert received.status in (200, 204, 400, 401, 403, 404, 405)
        assert received.status in (200, 204, 404) or json.loads(received.body)["code"]
        for name, value in received.headers:
            assert (name + value).isascii(), "or it could not stand in a header"
            assert "\n" not in value
            assert "\r" not in value


LINES = [
    b"GET /seg?add=%s\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /seg?add=%s\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /seg?add=%s HTTP/1.1\r\nHost: a\r\nCookie: \xff\xfe\r\nReferer: \xe9\x80\r\nUser-Agent: \x80\r\n\r\n",
    b"GET /seg?add=%s HTTP/1.1\r\n\r\n",
    b"GET /seg?add=%s HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET /seg?add=%s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"GET /seg?add=%s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /seg?add=%s HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    b'POST /v1/track HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"event":"%s"',
    b"POST /v1/track HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n%s",
    b"POST /v1/track HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b%s",
    b"GET //seg?add=%s HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://other.example/seg?add=%s HTTP/1.1\r\nHost: a\r\n\r\n",
    b"get /seg?add=%s HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x00" * 1000,
    b"\r\n\r\n\r\n",
    b"GET",
]


def status_of(port: int, sent: bytes) -> int | None:
    """Send bytes, close our half, and return the status that comes back; None where nothing does."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        received = b""
        try:
            while len(received) < 12 and (more := peer.recv(4096)):
                received += more
        except ConnectionResetError:
            return None
    return int(received[9:12]) if received.startswith(b"HTTP/") else None


@pytest.mark.spec("pixels.md 1.1")
def test_raw_garbage_never_hurts_a_good_fire_beside_it(listener):
    shop = Shop(listener)
    good = 0
    for line in LINES:
        sent = line.replace(b"%s", str(shop.cart.pk).encode())
        status = status_of(listener.port, sent)
        assert status is None or status < 500, sent
        assert listener.get(f"/seg?add={shop.vip.pk}").status == 200
        good += 1
        assert shop.outcome() == "applied"
    assert len(shop.browsers()) >= good


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.binary(max_size=300))
def test_any_bytes_on_the_line(listener, sent):
    status = status_of(listener.port, sent)
    assert status is None or status < 500
    status = status_of(listener.port, b"GET /seg?" + sent + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status is None or status < 500


def test_a_long_query_takes_no_time():
    texts = ["%" * 8192, "&" * 8192, "add=" + "," * 8188, "add=" + "1," * 4000, "other=" + "%25" * 2700, "=" * 8192]
    began = time.perf_counter()
    for query in texts:
        ENDPOINT.receive(Request("GET", "/seg", query, Sent(), ""))
    assert time.perf_counter() - began < 1
