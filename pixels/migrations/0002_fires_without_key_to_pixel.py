"""Take the key to the pixel from the fires: PostgreSQL looks it up at commit for every single row.

The counts of the same statement have the key and refuse a pixel of another advertiser for the whole batch.
"""

from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations.base import Operation

from audience.schema import composite_key

_KEY = composite_key("pixels_fire", "pixel_id", "pixels_pixel")


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("pixels", "0001_initial")]
    operations: ClassVar[list[Operation]] = [migrations.RunSQL(_KEY.reverse_sql, _KEY.sql)]
