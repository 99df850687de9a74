"""The members of a segment as JSON: who is in, and what became of a request to put people in or take them out."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from audience.api.pages import KeyPages
from audience.api.serializers import ClosedSerializer, RowSerializer
from audience.identity import KINDS, BadIdentifier, normalise
from audience.models import Identifier
from segments.members import Answer, Ask, Refused, change_members
from segments.models import Membership, Segment

ITEMS_OF_A_CALL = 1000
_LONGEST_KIND = 40
MEMBERS_EXAMPLE = {
    "profile": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11",
    "starts_at": "2026-11-20T08:00:00Z",
    "expires_at": "2026-12-20T08:00:00Z",
    "last_added_at": "2026-11-20T08:00:00Z",
    "value": 65,
    "identifiers": [{"kind": "customer_id", "value": "C-1001"}],
}


class IdentifierSerializer(ClosedSerializer):
    """What somebody is known by."""

    kind = serializers.CharField(max_length=_LONGEST_KIND, help_text=f"{', '.join(KINDS)} or partner:NAME.")
    value = serializers.CharField(max_length=1000, help_text="For example C-1001, jo@example.com, +49 89 123456.")


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


def identifiers_of(profile_ids: Collection[UUID]) -> dict[UUID, list[dict[str, str]]]:
    """Return the identifiers of profiles, sorted by kind and value."""
    found: dict[UUID, list[dict[str, str]]] = defaultdict(list)
    rows = Identifier.objects.filter(profile_id__in=profile_ids).order_by("kind", "value")
    for profile_id, kind, value in rows.values_list("profile_id", "kind", "value"):
        found[profile_id].append({"kind": kind, "value": value})
    return found


def change(segment: Segment, sent: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Put in and take out whom the body names; return the answer's body."""
    items = [("add", number, item) for number, item in enumerate(sent.get("add", []))]
    items += [("remove", number, item) for number, item in enumerate(sent.get("remove", []))]
    removed = {_person(item) for do, _, item in items if do == "remove"}
    outvoted = [do == "add" and _person(item) in removed for do, _, item in items]
    asked = [_ask(do, item) for (do, _, item), is_out in zip(items, outvoted, strict=True) if not is_out]
    answers = iter(change_members(segment, asked, at=timezone.now()))
    results = [
        _result(do, number, Answer(notes=("remove_wins",)) if is_out else next(answers))
        for (do, number, _), is_out in zip(items, outvoted, strict=True)
    ]
    rejected = sum(result["outcome"] == "rejected" for result in results)
    return {"applied": len(results) - rejected, "rejected": rejected, "results": results}


def _person(item: Mapping[str, Any]) -> tuple[str, str]:
    kind, value = item["identifier"]["kind"], item["identifier"]["value"]
    try:
        return kind, normalise(kind, value)
    except BadIdentifier:
        return kind, value


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
