"""What the API is told of people and companies, many in a call, and what it answers to each of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from audience.api.people import IdentifierSerializer
from audience.api.serializers import ClosedSerializer
from audience.upserts import OfPerson, Refused

ITEMS_OF_A_CALL = 1000


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
