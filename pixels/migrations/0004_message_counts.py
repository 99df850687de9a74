"""How many messages of the HTTP API ended how, by hour."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0006_identifiers_that_move'),
        ('pixels', '0003_memory_of_fires_without_pixel'),
    ]

    operations = [
        migrations.CreateModel(
            name='MessageDelta',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source_id', models.BigIntegerField()),
                ('hour', models.DateTimeField()),
                ('outcome', models.CharField(max_length=10)),
                ('error', models.CharField(blank=True, max_length=24)),
                ('messages', models.IntegerField()),
                ('advertiser', models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audience.advertiser')),
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
        migrations.CreateModel(
            name='MessageHour',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source_id', models.BigIntegerField()),
                ('hour', models.DateTimeField()),
                ('outcome', models.CharField(max_length=10)),
                ('error', models.CharField(blank=True, max_length=24)),
                ('messages', models.IntegerField()),
                ('advertiser', models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audience.advertiser')),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'all_advertisers',
                'constraints': [models.UniqueConstraint(fields=('source_id', 'hour', 'outcome', 'error', 'advertiser'), name='message_hour_once')],
            },
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('all_advertisers', django.db.models.manager.Manager()),
            ],
        ),
    ]
