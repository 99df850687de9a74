"""What one process needs to take fires in: catalogue, endpoint and committer, started and stopped together."""

import json
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.db import connection
from psycopg.conninfo import make_conninfo

from audience import metrics
from audience.context.place import places_of_installation
from pixels import answers
from pixels.answers import Answer
from pixels.catalogue import Catalogue
from pixels.committer import Answers, Committer
from pixels.cookie import Signer
from pixels.cookies import Cookies
from pixels.endpoint import Endpoint, Pending
from pixels.messages import replies
from pixels.messages.delivery import One, Received, alone, deliver
from pixels.messages.endpoint import CallLimits, MessageEndpoint
from pixels.messages.errors import RequestError
from pixels.messages.ownsegments import Reader
from pixels.optout import endpoint as optout
from pixels.replay import Replay
from pixels.spool import bytes_on_disk
from pixels.steps import Limits, Request

log = structlog.get_logger(__name__)


class Intake:
    """The door of one process. A transport gives it requests and hears the answers of `submit` in `answer`.

    Everything but `start` happens in the event loop that runs `run`; for a transport without one, see
    `pixels.views`. `refused` counts the fires that were answered 503: they are in no table and outside the balance.
    """

    def __init__(self, answer: Callable[[Answers], None], *, conninfo: str | None = None) -> None:
        """`answer` is called once for a batch."""
        conninfo = conninfo or database_conninfo()
        self._conninfo = conninfo
        self.refused = 0
        self.catalogue = Catalogue(conninfo, settings.MUSTER_SPOOL_DIR / "catalogue.json")
        cookies = cookies_of_installation()
        places = places_of_installation()
        replay = Replay(settings.MUSTER_REPLAY_KEY)
        self.endpoint = Endpoint(self.catalogue, cookies, limits_of_installation(), replay, places)
        self.messages = MessageEndpoint(
            self.catalogue,
            cookies,
            call_limits_of_installation(),
            places,
            public_url=settings.MUSTER_PIXEL_URL,
        )
        self.optout = optout.OptOutEndpoint(self.catalogue, cookies, public_url=settings.MUSTER_PIXEL_URL)
        self.reader = Reader(conninfo)
        self.committer = Committer(
            conninfo=conninfo,
            day_of=self.catalogue.day_of,
            answer=answer,
            spool_root=settings.MUSTER_SPOOL_DIR,
            spool_bytes=settings.MUSTER_SPOOL_MAX_BYTES,
        )

    def start(self) -> None:
        """Read the catalogue; what comes in before there is one is refused."""
        if not self.catalogue.start():
            log.warning("door_starts_without_catalogue")

    async def run(self) -> None:
        """Commit until `end`; then what was submitted is committed and answered."""
        await self.committer.run()
        await self.reader.close()
        self.catalogue.stop()

    def end(self) -> None:
        self.committer.end()

    def receive(self, request: Request) -> Answer | Pending:
        """Return the answer, or a fire to `submit`. Raises nothing: a fault of ours is a refused fire."""
        try:
            received = self.endpoint.receive(request)
        except Exception:
            log.exception("fire_failed", path=request.path[:50])
            received = answers.not_ready_answer()
        if isinstance(received, Answer) and received.status == 503:
            self.refused += 1
            metrics.count_refused("not_ready")
        return received

    def receive_messages(self, request: Request, body: bytes) -> Answer | Received:
        """Return the answer of a request of the HTTP API or of the opt-out, or what `deliver` has to do before it.

        Raises nothing.
        """
        try:
            if request.path.startswith(optout.PREFIX):
                return self.optout.receive(request, body)
            return self.messages.receive(request, body)
        except Exception:
            log.exception("call_failed", path=request.path[:50])
            return replies.refusal(RequestError.BUSY)

    def alone(self, received: Received) -> One | None:
        """Return a message that can be submitted as a fire is; None for what `deliver` has to do."""
        return alone(received, self.messages)

    async def deliver(self, received: Received) -> Answer:
        """Return the answer, after the commit where there is something to commit. The committer's `answer` gets
        futures to set."""
        return await deliver(received, self.messages, self.committer.submit, self.reader)

    def submit(self, pending: Pending | One, waiter: Any) -> bool:
        """Queue a fact for the next batch; False where the queue is full: answer `refuse`."""
        return self.committer.submit(pending.fact, waiter)

    def refuse(self, pending: Pending | One) -> Answer:
        """Return the answer of a fact that is not stored."""
        if isinstance(pending, Pending):
            self.refused += 1
        return pending.refusal()

    def readiness(self) -> Answer:
        """Say whether fires can be kept, in the database or in the spool: 200 or 503."""
        read_at = self.catalogue.picture.read_at
        state = {
            "state": self._state(),
            "spool": "in use" if self.committer.is_spooling else "empty" if self.committer.has_spool else "missing",
            "refused": self.refused,
            "catalogue_at": read_at.isoformat() if read_at else None,
        }
        return answers.text_answer(200 if state["state"] == "ready" else 503, json.dumps(state) + "\n")

    def _state(self) -> str:
        if not self.catalogue.is_loaded:
            return "database away"
        return "spool full" if self.committer.is_refusing else "ready"

    def sink(self) -> Answer:
        """Say whether all facts of this disk are in the database: 200, or 503 while a spool holds some."""
        held = bytes_on_disk(settings.MUSTER_SPOOL_DIR)
        is_in_use = held > 0 or self.committer.is_spooling
        state = {"spool": "in use" if is_in_use else "empty", "bytes": held}
        return answers.text_answer(503 if is_in_use else 200, json.dumps(state) + "\n")


def database_conninfo() -> str:
    """Return the address of Django's default database for connections of our own."""
    known = connection.settings_dict
    names = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password", "NAME": "dbname"}
    parts = {ours: known[theirs] for theirs, ours in names.items() if known.get(theirs)}
    return make_conninfo("", **parts, **known.get("OPTIONS", {}))


def cookies_of_installation() -> Cookies:
    return Cookies(
        Signer(settings.MUSTER_COOKIE_KEYS),
        is_partitioned=settings.MUSTER_COOKIE_PARTITIONED,
        is_plain_http=settings.MUSTER_DEV_HTTP_COOKIE,
    )


def call_limits_of_installation() -> CallLimits:
    return CallLimits(
        per_address=settings.MUSTER_CALLS_PER_ADDRESS, per_server_key=settings.MUSTER_CALLS_PER_SERVER_KEY
    )


def limits_of_installation() -> Limits:
    return Limits(
        query_bytes=settings.MUSTER_MAX_QUERY_BYTES,
        line_bytes=settings.MUSTER_MAX_REQUEST_LINE_BYTES,
        actions=settings.MUSTER_MAX_ACTIONS,
        fires_per_browser=settings.MUSTER_FIRES_PER_BROWSER,
        fires_per_address=settings.MUSTER_FIRES_PER_ADDRESS,
    )
