"""Let somebody stop the building of a rule, to go on later where it was."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('segments', '0006_event_counts'),
    ]

    operations = [
        migrations.AddField(
            model_name='ruleversion',
            name='stopped_at',
            field=models.DateTimeField(null=True),
        ),
    ]
