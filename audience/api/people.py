"""What the API tells of people: identifiers, attributes, companies, touches and events."""

from collections import defaultdict
from collections.abc import Collection
from uuid import UUID

from rest_framework import serializers

from audience.api.pages import KeyPages
from audience.api.serializers import ClosedSerializer, RowSerializer
from audience.identity import KINDS
from audience.models import AccountMember, Attribute, Event, Identifier, Touch

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


def identifiers_of(profile_ids: Collection[UUID]) -> dict[UUID, list[dict[str, str]]]:
    """Return the identifiers of profiles, sorted by kind and value."""
    found: dict[UUID, list[dict[str, str]]] = defaultdict(list)
    rows = Identifier.objects.filter(profile_id__in=profile_ids).order_by("kind", "value")
    for profile_id, kind, value in rows.values_list("profile_id", "kind", "value"):
        found[profile_id].append({"kind": kind, "value": value})
    return found
