"""`/profiles`: one person, found by id or by identifier, with everything they are known by and every segment."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from audience.api.access import Needs
from audience.api.pages import KeyPages
from audience.api.people import EVENT_EXAMPLE, AttributeSerializer, BelongingSerializer, EventPages, EventSerializer
from audience.api.serializers import RowSerializer
from audience.api.views import ApiViewSet
from audience.identity import BadIdentifier, identifier_id, normalise
from audience.models import AccountMember, Attribute, Identifier, Profile, Role
from audience.tenancy import current_advertiser_id
from audience.timeline import events_of, in_key_order
from segments.api.members import IdentifierSerializer, identifiers_of
from segments.membership import holds
from segments.models import Membership

_PROFILE = {
    "id": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11",
    "first_seen_at": "2026-11-20T08:00:00Z",
    "last_seen_at": "2026-11-22T10:00:00Z",
    "identifiers": [{"kind": "customer_id", "value": "C-1001"}],
    "attributes": [
        {
            "name": "plan",
            "value": "gold",
            "since": "2026-11-20T08:00:00Z",
            "seen_at": "2026-11-22T10:00:00Z",
            "write_key": 3,
            "message": "identify",
        }
    ],
    "accounts": [{"account": "ACME", "since": "2026-11-20T08:00:00Z"}],
    "memberships": [
        {
            "segment": 12,
            "code": "cart",
            "starts_at": "2026-11-20T08:00:00Z",
            "expires_at": "2026-12-20T08:00:00Z",
            "last_added_at": "2026-11-20T08:00:00Z",
            "value": 65,
        }
    ],
}
_EXAMPLE = [OpenApiExample("Jo", _PROFILE, response_only=True)]
ATTRIBUTES_SHOWN = 1000
ACCOUNTS_SHOWN = 100


class HeldMembership(RowSerializer):
    """A segment that the person is in now."""

    segment = serializers.IntegerField(source="segment_id")
    code = serializers.CharField(source="segment.code")
    expires_at = serializers.DateTimeField(
        source="ends_at", read_only=True, allow_null=True, help_text="Null where the rule sets no end."
    )

    class Meta:
        model = Membership
        fields = ("segment", "code", "starts_at", "expires_at", "last_added_at", "value")
        read_only_fields = fields


class ProfileSerializer(RowSerializer):
    """One person or browser as the advertiser knows it."""

    identifiers = serializers.SerializerMethodField()
    attributes = serializers.SerializerMethodField(help_text="What has been told of the person: at most 1,000.")
    accounts = serializers.SerializerMethodField(help_text="The companies that the person belongs to: at most 100.")
    memberships = serializers.SerializerMethodField(help_text="The segments that the person is in now.")

    class Meta:
        model = Profile
        fields = ("id", "first_seen_at", "last_seen_at", "identifiers", "attributes", "accounts", "memberships")
        read_only_fields = fields

    @extend_schema_field(IdentifierSerializer(many=True))
    def get_identifiers(self, profile: Profile) -> list[dict[str, str]]:
        return identifiers_of([profile.pk])[profile.pk]

    @extend_schema_field(AttributeSerializer(many=True))
    def get_attributes(self, profile: Profile) -> Any:
        rows = Attribute.objects.filter(profile_id=profile.pk).order_by("name")
        return AttributeSerializer(rows[:ATTRIBUTES_SHOWN], many=True).data

    @extend_schema_field(BelongingSerializer(many=True))
    def get_accounts(self, profile: Profile) -> Any:
        rows = AccountMember.objects.filter(profile_id=profile.pk).select_related("account").order_by("account_id")
        return BelongingSerializer(rows[:ACCOUNTS_SHOWN], many=True).data

    @extend_schema_field(HeldMembership(many=True))
    def get_memberships(self, profile: Profile) -> Any:
        held = Membership.objects.filter(holds(timezone.now()), profile=profile, segment__deleted_at=None)
        return HeldMembership(held.select_related("segment").order_by("segment_id"), many=True).data


class ProfileFilters(filters.FilterSet):
    kind = filters.CharFilter(required=True, help_text="A kind of identifier, such as customer_id.")
    value = filters.CharFilter(required=True, help_text="The identifier's value.")

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Both together name an identifier, and it leads to at most one profile."""
        return known_by(queryset, **self.form.cleaned_data)


class OnePage(KeyPages):
    orderings = ("id",)


@extend_schema_view(
    list=extend_schema(
        summary="Find a profile by identifier",
        description=(
            "At most one. Addresses end in logs: to look somebody up by e-mail or phone, `POST /profiles/find` is "
            "the better way."
        ),
        examples=_EXAMPLE,
    ),
    retrieve=extend_schema(summary="Read a profile", examples=_EXAMPLE),
)
class ProfileViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet):
    """Profiles of one advertiser. They cannot be listed: each is asked for by its id or by an identifier."""

    model = Profile
    serializer_class = ProfileSerializer
    filterset_class = ProfileFilters
    pagination_class = OnePage
    lookup_value_converter = "uuid"
    needs = {
        "list": Needs(Role.VIEWER, people=True),
        "retrieve": Needs(Role.VIEWER, people=True),
        "find": Needs(Role.VIEWER, people=True),
        "events": Needs(Role.VIEWER, people=True),
    }
    list_actions = frozenset({"list", "events"})

    @extend_schema(
        summary="Find a profile by identifier, without writing the identifier into an address",
        request=IdentifierSerializer,
        responses=ProfileSerializer,
        examples=[
            OpenApiExample("E-mail", {"kind": "email", "value": "jo@example.com"}, request_only=True),
            *_EXAMPLE,
        ],
    )
    @action(detail=False, methods=["post"])
    def find(self, request: Request) -> Response:
        sent = IdentifierSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        profile = known_by(self.get_queryset(), **sent.validated_data).first()
        if profile is None:
            raise NotFound
        return Response(self.get_serializer(profile).data)

    @extend_schema(
        summary="Read a profile's events",
        description="Newest first, as long as events are kept.",
        responses=EventSerializer(many=True),
        filters=False,
        examples=[OpenApiExample("A cart", EVENT_EXAMPLE, response_only=True)],
    )
    @action(detail=True, pagination_class=EventPages, filterset_class=None, serializer_class=EventSerializer)
    def events(self, request: Request, **_: Any) -> Response:
        events = events_of(self.get_object().pk)
        with in_key_order():
            page = self.paginate_queryset(events)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


def known_by(profiles: QuerySet[Any], kind: str, value: str) -> QuerySet[Any]:
    """Return the one of the profiles that an identifier leads to, or none."""
    advertiser_id = current_advertiser_id()
    try:
        key = UUID(bytes=identifier_id(advertiser_id or 0, kind, normalise(kind, value)))
    except BadIdentifier as error:
        raise serializers.ValidationError({"value": str(error)}) from None
    found: UUID | None = Identifier.objects.filter(pk=key).values_list("profile_id", flat=True).first()
    return profiles.filter(pk=found) if found else profiles.none()
