"""Talks over one connection in libpq's pipeline mode, without a thread that waits.

Measured on the door: a thread that waits for PostgreSQL has to win the interpreter's lock back after each answer from
the thread that reads requests, up to 5 ms each time; six answers a batch held fires at a tenth of what a server can
answer. In the event loop nobody waits for anybody, and a batch needs two round trips.

libpq is used as its manual describes it (34.5 Pipeline Mode), through psycopg's wrapper of it.
"""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.types.numeric import Int8BinaryLoader
from psycopg.types.string import ByteaBinaryLoader

from audience.columns import Column
from audience.talk import Rows, Statement, Talk, Template, writes

T = TypeVar("T")

_BEGIN, _COMMIT, _ROLLBACK = writes("BEGIN"), writes("COMMIT"), writes("ROLLBACK")
_GOOD = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


class NothingCommitted(psycopg.OperationalError):
    """The connection was lost before COMMIT was sent: the talk may be held again on another one."""


class OutcomeUnknown(psycopg.OperationalError):
    """The connection was lost after COMMIT was sent: the talk is kept whole, or nothing of it is."""


class Pipeline:
    """A connection for one talk after the other, each in a transaction of its own.

    Every method raises `psycopg.OperationalError` where the connection is lost; then it is of no more use.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Take over a connection in autocommit mode. It may be used for nothing else."""
        self._connection = connection
        self._libpq = connection.pgconn
        connection.adapters.register_loader("uuid", ByteaBinaryLoader)
        connection.adapters.register_loader("timestamptz", Int8BinaryLoader)
        self._reader = Transformer(connection)
        self._loop = asyncio.get_running_loop()
        self._names: dict[Template, bytes] = {}
        self._new_names: dict[Template, bytes] = {}
        self._numbers = itertools.count(1)
        self._sent: list[Template | None] = []  # None: a preparation
        self._results: list[pq.abc.PGresult] = []
        self._last_command: bytes | None = None
        self._answered: asyncio.Future[None] | None = None
        self._libpq.nonblocking = 1
        self._libpq.enter_pipeline_mode()
        # Kept, because libpq forgets it when the connection is lost, and the loop must not wait for it any more.
        self._socket = self._libpq.socket
        self._is_open = True
        self._loop.add_reader(self._socket, self._read)

    @classmethod
    async def connect(cls, conninfo: str) -> "Pipeline":
        return cls(await psycopg.AsyncConnection.connect(conninfo, autocommit=True))

    @property
    def is_closed(self) -> bool:
        return not self._is_open or self._connection.closed

    def close(self) -> None:
        self._lose(psycopg.OperationalError("The connection was closed."))

    async def transact(self, talk: Talk[T]) -> T:
        """Hold a talk in a transaction. When it returns, the transaction is committed.

        Raises what the database or the talk raises; then nothing of it is kept.
        """
        waiting = [_BEGIN()]
        try:
            statements = next(talk)
            while True:
                waiting += statements
                rows: list[Rows] = []
                if any(template.does_read for template, _ in statements):
                    rows = await self._ask(waiting)
                    waiting = []
                statements = talk.send(rows)
        except StopIteration as end:
            result: T = end.value
        except BaseException as error:
            if self.is_closed and isinstance(error, psycopg.OperationalError):
                raise NothingCommitted(str(error)) from error
            await self._roll_back()
            raise
        try:
            await self._ask([*waiting, _COMMIT()])
        except psycopg.Error as error:
            if self.is_closed and isinstance(error, psycopg.OperationalError):
                raise OutcomeUnknown(str(error)) from error
            await self._roll_back()
            raise
        # A COMMIT of a transaction that has failed is answered by ROLLBACK, and is no error by itself.
        if self._last_command != b"COMMIT":
            raise psycopg.DatabaseError(f"COMMIT ended as {self._last_command!r}.")
        return result

    async def _roll_back(self) -> None:
        if not self.is_closed and self._libpq.transaction_status != pq.TransactionStatus.IDLE:
            await self._ask([_ROLLBACK()])

    async def _ask(self, statements: Sequence[Statement]) -> list[Rows]:
        """Send statements and wait for all their answers; return the rows of those that read."""
        for statement in statements:
            self._send(statement)
        self._libpq.pipeline_sync()
        answered = self._answered = self._loop.create_future()
        self._flush()
        try:
            await answered
        except asyncio.CancelledError:
            self._lose(psycopg.OperationalError("Nobody waits for the answer any more."))
            raise
        sent, results = self._sent, self._results
        self._sent, self._results = [], []
        for result in results:
            if result.status not in _GOOD:
                self._new_names.clear()
                raise _error(result)
        self._names.update(self._new_names)
        self._new_names.clear()
        self._last_command = results[-1].command_status
        answers = zip(sent, results, strict=True)
        return [self._rows(result) for template, result in answers if template is not None and template.does_read]

    def _send(self, statement: Statement) -> None:
        template, values = statement
        name = self._names.get(template) or self._new_names.get(template)
        if name is None:
            # A name is used once: of a preparation that failed nobody knows whether it was made.
            name = self._new_names[template] = f"m{next(self._numbers)}".encode()
            self._libpq.send_prepare(name, template.numbered)
            self._sent.append(None)
        data = [value if isinstance(value, Column) else str(value).encode() for value in values]
        formats = [int(isinstance(value, Column)) for value in values]
        self._libpq.send_query_prepared(name, data, formats, result_format=pq.Format.BINARY)
        self._sent.append(template)

    def _rows(self, result: pq.abc.PGresult) -> Rows:
        self._reader.set_pgresult(result)
        return self._reader.load_rows(0, result.ntuples, tuple)

    def _flush(self) -> None:
        """Hand what is left to the kernel; what it does not take goes when it has room."""
        try:
            is_left = self._libpq.flush()
        except psycopg.Error as error:
            self._lose(error)
            return
        if is_left:
            self._loop.add_writer(self._socket, self._flush)
        else:
            self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        """Take what has arrived. The last result of an `_ask` is that of its sync."""
        try:
            self._libpq.consume_input()
            while self._answered is not None and not self._libpq.is_busy():
                result = self._libpq.get_result()
                if result is None:  # the end of one statement's results
                    continue
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    answered, self._answered = self._answered, None
                    answered.set_result(None)
                else:
                    self._results.append(result)
        except psycopg.Error as error:
            self._lose(error)

    def _lose(self, error: psycopg.Error) -> None:
        """Give the connection up; who waits for an answer hears why."""
        self._close()
        answered, self._answered = self._answered, None
        if answered is not None and not answered.done():
            answered.set_exception(error)

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._libpq.finish()


def _error(result: pq.abc.PGresult) -> psycopg.Error:
    """Return psycopg's exception for a result. Its text is the primary message alone: details may name people."""
    code = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
    try:
        kind = psycopg.errors.lookup(code)
    except KeyError:
        kind = psycopg.DatabaseError
    return kind(message)
