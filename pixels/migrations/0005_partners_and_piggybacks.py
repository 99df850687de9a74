"""Partners, the piggyback pixels of segments, and whom browsers were made known to."""

import audience.models.advertiser
import audience.models.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.manager
import django.utils.timezone
import pixels.models
from django.db import migrations, models

from audience.schema import composite_key


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0011_redirect_hosts'),
        ('pixels', '0004_message_counts'),
        ('segments', '0003_id_syncs_per_fire'),
    ]

    operations = [
        migrations.CreateModel(
            name='IdSync',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('synced_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Piggyback',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('image', 'Image'), ('script', 'Script')], default='image', max_length=6, verbose_name='type')),
                ('url', models.CharField(help_text='On one of your redirect hosts, for example https://ad.partner.example/p?gdpr=${GDPR}.', max_length=2048, verbose_name='address')),
                ('advertiser', models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audience.advertiser')),
                ('segment', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='piggybacks', to='segments.segment')),
            ],
            options={
                'verbose_name': 'piggyback pixel',
                'abstract': False,
                'base_manager_name': 'all_advertisers',
            },
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('all_advertisers', django.db.models.manager.Manager()),
            ],
        ),
        migrations.CreateModel(
            name='Partner',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='A short name for use in addresses, for example “acme”.', max_length=30, validators=[django.core.validators.RegexValidator('^[a-z0-9_-]{1,30}$', 'Use small letters, digits, - and _, at most 30.'), pixels.models.check_partner_name])),
                ('hosts', audience.models.fields.RedirectHostListField(blank=True, default=list, help_text="Who asks for your visitors' ids from these hosts gets them, one host a line: sync.partner.example.", size=None)),
                ('sync_url', models.CharField(blank=True, help_text='Called to tell the partner who a browser is, once in 14 days. On one of its hosts, with ${MUSTER_ID}: https://sync.partner.example/match?uid=${MUSTER_ID}.', max_length=2048, verbose_name='id-sync address')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('advertiser', models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audience.advertiser')),
            ],
            options={
                'ordering': ['name'],
                'abstract': False,
                'base_manager_name': 'all_advertisers',
                'constraints': [models.UniqueConstraint(fields=('advertiser', 'name'), name='partner_once', violation_error_message='You have a partner of this name already.')],
            },
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('all_advertisers', django.db.models.manager.Manager()),
            ],
        ),
        composite_key("pixels_piggyback", "segment_id", "segments_segment", on_delete="CASCADE"),
    ]
