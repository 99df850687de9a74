"""The test database is emptied after each test that commits, in the time that a few rows take."""

from functools import cache
from graphlib import TopologicalSorter

from django.db import connection

# Filled by the migrations, and as good for the next test.
_KEPT = {"django_content_type", "auth_permission"}
_MUCH_BYTES = 1_000_000


def empty_tables() -> None:
    """Empty all tables, as Django's `flush` does.

    A flush gives each table, partition and index a new file and then makes all permissions anew: 130 ms, where
    deleting the few rows of a test takes 4. Many rows are truncated all the same: deleted, they would stay in the
    files.
    """
    tables = [connection.ops.quote_name(table) for table in _tables_in_order()]
    with connection.cursor() as cursor:
        if _bytes(cursor) > _MUCH_BYTES:
            cursor.execute(f"TRUNCATE {', '.join(tables)}")
        else:
            deletes = "".join(f"DELETE FROM {table};" for table in tables)
            cursor.execute(f"DO $$ BEGIN SET CONSTRAINTS ALL DEFERRED; {deletes} END $$")


def forget_what_vacuum_saw() -> None:
    """Let PostgreSQL know nothing of the tables, which are empty, as it is after the migrations.

    It reads a table from end to end, and rightly so, as soon as an autovacuum has found it to be small; on a busy
    machine one comes between two tests.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(oid::regclass::text, ', ') FROM pg_class WHERE relkind = 'r' AND reltuples >= 0"
            " AND relnamespace = 'public'::regnamespace AND relname <> ALL(%s)",
            [[*_KEPT, "django_migrations"]],
        )
        (tables,) = cursor.fetchone()
        if tables:
            cursor.execute(f"TRUNCATE {tables} CASCADE")


@cache
def _tables_in_order() -> list[str]:
    """Return the tables, each before those that its rows point to, where the database insists at once."""
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - _KEPT
    sorter = TopologicalSorter({table: set() for table in tables})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname, parent.relname FROM pg_constraint"
            " JOIN pg_class child ON child.oid = conrelid JOIN pg_class parent ON parent.oid = confrelid"
            " WHERE contype = 'f' AND NOT condeferrable AND conrelid <> confrelid"
        )
        for child, parent in cursor.fetchall():
            if {child, parent} <= tables:
                sorter.add(parent, child)
    return list(sorter.static_order())


def _bytes(cursor) -> int:
    cursor.execute(
        "SELECT sum(pg_relation_size(oid)) FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    return cursor.fetchone()[0]
