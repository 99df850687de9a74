"""The country that a fire came from, as the live view shows it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pixels', '0006_pixels_record_events'),
    ]

    operations = [
        migrations.AddField(
            model_name='fire',
            name='country',
            field=models.CharField(blank=True, db_default='', max_length=2),
        ),
    ]
