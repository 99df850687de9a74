"""What is known of profiles and of the companies that they belong to."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

from audience.schema import composite_key


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0003_events'),
    ]

    operations = [
        migrations.CreateModel(
            name='Account',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=320)),
                ('first_seen_at', models.DateTimeField()),
                ('last_seen_at', models.DateTimeField()),
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
        migrations.AddConstraint(
            model_name='account',
            constraint=models.UniqueConstraint(fields=('advertiser', 'id'), name='account_of_advertiser'),
        ),
        migrations.CreateModel(
            name='Attribute',
            fields=[
                ('name', models.CharField(max_length=255)),
                ('value', models.JSONField()),
                ('since', models.DateTimeField()),
                ('seen_at', models.DateTimeField()),
                ('fact_id', models.UUIDField()),
                ('other_at', models.DateTimeField(null=True)),
                ('source_id', models.BigIntegerField(null=True)),
                ('source_kind', models.CharField(max_length=10)),
                ('pk', models.CompositePrimaryKey('profile_id', 'name', blank=True, editable=False, primary_key=True, serialize=False)),
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
        migrations.CreateModel(
            name='AccountAttribute',
            fields=[
                ('name', models.CharField(max_length=255)),
                ('value', models.JSONField()),
                ('since', models.DateTimeField()),
                ('seen_at', models.DateTimeField()),
                ('fact_id', models.UUIDField()),
                ('other_at', models.DateTimeField(null=True)),
                ('source_id', models.BigIntegerField(null=True)),
                ('source_kind', models.CharField(max_length=10)),
                ('pk', models.CompositePrimaryKey('account_id', 'name', blank=True, editable=False, primary_key=True, serialize=False)),
                ('account', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='audience.account')),
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
        migrations.CreateModel(
            name='AccountMember',
            fields=[
                ('pk', models.CompositePrimaryKey('profile_id', 'account_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('since', models.DateTimeField()),
                ('account', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='audience.account')),
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
            model_name='accountmember',
            index=models.Index(fields=['account', 'profile'], name='people_of_account'),
        ),
        migrations.CreateModel(
            name='AttributeName',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('of', models.CharField(choices=[('profile', 'profiles'), ('account', 'accounts')], max_length=10)),
                ('name', models.CharField(max_length=255)),
                ('first_at', models.DateTimeField()),
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
        migrations.AddConstraint(
            model_name='attributename',
            constraint=models.UniqueConstraint(fields=('advertiser', 'of', 'name'), name='attribute_name_once'),
        ),
        # Room on each page keeps a value's new row version beside the old one (HOT): nothing that changes is indexed.
        migrations.RunSQL(
            "ALTER TABLE audience_attribute SET (fillfactor = 80)",
            "ALTER TABLE audience_attribute RESET (fillfactor)",
        ),
        composite_key("audience_attribute", "profile_id", "audience_profile"),
        composite_key("audience_accountattribute", "account_id", "audience_account"),
        composite_key("audience_accountmember", "profile_id", "audience_profile"),
        composite_key("audience_accountmember", "account_id", "audience_account"),
    ]
