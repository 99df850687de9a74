"""Give transitions a place in an order that can be read to the end by cursor (`segments.positions`)."""

import django.db.models.functions.datetime
from django.db import migrations, models

from segments.positions import make_functions


class Migration(migrations.Migration):

    dependencies = [
        ('segments', '0007_stop_building'),
    ]

    operations = [
        migrations.RunSQL("CREATE SEQUENCE segments_transition_number", "DROP SEQUENCE segments_transition_number"),
        migrations.RunPython(make_functions, migrations.RunPython.noop),
        # The table is written anew: transitions that are there come first, in the order in which they lie.
        migrations.AddField(
            model_name='transition',
            name='number',
            field=models.BigIntegerField(db_default=models.Func(models.Value('segments_transition_number'), function='nextval')),
        ),
        migrations.AddField(
            model_name='transition',
            name='position',
            field=models.BigIntegerField(db_default=models.Func(function='segments_position')),
        ),
        migrations.AddField(
            model_name='transition',
            name='recorded_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        # One index as before for each new row: what asked for the newest by `at` asks for the last that was recorded.
        migrations.RemoveIndex(
            model_name='transition',
            name='transition_of_segment',
        ),
        migrations.AddIndex(
            model_name='transition',
            index=models.Index(fields=['segment', 'position', 'number'], name='transition_in_order'),
        ),
    ]
