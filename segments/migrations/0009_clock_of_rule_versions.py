"""Keep the advertiser's clock by which a version of a rule is built."""

from django.db import migrations, models

FILL = """
    UPDATE segments_ruleversion v SET zone = a.time_zone FROM audience_advertiser a WHERE a.id = v.advertiser_id
"""


class Migration(migrations.Migration):

    dependencies = [
        ('segments', '0008_accounts_that_wait'),
    ]

    operations = [
        migrations.AddField(
            model_name='ruleversion',
            name='zone',
            field=models.CharField(default='', max_length=64),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
