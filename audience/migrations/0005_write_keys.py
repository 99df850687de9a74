"""The keys of the HTTP API, the secrets that prove user ids, and the pages that may read."""

import audience.models.advertiser
import audience.models.fields
import django.db.models.deletion
import django.db.models.manager
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0004_attributes_and_accounts'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='WriteKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='Who sends with it, for example “Shop pages”.', max_length=100)),
                ('kind', models.CharField(choices=[('public', 'Public: stands in pages and apps, speaks for its own browser only'), ('server', 'Server: is kept secret, speaks for everybody')], default='public', max_length=10)),
                ('public_key', models.CharField(editable=False, max_length=40, null=True, unique=True)),
                ('prefix', models.CharField(editable=False, max_length=12, null=True, unique=True)),
                ('digest', models.CharField(blank=True, editable=False, max_length=64)),
                ('is_origin_enforced', models.BooleanField(default=False, help_text='On: calls from pages outside your page origins are refused.', verbose_name='refuse other pages')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('revoked_at', models.DateTimeField(editable=False, null=True)),
                ('advertiser', models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audience.advertiser')),
                ('created_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-created_at'],
                'abstract': False,
                'base_manager_name': 'all_advertisers',
            },
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('all_advertisers', django.db.models.manager.Manager()),
            ],
        ),
        migrations.AddConstraint(
            model_name='writekey',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'public'), ('public_key__isnull', False)), models.Q(('kind', 'server'), ('prefix__isnull', False)), _connector='OR'), name='write_key_of_its_kind'),
        ),
        migrations.CreateModel(
            name='IdentitySecret',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sealed', models.TextField(editable=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('advertiser', models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audience.advertiser')),
            ],
            options={
                'ordering': ['-created_at'],
                'abstract': False,
                'base_manager_name': 'all_advertisers',
            },
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('all_advertisers', django.db.models.manager.Manager()),
            ],
        ),
        migrations.AddField(
            model_name='advertiser',
            name='page_origins',
            field=audience.models.fields.OriginListField(blank=True, default=list, help_text="Whose pages may read a browser's own segments, one origin a line: https://shop.example.", size=None),
        ),
    ]
