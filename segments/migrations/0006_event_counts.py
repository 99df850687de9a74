"""Keep how often each event came, by day; those that came before are counted once."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

COUNT = """
    INSERT INTO segments_eventday (advertiser_id, name, day, came)
    SELECT advertiser_id, name, (received_at AT TIME ZONE 'UTC')::date, count(*)
    FROM audience_event WHERE received_at > now() - interval '90 days' GROUP BY 1, 2, 3
"""
FIELDS = [
    ('name', models.CharField(max_length=255)),
    ('day', models.DateField()),
    ('came', models.BigIntegerField()),
    ('advertiser', models.ForeignKey(db_constraint=False, db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audience.advertiser')),
]
MANAGERS = [
    ('objects', django.db.models.manager.Manager()),
    ('all_advertisers', django.db.models.manager.Manager()),
]


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0014_consents'),
        ('segments', '0005_rule_versions'),
    ]

    operations = [
        migrations.CreateModel(
            name='EventDelta',
            fields=[('id', models.BigAutoField(primary_key=True, serialize=False)), *FIELDS],
            options={'abstract': False, 'base_manager_name': 'all_advertisers'},
            managers=MANAGERS,
        ),
        migrations.CreateModel(
            name='EventDay',
            fields=[('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')), *FIELDS],
            options={
                'abstract': False,
                'base_manager_name': 'all_advertisers',
                'constraints': [models.UniqueConstraint(fields=('advertiser', 'name', 'day'), name='event_day_once')],
            },
            managers=MANAGERS,
        ),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
    ]
