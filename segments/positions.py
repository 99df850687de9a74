"""The order in which transitions can be read to the end: by the transaction that wrote them.

A transition's `position` is the number of its transaction. A reader takes the positions below that of the oldest
transaction that still runs: all of those have ended, and whoever begins later gets a greater number. So what was read
is complete, however late something commits, and a cursor never passes a row that is still to come. The price is a
delay: a long transaction that writes, anywhere in this cluster, holds back those that began after it. Within a
transaction `number` orders. (A sequence or a clock alone would not do: both are read before the commit.)

Numbers of transactions belong to one cluster of PostgreSQL. What is restored into another one begins an era, whose
positions are all above those before, so cursors that somebody has kept stay good. (On several nodes, each has its own
numbers: a cursor would hold a position of each.)
"""

from django.db import connection
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# A cluster that begins 10,000 transactions a second uses up an era in 900 years.
_TRANSACTIONS_OF_AN_ERA = 2**48
# Constants in the functions: a transition is written on the way of a fire, and reads no table for its position.
_FUNCTIONS = """
    CREATE OR REPLACE FUNCTION segments_position() RETURNS bigint LANGUAGE sql VOLATILE AS $$
        SELECT {base} + pg_current_xact_id()::text::bigint
    $$;
    CREATE OR REPLACE FUNCTION segments_settled() RETURNS bigint LANGUAGE sql STABLE AS $$
        SELECT {base} + pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    $$;
    COMMENT ON FUNCTION segments_position() IS '{era} {cluster}'
"""
_WHERE = """
    SELECT obj_description(to_regprocedure('segments_position()')), system_identifier::text FROM pg_control_system()
"""


def settled() -> int:
    """Return the position below which nothing is to come any more."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT segments_settled()")
        position: int = cursor.fetchone()[0]
    return position


def begin_era() -> bool:
    """Begin an era if the database has come into another cluster; return whether it has."""
    with connection.cursor() as cursor:
        cursor.execute(_WHERE)
        told, cluster = cursor.fetchone()
        if told is None:  # migrated back to before there were any
            return False
        era, known = told.split()
        if known == cluster:
            return False
        cursor.execute(_functions(int(era) + 1, cluster))
    return True


def make_functions(_: object, editor: BaseDatabaseSchemaEditor) -> None:
    """Make the functions, in the first era: a step of a migration."""
    with editor.connection.cursor() as cursor:
        cursor.execute("SELECT system_identifier::text FROM pg_control_system()")
        (cluster,) = cursor.fetchone()
    editor.execute(_functions(0, cluster))


def _functions(era: int, cluster: str) -> str:
    return _FUNCTIONS.format(base=era * _TRANSACTIONS_OF_AN_ERA, era=era, cluster=cluster)
