"""`/accounts`: companies by key, what is known of them, and who belongs to them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema,
    extend_schema_field,
    extend_schema_serializer,
    extend_schema_view,
)
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audience.accounts import LONGEST_KEY, account_id
from audience.api.access import Needs
from audience.api.pages import KeyPages
from audience.api.people import AttributeSerializer, IdentifierSerializer, identifiers_of
from audience.api.serializers import ClosedSerializer, RowSerializer
from audience.api.told import (
    ITEMS_OF_A_CALL,
    ResultSerializer,
    ResultsSerializer,
    attributes_field,
    result_of,
    results_of,
)
from audience.api.views import ApiViewSet
from audience.models import Account, AccountAttribute, AccountMember, Role
from audience.tenancy import current_advertiser_id
from audience.upserts import Link, OfAccount, change_people, tell_of_accounts

ATTRIBUTES_SHOWN = 1000
_ACCOUNT = {
    "id": "2f1d0c55-8a8b-6c1e-5b7e-4b1f0a9d3c77",
    "key": "ACME",
    "first_seen_at": "2026-11-20T08:00:00Z",
    "last_seen_at": "2026-11-22T10:00:00Z",
}
_ATTRIBUTE = {
    "name": "industry",
    "value": "retail",
    "since": "2026-11-20T08:00:00Z",
    "seen_at": "2026-11-22T10:00:00Z",
    "write_key": None,
    "message": "api",
}
_PERSON = {
    "profile": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11",
    "since": "2026-11-20T08:00:00Z",
    "identifiers": [{"kind": "customer_id", "value": "C-1001"}],
}


class AccountSerializer(RowSerializer):
    """A company, by the key that your systems give it."""

    class Meta:
        model = Account
        fields: tuple[str, ...] = ("id", "key", "first_seen_at", "last_seen_at")
        read_only_fields = fields


class KnownAccountSerializer(AccountSerializer):
    """A company with what has been told of it."""

    attributes = serializers.SerializerMethodField(help_text="At most 1,000.")

    class Meta(AccountSerializer.Meta):
        fields = (*AccountSerializer.Meta.fields, "attributes")
        read_only_fields = fields

    @extend_schema_field(AttributeSerializer(many=True))
    def get_attributes(self, account: Account) -> Any:
        rows = AccountAttribute.objects.filter(account_id=account.pk).order_by("name")
        return AttributeSerializer(rows[:ATTRIBUTES_SHOWN], many=True).data


class AccountPersonSerializer(RowSerializer):
    """Somebody who belongs to the company, since it was first said."""

    profile = serializers.UUIDField(source="profile_id")
    identifiers = serializers.SerializerMethodField()

    class Meta:
        model = AccountMember
        fields = ("profile", "since", "identifiers")
        read_only_fields = fields

    @extend_schema_field(IdentifierSerializer(many=True))
    def get_identifiers(self, member: AccountMember) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.context["identifiers"][member.profile_id]
        return found


class AttributesOfAccount(ClosedSerializer):
    """Attributes of the company that has a key; one that nobody has yet makes it."""

    key = serializers.CharField(max_length=LONGEST_KEY, help_text="For example ACME.")
    attributes = attributes_field()


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "From a CRM", {"accounts": [{"key": "ACME", "attributes": {"industry": "retail", "seats": 40}}]}
        )
    ]
)
class AttributesOfAccounts(ClosedSerializer):
    """Up to 1,000 companies, each with attributes."""

    accounts = serializers.ListField(child=AttributesOfAccount(), min_length=1, max_length=ITEMS_OF_A_CALL)


class PersonOfAccount(ClosedSerializer):
    """Somebody to put in or to take out."""

    identifier = IdentifierSerializer()


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One in, one out",
            {
                "add": [{"identifier": {"kind": "customer_id", "value": "C-1001"}}],
                "remove": [{"identifier": {"kind": "email", "value": "jo@example.com"}}],
            },
        )
    ]
)
class PeopleChanges(ClosedSerializer):
    """Up to 1,000 people to put in and to take out."""

    add = PersonOfAccount(many=True, required=False)
    remove = PersonOfAccount(many=True, required=False)

    def validate(self, attributes: dict[str, Any]) -> dict[str, Any]:
        items = len(attributes.get("add", [])) + len(attributes.get("remove", []))
        if not 0 < items <= ITEMS_OF_A_CALL:
            raise serializers.ValidationError(f"Name 1 to {ITEMS_OF_A_CALL} people in “add” and “remove”.")
        return attributes

    def links(self) -> list[Link]:
        """Return what was sent, as the work takes it: those of `add` first."""
        sent = self.validated_data
        adds = [Link("add", **item["identifier"]) for item in sent.get("add", [])]
        return adds + [Link("remove", **item["identifier"]) for item in sent.get("remove", [])]


class ChangedPerson(ResultSerializer):
    """What became of one item."""

    do = serializers.ChoiceField(choices=["add", "remove"])


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One in",
            {
                "applied": 1,
                "rejected": 0,
                "results": [{"index": 0, "outcome": "applied", "reason": None, "message": None, "do": "add"}],
            },
        )
    ]
)
class ChangedPeople(ResultsSerializer):
    """What became of each item, those of `add` first."""

    results = ChangedPerson(many=True)


class AccountFilters(filters.FilterSet):
    key = filters.CharFilter(help_text="The key of one account: it finds that one or none.")

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Look a key up by the id that follows from it."""
        if "key" not in self.data:
            return queryset
        key = account_id(current_advertiser_id() or 0, self.form.cleaned_data["key"].strip())
        return queryset.filter(pk=UUID(bytes=key))


class AccountPages(KeyPages):
    orderings = ("id",)


class PeoplePages(KeyPages):
    """In the order of profile ids, along the index (account, profile)."""

    key = "profile_id"
    orderings = ("profile_id",)


@extend_schema_view(
    list=extend_schema(
        summary="List accounts, or find one by its key",
        examples=[OpenApiExample("ACME", _ACCOUNT, response_only=True)],
    ),
    retrieve=extend_schema(
        summary="Read an account with its attributes",
        responses=KnownAccountSerializer,
        examples=[OpenApiExample("ACME", {**_ACCOUNT, "attributes": [_ATTRIBUTE]}, response_only=True)],
    ),
)
class AccountViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet):
    """Companies of one advertiser."""

    model = Account
    filterset_class = AccountFilters
    pagination_class = AccountPages
    lookup_value_converter = "uuid"
    needs = {
        "list": Needs(Role.VIEWER, people=True),
        "retrieve": Needs(Role.VIEWER, people=True),
        "put_attributes": Needs(Role.MANAGER),
        "people": Needs(Role.VIEWER, people=True),
        "change_people": Needs(Role.MANAGER),
    }
    list_actions = frozenset({"list", "people"})

    def get_serializer_class(self) -> type[AccountSerializer]:
        return KnownAccountSerializer if self.action == "retrieve" else AccountSerializer

    @extend_schema(
        summary="Tell attributes of accounts",
        description=(
            "Up to 1,000 accounts in a call, in one transaction. An account that is not known yet is made. What is "
            "not sent stays as it is. One that is refused does not hold back the others."
        ),
        request=AttributesOfAccounts,
        responses=ResultsSerializer,
    )
    @action(detail=False, methods=["post"], url_path="attributes")
    def put_attributes(self, request: Request) -> Response:
        sent = AttributesOfAccounts(data=request.data)
        sent.is_valid(raise_exception=True)
        told = [OfAccount(item["key"], item["attributes"]) for item in sent.validated_data["accounts"]]
        return Response(results_of(tell_of_accounts(self.seat.advertiser, told, at=timezone.now())))

    @extend_schema(
        summary="List the people of an account",
        description="By profile id, each with identifiers.",
        responses=AccountPersonSerializer(many=True),
        examples=[OpenApiExample("Jo", _PERSON, response_only=True)],
    )
    @action(detail=True, methods=["get"], pagination_class=PeoplePages, filterset_class=None)
    def people(self, request: Request, **_: Any) -> Response:
        account = self.get_object()
        page = self.paginate_queryset(AccountMember.objects.filter(account_id=account.pk)) or []
        context = {"identifiers": identifiers_of([row.profile_id for row in page])}
        return self.get_paginated_response(AccountPersonSerializer(page, many=True, context=context).data)

    @extend_schema(
        summary="Put people among those of an account and take them out",
        description=(
            "Up to 1,000 people in a call, in one transaction. To put in makes a profile for an identifier that "
            "nobody has yet, except for `browser`, which only our cookie makes. Who stands in `add` and in `remove` "
            "is taken out. One that is refused does not hold back the others."
        ),
        request=PeopleChanges,
        responses=ChangedPeople,
    )
    @people.mapping.post
    def change_people(self, request: Request, **_: Any) -> Response:
        account = self.get_object()
        sent = PeopleChanges(data=request.data)
        sent.is_valid(raise_exception=True)
        return Response(_changed(sent.links(), account))


def _changed(links: list[Link], account: Account) -> Mapping[str, Any]:
    reasons = change_people(account, links, at=timezone.now())
    adds = sum(link.do == "add" for link in links)
    results = [
        {**result_of(number if link.do == "add" else number - adds, reason), "do": link.do}
        for number, (link, reason) in enumerate(zip(links, reasons, strict=True))
    ]
    rejected = sum(reason is not None for reason in reasons)
    return ChangedPeople({"applied": len(links) - rejected, "rejected": rejected, "results": results}).data
