"""Where people came from first and last."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

from audience.schema import composite_key


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0011_redirect_hosts'),
    ]

    operations = [
        migrations.CreateModel(
            name='Touch',
            fields=[
                ('pk', models.CompositePrimaryKey('profile_id', 'which', blank=True, editable=False, primary_key=True, serialize=False)),
                ('which', models.CharField(choices=[('first', 'First'), ('last', 'Last')], max_length=5)),
                ('is_known', models.BooleanField()),
                ('at', models.DateTimeField()),
                ('fact_id', models.UUIDField()),
                ('source', models.JSONField()),
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
        migrations.RunSQL(
            "ALTER TABLE audience_touch SET (fillfactor = 80)",
            "ALTER TABLE audience_touch RESET (fillfactor)",
        ),
        composite_key("audience_touch", "profile_id", "audience_profile"),
    ]
