"""Let accounts be members of segments: their rows stand in tables of the same columns as those of profiles."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

import segments.ranges
from audience.schema import composite_key

CAUSES = [('fact', 'a fire'), ('time', 'the time was over'), ('api', 'the API'), ('upload', 'an upload'), ('admin', 'somebody in the admin'), ('edit', 'an edit of the segment'), ('merge', 'two profiles became one'), ('consent', 'consent was withdrawn'), ('erasure', 'the person was erased'), ('segment', 'a change in another segment')]
MANAGERS = [
    ('objects', django.db.models.manager.Manager()),
    ('all_advertisers', django.db.models.manager.Manager()),
]


def advertiser():
    return models.ForeignKey(db_constraint=False, db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audience.advertiser')


def key_to(target):
    return models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=target)


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0014_consents'),
        ('segments', '0006_event_counts'),
    ]

    operations = [
        migrations.AddField(
            model_name='segment',
            name='of',
            field=models.CharField(choices=[('profile', 'Profiles'), ('account', 'Accounts')], default='profile', editable=False, max_length=7),
        ),
        migrations.CreateModel(
            name='AccountMembership',
            fields=[
                ('version', models.PositiveIntegerField(default=1)),
                ('starts_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('value', models.PositiveIntegerField(null=True)),
                ('last_added_at', models.DateTimeField(null=True)),
                ('decided_at', models.DateTimeField()),
                ('sweep_at', models.DateTimeField(null=True)),
                ('upcoming', segments.ranges.RangesField(null=True)),
                ('pk', models.CompositePrimaryKey('account_id', 'segment_id', 'version', blank=True, editable=False, primary_key=True, serialize=False)),
                ('advertiser', advertiser()),
                ('account', key_to('audience.account')),
                ('segment', key_to('segments.segment')),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'all_advertisers',
                'indexes': [
                    models.Index(fields=['segment', 'version', 'account'], name='account_members_of_segment'),
                    models.Index(condition=models.Q(('sweep_at', None), _negated=True), fields=['sweep_at'], name='account_membership_due'),
                ],
            },
            managers=MANAGERS,
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name='AccountTransition',
                    fields=[
                        ('pk', models.CompositePrimaryKey('account_id', 'segment_id', 'at', 'change', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('at', models.DateTimeField()),
                        ('change', models.CharField(choices=[('join', 'joined'), ('leave', 'left')], max_length=5)),
                        ('cause', models.CharField(choices=CAUSES, max_length=8)),
                        ('advertiser', advertiser()),
                        ('account', key_to('audience.account')),
                        ('segment', key_to('segments.segment')),
                    ],
                    options={
                        'abstract': False,
                        'base_manager_name': 'all_advertisers',
                        'indexes': [models.Index(fields=['segment', '-at'], name='account_transition_of_segment')],
                    },
                    managers=MANAGERS,
                ),
            ],
            database_operations=[
                migrations.RunSQL(
                    """
CREATE TABLE segments_accounttransition (
    advertiser_id bigint NOT NULL,
    account_id uuid NOT NULL,
    segment_id bigint NOT NULL,
    at timestamptz NOT NULL,
    change varchar(5) NOT NULL,
    cause varchar(8) NOT NULL,
    PRIMARY KEY (account_id, segment_id, at, change)
) PARTITION BY RANGE (at);
CREATE INDEX account_transition_of_segment ON segments_accounttransition (segment_id, at DESC);
CREATE TABLE segments_accounttransition_default PARTITION OF segments_accounttransition DEFAULT;
                    """,
                    "DROP TABLE segments_accounttransition",
                ),
            ],
        ),
        composite_key("segments_accountmembership", "account_id", "audience_account"),
        composite_key("segments_accountmembership", "segment_id", "segments_segment"),
        composite_key("segments_accounttransition", "account_id", "audience_account"),
        composite_key("segments_accounttransition", "segment_id", "segments_segment"),
    ]
