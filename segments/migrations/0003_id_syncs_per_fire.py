"""Say of a segment how many partners a fire may tell the browser's id."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('segments', '0002_readable_on_the_page'),
    ]

    operations = [
        migrations.AddField(
            model_name='segment',
            name='id_syncs_per_fire',
            field=models.PositiveSmallIntegerField(default=0, help_text="How many partners a fire may tell the browser's id, 0 to 10. Works with JavaScript tags only.", validators=[django.core.validators.MaxValueValidator(10, 'A fire takes at most 10 id-sync pixels.')], verbose_name='id-sync pixels per fire'),
        ),
    ]
