"""Keep the versions of rules, and of a membership by a rule the ranges that are still to come."""

import django.db.models.deletion
import django.db.models.manager
import django.utils.timezone
import segments.ranges
from django.conf import settings
from django.db import migrations, models

from audience.schema import composite_key


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0014_consents'),
        ('segments', '0004_functions_of_rules'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='membership',
            name='upcoming',
            field=segments.ranges.RangesField(null=True),
        ),
        migrations.AlterField(
            model_name='transition',
            name='cause',
            field=models.CharField(choices=[('fact', 'a fire'), ('time', 'the time was over'), ('api', 'the API'), ('upload', 'an upload'), ('admin', 'somebody in the admin'), ('edit', 'an edit of the segment'), ('merge', 'two profiles became one'), ('consent', 'consent was withdrawn'), ('erasure', 'the person was erased'), ('segment', 'a change in another segment')], max_length=8),
        ),
        migrations.CreateModel(
            name='RuleVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('rule', models.TextField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('state', models.CharField(choices=[('building', 'Being built: another version serves'), ('active', 'Serves'), ('superseded', 'Replaced by a later one'), ('failed', 'Could not be built')], default='building', max_length=10)),
                ('failure', models.CharField(blank=True, max_length=1000)),
                ('complete_since', models.DateTimeField(null=True)),
                ('built_to', models.UUIDField(null=True)),
                ('profiles_done', models.BigIntegerField(default=0)),
                ('profiles_total', models.BigIntegerField(default=0)),
                ('refresh_at', models.DateTimeField(null=True)),
                ('advertiser', models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audience.advertiser')),
                ('author', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('lead', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='followers', to='segments.ruleversion')),
                ('segment', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='segments.segment')),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'all_advertisers',
                'constraints': [models.UniqueConstraint(fields=('advertiser', 'id'), name='rule_version_of_advertiser'), models.UniqueConstraint(fields=('segment', 'number'), name='rule_version_once'), models.UniqueConstraint(condition=models.Q(('state__in', ['active', 'building'])), fields=('segment', 'state'), name='rule_version_serves_alone')],
            },
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('all_advertisers', django.db.models.manager.Manager()),
            ],
        ),
        composite_key("segments_ruleversion", "segment_id", "segments_segment", on_delete="CASCADE"),
        composite_key("segments_ruleversion", "lead_id", "segments_ruleversion", on_delete="CASCADE"),
    ]
