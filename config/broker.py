"""Celery's queues as tables of our own database: their schema, made when it is not there, and the way to them.

The SQL comes from the `pgmq` wheel, not from a migration: it is that package's, not ours, and a queue
holds nothing that cannot be derived again from rows. So a new version replaces the schema whole.
"""

from typing import Any

import psycopg
from kombu.transport import TRANSPORT_ALIASES, pgmq
from pgmq import PGMQueue
from pgmq.install import get_embedded_install_sql, get_embedded_sql_version
from psycopg import sql
from psycopg_pool import ConnectionPool

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


class Transport(pgmq.Transport):
    """Kombu's transport with a pool of our own, so that the address is taken as libpq takes it.

    The client's pool is made of host, port, database, user and password; what else an address holds is dropped, such
    as `sslmode`, and the limits without which a worker that stops would hold up all others.
    """

    connection_errors = (  # type: ignore[assignment]  # kombu's is a tuple of so many
        *pgmq.Transport.connection_errors,
        psycopg.errors.IdleInTransactionSessionTimeout,
    )
    _pool: ConnectionPool | None = None

    def _create_pgmq_client(self) -> PGMQueue:
        options: dict[str, Any] = self.client.transport_options if self.client else {}
        address = options.get("conn_string")
        if address is None:
            return super()._create_pgmq_client()
        self._pool = ConnectionPool(
            address, min_size=1, max_size=options["pool_size"], timeout=options["pool_timeout"], open=True
        )
        return PGMQueue(pool=self._pool, conn_string=address, vt=options["visibility_timeout"], init_extension=False)

    def close_connection(self, connection: object) -> None:
        super().close_connection(connection)
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def use() -> None:
    """Let addresses that begin with pgmq:// lead to our transport, in this process."""
    TRANSPORT_ALIASES["pgmq"] = f"{__name__}:Transport"
