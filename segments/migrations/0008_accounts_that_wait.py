"""Keep the accounts of which rules could not be asked at once."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

from audience.schema import composite_key

CAUSES = [('fact', 'a fire'), ('time', 'the time was over'), ('api', 'the API'), ('upload', 'an upload'), ('admin', 'somebody in the admin'), ('edit', 'an edit of the segment'), ('merge', 'two profiles became one'), ('consent', 'consent was withdrawn'), ('erasure', 'the person was erased'), ('segment', 'a change in another segment')]


class Migration(migrations.Migration):

    dependencies = [
        ('segments', '0007_accounts_as_members'),
    ]

    operations = [
        migrations.CreateModel(
            name='WaitingAccount',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('cause', models.CharField(choices=CAUSES, max_length=8)),
                ('advertiser', models.ForeignKey(db_constraint=False, db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='audience.advertiser')),
                ('account', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='audience.account')),
            ],
            options={'abstract': False, 'base_manager_name': 'all_advertisers'},
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('all_advertisers', django.db.models.manager.Manager()),
            ],
        ),
        composite_key("segments_waitingaccount", "account_id", "audience_account"),
    ]
