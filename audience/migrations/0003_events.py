"""Events, and the memory of the messages that brought them."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0002_api_calls'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name='Event',
                    fields=[
                        ('pk', models.CompositePrimaryKey('profile_id', 'occurred_at', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('id', models.UUIDField()),
                        ('name', models.CharField(max_length=255)),
                        ('occurred_at', models.DateTimeField()),
                        ('received_at', models.DateTimeField()),
                        ('properties', models.JSONField(default=dict)),
                        ('context', models.JSONField(default=dict)),
                        ('advertiser', models.ForeignKey(db_constraint=False, db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audience.advertiser')),
                        ('profile', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='audience.profile')),
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
                migrations.AddIndex(
                    model_name='event',
                    index=models.Index(models.F('profile'), models.F('name'), models.OrderBy(models.F('occurred_at'), descending=True), name='event_of_profile'),
                ),
            ],
            database_operations=[
                migrations.RunSQL(
                    """
CREATE TABLE audience_event (
    id uuid NOT NULL,
    advertiser_id bigint NOT NULL,
    profile_id uuid NOT NULL,
    name varchar(255) NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    properties jsonb NOT NULL,
    context jsonb NOT NULL,
    PRIMARY KEY (profile_id, occurred_at, id)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX event_of_profile ON audience_event (profile_id, name, occurred_at DESC);
CREATE TABLE audience_event_default PARTITION OF audience_event DEFAULT;
                    """,
                    "DROP TABLE audience_event",
                ),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name='MessageId',
                    fields=[
                        ('pk', models.CompositePrimaryKey('id', 'day', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('id', models.UUIDField()),
                        ('day', models.DateTimeField()),
                    ],
                ),
            ],
            database_operations=[
                migrations.RunSQL(
                    """
CREATE TABLE audience_messageid (
    id uuid NOT NULL,
    day timestamptz NOT NULL,
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
CREATE TABLE audience_messageid_default PARTITION OF audience_messageid DEFAULT;
                    """,
                    "DROP TABLE audience_messageid",
                ),
            ],
        ),
    ]
