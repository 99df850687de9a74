"""Statements that only read, and only for so long."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg.errors import QueryCanceled

LEAST_SECONDS = 0.001


class TooSlow(Exception):
    """A statement was not done in time."""


@contextmanager
def reading_for(seconds: float) -> Iterator[CursorWrapper]:
    """Give a cursor whose statements may take so long each; raise `TooSlow` when one takes longer.

    The block is rolled back: it has nothing to keep, and its settings go with it. Compiling a large rule to machine
    code would take longer than most of them run.
    """
    milliseconds = round(max(seconds, LEAST_SECONDS) * 1000)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {milliseconds}")
            cursor.execute("SET LOCAL jit = off")
            yield cursor
            transaction.set_rollback(True)
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TooSlow from None
        raise
