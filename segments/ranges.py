"""A column of several intervals: the times, from some moment on, during which somebody is in."""

from datetime import UTC, datetime
from typing import Any

from django.db import models

# The end of a membership that has none. A date, because Python knows no infinite one; rules read it as no end.
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


class RangesField(models.Field):  # type: ignore[type-arg]  # generic only in the stubs
    """`tstzmultirange`"""

    def db_type(self, connection: Any) -> str:
        return "tstzmultirange"
