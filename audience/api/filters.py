"""Filters that refuse what they cannot read. Those of django-filter leave it out, which widens the answer."""

from typing import Any

from django import forms
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


@extend_schema_field(OpenApiTypes.INT)
class RowId(filters.Filter):
    """The number of a row. Another advertiser's finds nothing, like one that never was."""

    field_class = forms.IntegerField

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"min_value": 0, "max_value": 2**63 - 1} | options))
