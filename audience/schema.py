"""The SQL that migrations share: composite foreign keys and tables partitioned by time."""

from django.db.migrations import RunSQL


def key_name(table: str, column: str) -> str:
    """Return the name of a composite key's constraint."""
    return f"{table}_{column}_same_advertiser"


def composite_key(table: str, column: str, target: str, *, on_delete: str = "NO ACTION") -> RunSQL:
    """Return the migration step `table (advertiser_id, column) -> target (advertiser_id, id)`.

    Django's forward access and raw SQL do not go through the tenant's manager; this key holds without them.
    Checked at commit, so that rows may be written in any order.
    """
    name = key_name(table, column)
    return RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY (advertiser_id, {column}) "
        f"REFERENCES {target} (advertiser_id, id) ON DELETE {on_delete} DEFERRABLE INITIALLY DEFERRED",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )
