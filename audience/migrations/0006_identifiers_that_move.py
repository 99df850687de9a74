"""When an identifier proved its customer, and how many identifiers a profile has lost."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audience', '0005_write_keys'),
    ]

    operations = [
        migrations.AddField(
            model_name='identifier',
            name='proved_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='profile',
            name='losses',
            field=models.IntegerField(db_default=0, default=0, editable=False),
        ),
    ]
