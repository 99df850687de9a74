"""To what profiles have consented."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

from audience.schema import composite_key


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0013_phone_country'),
    ]

    operations = [
        migrations.CreateModel(
            name='Consent',
            fields=[
                ('pk', models.CompositePrimaryKey('profile_id', 'purpose', blank=True, editable=False, primary_key=True, serialize=False)),
                ('purpose', models.CharField(max_length=255)),
                ('state', models.CharField(choices=[('granted', 'Granted'), ('denied', 'Denied')], max_length=7)),
                ('since', models.DateTimeField()),
                ('until', models.DateTimeField(null=True)),
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
        migrations.AddConstraint(
            model_name='consent',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['granted', 'denied'])), name='consent_is_yes_or_no'),
        ),
        composite_key("audience_consent", "profile_id", "audience_profile"),
    ]
