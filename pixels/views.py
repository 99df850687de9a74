"""The door as ordinary Django views, for an installation with one listener: the same endpoint and committer.

Only the transport differs from `config.door`: a request waits in its thread until its batch is committed.
"""

import threading
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from pixels.answers import Answer
from pixels.batch import Stored
from pixels.committer import Answers
from pixels.intake import Intake
from pixels.steps import Request

PATIENCE_SECONDS = 30.0


class Waiter:
    """One request that waits for its commit."""

    def __init__(self) -> None:
        self.stored: Stored | None = None
        self._is_answered = threading.Event()

    def answer(self, stored: Stored | None) -> None:
        self.stored = stored
        self._is_answered.set()

    def wait(self) -> Stored | None:
        """Return what was stored, None where nothing is known to be."""
        self._is_answered.wait(PATIENCE_SECONDS)
        return self.stored


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


_lock = threading.Lock()
_intake: Intake | None = None


def intake() -> Intake:
    """Return this process's intake, started by its first fire: a process that forks must not have threads yet."""
    global _intake
    with _lock:
        if _intake is None:
            _intake = Intake(_answer)
            _intake.start()
        return _intake


def stop_intake() -> None:
    """End the intake, if there is one; the next fire starts another."""
    global _intake
    with _lock:
        if _intake is not None:
            _intake.stop()
        _intake = None


@csrf_exempt
def fire(request: HttpRequest, **_: str) -> HttpResponse:
    """Answer `/seg` and `/p/<key>.gif|.js`."""
    # A fire has no session. Without one the session's middleware leaves the answer alone: no cookie, no `Vary`.
    if hasattr(request, "session"):
        del request.session
    door = intake()
    received = door.receive(_request(request))
    if isinstance(received, Answer):
        return _response(received)
    waiter = Waiter()
    if not door.submit(received, waiter) or waiter.wait() is None:
        return _response(door.refuse(received))
    return _response(received.answer)


def _answer(answers: Answers) -> None:
    for waiter, stored in answers:
        waiter.answer(stored)


def _request(request: HttpRequest) -> Request:
    # WSGI hands bytes over as Latin-1. The client's address is `config.proxies`' word.
    query = request.META.get("QUERY_STRING", "").encode("latin-1", "replace").decode(errors="surrogateescape")
    return Request(
        method=request.method or "",
        path=request.path,
        query=query,
        headers=MetaHeaders(request.META),
        address=request.META.get("REMOTE_ADDR", ""),
    )


def _response(answer: Answer) -> HttpResponse:
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
