"""Filters that refuse what they cannot read. Those of django-filter leave it out, which widens the answer."""

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field


@extend_schema_field(OpenApiTypes.BOOL)
class TrueOrFalse(filters.TypedChoiceFilter):
    """`true` or `false`, and nothing else."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("choices", [("true", "true"), ("false", "false")])
        options.setdefault("coerce", _is_true)
        super().__init__(**options)


def _is_true(word: str) -> bool:
    return word == "true"
