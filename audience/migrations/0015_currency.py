"""The currency of an advertiser's amounts."""

from django.db import migrations, models

import audience.models.fields


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0014_consents'),
    ]

    operations = [
        migrations.AddField(
            model_name='advertiser',
            name='currency',
            field=models.CharField(db_default='EUR', default='EUR', help_text='Amounts in rules are in this currency: three letters, such as EUR. Those of an event in another one count where it brings an exchange_rate; else they are left out.', max_length=3, validators=[audience.models.fields.check_currency]),
        ),
    ]
