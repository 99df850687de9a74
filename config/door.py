"""The door's listener, as granian (RSGI) starts it: the shared endpoint and the committer in one event loop.

Each request awaits a future of its own: with one shared by a batch, a client that goes away would fail its
neighbours.
"""

import asyncio
import gc
import multiprocessing
import os
import resource
from collections import Counter
from functools import lru_cache
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.conf import settings

settings.INSTALLED_APPS = settings.DOOR_APPS
django.setup()

from audience import metrics  # noqa: E402 (after setup)
from audience.context import device  # noqa: E402
from config.drain import CLOSING, Drain  # noqa: E402
from config.leash import end_with_starter  # noqa: E402
from config.proxies import client_address, is_trusted  # noqa: E402
from pixels import fireids  # noqa: E402
from pixels.answers import NOT_FOUND, Answer, text_answer  # noqa: E402
from pixels.batch import Ended  # noqa: E402
from pixels.committer import Answers  # noqa: E402
from pixels.intake import Intake  # noqa: E402
from pixels.messages.bodies import BODY_BYTES  # noqa: E402
from pixels.messages.endpoint import PREFIX  # noqa: E402
from pixels.optout.endpoint import PREFIX as OPT_OUT  # noqa: E402
from pixels.steps import Headers, Request  # noqa: E402

COUNT_SECONDS = 1.0
LARGE_BODY_BYTES = 32 << 10
ALIVE = text_answer(200, "alive\n")
DRAINING = text_answer(503, '{"state": "draining"}\n')


class Door:
    """The RSGI application. granian calls `__rsgi_init__` before the first request and `__rsgi_del__` at the end."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop
        self._intake: Intake
        self._committing: asyncio.Task[None]
        self._drain = Drain()
        self._statuses: Counter[int] = Counter()

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._intake = Intake(_give)
        self._intake.start()
        self._committing = loop.create_task(self._intake.run())
        self._drain.begin_on_sigterm(loop)
        self._count_answers()

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._intake.end()
        loop.run_until_complete(self._committing)
        metrics.count_answers(self._statuses)

    def _count_answers(self) -> None:
        """Hand the numbers of answers over, every second: for each answer it would cost too much."""
        metrics.count_answers(self._statuses)
        self._statuses.clear()
        self._loop.call_later(COUNT_SECONDS, self._count_answers)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        path = scope.path
        if path.startswith("/health/"):
            answer = await self._health(path)
        else:
            headers = scope.headers
            address, request_id = _origin(scope.client, headers)
            request = Request(scope.method, path, scope.query_string, headers, address, request_id)
            is_call = path.startswith((PREFIX, OPT_OUT))
            answer = await (self._answer_call(request, protocol) if is_call else self._answer(request))
            self._statuses[answer.status] += 1
        said = [*answer.headers, CLOSING] if self._drain.is_on else answer.headers
        protocol.response_bytes(answer.status, said, answer.body)

    async def _answer(self, request: Request) -> Answer:
        received = self._intake.receive(request)
        if isinstance(received, Answer):
            return received
        stored: asyncio.Future[Ended | None] = self._loop.create_future()
        if not self._intake.submit(received, stored) or await stored is None:
            return self._intake.refuse(received)
        return received.answer

    async def _answer_call(self, request: Request, protocol: Any) -> Answer:
        """Answer the HTTP API. Only its POST requests have a body that anybody waits for."""
        body = await _body(protocol) if request.method == "POST" else b""
        if len(body) > LARGE_BODY_BYTES:
            # To read thousands of messages takes longer than fires should wait.
            received = await self._loop.run_in_executor(None, self._intake.receive_messages, request, body)
        else:
            received = self._intake.receive_messages(request, body)
        return received if isinstance(received, Answer) else await self._intake.deliver(received)

    async def _health(self, path: str) -> Answer:
        if path == "/health/live":
            return ALIVE
        if path == "/health/ready":
            if self._drain.is_on:
                return DRAINING
            return self._intake.readiness()
        if path == "/health/sink":
            return await self._loop.run_in_executor(None, self._intake.sink)
        return NOT_FOUND


async def _body(protocol: Any) -> bytes:
    """Return the body of a request; of one that is too large no more than shows that it is."""
    body = b""
    async for chunk in protocol:
        body += chunk
        if len(body) > BODY_BYTES:
            break
    return body


def _give(answers: Answers) -> None:
    """Hand a batch's answers to those who wait for them."""
    for waiting, stored in answers:
        if not waiting.done():  # the client has gone away
            waiting.set_result(stored)


def _origin(client: str, headers: Headers) -> tuple[str, str | None]:
    """Return the client's address, and the request id of a proxy of ours; `client` is the peer with its port."""
    peer = client.rpartition(":")[0]
    if not settings.MUSTER_TRUSTED_PROXIES or not _is_ours(peer):
        return peer, None
    return _forwarded(peer, ",".join(headers.get_all("x-forwarded-for"))), headers.get(fireids.HEADER)


@lru_cache(256)
def _is_ours(peer: str) -> bool:
    return is_trusted(peer, settings.MUSTER_TRUSTED_PROXIES)


@lru_cache(4096)
def _forwarded(peer: str, forwarded_for: str) -> str:
    return client_address(peer, forwarded_for, settings.MUSTER_TRUSTED_PROXIES)


# The first fire need not wait until the expressions of user agents are compiled.
device.expressions()

# A batch makes many objects that live until its commit: the collector's default of a look after 700 of them, through
# everything that the process has imported, took a tenth of the time.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 50)

# Each client is a file descriptor; the usual limit of 1,024 is meant for programs that use select().
_, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_most, _most))

starter = multiprocessing.parent_process()
end_with_starter(starter.pid if starter else None)
app = Door()
