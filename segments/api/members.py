"""The members of a segment as JSON: who is in, and what became of a request to put people in or take them out."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from audience.api.pages import KeyPages
from audience.api.people import IdentifierSerializer
from audience.api.serializers import ClosedSerializer, RowSerializer
from audience.api.told import ITEMS_OF_A_CALL
from audience.named import Nobody, key_of
from segments.members import Answer, Ask, Refused, change_members
from segments.models import AccountMembership, Membership, Segment

MEMBERS_EXAMPLE = {
    "profile": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11",
    "starts_at": "2026-11-20T08:00:00Z",
    "expires_at": "2026-12-20T08:00:00Z",
    "last_added_at": "2026-11-20T08:00:00Z",
    "value": 65,
    "identifiers": [{"kind": "customer_id", "value": "C-1001"}],
}
ACCOUNTS_EXAMPLE = {
    "account": "2f1d0c55-8a8b-6c1e-5b7e-4b1f0a9d3c77",
    "key": "ACME",
    "starts_at": "2026-11-20T08:00:00Z",
    "expires_at": "2026-12-20T08:00:00Z",
}


class MemberSerializer(RowSerializer):
    """A profile that is in the segment now: from when, until when, with which value."""

    profile = serializers.UUIDField(source="profile_id")
    identifiers = serializers.SerializerMethodField(help_text="Null without the right to see people.")
    expires_at = serializers.DateTimeField(
        source="ends_at", read_only=True, allow_null=True, help_text="Null where the rule sets no end."
    )

    class Meta:
        model = Membership
        fields = ("profile", "starts_at", "expires_at", "last_added_at", "value", "identifiers")
        read_only_fields = fields

    @extend_schema_field(IdentifierSerializer(many=True, allow_null=True))
    def get_identifiers(self, membership: Membership) -> list[dict[str, str]] | None:
        identifiers: dict[UUID, list[dict[str, str]]] | None = self.context.get("identifiers")
        return None if identifiers is None else identifiers[membership.profile_id]


class MemberPages(KeyPages):
    """In the order of profile ids, along the index (segment, version, profile)."""

    key = "profile_id"
    orderings = ("profile_id",)


class AccountMemberSerializer(RowSerializer):
    """An account that is in the segment now: from when, until when."""

    key = serializers.CharField(source="account.key", help_text="The key that it is known by.")
    expires_at = serializers.DateTimeField(
        source="ends_at", read_only=True, allow_null=True, help_text="Null where the rule sets no end."
    )

    class Meta:
        model = AccountMembership
        fields = ("account", "key", "starts_at", "expires_at")
        read_only_fields = fields


class AccountMemberPages(KeyPages):
    """In the order of account ids, along the index (segment, version, account)."""

    key = "account_id"
    orderings = ("account_id",)


class RemoveMember(ClosedSerializer):
    """Somebody to take out."""

    identifier = IdentifierSerializer()


class AddMember(RemoveMember):
    """Somebody to put in. Without a value the stored one stays."""

    value = serializers.IntegerField(required=False, allow_null=True, help_text="0 to 2,147,483,647.")
    lifetime_minutes = serializers.IntegerField(
        required=False,
        allow_null=True,
        max_value=10_000_000,
        help_text="How long to keep the person, up to the segment's cap; without it as long as the segment says.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One in, one out",
            {
                "add": [
                    {"identifier": {"kind": "customer_id", "value": "C-1001"}, "value": 65, "lifetime_minutes": 10080}
                ],
                "remove": [{"identifier": {"kind": "email", "value": "jo@example.com"}}],
            },
        )
    ]
)
class MemberChanges(ClosedSerializer):
    """Up to 1,000 people to put in and to take out."""

    add = AddMember(many=True, required=False)
    remove = RemoveMember(many=True, required=False)

    def validate(self, attributes: dict[str, Any]) -> dict[str, Any]:
        items = len(attributes.get("add", [])) + len(attributes.get("remove", []))
        if not items:
            raise serializers.ValidationError("Name at least one person in “add” or “remove”.")
        if items > ITEMS_OF_A_CALL:
            raise serializers.ValidationError(f"Send at most {ITEMS_OF_A_CALL} people in a call, not {items}.")
        return attributes


class MemberResult(serializers.Serializer[Any]):
    """What became of one item."""

    do = serializers.ChoiceField(choices=["add", "remove"])
    index = serializers.IntegerField(help_text="The place in that list, from 0.")
    outcome = serializers.ChoiceField(choices=["applied", "rejected"])
    joined = serializers.BooleanField(help_text="Was not in, and is now.")
    left = serializers.BooleanField(help_text="Was in, and is no longer.")
    reason = serializers.ChoiceField(choices=Refused.choices, allow_null=True)
    message = serializers.CharField(allow_null=True, help_text="The reason as a sentence.")
    notes = serializers.ListField(
        child=serializers.CharField(),
        help_text="not_a_member, lifetime_shortened, value_capped, remove_wins, older_than_last",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One in, one unknown",
            {
                "applied": 1,
                "rejected": 1,
                "results": [
                    {
                        "do": "add",
                        "index": 0,
                        "outcome": "applied",
                        "joined": True,
                        "left": False,
                        "reason": None,
                        "message": None,
                        "notes": [],
                    },
                    {
                        "do": "remove",
                        "index": 0,
                        "outcome": "rejected",
                        "joined": False,
                        "left": False,
                        "reason": "unknown_identifier",
                        "message": "Nobody is known by this identifier.",
                        "notes": [],
                    },
                ],
            },
        )
    ]
)
class ChangedMembers(serializers.Serializer[Any]):
    """What became of each item, those of `add` first."""

    applied = serializers.IntegerField()
    rejected = serializers.IntegerField()
    results = MemberResult(many=True)


def change(segment: Segment, sent: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Put in and take out whom the body names; return the answer's body."""
    items = [("add", number, item) for number, item in enumerate(sent.get("add", []))]
    items += [("remove", number, item) for number, item in enumerate(sent.get("remove", []))]
    people = [key_of(segment.advertiser, **item["identifier"]) for _, _, item in items]
    removed = {person for (do, _, _), person in zip(items, people, strict=True) if do == "remove"} - {*Nobody}
    outvoted = [do == "add" and person in removed for (do, _, _), person in zip(items, people, strict=True)]
    asked = [_ask(do, item) for (do, _, item), is_out in zip(items, outvoted, strict=True) if not is_out]
    answers = iter(change_members(segment, asked, at=timezone.now()))
    results = [
        _result(do, number, Answer(notes=("remove_wins",)) if is_out else next(answers))
        for (do, number, _), is_out in zip(items, outvoted, strict=True)
    ]
    rejected = sum(result["outcome"] == "rejected" for result in results)
    return {"applied": len(results) - rejected, "rejected": rejected, "results": results}


def _ask(do: Any, item: Mapping[str, Any]) -> Ask:
    minutes = item.get("lifetime_minutes")
    lifetime = None if minutes is None else timedelta(minutes=minutes)
    identifier = item["identifier"]
    return Ask(do, identifier["kind"], identifier["value"], item.get("value"), lifetime)


def _result(do: str, number: int, answer: Answer) -> dict[str, Any]:
    return {
        "do": do,
        "index": number,
        "outcome": "applied" if answer.reason is None else "rejected",
        "joined": answer.joined,
        "left": answer.left,
        "reason": answer.reason,
        "message": answer.reason.label if answer.reason else None,
        "notes": list(answer.notes),
    }
