"""Counts by deltas: each batch appends what it counted and waits for no other; now and then they are merged."""

from django.db import connection, transaction

from audience.crash import crash_point


def merge(table: str, into: str, *, most: int) -> int:
    """Merge the deltas of a table, `most` in a transaction; return how many. Safe to run several times at once.

    `into` is what becomes of them: CTEs that read from `taken`, such as `hours AS (INSERT … FROM taken …)`.
    """
    statement = f"""
        WITH taken AS (
            DELETE FROM {table} WHERE id IN (
                SELECT id FROM {table} ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
            ) RETURNING *
        ), {into}
        SELECT count(*) FROM taken
    """  # noqa: S608 -- constants of the rooms above
    merged = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, {"most": most})
            count: int = cursor.fetchone()[0]
            crash_point("count.merged")
        merged += count
        if count < most:
            return merged
