"""What the API tells of a person beside identifiers: attributes, companies and events."""

from rest_framework import serializers

from audience.api.pages import KeyPages
from audience.api.serializers import RowSerializer
from audience.models import AccountMember, Attribute, Event

EVENT_EXAMPLE = {
    "id": "5a1f6a52-6c0f-4a0e-9d52-8f1f6f1f2b11",
    "name": "cart_updated",
    "occurred_at": "2026-11-22T10:00:00Z",
    "received_at": "2026-11-22T10:00:01Z",
    "properties": {"total": 65},
    "context": {"page": {"path": "/cart"}, "device": {"type": "mobile"}},
}


class AttributeSerializer(RowSerializer):
    """What has been told of a person: the newest value, since when it is that, told last when, and whence."""

    value = serializers.JSONField(help_text="Any JSON value.")
    write_key = serializers.IntegerField(source="source_id", allow_null=True, help_text="The key's number.")
    message = serializers.CharField(source="source_kind", help_text="The kind of message that told it last.")

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
