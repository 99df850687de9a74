"""`/exports`: what is sent where, in which form, and when."""

from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.db.models import Prefetch, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.fields import get_error_detail

from audience.api.access import Needs
from audience.api.filters import RowId, TrueOrFalse
from audience.api.pages import KeyPages
from audience.api.serializers import OwnRow, RowSerializer
from audience.api.views import ApiViewSet
from audience.models import Role
from exports.columns import MOST_COLUMNS
from exports.editing import MOST_SEGMENTS, check_column, check_export, save_export
from exports.models import Export, ExportColumn, ExportSegment
from segments.models import Segment

_COLUMNS = [
    {
        "source": "identifier",
        "identifier_kind": "customer_id",
        "values": "newest",
        "count": 1,
        "is_required": True,
        "constant": "",
        "header": "userId",
    }
]
_NEW = {
    "name": "CRM nightly",
    "destination": 3,
    "segments": [12],
    "columns": [{"source": "identifier", "identifier_kind": "customer_id", "is_required": True, "header": "userId"}],
    "schedule": "nightly",
    "at_time": "04:00:00",
    "zone": "Europe/Berlin",
}
_EXPORT = {
    "id": 7,
    "name": "CRM nightly",
    "destination": 3,
    "segments": [12],
    "columns": _COLUMNS,
    "is_active": True,
    "layout": "file_per_segment",
    "mode": "full",
    "format": "csv",
    "delimiter": ",",
    "quoting": "minimal",
    "line_end": "crlf",
    "has_header": True,
    "null_text": "",
    "booleans": "true/false",
    "times": "iso",
    "encoding": "utf-8",
    "is_formula_safe": False,
    "compression": "gzip",
    "split_rows": None,
    "split_bytes": None,
    "empty": "send",
    "minimum_size": None,
    "file_name": "{export}_{segment_code}_{date}",
    "name_taken": "number",
    "is_first_part_numbered": True,
    "has_manifest": True,
    "has_sentinel": False,
    "sentinel_ending": ".done",
    "keep_days": 7,
    "schedule": "nightly",
    "once_at": None,
    "at_time": "04:00:00",
    "minute": 0,
    "weekday": 0,
    "cron": "",
    "zone": "Europe/Berlin",
    "catch_up": "one",
    "overlap": "skip",
    "next_due_at": "2026-11-23T03:00:00Z",
    "created_at": "2026-11-20T08:00:00Z",
}


class ExportColumnSerializer(RowSerializer):
    """One column of the file."""

    class Meta:
        model = ExportColumn
        fields = ("source", "identifier_kind", "values", "count", "is_required", "constant", "header")

    def check(self, row: Any) -> None:
        super().check(row)
        check_column(row)


class ChosenSegments(serializers.ManyRelatedField):
    """An export's segments in its order, those that are deleted left out."""

    def get_attribute(self, instance: Export) -> list[Segment]:
        return [row.segment for row in instance.export_segments.all()]


class ExportSerializer(RowSerializer):
    """What is sent where, in which form, and when."""

    segments = ChosenSegments(child_relation=OwnRow(queryset=Segment.objects), help_text="In the order of the file.")
    columns = ExportColumnSerializer(many=True, help_text="In the order of the file.")

    class Meta:
        model = Export
        fields = tuple(_EXPORT)
        read_only_fields = ("next_due_at", "created_at")

    def validate_segments(self, segments: list[Segment]) -> list[Segment]:
        return _counted(segments, 1, MOST_SEGMENTS, "segments")

    def validate_columns(self, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return _counted(columns, 1, MOST_COLUMNS, "columns")

    def check(self, row: Any) -> None:
        super().check(row)
        check_export(row)

    def create(self, validated_data: dict[str, Any]) -> Export:
        return self.update(Export(), validated_data)

    def update(self, instance: Export, validated_data: dict[str, Any]) -> Export:
        segments, columns = validated_data.pop("segments", None), validated_data.pop("columns", None)
        for name, value in validated_data.items():
            setattr(instance, name, value)
        rows = None if columns is None else [ExportColumn(**column) for column in columns]
        try:
            save_export(instance, segments=segments, columns=rows)
        except ModelError as error:
            raise serializers.ValidationError(get_error_detail(error)) from None
        return Export.objects.prefetch_related(*_parts()).get(pk=instance.pk)


class ExportFilters(filters.FilterSet):
    destination = RowId(field_name="destination_id", help_text="The exports to this destination.")
    is_active = TrueOrFalse()


class ExportPages(KeyPages):
    orderings = ("id", "-id", "name", "-name", "created_at", "-created_at")


@extend_schema_view(
    list=extend_schema(summary="List exports", examples=[OpenApiExample("CRM nightly", _EXPORT)]),
    retrieve=extend_schema(summary="Read an export", examples=[OpenApiExample("CRM nightly", _EXPORT)]),
    create=extend_schema(
        summary="Make an export",
        examples=[
            OpenApiExample("CRM nightly", _NEW, request_only=True),
            OpenApiExample("Made", _EXPORT, response_only=True, status_codes=["201"]),
        ],
    ),
    partial_update=extend_schema(
        summary="Edit an export",
        description="What is not sent stays; `segments` and `columns` replace those that are there.",
        examples=[
            OpenApiExample("Switch it off", {"is_active": False}, request_only=True),
            OpenApiExample("Off", _EXPORT | {"is_active": False}, response_only=True),
        ],
    ),
)
class ExportViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    ApiViewSet,
):
    """Exports of one advertiser."""

    model = Export
    serializer_class = ExportSerializer
    filterset_class = ExportFilters
    pagination_class = ExportPages
    needs = {
        "list": Needs(Role.MANAGER),
        "retrieve": Needs(Role.MANAGER),
        "create": Needs(Role.MANAGER),
        "partial_update": Needs(Role.MANAGER),
    }

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().prefetch_related(*_parts())


def _parts() -> tuple[Any, ...]:
    living = ExportSegment.objects.filter(segment__deleted_at=None).select_related("segment")
    return Prefetch("export_segments", queryset=living), Prefetch("columns", queryset=ExportColumn.objects.all())


def _counted(rows: list[Any], least: int, most: int, name: str) -> list[Any]:
    if not least <= len(rows) <= most:
        raise serializers.ValidationError(f"An export has {least} to {most} {name}.")
    return rows
