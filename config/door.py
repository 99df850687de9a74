"""The door's listener: the shared endpoint and the committer in one event loop, behind sockets of gunicorn's.

A fire costs no task and no future: its connection waits for the answer of its batch. With one future shared by a
batch, a client that goes away would fail its neighbours; here it only hears nothing.
"""

import asyncio
import gc
import os
import resource
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.conf import settings

settings.INSTALLED_APPS = settings.DOOR_APPS
django.setup()

from audience import metrics  # noqa: E402 (after setup)
from audience.context import device  # noqa: E402
from config.drain import Drain  # noqa: E402
from config.http1 import Connection, Message, Site  # noqa: E402
from config.proxies import client_address, is_trusted  # noqa: E402
from pixels import fireids  # noqa: E402
from pixels.answers import NOT_FOUND, Answer, text_answer  # noqa: E402
from pixels.committer import Answers  # noqa: E402
from pixels.intake import Intake  # noqa: E402
from pixels.messages.bodies import BODY_BYTES  # noqa: E402
from pixels.messages.endpoint import PREFIX  # noqa: E402
from pixels.steps import Headers, Request  # noqa: E402

TICK_SECONDS = 1.0
LOOK_SECONDS = 0.05
# For the answers of what is under way when the end has come, and for their last bytes.
LAST_ANSWERS_SECONDS = 8.0
BACKLOG = 2_048
LARGE_BODY_BYTES = 32 << 10
ALIVE = text_answer(200, "alive\n")
DRAINING = text_answer(503, '{"state": "draining"}\n')


class Door:
    """One process's door, from its first request to its last answer."""

    def __init__(self, notify: Callable[[], None]) -> None:
        """`notify` is called every second, as long as the loop turns."""
        self._notify = notify
        self._loop = asyncio.get_running_loop()
        self._site = Site(self._receive, body_bytes=BODY_BYTES)
        self._intake = Intake(self._give)
        self._drain = Drain(self._loop)
        self._has_proxies = bool(settings.MUSTER_TRUSTED_PROXIES)
        self._statuses: Counter[int] = Counter()
        self._calls: set[asyncio.Task[None]] = set()

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Answer until a signal ends it."""
        self._intake.start()
        committing = self._loop.create_task(self._intake.run())
        self._tick()
        servers = [
            await self._loop.create_server(lambda: Connection(self._site), sock=one, backlog=BACKLOG)
            for one in sockets
        ]
        await self._drain.over()
        for server in servers:
            server.close()
        await self._await_last_answers()
        self._intake.end()
        await committing
        metrics.count_answers(self._statuses)

    async def _await_last_answers(self) -> None:
        self._site.close_idle()
        last = self._loop.time() + LAST_ANSWERS_SECONDS
        while self._site.connections and self._loop.time() < last:
            await asyncio.sleep(LOOK_SECONDS)

    def _tick(self) -> None:
        """Hand the numbers of answers over, every second: for each answer it would cost too much."""
        self._notify()
        self._site.is_closing = self._drain.is_on
        self._site.tick()
        metrics.count_answers(self._statuses)
        self._statuses.clear()
        self._loop.call_later(TICK_SECONDS, self._tick)

    def _receive(self, connection: Connection, message: Message) -> None:
        path, query = message.path_and_query()
        address, request_id = connection.address, None
        if self._has_proxies:
            address, request_id = _origin(address, message)
        request = Request(message.method, path, query, message, address, request_id)
        if path.startswith((PREFIX, "/health/")):
            call = self._loop.create_task(self._call(connection, request, message.body))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            return
        received = self._intake.receive(request)
        if isinstance(received, Answer):
            self._answer(connection, received)
        elif not self._intake.submit(received, (connection, received)):
            self._answer(connection, self._intake.refuse(received))

    def _give(self, answers: Answers) -> None:
        """Hand a batch's answers to those who wait: a connection with its pending fire, or a message's future."""
        for waiter, stored in answers:
            if type(waiter) is tuple:
                connection, pending = waiter
                self._answer(connection, pending.answer if stored is not None else self._intake.refuse(pending))
            elif not waiter.done():
                waiter.set_result(stored)

    def _answer(self, connection: Connection, answer: Answer) -> None:
        self._statuses[answer.status] += 1
        connection.answer(answer)

    async def _call(self, connection: Connection, request: Request, body: bytes) -> None:
        """Answer what takes its time: the HTTP API, and questions about the door's health, which are not counted."""
        if request.path.startswith(PREFIX):
            self._answer(connection, await self._answer_call(request, body))
        else:
            connection.answer(await self._health(request.path))

    async def _answer_call(self, request: Request, body: bytes) -> Answer:
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
            return DRAINING if self._drain.is_on else self._intake.readiness()
        if path == "/health/sink":
            return await self._loop.run_in_executor(None, self._intake.sink)
        return NOT_FOUND


def _origin(peer: str, headers: Headers) -> tuple[str, str | None]:
    """Return the client's address, and the request id of a proxy of ours; `peer` is who has connected."""
    if not _is_ours(peer):
        return peer, None
    return _forwarded(peer, ",".join(headers.get_all("x-forwarded-for"))), headers.get(fireids.HEADER)


@lru_cache(256)
def _is_ours(peer: str) -> bool:
    return is_trusted(peer, settings.MUSTER_TRUSTED_PROXIES)


@lru_cache(4096)
def _forwarded(peer: str, forwarded_for: str) -> str:
    return client_address(peer, forwarded_for, settings.MUSTER_TRUSTED_PROXIES)


async def serve(sockets: Sequence[socket.socket], notify: Callable[[], None]) -> None:
    """Answer what comes in at these sockets, until a signal ends it."""
    await Door(notify).serve(sockets)


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
