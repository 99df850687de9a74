"""`/segments`: read, make, edit and delete segments; read and change who is in."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audience.api.access import Needs
from audience.api.filters import TrueOrFalse
from audience.api.pages import KeyPages
from audience.api.people import identifiers_of
from audience.api.serializers import RowSerializer
from audience.models import Role
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
from segments.api.transitions import TransitionActions
from segments.counts import sizes
from segments.deletion import delete_segment
from segments.members import accounts_holding, holding
from segments.models import Segment

_SEGMENT = {
    "id": 12,
    "name": "Cart",
    "code": "cart",
    "kind": "pixel",
    "of": "profile",
    "description": "",
    "lifetime_minutes": 43200,
    "longest_lifetime_minutes": None,
    "refire": "restart",
    "value_from": None,
    "value_to": None,
    "re_add": "replace",
    "write_mode": "domains",
    "domains": ["shop.example"],
    "are_domains_enforced": False,
    "removing": "as_adding",
    "is_readable_on_page": False,
    "id_syncs_per_fire": 0,
    "is_active": True,
    "created_at": "2026-11-20T08:00:00Z",
    "size": 5120,
}


class SegmentSerializer(RowSerializer):
    """A named group of profiles, or of accounts. Its id is its number in tags."""

    size = serializers.SerializerMethodField(help_text="How many profiles, or accounts, are in now.")

    class Meta:
        model = Segment
        fields = (
            "id",
            "name",
            "code",
            "kind",
            "of",
            "description",
            "lifetime_minutes",
            "longest_lifetime_minutes",
            "refire",
            "value_from",
            "value_to",
            "re_add",
            "write_mode",
            "domains",
            "are_domains_enforced",
            "removing",
            "is_readable_on_page",
            "id_syncs_per_fire",
            "is_active",
            "created_at",
            "size",
        )
        read_only_fields = ("kind", "of", "created_at")

    def get_size(self, segment: Segment) -> int:
        known: dict[int, int] = self.context.get("sizes", {})
        if segment.pk not in known:
            known |= sizes([segment], timezone.now())
        return known[segment.pk]


class SegmentFilters(filters.FilterSet):
    code = filters.CharFilter(lookup_expr="iexact", max_length=50, help_text="The one with this code.")
    kind = filters.ChoiceFilter(choices=Segment.Kind.choices)
    is_active = TrueOrFalse()


class SegmentPages(KeyPages):
    orderings = ("id", "-id", "name", "-name", "created_at", "-created_at")


@extend_schema_view(
    list=extend_schema(summary="List segments", examples=[OpenApiExample("Cart", _SEGMENT)]),
    retrieve=extend_schema(summary="Read a segment and its size", examples=[OpenApiExample("Cart", _SEGMENT)]),
    create=extend_schema(
        summary="Make a segment",
        description="A segment of the kind `pixel`: pixels and the API put people in.",
        examples=[
            OpenApiExample("Cart", {"name": "Cart", "code": "cart"}, request_only=True),
            OpenApiExample("Made", _SEGMENT, response_only=True, status_codes=["201"]),
        ],
    ),
    partial_update=extend_schema(
        summary="Edit a segment",
        description="What is not sent stays. A changed lifetime does not touch present members.",
        examples=[
            OpenApiExample("Shorter", {"lifetime_minutes": 10080}, request_only=True),
            OpenApiExample("Edited", _SEGMENT | {"lifetime_minutes": 10080}, response_only=True),
        ],
    ),
    destroy=extend_schema(
        summary="Delete a segment",
        description="It is gone at once; pixels and exports that name it leave it out. Its code is free again.",
    ),
)
class SegmentViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    TransitionActions,
):
    """Segments of one advertiser."""

    model = Segment
    serializer_class = SegmentSerializer
    filterset_class = SegmentFilters
    pagination_class = SegmentPages
    list_actions = frozenset({"list", "members", "accounts", "transitions"})
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
    }

    def paginate_queryset(self, queryset: QuerySet[Any] | Sequence[Any]) -> Any:
        """Read the sizes of a page's segments in one statement."""
        rows = super().paginate_queryset(queryset)
        self.sizes = sizes(rows, timezone.now()) if rows and self.action == "list" else {}
        return rows

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "sizes": getattr(self, "sizes", {})}

    def perform_destroy(self, instance: Segment) -> None:
        delete_segment(instance)

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
