"""Remember fires that lead to no pixel by their ids, so that they are counted once."""

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

_MODEL = migrations.CreateModel(
    name="FactId",
    fields=[
        (
            "pk",
            models.CompositePrimaryKey(
                "received_at", "id", blank=True, editable=False, primary_key=True, serialize=False
            ),
        ),
        ("id", models.UUIDField()),
        ("received_at", models.DateTimeField()),
    ],
)
_TABLE = migrations.RunSQL(
    """
    CREATE TABLE pixels_factid (
        id uuid NOT NULL,
        received_at timestamptz NOT NULL,
        PRIMARY KEY (received_at, id)
    ) PARTITION BY RANGE (received_at);
    CREATE TABLE pixels_factid_default PARTITION OF pixels_factid DEFAULT;
    """,
    "DROP TABLE pixels_factid",
)


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("pixels", "0002_fires_without_key_to_pixel")]
    operations: ClassVar[list[Operation]] = [
        migrations.SeparateDatabaseAndState(database_operations=[_TABLE], state_operations=[_MODEL])
    ]
