"""The door's listener: the shared endpoint and the committer in one event loop, behind sockets of gunicorn's.

A fire costs no task and no future: its connection waits for the answer of its batch. With one future shared by a
batch, a client that goes away would fail its neighbours; here it only hears nothing.
"""

import asyncio
import ctypes
import errno
import gc
import os
import resource
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

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
from pixels.answers import NOT_FOUND, Answer, not_ready_answer, text_answer  # noqa: E402
from pixels.committer import Answers  # noqa: E402
from pixels.endpoint import Pending  # noqa: E402
from pixels.intake import Intake  # noqa: E402
from pixels.messages.bodies import BODY_BYTES  # noqa: E402
from pixels.messages.delivery import One, Received  # noqa: E402
from pixels.messages.endpoint import PREFIX  # noqa: E402
from pixels.messages.errors import RequestError  # noqa: E402
from pixels.messages.replies import refusal  # noqa: E402
from pixels.optout.endpoint import PREFIX as OPT_OUT  # noqa: E402
from pixels.steps import Headers, Request  # noqa: E402

TICK_SECONDS = 1.0
LOOK_SECONDS = 0.05
# For what is under way when the end has come; less than `config.drain` leaves until the worker is killed.
LONGEST_ANSWER_SECONDS = 8.0
# Of the file descriptors some are for the door itself: connections to the database, files of the spool. A client too
# many is answered by one of a few more, or waits until one of these is free.
OWN_DESCRIPTORS = 64
TURNED_AWAY_AT_ONCE = 32
SILENT_SECONDS = 2.0  # by a clock that moves every `TICK_SECONDS`
LARGE_BODY_BYTES = 32 << 10
KEPT_BYTES = 8 << 20
M_TRIM_THRESHOLD = -1  # malloc.h
HEALTH = "/health/"
CALLS = (PREFIX, OPT_OUT)
ALIVE = text_answer(200, "alive\n")
DRAINING = text_answer(503, '{"state": "draining"}\n')


class Door:
    """One process's door, from its first request to its last answer."""

    def __init__(self, notify: Callable[[], None]) -> None:
        """`notify` is called every second, as long as the loop turns."""
        self._notify = notify
        self._loop = asyncio.get_running_loop()
        self._site = Site(self._receive, body_bytes=BODY_BYTES)
        self._full = Site(self._turn_away, body_bytes=0, idle_seconds=SILENT_SECONDS, is_closing=True)
        self._most_clients = max(_descriptors() - OWN_DESCRIPTORS - TURNED_AWAY_AT_ONCE, 1)
        self._intake = Intake(self._give)
        self._drain = Drain(self._loop)
        self._has_proxies = bool(settings.MUSTER_TRUSTED_PROXIES)
        self._statuses: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[object]] = set()

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Answer until a signal ends it."""
        self._intake.start()
        committing = self._loop.create_task(self._intake.run())
        self._tick()
        for one in sockets:
            one.setblocking(False)
            self._listen(one)
        await self._drain.over()
        for one in sockets:
            self._loop.remove_reader(one.fileno())
        await self._await_last_answers()
        self._intake.end()
        await committing
        metrics.count_answers(self._statuses)

    def _listen(self, listening: socket.socket) -> None:
        if not self._drain.is_past:
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        """Take one connection. All workers wait at one socket, and each is to have its share of those that come: a
        server of the loop's own would take all that are there, a proxy's few lasting ones maybe all of them.
        """
        site = self._site if len(self._site.connections) < self._most_clients else self._full
        try:
            if site is self._full and len(self._full.connections) >= TURNED_AWAY_AT_ONCE:
                raise OSError(errno.EMFILE, "There is no room for another client.")
            connection, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another worker has it, or nobody any more
        except OSError:  # look again when some may have gone
            self._loop.remove_reader(listening.fileno())
            self._loop.call_later(LOOK_SECONDS, self._listen, listening)
            return
        connection.setblocking(False)
        self._keep(self._loop.connect_accepted_socket(lambda: Connection(site), connection))

    def _keep(self, work: Coroutine[Any, Any, object]) -> None:
        """Run something, and hold it as long as it runs: the loop itself does not."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _await_last_answers(self) -> None:
        last = self._loop.time() + LONGEST_ANSWER_SECONDS
        while self._loop.time() < last:
            for site in (self._site, self._full):
                site.close_idle()
            # Of the tasks some are about to be connections.
            if not (self._site.connections or self._full.connections or self._tasks):
                break
            await asyncio.sleep(LOOK_SECONDS)

    def _tick(self) -> None:
        """Hand the numbers of answers over, every second: for each answer it would cost too much."""
        self._notify()
        self._site.is_closing = self._drain.is_on
        self._site.tick()
        self._full.tick()
        metrics.count_answers(self._statuses)
        self._statuses.clear()
        self._loop.call_later(TICK_SECONDS, self._tick)

    def _receive(self, connection: Connection, message: Message) -> None:
        path, query = message.path_and_query()
        address, request_id = connection.address, None
        if self._has_proxies:
            address, request_id = _origin(address, message)
        request = Request(message.method, path, query, message, address, request_id)
        if path.startswith(HEALTH):
            self._keep(self._tell_health(connection, path))
        elif path.startswith(CALLS):
            self._receive_call(connection, request, message.body)
        else:
            self._submit(connection, self._intake.receive(request))

    def _turn_away(self, connection: Connection, message: Message) -> None:
        """Answer a client too many, once. To ask for the door's health is no load."""
        path, _ = message.path_and_query()
        if path.startswith(HEALTH):
            self._keep(self._tell_health(connection, path))
            return
        metrics.count_refused("too_many_clients")
        is_call = path.startswith(CALLS)
        self._answer(connection, refusal(RequestError.BUSY) if is_call else not_ready_answer())

    def _submit(self, connection: Connection, received: Answer | Pending | One) -> None:
        """Answer at once, or after the commit."""
        if isinstance(received, Answer):
            self._answer(connection, received)
        elif not self._intake.submit(received, (connection, received)):
            self._answer(connection, self._intake.refuse(received))

    def _receive_call(self, connection: Connection, request: Request, body: bytes) -> None:
        """Receive a request of the HTTP API, or of the opt-out. A message that comes alone goes the way of the fires,
        without a task and a future.
        """
        if len(body) > LARGE_BODY_BYTES:
            self._keep(self._deliver_large(connection, request, body))
            return
        received = self._intake.receive_messages(request, body)
        if isinstance(received, Answer):
            self._answer(connection, received)
        elif (one := self._intake.alone(received)) is not None:
            self._submit(connection, one)
        else:
            self._keep(self._deliver(connection, received))

    def _give(self, answers: Answers) -> None:
        """Hand a batch's answers to those who wait: a connection with its pending fact, or a future."""
        for waiter, stored in answers:
            if type(waiter) is tuple:
                connection, pending = waiter
                self._answer(
                    connection, pending.answer_of(stored) if stored is not None else self._intake.refuse(pending)
                )
            elif not waiter.done():
                waiter.set_result(stored)

    def _answer(self, connection: Connection, answer: Answer) -> None:
        self._statuses[answer.status] += 1
        connection.answer(answer)

    async def _deliver_large(self, connection: Connection, request: Request, body: bytes) -> None:
        """Receive thousands of messages: to read them takes longer than fires should wait."""
        received = await self._loop.run_in_executor(None, self._intake.receive_messages, request, body)
        if isinstance(received, Answer):
            self._answer(connection, received)
        else:
            await self._deliver(connection, received)

    async def _deliver(self, connection: Connection, received: Received) -> None:
        self._answer(connection, await self._intake.deliver(received))

    async def _tell_health(self, connection: Connection, path: str) -> None:
        """Answer a question about the door's health; these are not counted."""
        connection.answer(await self._health(path))

    async def _health(self, path: str) -> Answer:
        if path == "/health/live":
            return ALIVE
        if path == "/health/ready":
            return DRAINING if self._drain.is_on else self._intake.readiness()
        if path == "/health/sink":
            return await self._loop.run_in_executor(None, self._intake.sink)
        return NOT_FOUND


def _descriptors() -> int:
    """Return how many file descriptors this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


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

# Nor does glibc give the memory of each batch back to the system, to ask for it again by the next one. Other C
# libraries know no such option.
with suppress(AttributeError):
    ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)

# Each client is a file descriptor; the usual limit of 1,024 is meant for programs that use select().
_, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_most, _most))
