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
from audience.api.people import (
    EVENT_EXAMPLE,
    AttributeSerializer,
    BelongingSerializer,
    EventPages,
    EventSerializer,
    IdentifierSerializer,
    TouchSerializer,
    identifiers_of,
)
from audience.api.serializers import RowSerializer
from audience.api.told import AttributesOfPeople, ResultsSerializer, results_of
from audience.api.views import ApiViewSet
from audience.finding import profile_after_merge
from audience.identity import BadIdentifier, Key, normalise
from audience.models import AccountMember, Advertiser, Attribute, Identifier, Profile, Role, Touch
from audience.tenancy import current_advertiser_id
from audience.timeline import events_of, in_key_order
from audience.upserts import tell_of_people
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
    "touches": [
        {
            "which": "first",
            "at": "2026-11-20T08:00:00Z",
            "source": {"medium": "cpc", "name": "google", "campaign": "spring"},
        },
        {"which": "last", "at": "2026-11-22T10:00:00Z", "source": {"medium": "email", "name": "news"}},
    ],
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
    touches = serializers.SerializerMethodField(help_text="Where the person came from first and last, once known.")
    memberships = serializers.SerializerMethodField(help_text="The segments that the person is in now.")

    class Meta:
        model = Profile
        fields = (
            *("id", "first_seen_at", "last_seen_at", "identifiers"),
            *("attributes", "accounts", "touches", "memberships"),
        )
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

    @extend_schema_field(TouchSerializer(many=True))
    def get_touches(self, profile: Profile) -> Any:
        return TouchSerializer(Touch.objects.filter(profile_id=profile.pk).order_by("which"), many=True).data

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
    retrieve=extend_schema(
        summary="Read a profile",
        description="The id of a profile that went into another one leads to that one.",
        examples=_EXAMPLE,
    ),
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
        "put_attributes": Needs(Role.MANAGER),
        "events": Needs(Role.VIEWER, people=True),
    }
    list_actions = frozenset({"list", "events"})

    def get_object(self) -> Profile:
        """Return a profile by its id, or by that of one which went into it."""
        if (into := profile_after_merge(self.kwargs["pk"])) is not None:
            self.kwargs["pk"] = into
        profile: Profile = super().get_object()
        return profile

    @extend_schema(
        summary="Tell attributes of people",
        description=(
            "Up to 1,000 people in a call, in one transaction. An identifier that nobody has yet makes a profile, "
            "except for `browser`, which only our cookie makes. What is not sent stays as it is. One that is refused "
            "does not hold back the others. An e-mail or phone among the attributes is no identifier."
        ),
        request=AttributesOfPeople,
        responses=ResultsSerializer,
    )
    @action(detail=False, methods=["post"], url_path="attributes")
    def put_attributes(self, request: Request) -> Response:
        sent = AttributesOfPeople(data=request.data)
        sent.is_valid(raise_exception=True)
        return Response(results_of(tell_of_people(self.seat.advertiser, sent.told(), at=timezone.now())))

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
    advertiser = Advertiser.objects.get(pk=current_advertiser_id() or 0)
    try:
        key = Key(advertiser.pk, kind, normalise(kind, value, country=advertiser.phone_country))
    except BadIdentifier as error:
        raise serializers.ValidationError({"value": str(error)}) from None
    found: UUID | None = Identifier.objects.filter(pk=UUID(bytes=key.id)).values_list("profile_id", flat=True).first()
    return profiles.filter(pk=found) if found else profiles.none()
