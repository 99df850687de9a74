"""Why somebody is in or out by a rule, as JSON: a tree shaped like the rule."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from segments.api.rule_bodies import SENTENCE_EXAMPLE
from segments.rules.refusals import place

WHY_EXAMPLE = {
    "sentence": "In. Leaves on 8 Dec at 12:00 unless they purchase again.",
    "as_of": "2026-11-22T10:15:02Z",
    "is_in": True,
    "until": "2026-12-08T11:00:00Z",
    "ranges": [{"starts_at": "2026-11-22T10:15:02Z", "ends_at": "2026-12-08T11:00:00Z"}],
    "why": {
        "place": "rule",
        "says": SENTENCE_EXAMPLE,
        "holds": True,
        "actual": "3 times, newest 20 November 12:00",
        "events": [
            {
                "id": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b12",
                "name": "purchase",
                "occurred_at": "2026-11-20T11:00:00Z",
            }
        ],
        "changes_at": "2026-12-08T11:00:00Z",
        "changes_to": False,
        "children": [],
    },
}


class IntervalSerializer(serializers.Serializer[Any]):
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True, help_text="Null: no end is known.")


class CountedEventSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    occurred_at = serializers.DateTimeField()


class AnswerSerializer(serializers.Serializer[Any]):
    """One group or condition, with those below it in `children`."""

    place = serializers.SerializerMethodField()
    says = serializers.CharField()
    holds = serializers.BooleanField()
    actual = serializers.CharField(allow_blank=True, help_text="What is the case, such as “3 times”.")
    events = CountedEventSerializer(many=True, help_text="The newest ten that count.")
    changes_at = serializers.DateTimeField(allow_null=True, help_text="When that changes if nothing else happens.")
    changes_to = serializers.BooleanField(allow_null=True)
    children = serializers.SerializerMethodField()

    def get_place(self, answer: Any) -> str:
        return place(answer.node.path)

    @extend_schema_field({"type": "array", "items": {"$ref": "#/components/schemas/Answer"}})
    def get_children(self, answer: Any) -> Any:
        return AnswerSerializer(answer.children, many=True).data


class WhySerializer(serializers.Serializer[Any]):
    sentence = serializers.CharField()
    as_of = serializers.DateTimeField()
    is_in = serializers.BooleanField()
    until = serializers.DateTimeField(allow_null=True, help_text="When they leave if nothing else happens.")
    ranges = IntervalSerializer(many=True, help_text="The next ten times during which they are in.")
    why = AnswerSerializer(source="root")
