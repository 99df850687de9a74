"""The door as ordinary Django views, for an installation with one listener: the same endpoint and committer.

Only the transport differs from `config.door`: a request waits in its thread until its batch is committed.
"""

import asyncio
import threading
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from pixels.answers import Answer
from pixels.background import Background
from pixels.batch import Ended
from pixels.committer import Answers
from pixels.endpoint import Pending
from pixels.intake import Intake
from pixels.messages import replies
from pixels.messages.bodies import BODY_BYTES
from pixels.messages.delivery import Received
from pixels.messages.errors import RequestError
from pixels.steps import Request

PATIENCE_SECONDS = 30.0
STOP_SECONDS = 20.0


class Waiter:
    """One request that waits for its commit."""

    def __init__(self) -> None:
        self.stored: Ended | None = None
        self._is_answered = threading.Event()

    def answer(self, stored: Ended | None) -> None:
        self.stored = stored
        self._is_answered.set()

    def wait(self) -> Ended | None:
        """Return what was stored, None where nothing is known to be."""
        self._is_answered.wait(PATIENCE_SECONDS)
        return self.stored


class _Response(HttpResponse):
    """An answer with all its cookies: Django's own headers hold one of each name, and its cookies not every one."""

    def __init__(self, answer: Answer) -> None:
        headers = {name: value for name, value in answer.headers if name != "set-cookie"}
        super().__init__(answer.body, status=answer.status, headers=headers)
        self._cookies = [("set-cookie", value) for name, value in answer.headers if name == "set-cookie"]

    def items(self) -> Any:
        """Give a server what it sends."""
        return [*super().items(), *self._cookies]


class MetaHeaders:
    """The headers of a WSGI environment, by name in lower case. A server has joined those that came twice."""

    __slots__ = ("_meta",)

    def __init__(self, meta: dict[str, Any]) -> None:
        self._meta = meta

    def get(self, name: str, /) -> str | None:
        return self._meta.get("HTTP_" + name.upper().replace("-", "_"))

    def get_all(self, name: str, /) -> list[str]:
        value = self.get(name)
        return [] if value is None else [value]


class Counter:
    """An intake whose committer runs in a thread of its own, for requests that come in many threads."""

    def __init__(self) -> None:
        self.intake = Intake(_answer)
        self.intake.start()
        self._background = Background("committer")
        self._background.start(self.intake.run())

    def commit(self, pending: Pending) -> Ended | None:
        """Wait until a fire is stored; None where nothing is known to be."""
        waiter = Waiter()
        self._background.call(self._submit, pending, waiter)
        return waiter.wait()

    def deliver(self, received: Received) -> Answer:
        """Wait for the answer of the HTTP API."""
        try:
            return self._background.run(self.intake.deliver(received), PATIENCE_SECONDS)
        except TimeoutError:
            return replies.refusal(RequestError.BUSY)

    def stop(self) -> None:
        """Commit what was submitted, answer it, and end."""
        self._background.call(self.intake.end)
        self._background.join(STOP_SECONDS)

    def _submit(self, pending: Pending, waiter: Waiter) -> None:
        if not self.intake.submit(pending, waiter):
            waiter.answer(None)


_lock = threading.Lock()
_counter: Counter | None = None


def counter() -> Counter:
    """Return this process's counter, opened by its first fire: a process that forks must not have threads yet."""
    global _counter
    with _lock:
        if _counter is None:
            _counter = Counter()
        return _counter


def stop_intake() -> None:
    """End the intake, if there is one; the next fire starts another."""
    global _counter
    with _lock:
        if _counter is not None:
            _counter.stop()
        _counter = None


@csrf_exempt
def fire(request: HttpRequest, **_: str) -> HttpResponse:
    """Answer `/seg`, `/px`, `/p/<key>.gif|.js`, the user sync and the SDK."""
    # A fire has no session. Without one the session's middleware leaves the answer alone: no cookie, no `Vary`.
    if hasattr(request, "session"):
        del request.session
    desk = counter()
    received = desk.intake.receive(_request(request))
    if isinstance(received, Answer):
        return _response(received)
    stored = desk.commit(received)
    return _response(desk.intake.refuse(received) if stored is None else received.answer_of(stored))


@csrf_exempt
def call(request: HttpRequest, **_: str) -> HttpResponse:
    """Answer the HTTP API under `/v1/`, and the opt-out."""
    if hasattr(request, "session"):
        del request.session
    desk = counter()
    body = request.read(BODY_BYTES + 1) if request.method == "POST" else b""
    received = desk.intake.receive_messages(_request(request), body)
    return _response(received if isinstance(received, Answer) else desk.deliver(received))


def _answer(answers: Answers) -> None:
    for waiter, stored in answers:
        if not isinstance(waiter, asyncio.Future):
            waiter.answer(stored)
        elif not waiter.done():
            waiter.set_result(stored)


def _request(request: HttpRequest) -> Request:
    # WSGI hands bytes over as Latin-1. The client's address is `config.proxies`' word, and it drops a
    # request id that a stranger sends.
    query = request.META.get("QUERY_STRING", "").encode("latin-1", "replace").decode(errors="surrogateescape")
    return Request(
        method=request.method or "",
        path=request.path,
        query=query,
        headers=MetaHeaders(request.META),
        address=request.META.get("REMOTE_ADDR", ""),
        request_id=request.META.get("HTTP_X_REQUEST_ID"),
    )


def _response(answer: Answer) -> HttpResponse:
    return _Response(answer)
