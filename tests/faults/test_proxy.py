"""The proxy of the fault tests does to a line what it says."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import Mode, Proxy
from tests.running import until


class Echo:
    """A server that says back what it hears, and counts it."""

    def __init__(self) -> None:
        self.heard = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[peer], daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            while data := peer.recv(1024):
                self.heard += data
                peer.sendall(data)
        except OSError:
            pass

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", echo.port)) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        assert ask(client, b"hello") == b"hello"
        yield client


def ask(client: socket.socket, data: bytes) -> bytes:
    """Return what comes back of so many bytes until all are there or the line is cut."""
    client.sendall(data)
    answer = b""
    while len(answer) < len(data):
        try:
            more = client.recv(1024)
        except ConnectionError:
            break
        if not more:
            break
        answer += more
    return answer


def test_a_delay_is_felt_both_ways(proxy, client):
    proxy.set(Mode.DELAY)
    began = time.monotonic()
    assert ask(client, b"slow") == b"slow"
    assert time.monotonic() - began >= 2 * proxy.delay_seconds
    proxy.heal()
    assert ask(client, b"fast") == b"fast"


def test_trickle_gives_one_byte_a_second_until_it_is_healed(echo, proxy, client):
    proxy.set(Mode.TRICKLE)
    client.sendall(b"a long sentence")
    until(lambda: echo.heard.startswith(b"helloa"), "the first byte passes")
    assert echo.heard == b"helloa"
    proxy.heal()
    until(lambda: echo.heard == b"helloa long sentence", "the rest passes")


def test_what_was_swallowed_is_never_answered(echo, proxy, client):
    proxy.set(Mode.SWALLOW)
    client.sendall(b"who is there")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(5)
    proxy.heal()
    assert ask(client, b"again") == b"", "a line with a hole in it is hung up"
    assert echo.heard == b"hello"


def test_a_line_is_cut_after_so_many_bytes(echo, proxy, client):
    proxy.cut_after(8)
    assert ask(client, b"12345") == b"123"
    assert echo.heard == b"hello12345"


def test_an_answer_is_cut_after_the_server_has_heard_the_request(echo, proxy, client):
    proxy.set(Mode.CUT_ANSWER, cut_at=b"COMMIT")
    assert ask(client, b"INSERT") == b"INSERT"
    assert ask(client, b"COMMIT") == b""
    assert (echo.heard, proxy.cuts) == (b"helloINSERTCOMMIT", 1)


def test_who_is_refused_gets_no_connection_and_who_is_in_stays(proxy, client):
    proxy.set(Mode.REFUSE)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as late:
        assert ask(late, b"?") == b""
    assert ask(client, b"!") == b"!"
    proxy.heal()
    proxy.refused_share = 1.0
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as unlucky:
        assert ask(unlucky, b"?") == b""


def test_all_lines_can_be_cut_at_once(proxy, client):
    proxy.cut()
    assert ask(client, b"gone") == b""
