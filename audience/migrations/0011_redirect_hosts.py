"""Where an advertiser's fires may send browsers."""


import audience.models.advertiser
import audience.models.fields
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0010_weather'),
    ]

    operations = [
        migrations.AddField(
            model_name='advertiser',
            name='redirect_hosts',
            field=audience.models.fields.RedirectHostListField(blank=True, default=list, help_text='Where a fire may send the browser on to, one host a line: ad.partner.example, *.partner.example. Empty: nowhere.', size=None),
        ),
    ]
