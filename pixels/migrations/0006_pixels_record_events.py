"""A pixel may record an event, and remembers for 90 days which orders it has recorded."""

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

_MODEL = migrations.CreateModel(
    name="OrderId",
    fields=[
        (
            "pk",
            models.CompositePrimaryKey("id", "seen_at", blank=True, editable=False, primary_key=True, serialize=False),
        ),
        ("id", models.UUIDField()),
        ("seen_at", models.DateTimeField()),
    ],
)
_TABLE = migrations.RunSQL(
    """
    CREATE TABLE pixels_orderid (
        id uuid NOT NULL,
        seen_at timestamptz NOT NULL,
        PRIMARY KEY (id, seen_at)
    ) PARTITION BY RANGE (seen_at);
    CREATE TABLE pixels_orderid_default PARTITION OF pixels_orderid DEFAULT;
    """,
    "DROP TABLE pixels_orderid",
)


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("pixels", "0005_partners_and_piggybacks")]
    operations: ClassVar[list[Operation]] = [
        migrations.AddField(
            model_name="pixel",
            name="event_name",
            field=models.CharField(
                "records an event",
                max_length=255,
                blank=True,
                default="",
                help_text=(
                    "What each fire is in the visitor's history, for example “purchase”. The tag may say order_id=…, "
                    "value=59.90 and other=…; one order counts once in 90 days. Empty: no event, except by /px tags, "
                    "which record a “conversion”."
                ),
            ),
            preserve_default=False,
        ),
        migrations.SeparateDatabaseAndState(database_operations=[_TABLE], state_operations=[_MODEL]),
    ]
