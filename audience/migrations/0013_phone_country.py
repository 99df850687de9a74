"""The country of an advertiser's phone numbers without a country code."""

from django.db import migrations, models

import audience.models.advertiser
import audience.models.fields


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0012_touches'),
    ]

    operations = [
        migrations.AddField(
            model_name='advertiser',
            name='phone_country',
            field=models.CharField(blank=True, db_default='', help_text='Phone numbers without a country code are of this country: two letters, such as DE. Empty: such a number is no identifier. It counts for what comes from now on.', max_length=2, validators=[audience.models.fields.check_country]),
        ),
    ]
