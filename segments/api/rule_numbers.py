"""How many a rule would find, as JSON."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from segments.api.rule_bodies import SENTENCE_EXAMPLE
from segments.rules.english import English
from segments.rules.refusals import place

_NUMBER = {
    "about": 12400,
    "low": 10800,
    "high": 14200,
    "is_exact": False,
    "asked": 20000,
    "everybody": 1240000,
    "sentence": "about 12,400 (10,800 to 14,200)",
}
PREVIEW_EXAMPLE = {
    "as_of": "2026-11-22T10:15:02Z",
    "sentence": SENTENCE_EXAMPLE,
    "found": _NUMBER,
    "exactly": None,
    "joins_in_24_hours": _NUMBER,
    "leaves_in_24_hours": _NUMBER,
    "parts": [
        {
            "place": "rule",
            "says": SENTENCE_EXAMPLE,
            "alone": _NUMBER,
            "without": None,
            "unread": [
                {
                    "name": ["total"],
                    "currency": "EUR",
                    "found": _NUMBER,
                    "sentence": "For about 12,400 (10,800 to 14,200) people, “total” is no number (or not in EUR) "
                    "and does not count.",
                }
            ],
        }
    ],
    "known": {"email": 0.41, "phone": 0.12, "customer_id": 0.38},
    "consents": {"advertising": 0.36},
    "examples": ["0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11"],
    "is_cut_short": False,
}


class EstimateSerializer(serializers.Serializer[Any]):
    """A number. Where not everybody was asked, it has its 95 % range, and all are to three figures."""

    about = serializers.IntegerField()
    low = serializers.IntegerField()
    high = serializers.IntegerField()
    is_exact = serializers.BooleanField()
    asked = serializers.IntegerField(help_text="How many were asked.")
    everybody = serializers.IntegerField(help_text="How many there are.")
    sentence = serializers.CharField(source="__str__")


class UnreadSerializer(serializers.Serializer[Any]):
    name = serializers.ListField(
        source="read.name", child=serializers.CharField(), help_text="The steps of its name; `[]` is every element."
    )
    currency = serializers.CharField(
        source="read.currency", allow_null=True, help_text="That in which amounts are read; null for other numbers."
    )
    found = EstimateSerializer(help_text="How many have a value there that is known and no such number.")
    sentence = serializers.CharField(source="__str__")


class PartSerializer(serializers.Serializer[Any]):
    place = serializers.SerializerMethodField(help_text="Where in the rule: `rule.all_of[0]`.")
    says = serializers.SerializerMethodField()
    alone = EstimateSerializer(help_text="How many this group or condition finds alone.")
    without = EstimateSerializer(allow_null=True, help_text="How many the rule would find without it.")
    unread = UnreadSerializer(many=True, help_text="What it reads as numbers, where somebody's values are none.")

    def get_place(self, part: Any) -> str:
        return place(part.node.path)

    def get_says(self, part: Any) -> str:
        english: English = self.context["english"]
        return english.sentence(part.node)


class PreviewSerializer(serializers.Serializer[Any]):
    as_of = serializers.DateTimeField()
    sentence = serializers.SerializerMethodField()
    found = EstimateSerializer()
    exactly = serializers.SerializerMethodField(help_text="The exact number, where it was asked for.")
    joins_in_24_hours = EstimateSerializer(source="joins", help_text="By time alone.")
    leaves_in_24_hours = EstimateSerializer(source="leaves", help_text="By time alone.")
    parts = PartSerializer(many=True)
    known = serializers.DictField(
        child=serializers.FloatField(), help_text="Shares of those found that have this kind of identifier."
    )
    consents = serializers.DictField(
        child=serializers.FloatField(), help_text="Shares of those found that have granted this purpose."
    )
    examples = serializers.ListField(child=serializers.UUIDField(), help_text="Ids of up to ten that are found.")
    is_cut_short = serializers.BooleanField(help_text="True: fewer were asked than usual, for want of time.")

    def get_sentence(self, _: Any) -> str:
        return str(self.context["sentence"])

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_exactly(self, _: Any) -> int | None:
        exactly: int | None = self.context["exactly"]
        return exactly
