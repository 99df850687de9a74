"""A foreign key that the database checks together with the advertiser."""

from typing import Any

from django.db import models


def same_advertiser(to: "type[models.Model] | str", **options: Any) -> "models.ForeignKey[Any, Any]":
    """Return a foreign key without a constraint of its own: the migration adds the composite one."""
    options.setdefault("on_delete", models.CASCADE)
    return models.ForeignKey(to, db_constraint=False, **options)
