"""What clients may send over one connection, and how they are answered: real sockets, the door's own loop."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from config import http1
from config.http1 import Connection, Message, Site
from pixels.answers import NOT_FOUND, Answer, text_answer

BODY_BYTES = 1_000
SECONDS = 20.0
LARGE = 1_000_000

Received = tuple[str, str, str, bytes]
Talk = Callable[["Desk"], Awaitable[None]]


class Desk:
    """A listener that notes what it receives and answers with the request's path, at once or when it is told to."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.held: list[tuple[Connection, Message]] = []
        self.site = Site(self._receive, body_bytes=BODY_BYTES)
        self.port = 0

    def _receive(self, connection: Connection, message: Message) -> None:
        path, query = message.path_and_query()
        self.received.append((message.method, path, query, message.body))
        if path.startswith("/later"):
            self.held.append((connection, message))
        else:
            connection.answer(answer_of(path))

    def answer_held(self) -> None:
        held, self.held = self.held, []
        for connection, message in held:
            connection.answer(answer_of(message.path_and_query()[0]))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *parts: bytes) -> bytes:
        """Send parts, each by itself, and return all that comes until the connection is closed."""
        reader, writer = await self.connect()
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        said = await reader.read()
        writer.close()
        return said


def answer_of(path: str) -> Answer:
    if path == "/nothing":
        return Answer(204, [], b"")
    return text_answer(200, "x" * LARGE if path == "/large" else f"{path}\n")


def at_desk(talk: Talk) -> Desk:
    async def main() -> Desk:
        desk = Desk()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(desk.site), "127.0.0.1", 0)
        desk.port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(SECONDS):
            await talk(desk)
        server.close()
        return desk

    return uvloop.run(main())


def bodies(said: bytes) -> list[bytes]:
    """Return the bodies of a row of answers, by their content-length."""
    found = []
    while said:
        head, _, said = said.partition(b"\r\n\r\n")
        sizes = [line.split(b": ")[1] for line in head.split(b"\r\n") if line.startswith(b"content-length")]
        size = int(sizes[0]) if sizes else 0
        found.append(said[:size])
        said = said[size:]
    return found


def test_one_request_after_the_other_over_one_connection():
    async def talk(desk: Desk) -> None:
        reader, writer = await desk.connect()
        for path in ("/a", "/b"):
            writer.write(f"GET {path}?x=1 HTTP/1.1\r\nHost: one\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
            assert b"connection" not in head
            assert await reader.readline() == f"{path}\n".encode()
        writer.close()

    assert at_desk(talk).received == [("GET", "/a", "x=1", b""), ("GET", "/b", "x=1", b"")]


def test_answers_of_a_pipeline_come_in_the_order_of_its_requests():
    async def talk(desk: Desk) -> None:
        lines = [b"GET %s HTTP/1.1\r\nHost: one\r\n\r\n" % path for path in (b"/later", b"/b", b"/c")]
        last = b"GET /d HTTP/1.1\r\nHost: one\r\nConnection: close\r\n\r\n"
        saying = asyncio.create_task(desk.say(b"".join([*lines, last])))
        while not desk.held:
            await asyncio.sleep(0.001)
        assert len(desk.received) == 1, "the others wait for their turn"
        desk.answer_held()
        assert bodies(await saying) == [b"/later\n", b"/b\n", b"/c\n", b"/d\n"]

    at_desk(talk)


def test_a_thousand_requests_in_one_packet():
    async def talk(desk: Desk) -> None:
        many = b"GET /a HTTP/1.1\r\nHost: one\r\n\r\n" * 1_000
        said = await desk.say(many + b"GET /z HTTP/1.1\r\nHost: one\r\nConnection: close\r\n\r\n")
        assert bodies(said) == [b"/a\n"] * 1_000 + [b"/z\n"]

    at_desk(talk)


def test_who_does_not_read_is_not_read_from():
    async def talk(desk: Desk) -> None:
        reader, writer = await desk.connect()
        writer.write(b"GET /large HTTP/1.1\r\nHost: one\r\n\r\n" * 1_000)
        before = -1
        while before != len(desk.received):
            before = len(desk.received)
            await asyncio.sleep(0.1)
        assert before < 100, "the rest is not even parsed"
        await reader.readexactly(20 * LARGE)
        while len(desk.received) == before:
            await asyncio.sleep(0.01)
        writer.transport.abort()

    at_desk(talk)


CLOSE = b"Host: one\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (b"GET /a%20b?q=%zz HTTP/1.1\r\n" + CLOSE + b"\r\n", ("GET", "/a b", "q=%zz", b"")),
        (b"GET http://px.example.com/a?b=c HTTP/1.1\r\n" + CLOSE + b"\r\n", ("GET", "/a", "b=c", b"")),
        (b"GET http://px.example.com HTTP/1.1\r\n" + CLOSE + b"\r\n", ("GET", "/", "", b"")),
        (b"GET /caf\xc3\xa9?x=\xff HTTP/1.1\r\n" + CLOSE + b"\r\n", ("GET", "/café", "x=%FF", b"")),
        (b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n" + CLOSE + b"\r\nabc", ("POST", "/a", "", b"abc")),
        (
            b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            ("POST", "/a", "", b"abc"),
        ),
        (b"GET /a HTTP/1.0\r\n\r\n", ("GET", "/a", "", b"")),
    ],
)
def test_forms_of_a_request(sent, received):
    async def talk(desk: Desk) -> None:
        said = await desk.say(sent)
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nconnection: close\r\n" in said

    assert at_desk(talk).received == [received]


def test_an_old_client_that_keeps_its_connection_is_told_so():
    async def talk(desk: Desk) -> None:
        reader, writer = await desk.connect()
        for _ in range(2):
            writer.write(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert b"\r\nconnection: keep-alive\r\n" in await reader.readuntil(b"\r\n\r\n")
            await reader.readline()
        writer.close()

    at_desk(talk)


def test_answers_without_a_body():
    async def talk(desk: Desk) -> None:
        head = await desk.say(b"HEAD /abc HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert b"\r\ncontent-length: 5\r\n" in head
        assert head.endswith(b"\r\n\r\n")
        nothing = await desk.say(b"GET /nothing HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert nothing.startswith(b"HTTP/1.1 204 No Content\r\n")
        assert b"content-length" not in nothing

    at_desk(talk)


def test_who_asks_first_whether_to_send_is_told_to():
    async def talk(desk: Desk) -> None:
        reader, writer = await desk.connect()
        writer.write(b"POST /a HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n" + CLOSE + b"\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
        writer.close()

    assert at_desk(talk).received == [("POST", "/a", "", b"ab")]


@pytest.mark.parametrize("length", [BODY_BYTES + 1, 100_000])
def test_a_body_that_is_too_large_is_cut_and_answered(length):
    async def talk(desk: Desk) -> None:
        head = b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n" % length
        assert (await desk.say(head + CLOSE + b"\r\n" + b"x" * length)).startswith(b"HTTP/1.1 200 OK")

    ((*_, body),) = at_desk(talk).received
    assert len(body) == BODY_BYTES + 1


def test_a_body_without_end_is_answered_and_cut_off(monkeypatch):
    monkeypatch.setattr(http1, "DISCARDED_BYTES", 50_000)

    async def talk(desk: Desk) -> None:
        reader, writer = await desk.connect()
        writer.write(b"POST /a HTTP/1.1\r\nHost: one\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"10000\r\n" + b"x" * 0x10000)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
        writer.close()

    assert len(at_desk(talk).received) == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET / HTTP/1.1\r\nHost : one\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"400"),
        (b"GET / HTTP/1.1\r\nHost: one\r\nX: " + b"x" * 70_000, b"431"),
        (b"GET /" + b"x" * 70_000, b"431"),
    ],
)
def test_what_is_no_request_is_told_so_and_cut_off(sent, status):
    async def talk(desk: Desk) -> None:
        assert (await desk.say(sent)).startswith(b"HTTP/1.1 " + status)

    assert at_desk(talk).received == []


def test_good_requests_before_a_bad_one_are_answered():
    async def talk(desk: Desk) -> None:
        said = await desk.say(b"GET /a HTTP/1.1\r\nHost: one\r\n\r\nwhat?\r\n\r\n")
        assert bodies(said) == [b"/a\n", http1.BAD_REQUEST.body]

    at_desk(talk)


def test_an_upgrade_is_not_taken_up():
    async def talk(desk: Desk) -> None:
        said = await desk.say(
            b"GET /a HTTP/1.1\r\nHost: one\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"
        )
        assert said.startswith(b"HTTP/1.1 200 OK")

    assert at_desk(talk).received == [("GET", "/a", "", b"")]


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"])
def test_who_is_silent_for_too_long_is_cut_off(monkeypatch, begun):
    monkeypatch.setattr(http1, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(http1, "SLOWEST_REQUEST_SECONDS", 0.2)

    async def talk(desk: Desk) -> None:
        reader, writer = await desk.connect()
        writer.write(begun)
        reading = asyncio.create_task(reader.read())
        while not reading.done():
            desk.site.tick()
            await asyncio.sleep(0.02)
        with suppress(ConnectionResetError):
            assert reading.result() == b""
        writer.close()

    at_desk(talk)


def test_who_waits_for_an_answer_is_not_cut_off(monkeypatch):
    monkeypatch.setattr(http1, "IDLE_SECONDS", 0.05)

    async def talk(desk: Desk) -> None:
        saying = asyncio.create_task(desk.say(b"GET /later HTTP/1.1\r\n" + CLOSE + b"\r\n"))
        for _ in range(10):
            desk.site.tick()
            await asyncio.sleep(0.02)
        desk.answer_held()
        assert bodies(await saying) == [b"/later\n"]

    at_desk(talk)


def test_a_client_that_went_away_fails_nobody():
    async def talk(desk: Desk) -> None:
        _, gone = await desk.connect()
        gone.write(b"GET /later HTTP/1.1\r\nHost: one\r\n\r\n")
        staying = asyncio.create_task(desk.say(b"GET /later HTTP/1.1\r\n" + CLOSE + b"\r\n"))
        while len(desk.held) < 2:
            await asyncio.sleep(0.001)
        gone.transport.abort()
        await asyncio.sleep(0.05)
        assert len(desk.site.connections) == 1
        desk.answer_held()
        assert bodies(await staying) == [b"/later\n"]

    at_desk(talk)


def test_at_the_end_the_idle_are_closed_and_the_others_after_their_answer(monkeypatch):
    monkeypatch.setattr(http1, "FRESH_SECONDS", -1.0)

    async def talk(desk: Desk) -> None:
        idle, _ = await desk.connect()
        saying = asyncio.create_task(desk.say(b"GET /later HTTP/1.1\r\nHost: one\r\n\r\n"))
        while not desk.held:
            await asyncio.sleep(0.001)
        desk.site.close_idle()
        assert await idle.read() == b""
        desk.answer_held()
        assert b"\r\nconnection: close\r\n" in await saying
        assert not desk.site.connections

    at_desk(talk)


def test_at_the_end_who_has_just_come_is_heard():
    async def talk(desk: Desk) -> None:
        reader, writer = await desk.connect()
        await asyncio.sleep(0.05)
        desk.site.close_idle()
        writer.write(b"GET /a HTTP/1.1\r\nHost: one\r\n\r\n")
        assert b"\r\nconnection: close\r\n" in await reader.read()
        writer.close()

    at_desk(talk)


WHOLE = (
    b"POST /a?b=c HTTP/1.1\r\nHost: one\r\nCookie: x=y\r\nContent-Length: 5\r\n\r\nhello"
    b"GET /d HTTP/1.1\r\n" + CLOSE + b"\r\n"
)


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(1, len(WHOLE) - 1), max_size=8).map(lambda places: sorted({0, *places, len(WHOLE)})))
def test_however_it_is_cut_it_is_the_same(cuts):
    async def talk(desk: Desk) -> None:
        await desk.say(*[WHOLE[start:end] for start, end in pairwise(cuts)])

    assert at_desk(talk).received == [("POST", "/a", "b=c", b"hello"), ("GET", "/d", "", b"")]


@settings(max_examples=100, deadline=None)
@given(sent=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_get_an_answer_or_an_end(sent):
    async def talk(desk: Desk) -> None:
        reader, writer = await desk.connect()
        writer.write(sent)
        writer.write_eof()
        said = await reader.read()
        assert not said or said.startswith(b"HTTP/1.1 ")
        writer.close()

    at_desk(talk)


def test_fields_by_name():
    async def talk(desk: Desk) -> None:
        _, writer = await desk.connect()
        fields = b"Cookie: a=1\r\nX-One: caf\xe9\r\ncookie: b=2\r\nCOOKIE: c=3\r\n"
        writer.write(b"GET /later HTTP/1.1\r\n" + fields + b"\r\n")
        while not desk.held:
            await asyncio.sleep(0.001)
        connection, message = desk.held.pop()
        assert message.get("cookie") == "a=1"
        assert message.get_all("cookie") == ["a=1", "b=2", "c=3"]
        assert message.get("x-one") == "café"
        assert message.get_all("x-one") == ["café"]
        assert message.get("other") is None
        assert message.get_all("other") == []
        connection.answer(NOT_FOUND)
        writer.close()

    at_desk(talk)


def test_an_answer_from_elsewhere_is_written_as_it_is():
    async def talk(desk: Desk) -> None:
        reader, writer = await desk.connect()
        writer.write(b"GET /later HTTP/1.1\r\nHost: one\r\n\r\n")
        while not desk.held:
            await asyncio.sleep(0.001)
        desk.held.pop()[0].answer(NOT_FOUND)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 Not Found\r\n")
        writer.close()

    at_desk(talk)
