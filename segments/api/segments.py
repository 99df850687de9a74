"""`/segments`: read, make, edit and delete segments; read and change who is in.

What else a segment has stands in files of its own: its rule (`ruled`), versions, why, transitions.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audience.api import errors
from audience.api.access import Needs
from audience.api.filters import TrueOrFalse
from audience.api.pages import KeyPages
from audience.api.people import identifiers_of
from audience.models import Role
from segments.api.explained import PARAMETERS, WhyActions
from segments.api.members import (
    ACCOUNTS_EXAMPLE,
    MEMBERS_EXAMPLE,
    AccountMemberPages,
    AccountMemberSerializer,
    ChangedMembers,
    MemberChanges,
    MemberPages,
    MemberSerializer,
    change,
)
from segments.api.rule_bodies import RULE_EXAMPLE
from segments.api.ruled import Rules
from segments.api.segment_bodies import (
    KNOWN_EXAMPLE,
    RULED_EXAMPLE,
    SEGMENT_EXAMPLE,
    KnownSegmentSerializer,
    SegmentSerializer,
)
from segments.api.transitions import TransitionActions
from segments.counts import sizes
from segments.deletion import StillUsed, delete_segment
from segments.members import accounts_holding, holding
from segments.models import Segment


class SegmentFilters(filters.FilterSet):
    code = filters.CharFilter(lookup_expr="iexact", max_length=50, help_text="The one with this code.")
    kind = filters.ChoiceFilter(choices=Segment.Kind.choices)
    is_active = TrueOrFalse()


class SegmentPages(KeyPages):
    orderings = ("id", "-id", "name", "-name", "created_at", "-created_at")


@extend_schema_view(
    list=extend_schema(summary="List segments", examples=[OpenApiExample("Cart", SEGMENT_EXAMPLE)]),
    retrieve=extend_schema(
        summary="Read a segment, its size and the state of its rule",
        examples=[OpenApiExample("Cart", KNOWN_EXAMPLE), OpenApiExample("By a rule", RULED_EXAMPLE)],
    ),
    create=extend_schema(
        summary="Make a segment",
        description=(
            "Of the kind `pixel`: pixels and the API put people in. Of the kind `rule`: members follow from `rule`, "
            "which is built at once, see `build`. A rule that is refused is a 400 with `problems`."
        ),
        examples=[
            OpenApiExample("Cart", {"name": "Cart", "code": "cart"}, request_only=True),
            OpenApiExample(
                "Loyal", {"name": "Loyal", "code": "loyal", "kind": "rule", "rule": RULE_EXAMPLE}, request_only=True
            ),
            OpenApiExample("Made", KNOWN_EXAMPLE, response_only=True, status_codes=["201"]),
        ],
    ),
    partial_update=extend_schema(
        summary="Edit a segment",
        description=(
            "What is not sent stays. A changed lifetime does not touch present members. A `rule` of another meaning "
            "makes a new version, which is built while the one that serves goes on to; the same rule again makes "
            "none. `is_active` false pauses it: nobody comes in, members leave at their ends; true builds it anew."
        ),
        examples=[
            OpenApiExample("Shorter", {"lifetime_minutes": 10080}, request_only=True),
            OpenApiExample("Another rule", {"rule": RULE_EXAMPLE, "based_on": 3}, request_only=True),
            OpenApiExample("Edited", KNOWN_EXAMPLE | {"lifetime_minutes": 10080}, response_only=True),
        ],
    ),
    destroy=extend_schema(
        summary="Delete a segment",
        description=(
            "It is gone at once; pixels and exports that name it leave it out. Its code is free again. 409 "
            "`still_used` while rules of other segments name it."
        ),
    ),
)
class SegmentViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    WhyActions,
    TransitionActions,
):
    """Segments of one advertiser."""

    model = Segment
    filterset_class = SegmentFilters
    pagination_class = SegmentPages
    list_actions = frozenset({"list", "members", "accounts", "transitions", "versions"})
    needs = {
        "list": Needs(Role.VIEWER),
        "retrieve": Needs(Role.VIEWER),
        "create": Needs(Role.ANALYST),
        "partial_update": Needs(Role.ANALYST),
        "destroy": Needs(Role.ANALYST),
        "members": Needs(Role.VIEWER),
        "accounts": Needs(Role.VIEWER, people=True),
        "change_members": Needs(Role.MANAGER),
        "transitions": Needs(Role.VIEWER),
        "versions": Needs(Role.VIEWER),
        "version": Needs(Role.VIEWER),
        "use_version": Needs(Role.ANALYST),
        "stop_build": Needs(Role.ANALYST),
        "resume_build": Needs(Role.ANALYST),
        "retry_build": Needs(Role.ANALYST),
        "why": Needs(Role.ANALYST, people=True),
    }

    def get_serializer_class(self) -> type[SegmentSerializer]:
        return SegmentSerializer if self.action == "list" else KnownSegmentSerializer

    def paginate_queryset(self, queryset: QuerySet[Any] | Sequence[Any]) -> Any:
        """Read the sizes of a page's segments in one statement, and their rules in another."""
        rows = super().paginate_queryset(queryset)
        if rows and self.action == "list":
            self.sizes = sizes(rows, timezone.now())
            self.rules.read(rows)
        return rows

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "sizes": getattr(self, "sizes", {}), "rules": self.rules}

    @cached_property
    def rules(self) -> Rules:
        return Rules(self.seat.advertiser.pk)

    def perform_destroy(self, instance: Segment) -> None:
        try:
            delete_segment(instance)
        except StillUsed as error:
            raise errors.Refused("still_used", " ".join(error.messages)) from None

    def _query_parameters(self) -> frozenset[str]:
        if self.action == "why":
            return frozenset(parameter.name for parameter in PARAMETERS)
        return super()._query_parameters()

    @extend_schema(
        summary="List the members of a segment",
        description=(
            "Who is in now, by profile id; nobody where the members are accounts. With the right to see people, "
            "their identifiers, too."
        ),
        responses=MemberSerializer(many=True),
        examples=[OpenApiExample("Jo", MEMBERS_EXAMPLE, response_only=True)],
    )
    @action(detail=True, methods=["get"], pagination_class=MemberPages, filterset_class=None)
    def members(self, request: Request, **_: Any) -> Response:
        segment = self.get_object()
        page = self.paginate_queryset(holding(segment, timezone.now()))
        identifiers = identifiers_of([row.profile_id for row in page]) if self.seat.may_see_people else None
        context = {**self.get_serializer_context(), "identifiers": identifiers}
        return self.get_paginated_response(MemberSerializer(page, many=True, context=context).data)

    @extend_schema(
        summary="List the accounts in a segment of accounts",
        description="Which are in now, by account id. None where the members are profiles.",
        responses=AccountMemberSerializer(many=True),
        examples=[OpenApiExample("ACME", ACCOUNTS_EXAMPLE, response_only=True)],
    )
    @action(detail=True, methods=["get"], pagination_class=AccountMemberPages, filterset_class=None)
    def accounts(self, request: Request, **_: Any) -> Response:
        held = accounts_holding(self.get_object(), timezone.now())
        page = self.paginate_queryset(held.select_related("account"))
        return self.get_paginated_response(AccountMemberSerializer(page, many=True).data)

    @extend_schema(
        summary="Put people into a segment and take them out",
        description=(
            "Up to 1,000 people in a call, in one transaction. One that is refused does not hold back the others: "
            "`results` has an entry for each, those of `add` first. An identifier that nobody has yet makes a "
            "profile, except for `browser`, which only our cookie makes. Who stands in `add` and in `remove` is "
            "removed. The answer comes after the commit, so the next read sees the change."
        ),
        request=MemberChanges,
        responses=ChangedMembers,
    )
    @members.mapping.post
    def change_members(self, request: Request, **_: Any) -> Response:
        segment = self.get_object()
        sent = MemberChanges(data=request.data)
        sent.is_valid(raise_exception=True)
        return Response(ChangedMembers(change(segment, sent.validated_data)).data)
