"""Say of a segment whether pages may read it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('segments', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='segment',
            name='is_readable_on_page',
            field=models.BooleanField(default=False, help_text='Pages of your page origins may see whether their own visitor is in, by the code.', verbose_name='readable on the page'),
        ),
    ]
