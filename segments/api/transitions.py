"""The joins and leaves of a segment as JSON, one after the other, each once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audience.api.pages import KeyPages, limit_of
from audience.api.people import IdentifierSerializer, identifiers_of
from audience.api.serializers import RowSerializer
from audience.api.views import ApiViewSet
from segments.models import Cause, Segment, Transition
from segments.positions import settled
from segments.tables import TRANSITIONS, AnyTransition, of_segment
from segments.transitions import Told, deciding, tell

# To say which condition decided, a rule is asked about the moment before: milliseconds for each.
MOST_DECIDED = 100
CAUSE_EXAMPLE = {
    "kind": "fact",
    "id": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b77",
    "name": "purchase",
    "segment": None,
    "versions": None,
}
_TRANSITION = {
    "id": 90210,
    "seq": 3,
    "type": "segment.joined",
    "segment": 12,
    "version": 4,
    "of": "profile",
    "profile": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11",
    "account": None,
    "at": "2026-11-22T10:15:02Z",
    "recorded_at": "2026-11-22T10:15:02.120Z",
    "until": "2026-12-22T10:15:02Z",
    "next": None,
    "value": None,
    "cause": CAUSE_EXAMPLE,
    "decided_by": [["rule", "all_of", 0]],
    "identifiers": [{"kind": "customer_id", "value": "C-1001"}],
}


class CauseSerializer(serializers.Serializer[Any]):
    """What brought a join or leave, as far as it is one thing."""

    kind = serializers.ChoiceField(choices=Cause.choices, source="cause")
    id = serializers.UUIDField(source="fact_id", help_text="Of the fire, message or row of an upload.")
    name = serializers.SerializerMethodField(help_text="Of the event.")
    segment = serializers.SerializerMethodField(help_text="The code of the other segment, where a change in it did.")
    versions = serializers.SerializerMethodField(help_text="Of an edit: the version before it, and the one after.")

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_name(self, transition: AnyTransition) -> str | None:
        return self._told(transition).fact_name

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_segment(self, transition: AnyTransition) -> str | None:
        return self._told(transition).segment

    @extend_schema_field(serializers.ListField(child=serializers.IntegerField(), allow_null=True))
    def get_versions(self, transition: AnyTransition) -> list[int] | None:
        told = self._told(transition)
        return [told.before, told.version] if transition.cause == Cause.EDIT else None

    def _told(self, transition: AnyTransition) -> Told:
        told: Told = self.context["told"][transition.pk]
        return told


class TransitionSerializer(RowSerializer):
    """One join or leave."""

    id = serializers.IntegerField(source="number", help_text="Unique, and the same whenever it is read.")
    seq = serializers.SerializerMethodField(help_text="Rises by one for each of a person in the segment.")
    type = serializers.SerializerMethodField()
    segment = serializers.IntegerField(source="segment_id")
    version = serializers.SerializerMethodField(
        help_text="Of the rule that served from that instant on; null without one."
    )
    of = serializers.SerializerMethodField()
    profile = serializers.SerializerMethodField(help_text="Null where the members are accounts.")
    account = serializers.SerializerMethodField(help_text="Null where the members are profiles.")
    at = serializers.DateTimeField(
        help_text="When it became true. By time the exact instant, however late it is told."
    )
    recorded_at = serializers.DateTimeField(help_text="When it was written.")
    until = serializers.SerializerMethodField(
        help_text="Of a join: when that membership ends, or has ended. Null without an end."
    )
    next = serializers.SerializerMethodField(help_text="The next start after it, as far as one is known.")
    value = serializers.SerializerMethodField(
        "get_stored_value", help_text="The membership's, as it is now; of the newest join alone."
    )
    cause = CauseSerializer(source="*")
    decided_by = serializers.SerializerMethodField(
        help_text="With `decided_by=true`, else null: the `path` of each condition that decided; none where the "
        "whole rule did, or a pixel, or where what has come since hides it."
    )
    identifiers = serializers.SerializerMethodField(
        help_text="Of a profile. Null without the right to see people; an account has none."
    )

    class Meta:
        model = Transition
        fields = tuple(_TRANSITION)
        read_only_fields = fields

    @extend_schema_field({"type": "string", "enum": ["segment.joined", "segment.left"]})
    def get_type(self, transition: AnyTransition) -> str:
        return transition.type

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_version(self, transition: AnyTransition) -> int | None:
        return (self._told(transition).version or None) if self.context["has_rule"] else None

    def get_seq(self, transition: AnyTransition) -> int:
        return self._told(transition).seq

    @extend_schema_field(serializers.ChoiceField(choices=Segment.Of.choices))
    def get_of(self, _: AnyTransition) -> str:
        of: str = self.context["of"]
        return of

    def get_profile(self, transition: AnyTransition) -> UUID | None:
        return transition.profile_id if isinstance(transition, Transition) else None

    def get_account(self, transition: AnyTransition) -> UUID | None:
        return None if isinstance(transition, Transition) else transition.account_id

    @extend_schema_field(serializers.ListField(child=serializers.ListField(), allow_null=True))
    def get_decided_by(self, transition: AnyTransition) -> list[list[str | int]] | None:
        if not self.context["tells_decided_by"]:
            return None
        return [list(path) for path in deciding(transition, self.context["of"])]

    def get_until(self, transition: AnyTransition) -> datetime | None:
        return self._told(transition).outlook.until

    def get_next(self, transition: AnyTransition) -> datetime | None:
        return self._told(transition).outlook.next

    def get_stored_value(self, transition: AnyTransition) -> int | None:
        return self._told(transition).outlook.value

    def _told(self, transition: AnyTransition) -> Told:
        told: Told = self.context["told"][transition.pk]
        return told

    @extend_schema_field(IdentifierSerializer(many=True, allow_null=True))
    def get_identifiers(self, transition: AnyTransition) -> list[dict[str, str]] | None:
        identifiers: dict[UUID, list[dict[str, str]]] | None = self.context.get("identifiers")
        if identifiers is None:
            return None
        return identifiers[transition.profile_id] if isinstance(transition, Transition) else []


class TransitionFilters(filters.FilterSet):
    since = filters.IsoDateTimeFilter(
        field_name="at", lookup_expr="gte", help_text="Those that became true at this instant or later."
    )
    decided_by = filters.ChoiceFilter(
        choices=(("true", "true"), ("false", "false")),
        method="all_of_them",
        help_text=f"Whether each tells which conditions decided it: for at most {MOST_DECIDED} at a time.",
    )

    def all_of_them(self, rows: QuerySet[Any], *_: object) -> QuerySet[Any]:
        return rows


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
        self.next_cursor = self.next_cursor or self.cursor_behind([end, 0], queryset.model)
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
        of = of_segment(segment)
        tells_decided_by = request.query_params.get("decided_by") == "true"
        if tells_decided_by and limit_of(request) > MOST_DECIDED:
            raise ValidationError({"limit": f"With decided_by ask for at most {MOST_DECIDED} at a time."})
        rows = self.filter_queryset(TRANSITIONS[of].objects.filter(segment=segment))
        page = cast(list[AnyTransition], self.paginate_queryset(rows) or [])
        people = {row.profile_id for row in page if isinstance(row, Transition)}
        context = {
            "of": of,
            "identifiers": identifiers_of(people) if self.seat.may_see_people else None,
            "told": {row.pk: one for row, one in zip(page, tell(page, of), strict=True)},
            "has_rule": segment.kind == Segment.Kind.RULE,
            "tells_decided_by": tells_decided_by,
        }
        return self.get_paginated_response(TransitionSerializer(page, many=True, context=context).data)
