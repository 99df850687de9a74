"""Celery's queues as tables of our own database: their schema, made when it is not there.

The SQL comes from the `pgmq` wheel, not from a migration: it is that package's, not ours, and a queue
holds nothing that cannot be derived again from rows. So a new version replaces the schema whole.
"""

import psycopg
from pgmq.install import get_embedded_install_sql, get_embedded_sql_version
from psycopg import sql

LOCK = 0x6D75_7374_6272  # "mustbr": one process at a time makes the schema
MADE_BY_US = "made by Muster from pgmq "


def prepare(conninfo: str) -> bool:
    """Make or renew the queues' schema where needed; return whether something was done.

    Several processes may ask at once. A schema that is not of our making (the extension's) is left alone.
    """
    wanted = MADE_BY_US + get_embedded_sql_version()
    with psycopg.connect(conninfo) as connection:
        if _stands(connection, wanted):
            return False
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        if _stands(connection, wanted):
            return False
        connection.execute("SET LOCAL client_min_messages = warning")
        connection.execute("DROP SCHEMA IF EXISTS pgmq CASCADE")
        connection.execute(get_embedded_install_sql())
        connection.execute(sql.SQL("COMMENT ON SCHEMA pgmq IS {}").format(sql.Literal(wanted)))
    return True


def _stands(connection: psycopg.Connection[tuple[object, ...]], wanted: str) -> bool:
    """Say whether the schema is there as wanted, or is somebody else's."""
    row = connection.execute(
        "SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = 'pgmq'"
    ).fetchone()
    if row is None:
        return False
    remark = str(row[0])
    return remark == wanted or not remark.startswith(MADE_BY_US)
