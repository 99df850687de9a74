"""The messages of the HTTP API as the live view of a write key shows them, each once."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

_TABLE = migrations.RunSQL(
    """
    CREATE TABLE pixels_arrivedmessage (
        source_id bigint NOT NULL,
        received_at timestamptz NOT NULL,
        id uuid NOT NULL,
        advertiser_id bigint NOT NULL,
        kind varchar(10) NOT NULL,
        event varchar(255) NOT NULL,
        outcome varchar(10) NOT NULL,
        error varchar(24) NOT NULL,
        page_host varchar(253) NOT NULL,
        PRIMARY KEY (source_id, received_at, id)
    ) PARTITION BY RANGE (received_at);
    CREATE TABLE pixels_arrivedmessage_default PARTITION OF pixels_arrivedmessage DEFAULT;
    """,
    "DROP TABLE pixels_arrivedmessage",
)


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0012_touches'),
        ('pixels', '0007_country_of_fires'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[_TABLE],
            state_operations=[
                migrations.CreateModel(
                    name='ArrivedMessage',
                    fields=[
                        ('pk', models.CompositePrimaryKey('source_id', 'received_at', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('source_id', models.BigIntegerField()),
                        ('received_at', models.DateTimeField()),
                        ('id', models.UUIDField()),
                        ('kind', models.CharField(blank=True, max_length=10)),
                        ('event', models.CharField(blank=True, max_length=255)),
                        ('outcome', models.CharField(max_length=10)),
                        ('error', models.CharField(blank=True, max_length=24)),
                        ('page_host', models.CharField(blank=True, max_length=253)),
                        ('advertiser', models.ForeignKey(db_constraint=False, db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audience.advertiser')),
                    ],
                    options={
                        'abstract': False,
                        'base_manager_name': 'all_advertisers',
                    },
                    managers=[
                        ('objects', django.db.models.manager.Manager()),
                        ('all_advertisers', django.db.models.manager.Manager()),
                    ],
                ),
            ],
        )
    ]
