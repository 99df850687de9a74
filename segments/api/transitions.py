"""The joins and leaves of a segment as JSON, one after the other, each once."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audience.api.pages import KeyPages
from audience.api.people import IdentifierSerializer, identifiers_of
from audience.api.serializers import RowSerializer
from audience.api.views import ApiViewSet
from segments.models import Cause, RuleVersion, Segment, Transition
from segments.positions import settled

_TRANSITION = {
    "id": 90210,
    "type": "segment.joined",
    "segment": 12,
    "version": 4,
    "profile": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11",
    "at": "2026-11-22T10:15:02Z",
    "recorded_at": "2026-11-22T10:15:02.120Z",
    "cause": {"kind": "fact"},
    "identifiers": [{"kind": "customer_id", "value": "C-1001"}],
}


class CauseSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=Cause.choices, source="cause")


class TransitionSerializer(RowSerializer):
    """One join or leave."""

    id = serializers.IntegerField(source="number", help_text="Unique, and the same whenever it is read.")
    type = serializers.SerializerMethodField()
    segment = serializers.IntegerField(source="segment_id")
    version = serializers.SerializerMethodField(
        help_text="Of the rule that served at that instant; null without one."
    )
    profile = serializers.UUIDField(source="profile_id")
    at = serializers.DateTimeField(
        help_text="When it became true. By time the exact instant, however late it is told."
    )
    recorded_at = serializers.DateTimeField(help_text="When it was written.")
    cause = CauseSerializer(source="*")
    identifiers = serializers.SerializerMethodField(help_text="Null without the right to see people.")

    class Meta:
        model = Transition
        fields = tuple(_TRANSITION)
        read_only_fields = fields

    @extend_schema_field({"type": "string", "enum": ["segment.joined", "segment.left"]})
    def get_type(self, transition: Transition) -> str:
        return transition.type

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_version(self, transition: Transition) -> int | None:
        served: Sequence[tuple[datetime, int]] = self.context.get("served", ())
        later = bisect_right(served, transition.at, key=lambda one: one[0])
        return served[later - 1][1] if later else None

    @extend_schema_field(IdentifierSerializer(many=True, allow_null=True))
    def get_identifiers(self, transition: Transition) -> list[dict[str, str]] | None:
        identifiers: dict[UUID, list[dict[str, str]]] | None = self.context.get("identifiers")
        return None if identifiers is None else identifiers[transition.profile_id]


class TransitionFilters(filters.FilterSet):
    since = filters.IsoDateTimeFilter(
        field_name="at", lookup_expr="gte", help_text="Those that became true at this instant or later."
    )


class TransitionPages(KeyPages):
    """In the order in which transactions can be read to the end, see `segments.positions`.

    Nothing is lost: a page ends before the oldest transaction that still runs, and what comes to stand behind the
    cursor's place later is read later. Nothing is given twice: a transition keeps its place for good, also when its
    profile goes into another one. The cursor of the last page is good for what is still to come.
    """

    key = "number"
    orderings = ("position",)

    def paginate_queryset(
        self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        assert isinstance(queryset, QuerySet)  # noqa: S101 -- for the types; views hand over nothing else
        end = settled()
        rows = super().paginate_queryset(queryset.filter(position__lt=end), request, view)
        self.next_cursor = self.next_cursor or self.cursor_behind([end, 0], Transition)
        return rows

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        answer = super().get_paginated_response_schema(schema)
        answer["properties"]["next_cursor"] |= {
            "type": "string",
            "description": "Send it as `cursor` for what comes next, also after a page that has nothing.",
        }
        return answer


class TransitionActions(ApiViewSet):
    """What `/segments/{id}/transitions` does."""

    @extend_schema(
        summary="List the joins and leaves of a segment",
        description=(
            "In the order in which they were recorded, each once; one that is recorded late comes late, with its own "
            "`at`. A page that is not full is all for now: keep its `next_cursor` and ask with it again later, also "
            "after hours or days. To keep a copy of a segment, ask with `since` as of now, read the members, then go "
            "on from the cursor. Transitions are kept for 13 months."
        ),
        responses=TransitionSerializer(many=True),
        examples=[OpenApiExample("A join", _TRANSITION, response_only=True)],
    )
    @action(detail=True, methods=["get"], pagination_class=TransitionPages, filterset_class=TransitionFilters)
    def transitions(self, request: Request, **_: Any) -> Response:
        segment = self.get_object()
        page = self.paginate_queryset(self.filter_queryset(Transition.objects.filter(segment=segment))) or []
        identifiers = identifiers_of({row.profile_id for row in page}) if self.seat.may_see_people else None
        context = {"identifiers": identifiers, "served": _served(segment)}
        return self.get_paginated_response(TransitionSerializer(page, many=True, context=context).data)


def _served(segment: Segment) -> list[tuple[datetime, int]]:
    """Return since when each version of a segment's rule has served, the first one first."""
    versions = RuleVersion.objects.filter(segment=segment, complete_since__isnull=False).order_by("complete_since")
    return [(since, number) for since, number in versions.values_list("complete_since", "number") if since]
