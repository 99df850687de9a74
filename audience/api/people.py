"""What the API tells of people, and what it is told: identifiers, attributes, companies and events."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from audience.api.pages import KeyPages
from audience.api.serializers import ClosedSerializer, RowSerializer
from audience.identity import KINDS
from audience.models import AccountMember, Attribute, Event, Identifier, Touch
from audience.upserts import OfPerson, Refused

ITEMS_OF_A_CALL = 1000
_LONGEST_KIND = 40

EVENT_EXAMPLE = {
    "id": "5a1f6a52-6c0f-4a0e-9d52-8f1f6f1f2b11",
    "name": "cart_updated",
    "occurred_at": "2026-11-22T10:00:00Z",
    "received_at": "2026-11-22T10:00:01Z",
    "properties": {"total": 65},
    "context": {"page": {"path": "/cart"}, "device": {"type": "mobile"}},
}


class IdentifierSerializer(ClosedSerializer):
    """What somebody is known by."""

    kind = serializers.CharField(max_length=_LONGEST_KIND, help_text=f"{', '.join(KINDS)} or partner:NAME.")
    value = serializers.CharField(max_length=1000, help_text="For example C-1001, jo@example.com, +49 89 123456.")


class AttributeSerializer(RowSerializer):
    """What has been told of a person: the newest value, since when it is that, told last when, and whence."""

    value = serializers.JSONField(help_text="Any JSON value.")
    write_key = serializers.IntegerField(source="source_id", allow_null=True, help_text="The key's number.")
    message = serializers.CharField(source="source_kind", help_text="What told it last: a kind of message, or “api”.")

    class Meta:
        model = Attribute
        fields = ("name", "value", "since", "seen_at", "write_key", "message")
        read_only_fields = fields


class BelongingSerializer(RowSerializer):
    """A company that the person belongs to, since it was first said."""

    account = serializers.CharField(source="account.key", help_text="The key that it is known by.")

    class Meta:
        model = AccountMember
        fields = ("account", "since")
        read_only_fields = fields


class TouchSerializer(RowSerializer):
    """Where somebody came from first or last. The last one passes over direct visits."""

    # The metaclass takes declared fields out of the class: a field keeps its own `source`.
    source = serializers.DictField(  # type: ignore[assignment]
        help_text="medium, name, campaign and what else is known of it."
    )

    class Meta:
        model = Touch
        fields = ("which", "at", "source")
        read_only_fields = fields


class EventSerializer(RowSerializer):
    """Something that the person did."""

    properties = serializers.DictField(help_text="What the message said of it.")
    # The metaclass takes declared fields out of the class: the serializer keeps its own `context`.
    context = serializers.DictField(  # type: ignore[assignment]
        help_text="What is known of page, place, device and source."
    )

    class Meta:
        model = Event
        fields = ("id", "name", "occurred_at", "received_at", "properties", "context")
        read_only_fields = fields


class EventPages(KeyPages):
    """In the order of the key, backwards."""

    orderings = ("-occurred_at",)


def attributes_field() -> serializers.DictField:
    """Return the field of attributes by name, as they are sent."""
    return serializers.DictField(
        child=serializers.JSONField(allow_null=True), help_text="Name and value: up to 255, each any JSON value."
    )


class AttributesOfPerson(ClosedSerializer):
    """Attributes of the person whom an identifier means."""

    identifier = IdentifierSerializer()
    attributes = attributes_field()


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "From a CRM",
            {
                "profiles": [
                    {
                        "identifier": {"kind": "customer_id", "value": "C-1001"},
                        "attributes": {"plan": "gold", "renewal": "2027-01-31"},
                    }
                ]
            },
        )
    ]
)
class AttributesOfPeople(ClosedSerializer):
    """Up to 1,000 people, each with attributes."""

    profiles = serializers.ListField(child=AttributesOfPerson(), min_length=1, max_length=ITEMS_OF_A_CALL)

    def told(self) -> list[OfPerson]:
        """Return what was sent, as the work takes it."""
        items = self.validated_data["profiles"]
        return [OfPerson(**item["identifier"], attributes=item["attributes"]) for item in items]


class ResultSerializer(serializers.Serializer[Any]):
    """What became of one item."""

    index = serializers.IntegerField(help_text="The place in the list that was sent, from 0.")
    outcome = serializers.ChoiceField(choices=["applied", "rejected"])
    reason = serializers.ChoiceField(choices=Refused.choices, allow_null=True)
    message = serializers.CharField(allow_null=True, help_text="The reason as a sentence.")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One kept, one refused",
            {
                "applied": 1,
                "rejected": 1,
                "results": [
                    {"index": 0, "outcome": "applied", "reason": None, "message": None},
                    {
                        "index": 1,
                        "outcome": "rejected",
                        "reason": "bad_identifier",
                        "message": "This can be no identifier.",
                    },
                ],
            },
        )
    ]
)
class ResultsSerializer(serializers.Serializer[Any]):
    """What became of each item, in the order of the list."""

    applied = serializers.IntegerField()
    rejected = serializers.IntegerField()
    results = ResultSerializer(many=True)


def results_of(reasons: Sequence[Refused | None]) -> Mapping[str, Any]:
    """Return the answer's body for items of a call."""
    rejected = sum(reason is not None for reason in reasons)
    results = [result_of(number, reason) for number, reason in enumerate(reasons)]
    return ResultsSerializer({"applied": len(reasons) - rejected, "rejected": rejected, "results": results}).data


def result_of(number: int, reason: Refused | None) -> dict[str, Any]:
    """Return what became of one item."""
    return {
        "index": number,
        "outcome": "rejected" if reason else "applied",
        "reason": reason,
        "message": reason.label if reason else None,
    }


def identifiers_of(profile_ids: Collection[UUID]) -> dict[UUID, list[dict[str, str]]]:
    """Return the identifiers of profiles, sorted by kind and value."""
    found: dict[UUID, list[dict[str, str]]] = defaultdict(list)
    rows = Identifier.objects.filter(profile_id__in=profile_ids).order_by("kind", "value")
    for profile_id, kind, value in rows.values_list("profile_id", "kind", "value"):
        found[profile_id].append({"kind": kind, "value": value})
    return found
